package storagetest

import (
	"slices"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
)

func testEnrollments(t *testing.T, open func(t *testing.T) *storage.Store) {
	yes, no := true, false
	each(t, open, map[string]func(w *world){
		"from Authenticate to enrolled": func(w *world) {
			d := w.device("AAA")
			r := w.request(d, 1000)
			a := mdm.Authentication{DeviceID: d.ID, UDID: "udid", Fingerprint: fingerprint(1), Topic: "topic", Facts: enroll.Facts{OSVersion: "26.1"},
				DecisionID: "decision", RequestID: r.ID, At: at(1)}
			e, err := w.Authenticate(w.ctx, a)
			w.ok(err)
			if e.State != mdm.EnrollmentAuthenticated || e.DecisionID != "decision" || e.RequestID != r.ID || e.Topic != "topic" || !e.AuthenticatedAt.Equal(at(1)) {
				w.Fatalf("enrollment %+v", e)
			}
			again, err := w.Authenticate(w.ctx, a)
			w.ok(err)
			if again.ID != e.ID {
				w.Fatalf("a repeated Authenticate made another enrollment")
			}
			if due := w.dueDevices(); len(due) != 0 {
				w.Fatalf("due before the TokenUpdate: %v", due)
			}
			if d, err = w.Device(w.ctx, "AAA"); err != nil || d.State != enroll.StateEnrolling || w.inside("AAA").Facts.OSVersion != "26.1" || d.Accepted() {
				w.Fatalf("device %+v, %v", d, err)
			}
			update := mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint(1), Topic: "topic", Token: []byte{1}, PushMagic: "magic", UnlockToken: []byte("unlock"), Awaiting: &yes, At: at(2)}
			for i, want := range []bool{true, false} {
				if first, err := w.TokenUpdate(w.ctx, update); err != nil || first != want {
					w.Fatalf("TokenUpdate %d: first = %v, %v", i, first, err)
				}
			}
			got, err := w.Enrollment(w.ctx, fingerprint(1))
			w.ok(err)
			if got.State != mdm.EnrollmentActive || !got.EnrolledAt.Equal(at(2)) || !got.Awaiting || string(got.Token) != "\x01" || got.PushMagic != "magic" {
				w.Fatalf("enrollment %+v", got)
			}
			if d, err = w.Device(w.ctx, "AAA"); err != nil || d.State != enroll.StateEnrolled || d.EnrollmentID != e.ID || !d.EnrolledAt.Equal(at(2)) || !d.AcceptedAt.Equal(at(2)) {
				w.Fatalf("device %+v, %v", d, err)
			}
			if r, err = w.Request(w.ctx, r.ID); err != nil || r.State != enroll.RequestCompleted || !r.ClosedAt.Equal(at(2)) {
				w.Fatalf("request %+v, %v", r, err)
			}
			if due := w.dueDevices(); !slices.Equal(due, []string{d.ID}) {
				w.Fatalf("due: %v", due)
			}
		},
		"absence does not clear": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			_, err := w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint(1), Awaiting: &yes, At: at(3)})
			w.ok(err)
			_, err = w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint(1), Token: []byte{9}, PushMagic: "new", At: at(4)})
			w.ok(err)
			got, err := w.EnrollmentByID(w.ctx, e.ID)
			w.ok(err)
			if !got.Awaiting || string(got.Token) != "\x09" || got.PushMagic != "new" || got.Topic != "com.apple.mgmt.test" {
				w.Fatalf("enrollment %+v", got)
			}
			if token, err := w.UnlockToken(w.ctx, e.ID); err != nil || string(token) != "unlock" {
				w.Fatalf("unlock token %q, %v", token, err)
			}
			_, err = w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint(1), Awaiting: &no, At: at(5)})
			w.ok(err)
			if got, err = w.EnrollmentByID(w.ctx, e.ID); err != nil || got.Awaiting {
				w.Fatalf("still awaiting: %+v, %v", got, err)
			}
		},
		"a new Authenticate starts afresh": func(w *world) {
			old := w.enroll("AAA", fingerprint(1))
			_, err := w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: old, UserID: "ann", Fingerprint: fingerprint(1), Token: []byte{2}, PushMagic: "m", At: at(3)})
			w.ok(err)
			w.ok(w.SetBootstrapToken(w.ctx, old.ID, []byte("bootstrap")))
			ids := w.queue(old.ID, 2)
			w.acknowledge(old.ID, ids[0], 4)
			fresh := w.authenticate(w.device("AAA"), fingerprint(2))
			if fresh.ID == old.ID {
				w.Fatal("the enrollment is the old one")
			}
			ended, err := w.Enrollment(w.ctx, fingerprint(1))
			w.ok(err)
			if ended.ID != old.ID || ended.State != mdm.EnrollmentEnded || ended.EndedAt.IsZero() || ended.Token != nil || ended.PushMagic != "" {
				w.Fatalf("old enrollment %+v", ended)
			}
			for _, id := range []string{old.ID} {
				if token, err := w.UnlockToken(w.ctx, id); err != nil || token != nil {
					w.Errorf("unlock token %q, %v", token, err)
				}
				if token, err := w.BootstrapToken(w.ctx, id); err != nil || token != nil {
					w.Errorf("bootstrap token %q, %v", token, err)
				}
			}
			for i, want := range []policy.CommandState{policy.CommandAcknowledged, policy.CommandCancelled} {
				if c, err := w.CommandRecord(w.ctx, ids[i]); err != nil || c.State != want || c.FinishedAt.IsZero() {
					w.Errorf("command %d: %+v, %v", i, c, err)
				}
			}
			if r := w.acknowledge(old.ID, ids[1], 5); !r.Known || !r.Repeated || r.Next != nil {
				w.Errorf("late result: %+v", r)
			}
			_, _, err = w.Poll(w.ctx, fingerprint(1), "ann")
			w.kind(err, enroll.KindNotFound)
			if due := w.pushes(1000); len(due) != 0 {
				w.Errorf("pushes %v", due)
			}
			_, err = w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: old, Fingerprint: fingerprint(1), At: at(6)})
			w.kind(err, enroll.KindConflict)
			if !w.token(fresh, fingerprint(2)) {
				w.Error("the new enrollment's TokenUpdate is not its first")
			}
		},
		"a UDID belongs to one enrollment": func(w *world) {
			old := w.enroll("AAA", fingerprint(1))
			d := w.device("BBB")
			_, err := w.Authenticate(w.ctx, mdm.Authentication{DeviceID: d.ID, UDID: "udid-AAA", Fingerprint: fingerprint(2), At: at(5)})
			w.ok(err)
			if e, err := w.EnrollmentByID(w.ctx, old.ID); err != nil || e.State != mdm.EnrollmentEnded {
				w.Fatalf("enrollment %+v, %v", e, err)
			}
			if a, err := w.Device(w.ctx, "AAA"); err != nil || a.State != enroll.StateUnenrolled || a.EnrollmentID != "" {
				w.Fatalf("device %+v, %v", a, err)
			}
		},
		"a certificate belongs to one enrollment": func(w *world) {
			w.enroll("AAA", fingerprint(1))
			_, err := w.Authenticate(w.ctx, mdm.Authentication{DeviceID: w.device("BBB").ID, UDID: "other", Fingerprint: fingerprint(1), At: at(5)})
			w.kind(err, enroll.KindConflict)
			_, err = w.Authenticate(w.ctx, mdm.Authentication{DeviceID: "nobody", Fingerprint: fingerprint(3), At: at(5)})
			w.kind(err, enroll.KindNotFound)
		},
		"renewal": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			_, err := w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, UserID: "ann", Fingerprint: fingerprint(1), Token: []byte{2}, PushMagic: "m", At: at(3)})
			w.ok(err)
			ids := w.queue(e.ID, 1)
			w.ok(w.SetBootstrapToken(w.ctx, e.ID, []byte("bootstrap")))
			before, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			a := mdm.Authentication{DeviceID: e.DeviceID, UDID: e.UDID, Fingerprint: fingerprint(2), Renews: e.ID, At: at(5)}
			for range 2 {
				got, err := w.Authenticate(w.ctx, a)
				w.ok(err)
				if got.ID != e.ID || got.Fingerprint != fingerprint(1) || got.NextFingerprint != fingerprint(2) || got.State != mdm.EnrollmentActive {
					w.Fatalf("renewal %+v", got)
				}
			}
			for _, fp := range []string{fingerprint(1), fingerprint(2)} {
				if got, open, err := w.Poll(w.ctx, fp, ""); err != nil || got.ID != e.ID || !open {
					w.Fatalf("while renewing: %+v, %v", got, err)
				}
				if got, err := w.Enrollment(w.ctx, fp); err != nil || got.ID != e.ID {
					w.Fatalf("while renewing: %+v, %v", got, err)
				}
			}
			if w.token(e, fingerprint(2)) {
				w.Fatal("a renewal is not a first TokenUpdate")
			}
			got, err := w.Enrollment(w.ctx, fingerprint(2))
			w.ok(err)
			if got.ID != e.ID || got.Fingerprint != fingerprint(2) || got.NextFingerprint != "" {
				w.Fatalf("renewed %+v", got)
			}
			_, _, err = w.Poll(w.ctx, fingerprint(1), "")
			w.kind(err, enroll.KindNotFound)
			if _, _, err = w.Poll(w.ctx, fingerprint(2), "ann"); err != nil {
				w.Fatalf("user channel: %v", err)
			}
			if token, err := w.BootstrapToken(w.ctx, e.ID); err != nil || string(token) != "bootstrap" {
				w.Fatalf("bootstrap token %q, %v", token, err)
			}
			if c, err := w.HandOut(w.ctx, e.ID, at(6), time.Minute); err != nil || c == nil || c.ID != ids[0] {
				w.Fatalf("command %+v, %v", c, err)
			}
			after, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			if after.State != before.State || !after.EnrolledAt.Equal(before.EnrolledAt) {
				w.Fatalf("device %+v", after)
			}
			_, err = w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint(1), At: at(7)})
			w.kind(err, enroll.KindConflict)
			w.ok(w.CheckOut(w.ctx, e.ID, at(8)))
			a.Fingerprint = fingerprint(3)
			_, err = w.Authenticate(w.ctx, a)
			w.kind(err, enroll.KindConflict)
		},
		"check-out": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			_, err := w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, UserID: "ann", Fingerprint: fingerprint(1), Token: []byte{2}, PushMagic: "m", At: at(3)})
			w.ok(err)
			user, _, err := w.Poll(w.ctx, fingerprint(1), "ann")
			w.ok(err)
			if user.UserID != "ann" || user.DeviceID != e.DeviceID || user.ID == e.ID || user.State != mdm.EnrollmentActive {
				w.Fatalf("user channel %+v", user)
			}
			w.ok(w.CheckOut(w.ctx, user.ID, at(4)))
			if d, err := w.Device(w.ctx, "AAA"); err != nil || d.State != enroll.StateEnrolled {
				w.Fatalf("a user channel's end ended the device: %+v, %v", d, err)
			}
			_, err = w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, UserID: "ann", Fingerprint: fingerprint(1), Token: []byte{2}, PushMagic: "m", At: at(5)})
			w.ok(err)
			ids := w.queue(e.ID, 1)
			for range 2 {
				w.ok(w.CheckOut(w.ctx, e.ID, at(6)))
			}
			if d, err := w.Device(w.ctx, "AAA"); err != nil || d.State != enroll.StateUnenrolled || d.EnrollmentID != "" {
				w.Fatalf("device %+v, %v", d, err)
			}
			_, _, err = w.Poll(w.ctx, fingerprint(1), "ann")
			w.kind(err, enroll.KindNotFound)
			if c, err := w.CommandRecord(w.ctx, ids[0]); err != nil || c.State != policy.CommandCancelled {
				w.Fatalf("command %+v, %v", c, err)
			}
			w.kind(w.CheckOut(w.ctx, "unknown", at(7)), enroll.KindNotFound)
			w.ok(w.DeleteDevice(w.ctx, "AAA"))
		},
		"facts": func(w *world) {
			d := w.device("AAA")
			w.ok(w.RecordFacts(w.ctx, d.ID, enroll.Facts{Model: "iPhone", Extra: map[string]string{"a": "1"}}))
			for range 2 {
				w.ok(w.RecordFacts(w.ctx, d.ID, enroll.Facts{OSVersion: "26", Extra: map[string]string{"b": "2"}}))
			}
			got := w.inside("AAA")
			if got.Facts.Model != "iPhone" || got.Facts.OSVersion != "26" || len(got.Facts.Extra) != 2 || got.Version != 3 {
				w.Fatalf("device %+v", got)
			}
			w.kind(w.RecordFacts(w.ctx, "nobody", enroll.Facts{}), enroll.KindNotFound)
		},
		"seen": func(w *world) {
			a, b := w.enroll("AAA", fingerprint(1)), w.enroll("BBB", fingerprint(2))
			before, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			w.ok(w.Seen(w.ctx, nil))
			w.ok(w.Seen(w.ctx, map[string]time.Time{a.ID: at(50), b.ID: at(60), "unknown": at(70)}))
			w.ok(w.Seen(w.ctx, map[string]time.Time{a.ID: at(40)}))
			e, err := w.EnrollmentByID(w.ctx, a.ID)
			w.ok(err)
			d, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			if !e.LastSeenAt.Equal(at(50)) || !d.LastSeenAt.Equal(at(50)) || d.Version != before.Version {
				w.Fatalf("enrollment %s, device %s, version %d", e.LastSeenAt, d.LastSeenAt, d.Version)
			}
		},
		"bootstrap token": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			if token, err := w.BootstrapToken(w.ctx, e.ID); err != nil || token != nil {
				w.Fatalf("before: %q, %v", token, err)
			}
			w.ok(w.SetBootstrapToken(w.ctx, e.ID, []byte("one")))
			if token, err := w.BootstrapToken(w.ctx, e.ID); err != nil || string(token) != "one" {
				w.Fatalf("set: %q, %v", token, err)
			}
			w.ok(w.SetBootstrapToken(w.ctx, e.ID, nil))
			if token, err := w.BootstrapToken(w.ctx, e.ID); err != nil || token != nil {
				w.Fatalf("deleted: %q, %v", token, err)
			}
			_, err := w.BootstrapToken(w.ctx, "unknown")
			w.kind(err, enroll.KindNotFound)
		},
	})
}
