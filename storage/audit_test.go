package storage

import (
	"bytes"
	"fmt"
	"testing"

	"rollcall/enroll"
)

// TestTampering edits the log in the database, in every way that an entry can
// be made to lie, and wants the walk along the chain to say where.
func TestTampering(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		s := openTest(t, dsn)
		ctx := enroll.WithCall(t.Context(), enroll.Call{ActorKind: "token", ActorID: "t", ActorName: "anna", Operation: "put-device", Path: "/x", RequestID: "r", RemoteAddr: "192.0.2.1"})
		const entries = 6
		for i := range entries {
			if _, _, err := s.ChangeDevice(ctx, fmt.Sprint("S", i), nil, func(*enroll.Device, string) (enroll.Device, error) {
				return enroll.Device{ID: enroll.NewID(), Platform: enroll.PlatformIOS, State: enroll.StatePreEnrolled}, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		exec := func(t *testing.T, statements ...string) {
			t.Helper()
			if err := s.write(t.Context(), func(tx *session) error {
				for _, q := range statements {
					if _, err := tx.exec(t.Context(), q); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		verify := func(t *testing.T) enroll.AuditReport {
			t.Helper()
			r, err := s.VerifyAudit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := verify(t); r.Broken != 0 || r.Entries != entries {
			t.Fatalf("before: %+v", r)
		}
		exec(t, `CREATE TABLE kept AS SELECT * FROM audit`, `CREATE TABLE kept_heads AS SELECT * FROM heads`)
		tests := map[string]struct {
			edit   string
			broken int64
		}{
			"another actor":        {`UPDATE audit SET actor_name = 'bob' WHERE seq = 3`, 3},
			"another token":        {`UPDATE audit SET actor_id = 'u' WHERE seq = 3`, 3},
			"another actor kind":   {`UPDATE audit SET actor_kind = 'administrator' WHERE seq = 3`, 3},
			"another time":         {`UPDATE audit SET at = at + 1 WHERE seq = 4`, 4},
			"another value":        {`UPDATE audit SET new_value = '{}' WHERE seq = 2`, 2},
			"another value before": {`UPDATE audit SET old_value = '{}' WHERE seq = 2`, 2},
			"another object":       {`UPDATE audit SET object_key = 'S9' WHERE seq = 1`, 1},
			"another kind":         {`UPDATE audit SET kind = 'group' WHERE seq = 1`, 1},
			"another operation":    {`UPDATE audit SET operation = 'x' WHERE seq = 1`, 1},
			"another path":         {`UPDATE audit SET path = '/y' WHERE seq = 1`, 1},
			"another request":      {`UPDATE audit SET request_id = 'q' WHERE seq = 1`, 1},
			"another address":      {`UPDATE audit SET remote_addr = '' WHERE seq = 6`, 6},
			"another id":           {`UPDATE audit SET id = 'x' WHERE seq = 6`, 6},
			"an entry less":        {`DELETE FROM audit WHERE seq = 3`, 3},
			"without the first":    {`DELETE FROM audit WHERE seq = 1`, 1},
			"without the last":     {`DELETE FROM audit WHERE seq = 6`, 6},
			"without any":          {`DELETE FROM audit`, 1},
			"another hash":         {`UPDATE audit SET hash = (SELECT o.hash FROM kept o WHERE o.seq = 1) WHERE seq = 2`, 2},
			"a shorter head":       {`UPDATE heads SET seq = 5 WHERE name = 'audit'`, 7},
			"moved to the end":     {`UPDATE audit SET seq = 7 WHERE seq = 1`, 1},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				exec(t, test.edit)
				r := verify(t)
				if r.Broken != test.broken || r.Reason == "" {
					t.Errorf("%+v, want %d to be broken", r, test.broken)
				}
				exec(t, `DELETE FROM audit`, `INSERT INTO audit SELECT * FROM kept`, `DELETE FROM heads`, `INSERT INTO heads SELECT * FROM kept_heads`)
				if r := verify(t); r.Broken != 0 {
					t.Fatalf("put back: %+v", r)
				}
			})
		}
		t.Run("a chain made anew without the key", func(t *testing.T) {
			var rows []auditRow
			if err := s.all(t.Context(), &rows, selectAudit+"ORDER BY seq"); err != nil {
				t.Fatal(err)
			}
			if err := s.write(t.Context(), func(tx *session) error {
				var previous []byte
				for _, r := range rows {
					r.ActorName = "bob"
					previous = link(bytes.Repeat([]byte{0}, 32), previous, r.entry())
					if _, err := tx.exec(t.Context(), `UPDATE audit SET actor_name = 'bob', hash = ? WHERE seq = ?`, previous, r.Seq); err != nil {
						return err
					}
				}
				_, err := tx.exec(t.Context(), `UPDATE heads SET hash = ? WHERE name = 'audit'`, previous)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if r := verify(t); r.Broken != 1 {
				t.Errorf("%+v, want the first entry to be broken", r)
			}
		})
	})
}
