package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cb "golang.org/x/crypto/cryptobyte/asn1"
)

// Signed is a SignedData whose signature has been verified, or a degenerate
// one that only carries certificates.
type Signed struct {
	Content      []byte
	Certificates []*x509.Certificate
	// Signer and Digest are unset for a degenerate message.
	Signer *x509.Certificate
	Digest crypto.Hash

	attributes map[string]cryptobyte.String
}

// Attribute decodes the single value of a signed attribute into v and tells
// whether it was there.
func (s *Signed) Attribute(oid asn1.ObjectIdentifier, v any) (bool, error) {
	raw, ok := s.attributes[oid.String()]
	if !ok {
		return false, nil
	}
	rest, err := asn1.Unmarshal(raw, v)
	if err != nil || len(rest) != 0 {
		return true, fmt.Errorf("cms: attribute %v is malformed", oid)
	}
	return true, nil
}

// Verify reads a DER SignedData with exactly one signer and checks its
// signature. detached is the content if the message does not carry it (nil
// for one that has none at all, as failures in SCEP); known are certificates
// the signer may be found in beside those carried.
func Verify(der, detached []byte, known ...*x509.Certificate) (*Signed, error) {
	s, signers, err := parse(der)
	if err != nil {
		return nil, err
	}
	switch {
	case detached != nil && s.Content != nil:
		return nil, errors.New("cms: a detached signature carries content")
	case detached != nil:
		s.Content = detached
	}
	var info cryptobyte.String
	if !signers.ReadASN1(&info, cb.SEQUENCE) {
		return nil, errors.New("cms: nobody signed")
	}
	if !signers.Empty() {
		return nil, errors.New("cms: more than one signer")
	}
	return s, s.verifySigner(info, known)
}

// Certificates reads a degenerate SignedData (RFC 5652, 5.2: no signers),
// the format in which SCEP hands out certificates.
func Certificates(der []byte) ([]*x509.Certificate, error) {
	s, signers, err := parse(der)
	if err != nil {
		return nil, err
	}
	if !signers.Empty() {
		return nil, errors.New("cms: a certificates-only message has signers")
	}
	return s.Certificates, nil
}

func parse(der []byte) (*Signed, cryptobyte.String, error) {
	body, err := openContentInfo(der, oidSignedData)
	if err != nil {
		return nil, nil, err
	}
	var seq, algorithms, encap, wrapped, content, certs, crls, signers cryptobyte.String
	var version int
	var contentType asn1.ObjectIdentifier
	var hasContent, hasCerts, hasCRLs bool
	if !body.ReadASN1(&seq, cb.SEQUENCE) || !seq.ReadASN1Integer(&version) || !seq.ReadASN1(&algorithms, cb.SET) ||
		!seq.ReadASN1(&encap, cb.SEQUENCE) || !encap.ReadASN1ObjectIdentifier(&contentType) ||
		!encap.ReadOptionalASN1(&wrapped, &hasContent, context0.Constructed()) ||
		!seq.ReadOptionalASN1(&certs, &hasCerts, context0.Constructed()) ||
		!seq.ReadOptionalASN1(&crls, &hasCRLs, context1.Constructed()) ||
		!seq.ReadASN1(&signers, cb.SET) || !seq.Empty() {
		return nil, nil, errMalformed
	}
	s := &Signed{attributes: map[string]cryptobyte.String{}}
	if hasContent {
		if !wrapped.ReadASN1(&content, cb.OCTET_STRING) || !wrapped.Empty() {
			return nil, nil, errMalformed
		}
		s.Content = append([]byte{}, content...)
	}
	for !certs.Empty() {
		var raw cryptobyte.String
		if !certs.ReadASN1Element(&raw, cb.SEQUENCE) {
			return nil, nil, errMalformed
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, nil, fmt.Errorf("cms: certificate: %w", err)
		}
		s.Certificates = append(s.Certificates, cert)
	}
	return s, signers, nil
}

func (s *Signed) verifySigner(info cryptobyte.String, known []*x509.Certificate) error {
	var version int
	var attributes, signature cryptobyte.String
	if !info.ReadASN1Integer(&version) {
		return errMalformed
	}
	id, ok := readIdentifier(&info)
	if !ok {
		return errMalformed
	}
	digest, _, ok := readAlgorithm(&info)
	hasAttributes := ok && info.PeekASN1Tag(context0.Constructed())
	if !ok || hasAttributes && !info.ReadASN1Element(&attributes, context0.Constructed()) {
		return errMalformed
	}
	if _, _, ok = readAlgorithm(&info); !ok || !info.ReadASN1(&signature, cb.OCTET_STRING) {
		return errMalformed
	}
	for _, cert := range append(s.Certificates, known...) {
		if id.matches(cert) {
			s.Signer = cert
			break
		}
	}
	if s.Signer == nil {
		return errors.New("cms: the signer's certificate is not there")
	}
	alg, err := s.signatureAlgorithm(digest)
	if err != nil {
		return err
	}
	covered := s.Content
	if hasAttributes {
		if covered, err = s.readAttributes(attributes); err != nil {
			return err
		}
	}
	if err := s.Signer.CheckSignature(alg, covered, signature); err != nil {
		return fmt.Errorf("cms: signature: %w", err)
	}
	return nil
}

func (s *Signed) signatureAlgorithm(digest asn1.ObjectIdentifier) (x509.SignatureAlgorithm, error) {
	for _, d := range digests {
		if !d.oid.Equal(digest) {
			continue
		}
		s.Digest = d.hash
		switch s.Signer.PublicKey.(type) {
		case *rsa.PublicKey:
			return d.rsa, nil
		case *ecdsa.PublicKey:
			return d.ecdsa, nil
		}
	}
	return 0, fmt.Errorf("cms: no signature algorithm for digest %v with a %T", digest, s.Signer.PublicKey)
}

// readAttributes checks the mandatory attributes and returns the bytes that
// the signature covers.
func (s *Signed) readAttributes(element cryptobyte.String) ([]byte, error) {
	covered := append([]byte{0x31}, element[1:]...)
	var set cryptobyte.String
	if !element.ReadASN1(&set, context0.Constructed()) {
		return nil, errMalformed
	}
	for !set.Empty() {
		var attribute, values, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var tag cb.Tag
		if !set.ReadASN1(&attribute, cb.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) ||
			!attribute.ReadASN1(&values, cb.SET) || !values.ReadAnyASN1Element(&value, &tag) || !values.Empty() {
			return nil, errMalformed
		}
		if _, twice := s.attributes[oid.String()]; twice {
			return nil, fmt.Errorf("cms: signed attribute %v twice", oid)
		}
		s.attributes[oid.String()] = value
	}
	var contentType asn1.ObjectIdentifier
	var digest []byte
	if ok, err := s.Attribute(oidContentType, &contentType); !ok || err != nil {
		return nil, errors.New("cms: no contentType among the signed attributes")
	}
	if ok, err := s.Attribute(oidMessageDigest, &digest); !ok || err != nil {
		return nil, errors.New("cms: no messageDigest among the signed attributes")
	}
	if !bytes.Equal(digest, sum(s.Digest, s.Content)) {
		return nil, errors.New("cms: the content is not what was signed")
	}
	return covered, nil
}
