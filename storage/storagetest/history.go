package storagetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/mdm/apns"
	"rollcall/policy"
	"rollcall/storage"
)

// story is the timeline of a device, read by pages of a size: kind and what.
func (w *world) story(deviceID string, limit int) []string {
	w.Helper()
	lines := []string{}
	for p := (enroll.Page{Limit: limit}); ; {
		entries, next, err := w.Timeline(w.ctx, deviceID, p)
		w.ok(err)
		for _, e := range entries {
			line := string(e.Kind) + " " + e.What
			if e.Actor != "" {
				line += " by " + e.Actor
			}
			for _, c := range e.Changes {
				line += fmt.Sprintf(", %s %q -> %q", c.Field, c.Old, c.New)
			}
			lines = append(lines, line)
		}
		if next == "" {
			return lines
		}
		p.After = next
	}
}

func testHistory(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a timeline tells who did what": func(w *world) {
			ann := &world{w.TB, w.Store, enroll.WithActor(w.ctx, "Ann")}
			imported := &world{w.TB, w.Store, enroll.WithImport(enroll.WithActor(w.ctx, "Bob"), "import 1")}
			d := imported.put(enroll.Device{Serial: "AAA", Name: "one", Platform: enroll.PlatformIOS}, "")
			ann.put(enroll.Device{Serial: "AAA", Name: "two", Platform: enroll.PlatformIOS, Tags: []string{"a", "b"}}, "ann@example.com")
			w.request(d, 100000)
			want := []string{
				`changed changed, state "pre_enrolled" -> "invited"`,
				`changed changed by Ann, name "one" -> "two", user "" -> "ann@example.com", tags "" -> "a, b"`,
				"created created by Bob",
				"request created by admin",
			}
			for _, limit := range []int{1, 2, 100} {
				if diff := cmp.Diff(want, w.story(d.ID, limit)); diff != "" {
					w.Errorf("by %d (-want +got)\n%s", limit, diff)
				}
			}
			entries, _, err := w.Timeline(w.ctx, d.ID, enroll.Page{})
			w.ok(err)
			if entries[2].ImportID != "import 1" || entries[1].ImportID != "" {
				w.Errorf("imports: %+v", entries)
			}
			_, _, err = w.Timeline(w.ctx, "nobody", enroll.Page{})
			w.kind(err, enroll.KindNotFound)
			_, _, err = w.Timeline(w.ctx, d.ID, enroll.Page{After: "x"})
			w.kind(err, enroll.KindInvalid)
		},
		"over all enrollments": func(w *world) {
			first := w.enroll("AAA", fingerprint(1))
			old := w.queue(first.ID, 2)
			w.ok(w.CheckOut(w.ctx, first.ID, at(20)))
			second := w.enroll("AAA", fingerprint(2))
			fresh := w.queue(second.ID, 2)
			other := w.enroll("BBB", fingerprint(3))
			foreign := w.queue(other.ID, 1)
			var got []string
			for after := ""; ; {
				page, err := w.DeviceCommands(w.ctx, first.DeviceID, enroll.Page{Limit: 3, After: after})
				w.ok(err)
				if len(page) == 0 {
					break
				}
				for _, c := range page {
					got = append(got, c.ID)
				}
				after = got[len(got)-1]
			}
			if diff := cmp.Diff([]string{fresh[1], fresh[0], old[1], old[0]}, got); diff != "" {
				w.Errorf("(-want +got)\n%s", diff)
			}
			if c, err := w.DeviceCommand(w.ctx, first.DeviceID, old[0]); err != nil || c.State != policy.CommandCancelled {
				w.Errorf("a command of the first enrollment: %+v, %v", c, err)
			}
			_, err := w.DeviceCommand(w.ctx, first.DeviceID, foreign[0])
			w.kind(err, enroll.KindNotFound)
			story := strings.Join(w.story(first.DeviceID, 3), "\n")
			if n := strings.Count(story, "enrollment enrolled"); n != 2 || strings.Count(story, "command DeviceInformation") != 4 || strings.Count(story, "enrollment ended") != 1 {
				w.Errorf("the timeline has\n%s", story)
			}
		},
		"a row that is stuck in enrolling": func(w *world) {
			d := w.device("AAA")
			e := w.authenticate(d, fingerprint(1))
			released, err := w.ReleaseDevice(w.ctx, "AAA", at(5))
			w.ok(err)
			if released.State != enroll.StatePreEnrolled || released.EnrollmentID != "" {
				w.Errorf("released: %+v", released)
			}
			if got, err := w.EnrollmentByID(w.ctx, e.ID); err != nil || got.State != mdm.EnrollmentEnded {
				w.Errorf("its enrollment: %+v, %v", got, err)
			}
			e = w.authenticate(d, fingerprint(2))
			w.ok(w.DeleteDevice(w.ctx, "AAA"))
			if got, err := w.EnrollmentByID(w.ctx, e.ID); err != nil || got.State != mdm.EnrollmentEnded {
				w.Errorf("the enrollment of the deleted row: %+v, %v", got, err)
			}
			_, err = w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint(2), Topic: "t", Token: []byte{1}, PushMagic: "m", At: at(6)})
			w.kind(err, enroll.KindNotFound)
			w.enroll("AAA", fingerprint(3)) // and it comes back
		},
		"release of an enrolled device leaves nothing": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			ids := w.queue(e.ID, 1)
			w.kind(w.DeleteDevice(w.ctx, "AAA"), enroll.KindConflict)
			d, err := w.ReleaseDevice(w.ctx, "AAA", at(5))
			w.ok(err)
			if d.State != enroll.StateUnenrolled || d.EnrollmentID != "" {
				w.Errorf("released: %+v", d)
			}
			if c, err := w.CommandRecord(w.ctx, ids[0]); err != nil || c.State != policy.CommandCancelled {
				w.Errorf("its command: %+v, %v", c, err)
			}
			if token, err := w.UnlockToken(w.ctx, e.ID); err != nil || token != nil {
				w.Errorf("its unlock token: %q, %v", token, err)
			}
			if got := w.pushes(100); len(got) != 0 {
				w.Errorf("pushes: %v", got)
			}
			_, err = w.ReleaseDevice(w.ctx, "AAA", at(6))
			w.kind(err, enroll.KindConflict)
			again := w.enroll("AAA", fingerprint(2))
			if cs, err := w.Commands(w.ctx, again.ID, enroll.Page{}); err != nil || len(cs) != 0 {
				w.Errorf("the next enrollment begins with %v, %v", cs, err)
			}
			w.ok(w.CheckOut(w.ctx, again.ID, at(9)))
			w.ok(w.DeleteDevice(w.ctx, "AAA"))
			_, err = w.ReleaseDevice(w.ctx, "AAA", at(9))
			w.kind(err, enroll.KindNotFound)
		},
		"the removal of the enrollment profile ends the enrollment": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			ids := w.queue(e.ID, 2)
			w.ok(w.Disenrolling(w.ctx, e.ID, ids[1]))
			for i, want := range []bool{false, true, false} {
				if over, err := w.Removed(w.ctx, e.ID, ids[min(i, 1)], at(7)); err != nil || over != want {
					w.Errorf("command %d: over %v, %v", i, over, err)
				}
			}
			if d, err := w.Device(w.ctx, "AAA"); err != nil || d.State != enroll.StateUnenrolled {
				w.Errorf("the device is %s, %v", d.State, err)
			}
			w.kind(w.Disenrolling(w.ctx, e.ID, ids[0]), enroll.KindConflict)
		},
		"a push that was given back costs no attempt": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.PushDue(w.ctx, e.ID, at(10)))
			for i, c := range []struct {
				reason string
				want   int
			}{{apns.ReasonReleased, 0}, {"TooManyRequests", 1}, {apns.ReasonReleased, 1}} {
				claimed, err := w.ClaimPushes(w.ctx, at(20+i), 0, 10)
				w.ok(err)
				w.ok(w.FinishPushes(w.ctx, []apns.Result{{Push: claimed[0], Outcome: apns.Retry, RetryAt: at(20 + i), Reason: c.reason, At: at(20 + i)}}))
				claimed, err = w.ClaimPushes(w.ctx, at(20+i), 0, 10)
				w.ok(err)
				if len(claimed) != 1 || claimed[0].Attempts != c.want {
					w.Errorf("after %s: %+v, want %d attempts", c.reason, claimed, c.want)
				}
			}
		},
		"users and domains": func(w *world) {
			w.ok(w.CreateDomain(w.ctx, enroll.Domain{Name: "example.com", CreatedAt: start}))
			w.kind(w.CreateDomain(w.ctx, enroll.Domain{Name: "example.com"}), enroll.KindConflict)
			make := func(domain, email string) (enroll.User, bool, error) {
				return w.ChangeUser(w.ctx, domain, email, func(old *enroll.User) (enroll.User, error) {
					if old != nil {
						return *old, nil
					}
					return enroll.User{ID: enroll.NewID(), Domain: domain, Email: email, Name: "N", Language: "de", CreatedAt: start}, nil
				})
			}
			ann, changed, err := make("example.com", "ann@example.com")
			w.ok(err)
			if !changed || ann.Language != "de" {
				w.Errorf("made: %+v", ann)
			}
			if again, changed, err := make("example.com", "ann@example.com"); err != nil || changed || again != ann {
				w.Errorf("again: %+v, %v, %v", again, changed, err)
			}
			_, _, err = make("nowhere", "ann@example.com")
			w.kind(err, enroll.KindNotFound)
			bob, _, err := make("local", "ann@example.com")
			w.ok(err)
			if got, err := w.UserByEmail(w.ctx, "example.com", "ann@example.com"); err != nil || got != ann {
				w.Errorf("by e-mail: %+v, %v", got, err)
			}
			page, err := w.Users(w.ctx, enroll.UserFilter{Search: "ANN@"}, enroll.Page{Limit: 1})
			w.ok(err)
			rest, err := w.Users(w.ctx, enroll.UserFilter{}, enroll.Page{Limit: 5, After: enroll.UserKey(page[0])})
			w.ok(err)
			if diff := cmp.Diff([]enroll.User{ann, bob}, append(page, rest...)); diff != "" {
				w.Errorf("list (-want +got)\n%s", diff)
			}
			if got, err := w.Users(w.ctx, enroll.UserFilter{Domain: "local"}, enroll.Page{}); err != nil || len(got) != 1 || got[0] != bob {
				w.Errorf("of a domain: %+v, %v", got, err)
			}
			many, err := w.UsersByID(w.ctx, []string{ann.ID, "", "nobody", ann.ID})
			w.ok(err)
			if diff := cmp.Diff(map[string]enroll.User{ann.ID: ann}, many); diff != "" {
				w.Errorf("many (-want +got)\n%s", diff)
			}
			w.kind(w.DeleteDomain(w.ctx, "example.com"), enroll.KindConflict)
			w.put(enroll.Device{Serial: "AAA"}, "carl@example.com")
			carl, err := w.UserByEmail(w.ctx, "local", "carl@example.com")
			w.ok(err)
			w.kind(w.DeleteUser(w.ctx, carl.ID), enroll.KindConflict)
			w.ok(w.DeleteUser(w.ctx, ann.ID))
			w.kind(w.DeleteUser(w.ctx, ann.ID), enroll.KindNotFound)
			w.ok(w.DeleteDomain(w.ctx, "example.com"))
			w.kind(w.DeleteDomain(w.ctx, "example.com"), enroll.KindNotFound)
			w.kind(w.DeleteDomain(w.ctx, "local"), enroll.KindConflict)
			if ds, err := w.Domains(w.ctx); err != nil || len(ds) != 1 || ds[0].Users != 2 {
				w.Errorf("domains: %+v, %v", ds, err)
			}
		},
	})
}
