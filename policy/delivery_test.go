package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The items of the tables and of the model below.
func installItem(name, content string) Item {
	id := IdentifierPrefix + name
	return Item{Key: profileKey + id, Title: name, Identifier: id, Hash: content, Step: InstallProfile{Identifier: id}}
}

var (
	nameItem = Item{Key: "setting:device_name", Title: "Device name", Hash: "n", Step: Settings{}}
	appItem  = Item{Key: "app:office", Title: "Office", Identifier: "com.example.office", Hash: "1", Step: InstallApp{}}
)

// at0 is when the tables are.
var at0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestDiff(t *testing.T) {
	a1, a2, b1 := installItem("a", "1"), installItem("a", "2"), installItem("b", "1")
	was := func(i Item, s CommandState, attempts int) Delivered {
		return Delivered{Key: i.Key, Title: i.Title, Identifier: i.Identifier, Tries: 1, FinishedAt: at0, Hash: i.Hash, CommandID: "c-" + i.Title, State: s, Attempts: attempts}
	}
	removal := func(i Item, s CommandState, attempts int) Delivered {
		return Delivered{Key: i.Key, Title: i.Title, Identifier: i.Identifier, Removal: true, CommandID: "r-" + i.Title, State: s, Attempts: attempts}
	}
	after := func(d Delivered) Delivered { d.Hash += held; return d }
	send := func(is ...Item) (ps []Planned) {
		for _, i := range is {
			ps = append(ps, Planned{Item: i, Tries: 1})
		}
		return ps
	}
	heldItem := func(i Item) Item { i.Hash += held; return i }
	sendHeld := func(i Item) []Planned { return send(heldItem(i)) }
	blocked := func(i Item) Item { i.Blocked = "a variable is missing"; return i }
	from := func(i Item, policy string) Item { i.Policies = []From{{Policy: policy}}; return i }
	failedWith := func(i Item, words string, tries int) Delivered {
		d := was(i, CommandFailed, 1)
		d.Error, d.Tries = words, tries
		return d
	}
	const passingError = "NSURLErrorDomain -1009: offline"
	check := func(later time.Duration, there ...Item) Delivered {
		d := Delivered{Key: "check:profiles", CommandID: "check", State: CommandAcknowledged, QueuedAt: at0.Add(later), Inventory: map[string]bool{}}
		for _, i := range there {
			d.Inventory[i.Identifier] = true
		}
		return d
	}
	remove := func(i Item) []Planned {
		return []Planned{{Removal: true, Tries: 1, Item: Item{Key: i.Key, Title: i.Title, Identifier: i.Identifier, Step: RemoveProfile{IdentifierPrefix + i.Title}}}}
	}
	const queued, sent, acked, failed, cancelled = CommandQueued, CommandSent, CommandAcknowledged, CommandFailed, CommandCancelled
	gone := []string{a1.Key}

	for _, c := range []struct {
		name      string
		desired   []Item
		delivered []Delivered
		want      Plan
	}{
		{"nothing", nil, nil, Plan{}},
		{"new, in order", []Item{nameItem, b1, a1, appItem}, nil, Plan{Send: send(nameItem, b1, a1, appItem)}},
		{"one is new", []Item{a1, b1}, []Delivered{was(a1, acked, 1)}, Plan{Send: send(b1)}},

		{"unchanged, queued", []Item{a1}, []Delivered{was(a1, queued, 0)}, Plan{}},
		{"unchanged, sent", []Item{a1}, []Delivered{was(a1, sent, 3)}, Plan{}},
		{"unchanged, acknowledged", []Item{a1}, []Delivered{was(a1, acked, 1)}, Plan{}},
		{"unchanged, acknowledged after another", []Item{a1}, []Delivered{after(was(a1, acked, 1))}, Plan{}},
		{"failed is not resent", []Item{a1}, []Delivered{was(a1, failed, 1)}, Plan{}},
		{"failed after another is not resent", []Item{a1}, []Delivered{after(was(a1, failed, 1))}, Plan{}},
		{"cancelled is resent", []Item{a1}, []Delivered{was(a1, cancelled, 0)}, Plan{Send: send(a1)}},
		{"cancelled after its hand-out is resent", []Item{a1}, []Delivered{was(a1, cancelled, 1)}, Plan{Send: sendHeld(a1)}},

		{"changed, acknowledged", []Item{a2}, []Delivered{was(a1, acked, 1)}, Plan{Send: sendHeld(a2)}},
		{"changed, failed", []Item{a2}, []Delivered{was(a1, failed, 1)}, Plan{Send: sendHeld(a2)}},
		{"changed, queued", []Item{a2}, []Delivered{was(a1, queued, 0)}, Plan{Send: sendHeld(a2), Cancel: []string{"c-a"}}},
		{"changed, sent", []Item{a2}, []Delivered{was(a1, sent, 1)}, Plan{Send: sendHeld(a2), Cancel: []string{"c-a"}}},
		{"name changed", []Item{nameItem}, []Delivered{{Key: "setting:device_name", Hash: "old", CommandID: "c", State: sent, Attempts: 1}},
			Plan{Send: send(nameItem), Cancel: []string{"c"}}},

		{"unwanted, never handed out", nil, []Delivered{was(a1, queued, 0)}, Plan{Cancel: []string{"c-a"}, Forget: gone}},
		{"unwanted, cancelled before its hand-out", nil, []Delivered{was(a1, cancelled, 0)}, Plan{Forget: gone}},
		{"unwanted, never handed out, but after another", nil, []Delivered{after(was(a2, queued, 0))}, Plan{Cancel: []string{"c-a"}, Send: remove(a1)}},
		{"unwanted, handed out", nil, []Delivered{was(a1, sent, 1)}, Plan{Cancel: []string{"c-a"}, Send: remove(a1)}},
		{"unwanted, cancelled after its hand-out", nil, []Delivered{was(a1, cancelled, 1)}, Plan{Send: remove(a1)}},
		{"unwanted, on the device", nil, []Delivered{was(a1, acked, 1)}, Plan{Send: remove(a1)}},
		{"unwanted, failed: an older one may be there", nil, []Delivered{was(a1, failed, 1)}, Plan{Send: remove(a1)}},
		{"removal open", nil, []Delivered{removal(a1, queued, 0)}, Plan{}},
		{"removal sent", nil, []Delivered{removal(a1, sent, 1)}, Plan{}},
		{"removal acknowledged", nil, []Delivered{removal(a1, acked, 1)}, Plan{Forget: gone}},
		{"removal failed", nil, []Delivered{removal(a1, failed, 1)}, Plan{Forget: gone}},
		{"removal cancelled is resent", nil, []Delivered{removal(a1, cancelled, 0)}, Plan{Send: remove(a1)}},
		{"removals after installations", []Item{b1}, []Delivered{was(a1, acked, 1)}, Plan{Send: append(send(b1), remove(a1)...)}},

		{"wanted again, removal queued", []Item{a1}, []Delivered{removal(a1, queued, 0)}, Plan{Send: sendHeld(a1), Cancel: []string{"r-a"}}},
		{"wanted again, removal sent", []Item{a1}, []Delivered{removal(a1, sent, 1)}, Plan{Send: sendHeld(a1), Cancel: []string{"r-a"}}},
		{"wanted again, removed", []Item{a1}, []Delivered{removal(a1, acked, 1)}, Plan{Send: send(a1)}},
		{"wanted again, removal failed", []Item{a1}, []Delivered{removal(a1, failed, 1)}, Plan{Send: sendHeld(a1)}},

		{"unwanted name, queued", nil, []Delivered{was(nameItem, queued, 0)}, Plan{Cancel: []string{"c-Device name"}, Forget: []string{"setting:device_name"}}},
		{"unwanted name, sent", nil, []Delivered{was(nameItem, sent, 1)}, Plan{Cancel: []string{"c-Device name"}}},
		{"unwanted name, cancelled after its hand-out", nil, []Delivered{was(nameItem, cancelled, 1)}, Plan{Forget: []string{"setting:device_name"}}},
		{"unwanted name, set", nil, []Delivered{was(nameItem, acked, 1)}, Plan{Forget: []string{"setting:device_name"}}},

		{"an app, new", []Item{appItem}, nil, Plan{Send: send(appItem)}},
		{"an app, unwanted", nil, []Delivered{was(appItem, acked, 1)}, Plan{Send: []Planned{{Removal: true, Tries: 1,
			Item: Item{Key: appItem.Key, Title: "Office", Identifier: appItem.Identifier, Step: RemoveApp{appItem.Identifier}}}}}},
		{"an app that never said its name, unwanted", nil, []Delivered{func() Delivered { d := was(appItem, acked, 1); d.Identifier = ""; return d }()}, Plan{Forget: []string{appItem.Key}}},

		{"blocked, new", []Item{blocked(a1)}, nil, Plan{}},
		{"blocked, on the device", []Item{blocked(a2)}, []Delivered{was(a1, acked, 1)}, Plan{}},

		{"failed for a passing reason, too early", []Item{a1}, []Delivered{failedWith(a1, passingError, 1)}, Plan{Again: at0.Add(retryFirst)}},
		{"failed for a passing reason, later", []Item{b1}, []Delivered{func() Delivered { d := failedWith(b1, passingError, 1); d.FinishedAt = at0.Add(-retryFirst); return d }()},
			Plan{Send: []Planned{{Item: heldItem(b1), Tries: 2, Reason: ReasonRetry}}}},
		{"failed for a passing reason, too often", []Item{a1}, []Delivered{failedWith(a1, passingError, maxTries)}, Plan{}},
		{"failed for a reason that stays", []Item{a1}, []Delivered{failedWith(a1, "MCProfileErrorDomain 1000: no", 1)}, Plan{}},

		{"comes from other policies", []Item{from(a1, "Q")}, []Delivered{was(a1, acked, 1)}, Plan{Label: []Item{from(a1, "Q")}}},

		{"gone from the device", []Item{a1, b1}, []Delivered{was(a1, acked, 1), was(b1, acked, 1), check(time.Minute, b1)},
			Plan{Send: []Planned{{Item: heldItem(a1), Tries: 1, Reason: ReasonDrift}}, Forget: []string{"check:profiles"}}},
		{"came after the check", []Item{a1}, []Delivered{was(a1, acked, 1), check(-time.Minute)}, Plan{Forget: []string{"check:profiles"}}},
		{"the check is not answered", []Item{a1}, []Delivered{was(a1, acked, 1), func() Delivered { c := check(time.Minute); c.State, c.Inventory = sent, nil; c.Attempts = 1; return c }()},
			Plan{Cancel: []string{"check"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Diff(c.desired, c.delivered, at0)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if empty := len(c.want.Send)+len(c.want.Cancel)+len(c.want.Forget)+len(c.want.Label) == 0; got.Empty() != empty {
				t.Errorf("Empty is %v", got.Empty())
			}
		})
	}
}

func TestCommandStateOpen(t *testing.T) {
	for s, want := range map[CommandState]bool{CommandQueued: true, CommandSent: true, CommandAcknowledged: false, CommandFailed: false, CommandCancelled: false, "": false} {
		if s.Open() != want {
			t.Errorf("%q: Open is %v", s, !want)
		}
	}
}

func TestTimeToPolicy(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		enrolled, completed time.Time
		want                time.Duration
	}{
		{at, at.Add(1500 * time.Millisecond), 1500 * time.Millisecond},
		{at, time.Time{}, 0},
		{time.Time{}, at, 0},
		{time.Time{}, time.Time{}, 0},
	} {
		if got := (Receipt{EnrolledAt: c.enrolled, CompletedAt: c.completed}).TimeToPolicy(); got != c.want {
			t.Errorf("%v to %v: %v, want %v", c.enrolled, c.completed, got, c.want)
		}
	}
}

func TestRelease(t *testing.T) {
	const timeout = 10 * time.Minute
	item := func(state CommandState) Delivered { return Delivered{Key: "profile:a", State: state, CommandID: "a"} }
	was := func(state CommandState, tries int) Delivered {
		return Delivered{Key: releaseKey, Hash: "1", State: state, CommandID: "r", Tries: tries, FinishedAt: at0}
	}
	for _, c := range []struct {
		name      string
		delivered []Delivered
		sending   bool
		after     time.Duration // since the enrollment
		tries     int           // of the release that is sent; 0: none
		cancel    bool
		again     time.Time
	}{
		{name: "nothing else", tries: 1},
		{name: "all is there", delivered: []Delivered{item(CommandAcknowledged)}, tries: 1},
		{name: "something failed", delivered: []Delivered{item(CommandFailed)}, tries: 1},
		{name: "something is sent now", sending: true, again: at0.Add(timeout)},
		{name: "something was put off", delivered: []Delivered{item(CommandSent)}, again: at0.Add(timeout)},
		{name: "time-out", delivered: []Delivered{item(CommandSent)}, after: timeout, tries: 1},
		{name: "time-out while something is sent", sending: true, after: timeout, tries: 1},
		{name: "queued", delivered: []Delivered{was(CommandQueued, 1)}},
		{name: "queued, and something is new", delivered: []Delivered{was(CommandQueued, 1)}, sending: true, cancel: true, again: at0.Add(timeout)},
		{name: "sent", delivered: []Delivered{was(CommandSent, 1)}},
		{name: "done", delivered: []Delivered{was(CommandAcknowledged, 1)}},
		{name: "failed just now", delivered: []Delivered{was(CommandFailed, 1)}, again: at0.Add(10 * time.Second)},
		{name: "failed a while ago", delivered: []Delivered{was(CommandFailed, 3)}, after: time.Minute, tries: 4},
		{name: "failed very often", delivered: []Delivered{was(CommandFailed, 100)}, after: 7 * time.Hour, tries: 101},
		{name: "cancelled", delivered: []Delivered{was(CommandCancelled, 1)}, tries: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var plan Plan
			if c.sending {
				plan.Send = []Planned{{Item: installItem("b", "1")}}
			}
			release(&plan, Situation{EnrolledAt: at0, Delivered: c.delivered}, timeout, at0.Add(c.after))
			tries := 0
			if n := len(plan.Send); n > 0 && plan.Send[n-1].Item.Key == releaseKey {
				tries = plan.Send[n-1].Tries
			}
			if tries != c.tries || len(plan.Cancel) > 0 != c.cancel || !plan.Again.Equal(c.again) {
				t.Errorf("try %d, cancelled %v, again %v; want try %d, cancelled %v, again %v", tries, plan.Cancel, plan.Again, c.tries, c.cancel, c.again)
			}
		})
	}
}

func TestMayPass(t *testing.T) {
	for words, want := range map[string]bool{
		"NSURLErrorDomain -1001: timed out":                                  true,
		"MCInstallationErrorDomain 4001: no; MCSCEPErrorDomain 22013: later": true,
		"MCHTTPTransactionErrorDomain 23001: bad":                            true,
		"MCHTTPTransactionErrorDomain 23000: identity":                       false,
		"MCProfileErrorDomain 1000: invalid":                                 false,
		"AppAlreadyQueued":                                                   true,
		"NotSupported":                                                       false,
		"CommandFormatError":                                                 false,
		"network_unavailable: no route":                                      true,
		"busy":                                                               true,
		"busy_forever: x":                                                    false,
		"unsupported: busy":                                                  false,
		"":                                                                   false,
	} {
		if got := mayPass(words); got != want {
			t.Errorf("%q: %v", words, got)
		}
	}
}

func TestRetryBacksOff(t *testing.T) {
	last := time.Duration(0)
	for tries := 1; tries < maxTries; tries++ {
		at, ok := retryAt(Delivered{Error: "NSURLErrorDomain -1: x", Tries: tries, FinishedAt: at0})
		if wait := at.Sub(at0); !ok || wait < last || wait > retryMost {
			t.Errorf("after try %d it waits %v (%v), before it was %v", tries, wait, ok, last)
		} else {
			last = wait
		}
	}
	if last < retryMost/2 {
		t.Errorf("it never waits longer than %v", last)
	}
}
