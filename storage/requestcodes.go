package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/enroll"
)

var _ enroll.CodeStore = (*Store)(nil)

// PutRequestCode implements enroll.CodeStore.
func (s *Store) PutRequestCode(ctx context.Context, requestID string, hash [32]byte) error {
	return s.write(ctx, func(tx *session) error {
		tx.record(ctx, "request", requestID, nil, map[string]bool{"code": true})
		_, err := tx.exec(ctx, `INSERT INTO request_codes (request_id, hash) VALUES (?, ?) ON CONFLICT (request_id) DO UPDATE SET hash = excluded.hash`, requestID, hash[:])
		return err
	})
}

// RequestByCode implements enroll.CodeStore.
func (s *Store) RequestByCode(ctx context.Context, hash [32]byte, source string, tries int, window time.Duration, now time.Time) (requestID string, tooMany bool, err error) {
	source = clean(source)
	err = s.write(ctx, func(tx *session) error {
		requestID, tooMany = "", false
		// The row is made and locked first, so that tries at the same time wait
		// for each other.
		var failures int
		if err := tx.get(ctx, &failures, `INSERT INTO code_failures (source, since, failures) VALUES (?, ?, 0)
			ON CONFLICT (source) DO UPDATE SET failures = CASE WHEN code_failures.since > ? THEN code_failures.failures ELSE 0 END,
			since = CASE WHEN code_failures.since > ? THEN code_failures.since ELSE excluded.since END RETURNING failures`,
			source, micros(now), micros(now.Add(-window)), micros(now.Add(-window))); err != nil {
			return err
		}
		if tooMany = failures >= tries; tooMany {
			return nil
		}
		err := tx.get(ctx, &requestID, `SELECT request_id FROM request_codes WHERE hash = ?`, hash[:])
		if errors.Is(err, sql.ErrNoRows) {
			_, err = tx.exec(ctx, `UPDATE code_failures SET failures = failures + 1 WHERE source = ?`, source)
		}
		return err
	})
	return requestID, tooMany, err
}
