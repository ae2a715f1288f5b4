package storage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
)

// TestHistoryCostsNothing: the hot queries go through the partial index on
// open commands, so 10,000 finished ones do not show.
func TestHistoryCostsNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		s := openTest(t, dsn)
		ctx := t.Context()
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		if _, _, err := s.ChangeDevice(ctx, "AAA", nil, func(*enroll.Device, string) (enroll.Device, error) {
			return enroll.Device{ID: "device", State: enroll.StatePreEnrolled}, nil
		}); err != nil {
			t.Fatal(err)
		}
		e, err := s.Authenticate(ctx, mdm.Authentication{DeviceID: "device", UDID: "u", Fingerprint: "f", At: at})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.write(ctx, func(tx *session) error {
			if _, err := tx.exec(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
				INSERT INTO commands (enrollment_id, seq, id, request_type, body, state, deferred, not_now, attempts, error, queued_at, sent_at, handed_at, finished_at)
				SELECT CAST(? AS text), i, 'past ' || i, 'ProfileList', '', 'acknowledged', FALSE, FALSE, 1, '', i, i, 0, i FROM n`, e.ID); err != nil {
				return err
			}
			if _, err := tx.exec(ctx, `UPDATE enrollments SET command_seq = 10000 WHERE id = ?`, e.ID); err != nil {
				return err
			}
			// A few hundred neighbours, so that an index is worth its while.
			var devices []deviceRow
			for i := range 500 {
				devices = append(devices, newDeviceRow(enroll.Device{ID: fmt.Sprint("d", i), Serial: fmt.Sprint("S", i), Platform: enroll.PlatformIOS}))
			}
			if err := createDevices(ctx, tx, devices...); err != nil {
				return err
			}
			if _, err := tx.exec(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
				INSERT INTO enrollments (id, device_id, parent_id, udid, user_id, state, fingerprint, next_fingerprint, topic, push_magic, awaiting, decision_id,
					request_id, command_seq, authenticated_at, enrolled_at, last_seen_at, push_inactive_at, ended_at)
				SELECT 'e' || i, 'd' || i, '', 'u' || i, '', 'active', 'f' || i, 'n' || i, '', '', FALSE, '', '', 1, i, i, i, 0, 0 FROM n`); err != nil {
				return err
			}
			_, err := tx.exec(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
				INSERT INTO commands (enrollment_id, seq, id, request_type, body, state, deferred, not_now, attempts, error, queued_at, sent_at, handed_at, finished_at)
				SELECT 'e' || i, 1, 'c' || i, 'ProfileList', '', 'queued', FALSE, FALSE, 0, '', i, 0, 0, 0 FROM n`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Enqueue(ctx, e.ID, []mdm.Command{{ID: "open", RequestType: "ProfileList"}}, at); err != nil {
			t.Fatal(err)
		}
		if err := s.write(ctx, func(tx *session) error { _, err := tx.exec(ctx, `ANALYZE`); return err }); err != nil {
			t.Fatal(err)
		}
		for name, query := range map[string]string{
			"poll":     pollQuery + `e.fingerprint = 'f' AND e.user_id = ''`,
			"hand out": strings.ReplaceAll(handOutQuery, "?", "'1'"),
			"cancel":   `UPDATE commands SET state = 'cancelled', finished_at = 1 WHERE finished_at = 0 AND enrollment_id IN ('1')`,
		} {
			plan := explain(t, s, query)
			if !strings.Contains(plan, "commands_open") || strings.Contains(plan, "SCAN c") || strings.Contains(plan, "Seq Scan on commands") {
				t.Errorf("%s does not go through the index on open commands:\n%s", name, plan)
			}
		}
		for name, query := range map[string]string{
			"enrollments_by_fingerprint":      pollQuery + `e.fingerprint = 'f' AND e.user_id = ''`,
			"enrollments_by_next_fingerprint": pollQuery + `e.next_fingerprint = 'f' AND e.next_fingerprint <> '' AND e.user_id = ''`,
			"devices_by_serial":               selectDevice + `WHERE d.serial = 'AAA'`,
		} {
			if plan := explain(t, s, query, "SET LOCAL enable_seqscan = off"); !strings.Contains(plan, name) {
				t.Errorf("%s is not used:\n%s", name, plan)
			}
		}
		if c, err := s.HandOut(ctx, e.ID, at, time.Minute); err != nil || c == nil || c.ID != "open" {
			t.Fatalf("handed out %+v, %v", c, err)
		}
	})
}

// explain gives the plan of a query as text. Settings are for PostgreSQL,
// which reads a small table as a whole whatever its indexes.
func explain(t *testing.T, s *Store, query string, settings ...string) string {
	t.Helper()
	var b strings.Builder
	err := s.write(t.Context(), func(tx *session) error {
		b.Reset()
		if s.Engine() == "postgres" {
			for _, set := range settings {
				if _, err := tx.exec(t.Context(), set); err != nil {
					return err
				}
			}
			var lines []string
			err := tx.all(t.Context(), &lines, `EXPLAIN `+query)
			b.WriteString(strings.Join(lines, "\n"))
			return err
		}
		var rows []struct {
			ID      int    `json:"id"`
			Parent  int    `json:"parent"`
			NotUsed int    `json:"notused"`
			Detail  string `json:"detail"`
		}
		err := tx.all(t.Context(), &rows, `EXPLAIN QUERY PLAN `+query)
		for _, r := range rows {
			fmt.Fprintln(&b, r.Detail)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
