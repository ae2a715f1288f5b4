package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/admin"
)

var _ admin.AnswerStore = (*Store)(nil)

const bodyOfAnswer = "answers/body"

type answerRow struct {
	Target      string `json:"target"`
	BodyHash    []byte `json:"body_hash"`
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
	CreatedAt   int64  `json:"created_at"`
	LeaseUntil  int64  `json:"lease_until"`
}

// ClaimAnswer implements admin.AnswerStore.
func (s *Store) ClaimAnswer(ctx context.Context, callerID, key, target string, now time.Time, lease time.Duration) (*admin.Answer, error) {
	var kept *admin.Answer
	err := s.write(ctx, func(tx *session) error {
		kept = nil
		n, err := tx.exec(ctx, `INSERT INTO answers (caller_id, name, target, body_hash, status, content_type, body, created_at, lease_until)
			VALUES (?, ?, ?, ?, 0, '', NULL, ?, ?) ON CONFLICT (caller_id, name) DO NOTHING`, callerID, key, target, []byte{}, micros(now), micros(now.Add(lease)))
		if err != nil || n == 1 {
			return err
		}
		var r answerRow
		err = tx.get(ctx, &r, `SELECT target, body_hash, status, content_type, body, created_at, lease_until FROM answers WHERE caller_id = ? AND name = ?`+tx.lock(), callerID, key)
		if errors.Is(err, sql.ErrNoRows) {
			return errAgain // given back meanwhile
		}
		if err != nil {
			return err
		}
		if instant(r.CreatedAt).Add(admin.AnswerRetention).Before(now) || r.Status == 0 && r.LeaseUntil <= micros(now) {
			_, err := tx.exec(ctx, `UPDATE answers SET target = ?, body_hash = ?, status = 0, content_type = '', body = NULL, created_at = ?, lease_until = ? WHERE caller_id = ? AND name = ?`,
				target, []byte{}, micros(now), micros(now.Add(lease)), callerID, key)
			return err
		}
		a := admin.Answer{Target: r.Target, Status: r.Status, ContentType: r.ContentType}
		copy(a.BodyHash[:], r.BodyHash)
		if a.Body, err = s.unseal(bodyOfAnswer, callerID+"/"+key, r.Body); err != nil {
			return err
		}
		kept = &a
		return nil
	})
	return kept, err
}

// KeepAnswer implements admin.AnswerStore.
func (s *Store) KeepAnswer(ctx context.Context, callerID, key string, a admin.Answer) error {
	sealed, err := s.seal(bodyOfAnswer, callerID+"/"+key, a.Body)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE answers SET body_hash = ?, status = ?, content_type = ?, body = ? WHERE caller_id = ? AND name = ? AND status = 0`,
			a.BodyHash[:], a.Status, a.ContentType, sealed, callerID, key)
		return err
	})
}

// DropAnswer implements admin.AnswerStore.
func (s *Store) DropAnswer(ctx context.Context, callerID, key string) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `DELETE FROM answers WHERE caller_id = ? AND name = ? AND status = 0`, callerID, key)
		return err
	})
}

// PurgeAnswers implements admin.AnswerStore.
func (s *Store) PurgeAnswers(ctx context.Context, before time.Time) (int, error) {
	var n int64
	err := s.write(ctx, func(tx *session) (err error) {
		n, err = tx.exec(ctx, `DELETE FROM answers WHERE created_at < ?`, micros(before))
		return err
	})
	return int(n), err
}
