package deviceca

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // devices still sign with it
	_ "crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"

	"rollcall/certs/cms"
)

// Errors of Verify; compare with errors.Is.
var (
	// ErrNotSigned: the body is not a CMS message with one signer.
	ErrNotSigned = errors.New("deviceca: not a signed message")
	// ErrBadSignature: the content was not signed by the certificate inside.
	ErrBadSignature = errors.New("deviceca: signature does not match the content")
	// ErrUntrustedSigner: the signer's certificate was not issued by a trusted
	// device CA. This is what a forged body, or one signed by an identity of
	// ours (OTA phase 3), looks like.
	ErrUntrustedSigner = errors.New("deviceca: signer is not a device identity of a trusted CA")
)

//go:embed apple-iphone-device-ca.pem
var appleDeviceCA []byte

// Verifier accepts device identities issued by its trusted keys.
type Verifier struct {
	trusted []*rsa.PublicKey
}

// NewVerifier returns a Verifier that trusts these CA keys; at least one.
func NewVerifier(trusted ...*rsa.PublicKey) (*Verifier, error) {
	if len(trusted) == 0 {
		return nil, errors.New("deviceca: no trusted key; verification cannot be switched off")
	}
	for _, key := range trusted {
		if key == nil || key.N == nil {
			return nil, errors.New("deviceca: empty trusted key")
		}
	}
	return &Verifier{trusted: trusted}, nil
}

// Apple returns a Verifier that trusts the Apple iPhone Device CA.
func Apple() *Verifier {
	block, _ := pem.Decode(appleDeviceCA)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic("deviceca: embedded certificate: " + err.Error())
	}
	return &Verifier{trusted: []*rsa.PublicKey{cert.PublicKey.(*rsa.PublicKey)}}
}

// WithTrusted returns a Verifier that trusts extra keys as well.
func (v *Verifier) WithTrusted(extra ...*rsa.PublicKey) *Verifier {
	all := append([]*rsa.PublicKey(nil), v.trusted...)
	for _, key := range extra {
		if key != nil && key.N != nil {
			all = append(all, key)
		}
	}
	return &Verifier{trusted: all}
}

// Verify returns the content of a SignedData that a device signed, and the
// device's certificate. Only what Verify returns may be used. Errors:
// ErrNotSigned, ErrBadSignature, ErrUntrustedSigner.
func (v *Verifier) Verify(body []byte) (content []byte, leaf *x509.Certificate, err error) {
	signed, err := cms.ParseSigned(body)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotSigned, err)
	}
	leaf, err = signed.Verify()
	switch {
	case errors.Is(err, cms.ErrSigner):
		return nil, nil, fmt.Errorf("%w: %w", ErrNotSigned, err)
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	if err := v.verifyLeaf(leaf); err != nil {
		return nil, nil, err
	}
	return signed.Content, leaf, nil
}

func (v *Verifier) verifyLeaf(leaf *x509.Certificate) error {
	var hash crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.SHA1WithRSA:
		hash = crypto.SHA1
	case x509.SHA256WithRSA:
		hash = crypto.SHA256
	default:
		return fmt.Errorf("%w: certificate signed with %v", ErrUntrustedSigner, leaf.SignatureAlgorithm)
	}
	h := hash.New()
	h.Write(leaf.RawTBSCertificate)
	digest := h.Sum(nil)
	for _, key := range v.trusted {
		if rsa.VerifyPKCS1v15(key, hash, digest, leaf.Signature) == nil {
			return nil
		}
	}
	return ErrUntrustedSigner
}
