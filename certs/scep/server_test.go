package scep_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mozilla.org/pkcs7"
	"go.uber.org/goleak"

	"rollcall/certs"
	"rollcall/certs/certstest"
	"rollcall/certs/cms"
	"rollcall/certs/scep"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var authority = sync.OnceValue(func() *certs.Authority { return must(certs.CreateAuthority("Rollcall test", time.Now())) })

// desk is a server with its issuer, its store and its log.
type desk struct {
	*certs.Identities
	store *certstest.Store
	url   string
	log   *bytes.Buffer
	skew  time.Duration
}

func newDesk(t *testing.T) *desk {
	d := &desk{store: &certstest.Store{}, log: &bytes.Buffer{}}
	d.Identities = certs.NewIdentities(authority(), d.store, func() time.Time { return time.Now().Add(d.skew) })
	srv := httptest.NewServer(scep.New(authority(), d, slog.New(slog.NewTextHandler(d.log, nil))))
	t.Cleanup(func() {
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	d.url = srv.URL + "/scep"
	return d
}

func (d *desk) challenge(t *testing.T) string {
	t.Helper()
	b := certs.Binding{Purpose: certs.PurposeMDM, AttemptID: "attempt", Serial: "C02TEST00001"}
	secret, err := d.NewChallenge(t.Context(), b, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

var cipherOIDs = map[cms.Algorithm]asn1.ObjectIdentifier{
	cms.DESCBC:    pkcs7.OIDEncryptionAlgorithmDESCBC,
	cms.DES3CBC:   pkcs7.OIDEncryptionAlgorithmDESEDE3CBC,
	cms.AES128CBC: pkcs7.OIDEncryptionAlgorithmAES128CBC,
	cms.AES256CBC: pkcs7.OIDEncryptionAlgorithmAES256CBC,
}

func TestPKCSReq(t *testing.T) {
	d := newDesk(t)
	p := newPhone(t, d.url, phoneKey())
	for transport, send := range transports {
		for digest, digestOID := range digests {
			for cipher, cipherOID := range cipherOIDs {
				t.Run(fmt.Sprintf("%s, %v, %v", transport, digest, cipher), func(t *testing.T) {
					p.t = t
					csr := newCSR(p.key, d.challenge(t), asn1.TagPrintableString)
					r := p.read(send(p, p.build(message{csr: csr, digest: digest, cipher: cipher})))
					if r.failInfo != "" {
						t.Fatalf("failInfo %s", r.failInfo)
					}
					if !p.key.PublicKey.Equal(r.cert.PublicKey) || r.cert.Subject.SerialNumber != "C02TEST00001" {
						t.Errorf("certificate for %v", r.cert.Subject)
					}
					if !r.digest.Equal(digestOID) || !r.cipher.Equal(cipherOID) {
						t.Errorf("answered with %v and %v", r.digest, r.cipher)
					}
					if err := authority().Verify(r.cert, time.Now()); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func TestChallengeStringTypes(t *testing.T) {
	d := newDesk(t)
	p := newPhone(t, d.url, phoneKey())
	for tag, want := range map[int]string{
		asn1.TagPrintableString: "",
		asn1.TagUTF8String:      "",
		asn1.TagIA5String:       "",
		asn1.TagT61String:       "",
		asn1.TagOctetString:     "2",
	} {
		r := p.send(p.build(message{csr: newCSR(p.key, d.challenge(t), tag)}))
		if r.failInfo != want {
			t.Errorf("tag %d: failInfo %q, want %q", tag, r.failInfo, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, d *desk, p *phone) message
		want string
	}{
		{"forged challenge", func(t *testing.T, d *desk, p *phone) message {
			return message{csr: newCSR(p.key, strings.Repeat("0", 64), asn1.TagUTF8String)}
		}, "2"},
		{"no challenge", func(t *testing.T, d *desk, p *phone) message {
			return message{csr: must(x509.CreateCertificateRequest(nil, &x509.CertificateRequest{}, p.key))}
		}, "2"},
		{"expired challenge", func(t *testing.T, d *desk, p *phone) message {
			secret := d.challenge(t)
			d.skew = 11 * time.Minute
			return message{csr: newCSR(p.key, secret, asn1.TagUTF8String)}
		}, "2"},
		{"challenge used by another key", func(t *testing.T, d *desk, p *phone) message {
			secret := d.challenge(t)
			other := newPhone(t, d.url, otherKey())
			if r := other.send(other.build(message{csr: newCSR(other.key, secret, asn1.TagUTF8String)})); r.failInfo != "" {
				t.Fatal(r.failInfo)
			}
			return message{csr: newCSR(p.key, secret, asn1.TagUTF8String)}
		}, "2"},
		{"request for a small key", func(t *testing.T, d *desk, p *phone) message {
			return message{csr: newCSR(smallKey(), d.challenge(t), asn1.TagUTF8String)}
		}, "0"},
		{"sender with a small key", func(t *testing.T, d *desk, p *phone) message {
			*p = *newPhone(t, d.url, smallKey())
			return message{csr: newCSR(phoneKey(), d.challenge(t), asn1.TagUTF8String)}
		}, "0"},
		{"request not signed by its key", func(t *testing.T, d *desk, p *phone) message {
			csr := newCSR(p.key, d.challenge(t), asn1.TagUTF8String)
			csr[len(csr)-1] ^= 1
			return message{csr: csr}
		}, "1"},
		{"not a request", func(t *testing.T, d *desk, p *phone) message {
			return message{csr: []byte("hello")}
		}, "1"},
		{"for another authority", func(t *testing.T, d *desk, p *phone) message {
			return message{csr: newCSR(p.key, d.challenge(t), asn1.TagUTF8String), recipient: p.cert}
		}, "1"},
		{"no envelope", func(t *testing.T, d *desk, p *phone) message {
			return message{envelope: []byte("hello")}
		}, "1"},
		{"unknown cipher", func(t *testing.T, d *desk, p *phone) message {
			pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128GCM
			return message{envelope: must(pkcs7.Encrypt([]byte("csr"), []*x509.Certificate{p.authority()}))}
		}, "0"},
		{"GetCert", func(t *testing.T, d *desk, p *phone) message { return message{kind: "21", csr: []byte("x")} }, "2"},
		{"CertPoll", func(t *testing.T, d *desk, p *phone) message { return message{kind: "20", csr: []byte("x")} }, "2"},
		{"renewal by a stranger", func(t *testing.T, d *desk, p *phone) message {
			return message{kind: "17", csr: newCSR(p.key, d.challenge(t), asn1.TagUTF8String)}
		}, "4"},
		{"renewal by a revoked identity", func(t *testing.T, d *desk, p *phone) message {
			p.cert = p.send(p.build(message{csr: newCSR(p.key, d.challenge(t), asn1.TagUTF8String)})).cert
			d.store.Revoke(certs.Fingerprint(p.cert), time.Now())
			return message{kind: "17", csr: newCSR(otherKey(), "", asn1.TagUTF8String)}
		}, "2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			p := newPhone(t, d.url, phoneKey())
			m := tt.make(t, d, p)
			before := d.store.Identities()
			if r := p.send(p.build(m)); r.failInfo != tt.want {
				t.Errorf("failInfo %q, want %q", r.failInfo, tt.want)
			}
			if d.store.Identities() != before {
				t.Error("an identity was issued")
			}
		})
	}
}

// A message whose signature does not fit is answered, but nothing in it is used.
func TestBadSignature(t *testing.T) {
	d := newDesk(t)
	p := newPhone(t, d.url, phoneKey())
	m := p.build(message{csr: newCSR(p.key, d.challenge(t), asn1.TagUTF8String)})
	envelope := must(pkcs7.Parse(m)).Content
	changed := bytes.Clone(envelope)
	changed[len(changed)-1] ^= 1
	if r := p.send(bytes.Replace(m, envelope, changed, 1)); r.failInfo != "1" {
		t.Errorf("failInfo %q", r.failInfo)
	}
}

func TestRepeatedRequestGetsTheSameCertificate(t *testing.T) {
	d := newDesk(t)
	p := newPhone(t, d.url, phoneKey())
	csr := newCSR(p.key, d.challenge(t), asn1.TagUTF8String)
	first := p.send(p.build(message{csr: csr}))
	again := p.send(p.build(message{csr: csr, cipher: cms.DES3CBC, digest: crypto.SHA1}))
	if first.failInfo != "" || again.failInfo != "" || !first.cert.Equal(again.cert) {
		t.Errorf("failInfo %q and %q", first.failInfo, again.failInfo)
	}
	if n := d.store.Identities(); n != 1 {
		t.Errorf("%d identities", n)
	}
}

func TestRenewal(t *testing.T) {
	d := newDesk(t)
	p := newPhone(t, d.url, phoneKey())
	first := p.send(p.build(message{csr: newCSR(p.key, d.challenge(t), asn1.TagUTF8String)})).cert
	p.cert = first
	r := p.send(p.build(message{kind: "17", csr: newCSR(otherKey(), "", asn1.TagUTF8String)}))
	if r.failInfo != "" {
		t.Fatalf("failInfo %q", r.failInfo)
	}
	id, err := d.store.Identity(t.Context(), certs.Fingerprint(r.cert))
	if err != nil || id.Renews != certs.Fingerprint(first) || id.Binding.AttemptID != "attempt" {
		t.Errorf("%+v, %v", id.Binding, err)
	}
	if !otherKey().PublicKey.Equal(r.cert.PublicKey) {
		t.Error("the old key again")
	}
}

func TestRaceForOneChallenge(t *testing.T) {
	d := newDesk(t)
	secret := d.challenge(t)
	var phones []*phone
	var messages [][]byte
	for _, key := range []*rsa.PrivateKey{phoneKey(), otherKey()} {
		p := newPhone(t, d.url, key)
		phones = append(phones, p)
		messages = append(messages, p.build(message{csr: newCSR(key, secret, asn1.TagUTF8String)}))
	}
	replies := make([]reply, len(phones))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, p := range phones {
		wg.Go(func() {
			<-start
			resp, err := http.Post(p.url+"?operation=PKIOperation", "application/x-pki-message", bytes.NewReader(messages[i]))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			var body bytes.Buffer
			body.ReadFrom(resp.Body)
			replies[i] = p.read(resp.StatusCode, resp.Header, body.Bytes())
		})
	}
	close(start)
	wg.Wait()
	if won := replies[0].failInfo == ""; won == (replies[1].failInfo == "") {
		t.Errorf("failInfo %q and %q: not exactly one winner", replies[0].failInfo, replies[1].failInfo)
	}
	if n := d.store.Identities(); n != 1 {
		t.Errorf("%d identities", n)
	}
}

func TestOwnFailureIsNotTheDevices(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{errors.New("sql: connection lost"), http.StatusInternalServerError},
		{context.DeadlineExceeded, http.StatusServiceUnavailable},
	} {
		d := newDesk(t)
		p := newPhone(t, d.url, phoneKey())
		m := p.build(message{csr: newCSR(p.key, d.challenge(t), asn1.TagUTF8String)})
		d.store.Fail(tt.err)
		status, header, body := transports["POST"](p, m)
		if status != tt.want || header.Get("Retry-After") == "" || strings.Contains(string(body), "sql") {
			t.Errorf("%v: status %d, %q", tt.err, status, body)
		}
		d.store.Fail(nil)
		if r := p.send(m); r.failInfo != "" {
			t.Errorf("after the failure: failInfo %q", r.failInfo)
		}
	}
}

func TestUndecodable(t *testing.T) {
	d := newDesk(t)
	p := newPhone(t, d.url, phoneKey())
	csr := newCSR(p.key, d.challenge(t), asn1.TagUTF8String)
	good := p.build(message{csr: csr})
	for name, tt := range map[string]struct {
		method, query string
		body          []byte
		want          int
	}{
		"no operation":          {"GET", "", nil, 400},
		"unknown operation":     {"GET", "operation=GetNextCACert", nil, 400},
		"POST of GetCACert":     {"POST", "operation=GetCACert", nil, 400},
		"PUT":                   {"PUT", "operation=PKIOperation", good, 405},
		"no message":            {"GET", "operation=PKIOperation", nil, 400},
		"empty body":            {"POST", "operation=PKIOperation", nil, 400},
		"not base64":            {"GET", "operation=PKIOperation&message=%21%21", nil, 400},
		"not CMS":               {"POST", "operation=PKIOperation", []byte("hello"), 400},
		"truncated":             {"POST", "operation=PKIOperation", good[:len(good)/2], 400},
		"nested without end":    {"POST", "operation=PKIOperation", bytes.Repeat([]byte{0x30, 0x80}, 100<<10), 400},
		"too large":             {"POST", "operation=PKIOperation", make([]byte, cms.MaxBytes+1), 413},
		"too large in a query":  {"GET", "operation=PKIOperation&message=" + strings.Repeat("A", 400<<10), nil, 413},
		"no message type":       {"POST", "operation=PKIOperation", p.build(message{csr: csr, omit: 2}), 400},
		"no nonce":              {"POST", "operation=PKIOperation", p.build(message{csr: csr, omit: 5}), 400},
		"no transaction id":     {"POST", "operation=PKIOperation", p.build(message{csr: csr, omit: 7}), 400},
		"empty transaction id":  {"POST", "operation=PKIOperation", p.build(message{csr: csr, transactionID: new(string)}), 400},
		"long transaction id":   {"POST", "operation=PKIOperation", p.build(message{csr: csr, transactionID: new(strings.Repeat("x", 257))}), 400},
		"long nonce":            {"POST", "operation=PKIOperation", p.build(message{csr: csr, nonce: make([]byte, 65)}), 400},
		"an answer, not signed": {"POST", "operation=PKIOperation", must(cms.Degenerate(p.cert)), 400},
	} {
		t.Run(name, func(t *testing.T) {
			p.t = t
			if status, _, body := p.do(tt.method, tt.query, tt.body); status != tt.want {
				t.Errorf("status %d, want %d: %.80q", status, tt.want, body)
			}
		})
	}
	if n := d.store.Identities(); n != 0 {
		t.Errorf("%d identities were issued", n)
	}
}

func TestGetCACaps(t *testing.T) {
	d := newDesk(t)
	status, header, body := newPhone(t, d.url, phoneKey()).get("GetCACaps", "")
	if status != http.StatusOK || header.Get("Content-Type") != "text/plain" {
		t.Errorf("%d, %s", status, header.Get("Content-Type"))
	}
	for _, want := range []string{"AES", "DES3", "POSTPKIOperation", "Renewal", "SHA-1", "SHA-256", "SHA-512", "SCEPStandard"} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestLogHasNoSecrets(t *testing.T) {
	d := newDesk(t)
	p := newPhone(t, d.url, phoneKey())
	secret := d.challenge(t)
	m := p.build(message{csr: newCSR(p.key, secret, asn1.TagUTF8String)})
	p.send(m)
	other := newPhone(t, d.url, otherKey())
	other.send(other.build(message{csr: newCSR(other.key, secret, asn1.TagUTF8String)}))
	log := d.log.String()
	if !strings.Contains(log, "issued") || !strings.Contains(log, "refused") {
		t.Fatalf("not logged:\n%s", log)
	}
	for _, hidden := range []string{secret, "C02TEST00001", base64.StdEncoding.EncodeToString(m)[:40]} {
		if strings.Contains(log, hidden) {
			t.Errorf("%q is in the log", hidden)
		}
	}
}
