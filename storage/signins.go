package storage

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"rollcall/dep/signin"
	"rollcall/enroll"
)

var _ signin.Store = (*Store)(nil)

const dataOfSignIn = "sign_ins/data"

// PutSignIn implements signin.Store.
func (s *Store) PutSignIn(ctx context.Context, hash [32]byte, data []byte, expiresAt time.Time) error {
	sealed, err := s.seal(dataOfSignIn, hex.EncodeToString(hash[:]), data)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO sign_ins (hash, data, expires_at, finished_at) VALUES (?, ?, ?, 0)`, hash[:], sealed, micros(expiresAt))
		return err
	})
}

// SignIn implements signin.Store.
func (s *Store) SignIn(ctx context.Context, hash [32]byte, now time.Time) ([]byte, error) {
	var sealed []byte
	err := s.one(ctx, &sealed, `SELECT data FROM sign_ins WHERE hash = ? AND finished_at = 0 AND expires_at > ?`, hash[:], micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, enroll.Errorf(enroll.KindNotFound, "sign_in_unknown", "there is no such sign-in")
	}
	if err != nil {
		return nil, err
	}
	return s.unseal(dataOfSignIn, hex.EncodeToString(hash[:]), sealed)
}

// FinishSignIn implements signin.Store.
func (s *Store) FinishSignIn(ctx context.Context, hash [32]byte, now time.Time) (bool, error) {
	var n int64
	err := s.write(ctx, func(tx *session) (err error) {
		n, err = tx.exec(ctx, `UPDATE sign_ins SET finished_at = ? WHERE hash = ? AND finished_at = 0 AND expires_at > ?`, micros(now), hash[:], micros(now))
		return err
	})
	return n == 1 && err == nil, err
}

// ForgetSignIns removes sign-ins and counts of wrong codes that ended before a
// time, and access tokens that ended before it or lost their enrollment.
func (s *Store) ForgetSignIns(ctx context.Context, before time.Time) error {
	return s.write(ctx, func(tx *session) error {
		for _, query := range []string{
			`DELETE FROM sign_ins WHERE expires_at < ?`,
			`DELETE FROM code_failures WHERE since < ?`,
			`DELETE FROM access_tokens WHERE expires_at <> 0 AND expires_at < ?`,
			`DELETE FROM access_tokens WHERE enrollment_id <> '' AND EXISTS (SELECT 1 FROM enrollments e WHERE e.id = access_tokens.enrollment_id AND e.ended_at <> 0 AND e.ended_at < ?)`,
			`DELETE FROM access_tokens WHERE enrollment_id = '' AND created_at < ?`,
		} {
			if _, err := tx.exec(ctx, query, micros(before)); err != nil {
				return err
			}
		}
		return nil
	})
}
