package certs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Key is a 256-bit key for sealing secrets at rest.
type Key [32]byte

// String keeps the key out of logs and error messages.
func (Key) String() string { return "certs.Key(hidden)" }

// GoString keeps the key out of %#v.
func (k Key) GoString() string { return k.String() }

// Errors of Sealer.Open. They never carry plaintext or key material.
var (
	// ErrSealedFormat: the bytes were not written by a Sealer.
	ErrSealedFormat = errors.New("certs: not a sealed value")
	// ErrSealedKey: sealed with a key this Sealer does not have.
	ErrSealedKey = errors.New("certs: sealed with a key that is not configured")
	// ErrSealedTampered: altered, truncated, or moved here from another purpose.
	ErrSealedTampered = errors.New("certs: sealed value is damaged or belongs elsewhere")
)

const (
	sealVersion  = 1
	sealKeyIDLen = 8
	sealPrefix   = 1 + sealKeyIDLen // version, key id
)

type sealKey struct {
	id   [sealKeyIDLen]byte
	aead cipher.AEAD
}

// Sealer encrypts secrets before they are stored, with AES-256-GCM.
//
// A sealed value is
//
//	1 byte version | 8 bytes key id | 12 bytes nonce | ciphertext and tag
//
// The purpose ("table/row/column") is authenticated together with the prefix,
// so that a value copied to another row or column does not open. Safe for
// concurrent use.
type Sealer struct {
	keys []sealKey // the first one seals
}

// NewSealer returns a Sealer that seals with current and opens with current or
// any of older. To rotate: start with the new key as current and the previous
// one as older, reseal every value for which Current is false, drop the older.
func NewSealer(current Key, older ...Key) (*Sealer, error) {
	s := &Sealer{}
	for _, k := range append([]Key{current}, older...) {
		if k == (Key{}) {
			return nil, errors.New("certs: the sealing key is all zeros")
		}
		block, err := aes.NewCipher(k[:])
		if err != nil {
			return nil, fmt.Errorf("certs: sealing key: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("certs: sealing key: %w", err)
		}
		s.keys = append(s.keys, sealKey{id: keyID(k), aead: aead})
	}
	return s, nil
}

func keyID(k Key) (id [sealKeyIDLen]byte) {
	sum := sha256.Sum256(append([]byte("rollcall sealing key id\x00"), k[:]...))
	copy(id[:], sum[:])
	return id
}

// Seal encrypts plain for one purpose, which must not be empty.
func (s *Sealer) Seal(purpose string, plain []byte) ([]byte, error) {
	if purpose == "" {
		return nil, errors.New("certs: sealing needs a purpose")
	}
	k := s.keys[0]
	out := make([]byte, 0, sealPrefix+len(plain)+k.aead.Overhead())
	out = append(out, sealVersion)
	out = append(out, k.id[:]...)
	return k.aead.Seal(out, nil, plain, sealAAD(out, purpose)), nil
}

// Open decrypts what Seal returned for the same purpose. Errors: ErrSealedFormat,
// ErrSealedKey, ErrSealedTampered.
func (s *Sealer) Open(purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealPrefix || sealed[0] != sealVersion {
		return nil, ErrSealedFormat
	}
	prefix := sealed[:sealPrefix]
	for _, k := range s.keys {
		if string(k.id[:]) != string(prefix[1:]) {
			continue
		}
		plain, err := k.aead.Open(nil, nil, sealed[sealPrefix:], sealAAD(prefix, purpose))
		if err != nil {
			return nil, ErrSealedTampered
		}
		return plain, nil
	}
	return nil, ErrSealedKey
}

// Current reports whether sealed was made with the current key.
func (s *Sealer) Current(sealed []byte) bool {
	return len(sealed) >= sealPrefix && sealed[0] == sealVersion &&
		string(sealed[1:sealPrefix]) == string(s.keys[0].id[:])
}

func sealAAD(prefix []byte, purpose string) []byte {
	return append(append(make([]byte, 0, len(prefix)+len(purpose)), prefix...), purpose...)
}

// ParseKey reads a key written as 64 hexadecimal digits or as base64 (standard
// or URL alphabet, with or without padding). Space around it is ignored.
func ParseKey(text string) (Key, error) {
	var k Key
	text = strings.TrimSpace(text)
	if len(text) == hex.EncodedLen(len(k)) {
		if raw, err := hex.DecodeString(text); err == nil {
			copy(k[:], raw)
			return k, nil
		}
	}
	std := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.DecodeString(std)
	if err != nil || len(raw) != len(k) {
		return Key{}, errors.New("certs: a sealing key is 32 bytes, written as 64 hex digits or as base64")
	}
	copy(k[:], raw)
	return k, nil
}

// LoadOrCreateKeyFile reads the key in the file at path, or creates the file
// with a fresh random key. The file must belong to its owner alone (mode 0600 or
// 0400). When several processes start at once, they all end up with one key.
func LoadOrCreateKeyFile(path string) (Key, error) {
	k, err := loadKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := createKeyFile(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("certs: create key file: %w", err)
	}
	return loadKeyFile(path)
}

func loadKeyFile(path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("certs: key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("certs: key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Key{}, fmt.Errorf("certs: key file %s is not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return Key{}, fmt.Errorf("certs: key file %s is open to others (mode %04o); run: chmod 600 %s", path, perm, path)
	}
	buf := make([]byte, 1024)
	n, err := f.Read(buf)
	if n == 0 {
		return Key{}, fmt.Errorf("certs: key file %s is empty or unreadable (%v)", path, err)
	}
	k, err := ParseKey(string(buf[:n]))
	if err != nil {
		return Key{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}

// createKeyFile writes aside and links into place: a crash leaves no half-written
// key, and a second process cannot overwrite the first one's.
func createKeyFile(path string) error {
	var k Key
	rand.Read(k[:])
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(k[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	// Secrets are sealed with this key from now on: it has to outlive a crash.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
