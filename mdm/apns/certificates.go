package apns

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net/mail"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"rollcall/enroll"
)

// Names of the sealed values. The certificate and its key are one value, so
// that a reader never sees one without the other.
const (
	secretIdentity   = "push/identity"    // PEM: certificates, leaf first, then the key
	secretPendingKey = "push/pending_key" // PEM: key of the request that waits for its certificate
)

const (
	keyBits     = 2048
	topicPrefix = "com.apple.mgmt."
)

var (
	oidUserID       = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	oidEmailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
)

// Info tells about the push certificate without telling secrets.
type Info struct {
	Installed  bool
	Topic      string // "com.apple.mgmt.External.<UUID>"; the Topic of every MDM payload
	Subject    string // common name
	NotBefore  time.Time
	NotAfter   time.Time
	DaysLeft   int  // whole days until NotAfter, negative when it has passed
	PendingCSR bool // a request's key waits for its certificate
}

// Certificates keeps the push certificate with its key. All errors are
// *enroll.Error. Safe for concurrent use; every replica may have its own.
type Certificates struct {
	secrets Secrets
	now     func() time.Time

	write   sync.Mutex    // one CSR or Install at a time in this process
	changes atomic.Uint64 // Installs of this process
}

// NewCertificates keeps the certificate among these secrets.
func NewCertificates(secrets Secrets, now func() time.Time) *Certificates {
	return &Certificates{secrets: secrets, now: now}
}

// CSR gives a PKCS #10 request in PEM, to be signed by an MDM vendor and taken
// to Apple's portal. Its RSA-2048 key never leaves the store: it is made once,
// and kept until a certificate for it is installed, so that repeated requests
// are for the same key and any of them may be used. KindInvalid for an address
// that is none.
func (c *Certificates) CSR(ctx context.Context, email string) (csrPEM []byte, err error) {
	const op = "apns.CSR"
	address, err := mail.ParseAddress(email)
	if err != nil || address.Address != email || !isASCII(email) {
		return nil, enroll.Errorf(enroll.KindInvalid, "push_csr_email", "the e-mail address is not valid").
			WithHint("Give the address of the Apple Account that will hold the push certificate.")
	}
	c.write.Lock()
	defer c.write.Unlock()
	key, err := c.pendingKey(ctx)
	if enroll.KindOf(err) == enroll.KindNotFound {
		key, err = c.newPendingKey(ctx)
	}
	if err != nil {
		return nil, typed(op, err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		SignatureAlgorithm: x509.SHA256WithRSA,
		Subject: pkix.Name{
			CommonName: "Rollcall MDM push",
			ExtraNames: []pkix.AttributeTypeAndValue{{
				Type:  oidEmailAddress,
				Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(email)},
			}},
		},
	}, key)
	if err != nil {
		return nil, typed(op, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

func (c *Certificates) pendingKey(ctx context.Context) (*rsa.PrivateKey, error) {
	stored, err := c.secrets.Secret(ctx, secretPendingKey)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(stored)
	if err != nil {
		return nil, damaged(secretPendingKey, err)
	}
	return key, nil
}

// newPendingKey stores a new key and gives the one that is stored then: of two
// replicas that do this at once, both end with the later one's.
func (c *Certificates) newPendingKey(ctx context.Context) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := c.secrets.PutSecret(ctx, secretPendingKey, encoded); err != nil {
		return nil, err
	}
	return c.pendingKey(ctx)
}

// Install puts a push certificate into service; pushers notice within seconds.
// certPEM is the file of Apple's portal, leaf first. keyPEM is its RSA key,
// PKCS #1 or PKCS #8 and not encrypted; when it is empty the certificate has to
// belong to the key of CSR, or to the key in service.
//
// KindInvalid for a certificate that is no MDM push certificate, is outside its
// validity, or does not match the key. KindConflict, unless force, for one that
// has another topic than the installed one, or ends earlier. force also
// replaces an installed one that cannot be read any more.
func (c *Certificates) Install(ctx context.Context, certPEM, keyPEM []byte, force bool) (Info, error) {
	const op = "apns.Install"
	c.write.Lock()
	defer c.write.Unlock()
	chain, err := parseChain(certPEM)
	if err != nil {
		return Info{}, err
	}
	leaf := chain[0]
	topic, err := c.acceptable(leaf)
	if err != nil {
		return Info{}, err
	}
	old, oldKey, err := c.load(ctx)
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound && !force {
		return Info{}, typed(op, err)
	}
	pending, err := c.pendingKey(ctx)
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return Info{}, typed(op, err)
	}
	key, err := choose(leaf, keyPEM, pending, oldKey)
	if err != nil {
		return Info{}, err
	}
	if old != nil && !force {
		if err := replaces(leaf, topic, old[0]); err != nil {
			return Info{}, err
		}
	}

	var identity bytes.Buffer
	for _, cert := range chain {
		identity.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return Info{}, typed(op, err)
	}
	identity.Write(encoded)
	if err := c.secrets.PutSecret(ctx, secretIdentity, identity.Bytes()); err != nil {
		return Info{}, typed(op, err)
	}
	c.changes.Add(1)
	if pending != nil && pending.Equal(key) {
		if err := c.secrets.DeleteSecret(ctx, secretPendingKey); err != nil {
			return Info{}, typed(op, err)
		}
		pending = nil
	}
	return c.describe(leaf, topic, pending != nil), nil
}

// acceptable checks what can be seen from the certificate alone.
func (c *Certificates) acceptable(leaf *x509.Certificate) (topic string, err error) {
	topic = topicOf(leaf)
	if !strings.HasPrefix(topic, topicPrefix) || len(topic) == len(topicPrefix) {
		return "", enroll.Errorf(enroll.KindInvalid, "push_certificate_kind",
			"this is not an MDM push certificate: the user id of its subject does not start with %q", topicPrefix).
			WithHint("Use the certificate from identity.apple.com/pushcert, not one for an app or a server.")
	}
	if _, ok := leaf.PublicKey.(*rsa.PublicKey); !ok {
		return "", enroll.Errorf(enroll.KindInvalid, "push_certificate_key_type", "the certificate's key is not RSA")
	}
	now := c.now()
	if now.After(leaf.NotAfter) {
		return "", enroll.Errorf(enroll.KindInvalid, "push_certificate_expired",
			"the certificate expired on %s", leaf.NotAfter.UTC().Format(time.DateOnly)).
			WithHint("Renew it at identity.apple.com/pushcert with the same Apple Account.")
	}
	if now.Before(leaf.NotBefore) {
		return "", enroll.Errorf(enroll.KindInvalid, "push_certificate_early",
			"the certificate is valid only from %s", leaf.NotBefore.UTC().Format(time.RFC3339)).
			WithHint("Check the clock of this server.")
	}
	return topic, nil
}

// choose finds the private key of a certificate.
func choose(leaf *x509.Certificate, keyPEM []byte, pending, installed *rsa.PrivateKey) (*rsa.PrivateKey, error) {
	if len(bytes.TrimSpace(keyPEM)) > 0 {
		key, err := parseKey(keyPEM)
		if err != nil {
			return nil, err
		}
		if !key.PublicKey.Equal(leaf.PublicKey) {
			return nil, enroll.Errorf(enroll.KindInvalid, "push_key_mismatch", "the private key does not belong to the certificate")
		}
		return key, nil
	}
	for _, key := range []*rsa.PrivateKey{pending, installed} {
		if key != nil && key.PublicKey.Equal(leaf.PublicKey) {
			return key, nil
		}
	}
	if pending == nil {
		return nil, enroll.Errorf(enroll.KindInvalid, "push_key_missing", "there is no private key for this certificate here").
			WithHint("Give the private key too, or make the request for the certificate on this server first.")
	}
	return nil, enroll.Errorf(enroll.KindInvalid, "push_key_mismatch", "the certificate was not issued for the request made on this server").
		WithHint("Take the newest request of this server to Apple's portal, or give the private key of this certificate.")
}

// replaces refuses a certificate that would make things worse.
func replaces(leaf *x509.Certificate, topic string, old *x509.Certificate) error {
	if was := topicOf(old); topic != was {
		return enroll.Errorf(enroll.KindConflict, "push_topic_change",
			"the certificate has the topic %s, the installed one has %s: every device enrolled until now would be lost, because a device can only be woken with the topic it enrolled with, and would have to enroll again", topic, was).
			WithHint("Renew the installed certificate at identity.apple.com/pushcert with the Apple Account that made it, instead of creating a new one. Force it only if no device is enrolled, or all are to enroll again.")
	}
	if leaf.NotAfter.Before(old.NotAfter) {
		return enroll.Errorf(enroll.KindConflict, "push_certificate_older",
			"the certificate ends on %s, before the installed one, which ends on %s",
			leaf.NotAfter.UTC().Format(time.DateOnly), old.NotAfter.UTC().Format(time.DateOnly)).
			WithHint("This is probably last year's file. Force it if it is meant.")
	}
	return nil
}

// Info tells what is installed; without a certificate Installed is false and
// there is no error.
func (c *Certificates) Info(ctx context.Context) (Info, error) {
	const op = "apns.Info"
	_, err := c.secrets.Secret(ctx, secretPendingKey)
	pending := err == nil
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return Info{}, typed(op, err)
	}
	chain, _, err := c.load(ctx)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return Info{PendingCSR: pending}, nil
	}
	if err != nil {
		return Info{}, typed(op, err)
	}
	return c.describe(chain[0], topicOf(chain[0]), pending), nil
}

func (c *Certificates) describe(leaf *x509.Certificate, topic string, pending bool) Info {
	left := leaf.NotAfter.Sub(c.now()).Hours() / 24
	return Info{
		Installed: true, Topic: topic, Subject: leaf.Subject.CommonName,
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		DaysLeft: int(math.Floor(left)), PendingCSR: pending,
	}
}

// TLS gives the client certificate for APNs, Leaf set, and its topic.
// KindNotFound when none is installed, KindGone when it has expired.
func (c *Certificates) TLS(ctx context.Context) (cert tls.Certificate, topic string, err error) {
	const op = "apns.TLS"
	chain, key, err := c.load(ctx)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return tls.Certificate{}, "", enroll.Errorf(enroll.KindNotFound, "push_certificate_missing", "no push certificate is installed").
			WithHint("Make a request, take it to identity.apple.com/pushcert, and install the certificate.")
	}
	if err != nil {
		return tls.Certificate{}, "", typed(op, err)
	}
	leaf := chain[0]
	if c.now().After(leaf.NotAfter) {
		return tls.Certificate{}, "", enroll.Errorf(enroll.KindGone, "push_certificate_expired",
			"the push certificate expired on %s", leaf.NotAfter.UTC().Format(time.DateOnly)).
			WithHint("Renew it at identity.apple.com/pushcert with the same Apple Account: devices stay enrolled.")
	}
	cert = tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, one := range chain {
		cert.Certificate = append(cert.Certificate, one.Raw)
	}
	return cert, topicOf(leaf), nil
}

// load reads what is in service.
func (c *Certificates) load(ctx context.Context) ([]*x509.Certificate, *rsa.PrivateKey, error) {
	stored, err := c.secrets.Secret(ctx, secretIdentity)
	if err != nil {
		return nil, nil, err
	}
	chain, err := parseChain(stored)
	if err != nil {
		return nil, nil, damaged(secretIdentity, err)
	}
	key, err := parseKey(stored)
	if err != nil {
		return nil, nil, damaged(secretIdentity, err)
	}
	return chain, key, nil
}

// damaged turns a parser's error, which blames the input of a person, into our
// own: the kind of %v is lost on purpose.
func damaged(secret string, err error) error {
	return fmt.Errorf("stored value %s: %v", secret, err)
}

func topicOf(cert *x509.Certificate) string {
	for _, name := range cert.Subject.Names {
		if name.Type.Equal(oidUserID) {
			topic, _ := name.Value.(string)
			return topic
		}
	}
	return ""
}

// parseChain reads the certificates of a PEM text and passes over the rest.
func parseChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, enroll.Errorf(enroll.KindInvalid, "push_certificate_unreadable", "the certificate cannot be read")
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, enroll.Errorf(enroll.KindInvalid, "push_certificate_unreadable", "there is no certificate in PEM form").
			WithHint("Use the .pem file from identity.apple.com/pushcert.")
	}
	return chain, nil
}

// parseKey reads the first private key of a PEM text. Its errors carry nothing
// of the text.
func parseKey(text []byte) (*rsa.PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, enroll.Errorf(enroll.KindInvalid, "push_key_encrypted", "the private key is encrypted").
				WithHint("Decrypt it first: openssl rsa -in key.pem -out plain.pem")
		}
		var parsed any
		var err error
		if block.Type == "RSA PRIVATE KEY" {
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		} else {
			parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		}
		if err != nil {
			return nil, enroll.Errorf(enroll.KindInvalid, "push_key_unreadable", "the private key cannot be read")
		}
		key, ok := parsed.(*rsa.PrivateKey)
		if !ok {
			return nil, enroll.Errorf(enroll.KindInvalid, "push_certificate_key_type", "the private key is not RSA")
		}
		return key, nil
	}
	return nil, enroll.Errorf(enroll.KindInvalid, "push_key_unreadable", "there is no private key in PEM form")
}

func encodeKey(key *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// typed makes sure that an error is an *enroll.Error.
func typed(op string, err error) error {
	var e *enroll.Error
	if errors.As(err, &e) {
		return e
	}
	return &enroll.Error{Kind: enroll.KindInternal, Code: "push_certificate", Op: op, Err: err,
		Text: "the push certificate could not be read or stored"}
}
