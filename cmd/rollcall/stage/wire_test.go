package stage

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"testing"
	"time"

	"rollcall/sim/cms"
	"rollcall/sim/plist"
	"rollcall/sim/scep"
)

// What this file holds speaks the protocol step by step and without scruples,
// where a phone does it all at once and as Apple says.

// credentials are a certificate with its key.
type credentials struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func (p *play) key() *rsa.PrivateKey {
	p.t.Helper()
	key, err := keys.Next()
	p.must(err)
	return key
}

// device makes the identity Apple gives a device, and what it says of itself.
func (p *play) deviceIdentity(serial string) (credentials, []*x509.Certificate, plist.Dict) {
	p.t.Helper()
	udid := "00008130-" + hexOf(serial)
	id, err := apple.IssueDeviceKey(udid, serial, p.key())
	p.must(err)
	return credentials{id.Certificate, id.Key}, id.Chain, plist.Dict{"UDID": udid, "SERIAL": serial, "PRODUCT": "iPhone17,2", "VERSION": "23B85"}
}

// phase posts attributes to the Profile Service as phases 2 and 3 do.
func (p *play) phase(attributes plist.Dict, by credentials, chain ...*x509.Certificate) (status int, answer []byte) {
	p.t.Helper()
	body, err := cms.Sign(plist.Marshal(attributes), by.cert, by.key, cms.SignOptions{Certificates: chain})
	p.must(err)
	return p.post("/enroll/ota/attributes", "application/pkcs7-signature", body)
}

func (p *play) post(path, contentType string, body []byte) (status int, answer []byte) {
	p.t.Helper()
	res, answer := p.send(http.MethodPost, path, contentType, bytes.NewReader(body))
	if res.StatusCode >= 400 {
		p.noInternals(string(answer))
	}
	return res.StatusCode, answer
}

// payload is the first payload of a type in a configuration profile.
func (p *play) payload(profile []byte, payloadType string) plist.Dict {
	p.t.Helper()
	top, err := plist.UnmarshalDict(profile)
	p.must(err)
	for _, v := range top["PayloadContent"].([]any) {
		if d := v.(plist.Dict); d["PayloadType"] == payloadType {
			return d
		}
	}
	p.t.Fatalf("the profile has no %s", payloadType)
	return nil
}

// scep gets the identity that a profile offers.
func (p *play) scep(profile []byte) (credentials, error) {
	p.t.Helper()
	d := p.payload(profile, "com.apple.security.scep")["PayloadContent"].(plist.Dict)
	key := p.key()
	subject, err := scep.ParseSubject(d["Subject"].([]any))
	p.must(err)
	cert, err := scep.Enroll(p.ctx, scep.Options{URL: d["URL"].(string), Key: key, HTTP: p.client, Challenge: d["Challenge"].(string),
		Fingerprint: d["CAFingerprint"].([]byte), Subject: subject, KeyUsage: 5})
	return credentials{cert, key}, err
}

func (p *play) mustSCEP(profile []byte) credentials {
	p.t.Helper()
	c, err := p.scep(profile)
	p.must(err)
	return c
}

const (
	checkInPath, checkInType = "/mdm/checkin", "application/x-apple-aspen-mdm-checkin"
	connectPath, connectType = "/mdm/connect", "application/x-apple-aspen-mdm; charset=UTF-8"
)

func signature(t *testing.T, body []byte, by credentials) string {
	t.Helper()
	der, err := cms.Sign(body, by.cert, by.key, cms.SignOptions{Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// put sends an MDM message signed by anybody.
func (p *play) put(path, contentType string, message plist.Dict, by credentials) (status int, answer []byte) {
	p.t.Helper()
	body := plist.Marshal(message)
	return p.putRaw(path, contentType, body, signature(p.t, body, by))
}

func (p *play) putRaw(path, contentType string, body []byte, signature string) (status int, answer []byte) {
	p.t.Helper()
	header := []string{"Mdm-Signature", signature}
	if signature == "" {
		header = nil
	}
	res, answer := p.send(http.MethodPut, path, contentType, bytes.NewReader(body), header...)
	if res.StatusCode >= 400 {
		p.noInternals(string(answer))
	}
	return res.StatusCode, answer
}

// putTLS sends an MDM message without a signature over a connection with a
// client certificate.
func (p *play) putTLS(path, contentType string, message plist.Dict, by credentials) (status int, answer []byte) {
	p.t.Helper()
	config := tlsFor(p.Roots)
	pair := &tls.Certificate{Certificate: [][]byte{by.cert.Raw}, PrivateKey: by.key, Leaf: by.cert}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(p.ctx, http.MethodPut, p.url+path, bytes.NewReader(plist.Marshal(message)))
	p.must(err)
	req.Header.Set("Content-Type", contentType)
	res, err := client.Do(req)
	p.must(err)
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	p.must(err)
	return res.StatusCode, answer
}

// identity is what an enrolled phone signs with.
func (ph *phone) identity() credentials {
	cert, key := ph.Identity()
	return credentials{cert, key}
}

// scene is a part of a play that reports under a name of its own.
func (p *play) scene(name string, run func(p *play)) {
	p.t.Helper()
	p.t.Run(name, func(t *testing.T) {
		part := *p
		part.t = t
		run(&part)
	})
}
