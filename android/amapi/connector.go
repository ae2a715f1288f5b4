package amapi

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/enroll"
)

// Connector carries out what the server wants of Google, and takes in what
// Google tells. Any number of replicas may run one.
type Connector struct {
	Store  Store
	Clouds *Clouds
	Gate   Gate
	Due    func() // called when a device may have something to be delivered
	Now    func() time.Time
	Log    *slog.Logger

	once   sync.Once
	wake   chan struct{}
	worker string
}

// MessageRetention is how long messages of Google's are kept: as long as
// Pub/Sub can keep them.
const MessageRetention = 31 * 24 * time.Hour

const (
	pollInterval   = time.Second // how soon another replica's change is noticed
	idleInterval   = 5 * time.Second
	lease          = time.Minute
	messageBatch   = 200
	messageWorkers = 8
	wakeBatch      = 200
	wakeWorkers    = 4
	messageTries   = 20

	reconcileInterval = time.Hour
	recheckInterval   = time.Minute // of devices in quarantine
	problemInterval   = 10 * time.Minute

	jobPolicies   = "policies"
	jobReconcile  = "reconcile"
	jobQuarantine = "quarantine"
)

func (c *Connector) init() {
	c.once.Do(func() {
		c.wake, c.worker = make(chan struct{}, 1), enroll.NewID()
		if c.Now == nil {
			c.Now = time.Now
		}
		if c.Log == nil {
			c.Log = slog.Default()
		}
		if c.Due == nil {
			c.Due = func() {}
		}
	})
}

func (c *Connector) now() time.Time { return c.Now().UTC() }

// Kick makes the worker look for work at once.
func (c *Connector) Kick() {
	c.init()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (c *Connector) Run(ctx context.Context) error {
	c.init()
	var g errgroup.Group
	g.Go(func() error { c.pull(ctx); return nil })
	g.Go(func() error { c.work(ctx); return nil })
	return g.Wait()
}

// pull takes in notifications, where they are pulled.
func (c *Connector) pull(ctx context.Context) {
	for ctx.Err() == nil {
		o, err := c.organization(ctx)
		if err == nil && o.Bound() && o.Delivery == Pull && !o.SetUpAt.IsZero() {
			if err = c.PullOnce(ctx, o); err == nil {
				continue
			}
			c.report(ctx, "notifications not pulled", err)
		}
		pause(ctx, retryAfter(err, idleInterval))
	}
}

// organization is the zero value where none is connected.
func (c *Connector) organization(ctx context.Context) (Organization, error) {
	o, err := c.Store.Organization(ctx)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return Organization{}, nil
	}
	return o, err
}

// PullOnce waits for notifications, stores them, and then acknowledges them.
func (c *Connector) PullOnce(ctx context.Context, o Organization) error {
	c.init()
	all, err := c.Clouds.of(ctx, o)
	if err != nil {
		return err
	}
	list, err := all.pubsub.Pull(ctx, o.Subscription)
	if err != nil || len(list) == 0 {
		return err
	}
	now := c.now()
	messages := make([]Message, len(list))
	for i, m := range list {
		messages[i] = m.Message.message(now)
	}
	if _, err := c.Store.StoreNotifications(ctx, messages); err != nil {
		return err
	}
	c.Kick()
	return all.pubsub.Acknowledge(ctx, o.Subscription, list)
}

// work does everything else.
func (c *Connector) work(ctx context.Context) {
	var cleaned time.Time
	for ctx.Err() == nil {
		busy := c.Once(ctx)
		if now := c.now(); now.Sub(cleaned) > time.Hour {
			cleaned = now
			if err := c.Store.ForgetNotifications(ctx, now.Add(-MessageRetention)); err != nil {
				c.report(ctx, "old notifications not dropped", err)
			}
		}
		if busy {
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-time.After(pollInterval):
		}
	}
}

// Once does what is due now, and says whether there may be more of it.
func (c *Connector) Once(ctx context.Context) bool {
	c.init()
	o, err := c.organization(ctx)
	if err != nil {
		c.report(ctx, "the organization at Google not read", err)
		return false
	}
	if !o.Bound() || o.SetUpAt.IsZero() {
		return false
	}
	busy := c.notifications(ctx, o)
	if o.Problem != nil && c.now().Before(o.Problem.Since.Add(problemInterval)) {
		return busy // nothing is asked of an enterprise that is not ours
	}
	busy = c.wakes(ctx, o) || busy
	c.job(ctx, jobPolicies, func(ctx context.Context) (time.Time, error) { return c.policies(ctx, o) })
	c.job(ctx, jobQuarantine, func(ctx context.Context) (time.Time, error) { return c.now().Add(recheckInterval), c.recheck(ctx, o) })
	c.job(ctx, jobReconcile, func(ctx context.Context) (time.Time, error) {
		return c.now().Add(reconcileInterval), c.Reconcile(ctx, o)
	})
	return busy
}

// job does what only one replica does at a time, when it is due.
func (c *Connector) job(ctx context.Context, name string, do func(ctx context.Context) (again time.Time, err error)) {
	ok, err := c.Store.ClaimJob(ctx, name, c.worker, c.now(), lease)
	if err != nil || !ok {
		if err != nil {
			c.report(ctx, "job not claimed", err)
		}
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var g errgroup.Group
	done := make(chan struct{})
	g.Go(func() error {
		ticker := time.NewTicker(lease / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				if err := c.Store.HoldJob(ctx, name, c.worker, c.now().Add(lease)); err != nil {
					cancel(err)
				}
			}
		}
	})
	again, err := do(ctx)
	close(done)
	_ = g.Wait() // it has no errors of its own
	if err != nil {
		c.failed(ctx, err)
		c.report(ctx, "job not done: "+name, err)
		again = c.now().Add(retryAfter(err, idleInterval))
	}
	if err := c.Store.FinishJob(context.WithoutCancel(ctx), name, c.worker, again); err != nil && !errors.Is(err, enroll.ErrLeaseLost) {
		c.report(ctx, "job not finished", err)
	}
	cancel(nil)
}

// failed notes that Google refuses us, so that an admin sees it and no calls are
// wasted.
func (c *Connector) failed(ctx context.Context, err error) {
	var e *Error
	if !errors.As(err, &e) || e.Code != Forbidden && e.Code != Unauthorized {
		return
	}
	said := e.public()
	_, err = c.Store.ChangeOrganization(ctx, func(old *Organization) (Organization, error) {
		if old == nil {
			return Organization{}, NoOrganization()
		}
		o := *old
		o.Problem = &Problem{Code: said.Code, Text: said.Text, Hint: said.Hint, Since: c.now()}
		return o, nil
	})
	if err != nil {
		c.report(ctx, "problem of the organization not noted", err)
	}
}

func (c *Connector) report(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		c.Log.WarnContext(ctx, what, "error", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
