package amapi

import (
	"context"

	"rollcall/enroll"
)

// Reconcile compares what Google has with what is known here: notifications can
// be lost, and of a device that its user reset there is none.
func (c *Connector) Reconcile(ctx context.Context, o Organization) error {
	c.init()
	client, err := c.Clouds.management(ctx, o)
	if err != nil {
		return err
	}
	began := c.now()
	if err := client.Devices(ctx, o.Name, func(page []Device) error {
		for _, d := range page {
			// A page is older than what was notified since.
			if err := c.device(ctx, o, d, began); err != nil {
				c.report(ctx, "device not reconciled", err)
				if CodeOf(err) == Forbidden || CodeOf(err) == TooMany || ctx.Err() != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for after := ""; ; {
		names, err := c.Store.Missing(ctx, began, after, 100)
		if err != nil {
			return err
		}
		for _, name := range names {
			after = name
			// It may have come after its page was read.
			d, err := client.Device(ctx, name)
			switch {
			case CodeOf(err) == NotFound:
				err = c.missing(ctx, name)
			case err == nil:
				err = c.device(ctx, o, d, c.now())
			}
			if err != nil {
				return err
			}
		}
		if len(names) == 0 {
			break
		}
	}
	c.Due()
	_, err = c.Store.ChangeOrganization(ctx, func(old *Organization) (Organization, error) {
		if old == nil {
			return Organization{}, NoOrganization()
		}
		o := *old
		o.ReconciledAt, o.Problem = began, nil
		return o, nil
	})
	return err
}

// missing ends the enrollment of a device that Google does not have any more.
func (c *Connector) missing(ctx context.Context, name string) error {
	r, err := c.Store.Record(ctx, name)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	r.State = RecordGone
	if now := c.now(); now.After(r.EventAt) {
		r.EventAt = now
	}
	_, err = c.Store.Keep(ctx, r)
	return err
}

// ReconcileNow makes reconciliation due.
func (c *Connector) ReconcileNow(ctx context.Context) error {
	if err := c.Store.JobDue(ctx, jobReconcile, c.now()); err != nil {
		return err
	}
	c.Kick()
	return nil
}
