package dep

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"rollcall/sim/cms"
)

// Apple's lines are 76 characters; inside the message they break anywhere,
// also in the middle of a value.
const lineLength = 76

// TokenFile is the download of a server token: the .p7m file for the public
// key in an X.509 certificate in PEM. The token is a new one, valid for a
// year, of the same consumer key; it ends the token before it.
//
//	S/MIME headers, base64 of
//	  CMS EnvelopedData: BER, AES-256-CBC, RSA PKCS #1 v1.5
//	    text/plain headers
//	    -----BEGIN MESSAGE-----
//	    {"consumer_key":...,"consumer_secret":...,"access_token":...,"access_secret":...,"access_token_expiry":...}
//	    -----END MESSAGE-----
func (a *Account) TokenFile(publicKeyPEM []byte) ([]byte, error) {
	block, _ := pem.Decode(publicKeyPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("dep: token file: no certificate in PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("dep: token file: %w", err)
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() < 2048 {
		return nil, errors.New("dep: token file: the key must be RSA with 2048 bits or more")
	}
	a.cloud.mu.Lock()
	a.renew()
	// A struct, because Apple's keys come in this order.
	message, err := json.Marshal(struct {
		ConsumerKey    string `json:"consumer_key"`
		ConsumerSecret string `json:"consumer_secret"`
		AccessToken    string `json:"access_token"`
		AccessSecret   string `json:"access_secret"`
		Expiry         string `json:"access_token_expiry"`
	}{a.key.id, a.key.secret, a.token.id, a.token.secret, stamp(a.expiry)})
	a.cloud.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("dep: token file: %w", err)
	}
	var inner bytes.Buffer
	inner.WriteString("Content-Type: text/plain;charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n-----BEGIN MESSAGE-----\r\n")
	wrap(&inner, message)
	inner.WriteString("-----END MESSAGE-----\r\n")
	der, err := cms.Encrypt(inner.Bytes(), cert, cms.AES256CBC)
	if err != nil {
		return nil, err
	}
	ber, err := streamed(der)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("Content-Type: application/pkcs7-mime; name=\"smime.p7m\"; smime-type=enveloped-data\r\n" +
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7m\"\r\n" +
		"Content-Description: S/MIME Encrypted Message\r\n\r\n")
	wrap(&out, []byte(base64.StdEncoding.EncodeToString(ber)))
	return out.Bytes(), nil
}

func wrap(w io.Writer, text []byte) {
	for len(text) > 0 {
		n := min(lineLength, len(text))
		fmt.Fprintf(w, "%s\r\n", text[:n])
		text = text[n:]
	}
}
