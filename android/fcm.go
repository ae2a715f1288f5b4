package android

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/android/google"
)

// Wake is a wake to be sent by FCM.
type Wake struct {
	EnrollmentID string
	Generation   int64
	Attempts     int
	PushID       string // Firebase installation ID
}

// WakeOutcome is what became of it.
type WakeOutcome struct {
	SentAt  time.Time
	RetryAt time.Time // zero: not again
	Gone    bool      // the registration is to be forgotten
	Reason  string
}

// FCM wakes devices by Firebase Cloud Messaging (HTTP v1) that do not wait for
// a wake on any server. It needs a Firebase project of the agent's maker.
type FCM struct {
	Store   WakeStore
	Tokens  *google.TokenSource
	Project string
	URL     string // "https://fcm.googleapis.com"
	Client  *http.Client
	Now     func() time.Time
	Log     *slog.Logger
}

// FCMScope is the scope of FCM.Tokens.
const FCMScope = "https://www.googleapis.com/auth/firebase.messaging"

const (
	fcmInterval = time.Second
	fcmAfter    = 2 * time.Second // how long a device that waits has to come by itself
	fcmLease    = time.Minute
	fcmBatch    = 100
	fcmParallel = 8
	fcmTTL      = "86400s"
	fcmTimeout  = 20 * time.Second
)

// Run sends until ctx ends.
func (f *FCM) Run(ctx context.Context) error {
	ticker := time.NewTicker(fcmInterval)
	defer ticker.Stop()
	for {
		for {
			n, err := f.Once(ctx)
			if err != nil && ctx.Err() == nil {
				f.Log.WarnContext(ctx, "wakes for FCM not read", "error", err)
			}
			if err != nil || n < fcmBatch {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Once sends one batch and says how many there were.
func (f *FCM) Once(ctx context.Context) (int, error) {
	now := clock(f.Now)
	wakes, err := f.Store.ClaimWakes(ctx, now.Add(-fcmAfter), now, fcmLease, fcmBatch)
	if err != nil {
		return 0, err
	}
	var g errgroup.Group
	g.SetLimit(fcmParallel)
	for _, w := range wakes {
		g.Go(func() error {
			o := f.send(ctx, w)
			if err := f.Store.FinishWake(context.WithoutCancel(ctx), w, o); err != nil {
				f.Log.WarnContext(ctx, "wake not noted as sent", "enrollment", w.EnrollmentID, "error", err)
			}
			return nil
		})
	}
	g.Wait()
	return len(wakes), nil
}

// message is the wake: it carries nothing, the agent then checks in.
func message(pushID string) []byte {
	b, err := json.Marshal(map[string]any{"message": map[string]any{"fid": pushID, "data": map[string]string{"t": "wake"},
		"android": map[string]any{"priority": "HIGH", "ttl": fcmTTL, "collapseKey": "mdm", "directBootOk": true}}})
	if err != nil {
		panic(err) // texts only
	}
	return b
}

func (f *FCM) send(ctx context.Context, w Wake) WakeOutcome {
	now := clock(f.Now)
	later := func(reason string, wait time.Duration) WakeOutcome {
		return WakeOutcome{RetryAt: now.Add(max(wait, min(time.Minute<<min(w.Attempts, 10), 6*time.Hour))), Reason: reason}
	}
	ctx, cancel := context.WithTimeout(ctx, fcmTimeout)
	defer cancel()
	token, err := f.Tokens.Token(ctx)
	if err != nil {
		f.Log.WarnContext(ctx, "no access token for FCM", "error", err)
		return later("no access token", 0)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+"/v1/projects/"+f.Project+"/messages:send", bytes.NewReader(message(w.PushID)))
	if err != nil {
		return later("no request", 0)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.Client.Do(req)
	if err != nil {
		return later("unreachable", 0)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return later("answer broken off", 0)
	}
	if resp.StatusCode == http.StatusOK {
		return WakeOutcome{SentAt: now}
	}
	code := fcmCode(body)
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		f.Tokens.Forget(token)
		return later("access token refused", 0)
	case code == "UNREGISTERED", code == "SENDER_ID_MISMATCH", code == "INVALID_ARGUMENT":
		return WakeOutcome{Gone: true, Reason: strings.ToLower(code)}
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			seconds = 60
		}
		return later("quota exceeded", time.Duration(min(max(seconds, 1), 3600))*time.Second)
	}
	return later("status "+strconv.Itoa(resp.StatusCode), 0)
}

// fcmCode is the code that FCM itself gives in an error; empty where the answer
// is not FCM's: a proxy's, or one about a project or URL that is configured
// wrongly.
func fcmCode(body []byte) string {
	var e struct {
		Error struct {
			Details []struct {
				Type      string `json:"@type"`
				ErrorCode string `json:"errorCode"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	for _, d := range e.Error.Details {
		if strings.HasSuffix(d.Type, "/google.firebase.fcm.v1.FcmError") {
			return d.ErrorCode
		}
	}
	return ""
}
