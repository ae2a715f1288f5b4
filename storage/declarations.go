package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

var _ policy.DeclarationStore = (*Store)(nil)

const (
	bodyOfDeclaration = "declarations/body"
	declarativeStatus = "declarative/status"
)

type declarationRow struct {
	EnrollmentID string `json:"enrollment_id"`
	Kind         string `json:"kind"`
	Identifier   string `json:"identifier"`
	Type         string `json:"type"`
	ServerToken  string `json:"server_token"`
	Body         []byte `json:"body"`
}

func (r declarationRow) key() string { return r.EnrollmentID + "/" + r.Kind + "/" + r.Identifier }

// declare replaces the declarations of an enrollment and gives the token of the
// set. The same set again changes nothing.
func (s *Store) declare(ctx context.Context, tx *session, enrollmentID string, declarations []policy.Declaration, now time.Time) error {
	token := policy.DeclarationsToken(enrollmentID, declarations)
	n, err := tx.exec(ctx, `INSERT INTO declarative (enrollment_id, token, changed_at, status_at) VALUES (?, ?, ?, 0)
		ON CONFLICT (enrollment_id) DO UPDATE SET token = excluded.token, changed_at = excluded.changed_at WHERE declarative.token <> excluded.token`,
		enrollmentID, token, micros(now))
	if err != nil || n == 0 {
		return err
	}
	if _, err := tx.exec(ctx, `DELETE FROM declarations WHERE enrollment_id = ?`, enrollmentID); err != nil {
		return err
	}
	for _, d := range declarations {
		r := declarationRow{EnrollmentID: enrollmentID, Kind: d.Kind, Identifier: d.Identifier, Type: d.Type, ServerToken: d.ServerToken}
		if r.Body, err = s.seal(bodyOfDeclaration, r.key(), d.Body); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO declarations (enrollment_id, kind, identifier, type, server_token, body) VALUES (?, ?, ?, ?, ?, ?)`,
			r.EnrollmentID, r.Kind, r.Identifier, r.Type, r.ServerToken, r.Body); err != nil {
			return err
		}
	}
	return nil
}

// undeclare forgets what enrollments were declared and reported.
func undeclare(ctx context.Context, tx *session, enrollmentIDs []string) error {
	list := tx.list(enrollmentIDs)
	if _, err := tx.exec(ctx, `DELETE FROM declarations WHERE `+tx.in("enrollment_id"), list); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM declarative WHERE `+tx.in("enrollment_id"), list)
	return err
}

// DeclarationSet implements policy.DeclarationStore.
func (s *Store) DeclarationSet(ctx context.Context, enrollmentID string) (policy.DeclarationSet, error) {
	var set policy.DeclarationSet
	err := s.read(ctx, func(tx *session) error {
		set = policy.DeclarationSet{}
		var head struct {
			Token     string `json:"token"`
			ChangedAt int64  `json:"changed_at"`
		}
		err := tx.get(ctx, &head, `SELECT token, changed_at FROM declarative WHERE enrollment_id = ?`, enrollmentID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		set.Token, set.ChangedAt = head.Token, instant(head.ChangedAt)
		var rows []declarationRow
		if err := tx.all(ctx, &rows, `SELECT enrollment_id, kind, identifier, type, server_token FROM declarations WHERE enrollment_id = ?
			ORDER BY kind, identifier`, enrollmentID); err != nil {
			return err
		}
		for _, r := range rows {
			set.Declarations = append(set.Declarations, policy.Declaration{Kind: r.Kind, Type: r.Type, Identifier: r.Identifier, ServerToken: r.ServerToken})
		}
		return nil
	})
	return set, err
}

// Declaration implements policy.DeclarationStore.
func (s *Store) Declaration(ctx context.Context, enrollmentID, kind, identifier string) (policy.Declaration, error) {
	var r declarationRow
	err := s.one(ctx, &r, `SELECT enrollment_id, kind, identifier, type, server_token, body FROM declarations
		WHERE enrollment_id = ? AND kind = ? AND identifier = ?`, enrollmentID, kind, identifier)
	if errors.Is(err, sql.ErrNoRows) {
		return policy.Declaration{}, enroll.Errorf(enroll.KindNotFound, "declaration_unknown", "there is no such declaration")
	}
	if err != nil {
		return policy.Declaration{}, err
	}
	body, err := s.unseal(bodyOfDeclaration, r.key(), r.Body)
	return policy.Declaration{Kind: r.Kind, Type: r.Type, Identifier: r.Identifier, ServerToken: r.ServerToken, Body: body}, err
}

type statusRow struct {
	Status   []byte `json:"status"`
	StatusAt int64  `json:"status_at"`
}

type statusDocument struct {
	Items  map[string]any `json:"items"`
	Errors []any          `json:"errors"`
}

func (s *Store) declarativeStatus(enrollmentID string, r statusRow) (policy.DeclarativeStatus, error) {
	text, err := s.unseal(declarativeStatus, enrollmentID, r.Status)
	if err != nil || text == nil {
		return policy.DeclarativeStatus{}, err
	}
	d, err := decode[statusDocument](string(text))
	return policy.DeclarativeStatus{Items: d.Items, Errors: d.Errors, At: instant(r.StatusAt)}, err
}

// DeclarativeStatus implements policy.DeclarationStore.
func (s *Store) DeclarativeStatus(ctx context.Context, enrollmentID string) (policy.DeclarativeStatus, error) {
	var r statusRow
	err := s.one(ctx, &r, `SELECT status, status_at FROM declarative WHERE enrollment_id = ?`, enrollmentID)
	if errors.Is(err, sql.ErrNoRows) {
		return policy.DeclarativeStatus{}, nil
	}
	if err != nil {
		return policy.DeclarativeStatus{}, err
	}
	return s.declarativeStatus(enrollmentID, r)
}

// ChangeDeclarativeStatus implements policy.DeclarationStore. A report of an
// enrollment that has ended is enroll.KindConflict.
func (s *Store) ChangeDeclarativeStatus(ctx context.Context, enrollmentID string, change func(*policy.DeclarativeStatus) error) error {
	return s.write(ctx, func(tx *session) error {
		ended, err := lockChannel(ctx, tx, enrollmentID)
		if err != nil {
			return err
		}
		if ended != 0 {
			return enrollmentEnded()
		}
		var r statusRow
		if err := tx.get(ctx, &r, `SELECT status, status_at FROM declarative WHERE enrollment_id = ?`, enrollmentID); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		status, err := s.declarativeStatus(enrollmentID, r)
		if err != nil {
			return err
		}
		before := status.Supported()
		if err := change(&status); err != nil {
			return err
		}
		text, err := json.Marshal(statusDocument{status.Items, status.Errors})
		if err != nil {
			return err
		}
		sealed, err := s.seal(declarativeStatus, enrollmentID, text)
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO declarative (enrollment_id, token, changed_at, status, status_at) VALUES (?, '', 0, ?, ?)
			ON CONFLICT (enrollment_id) DO UPDATE SET status = excluded.status, status_at = excluded.status_at`,
			enrollmentID, sealed, micros(status.At)); err != nil {
			return err
		}
		if after := status.Supported(); after != nil && !maps.Equal(before, after) {
			return markDue(ctx, tx, "e.id = ?", enrollmentID)
		}
		return nil
	})
}
