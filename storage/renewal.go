package storage

import (
	"context"
	"time"
)

// Repin implements mdm.EnrollmentStore.
func (s *Store) Repin(ctx context.Context, from, to string) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE enrollments SET fingerprint = ?, next_fingerprint = '' WHERE fingerprint = ? AND ended_at = 0`, to, from)
		return err
	})
}

// MarkExpiring makes the delivery due of devices whose identity ends before a
// time, so that it is renewed.
func (s *Store) MarkExpiring(ctx context.Context, before time.Time) error {
	return s.write(ctx, func(tx *session) error {
		return markDue(ctx, tx, `EXISTS (SELECT 1 FROM identities i WHERE i.fingerprint = e.fingerprint AND i.expires_at < ?)`, micros(before))
	})
}

// ForgetChallenges removes challenges that ended before a time and were never
// used: whoever fetches a profile makes one, invited or not. Used ones stay,
// since a repeated request finds its certificate by them.
func (s *Store) ForgetChallenges(ctx context.Context, before time.Time) (int, error) {
	var n int64
	err := s.write(ctx, func(tx *session) (err error) {
		n, err = tx.exec(ctx, `DELETE FROM challenges WHERE used_at = 0 AND expires_at < ?`, micros(before))
		return err
	})
	return int(n), err
}
