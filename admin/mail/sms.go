package mail

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rollcall/enroll"
)

// SMSConfig says which gateway takes short messages.
type SMSConfig struct {
	URL     string         // https; http for this machine only
	Secret  string         // signs each call
	RootCAs *x509.CertPool // the system's
	Timeout time.Duration  // 15s for a call
	Now     func() time.Time
}

// SMS is a gateway's hook. Each message is a POST of
//
//	{"to": "+49151...", "text": "...", "request_id": "...", "message_id": "..."}
//
// with the headers
//
//	Idempotency-Key     the message_id: the same for a repetition
//	Rollcall-Timestamp  seconds since 1970
//	Rollcall-Signature  sha256= and hex(HMAC-SHA256(secret, timestamp + "." + body))
//
// A 2xx answer is taken for sent, 408 and 429 (with Retry-After), 3xx and 5xx
// are tried again, and every other 4xx is a refusal for good, whose body is kept
// for the admin.
type SMS struct {
	url    string
	secret []byte
	client *http.Client
	now    func() time.Time
}

// minSecret is how long the key of a signature is at least.
const minSecret = 16

// NewSMS checks a configuration. It does not connect.
func NewSMS(c SMSConfig) (*SMS, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Fragment != "" {
		return nil, errors.New("the SMS gateway is not a URL such as https://sms.example.com/send")
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return nil, errors.New("the SMS gateway must be reached over https: its messages hold links that are secrets")
	}
	if len(c.Secret) < minSecret {
		return nil, fmt.Errorf("the SMS gateway's secret is too short: at least %d characters", minSecret)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12}
	transport.MaxConnsPerHost, transport.IdleConnTimeout = 4, 30*time.Second
	return &SMS{url: c.URL, secret: []byte(c.Secret), now: c.Now, client: &http.Client{Transport: transport, Timeout: cmp.Or(c.Timeout, 15*time.Second),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// short is the body of a call.
type short struct {
	To        string `json:"to"`
	Text      string `json:"text"`
	RequestID string `json:"request_id"`
	MessageID string `json:"message_id"`
}

// post makes the call.
func (s *SMS) post(ctx context.Context, m short) verdict {
	body, err := json.Marshal(m)
	if err != nil {
		return internal(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return internal(err)
	}
	stamp := strconv.FormatInt(s.now().Unix(), 10)
	mac := hmac.New(sha256.New, s.secret)
	io.WriteString(mac, stamp+".")
	mac.Write(body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", m.MessageID)
	r.Header.Set("Rollcall-Timestamp", stamp)
	r.Header.Set("Rollcall-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	res, err := s.client.Do(r)
	if err != nil {
		return judgeCall(err)
	}
	defer res.Body.Close()
	const most = 4 << 10
	said, _ := io.ReadAll(io.LimitReader(res.Body, most)) // the status is the answer
	return s.judge(res, clip(res.Status+" "+string(said)))
}

func (s *SMS) judge(res *http.Response, words string) verdict {
	v := verdict{outcome: enroll.MessageRetry, words: words}
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		v.outcome, v.cause = enroll.MessageSent, causeSent
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		v.cause = causeDeferred
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
			v.after = time.Duration(min(seconds, int(lastRetry/time.Second))) * time.Second
		}
	case code >= 400:
		v.outcome, v.cause = enroll.MessageBounced, causeRefused
	default:
		v.cause = causeRejected
	}
	return v
}

// judgeCall sorts the failures that gave no answer.
func judgeCall(err error) verdict {
	var call *url.Error
	if errors.As(err, &call) {
		err = call.Err // without the URL, which may hold a key
	}
	at := stepGreeting
	var network *net.OpError
	switch {
	case isTLS(err):
		at = stepTLS
	case errors.As(err, &network) && network.Op == "dial":
		at = stepConnect
	}
	return judge(at, err)
}

// smsRun sends the letters of one batch.
type smsRun struct {
	s *SMS
	c composer
}

func (r *smsRun) deliver(ctx context.Context, l enroll.Letter) verdict {
	text, err := r.c.compose(l)
	if err != nil {
		return internal(err)
	}
	return r.s.post(ctx, short{To: l.Address, Text: text.Text, RequestID: l.RequestID, MessageID: l.ID})
}

func (r *smsRun) close() { r.s.client.CloseIdleConnections() }
