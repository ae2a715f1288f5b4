package webhook_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rollcall/admin/webhook"
	"rollcall/enroll"
	"rollcall/sim/hooks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outbox is a webhook.Outbox in memory with a clock that tests turn.
type outbox struct {
	mu       sync.Mutex
	clock    time.Time
	hooks    map[string]webhook.Webhook
	due      map[string][]webhook.Delivery
	results  []webhook.Result
	released []string
	finished chan struct{}
}

func newOutbox() *outbox {
	return &outbox{clock: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC), hooks: map[string]webhook.Webhook{}, due: map[string][]webhook.Delivery{}, finished: make(chan struct{}, 1000)}
}

func (o *outbox) now() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.clock
}

// add makes a delivery for each of some serials.
func (o *outbox) add(w webhook.Webhook, serials ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hooks[w.ID] = w
	for _, serial := range serials {
		o.due[w.ID] = append(o.due[w.ID], webhook.Delivery{ID: "delivery of " + serial, WebhookID: w.ID, State: webhook.DeliveryPending,
			ExpiresAt: o.clock.Add(webhook.GiveUpAfter), Event: enroll.NewEvent(enroll.EventDeviceEnrolled, o.clock, enroll.EventRefs{Serial: serial})})
	}
}

func (o *outbox) Publish(context.Context, time.Time) (int, bool, error) { return 0, false, nil }

func (o *outbox) DueWebhooks(context.Context, time.Time) ([]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []string
	for id, ds := range o.due {
		if len(ds) > 0 && !o.hooks[id].PausedUntil.After(o.clock) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (o *outbox) ClaimDeliveries(_ context.Context, id string, _ time.Time, _ time.Duration, limit int) (webhook.Webhook, []webhook.Delivery, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hooks[id].PausedUntil.After(o.clock) {
		return webhook.Webhook{}, nil, nil
	}
	n := min(limit, len(o.due[id]))
	return o.hooks[id], slices.Clone(o.due[id][:n]), nil
}

func (o *outbox) FinishDelivery(_ context.Context, d webhook.Delivery, r webhook.Result) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.results = append(o.results, r)
	o.due[d.WebhookID] = slices.DeleteFunc(o.due[d.WebhookID], func(x webhook.Delivery) bool { return x.ID == d.ID })
	w := o.hooks[d.WebhookID]
	w.PausedUntil = r.PauseUntil
	o.hooks[d.WebhookID] = w
	o.finished <- struct{}{}
	return nil
}

func (o *outbox) ReleaseDeliveries(_ context.Context, ids []string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.released = append(o.released, ids...)
	return nil
}

func (o *outbox) PurgeEvents(context.Context, time.Time) (int, error) { return 0, nil }

// receiver starts a receiver and gives the webhook that leads to it.
func receiver(t *testing.T, id string) (*hooks.Receiver, webhook.Webhook) {
	t.Helper()
	r, err := hooks.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	w := webhook.Webhook{ID: id, URL: r.URL, Secret: webhook.NewSecret()}
	r.Knows(w.Secret)
	return r, w
}

// run starts a sender and gives what stops it.
func run(t *testing.T, o *outbox, s *webhook.Sender) (stop func()) {
	t.Helper()
	s.Outbox, s.Now, s.Logger = o, o.now, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// finish waits for so many attempts.
func (o *outbox) finish(t *testing.T, n int) []webhook.Result {
	t.Helper()
	for range n {
		select {
		case <-o.finished:
		case <-t.Context().Done():
			t.Fatal("no attempt was made")
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.results)
}

func TestDelivery(t *testing.T) {
	o := newOutbox()
	r, w := receiver(t, "a")
	o.add(w, "AAA", "BBB", "CCC")
	run(t, o, &webhook.Sender{AllowPrivate: true})
	for _, result := range o.finish(t, 3) {
		if result.Error != "" || result.Status != http.StatusNoContent || !result.RetryAt.IsZero() {
			t.Errorf("an attempt: %+v", result)
		}
	}
	for i, d := range r.Came() {
		serial := []string{"AAA", "BBB", "CCC"}[i]
		if d.Signature != nil || d.ID != "delivery of "+serial || d.Event != "device.enrolled" || d.Message.Type != "device.enrolled" || d.Message.Data["serial"] != serial || len(d.Message.Data) != 1 {
			t.Errorf("came %+v, %v", d, d.Signature)
		}
	}
}

// TestBadReceivers asserts that whatever a receiver does, the attempt fails in
// plain words, is put off, and pauses the webhook.
func TestBadReceivers(t *testing.T) {
	elsewhere, _ := receiver(t, "elsewhere")
	tests := map[string]struct {
		behave hooks.Behaviour
		status int
		says   string
	}{
		"answers 500":       {hooks.Answer(500), 500, "answered 500"},
		"answers 429":       {hooks.Answer(429), 429, "answered 429"},
		"answers 400":       {hooks.Answer(400), 400, "answered 400"},
		"never answers":     {hooks.Never, 0, "did not answer in time"},
		"redirects":         {hooks.Redirect(elsewhere.URL), 302, "redirects are not followed"},
		"breaks the answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "connection to the receiver failed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOutbox()
			r, w := receiver(t, "a")
			r.Behave(test.behave)
			o.add(w, "AAA", "BBB")
			stop := run(t, o, &webhook.Sender{AllowPrivate: true, Timeout: 200 * time.Millisecond})
			result := o.finish(t, 1)[0]
			stop()
			if result.Status != test.status || !strings.Contains(result.Error, test.says) || strings.Contains(result.Error, "127.0.0.1") {
				t.Errorf("the attempt: %+v", result)
			}
			if wait := result.RetryAt.Sub(o.clock); wait < 3*time.Second || wait > 8*time.Second {
				t.Errorf("tried again after %v", wait)
			}
			if wait := result.PauseUntil.Sub(o.clock); wait <= 0 || wait > 2*time.Second {
				t.Errorf("paused for %v", wait)
			}
			if len(r.Came()) != 1 || !slices.Equal(o.released, []string{"delivery of BBB"}) {
				t.Errorf("%d came, released %v", len(r.Came()), o.released)
			}
		})
	}
	if n := len(elsewhere.Came()); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

// TestEndlessAnswer asserts that an answer is read to a bound, and that its
// status counts.
func TestEndlessAnswer(t *testing.T) {
	o := newOutbox()
	r, w := receiver(t, "a")
	r.Behave(hooks.Endless)
	o.add(w, "AAA")
	run(t, o, &webhook.Sender{AllowPrivate: true})
	if result := o.finish(t, 1)[0]; result.Status != 200 || result.Error != "" {
		t.Errorf("the attempt: %+v", result)
	}
}

func TestNobodyListens(t *testing.T) {
	r, err := hooks.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	o := newOutbox()
	o.add(webhook.Webhook{ID: "a", URL: r.URL}, "AAA")
	run(t, o, &webhook.Sender{AllowPrivate: true})
	if result := o.finish(t, 1)[0]; !strings.Contains(result.Error, "refused the connection") {
		t.Errorf("the attempt: %+v", result)
	}
}

// TestIsolation lets one receiver hang while another one takes everything.
func TestIsolation(t *testing.T) {
	o := newOutbox()
	slow, slowHook := receiver(t, "slow")
	release := make(chan struct{})
	slow.Behave(func(w http.ResponseWriter, _ *http.Request) { <-release })
	fast, fastHook := receiver(t, "fast")
	o.add(slowHook, "AAA")
	var serials []string
	for i := range 20 {
		serials = append(serials, string(rune('a'+i)))
	}
	o.add(fastHook, serials...)
	run(t, o, &webhook.Sender{AllowPrivate: true})
	o.finish(t, len(serials)) // those of the fast one: the slow one waits
	if len(fast.Came()) != len(serials) {
		t.Errorf("%d came", len(fast.Came()))
	}
	close(release)
	o.finish(t, 1)
}

// TestStop asserts that what was claimed and not done is given back at once.
func TestStop(t *testing.T) {
	o := newOutbox()
	r, w := receiver(t, "a")
	r.Behave(hooks.Never)
	o.add(w, "AAA", "BBB")
	stop := run(t, o, &webhook.Sender{AllowPrivate: true})
	if _, err := r.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	stop()
	if !slices.Equal(o.released, []string{"delivery of AAA", "delivery of BBB"}) || len(o.results) != 0 {
		t.Errorf("released %v, finished %+v", o.released, o.results)
	}
}

// TestGivenUp asserts that the last attempt is followed by none.
func TestGivenUp(t *testing.T) {
	o := newOutbox()
	r, w := receiver(t, "a")
	r.Behave(hooks.Answer(500))
	o.add(w, "AAA")
	o.due["a"][0].Attempts = 40
	o.due["a"][0].ExpiresAt = o.clock.Add(10 * time.Minute)
	run(t, o, &webhook.Sender{AllowPrivate: true})
	if result := o.finish(t, 1)[0]; !result.RetryAt.IsZero() || result.Error == "" {
		t.Errorf("the attempt: %+v", result)
	}
}

// TestPrivateAddresses asserts that a name that leads inside is found out when
// the connection is made, whatever the URL looked like.
func TestPrivateAddresses(t *testing.T) {
	o := newOutbox()
	r, w := receiver(t, "a")
	o.add(w, "AAA")
	run(t, o, &webhook.Sender{})
	if result := o.finish(t, 1)[0]; !strings.Contains(result.Error, "not public") || result.Status != 0 {
		t.Errorf("the attempt: %+v", result)
	}
	if len(r.Came()) != 0 {
		t.Error("a delivery went inside")
	}
}

func TestCheckURL(t *testing.T) {
	tests := []struct {
		url           string
		code, private string // what is wrong without, and with, private addresses allowed
	}{
		{"https://hooks.example.com/a?b=c", "", ""},
		{"https://93.184.216.34/", "", ""},
		{"https://[2606:2800:220:1::1]/", "", ""},
		{"http://hooks.example.com/", "webhook_url_invalid", "webhook_url_invalid"},
		{"http://93.184.216.34/", "webhook_url_invalid", "webhook_url_invalid"},
		{"http://10.0.0.1/", "webhook_url_invalid", "webhook_url_invalid"},
		{"ftp://hooks.example.com/", "webhook_url_invalid", "webhook_url_invalid"},
		{"https://user:pw@hooks.example.com/", "webhook_url_invalid", "webhook_url_invalid"},
		{"https://hooks.example.com/#a", "webhook_url_invalid", "webhook_url_invalid"},
		{"https://", "webhook_url_invalid", "webhook_url_invalid"},
		{"hooks.example.com", "webhook_url_invalid", "webhook_url_invalid"},
		{"https://hooks.example.com/" + strings.Repeat("x", 2000), "webhook_url_invalid", "webhook_url_invalid"},
		{"http://localhost:8080/", "webhook_address_private", ""},
		{"http://127.0.0.1:8080/", "webhook_address_private", ""},
		{"http://[::1]/", "webhook_address_private", ""},
		{"https://localhost./", "webhook_address_private", ""},
		{"https://10.0.0.1/", "webhook_address_private", ""},
		{"https://169.254.169.254/latest/meta-data/", "webhook_address_private", ""},
		{"https://100.64.0.1/", "webhook_address_private", ""},
		{"https://[fd00::1]/", "webhook_address_private", ""},
		{"https://[fe80::1]/", "webhook_address_private", ""},
		{"https://[::ffff:10.0.0.1]/", "webhook_address_private", ""},
		{"https://[64:ff9b::a00:1]/", "webhook_address_private", ""},
		{"https://[2002:a00:1::]/", "webhook_address_private", ""},
		{"https://0.0.0.0/", "webhook_address_private", ""},
		{"https://224.0.0.1/", "webhook_address_private", ""},
		{"https://255.255.255.255/", "webhook_address_private", ""},
	}
	code := func(err error) string {
		var e *enroll.Error
		if errors.As(err, &e) {
			return e.Code
		}
		return ""
	}
	for _, test := range tests {
		if got := code(webhook.CheckURL(test.url, false)); got != test.code {
			t.Errorf("%s: %q, want %q", test.url, got, test.code)
		}
		if got := code(webhook.CheckURL(test.url, true)); got != test.private {
			t.Errorf("%s where private is allowed: %q, want %q", test.url, got, test.private)
		}
	}
}

// TestSign compares with what openssl makes of the same.
func TestSign(t *testing.T) {
	header := webhook.Sign("secret", time.Unix(1_777_000_000, 0), []byte(`{"id":"1"}`))
	if header != "t=1777000000,v1=e651a1c242c94e2d79e1798871331d35a9bdfa66ea347e4db20596c751839eed" {
		t.Errorf("the header is %q", header)
	}
}
