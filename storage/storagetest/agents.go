package storagetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/android"
	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/storage"
)

func testAgents(t *testing.T, open func(t *testing.T) *storage.Store) {
	begin := func(w *world, serial string, key int, change ...func(*android.Start)) (android.Enrollment, error) {
		w.Helper()
		s := android.Start{DeviceID: w.device(serial).ID, Fingerprint: fingerprint(key), PublicKey: []byte{byte(key)}, Token: android.Token{ID: "token"},
			Facts: enroll.Facts{OSVersion: "14"}, DecisionID: "decision", At: at(1)}
		for _, f := range change {
			f(&s)
		}
		return w.StartAgent(w.ctx, s)
	}
	agent := func(w *world, serial string, key int, change ...func(*android.Start)) android.Enrollment {
		w.Helper()
		e, err := begin(w, serial, key, change...)
		w.ok(err)
		return e
	}
	look := func(w *world, id string, second int) android.Enrollment {
		w.Helper()
		e, err := w.Agent(w.ctx, id, at(second), time.Second)
		w.ok(err)
		return e
	}
	queue := func(w *world, e android.Enrollment, second int) string {
		w.Helper()
		id := enroll.NewID()
		w.ok(w.EnqueueAgent(w.ctx, e.ID, android.Command{ID: id, Type: "lock", Body: []byte(`{}`)}, at(second)))
		return id
	}
	each(t, open, map[string]func(w *world){
		"an enrollment is active at once": func(w *world) {
			e := agent(w, "AAA", 1, func(s *android.Start) { s.PushID = "fid" })
			d, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			if d.State != enroll.StateEnrolled || d.EnrollmentID != e.ID || d.Uses != 1 || d.Facts.OSVersion != "14" {
				w.Fatalf("%+v", d)
			}
			want := android.Enrollment{ID: e.ID, DeviceID: d.ID, PublicKey: []byte{1}, TokenID: "token", PushID: "fid"}
			if diff := cmp.Diff(want, look(w, e.ID, 2)); diff != "" {
				w.Fatal(diff)
			}
			if got, err := w.AgentByKey(w.ctx, fingerprint(1)); err != nil || got.ID != e.ID {
				w.Fatalf("%+v, %v", got, err)
			}
			_, err = w.AgentByKey(w.ctx, fingerprint(2))
			w.kind(err, enroll.KindNotFound)
			_, err = w.Agent(w.ctx, "other", at(1), time.Second)
			w.kind(err, enroll.KindNotFound)
			if protocol, err := w.ProtocolOf(w.ctx, e.ID); err != nil || protocol != "agent" {
				w.Fatalf("%q, %v", protocol, err)
			}
			if due := w.dueDevices(); len(due) != 1 || due[0] != d.ID {
				w.Fatalf("due for delivery: %v", due)
			}
			if sit, err := w.situation(d.ID); err != nil || sit.Protocol != policy.ProtocolAgent {
				w.Fatalf("%q, %v", sit.Protocol, err)
			}
		},
		"an enrollment that ended by a wipe says so": func(w *world) {
			for key, test := range map[int]struct {
				kind  string
				state policy.CommandState
				wiped bool
			}{1: {android.TypeWipe, policy.CommandAcknowledged, true}, 2: {android.TypeWipe, policy.CommandFailed, false}, 3: {"lock", policy.CommandAcknowledged, false}} {
				e := agent(w, []string{"AAA", "BBB", "CCC"}[key-1], key)
				id := enroll.NewID()
				w.ok(w.EnqueueAgent(w.ctx, e.ID, android.Command{ID: id, Type: test.kind, Body: []byte(`{}`)}, at(2)))
				_, err := w.ReportAgent(w.ctx, android.Result{EnrollmentID: e.ID, CommandID: id, State: test.state, Data: []byte(`{}`), At: at(3)}, time.Minute)
				w.ok(err)
				if look(w, e.ID, 3).Wiped {
					w.Errorf("%d: wiped before its end", key)
				}
				w.ok(w.CheckOut(w.ctx, e.ID, at(3)))
				if got := look(w, e.ID, 4); got.Wiped != test.wiped {
					w.Errorf("%d: %+v", key, got)
				}
			}
		},
		"who merely says so takes nothing over": func(w *world) {
			first := agent(w, "AAA", 1)
			_, err := begin(w, "AAA", 2)
			w.kind(err, enroll.KindConflict)
			_, err = begin(w, "BBB", 1)
			w.kind(err, enroll.KindConflict)
			second := agent(w, "AAA", 1) // the same key
			if e := look(w, first.ID, 2); e.EndedAt.IsZero() || !e.Replaced {
				w.Fatalf("%+v", e)
			}
			third := agent(w, "AAA", 2, func(s *android.Start) { s.Proven = true })
			if e := look(w, second.ID, 2); !e.Replaced {
				w.Fatalf("%+v", e)
			}
			w.ok(w.CheckOut(w.ctx, third.ID, at(3)))
			if e := look(w, third.ID, 4); e.EndedAt.IsZero() || e.Replaced {
				w.Fatalf("%+v", e)
			}
			agent(w, "AAA", 3)
		},
		"what a token says of the row": func(w *world) {
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "Sales", CreatedAt: start, UpdatedAt: start}))
			owner := w.owned("OWNED", "ann@example.com").UserID
			e := agent(w, "AAA", 1, func(s *android.Start) {
				s.Token.UserID, s.Token.Group, s.Token.Ownership = owner, "Sales", enroll.OwnershipPersonal
			})
			d, err := w.DeviceByID(w.ctx, e.DeviceID)
			w.ok(err)
			if d.UserID != owner || d.Ownership != enroll.OwnershipCorporate { // the row says so itself
				w.Fatalf("%+v", d)
			}
			if groups, err := w.GroupsOf(w.ctx, d.ID); err != nil || len(groups) != 1 || groups[0].Name != "Sales" {
				w.Fatalf("%v, %v", groups, err)
			}
			agent(w, "BBB", 2, func(s *android.Start) { s.Token.Group = "a group that is gone" })
		},
		"a counter is taken once": func(w *world) {
			e := agent(w, "AAA", 1)
			var taken atomic.Int64
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					ok, last, err := w.CountAgent(w.ctx, e.ID, 7, i%2 == 0)
					if err != nil || last != 7 {
						w.Errorf("last %d, %v", last, err)
					}
					if ok {
						taken.Add(1)
					}
				})
			}
			wg.Wait()
			if taken.Load() != 1 {
				w.Fatalf("taken %d times", taken.Load())
			}
			if ok, last, err := w.CountAgent(w.ctx, e.ID, 6, true); ok || last != 7 || err != nil {
				w.Fatalf("%v, %d, %v", ok, last, err)
			}
		},
		"a nonce is used once": func(w *world) {
			use := func(n byte, want bool) {
				w.Helper()
				if fresh, err := w.UseNonce(w.ctx, [32]byte{n}, at(10)); err != nil || fresh != want {
					w.Fatalf("%v, %v", fresh, err)
				}
			}
			use(1, true)
			use(1, false)
			w.ok(w.ForgetNonces(w.ctx, at(9)))
			use(1, false)
			w.ok(w.ForgetNonces(w.ctx, at(10)))
			use(1, true)
		},
		"commands and results": func(w *world) {
			e := agent(w, "AAA", 1)
			first, second := queue(w, e, 2), queue(w, e, 2)
			if got := look(w, e.ID, 3); !got.Due || !got.Open || !got.Ready {
				w.Fatalf("%+v", got)
			}
			c, err := w.HandOutAgent(w.ctx, e.ID, at(3), time.Second)
			if err != nil || c.ID != first || c.Type != "lock" || string(c.Body) != `{}` {
				w.Fatalf("%+v, %v", c, err)
			}
			w.ok(w.SettleWake(w.ctx, e.ID, at(3)))
			if got := look(w, e.ID, 3); got.Due || !got.Open || !got.Ready { // the second one waits
				w.Fatalf("%+v", got)
			}
			done, err := w.ReportAgent(w.ctx, android.Result{EnrollmentID: e.ID, CommandID: first, NotNow: true, At: at(4)}, time.Minute)
			if err != nil || done.Next == nil || done.Next.ID != second {
				w.Fatalf("%+v, %v", done, err)
			}
			acknowledge := android.Result{EnrollmentID: e.ID, CommandID: second, State: policy.CommandAcknowledged, Data: []byte(`{}`), At: at(4)}
			if done, err = w.ReportAgent(w.ctx, acknowledge, time.Minute); err != nil || !done.Fresh || done.Type != "lock" || done.Next != nil {
				w.Fatalf("%+v, %v", done, err)
			}
			if done, err = w.ReportAgent(w.ctx, acknowledge, time.Minute); err != nil || done.Fresh || done.Type != "lock" {
				w.Fatalf("again: %+v, %v", done, err)
			}
			if got := look(w, e.ID, 5); got.Ready || !got.Open { // what was put off waits for the next session
				w.Fatalf("%+v", got)
			}
			if c, err = w.HandOutAgent(w.ctx, e.ID, at(9), time.Second); err != nil || c == nil || c.ID != first {
				w.Fatalf("%+v, %v", c, err)
			}
			if got := look(w, e.ID, 9); got.Ready {
				w.Fatalf("handed out just now: %+v", got)
			}
			if got := look(w, e.ID, 11); !got.Ready {
				w.Fatalf("its result has not come: %+v", got)
			}
		},
		"wakes of agents are not pushed by APNs": func(w *world) {
			e := agent(w, "AAA", 1, func(s *android.Start) { s.PushID = "fid" })
			queue(w, e, 2)
			if ids := w.pushes(5); len(ids) != 0 {
				w.Fatalf("APNs pushes %v", ids)
			}
			if ids, err := w.DueWakes(w.ctx, at(1), at(2)); err != nil || len(ids) != 1 || ids[0] != e.ID {
				w.Fatalf("%v, %v", ids, err)
			}
			if ids, err := w.DueWakes(w.ctx, at(2), at(9)); err != nil || len(ids) != 0 {
				w.Fatalf("%v, %v", ids, err)
			}
			claim := func(second, n int) []android.Wake {
				w.Helper()
				wakes, err := w.ClaimWakes(w.ctx, at(second), at(second), time.Minute, 10)
				if err != nil || len(wakes) != n {
					w.Fatalf("%+v, %v", wakes, err)
				}
				return wakes
			}
			wake := claim(5, 1)[0]
			claim(6, 0) // leased
			w.ok(w.FinishWake(w.ctx, wake, android.WakeOutcome{RetryAt: at(20), Reason: "later"}))
			claim(19, 0)
			wake = claim(20, 1)[0]
			if wake.Attempts != 1 || wake.PushID != "fid" {
				w.Fatalf("%+v", wake)
			}
			queue(w, e, 21) // while it is being sent
			w.ok(w.FinishWake(w.ctx, wake, android.WakeOutcome{SentAt: at(21)}))
			wake = claim(22, 1)[0]
			w.ok(w.FinishWake(w.ctx, wake, android.WakeOutcome{Gone: true}))
			if got := look(w, e.ID, 23); got.PushID != "" || got.Due {
				w.Fatalf("%+v", got)
			}
			queue(w, e, 30)
			w.ok(w.DropWakes(w.ctx, at(29), false))
			if got := look(w, e.ID, 31); !got.Due {
				w.Fatal("a wake was dropped too early")
			}
			w.ok(w.DropWakes(w.ctx, at(30), false))
			if got := look(w, e.ID, 31); got.Due || !got.Open {
				w.Fatalf("%+v", got)
			}
			w.ok(w.SetAgentPush(w.ctx, e.ID, "fid-2"))
			queue(w, e, 40)
			w.ok(w.DropWakes(w.ctx, at(50), true))
			if got := look(w, e.ID, 51); !got.Due {
				w.Fatal("a wake was dropped that FCM has not seen")
			}
			w.ok(w.SetAgentPush(w.ctx, e.ID, ""))
			w.ok(w.DropWakes(w.ctx, at(50), true))
			if got := look(w, e.ID, 51); got.Due {
				w.Fatal("a wake of a device without registration was kept")
			}
		},
		"it leaves when it has been told": func(w *world) {
			e := agent(w, "AAA", 1)
			id := queue(w, e, 2)
			w.ok(w.Disenrolling(w.ctx, e.ID, id))
			if over, err := w.Removed(w.ctx, e.ID, id, at(3)); !over || err != nil {
				w.Fatalf("%v, %v", over, err)
			}
			w.kind(w.EnqueueAgent(w.ctx, e.ID, android.Command{ID: enroll.NewID(), Type: "lock", Body: []byte(`{}`)}, at(4)), enroll.KindConflict)
		},
	})
}
