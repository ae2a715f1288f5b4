package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Keys and an authority are made once: RSA keys are the slow part of all this.
var (
	now       = time.Now().UTC().Truncate(time.Second)
	authority = sync.OnceValue(func() *certs.Authority { return must(certs.CreateAuthority("Test CA", now)) })
	clientKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherKey  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	smallKey  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	ecKey     = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func identity(t *testing.T, lifetime time.Duration) *x509.Certificate {
	t.Helper()
	cert, err := authority().IssueIdentity(certs.IdentityTemplate{
		PublicKey: clientKey().Public(),
		Subject:   pkix.Name{CommonName: "device", SerialNumber: "C02TEST00001"},
		Lifetime:  lifetime,
		Now:       now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCreateAuthority(t *testing.T) {
	cert := authority().Certificate()
	if err := cert.CheckSignatureFrom(cert); err != nil {
		t.Error(err)
	}
	if years := cert.NotAfter.Year() - now.Year(); years != 10 || cert.SignatureAlgorithm != x509.SHA256WithRSA || !cert.MaxPathLenZero {
		t.Errorf("%d years, %v", years, cert.SignatureAlgorithm)
	}
	if _, err := certs.CreateAuthority("", now); err == nil {
		t.Error("an authority without a name")
	}
}

func TestAuthoritySurvivesStorage(t *testing.T) {
	a := authority()
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: a.KeyDER()})
	b, err := certs.ParseAuthority(a.CertificatePEM(), keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if b.Fingerprint() != a.Fingerprint() {
		t.Error("another fingerprint")
	}
	if err := b.Verify(identity(t, time.Hour), now); err != nil {
		t.Error(err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(a.Signer().(*rsa.PrivateKey))})
	if _, err := certs.ParseAuthority(a.CertificatePEM(), pkcs1); err != nil {
		t.Errorf("PKCS #1: %v", err)
	}
	for name, pair := range map[string][2][]byte{
		"nothing":         {nil, nil},
		"key for cert":    {keyPEM, keyPEM},
		"cert for key":    {a.CertificatePEM(), a.CertificatePEM()},
		"no key":          {a.CertificatePEM(), nil},
		"damaged key":     {a.CertificatePEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: a.KeyDER()[1:]})},
		"encrypted key":   {a.CertificatePEM(), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: a.KeyDER()})},
		"key of a client": {a.CertificatePEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(clientKey()))})},
	} {
		if _, err := certs.ParseAuthority(pair[0], pair[1]); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestNewAuthorityRefuses(t *testing.T) {
	selfSigned := func(key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
			BasicConstraintsValid: true, IsCA: true,
		}
		change(template)
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
	}
	same := func(*x509.Certificate) {}
	for _, tt := range []struct {
		name string
		cert *x509.Certificate
		key  crypto.Signer
		ok   bool
	}{
		{"usable", selfSigned(clientKey(), same), clientKey(), true},
		{"no key usages at all", selfSigned(clientKey(), func(c *x509.Certificate) { c.KeyUsage = 0 }), clientKey(), true},
		{"nothing", nil, nil, false},
		{"elliptic", selfSigned(ecKey(), same), ecKey(), false},
		{"too small", selfSigned(smallKey(), same), smallKey(), false},
		{"other key", selfSigned(clientKey(), same), otherKey(), false},
		{"not a CA", selfSigned(clientKey(), func(c *x509.Certificate) { c.IsCA = false }), clientKey(), false},
		{"cannot decrypt", selfSigned(clientKey(), func(c *x509.Certificate) { c.KeyUsage &^= x509.KeyUsageKeyEncipherment }), clientKey(), false},
		{"expired", selfSigned(clientKey(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), clientKey(), false},
	} {
		if _, err := certs.NewAuthority(tt.cert, tt.key); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestIssueIdentity(t *testing.T) {
	a, cert := authority(), identity(t, time.Hour)
	if cert.Subject.SerialNumber != "C02TEST00001" || cert.IsCA || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("%v, usage %v", cert.Subject, cert.ExtKeyUsage)
	}
	if cert.SerialNumber.BitLen() < 96 || cert.SerialNumber.Cmp(identity(t, time.Hour).SerialNumber) == 0 {
		t.Errorf("serial number %v", cert.SerialNumber)
	}
	if forever := identity(t, 100*365*24*time.Hour); !forever.NotAfter.Equal(a.Certificate().NotAfter) {
		t.Errorf("ends %v, the authority %v", forever.NotAfter, a.Certificate().NotAfter)
	}
	for name, template := range map[string]certs.IdentityTemplate{
		"after the authority's end": {PublicKey: clientKey().Public(), Lifetime: time.Hour, Now: now.AddDate(11, 0, 0)},
		"no lifetime":               {PublicKey: clientKey().Public(), Now: now},
	} {
		if _, err := a.IssueIdentity(template); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
}

func TestAuthorityVerify(t *testing.T) {
	a, cert := authority(), identity(t, time.Hour)
	// The same name, another key: only the signature tells them apart.
	impostor := must(certs.CreateAuthority("Test CA", now))
	forged := must(impostor.IssueIdentity(certs.IdentityTemplate{PublicKey: clientKey().Public(), Lifetime: time.Hour, Now: now}))
	server := must(a.IssueServer([]string{"mdm.example.com"}, now))
	intermediate := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}, a.Certificate(), clientKey().Public(), a.Signer()))))
	for range 2 { // the second time from memory
		for _, tt := range []struct {
			name string
			leaf *x509.Certificate
			now  time.Time
			ok   bool
		}{
			{"ours", cert, now, true},
			{"clock an hour behind", cert, now.Add(-time.Hour), true},
			{"too early", cert, now.Add(-61 * time.Minute), false},
			{"at its end", cert, now.Add(time.Hour), true},
			{"expired", cert, now.Add(time.Hour + time.Second), false},
			{"impostor", forged, now, false},
			{"server certificate", server.Leaf, now, false},
			{"intermediate", intermediate, now, false},
			{"the authority itself", a.Certificate(), now, false},
			{"none", nil, now, false},
		} {
			err := a.Verify(tt.leaf, tt.now)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, certs.ErrNotOurs) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

func TestVerifyRemembersExactBytes(t *testing.T) {
	a, cert := authority(), identity(t, time.Hour)
	if err := a.Verify(cert, now); err != nil {
		t.Fatal(err)
	}
	raw := append([]byte(nil), cert.Raw...)
	raw[len(raw)-1] ^= 1
	if err := a.Verify(must(x509.ParseCertificate(raw)), now); !errors.Is(err, certs.ErrNotOurs) {
		t.Errorf("changed signature: %v", err)
	}
}

func TestIssueServer(t *testing.T) {
	a := authority()
	pair, err := a.IssueServer([]string{"localhost", "127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := pair.Leaf
	if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; days > 398 {
		t.Errorf("valid for %v days", days)
	}
	if leaf.DNSNames[0] != "localhost" || !leaf.IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)) || leaf.SignatureAlgorithm != x509.SHA256WithRSA {
		t.Errorf("%v %v %v", leaf.DNSNames, leaf.IPAddresses, leaf.SignatureAlgorithm)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if _, err := a.IssueServer(nil, now); err == nil {
		t.Error("issued for no host")
	}
}

func BenchmarkAuthorityVerify(b *testing.B) {
	a := authority()
	cert := must(a.IssueIdentity(certs.IdentityTemplate{PublicKey: clientKey().Public(), Lifetime: time.Hour, Now: now}))
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Verify(cert, now); err != nil {
			b.Fatal(err)
		}
	}
}
