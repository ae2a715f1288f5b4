package policy

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/enroll"
)

// Deliverer brings devices to their desired state: it takes devices that are
// due, plans what to send, and queues it. Several may run on one store.
type Deliverer struct {
	store   DeliveryStore
	encoder Encoder
	queued  func() // wakes the push worker
	now     func() time.Time
	log     *slog.Logger
	wake    chan struct{}
}

const (
	pollInterval = time.Second      // how soon another replica's change is noticed
	claimLease   = 30 * time.Second // after which a device whose worker ended is planned again
	claimBatch   = 64
	planners     = 4
)

// NewDeliverer makes the worker; queued is called after commands were queued
// and, like log and now, may be nil.
func NewDeliverer(store DeliveryStore, encoder Encoder, queued func(), now func() time.Time, log *slog.Logger) *Deliverer {
	if queued == nil {
		queued = func() {}
	}
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.Default()
	}
	return &Deliverer{store: store, encoder: encoder, queued: queued, now: now, log: log, wake: make(chan struct{}, 1)}
}

// Kick makes the worker look for due devices at once.
func (d *Deliverer) Kick() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (d *Deliverer) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		for {
			n, err := d.Once(ctx)
			if err != nil && ctx.Err() == nil {
				d.log.ErrorContext(ctx, "devices due for delivery not read", "error", err)
			}
			if err != nil || n < claimBatch {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-d.wake:
		}
	}
}

// Once plans one batch of due devices and says how many there were. A device
// whose plan fails stays due and is tried again when its lease ends.
func (d *Deliverer) Once(ctx context.Context) (int, error) {
	due, err := d.store.ClaimDue(ctx, d.now().UTC(), claimLease, claimBatch)
	if err != nil {
		return 0, err
	}
	var g errgroup.Group
	g.SetLimit(planners)
	for _, one := range due {
		g.Go(func() error {
			if err := d.deliver(ctx, one); err != nil && ctx.Err() == nil {
				d.log.ErrorContext(ctx, "delivery not planned", "device", one.DeviceID, "error", err)
			}
			return nil
		})
	}
	g.Wait()
	return len(due), nil
}

func (d *Deliverer) deliver(ctx context.Context, due Due) error {
	s, err := d.store.Situation(ctx, due.DeviceID)
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return err
	}
	var plan Plan
	if s.EnrollmentID != "" {
		desired := Desired(s.Device, s.Policies, s.Awaiting)
		if item, wanted := renewal(s, d.now()); wanted {
			desired = append(desired, item)
		}
		plan = Diff(desired, s.Delivered)
	}
	commands := make([]Command, 0, len(plan.Send))
	for _, p := range plan.Send {
		id := enroll.NewID()
		requestType, body, err := d.encoder.Encode(ctx, id, p.Item.Step)
		if err != nil {
			return fmt.Errorf("policy: encode %s: %w", p.Item.Key, err)
		}
		commands = append(commands, Command{ID: id, RequestType: requestType, Body: body, ItemKey: p.Item.Key,
			Title: p.Item.Title, Hash: p.Item.Hash, Removal: p.Removal})
	}
	if err := d.store.Commit(ctx, due, s.EnrollmentID, commands, plan.Cancel, plan.Forget, d.now().UTC()); err != nil {
		return err
	}
	if len(commands) > 0 {
		d.queued()
	}
	return nil
}
