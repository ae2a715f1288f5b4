package deviceca_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/certstest"
	"rollcall/certs/cms"
	"rollcall/certs/deviceca"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var machineInfo = []byte("<plist><dict><key>SERIAL</key><string>C02TEST00001</string></dict></plist>")

func TestVerify(t *testing.T) {
	ca := must(certstest.NewDeviceCA())
	device := must(ca.NewDevice("device"))
	stranger := must(must(certstest.NewDeviceCA()).NewDevice("device"))
	modern := must(certstest.NewDeviceCA())
	modern.Hash = crypto.SHA256

	ourCA := must(certs.CreateAuthority("Rollcall", time.Now()))
	ourKey := must(rsa.GenerateKey(rand.Reader, 2048))
	ours := must(ourCA.IssueIdentity(certs.IdentityTemplate{PublicKey: ourKey.Public(), Lifetime: time.Hour, Now: time.Now()}))

	// A certificate whose body was changed after the CA signed it.
	altered := *device.Certificate
	altered.Raw = bytes.Replace(altered.Raw, []byte("device"), []byte("DEVICE"), 1)

	signed := must(device.Sign(machineInfo))
	for _, tt := range []struct {
		name string
		body []byte
		want error
	}{
		{"SHA-1, RSA-1024, expired CA", signed, nil},
		{"SHA-256", must(must(modern.NewDevice("device")).Sign(machineInfo)), nil},
		{"device of another CA", must(stranger.Sign(machineInfo)), deviceca.ErrUntrustedSigner},
		{"identity of our own CA", must(cms.Sign(machineInfo, ours, ourKey)), deviceca.ErrUntrustedSigner},
		{"our own CA itself", must(cms.Sign(machineInfo, ourCA.Certificate(), ourCA.Signer())), deviceca.ErrUntrustedSigner},
		{"altered certificate", must(cms.Sign(machineInfo, &altered, device.Key)), deviceca.ErrUntrustedSigner},
		{"other serial", bytes.Replace(signed, []byte("TEST00001"), []byte("TEST00002"), 1), deviceca.ErrBadSignature},
		{"other key", must(cms.Sign(machineInfo, device.Certificate, stranger.Key)), deviceca.ErrBadSignature},
		{"signer cut out", must(cms.Degenerate(device.Certificate)), deviceca.ErrNotSigned},
		{"plain plist", machineInfo, deviceca.ErrNotSigned},
		{"nothing", nil, deviceca.ErrNotSigned},
		{"nested without end", bytes.Repeat([]byte{0x30, 0x80}, 2<<20), deviceca.ErrNotSigned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := must(deviceca.NewVerifier(ca.PublicKey(), modern.PublicKey()))
			content, leaf, err := v.Verify(tt.body)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err != nil {
				if content != nil || leaf != nil {
					t.Error("a refused body left something to use")
				}
				return
			}
			if !bytes.Equal(content, machineInfo) || leaf.Subject.CommonName != "device" {
				t.Errorf("content %q, leaf %v", content, leaf.Subject)
			}
		})
	}
}

// The reason for this package: crypto/x509 refuses what Apple's devices send.
func TestX509WouldRefuse(t *testing.T) {
	device := must(must(certstest.NewDeviceCA()).NewDevice("device"))
	if device.Certificate.SignatureAlgorithm != x509.SHA1WithRSA {
		t.Fatalf("the miniature signs with %v", device.Certificate.SignatureAlgorithm)
	}
	roots := x509.NewCertPool()
	if _, err := device.Certificate.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("accepted")
	}
}

func TestNewVerifierNeedsAKey(t *testing.T) {
	if v, err := deviceca.NewVerifier(); err == nil || v != nil {
		t.Error("a verifier that trusts nobody was made")
	}
	if v, err := deviceca.NewVerifier(nil); err == nil || v != nil {
		t.Error("a nil key was accepted")
	}
}

func TestWithTrusted(t *testing.T) {
	ca := must(certstest.NewDeviceCA())
	body := must(must(ca.NewDevice("device")).Sign(machineInfo))
	apple := deviceca.Apple()
	extended := apple.WithTrusted(ca.PublicKey(), nil)
	if _, _, err := apple.Verify(body); !errors.Is(err, deviceca.ErrUntrustedSigner) {
		t.Errorf("Apple's verifier: %v", err)
	}
	if _, _, err := extended.Verify(body); err != nil {
		t.Errorf("extended: %v", err)
	}
}

func TestAppleDeviceCAIsTheRealOne(t *testing.T) {
	const want = "76F27D00E1333BC88DE0E2916C38C9A7F2B75774C25A794C092A80E3C4C66CCE"
	block, _ := pem.Decode(must(os.ReadFile("apple-iphone-device-ca.pem")))
	sum := sha256.Sum256(block.Bytes)
	if got := strings.ToUpper(hex.EncodeToString(sum[:])); got != want {
		t.Errorf("SHA-256 %s, want %s", got, want)
	}
}
