package admin

import (
	"context"
	"time"
)

// Role is what a token may do: a viewer reads, an operator works with devices
// and requests, an admin also changes settings, policies, tokens and
// certificates.
type Role string

// The roles; each includes those before it.
const (
	RoleViewer   Role = "viewer"
	RoleOperator Role = "operator"
	RoleAdmin    Role = "admin"
)

// TokenPrefix starts every API token, so that people and scanners know one.
const TokenPrefix = "rollcall_"

// Token is an API token as it is stored: its secret only as a hash.
type Token struct {
	ID         string // UUIDv7
	Name       string
	Role       Role
	Hash       [32]byte // SHA-256 of the whole token
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // to the minute
	RevokedAt  time.Time
}

// TokenStore keeps API tokens.
type TokenStore interface {
	CreateToken(ctx context.Context, t Token) error
	// CreateFirstToken stores t if there has never been a token, atomically.
	CreateFirstToken(ctx context.Context, t Token) (created bool, err error)
	TokenByHash(ctx context.Context, hash [32]byte) (Token, error) // enroll.KindNotFound
	Tokens(ctx context.Context) ([]Token, error)                   // newest first
	// RevokeToken is enroll.KindNotFound for an unknown ID, and enroll.KindConflict
	// when no usable admin token would be left.
	RevokeToken(ctx context.Context, id string, at time.Time) error
	// TokenUsed notes the last use, without waiting for the disk.
	TokenUsed(ctx context.Context, id string, at time.Time) error
}
