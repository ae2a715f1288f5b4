package storage

import (
	"context"
	"strings"

	"rollcall/enroll"
)

// outerKey marks the context of a transaction that several methods share.
type outerKey struct{}

// outer is the transaction around this call; nil: none.
func outer(ctx context.Context) *session {
	tx, _ := ctx.Value(outerKey{}).(*session)
	return tx
}

// reader is where single statements read.
func (s *Store) reader(ctx context.Context) *session {
	if tx := outer(ctx); tx != nil {
		return tx
	}
	return s.pool()
}

// write runs fn in one transaction; it may run again.
func (s *Store) write(ctx context.Context, fn func(tx *session) error) error {
	if tx := outer(ctx); tx != nil {
		err := unavailable(accounted(ctx, tx, fn))
		tx.journal.failure = err
		return err
	}
	key, err := s.keyOf(ctx)
	if err != nil {
		return err
	}
	return unavailable(s.transact(ctx, func(tx *session) error {
		tx.journal = &journal{}
		if err := accounted(ctx, tx, fn); err != nil {
			return err
		}
		return extendAudit(ctx, tx, key)
	}))
}

// read runs fn on one state of the database, without locks.
func (s *Store) read(ctx context.Context, fn func(tx *session) error) error {
	if tx := outer(ctx); tx != nil {
		return unavailable(fn(tx))
	}
	return unavailable(s.snapshot(ctx, fn))
}

// Atomically makes one transaction of everything that fn does with its
// context. fn may run again, and must use the context from one goroutine only.
func (s *Store) Atomically(ctx context.Context, fn func(ctx context.Context) error) error {
	return s.write(ctx, func(tx *session) error {
		err := fn(context.WithValue(ctx, outerKey{}, tx))
		if failure := tx.journal.failure; err != nil && enroll.KindOf(failure) == enroll.KindUnavailable {
			return failure // fn may have worded it for somebody; this one says whether to run again
		}
		return err
	})
}

// Snapshot lets everything that fn reads with its context be of one state of
// the database. It runs once, holds a connection until it returns, and must use
// the context from one goroutine only.
func (s *Store) Snapshot(ctx context.Context, fn func(ctx context.Context) error) error {
	started := false
	return s.read(ctx, func(tx *session) error {
		if started {
			return enroll.Errorf(enroll.KindUnavailable, "snapshot_lost", "the connection to the database was lost").WithHint("Start anew.")
		}
		started = true // what was read is with the caller already
		return fn(context.WithValue(ctx, outerKey{}, tx))
	})
}

// journal is what a transaction notes for the audit log.
type journal struct {
	rows    int64 // that were changed
	entries []enroll.AuditEntry
	failure error // of the last of several methods that share the transaction
}

// count notes changed rows. Commands of the engine, such as locks, change none.
func (j *journal) count(query string, n int64) {
	if j == nil {
		return
	}
	for _, verb := range []string{"INSERT", "UPDATE", "DELETE", "WITH"} {
		if strings.HasPrefix(strings.TrimSpace(query), verb) {
			j.rows += n
			return
		}
	}
}

// accounted sees to it that no change under a call stays out of the audit log:
// where fn changes rows and says nothing, the call itself is the entry.
func accounted(ctx context.Context, tx *session, fn func(tx *session) error) error {
	rows, entries := tx.journal.rows, len(tx.journal.entries)
	if err := fn(tx); err != nil {
		return err
	}
	if tx.journal.rows > rows && len(tx.journal.entries) == entries {
		tx.record(ctx, "", "", nil, nil)
	}
	return nil
}
