package storage

import (
	"context"
	"database/sql"
	"errors"

	"rollcall/enroll"
	"rollcall/mdm/apns"
)

var _ apns.Secrets = (*Store)(nil)

const valueOfSecret = "secrets/value"

// Secret implements apns.Secrets.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	value, err := s.secret(ctx, s.pool(), name)
	return value, unavailable(err)
}

func (s *Store) secret(ctx context.Context, tx *session, name string) ([]byte, error) {
	var sealed []byte
	err := tx.get(ctx, &sealed, `SELECT value FROM secrets WHERE name = ?`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, enroll.Errorf(enroll.KindNotFound, "secret_unknown", "nothing is stored under the name %q", name)
	}
	if err != nil {
		return nil, err
	}
	return s.unseal(valueOfSecret, name, sealed)
}

// PutSecret implements apns.Secrets.
func (s *Store) PutSecret(ctx context.Context, name string, value []byte) error {
	sealed, err := s.sealSecret(name, value)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO secrets (name, value, updated_at) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`, name, sealed, micros(now()))
		return err
	})
}

// CreateSecret stores a value under a name that has none, and gives what is
// stored: of several servers that start at once, the first one's value counts.
func (s *Store) CreateSecret(ctx context.Context, name string, value []byte) (stored []byte, created bool, err error) {
	sealed, err := s.sealSecret(name, value)
	if err != nil {
		return nil, false, err
	}
	err = s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `INSERT INTO secrets (name, value, updated_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING`, name, sealed, micros(now()))
		if err != nil {
			return err
		}
		created = n == 1
		stored, err = s.secret(ctx, tx, name)
		return err
	})
	return stored, created && err == nil, err
}

func (s *Store) sealSecret(name string, value []byte) ([]byte, error) {
	if value == nil {
		value = []byte{}
	}
	return s.seal(valueOfSecret, name, value)
}

// DeleteSecret implements apns.Secrets; nothing happens where there is none.
func (s *Store) DeleteSecret(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `DELETE FROM secrets WHERE name = ?`, name)
		return err
	})
}
