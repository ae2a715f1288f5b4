package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
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
		if _, err := tx.exec(ctx, `UPDATE deliveries SET due_at = again_at, again_at = 0, generation = generation + 1 WHERE device_id IN (
				SELECT o.device_id FROM deliveries o WHERE o.again_at > 0 AND o.again_at <= ? ORDER BY o.again_at LIMIT ?`+tx.skipLocked()+`)`,
			micros(now), limit); err != nil {
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

type deliveredRow struct {
	Key         string `json:"item_key"`
	Title       string `json:"title"`
	Hash        string `json:"hash"`
	Removal     bool   `json:"removal"`
	CommandID   string `json:"command_id"`
	RequestType string `json:"request_type"`
	State       string `json:"state"`
	NotNow      bool   `json:"not_now"`
	Attempts    int    `json:"attempts"`
	Error       string `json:"error"`
	QueuedAt    int64  `json:"queued_at"`
	SentAt      int64  `json:"sent_at"`
	FinishedAt  int64  `json:"finished_at"`
}

func deliveredTo(ctx context.Context, tx *session, enrollmentID string) ([]deliveredRow, error) {
	var rows []deliveredRow
	err := tx.all(ctx, &rows, `SELECT i.item_key, i.title, i.hash, i.removal, i.command_id, c.request_type, c.state, c.not_now, c.attempts, c.error,
		c.queued_at, c.sent_at, c.finished_at FROM delivered i JOIN commands c ON c.id = i.command_id WHERE i.enrollment_id = ? ORDER BY c.seq`, enrollmentID)
	return rows, err
}

// Situation implements policy.DeliveryStore.
func (s *Store) Situation(ctx context.Context, deviceID string) (policy.Situation, error) {
	var sit policy.Situation
	err := s.read(ctx, func(tx *session) error {
		sit = policy.Situation{}
		row, err := findDevice(ctx, tx, "id", deviceID, "")
		if errors.Is(err, sql.ErrNoRows) {
			return deviceGone(deviceID)
		}
		if err != nil {
			return err
		}
		if sit.Device, err = row.device(); err != nil {
			return err
		}
		rows, err := reachingDevices(ctx, tx, []string{deviceID})
		if err != nil {
			return err
		}
		planned, err := plannedVersions(ctx, tx, []string{deviceID})
		if err != nil {
			return err
		}
		bound, err := s.boundPolicies(ctx, tx, rows, planned)
		if err != nil {
			return err
		}
		sit.Policies = bound[deviceID]
		e, err := findEnrollment(ctx, tx, `e.device_id = ? AND e.user_id = '' AND e.ended_at = 0 AND e.state = 'active'`, deviceID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		sit.EnrollmentID, sit.Awaiting = e.ID, e.Awaiting
		if err := addIdentity(ctx, tx, &sit, e); err != nil {
			return err
		}
		items, err := deliveredTo(ctx, tx, e.ID)
		for _, i := range items {
			sit.Delivered = append(sit.Delivered, policy.Delivered{Key: i.Key, Hash: i.Hash, Removal: i.Removal, CommandID: i.CommandID,
				State: policy.CommandState(i.State), Attempts: i.Attempts})
		}
		return err
	})
	if err != nil {
		return policy.Situation{}, err
	}
	return sit, nil
}

// Commit implements policy.DeliveryStore. A plan for a generation that has
// been planned already (by a worker that took over an expired lease) is not
// written a second time.
func (s *Store) Commit(ctx context.Context, due policy.Due, enrollmentID string, commands []policy.Command, cancel, forget []string, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		var e enrollmentRow
		var err error
		if enrollmentID != "" {
			e, err = findEnrollment(ctx, tx, `e.id = ?`+tx.lock(), enrollmentID)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		var row struct {
			Generation int64 `json:"generation"`
			Planned    int64 `json:"planned"`
		}
		err = tx.get(ctx, &row, `SELECT generation, planned FROM deliveries WHERE device_id = ?`+tx.lock(), due.DeviceID)
		if errors.Is(err, sql.ErrNoRows) || err == nil && due.Generation <= row.Planned {
			return nil
		}
		if err != nil {
			return err
		}
		if stale, err := handedOutMeanwhile(ctx, tx, e.ID, cancel, forget); err != nil {
			return err
		} else if stale {
			_, err := tx.exec(ctx, `UPDATE deliveries SET lease_until = 0 WHERE device_id = ?`, due.DeviceID)
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE deliveries SET planned = ?, lease_until = 0, due_at = CASE WHEN generation = ? THEN 0 ELSE due_at END
			WHERE device_id = ?`, due.Generation, due.Generation, due.DeviceID); err != nil {
			return err
		}
		if e.State != string(mdm.EnrollmentActive) || e.DeviceID != due.DeviceID {
			return nil
		}
		if len(cancel) > 0 {
			if _, err := tx.exec(ctx, `UPDATE commands SET state = 'cancelled', finished_at = ?, handed_at = 0 WHERE enrollment_id = ? AND finished_at = 0 AND `+
				tx.in("id"), micros(now), e.ID, tx.list(cancel)); err != nil {
				return err
			}
		}
		if len(forget) > 0 {
			if _, err := tx.exec(ctx, `DELETE FROM delivered WHERE enrollment_id = ? AND `+tx.in("item_key"), e.ID, tx.list(forget)); err != nil {
				return err
			}
		}
		if len(commands) == 0 {
			return nil
		}
		queue := make([]mdm.Command, len(commands))
		for i, c := range commands {
			queue[i] = mdm.Command{ID: c.ID, RequestType: c.RequestType, Body: c.Body}
		}
		if err := s.enqueue(ctx, tx, e.ID, queue, now); err != nil {
			return err
		}
		for _, c := range commands {
			if _, err := tx.exec(ctx, `INSERT INTO delivered (enrollment_id, item_key, title, hash, removal, command_id) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (enrollment_id, item_key) DO UPDATE SET title = excluded.title, hash = excluded.hash, removal = excluded.removal,
				command_id = excluded.command_id`, e.ID, c.ItemKey, c.Title, c.Hash, c.Removal, c.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// handedOutMeanwhile says whether a plan would forget an item whose command
// left for the device after the plan was made: forgotten, it could never be
// taken off the device again.
func handedOutMeanwhile(ctx context.Context, tx *session, enrollmentID string, cancel, forget []string) (stale bool, err error) {
	if len(cancel) == 0 || len(forget) == 0 {
		return false, nil
	}
	err = tx.get(ctx, &stale, `SELECT EXISTS (SELECT 1 FROM delivered i JOIN commands c ON c.id = i.command_id
		WHERE i.enrollment_id = ? AND `+tx.in("i.item_key")+` AND `+tx.in("c.id")+` AND c.attempts > 0)`, enrollmentID, tx.list(forget), tx.list(cancel))
	return stale, err
}

// Receipt implements policy.DeliveryStore. It is complete when nothing is open
// and no plan is wanted; enroll.KindNotFound when the device never enrolled.
func (s *Store) Receipt(ctx context.Context, deviceID string) (policy.Receipt, error) {
	var receipt policy.Receipt
	err := s.read(ctx, func(tx *session) error {
		receipt = policy.Receipt{}
		e, err := findEnrollment(ctx, tx, `e.device_id = ? AND e.user_id = '' ORDER BY e.id DESC LIMIT 1`, deviceID)
		if errors.Is(err, sql.ErrNoRows) {
			return enroll.Errorf(enroll.KindNotFound, "enrollment_unknown", "the device has not enrolled yet")
		}
		if err != nil {
			return err
		}
		receipt.EnrollmentID, receipt.EnrolledAt = e.ID, instant(e.EnrolledAt)
		items, err := deliveredTo(ctx, tx, e.ID)
		if err != nil {
			return err
		}
		var open bool
		if err := tx.get(ctx, &open, `SELECT EXISTS (SELECT 1 FROM deliveries WHERE device_id = ? AND due_at > 0)`, deviceID); err != nil {
			return err
		}
		var last int64
		for _, i := range items {
			open = open || i.FinishedAt == 0
			last = max(last, i.FinishedAt)
			receipt.Items = append(receipt.Items, policy.ReceiptItem{Key: i.Key, Title: i.Title, Removal: i.Removal, CommandID: i.CommandID,
				RequestType: i.RequestType, State: policy.CommandState(i.State), NotNow: i.NotNow, Attempts: i.Attempts, Error: i.Error,
				QueuedAt: instant(i.QueuedAt), SentAt: instant(i.SentAt), FinishedAt: instant(i.FinishedAt)})
		}
		if !open {
			receipt.CompletedAt = instant(last)
		}
		return nil
	})
	return receipt, err
}
