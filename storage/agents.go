package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"rollcall/android"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
)

var (
	_ android.AgentStore = (*Store)(nil)
	_ android.WakeStore  = (*Store)(nil)
)

// UseNonce implements android.AgentStore.
func (s *Store) UseNonce(ctx context.Context, hash [32]byte, expires time.Time) (bool, error) {
	var fresh bool
	err := s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `INSERT INTO agent_nonces (hash, expires_at) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING`, hash[:], micros(expires))
		fresh = n > 0
		return err
	})
	return fresh && err == nil, err
}

// ForgetNonces implements android.AgentStore.
func (s *Store) ForgetNonces(ctx context.Context, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `DELETE FROM agent_nonces WHERE expires_at <= ?`, micros(now))
		return err
	})
}

// StartAgent implements android.AgentStore.
func (s *Store) StartAgent(ctx context.Context, a android.Start) (android.Enrollment, error) {
	var result android.Enrollment
	err := s.write(ctx, func(tx *session) error {
		device, err := lockDevice(ctx, tx, a.DeviceID)
		if err != nil {
			return err
		}
		if device.State == string(enroll.StateEnrolled) && !a.Proven {
			current, err := findEnrollment(ctx, tx, `e.id = ?`, device.EnrollmentID)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err == nil && current.EndedAt == 0 && current.Fingerprint != a.Fingerprint {
				return enroll.Errorf(enroll.KindConflict, android.CodeTakeover, "the row is enrolled with another key, and the device has not proved to be the row's")
			}
		}
		e, err := s.start(ctx, tx, mdm.Authentication{DeviceID: a.DeviceID, Fingerprint: a.Fingerprint, Facts: a.Facts, DecisionID: a.DecisionID,
			RequestID: a.Token.RequestID, At: a.At}, protocolAgent, device)
		if enroll.KindOf(err) == enroll.KindConflict {
			return enroll.Errorf(enroll.KindConflict, android.CodeTakeover, "the key belongs to another device's enrollment")
		}
		if err != nil {
			return err
		}
		if device, err = lockDevice(ctx, tx, a.DeviceID); err != nil { // start has written it
			return err
		}
		if device, err = takeToken(ctx, tx, device, a); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO agents (enrollment_id, public_key, counter, token_id, push_id) VALUES (?, ?, 0, ?, ?)`,
			e.ID, a.PublicKey, a.Token.ID, a.PushID); err != nil {
			return err
		}
		result = android.Enrollment{ID: e.ID, DeviceID: e.DeviceID, PublicKey: a.PublicKey, TokenID: a.Token.ID, PushID: a.PushID}
		return activate(ctx, tx, device, e, a.At)
	})
	if err != nil {
		return android.Enrollment{}, err
	}
	return result, nil
}

// takeToken gives a device what its token says of owner, ownership and group.
// What the row says itself stays. A group that is gone is passed over.
func takeToken(ctx context.Context, tx *session, device deviceRow, a android.Start) (deviceRow, error) {
	fresh, t := device, a.Token
	if fresh.UserID == "" {
		fresh.UserID = t.UserID
	}
	if t.Ownership != "" {
		if err := fresh.chooseOwnership(enroll.Request{Ownership: t.Ownership}); err != nil {
			return device, err
		}
	}
	fresh, _, err := saveIfChanged(ctx, tx, device, fresh)
	if err != nil || t.Group == "" {
		return fresh, err
	}
	if err := tx.do(ctx, tx.mutex(mutexPolicies, true)); err != nil {
		return fresh, err
	}
	id, err := groupID(ctx, tx, t.Group)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return fresh, nil
	}
	if err != nil {
		return fresh, err
	}
	return fresh, addMembers(ctx, tx, id, []string{device.ID})
}

type agentRow struct {
	ID        string `json:"id"`
	DeviceID  string `json:"device_id"`
	PublicKey []byte `json:"public_key"`
	Counter   int64  `json:"counter"`
	TokenID   string `json:"token_id"`
	PushID    string `json:"push_id"`
	EndedAt   int64  `json:"ended_at"`
	Due       bool   `json:"due"`
	Open      bool   `json:"open"`
	Ready     bool   `json:"ready"`
}

func (r agentRow) enrollment() android.Enrollment {
	return android.Enrollment{ID: r.ID, DeviceID: r.DeviceID, PublicKey: r.PublicKey, Counter: r.Counter, TokenID: r.TokenID, PushID: r.PushID,
		EndedAt: instant(r.EndedAt), Due: r.Due, Open: r.Open, Ready: r.Ready}
}

// AgentByKey implements android.AgentStore.
func (s *Store) AgentByKey(ctx context.Context, fingerprint string) (android.Enrollment, error) {
	var r agentRow
	if err := s.one(ctx, &r, `SELECT e.id, e.device_id, a.public_key, a.counter, a.token_id, a.push_id, e.ended_at, FALSE AS due, FALSE AS open, FALSE AS ready
		FROM enrollments e JOIN agents a ON a.enrollment_id = e.id WHERE e.fingerprint = ? AND e.user_id = '' AND e.ended_at = 0`, fingerprint); errors.Is(err, sql.ErrNoRows) {
		return android.Enrollment{}, noEnrollment()
	} else if err != nil {
		return android.Enrollment{}, err
	}
	return r.enrollment(), nil
}

// Agent implements android.AgentStore, in one statement where the enrollment
// has not ended.
func (s *Store) Agent(ctx context.Context, id string, now time.Time, lease time.Duration) (android.Enrollment, error) {
	var r agentRow
	if err := s.one(ctx, &r, `SELECT e.id, e.device_id, a.public_key, a.counter, a.token_id, a.push_id, e.ended_at,
			EXISTS (SELECT 1 FROM pushes p WHERE p.enrollment_id = e.id AND p.due_at > 0 AND p.due_at <= ?) AS due,
			EXISTS (SELECT 1 FROM commands c WHERE c.enrollment_id = e.id AND c.finished_at = 0) AS open,
			EXISTS (SELECT 1 FROM commands c WHERE c.enrollment_id = e.id AND c.finished_at = 0 AND NOT c.deferred AND c.handed_at <= ?) AS ready
		FROM enrollments e JOIN agents a ON a.enrollment_id = e.id WHERE e.id = ?`, micros(now), micros(now.Add(-lease)), id); errors.Is(err, sql.ErrNoRows) {
		return android.Enrollment{}, noEnrollment()
	} else if err != nil {
		return android.Enrollment{}, err
	}
	e := r.enrollment()
	if r.EndedAt == 0 {
		return e, nil
	}
	var after struct {
		Replaced bool `json:"replaced"`
		Wiped    bool `json:"wiped"`
	}
	err := s.one(ctx, &after, `SELECT EXISTS (SELECT 1 FROM enrollments WHERE device_id = ? AND user_id = '' AND ended_at = 0) AS replaced,
		EXISTS (SELECT 1 FROM commands WHERE enrollment_id = ? AND request_type = ? AND state = ? AND finished_at = ?) AS wiped`,
		r.DeviceID, r.ID, android.TypeWipe, string(policy.CommandAcknowledged), r.EndedAt)
	e.Replaced, e.Wiped = after.Replaced, after.Wiped
	return e, err
}

// CountAgent implements android.AgentStore.
func (s *Store) CountAgent(ctx context.Context, id string, counter int64, idle bool) (taken bool, last int64, err error) {
	err = s.write(ctx, func(tx *session) error {
		taken, last = false, counter
		if idle {
			// Lost with the database's machine it would let an idle request be
			// repeated, which does nothing.
			if err := tx.do(ctx, tx.lazy()); err != nil {
				return err
			}
		}
		n, err := tx.exec(ctx, `UPDATE agents SET counter = ? WHERE enrollment_id = ? AND counter < ?`, counter, id, counter)
		if taken = n > 0; err != nil || taken {
			return err
		}
		return tx.get(ctx, &last, `SELECT counter FROM agents WHERE enrollment_id = ?`, id)
	})
	return taken && err == nil, last, err
}

func handedOut(c *mdm.Command) *android.Command {
	if c == nil {
		return nil
	}
	return &android.Command{ID: c.ID, Type: c.RequestType, Body: c.Body}
}

// HandOutAgent implements android.AgentStore. What was put off is handed out by
// a session that begins without a result.
func (s *Store) HandOutAgent(ctx context.Context, id string, now time.Time, lease time.Duration) (*android.Command, error) {
	c, err := s.HandOut(ctx, id, now, lease)
	return handedOut(c), err
}

// ReportAgent implements android.AgentStore.
func (s *Store) ReportAgent(ctx context.Context, r android.Result, retry time.Duration) (android.Reported, error) {
	done, err := s.Report(ctx, mdm.Report{EnrollmentID: r.EnrollmentID, CommandID: r.CommandID, State: r.State, NotNow: r.NotNow, Error: r.Error, Result: r.Data, At: r.At}, retry)
	return android.Reported{Type: done.RequestType, Fresh: done.Known && !done.Repeated, Next: handedOut(done.Next)}, err
}

// SettleWake implements android.AgentStore.
func (s *Store) SettleWake(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE pushes SET due_at = 0, pushed_at = ?, attempts = 0 WHERE enrollment_id = ? AND due_at > 0 AND due_at <= ?`, micros(now), id, micros(now))
		return err
	})
}

// SetAgentPush implements android.AgentStore.
func (s *Store) SetAgentPush(ctx context.Context, id, pushID string) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE agents SET push_id = ? WHERE enrollment_id = ?`, pushID, id)
		return err
	})
}

// DueWakes implements android.WakeStore.
func (s *Store) DueWakes(ctx context.Context, after, until time.Time) ([]string, error) {
	var ids []string
	err := s.all(ctx, &ids, `SELECT enrollment_id FROM pushes WHERE protocol = 'agent' AND due_at > ? AND due_at <= ?`, micros(after), micros(until))
	return ids, err
}

// DropWakes implements android.WakeStore.
func (s *Store) DropWakes(ctx context.Context, before time.Time, keep bool) error {
	kept := ""
	if keep {
		kept = ` AND NOT EXISTS (SELECT 1 FROM agents a WHERE a.enrollment_id = pushes.enrollment_id AND a.push_id <> '')`
	}
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.lazy()); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE pushes SET due_at = 0, lease_until = 0, pushed_at = due_at, reason = 'not there'
			WHERE protocol = 'agent' AND due_at > 0 AND due_at <= ?`+kept, micros(before))
		return err
	})
}

// ClaimWakes implements android.WakeStore.
func (s *Store) ClaimWakes(ctx context.Context, until, now time.Time, lease time.Duration, limit int) ([]android.Wake, error) {
	var wakes []android.Wake
	err := s.write(ctx, func(tx *session) error {
		wakes = nil
		var ids []string
		if err := tx.all(ctx, &ids, `WITH due AS MATERIALIZED (SELECT p.enrollment_id FROM pushes p JOIN agents a ON a.enrollment_id = p.enrollment_id
				WHERE p.protocol = 'agent' AND p.due_at > 0 AND p.due_at <= ? AND p.lease_until <= ? AND a.push_id <> '' ORDER BY p.due_at LIMIT ?`+tx.skipLocked()+`)
			UPDATE pushes SET lease_until = ? WHERE enrollment_id IN (SELECT enrollment_id FROM due) RETURNING enrollment_id`,
			micros(until), micros(now), limit, micros(now.Add(lease))); err != nil || len(ids) == 0 {
			return err
		}
		var rows []struct {
			EnrollmentID string `json:"enrollment_id"`
			Generation   int64  `json:"generation"`
			Attempts     int    `json:"attempts"`
			PushID       string `json:"push_id"`
		}
		if err := tx.all(ctx, &rows, `SELECT p.enrollment_id, p.generation, p.attempts, a.push_id FROM pushes p JOIN agents a ON a.enrollment_id = p.enrollment_id
			WHERE `+tx.in("p.enrollment_id")+` ORDER BY p.due_at`, tx.list(ids)); err != nil {
			return err
		}
		for _, r := range rows {
			wakes = append(wakes, android.Wake{EnrollmentID: r.EnrollmentID, Generation: r.Generation, Attempts: r.Attempts, PushID: r.PushID})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return wakes, nil
}

// FinishWake implements android.WakeStore. A registration that has changed
// meanwhile is not dropped.
func (s *Store) FinishWake(ctx context.Context, w android.Wake, o android.WakeOutcome) error {
	return s.write(ctx, func(tx *session) error {
		if o.Gone {
			if _, err := tx.exec(ctx, `UPDATE agents SET push_id = '' WHERE enrollment_id = ? AND push_id = ?`, w.EnrollmentID, w.PushID); err != nil {
				return err
			}
		}
		_, err := tx.exec(ctx, `UPDATE pushes SET lease_until = 0, reason = ?, attempts = CASE WHEN CAST(? AS bigint) = 0 THEN 0 ELSE attempts + 1 END,
				pushed_at = CASE WHEN ? > pushed_at THEN ? ELSE pushed_at END,
				due_at = CASE WHEN generation = ? AND due_at > 0 THEN CAST(? AS bigint) ELSE due_at END WHERE enrollment_id = ?`,
			o.Reason, micros(o.RetryAt), micros(o.SentAt), micros(o.SentAt), w.Generation, micros(o.RetryAt), w.EnrollmentID)
		return err
	})
}

// ProtocolOf gives the protocol of an enrollment; enroll.KindNotFound.
func (s *Store) ProtocolOf(ctx context.Context, enrollmentID string) (string, error) {
	var protocol string
	if err := s.one(ctx, &protocol, `SELECT protocol FROM enrollments WHERE id = ?`, enrollmentID); errors.Is(err, sql.ErrNoRows) {
		return "", noEnrollment()
	} else if err != nil {
		return "", err
	}
	return protocol, nil
}

// EnqueueAgent implements android.CommandStore.
func (s *Store) EnqueueAgent(ctx context.Context, enrollmentID string, c android.Command, now time.Time) error {
	if !json.Valid(c.Body) {
		return errors.New("storage: the parameters of a command are not JSON")
	}
	return s.Enqueue(ctx, enrollmentID, []mdm.Command{{ID: c.ID, RequestType: c.Type, Body: c.Body}}, now)
}
