package storage

import (
	"context"
	"time"

	"rollcall/dep/account"
)

var _ account.Misses = (*Store)(nil)

// TooMany implements account.Misses.
func (s *Store) TooMany(ctx context.Context, source string, tries int, window time.Duration, now time.Time) (tooMany bool, err error) {
	err = s.one(ctx, &tooMany, `SELECT EXISTS (SELECT 1 FROM code_failures WHERE source = ? AND since > ? AND failures >= ?)`, clean(source), micros(now.Add(-window)), tries)
	return tooMany, err
}

// Missed implements account.Misses.
func (s *Store) Missed(ctx context.Context, source string, window time.Duration, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		begun := micros(now.Add(-window))
		_, err := tx.exec(ctx, `INSERT INTO code_failures (source, since, failures) VALUES (?, ?, 1)
			ON CONFLICT (source) DO UPDATE SET failures = CASE WHEN code_failures.since > ? THEN code_failures.failures + 1 ELSE 1 END,
			since = CASE WHEN code_failures.since > ? THEN code_failures.since ELSE excluded.since END`, clean(source), micros(now), begun, begun)
		return err
	})
}
