package storage

import (
	"context"
	"strconv"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

var _ policy.DeliveryStore = (*Store)(nil)

// markDue makes the delivery of devices due in one statement: of those with an
// active enrollment e for which condition holds. Due rows are in the order of
// device IDs, so that two of these do not lock crosswise.
func markDue(ctx context.Context, tx *session, condition string, args ...any) error {
	_, err := tx.exec(ctx, `INSERT INTO deliveries (device_id, generation, planned, due_at, lease_until)
		SELECT e.device_id, 1, 0, CAST(? AS bigint), 0 FROM enrollments e WHERE e.state = 'active' AND e.user_id = '' AND `+condition+`
		ORDER BY e.device_id
		ON CONFLICT (device_id) DO UPDATE SET generation = deliveries.generation + 1,
			due_at = CASE WHEN deliveries.due_at > 0 THEN deliveries.due_at ELSE excluded.due_at END`,
		append([]any{micros(now())}, args...)...)
	return err
}

func markDevicesDue(ctx context.Context, tx *session, deviceIDs []string) error {
	if len(deviceIDs) == 0 {
		return nil
	}
	return markDue(ctx, tx, tx.in("e.device_id"), tx.list(deviceIDs))
}

// ClaimDue implements policy.DeliveryStore. Whether a device is due for a reason
// from outside does not depend on now, which decides about leases and about
// what was put off.
func (s *Store) ClaimDue(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]policy.Due, error) {
	var rows []struct {
		DeviceID   string `json:"device_id"`
		Generation int64  `json:"generation"`
	}
	err := s.write(ctx, func(tx *session) error {
		rows = nil
		if _, err := tx.exec(ctx, `UPDATE deliveries SET due_at = again_at, again_at = 0, generation = generation + 1, turn_at = CASE WHEN turn_at <= ? THEN 0 ELSE turn_at END
			WHERE device_id IN (SELECT o.device_id FROM deliveries o WHERE o.again_at > 0 AND o.again_at <= ? ORDER BY o.again_at LIMIT ?`+tx.skipLocked()+`)`,
			micros(now), micros(now), limit); err != nil {
			return err
		}
		return tx.all(ctx, &rows, `WITH due AS MATERIALIZED (SELECT device_id FROM deliveries WHERE due_at > 0 AND lease_until <= ?
				ORDER BY due_at LIMIT ?`+tx.skipLocked()+`)
			UPDATE deliveries SET lease_until = ? WHERE device_id IN (SELECT device_id FROM due) RETURNING device_id, generation`,
			micros(now), limit, micros(now.Add(lease)))
	})
	if err != nil {
		return nil, err
	}
	due := make([]policy.Due, len(rows))
	for i, r := range rows {
		due[i] = policy.Due{DeviceID: r.DeviceID, Generation: r.Generation}
	}
	return due, nil
}

// failed tells that a device refused a part of a policy, and has it planned
// when to send it again; the command is one that has just failed.
func failed(ctx context.Context, tx *session, enrollmentID, commandID string) error {
	if err := tellFailed(ctx, tx, enrollmentID, commandID); err != nil {
		return err
	}
	return markDue(ctx, tx, `e.id = ? AND EXISTS (SELECT 1 FROM delivered i WHERE i.enrollment_id = e.id AND i.command_id = ?)`, enrollmentID, commandID)
}

// emptied follows the last answer of a queue. A device in Setup Assistant may
// now be released, and what a check found may have to be sent again; else all
// of the policies may be there.
func emptied(ctx context.Context, tx *session, enrollmentID, commandID string) error {
	if err := markDue(ctx, tx, `e.id = ? AND (e.awaiting AND EXISTS (SELECT 1 FROM delivered i WHERE i.enrollment_id = e.id AND i.command_id = ?)
		OR EXISTS (SELECT 1 FROM delivered i WHERE i.enrollment_id = e.id AND i.command_id = ? AND i.item_key IN ('check:profiles', 'check:apps')))`,
		enrollmentID, commandID, commandID); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE enrollments SET policy_at = (SELECT c.finished_at FROM commands c WHERE c.id = ?) WHERE id = ? AND policy_at = 0
		AND (NOT EXISTS (SELECT 1 FROM deliveries w WHERE w.device_id = enrollments.device_id AND w.due_at > 0)
			OR EXISTS (SELECT 1 FROM delivered i WHERE i.enrollment_id = enrollments.id AND i.command_id = ? AND i.item_key = 'configured'))`,
		commandID, enrollmentID, commandID); err != nil {
		return err
	}
	return tellCompleted(ctx, tx, enrollmentID, commandID)
}

// otherTarget says whether policies may become something else for a device
// since more is known of it.
func otherTarget(before, after deviceRow) bool {
	if before.Facts == after.Facts {
		return false
	}
	old, err := before.device()
	if err != nil {
		return true
	}
	fresh, err := after.device()
	if err != nil {
		return true
	}
	supervised := func(d enroll.Device) string {
		if d.Facts.Supervised == nil {
			return ""
		}
		return strconv.FormatBool(*d.Facts.Supervised)
	}
	return old.Facts.OSVersion != fresh.Facts.OSVersion || old.Facts.Product != fresh.Facts.Product || old.Facts.Model != fresh.Facts.Model ||
		old.Facts.IMEI != fresh.Facts.IMEI || supervised(old) != supervised(fresh)
}
