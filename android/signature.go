package android

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// The headers of a signed request.
const (
	headerSignature = "Rollcall-Signature"
	headerDevice    = "Rollcall-Device"
	headerCounter   = "Rollcall-Counter"
)

// maxSignature bounds the header: an ECDSA signature has 72 bytes at most.
const maxSignature = 128

// parseKey reads a public key, which is on P-256 or refused.
func parseKey(spki []byte) (*ecdsa.PublicKey, error) {
	if len(spki) > 256 {
		return nil, wrong("public_key_invalid", "the public key is too long")
	}
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, wrong("public_key_invalid", "the public key is not a SubjectPublicKeyInfo")
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, wrong("public_key_invalid", "the public key is not on the curve P-256")
	}
	return key, nil
}

// fingerprint is what an enrollment is told by. Of one key there is one form.
func fingerprint(key *ecdsa.PublicKey) (spki []byte, hexSum string, err error) {
	if spki, err = x509.MarshalPKIXPublicKey(key); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(spki)
	return spki, hex.EncodeToString(sum[:]), nil
}

// verify holds the signature of a request against a key; who is the nonce or
// the device id.
func verify(r *http.Request, key *ecdsa.PublicKey, who string, counter int64, body []byte) error {
	text := r.Header.Get(headerSignature)
	signature, err := base64.StdEncoding.DecodeString(text)
	if len(text) > maxSignature || err != nil || len(signature) == 0 {
		return bad("signature_invalid", "the request carries no signature that can be read")
	}
	content := sha256.Sum256(body)
	message := strings.Join([]string{"rollcall-agent-v1", r.Method, r.URL.EscapedPath(), who, strconv.FormatInt(counter, 10), hex.EncodeToString(content[:])}, "\n")
	sum := sha256.Sum256([]byte(message))
	if !ecdsa.VerifyASN1(key, sum[:], signature) {
		return bad("signature_invalid", "the signature is not that of the key over this request")
	}
	return nil
}

// counterOf reads the counter of a request: decimal, 1 to 2^63-1.
func counterOf(r *http.Request) (int64, error) {
	text := r.Header.Get(headerCounter)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || text[0] == '+' || text[0] == '0' {
		return 0, bad("counter_invalid", "the request carries no counter between 1 and 2^63-1")
	}
	return n, nil
}
