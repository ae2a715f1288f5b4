package applepki

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// TopicPrefix starts the topic of every MDM push certificate.
const TopicPrefix = "com.apple.mgmt.External."

var (
	oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	// Marks a certificate as good for the production push service.
	oidPushProduction = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}
)

// IssuePush answers a certificate signing request, DER or PEM, with an MDM
// push certificate valid for one year. An empty topic makes a new one;
// renewing a certificate means handing in the topic of the old one.
func (p *PKI) IssuePush(request []byte, topic string) (*x509.Certificate, error) {
	if block, _ := pem.Decode(request); block != nil {
		request = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, fmt.Errorf("applepki: push certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("applepki: push certificate request: %w", err)
	}
	key, ok := csr.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 {
		return nil, errors.New("applepki: push certificate request: the key must be RSA with 2048 bits or more")
	}
	if topic == "" {
		topic = TopicPrefix + uuid.NewString()
	}
	id, ok := strings.CutPrefix(topic, TopicPrefix)
	if !ok {
		return nil, fmt.Errorf("applepki: topic %q does not start with %s", topic, TopicPrefix)
	}
	return p.pushCA.issue(&x509.Certificate{
		SerialNumber: serialNumber(),
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oidUserID, Value: topic},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "APSP:" + id},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "US"},
		}},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{{Id: oidPushProduction, Value: []byte{5, 0}}},
		SignatureAlgorithm:    x509.SHA256WithRSA,
	}, key)
}

// PushPair makes a key and its push certificate in one go, both in PEM; the
// key is PKCS #8. An empty topic makes a new one.
func (p *PKI) PushPair(topic string) (certPEM, keyPEM []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, fmt.Errorf("applepki: push key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "mdm push"}}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("applepki: push certificate request: %w", err)
	}
	cert, err := p.IssuePush(csr, topic)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("applepki: push key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// TopicOf returns the topic of a push certificate, its subject UID; empty if
// there is none.
func TopicOf(cert *x509.Certificate) string {
	for _, name := range cert.Subject.Names {
		if name.Type.Equal(oidUserID) {
			s, _ := name.Value.(string)
			return s
		}
	}
	return ""
}
