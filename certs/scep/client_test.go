package scep_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mozilla.org/pkcs7"

	"rollcall/certs/cms"
)

// This is a SCEP client of its own, on the bare library: it shares no code with
// the server except the 3DES envelope, which the library cannot write.

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	phoneKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	smallKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

var digests = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1:   pkcs7.OIDDigestAlgorithmSHA1,
	crypto.SHA256: pkcs7.OIDDigestAlgorithmSHA256,
	crypto.SHA512: pkcs7.OIDDigestAlgorithmSHA512,
}

var libraryCiphers = map[cms.Algorithm]int{
	cms.DESCBC:    pkcs7.EncryptionAlgorithmDESCBC,
	cms.AES128CBC: pkcs7.EncryptionAlgorithmAES128CBC,
	cms.AES256CBC: pkcs7.EncryptionAlgorithmAES256CBC,
}

func attribute(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, n}
}

const (
	transactionID = "8E5A/+=_transaction"
	clientNonce   = "0123456789abcdef"
)

// phone is one client with its key and the certificate it signs with.
type phone struct {
	t    *testing.T
	url  string
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newPhone(t *testing.T, url string, key *rsa.PrivateKey) *phone {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "phone"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &phone{t: t, url: url, key: key, cert: must(x509.ParseCertificate(der))}
}

func (p *phone) authority() *x509.Certificate {
	p.t.Helper()
	status, header, body := p.get("GetCACert", "")
	if status != http.StatusOK || header.Get("Content-Type") != "application/x-x509-ca-cert" {
		p.t.Fatalf("GetCACert: %d, %s", status, header.Get("Content-Type"))
	}
	return must(x509.ParseCertificate(body))
}

// message describes a PKIOperation; the zero values are what a phone of today
// sends.
type message struct {
	kind      string
	csr       []byte
	digest    crypto.Hash
	cipher    cms.Algorithm
	recipient *x509.Certificate
	envelope  []byte // instead of the encrypted csr
	omit      int    // attribute to leave out

	transactionID *string
	nonce         []byte
}

func (p *phone) build(m message) []byte {
	p.t.Helper()
	if m.kind == "" {
		m.kind = "19"
	}
	if m.digest == 0 {
		m.digest = crypto.SHA256
	}
	if m.cipher == 0 {
		m.cipher = cms.AES128CBC
	}
	if m.recipient == nil {
		m.recipient = p.authority()
	}
	if m.envelope == nil {
		if cipher, ok := libraryCiphers[m.cipher]; ok {
			pkcs7.ContentEncryptionAlgorithm = cipher
			m.envelope = must(pkcs7.Encrypt(m.csr, []*x509.Certificate{m.recipient}))
		} else {
			m.envelope = must(cms.Encrypt(m.csr, m.recipient, m.cipher))
		}
	}
	if m.transactionID == nil {
		m.transactionID = new(transactionID)
	}
	if m.nonce == nil {
		m.nonce = []byte(clientNonce)
	}
	data := must(pkcs7.NewSignedData(m.envelope))
	data.SetDigestAlgorithm(digests[m.digest])
	var config pkcs7.SignerInfoConfig
	for _, a := range []pkcs7.Attribute{
		{Type: attribute(2), Value: m.kind},
		{Type: attribute(5), Value: m.nonce},
		{Type: attribute(7), Value: *m.transactionID},
	} {
		if !a.Type.Equal(attribute(m.omit)) {
			config.ExtraSignedAttributes = append(config.ExtraSignedAttributes, a)
		}
	}
	if err := data.AddSigner(p.cert, p.key, config); err != nil {
		p.t.Fatal(err)
	}
	return must(data.Finish())
}

func (p *phone) do(method, rawQuery string, body []byte) (int, http.Header, []byte) {
	p.t.Helper()
	req := must(http.NewRequest(method, p.url+"?"+rawQuery, bytes.NewReader(body)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header, must(io.ReadAll(res.Body))
}

func (p *phone) get(operation, message string) (int, http.Header, []byte) {
	p.t.Helper()
	return p.do(http.MethodGet, url.Values{"operation": {operation}, "message": {message}}.Encode(), nil)
}

// The ways a message travels.
var transports = map[string]func(p *phone, message []byte) (int, http.Header, []byte){
	"GET": func(p *phone, m []byte) (int, http.Header, []byte) {
		return p.get("PKIOperation", base64.StdEncoding.EncodeToString(m))
	},
	"GET, + not escaped": func(p *phone, m []byte) (int, http.Header, []byte) {
		text := strings.NewReplacer("/", "%2F", "=", "%3D").Replace(base64.StdEncoding.EncodeToString(m))
		return p.do(http.MethodGet, "operation=PKIOperation&message="+text, nil)
	},
	"GET in lines": func(p *phone, m []byte) (int, http.Header, []byte) {
		text := base64.StdEncoding.EncodeToString(m)
		return p.get("PKIOperation", text[:64]+"\r\n"+text[64:]+"\n")
	},
	"POST": func(p *phone, m []byte) (int, http.Header, []byte) {
		return p.do(http.MethodPost, "operation=PKIOperation", m)
	},
	"POST, message in the query": func(p *phone, m []byte) (int, http.Header, []byte) {
		query := url.Values{"operation": {"PKIOperation"}, "message": {base64.StdEncoding.EncodeToString(m)}}
		return p.do(http.MethodPost, query.Encode(), nil)
	},
}

// reply is a CertRep, checked and opened.
type reply struct {
	failInfo string // "" means success
	cert     *x509.Certificate
	digest   asn1.ObjectIdentifier
	cipher   asn1.ObjectIdentifier
}

func (p *phone) send(m []byte) reply {
	p.t.Helper()
	return p.read(transports["POST"](p, m))
}

func (p *phone) read(status int, header http.Header, body []byte) reply {
	p.t.Helper()
	if status != http.StatusOK || header.Get("Content-Type") != "application/x-pki-message" {
		p.t.Fatalf("status %d, %s: %s", status, header.Get("Content-Type"), body)
	}
	p7, err := pkcs7.Parse(body)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p7.Verify(); err != nil {
		p.t.Fatal(err)
	}
	if !p7.GetOnlySigner().Equal(p.authority()) {
		p.t.Fatal("not signed by the authority")
	}
	text := func(n int) (s string) {
		p.t.Helper()
		if err := p7.UnmarshalSignedAttribute(attribute(n), &s); err != nil {
			p.t.Errorf("attribute %d: %v", n, err)
		}
		return s
	}
	var senderNonce, recipientNonce []byte
	if err := p7.UnmarshalSignedAttribute(attribute(5), &senderNonce); err != nil || len(senderNonce) != 16 {
		p.t.Errorf("senderNonce %x, %v", senderNonce, err)
	}
	if err := p7.UnmarshalSignedAttribute(attribute(6), &recipientNonce); err != nil || string(recipientNonce) != clientNonce {
		p.t.Errorf("recipientNonce %q, %v", recipientNonce, err)
	}
	if text(7) != transactionID || text(2) != "3" {
		p.t.Errorf("transactionID %q, messageType %q", text(7), text(2))
	}
	r := reply{digest: p7.Signers[0].DigestAlgorithm.Algorithm}
	switch pkiStatus := text(3); pkiStatus {
	case "2":
		r.failInfo = text(4)
		if len(p7.Content) != 0 {
			p.t.Error("a failure with content")
		}
		return r
	case "0":
	default:
		p.t.Fatalf("pkiStatus %q", pkiStatus)
	}
	r.cipher = contentCipher(p.t, p7.Content)
	inner := must(must(pkcs7.Parse(p7.Content)).Decrypt(p.cert, p.key))
	issued := must(pkcs7.Parse(inner)).Certificates
	if len(issued) != 1 {
		p.t.Fatalf("%d certificates", len(issued))
	}
	r.cert = issued[0]
	return r
}

func contentCipher(t *testing.T, enveloped []byte) asn1.ObjectIdentifier {
	var info struct {
		Type    asn1.ObjectIdentifier
		Content struct {
			Version    int
			Recipients asn1.RawValue
			Encrypted  struct {
				Type      asn1.ObjectIdentifier
				Algorithm pkix.AlgorithmIdentifier
				Content   asn1.RawValue
			}
		} `asn1:"explicit,tag:0"`
	}
	if _, err := asn1.Unmarshal(enveloped, &info); err != nil {
		t.Fatal(err)
	}
	return info.Content.Encrypted.Algorithm.Algorithm
}

// newCSR makes a PKCS #10 with a challengePassword in the string type given by
// its tag, signed with SHA-256. crypto/x509 cannot write that attribute.
func newCSR(key *rsa.PrivateKey, challenge string, stringTag int) []byte {
	type csrAttribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	tbs := must(asn1.Marshal(struct {
		Version    int
		Subject    pkix.RDNSequence
		PublicKey  asn1.RawValue
		Attributes []csrAttribute `asn1:"tag:0,set"`
	}{
		Subject:   pkix.Name{CommonName: "claimed"}.ToRDNSequence(),
		PublicKey: asn1.RawValue{FullBytes: must(x509.MarshalPKIXPublicKey(key.Public()))},
		Attributes: []csrAttribute{{
			Type:   asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7},
			Values: []asn1.RawValue{{Tag: stringTag, Bytes: []byte(challenge)}},
		}},
	}))
	h := crypto.SHA256.New()
	h.Write(tbs)
	signature := must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, h.Sum(nil)))
	return must(asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: tbs},
		pkix.AlgorithmIdentifier{Algorithm: pkcs7.OIDEncryptionAlgorithmRSASHA256, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	}))
}
