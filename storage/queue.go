package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
)

var _ mdm.QueueStore = (*Store)(nil)

const (
	bodyOfCommand   = "commands/body"
	resultOfCommand = "commands/result"
)

const pollQuery = `SELECT ` + enrollmentColumns + `, EXISTS (SELECT 1 FROM commands c WHERE c.enrollment_id = e.id AND c.finished_at = 0) AS open
	FROM enrollments e WHERE e.ended_at = 0 AND `

// Poll implements mdm.QueueStore. The next certificate of a renewal is looked
// for only when no pinned one was found.
func (s *Store) Poll(ctx context.Context, fingerprint, userID string) (mdm.Enrollment, bool, error) {
	var r struct {
		enrollmentRow
		Open bool `json:"open"`
	}
	err := s.one(ctx, &r, pollQuery+`e.fingerprint = ? AND e.user_id = ?`, fingerprint, userID)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.one(ctx, &r, pollQuery+`e.next_fingerprint = ? AND e.next_fingerprint <> '' AND e.user_id = ?`, fingerprint, userID)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return mdm.Enrollment{}, false, noEnrollment()
	}
	if err != nil {
		return mdm.Enrollment{}, false, err
	}
	return r.enrollment(), r.Open, nil
}

// lockChannel makes this transaction the only one that touches the queue of an
// enrollment.
func lockChannel(ctx context.Context, tx *session, enrollmentID string) (endedAt int64, err error) {
	err = tx.get(ctx, &endedAt, `SELECT ended_at FROM enrollments WHERE id = ?`+tx.lock(), enrollmentID)
	if errors.Is(err, sql.ErrNoRows) {
		err = noEnrollment()
	}
	return endedAt, err
}

// HandOut implements mdm.QueueStore.
func (s *Store) HandOut(ctx context.Context, enrollmentID string, now time.Time, lease time.Duration) (*mdm.Command, error) {
	var next *mdm.Command
	err := s.write(ctx, func(tx *session) error {
		next = nil
		if _, err := lockChannel(ctx, tx, enrollmentID); err != nil {
			return err
		}
		// A connection that has not answered within the lease never will.
		expired := micros(now.Add(-lease))
		if _, err := tx.exec(ctx, `UPDATE commands SET deferred = FALSE, handed_at = CASE WHEN handed_at > ? THEN handed_at ELSE 0 END
			WHERE enrollment_id = ? AND finished_at = 0 AND (deferred OR handed_at > 0 AND handed_at <= ?)`, expired, enrollmentID, expired); err != nil {
			return err
		}
		var err error
		if next, err = s.handOut(ctx, tx, enrollmentID, now); err != nil || next != nil {
			return err
		}
		var handedAt int64
		err = tx.get(ctx, &handedAt, `SELECT handed_at FROM commands WHERE enrollment_id = ? AND finished_at = 0 AND handed_at > 0`, enrollmentID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return pushDue(ctx, tx, enrollmentID, instant(handedAt).Add(lease))
	})
	if err != nil {
		return nil, err
	}
	return next, nil
}

const handOutQuery = `UPDATE commands SET state = 'sent', not_now = FALSE, handed_at = ?, attempts = attempts + 1,
		sent_at = CASE WHEN sent_at = 0 THEN CAST(? AS bigint) ELSE sent_at END
	WHERE enrollment_id = ? AND seq = (SELECT o.seq FROM commands o WHERE o.enrollment_id = ? AND o.finished_at = 0 AND NOT o.deferred
		AND NOT EXISTS (SELECT 1 FROM commands h WHERE h.enrollment_id = ? AND h.finished_at = 0 AND h.handed_at > 0) ORDER BY o.seq LIMIT 1)
	RETURNING id, request_type, body`

// handOut takes the first open command that is not deferred, unless one is
// outstanding; nil when there is none.
func (s *Store) handOut(ctx context.Context, tx *session, enrollmentID string, now time.Time) (*mdm.Command, error) {
	var r struct {
		ID          string `json:"id"`
		RequestType string `json:"request_type"`
		Body        []byte `json:"body"`
	}
	err := tx.get(ctx, &r, handOutQuery, micros(now), micros(now), enrollmentID, enrollmentID, enrollmentID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	body, err := s.unseal(bodyOfCommand, r.ID, r.Body)
	return &mdm.Command{ID: r.ID, RequestType: r.RequestType, Body: body}, err
}

// Report implements mdm.QueueStore, in two statements where there is a next
// command: the first takes the lock of the channel and stores the result (one
// that was stored while it waited is seen, since PostgreSQL looks at the row
// again after waiting), the second sees what the lock protects. A result for an unknown or finished
// command changes nothing, but the next command is handed out all the same.
func (s *Store) Report(ctx context.Context, r mdm.Report, retry time.Duration) (mdm.Reported, error) {
	if !r.NotNow && r.State != policy.CommandAcknowledged && r.State != policy.CommandFailed {
		return mdm.Reported{}, fmt.Errorf("storage: a command cannot be reported as %q", r.State)
	}
	result, err := s.seal(resultOfCommand, r.CommandID, r.Result)
	if err != nil {
		return mdm.Reported{}, err
	}
	var reported mdm.Reported
	err = s.write(ctx, func(tx *session) error {
		reported = mdm.Reported{}
		var err error
		locked := `WITH channel AS MATERIALIZED (SELECT id FROM enrollments WHERE id = ?` + tx.lock() + `) `
		if r.NotNow {
			err = tx.get(ctx, &reported.RequestType, locked+`UPDATE commands SET deferred = TRUE, not_now = TRUE, handed_at = 0 FROM channel
				WHERE commands.enrollment_id = channel.id AND commands.id = ? AND finished_at = 0 RETURNING request_type`, r.EnrollmentID, r.CommandID)
		} else {
			err = tx.get(ctx, &reported.RequestType, locked+`UPDATE commands SET state = ?, error = ?, result = ?, finished_at = ?, handed_at = 0,
				deferred = FALSE, not_now = FALSE FROM channel
				WHERE commands.enrollment_id = channel.id AND commands.id = ? AND finished_at = 0 RETURNING request_type`,
				r.EnrollmentID, string(r.State), r.Error, result, micros(r.At), r.CommandID)
		}
		reported.Known = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			// Where no command was changed, the channel may not be locked yet.
			if _, err := lockChannel(ctx, tx, r.EnrollmentID); err != nil {
				return err
			}
			err = tx.get(ctx, &reported.RequestType, `SELECT request_type FROM commands WHERE enrollment_id = ? AND id = ?`, r.EnrollmentID, r.CommandID)
			reported.Known, reported.Repeated = err == nil, err == nil
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if reported.Next, err = s.handOut(ctx, tx, r.EnrollmentID, r.At); err != nil {
			return err
		}
		if reported.Known && !reported.Repeated && r.State == policy.CommandFailed && !r.NotNow {
			if err := failed(ctx, tx, r.EnrollmentID, r.CommandID); err != nil {
				return err
			}
		}
		if reported.Next != nil {
			return nil
		}
		if err := tx.get(ctx, &reported.Open, `SELECT EXISTS (SELECT 1 FROM commands WHERE enrollment_id = ? AND finished_at = 0)`, r.EnrollmentID); err != nil {
			return err
		}
		if reported.Open && !r.NotNow {
			return pushDue(ctx, tx, r.EnrollmentID, r.At.Add(retry))
		}
		if !reported.Open && reported.Known && !reported.Repeated {
			return emptied(ctx, tx, r.EnrollmentID, r.CommandID)
		}
		return nil
	})
	if err != nil {
		return mdm.Reported{}, err
	}
	return reported, nil
}

// Enqueue implements mdm.QueueStore. A CommandUUID that was used before is
// enroll.KindConflict.
func (s *Store) Enqueue(ctx context.Context, enrollmentID string, commands []mdm.Command, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		ended, err := lockChannel(ctx, tx, enrollmentID)
		if err != nil {
			return err
		}
		if ended != 0 {
			return enrollmentEnded()
		}
		return s.enqueue(ctx, tx, map[string][]mdm.Command{enrollmentID: commands}, now)
	})
}

const commandColumns = `id, enrollment_id, request_type, state, not_now, attempts, error, queued_at, sent_at, finished_at`

type commandRow struct {
	ID           string `json:"id"`
	EnrollmentID string `json:"enrollment_id"`
	RequestType  string `json:"request_type"`
	State        string `json:"state"`
	NotNow       bool   `json:"not_now"`
	Attempts     int    `json:"attempts"`
	Error        string `json:"error"`
	QueuedAt     int64  `json:"queued_at"`
	SentAt       int64  `json:"sent_at"`
	FinishedAt   int64  `json:"finished_at"`
	Result       []byte `json:"result"`
}

func (r commandRow) record() mdm.CommandRecord {
	return mdm.CommandRecord{ID: r.ID, EnrollmentID: r.EnrollmentID, RequestType: r.RequestType, State: policy.CommandState(r.State), NotNow: r.NotNow,
		Attempts: r.Attempts, Error: r.Error, QueuedAt: instant(r.QueuedAt), SentAt: instant(r.SentAt), FinishedAt: instant(r.FinishedAt)}
}

// Commands implements mdm.QueueStore, in the order of queueing.
func (s *Store) Commands(ctx context.Context, enrollmentID string, p enroll.Page) ([]mdm.CommandRecord, error) {
	query, args := `SELECT `+commandColumns+` FROM commands WHERE enrollment_id = ? `, []any{enrollmentID}
	if p.After != "" {
		var seq int64
		if err := s.one(ctx, &seq, `SELECT seq FROM commands WHERE id = ? AND enrollment_id = ?`, p.After, enrollmentID); errors.Is(err, sql.ErrNoRows) {
			return nil, cursorInvalid()
		} else if err != nil {
			return nil, err
		}
		query += `AND seq < ? `
		args = append(args, seq)
	}
	var rows []commandRow
	if err := s.all(ctx, &rows, query+`ORDER BY seq DESC LIMIT ?`, append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	records := make([]mdm.CommandRecord, len(rows))
	for i, r := range rows {
		records[i] = r.record()
	}
	return records, nil
}

// CommandRecord implements mdm.QueueStore.
func (s *Store) CommandRecord(ctx context.Context, id string) (mdm.CommandRecord, error) {
	var r commandRow
	if err := s.one(ctx, &r, `SELECT `+commandColumns+`, result FROM commands WHERE id = ?`, id); errors.Is(err, sql.ErrNoRows) {
		return mdm.CommandRecord{}, enroll.Errorf(enroll.KindNotFound, "command_unknown", "there is no command with the CommandUUID %q", id)
	} else if err != nil {
		return mdm.CommandRecord{}, err
	}
	record := r.record()
	var err error
	record.Result, err = s.unseal(resultOfCommand, id, r.Result)
	return record, err
}
