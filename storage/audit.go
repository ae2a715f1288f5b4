package storage

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"rollcall/admin"
	"rollcall/enroll"
)

var _ admin.AuditStore = (*Store)(nil)

// secretAuditKey names the key of the chain among the secrets. It is sealed
// with a key that is not in the database, so who can write to the database
// alone cannot make a chain that holds.
const secretAuditKey = "audit_key"

// chainKey is the key of the chain, once it was needed.
type chainKey struct {
	mu  sync.Mutex
	key []byte
}

// keyOf is the key of the chain where ctx is part of a call, and nil where
// nothing will be recorded.
func (s *Store) keyOf(ctx context.Context) ([]byte, error) {
	if _, ok := enroll.CallOf(ctx); !ok {
		return nil, nil
	}
	return s.auditKey(ctx)
}

func (s *Store) auditKey(ctx context.Context) ([]byte, error) {
	s.chain.mu.Lock()
	defer s.chain.mu.Unlock()
	if s.chain.key != nil {
		return s.chain.key, nil
	}
	key, err := s.secret(ctx, s.pool(), secretAuditKey)
	if enroll.KindOf(err) == enroll.KindNotFound {
		fresh := make([]byte, 32)
		rand.Read(fresh)
		sealed, sealErr := s.sealSecret(secretAuditKey, fresh)
		if sealErr != nil {
			return nil, sealErr
		}
		err = s.transact(ctx, func(tx *session) (err error) {
			if _, err := tx.exec(ctx, `INSERT INTO secrets (name, value, updated_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING`, secretAuditKey, sealed, micros(now())); err != nil {
				return err
			}
			key, err = s.secret(ctx, tx, secretAuditKey)
			return err
		})
	}
	if err != nil {
		return nil, unavailable(err)
	}
	s.chain.key = key
	return key, nil
}

// record notes a change for the audit log; nothing happens outside of a call.
// before and after become JSON, and must hold nothing secret; nil is nothing.
func (q *session) record(ctx context.Context, kind, key string, before, after any) {
	call, ok := enroll.CallOf(ctx)
	if !ok || q.journal == nil {
		return
	}
	e := enroll.AuditEntry{ID: enroll.NewID(), At: now(), Call: call, Kind: kind, Key: clean(key)}
	if before != nil {
		e.Before = json.RawMessage(clean(encode(before)))
	}
	if after != nil {
		e.After = json.RawMessage(clean(encode(after)))
	}
	q.journal.entries = append(q.journal.entries, e)
}

// link is the hash of an entry that follows one with the hash previous.
func link(key, previous []byte, e enroll.AuditEntry) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(previous)
	mac.Write([]byte(encode([]any{e.Seq, e.ID, micros(e.At), e.Call.ActorKind, e.Call.ActorID, e.Call.ActorName, e.Call.Operation, e.Call.Path, e.Call.RequestID,
		e.Call.RemoteAddr, e.Kind, e.Key, string(e.Before), string(e.After)})))
	return mac.Sum(nil)
}

type head struct {
	Seq  int64  `json:"seq"`
	Hash []byte `json:"hash"`
}

// extendAudit writes what the transaction has noted to the end of the chain.
// The head stays locked until the commit, so the order of entries is that of
// commits. It comes last, so that the lock is short and part of no deadlock.
func extendAudit(ctx context.Context, tx *session, key []byte) error {
	if len(tx.journal.entries) == 0 {
		return nil
	}
	var h head
	if err := tx.get(ctx, &h, `SELECT seq, hash FROM heads WHERE name = 'audit'`+tx.lock()); err != nil {
		return err
	}
	for _, e := range tx.journal.entries {
		h.Seq++
		e.Seq = h.Seq
		for _, s := range []*string{&e.Call.ActorID, &e.Call.ActorName, &e.Call.Operation, &e.Call.Path, &e.Call.RequestID, &e.Call.RemoteAddr} {
			*s = clean(*s)
		}
		h.Hash = link(key, h.Hash, e)
		if _, err := tx.exec(ctx, `INSERT INTO audit (seq, id, at, actor_kind, actor_id, actor_name, operation, path, request_id, remote_addr, kind, object_key, old_value, new_value, hash)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, e.Seq, e.ID, micros(e.At), e.Call.ActorKind, e.Call.ActorID, e.Call.ActorName, e.Call.Operation, e.Call.Path,
			e.Call.RequestID, e.Call.RemoteAddr, e.Kind, e.Key, string(e.Before), string(e.After), h.Hash); err != nil {
			return err
		}
	}
	_, err := tx.exec(ctx, `UPDATE heads SET seq = ?, hash = ? WHERE name = 'audit'`, h.Seq, h.Hash)
	return err
}

type auditRow struct {
	Seq        int64  `json:"seq"`
	ID         string `json:"id"`
	At         int64  `json:"at"`
	ActorKind  string `json:"actor_kind"`
	ActorID    string `json:"actor_id"`
	ActorName  string `json:"actor_name"`
	Operation  string `json:"operation"`
	Path       string `json:"path"`
	RequestID  string `json:"request_id"`
	RemoteAddr string `json:"remote_addr"`
	Kind       string `json:"kind"`
	Key        string `json:"object_key"`
	Before     string `json:"old_value"`
	After      string `json:"new_value"`
	Hash       []byte `json:"hash"`
}

const selectAudit = `SELECT seq, id, at, actor_kind, actor_id, actor_name, operation, path, request_id, remote_addr, kind, object_key, old_value, new_value, hash FROM audit `

func (r auditRow) entry() enroll.AuditEntry {
	e := enroll.AuditEntry{Seq: r.Seq, ID: r.ID, At: instant(r.At), Kind: r.Kind, Key: r.Key,
		Call: enroll.Call{ActorKind: r.ActorKind, ActorID: r.ActorID, ActorName: r.ActorName, Operation: r.Operation, Path: r.Path, RequestID: r.RequestID, RemoteAddr: r.RemoteAddr}}
	if r.Before != "" {
		e.Before = json.RawMessage(r.Before)
	}
	if r.After != "" {
		e.After = json.RawMessage(r.After)
	}
	copy(e.Hash[:], r.Hash)
	return e
}

// Audit implements admin.AuditStore.
func (s *Store) Audit(ctx context.Context, f enroll.AuditFilter, before int64, limit int) ([]enroll.AuditEntry, error) {
	query, args := selectAudit+"WHERE true", []any{}
	add := func(condition string, value any) {
		query += " AND " + condition
		args = append(args, value)
	}
	if before > 0 {
		add("seq < ?", before)
	}
	for _, c := range []struct{ column, value string }{{"actor_id", f.ActorID}, {"operation", f.Operation}, {"kind", f.Kind}, {"object_key", f.Key}} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if !f.Since.IsZero() {
		add("at >= ?", micros(f.Since))
	}
	if !f.Until.IsZero() {
		add("at < ?", micros(f.Until))
	}
	var rows []auditRow
	if err := s.all(ctx, &rows, query+" ORDER BY seq DESC LIMIT ?", append(args, pageLimit(enroll.Page{Limit: limit}))...); err != nil {
		return nil, err
	}
	entries := make([]enroll.AuditEntry, len(rows))
	for i, r := range rows {
		entries[i] = r.entry()
	}
	return entries, nil
}

// verifyBatch is how many entries are read at once.
const verifyBatch = 1000

// VerifyAudit implements admin.AuditStore.
func (s *Store) VerifyAudit(ctx context.Context) (enroll.AuditReport, error) {
	var report enroll.AuditReport
	key, err := s.auditKey(ctx)
	if err != nil {
		return report, err
	}
	err = s.read(ctx, func(tx *session) error {
		report = enroll.AuditReport{}
		var h head
		if err := tx.get(ctx, &h, `SELECT seq, hash FROM heads WHERE name = 'audit'`); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var previous []byte
		broken := func(seq int64, format string, args ...any) error {
			report.Broken, report.Reason = seq, fmt.Sprintf(format, args...)
			return nil
		}
		for {
			var rows []auditRow
			if err := tx.all(ctx, &rows, selectAudit+"WHERE seq > ? ORDER BY seq LIMIT ?", report.Entries, verifyBatch); err != nil {
				return err
			}
			for _, r := range rows {
				next := report.Entries + 1
				if r.Seq != next {
					return broken(next, "The entry is missing; the next one there is %d.", r.Seq)
				}
				want := link(key, previous, r.entry())
				if subtle.ConstantTimeCompare(want, r.Hash) != 1 {
					return broken(next, "The entry, or its hash, is not what was written.")
				}
				previous, report.Entries = r.Hash, next
				copy(report.Head[:], r.Hash)
			}
			if len(rows) < verifyBatch {
				break
			}
		}
		if h.Seq != report.Entries || subtle.ConstantTimeCompare(h.Hash, previous) != 1 {
			return broken(report.Entries+1, "The log ends here, but %d entries were written.", h.Seq)
		}
		return nil
	})
	return report, err
}
