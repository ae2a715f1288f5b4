package apns

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sideshow/apns2"

	"rollcall/enroll"
)

// Options makes a Pusher. Outbox and Certificates are needed; every other
// field that is zero has the default named beside it.
type Options struct {
	Outbox       Outbox
	Certificates *Certificates

	Host    string         // https://api.push.apple.com; a simulator's address
	RootCAs *x509.CertPool // the system's; a simulator's authority

	Workers     int           // 128: requests at a time
	Connections int           // 2: HTTP/2 connections at most; the second is opened when APNs allows no more requests on the first
	Batch       int           // 500: pushes a claim, and results a transaction
	Lease       time.Duration // 2m
	Expiration  time.Duration // 7 days (Apple keeps 30 at most): how long APNs keeps a push for a device that is off
	Timeout     time.Duration // 30s: of a request
	Poll        time.Duration // 1s: how often the outbox is asked without a Kick
	Grace       time.Duration // 5s: what requests under way get when Run ends

	Now    func() time.Time // time.Now
	Logger *slog.Logger     // slog.Default()
	// Observe is told of every finished push: its outcome, a cause from a small
	// set of words fit for a metric's label ("sent", "Unregistered",
	// "dial"), and how long the request took. Called concurrently.
	Observe func(outcome Outcome, cause string, took time.Duration)
}

// State is how the pusher is doing.
type State string

// The states of a Pusher.
const (
	StateStopped       State = "stopped"
	StateNoCertificate State = "no_certificate" // none installed, or it has expired; nothing is claimed
	StateReady         State = "ready"
	StateUnreachable   State = "unreachable" // network or APNs; it goes on by itself
	StateRejected      State = "rejected"    // APNs refuses us: certificate, topic or host; a person has to act
	StateOutboxFailing State = "outbox_failing"
)

// Status is for a doctor, or a readiness probe.
type Status struct {
	State      State
	Since      time.Time // when State began
	Cause      string    // of a State that is not ready; may be shown to an admin
	Topic      string    // of the certificate in use
	LastSentAt time.Time // zero: nothing was sent since the start
}

// ReasonReleased is the Result.Reason of a push that was claimed and not tried,
// because this process stops, APNs is known to be away, or the lease is over:
// it is not the push's failure.
const ReasonReleased = "released"

const (
	recheckCertificate = 5 * time.Second
	firstPause         = time.Second
	lastPause          = time.Minute
	linger             = 20 * time.Millisecond // results wait for others of their batch
	finishTries        = 5
	finishTimeout      = 5 * time.Second
	logAgain           = time.Hour // the same cause
)

// Pusher moves pushes from the outbox to APNs. Several, in as many processes,
// may work on one outbox.
type Pusher struct {
	options Options
	log     *slog.Logger
	kick    chan struct{}
	pending atomic.Int64 // claimed and not finished

	mu        sync.Mutex
	status    Status
	client    *client // nil: no certificate
	checkedAt time.Time
	changes   uint64 // Certificates.changes at checkedAt
	failures  int    // troubles in a row, counted once a pause
	resumeAt  time.Time
	logged    map[string]time.Time
}

// NewPusher checks the options. It does not connect.
func NewPusher(o Options) (*Pusher, error) {
	if o.Outbox == nil || o.Certificates == nil {
		return nil, errors.New("apns: Outbox and Certificates are needed")
	}
	o.Host = cmp.Or(o.Host, apns2.HostProduction)
	host, err := url.Parse(o.Host)
	if err != nil || host.Scheme != "https" || host.Host == "" || host.Path != "" {
		return nil, fmt.Errorf("apns: host %q is not of the form https://name:port", o.Host)
	}
	if "https://"+host.Hostname() == apns2.HostDevelopment {
		// It calls every device token bad, and they would all become inactive.
		return nil, errors.New("apns: MDM pushes do not exist in Apple's sandbox")
	}
	o.Workers = cmp.Or(o.Workers, 128)
	o.Connections = cmp.Or(o.Connections, 2)
	o.Batch = cmp.Or(o.Batch, 500)
	o.Lease = cmp.Or(o.Lease, 2*time.Minute)
	o.Expiration = cmp.Or(o.Expiration, 7*24*time.Hour)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Workers < 0 || o.Connections < 0 || o.Batch < 0 || o.Lease < 0 || o.Expiration < 0 || o.Timeout < 0 || o.Poll < 0 || o.Grace < 0 {
		return nil, errors.New("apns: an option is negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Outcome, string, time.Duration) {}
	}
	return &Pusher{
		options: o,
		log:     o.Logger,
		kick:    make(chan struct{}, 1),
		logged:  make(map[string]time.Time),
		status:  Status{State: StateStopped, Since: o.Now()},
	}, nil
}

// Kick makes Run look at the outbox at once. It never blocks.
func (p *Pusher) Kick() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// Status tells how the pusher is doing.
func (p *Pusher) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// job is a claimed push. After the deadline its lease may be another's.
type job struct {
	push     Push
	deadline time.Time
}

// Run pushes until ctx ends, and then returns nil: requests under way get
// Grace, whatever else is claimed goes back to the outbox. Call it once.
func (p *Pusher) Run(ctx context.Context) error {
	queue := make(chan job, p.options.Batch)
	results := make(chan Result, p.options.Batch)

	// Requests outlive ctx by Grace.
	sending, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stopGrace := context.AfterFunc(ctx, func() {
		grace := time.NewTimer(p.options.Grace)
		defer grace.Stop()
		select {
		case <-grace.C:
			abort()
		case <-sending.Done():
		}
	})
	defer stopGrace()

	var workers, finisher sync.WaitGroup
	for range p.options.Workers {
		workers.Go(func() {
			for j := range queue {
				results <- p.deliver(ctx, sending, j)
			}
		})
	}
	finisher.Go(func() { p.finish(context.WithoutCancel(ctx), results) })

	p.claim(ctx, queue, results)
	close(queue)
	workers.Wait()
	close(results)
	finisher.Wait()
	p.stop()
	return nil
}

// claim fills the queue until ctx ends.
func (p *Pusher) claim(ctx context.Context, queue chan<- job, results chan<- Result) {
	for ctx.Err() == nil {
		limit := 0
		if p.prepare(ctx) {
			limit = p.allowance()
		}
		claimed := 0
		if limit > 0 {
			claimed = p.claimOnce(ctx, limit, queue, results)
		}
		if claimed > 0 && claimed == limit && limit == p.options.Batch {
			continue // there may be more
		}
		timer := time.NewTimer(p.options.Poll)
		select {
		case <-ctx.Done():
		case <-p.kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// allowance is how many pushes may be claimed now. In trouble it is one at a
// time, and that only after a pause.
func (p *Pusher) allowance() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return p.options.Batch
	}
	if p.pending.Load() > 0 || p.options.Now().Before(p.resumeAt) {
		return 0
	}
	return 1
}

// claimOnce claims and queues a batch; it blocks while the queue is full, so
// that no more than two batches are ever leased.
func (p *Pusher) claimOnce(ctx context.Context, limit int, queue chan<- job, results chan<- Result) int {
	now := p.options.Now()
	pushes, err := p.options.Outbox.ClaimPushes(ctx, now, p.options.Lease, limit)
	if err != nil {
		if ctx.Err() == nil {
			p.outboxFailed("claim", err)
		}
		return 0
	}
	p.outboxWorks()
	p.pending.Add(int64(len(pushes)))
	// A margin of the lease is left for the result to be stored.
	deadline := now.Add(p.options.Lease * 3 / 4)
	for _, push := range pushes {
		select {
		case queue <- job{push, deadline}:
		case <-ctx.Done():
			results <- p.released(push, p.options.Now())
		}
	}
	return len(pushes)
}

func (p *Pusher) released(push Push, until time.Time) Result {
	return Result{Push: push, Outcome: Retry, RetryAt: until, Reason: ReasonReleased, At: p.options.Now()}
}

// deliver sends one push and judges the answer.
func (p *Pusher) deliver(ctx, sending context.Context, j job) Result {
	now := p.options.Now()
	if ctx.Err() != nil || !now.Before(j.deadline) {
		return p.released(j.push, now)
	}
	c, resumeAt := p.acquire()
	if c == nil {
		return p.released(j.push, resumeAt)
	}
	defer c.release()

	result := Result{Push: j.push, At: now}
	v, wait := p.attempt(sending, c, j, now)
	if sending.Err() != nil && v.outcome == Retry {
		return p.released(j.push, p.options.Now())
	}
	result.Outcome, result.Reason, result.At = v.outcome, v.reason, p.options.Now()
	if v.outcome == Retry {
		result.RetryAt = result.At.Add(v.delay(j.push.Attempts, wait))
	}
	p.learn(c, v)
	p.options.Observe(v.outcome, v.cause, result.At.Sub(now))
	return result
}

// attempt gives the verdict, and what APNs asked to wait.
func (p *Pusher) attempt(sending context.Context, c *client, j job, now time.Time) (verdict, time.Duration) {
	switch {
	case len(j.push.Token) == 0 || j.push.PushMagic == "":
		return verdict{outcome: Inactive, reason: "no push token", cause: "no push token", local: true}, 0
	case j.push.Topic != c.topic:
		// The device enrolled with another push certificate. Only that one, or
		// a new enrollment, reaches it.
		return verdict{outcome: Retry, reason: "enrolled with another topic", cause: "other topic", slow: true, report: true, local: true}, 0
	}
	ctx, cancel := context.WithTimeout(sending, min(p.options.Timeout, j.deadline.Sub(now)))
	defer cancel()
	a, err := c.send(ctx, j.push, now.Add(p.options.Expiration))
	if err != nil && judgeError(err).cause == lostConnection {
		// A connection that was idle for long is often dead, which only its
		// next request finds out. Pushes may be repeated.
		a, err = c.send(ctx, j.push, now.Add(p.options.Expiration))
	}
	if err != nil {
		return judgeError(err), 0
	}
	return judge(a), a.retryAfter
}

// finish reports results in batches until the channel is closed.
func (p *Pusher) finish(ctx context.Context, results <-chan Result) {
	batch := make([]Result, 0, p.options.Batch)
	flush := func() {
		if len(batch) > 0 {
			p.report(ctx, batch)
			p.pending.Add(int64(-len(batch)))
			batch = make([]Result, 0, p.options.Batch)
		}
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for {
		select {
		case r, open := <-results:
			if !open {
				flush()
				return
			}
			if len(batch) == 0 {
				timer.Reset(linger)
			}
			if batch = append(batch, r); len(batch) == p.options.Batch {
				flush()
			}
		case <-timer.C:
			flush()
		}
	}
}

// report stores results, and tries hard: what is not stored is pushed again
// when its lease ends, and what was inactive asks Apple in vain once more.
func (p *Pusher) report(ctx context.Context, batch []Result) {
	for try := range finishTries {
		if try > 0 {
			time.Sleep(double(100*time.Millisecond, time.Second, try-1))
		}
		attempt, cancel := context.WithTimeout(ctx, finishTimeout)
		err := p.options.Outbox.FinishPushes(attempt, batch)
		cancel()
		if err == nil {
			return
		}
		p.outboxFailed("finish", err)
	}
}

// prepare makes the client fit the installed certificate; false: there is none.
func (p *Pusher) prepare(ctx context.Context) bool {
	changes, now := p.options.Certificates.changes.Load(), p.options.Now()
	p.mu.Lock()
	fresh := changes == p.changes && !p.checkedAt.IsZero() && now.Sub(p.checkedAt) < recheckCertificate
	ready := p.client != nil
	p.mu.Unlock()
	if fresh {
		return ready
	}
	cert, topic, err := p.options.Certificates.TLS(ctx)
	if ctx.Err() != nil {
		return false
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	p.checkedAt, p.changes = now, changes
	kind := enroll.KindOf(err)
	switch {
	case err == nil && p.client != nil && p.client.topic == topic && bytes.Equal(p.client.certificate, cert.Leaf.Raw):
		return true
	case err == nil:
		p.retireClient()
		p.client = newClient(cert, topic, p.options.Host, p.options.RootCAs, p.options.Connections)
		p.failures, p.resumeAt = 0, time.Time{}
		clear(p.logged)
		p.status.Topic = topic
		p.enter(StateReady, "")
		p.log.Info("push certificate in use", "topic", topic, "until", cert.Leaf.NotAfter)
		return true
	case kind == enroll.KindNotFound || kind == enroll.KindGone:
		p.retireClient()
		p.status.Topic = ""
		p.enter(StateNoCertificate, textOf(err))
		if p.once("certificate " + string(kind)) {
			p.log.Warn("pushes wait for a push certificate", "cause", textOf(err))
		}
		return false
	default:
		// The store's trouble. A certificate that worked works on.
		if p.client == nil {
			p.enter(StateNoCertificate, textOf(err))
		}
		if p.once("certificate unreadable") {
			p.log.Error("push certificate cannot be read", "error", err)
		}
		return p.client != nil
	}
}

// textOf is what may be shown of an error.
func textOf(err error) string {
	var e *enroll.Error
	if errors.As(err, &e) {
		return e.Text
	}
	return "internal error"
}

// acquire gives the client to send with; nil while there is none or claiming
// pauses, with the time until when.
func (p *Pusher) acquire() (*client, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	if p.client == nil {
		return nil, now.Add(spread(firstSlow))
	}
	if now.Before(p.resumeAt) {
		return nil, p.resumeAt
	}
	if !p.client.acquire() {
		return nil, now
	}
	return p.client, time.Time{}
}

// learn draws from one answer what it says about all pushes.
func (p *Pusher) learn(c *client, v verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	if v.outcome == Sent {
		p.status.LastSentAt = now
	}
	if v.report && p.once(v.cause) {
		p.log.Error("push was not accepted", "outcome", string(v.outcome), "cause", v.cause, "reason", v.reason)
	}
	if c != p.client || v.local {
		return // nothing about APNs and the certificate in use
	}
	switch {
	case v.trouble == fine:
		if p.failures > 0 {
			p.failures, p.resumeAt = 0, time.Time{}
			clear(p.logged)
			p.log.Info("pushes flow again")
			p.Kick()
		}
		p.enter(StateReady, "")
	case v.trouble != fine && !now.Before(p.resumeAt):
		p.resumeAt = now.Add(spread(double(firstPause, lastPause, p.failures)))
		p.failures++
		if v.trouble == unreachable && p.once(v.cause) {
			p.log.Warn("push service is out of reach; pushes wait", "cause", v.cause, "reason", v.reason)
		}
		fallthrough
	default:
		state := StateUnreachable
		if v.trouble == configuration {
			state = StateRejected
		}
		p.enter(state, v.reason)
	}
}

func (p *Pusher) outboxFailed(what string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(StateOutboxFailing, what)
	if p.once("outbox " + what) {
		p.log.Error("push outbox fails", "call", what, "error", err)
	}
}

func (p *Pusher) outboxWorks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.State == StateOutboxFailing {
		p.enter(StateReady, "")
		if p.failures > 0 {
			p.enter(StateUnreachable, "not reached since before the outbox failed")
		}
		delete(p.logged, "outbox claim")
		delete(p.logged, "outbox finish")
	}
}

// enter changes the state. The caller holds mu.
func (p *Pusher) enter(s State, cause string) {
	if p.status.State != s {
		p.status.State, p.status.Since = s, p.options.Now()
	}
	p.status.Cause = cause
}

// once says whether to log a cause: not again within the hour. The caller
// holds mu.
func (p *Pusher) once(cause string) bool {
	now := p.options.Now()
	if at, ok := p.logged[cause]; ok && now.Sub(at) < logAgain {
		return false
	}
	p.logged[cause] = now
	return true
}

// retireClient lets go of the client. The caller holds mu.
func (p *Pusher) retireClient() {
	if p.client != nil {
		p.client.retire()
		p.client = nil
	}
}

func (p *Pusher) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retireClient()
	p.enter(StateStopped, "")
}
