package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/certs"
)

var _ certs.IdentityStore = (*Store)(nil)

// PutChallenge implements certs.IdentityStore.
func (s *Store) PutChallenge(ctx context.Context, c certs.Challenge) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO challenges (hash, binding, expires_at, used_at, used_by_key, fingerprint) VALUES (?, ?, ?, 0, NULL, '')`,
			c.Hash[:], encode(c.Binding), micros(c.ExpiresAt))
		return err
	})
}

// Challenge implements certs.IdentityStore.
func (s *Store) Challenge(ctx context.Context, hash [32]byte) (certs.Challenge, error) {
	c, err := challenge(ctx, s.pool(), hash)
	return c, unavailable(err)
}

func challenge(ctx context.Context, tx *session, hash [32]byte) (certs.Challenge, error) {
	var r struct {
		Binding   string `json:"binding"`
		ExpiresAt int64  `json:"expires_at"`
		UsedAt    int64  `json:"used_at"`
		UsedByKey []byte `json:"used_by_key"`
	}
	err := tx.get(ctx, &r, `SELECT binding, expires_at, used_at, used_by_key FROM challenges WHERE hash = ?`, hash[:])
	if errors.Is(err, sql.ErrNoRows) {
		return certs.Challenge{}, certs.ErrChallengeUnknown
	}
	if err != nil {
		return certs.Challenge{}, err
	}
	b, err := decode[certs.Binding](r.Binding)
	return certs.Challenge{Hash: hash, Binding: b, ExpiresAt: instant(r.ExpiresAt), UsedAt: instant(r.UsedAt), UsedByKey: r.UsedByKey}, err
}

// Consume implements certs.IdentityStore.
func (s *Store) Consume(ctx context.Context, hash [32]byte, id certs.Identity, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE challenges SET used_at = ?, used_by_key = ?, fingerprint = ? WHERE hash = ? AND used_at = 0 AND expires_at > ?`,
			micros(now), id.KeyHash, id.Fingerprint, hash[:], micros(now))
		if err != nil {
			return err
		}
		if n == 1 {
			return insertIdentity(ctx, tx, id)
		}
		c, err := challenge(ctx, tx, hash)
		switch {
		case err != nil:
			return err
		case !c.UsedAt.IsZero():
			return certs.ErrChallengeUsed
		default:
			return certs.ErrChallengeExpired
		}
	})
}

// IdentityByChallenge implements certs.IdentityStore.
func (s *Store) IdentityByChallenge(ctx context.Context, hash [32]byte) (certs.Identity, error) {
	return s.identity(ctx, `fingerprint = (SELECT c.fingerprint FROM challenges c WHERE c.hash = ?)`, hash[:])
}

// Identity implements certs.IdentityStore.
func (s *Store) Identity(ctx context.Context, fingerprint string) (certs.Identity, error) {
	return s.identity(ctx, `fingerprint = ?`, fingerprint)
}

func (s *Store) identity(ctx context.Context, condition string, arg any) (certs.Identity, error) {
	var r struct {
		Fingerprint string `json:"fingerprint"`
		DER         []byte `json:"der"`
		KeyHash     []byte `json:"key_hash"`
		Binding     string `json:"binding"`
		Renews      string `json:"renews"`
		IssuedAt    int64  `json:"issued_at"`
		ExpiresAt   int64  `json:"expires_at"`
		RevokedAt   int64  `json:"revoked_at"`
	}
	err := s.one(ctx, &r, `SELECT fingerprint, der, key_hash, binding, renews, issued_at, expires_at, revoked_at FROM identities WHERE `+condition, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return certs.Identity{}, certs.ErrIdentityUnknown
	}
	if err != nil {
		return certs.Identity{}, err
	}
	b, err := decode[certs.Binding](r.Binding)
	return certs.Identity{Fingerprint: r.Fingerprint, DER: r.DER, KeyHash: r.KeyHash, Binding: b, Renews: r.Renews,
		IssuedAt: instant(r.IssuedAt), ExpiresAt: instant(r.ExpiresAt), RevokedAt: instant(r.RevokedAt)}, err
}

// PutIdentity implements certs.IdentityStore; again for the same certificate
// changes nothing.
func (s *Store) PutIdentity(ctx context.Context, id certs.Identity) error {
	return s.write(ctx, func(tx *session) error { return insertIdentity(ctx, tx, id) })
}

func insertIdentity(ctx context.Context, tx *session, id certs.Identity) error {
	_, err := tx.exec(ctx, `INSERT INTO identities (fingerprint, der, key_hash, binding, renews, issued_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (fingerprint) DO NOTHING`, id.Fingerprint, id.DER, id.KeyHash, encode(id.Binding), id.Renews,
		micros(id.IssuedAt), micros(id.ExpiresAt), micros(id.RevokedAt))
	return err
}
