package applepki

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// Identity is the activation identity of one device.
type Identity struct {
	UDID        string
	Serial      string
	Certificate *x509.Certificate
	Key         *rsa.PrivateKey
	// Chain is what the device sends along with its certificate: the Device
	// CA and the authority above it, without the root.
	Chain []*x509.Certificate
}

// IssueDevice activates a device: a fresh RSA-2048 key and a certificate
// signed by the Device CA.
func (p *PKI) IssueDevice(udid, serial string) (Identity, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Identity{}, fmt.Errorf("applepki: device key: %w", err)
	}
	return p.IssueDeviceKey(udid, serial, key)
}

// IssueDeviceKey is IssueDevice for a key that exists already, of 1024 bits
// (as older devices have) or more.
func (p *PKI) IssueDeviceKey(udid, serial string, key *rsa.PrivateKey) (Identity, error) {
	cert, err := p.deviceCA.issue(&x509.Certificate{
		SerialNumber: serialNumber(),
		Subject: pkix.Name{
			Country: []string{"US"}, Province: []string{"CA"}, Locality: []string{"Cupertino"},
			Organization: []string{"Apple Inc."}, OrganizationalUnit: []string{"iPhone"}, CommonName: udid,
		},
		NotBefore:             time.Now().AddDate(0, -1, 0),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		SignatureAlgorithm:    x509.SHA1WithRSA,
	}, key.Public())
	if err != nil {
		return Identity{}, err
	}
	return Identity{UDID: udid, Serial: serial, Certificate: cert, Key: key,
		Chain: []*x509.Certificate{p.deviceCA.cert, p.phoneCA.cert}}, nil
}
