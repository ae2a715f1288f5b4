package certstest

import (
	"context"
	"slices"
	"sync"
	"time"

	"rollcall/certs"
)

// Store is a certs.IdentityStore in memory, as strict as the contract. The zero
// value is ready for use.
type Store struct {
	mu         sync.Mutex
	fail       error
	challenges map[[32]byte]certs.Challenge
	issued     map[[32]byte]string
	identities map[string]certs.Identity
}

// Fail makes every following call return err; nil makes the store work again.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// PutChallenge stores c.
func (s *Store) PutChallenge(_ context.Context, c certs.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if s.challenges == nil {
		s.challenges = make(map[[32]byte]certs.Challenge)
	}
	s.challenges[c.Hash] = c
	return nil
}

// Challenge returns the challenge with this hash.
func (s *Store) Challenge(_ context.Context, hash [32]byte) (certs.Challenge, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return certs.Challenge{}, s.fail
	}
	c, ok := s.challenges[hash]
	if !ok {
		return certs.Challenge{}, certs.ErrChallengeUnknown
	}
	return c, nil
}

// Consume marks the challenge as used and records id, or does neither.
func (s *Store) Consume(_ context.Context, hash [32]byte, id certs.Identity, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	c, ok := s.challenges[hash]
	switch {
	case !ok:
		return certs.ErrChallengeUnknown
	case !c.UsedAt.IsZero():
		return certs.ErrChallengeUsed
	case !c.ExpiresAt.After(now):
		return certs.ErrChallengeExpired
	}
	c.UsedAt, c.UsedByKey = now, slices.Clone(id.KeyHash)
	s.challenges[hash] = c
	if s.issued == nil {
		s.issued = make(map[[32]byte]string)
	}
	s.issued[hash] = id.Fingerprint
	s.put(id)
	return nil
}

// IdentityByChallenge returns the identity issued for this challenge.
func (s *Store) IdentityByChallenge(_ context.Context, hash [32]byte) (certs.Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return certs.Identity{}, s.fail
	}
	return s.get(s.issued[hash])
}

// Identity returns the identity with this fingerprint.
func (s *Store) Identity(_ context.Context, fingerprint string) (certs.Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return certs.Identity{}, s.fail
	}
	return s.get(fingerprint)
}

// PutIdentity records an identity issued by renewal.
func (s *Store) PutIdentity(_ context.Context, id certs.Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.put(id)
	return nil
}

// Revoke marks an identity as revoked at now.
func (s *Store) Revoke(fingerprint string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.identities[fingerprint]; ok {
		id.RevokedAt = now
		s.identities[fingerprint] = id
	}
}

// Identities returns how many identities are recorded.
func (s *Store) Identities() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.identities)
}

func (s *Store) put(id certs.Identity) {
	if s.identities == nil {
		s.identities = make(map[string]certs.Identity)
	}
	s.identities[id.Fingerprint] = id
}

func (s *Store) get(fingerprint string) (certs.Identity, error) {
	id, ok := s.identities[fingerprint]
	if !ok {
		return certs.Identity{}, certs.ErrIdentityUnknown
	}
	return id, nil
}
