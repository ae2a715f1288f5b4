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
	options Options
	wake    chan struct{}
}

// Options of a Deliverer. All may be left out.
type Options struct {
	Queued       func() // called after commands were queued; wakes the push worker
	Now          func() time.Time
	Log          *slog.Logger
	Organization string               // the variable
	Encoders     map[Protocol]Encoder // of devices that do not speak Apple's protocol
	AwaitTimeout time.Duration        // after which a device is released from Setup Assistant, whatever is open; 10 minutes
}

const (
	pollInterval = time.Second      // how soon another replica's change is noticed
	claimLease   = 30 * time.Second // after which a device whose worker ended is planned again
	claimBatch   = 256
	commitBatch  = 64 // devices in one transaction
	planners     = 4

	awaitTimeout = 10 * time.Minute
)

// NewDeliverer makes the worker.
func NewDeliverer(store DeliveryStore, encoder Encoder, o Options) *Deliverer {
	if o.Queued == nil {
		o.Queued = func() {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.AwaitTimeout == 0 {
		o.AwaitTimeout = awaitTimeout
	}
	return &Deliverer{store: store, encoder: encoder, options: o, wake: make(chan struct{}, 1)}
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
				d.options.Log.ErrorContext(ctx, "devices due for delivery not read", "error", err)
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
	now := d.options.Now().UTC()
	due, err := d.store.ClaimDue(ctx, now, claimLease, claimBatch)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	planner := NewPlanner()
	var g errgroup.Group
	g.SetLimit(planners)
	for first := 0; first < len(due); first += commitBatch {
		part := due[first:min(first+commitBatch, len(due))]
		g.Go(func() error {
			err := d.deliver(ctx, planner, part)
			for _, one := range part {
				if err == nil || ctx.Err() != nil {
					break
				}
				if len(part) == 1 {
					d.options.Log.ErrorContext(ctx, "delivery not planned", "device", one.DeviceID, "error", err)
					break
				}
				// One of them may be the reason; the others are not to wait for it.
				if err := d.deliver(ctx, planner, []Due{one}); err != nil && ctx.Err() == nil {
					d.options.Log.ErrorContext(ctx, "delivery not planned", "device", one.DeviceID, "error", err)
				}
			}
			return nil
		})
	}
	g.Wait()
	return len(due), nil
}

// deliver plans devices and commits all their plans at once.
func (d *Deliverer) deliver(ctx context.Context, planner *Planner, due []Due) error {
	ids := make([]string, len(due))
	for i, one := range due {
		ids[i] = one.DeviceID
	}
	situations, err := d.store.Situations(ctx, ids)
	if err != nil {
		return err
	}
	now := d.options.Now().UTC()
	commits := make([]Commit, len(due))
	queued := false
	for i, one := range due {
		if commits[i], err = d.plan(ctx, planner, one, situations[one.DeviceID], now); err != nil {
			return err
		}
		queued = queued || len(commits[i].Commands) > 0
	}
	if err := d.store.Commit(ctx, commits, now); err != nil {
		return err
	}
	if queued {
		d.options.Queued()
	}
	return nil
}

// plan makes the plan of one device; one that is gone or not enrolled gets an
// empty one.
func (d *Deliverer) plan(ctx context.Context, planner *Planner, due Due, s Situation, now time.Time) (Commit, error) {
	c := Commit{Due: due, EnrollmentID: s.EnrollmentID}
	if s.EnrollmentID == "" {
		return c, nil
	}
	encoder := d.encoder
	if s.Protocol != "" && s.Protocol != ProtocolApple {
		if encoder = d.options.Encoders[s.Protocol]; encoder == nil {
			return c, fmt.Errorf("policy: no encoder for the protocol %q", s.Protocol)
		}
	}
	if err := readInventories(encoder, &s); err != nil {
		return c, err
	}
	target := TargetOf(s.Device, s.UserEnrollment)
	target.Agent = s.Protocol == ProtocolAgent
	desire := planner.Desire(s.Policies, target, VariablesOf(s.Device, s.Owner, d.options.Organization), s.Device.Name)
	items, declarations, again, err := planner.wanted(s, desire, now)
	if err != nil {
		return c, err
	}
	if item, due := renewal(s, now); due {
		items = append(items, item)
	}
	for _, was := range s.Delivered {
		if was.Key == releaseKey && s.Awaiting {
			items = append(items, Item{Key: releaseKey, Blocked: "release decides"}) // it is not to be forgotten
		}
	}
	plan := Diff(items, s.Delivered, now)
	for _, at := range []time.Time{again, s.Turn} {
		if !at.IsZero() {
			plan.again(at)
		}
	}
	if s.Awaiting {
		release(&plan, s, d.options.AwaitTimeout, now)
	}
	for _, p := range plan.Send {
		id := enroll.NewID()
		requestType, body, err := planner.encode(ctx, encoder, id, p)
		if err != nil {
			return c, fmt.Errorf("policy: encode %s: %w", p.Item.Key, err)
		}
		c.Commands = append(c.Commands, Command{ID: id, RequestType: requestType, Body: body, ItemKey: p.Item.Key, Identifier: p.Item.Identifier,
			Title: p.Item.Title, Hash: p.Item.Hash, Removal: p.Removal, Policies: p.Item.Policies, Tries: p.Tries, Reason: p.Reason})
	}
	c.Cancel, c.Forget, c.Again, c.Notes, c.Versions = plan.Cancel, plan.Forget, plan.Again, desire.Notes, versionsOf(s.Policies)
	if token := DeclarationsToken(s.EnrollmentID, declarations); s.DeclarationsToken != token && (len(declarations) > 0 || s.DeclarationsToken != "") {
		c.Declare, c.Declarations = true, declarations
	}
	for _, i := range plan.Label {
		c.Labels = append(c.Labels, Label{ItemKey: i.Key, Policies: i.Policies})
	}
	return c, nil
}

// readInventories decodes what the device answered to checks.
func readInventories(encoder Encoder, s *Situation) error {
	for i := range s.Delivered {
		was := &s.Delivered[i]
		if was.Result == nil {
			continue
		}
		there, err := encoder.Inventory(was.RequestType, was.Result)
		if err != nil {
			return fmt.Errorf("policy: answer to %s: %w", was.Key, err)
		}
		was.Inventory = there
		if removable(was.Key) && was.Identifier == "" {
			for id := range there {
				was.Identifier = id // an app says its own
			}
		}
	}
	return nil
}

func versionsOf(bound []Bound) map[string]int64 {
	out := make(map[string]int64, len(bound))
	for _, b := range bound {
		out[b.ID] = b.Version
	}
	return out
}
