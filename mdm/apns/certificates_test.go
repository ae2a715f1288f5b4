package apns

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
)

var (
	ctx   = context.Background()
	today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	year  = today.AddDate(1, 0, 0)
)

func clock() time.Time { return today }

// wantError checks kind, code and that it is an *enroll.Error with a text.
func wantError(t *testing.T, err error, kind enroll.Kind, code string) {
	t.Helper()
	e, ok := err.(*enroll.Error)
	if !ok {
		t.Fatalf("got %T %v, want %s %s", err, err, kind, code)
	}
	if e.Kind != kind || e.Code != code || e.Text == "" {
		t.Errorf("got %s %s %q, want %s %s", e.Kind, e.Code, e.Text, kind, code)
	}
}

func request10(t *testing.T, c *Certificates) *x509.CertificateRequest {
	t.Helper()
	text, err := c.CSR(ctx, "it@example.com")
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		t.Fatalf("not one request: %s", text)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Fatal(err)
	}
	return csr
}

// TestYears walks through the life of a push certificate.
func TestYears(t *testing.T) {
	secrets := newSecrets()
	c := NewCertificates(secrets, clock)
	if info, err := c.Info(ctx); err != nil || info != (Info{}) {
		t.Fatalf("%+v, %v", info, err)
	}
	_, _, err := c.TLS(ctx)
	wantError(t, err, enroll.KindNotFound, "push_certificate_missing")

	csr := request10(t, c)
	if key, ok := csr.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 {
		t.Errorf("key %T", csr.PublicKey)
	}
	if s := csr.Subject.String(); !strings.Contains(s, "1.2.840.113549.1.9.1=") {
		t.Errorf("subject %s has no e-mail address", s)
	}
	if again := request10(t, c); !csr.PublicKey.(*rsa.PublicKey).Equal(again.PublicKey) {
		t.Error("a second request has another key")
	}
	if info, err := c.Info(ctx); err != nil || info != (Info{PendingCSR: true}) {
		t.Fatalf("%+v, %v", info, err)
	}

	first := pushCertificate(t, topicA, csr.PublicKey, today.Add(-time.Hour), year)
	info, err := c.Install(ctx, first, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Installed: true, Topic: topicA, Subject: "APSP:test", NotBefore: today.Add(-time.Hour), NotAfter: year, DaysLeft: 365}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	if got, err := c.Info(ctx); err != nil || got != info {
		t.Errorf("%+v, %v", got, err)
	}
	if diff := cmp.Diff([]string{secretIdentity}, secrets.names()); diff != "" {
		t.Errorf("secrets: %s", diff)
	}
	cert, topic, err := c.TLS(ctx)
	if err != nil || topic != topicA || cert.Leaf == nil || len(cert.Certificate) != 1 {
		t.Fatalf("%q, %v", topic, err)
	}
	if !cert.PrivateKey.(*rsa.PrivateKey).PublicKey.Equal(cert.Leaf.PublicKey) {
		t.Error("the key is of another certificate")
	}
	if _, err := c.Install(ctx, first, nil, false); err != nil {
		t.Errorf("the same certificate again: %v", err)
	}

	// Next year: a new request while the old certificate stays in service.
	renewal := request10(t, c)
	if csr.PublicKey.(*rsa.PublicKey).Equal(renewal.PublicKey) {
		t.Error("the renewal has the old key")
	}
	_, err = c.Install(ctx, pushCertificate(t, topicA, csr.PublicKey, today.Add(-time.Hour), year.AddDate(0, 0, 1)), nil, false)
	if err != nil {
		t.Errorf("renewal with the key in service: %v", err)
	}
	if info, err := c.Info(ctx); err != nil || !info.PendingCSR || info.DaysLeft != 366 {
		t.Errorf("the request is gone: %+v, %v", info, err)
	}
	second := pushCertificate(t, topicA, renewal.PublicKey, today.Add(-time.Hour), year.AddDate(1, 0, 0))
	if info, err := c.Install(ctx, second, nil, false); err != nil || info.PendingCSR {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = c.Install(ctx, first, nil, false)
	wantError(t, err, enroll.KindInvalid, "push_key_missing")
}

func TestInstallRefuses(t *testing.T) {
	keys := rsaKeys()
	mine, other := keys[1], keys[2]
	start := today.Add(-time.Hour)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curveDER, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	good := pushCertificate(t, topicA, mine.Public(), start, year)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")})
	for name, c := range map[string]struct {
		cert, key []byte
		kind      enroll.Kind
		code      string
	}{
		"no certificate":         {nil, nil, enroll.KindInvalid, "push_certificate_unreadable"},
		"DER":                    {[]byte{0x30, 0x82}, nil, enroll.KindInvalid, "push_certificate_unreadable"},
		"damaged":                {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), nil, enroll.KindInvalid, "push_certificate_unreadable"},
		"no topic":               {pushCertificate(t, "", mine.Public(), start, year), keyPEM(t, mine), enroll.KindInvalid, "push_certificate_kind"},
		"topic of an app":        {pushCertificate(t, "com.example.app", mine.Public(), start, year), keyPEM(t, mine), enroll.KindInvalid, "push_certificate_kind"},
		"empty topic":            {pushCertificate(t, topicPrefix, mine.Public(), start, year), keyPEM(t, mine), enroll.KindInvalid, "push_certificate_kind"},
		"elliptic":               {pushCertificate(t, topicA, curve.Public(), start, year), nil, enroll.KindInvalid, "push_certificate_key_type"},
		"elliptic key":           {good, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: curveDER}), enroll.KindInvalid, "push_certificate_key_type"},
		"expired":                {pushCertificate(t, topicA, mine.Public(), start, today.Add(-time.Second)), keyPEM(t, mine), enroll.KindInvalid, "push_certificate_expired"},
		"early":                  {pushCertificate(t, topicA, mine.Public(), today.Add(time.Hour), year), keyPEM(t, mine), enroll.KindInvalid, "push_certificate_early"},
		"key of another":         {good, keyPEM(t, other), enroll.KindInvalid, "push_key_mismatch"},
		"no key":                 {good, nil, enroll.KindInvalid, "push_key_missing"},
		"encrypted key":          {good, encrypted, enroll.KindInvalid, "push_key_encrypted"},
		"encrypted PKCS 8":       {good, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), enroll.KindInvalid, "push_key_encrypted"},
		"key that is none":       {good, []byte("secret"), enroll.KindInvalid, "push_key_unreadable"},
		"damaged key":            {good, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}), enroll.KindInvalid, "push_key_unreadable"},
		"certificate as the key": {good, good, enroll.KindInvalid, "push_key_unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := newSecrets()
			_, err := NewCertificates(secrets, clock).Install(ctx, c.cert, c.key, true)
			wantError(t, err, c.kind, c.code)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the key: %v", err)
			}
			if names := secrets.names(); len(names) > 0 {
				t.Errorf("stored %v", names)
			}
		})
	}
}

func TestInstallOverAnother(t *testing.T) {
	key := rsaKeys()[1]
	start := today.Add(-time.Hour)
	newTopic := pushCertificate(t, topicB, key.Public(), start, year.AddDate(1, 0, 0))
	older := pushCertificate(t, topicA, key.Public(), start, year.AddDate(0, 0, -1))
	for name, c := range map[string]struct {
		cert []byte
		code string
	}{
		"another topic": {newTopic, "push_topic_change"},
		"older":         {older, "push_certificate_older"},
	} {
		t.Run(name, func(t *testing.T) {
			certificates := NewCertificates(newSecrets(), clock)
			if _, err := certificates.Install(ctx, pushCertificate(t, topicA, key.Public(), start, year), keyPEM(t, key), false); err != nil {
				t.Fatal(err)
			}
			before, err := certificates.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_, err = certificates.Install(ctx, c.cert, keyPEM(t, key), false)
			wantError(t, err, enroll.KindConflict, c.code)
			if after, err := certificates.Info(ctx); err != nil || after != before {
				t.Errorf("changed to %+v, %v", after, err)
			}
			forced, err := certificates.Install(ctx, c.cert, keyPEM(t, key), true)
			if err != nil {
				t.Fatal(err)
			}
			if after, err := certificates.Info(ctx); err != nil || after != forced || after == before {
				t.Errorf("forced: %+v, %v", after, err)
			}
		})
	}
	_, err := func() (Info, error) {
		c := NewCertificates(newSecrets(), clock)
		if _, err := c.Install(ctx, older, keyPEM(t, key), false); err != nil {
			t.Fatal(err)
		}
		return c.Install(ctx, newTopic, keyPEM(t, key), false)
	}()
	if e := err.(*enroll.Error); !strings.Contains(e.Text, "every device") || !strings.Contains(e.Hint, "Renew") {
		t.Errorf("the consequences are not told: %q %q", e.Text, e.Hint)
	}
}

func TestChainStays(t *testing.T) {
	key := rsaKeys()[1]
	ca, _ := issuer()
	chain := append(pushCertificate(t, topicA, key.Public(), today.Add(-time.Hour), year),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})...)
	c := NewCertificates(newSecrets(), clock)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if _, err := c.Install(ctx, chain, pkcs1, false); err != nil {
		t.Fatal(err)
	}
	cert, _, err := c.TLS(ctx)
	if err != nil || len(cert.Certificate) != 2 || !key.Equal(cert.PrivateKey) {
		t.Errorf("%d certificates, %v", len(cert.Certificate), err)
	}
}

func TestExpiredInService(t *testing.T) {
	key := rsaKeys()[1]
	now := today
	c := NewCertificates(newSecrets(), func() time.Time { return now })
	if _, err := c.Install(ctx, pushCertificate(t, topicA, key.Public(), today.Add(-time.Hour), year), keyPEM(t, key), false); err != nil {
		t.Fatal(err)
	}
	now = year.Add(36 * time.Hour)
	_, _, err := c.TLS(ctx)
	wantError(t, err, enroll.KindGone, "push_certificate_expired")
	if info, err := c.Info(ctx); err != nil || !info.Installed || info.DaysLeft != -2 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestPendingKeyOfAnotherRequest(t *testing.T) {
	c := NewCertificates(newSecrets(), clock)
	request10(t, c)
	_, err := c.Install(ctx, pushCertificate(t, topicA, rsaKeys()[1].Public(), today.Add(-time.Hour), year), nil, false)
	wantError(t, err, enroll.KindInvalid, "push_key_mismatch")
	if info, err := c.Info(ctx); err != nil || !info.PendingCSR {
		t.Errorf("the request is gone: %+v, %v", info, err)
	}
}

func TestCSRRefusesAddress(t *testing.T) {
	secrets := newSecrets()
	for _, email := range []string{"", "it", "IT <it@example.com>", "ü@example.com", "a@b\n"} {
		_, err := NewCertificates(secrets, clock).CSR(ctx, email)
		wantError(t, err, enroll.KindInvalid, "push_csr_email")
	}
	if names := secrets.names(); len(names) > 0 {
		t.Errorf("stored %v", names)
	}
}

func TestStoreFails(t *testing.T) {
	cause := errors.New("disk is full")
	c := NewCertificates(&memorySecrets{err: cause}, clock)
	key := rsaKeys()[1]
	cert := pushCertificate(t, topicA, key.Public(), today.Add(-time.Hour), year)
	_, csr := c.CSR(ctx, "it@example.com")
	_, installing := c.Install(ctx, cert, keyPEM(t, key), false)
	_, info := c.Info(ctx)
	_, _, tls := c.TLS(ctx)
	for _, err := range []error{csr, installing, info, tls} {
		wantError(t, err, enroll.KindInternal, "push_certificate")
		if !errors.Is(err, cause) {
			t.Errorf("the cause is lost: %v", err)
		}
		if strings.Contains(err.(*enroll.Error).Text, "disk") {
			t.Errorf("the cause is shown: %v", err)
		}
	}
}

// TestDamagedInService is our fault, not that of the person who asks; force
// gets over it.
func TestDamagedInService(t *testing.T) {
	secrets := newSecrets()
	secrets.values[secretIdentity] = []byte("garbage")
	c := NewCertificates(secrets, clock)
	_, _, err := c.TLS(ctx)
	wantError(t, err, enroll.KindInternal, "push_certificate")
	key := rsaKeys()[1]
	cert := pushCertificate(t, topicA, key.Public(), today.Add(-time.Hour), year)
	_, err = c.Install(ctx, cert, keyPEM(t, key), false)
	wantError(t, err, enroll.KindInternal, "push_certificate")
	if _, err := c.Install(ctx, cert, keyPEM(t, key), true); err != nil {
		t.Error(err)
	}
}
