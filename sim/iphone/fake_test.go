package iphone

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.mozilla.org/pkcs7"

	"rollcall/sim/applepki"
	"rollcall/sim/plist"
	"rollcall/sim/scep/sceptest"
)

// fakeServer is a small MDM server, written with another CMS library than the
// phone's, that records what it gets and does what a test tells it.
type fakeServer struct {
	t    testing.TB
	url  string
	pki  *applepki.PKI
	ca   *sceptest.Authority
	tls  *httptest.Server
	keys func() (*rsa.PrivateKey, error)

	mu       sync.Mutex
	answer   map[string]func(http.ResponseWriter) bool // by step: true = answered
	page     string
	sign     bool          // SignMessage
	mdm      plist.Dict    // further keys of com.apple.mdm
	final    func() []byte // the final profile
	queue    []plist.Dict  // commands to hand out
	open     plist.Dict    // the command in flight
	results  []plist.Dict
	checkins []plist.Dict
	otas     []plist.Dict
	signers  []*x509.Certificate // of OTA posts
	idles    int                 // Idle messages
	clients  []*x509.Certificate // TLS client certificate of each MDM request
	headers  []http.Header       // of each MDM request
	form     map[string][]string
}

var shared struct {
	once sync.Once
	pki  *applepki.PKI
	ca   *sceptest.Authority
	keys []*rsa.PrivateKey
	err  error
}

// newServer starts a fake server. Key pairs and authorities are shared by all tests.
func newServer(t testing.TB) *fakeServer {
	t.Helper()
	shared.once.Do(func() {
		shared.pki, shared.err = applepki.New()
		if shared.err == nil {
			shared.ca, shared.err = sceptest.New()
		}
		for range 4 {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				shared.err = err
			}
			shared.keys = append(shared.keys, key)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	n := 0
	s := &fakeServer{t: t, pki: shared.pki, ca: shared.ca, answer: map[string]func(http.ResponseWriter) bool{}, mdm: plist.Dict{"CheckOutWhenRemoved": true}}
	s.keys = func() (*rsa.PrivateKey, error) { n++; return shared.keys[n%len(shared.keys)], nil }
	mux := http.NewServeMux()
	mux.HandleFunc("/link", s.link)
	mux.HandleFunc("POST /accept", s.accept)
	mux.HandleFunc("/profile", func(w http.ResponseWriter, _ *http.Request) { s.sendProfile(w, s.serviceProfile()) })
	mux.HandleFunc("POST /ota", s.ota)
	mux.HandleFunc("POST /ade", s.ade)
	mux.HandleFunc("GET /adeweb", func(w http.ResponseWriter, r *http.Request) {
		signed, err := base64.StdEncoding.DecodeString(r.Header.Get("x-apple-aspen-deviceinfo"))
		if err != nil {
			s.t.Error(err)
		}
		if _, err := r.Cookie("seen"); err == nil {
			if len(signed) != 0 {
				s.t.Error("machine info on the second page")
			}
			s.sendProfile(w, s.final())
			return
		}
		d, signer, err := readSigned(bytes.NewReader(signed))
		if err != nil {
			s.t.Error(err)
		}
		s.mu.Lock()
		s.otas, s.signers = append(s.otas, d), append(s.signers, signer)
		s.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<p style="display: none">secret</p><form action="/adeweb"><button>Go on</button></form>`)
	})
	mux.Handle("/scep", s.ca)
	mux.HandleFunc("PUT /checkin", s.checkin)
	mux.HandleFunc("PUT /connect", s.connect)
	s.tls = httptest.NewUnstartedServer(mux)
	s.tls.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.tls.StartTLS()
	t.Cleanup(s.tls.Close)
	s.url = s.tls.URL
	mux.HandleFunc("/start", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "safari", Value: "1"})
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<meta http-equiv="refresh" content="0; url=/profile">`)
	})
	s.final = func() []byte { return plist.Marshal(s.enrollmentProfile()) }
	s.page = `<html><head><title>x</title></head><body><h1>Hello</h1><script>no</script><form method=post action="/accept">
<input type=hidden name=csrf value=42><label><input type=radio name=ownership value=personal>Mine</label>
<label><input type=radio name=ownership value=corporate checked>Work</label><input type=checkbox name=terms value=yes required><button>Accept</button></form></body></html>`
	return s
}

// phone makes a device that trusts the server.
func (s *fakeServer) phone(change func(*Config)) *Phone {
	s.t.Helper()
	id, err := s.pki.IssueDeviceKey("00008110-"+strings.ToUpper(uuid.NewString()[:16]), "F2L"+strings.ToUpper(uuid.NewString()[:9]), shared.keys[0])
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.tls.Certificate())
	c := Config{Identity: id, Roots: roots, Keys: s.keys, IMEI: "356938035643809"}
	if change != nil {
		change(&c)
	}
	p := New(c)
	s.t.Cleanup(p.Close)
	return p
}

// enrolled makes a phone and enrolls it by OTA.
func (s *fakeServer) enrolled(change func(*Config)) *Phone {
	s.t.Helper()
	p := s.phone(change)
	if err := p.OpenLink(s.t.Context(), s.url+"/link", Choice{Ownership: "personal"}); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// say makes a step ("link", "ota", "Authenticate", "connect"...) answer differently.
func (s *fakeServer) say(step string, status int, kind, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer[step] = func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

func (s *fakeServer) overridden(step string, w http.ResponseWriter) bool {
	s.mu.Lock()
	f := s.answer[step]
	s.mu.Unlock()
	return f != nil && f(w)
}

// calm takes back what say said.
func (s *fakeServer) calm(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answer, step)
}

func (s *fakeServer) link(w http.ResponseWriter, _ *http.Request) {
	if s.overridden("link", w) {
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, s.page)
}

func (s *fakeServer) accept(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	s.mu.Lock()
	s.form = r.PostForm
	s.mu.Unlock()
	if s.overridden("accept", w) {
		return
	}
	w.Header().Set("Content-Type", "text/html")
	io.WriteString(w, `<body>Done <a href="https://elsewhere.example/">away</a> <a href="/nothing">n</a> <a href="/profile">Install</a></body>`)
}

func (s *fakeServer) sendProfile(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/x-apple-aspen-config")
	w.Write(body)
}

func payloadHeader(kind, identifier string) plist.Dict {
	return plist.Dict{"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": identifier, "PayloadUUID": uuid.NewString()}
}

func with(d plist.Dict, more plist.Dict) plist.Dict {
	for k, v := range more {
		d[k] = v
	}
	return d
}

func (s *fakeServer) serviceProfile() []byte {
	return plist.Marshal(with(payloadHeader("Profile Service", "test.ota"), plist.Dict{"PayloadContent": plist.Dict{
		"URL": s.url + "/ota", "DeviceAttributes": []string{"UDID", "SERIAL", "PRODUCT", "VERSION", "IMEI", "MEID"}, "Challenge": "invitation"}}))
}

func (s *fakeServer) scepPayload() plist.Dict {
	return with(payloadHeader("com.apple.security.scep", "test.scep"), plist.Dict{"PayloadContent": plist.Dict{
		"URL": s.url + "/scep", "Keysize": 2048, "Key Usage": 5, "Challenge": "one-time", "Subject": []any{[]any{[]any{"CN", "phone"}}}}})
}

func (s *fakeServer) enrollmentProfile() plist.Dict {
	identity := s.scepPayload()
	s.mu.Lock()
	defer s.mu.Unlock()
	mdm := with(payloadHeader("com.apple.mdm", "test.mdm"), plist.Dict{
		"IdentityCertificateUUID": identity["PayloadUUID"], "Topic": "com.apple.mgmt.External.test", "ServerURL": s.url + "/connect",
		"CheckInURL": s.url + "/checkin", "AccessRights": 8191, "SignMessage": s.sign})
	return with(payloadHeader("Configuration", "test.enrollment"), plist.Dict{"PayloadContent": []any{identity, with(mdm, clone(s.mdm).(plist.Dict))}})
}

// readSigned verifies a CMS body with the other library.
func readSigned(r io.Reader) (plist.Dict, *x509.Certificate, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, err
	}
	p7, err := pkcs7.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := p7.Verify(); err != nil {
		return nil, nil, err
	}
	d, err := plist.UnmarshalDict(p7.Content)
	return d, p7.GetOnlySigner(), err
}

func (s *fakeServer) ota(w http.ResponseWriter, r *http.Request) {
	d, signer, err := readSigned(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/pkcs7-signature" {
		s.t.Errorf("OTA: %v, content type %q", err, r.Header.Get("Content-Type"))
		return
	}
	if len(r.Cookies()) != 0 {
		s.t.Errorf("OTA comes with Safari's cookies: %v", r.Cookies())
	}
	s.mu.Lock()
	s.otas, s.signers = append(s.otas, d), append(s.signers, signer)
	s.mu.Unlock()
	if signer.Issuer.CommonName == "Apple iPhone Device CA" {
		if !s.overridden("ota", w) {
			s.sendProfile(w, plist.Marshal(with(payloadHeader("Configuration", "test.phase2"), plist.Dict{"PayloadContent": []any{s.scepPayload()}})))
		}
		return
	}
	if !s.overridden("phase3", w) {
		s.sendProfile(w, s.final())
	}
}

func (s *fakeServer) ade(w http.ResponseWriter, r *http.Request) {
	d, signer, err := readSigned(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.otas, s.signers = append(s.otas, d), append(s.signers, signer)
	s.mu.Unlock()
	if !s.overridden("ade", w) {
		s.sendProfile(w, s.final())
	}
}

// receive reads an MDM message and checks its signature if there should be one.
func (s *fakeServer) receive(r *http.Request, kind string) plist.Dict {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	if got := r.Header.Get("Content-Type"); got != kind {
		s.t.Errorf("content type %q, want %q", got, kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var client *x509.Certificate
	if len(r.TLS.PeerCertificates) != 0 {
		client = r.TLS.PeerCertificates[0]
	}
	s.clients, s.headers = append(s.clients, client), append(s.headers, r.Header.Clone())
	if h := r.Header.Get("Mdm-Signature"); (h != "") != s.sign {
		s.t.Errorf("Mdm-Signature %q with SignMessage %v", h, s.sign)
	} else if h != "" {
		der, err := base64.StdEncoding.DecodeString(h)
		if err != nil {
			s.t.Error(err)
			return nil
		}
		p7, err := pkcs7.Parse(der)
		if err != nil {
			s.t.Error(err)
			return nil
		}
		p7.Content = body
		if err := p7.Verify(); err != nil {
			s.t.Error(err)
		}
	}
	d, err := plist.UnmarshalDict(body)
	if err != nil {
		s.t.Error(err)
	}
	return d
}

func (s *fakeServer) checkin(w http.ResponseWriter, r *http.Request) {
	d := s.receive(r, "application/x-apple-aspen-mdm-checkin")
	s.mu.Lock()
	s.checkins = append(s.checkins, d)
	s.mu.Unlock()
	kind, _ := d["MessageType"].(string)
	if s.overridden(kind, w) || kind != "DeclarativeManagement" {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	item := map[string]string{"Identifier": "pin", "ServerToken": "v1", "Type": "com.apple.configuration.passcode.settings"}
	switch endpoint := d["Endpoint"].(string); endpoint {
	case "tokens":
		json.NewEncoder(w).Encode(map[string]any{"SyncTokens": map[string]string{"Timestamp": "2026-01-01T00:00:00Z", "DeclarationsToken": "t1"}})
	case "declaration-items":
		json.NewEncoder(w).Encode(map[string]any{"DeclarationsToken": "t1", "Declarations": map[string]any{
			"Activations": []any{}, "Assets": []any{}, "Management": []any{}, "Configurations": []any{item}}})
	case "declaration/configuration/pin":
		json.NewEncoder(w).Encode(map[string]any{"Identifier": "pin", "ServerToken": "v1", "Type": item["Type"], "Payload": map[string]any{"RequirePasscode": true}})
	}
}

func (s *fakeServer) connect(w http.ResponseWriter, r *http.Request) {
	d := s.receive(r, "application/x-apple-aspen-mdm; charset=UTF-8")
	s.mu.Lock()
	status, _ := d["Status"].(string)
	if status == "Idle" {
		s.idles++
	} else {
		s.results = append(s.results, d)
	}
	if s.open != nil && status != "Idle" && status != "NotNow" && d["CommandUUID"] == s.open["CommandUUID"] {
		s.open = nil
	}
	s.mu.Unlock()
	if s.overridden("connect", w) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if status == "NotNow" {
		return
	}
	if s.open == nil && len(s.queue) != 0 {
		s.open, s.queue = s.queue[0], s.queue[1:]
	}
	if s.open != nil {
		w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
		w.Write(plist.Marshal(s.open))
	}
}

// push queues a command and returns its CommandUUID.
func (s *fakeServer) push(request string, keys plist.Dict) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("%s-%d", request, len(s.queue)+len(s.results))
	s.queue = append(s.queue, plist.Dict{"CommandUUID": id, "Command": with(plist.Dict{"RequestType": request}, keys)})
	return id
}

// run queues a command, connects, and returns the result.
func (s *fakeServer) run(p *Phone, request string, keys plist.Dict) plist.Dict {
	s.t.Helper()
	id := s.push(request, keys)
	if err := p.Connect(s.t.Context()); err != nil {
		s.t.Fatalf("%s: %v", request, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.results[len(s.results)-1]
	if last["CommandUUID"] != id {
		s.t.Fatalf("%s: last result is %v", request, last)
	}
	return last
}

func htmlPage(format string, args ...any) string {
	return "<body>" + template.HTMLEscapeString(fmt.Sprintf(format, args...)) + "</body>"
}

// errorCode digs the first ErrorCode out of a result.
func errorCode(result plist.Dict) int64 {
	chain, _ := result["ErrorChain"].([]any)
	if len(chain) == 0 {
		return 0
	}
	code, _ := chain[0].(plist.Dict)["ErrorCode"].(int64)
	return code
}
