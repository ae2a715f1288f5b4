package scep

import (
	"bytes"
	"context"
	"crypto"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/sim/cms"
)

// Options is one enrollment. URL, Key and Subject are mandatory.
type Options struct {
	URL  string
	Name string // the CA's name, sent with GetCACert
	Key  *rsa.PrivateKey

	Subject   pkix.RDNSequence
	Names     AltNames
	KeyUsage  int // bits of the payload's "Key Usage": 1 sign, 4 encrypt; 0 asks for none
	Challenge string

	// Fingerprint pins the CA: its MD5, SHA-1, SHA-256 or SHA-512, by length.
	Fingerprint []byte

	// Digest and Cipher default to the best the server's capabilities name.
	Digest crypto.Hash
	Cipher cms.Cipher

	// RenewCertificate and RenewKey turn the request into a RenewalReq
	// (messageType 17) signed by the existing identity.
	RenewCertificate *x509.Certificate
	RenewKey         *rsa.PrivateKey

	HTTP *http.Client // default http.DefaultClient
}

// AltNames go into the request's subject alternative name.
type AltNames struct{ Email, DNS, URI []string }

// FailInfo is the reason of a refusal (RFC 8894, 3.2.1.4.4).
type FailInfo int

// The values of FailInfo.
const (
	BadAlg FailInfo = iota
	BadMessageCheck
	BadRequest
	BadTime
	BadCertID
)

func (f FailInfo) String() string {
	names := []string{"badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId"}
	if f < 0 || int(f) >= len(names) {
		return fmt.Sprintf("failInfo %d", int(f))
	}
	return names[f]
}

// Failure is a CertRep with pkiStatus FAILURE.
type Failure struct{ FailInfo FailInfo }

func (f *Failure) Error() string { return "scep: the server refused: " + f.FailInfo.String() }

// ErrPending is a CertRep with pkiStatus PENDING.
var ErrPending = errors.New("scep: the request is pending")

// HTTPError is an answer with a status other than 200.
type HTTPError struct {
	Status int
	Text   string // the body, shortened
	URL    string
}

func (e *HTTPError) Error() string {
	return fmt.Sprintf("scep: status %d from %s: %s", e.Status, e.URL, e.Text)
}

// Enroll gets a certificate for o.Key. Errors are *Failure and ErrPending for
// the server's decisions, *HTTPError for other statuses, anything else for a
// server that does not keep to the protocol.
func Enroll(ctx context.Context, o Options) (*x509.Certificate, error) {
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	caps, err := o.capabilities(ctx)
	if err != nil {
		return nil, err
	}
	if o.Digest == 0 {
		o.Digest = caps.digest()
	}
	if o.Cipher == 0 {
		o.Cipher = caps.cipher()
	}
	authority, err := o.authority(ctx)
	if err != nil {
		return nil, err
	}
	request, err := o.request(authority.encryption)
	if err != nil {
		return nil, err
	}
	var body []byte
	if caps["postpkioperation"] || caps["scepstandard"] {
		body, err = o.call(ctx, "PKIOperation", "", request.der, "application/x-pki-message")
	} else {
		body, err = o.call(ctx, "PKIOperation", base64.StdEncoding.EncodeToString(request.der), nil, "application/x-pki-message")
	}
	if err != nil {
		return nil, err
	}
	return request.accept(body, authority)
}

type capabilities map[string]bool

// capabilities asks for GetCACaps. A server without it has none (RFC 8894, 3.5.1).
func (o *Options) capabilities(ctx context.Context) (capabilities, error) {
	body, err := o.call(ctx, "GetCACaps", o.Name, nil, "")
	var status *HTTPError
	if errors.As(err, &status) {
		return capabilities{}, nil
	}
	if err != nil {
		return nil, err
	}
	caps := capabilities{}
	for line := range strings.Lines(string(body)) {
		caps[strings.ToLower(strings.TrimSpace(line))] = true
	}
	return caps, nil
}

func (c capabilities) digest() crypto.Hash {
	switch {
	case c["sha-256"], c["scepstandard"]:
		return crypto.SHA256
	case c["sha-512"]:
		return crypto.SHA512
	}
	return crypto.SHA1
}

func (c capabilities) cipher() cms.Cipher {
	switch {
	case c["aes"], c["scepstandard"]:
		return cms.AES128CBC
	case c["des3"]:
		return cms.TripleDESCBC
	}
	return cms.DESCBC
}

// authority is what GetCACert told: who issues, who may sign answers, and to
// whom requests are encrypted.
type authority struct {
	issuer     *x509.Certificate
	encryption *x509.Certificate
	all        []*x509.Certificate
}

func (o *Options) authority(ctx context.Context) (*authority, error) {
	body, err := o.call(ctx, "GetCACert", o.Name, nil, "application/x-x509-ca-cert", "application/x-x509-ca-ra-cert")
	if err != nil {
		return nil, err
	}
	a := &authority{}
	if cert, err := x509.ParseCertificate(body); err == nil {
		a.all = []*x509.Certificate{cert}
	} else if a.all, err = cms.Certificates(body); err != nil {
		return nil, fmt.Errorf("scep: GetCACert: neither a certificate nor PKCS #7: %w", err)
	}
	for _, cert := range a.all {
		if cert.IsCA && (a.issuer == nil || o.pinned(cert)) {
			a.issuer = cert
		}
	}
	if a.issuer == nil {
		return nil, errors.New("scep: GetCACert: no CA certificate")
	}
	if len(o.Fingerprint) != 0 && !o.pinned(a.issuer) {
		return nil, errors.New("scep: the CA is not the one of CAFingerprint")
	}
	a.encryption = a.issuer
	for _, cert := range a.all {
		if !cert.IsCA && cert.KeyUsage&x509.KeyUsageKeyEncipherment != 0 && cert.CheckSignatureFrom(a.issuer) == nil {
			a.encryption = cert
		}
	}
	return a, nil
}

// signs tells whether cert may sign answers: the CA itself, or an RA it issued.
func (a *authority) signs(cert *x509.Certificate) bool {
	return cert.Equal(a.issuer) || !cert.IsCA && cert.CheckSignatureFrom(a.issuer) == nil && cert.KeyUsage&x509.KeyUsageDigitalSignature != 0 && a.has(cert)
}

func (a *authority) has(cert *x509.Certificate) bool {
	for _, c := range a.all {
		if c.Equal(cert) {
			return true
		}
	}
	return false
}

func (o *Options) pinned(cert *x509.Certificate) bool {
	var sum []byte
	switch len(o.Fingerprint) {
	case md5.Size:
		h := md5.Sum(cert.Raw)
		sum = h[:]
	case sha1.Size:
		h := sha1.Sum(cert.Raw)
		sum = h[:]
	case sha256.Size:
		h := sha256.Sum256(cert.Raw)
		sum = h[:]
	case sha512.Size:
		h := sha512.Sum512(cert.Raw)
		sum = h[:]
	default:
		return false
	}
	return subtle.ConstantTimeCompare(sum, o.Fingerprint) == 1
}

// call does one operation. wantType lists the content types the answer may
// have; empty ones are not checked.
func (o *Options) call(ctx context.Context, operation, message string, post []byte, wantType ...string) ([]byte, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("scep: %q is not a URL", o.URL)
	}
	q := u.Query()
	q.Set("operation", operation)
	if message != "" {
		q.Set("message", message)
	}
	u.RawQuery = q.Encode()
	method, body := http.MethodGet, io.Reader(nil)
	if post != nil {
		method, body = http.MethodPost, bytes.NewReader(post)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("scep: %s: %w", operation, err)
	}
	if post != nil {
		req.Header.Set("Content-Type", "application/x-pki-message")
	}
	resp, err := o.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("scep: %s: %w", operation, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("scep: %s: %w", operation, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &HTTPError{Status: resp.StatusCode, Text: strings.TrimSpace(string(answer[:min(len(answer), 400)])), URL: o.URL}
	}
	got, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	for _, want := range wantType {
		if want == "" || got == want {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("scep: %s: content type %q", operation, got)
}

// valid tells whether cert is in its validity period.
func valid(cert *x509.Certificate, now time.Time) bool {
	return !now.Before(cert.NotBefore) && !now.After(cert.NotAfter)
}
