package sceptest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"time"

	"go.mozilla.org/pkcs7"
)

// Fault is a way to misbehave.
type Fault int

// The faults of an authority.
const (
	None Fault = iota
	WrongNonce
	WrongTransaction
	ForeignSigner
	ForeignIssuer
	OtherKey
	Refuse // pkiStatus FAILURE, badRequest
	Pending
)

// Authority answers SCEP requests on any path.
type Authority struct {
	Caps      string // answer to GetCACaps; empty: 404
	Challenge string // required challengePassword; empty: any
	Fault     Fault
	Cert      *x509.Certificate

	key *rsa.PrivateKey

	mu       sync.Mutex
	requests []Request
}

// Request is what a client sent.
type Request struct {
	Method, MessageType, Challenge string
	CSR                            *x509.CertificateRequest
	Signer                         *x509.Certificate
	Digest                         asn1.ObjectIdentifier
}

// New makes an authority with modern capabilities.
func New() (*Authority, error) {
	cert, key, err := selfSigned("Test CA")
	if err != nil {
		return nil, err
	}
	return &Authority{Caps: "AES\nSHA-256\nPOSTPKIOperation\nRenewal\nSCEPStandard\n", Cert: cert, key: key}, nil
}

// Requests lists what came in.
func (a *Authority) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.requests...)
}

// Issue signs a certificate outside SCEP.
func (a *Authority) Issue(name string, pub *rsa.PublicKey) (*x509.Certificate, error) {
	return a.issue(pkix.Name{CommonName: name}, pub, a.Cert, a.key)
}

func (a *Authority) issue(subject pkix.Name, pub any, ca *x509.Certificate, key *rsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("operation") {
	case "GetCACaps":
		if a.Caps == "" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, a.Caps)
	case "GetCACert":
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
		w.Write(a.Cert.Raw)
	case "PKIOperation":
		body, err := io.ReadAll(r.Body)
		if r.Method == http.MethodGet {
			body, err = base64.StdEncoding.DecodeString(r.URL.Query().Get("message"))
		}
		var answer []byte
		if err == nil {
			answer, err = a.operate(r.Method, body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-pki-message")
		w.Write(answer)
	default:
		http.Error(w, "no operation", http.StatusBadRequest)
	}
}

func attributeOID(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, n}
}

func (a *Authority) operate(method string, body []byte) ([]byte, error) {
	p7, err := pkcs7.Parse(body)
	if err != nil {
		return nil, err
	}
	if err := p7.Verify(); err != nil {
		return nil, err
	}
	var messageType, transaction string
	var nonce []byte
	for n, to := range map[int]any{2: &messageType, 7: &transaction, 5: &nonce} {
		if err := p7.UnmarshalSignedAttribute(attributeOID(n), to); err != nil {
			return nil, fmt.Errorf("attribute %d: %w", n, err)
		}
	}
	envelope, err := pkcs7.Parse(p7.Content)
	if err != nil {
		return nil, err
	}
	der, err := envelope.Decrypt(a.Cert, a.key)
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	signer := p7.GetOnlySigner()
	request := Request{Method: method, MessageType: messageType, Challenge: challengeOf(csr), CSR: csr, Signer: signer,
		Digest: p7.Signers[0].DigestAlgorithm.Algorithm}
	a.mu.Lock()
	a.requests = append(a.requests, request)
	a.mu.Unlock()

	attributes := []pkcs7.Attribute{
		{Type: attributeOID(2), Value: "3"}, {Type: attributeOID(7), Value: transaction},
		{Type: attributeOID(5), Value: make([]byte, 16)}, {Type: attributeOID(6), Value: nonce},
	}
	switch {
	case a.Fault == WrongNonce:
		attributes[3].Value = make([]byte, 16)
	case a.Fault == WrongTransaction:
		attributes[1].Value = transaction + "0"
	case a.Fault == Pending:
		return a.sign(nil, append(attributes, pkcs7.Attribute{Type: attributeOID(3), Value: "3"}))
	case a.Fault == Refuse, a.Challenge != "" && request.Challenge != a.Challenge:
		return a.sign(nil, append(attributes, pkcs7.Attribute{Type: attributeOID(3), Value: "2"}, pkcs7.Attribute{Type: attributeOID(4), Value: "2"}))
	}
	attributes = append(attributes, pkcs7.Attribute{Type: attributeOID(3), Value: "0"})
	content, err := a.certificate(csr, signer)
	if err != nil {
		return nil, err
	}
	return a.sign(content, attributes)
}

func (a *Authority) certificate(csr *x509.CertificateRequest, recipient *x509.Certificate) ([]byte, error) {
	ca, key, pub := a.Cert, a.key, csr.PublicKey
	if a.Fault == ForeignIssuer || a.Fault == OtherKey {
		foreign, foreignKey, err := selfSigned("Test CA")
		if err != nil {
			return nil, err
		}
		if a.Fault == ForeignIssuer {
			ca, key = foreign, foreignKey
		} else {
			pub = foreignKey.Public()
		}
	}
	cert, err := a.issue(csr.Subject, pub, ca, key)
	if err != nil {
		return nil, err
	}
	degenerate, err := pkcs7.DegenerateCertificate(cert.Raw)
	if err != nil {
		return nil, err
	}
	return pkcs7.Encrypt(degenerate, []*x509.Certificate{recipient})
}

func (a *Authority) sign(content []byte, attributes []pkcs7.Attribute) ([]byte, error) {
	cert, key := a.Cert, a.key
	if a.Fault == ForeignSigner {
		var err error
		if cert, key, err = selfSigned("Test CA"); err != nil {
			return nil, err
		}
	}
	sd, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, err
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.AddSigner(cert, key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: attributes}); err != nil {
		return nil, err
	}
	return sd.Finish()
}

// challengeOf digs the challengePassword out of a request.
func challengeOf(csr *x509.CertificateRequest) string {
	var info struct {
		Raw        asn1.RawContent
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []struct {
			Type  asn1.ObjectIdentifier
			Value []asn1.RawValue `asn1:"set"`
		} `asn1:"tag:0,set"`
	}
	if _, err := asn1.Unmarshal(csr.RawTBSCertificateRequest, &info); err != nil {
		return ""
	}
	for _, at := range info.Attributes {
		if at.Type.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}) && len(at.Value) == 1 {
			return string(at.Value[0].Bytes)
		}
	}
	return ""
}

func selfSigned(name string) (*x509.Certificate, *rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}
