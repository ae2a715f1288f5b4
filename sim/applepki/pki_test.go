package applepki

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestDeviceCertificateHasTheShapeOfTheRealOne(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.IssueDevice("00008110-000A1C2E3F40801E", "F2LXK0AAAAAA")
	if err != nil {
		t.Fatal(err)
	}
	leaf := id.Certificate
	if leaf.SignatureAlgorithm != x509.SHA1WithRSA || leaf.Subject.CommonName != id.UDID || leaf.Issuer.CommonName != "Apple iPhone Device CA" {
		t.Errorf("leaf: %v, subject %v, issuer %v", leaf.SignatureAlgorithm, leaf.Subject, leaf.Issuer)
	}
	ca := p.DeviceCA()
	if n := ca.PublicKey.(*rsa.PublicKey).N.BitLen(); n != 1024 || !ca.NotAfter.Before(time.Date(2014, 5, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("Device CA has %d bits and ends %v", n, ca.NotAfter)
	}
	if leaf.CheckSignatureFrom(ca) == nil {
		t.Error("crypto/x509 accepts the chain; with Apple's it never does")
	}
	sum := sha1.Sum(leaf.RawTBSCertificate)
	if err := rsa.VerifyPKCS1v15(ca.PublicKey.(*rsa.PublicKey), crypto.SHA1, sum[:], leaf.Signature); err != nil {
		t.Errorf("the Device CA did not sign the leaf: %v", err)
	}
}

func TestPushPair(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := p.PushPair("")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	topic := TopicOf(pair.Leaf)
	if !strings.HasPrefix(topic, TopicPrefix) || len(topic) != len(TopicPrefix)+36 {
		t.Errorf("topic %q", topic)
	}
	if d := time.Until(pair.Leaf.NotAfter); d < 364*24*time.Hour || d > 367*24*time.Hour {
		t.Errorf("valid for %v", d)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.PushCA())
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
}
