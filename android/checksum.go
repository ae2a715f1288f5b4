package android

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"rollcall/enroll"
)

// A checksum names the agent's app to Android's setup: base64url without
// padding, as AOSP writes it, of a SHA-256.

// PackageChecksum is that of a whole APK; it changes with every version.
func PackageChecksum(apk []byte) string { return checksum(sha256.Sum256(apk)) }

// SignatureChecksum is that of the certificate the APK is signed with, in DER.
// It stays when the app is updated.
func SignatureChecksum(der []byte) (string, error) {
	if _, err := x509.ParseCertificate(der); err != nil {
		return "", enroll.Errorf(enroll.KindInvalid, "checksum_invalid", "the file is not an X.509 certificate in DER")
	}
	return checksum(sha256.Sum256(der)), nil
}

// ParseChecksum takes a checksum as it is found elsewhere: the hexadecimal
// SHA-256 that `apksigner verify --print-certs` or keytool prints, with or
// without colons, or base64 of either alphabet.
func ParseChecksum(text string) (string, error) {
	text = strings.TrimSpace(text)
	plain := strings.ReplaceAll(text, ":", "")
	if raw, err := hex.DecodeString(plain); err == nil && len(raw) == sha256.Size {
		return checksum([32]byte(raw)), nil
	}
	url := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	if raw, err := base64.RawURLEncoding.DecodeString(url); err == nil && len(raw) == sha256.Size {
		return checksum([32]byte(raw)), nil
	}
	return "", enroll.Errorf(enroll.KindInvalid, "checksum_invalid", "this is not a SHA-256 checksum").
		WithHint("Give the line \"certificate SHA-256 digest\" of apksigner verify --print-certs (64 hexadecimal digits), or 43 characters of base64url.")
}

func checksum(sum [32]byte) string { return base64.RawURLEncoding.EncodeToString(sum[:]) }
