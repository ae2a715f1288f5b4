package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/android/amapi"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
)

// ClaimWork implements amapi.WorkStore.
func (s *Store) ClaimWork(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]amapi.Wake, error) {
	var due bool
	if err := s.one(ctx, &due, `SELECT EXISTS (SELECT 1 FROM pushes WHERE protocol = 'amapi' AND due_at > 0 AND due_at <= ? AND lease_until <= ?)`, micros(now), micros(now)); err != nil || !due {
		return nil, err
	}
	var rows []struct {
		EnrollmentID string `json:"enrollment_id"`
		Generation   int64  `json:"generation"`
		Attempts     int    `json:"attempts"`
	}
	until := now.Add(lease)
	err := s.write(ctx, func(tx *session) error {
		rows = nil
		return tx.all(ctx, &rows, `WITH due AS MATERIALIZED (SELECT enrollment_id FROM pushes WHERE protocol = 'amapi' AND due_at > 0 AND due_at <= ? AND lease_until <= ?
				ORDER BY due_at LIMIT ?`+tx.skipLocked()+`)
			UPDATE pushes SET lease_until = ? WHERE enrollment_id IN (SELECT enrollment_id FROM due) RETURNING enrollment_id, generation, attempts`,
			micros(now), micros(now), limit, micros(until))
	})
	if err != nil {
		return nil, err
	}
	wakes := make([]amapi.Wake, len(rows))
	for i, r := range rows {
		wakes[i] = amapi.Wake{EnrollmentID: r.EnrollmentID, Generation: r.Generation, Attempts: r.Attempts, LeaseUntil: until}
	}
	return wakes, nil
}

// FinishWork implements amapi.WorkStore.
func (s *Store) FinishWork(ctx context.Context, done []amapi.Woken) error {
	type finished struct {
		ID         string `json:"id"`
		Generation int64  `json:"generation"`
		RetryAt    int64  `json:"retry_at"`
		Reason     string `json:"reason"`
		Lease      int64  `json:"lease"`
	}
	rows := make([]finished, len(done))
	for i, d := range done {
		rows[i] = finished{d.EnrollmentID, d.Generation, micros(d.RetryAt), clean(d.Reason), micros(d.LeaseUntil)}
	}
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE pushes SET lease_until = 0, reason = r.reason, pushed_at = CAST(? AS bigint),
				due_at = CASE WHEN pushes.generation = CAST(r.generation AS bigint) THEN CAST(r.retry_at AS bigint) ELSE pushes.due_at END,
				attempts = CASE WHEN CAST(r.retry_at AS bigint) = 0 THEN 0 ELSE pushes.attempts + 1 END
			FROM `+tx.records("id text, generation bigint, retry_at bigint, reason text, lease bigint")+` WHERE pushes.enrollment_id = r.id AND pushes.lease_until = CAST(r.lease AS bigint)`, micros(now()), encode(rows))
		return err
	})
}

type amapiWorkRow struct {
	CommandID    string `json:"command_id"`
	EnrollmentID string `json:"enrollment_id"`
	Device       string `json:"device"`
	Type         string `json:"type"`
	Body         []byte `json:"body"`
	AskedAt      int64  `json:"asked_at"`
}

func (s *Store) amapiWork(rows []amapiWorkRow) ([]amapi.Work, error) {
	out := make([]amapi.Work, len(rows))
	for i, r := range rows {
		body, err := s.unseal(bodyOfCommand, r.CommandID, r.Body)
		if err != nil {
			return nil, err
		}
		out[i] = amapi.Work{CommandID: r.CommandID, EnrollmentID: r.EnrollmentID, Device: r.Device, Type: r.Type, Body: body, AskedAt: instant(r.AskedAt)}
	}
	return out, nil
}

const selectAMAPIWork = `SELECT c.id AS command_id, c.enrollment_id, d.name AS device, c.request_type AS type, c.body, COALESCE(o.asked_at, 0) AS asked_at
	FROM commands c JOIN amapi_devices d ON d.enrollment_id = c.enrollment_id AND d.state = 'enrolled' LEFT JOIN amapi_operations o ON o.command_id = c.id
	WHERE c.finished_at = 0 AND COALESCE(o.operation, '') = '' AND c.request_type <> '` + amapi.TypeSetPolicy + `' AND `

// OpenWork implements amapi.WorkStore.
func (s *Store) OpenWork(ctx context.Context, enrollmentIDs []string) (work []amapi.Work, policies bool, err error) {
	err = s.read(ctx, func(tx *session) error {
		var rows []amapiWorkRow
		list := tx.list(enrollmentIDs)
		if err := tx.all(ctx, &rows, selectAMAPIWork+tx.in("c.enrollment_id")+` ORDER BY c.enrollment_id, c.seq`, list); err != nil {
			return err
		}
		if work, err = s.amapiWork(rows); err != nil {
			return err
		}
		return tx.get(ctx, &policies, `SELECT EXISTS (SELECT 1 FROM commands c WHERE c.finished_at = 0 AND c.state = 'queued' AND c.request_type = '`+amapi.TypeSetPolicy+`' AND `+
			tx.in("c.enrollment_id")+`)`, list)
	})
	return work, policies, err
}

// Unanswered implements amapi.WorkStore.
func (s *Store) Unanswered(ctx context.Context, device string) ([]amapi.Work, error) {
	var rows []amapiWorkRow
	if err := s.all(ctx, &rows, selectAMAPIWork+`o.device = ? AND o.operation = '' ORDER BY o.asked_at`, clean(device)); err != nil {
		return nil, err
	}
	return s.amapiWork(rows)
}

// Asking implements amapi.WorkStore.
func (s *Store) Asking(ctx context.Context, held amapi.Wake, w amapi.Work, at, until time.Time) error {
	return s.write(ctx, func(tx *session) error {
		one := func(query string, args ...any) error {
			n, err := tx.exec(ctx, query, args...)
			if err == nil && n == 0 {
				err = enroll.ErrLeaseLost
			}
			return err
		}
		if err := one(`UPDATE pushes SET lease_until = ? WHERE enrollment_id = ? AND lease_until = ?`, micros(until), held.EnrollmentID, micros(held.LeaseUntil)); err != nil {
			return err
		}
		if err := one(`UPDATE commands SET state = 'sent', attempts = attempts + 1, sent_at = CASE WHEN sent_at = 0 THEN CAST(? AS bigint) ELSE sent_at END
			WHERE id = ? AND finished_at = 0`, micros(at), w.CommandID); err != nil {
			return err
		}
		return one(`INSERT INTO amapi_operations (command_id, enrollment_id, device, operation, asked_at, expires_at, open) VALUES (?, ?, ?, '', ?, 0, FALSE)
			ON CONFLICT (command_id) DO UPDATE SET asked_at = excluded.asked_at WHERE amapi_operations.operation = '' AND amapi_operations.asked_at = ?`,
			w.CommandID, w.EnrollmentID, w.Device, micros(at), micros(w.AskedAt))
	})
}

// Unasked implements amapi.WorkStore.
func (s *Store) Unasked(ctx context.Context, w amapi.Work) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `DELETE FROM amapi_operations WHERE command_id = ? AND operation = '' AND asked_at = ?`, w.CommandID, micros(w.AskedAt))
		return err
	})
}

// Issued implements amapi.WorkStore.
func (s *Store) Issued(ctx context.Context, i amapi.Issued) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE amapi_operations SET operation = ?, expires_at = ?, open = TRUE WHERE command_id = ?`, clean(i.Operation), micros(i.ExpiresAt), i.CommandID)
		return err
	})
}

type issuedRow struct {
	CommandID    string `json:"command_id"`
	EnrollmentID string `json:"enrollment_id"`
	Device       string `json:"device"`
	Operation    string `json:"operation"`
	ExpiresAt    int64  `json:"expires_at"`
}

const selectIssued = `SELECT command_id, enrollment_id, device, operation, expires_at FROM amapi_operations `

func (r issuedRow) issued() amapi.Issued {
	return amapi.Issued{CommandID: r.CommandID, EnrollmentID: r.EnrollmentID, Device: r.Device, Operation: r.Operation, ExpiresAt: instant(r.ExpiresAt)}
}

// IssuedAs implements amapi.WorkStore.
func (s *Store) IssuedAs(ctx context.Context, operation string) (amapi.Issued, error) {
	var r issuedRow
	err := s.one(ctx, &r, selectIssued+`WHERE operation = ? AND operation <> ''`, clean(operation))
	if errors.Is(err, sql.ErrNoRows) {
		return amapi.Issued{}, enroll.Errorf(enroll.KindNotFound, "operation_unknown", "no command is known by this operation")
	}
	return r.issued(), err
}

// Overdue implements amapi.WorkStore.
func (s *Store) Overdue(ctx context.Context, before time.Time, limit int) ([]amapi.Issued, error) {
	var rows []issuedRow
	if err := s.all(ctx, &rows, selectIssued+`WHERE open AND expires_at < ? ORDER BY expires_at LIMIT ?`, micros(before), limit); err != nil {
		return nil, err
	}
	out := make([]amapi.Issued, len(rows))
	for i, r := range rows {
		out[i] = r.issued()
	}
	return out, nil
}

// FinishCommand implements amapi.WorkStore.
func (s *Store) FinishCommand(ctx context.Context, o amapi.Outcome, leaves bool) error {
	return s.write(ctx, func(tx *session) error {
		var r amapiDeviceRow
		if leaves {
			err := tx.get(ctx, &r, selectAMAPIDevice+`WHERE enrollment_id = ?`+tx.lock(), o.EnrollmentID)
			if errors.Is(err, sql.ErrNoRows) {
				leaves = false
			} else if err != nil {
				return err
			}
		}
		if err := s.finishCommand(ctx, tx, o); err != nil || !leaves {
			return err
		}
		if err := s.leave(ctx, tx, r, o.At); err != nil {
			return err
		}
		r.State, r.EnrollmentID, r.CommandID, r.EventAt = string(amapi.RecordGone), "", "", max(r.EventAt, micros(o.At))
		return saveRecord(ctx, tx, r)
	})
}

// finishCommand ends a command once. Commands of Google's are not handed out one
// by one, so nothing follows but what the delivery wants to know.
func (s *Store) finishCommand(ctx context.Context, tx *session, o amapi.Outcome) error {
	state := policy.CommandAcknowledged
	if o.Failed {
		state = policy.CommandFailed
	}
	result, err := s.seal(resultOfCommand, o.CommandID, o.Result)
	if err != nil {
		return err
	}
	if _, err := lockChannel(ctx, tx, o.EnrollmentID); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE amapi_operations SET open = FALSE WHERE command_id = ?`, o.CommandID); err != nil {
		return err
	}
	n, err := tx.exec(ctx, `UPDATE commands SET state = ?, error = ?, result = ?, finished_at = ?, handed_at = 0 WHERE id = ? AND enrollment_id = ? AND finished_at = 0`,
		string(state), clean(o.Error), result, micros(o.At), o.CommandID, o.EnrollmentID)
	if err != nil || n == 0 {
		return err
	}
	if o.Failed {
		if err := failed(ctx, tx, o.EnrollmentID, o.CommandID); err != nil {
			return err
		}
	}
	var open bool
	if err := tx.get(ctx, &open, `SELECT EXISTS (SELECT 1 FROM commands WHERE enrollment_id = ? AND finished_at = 0)`, o.EnrollmentID); err != nil || open {
		return err
	}
	return emptied(ctx, tx, o.EnrollmentID, o.CommandID)
}

// PendingPolicies implements amapi.WorkStore.
func (s *Store) PendingPolicies(ctx context.Context, limit int) ([]amapi.PolicyWork, error) {
	var rows []struct {
		CommandID string `json:"command_id"`
		Device    string `json:"device"`
		Hash      string `json:"hash"`
		Policy    string `json:"policy"`
	}
	if err := s.all(ctx, &rows, `SELECT c.id AS command_id, d.name AS device, i.hash, d.policy FROM commands c JOIN delivered i ON i.enrollment_id = c.enrollment_id AND i.command_id = c.id
			JOIN amapi_devices d ON d.enrollment_id = c.enrollment_id AND d.state = 'enrolled'
		WHERE c.finished_at = 0 AND c.state = 'queued' AND c.request_type = '`+amapi.TypeSetPolicy+`' ORDER BY d.name LIMIT ?`, limit); err != nil {
		return nil, err
	}
	out := make([]amapi.PolicyWork, len(rows))
	for i, r := range rows {
		out[i] = amapi.PolicyWork{CommandID: r.CommandID, Device: r.Device, Hash: r.Hash, Policy: r.Policy}
	}
	return out, nil
}

// CommandBody implements amapi.WorkStore.
func (s *Store) CommandBody(ctx context.Context, commandID string) ([]byte, error) {
	var sealed []byte
	if err := s.one(ctx, &sealed, `SELECT body FROM commands WHERE id = ?`, commandID); err != nil {
		return nil, err
	}
	return s.unseal(bodyOfCommand, commandID, sealed)
}

// SharedPolicies implements amapi.WorkStore.
func (s *Store) SharedPolicies(ctx context.Context) ([]amapi.Shared, error) {
	var rows []struct {
		Name      string `json:"name"`
		Hash      string `json:"hash"`
		Version   int64  `json:"version"`
		Devices   int    `json:"devices"`
		Unsettled int    `json:"unsettled"`
	}
	if err := s.all(ctx, &rows, `SELECT p.name, p.hash, p.version, count(d.name) AS devices, count(w.device_id) AS unsettled FROM amapi_policies p
			LEFT JOIN amapi_devices d ON d.policy = p.name AND d.state IN ('enrolled', 'quarantined')
			LEFT JOIN deliveries w ON w.device_id = d.device_id AND w.due_at > 0
		GROUP BY p.name, p.hash, p.version ORDER BY p.name`); err != nil {
		return nil, err
	}
	out := make([]amapi.Shared, len(rows))
	for i, r := range rows {
		out[i] = amapi.Shared{Name: r.Name, Hash: r.Hash, Version: r.Version, Devices: r.Devices, Unsettled: r.Unsettled}
	}
	return out, nil
}

// PutShared implements amapi.WorkStore.
func (s *Store) PutShared(ctx context.Context, p amapi.Shared) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO amapi_policies (name, hash, version) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, version = excluded.version`, p.Name, p.Hash, p.Version)
		return err
	})
}

// assignedAtOnce is how many devices are noted in one transaction.
const assignedAtOnce = 500

// Assigned implements amapi.WorkStore.
func (s *Store) Assigned(ctx context.Context, name string, version int64, work []amapi.PolicyWork, at time.Time) error {
	for len(work) > 0 {
		part := work[:min(assignedAtOnce, len(work))]
		work = work[len(part):]
		if err := s.assigned(ctx, name, version, part, at); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) assigned(ctx context.Context, name string, version int64, work []amapi.PolicyWork, at time.Time) error {
	type one struct {
		Device    string `json:"device"`
		CommandID string `json:"command_id"`
	}
	rows := make([]one, len(work))
	ids, devices := make([]string, len(work)), make([]string, len(work))
	for i, w := range work {
		rows[i], ids[i], devices[i] = one{w.Device, w.CommandID}, w.CommandID, w.Device
	}
	return s.write(ctx, func(tx *session) error {
		var locked []string
		if err := tx.all(ctx, &locked, `SELECT name FROM amapi_devices WHERE `+tx.in("name")+` ORDER BY name`+tx.lock(), tx.list(devices)); err != nil {
			return err
		}
		// By name alone: with the state in the condition, SQLite goes through all
		// devices of that state for each row.
		if _, err := tx.exec(ctx, `UPDATE amapi_devices SET policy = ?, policy_version = ?, command_id = CASE WHEN state = 'enrolled' THEN r.command_id ELSE '' END FROM `+
			tx.records("device text, command_id text")+` WHERE amapi_devices.name = r.device`, name, version, encode(rows)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE commands SET state = 'sent', attempts = attempts + 1, sent_at = ? WHERE state = 'queued' AND `+tx.in("id"), micros(at), tx.list(ids)); err != nil {
			return err
		}
		// Of some, the report may have come before this.
		var reported []amapiDeviceRow
		if err := tx.all(ctx, &reported, selectAMAPIDevice+`WHERE `+tx.in("name")+` AND applied = policy AND applied_version >= policy_version AND command_id <> '' ORDER BY name`,
			tx.list(devices)); err != nil {
			return err
		}
		for _, r := range reported {
			if err := s.settlePolicy(ctx, tx, &r, at); err != nil {
				return err
			}
			if err := saveRecord(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// EnqueueAMAPI implements amapi.CommandStore.
func (s *Store) EnqueueAMAPI(ctx context.Context, enrollmentID, commandID string, c amapi.Command, now time.Time) error {
	return s.Enqueue(ctx, enrollmentID, []mdm.Command{{ID: commandID, RequestType: c.Type, Body: c.Body}}, now)
}

// RecordOf implements amapi.CommandStore.
func (s *Store) RecordOf(ctx context.Context, enrollmentID string) (amapi.Record, error) {
	var r amapiDeviceRow
	if err := s.one(ctx, &r, selectAMAPIDevice+`WHERE enrollment_id = ? AND enrollment_id <> ''`, enrollmentID); errors.Is(err, sql.ErrNoRows) {
		return amapi.Record{}, enrollmentEnded()
	} else if err != nil {
		return amapi.Record{}, err
	}
	return r.record()
}
