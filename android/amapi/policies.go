package amapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	policyBatch  = 20_000
	assignChunk  = 25              // devices whose assignment is noted at once
	settleTime   = 2 * time.Second // between looks at plans that are not made yet
	settlePasses = 30              // after which nobody is waited for
	policyIdle   = time.Minute     // in case a wake was lost
)

// policies gives devices the policies that their commands ask for.
//
// Devices with the same content share one policy at Google. Where all devices of
// a policy are to have the same new content, the policy is changed in place: one
// call, however many devices. Other devices move, with a call each.
func (c *Connector) policies(ctx context.Context, o Organization) (again time.Time, err error) {
	client, err := c.Clouds.management(ctx, o)
	if err != nil {
		return again, err
	}
	if err := c.overdue(ctx, client); err != nil {
		return again, err
	}
	for pass := 0; ; pass++ {
		work, err := c.Store.PendingPolicies(ctx, policyBatch)
		if err != nil || len(work) == 0 {
			return c.now().Add(policyIdle), err
		}
		waits, err := c.policyRound(ctx, o, client, work, pass < settlePasses)
		if err != nil {
			return again, err
		}
		if waits {
			pause(ctx, settleTime)
		}
		if ctx.Err() != nil {
			return again, context.Cause(ctx)
		}
	}
}

// policyRound gives devices their policies, as far as it is known by now who
// shares what; patient is whether it can wait for the rest.
func (c *Connector) policyRound(ctx context.Context, o Organization, client *Client, work []PolicyWork, patient bool) (waits bool, err error) {
	shared, err := c.Store.SharedPolicies(ctx)
	if err != nil {
		return false, err
	}
	groups := map[string][]PolicyWork{} // by content
	var order []string
	for _, w := range work {
		if groups[w.Hash] == nil {
			order = append(order, w.Hash)
		}
		groups[w.Hash] = append(groups[w.Hash], w)
	}
	for _, hash := range order {
		late, err := c.policyGroup(ctx, o, client, hash, groups[hash], &shared, patient)
		if err != nil {
			return false, err
		}
		waits = waits || late
	}
	return waits, nil
}

// policyGroup gives one content to all devices that ask for it.
func (c *Connector) policyGroup(ctx context.Context, o Organization, client *Client, hash string, group []PolicyWork, shared *[]Shared, patient bool) (waits bool, err error) {
	body, err := c.content(ctx, group[0].CommandID)
	if err != nil {
		return false, err
	}
	on := map[string][]PolicyWork{} // by the policy that they have
	for _, w := range group {
		on[w.Policy] = append(on[w.Policy], w)
	}
	for i := range *shared {
		s := &(*shared)[i]
		mine := on[s.Name]
		switch {
		case len(mine) == 0:
		case s.Hash == hash:
			if err := c.Store.Assigned(ctx, s.Name, s.Version, mine, c.now()); err != nil {
				return false, err
			}
			delete(on, s.Name)
		case len(mine) == s.Devices:
			// All of its devices go the same way, so the policy goes.
			if s.Version, err = client.PutPolicy(ctx, s.Name, body); err != nil {
				return false, err
			}
			s.Hash = hash
			if err := c.Store.PutShared(ctx, *s); err != nil {
				return false, err
			}
			if err := c.Store.Assigned(ctx, s.Name, s.Version, mine, c.now()); err != nil {
				return false, err
			}
			delete(on, s.Name)
		case s.Unsettled > 0 && patient:
			waits = true // the others may be about to follow
			delete(on, s.Name)
		}
	}
	var moving []PolicyWork
	for _, name := range sortedNames(on) {
		moving = append(moving, on[name]...)
	}
	if len(moving) == 0 {
		return waits, nil
	}
	target := slices.IndexFunc(*shared, func(s Shared) bool { return s.Hash == hash })
	if target < 0 {
		s := Shared{Name: freeName(o.Name, hash, *shared), Hash: hash}
		if s.Version, err = client.PutPolicy(ctx, s.Name, body); err != nil {
			return false, err
		}
		if err := c.Store.PutShared(ctx, s); err != nil {
			return false, err
		}
		*shared = append(*shared, s)
		target = len(*shared) - 1
	}
	return waits, c.move(ctx, client, (*shared)[target], moving)
}

// move assigns a policy to devices, one call each. What was done is noted now
// and then; what is repeated after a crash does no harm.
func (c *Connector) move(ctx context.Context, client *Client, to Shared, work []PolicyWork) error {
	for len(work) > 0 {
		chunk := work[:min(assignChunk, len(work))]
		work = work[len(chunk):]
		done := chunk[:0:0]
		var failure error
		for _, w := range chunk {
			err := client.AssignPolicy(ctx, w.Device, to.Name)
			if CodeOf(err) == NotFound {
				// The device is gone, which the notification or the next
				// reconciliation tells; its command ends with the enrollment.
				if err := c.missing(ctx, w.Device); err != nil {
					return err
				}
				continue
			}
			if err != nil && CodeOf(err) != Unchanged {
				failure = err
				break
			}
			done = append(done, w)
		}
		if len(done) > 0 {
			if err := c.Store.Assigned(ctx, to.Name, to.Version, done, c.now()); err != nil {
				return err
			}
		}
		if failure != nil {
			return failure
		}
	}
	return nil
}

// content is the policy that a command asks for.
func (c *Connector) content(ctx context.Context, commandID string) (json.RawMessage, error) {
	body, err := c.Store.CommandBody(ctx, commandID)
	if err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("amapi: the command %s holds no policy", commandID)
	}
	return body, nil
}

// freeName is a name for a content that no policy has. One that was made for
// this content and has been changed in place since has the name already.
func freeName(enterprise, hash string, shared []Shared) string {
	for n := 1; ; n++ {
		id := "p" + strings.TrimPrefix(hash, "p")
		if n > 1 {
			id = fmt.Sprintf("%s-%d", id, n)
		}
		name := policyName(enterprise, id)
		if !slices.ContainsFunc(shared, func(s Shared) bool { return s.Name == name }) {
			return name
		}
	}
}

func sortedNames(m map[string][]PolicyWork) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
