package storagetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
)

// targets are what a policy is bound to, read page by page.
func (w *world) targets(name string) ([]policy.Target, error) {
	var out []policy.Target
	page := enroll.Page{Limit: 1}
	for {
		bindings, err := w.Bindings(w.ctx, name, page)
		if err != nil || len(bindings) == 0 {
			return out, err
		}
		if len(bindings) > 1 {
			w.Fatalf("a page of one has %d bindings", len(bindings))
		}
		out, page.After = append(out, bindings[0].Target), bindings[0].Key
	}
}

func testPolicies(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"write and read": func(w *world) {
			want := w.policy("wifi", "secret")
			got, err := w.Policy(w.ctx, "wifi")
			w.ok(err)
			if diff := cmp.Diff(want, got); diff != "" || got.Version != 1 || got.ID == "" {
				w.Fatalf("(-want +got)\n%s", diff)
			}
			same, changed, err := w.ChangePolicy(w.ctx, "wifi", func(old *policy.Policy) (policy.Policy, error) { return *old, nil })
			if err != nil || changed || same.Version != 1 {
				w.Fatalf("unchanged: %v, %+v, %v", changed, same, err)
			}
			if p := w.policy("wifi", "other"); p.Version != 2 || p.ID != want.ID {
				w.Fatalf("changed: %+v", p)
			}
			described, changed, err := w.ChangePolicy(w.ctx, "wifi", func(old *policy.Policy) (policy.Policy, error) {
				p := *old
				p.Description = "for the offices"
				return p, nil
			})
			if err != nil || changed || described.Version != 2 || described.Description != "for the offices" {
				w.Fatalf("described: %v, %+v, %v", changed, described, err)
			}
			if p := w.policy("wifi", "third"); p.Version != 3 || p.Description != "for the offices" {
				w.Fatalf("changed after that: %+v", p)
			}
			w.policy("able", "x")
			all, err := w.Policies(w.ctx)
			w.ok(err)
			if len(all) != 2 || all[0].Name != "able" {
				w.Fatalf("policies %+v", all)
			}
			_, _, err = w.ChangePolicy(w.ctx, "able", func(old *policy.Policy) (policy.Policy, error) {
				p := *old
				p.Name = "wifi"
				return p, nil
			})
			w.kind(err, enroll.KindConflict)
			w.ok(w.DeletePolicy(w.ctx, "wifi"))
			w.kind(w.DeletePolicy(w.ctx, "wifi"), enroll.KindNotFound)
			_, err = w.Policy(w.ctx, "wifi")
			w.kind(err, enroll.KindNotFound)
		},
		"effective before the device enrolls": func(w *world) {
			d := w.device("AAA")
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "g", Name: "g"}))
			w.ok(w.ChangeMembers(w.ctx, "g", []string{"AAA"}, nil))
			for _, name := range []string{"zero", "one", "two", "unbound"} {
				w.policy(name, name)
			}
			w.bind("one", policy.Target{Group: "g"})
			w.bind("zero", policy.Target{Group: "g"})
			w.bind("two", policy.Target{Serial: "AAA"})
			w.bind("zero", policy.Target{Serial: "AAA"})
			if again, err := w.Bind(w.ctx, "two", policy.Target{Serial: "AAA"}); err != nil || again {
				w.Fatalf("bound twice: %v, %v", again, err)
			}
			names := func() (names []string) {
				policies, err := w.Reaching(w.ctx, policy.Reach{DeviceID: d.ID})
				w.ok(err)
				for _, p := range policies {
					names = append(names, p.Name)
				}
				return names
			}
			if got := names(); !slices.Equal(got, []string{"two", "zero", "one"}) {
				w.Fatalf("effective %v", got)
			}
			if targets, err := w.targets("zero"); err != nil || !slices.Equal(targets, []policy.Target{{Group: "g"}, {Serial: "AAA"}}) {
				w.Fatalf("bindings %v, %v", targets, err)
			}
			to, err := w.BoundTo(w.ctx)
			w.ok(err)
			if diff := cmp.Diff(map[string]policy.BoundTo{"zero": {Groups: []string{"g"}, Devices: 1}, "one": {Groups: []string{"g"}}, "two": {Devices: 1}}, to); diff != "" {
				w.Fatalf("bound to (-want +got)\n%s", diff)
			}
			for _, want := range []bool{true, false} {
				if changed, err := w.Unbind(w.ctx, "two", policy.Target{Serial: "AAA"}); err != nil || changed != want {
					w.Fatalf("unbind: %v, %v", changed, err)
				}
			}
			w.ok(w.DeleteGroup(w.ctx, "g"))
			if got := names(); !slices.Equal(got, []string{"zero"}) {
				w.Fatalf("effective %v", got)
			}
			for _, c := range []struct {
				policy string
				target policy.Target
				want   enroll.Kind
			}{
				{"none", policy.Target{Serial: "AAA"}, enroll.KindNotFound},
				{"one", policy.Target{Serial: "NOBODY"}, enroll.KindNotFound},
				{"one", policy.Target{Group: "none"}, enroll.KindNotFound},
				{"one", policy.Target{User: "nobody@example.com", Domain: "local"}, enroll.KindNotFound},
				{"one", policy.Target{}, enroll.KindInvalid},
				{"one", policy.Target{Group: "g", Serial: "AAA"}, enroll.KindInvalid},
			} {
				_, err := w.Bind(w.ctx, c.policy, c.target)
				w.kind(err, c.want)
			}
			_, err = w.targets("none")
			w.kind(err, enroll.KindNotFound)
		},
		"versions": func(w *world) {
			ctx := enroll.WithActor(w.ctx, "the admin")
			save := func(lock string, priority int, restored int64) policy.Policy {
				p, changed, err := w.ChangePolicy(ctx, "p", func(old *policy.Policy) (policy.Policy, error) {
					p := policy.Policy{Name: "p"}
					if old != nil {
						p = *old
					}
					p.Document.LockMessage, p.Priority, p.Restored = lock, priority, restored
					return p, nil
				})
				w.ok(err)
				if !changed {
					w.Fatalf("saving %s changed nothing", lock)
				}
				return p
			}
			save("one", 1, 0)
			save("two", 2, 0)
			save("two", 3, 0)
			save("one", 1, 1)
			for version, want := range map[int64]struct {
				lock     string
				priority int
				restored int64
			}{1: {"one", 1, 0}, 2: {"two", 2, 0}, 3: {"two", 3, 0}, 4: {"one", 1, 1}} {
				p, err := w.Version(w.ctx, "p", version)
				w.ok(err)
				if p.Version != version || p.Document.LockMessage != want.lock || p.Priority != want.priority || p.Restored != want.restored || p.UpdatedBy != "the admin" {
					w.Errorf("version %d: %+v", version, p)
				}
			}
			numbers := func(page enroll.Page) (numbers []int64) {
				versions, err := w.Versions(w.ctx, "p", page)
				w.ok(err)
				for _, v := range versions {
					numbers = append(numbers, v.Version)
				}
				return numbers
			}
			if got := numbers(enroll.Page{Limit: 3}); !slices.Equal(got, []int64{4, 3, 2}) {
				w.Errorf("versions %v", got)
			}
			if got := numbers(enroll.Page{Limit: 3, After: "2"}); !slices.Equal(got, []int64{1}) {
				w.Errorf("versions before 2: %v", got)
			}
			_, err := w.Versions(w.ctx, "none", enroll.Page{})
			w.kind(err, enroll.KindNotFound)
			_, err = w.Version(w.ctx, "p", 5)
			w.kind(err, enroll.KindNotFound)
			w.ok(w.DeletePolicy(w.ctx, "p"))
			_, err = w.Version(w.ctx, "p", 1)
			w.kind(err, enroll.KindNotFound)
		},
		"bound to a user": func(w *world) {
			d := w.owned("AAA", "ann@example.com")
			w.policy("p", "x")
			ann := policy.Target{User: "ann@example.com", Domain: "local"}
			w.bind("p", ann)
			if to, err := w.BoundTo(w.ctx); err != nil || to["p"].Users != 1 {
				w.Fatalf("bound to %v, %v", to, err)
			}
			if targets, err := w.targets("p"); err != nil || !slices.Equal(targets, []policy.Target{ann}) {
				w.Fatalf("bindings %v, %v", targets, err)
			}
			bound, err := w.Reaching(w.ctx, policy.Reach{DeviceID: d.ID})
			if err != nil || len(bound) != 1 || bound[0].Via != "user" {
				w.Fatalf("the owner's policy: %+v, %v", bound, err)
			}
			if changed, err := w.Unbind(w.ctx, "p", ann); err != nil || !changed {
				w.Fatalf("unbind: %v, %v", changed, err)
			}
			// A user's name may stand in policies.
			e := w.enroll("AAA", fingerprint(1))
			w.dueDevices()
			_, _, err = w.ChangeUser(w.ctx, "local", "ann@example.com", func(u *enroll.User) (enroll.User, error) { u.Name = "Ann"; return *u, nil })
			w.ok(err)
			if due := w.dueDevices(); !slices.Equal(due, []string{e.DeviceID}) {
				w.Errorf("due after the owner's name changed: %v", due)
			}
			// A user without devices goes with the bindings.
			w.owned("BBB", "ben@example.com")
			ben := policy.Target{User: "ben@example.com", Domain: "local"}
			w.bind("p", ben)
			w.ok(w.DeleteDevice(w.ctx, "BBB"))
			u, err := w.UserByEmail(w.ctx, "local", "ben@example.com")
			w.ok(err)
			w.ok(w.DeleteUser(w.ctx, u.ID))
			if targets, err := w.targets("p"); err != nil || len(targets) != 0 {
				w.Errorf("bindings after the end of the user: %v, %v", targets, err)
			}
		},
		"what a device would get": func(w *world) {
			d := w.owned("AAA", "ann@example.com")
			for _, g := range []string{"g", "h"} {
				w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: g, Name: g}))
			}
			for _, name := range []string{"one", "two", "three", "four"} {
				w.policy(name, name)
			}
			w.bind("one", policy.Target{Group: "h"})
			w.bind("two", policy.Target{Group: "g"})
			w.bind("three", policy.Target{User: "ann@example.com", Domain: "local"})
			w.bind("one", policy.Target{Group: "g"})
			w.bind("four", policy.Target{Serial: "AAA"})
			for _, c := range []struct {
				reach policy.Reach
				want  []string
			}{
				{policy.Reach{}, nil},
				{policy.Reach{Groups: []string{"g", "none"}}, []string{"two group:g", "one group:g"}},
				{policy.Reach{Groups: []string{"h", "g"}, UserID: d.UserID}, []string{"three user", "two group:g", "one group:g"}},
				{policy.Reach{DeviceID: d.ID}, []string{"four device", "three user"}},
				{policy.Reach{DeviceID: d.ID, Groups: []string{"h"}}, []string{"four device", "three user", "one group:h"}},
			} {
				bound, err := w.Reaching(w.ctx, c.reach)
				w.ok(err)
				var got []string
				for _, b := range bound {
					got = append(got, b.Name+" "+b.Via)
				}
				if !slices.Equal(got, c.want) {
					w.Errorf("%+v: %v, want %v", c.reach, got, c.want)
				}
			}
		},
		"a roll-out": func(w *world) {
			const n = 40
			enrolled := map[string]string{} // device ID by serial
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "g", Name: "g"}))
			for i := range n {
				serial := fmt.Sprintf("S%02d", i)
				enrolled[serial] = w.enroll(serial, fingerprint(i)).DeviceID
			}
			w.ok(w.ChangeMembers(w.ctx, "g", slices.Collect(maps.Keys(enrolled)), nil))
			old := w.policy("p", "one")
			w.bind("p", policy.Target{Group: "g"})
			w.dueDevices()
			half := func(percent, perMinute int) policy.Policy {
				p, _, err := w.ChangeRollout(w.ctx, "p", func(p policy.Policy) (policy.Rollout, error) {
					return p.Rollout.Change(policy.Rollout{Percent: percent, PerMinute: perMinute}, p.Version), nil
				})
				w.ok(err)
				return p
			}
			half(50, 0)
			w.dueDevices()
			fresh := w.policy("p", "two")
			if fresh.Rollout.Base != old.Version {
				w.Fatalf("roll-out %+v", fresh.Rollout)
			}
			versions := map[int64]int{}
			for _, id := range enrolled {
				bound, err := w.Reaching(w.ctx, policy.Reach{DeviceID: id})
				w.ok(err)
				want := old.Version
				if fresh.Rollout.Reaches(fresh.ID, id) {
					want = fresh.Version
				}
				if len(bound) != 1 || bound[0].Version != want {
					w.Fatalf("device %s gets %+v, want version %d", id, bound, want)
				}
				versions[want]++
			}
			if len(versions) != 2 {
				w.Fatalf("versions %v of %d devices", versions, n)
			}
			w.dueDevices()
			// The rest, ten a minute.
			half(100, 10)
			at := time.Now()
			var due []int
			for minute := range 5 {
				d, err := w.ClaimDue(w.ctx, at.Add(time.Duration(minute)*time.Minute+time.Second), time.Hour, 1000)
				w.ok(err)
				due = append(due, len(d))
			}
			if due[0] == 0 || due[0] > 11 || due[1] < 9 || due[1] > 11 || due[0]+due[1]+due[2]+due[3]+due[4] != n {
				w.Errorf("due by the minute: %v", due)
			}
			_, _, err := w.ChangeRollout(w.ctx, "none", func(p policy.Policy) (policy.Rollout, error) { return p.Rollout, nil })
			w.kind(err, enroll.KindNotFound)
		},
		"a turn in a roll-out": func(w *world) {
			e := map[string]mdm.Enrollment{"AAA": w.enroll("AAA", fingerprint(1)), "BBB": w.enroll("BBB", fingerprint(2))}
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "g", Name: "g"}))
			w.ok(w.ChangeMembers(w.ctx, "g", []string{"AAA", "BBB"}, nil))
			w.policy("p", "one")
			w.bind("p", policy.Target{Group: "g"})
			// plan plans what is due so long after now, as a worker does.
			plan := func(after time.Duration, want int) {
				w.Helper()
				due, err := w.ClaimDue(w.ctx, time.Now().Add(after), time.Minute, 10)
				w.ok(err)
				if len(due) != want {
					w.Fatalf("%d are due, want %d", len(due), want)
				}
				for _, d := range due {
					sit, err := w.situation(d.DeviceID)
					w.ok(err)
					versions := map[string]int64{}
					for _, b := range sit.Policies {
						versions[b.ID] = b.Version
					}
					w.ok(w.Store.Commit(w.ctx, []policy.Commit{{Due: d, EnrollmentID: sit.EnrollmentID, Again: sit.Turn, Versions: versions}}, time.Now()))
				}
			}
			version := func(serial string, want int64) {
				w.Helper()
				sit, err := w.situation(e[serial].DeviceID)
				w.ok(err)
				if got := sit.Policies[0].Version; got != want || sit.Turn.IsZero() != (want == 2) {
					w.Fatalf("%s: version %d, turn %v; want version %d", serial, got, sit.Turn, want)
				}
			}
			plan(0, 2)
			_, _, err := w.ChangeRollout(w.ctx, "p", func(p policy.Policy) (policy.Rollout, error) { return policy.Rollout{Percent: 100, PerMinute: 1}, nil })
			w.ok(err)
			plan(2*time.Minute, 2)
			w.policy("p", "two")
			serials := []string{"AAA", "BBB"} // in the order of their turns
			if e["AAA"].DeviceID > e["BBB"].DeviceID {
				slices.Reverse(serials)
			}
			plan(time.Second, 1)
			version(serials[0], 2)
			version(serials[1], 1)
			// The other one is planned for another reason before its turn.
			w.policy("q", "one")
			w.bind("q", policy.Target{Serial: serials[1]})
			plan(10*time.Second, 1)
			sit, err := w.situation(e[serials[1]].DeviceID)
			w.ok(err)
			if got := slices.IndexFunc(sit.Policies, func(b policy.Bound) bool { return b.Name == "p" && b.Version == 1 }); got < 0 {
				w.Fatalf("its turn came early: %+v", sit.Policies)
			}
			if bound, err := w.Reaching(w.ctx, policy.Reach{DeviceID: sit.Device.ID}); err != nil || !slices.ContainsFunc(bound, func(b policy.Bound) bool { return b.Name == "p" && b.Version == 1 }) {
				w.Fatalf("what is told is not what is planned: %+v, %v", bound, err)
			}
			_, err = w.Unbind(w.ctx, "q", policy.Target{Serial: serials[1]})
			w.ok(err)
			plan(10*time.Second, 1)
			version(serials[1], 1)
			plan(2*time.Minute, 1)
			version(serials[1], 2)
			plan(3*time.Minute, 0)
		},
	})
}
