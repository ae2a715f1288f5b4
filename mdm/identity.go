package mdm

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/certs/cms"
	"rollcall/enroll"
)

// maxIdentityHeader bounds an Mdm-Signature or client-certificate header.
const maxIdentityHeader = 32 << 10

// ClientIdentity finds the identity certificate behind a request. In this
// order: the Mdm-Signature header (a detached CMS signature over the exact
// body), the TLS client certificate, and the header in which a proxy that ends
// TLS passes the client certificate on. Every certificate must come from our
// authority; which enrollment it is pinned to is for the caller.
type ClientIdentity struct {
	Authority *certs.Authority
	// ProxyHeader names the header with the client certificate: RFC 9440
	// ("Client-Cert", :base64 DER:), or URL-escaped PEM as nginx sends it. It
	// is read from Proxies only; empty: never.
	ProxyHeader string
	Proxies     []netip.Prefix
}

// Of gives the verified certificate of a request with this body.
func (c ClientIdentity) Of(r *http.Request, body []byte, now time.Time) (*x509.Certificate, error) {
	cert, err := c.find(r, body)
	if err != nil {
		return nil, err
	}
	if err := c.Authority.Verify(cert, now); err != nil {
		return nil, badIdentity(err)
	}
	return cert, nil
}

func (c ClientIdentity) find(r *http.Request, body []byte) (*x509.Certificate, error) {
	if h := r.Header.Get("Mdm-Signature"); h != "" {
		if len(h) > maxIdentityHeader {
			return nil, bad("identity_too_large", "the Mdm-Signature header is longer than %d bytes", maxIdentityHeader)
		}
		der, err := base64.StdEncoding.DecodeString(h)
		if err != nil {
			return nil, badIdentity(err)
		}
		cert, err := cms.VerifyDetached(der, body)
		if err != nil {
			return nil, badIdentity(err)
		}
		return cert, nil
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return r.TLS.PeerCertificates[0], nil
	}
	if h := c.proxied(r); h != "" {
		cert, err := parseProxied(h)
		if err != nil {
			return nil, badIdentity(err)
		}
		return cert, nil
	}
	return nil, bad("identity_missing", "the request carries no identity: no Mdm-Signature and no client certificate")
}

// proxied is the client-certificate header, if a configured proxy sent it.
func (c ClientIdentity) proxied(r *http.Request) string {
	if c.ProxyHeader == "" {
		return ""
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr := peer.Addr().Unmap()
	for _, p := range c.Proxies {
		if p.Contains(addr) {
			return r.Header.Get(c.ProxyHeader)
		}
	}
	return ""
}

func parseProxied(h string) (*x509.Certificate, error) {
	if len(h) > maxIdentityHeader {
		return nil, errors.New("the client-certificate header is too long")
	}
	if b64, ok := strings.CutPrefix(h, ":"); ok { // RFC 9440
		der, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(b64, ":"))
		if err != nil {
			return nil, err
		}
		return x509.ParseCertificate(der)
	}
	text, err := url.PathUnescape(h) // leaves a bare + of base64 alone
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the client-certificate header holds no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func badIdentity(err error) error {
	return &enroll.Error{Kind: enroll.KindInvalid, Code: "identity_invalid", Text: "the identity of the request is not valid", Err: err}
}
