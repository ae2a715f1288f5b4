package certs

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"time"
)

// Purpose says what an identity certificate may be used for.
type Purpose string

const (
	// PurposeOTA signs phase 3 of the OTA Profile Service and nothing else.
	PurposeOTA Purpose = "ota"
	// PurposeMDM authenticates check-in and connect.
	PurposeMDM Purpose = "mdm"
)

// Binding is what an identity certificate was issued for. It is fixed when the
// challenge is made and stays with every certificate that descends from it.
type Binding struct {
	Purpose      Purpose
	AttemptID    string // the decision that admitted the attempt; "" for plain profiles, where the gate stands at Authenticate
	RequestID    string // enrollment request
	DeviceID     string // row on the roll
	Serial       string // proven serial in normal form; "" when not proven
	UDID         string
	Evidence     string
	EnrollmentID string // set when this renews an existing enrollment
	Channel      string // the way the device came, in the gate's words
	UserID       string // who enrolls, where the channel knows it by itself
	ADEProfile   string // ID of the ADE profile the device came with; "" on other channels
	Product      string // kind of device, where check-in may not tell it: "iPhone17,2"

	// Of account-driven enrollments, else "".
	Account        string // whose access tokens are good for the enrollment
	EnrollmentMode string // "BYOD" or "ADDE"
	ManagedAppleID string // the account the person signed in to the device with
}

// Challenge is a one-time right to one identity certificate.
type Challenge struct {
	Hash      [32]byte // SHA-256 of the secret; the secret itself is never stored
	Binding   Binding
	ExpiresAt time.Time
	UsedAt    time.Time // zero: unused
	UsedByKey []byte    // SHA-256 of the SubjectPublicKeyInfo that used it
}

// Identity is an issued certificate and what it stands for.
type Identity struct {
	Fingerprint string // lower-case hex SHA-256 of DER
	DER         []byte
	KeyHash     []byte // SHA-256 of the SubjectPublicKeyInfo
	Binding     Binding
	Renews      string // fingerprint of the identity this one renewed; "" when issued for a challenge
	IssuedAt    time.Time
	ExpiresAt   time.Time
	RevokedAt   time.Time // zero: not revoked
}

// Errors of IdentityStore and Identities; compare with errors.Is.
var (
	ErrChallengeUnknown = errors.New("certs: challenge unknown")
	ErrChallengeUsed    = errors.New("certs: challenge already used")
	ErrChallengeExpired = errors.New("certs: challenge expired")
	ErrIdentityUnknown  = errors.New("certs: identity unknown")
	ErrIdentityRevoked  = errors.New("certs: identity revoked")
	ErrIdentityPurpose  = errors.New("certs: identity is not for this purpose")
	// ErrRequestKey: the request's key is not RSA of 2048 to 4096 bits.
	ErrRequestKey = errors.New("certs: the request's key must be RSA with 2048 to 4096 bits")
	// ErrRequestSignature: the request is not signed by its own key, or signed
	// with an algorithm that is no longer accepted.
	ErrRequestSignature = errors.New("certs: the request's signature is not valid")
)

// IdentityStore keeps challenges and identities. Times are UTC, to the
// precision of the database; any error that is not one of those named here
// means the store failed and the device should try again.
type IdentityStore interface {
	// PutChallenge stores a new, unused challenge.
	PutChallenge(ctx context.Context, c Challenge) error

	// Challenge returns the challenge with this hash, used and expired ones too,
	// or ErrChallengeUnknown.
	Challenge(ctx context.Context, hash [32]byte) (Challenge, error)

	// Consume marks the challenge as used by id.KeyHash at now and records id,
	// both in one transaction. The marking is one atomic statement
	// (UPDATE ... WHERE used_at IS NULL AND expires_at > now), so of any number
	// of concurrent calls at most one succeeds. When it does not succeed nothing
	// is recorded, and the error is ErrChallengeUsed, ErrChallengeExpired or
	// ErrChallengeUnknown; used is told before expired.
	Consume(ctx context.Context, hash [32]byte, id Identity, now time.Time) error

	// IdentityByChallenge returns the identity that Consume recorded for this
	// challenge, or ErrIdentityUnknown.
	IdentityByChallenge(ctx context.Context, hash [32]byte) (Identity, error)

	// Identity returns the identity with this fingerprint, or ErrIdentityUnknown.
	Identity(ctx context.Context, fingerprint string) (Identity, error)

	// PutIdentity records an identity issued by renewal, without a challenge.
	PutIdentity(ctx context.Context, id Identity) error
}

// Fingerprint is the lower-case hex SHA-256 of the certificate's DER, the name
// of an identity in the IdentityStore.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
