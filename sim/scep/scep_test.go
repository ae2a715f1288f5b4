package scep_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"rollcall/sim/cms"
	"rollcall/sim/scep"
	"rollcall/sim/scep/sceptest"
)

func setup(t *testing.T) (*sceptest.Authority, scep.Options) {
	t.Helper()
	a, err := sceptest.New()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := scep.ParseSubject([]any{[]any{[]any{"O", "Rollcall"}}, []any{[]any{"CN", "phone"}}, []any{[]any{"2.5.4.5", "C02"}}})
	if err != nil {
		t.Fatal(err)
	}
	a.Challenge = "s3cret"
	return a, scep.Options{URL: srv.URL + "/scep", Key: key, Subject: subject, KeyUsage: 5, Challenge: "s3cret",
		Names: scep.AltNames{DNS: []string{"phone.example"}}}
}

func TestEnroll(t *testing.T) {
	a, o := setup(t)
	cert, err := scep.Enroll(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "phone" || cert.Subject.SerialNumber != "C02" {
		t.Errorf("subject %v", cert.Subject)
	}
	r := a.Requests()[0]
	if r.Method != http.MethodPost || r.MessageType != "19" || r.Challenge != "s3cret" || len(r.CSR.DNSNames) != 1 || len(r.CSR.Extensions) != 2 {
		t.Errorf("request %+v", r)
	}
}

func TestEveryDigestAndCipher(t *testing.T) {
	a, o := setup(t)
	for _, digest := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA512} {
		for _, c := range []cms.Cipher{cms.DESCBC, cms.TripleDESCBC, cms.AES128CBC, cms.AES256CBC} {
			o.Digest, o.Cipher = digest, c
			if _, err := scep.Enroll(t.Context(), o); err != nil {
				t.Errorf("%v, cipher %v: %v", digest, c, err)
			}
		}
	}
	if got := a.Requests(); got[0].Digest.Equal(got[len(got)-1].Digest) {
		t.Error("the digest option changes nothing")
	}
}

func TestOldServerWithoutCapabilitiesGetsGET(t *testing.T) {
	a, o := setup(t)
	a.Caps = ""
	if _, err := scep.Enroll(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if r := a.Requests()[0]; r.Method != http.MethodGet || r.Digest.String() != "1.3.14.3.2.26" {
		t.Errorf("%s with digest %v", r.Method, r.Digest)
	}
}

func TestRenewal(t *testing.T) {
	a, o := setup(t)
	old, err := scep.Enroll(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	oldKey := o.Key
	if o.Key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	o.RenewCertificate, o.RenewKey = old, oldKey
	renewed, err := scep.Enroll(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r := a.Requests()[1]; r.MessageType != "17" || !r.Signer.Equal(old) || !o.Key.PublicKey.Equal(renewed.PublicKey) {
		t.Errorf("messageType %s, signed by %v", r.MessageType, r.Signer.Subject)
	}
}

func TestFingerprint(t *testing.T) {
	a, o := setup(t)
	s1, s256 := sha1.Sum(a.Cert.Raw), sha256.Sum256(a.Cert.Raw)
	for _, good := range [][]byte{s1[:], s256[:]} {
		o.Fingerprint = good
		if _, err := scep.Enroll(t.Context(), o); err != nil {
			t.Error(err)
		}
		o.Fingerprint = append([]byte{good[0] ^ 1}, good[1:]...)
		if _, err := scep.Enroll(t.Context(), o); err == nil {
			t.Errorf("a wrong fingerprint of %d bytes passes", len(good))
		}
	}
}

func TestBelievesNothing(t *testing.T) {
	for name, fault := range map[string]sceptest.Fault{
		"nonce": sceptest.WrongNonce, "transaction": sceptest.WrongTransaction, "signer": sceptest.ForeignSigner,
		"issuer": sceptest.ForeignIssuer, "key": sceptest.OtherKey,
	} {
		a, o := setup(t)
		a.Fault = fault
		var failure *scep.Failure
		if _, err := scep.Enroll(t.Context(), o); err == nil || errors.As(err, &failure) {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
}

func TestServerDecisions(t *testing.T) {
	a, o := setup(t)
	o.Challenge = "wrong"
	var failure *scep.Failure
	if _, err := scep.Enroll(t.Context(), o); !errors.As(err, &failure) || failure.FailInfo != scep.BadRequest {
		t.Errorf("wrong challenge: %v", err)
	}
	a.Fault = sceptest.Pending
	if _, err := scep.Enroll(t.Context(), o); !errors.Is(err, scep.ErrPending) {
		t.Errorf("pending: %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	o.URL = gone.URL
	var status *scep.HTTPError
	if _, err := scep.Enroll(t.Context(), o); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("404: %v", err)
	}
}
