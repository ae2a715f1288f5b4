package applepki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// PKI holds the authorities. It is safe for concurrent use.
type PKI struct {
	root     authority
	phoneCA  authority
	deviceCA authority
	pushCA   authority
}

type authority struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

// New makes all authorities with fresh keys.
func New() (*PKI, error) {
	p := &PKI{}
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 22, 54, 46, 0, time.UTC) }
	steps := []struct {
		made        *authority
		issuer      *authority
		subject     pkix.Name
		bits        int
		alg         x509.SignatureAlgorithm
		from, until time.Time
	}{
		{&p.root, nil, appleName("Apple Certification Authority", "Apple Root CA"), 2048, x509.SHA1WithRSA, day(2006, 4, 25), day(2035, 2, 9)},
		{&p.phoneCA, &p.root, appleName("Apple Certification Authority", "Apple iPhone Certification Authority"), 2048, x509.SHA1WithRSA, day(2007, 4, 12), day(2022, 4, 12)},
		{&p.deviceCA, &p.phoneCA, appleName("Apple iPhone", "Apple iPhone Device CA"), 1024, x509.SHA1WithRSA, day(2007, 4, 16), day(2014, 4, 16)},
		{&p.pushCA, &p.root, appleName("Apple Certification Authority", "Apple Application Integration CA"), 2048, x509.SHA256WithRSA, day(2020, 1, 1), day(2034, 1, 1)},
	}
	for _, s := range steps {
		key, err := rsa.GenerateKey(rand.Reader, s.bits)
		if err != nil {
			return nil, fmt.Errorf("applepki: key of %s: %w", s.subject.CommonName, err)
		}
		template := &x509.Certificate{
			SerialNumber:          serialNumber(),
			Subject:               s.subject,
			NotBefore:             s.from,
			NotAfter:              s.until,
			KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			IsCA:                  true,
			BasicConstraintsValid: true,
			SignatureAlgorithm:    s.alg,
		}
		issuer := authority{cert: template, key: key}
		if s.issuer != nil {
			issuer = *s.issuer
		}
		cert, err := issuer.issue(template, key.Public())
		if err != nil {
			return nil, err
		}
		*s.made = authority{cert: cert, key: key}
	}
	return p, nil
}

// DeviceCA is the certificate of the miniature "Apple iPhone Device CA", whose
// public key a server is told to trust in place of Apple's.
func (p *PKI) DeviceCA() *x509.Certificate { return p.deviceCA.cert }

// PushCA is the certificate that signs push certificates and the server
// certificate of the push cloud.
func (p *PKI) PushCA() *x509.Certificate { return p.pushCA.cert }

// issue signs template for the public key pub.
func (a authority) issue(template *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("applepki: certificate of %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// IssueServer makes a TLS server certificate for the given host names and
// addresses under the push authority; roots is what its clients have to trust.
func (p *PKI) IssueServer(hosts ...string) (cert *x509.Certificate, key *ecdsa.PrivateKey, roots *x509.CertPool, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("applepki: server key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:       serialNumber(),
		Subject:            appleName("management:idms.group", "api.push.apple.com"),
		NotBefore:          time.Now().Add(-time.Hour),
		NotAfter:           time.Now().AddDate(1, 0, 0),
		KeyUsage:           x509.KeyUsageDigitalSignature,
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	cert, err = p.pushCA.issue(template, key.Public())
	if err != nil {
		return nil, nil, nil, err
	}
	roots = x509.NewCertPool()
	roots.AddCert(p.pushCA.cert)
	return cert, key, roots, nil
}

func appleName(unit, common string) pkix.Name {
	return pkix.Name{Country: []string{"US"}, Organization: []string{"Apple Inc."}, OrganizationalUnit: []string{unit}, CommonName: common}
}

func serialNumber() *big.Int {
	b := make([]byte, 8)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}
