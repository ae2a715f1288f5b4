package dep

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/textproto"
	"strings"
	"time"

	"rollcall/certs/cms"
	"rollcall/dep/cloud"
	"rollcall/enroll"
)

// MaxTokenFile is the largest server token file that is looked at, in bytes;
// Apple's have about 3,000.
const MaxTokenFile = 64 << 10

const (
	keyBits = 2048
	// keyYears is long, because the same certificate stays in Apple's portal
	// for all renewals of the token, and nothing but the portal uses it.
	keyYears = 20
)

// KeyPair is what Apple encrypts the tokens of an account for.
type KeyPair struct {
	CertificatePEM []byte
	KeyPEM         []byte // secret; PKCS #8
}

// NewKeyPair makes a key and a self-signed certificate for Apple's portal.
func NewKeyPair(account string, now time.Time) (KeyPair, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return KeyPair{}, err
	}
	public := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	template := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(public[:16]), Subject: pkix.Name{CommonName: "Rollcall DEP " + account},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(keyYears, 0, 0), KeyUsage: x509.KeyUsageKeyEncipherment}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return KeyPair{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{CertificatePEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})}, nil
}

func (k KeyPair) open() (*x509.Certificate, *rsa.PrivateKey, error) {
	c, _ := pem.Decode(k.CertificatePEM)
	s, _ := pem.Decode(k.KeyPEM)
	if c == nil || s == nil {
		return nil, nil, fmt.Errorf("dep: the stored key pair is not PEM")
	}
	cert, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("dep: the stored certificate: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(s.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("dep: the stored key cannot be read")
	}
	secret, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("dep: the stored key is %T", key)
	}
	return cert, secret, nil
}

// OpenToken reads a server token file (.p7m) as Apple makes it: an S/MIME
// message around CMS EnvelopedData, and in that a text/plain message around
// JSON. Errors are of KindInvalid, with the codes token_malformed,
// token_foreign, token_incomplete and token_expired.
func OpenToken(file []byte, pair KeyPair, now time.Time) (cloud.Token, error) {
	var none cloud.Token
	if len(file) > MaxTokenFile {
		return none, tokenMalformed("it is far too large")
	}
	head, body, err := message(file)
	if err != nil {
		return none, tokenMalformed("it is not an S/MIME message")
	}
	if kind, _, err := mime.ParseMediaType(head.Get("Content-Type")); err != nil || kind != "application/pkcs7-mime" && kind != "application/x-pkcs7-mime" {
		return none, tokenMalformed("it is not an S/MIME message")
	}
	der, err := base64.StdEncoding.DecodeString(unwrap(body))
	if err != nil {
		return none, tokenMalformed("its base64 is damaged")
	}
	cert, key, err := pair.open()
	if err != nil {
		return none, err
	}
	envelope, err := cms.ParseEnveloped(der)
	if err != nil {
		return none, tokenMalformed("its envelope is damaged")
	}
	plain, err := envelope.Decrypt(cert, key)
	if err != nil {
		return none, enroll.Errorf(enroll.KindInvalid, "token_foreign", "the token file cannot be opened with the key of this account").
			WithHint("Upload this account's certificate in Apple's portal, save there, and download the token again. A damaged file gives the same message.")
	}
	t, err := parseToken(plain)
	if err != nil {
		return none, err
	}
	if !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) {
		return none, enroll.Errorf(enroll.KindInvalid, "token_expired", "the token has expired on %s", t.ExpiresAt.UTC().Format(time.DateOnly)).
			WithHint("Download a new one in Apple's portal.")
	}
	return t, nil
}

func tokenMalformed(why string) error {
	return enroll.Errorf(enroll.KindInvalid, "token_malformed", "this is no server token file: %s", why).
		WithHint("Download the token in Apple Business or School Manager and upload the .p7m file as it is.")
}

func message(raw []byte) (textproto.MIMEHeader, []byte, error) {
	r := bufio.NewReader(bytes.NewReader(raw))
	head, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r)
	return head, body, err
}

// unwrap joins lines.
func unwrap(b []byte) string { return strings.Join(strings.Fields(string(b)), "") }

const beginMessage, endMessage = "-----BEGIN MESSAGE-----", "-----END MESSAGE-----"

// parseToken reads what was in the envelope. The JSON is wrapped at a width, in
// the middle of its words.
func parseToken(plain []byte) (cloud.Token, error) {
	var t cloud.Token
	incomplete := func(why string) (cloud.Token, error) {
		return cloud.Token{}, enroll.Errorf(enroll.KindInvalid, "token_incomplete", "the token in the file is not complete: %s", why).
			WithHint("Download it in Apple's portal again.")
	}
	_, rest, found := bytes.Cut(plain, []byte(beginMessage))
	text, _, ended := bytes.Cut(rest, []byte(endMessage))
	if !found || !ended {
		return incomplete("it has no beginning or no end")
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r"), nil), []byte("\n"), nil)
	if err := json.Unmarshal(text, &t); err != nil {
		return incomplete("it is not the JSON it should be")
	}
	if t.ConsumerKey == "" || t.ConsumerSecret == "" || t.AccessToken == "" || t.AccessSecret == "" {
		return incomplete("keys are missing")
	}
	return t, nil
}
