package enroll

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/google/uuid"
)

// NewSecret makes a one-time secret of 256 random bits and the hash it is
// stored under.
func NewSecret() (secret string, hash [32]byte) {
	var raw [32]byte
	rand.Read(raw[:]) // never fails since Go 1.24
	secret = base64.RawURLEncoding.EncodeToString(raw[:])
	return secret, HashSecret(secret)
}

// HashSecret is the form a secret is stored and looked up in. The secrets have
// 256 random bits, so a plain hash is as good as a slow one.
func HashSecret(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// NewID makes a key: a UUIDv7, which sorts by time.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }
