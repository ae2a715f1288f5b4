package dep

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"time"

	peer "go.mozilla.org/pkcs7"
)

// certificate is a self-signed one, in PEM as it is uploaded to the portal.
func certificate(t *testing.T, key any, public any) (*x509.Certificate, []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestTokenFile(t *testing.T) {
	c, now := start(t, Options{}, 0)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert, certPEM := certificate(t, key, key.Public())
	c.login()
	before := c.account.key
	file, err := c.account.TokenFile(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := mail.ReadMessage(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(outer.Header.Get("Content-Type"))
	if err != nil || kind != "application/pkcs7-mime" || params["smime-type"] != "enveloped-data" || outer.Header.Get("Content-Transfer-Encoding") != "base64" {
		t.Errorf("%q %v %v", kind, params, err)
	}
	encoded, err := io.ReadAll(outer.Body)
	if err != nil {
		t.Fatal(err)
	}
	ber, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil || !bytes.HasPrefix(ber, []byte{0x30, 0x80}) || !bytes.HasSuffix(ber, make([]byte, 10)) {
		t.Fatalf("no indefinite lengths in % x, %v", ber[:4], err)
	}
	p7, err := peer.Parse(ber)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := p7.Decrypt(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := mail.ReadMessage(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	if got := inner.Header.Get("Content-Type"); got != "text/plain;charset=UTF-8" {
		t.Errorf("inner content type %q", got)
	}
	text, err := io.ReadAll(inner.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\r\n")
	if len(lines) < 5 || lines[0] != "-----BEGIN MESSAGE-----" || lines[len(lines)-1] != "-----END MESSAGE-----" {
		t.Fatalf("%q", text)
	}
	var token map[string]string
	if err := json.Unmarshal([]byte(strings.Join(lines[1:len(lines)-1], "")), &token); err != nil {
		t.Fatal(err)
	}
	a := c.account
	if token["consumer_key"] != a.key.id || token["consumer_secret"] != a.key.secret || token["access_token"] != a.token.id || token["access_secret"] != a.token.secret ||
		token["access_token_expiry"] != now.now().UTC().AddDate(1, 0, 0).Format(time.RFC3339) || len(token) != 5 || a.key != before {
		t.Errorf("%v", token)
	}
	if out := c.call("GET", "/account", nil); out.status != 401 {
		t.Errorf("a session of the token before: %d", out.status)
	}
	c.session = ""
	if out := c.call("GET", "/account", nil); out.status != 200 {
		t.Errorf("the new token: %d %s", out.status, out.body)
	}
}

func TestTokenFileRefuses(t *testing.T) {
	c, _ := start(t, Options{}, 0)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, smallPEM := certificate(t, small, small.Public())
	_, curvePEM := certificate(t, curve, curve.Public())
	before := c.account.token
	for name, file := range map[string][]byte{"nothing": nil, "no certificate": []byte("hello"), "1024 bits": smallPEM, "EC": curvePEM,
		"bad DER": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})} {
		if _, err := c.account.TokenFile(file); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if c.account.token != before {
		t.Error("a refused certificate renewed the token")
	}
}
