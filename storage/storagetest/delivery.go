package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm/apns"
	"rollcall/policy"
	"rollcall/storage"
)

func testDelivery(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"what makes a device due": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.device("BBB") // not enrolled: never due
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "g", Name: "g"}))
			w.policy("p", "one")
			both := []string{"AAA", "BBB"}
			for _, step := range []struct {
				name string
				do   func()
				due  bool
			}{
				{"enrolling", func() {}, true},
				{"nothing", func() {}, false},
				{"another policy's change", func() { w.policy("q", "x") }, false},
				{"joining a group", func() { w.ok(w.ChangeMembers(w.ctx, "g", both, nil)) }, true},
				{"joining again", func() { w.ok(w.ChangeMembers(w.ctx, "g", both, nil)) }, false},
				{"a binding to the group", func() { w.bind("p", policy.Target{Group: "g"}) }, true},
				{"a change of the policy", func() { w.policy("p", "two") }, true},
				{"no change of the policy", func() { w.policy("p", "two") }, false},
				{"a binding to the device", func() { w.bind("p", policy.Target{Serial: "AAA"}) }, true},
				{"an unbinding", func() { _, err := w.Unbind(w.ctx, "p", policy.Target{Serial: "AAA"}); w.ok(err) }, true},
				{"a new name", func() { _, _, err := w.ChangeDevice(w.ctx, "AAA", nil, rename("x")); w.ok(err) }, true},
				{"leaving the group", func() { w.ok(w.ChangeMembers(w.ctx, "g", nil, both)) }, true},
				{"coming back", func() { w.ok(w.ChangeMembers(w.ctx, "g", both, nil)) }, true},
				{"the end of the group", func() { w.ok(w.DeleteGroup(w.ctx, "g")) }, true},
				{"a second binding", func() { w.bind("p", policy.Target{Serial: "AAA"}) }, true},
				{"the end of the policy", func() { w.ok(w.DeletePolicy(w.ctx, "p")) }, true},
				{"another TokenUpdate", func() { w.token(e, fingerprint(1)) }, false},
				{"the end of the enrollment", func() { w.policy("q", "y"); w.ok(w.CheckOut(w.ctx, e.ID, at(9))) }, false},
			} {
				step.do()
				var want []string
				if step.due {
					want = []string{e.DeviceID}
				}
				if due := w.dueDevices(); !slices.Equal(due, want) {
					w.Errorf("%s: due %v", step.name, due)
				}
			}
		},
		"complete without more to send": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.policy("p", "one")
			w.bind("p", policy.Target{Serial: "AAA"})
			one := command("profile:a", "h1")
			w.ok(w.commit(w.claim(1)[0], e.ID, []policy.Command{one}, nil, nil, at(10)))
			w.policy("p", "one, in other words")
			_, err := w.HandOut(w.ctx, e.ID, at(11), time.Minute)
			w.ok(err)
			w.acknowledge(e.ID, one.ID, 12)
			w.ok(w.commit(w.claim(1)[0], e.ID, nil, nil, nil, at(20)))
			w.policy("p", "two")
			two := command("profile:a", "h2")
			w.ok(w.commit(w.claim(1)[0], e.ID, []policy.Command{two}, nil, nil, at(500)))
			_, err = w.HandOut(w.ctx, e.ID, at(501), time.Minute)
			w.ok(err)
			w.acknowledge(e.ID, two.ID, 502)
			receipt, err := w.Receipt(w.ctx, e.DeviceID)
			w.ok(err)
			if !receipt.CompletedAt.Equal(at(502)) || receipt.TimeToPolicy() != 10*time.Second {
				w.Fatalf("completed %v, after %v", receipt.CompletedAt, receipt.TimeToPolicy())
			}
		},
		"commit": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.policy("p", "one")
			w.bind("p", policy.Target{Serial: "AAA"})
			due := w.claim(1)[0]
			sit, err := w.situation(e.DeviceID)
			w.ok(err)
			if sit.EnrollmentID != e.ID || sit.Awaiting || len(sit.Policies) != 1 || sit.Device.Serial != "AAA" || len(sit.Delivered) != 0 {
				w.Fatalf("situation %+v", sit)
			}
			one := command("profile:a", "h1")
			two := command("profile:b", "h2")
			w.ok(w.commit(due, e.ID, []policy.Command{one, two}, nil, nil, at(10)))
			w.ok(w.commit(due, e.ID, []policy.Command{command("profile:a", "h1")}, nil, nil, at(10))) // a worker that was thought dead
			if len(w.claim(0)) != 0 {
				w.Fatal("still due")
			}
			if pushes := w.pushes(10); !slices.Equal(pushes, []string{e.ID}) {
				w.Fatalf("pushes %v", pushes)
			}
			c, err := w.HandOut(w.ctx, e.ID, at(11), time.Minute)
			w.ok(err)
			if c.ID != one.ID || string(c.Body) != string(one.Body) {
				w.Fatalf("handed out %+v", c)
			}
			if r := w.acknowledge(e.ID, one.ID, 12); r.Next == nil || r.Next.ID != two.ID {
				w.Fatalf("report %+v", r)
			}
			receipt, err := w.Receipt(w.ctx, e.DeviceID)
			w.ok(err)
			if !receipt.CompletedAt.IsZero() || len(receipt.Items) != 2 {
				w.Fatalf("receipt %+v", receipt)
			}
			// The second is overtaken, the first forgotten, a third comes.
			w.policy("p", "two")
			due = w.claim(1)[0]
			three := command("profile:b", "h3")
			w.ok(w.commit(due, e.ID, []policy.Command{three}, []string{two.ID}, []string{"profile:a"}, at(20)))
			for id, want := range map[string]policy.CommandState{one.ID: policy.CommandAcknowledged, two.ID: policy.CommandCancelled, three.ID: policy.CommandQueued} {
				if c, err := w.CommandRecord(w.ctx, id); err != nil || c.State != want {
					w.Errorf("command %+v, %v, want %s", c, err, want)
				}
			}
			sit, err = w.situation(e.DeviceID)
			w.ok(err)
			if want := []policy.Delivered{{Key: "profile:b", Title: three.Title, Hash: "h3", CommandID: three.ID, RequestType: "InstallProfile", State: policy.CommandQueued, Tries: 1, QueuedAt: at(20)}}; !cmp.Equal(sit.Delivered, want) {
				w.Fatalf("delivered %+v", sit.Delivered)
			}
			if c, err := w.HandOut(w.ctx, e.ID, at(21), time.Minute); err != nil || c == nil || c.ID != three.ID {
				w.Fatalf("after a cancelled hand-out: %+v, %v", c, err)
			}
			w.acknowledge(e.ID, three.ID, 22)
			receipt, err = w.Receipt(w.ctx, e.DeviceID)
			w.ok(err)
			if !receipt.CompletedAt.Equal(at(22)) || receipt.TimeToPolicy() != 20*time.Second || receipt.Items[0].Title != "title of profile:b" ||
				receipt.Items[0].Attempts != 1 || !receipt.Items[0].SentAt.Equal(at(21)) {
				w.Fatalf("receipt %+v", receipt)
			}
			// A later change takes its own time, not that of the enrollment.
			w.policy("p", "three")
			four := command("profile:b", "h4")
			w.ok(w.commit(w.claim(1)[0], e.ID, []policy.Command{four}, nil, nil, at(500)))
			if c, err := w.HandOut(w.ctx, e.ID, at(501), time.Minute); err != nil || c == nil || c.ID != four.ID {
				w.Fatalf("handed out %+v, %v", c, err)
			}
			w.acknowledge(e.ID, four.ID, 502)
			receipt, err = w.Receipt(w.ctx, e.DeviceID)
			w.ok(err)
			if !receipt.CompletedAt.Equal(at(502)) || receipt.TimeToPolicy() != 20*time.Second {
				w.Fatalf("receipt %+v", receipt)
			}
			_, err = w.Receipt(w.ctx, w.device("BBB").ID)
			w.kind(err, enroll.KindNotFound)
			if all, err := w.Situations(w.ctx, []string{"nobody"}); err != nil || len(all) != 0 {
				w.Fatalf("situations of nobody: %v, %v", all, err)
			}
		},
		"what devices got of a policy": func(w *world) {
			w.policy("p", "one")
			w.policy("q", "one")
			w.bind("p", policy.Target{Serial: w.device("BBB").Serial})
			w.bind("p", policy.Target{Serial: w.device("CCC").Serial})
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "All"}))
			w.ok(w.ChangeMembers(w.ctx, "All", []string{"AAA"}, nil))
			w.bind("p", policy.Target{Group: "All"})
			states := func(want string) {
				w.Helper()
				var got []string
				for after := ""; ; {
					page, err := w.PolicyReceipts(w.ctx, "p", enroll.Page{After: after, Limit: 2})
					w.ok(err)
					for _, r := range page {
						got = append(got, fmt.Sprintf("%s %s %d %d %d", r.Serial, r.State(), r.Version, len(r.Items), len(r.Notes)))
						after = r.Serial
					}
					if len(page) < 2 {
						break
					}
				}
				if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
					w.Fatal(diff)
				}
			}
			const others = ", BBB not_enrolled 0 0 0, CCC not_enrolled 0 0 0"
			states("AAA waiting 0 0 0" + others)
			sit, err := w.situation(e.DeviceID)
			w.ok(err)
			ours, theirs := command("profile:a", "h1"), command("profile:b", "h2")
			ours.Policies, theirs.Policies = []policy.From{{Policy: "p", Via: "group:All"}}, []policy.From{{Policy: "q", Via: "device"}}
			plan := policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID, Commands: []policy.Command{ours, theirs}, Versions: map[string]int64{sit.Policies[0].ID: 1},
				Notes: []policy.Note{{State: policy.NoteUnsupported, Pointer: "/a", Policies: ours.Policies}, {State: policy.NoteFailed, Pointer: "/b", Policies: theirs.Policies}}}
			w.ok(w.Store.Commit(w.ctx, []policy.Commit{plan}, at(10)))
			states("AAA waiting 1 1 1" + others)
			if r, err := w.Receipt(w.ctx, e.DeviceID); err != nil || !cmp.Equal(r.Versions, map[string]int64{"p": 1}) {
				w.Fatalf("receipt %+v, %v", r, err)
			}
			_, err = w.HandOut(w.ctx, e.ID, at(11), time.Minute)
			w.ok(err)
			w.acknowledge(e.ID, ours.ID, 12)
			states("AAA applied 1 1 1" + others)
			w.policy("p", "two")
			states("AAA waiting 1 1 1" + others)
			_, err = w.PolicyReceipts(w.ctx, "none", enroll.Page{})
			w.kind(err, enroll.KindNotFound)
		},
		"a command handed out meanwhile keeps its item": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			one := command("profile:a", "h1")
			w.ok(w.commit(w.claim(1)[0], e.ID, []policy.Command{one}, nil, nil, at(10)))
			w.policy("p", "one")
			w.bind("p", policy.Target{Serial: "AAA"})
			due := w.claim(1)[0]
			if c, err := w.HandOut(w.ctx, e.ID, at(11), time.Minute); err != nil || c == nil {
				w.Fatalf("handed out %+v, %v", c, err)
			}
			w.ok(w.commit(due, e.ID, nil, []string{one.ID}, []string{"profile:a"}, at(12)))
			if c, err := w.CommandRecord(w.ctx, one.ID); err != nil || c.State != policy.CommandSent {
				w.Errorf("command %+v, %v, want it still sent", c, err)
			}
			if sit, err := w.situation(e.DeviceID); err != nil || len(sit.Delivered) != 1 {
				w.Errorf("delivered %+v, %v", sit.Delivered, err)
			}
			w.claim(1)
		},
		"a change meanwhile leaves the device due": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			due := w.claim(1)[0]
			w.policy("p", "one")
			w.bind("p", policy.Target{Serial: "AAA"})
			if more := w.claim(0); len(more) != 0 {
				w.Fatalf("claimed although leased: %v", more)
			}
			w.ok(w.commit(due, e.ID, []policy.Command{command("profile:a", "h")}, nil, nil, at(10)))
			if again := w.claim(1)[0]; again.Generation <= due.Generation {
				w.Fatalf("claimed %+v after %+v", again, due)
			}
		},
		"an ended enrollment gets nothing": func(w *world) {
			old := w.enroll("AAA", fingerprint(1))
			due := w.claim(1)[0]
			fresh := w.authenticate(w.device("AAA"), fingerprint(2))
			w.token(fresh, fingerprint(2))
			w.pushes(1000)
			c := command("profile:a", "h")
			w.ok(w.commit(due, old.ID, []policy.Command{c}, nil, nil, at(10)))
			_, err := w.CommandRecord(w.ctx, c.ID)
			w.kind(err, enroll.KindNotFound)
			if again := w.claim(1); again[0].DeviceID != fresh.DeviceID {
				w.Fatalf("the new enrollment is not due")
			}
		},
		"a lease ends": func(w *world) {
			w.enroll("AAA", fingerprint(1))
			w.claim(1)
			if due, err := w.ClaimDue(w.ctx, at(159), time.Minute, 10); err != nil || len(due) != 0 {
				w.Fatalf("during the lease: %v, %v", due, err)
			}
			if due, err := w.ClaimDue(w.ctx, at(160), time.Minute, 10); err != nil || len(due) != 1 {
				w.Fatalf("after the lease: %v, %v", due, err)
			}
		},
		"workers share": func(w *world) {
			const n = 40
			for i := range n {
				e := w.enroll("S"+string(rune('A'+i)), fingerprint(i))
				w.queue(e.ID, 1)
			}
			var mu sync.Mutex
			due, pushed := map[string]int{}, map[string]int{}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 5 {
						d, err := w.ClaimDue(w.ctx, at(100), time.Hour, 4)
						p, err2 := w.ClaimPushes(w.ctx, at(100), time.Hour, 4)
						mu.Lock()
						if err != nil || err2 != nil {
							w.Errorf("%v, %v", err, err2)
						}
						for _, one := range d {
							due[one.DeviceID]++
						}
						for _, one := range p {
							pushed[one.EnrollmentID]++
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			for what, counts := range map[string]map[string]int{"due devices": due, "pushes": pushed} {
				for id, times := range counts {
					if times != 1 {
						w.Errorf("%s: %s was claimed %d times", what, id, times)
					}
				}
			}
			rest, err := w.ClaimDue(w.ctx, at(100), time.Hour, 100)
			w.ok(err)
			more, err := w.ClaimPushes(w.ctx, at(100), time.Hour, 100)
			w.ok(err)
			if len(due)+len(rest) != n || len(pushed)+len(more) != n {
				w.Errorf("%d and %d due devices, %d and %d pushes", len(due), len(rest), len(pushed), len(more))
			}
		},
		"changes and enrollments at once": func(w *world) {
			// Every device must be due after both a binding and its enrollment,
			// in whatever order they meet.
			w.policy("p", "one")
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "g", Name: "g"}))
			const n = 12
			var wg sync.WaitGroup
			arrive := func(i int) {
				serial := "S" + string(rune('A'+i))
				e := w.authenticate(w.device(serial), fingerprint(i))
				wg.Go(func() {
					if err := w.ChangeMembers(w.ctx, "g", []string{serial}, nil); err != nil {
						w.Error(err)
					}
				})
				w.token(e, fingerprint(i))
			}
			wg.Go(func() {
				if _, err := w.Bind(w.ctx, "p", policy.Target{Group: "g"}); err != nil {
					w.Error(err)
				}
			})
			for i := range n {
				arrive(i)
				// Plan at once, as a worker would: what is not seen now has to
				// come again.
				for _, d := range w.claim(-1) {
					sit, err := w.situation(d.DeviceID)
					w.ok(err)
					var commands []policy.Command
					if len(sit.Policies) > 0 && len(sit.Delivered) == 0 {
						commands = append(commands, command("profile:p", "h"))
					}
					w.ok(w.commit(d, sit.EnrollmentID, commands, nil, nil, at(100)))
				}
			}
			wg.Wait()
			for _, d := range w.claim(-1) {
				sit, err := w.situation(d.DeviceID)
				w.ok(err)
				if len(sit.Policies) > 0 && len(sit.Delivered) == 0 {
					w.ok(w.commit(d, sit.EnrollmentID, []policy.Command{command("profile:p", "h")}, nil, nil, at(100)))
				}
			}
			devices, err := w.Devices(w.ctx, enroll.DeviceFilter{}, enroll.Page{})
			w.ok(err)
			for _, d := range devices {
				if receipt, err := w.Receipt(w.ctx, d.ID); err != nil || len(receipt.Items) != 1 {
					w.Errorf("%s missed the policy: %+v, %v", d.Serial, receipt, err)
				}
			}
		},
	})
}

func command(key, hash string) policy.Command {
	id := enroll.NewID()
	return policy.Command{ID: id, RequestType: "InstallProfile", Body: []byte("body of " + id), ItemKey: key, Title: "title of " + key, Hash: hash}
}

// claim takes due devices and insists on their number, unless that is negative.
func (w *world) claim(want int) []policy.Due {
	w.Helper()
	due, err := w.ClaimDue(w.ctx, at(100), time.Minute, 1000)
	w.ok(err)
	if want >= 0 && len(due) != want {
		w.Fatalf("%d devices are due, want %d", len(due), want)
	}
	return due
}

func testPushes(t *testing.T, open func(t *testing.T) *storage.Store) {
	result := func(p apns.Push, o apns.Outcome) []apns.Result {
		return []apns.Result{{Push: p, Outcome: o, RetryAt: at(300), Reason: "because", At: at(100)}}
	}
	claim := func(w *world, second, want int) []apns.Push {
		w.Helper()
		p, err := w.ClaimPushes(w.ctx, at(second), time.Minute, 10)
		w.ok(err)
		if len(p) != want {
			w.Fatalf("%d pushes at second %d, want %d", len(p), second, want)
		}
		return p
	}
	each(t, open, map[string]func(w *world){
		"sent": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			claim(w, 10, 0)
			w.ok(w.PushDue(w.ctx, e.ID, at(20)))
			claim(w, 19, 0)
			p := claim(w, 20, 1)[0]
			if p.EnrollmentID != e.ID || p.Topic != "com.apple.mgmt.test" || p.PushMagic != "magic" || string(p.Token) != "\xAA\x01" || p.Attempts != 0 {
				w.Fatalf("push %+v", p)
			}
			claim(w, 79, 0)
			p = claim(w, 80, 1)[0] // the worker died
			w.ok(w.FinishPushes(w.ctx, result(p, apns.Sent)))
			claim(w, 1000, 0)
		},
		"a reason that comes meanwhile": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.PushDue(w.ctx, e.ID, at(20)))
			p := claim(w, 20, 1)[0]
			w.ok(w.PushDue(w.ctx, e.ID, at(50)))
			w.ok(w.FinishPushes(w.ctx, result(p, apns.Sent)))
			claim(w, 49, 0)
			if next := claim(w, 50, 1)[0]; next.Generation <= p.Generation {
				w.Fatalf("generation %d after %d", next.Generation, p.Generation)
			}
		},
		"the earlier of two": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.PushDue(w.ctx, e.ID, at(20)))
			w.ok(w.PushDue(w.ctx, e.ID, at(50)))
			claim(w, 20, 1)
		},
		"retry": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.PushDue(w.ctx, e.ID, at(20)))
			w.ok(w.FinishPushes(w.ctx, result(claim(w, 20, 1)[0], apns.Retry)))
			claim(w, 299, 0)
			p := claim(w, 300, 1)[0]
			if p.Attempts != 1 {
				w.Fatalf("attempts %d", p.Attempts)
			}
			w.ok(w.FinishPushes(w.ctx, result(p, apns.Sent)))
			w.ok(w.PushDue(w.ctx, e.ID, at(400)))
			if p = claim(w, 400, 1)[0]; p.Attempts != 0 {
				w.Fatalf("attempts %d after success", p.Attempts)
			}
		},
		"inactive until the next TokenUpdate": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.queue(e.ID, 1)
			w.ok(w.FinishPushes(w.ctx, result(claim(w, 20, 1)[0], apns.Inactive)))
			if got, err := w.EnrollmentByID(w.ctx, e.ID); err != nil || !got.PushInactiveAt.Equal(at(100)) {
				w.Fatalf("enrollment %+v, %v", got, err)
			}
			w.ok(w.PushDue(w.ctx, e.ID, at(110)))
			claim(w, 110, 0)
			if n, err := w.Stale(w.ctx, at(5000), at(5000)); err != nil || n != 0 {
				w.Fatalf("stale %d, %v", n, err)
			}
			w.token(e, fingerprint(1))
			if got, err := w.EnrollmentByID(w.ctx, e.ID); err != nil || !got.PushInactiveAt.IsZero() {
				w.Fatalf("enrollment %+v, %v", got, err)
			}
			claim(w, 120, 1) // for the command that waits
		},
		"inactive was said of an old token": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.PushDue(w.ctx, e.ID, at(20)))
			p := claim(w, 20, 1)[0]
			p.Token = []byte("an older one")
			w.ok(w.FinishPushes(w.ctx, result(p, apns.Inactive)))
			if got, err := w.EnrollmentByID(w.ctx, e.ID); err != nil || !got.PushInactiveAt.IsZero() {
				w.Fatalf("enrollment %+v, %v", got, err)
			}
		},
		"ended and unknown enrollments": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.CheckOut(w.ctx, e.ID, at(5)))
			w.ok(w.PushDue(w.ctx, e.ID, at(20)))
			w.ok(w.PushDue(w.ctx, "unknown", at(20)))
			a := w.authenticate(w.device("BBB"), fingerprint(2))
			w.ok(w.PushDue(w.ctx, a.ID, at(20))) // it cannot be pushed yet
			claim(w, 20, 0)
			claim(w, 1000, 0)
			w.ok(w.FinishPushes(w.ctx, nil))
		},
		"a command that was queued before the first TokenUpdate": func(w *world) {
			e := w.authenticate(w.device("AAA"), fingerprint(1))
			w.queue(e.ID, 1)
			claim(w, 20, 0)
			w.token(e, fingerprint(1))
			claim(w, 20, 1)
		},
	})
}
