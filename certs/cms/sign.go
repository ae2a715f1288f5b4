package cms

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"go.mozilla.org/pkcs7"
)

// Attribute is a signed attribute; Value is anything asn1.Marshal takes.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Value any
}

// Sign wraps content into a SignedData with SHA-256, as configuration profiles
// are signed. chain holds further certificates to send along, without cert.
func Sign(content []byte, cert *x509.Certificate, key crypto.Signer, chain ...*x509.Certificate) ([]byte, error) {
	return sign(content, cert, key, crypto.SHA256, nil, chain, false)
}

// SignDetached returns a SignedData with SHA-256 over content without carrying
// content, as in an Mdm-Signature header.
func SignDetached(content []byte, cert *x509.Certificate, key crypto.Signer) ([]byte, error) {
	return sign(content, cert, key, crypto.SHA256, nil, nil, true)
}

// SignWithAttributes is Sign with a digest (SHA-1, SHA-256, SHA-384, SHA-512)
// and further signed attributes, as a SCEP answer needs them.
func SignWithAttributes(content []byte, cert *x509.Certificate, key crypto.Signer, digest crypto.Hash, attributes ...Attribute) ([]byte, error) {
	return sign(content, cert, key, digest, attributes, nil, false)
}

func sign(content []byte, cert *x509.Certificate, key crypto.Signer, digest crypto.Hash, attributes []Attribute, chain []*x509.Certificate, detached bool) ([]byte, error) {
	oid, ok := digestOIDs[digest]
	if !ok {
		return nil, fmt.Errorf("cms: cannot sign with digest %v", digest)
	}
	data, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	data.SetDigestAlgorithm(oid)
	var config pkcs7.SignerInfoConfig
	for _, a := range attributes {
		config.ExtraSignedAttributes = append(config.ExtraSignedAttributes, pkcs7.Attribute{Type: a.Type, Value: a.Value})
	}
	if err := data.AddSigner(cert, key, config); err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	for _, c := range chain {
		data.AddCertificate(c)
	}
	if detached {
		data.Detach()
	}
	out, err := data.Finish()
	if err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	return out, nil
}

// Degenerate returns a SignedData that signs nothing and carries certificates
// (RFC 5652 section 5.2, "certs-only").
func Degenerate(certs ...*x509.Certificate) ([]byte, error) {
	var raw [][]byte
	for _, c := range certs {
		raw = append(raw, c.Raw)
	}
	out, err := pkcs7.DegenerateCertificate(slices.Concat(raw...))
	if err != nil {
		return nil, fmt.Errorf("cms: certs-only message: %w", err)
	}
	return out, nil
}
