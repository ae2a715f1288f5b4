package attestation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"sync"
	"testing"
	"time"

	"rollcall/certs/attestation"
	"rollcall/sim/androidpki"
)

var nonce = []byte("nonce-of-the-server-0123456789abcdefghijklmn")

// google is the miniature of Google's authorities, shared by all tests.
var google = sync.OnceValue(func() *androidpki.PKI { return must(androidpki.New()) })

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func pixel() androidpki.Device {
	return androidpki.Device{Serial: "R58N12ABCDE", IMEI: "490154203237518", IMEI2: "490154203237526", MEID: "99000123456780",
		Brand: "google", Product: "blueline", Manufacturer: "Google", Model: "Pixel 3", OSVersion: 140000, PatchLevel: 202610}
}

// noneRevoked is a list without entries.
type noneRevoked struct{}

func (noneRevoked) Check([]*big.Int) error { return nil }

// verifier trusts the miniature's roots; revoked may be nil.
func verifier(t testing.TB, now time.Time, revoked attestation.Revocations) *attestation.Verifier {
	t.Helper()
	if revoked == nil {
		revoked = noneRevoked{}
	}
	v, err := attestation.NewVerifier(google().Roots(), revoked, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return v
}
