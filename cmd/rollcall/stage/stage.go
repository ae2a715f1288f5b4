package stage

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/sim/apns"
	"rollcall/sim/applepki"
	"rollcall/sim/iphone"
)

// Options says what to set up. Every field may be empty.
type Options struct {
	Database string // DSN; SQLite in a folder of its own by default
	Listen   string // 127.0.0.1:0 by default
	Log      io.Writer
	LogLevel string
	Now      func() time.Time
	Change   func(*app.Options) // last word on the server's options

	// Elsewhere starts the server where App is not within reach, such as in a
	// process of its own; nil: here.
	Elsewhere func(ctx context.Context, o app.Options) (Server, error)

	Apple *applepki.PKI                   // one that several stages share; a new one by default
	Keys  func() (*rsa.PrivateKey, error) // keys of phones; by default each makes its own
}

// Server is a server that runs.
type Server struct {
	URL   string            // public
	Addr  string            // it listens on
	Token string            // first admin token; empty: it was made at an earlier start
	CA    *x509.Certificate // of the server
	Stop  func()            // returns when it has ended
}

// Stage is a running server with its simulated Apple.
type Stage struct {
	App   *app.App // nil where the server runs elsewhere
	Apple *applepki.PKI
	Push  *apns.Cloud
	Token string // admin token
	Roots *x509.CertPool

	dir    string
	url    string
	opts   app.Options
	start  func(ctx context.Context, o app.Options) (Server, error)
	keys   func() (*rsa.PrivateKey, error)
	client *http.Client
	stop   func()
}

// Start sets everything up; the server has a push certificate then.
func Start(ctx context.Context, o Options) (s *Stage, err error) {
	s = &Stage{stop: func() {}, start: o.Elsewhere}
	if s.start == nil {
		s.start = s.here
	}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if err := s.prepare(o); err != nil {
		return s, err
	}
	if err := s.boot(ctx); err != nil {
		return s, err
	}
	return s, s.installPushCertificate(ctx)
}

// prepare makes everything but the server.
func (s *Stage) prepare(o Options) (err error) {
	if s.dir, err = os.MkdirTemp("", "rollcall-stage-"); err != nil {
		return err
	}
	s.keys = o.Keys
	if s.Apple = o.Apple; s.Apple == nil {
		if s.Apple, err = applepki.New(); err != nil {
			return err
		}
	}
	if s.Push, err = apns.New(s.Apple); err != nil {
		return err
	}
	apnsRoots, deviceCA := filepath.Join(s.dir, "apns.pem"), filepath.Join(s.dir, "device-ca.pem")
	if err := errors.Join(os.WriteFile(apnsRoots, pemOf(s.Apple.PushCA()), 0o600), os.WriteFile(deviceCA, pemOf(s.Apple.DeviceCA()), 0o600)); err != nil {
		return err
	}
	s.opts = app.Options{Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Organization: "Example", DataDir: filepath.Join(s.dir, "data"),
		Database: o.Database, TLS: app.TLSOwn, MaxConns: 16, LogLevel: "error", APNSHost: s.Push.URL(), APNSRoots: apnsRoots, DeviceCAs: []string{deviceCA},
		LogOutput: o.Log, Now: o.Now}
	if o.Listen != "" {
		s.opts.Listen = o.Listen
	}
	if o.LogLevel != "" {
		s.opts.LogLevel = o.LogLevel
	}
	if o.Change != nil {
		o.Change(&s.opts)
	}
	return nil
}

func (s *Stage) boot(ctx context.Context) error {
	server, err := s.start(ctx, s.opts)
	if err != nil {
		return err
	}
	s.url = server.URL
	s.opts.Listen = server.Addr // the same after a restart, as profiles on phones name it
	if server.Token != "" {
		s.Token = server.Token
	}
	s.Roots = x509.NewCertPool()
	s.Roots.AddCert(server.CA)
	s.client = NewClient(s.Roots)
	s.stop = func() {
		server.Stop()
		s.client.CloseIdleConnections()
	}
	return nil
}

// here runs the server in this process.
func (s *Stage) here(ctx context.Context, o app.Options) (Server, error) {
	a, err := app.New(ctx, o)
	if err != nil {
		return Server{}, err
	}
	s.App = a
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	return Server{URL: a.URL(), Addr: a.Addr().String(), Token: a.FirstToken(), CA: a.Authority().Certificate(), Stop: func() {
		cancel()
		<-done
	}}, nil
}

// Restart ends the server and starts it on the same database and address.
func (s *Stage) Restart(ctx context.Context) error {
	s.stop()
	s.stop = func() {}
	return s.boot(ctx)
}

// URL is the public URL of the server.
func (s *Stage) URL() string { return s.url }

// Options are those the server was started with.
func (s *Stage) Options() app.Options { return s.opts }

// Stop ends all and removes what was written.
func (s *Stage) Stop() {
	s.stop()
	s.stop = func() {}
	if s.Push != nil {
		s.Push.Close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// NewClient is an HTTP client that trusts roots, for load as well.
func NewClient(roots *x509.CertPool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = tlsFor(roots)
	t.MaxIdleConnsPerHost = 256
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// Problem is an answer of the API that is not a success.
type Problem struct {
	Status int
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint"`
	Body   string `json:"-"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s %s", p.Status, p.Code, p.Detail, p.Hint)
}

// API calls the admin API. body is sent as JSON, or as it is when it is
// []byte with a content type in front ("text/csv;..."); out takes the answer.
func (s *Stage) API(ctx context.Context, method, path string, body, out any) error {
	return s.APIAs(ctx, s.Token, method, path, body, out)
}

// Raw is a body with a content type of its own.
type Raw struct {
	ContentType string
	Data        []byte
}

// APIAs is API with another token.
func (s *Stage) APIAs(ctx context.Context, token, method, path string, body, out any) error {
	var data []byte
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case Raw:
		data, contentType = b.Data, b.ContentType
	default:
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v1"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		p := &Problem{Status: res.StatusCode, Body: string(answer)}
		json.Unmarshal(answer, p)
		return p
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	if b, ok := out.(*[]byte); ok {
		*b = answer
		return nil
	}
	return json.Unmarshal(answer, out)
}

// installPushCertificate does what an admin does with Apple's portal.
func (s *Stage) installPushCertificate(ctx context.Context) error {
	var csr struct {
		CSR string `json:"csr_pem"`
	}
	if err := s.API(ctx, http.MethodPost, "/push-certificate/csr", map[string]string{"email": "admin@example.com"}, &csr); err != nil {
		return fmt.Errorf("stage: push certificate request: %w", err)
	}
	cert, err := s.Apple.IssuePush([]byte(csr.CSR), "")
	if err != nil {
		return fmt.Errorf("stage: issue push certificate: %w", err)
	}
	return s.API(ctx, http.MethodPut, "/push-certificate", map[string]string{"certificate_pem": string(pemOf(cert))}, nil)
}

// Phone makes a phone with a device identity of the simulated Apple. A push
// wakes it, and it connects by itself.
func (s *Stage) Phone(serial string, change ...func(*iphone.Config)) (*iphone.Phone, error) {
	udid := "00008130-" + strings.ToUpper(hexOf(serial))
	identity, err := s.identity(udid, serial)
	if err != nil {
		return nil, err
	}
	c := iphone.Config{Serial: serial, UDID: udid, Identity: identity, Keys: s.keys, Roots: s.Roots, Push: s.Push, AutoConnect: true, RetryDelay: 50 * time.Millisecond}
	for _, f := range change {
		f(&c)
	}
	return iphone.New(c), nil
}

func (s *Stage) identity(udid, serial string) (applepki.Identity, error) {
	if s.keys == nil {
		return s.Apple.IssueDevice(udid, serial)
	}
	key, err := s.keys()
	if err != nil {
		return applepki.Identity{}, err
	}
	return s.Apple.IssueDeviceKey(udid, serial, key)
}
