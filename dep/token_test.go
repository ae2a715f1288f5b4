package dep

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/certs/cms"
	"rollcall/enroll"
)

const tokenJSON = `{"consumer_key":"CK_1","consumer_secret":"CS_1","access_token":"AT_1","access_secret":"AS_1","access_token_expiry":"2027-03-01T09:00:00Z"}`

var now = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// tokenFile makes a .p7m of what is between the two messages.
func tokenFile(t *testing.T, pair KeyPair, inner string) []byte {
	t.Helper()
	block, _ := pem.Decode(pair.CertificatePEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := cms.Encrypt([]byte(inner), cert, cms.AES256CBC)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.WriteString("Content-Type: application/pkcs7-mime; name=\"smime.p7m\"; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for text := base64.StdEncoding.EncodeToString(der); text != ""; {
		n := min(76, len(text))
		fmt.Fprintf(&out, "%s\r\n", text[:n])
		text = text[n:]
	}
	return out.Bytes()
}

func wrapped(json string) string {
	var lines []string
	for ; len(json) > 20; json = json[20:] {
		lines = append(lines, json[:20])
	}
	return "Content-Type: text/plain;charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + beginMessage + "\r\n" + strings.Join(append(lines, json), "\r\n") + "\r\n" + endMessage + "\r\n"
}

func TestOpenToken(t *testing.T) {
	pair, err := NewKeyPair("Berlin", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewKeyPair("Hamburg", now)
	if err != nil {
		t.Fatal(err)
	}
	good := tokenFile(t, pair, wrapped(tokenJSON))
	got, err := OpenToken(good, pair, now)
	if err != nil || got.ConsumerKey != "CK_1" || got.AccessSecret != "AS_1" || !got.ExpiresAt.Equal(now.AddDate(1, 0, 0)) {
		t.Fatalf("%v: %#v", err, got)
	}
	if s := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(s, "CS_1") {
		t.Errorf("a token is printed as %s", s)
	}
	for name, c := range map[string]struct {
		file []byte
		at   time.Time
		code string
	}{
		"nothing":             {nil, now, "token_malformed"},
		"a certificate":       {pair.CertificatePEM, now, "token_malformed"},
		"far too large":       {bytes.Repeat([]byte("x"), MaxTokenFile+1), now, "token_malformed"},
		"another message":     {[]byte("Content-Type: text/plain\r\n\r\nhello"), now, "token_malformed"},
		"truncated":           {good[:len(good)/2], now, "token_malformed"},
		"an empty envelope":   {good[:bytes.Index(good, []byte("\r\n\r\n"))+4], now, "token_malformed"},
		"of another account":  {tokenFile(t, other, wrapped(tokenJSON)), now, "token_foreign"},
		"expired":             {good, now.AddDate(1, 0, 0), "token_expired"},
		"without an end":      {tokenFile(t, pair, strings.TrimSuffix(wrapped(tokenJSON), endMessage+"\r\n")), now, "token_incomplete"},
		"of half a token":     {tokenFile(t, pair, wrapped(tokenJSON[:40])), now, "token_incomplete"},
		"without access keys": {tokenFile(t, pair, wrapped(`{"consumer_key":"CK_1","consumer_secret":"CS_1"}`)), now, "token_incomplete"},
		"of something else":   {tokenFile(t, pair, "hello"), now, "token_incomplete"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := OpenToken(c.file, pair, c.at)
			var e *enroll.Error
			if !errors.As(err, &e) || e.Kind != enroll.KindInvalid || e.Code != c.code || e.Hint == "" {
				t.Errorf("%v, want %s with a hint", err, c.code)
			}
		})
	}
}
