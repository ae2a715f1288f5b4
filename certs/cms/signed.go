package cms

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"go.mozilla.org/pkcs7"
)

// maxSignerKeyBits bounds what one signature check can cost: the signer's key
// comes with the message (crypto/tls draws the same line).
const maxSignerKeyBits = 8192

var (
	// ErrSigner: the message does not have exactly one signer whose certificate
	// it carries, or the signer's key is of a size nobody uses.
	ErrSigner = errors.New("cms: not exactly one usable signer")
	// ErrSignature: the signature does not match the content.
	ErrSignature = errors.New("cms: signature does not match")
)

// Signed is a parsed SignedData whose signature has not been checked: call
// Verify before using anything of it.
type Signed struct {
	Content      []byte // eContent; empty when detached
	Certificates []*x509.Certificate

	p7 *pkcs7.PKCS7
}

// ParseSigned decodes a SignedData in DER or BER. Errors wrap ErrMalformed.
func ParseSigned(der []byte) (*Signed, error) {
	der, err := normalise(der)
	if err != nil {
		return nil, err
	}
	p7, err := pkcs7.Parse(der)
	if err != nil {
		return nil, malformed("%v", err)
	}
	if p7.Signers == nil && p7.Certificates == nil && p7.Content == nil {
		return nil, malformed("not a SignedData")
	}
	return &Signed{Content: p7.Content, Certificates: p7.Certificates, p7: p7}, nil
}

// Verify checks that the message has exactly one signer, that it carries the
// signer's certificate, and that the signature covers Content (and the signed
// attributes, if any, with SHA-1, SHA-256, SHA-384 or SHA-512). It returns the
// signer's certificate WITHOUT checking who issued it. A signing time, when
// there is one, must lie in the certificate's validity period. Errors: ErrSigner,
// ErrSignature.
func (s *Signed) Verify() (*x509.Certificate, error) {
	signer := s.p7.GetOnlySigner()
	if signer == nil {
		return nil, fmt.Errorf("%w: %d signers, %d certificates", ErrSigner, len(s.p7.Signers), len(s.Certificates))
	}
	if key, ok := signer.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxSignerKeyBits {
		return nil, fmt.Errorf("%w: RSA key of %d bits", ErrSigner, key.N.BitLen())
	}
	// Without signed attributes the signature covers the content itself, and a
	// SET of attributes signed elsewhere could be passed off as content.
	if len(s.p7.Signers[0].AuthenticatedAttributes) == 0 && len(s.Content) > 0 && s.Content[0] == asn1.TagSet|constructedBit {
		return nil, fmt.Errorf("%w: content looks like signed attributes", ErrSignature)
	}
	if err := s.p7.Verify(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSignature, err)
	}
	return signer, nil
}

// VerifyDetached checks a detached signature over content, as Signed.Verify
// does, and returns the signer's certificate WITHOUT checking who issued it.
// Content inside the message is disregarded.
func VerifyDetached(der, content []byte) (*x509.Certificate, error) {
	s, err := ParseSigned(der)
	if err != nil {
		return nil, err
	}
	s.Content, s.p7.Content = content, content
	return s.Verify()
}

// Digest is the hash function the signer used, 0 when it is not a known one.
func (s *Signed) Digest() crypto.Hash {
	if len(s.p7.Signers) != 1 {
		return 0
	}
	used := s.p7.Signers[0].DigestAlgorithm.Algorithm
	for hash, oid := range digestOIDs {
		if oid.Equal(used) {
			return hash
		}
	}
	return 0
}

// Attribute decodes the value of a signed attribute into out, as asn1.Unmarshal
// does.
func (s *Signed) Attribute(oid asn1.ObjectIdentifier, out any) error {
	if err := s.p7.UnmarshalSignedAttribute(oid, out); err != nil {
		return malformed("signed attribute %v: %v", oid, err)
	}
	return nil
}

var digestOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1:   pkcs7.OIDDigestAlgorithmSHA1,
	crypto.SHA256: pkcs7.OIDDigestAlgorithmSHA256,
	crypto.SHA384: pkcs7.OIDDigestAlgorithmSHA384,
	crypto.SHA512: pkcs7.OIDDigestAlgorithmSHA512,
}
