package app

import (
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"rollcall/certs"
	"rollcall/certs/deviceca"
	"rollcall/mdm"
)

// tlsConfig is how the server speaks TLS; nil for plain HTTP. Client
// certificates are asked for but not demanded: people have none, and devices
// that sign their messages need none.
func (o *Options) tlsConfig(ca *certs.Authority, publicURL string, now func() time.Time) (*tls.Config, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}}
	switch o.TLS {
	case TLSOff:
		return nil, nil
	case TLSFiles:
		pair, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		base.Certificates = []tls.Certificate{pair}
	case TLSACME:
		u, err := url.Parse(publicURL)
		if err != nil {
			return nil, err
		}
		m := &autocert.Manager{Prompt: autocert.AcceptTOS, Email: o.ACMEMail, HostPolicy: autocert.HostWhitelist(u.Hostname()),
			Cache: autocert.DirCache(o.acmeFolder())}
		if o.ACMEURL != "" {
			m.Client = &acme.Client{DirectoryURL: o.ACMEURL}
		}
		base.GetCertificate = m.GetCertificate
		base.NextProtos = append(base.NextProtos, acme.ALPNProto)
	default:
		hosts, err := ownHosts(publicURL)
		if err != nil {
			return nil, err
		}
		own := &ownCertificate{ca: ca, hosts: hosts, now: now}
		if _, err := own.get(nil); err != nil {
			return nil, err
		}
		base.GetCertificate = own.get
	}
	return base, nil
}

// acmeFolder holds what the ACME authority gave.
func (o *Options) acmeFolder() string { return filepath.Join(o.DataDir, "acme") }

func ownHosts(publicURL string) ([]string, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil, err
	}
	hosts := []string{u.Hostname()}
	for _, h := range []string{"localhost", "127.0.0.1", "::1"} {
		if h != hosts[0] {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// ownCertificate is a server certificate from our own CA, made anew before it
// ends.
type ownCertificate struct {
	ca    *certs.Authority
	hosts []string
	now   func() time.Time
	mu    sync.Mutex
	cert  *tls.Certificate
	until time.Time
}

const renewBefore = 30 * 24 * time.Hour

func (c *ownCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.cert != nil && now.Before(c.until.Add(-renewBefore)) {
		return c.cert, nil
	}
	cert, err := c.ca.IssueServer(c.hosts, now)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, err
	}
	c.cert, c.until = &cert, leaf.NotAfter
	return c.cert, nil
}

// signer reads the certificate that configuration profiles are signed with.
func (o *Options) signer() (*mdm.Signer, error) {
	if o.SigningCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.SigningCert, o.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("--signing-cert, --signing-key: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("--signing-key: the key cannot sign")
	}
	s := &mdm.Signer{Key: key}
	for i, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("--signing-cert: %w", err)
		}
		if i == 0 {
			s.Certificate = cert
		} else {
			s.Chain = append(s.Chain, cert)
		}
	}
	return s, nil
}

// deviceCA is who signs for a device's serial: Apple, and for trials others.
func (o *Options) deviceCA() (*deviceca.Verifier, error) {
	v := deviceca.Apple()
	for _, path := range o.DeviceCAs {
		cert, err := readCertificate(path)
		if err != nil {
			return nil, fmt.Errorf("--device-ca %s: %w", path, err)
		}
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("--device-ca %s: the key is not RSA", path)
		}
		v = v.WithTrusted(key)
	}
	return v, nil
}

func (o *Options) pushRoots() (*x509.CertPool, error) {
	if o.APNSRoots == "" {
		return nil, nil
	}
	b, err := os.ReadFile(o.APNSRoots)
	if err != nil {
		return nil, fmt.Errorf("--apns-roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("--apns-roots: the file holds no PEM certificate")
	}
	return pool, nil
}

// storedCA is the form the server's CA is sealed in.
type storedCA struct {
	Certificate []byte `json:"certificate"` // DER
	Key         []byte `json:"key"`         // PKCS #8
}

const caSecret = "ca"

// authority reads the CA given in files, else the stored one, else makes one.
// When several replicas start on an empty database, the first to store its CA
// wins and the others take that one.
func (a *App) authority() (*certs.Authority, error) {
	if a.opts.CACert != "" {
		certPEM, err := os.ReadFile(a.opts.CACert)
		if err != nil {
			return nil, fmt.Errorf("--ca-cert: %w", err)
		}
		keyPEM, err := os.ReadFile(a.opts.CAKey)
		if err != nil {
			return nil, fmt.Errorf("--ca-key: %w", err)
		}
		return certs.ParseAuthority(certPEM, keyPEM)
	}
	value, err := a.store.Secret(a.ctx, caSecret)
	if isNotFound(err) {
		made, err := certs.CreateAuthority(a.opts.Organization+" device CA", a.now())
		if err != nil {
			return nil, err
		}
		raw, err := json.Marshal(storedCA{made.Certificate().Raw, made.KeyDER()})
		if err != nil {
			return nil, err
		}
		if value, _, err = a.store.CreateSecret(a.ctx, caSecret, raw); err != nil {
			return nil, fmt.Errorf("store the CA: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	var stored storedCA
	if err := json.Unmarshal(value, &stored); err != nil {
		return nil, errors.New("the stored CA cannot be read")
	}
	return certs.ParseAuthority(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stored.Certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: stored.Key}))
}

// defaultURL is the public URL of a server that was not told one.
func defaultURL(addr net.Addr) string {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "https://localhost"
	}
	if port == "443" {
		return "https://localhost"
	}
	return "https://localhost:" + port
}

// readCertificate reads the first certificate of a PEM file.
func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("it holds no PEM block")
	}
	return x509.ParseCertificate(block.Bytes)
}
