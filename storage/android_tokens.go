package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/android"
	"rollcall/enroll"
)

var _ android.TokenStore = (*Store)(nil)

type enrollmentTokenRow struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	MaxUses    int    `json:"max_uses"`
	Uses       int    `json:"uses"`
	Ownership  string `json:"ownership"`
	Group      string `json:"group_name"`
	UserID     string `json:"user_id"`
	DeviceID   string `json:"device_id"`
	RequestID  string `json:"request_id"`
	CreatedBy  string `json:"created_by"`
	CreatedAt  int64  `json:"created_at"`
	ExpiresAt  int64  `json:"expires_at"`
	LastUsedAt int64  `json:"last_used_at"`
	RevokedAt  int64  `json:"revoked_at"`
}

const (
	enrollmentTokenColumns = `id, name, max_uses, uses, ownership, group_name, user_id, device_id, request_id, created_by, created_at, expires_at, last_used_at, revoked_at`
	selectEnrollmentToken  = `SELECT ` + enrollmentTokenColumns + ` FROM enrollment_tokens `
)

func (r enrollmentTokenRow) token() android.Token {
	return android.Token{ID: r.ID, Name: r.Name, MaxUses: r.MaxUses, Uses: r.Uses, Ownership: enroll.Ownership(r.Ownership), Group: r.Group, UserID: r.UserID,
		DeviceID: r.DeviceID, RequestID: r.RequestID, CreatedBy: r.CreatedBy, CreatedAt: instant(r.CreatedAt), ExpiresAt: instant(r.ExpiresAt),
		LastUsedAt: instant(r.LastUsedAt), RevokedAt: instant(r.RevokedAt)}
}

func noEnrollmentToken() error {
	return enroll.Errorf(enroll.KindNotFound, "token_unknown", "there is no such enrollment token")
}

// CreateEnrollmentToken implements android.TokenStore.
func (s *Store) CreateEnrollmentToken(ctx context.Context, t android.Token, hash [32]byte) error {
	return s.write(ctx, func(tx *session) error {
		if t.DeviceID != "" {
			if _, err := lockDevice(ctx, tx, t.DeviceID); err != nil {
				return err
			}
		}
		if t.Group != "" {
			if err := staticGroup(ctx, tx, t.Group); err != nil {
				return err
			}
		}
		tx.record(ctx, "enrollment_token", t.ID, nil, map[string]any{"name": t.Name, "max_uses": t.MaxUses, "ownership": t.Ownership, "group": t.Group,
			"user_id": t.UserID, "device_id": t.DeviceID, "expires_at": t.ExpiresAt})
		_, err := tx.exec(ctx, `INSERT INTO enrollment_tokens (hash, `+enrollmentTokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, hash[:],
			t.ID, t.Name, t.MaxUses, t.Uses, string(t.Ownership), t.Group, t.UserID, t.DeviceID, t.RequestID, t.CreatedBy,
			micros(t.CreatedAt), micros(t.ExpiresAt), micros(t.LastUsedAt), micros(t.RevokedAt))
		return err
	})
}

// staticGroup says whether devices can be put into a group.
func staticGroup(ctx context.Context, tx *session, name string) error {
	id, err := groupID(ctx, tx, name)
	if err != nil {
		return err
	}
	var byRule bool
	if err := tx.get(ctx, &byRule, `SELECT rule <> '' FROM device_groups WHERE id = ?`, id); err != nil || !byRule {
		return err
	}
	return enroll.Errorf(enroll.KindConflict, "group_by_rule", "the members of the group %q are those its rule matches", name).WithHint("Name a static group.")
}

// EnrollmentToken implements android.TokenStore.
func (s *Store) EnrollmentToken(ctx context.Context, id string) (android.Token, error) {
	return s.enrollmentToken(ctx, `WHERE id = ?`, id)
}

// EnrollmentTokenByHash implements android.TokenStore.
func (s *Store) EnrollmentTokenByHash(ctx context.Context, hash [32]byte) (android.Token, error) {
	return s.enrollmentToken(ctx, `WHERE hash = ?`, hash[:])
}

func (s *Store) enrollmentToken(ctx context.Context, where string, key any) (android.Token, error) {
	var r enrollmentTokenRow
	if err := s.one(ctx, &r, selectEnrollmentToken+where, key); errors.Is(err, sql.ErrNoRows) {
		return android.Token{}, noEnrollmentToken()
	} else if err != nil {
		return android.Token{}, err
	}
	return r.token(), nil
}

// EnrollmentTokens implements android.TokenStore.
func (s *Store) EnrollmentTokens(ctx context.Context, p enroll.Page) ([]android.Token, error) {
	query, args := selectEnrollmentToken, []any{}
	if p.After != "" {
		query += `WHERE id < ? `
		args = append(args, p.After)
	}
	var rows []enrollmentTokenRow
	if err := s.all(ctx, &rows, query+`ORDER BY id DESC LIMIT ?`, append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	tokens := make([]android.Token, len(rows))
	for i, r := range rows {
		tokens[i] = r.token()
	}
	return tokens, nil
}

// RevokeEnrollmentToken implements android.TokenStore.
func (s *Store) RevokeEnrollmentToken(ctx context.Context, id string, at time.Time) (android.Token, error) {
	var r enrollmentTokenRow
	err := s.write(ctx, func(tx *session) error {
		if _, err := tx.exec(ctx, `UPDATE enrollment_tokens SET revoked_at = ? WHERE id = ? AND revoked_at = 0`, micros(at), id); err != nil {
			return err
		}
		err := tx.get(ctx, &r, selectEnrollmentToken+`WHERE id = ?`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return noEnrollmentToken()
		}
		tx.record(ctx, "enrollment_token", id, nil, map[string]any{"revoked": true})
		return err
	})
	if err != nil {
		return android.Token{}, err
	}
	return r.token(), nil
}

// UseEnrollmentToken implements android.TokenStore. Of two devices with one
// one-time token the second waits for the first, and finds it used.
func (s *Store) UseEnrollmentToken(ctx context.Context, id string, at time.Time) (bool, error) {
	var used bool
	err := s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE enrollment_tokens SET uses = uses + 1, last_used_at = ? WHERE id = ? AND revoked_at = 0
			AND (expires_at = 0 OR expires_at > ?) AND (max_uses = 0 OR uses < max_uses)`, micros(at), id, micros(at))
		if used = n > 0; err != nil || !used {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE enrollment_tokens SET revoked_at = ? WHERE request_id <> '' AND request_id = (SELECT request_id FROM enrollment_tokens WHERE id = ?)
			AND id <> ? AND revoked_at = 0 AND uses = 0`, micros(at), id, id)
		return err
	})
	return used && err == nil, err
}
