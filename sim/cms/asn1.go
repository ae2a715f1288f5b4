package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cb "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
)

var digests = []struct {
	hash  crypto.Hash
	oid   asn1.ObjectIdentifier
	rsa   x509.SignatureAlgorithm
	ecdsa x509.SignatureAlgorithm
}{
	{crypto.SHA1, asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, x509.SHA1WithRSA, x509.ECDSAWithSHA1},
	{crypto.SHA256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, x509.SHA256WithRSA, x509.ECDSAWithSHA256},
	{crypto.SHA384, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, x509.SHA384WithRSA, x509.ECDSAWithSHA384},
	{crypto.SHA512, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, x509.SHA512WithRSA, x509.ECDSAWithSHA512},
}

var (
	errMalformed = errors.New("cms: malformed message")
	context0     = cb.Tag(0).ContextSpecific()
	context1     = cb.Tag(1).ContextSpecific()
)

func digestOID(h crypto.Hash) (asn1.ObjectIdentifier, error) {
	for _, d := range digests {
		if d.hash == h {
			return d.oid, nil
		}
	}
	return nil, fmt.Errorf("cms: digest %v is not supported", h)
}

func sum(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

// algorithm adds an AlgorithmIdentifier with NULL parameters.
func algorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
	b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1NULL()
	})
}

// contentInfo wraps the outermost SEQUENCE around body.
func contentInfo(oid asn1.ObjectIdentifier, body func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(context0.Constructed(), body)
	})
	return b.Bytes()
}

// openContentInfo is the reverse of contentInfo.
func openContentInfo(der []byte, want asn1.ObjectIdentifier) (cryptobyte.String, error) {
	in := cryptobyte.String(der)
	var seq, body cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&seq, cb.SEQUENCE) || !in.Empty() || !seq.ReadASN1ObjectIdentifier(&oid) ||
		!seq.ReadASN1(&body, context0.Constructed()) || !seq.Empty() {
		return nil, errMalformed
	}
	if !oid.Equal(want) {
		return nil, fmt.Errorf("cms: content type %v, want %v", oid, want)
	}
	return body, nil
}

// issuerAndSerial adds the IssuerAndSerialNumber of cert.
func issuerAndSerial(b *cryptobyte.Builder, cert *x509.Certificate) {
	b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(cert.RawIssuer)
		b.AddASN1BigInt(cert.SerialNumber)
	})
}

// identifier is a SignerIdentifier or RecipientIdentifier as read.
type identifier struct {
	issuer       []byte
	serial       *big.Int
	subjectKeyID []byte
}

func (id identifier) matches(cert *x509.Certificate) bool {
	if id.subjectKeyID != nil {
		return bytes.Equal(id.subjectKeyID, cert.SubjectKeyId)
	}
	return bytes.Equal(id.issuer, cert.RawIssuer) && id.serial.Cmp(cert.SerialNumber) == 0
}

func readIdentifier(in *cryptobyte.String) (identifier, bool) {
	var seq, issuer, keyID cryptobyte.String
	if in.PeekASN1Tag(context0) {
		ok := in.ReadASN1(&keyID, context0)
		return identifier{subjectKeyID: keyID}, ok
	}
	serial := new(big.Int)
	if !in.ReadASN1(&seq, cb.SEQUENCE) || !seq.ReadASN1Element(&issuer, cb.SEQUENCE) || !seq.ReadASN1Integer(serial) {
		return identifier{}, false
	}
	return identifier{issuer: issuer, serial: serial}, true
}

// readAlgorithm returns the OID and the raw parameters of an AlgorithmIdentifier.
func readAlgorithm(in *cryptobyte.String) (oid asn1.ObjectIdentifier, parameters cryptobyte.String, ok bool) {
	var seq cryptobyte.String
	ok = in.ReadASN1(&seq, cb.SEQUENCE) && seq.ReadASN1ObjectIdentifier(&oid)
	return oid, seq, ok
}

// sortSet puts the members of a SET OF into DER order.
func sortSet(members [][]byte) { slices.SortFunc(members, bytes.Compare) }
