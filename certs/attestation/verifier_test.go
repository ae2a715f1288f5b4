package attestation_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/certs/attestation"
	"rollcall/sim/androidpki"
)

var all = attestation.Attested{Serial: "R58N12ABCDE", IMEI: "490154203237518", IMEI2: "490154203237526", MEID: "99000123456780",
	Brand: "google", Product: "blueline", Manufacturer: "Google", Model: "Pixel 3", OSVersion: 140000, PatchLevel: 202610,
	Version: 300, SecurityLevel: attestation.LevelTEE, DeviceLocked: true, BootState: attestation.BootVerified}

func with(change func(*attestation.Attested)) attestation.Attested {
	a := all
	change(&a)
	return a
}

// What secure hardware says is returned, and nothing else is.
func TestVerify(t *testing.T) {
	key := newKey()
	factory, remote := must(google().Factory(time.Time{})), must(google().Remote(time.Time{}))
	honest := pixel().Statement(nonce)
	older := func(version int) androidpki.Statement { s := honest; s.Version = version; return s }
	strong, unlocked := pixel(), pixel()
	strong.StrongBox, unlocked.Unlocked = true, true
	lies := honest
	lies.Software = append(slices.Clone(lies.Software), androidpki.Text(androidpki.TagSerial, "STOLEN"), androidpki.RootOfTrust(true, 0))

	for _, tt := range []struct {
		name string
		box  *androidpki.Keybox
		s    androidpki.Statement
		want attestation.Attested
		boot bool
	}{
		{"keys from the factory", factory, honest, all, true},
		{"keys fetched", remote, honest, with(func(a *attestation.Attested) { a.Remote = true }), true},
		{"StrongBox", factory, strong.Statement(nonce), with(func(a *attestation.Attested) { a.SecurityLevel = attestation.LevelStrongBox }), true},
		{"version 3", factory, older(3), with(func(a *attestation.Attested) { a.Version = 3 }), true},
		{"version 400", factory, older(400), with(func(a *attestation.Attested) { a.Version = 400 }), true},
		{"tags of tomorrow", factory, honest.With(androidpki.Text(androidpki.TagModuleHash, "x"), androidpki.Tag{Number: 9999, Value: []byte{0x31, 0x80}}), all, true},
		{"no identifiers", factory, honest.Without(710, 711, 712, 713, 714, 715, 716, 717, 723),
			attestation.Attested{OSVersion: 140000, PatchLevel: 202610, Version: 300, SecurityLevel: attestation.LevelTEE, DeviceLocked: true}, true},
		{"unlocked boot loader", factory, unlocked.Statement(nonce),
			with(func(a *attestation.Attested) { a.DeviceLocked, a.BootState = false, attestation.BootUnverified }), false},
		{"another system, locked", factory, honest.With(androidpki.RootOfTrust(true, 1)),
			with(func(a *attestation.Attested) { a.BootState = attestation.BootSelfSigned }), false},
		{"failed, but locked", factory, honest.With(androidpki.RootOfTrust(true, 3)),
			with(func(a *attestation.Attested) { a.BootState = attestation.BootFailed }), false},
		{"verified, but unlocked", factory, honest.With(androidpki.RootOfTrust(false, 0)),
			with(func(a *attestation.Attested) { a.DeviceLocked = false }), false},
		{"TRUE that is not DER's", factory, honest.With(androidpki.Tag{Number: androidpki.TagRootOfTrust, Value: []byte{0x30, 8, 4, 0, 1, 1, 1, 0x0a, 1, 0}}), all, true},
		{"the operating system lies about the serial", factory, lies.Without(androidpki.TagSerial), with(func(a *attestation.Attested) { a.Serial = "" }), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := verifier(t, time.Now(), nil).Verify(must(tt.box.Attest(key.Public(), tt.s)), nonce, key.Public())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if got.VerifiedBoot() != tt.boot {
				t.Errorf("VerifiedBoot is %v", got.VerifiedBoot())
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, thief := newKey(), newKey()
	box := must(google().Factory(time.Time{}))
	honest := pixel().Statement(nonce)
	attest := func(s androidpki.Statement) [][]byte { return must(box.Attest(key.Public(), s)) }
	good := attest(honest)
	level := func(l, k androidpki.Level) androidpki.Statement { s := honest; s.Level, s.KeyLevel = l, k; return s }
	tag := func(number int, der ...byte) [][]byte {
		return attest(honest.With(androidpki.Tag{Number: number, Value: der}))
	}
	twice := honest
	twice.Hardware = append(slices.Clone(twice.Hardware), androidpki.Text(androidpki.TagSerial, "STOLEN"))
	other := must(must(must(androidpki.New()).Factory(time.Time{})).Attest(key.Public(), honest))

	for _, tt := range []struct {
		name  string
		chain [][]byte
		want  error
	}{
		{"another root of the same name", other, attestation.ErrUntrustedRoot},
		{"our root under another's chain", append(slices.Clone(other[:3]), good[3]), attestation.ErrBrokenChain},
		{"software root", must(must(google().SoftwareOnly()).Attest(key.Public(), honest)), attestation.ErrUntrustedRoot},
		{"no root", good[:3], attestation.ErrUntrustedRoot},
		{"another challenge", attest(pixel().Statement([]byte("yesterday's"))), attestation.ErrOtherChallenge},
		{"no challenge", attest(pixel().Statement(nil)), attestation.ErrOtherChallenge},
		{"another key", must(box.Attest(thief.Public(), honest)), attestation.ErrOtherKey},
		{"software level", attest(level(androidpki.Software, androidpki.Software)), attestation.ErrSoftware},
		{"key in software", attest(level(androidpki.TEE, androidpki.Software)), attestation.ErrSoftware},
		{"attested by software", attest(level(androidpki.Software, androidpki.TEE)), attestation.ErrSoftware},
		{"level that does not exist", attest(level(7, 7)), attestation.ErrSoftware},
		{"key was imported", attest(honest.With(androidpki.Int(androidpki.TagOrigin, 2))), attestation.ErrSoftware},
		{"origin not told", attest(honest.Without(androidpki.TagOrigin)), attestation.ErrSoftware},
		{"origin told by the operating system only", attest(func() androidpki.Statement {
			s := honest.Without(androidpki.TagOrigin)
			s.Software = append(slices.Clone(s.Software), androidpki.Int(androidpki.TagOrigin, 0))
			return s
		}()), attestation.ErrSoftware},
		{"no root of trust", attest(honest.Without(androidpki.TagRootOfTrust)), attestation.ErrMalformed},
		{"boot state that does not exist", attest(honest.With(androidpki.RootOfTrust(true, 9))), attestation.ErrMalformed},
		{"version 0", attest(func() androidpki.Statement { s := honest; s.Version = 0; return s }()), attestation.ErrMalformed},
		{"serial twice", attest(twice), attestation.ErrMalformed},
		{"serial that is no text", tag(androidpki.TagSerial, 4, 2, 0xff, 0xfe), attestation.ErrMalformed},
		{"serial with a line feed", attest(honest.With(androidpki.Text(androidpki.TagSerial, "A\nB"))), attestation.ErrMalformed},
		{"serial of 129 bytes", attest(honest.With(androidpki.Text(androidpki.TagSerial, string(bytes.Repeat([]byte("A"), 129))))), attestation.ErrMalformed},
		{"serial with something behind", tag(androidpki.TagSerial, 4, 1, 'A', 4, 1, 'B'), attestation.ErrMalformed},
		{"serial that is a number", tag(androidpki.TagSerial, 2, 1, 7), attestation.ErrMalformed},
		{"lengths that lie", tag(androidpki.TagSerial, 4, 0x84, 0x7f, 0xff, 0xff, 0xff), attestation.ErrMalformed},
		{"a list longer than any", attest(func() androidpki.Statement {
			s := honest
			for n := range 300 {
				s = s.With(androidpki.Int(10000+n, 1))
			}
			return s
		}()), attestation.ErrMalformed},
		{"leaf alone", good[:1], attestation.ErrMalformed},
		{"nothing", nil, attestation.ErrMalformed},
		{"chain without end", slices.Repeat(good[3:], 9), attestation.ErrMalformed},
		{"no certificate", [][]byte{good[0], []byte("hello"), good[3]}, attestation.ErrMalformed},
		{"certificate of 17 KiB", [][]byte{append(slices.Clone(good[0]), make([]byte, 17<<10)...), good[1], good[3]}, attestation.ErrMalformed},
		{"wrong order", [][]byte{good[0], good[2], good[1], good[3]}, attestation.ErrBrokenChain},
		{"altered leaf", append([][]byte{bytes.Replace(good[0], []byte("R58N12ABCDE"), []byte("R58N12ABCDX"), 1)}, good[1:]...), attestation.ErrBrokenChain},
		{"no attestation in it", good[1:], attestation.ErrNotAttested},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := verifier(t, time.Now(), nil).Verify(tt.chain, nonce, key.Public())
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if got != (attestation.Attested{}) {
				t.Errorf("a refused attestation left something to use: %+v", got)
			}
		})
	}
	if _, err := verifier(t, time.Now(), nil).Verify(attest(pixel().Statement(nil)), nil, key.Public()); !errors.Is(err, attestation.ErrOtherChallenge) {
		t.Errorf("an empty challenge matches: %v", err)
	}
	if _, err := verifier(t, time.Now(), nil).Verify(good, nonce, nil); !errors.Is(err, attestation.ErrOtherKey) {
		t.Errorf("no key: %v", err)
	}
}

// An attacker with a key that is attested for the right challenge signs a
// certificate for a key of software, about a device that is not his.
func TestChainExtension(t *testing.T) {
	attested, thief := newKey(), newKey()
	for name, box := range map[string]*androidpki.Keybox{"factory": must(google().Factory(time.Time{})), "remote": must(google().Remote(time.Time{}))} {
		t.Run(name, func(t *testing.T) {
			chain := must(box.Attest(attested.Public(), pixel().Statement(nonce)))
			parent := must(x509.ParseCertificate(chain[0]))
			stolen := pixel()
			stolen.Serial = "STOLEN"
			forged := must(androidpki.Issue(parent, attested, thief.Public(), stolen.Statement(nonce)))
			v := verifier(t, time.Now(), nil)
			if _, err := v.Verify(append([][]byte{forged}, chain...), nonce, thief.Public()); !errors.Is(err, attestation.ErrExtended) {
				t.Errorf("the thief's key: %v", err)
			}
			if _, err := v.Verify(append([][]byte{forged}, chain...), nonce, attested.Public()); !errors.Is(err, attestation.ErrExtended) {
				t.Errorf("the attested key: %v", err)
			}
		})
	}
}

// An attestation key signs attestations and no further authorities, and they
// carry its name.
func TestMisusedAttestationKey(t *testing.T) {
	key, between, box := newKey(), newKey(), must(google().Remote(time.Time{}))
	issuer, signer := box.Issuer()
	above := must(box.Attest(key.Public(), pixel().Statement(nonce)))[1:]
	v := verifier(t, time.Now(), nil)

	template := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "between"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	middle := must(x509.CreateCertificate(rand.Reader, template, issuer, between.Public(), signer))
	leaf := must(androidpki.Issue(must(x509.ParseCertificate(middle)), between, key.Public(), pixel().Statement(nonce)))
	if _, err := v.Verify(append([][]byte{leaf, middle}, above...), nonce, key.Public()); !errors.Is(err, attestation.ErrExtended) {
		t.Errorf("an authority below the attestation key: %v", err)
	}

	misnamed := must(androidpki.Issue(template, signer, key.Public(), pixel().Statement(nonce)))
	if _, err := v.Verify(append([][]byte{misnamed}, above...), nonce, key.Public()); !errors.Is(err, attestation.ErrBrokenChain) {
		t.Errorf("signed in another's name: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	key, now := newKey(), time.Now()
	past := now.AddDate(0, 0, -1)
	for _, tt := range []struct {
		name string
		box  *androidpki.Keybox
		now  time.Time
		want error
	}{
		{"key from the factory outlives its certificate", must(google().Factory(past)), now, nil},
		{"fetched key does not", must(google().Remote(past)), now, attestation.ErrExpired},
		{"fetched key, later", must(google().Remote(time.Time{})), now.AddDate(0, 0, 29), attestation.ErrExpired},
		{"fetched key, marked so, below the RSA root", must(google().RemoteRSA(past)), now, attestation.ErrExpired},
		{"not yet valid", must(google().Factory(now.AddDate(11, 0, 0))), now, attestation.ErrExpired},
		{"the leaf has expired", must(google().Factory(time.Time{})), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier(t, tt.now, nil).Verify(must(tt.box.Attest(key.Public(), pixel().Statement(nonce))), nonce, key.Public())
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// Keys of other kinds are compared as well, and found to be others.
func TestOtherKinds(t *testing.T) {
	key, box := must(rsa.GenerateKey(rand.Reader, 2048)), must(google().Factory(time.Time{}))
	chain := must(box.Attest(key.Public(), pixel().Statement(nonce)))
	v := verifier(t, time.Now(), nil)
	if _, err := v.Verify(chain, nonce, key.Public()); err != nil {
		t.Errorf("RSA: %v", err)
	}
	if _, err := v.Verify(chain, nonce, newKey().Public()); !errors.Is(err, attestation.ErrOtherKey) {
		t.Errorf("P-256 instead of RSA: %v", err)
	}
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	if _, err := v.Verify(must(box.Attest(p384.Public(), pixel().Statement(nonce))), nonce, p384.Public()); err != nil {
		t.Errorf("P-384: %v", err)
	}
}

func TestNewVerifierNeedsARoot(t *testing.T) {
	for _, roots := range [][]*x509.Certificate{nil, {nil}} {
		if v, err := attestation.NewVerifier(roots, noneRevoked{}, time.Now); err == nil || v != nil {
			t.Errorf("a verifier that trusts %v was made", roots)
		}
	}
	if v, err := attestation.NewVerifier(attestation.GoogleRoots(), nil, time.Now); err == nil || v != nil {
		t.Error("a verifier without a list of revoked keys was made")
	}
}

func TestGoogleRootsAreTheRealOnes(t *testing.T) {
	var got []string
	for _, root := range attestation.GoogleRoots() {
		sum := sha256.Sum256(root.RawSubjectPublicKeyInfo)
		got = append(got, hex.EncodeToString(sum[:]))
		if err := root.CheckSignatureFrom(root); err != nil {
			t.Errorf("%v: %v", root.Subject, err)
		}
	}
	want := []string{
		"feb2ea7551ee316ed4bb443c8293b884dbfdea40b603ee3e4f4a897e4580fbae",
		"3ee44512a1af2beb39c889490c60ea3f82e43f5d5a5532f5ab9419f676cd07ec",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRoots(t *testing.T) {
	for _, data := range []string{"", "no PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if roots, err := attestation.ParseRoots([]byte(data)); err == nil {
			t.Errorf("%q: %d roots", data, len(roots))
		}
	}
}
