package zerotouch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"rollcall/enroll"
)

const (
	sweepInterval = time.Hour        // Google tells of nothing by itself
	lookInterval  = 10 * time.Second // for an account that another replica made due
	lease         = 2 * time.Minute
	heartbeat     = 20 * time.Second
	release       = 2 * time.Second // for giving the account back
	firstRetry    = time.Minute
	lastRetry     = time.Hour
	quotaPause    = 100 * time.Second      // the quota is one of 1,000 calls in 100 seconds
	pace          = 125 * time.Millisecond // between calls that assign: less than the quota
	assignLimit   = 2000                   // devices in a run; the next run goes on at once
	settleLimit   = 1000
	deviceRetry   = 10 * time.Minute // for a device that Google refused
	lastDevice    = 24 * time.Hour
)

// actor is who changes the roll, in its history.
const actor = "zero-touch"

// Syncer keeps the account up to date: devices, the roll, our configuration and
// who has it. Any number of replicas may run one.
type Syncer struct {
	Store  SyncStore
	Clouds *Clouds
	Extras *Extras
	Now    func() time.Time
	Log    *slog.Logger

	once sync.Once
	wake chan struct{}
}

func (s *Syncer) init() {
	s.once.Do(func() {
		s.wake = make(chan struct{}, 1)
		if s.Now == nil {
			s.Now = time.Now
		}
		if s.Log == nil {
			s.Log = slog.Default()
		}
	})
}

// Kick lets the worker look whether the account is due.
func (s *Syncer) Kick() {
	s.init()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (s *Syncer) Run(ctx context.Context) error {
	s.init()
	worker := enroll.NewID()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		for s.Step(ctx, worker) {
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-tick.C:
		}
	}
	return nil
}

// Step brings the account up to date, and says whether it was due. Run calls it,
// under a name that no other worker has.
func (s *Syncer) Step(ctx context.Context, worker string) bool {
	s.init()
	a, ok, err := s.Store.ClaimZeroTouch(ctx, worker, s.Now().UTC(), lease)
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "zero-touch account not claimed", "error", err)
	}
	if err != nil || !ok {
		return false
	}
	r := &run{Syncer: s, worker: worker, account: a}
	started := time.Now()
	err = s.leased(ctx, worker, r.all)
	if ctx.Err() != nil { // another worker starts anew at once
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), release)
		defer cancel()
		if err := s.Store.HoldZeroTouch(ctx, worker, s.Now().UTC()); err != nil && !errors.Is(err, enroll.ErrLeaseLost) {
			s.Log.WarnContext(ctx, "zero-touch account not given back; its lease ends by itself", "error", err)
		}
		return false
	}
	if errors.Is(err, enroll.ErrLeaseLost) {
		return true
	}
	end := r.end(err)
	if err != nil {
		s.Log.WarnContext(ctx, "zero-touch account not brought up to date", "failures", end.Failures, "next", end.DueAt, "error", err)
	} else {
		s.Log.InfoContext(ctx, "zero-touch account brought up to date", "pages", r.pages, "devices", r.devices, "assigned", r.assigned, "took", time.Since(started))
	}
	if err := s.Store.FinishZeroTouch(ctx, worker, end); err != nil && !errors.Is(err, enroll.ErrLeaseLost) && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "end of a zero-touch run not noted; its lease ends by itself", "error", err)
	}
	return true
}

// leased runs a step while its lease is renewed, and ends it when that fails.
func (s *Syncer) leased(ctx context.Context, worker string, do func(context.Context) error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var beat sync.WaitGroup
	beat.Go(func() {
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := s.Store.HoldZeroTouch(ctx, worker, s.Now().UTC().Add(lease)); errors.Is(err, enroll.ErrLeaseLost) {
				cancel(err)
			}
		}
	})
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, enroll.ErrLeaseLost) {
			err = cause
		}
		cancel(nil)
		beat.Wait()
	}()
	return do(ctx)
}

// run is one run.
type run struct {
	*Syncer
	worker   string
	account  Account
	client   *Client
	problem  *Problem  // of the configuration, which does not keep the rest from going on
	due      time.Time // sooner than the next regular run; zero: not
	pages    int
	devices  int
	assigned int
}

// all is what there is to do, in order. Whatever fails leaves behind what was
// committed before.
func (r *run) all(ctx context.Context) (err error) {
	ctx = enroll.WithActor(ctx, actor)
	if r.client, err = r.Clouds.of(ctx, r.account); err != nil {
		return err
	}
	if err := r.sweep(ctx); err != nil {
		return err
	}
	if r.account.Configuration.Way == "" {
		return nil
	}
	if err := r.configure(ctx); err != nil {
		if !r.keeps(err) {
			return err
		}
		if r.account.Configured == "" {
			return nil
		}
	}
	return r.assign(ctx)
}

// keeps makes what an admin has to settle the account's problem: devices are
// listed all the same, and what they have been assigned stays good.
func (r *run) keeps(err error) bool {
	var google *Error
	var public *enroll.Error
	if errors.As(err, &google) && google.Code != Invalid || !errors.As(err, &public) || public.Kind != enroll.KindConflict || errors.Is(err, enroll.ErrLeaseLost) {
		return false
	}
	r.problem = &Problem{Code: public.Code, Text: public.Text, Hint: public.Hint, Since: r.Now().UTC()}
	return true
}

// end words how a run ended, and says when the next one is due.
func (r *run) end(err error) Run {
	now := r.Now().UTC()
	out := Run{At: now, Done: err == nil, Problem: r.problem, DueAt: now.Add(sweepInterval)}
	if err == nil {
		if !r.due.IsZero() && r.due.Before(out.DueAt) {
			out.DueAt = r.due
		}
		return out
	}
	out.Failures = r.account.Sync.Failures + 1
	wait := min(firstRetry<<min(out.Failures-1, 10), lastRetry)
	var google *Error
	if errors.As(err, &google) {
		switch {
		case google.RetryAfter > 0:
			wait = google.RetryAfter
		case google.Lasting():
			wait = lastRetry
		case google.Code == TooMany:
			wait = max(wait, quotaPause)
		}
	}
	out.DueAt = now.Add(wait)
	var known *enroll.Error
	if errors.As(err, &known) {
		out.Problem = &Problem{Code: known.Code, Text: known.Text, Hint: known.Hint, Since: now}
	} else {
		out.Problem = &Problem{Code: "internal", Text: "The server failed to bring the zero-touch account up to date.", Hint: "The server's log says why.", Since: now}
	}
	return out
}

// sweep reads the list from its first page. Devices that it does not name are
// gone only when it was read to its end: a page that breaks off takes nobody
// off the roll.
func (r *run) sweep(ctx context.Context) error {
	if err := r.Store.StartZeroTouchSweep(ctx, r.worker); err != nil {
		return err
	}
	for token := ""; ; {
		list, next, err := r.client.Devices(ctx, r.account.Customer, token)
		if err != nil {
			return err
		}
		page := make([]Listed, 0, len(list))
		at := make(map[string]int, len(list))
		for _, d := range list {
			l, ok := d.listed()
			if !ok {
				continue
			}
			if i, repeated := at[l.Name]; repeated {
				page[i] = l
				continue
			}
			at[l.Name] = len(page)
			page = append(page, l)
		}
		if err := r.Store.SaveZeroTouchPage(ctx, r.worker, page, r.Now().UTC()); err != nil {
			return err
		}
		r.devices += len(page)
		if next == "" {
			break
		}
		if r.pages++; r.pages == maxPages || next == token {
			return endless("customers/-/devices")
		}
		token = next
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	r.pages++
	for more := true; more; {
		var err error
		if more, err = r.Store.EndZeroTouchSweep(ctx, r.worker, settleLimit, r.Now().UTC()); err != nil {
			return err
		}
	}
	return r.settle(ctx)
}

func (r *run) settle(ctx context.Context) error {
	for {
		more, err := r.Store.SettleZeroTouch(ctx, r.worker, settleLimit, r.Now().UTC())
		if err != nil || !more {
			return err
		}
	}
}

// assign gives devices our configuration, or takes it away, by what Google said
// of each last.
func (r *run) assign(ctx context.Context) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for after, done := "", 0; ; {
		list, err := r.Store.ZeroTouchToAssign(ctx, after, r.Now().UTC(), settleLimit)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, d := range list {
			if done == assignLimit {
				r.due = r.Now().UTC()
				return nil
			}
			if done++; done > 1 {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-tick.C:
				}
			}
			if err := r.assignOne(ctx, d); err != nil {
				return err
			}
		}
		after = list[len(list)-1].Name
	}
}

// assignOne changes the configuration of one device. What Google refuses of this
// device does not keep others waiting.
func (r *run) assignOne(ctx context.Context, d Wanted) error {
	done := Assigned{Name: d.Name}
	var err error
	if d.Give {
		err = r.client.Apply(ctx, r.account.Customer, d.Name, r.account.Configured)
	} else {
		err = r.client.Remove(ctx, r.account.Customer, d.Name)
	}
	var google *Error
	switch {
	case err == nil:
		if r.assigned++; d.Give {
			done.Configuration = r.account.Configured
		}
	case errors.As(err, &google) && (google.Code == Invalid || google.Code == NotFound):
		done.Outcome = google.Code
		done.RetryAt = r.Now().UTC().Add(min(deviceRetry<<min(d.Attempts, 10), lastDevice))
		if r.due.IsZero() || done.RetryAt.Before(r.due) {
			r.due = done.RetryAt
		}
	default:
		return err
	}
	return r.Store.SaveZeroTouchAssigned(ctx, r.worker, done)
}
