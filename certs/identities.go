package certs

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

const (
	// MDMIdentityLifetime is how long a device can go without renewing.
	MDMIdentityLifetime = 2 * 365 * 24 * time.Hour
	// OTAIdentityLifetime only has to last from phase 2 to phase 3 of one
	// enrollment; the margin is for people who put the phone away in between.
	OTAIdentityLifetime = 24 * time.Hour

	challengeBytes    = 32
	minRequestKeyBits = 2048
	maxRequestKeyBits = 4096
)

// Identities issues device identities: against a one-time challenge (Enroll) or
// against a current identity (Renew). It satisfies scep.Issuer. Safe for
// concurrent use, also by several servers on one store.
type Identities struct {
	authority *Authority
	store     IdentityStore
	clock     func() time.Time
}

// NewIdentities returns an issuer that signs with a and keeps its books in store.
func NewIdentities(a *Authority, store IdentityStore, clock func() time.Time) *Identities {
	return &Identities{authority: a, store: store, clock: clock}
}

// NewChallenge stores a one-time challenge for b that expires after ttl, and
// returns its secret: 64 hexadecimal digits of 256 random bits, safe in every
// ASN.1 string type and in a URL. The store gets only its hash.
func (i *Identities) NewChallenge(ctx context.Context, b Binding, ttl time.Duration) (string, error) {
	if b.Purpose != PurposeOTA && b.Purpose != PurposeMDM {
		return "", fmt.Errorf("certs: challenge for unknown purpose %q", b.Purpose)
	}
	if ttl <= 0 {
		return "", errors.New("certs: a challenge needs a positive time to live")
	}
	raw := make([]byte, challengeBytes)
	rand.Read(raw)
	secret := hex.EncodeToString(raw)
	c := Challenge{Hash: ChallengeHash(secret), Binding: b, ExpiresAt: i.clock().Add(ttl).UTC()}
	if err := i.store.PutChallenge(ctx, c); err != nil {
		return "", fmt.Errorf("certs: store challenge: %w", err)
	}
	return secret, nil
}

// ChallengeHash is how a challenge secret is known to the store.
func ChallengeHash(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// Enroll exchanges a challenge secret for a certificate over the request's key.
//
// The certificate leaves only after the store recorded it. When a device asks
// again with the same secret and the same key, because the answer was lost, it
// gets the same certificate; any other key gets ErrChallengeUsed. Errors:
// ErrRequestKey, ErrRequestSignature, ErrChallengeUnknown, ErrChallengeUsed,
// ErrChallengeExpired, ErrIdentityRevoked; all others mean the store failed.
func (i *Identities) Enroll(ctx context.Context, secret string, csr *x509.CertificateRequest) (*x509.Certificate, error) {
	keyHash, err := checkRequest(csr)
	if err != nil {
		return nil, err
	}
	hash := ChallengeHash(secret)
	challenge, err := i.store.Challenge(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("certs: look up challenge: %w", err)
	}
	now := i.clock().UTC()
	if !challenge.UsedAt.IsZero() {
		return i.again(ctx, challenge, keyHash, now)
	}
	if !now.Before(challenge.ExpiresAt) {
		return nil, ErrChallengeExpired
	}
	cert, id, err := i.issue(csr, challenge.Binding, keyHash, now)
	if err != nil {
		return nil, err
	}
	err = i.store.Consume(ctx, hash, id, now)
	if errors.Is(err, ErrChallengeUsed) {
		// Lost a race, perhaps against this very device's first try.
		if challenge, err = i.store.Challenge(ctx, hash); err != nil {
			return nil, fmt.Errorf("certs: look up challenge: %w", err)
		}
		return i.again(ctx, challenge, keyHash, now)
	}
	if err != nil {
		return nil, fmt.Errorf("certs: consume challenge: %w", err)
	}
	return cert, nil
}

// again answers a repeated request for a used challenge.
func (i *Identities) again(ctx context.Context, c Challenge, keyHash []byte, now time.Time) (*x509.Certificate, error) {
	if !bytes.Equal(c.UsedByKey, keyHash) {
		return nil, ErrChallengeUsed
	}
	id, err := i.store.IdentityByChallenge(ctx, c.Hash)
	if err != nil {
		// Not wrapped: to the device an unknown identity would mean "give up",
		// but a used challenge without one is a fault of the store.
		return nil, fmt.Errorf("certs: look up issued identity: %v", err)
	}
	if !id.RevokedAt.IsZero() {
		return nil, ErrIdentityRevoked
	}
	if now.After(id.ExpiresAt) {
		return nil, ErrChallengeExpired
	}
	cert, err := x509.ParseCertificate(id.DER)
	if err != nil {
		return nil, fmt.Errorf("certs: stored identity: %w", err)
	}
	return cert, nil
}

// Renew issues a certificate that stands for the same binding as current. The
// caller has verified that the requester holds current's key. current must be a
// certificate of this authority, in time, known, not revoked, and for MDM.
// Errors: ErrRequestKey, ErrRequestSignature, ErrNotOurs, ErrIdentityUnknown,
// ErrIdentityRevoked, ErrIdentityPurpose; all others mean the store failed.
func (i *Identities) Renew(ctx context.Context, current *x509.Certificate, csr *x509.CertificateRequest) (*x509.Certificate, error) {
	now := i.clock().UTC()
	if err := i.authority.Verify(current, now); err != nil {
		return nil, err
	}
	keyHash, err := checkRequest(csr)
	if err != nil {
		return nil, err
	}
	old, err := i.store.Identity(ctx, Fingerprint(current))
	if err != nil {
		return nil, fmt.Errorf("certs: look up identity: %w", err)
	}
	if !old.RevokedAt.IsZero() {
		return nil, ErrIdentityRevoked
	}
	if old.Binding.Purpose != PurposeMDM {
		return nil, ErrIdentityPurpose
	}
	cert, id, err := i.issue(csr, old.Binding, keyHash, now)
	if err != nil {
		return nil, err
	}
	id.Renews = old.Fingerprint
	if err := i.store.PutIdentity(ctx, id); err != nil {
		return nil, fmt.Errorf("certs: store identity: %w", err)
	}
	return cert, nil
}

func (i *Identities) issue(csr *x509.CertificateRequest, b Binding, keyHash []byte, now time.Time) (*x509.Certificate, Identity, error) {
	subject := pkix.Name{CommonName: "Rollcall device identity", SerialNumber: b.Serial}
	lifetime := MDMIdentityLifetime
	if b.Purpose == PurposeOTA {
		subject.CommonName = "Rollcall enrollment identity"
		lifetime = OTAIdentityLifetime
	}
	cert, err := i.authority.IssueIdentity(IdentityTemplate{
		PublicKey: csr.PublicKey,
		Subject:   subject,
		Lifetime:  lifetime,
		Now:       now,
	})
	if err != nil {
		return nil, Identity{}, err
	}
	return cert, Identity{
		Fingerprint: Fingerprint(cert),
		DER:         cert.Raw,
		KeyHash:     keyHash,
		Binding:     b,
		IssuedAt:    now,
		ExpiresAt:   cert.NotAfter.UTC(),
	}, nil
}

// checkRequest returns the hash of the request's key. The size is checked before
// the signature, because verifying with an enormous key is an attack of its own.
func checkRequest(csr *x509.CertificateRequest) (keyHash []byte, err error) {
	key, ok := csr.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < minRequestKeyBits || key.N.BitLen() > maxRequestKeyBits {
		return nil, ErrRequestKey
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, ErrRequestSignature
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return sum[:], nil
}
