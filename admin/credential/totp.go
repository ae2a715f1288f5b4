package credential

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Parameters of codes (RFC 6238, section 4): what authenticator apps assume.
const (
	Digits  = 6
	Period  = 30 * time.Second
	keySize = 20 // of SHA-1 (RFC 4226, section 4, R6)
	drift   = 1  // steps that a phone's clock may be off
)

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// Key is the secret that an app makes codes from.
type Key []byte

// NewKey makes one.
func NewKey() Key {
	k := make(Key, keySize)
	rand.Read(k)
	return k
}

// String is the key as people type it into an app.
func (k Key) String() string { return base32Text.EncodeToString(k) }

// URL is the key as apps read it from a QR code
// (github.com/google/google-authenticator/wiki/Key-Uri-Format).
func (k Key) URL(issuer, account string) string {
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account}
	// Apps take a plus for a plus.
	u.RawQuery = strings.ReplaceAll(url.Values{"secret": {k.String()}, "issuer": {issuer}}.Encode(), "+", "%20")
	return u.String()
}

// Code is the code of a time step (RFC 4226, section 5.3).
func (k Key) Code(step int64) string {
	mac := hmac.New(sha1.New, k)
	binary.Write(mac, binary.BigEndian, step) // a hash takes everything
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", Digits, n%1_000_000)
}

// Step is the time step of a moment.
func Step(now time.Time) int64 { return now.Unix() / int64(Period/time.Second) }

// Verify finds the time step that a code is of: the present one, or one beside
// it, but only after the step of the code that was used last.
func (k Key) Verify(code string, now time.Time, last int64) (step int64, ok bool) {
	code = strings.ReplaceAll(code, " ", "")
	present := Step(now)
	for s := present - drift; s <= present+drift; s++ {
		if same := subtle.ConstantTimeCompare([]byte(k.Code(s)), []byte(code)) == 1; same && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}

// RecoveryCodes is how many recovery codes there are at first.
const RecoveryCodes = 10

// NewRecoveryCodes makes codes for who loses the phone, and the hashes they are
// kept as. Each has 80 random bits.
func NewRecoveryCodes() (codes []string, hashes [][]byte) {
	for range RecoveryCodes {
		text := strings.ToLower(rand.Text()[:16])
		code := text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
		codes, hashes = append(codes, code), append(hashes, HashRecoveryCode(code))
	}
	return codes, hashes
}

// HashRecoveryCode is the form a recovery code is kept in, however it was typed.
func HashRecoveryCode(code string) []byte {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code))))
	return sum[:]
}
