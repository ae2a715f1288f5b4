package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The items of the tables and of the model below.
func installItem(name, content string) Item {
	id := IdentifierPrefix + name
	return Item{Key: profileKey + id, Title: name, Hash: content, Step: InstallProfile{Identifier: id}}
}

var (
	nameItem    = Item{Key: "device_name", Title: "Device name", Hash: "n", Step: SetDeviceName{"n"}}
	releaseItem = Item{Key: "configured", Title: "Release", Hash: "1", Step: DeviceConfigured{}}
)

func TestDiff(t *testing.T) {
	a1, a2, b1 := installItem("a", "1"), installItem("a", "2"), installItem("b", "1")
	was := func(i Item, s CommandState, attempts int) Delivered {
		return Delivered{Key: i.Key, Hash: i.Hash, CommandID: "c-" + i.Title, State: s, Attempts: attempts}
	}
	removal := func(i Item, s CommandState, attempts int) Delivered {
		return Delivered{Key: i.Key, Removal: true, CommandID: "r-" + i.Title, State: s, Attempts: attempts}
	}
	after := func(d Delivered) Delivered { d.Hash += held; return d }
	send := func(is ...Item) (ps []Planned) {
		for _, i := range is {
			ps = append(ps, Planned{Item: i})
		}
		return ps
	}
	sendHeld := func(i Item) []Planned { i.Hash += held; return send(i) }
	remove := func(i Item) []Planned {
		return []Planned{{Removal: true, Item: Item{Key: i.Key, Title: i.Key, Step: RemoveProfile{IdentifierPrefix + i.Title}}}}
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
		{"new, in order", []Item{nameItem, b1, a1, releaseItem}, nil, Plan{Send: send(nameItem, b1, a1, releaseItem)}},
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
		{"name changed", []Item{nameItem}, []Delivered{{Key: "device_name", Hash: "old", CommandID: "c", State: sent, Attempts: 1}},
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

		{"unwanted name, queued", nil, []Delivered{was(nameItem, queued, 0)}, Plan{Cancel: []string{"c-Device name"}, Forget: []string{"device_name"}}},
		{"unwanted name, sent", nil, []Delivered{was(nameItem, sent, 1)}, Plan{Cancel: []string{"c-Device name"}}},
		{"unwanted name, cancelled after its hand-out", nil, []Delivered{was(nameItem, cancelled, 1)}, Plan{Forget: []string{"device_name"}}},
		{"unwanted name, set", nil, []Delivered{was(nameItem, acked, 1)}, Plan{Forget: []string{"device_name"}}},

		{"release stays behind what is new", []Item{a1, b1, releaseItem}, []Delivered{was(a1, acked, 1), was(releaseItem, queued, 0)},
			Plan{Send: send(b1, releaseItem), Cancel: []string{"c-Release"}}},
		{"release is not sent twice", []Item{b1, releaseItem}, []Delivered{was(releaseItem, sent, 1)}, Plan{Send: send(b1)}},
		{"release waits where nothing is new", []Item{a1, releaseItem}, []Delivered{was(a1, sent, 1), was(releaseItem, queued, 0)}, Plan{}},
		{"released", []Item{a1}, []Delivered{was(a1, acked, 1), was(releaseItem, acked, 1)}, Plan{Forget: []string{"configured"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Diff(c.desired, c.delivered)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if empty := len(c.want.Send)+len(c.want.Cancel)+len(c.want.Forget) == 0; got.Empty() != empty {
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
