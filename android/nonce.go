package android

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Nonces makes the nonces of enrollments, and knows its own again without
// having kept them: expiry, 16 random bytes, and a MAC over both.
type Nonces struct {
	key []byte
	now func() time.Time
}

const (
	nonceLife  = 5 * time.Minute
	nonceBytes = 8 + 16 + sha256.Size
)

// NewNonces makes nonces. key has 32 random bytes and is the same on every
// server.
func NewNonces(key []byte, now func() time.Time) *Nonces { return &Nonces{key: key, now: now} }

// New gives a nonce and when it ends.
func (n *Nonces) New() (nonce string, expires time.Time) {
	expires = clock(n.now).Add(nonceLife).Truncate(time.Second)
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, nonceBytes), uint64(expires.Unix()))
	raw = raw[:8+16]
	rand.Read(raw[8:])
	return base64.RawURLEncoding.EncodeToString(n.sum(raw)), expires
}

// Check says whether this server, or another one with its key, made the nonce
// and it has not ended.
func (n *Nonces) Check(nonce string) (expires time.Time, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(raw) != nonceBytes || !hmac.Equal(n.sum(raw[:24:24]), raw) {
		return time.Time{}, false
	}
	expires = time.Unix(int64(binary.BigEndian.Uint64(raw)), 0).UTC()
	return expires, clock(n.now).Before(expires)
}

func (n *Nonces) sum(raw []byte) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write([]byte("rollcall agent nonce\n"))
	mac.Write(raw)
	return mac.Sum(raw)
}
