package storagetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/storage"
)

func testDeclarations(t *testing.T, open func(t *testing.T) *storage.Store) {
	// declared plans declarations for the device that is due.
	declared := func(w *world, enrollmentID string, second int, ds ...policy.Declaration) {
		w.Helper()
		due, err := w.ClaimDue(w.ctx, at(second), 0, 10)
		w.ok(err)
		if len(due) != 1 {
			w.Fatalf("%d devices are due, want 1", len(due))
		}
		w.ok(w.Commit(w.ctx, []policy.Commit{{Due: due[0], EnrollmentID: enrollmentID, Declare: true, Declarations: ds}}, at(second)))
	}
	one := policy.Declaration{Kind: "configuration", Type: "com.apple.configuration.passcode.settings", Identifier: "rollcall.passcode", ServerToken: "t1", Body: []byte(`{"a":1}`)}
	two := policy.Declaration{Kind: "activation", Type: "com.apple.activation.simple", Identifier: "rollcall.all", ServerToken: "t2", Body: []byte(`{"b":2}`)}
	lacksBody := func(d policy.Declaration) policy.Declaration { d.Body = nil; return d }
	report := func(w *world, enrollmentID, text string, second int) {
		w.Helper()
		w.ok(w.ChangeDeclarativeStatus(w.ctx, enrollmentID, func(s *policy.DeclarativeStatus) error { return s.Merge([]byte(text), at(second)) }))
	}

	each(t, open, map[string]func(w *world){
		"are what was committed last": func(w *world) {
			e := w.enroll("DECLARED1", fingerprint(1))
			none, err := w.DeclarationSet(w.ctx, e.ID)
			if w.ok(err); none.Token != "" {
				w.Fatalf("set %+v before any", none)
			}
			declared(w, e.ID, 10, one, two)
			first, err := w.DeclarationSet(w.ctx, e.ID)
			w.ok(err)
			if diff := cmp.Diff([]policy.Declaration{lacksBody(two), lacksBody(one)}, first.Declarations); diff != "" {
				w.Error(diff)
			}
			if first.Token == "" || !first.ChangedAt.Equal(at(10)) {
				w.Errorf("token %q at %v", first.Token, first.ChangedAt)
			}
			got, err := w.Declaration(w.ctx, e.ID, "configuration", "rollcall.passcode")
			w.ok(err)
			if diff := cmp.Diff(one, got); diff != "" {
				w.Error(diff)
			}

			w.change("DECLARED1", func(d *enroll.Device) { d.Name = "one" })
			declared(w, e.ID, 20, one, two)
			if same, err := w.DeclarationSet(w.ctx, e.ID); err != nil || !same.ChangedAt.Equal(at(10)) || same.Token != first.Token {
				w.Errorf("the same set again has the token %q at %v (%v)", same.Token, same.ChangedAt, err)
			}
			w.change("DECLARED1", func(d *enroll.Device) { d.Name = "two" })
			declared(w, e.ID, 30, two)
			if less, err := w.DeclarationSet(w.ctx, e.ID); err != nil || len(less.Declarations) != 1 || less.Token == first.Token || !less.ChangedAt.Equal(at(30)) {
				w.Errorf("set %+v (%v)", less, err)
			}
			_, err = w.Declaration(w.ctx, e.ID, "configuration", "rollcall.passcode")
			w.kind(err, enroll.KindNotFound)
			other := w.enroll("DECLARED2", fingerprint(2))
			_, err = w.Declaration(w.ctx, other.ID, "activation", "rollcall.all")
			w.kind(err, enroll.KindNotFound)
		},
		"status is merged, and new abilities make the delivery due": func(w *world) {
			e := w.enroll("DECLARED3", fingerprint(3))
			w.dueDevices()
			report(w, e.ID, `{"StatusItems":{"passcode":{"is-present":true}}}`, 5)
			if due := w.dueDevices(); len(due) != 0 {
				w.Errorf("due %v after a report without abilities", due)
			}
			abilities := `{"StatusItems":{"management":{"client-capabilities":{"supported-payloads":{"declarations":{"configurations":["c"]}}}}}}`
			report(w, e.ID, abilities, 6)
			if due := w.dueDevices(); len(due) != 1 {
				w.Errorf("due %v after its first abilities", due)
			}
			report(w, e.ID, abilities, 7)
			if due := w.dueDevices(); len(due) != 0 {
				w.Errorf("due %v after the same abilities", due)
			}
			s, err := w.DeclarativeStatus(w.ctx, e.ID)
			w.ok(err)
			if diff := cmp.Diff(map[string]bool{"c": true}, s.Supported()); diff != "" || s.Items["passcode"] == nil || !s.At.Equal(at(7)) {
				w.Errorf("status %+v %s", s, diff)
			}
		},
		"end with the enrollment": func(w *world) {
			e := w.enroll("DECLARED4", fingerprint(4))
			declared(w, e.ID, 10, one)
			report(w, e.ID, `{"StatusItems":{"x":1}}`, 11)
			w.ok(w.CheckOut(w.ctx, e.ID, at(12)))
			if set, err := w.DeclarationSet(w.ctx, e.ID); err != nil || set.Token != "" {
				w.Errorf("set %+v (%v)", set, err)
			}
			w.kind(w.ChangeDeclarativeStatus(w.ctx, e.ID, func(*policy.DeclarativeStatus) error { return nil }), enroll.KindConflict)
		},
	})
}
