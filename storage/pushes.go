package storage

import (
	"context"
	"time"

	"rollcall/mdm/apns"
)

var _ apns.Outbox = (*Store)(nil)

// pushDue asks for a push. Of two reasons the earlier time counts, except
// while a worker has the push in hand: that one may be too early for the new
// reason. An ended enrollment is not pushed any more.
func pushDue(ctx context.Context, tx *session, enrollmentID string, at time.Time) error {
	_, err := tx.exec(ctx, pushesOf+`e.id = ? AND e.ended_at = 0`+pushAgain, micros(at), enrollmentID)
	return err
}

// pushAllDue is pushDue for many.
func pushAllDue(ctx context.Context, tx *session, enrollmentIDs []string, at time.Time) error {
	_, err := tx.exec(ctx, pushesOf+tx.in("e.id")+` AND e.ended_at = 0 ORDER BY e.id`+pushAgain, micros(at), tx.list(enrollmentIDs))
	return err
}

const (
	pushesOf = `INSERT INTO pushes (enrollment_id, protocol, generation, due_at, lease_until, attempts, pushed_at, reason)
		SELECT e.id, e.protocol, 1, CAST(? AS bigint), 0, 0, 0, '' FROM enrollments e WHERE `
	pushAgain = ` ON CONFLICT (enrollment_id) DO UPDATE SET generation = pushes.generation + 1,
			due_at = CASE WHEN pushes.lease_until = 0 AND pushes.due_at > 0 AND pushes.due_at < excluded.due_at THEN pushes.due_at ELSE excluded.due_at END`
)

// pushIfOpen asks for a push if there are open commands.
func pushIfOpen(ctx context.Context, tx *session, enrollmentID string, at time.Time) error {
	var open bool
	err := tx.get(ctx, &open, `SELECT EXISTS (SELECT 1 FROM commands WHERE enrollment_id = ? AND finished_at = 0)`, enrollmentID)
	if err != nil || !open {
		return err
	}
	return pushDue(ctx, tx, enrollmentID, at)
}

// PushDue implements mdm.QueueStore.
func (s *Store) PushDue(ctx context.Context, enrollmentID string, at time.Time) error {
	return s.write(ctx, func(tx *session) error { return pushDue(ctx, tx, enrollmentID, at) })
}

// Stale implements mdm.QueueStore.
func (s *Store) Stale(ctx context.Context, cutoff, now time.Time) (int, error) {
	var n int64
	err := s.write(ctx, func(tx *session) (err error) {
		n, err = tx.exec(ctx, `INSERT INTO pushes (enrollment_id, protocol, generation, due_at, lease_until, attempts, pushed_at, reason)
			SELECT e.id, e.protocol, 1, CAST(? AS bigint), 0, 0, 0, '' FROM enrollments e
			WHERE e.id IN (SELECT c.enrollment_id FROM commands c WHERE c.finished_at = 0 AND c.queued_at < ?)
				AND e.state = 'active' AND e.push_inactive_at = 0
				AND NOT EXISTS (SELECT 1 FROM pushes p WHERE p.enrollment_id = e.id AND (p.due_at > 0 OR p.pushed_at >= ?))
			ORDER BY e.id
			ON CONFLICT (enrollment_id) DO UPDATE SET generation = pushes.generation + 1, due_at = excluded.due_at WHERE pushes.due_at = 0`,
			micros(now), micros(cutoff), micros(cutoff))
		return err
	})
	return int(n), err
}

// ClaimPushes implements apns.Outbox.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]apns.Push, error) {
	var pushes []apns.Push
	err := s.write(ctx, func(tx *session) error {
		pushes = nil
		var rows []struct {
			EnrollmentID string `json:"enrollment_id"`
			Generation   int64  `json:"generation"`
			Attempts     int    `json:"attempts"`
			Topic        string `json:"topic"`
			Token        []byte `json:"token"`
			PushMagic    string `json:"push_magic"`
			Reachable    bool   `json:"reachable"`
		}
		var ids []string
		if err := tx.all(ctx, &ids, `WITH due AS MATERIALIZED (SELECT enrollment_id FROM pushes WHERE protocol = 'apple' AND due_at > 0 AND due_at <= ? AND lease_until <= ?
				ORDER BY due_at LIMIT ?`+tx.skipLocked()+`)
			UPDATE pushes SET lease_until = ? WHERE enrollment_id IN (SELECT enrollment_id FROM due) RETURNING enrollment_id`,
			micros(now), micros(now), limit, micros(now.Add(lease))); err != nil || len(ids) == 0 {
			return err
		}
		if err := tx.all(ctx, &rows, `SELECT p.enrollment_id, p.generation, p.attempts, e.topic, e.token, e.push_magic,
				(e.state = 'active' AND e.push_inactive_at = 0 AND e.token IS NOT NULL) AS reachable
			FROM pushes p JOIN enrollments e ON e.id = p.enrollment_id WHERE `+tx.in("p.enrollment_id")+` ORDER BY p.due_at`, tx.list(ids)); err != nil {
			return err
		}
		var dropped []string
		for _, r := range rows {
			if !r.Reachable {
				dropped = append(dropped, r.EnrollmentID)
				continue
			}
			pushes = append(pushes, apns.Push{EnrollmentID: r.EnrollmentID, Generation: r.Generation, Attempts: r.Attempts, Topic: r.Topic, Token: r.Token, PushMagic: r.PushMagic})
		}
		if len(dropped) == 0 {
			return nil
		}
		_, err := tx.exec(ctx, `UPDATE pushes SET due_at = 0, lease_until = 0, reason = 'unreachable' WHERE `+tx.in("enrollment_id"), tx.list(dropped))
		return err
	})
	if err != nil {
		return nil, err
	}
	return pushes, nil
}

// FinishPushes implements apns.Outbox. A token that has changed since the push
// was claimed is not marked: APNs spoke of the old one.
func (s *Store) FinishPushes(ctx context.Context, results []apns.Result) error {
	if len(results) == 0 {
		return nil
	}
	type finished struct {
		ID         string `json:"id"`
		Generation int64  `json:"generation"`
		RetryAt    int64  `json:"retry_at"`
		SentAt     int64  `json:"sent_at"`
		Reason     string `json:"reason"`
	}
	rows := make([]finished, len(results))
	for i, r := range results {
		rows[i] = finished{ID: r.Push.EnrollmentID, Generation: r.Push.Generation, Reason: clean(r.Reason)}
		switch r.Outcome {
		case apns.Sent:
			rows[i].SentAt = micros(r.At)
		case apns.Retry:
			rows[i].RetryAt = micros(r.RetryAt)
		}
	}
	return s.write(ctx, func(tx *session) error {
		for _, r := range results {
			if r.Outcome != apns.Inactive {
				continue
			}
			if _, err := tx.exec(ctx, `UPDATE enrollments SET push_inactive_at = ? WHERE id = ? AND ended_at = 0 AND token = ?`,
				micros(r.At), r.Push.EnrollmentID, r.Push.Token); err != nil {
				return err
			}
		}
		_, err := tx.exec(ctx, `UPDATE pushes SET lease_until = 0, reason = r.reason,
				due_at = CASE WHEN pushes.generation = r.generation THEN r.retry_at ELSE pushes.due_at END,
				attempts = CASE WHEN r.retry_at = 0 THEN 0 WHEN r.reason = '`+apns.ReasonReleased+`' THEN pushes.attempts ELSE pushes.attempts + 1 END,
				pushed_at = CASE WHEN r.sent_at > pushes.pushed_at THEN r.sent_at ELSE pushes.pushed_at END
			FROM `+tx.records("id text, generation bigint, retry_at bigint, sent_at bigint, reason text")+` WHERE pushes.enrollment_id = r.id`, encode(rows))
		return err
	})
}
