package cms

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "embed"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mozilla.org/pkcs7"
)

// Signed by `openssl cms -sign -stream -nodetach -outform DER` over 10,000 bytes
// "0123456789": indefinite lengths, content in chunks of 4,096 bytes.
//
//go:embed testdata/openssl-stream.p7
var opensslStream []byte

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSignAndVerify(t *testing.T) {
	content := []byte("<plist/>")
	for name, p := range map[string]party{"RSA": rsaParty(t), "EC": ecParty(t)} {
		for digest := range digestOIDs {
			t.Run(name+" "+digest.String(), func(t *testing.T) {
				oid := asn1.ObjectIdentifier{1, 2, 3}
				der := must(SignWithAttributes(content, p.cert, p.key, digest, Attribute{oid, "hello"}))
				s, err := ParseSigned(der)
				if err != nil {
					t.Fatal(err)
				}
				signer, err := s.Verify()
				if err != nil {
					t.Fatal(err)
				}
				if !signer.Equal(p.cert) || !bytes.Equal(s.Content, content) || s.Digest() != digest {
					t.Errorf("signer %v, content %q, digest %v", signer.Subject, s.Content, s.Digest())
				}
				var attribute string
				if err := s.Attribute(oid, &attribute); err != nil || attribute != "hello" {
					t.Errorf("attribute %q, %v", attribute, err)
				}
			})
		}
	}
}

func TestSignCarriesChain(t *testing.T) {
	p, other := rsaParty(t), ecParty(t)
	s := must(ParseSigned(must(Sign([]byte("profile"), p.cert, p.key, other.cert))))
	if len(s.Certificates) != 2 || !s.Certificates[1].Equal(other.cert) {
		t.Errorf("%d certificates", len(s.Certificates))
	}
	if signer, err := s.Verify(); err != nil || !signer.Equal(p.cert) {
		t.Error(err)
	}
}

func TestVerifyDetached(t *testing.T) {
	p, body := rsaParty(t), []byte("exact bytes of the body")
	detached := must(SignDetached(body, p.cert, p.key))
	attached := must(Sign(body, p.cert, p.key))
	for _, tt := range []struct {
		name    string
		message []byte
		body    string
		want    error
	}{
		{"same body", detached, string(body), nil},
		{"other body", detached, string(body) + " ", ErrSignature},
		{"no body", detached, "", ErrSignature},
		{"attached, same body", attached, string(body), nil},
		{"attached, other body", attached, "other", ErrSignature},
		{"trailing byte", append(bytes.Clone(detached), 0), string(body), ErrMalformed},
		{"enveloped", must(Encrypt(body, p.cert, AES128CBC)), string(body), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signer, err := VerifyDetached(tt.message, []byte(tt.body))
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if (err == nil) != (signer != nil) {
				t.Errorf("signer %v with error %v", signer, err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	p, second := rsaParty(t), ecParty(t)
	content := []byte("content of the message")
	signed := must(Sign(content, p.cert, p.key))

	twoSigners := must(pkcs7.NewSignedData(content))
	for _, s := range []party{p, second} {
		if err := twoSigners.AddSigner(s.cert, s.key, pkcs7.SignerInfoConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	// A public key nobody has, that would take seconds to verify with.
	huge := new(big.Int).SetBit(big.NewInt(1), 16<<10, 1)
	hugeParty := newParty(t, 3, &rsa.PublicKey{N: huge, E: 65537}, p.key)

	attributes := must(asn1.Marshal(struct {
		A []Attribute `asn1:"set"`
	}{[]Attribute{}}))[2:]
	confused := must(pkcs7.NewSignedData(attributes))
	if err := confused.SignWithoutAttr(p.cert, p.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name    string
		message []byte
		want    error
	}{
		{"no signer", must(Degenerate(p.cert)), ErrSigner},
		{"two signers", must(twoSigners.Finish()), ErrSigner},
		{"huge key", must(Sign(content, hugeParty.cert, hugeParty.key)), ErrSigner},
		{"content replaced", bytes.Replace(signed, content, []byte("Content of the message"), 1), ErrSignature},
		{"signed by another key", must(Sign(content, p.cert, second.key)), ErrSignature},
		{"signed attributes passed off as content", must(confused.Finish()), ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseSigned(tt.message)
			if err == nil {
				_, err = s.Verify()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestVerifyNeedsTheSignersCertificate(t *testing.T) {
	p := rsaParty(t)
	s := must(ParseSigned(must(Sign([]byte("content"), p.cert, p.key))))
	s.p7.Certificates = s.p7.Certificates[:0]
	if _, err := s.Verify(); !errors.Is(err, ErrSigner) {
		t.Error(err)
	}
}

func TestVerifyWithoutSignedAttributes(t *testing.T) {
	p := rsaParty(t)
	data := must(pkcs7.NewSignedData([]byte("<plist/>")))
	data.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := data.SignWithoutAttr(p.cert, p.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	s := must(ParseSigned(must(data.Finish())))
	if _, err := s.Verify(); err != nil {
		t.Error(err)
	}
	s.p7.Content = []byte("<other/>")
	if _, err := s.Verify(); !errors.Is(err, ErrSignature) {
		t.Errorf("other content: %v", err)
	}
}

func TestEveryPrefixIsRefused(t *testing.T) {
	p := ecParty(t)
	signed := must(Sign([]byte("content"), p.cert, p.key))
	enveloped := must(Encrypt([]byte("content"), rsaParty(t).cert, AES128CBC))
	for n := range signed {
		if _, err := ParseSigned(signed[:n]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(signed))
		}
	}
	for n := range enveloped {
		if _, err := ParseEnveloped(enveloped[:n]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(enveloped))
		}
	}
}

// indefinite rewrites the outer layers of a DER message with indefinite lengths
// and cuts primitive OCTET STRINGs of those layers into chunks. What is signed
// as DER (certificates, attributes) is deeper and stays.
func indefinite(t testing.TB, der []byte, layers, chunk int) []byte {
	t.Helper()
	h, err := readHeader(der)
	if err != nil {
		t.Fatal(err)
	}
	content := der[h.size : h.size+h.length]
	switch {
	case h.tag == tagOctetString && chunk > 0:
		out := []byte{tagChunkedOctetString, 0x80}
		for len(content) > 0 {
			n := min(chunk, len(content))
			out = append(appendHeader(out, tagOctetString, n), content[:n]...)
			content = content[n:]
		}
		return append(out, 0, 0)
	case h.tag&constructedBit == 0 || layers == 0:
		return der[:h.size+h.length]
	}
	out := []byte{h.tag, 0x80}
	for len(content) > 0 {
		h, err := readHeader(content)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, indefinite(t, content[:h.size+h.length], layers-1, chunk)...)
		content = content[h.size+h.length:]
	}
	return append(out, 0, 0)
}

func TestChunkedContent(t *testing.T) {
	p, content := rsaParty(t), bytes.Repeat([]byte("0123456789"), 100)
	der := must(Sign(content, p.cert, p.key))
	// ContentInfo, [0], SignedData, EncapsulatedContentInfo, [0]: five layers.
	for _, chunk := range []int{1, 7, 999, 1000} {
		ber := indefinite(t, der, 5, chunk)
		s, err := ParseSigned(ber)
		if err != nil {
			t.Fatalf("chunks of %d: %v", chunk, err)
		}
		if diff := cmp.Diff(content, s.Content); diff != "" {
			t.Fatalf("chunks of %d: %s", chunk, diff)
		}
		if _, err := s.Verify(); err != nil {
			t.Errorf("chunks of %d: %v", chunk, err)
		}
	}
}

func TestOpenSSLStream(t *testing.T) {
	s, err := ParseSigned(opensslStream)
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte("0123456789"), 1000); !bytes.Equal(s.Content, want) {
		t.Fatalf("%d bytes of content", len(s.Content))
	}
	if _, err := s.Verify(); err != nil {
		t.Error(err)
	}
	if s.Digest() != crypto.SHA256 {
		t.Errorf("digest %v", s.Digest())
	}
}

func TestDegenerate(t *testing.T) {
	p := rsaParty(t)
	s := must(ParseSigned(must(Degenerate(p.cert))))
	if len(s.Certificates) != 1 || !s.Certificates[0].Equal(p.cert) {
		t.Errorf("%d certificates", len(s.Certificates))
	}
}

func BenchmarkVerifyDetached(b *testing.B) {
	p := rsaParty(b)
	body := bytes.Repeat([]byte("<key>Status</key><string>Idle</string>"), 10)
	der := must(SignDetached(body, p.cert, p.key))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := VerifyDetached(der, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	p := rsaParty(b)
	der := must(SignDetached([]byte("body"), p.cert, p.key))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := normalise(der); err != nil {
			b.Fatal(err)
		}
	}
}
