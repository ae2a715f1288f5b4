package androidpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

var (
	oidKeyDescription   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}
	oidProvisioningInfo = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 30}
	oidTitle            = asn1.ObjectIdentifier{2, 5, 4, 12}
)

// PKI holds the roots. It is safe for concurrent use.
type PKI struct {
	rsa      authority
	p384     authority
	software authority
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Keybox is an attestation key with its certificates: what a phone's secure
// hardware signs with.
type Keybox struct {
	chain []authority // from the attestation key to the root
}

// New makes the roots with fresh keys. The RSA root has 2048 bits, to save time.
func New() (*PKI, error) {
	p := &PKI{}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("androidpki: %w", err)
	}
	for _, s := range []struct {
		made    *authority
		key     crypto.Signer
		subject pkix.Name
	}{
		{&p.rsa, rsaKey, pkix.Name{SerialNumber: "f92009e853b6b045"}},
		{&p.p384, ecKey(elliptic.P384()), pkix.Name{CommonName: "Key Attestation CA1", OrganizationalUnit: []string{"Android"}, Organization: []string{"Google LLC"}, Country: []string{"US"}}},
		{&p.software, ecKey(elliptic.P256()), pkix.Name{CommonName: "Android Keystore Software Attestation Root", Organization: []string{"Google, Inc."}}},
	} {
		template := ca(s.subject, time.Now().AddDate(10, 0, 0))
		*s.made, err = authority{cert: template, key: s.key}.issue(template, s.key)
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Roots are the certificates that a server is told to trust in place of Google's.
// The software root is not among them.
func (p *PKI) Roots() []*x509.Certificate { return []*x509.Certificate{p.rsa.cert, p.p384.cert} }

// Factory makes a keybox as it was put into phones at the factory. until is the
// end of its certificates; zero means in five years.
func (p *PKI) Factory(until time.Time) (*Keybox, error) {
	return below(p.rsa, or(until, 5*365),
		pkix.Name{SerialNumber: "87f4514475ba0a2b", ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidTitle, Value: "TEE"}}},
		pkix.Name{SerialNumber: "c6047571d8f0d17c", ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidTitle, Value: "TEE"}}})
}

// Remote makes a keybox as a phone fetches it. until is the end of its
// certificates; zero means in four weeks.
func (p *PKI) Remote(until time.Time) (*Keybox, error) {
	return below(p.p384, or(until, 28), pkix.Name{CommonName: "Droid CA2", Organization: []string{"Google LLC"}},
		pkix.Name{CommonName: "Droid CA3", Organization: []string{"Google LLC"}},
		pkix.Name{CommonName: "0a5e1bd0b2b04c1e", Organization: []string{"TEE"}})
}

// RemoteRSA is Remote before Google had the P-384 root.
func (p *PKI) RemoteRSA(until time.Time) (*Keybox, error) {
	return below(p.rsa, or(until, 28), pkix.Name{CommonName: "Droid CA1"}, pkix.Name{CommonName: "Droid CA3"}, pkix.Name{CommonName: "3f1e", Organization: []string{"TEE"}})
}

// SoftwareOnly makes a keybox that anybody can have, under a root that is in
// AOSP's source.
func (p *PKI) SoftwareOnly() (*Keybox, error) {
	return below(p.software, time.Now().AddDate(5, 0, 0), pkix.Name{CommonName: "Android Keystore Software Attestation Intermediate"})
}

// or is until, or the end of so many days from now if that is zero.
func or(until time.Time, days int) time.Time {
	if until.IsZero() {
		return time.Now().AddDate(0, 0, days)
	}
	return until
}

// below makes a line of authorities under root. With three it is the line of a
// phone that fetches its keys, and the last is marked so.
func below(root authority, until time.Time, subjects ...pkix.Name) (*Keybox, error) {
	box := &Keybox{chain: []authority{root}}
	for i, subject := range subjects {
		template := ca(subject, until)
		if i == 2 {
			// {1: 16}: sixteen certificates were issued to this device.
			template.ExtraExtensions = []pkix.Extension{{Id: oidProvisioningInfo, Value: []byte{0xa1, 0x01, 0x10}}}
		}
		made, err := box.chain[0].issue(template, ecKey(elliptic.P256()))
		if err != nil {
			return nil, err
		}
		box.chain = append([]authority{made}, box.chain...)
	}
	return box, nil
}

// Attest returns the chain, from the key's certificate to the root, in which
// the hardware says s about key.
func (k *Keybox) Attest(key crypto.PublicKey, s Statement) ([][]byte, error) {
	return k.AttestRaw(key, s.DER())
}

// AttestRaw is Attest with any bytes for a statement.
func (k *Keybox) AttestRaw(key crypto.PublicKey, statement []byte) ([][]byte, error) {
	leaf, err := issueRaw(k.chain[0].cert, k.chain[0].key, key, statement)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{leaf}
	for _, a := range k.chain {
		chain = append(chain, a.cert.Raw)
	}
	return chain, nil
}

// Issuer is the attestation key with its certificate, for what no hardware does.
func (k *Keybox) Issuer() (*x509.Certificate, crypto.Signer) { return k.chain[0].cert, k.chain[0].key }

// Serial is the serial number of the attestation key's certificate, by which it
// is revoked.
func (k *Keybox) Serial() *big.Int { return k.chain[0].cert.SerialNumber }

// Issue signs a certificate with a statement about key, in the name of issuer.
// Serial number, names and validity are as secure hardware writes them.
func Issue(issuer *x509.Certificate, signer crypto.Signer, key crypto.PublicKey, s Statement) ([]byte, error) {
	return issueRaw(issuer, signer, key, s.DER())
}

func issueRaw(issuer *x509.Certificate, signer crypto.Signer, key crypto.PublicKey, statement []byte) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		Subject:         pkix.Name{CommonName: "Android Keystore Key"},
		NotBefore:       time.Unix(0, 0),
		NotAfter:        time.Date(2048, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidKeyDescription, Value: statement}},
	}, issuer, key, signer)
	if err != nil {
		return nil, fmt.Errorf("androidpki: leaf: %w", err)
	}
	return der, nil
}

func ca(subject pkix.Name, until time.Time) *x509.Certificate {
	serial := make([]byte, 8)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: subject,
		NotBefore: until.AddDate(-10, 0, 0), NotAfter: until,
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
}

// issue signs template for key.
func (a authority) issue(template *x509.Certificate, key crypto.Signer) (authority, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return authority{}, fmt.Errorf("androidpki: certificate of %s: %w", template.Subject, err)
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert: cert, key: key}, err
}

// ecKey makes a key; on the curves of the standard library that does not fail.
func ecKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic("androidpki: " + err.Error())
	}
	return key
}
