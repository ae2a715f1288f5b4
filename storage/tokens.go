package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

var _ admin.TokenStore = (*Store)(nil)

type tokenRow struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Role       string `json:"role"`
	Hash       []byte `json:"hash"`
	CreatedAt  int64  `json:"created_at"`
	ExpiresAt  int64  `json:"expires_at"`
	LastUsedAt int64  `json:"last_used_at"`
	RevokedAt  int64  `json:"revoked_at"`
}

const selectToken = `SELECT id, name, role, hash, created_at, expires_at, last_used_at, revoked_at FROM tokens `

func (r tokenRow) token() admin.Token {
	t := admin.Token{ID: r.ID, Name: r.Name, Role: admin.Role(r.Role), CreatedAt: instant(r.CreatedAt), ExpiresAt: instant(r.ExpiresAt),
		LastUsedAt: instant(r.LastUsedAt), RevokedAt: instant(r.RevokedAt)}
	copy(t.Hash[:], r.Hash)
	return t
}

func insertToken(ctx context.Context, tx *session, t admin.Token) error {
	tx.record(ctx, "token", t.ID, nil, map[string]any{"name": t.Name, "role": t.Role, "expires_at": t.ExpiresAt})
	_, err := tx.exec(ctx, `INSERT INTO tokens (id, name, role, hash, created_at, expires_at, last_used_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		t.ID, t.Name, string(t.Role), t.Hash[:], micros(t.CreatedAt), micros(t.ExpiresAt), micros(t.LastUsedAt), micros(t.RevokedAt))
	return err
}

// CreateToken implements admin.TokenStore.
func (s *Store) CreateToken(ctx context.Context, t admin.Token) error {
	return s.write(ctx, func(tx *session) error { return insertToken(ctx, tx, t) })
}

// CreateFirstToken implements admin.TokenStore. Tokens are never deleted, so
// "has never been" is "there is none".
func (s *Store) CreateFirstToken(ctx context.Context, t admin.Token) (created bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		created = false
		if err := tx.do(ctx, tx.mutex(mutexTokens, false)); err != nil {
			return err
		}
		var any bool
		if err := tx.get(ctx, &any, `SELECT EXISTS (SELECT 1 FROM tokens)`); err != nil || any {
			return err
		}
		created = true
		return insertToken(ctx, tx, t)
	})
	return created && err == nil, err
}

// TokenByHash implements admin.TokenStore.
func (s *Store) TokenByHash(ctx context.Context, hash [32]byte) (admin.Token, error) {
	var r tokenRow
	if err := s.one(ctx, &r, selectToken+"WHERE hash = ?", hash[:]); errors.Is(err, sql.ErrNoRows) {
		return admin.Token{}, noToken()
	} else if err != nil {
		return admin.Token{}, err
	}
	return r.token(), nil
}

func noToken() error {
	return enroll.Errorf(enroll.KindNotFound, "token_unknown", "there is no such token")
}

// Tokens implements admin.TokenStore.
func (s *Store) Tokens(ctx context.Context) ([]admin.Token, error) {
	var rows []tokenRow
	if err := s.all(ctx, &rows, selectToken+"ORDER BY id DESC"); err != nil {
		return nil, err
	}
	tokens := make([]admin.Token, len(rows))
	for i, r := range rows {
		tokens[i] = r.token()
	}
	return tokens, nil
}

// RevokeToken implements admin.TokenStore; again for a revoked one changes
// nothing.
func (s *Store) RevokeToken(ctx context.Context, id string, at time.Time) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexTokens, false)); err != nil {
			return err
		}
		const usableAdmin = `role = 'admin' AND revoked_at = 0 AND (expires_at = 0 OR expires_at > ?)`
		var r struct {
			Revoked bool `json:"revoked"`
			Admin   bool `json:"usable_admin"`
			Others  bool `json:"others"`
		}
		err := tx.get(ctx, &r, `SELECT revoked_at > 0 AS revoked, (`+usableAdmin+`) AS usable_admin,
			EXISTS (SELECT 1 FROM tokens o WHERE o.id <> tokens.id AND o.role = 'admin' AND o.revoked_at = 0 AND (o.expires_at = 0 OR o.expires_at > ?)) AS others
			FROM tokens WHERE id = ?`, micros(at), micros(at), id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return noToken()
		case err != nil || r.Revoked:
			return err
		case r.Admin && !r.Others:
			return enroll.Errorf(enroll.KindConflict, "last_admin_token", "this is the last token with the role admin").WithHint("Create another one first.")
		}
		tx.record(ctx, "token", id, nil, map[string]any{"revoked_at": at.UTC()})
		_, err = tx.exec(ctx, `UPDATE tokens SET revoked_at = ? WHERE id = ?`, micros(at), id)
		return err
	})
}

// TokenUsed implements admin.TokenStore, to the minute.
func (s *Store) TokenUsed(ctx context.Context, id string, at time.Time) error {
	at = at.Truncate(time.Minute)
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.lazy()); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE tokens SET last_used_at = ? WHERE id = ? AND last_used_at < ?`, micros(at), id, micros(at))
		return err
	})
}
