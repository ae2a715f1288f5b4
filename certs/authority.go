package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	authorityKeyBits  = 2048
	authorityYears    = 10
	serverLifetime    = 397 * 24 * time.Hour // Apple's limit is 398 days
	backdate          = time.Hour            // for devices whose clock is behind
	verifiedCacheSize = 8192                 // fingerprints per generation
)

// ErrNotOurs is returned by Authority.Verify: the certificate was not issued by
// this authority as a device identity, or is not in its validity period.
var ErrNotOurs = errors.New("certs: not a valid identity of this authority")

// Authority is the server's own certification authority: one RSA key that signs
// device identities and, as SCEP asks (RFC 8894 section 2.2), decrypts requests
// and signs answers. Safe for concurrent use.
type Authority struct {
	cert        *x509.Certificate
	key         *rsa.PrivateKey
	keyDER      []byte
	fingerprint [32]byte
	verified    *fingerprints
}

// CreateAuthority makes a new self-signed authority: RSA, SHA-256, ten years.
func CreateAuthority(commonName string, now time.Time) (*Authority, error) {
	if commonName == "" {
		return nil, errors.New("certs: an authority needs a common name")
	}
	key, err := rsa.GenerateKey(rand.Reader, authorityKeyBits)
	if err != nil {
		return nil, fmt.Errorf("certs: authority key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		SignatureAlgorithm:    x509.SHA256WithRSA,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certs: authority certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certs: authority certificate: %w", err)
	}
	return newAuthority(cert, key)
}

// NewAuthority uses an existing certificate and key. It refuses what would fail
// only later, on a device: a certificate that is not a CA or lacks a key usage
// SCEP needs, a key that is not RSA or does not match, an expired certificate.
func NewAuthority(cert *x509.Certificate, key crypto.Signer) (*Authority, error) {
	if cert == nil || key == nil {
		return nil, errors.New("certs: an authority needs a certificate and a key")
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("certs: the authority key is %T; SCEP needs RSA, because it also decrypts", key)
	}
	if !rsaKey.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("certs: the authority key does not belong to the certificate")
	}
	if rsaKey.N.BitLen() < authorityKeyBits {
		return nil, fmt.Errorf("certs: the authority key has %d bits; at least %d are needed", rsaKey.N.BitLen(), authorityKeyBits)
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return nil, errors.New("certs: the authority certificate is not a CA certificate")
	}
	const needed = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	if cert.KeyUsage != 0 && cert.KeyUsage&needed != needed {
		return nil, errors.New("certs: the authority certificate must allow certificate signing, digital signature and key encipherment")
	}
	if time.Now().After(cert.NotAfter) {
		return nil, fmt.Errorf("certs: the authority certificate expired on %s", cert.NotAfter.Format(time.DateOnly))
	}
	return newAuthority(cert, rsaKey)
}

func newAuthority(cert *x509.Certificate, key *rsa.PrivateKey) (*Authority, error) {
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("certs: authority key: %w", err)
	}
	return &Authority{
		cert:        cert,
		key:         key,
		keyDER:      keyDER,
		fingerprint: sha256.Sum256(cert.Raw),
		verified:    newFingerprints(verifiedCacheSize),
	}, nil
}

// ParseAuthority reads a PEM certificate and a PEM key (PKCS#8 or PKCS#1,
// unencrypted) and checks them as NewAuthority does.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	certBlock, _ := pem.Decode(certPEM)
	if certBlock == nil || certBlock.Type != "CERTIFICATE" {
		return nil, errors.New("certs: no PEM block CERTIFICATE for the authority")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certs: authority certificate: %w", err)
	}
	keyBlock, _ := pem.Decode(keyPEM)
	if keyBlock == nil {
		return nil, errors.New("certs: no PEM block with the authority key")
	}
	var key any
	switch keyBlock.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(keyBlock.Bytes)
	default:
		return nil, fmt.Errorf("certs: PEM block %q is not a plain private key", keyBlock.Type)
	}
	if err != nil {
		return nil, errors.New("certs: the authority key cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("certs: the authority key is %T; SCEP needs RSA", key)
	}
	return NewAuthority(cert, signer)
}

// Certificate returns the authority's own certificate; do not modify it.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// CertificatePEM returns the authority's own certificate as PEM.
func (a *Authority) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// KeyDER returns the private key as PKCS#8 DER, for sealing and storing.
func (a *Authority) KeyDER() []byte { return bytes.Clone(a.keyDER) }

// Signer returns the private key for signing CMS messages.
func (a *Authority) Signer() crypto.Signer { return a.key }

// Decrypter returns the private key for opening SCEP envelopes.
func (a *Authority) Decrypter() crypto.Decrypter { return a.key }

// Fingerprint is the SHA-256 of the certificate's DER, as CAFingerprint in a
// SCEP payload wants it.
func (a *Authority) Fingerprint() [32]byte { return a.fingerprint }

// IdentityTemplate says what IssueIdentity should put into a certificate.
type IdentityTemplate struct {
	PublicKey crypto.PublicKey
	Subject   pkix.Name
	Lifetime  time.Duration
	Now       time.Time
}

// IssueIdentity signs a client certificate (extended key usage clientAuth) with
// a random 128-bit serial number. It never outlives the authority.
func (a *Authority) IssueIdentity(t IdentityTemplate) (*x509.Certificate, error) {
	return a.issue(&x509.Certificate{
		Subject:     t.Subject,
		NotBefore:   t.Now.Add(-backdate),
		NotAfter:    t.Now.Add(t.Lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, t.PublicKey, t.Now)
}

// IssueServer makes a TLS server certificate for the host names and addresses
// given, within Apple's rules (support.apple.com/103769): SAN, serverAuth,
// SHA-256, at most 398 days. The chain includes the authority.
func (a *Authority) IssueServer(hosts []string, now time.Time) (tls.Certificate, error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, errors.New("certs: a server certificate needs a host name")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certs: server key: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: hosts[0]},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(serverLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	leaf, err := a.issue(template, key.Public(), now)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func (a *Authority) issue(template *x509.Certificate, public crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	if !now.Before(a.cert.NotAfter) {
		return nil, fmt.Errorf("certs: the authority expired on %s", a.cert.NotAfter.Format(time.DateOnly))
	}
	if template.NotBefore.Before(a.cert.NotBefore) {
		template.NotBefore = a.cert.NotBefore
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	if !template.NotAfter.After(now) {
		return nil, errors.New("certs: a certificate needs a positive lifetime")
	}
	template.SerialNumber = newSerial()
	template.SignatureAlgorithm = x509.SHA256WithRSA
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("certs: sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Verify checks that leaf is an identity of this authority (issuer, signature,
// clientAuth) and that now lies in its validity period; else ErrNotOurs with the
// reason. It does not know about revocation: ask the IdentityStore. At most one
// RSA operation; none when this certificate was verified before.
func (a *Authority) Verify(leaf *x509.Certificate, now time.Time) error {
	switch {
	case leaf == nil:
		return fmt.Errorf("%w: no certificate", ErrNotOurs)
	case !bytes.Equal(leaf.RawIssuer, a.cert.RawSubject):
		return fmt.Errorf("%w: other issuer", ErrNotOurs)
	case leaf.IsCA || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || len(leaf.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("%w: not a client certificate", ErrNotOurs)
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return fmt.Errorf("%w: outside its validity period", ErrNotOurs)
	}
	fingerprint := sha256.Sum256(leaf.Raw)
	if a.verified.has(fingerprint) {
		return nil
	}
	if err := leaf.CheckSignatureFrom(a.cert); err != nil {
		return fmt.Errorf("%w: signature", ErrNotOurs)
	}
	a.verified.add(fingerprint)
	return nil
}

// newSerial returns a positive random number of 128 bits.
func newSerial() *big.Int {
	raw := make([]byte, 16)
	for {
		rand.Read(raw)
		if n := new(big.Int).SetBytes(raw); n.Sign() > 0 {
			return n
		}
	}
}
