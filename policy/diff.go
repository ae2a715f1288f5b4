package policy

import (
	"slices"
	"strings"
	"time"
)

// CommandState is where a command stands.
type CommandState string

// The states of a command. Queued and sent are open; the others are final.
const (
	CommandQueued       CommandState = "queued"
	CommandSent         CommandState = "sent"
	CommandAcknowledged CommandState = "acknowledged"
	CommandFailed       CommandState = "failed" // Error, CommandFormatError, or an item of it failed
	CommandCancelled    CommandState = "cancelled"
)

// Open says whether the command still has to be answered.
func (s CommandState) Open() bool { return s == CommandQueued || s == CommandSent }

// Delivered is what a device was last sent for an item.
type Delivered struct {
	Key        string
	Title      string
	Identifier string
	Hash       string
	Removal    bool // the last command removes the item
	Policies   []From
	CommandID  string
	State      CommandState
	Attempts   int    // how often the command was handed out
	Tries      int    // how often the same content was sent
	Error      string // the device's own words
	QueuedAt   time.Time
	FinishedAt time.Time

	// RequestType and Result are the command's; Result is there for checks and
	// apps only, and Inventory is what it says.
	RequestType string
	Result      []byte
	Inventory   map[string]bool
}

// Planned is a step to send, and the item it belongs to.
type Planned struct {
	Item    Item
	Removal bool
	Tries   int    // which time it is that this content is sent
	Reason  string // why it is sent although it was sent before; empty: it is new, or changed
}

// The reasons to send an item again.
const (
	ReasonRetry = "retry" // it failed with an error that may pass
	ReasonDrift = "drift" // the device no longer has it
)

// Plan is what has to happen so that a device gets from what it was sent to
// what it is to have.
type Plan struct {
	Send   []Planned
	Cancel []string  // IDs of open commands that are overtaken
	Forget []string  // keys of items that are no longer wanted nor on the device
	Label  []Item    // unchanged on the device, but coming from other policies
	Again  time.Time // when there may be something to do without a reason from outside; zero: never
}

// Empty says whether nothing has to happen now.
func (p Plan) Empty() bool {
	return len(p.Send) == 0 && len(p.Cancel) == 0 && len(p.Forget) == 0 && len(p.Label) == 0
}

func (p *Plan) again(at time.Time) {
	if p.Again.IsZero() || at.Before(p.Again) {
		p.Again = at
	}
}

// held ends the Hash of an installation that follows another one of the same
// item: even if it never leaves the queue, the device may have the item.
const held = "+"

// mayHold says whether the device may have the item: a command for it was
// handed out, be it cancelled or failed since, or may have been handed out
// before the one that is last now.
func (d Delivered) mayHold() bool {
	if d.Removal {
		return d.State != CommandAcknowledged
	}
	return d.State == CommandAcknowledged || d.Attempts > 0 || strings.HasSuffix(d.Hash, held)
}

// same says whether the item was sent as it is wanted now.
func (d Delivered) same(i Item) bool {
	return !d.Removal && strings.TrimSuffix(d.Hash, held) == i.Hash && d.State != CommandCancelled
}

// Diff makes the plan. A failed item is sent again only where its error may
// pass (see retryAt); the receipt shows the device's own words.
//
// A command that was handed out may be carried out although the plan cancels
// it. Devices carry out one command at a time in the order they get them, so
// whatever overtakes it has the last word; and an item is forgotten together
// with its open command only where that was never handed out.
func Diff(desired []Item, delivered []Delivered, now time.Time) Plan {
	var plan Plan
	have := make(map[string]Delivered, len(delivered))
	for _, d := range delivered {
		have[d.Key] = d
	}
	gone := drifted(delivered)
	cancel := func(d Delivered) {
		if d.State.Open() {
			plan.Cancel = append(plan.Cancel, d.CommandID)
		}
	}
	for _, item := range desired {
		was, known := have[item.Key]
		delete(have, item.Key)
		if item.Blocked != "" {
			continue // what the device has of it, it keeps
		}
		next := Planned{Item: item, Tries: 1}
		if known && was.same(item) {
			switch at, again := retryAt(was); {
			case was.State == CommandFailed && again && !at.After(now):
				next.Tries, next.Reason = was.Tries+1, ReasonRetry
			case was.State == CommandFailed && again:
				plan.again(at)
				continue
			case gone[item.Key]:
				next.Reason = ReasonDrift
			default:
				if !slices.Equal(was.Policies, item.Policies) {
					plan.Label = append(plan.Label, item)
				}
				continue
			}
		}
		cancel(was)
		// A queued command may be handed out while this plan is made.
		if removable(item.Key) && (was.State.Open() || was.mayHold()) {
			next.Item.Hash += held
		}
		plan.Send = append(plan.Send, next)
	}
	for _, was := range delivered {
		if _, left := have[was.Key]; !left {
			continue
		}
		step, can := removal(was)
		switch {
		case was.Removal && was.State.Open():
		case was.Removal && was.State == CommandFailed: // it was not there
			plan.Forget = append(plan.Forget, was.Key)
		case can && was.mayHold():
			cancel(was)
			plan.Send = append(plan.Send, Planned{Removal: true, Tries: 1, Item: Item{Key: was.Key, Title: was.Title, Identifier: was.Identifier, Policies: was.Policies, Step: step}})
		default:
			cancel(was)
			if !was.State.Open() || was.Attempts == 0 {
				plan.Forget = append(plan.Forget, was.Key)
			}
		}
	}
	return plan
}

// removal is the step that takes an item off a device. An app can only be
// taken off by the name the device calls it by, which for some is known only
// once it has answered.
func removal(d Delivered) (Step, bool) {
	if id, ok := strings.CutPrefix(d.Key, profileKey); ok {
		return RemoveProfile{id}, true
	}
	if strings.HasPrefix(d.Key, appKey) && d.Identifier != "" {
		return RemoveApp{d.Identifier}, true
	}
	return nil, false
}

// drifted are the items that a device had and, as it answered a check that was
// made since, no longer has.
func drifted(delivered []Delivered) map[string]bool {
	gone := map[string]bool{}
	for _, check := range delivered {
		if !strings.HasPrefix(check.Key, checkKey) || check.State != CommandAcknowledged || check.Inventory == nil {
			continue
		}
		prefix := profileKey
		if check.Key == checkKey+"apps" {
			prefix = appKey
		}
		for _, d := range delivered {
			if strings.HasPrefix(d.Key, prefix) && !d.Removal && d.State == CommandAcknowledged && d.Identifier != "" &&
				d.FinishedAt.Before(check.QueuedAt) && !check.Inventory[d.Identifier] {
				gone[d.Key] = true
			}
		}
	}
	return gone
}

// release adds the release from Setup Assistant to a plan: when everything else
// has its final answer, or has failed, or has taken longer than the time-out. So
// nothing overtakes a profile that the device put off, and no device waits for
// ever.
func release(plan *Plan, s Situation, timeout time.Duration, now time.Time) {
	item := Item{Key: releaseKey, Title: "Release from Setup Assistant", Hash: "1", Step: DeviceConfigured{}}
	busy := len(plan.Send) > 0
	var was Delivered
	for _, d := range s.Delivered {
		if d.Key == releaseKey {
			was = d
		} else if d.State.Open() {
			busy = true
		}
	}
	deadline := s.EnrolledAt.Add(timeout)
	if busy && now.Before(deadline) {
		if was.State == CommandQueued {
			plan.Cancel = append(plan.Cancel, was.CommandID)
		}
		plan.again(deadline)
		return
	}
	next := Planned{Item: item, Tries: 1}
	if was.Key != "" && was.same(item) {
		at, _ := retryAt(was)
		if was.State != CommandFailed {
			return
		}
		if at.After(now) {
			plan.again(at)
			return
		}
		next.Tries, next.Reason = was.Tries+1, ReasonRetry
	}
	plan.Send = append(plan.Send, next)
}
