package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/dep/account"
	"rollcall/enroll"
)

var _ account.AccessStore = (*Store)(nil)

// PutAccess implements account.AccessStore.
func (s *Store) PutAccess(ctx context.Context, hash [32]byte, a account.Access) (account.Access, error) {
	err := s.write(ctx, func(tx *session) error {
		if a.RequestID == "" {
			var earlier string
			err := tx.get(ctx, &earlier, `SELECT access FROM access_tokens WHERE account = ? AND enrollment_id = '' ORDER BY created_at DESC LIMIT 1`, a.Account)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err == nil {
				before, err := decode[account.Access](earlier)
				if err != nil {
					return err
				}
				if enroll.IsAccountSerial(before.Serial) {
					a.Serial = before.Serial
				}
			}
		}
		_, err := tx.exec(ctx, `INSERT INTO access_tokens (hash, account, access, enrollment_id, created_at, expires_at) VALUES (?, ?, ?, '', ?, ?)`,
			hash[:], a.Account, encode(a), micros(a.CreatedAt), micros(a.ExpiresAt))
		return err
	})
	return a, err
}

// Access implements account.AccessStore.
func (s *Store) Access(ctx context.Context, hash [32]byte, now time.Time) (account.Access, error) {
	var stored string
	err := s.one(ctx, &stored, `SELECT access FROM access_tokens WHERE hash = ? AND enrollment_id = '' AND (expires_at = 0 OR expires_at > ?)`, hash[:], micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return account.Access{}, enroll.Errorf(enroll.KindNotFound, "access_unknown", "there is no such access token")
	}
	if err != nil {
		return account.Access{}, err
	}
	return decode[account.Access](stored)
}

// UseAccess implements account.AccessStore.
func (s *Store) UseAccess(ctx context.Context, hash [32]byte, name, enrollmentID string, now time.Time) (bool, error) {
	var bound string
	err := s.one(ctx, &bound, `SELECT enrollment_id FROM access_tokens WHERE hash = ? AND account = ? AND (expires_at = 0 OR expires_at > ?)`, hash[:], name, micros(now))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case enrollmentID == "" || bound != "":
		return enrollmentID == "" || bound == enrollmentID, nil
	}
	var n int64
	err = s.write(ctx, func(tx *session) (err error) {
		n, err = tx.exec(ctx, `UPDATE access_tokens SET enrollment_id = ? WHERE hash = ? AND enrollment_id IN ('', ?)`, enrollmentID, hash[:], enrollmentID)
		return err
	})
	return n == 1 && err == nil, err
}
