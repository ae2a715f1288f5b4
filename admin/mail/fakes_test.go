package mail

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/enroll"
	peer "rollcall/sim/mail"
)

// outbox keeps letters the way Outbox says.
type outbox struct {
	mu       sync.Mutex
	waiting  []enroll.Letter
	leased   map[string]bool
	results  chan enroll.MessageResult
	failures int // of FinishMessage, still to come
	broken   error
}

func newOutbox(letters ...enroll.Letter) *outbox {
	return &outbox{waiting: slices.Clone(letters), leased: map[string]bool{}, results: make(chan enroll.MessageResult, 1000)}
}

func (o *outbox) ClaimMessages(_ context.Context, via enroll.Via, now time.Time, _ time.Duration, limit int) ([]enroll.Letter, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var claimed []enroll.Letter
	for i, l := range o.waiting {
		if l.Via == via && !l.DueAt.After(now) && !o.leased[l.ID] && len(claimed) < limit {
			o.leased[l.ID] = true
			o.waiting[i].Attempts++
			claimed = append(claimed, o.waiting[i])
		}
	}
	return claimed, nil
}

func (o *outbox) FinishMessage(_ context.Context, r enroll.MessageResult) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failures > 0 {
		o.failures--
		return o.broken
	}
	i := slices.IndexFunc(o.waiting, func(l enroll.Letter) bool { return l.ID == r.Letter.ID })
	delete(o.leased, r.Letter.ID)
	switch r.Outcome {
	case enroll.MessageRetry:
		o.waiting[i].DueAt = r.RetryAt
	case enroll.MessageReleased:
		o.waiting[i].Attempts--
	default:
		o.waiting = slices.Delete(o.waiting, i, i+1)
	}
	o.results <- r
	return nil
}

// desk is a sender at work, with its clock and its log.
type desk struct {
	t *testing.T
	*Sender
	outbox *outbox
	log    *bytes.Buffer
	stop   func()

	mu       sync.Mutex
	now      time.Time
	pace     time.Duration // how long each message takes by the clock
	observed map[string]int
}

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// letter is one to a user of example.com.
func letter(name string) enroll.Letter {
	return enroll.Letter{Message: enroll.Message{ID: enroll.NewID(), RequestID: "request-of-" + name, Kind: enroll.MessageInvitation, Via: enroll.ViaEmail,
		Secret: "secret-of-" + name, CreatedAt: start, DueAt: start}, Address: name + "@example.com", Name: "Anna " + name, Serial: "C39XK1" + strings.ToUpper(name),
		Platform: enroll.PlatformIOS, SentBy: "IT desk", ExpiresAt: start.Add(enroll.RequestLifetime)}
}

func link(secret string) string { return "https://mdm.example.com/enroll/r/" + secret }

// newDesk starts a sender; it stops at the end of the test, and its log is
// looked through for what must not be in it.
func newDesk(t *testing.T, o Options, letters ...enroll.Letter) *desk {
	t.Helper()
	d := &desk{t: t, outbox: newOutbox(letters...), log: &bytes.Buffer{}, now: start, observed: map[string]int{}}
	o.Outbox, o.Link, o.Organization, o.Poll = d.outbox, link, "Example GmbH", time.Hour
	o.Now = func() time.Time { d.mu.Lock(); defer d.mu.Unlock(); return d.now }
	o.Observe = func(via enroll.Via, outcome enroll.MessageOutcome, cause string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.observed[string(via)+" "+string(outcome)+" "+cause]++
		d.now = d.now.Add(d.pace)
	}
	o.Logger = slog.New(slog.NewTextHandler(&locked{w: d.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if d.Sender, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, personal := range []string{"example.com", "Anna", "secret-of", "enroll/r", "C39XK1", "+49"} {
			if strings.Contains(d.log.String(), personal) {
				t.Errorf("the log holds %q:\n%s", personal, d.log)
			}
		}
	})
	t.Cleanup(d.stop)
	return d
}

type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// later moves the clock and wakes the worker.
func (d *desk) later(by time.Duration) {
	d.mu.Lock()
	d.now = d.now.Add(by)
	d.mu.Unlock()
	d.Kick()
}

// put adds letters to the outbox.
func (d *desk) put(letters ...enroll.Letter) {
	d.outbox.mu.Lock()
	d.outbox.waiting = append(d.outbox.waiting, letters...)
	d.outbox.mu.Unlock()
	d.Kick()
}

// result is the next one that was stored.
func (d *desk) result() enroll.MessageResult {
	d.t.Helper()
	select {
	case r := <-d.outbox.results:
		return r
	case <-time.After(10 * time.Second):
		d.t.Fatalf("no result; the log says\n%s", d.log)
		return enroll.MessageResult{}
	}
}

// want asserts the next result of each letter, in their order.
func (d *desk) want(outcomes ...enroll.MessageOutcome) []enroll.MessageResult {
	d.t.Helper()
	var results []enroll.MessageResult
	for i, want := range outcomes {
		r := d.result()
		if r.Outcome != want {
			d.t.Fatalf("result %d is %s (%s), want %s", i, r.Outcome, r.Error, want)
		}
		results = append(results, r)
	}
	return results
}

// server is a mail server, and the way to it.
func server(t *testing.T, o peer.Options, change ...func(*SMTPConfig)) (*peer.Server, *SMTP) {
	t.Helper()
	p, err := peer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := SMTPConfig{URL: p.URL(), Password: o.Password, RootCAs: p.Roots(), From: "Example IT <mdm@example.net>", ReplyTo: "help@example.net", Timeout: 10 * time.Second}
	for _, f := range change {
		f(&c)
	}
	s, err := NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}
