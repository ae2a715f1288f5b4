package cms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"

	peer "go.mozilla.org/pkcs7"
)

func identity(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "signer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestSignAgainstPeerLibrary(t *testing.T) {
	cert, key := identity(t)
	content := []byte("<plist/>")
	private := asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	for _, digest := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA512} {
		for _, detached := range []bool{false, true} {
			t.Run(fmt.Sprint(digest, detached), func(t *testing.T) {
				der, err := Sign(content, cert, key, SignOptions{Digest: digest, Detached: detached, Attributes: []Attribute{{private, "19"}}})
				if err != nil {
					t.Fatal(err)
				}
				p7, err := peer.Parse(der)
				if err != nil {
					t.Fatal(err)
				}
				var outside []byte
				if detached {
					outside = content
					p7.Content = content
				}
				if err := p7.Verify(); err != nil {
					t.Errorf("peer: %v", err)
				}
				var value string
				if err := p7.UnmarshalSignedAttribute(private, &value); err != nil || value != "19" {
					t.Errorf("peer reads attribute %q, %v", value, err)
				}
				s, err := Verify(der, outside)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(s.Content, content) || !s.Signer.Equal(cert) || s.Digest != digest {
					t.Errorf("read back %q by %v with %v", s.Content, s.Signer.Subject, s.Digest)
				}
				damaged := bytes.Replace(der, []byte("19"), []byte("20"), 1)
				if _, err := Verify(damaged, outside); err == nil {
					t.Error("a changed attribute passes")
				}
				if detached {
					if _, err := Verify(der, []byte("other")); err == nil {
						t.Error("other content passes")
					}
				}
			})
		}
	}
}

func TestVerifyWhatPeerLibrarySigns(t *testing.T) {
	cert, key := identity(t)
	sd, err := peer.NewSignedData([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(peer.OIDDigestAlgorithmSHA256)
	if err := sd.AddSigner(cert, key, peer.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	der, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Verify(der, nil)
	if err != nil || string(s.Content) != "hello" {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := Certificates(der); err == nil {
		t.Error("a signed message passes as certificates only")
	}
	der, err = peer.DegenerateCertificate(cert.Raw)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := Certificates(der)
	if err != nil || len(certs) != 1 || !certs[0].Equal(cert) {
		t.Errorf("degenerate: %d certificates, %v", len(certs), err)
	}
}

func TestEncryptAgainstPeerLibrary(t *testing.T) {
	cert, key := identity(t)
	content := []byte("sixteen bytes ok and a few more")
	for name, c := range map[string]Cipher{"DES": DESCBC, "3DES": TripleDESCBC, "AES-128": AES128CBC, "AES-256": AES256CBC} {
		t.Run(name, func(t *testing.T) {
			der, err := Encrypt(content, cert, c)
			if err != nil {
				t.Fatal(err)
			}
			p7, err := peer.Parse(der)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p7.Decrypt(cert, key); err != nil || !bytes.Equal(got, content) {
				t.Errorf("peer reads %q, %v", got, err)
			}
			if got, err := Decrypt(der, cert, key); err != nil || !bytes.Equal(got, content) {
				t.Errorf("read back %q, %v", got, err)
			}
			_, otherKey := identity(t)
			if _, err := Decrypt(der, cert, otherKey); err == nil {
				t.Error("somebody else can read it")
			}
		})
	}
	theirs, err := peer.Encrypt(content, []*x509.Certificate{cert})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decrypt(theirs, cert, key); err != nil || !bytes.Equal(got, content) {
		t.Errorf("theirs: %q, %v", got, err)
	}
}
