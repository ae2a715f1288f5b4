package storagetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
)

// testPlans is what plans write beside commands, and what makes a device due
// without anybody changing anything.
func testPlans(t *testing.T, open func(t *testing.T) *storage.Store) {
	plan := func(w *world, p policy.Commit, second int) {
		w.Helper()
		w.ok(w.Commit(w.ctx, []policy.Commit{p}, at(second)))
	}
	each(t, open, map[string]func(w *world){
		"again": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			due := w.claim(1)[0]
			plan(w, policy.Commit{Due: due, EnrollmentID: e.ID, Again: at(500)}, 10)
			claim := func(second, want int) []policy.Due {
				w.Helper()
				d, err := w.ClaimDue(w.ctx, at(second), time.Minute, 10)
				w.ok(err)
				if len(d) != want {
					w.Fatalf("%d due at second %d, want %d", len(d), second, want)
				}
				return d
			}
			claim(499, 0)
			next := claim(500, 1)[0]
			if next.Generation <= due.Generation {
				w.Fatalf("generation %d after %d", next.Generation, due.Generation)
			}
			claim(501, 0) // leased
			plan(w, policy.Commit{Due: next, EnrollmentID: e.ID}, 502)
			claim(100_000, 0)
			// A reason from outside does not have to wait, and the plan made for
			// it says when to look again.
			w.policy("p", "x")
			w.bind("p", policy.Target{Serial: "AAA"})
			plan(w, policy.Commit{Due: claim(600, 1)[0], EnrollmentID: e.ID, Again: at(900)}, 601)
			claim(899, 0)
			claim(900, 1)
		},
		"several devices at once": func(w *world) {
			var plans []policy.Commit
			enrollments := map[string]mdm.Enrollment{}
			for i, serial := range []string{"AAA", "BBB", "CCC"} {
				e := w.enroll(serial, fingerprint(i))
				enrollments[e.DeviceID] = e
			}
			for _, due := range w.claim(3) {
				plans = append(plans, policy.Commit{Due: due, EnrollmentID: enrollments[due.DeviceID].ID,
					Commands: []policy.Command{command("profile:a", "1"), command("profile:b", "1"), command("app:c", "1")}})
			}
			w.ok(w.CheckOut(w.ctx, plans[1].EnrollmentID, at(5)))
			w.ok(w.Commit(w.ctx, plans, at(10)))
			for i, p := range plans {
				all, err := w.Situations(w.ctx, []string{p.Due.DeviceID})
				w.ok(err)
				sit := all[p.Due.DeviceID]
				if i == 1 {
					if sit.EnrollmentID != "" || len(sit.Delivered) != 0 {
						w.Errorf("an ended enrollment got %+v", sit)
					}
					continue
				}
				var got []string
				for _, d := range sit.Delivered {
					got = append(got, d.Key)
				}
				if !slices.Equal(got, []string{"profile:a", "profile:b", "app:c"}) {
					w.Errorf("delivered %v", got)
				}
				if c, err := w.HandOut(w.ctx, p.EnrollmentID, at(11), time.Minute); err != nil || c.ID != p.Commands[0].ID {
					w.Errorf("handed out %+v, %v", c, err)
				}
			}
			if pushes := w.pushes(12); len(pushes) != 2 {
				w.Errorf("pushes %v", pushes)
			}
			w.claim(0)
		},
		"receipt": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			c := command("profile:a", "1")
			c.Policies, c.Identifier, c.Tries, c.Reason = []policy.From{{Policy: "p", Via: "device"}}, "a", 2, policy.ReasonRetry
			notes := []policy.Note{{State: policy.NoteUnsupported, Pointer: "/restrictions/sms", Code: "platform", Text: "no", Policies: c.Policies}}
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID, Commands: []policy.Command{c}, Notes: notes}, 10)
			r, err := w.Receipt(w.ctx, e.DeviceID)
			w.ok(err)
			if diff := cmp.Diff(notes, r.Notes); diff != "" || len(r.Items) != 1 {
				w.Fatalf("receipt %+v (-want +got):\n%s", r, diff)
			}
			if i := r.Items[0]; i.State() != policy.ItemWaiting || !slices.Equal(i.Policies, c.Policies) || i.Tries != 2 || i.Reason != policy.ReasonRetry {
				w.Errorf("item %+v", i)
			}
			state := func(want policy.ItemState) {
				w.Helper()
				r, err := w.Receipt(w.ctx, e.DeviceID)
				w.ok(err)
				if got := r.Items[0].State(); got != want {
					w.Errorf("state %s, want %s", got, want)
				}
			}
			_, err = w.HandOut(w.ctx, e.ID, at(11), time.Minute)
			w.ok(err)
			state(policy.ItemSent)
			_, err = w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: c.ID, NotNow: true, At: at(12)}, time.Minute)
			w.ok(err)
			state(policy.ItemNotNow)
			w.acknowledge(e.ID, c.ID, 13)
			state(policy.ItemApplied)
			// From now on the item comes from another policy, and nothing is
			// unsupported any more.
			other := []policy.From{{Policy: "q", Via: "user"}}
			w.policy("p", "x")
			w.bind("p", policy.Target{Serial: "AAA"})
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID, Labels: []policy.Label{{ItemKey: "profile:a", Policies: other}}}, 20)
			r, err = w.Receipt(w.ctx, e.DeviceID)
			w.ok(err)
			if len(r.Notes) != 0 || !slices.Equal(r.Items[0].Policies, other) || r.CompletedAt.IsZero() {
				w.Errorf("receipt %+v", r)
			}
		},
		"a failed item is planned again": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			c := command("profile:a", "1")
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID, Commands: []policy.Command{c}}, 10)
			_, err := w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: c.ID, State: policy.CommandFailed, Error: "NSURLErrorDomain -1: x", At: at(12)}, time.Minute)
			w.ok(err)
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID}, 13)
			if r, err := w.Receipt(w.ctx, e.DeviceID); err != nil || !r.Items[0].RetryAt.After(at(12)) {
				w.Errorf("receipt %+v, %v", r, err)
			}
			other := w.queue(e.ID, 1)[0] // of no policy
			_, err = w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: other, State: policy.CommandFailed, Error: "x", At: at(14)}, time.Minute)
			w.ok(err)
			w.claim(0)
		},
		"the last answer of a device in Setup Assistant": func(w *world) {
			e := w.authenticate(w.device("AAA"), fingerprint(1))
			yes := true
			_, err := w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint(1), Topic: "t", Token: []byte{1}, PushMagic: "m", Awaiting: &yes, At: at(2)})
			w.ok(err)
			one, two := command("profile:a", "1"), command("profile:b", "1")
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID, Commands: []policy.Command{one, two}}, 10)
			w.acknowledge(e.ID, one.ID, 11)
			w.claim(0)
			w.acknowledge(e.ID, two.ID, 12)
			w.claim(1)
		},
		"an answered check": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			check, app := command("check:profiles", "1"), command("app:a", "1")
			check.RequestType, app.RequestType = "ProfileList", "InstallApplication"
			profile := command("profile:a", "1")
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID, Commands: []policy.Command{profile, app, check}}, 10)
			w.acknowledge(e.ID, profile.ID, 11)
			w.acknowledge(e.ID, app.ID, 12)
			w.claim(0)
			w.acknowledge(e.ID, check.ID, 13)
			w.claim(1)
			sit, err := w.situation(e.DeviceID)
			w.ok(err)
			for i, want := range []string{"", "result", "result"} {
				if got := string(sit.Delivered[i].Result); got != want {
					w.Errorf("result of %s: %q, want %q", sit.Delivered[i].Key, got, want)
				}
			}
		},
		"completion is told when the last plan has nothing to send": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			c := command("profile:a", "1")
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID, Commands: []policy.Command{c}}, 10)
			w.policy("p", "x")
			w.bind("p", policy.Target{Serial: "AAA"}) // a plan is wanted when the answer comes
			w.acknowledge(e.ID, c.ID, 11)
			told := func() []string {
				w.publish(20)
				got, _ := w.events(0, "policy.completed")
				return got
			}
			if got := told(); len(got) != 0 {
				w.Fatalf("told too early: %v", got)
			}
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID}, 12)
			if got := told(); !slices.Equal(got, []string{"policy.completed AAA"}) {
				w.Fatalf("told %v", got)
			}
			_, err := w.Unbind(w.ctx, "p", policy.Target{Serial: "AAA"})
			w.ok(err)
			plan(w, policy.Commit{Due: w.claim(1)[0], EnrollmentID: e.ID}, 13)
			if got := told(); len(got) != 1 {
				w.Fatalf("told again: %v", got)
			}
		},
		"user enrollment": func(w *world) {
			for i, c := range []struct {
				account   string
				ownership enroll.Ownership
				want      bool
			}{{"ann@example.com", enroll.OwnershipPersonal, true}, {"ann@example.com", enroll.OwnershipCorporate, false}, {"", enroll.OwnershipPersonal, false}} {
				serial := string(rune('A' + i))
				d := w.device(serial)
				_, _, err := w.ChangeDevice(w.ctx, serial, nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
					old.Ownership = c.ownership
					return *old, nil
				})
				w.ok(err)
				e, err := w.Authenticate(w.ctx, mdm.Authentication{DeviceID: d.ID, UDID: serial, Fingerprint: fingerprint(i), Account: c.account, At: at(1)})
				w.ok(err)
				w.token(e, fingerprint(i))
				if sit, err := w.situation(d.ID); err != nil || sit.UserEnrollment != c.want {
					w.Errorf("%+v: %v, %v", c, sit.UserEnrollment, err)
				}
			}
		},
		"more is known of a device": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.dueDevices()
			yes := true
			w.ok(w.RecordFacts(w.ctx, e.DeviceID, enroll.Facts{Extra: map[string]string{"BatteryLevel": "0.5"}}))
			w.claim(0)
			w.ok(w.RecordFacts(w.ctx, e.DeviceID, enroll.Facts{Supervised: &yes}))
			w.ok(w.commit(w.claim(1)[0], e.ID, nil, nil, nil, at(100)))
			w.ok(w.RecordFacts(w.ctx, e.DeviceID, enroll.Facts{Supervised: &yes}))
			w.claim(0)
			w.ok(w.RecordFacts(w.ctx, e.DeviceID, enroll.Facts{OSVersion: "26.2"}))
			w.claim(1)
		},
	})
}
