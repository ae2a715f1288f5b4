package attestation

import (
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
)

// Published at https://android.googleapis.com/attestation/root . A new root is
// a new release: Google advises not to ask for them at run time.
//
//go:embed google-roots.pem
var googleRoots []byte

// GoogleRoots returns the roots of Google's hardware attestation: RSA-4096, for
// all devices with keys from the factory, and P-384, in use since February 2026.
func GoogleRoots() []*x509.Certificate {
	roots, err := ParseRoots(googleRoots)
	if err != nil {
		panic("attestation: embedded roots: " + err.Error())
	}
	return roots
}

// ParseRoots reads certificates from PEM; at least one. Anything else between
// them is an error.
func ParseRoots(data []byte) ([]*x509.Certificate, error) {
	var roots []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("attestation: a %s among the roots", block.Type)
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("attestation: root %d: %w", len(roots)+1, err)
		}
		roots = append(roots, root)
	}
	if len(roots) == 0 {
		return nil, errors.New("attestation: no root in the PEM")
	}
	return roots, nil
}
