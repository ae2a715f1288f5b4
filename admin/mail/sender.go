package mail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/mail"
	"slices"
	"sync"
	"time"

	"rollcall/enroll"
)

// Outbox is the durable queue of messages. Any number of workers may use it.
type Outbox interface {
	// ClaimMessages leases due messages of a channel to this worker until
	// now+lease, the oldest first. Those that have become pointless (request
	// closed, or accepted before its reminder) are dropped instead.
	ClaimMessages(ctx context.Context, via enroll.Via, now time.Time, lease time.Duration, limit int) ([]enroll.Letter, error)
	// FinishMessage stores what became of a claimed message, and moves its
	// request from queued to sent, or from queued or sent to bounced. The
	// secret goes with the last attempt. A retry of a message that somebody
	// else has claimed meanwhile is ignored; that it was sent is not.
	FinishMessage(ctx context.Context, r enroll.MessageResult) error
}

// Options makes a Sender. Outbox, Link and Organization are needed; every other
// field that is zero has the default named beside it.
type Options struct {
	Outbox       Outbox
	Link         func(secret string) string // address of the page of a request
	Organization string
	Language     string // en: of messages to users whose language is not known
	SMTP         *SMTP  // no e-mail is sent
	SMS          *SMS   // no SMS is sent

	Batch int           // 50: letters a claim
	Lease time.Duration // 10m
	Poll  time.Duration // 2s: how often the outbox is asked without a Kick
	Grace time.Duration // 5s: what the message under way gets when Run ends

	Now    func() time.Time // time.Now
	Logger *slog.Logger     // slog.Default()
	// Observe is told of each attempt. cause is one of a few words.
	Observe func(via enroll.Via, outcome enroll.MessageOutcome, cause string)
}

// The paces of retries, and when a message is given up.
const (
	firstRetry  = 30 * time.Second
	lastRetry   = time.Hour
	giveUp      = 24 * time.Hour
	logAgain    = time.Hour // the same cause
	finishTries = 5
)

// Sender moves messages from the outbox to their users. Several, in as many
// processes, may work on one outbox.
type Sender struct {
	options  Options
	composer composer
	channels []*channel
}

// channel is a way to send, with a worker of its own.
type channel struct {
	via    enroll.Via
	open   func() run
	kick   chan struct{}
	logged map[string]time.Time // causes; the worker's own
}

// run sends the letters of one batch.
type run interface {
	deliver(ctx context.Context, l enroll.Letter) verdict
	close()
}

// New checks the options. It does not connect.
func New(o Options) (*Sender, error) {
	if o.Outbox == nil || o.Link == nil {
		return nil, errors.New("mail: Outbox and Link are needed")
	}
	o.Language = cmp.Or(o.Language, "en")
	if !slices.Contains(enroll.Languages, o.Language) {
		return nil, fmt.Errorf("mail: there are no texts in the language %q; there are %v", o.Language, enroll.Languages)
	}
	o.Batch = cmp.Or(o.Batch, 50)
	o.Lease = cmp.Or(o.Lease, 10*time.Minute)
	o.Poll = cmp.Or(o.Poll, 2*time.Second)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(enroll.Via, enroll.MessageOutcome, string) {}
	}
	s := &Sender{options: o, composer: composer{organization: o.Organization, language: o.Language, link: o.Link}}
	add := func(via enroll.Via, open func() run) {
		s.channels = append(s.channels, &channel{via: via, open: open, kick: make(chan struct{}, 1), logged: map[string]time.Time{}})
	}
	if o.SMTP != nil {
		add(enroll.ViaEmail, func() run { return &mailRun{s: o.SMTP, c: s.composer} })
	}
	if o.SMS != nil {
		add(enroll.ViaSMS, func() run { return &smsRun{s: o.SMS, c: s.composer} })
	}
	return s, nil
}

// Channels are the ways that messages can be sent.
func (s *Sender) Channels() []enroll.Via {
	var vias []enroll.Via
	for _, c := range s.channels {
		vias = append(vias, c.via)
	}
	return vias
}

// Kick makes Run look at the outbox at once. It never blocks.
func (s *Sender) Kick() {
	for _, c := range s.channels {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// Run sends until ctx ends, and then returns nil: the message under way gets
// Grace, whatever else is claimed goes back to the outbox. Call it once.
func (s *Sender) Run(ctx context.Context) error {
	sending, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stopGrace := context.AfterFunc(ctx, func() {
		grace := time.NewTimer(s.options.Grace)
		defer grace.Stop()
		select {
		case <-grace.C:
			abort()
		case <-sending.Done():
		}
	})
	defer stopGrace()
	var workers sync.WaitGroup
	for _, c := range s.channels {
		workers.Go(func() { s.work(ctx, sending, c) })
	}
	workers.Wait()
	return nil
}

func (s *Sender) work(ctx, sending context.Context, c *channel) {
	for ctx.Err() == nil {
		if s.batch(ctx, sending, c) == s.options.Batch {
			continue // there may be more
		}
		timer := time.NewTimer(s.options.Poll)
		select {
		case <-ctx.Done():
		case <-c.kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// batch sends what is due, and says how much was claimed.
func (s *Sender) batch(ctx, sending context.Context, c *channel) int {
	now := s.options.Now()
	letters, err := s.options.Outbox.ClaimMessages(ctx, c.via, now, s.options.Lease, s.options.Batch)
	if err != nil {
		if ctx.Err() == nil {
			s.complain(c, "outbox", "error", err)
		}
		return 0
	}
	if len(letters) == 0 {
		return 0
	}
	// A margin of the lease is left for the result to be stored.
	deadline := now.Add(s.options.Lease / 2)
	r := c.open()
	defer r.close()
	sent := 0
	for _, l := range letters {
		result := enroll.MessageResult{Letter: l, Outcome: enroll.MessageReleased, At: s.options.Now()}
		if ctx.Err() == nil && result.At.Before(deadline) {
			result = s.result(sending, l, c, r)
		}
		if result.Outcome == enroll.MessageSent {
			sent++
		}
		s.finish(sending, c, result)
	}
	if sent > 0 {
		s.options.Logger.InfoContext(ctx, "messages sent", "channel", c.via, "count", sent)
		clear(c.logged)
	}
	return len(letters)
}

// result sends one letter and judges the answer.
func (s *Sender) result(sending context.Context, l enroll.Letter, c *channel, r run) enroll.MessageResult {
	v := verdict{outcome: enroll.MessageBounced, words: l.Problem, cause: causeAddress}
	if l.Problem == "" {
		v = r.deliver(sending, l)
	}
	result := enroll.MessageResult{Letter: l, Outcome: v.outcome, Error: v.words, At: s.options.Now()}
	if v.outcome == enroll.MessageRetry {
		if sending.Err() != nil {
			result.Outcome, result.Error = enroll.MessageReleased, ""
			return result
		}
		s.complain(c, v.cause)
		result.RetryAt = result.At.Add(max(backoff(l.Attempts), v.after))
		if result.RetryAt.After(l.CreatedAt.Add(giveUp)) {
			result.Outcome, result.Error = enroll.MessageBounced, clip(fmt.Sprintf("not delivered within %d hours; at last: %s", int(giveUp.Hours()), v.words))
		}
	}
	if v.outcome == enroll.MessageSent {
		result.Error = ""
	}
	s.options.Observe(c.via, result.Outcome, v.cause)
	return result
}

// backoff doubles with each attempt, and is spread over its upper half so that
// what failed together does not come back together.
func backoff(attempts int) time.Duration {
	d := firstRetry
	for n := 1; n < attempts && d < lastRetry; n++ {
		d *= 2
	}
	d = min(d, lastRetry)
	return d/2 + rand.N(d/2+1)
}

// finish stores a result, and tries hard: what is not stored is sent again when
// its lease ends.
func (s *Sender) finish(ctx context.Context, c *channel, r enroll.MessageResult) {
	const pause, patience = 100 * time.Millisecond, 5 * time.Second
	for try := range finishTries {
		if try > 0 {
			time.Sleep(pause << try)
		}
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		err := s.options.Outbox.FinishMessage(attempt, r)
		cancel()
		if err == nil {
			return
		}
		s.complain(c, "outbox", "error", err)
	}
}

// complain warns of a cause, once an hour or when it comes anew.
func (s *Sender) complain(c *channel, cause string, more ...any) {
	now := s.options.Now()
	if at, ok := c.logged[cause]; ok && now.Sub(at) < logAgain {
		return
	}
	c.logged[cause] = now
	s.options.Logger.Warn("messages wait", append([]any{"channel", c.via, "cause", cause}, more...)...)
}

// Trial is what became of a test mail.
type Trial struct {
	Accepted bool
	Step     string // how far it came: connect, tls, greeting, login, sender, recipient, content, done
	Answer   string // the server's words
}

// Try sends a test mail to an address and tells what the server said.
func (s *Sender) Try(ctx context.Context, to string) (Trial, error) {
	if s.options.SMTP == nil {
		return Trial{}, enroll.Errorf(enroll.KindConflict, "mail_not_configured", "this server has no mail server to send with").WithHint("Set --smtp-url and --mail-from.")
	}
	address, err := mail.ParseAddress(to)
	if err != nil || address.Name != "" {
		return Trial{}, enroll.Errorf(enroll.KindInvalid, "email_invalid", "%q is not an e-mail address", to)
	}
	text, err := s.composer.test()
	if err != nil {
		return Trial{}, err
	}
	m, err := s.options.SMTP.message(enroll.NewID(), address, text)
	if err != nil {
		return Trial{}, err
	}
	r := &mailRun{s: s.options.SMTP, c: s.composer}
	defer r.close()
	at, v := r.send(ctx, address.Address, m)
	return Trial{Accepted: v.outcome == enroll.MessageSent, Step: string(at), Answer: v.words}, nil
}
