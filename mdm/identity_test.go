package mdm

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/cms"
	"rollcall/enroll"
)

var deviceKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// identityOf issues an identity certificate of the test authority.
func identityOf(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	cert, err := authority().IssueIdentity(certs.IdentityTemplate{PublicKey: deviceKey().Public(), Subject: pkix.Name{CommonName: name}, Lifetime: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func strangerCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, deviceKey().Public(), deviceKey())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func rfc9440(c *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
}

func escapedPEM(c *x509.Certificate) string {
	return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
}

func signed(t *testing.T, cert *x509.Certificate, body string) string {
	t.Helper()
	der, err := cms.SignDetached([]byte(body), cert, deviceKey())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// TestClientIdentity: where an identity may come from, and from whom it is
// believed. Whatever is wrong with it is a 400 for the device.
func TestClientIdentity(t *testing.T) {
	const body = "the exact bytes of the message"
	one, other, stranger := identityOf(t, "one"), identityOf(t, "other"), strangerCertificate(t)
	proxied := ClientIdentity{Authority: authority(), ProxyHeader: "Client-Cert", Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}
	direct := ClientIdentity{Authority: authority()}
	const proxy, world = "10.1.2.3:4567", "203.0.113.9:4567"
	for name, c := range map[string]struct {
		of     ClientIdentity
		from   string
		header http.Header
		tls    *x509.Certificate
		want   *x509.Certificate
	}{
		"signature":                           {of: direct, header: http.Header{"Mdm-Signature": {signed(t, one, body)}}, want: one},
		"signature over other bytes":          {of: direct, header: http.Header{"Mdm-Signature": {signed(t, one, body+" ")}}},
		"signature of a stranger":             {of: direct, header: http.Header{"Mdm-Signature": {signed(t, stranger, body)}}},
		"signature that is no base64":         {of: direct, header: http.Header{"Mdm-Signature": {"%%%"}}},
		"signature that is no CMS":            {of: direct, header: http.Header{"Mdm-Signature": {"AAAA"}}},
		"signature without end":               {of: direct, header: http.Header{"Mdm-Signature": {strings.Repeat("A", maxIdentityHeader+4)}}},
		"TLS":                                 {of: direct, tls: one, want: one},
		"TLS of a stranger":                   {of: direct, tls: stranger},
		"signature before TLS":                {of: direct, header: http.Header{"Mdm-Signature": {signed(t, one, body)}}, tls: other, want: one},
		"a bad signature is not made up for":  {of: direct, header: http.Header{"Mdm-Signature": {signed(t, one, "x")}}, tls: one},
		"nothing":                             {of: direct},
		"RFC 9440 from the proxy":             {of: proxied, from: proxy, header: http.Header{"Client-Cert": {rfc9440(one)}}, want: one},
		"escaped PEM from the proxy":          {of: proxied, from: proxy, header: http.Header{"Client-Cert": {escapedPEM(one)}}, want: one},
		"RFC 9440 from a proxy over IPv6":     {of: proxied, from: "[2001:db8::7]:443", header: http.Header{"Client-Cert": {rfc9440(one)}}, want: one},
		"RFC 9440 from a mapped address":      {of: proxied, from: "[::ffff:10.1.2.3]:443", header: http.Header{"Client-Cert": {rfc9440(one)}}, want: one},
		"RFC 9440 from the world":             {of: proxied, from: world, header: http.Header{"Client-Cert": {rfc9440(one)}}},
		"RFC 9440 from nowhere":               {of: proxied, from: "@", header: http.Header{"Client-Cert": {rfc9440(one)}}},
		"RFC 9440 without proxies":            {of: direct, from: proxy, header: http.Header{"Client-Cert": {rfc9440(one)}}},
		"a stranger through the proxy":        {of: proxied, from: proxy, header: http.Header{"Client-Cert": {rfc9440(stranger)}}},
		"an empty header from the proxy":      {of: proxied, from: proxy, header: http.Header{"Client-Cert": {""}}},
		"a broken base64 from the proxy":      {of: proxied, from: proxy, header: http.Header{"Client-Cert": {":!!!:"}}},
		"a broken certificate from the proxy": {of: proxied, from: proxy, header: http.Header{"Client-Cert": {":AAAA:"}}},
		"a broken escape from the proxy":      {of: proxied, from: proxy, header: http.Header{"Client-Cert": {"%zz"}}},
		"another PEM block from the proxy":    {of: proxied, from: proxy, header: http.Header{"Client-Cert": {strings.ReplaceAll(escapedPEM(one), "CERTIFICATE", "PUBLIC%20KEY")}}},
		"a header without end from the proxy": {of: proxied, from: proxy, header: http.Header{"Client-Cert": {":" + strings.Repeat("A", maxIdentityHeader)}}},
		"TLS before the header of the proxy":  {of: proxied, from: proxy, header: http.Header{"Client-Cert": {rfc9440(other)}}, tls: one, want: one},
		"signature before that of the proxy":  {of: proxied, from: proxy, header: http.Header{"Client-Cert": {rfc9440(other)}, "Mdm-Signature": {signed(t, one, body)}}, want: one},
		"another header from the proxy":       {of: proxied, from: proxy, header: http.Header{"X-Client-Cert": {rfc9440(one)}}},
		"the authority itself":                {of: direct, tls: authority().Certificate()},
	} {
		r := httptest.NewRequest(http.MethodPut, "https://mdm.example.com/mdm/connect", strings.NewReader(body))
		r.TLS = nil
		r.RemoteAddr = world
		if c.from != "" {
			r.RemoteAddr = c.from
		}
		for k, v := range c.header {
			r.Header[k] = v
		}
		if c.tls != nil {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.tls, stranger}}
		}
		got, err := c.of.Of(r, []byte(body), time.Now())
		switch {
		case c.want == nil && (err == nil || statusOf(err) != http.StatusBadRequest):
			t.Errorf("%s: %v, %v; want an error that is a 400", name, got, err)
		case c.want != nil && (err != nil || !got.Equal(c.want)):
			t.Errorf("%s: %v", name, err)
		}
	}
	r := httptest.NewRequest(http.MethodPut, "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{one}}
	if _, err := direct.Of(r, nil, time.Now().AddDate(20, 0, 0)); err == nil {
		t.Error("an expired identity is accepted")
	}
}

// TestStatusOf: our own failures are never told as 401.
func TestStatusOf(t *testing.T) {
	for kind, want := range map[enroll.Kind]int{enroll.KindInvalid: 400, enroll.KindNotFound: 400, enroll.KindConflict: 400, enroll.KindUnauthorized: 400,
		enroll.KindForbidden: 403, enroll.KindGone: 410, enroll.KindUnavailable: 503, enroll.KindInternal: 500} {
		if got := statusOf(enroll.Errorf(kind, "code", "text")); got != want {
			t.Errorf("%v is %d; want %d", kind, got, want)
		}
	}
	for want, err := range map[int]error{500: errors.New("untyped"), 503: fmt.Errorf("wrapped: %w", context.DeadlineExceeded)} {
		if got := statusOf(err); got != want {
			t.Errorf("%v is %d; want %d", err, got, want)
		}
	}
}
