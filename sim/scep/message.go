package scep

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"rollcall/sim/cms"
)

// Signed attributes of a pkiMessage (RFC 8894, 3.2.1).
var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidPKIStatus      = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
)

const (
	typeCertRep    = "3"
	typeRenewalReq = "17"
	typePKCSReq    = "19"

	statusSuccess = "0"
	statusFailure = "2"
	statusPending = "3"
)

// request is a pkiMessage and what is needed to check the answer to it.
type request struct {
	der         []byte
	key         *rsa.PrivateKey   // the key to be certified
	signer      *x509.Certificate // answers are encrypted to it
	signerKey   *rsa.PrivateKey
	transaction string
	nonce       []byte
}

func (o *Options) request(recipient *x509.Certificate) (*request, error) {
	csr, err := o.csr()
	if err != nil {
		return nil, err
	}
	envelope, err := cms.Encrypt(csr, recipient, o.Cipher)
	if err != nil {
		return nil, err
	}
	r := &request{key: o.Key, signer: o.RenewCertificate, signerKey: o.RenewKey, nonce: make([]byte, 16)}
	messageType := typeRenewalReq
	if r.signer == nil {
		messageType, r.signerKey = typePKCSReq, o.Key
		if r.signer, err = o.selfSigned(); err != nil {
			return nil, err
		}
	}
	rand.Read(r.nonce)
	// Not the usual hash of the public key: simulated fleets share keys, and
	// their transactions must still be told apart.
	transaction := make([]byte, 20)
	rand.Read(transaction)
	r.transaction = hex.EncodeToString(transaction)
	r.der, err = cms.Sign(envelope, r.signer, r.signerKey, cms.SignOptions{Digest: o.Digest, Attributes: []cms.Attribute{
		{Type: oidMessageType, Value: messageType},
		{Type: oidTransactionID, Value: r.transaction},
		{Type: oidSenderNonce, Value: r.nonce},
	}})
	return r, err
}

// selfSigned makes the throw-away certificate that signs a first request.
func (o *Options) selfSigned() (*x509.Certificate, error) {
	subject, err := asn1.Marshal(o.Subject)
	if err != nil {
		return nil, fmt.Errorf("scep: subject: %w", err)
	}
	serial := make([]byte, 8)
	rand.Read(serial)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		RawSubject:   subject,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, o.Key.Public(), o.Key)
	if err != nil {
		return nil, fmt.Errorf("scep: self-signed certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// accept checks a CertRep from top to bottom and returns the certificate.
func (r *request) accept(der []byte, a *authority) (*x509.Certificate, error) {
	rep, err := cms.Verify(der, nil, a.all...)
	if err != nil {
		return nil, fmt.Errorf("scep: CertRep: %w", err)
	}
	if !a.signs(rep.Signer) {
		return nil, errors.New("scep: CertRep: signed by somebody else than the authority")
	}
	attributes := map[string]string{}
	for name, oid := range map[string]asn1.ObjectIdentifier{
		"messageType": oidMessageType, "transactionID": oidTransactionID, "pkiStatus": oidPKIStatus, "failInfo": oidFailInfo,
	} {
		var s string
		if _, err := rep.Attribute(oid, &s); err != nil {
			return nil, fmt.Errorf("scep: CertRep: %w", err)
		}
		attributes[name] = s
	}
	var recipientNonce, senderNonce []byte
	if _, err := rep.Attribute(oidRecipientNonce, &recipientNonce); err != nil {
		return nil, fmt.Errorf("scep: CertRep: %w", err)
	}
	if _, err := rep.Attribute(oidSenderNonce, &senderNonce); err != nil {
		return nil, fmt.Errorf("scep: CertRep: %w", err)
	}
	switch {
	case attributes["messageType"] != typeCertRep:
		return nil, fmt.Errorf("scep: CertRep: messageType %q", attributes["messageType"])
	case attributes["transactionID"] != r.transaction:
		return nil, errors.New("scep: CertRep: of another transaction")
	case !bytes.Equal(recipientNonce, r.nonce):
		return nil, errors.New("scep: CertRep: recipientNonce is not our senderNonce")
	case len(senderNonce) != 16:
		return nil, fmt.Errorf("scep: CertRep: senderNonce of %d bytes", len(senderNonce))
	}
	switch attributes["pkiStatus"] {
	case statusSuccess:
		return r.open(rep.Content, a)
	case statusPending:
		return nil, ErrPending
	case statusFailure:
		n, err := strconv.Atoi(attributes["failInfo"])
		if err != nil {
			return nil, fmt.Errorf("scep: CertRep: FAILURE with failInfo %q", attributes["failInfo"])
		}
		return nil, &Failure{FailInfo(n)}
	default:
		return nil, fmt.Errorf("scep: CertRep: pkiStatus %q", attributes["pkiStatus"])
	}
}

func (r *request) open(envelope []byte, a *authority) (*x509.Certificate, error) {
	inner, err := cms.Decrypt(envelope, r.signer, r.signerKey)
	if err != nil {
		return nil, fmt.Errorf("scep: CertRep: %w", err)
	}
	certs, err := cms.Certificates(inner)
	if err != nil {
		return nil, fmt.Errorf("scep: CertRep: %w", err)
	}
	for _, cert := range certs {
		if !r.key.PublicKey.Equal(cert.PublicKey) {
			continue
		}
		if err := cert.CheckSignatureFrom(a.issuer); err != nil {
			return nil, fmt.Errorf("scep: the certificate is not the CA's: %w", err)
		}
		if !valid(cert, time.Now()) {
			return nil, fmt.Errorf("scep: the certificate is valid from %v to %v", cert.NotBefore, cert.NotAfter)
		}
		return cert, nil
	}
	return nil, errors.New("scep: no certificate of our key in the answer")
}
