package certstest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	"rollcall/certs/cms"
)

// DeviceCA is a miniature of the Apple iPhone Device CA with all its age: an
// RSA-1024 key that signs certificates with SHA-1 and expired in 2014.
// crypto/x509 creates no such certificates any more, so they are put together
// here.
type DeviceCA struct {
	key    *rsa.PrivateKey
	Hash   crypto.Hash // for certificates: crypto.SHA1, unless a test changes it
	serial atomic.Int64
}

// NewDeviceCA makes a DeviceCA with a fresh key.
func NewDeviceCA() (*DeviceCA, error) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, fmt.Errorf("certstest: device CA key: %w", err)
	}
	return &DeviceCA{key: key, Hash: crypto.SHA1}, nil
}

// PublicKey is what deviceca.NewVerifier has to trust.
func (ca *DeviceCA) PublicKey() *rsa.PublicKey { return &ca.key.PublicKey }

// Device is a forged device identity.
type Device struct {
	Certificate *x509.Certificate
	Key         *rsa.PrivateKey
}

// NewDevice issues a device identity that is valid around now.
func (ca *DeviceCA) NewDevice(commonName string) (*Device, error) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, fmt.Errorf("certstest: device key: %w", err)
	}
	now := time.Now().UTC()
	der, err := ca.certificate(commonName, key.Public(), now.AddDate(-1, 0, 0), now.AddDate(2, 0, 0))
	if err != nil {
		return nil, fmt.Errorf("certstest: device certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certstest: device certificate: %w", err)
	}
	return &Device{Certificate: cert, Key: key}, nil
}

// Sign returns content as a SignedData of this device, as it posts machine info.
func (d *Device) Sign(content []byte) ([]byte, error) {
	return cms.Sign(content, d.Certificate, d.Key)
}

// RFC 5280 section 4.1, without extensions.
type tbsCertificate struct {
	Version   int `asn1:"explicit,tag:0"`
	Serial    *big.Int
	Algorithm pkix.AlgorithmIdentifier
	Issuer    pkix.RDNSequence
	Validity  struct{ NotBefore, NotAfter time.Time }
	Subject   pkix.RDNSequence
	PublicKey asn1.RawValue
}

func (ca *DeviceCA) certificate(commonName string, public crypto.PublicKey, notBefore, notAfter time.Time) ([]byte, error) {
	oid := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}
	if ca.Hash == crypto.SHA256 {
		oid = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	}
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	tbs := tbsCertificate{
		Version:   2,
		Serial:    big.NewInt(ca.serial.Add(1)),
		Algorithm: algorithm,
		Issuer:    pkix.Name{Country: []string{"US"}, Organization: []string{"Test"}, CommonName: "Test iPhone Device CA"}.ToRDNSequence(),
		Subject:   pkix.Name{CommonName: commonName}.ToRDNSequence(),
		PublicKey: asn1.RawValue{FullBytes: spki},
	}
	tbs.Validity.NotBefore, tbs.Validity.NotAfter = notBefore, notAfter
	rawTBS, err := asn1.Marshal(tbs)
	if err != nil {
		return nil, err
	}
	h := ca.Hash.New()
	h.Write(rawTBS)
	signature, err := rsa.SignPKCS1v15(rand.Reader, ca.key, ca.Hash, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: rawTBS}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
}
