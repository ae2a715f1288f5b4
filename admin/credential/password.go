package credential

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"rollcall/enroll"
)

// Parameters of argon2id: the second choice of OWASP's Password Storage Cheat
// Sheet, which lets two sign-ins at a time fit into the memory of a small server.
const (
	memory  = 19 * 1024 // KiB
	passes  = 2
	threads = 1
	saltLen = 16
	keyLen  = 32
)

// Bounds of a password (NIST SP 800-63B, section 5.1.1: length is what counts).
const (
	MinPassword = 12  // characters
	MaxPassword = 256 // bytes
)

// atOnce bounds how many hashes are computed at a time, and patience how long
// somebody waits for a place.
const (
	atOnce   = 2
	patience = 5 * time.Second
)

// Hasher hashes passwords, a few at a time.
type Hasher struct{ places chan struct{} }

// NewHasher makes one; a server needs one for all.
func NewHasher() *Hasher { return &Hasher{make(chan struct{}, atOnce)} }

func (h *Hasher) key(ctx context.Context, password string, salt []byte, m, t uint32, p uint8) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		return nil, enroll.Errorf(enroll.KindUnavailable, "sign_in_busy", "too many people sign in at the moment").WithHint("Try again in a moment.")
	}
	defer func() { <-h.places }()
	return argon2.IDKey([]byte(password), salt, t, m, p, keyLen), nil
}

// Hash makes the form in which a password is kept: the PHC string of argon2id.
// enroll.KindUnavailable where too many are hashed at the moment.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLen)
	rand.Read(salt)
	key, err := h.key(ctx, password, salt, memory, passes, threads)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

// Verify compares a password with a hash. For an empty one it is false after as
// long a time. outdated says that the hash was made with other parameters than
// today's, and should be made anew.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (ok, outdated bool, err error) {
	known := hash != ""
	if !known {
		hash = decoy
	}
	if len(password) > MaxPassword {
		password, known = "", false
	}
	m, t, p, salt, want, err := parse(hash)
	if err != nil {
		return false, false, err
	}
	key, err := h.key(ctx, password, salt, m, t, p)
	if err != nil {
		return false, false, err
	}
	same := subtle.ConstantTimeCompare(key, want) == 1
	return same && known, m != memory || t != passes || p != threads, nil
}

// decoy is hashed against where there is no password.
var decoy = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, threads,
	base64.RawStdEncoding.EncodeToString(make([]byte, saltLen)), base64.RawStdEncoding.EncodeToString(make([]byte, keyLen)))

func parse(hash string) (m, t uint32, p uint8, salt, key []byte, err error) {
	broken := errors.New("credential: a stored password hash is not one of argon2id")
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return 0, 0, 0, nil, nil, broken
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil || t < 1 || p < 1 || m > 1<<20 {
		return 0, 0, 0, nil, nil, broken
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(key) != keyLen {
		return 0, 0, 0, nil, nil, broken
	}
	return m, t, p, salt, key, nil
}

// CheckPassword says why a password is not good enough for the owner of an
// e-mail address, or nil (enroll.KindInvalid).
func CheckPassword(password, email string) error {
	local, _, _ := strings.Cut(email, "@")
	lower := strings.ToLower(password)
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		return enroll.Errorf(enroll.KindInvalid, "password_short", "the password has fewer than %d characters", MinPassword).WithHint("Several words are easy to remember and hard to guess.")
	case len(password) > MaxPassword:
		return enroll.Errorf(enroll.KindInvalid, "password_long", "the password has more than %d bytes", MaxPassword)
	case lower == email || len(local) > 3 && strings.Trim(strings.ReplaceAll(lower, local, ""), "0123456789!?._- ") == "",
		strings.Count(password, password[:1]) == len(password):
		return enroll.Errorf(enroll.KindInvalid, "password_weak", "the password is easy to guess").WithHint("Several words are easy to remember and hard to guess.")
	}
	return nil
}
