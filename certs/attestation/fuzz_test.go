package attestation_test

import (
	"crypto/x509"
	"os"
	"testing"
	"time"

	"rollcall/certs/attestation"
	"rollcall/sim/androidpki"
)

// FuzzVerify puts hostile bytes where the attestation stands, in a chain that
// is good otherwise, and where the leaf stands. Nothing may crash, and nothing
// but the statement that was signed may be believed.
func FuzzVerify(f *testing.F) {
	key, box := newKey(), must(google().Factory(time.Time{}))
	honest := pixel().Statement(nonce)
	good := must(box.Attest(key.Public(), honest))
	for _, s := range []androidpki.Statement{honest, honest.Without(androidpki.TagSerial), {Version: 400}, honest.With(androidpki.Int(9999, 1))} {
		f.Add(s.DER())
	}
	f.Add(good[0])
	f.Add([]byte{0x30, 0x80, 0x30, 0x80})
	v := verifier(f, time.Now(), nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		chain := append([][]byte{data}, good[1:]...)
		if a, err := v.Verify(chain, nonce, key.Public()); err == nil && a.Serial != "R58N12ABCDE" {
			t.Errorf("believed %+v", a)
		}
		forged, err := box.AttestRaw(key.Public(), data)
		if err != nil {
			return
		}
		if a, err := v.Verify(forged, nonce, key.Public()); err == nil && (len(a.Serial) > 128 || a.SecurityLevel == attestation.LevelSoftware) {
			t.Errorf("believed %+v", a)
		}
		if cert, err := x509.ParseCertificate(forged[0]); err != nil || len(cert.Extensions) == 0 {
			t.Errorf("the forger is out of order: %v", err)
		}
	})
}

// The corpus is what keeps the fuzz test from starting at nothing.
func TestFuzzCorpus(t *testing.T) {
	entries, err := os.ReadDir("testdata/fuzz/FuzzVerify")
	if err != nil || len(entries) < 3 {
		t.Errorf("%d seeds, %v", len(entries), err)
	}
}
