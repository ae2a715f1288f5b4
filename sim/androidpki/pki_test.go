package androidpki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every keybox attests with a chain whose certificates sign each other, in the
// order in which Android hands it out.
func TestChains(t *testing.T) {
	pki, err := New()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		box    func(time.Time) (*Keybox, error)
		length int
		remote bool
	}{
		{"factory", pki.Factory, 4, false},
		{"remote", pki.Remote, 5, true},
		{"remote below RSA", pki.RemoteRSA, 5, true},
		{"software", func(time.Time) (*Keybox, error) { return pki.SoftwareOnly() }, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			box, err := tt.box(time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			chain, err := box.Attest(key.Public(), Device{Serial: "S"}.Statement([]byte("nonce")))
			if err != nil || len(chain) != tt.length {
				t.Fatalf("%d certificates, %v", len(chain), err)
			}
			var certs []*x509.Certificate
			for _, der := range chain {
				cert, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				certs = append(certs, cert)
			}
			for i, cert := range certs[:len(certs)-1] {
				if err := cert.CheckSignatureFrom(certs[i+1]); err != nil || !bytes.Equal(cert.RawIssuer, certs[i+1].RawSubject) {
					t.Errorf("certificate %d: %v", i, err)
				}
			}
			has := func(i int, id asn1.ObjectIdentifier) bool {
				for _, e := range certs[i].Extensions {
					if e.Id.Equal(id) {
						return true
					}
				}
				return false
			}
			if !has(0, oidKeyDescription) || has(1, oidKeyDescription) || has(1, oidProvisioningInfo) != tt.remote {
				t.Error("the extensions are not where they belong")
			}
			if box.Serial().Cmp(certs[1].SerialNumber) != 0 || !key.PublicKey.Equal(certs[0].PublicKey) {
				t.Error("another serial number or key")
			}
			trusted := false
			for _, root := range pki.Roots() {
				trusted = trusted || root.Equal(certs[len(certs)-1])
			}
			if trusted == (tt.name == "software") {
				t.Errorf("trusted: %v", trusted)
			}
		})
	}
}

// Tags above 30 take several bytes, and their order is that of their numbers.
func TestStatement(t *testing.T) {
	s := Device{Serial: "R58"}.Statement([]byte("nonce"))
	if want := []byte{0xbf, 0x85, 0x49, 5, 4, 3, 'R', '5', '8'}; !bytes.Contains(s.DER(), want) {
		t.Errorf("no tag 713 in %x", s.DER())
	}
	numbers := func(s Statement) (out []int) {
		for _, tag := range s.Hardware {
			out = append(out, tag.Number)
		}
		return out
	}
	more := s.With(Int(TagOrigin, 2), Text(TagModel, "M")).Without(TagSerial)
	if got := numbers(more); !slices.IsSorted(got) || slices.Contains(got, TagSerial) || !slices.Contains(got, TagModel) {
		t.Error(got)
	}
	if diff := cmp.Diff(s.DER(), Device{Serial: "R58"}.Statement([]byte("nonce")).DER()); diff != "" {
		t.Errorf("With changed what it was given: %s", diff)
	}
}
