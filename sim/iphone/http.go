package iphone

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/cookiejar"
	"time"
)

const (
	typeProfile   = "application/x-apple-aspen-config"
	typeSignature = "application/pkcs7-signature"
	typeCheckIn   = "application/x-apple-aspen-mdm-checkin"
	typeConnect   = "application/x-apple-aspen-mdm; charset=UTF-8"

	safariAgent  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1"
	profileAgent = "Profile/1.0"
	mdmAgent     = "MDM/1.0"

	maxBody = 16 << 20
)

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

// transport makes the phone's way to the network. With an identity its
// certificate is offered to every server that asks for one, whatever
// authorities the server names.
func (p *Phone) transport(roots *x509.CertPool, id *identity) http.RoundTripper {
	if p.cfg.Transport != nil {
		return p.cfg.Transport
	}
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if id != nil {
		pair := &tls.Certificate{Certificate: [][]byte{id.cert.Raw}, PrivateKey: id.key, Leaf: id.cert}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 1, IdleConnTimeout: 10 * time.Second}
}

// newClients makes Safari and the system's own client. They are different
// programs on a device: the one that installs profiles has none of Safari's
// cookies.
func (p *Phone) newClients() (browser, system *http.Client) {
	jar, _ := cookiejar.New(nil) // no error is possible without options
	transport := p.transport(p.cfg.Roots, nil)
	return &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute, CheckRedirect: followRedirect}, &http.Client{Transport: transport, Timeout: time.Minute}
}

// followRedirect goes where a page sends the browser. The machine info belongs
// to the first load alone, and a login that ends leads to no server.
func followRedirect(req *http.Request, via []*http.Request) error {
	req.Header.Del(headerMachineInfo)
	switch {
	case req.URL.Scheme == loginScheme:
		return http.ErrUseLastResponse
	case len(via) >= maxPages:
		return protocolError("Safari", "%d redirects", len(via))
	}
	return nil
}

func (p *Phone) newMDMClient(roots *x509.CertPool, id identity) *http.Client {
	return &http.Client{Transport: p.transport(roots, &id), Timeout: time.Minute}
}

// closeIdle drops a client's idle connections, unless it uses a transport that
// is not the phone's own.
func (p *Phone) closeIdle(client *http.Client) {
	if p.cfg.Transport == nil {
		client.CloseIdleConnections()
	}
}

// rootsWith returns the trusted authorities with the anchors of installed
// profiles and the given ones.
func (p *Phone) rootsWith(more []*x509.Certificate) (*x509.CertPool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.profiles {
		more = append(more, in.anchors...)
	}
	if len(more) == 0 {
		return p.cfg.Roots, nil
	}
	pool := p.cfg.Roots
	if pool == nil {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("iphone: system roots: %w", err)
		}
		pool = system
	}
	pool = pool.Clone()
	for _, cert := range more {
		pool.AddCert(cert)
	}
	return pool, nil
}

// send does one request and reads the whole answer.
func send(ctx context.Context, client *http.Client, method, url string, header http.Header, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("iphone: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("iphone: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, nil, fmt.Errorf("iphone: answer of %s: %w", url, err)
	}
	return resp, answer, nil
}

func contentType(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
