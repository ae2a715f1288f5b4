package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

type consoleSessionRow struct {
	ID              string `json:"id"`
	AdministratorID string `json:"administrator_id"`
	CreatedAt       int64  `json:"created_at"`
	SeenAt          int64  `json:"seen_at"`
	ExpiresAt       int64  `json:"expires_at"`
	Address         string `json:"address"`
	UserAgent       string `json:"user_agent"`
	Method          string `json:"method"`
}

const selectConsoleSession = `SELECT id, administrator_id, created_at, seen_at, expires_at, address, user_agent, method FROM console_sessions `

func (r consoleSessionRow) session() admin.Session {
	return admin.Session{ID: r.ID, AdministratorID: r.AdministratorID, CreatedAt: instant(r.CreatedAt), SeenAt: instant(r.SeenAt), ExpiresAt: instant(r.ExpiresAt),
		Address: r.Address, UserAgent: r.UserAgent, Method: admin.SignInMethod(r.Method)}
}

func noConsoleSession() error {
	return enroll.Errorf(enroll.KindNotFound, "session_unknown", "there is no such session")
}

// CreateSession implements admin.AdministratorStore.
func (s *Store) CreateSession(ctx context.Context, c admin.Session, hash [32]byte) error {
	return s.write(ctx, func(tx *session) error {
		tx.record(ctx, "session", c.ID, nil, map[string]any{"administrator_id": c.AdministratorID, "method": c.Method})
		if _, err := tx.exec(ctx, `INSERT INTO console_sessions (id, hash, administrator_id, created_at, seen_at, expires_at, address, user_agent, method) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.ID, hash[:], c.AdministratorID, micros(c.CreatedAt), micros(c.SeenAt), micros(c.ExpiresAt), clean(c.Address), clean(c.UserAgent), string(c.Method)); err != nil {
			return err
		}
		return adminSeen(ctx, tx, c.AdministratorID, c.SeenAt)
	})
}

func adminSeen(ctx context.Context, tx *session, id string, at time.Time) error {
	_, err := tx.exec(ctx, `UPDATE administrators SET last_seen_at = ? WHERE id = ? AND last_seen_at < ?`, micros(at), id, micros(at))
	return err
}

// SessionByHash implements admin.AdministratorStore.
func (s *Store) SessionByHash(ctx context.Context, hash [32]byte) (admin.Session, admin.Administrator, error) {
	var found consoleSessionRow
	var whose administratorRow
	err := s.one(ctx, &found, selectConsoleSession+"WHERE hash = ?", hash[:])
	if err == nil {
		err = s.one(ctx, &whose, selectAdministrator+"WHERE id = ?", found.AdministratorID)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return admin.Session{}, admin.Administrator{}, noConsoleSession()
	}
	if err != nil {
		return admin.Session{}, admin.Administrator{}, err
	}
	return found.session(), whose.administrator(), nil
}

// Sessions implements admin.AdministratorStore.
func (s *Store) Sessions(ctx context.Context, administratorID string, now, idle time.Time) ([]admin.Session, error) {
	query, args := selectConsoleSession+"WHERE expires_at > ? AND seen_at > ?", []any{micros(now), micros(idle)}
	if administratorID != "" {
		query, args = query+" AND administrator_id = ?", append(args, administratorID)
	}
	var rows []consoleSessionRow
	if err := s.all(ctx, &rows, query+" ORDER BY id DESC LIMIT ?", append(args, pageLimit(enroll.Page{Limit: 1000}))...); err != nil {
		return nil, err
	}
	out := make([]admin.Session, len(rows))
	for i, r := range rows {
		out[i] = r.session()
	}
	return out, nil
}

// EndSession implements admin.AdministratorStore.
func (s *Store) EndSession(ctx context.Context, id, administratorID string) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `DELETE FROM console_sessions WHERE id = ? AND (administrator_id = ? OR ? = '')`, id, administratorID, administratorID)
		if err != nil {
			return err
		}
		if n == 0 {
			return noConsoleSession()
		}
		tx.record(ctx, "session", id, nil, nil)
		return nil
	})
}

// SessionSeen implements admin.AdministratorStore.
func (s *Store) SessionSeen(ctx context.Context, id string, at time.Time) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.lazy()); err != nil {
			return err
		}
		var whose string
		if err := tx.get(ctx, &whose, `SELECT administrator_id FROM console_sessions WHERE id = ?`, id); errors.Is(err, sql.ErrNoRows) {
			return nil // ended meanwhile
		} else if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE console_sessions SET seen_at = ? WHERE id = ? AND seen_at < ?`, micros(at), id, micros(at)); err != nil {
			return err
		}
		return adminSeen(ctx, tx, whose, at)
	})
}

type failureRow struct {
	Failures     int   `json:"failures"`
	FailedAt     int64 `json:"failed_at"`
	BlockedUntil int64 `json:"blocked_until"`
}

// TrySignIn implements admin.AdministratorStore.
func (s *Store) TrySignIn(ctx context.Context, sources []admin.TrySource, now time.Time) (blocked time.Time, err error) {
	err = s.write(ctx, func(tx *session) error {
		blocked = time.Time{}
		rows := make([]failureRow, len(sources))
		for i, source := range sources {
			if _, err := tx.exec(ctx, `INSERT INTO console_failures (source, failures, failed_at, blocked_until) VALUES (?, 0, ?, 0) ON CONFLICT (source) DO NOTHING`, source.Name, micros(now)); err != nil {
				return err
			}
			if err := tx.get(ctx, &rows[i], `SELECT failures, failed_at, blocked_until FROM console_failures WHERE source = ?`+tx.lock(), source.Name); err != nil {
				return err
			}
			if rows[i].BlockedUntil > micros(now) && instant(rows[i].BlockedUntil).After(blocked) {
				blocked = instant(rows[i].BlockedUntil)
			}
		}
		if !blocked.IsZero() {
			return nil
		}
		for i, source := range sources {
			if now.Sub(instant(rows[i].FailedAt)) >= admin.FailureLife {
				rows[i].Failures = 0
			}
			failures, until := rows[i].Failures+1, int64(0)
			if pause := source.BlockOf(failures); pause > 0 {
				until = micros(now.Add(pause))
			}
			if _, err := tx.exec(ctx, `UPDATE console_failures SET failures = ?, failed_at = ?, blocked_until = ? WHERE source = ?`, failures, micros(now), until, source.Name); err != nil {
				return err
			}
		}
		return nil
	})
	return blocked, err
}

// SignInTried implements admin.AdministratorStore.
func (s *Store) SignInTried(ctx context.Context, sources []admin.TrySource, forget ...string) error {
	return s.write(ctx, func(tx *session) error {
		for _, source := range sources {
			if _, err := tx.exec(ctx, `UPDATE console_failures SET failures = failures - 1, blocked_until = 0 WHERE source = ? AND failures > 0`, source.Name); err != nil {
				return err
			}
		}
		for _, name := range forget {
			if _, err := tx.exec(ctx, `DELETE FROM console_failures WHERE source = ?`, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// ForgetConsole removes sessions that ended before a time, and failed sign-ins
// that nobody counts any more.
func (s *Store) ForgetConsole(ctx context.Context, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		if _, err := tx.exec(ctx, `DELETE FROM console_sessions WHERE expires_at <= ? OR seen_at <= ?`, micros(now), micros(now.Add(-admin.SessionIdle))); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `DELETE FROM console_failures WHERE failed_at < ?`, micros(now.Add(-admin.FailureLife)))
		return err
	})
}
