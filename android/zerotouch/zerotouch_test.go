package zerotouch

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/android"
	"rollcall/android/amapi"
	"rollcall/enroll"
)

var testKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

// service is Google: answers by "METHOD path", each used once but the last.
type service struct {
	mu      sync.Mutex
	answers map[string][]answer
	calls   []string // with their bodies
	tokens  int
}

type answer struct {
	status int
	body   string
	header map[string]string
	broken bool // the connection breaks in the body
}

func ok(body string) answer { return answer{status: http.StatusOK, body: body} }

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		s.tokens++
		fmt.Fprintf(w, `{"access_token":"t%d","expires_in":3600}`, s.tokens)
		return
	}
	body, _ := io.ReadAll(r.Body)
	key := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v1/")
	if t := r.URL.Query().Get("pageToken"); t != "" {
		key += "?" + t
	}
	call := key
	if m := r.URL.Query().Get("updateMask"); m != "" {
		call += " " + m
	}
	s.calls = append(s.calls, strings.TrimSpace(call+" "+string(body)))
	list := s.answers[key]
	if len(list) == 0 {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	a := list[0]
	if len(list) > 1 {
		s.answers[key] = list[1:]
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.broken {
		w.Header().Set("Content-Length", fmt.Sprint(len(a.body)+10))
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// count tells how many calls began so.
func (s *service) count(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

// memory is a store that keeps just enough.
type memory struct {
	Store
	android.TokenStore
	account Account
	secrets map[string][]byte
	steps   []string
	wanted  []Wanted
	ends    []Run
	tokens  map[[32]byte]android.Token
}

func (m *memory) note(format string, args ...any) {
	m.steps = append(m.steps, fmt.Sprintf(format, args...))
}

func (m *memory) Secret(_ context.Context, name string) ([]byte, error) {
	if v, ok := m.secrets[name]; ok {
		return v, nil
	}
	return nil, enroll.Errorf(enroll.KindNotFound, "secret_unknown", "none")
}
func (m *memory) PutSecret(_ context.Context, name string, v []byte) error {
	m.secrets[name] = v
	return nil
}
func (m *memory) Atomically(ctx context.Context, fn func(context.Context) error) error {
	return fn(ctx)
}
func (m *memory) ClaimZeroTouch(context.Context, string, time.Time, time.Duration) (Account, bool, error) {
	return m.account, true, nil
}
func (m *memory) FinishZeroTouch(_ context.Context, _ string, r Run) error {
	m.ends = append(m.ends, r)
	return nil
}
func (m *memory) StartZeroTouchSweep(context.Context, string) error { m.note("start"); return nil }
func (m *memory) SaveZeroTouchPage(_ context.Context, _ string, page []Listed, _ time.Time) error {
	var serials []string
	for _, l := range page {
		serials = append(serials, l.Serial)
	}
	m.note("page %v", serials)
	return nil
}
func (m *memory) EndZeroTouchSweep(context.Context, string, int, time.Time) (bool, error) {
	m.note("end")
	return false, nil
}
func (m *memory) SettleZeroTouch(context.Context, string, int, time.Time) (bool, error) {
	return false, nil
}
func (m *memory) SetZeroTouchConfigured(_ context.Context, _, name string) error {
	m.account.Configured = name
	return nil
}
func (m *memory) ZeroTouchToAssign(_ context.Context, after string, _ time.Time, _ int) ([]Wanted, error) {
	if after != "" {
		return nil, nil
	}
	return m.wanted, nil
}
func (m *memory) SaveZeroTouchAssigned(_ context.Context, _ string, done Assigned) error {
	m.note("assigned %s %q %s", last(done.Name), done.Configuration, done.Outcome)
	return nil
}
func (m *memory) CreateEnrollmentToken(_ context.Context, t android.Token, hash [32]byte) error {
	m.tokens[hash] = t
	return nil
}
func (m *memory) EnrollmentTokenByHash(_ context.Context, hash [32]byte) (android.Token, error) {
	if t, ok := m.tokens[hash]; ok {
		return t, nil
	}
	return android.Token{}, enroll.Errorf(enroll.KindNotFound, "token_unknown", "none")
}

var start = time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)

// setUp makes a syncer of the customer 1, whose configuration is for an agent.
func setUp(t *testing.T, answers map[string][]answer) (*Syncer, *memory, *service) {
	t.Helper()
	g := &service{answers: answers}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	key, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "acme", "private_key_id": "k1", "client_email": "mdm@acme.iam", "token_uri": srv.URL + "/token", "private_key": testKey()})
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return start }
	m := &memory{secrets: map[string][]byte{serviceAccount: key}, tokens: map[[32]byte]android.Token{}, account: Account{KeyID: "k1", Address: "mdm@acme.iam", Customer: "customers/1"}}
	clouds, err := NewClouds(srv.URL, m, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clouds.Close)
	extras := &Extras{Store: m, Tokens: &android.Tokens{Store: m, Now: now}, Now: now,
		Provisioning: android.Provisioning{Server: "https://mdm.example.com", Agent: android.Agent{Component: "org.example.agent/.AdminReceiver", Signature: android.DevicePolicy.Signature}},
		Organization: func(context.Context) (amapi.Organization, error) { return amapi.Organization{}, amapi.NoOrganization() }}
	return &Syncer{Store: m, Clouds: clouds, Extras: extras, Now: now, Log: slog.New(slog.DiscardHandler)}, m, g
}

const devices = "GET customers/1/devices"

func listing(next string, serials ...string) answer {
	var out []string
	for _, s := range serials {
		out = append(out, fmt.Sprintf(`{"name":"customers/1/devices/%s","deviceIdentifier":{"serialNumber":%q}}`, s, s))
	}
	return ok(fmt.Sprintf(`{"devices":[%s],"nextPageToken":%q}`, strings.Join(out, ","), next))
}

// TestSweep: nobody is gone before the list was read to its end.
func TestSweep(t *testing.T) {
	failure := func(status int, body string) answer { return answer{status: status, body: body} }
	for name, c := range map[string]struct {
		first, second []answer
		steps         []string
		code          string // of the problem
		calls         int
		wait          time.Duration
	}{
		"all pages":                  {[]answer{listing("2", "A1", "B2")}, []answer{listing("", "C3")}, []string{"start", "page [A1 B2]", "page [C3]", "end"}, "", 2, time.Hour},
		"one that passes":            {[]answer{listing("2", "A1")}, []answer{failure(503, ""), listing("", "C3")}, []string{"start", "page [A1]", "page [C3]", "end"}, "", 3, time.Hour},
		"a page breaks off":          {[]answer{listing("2", "A1")}, []answer{{status: 200, body: `{"devices":[`, broken: true}}, []string{"start", "page [A1]"}, "zero_touch_bad_answer", 4, time.Minute},
		"no JSON":                    {[]answer{ok("<html>")}, nil, []string{"start"}, "zero_touch_bad_answer", 3, time.Minute},
		"pages do not end":           {[]answer{listing("2", "A1")}, []answer{listing("2", "A1")}, []string{"start", "page [A1]", "page [A1]"}, "zero_touch_bad_answer", 2, time.Minute},
		"the quota":                  {[]answer{failure(429, "")}, nil, []string{"start"}, "zero_touch_too_many", 1, quotaPause},
		"the quota, with a time":     {[]answer{{status: 429, header: map[string]string{"Retry-After": "900"}}}, nil, []string{"start"}, "zero_touch_too_many", 1, 15 * time.Minute},
		"a time without measure":     {[]answer{{status: 429, header: map[string]string{"Retry-After": "99999999999"}}}, nil, []string{"start"}, "zero_touch_too_many", 1, maxRetryAfter},
		"no access":                  {[]answer{failure(403, `{"error":{"message":"no"}}`)}, nil, []string{"start"}, "zero_touch_forbidden", 1, time.Hour},
		"terms":                      {[]answer{failure(403, `{"error":{"details":[{"@type":"type.googleapis.com/google.android.device.provisioning.v1.TosError"}]}}`)}, nil, []string{"start"}, "zero_touch_terms", 1, time.Hour},
		"a token that is too old":    {[]answer{failure(401, ""), listing("", "A1")}, nil, []string{"start", "page [A1]", "end"}, "", 2, time.Hour},
		"a key that is not good":     {[]answer{failure(401, "")}, nil, []string{"start"}, "zero_touch_unauthorized", 2, time.Hour},
		"a proxy sends it elsewhere": {[]answer{{status: 302, header: map[string]string{"Location": "https://example.com"}}}, nil, []string{"start"}, "zero_touch_bad_answer", 3, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m, g := setUp(t, map[string][]answer{devices: c.first, devices + "?2": c.second})
			s.Step(t.Context(), "worker")
			if diff := cmp.Diff(c.steps, m.steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if n := g.count(devices); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
			end := m.ends[0]
			code := ""
			if end.Problem != nil {
				code = end.Problem.Code
			}
			if code != c.code || end.Done != (c.code == "") || end.DueAt.Sub(start) != c.wait {
				t.Errorf("end %+v, problem %q; want %q in %v", end, code, c.code, c.wait)
			}
		})
	}
}

func TestListed(t *testing.T) {
	for name, c := range map[string]struct {
		record string
		want   Listed
		ok     bool
	}{
		"all of it": {`{"name":"customers/1/devices/2","configuration":"customers/1/configurations/3","deviceIdentifier":{"serialNumber":" r58-a ","imei":"1","meid2":"2","manufacturer":"samsung","model":"S25"}}`,
			Listed{Name: "customers/1/devices/2", Serial: "R58A", Configuration: "customers/1/configurations/3", Facts: Facts{Manufacturer: "samsung", Model: "S25", IMEI: "1", MEID: "2"}}, true},
		"an IMEI only":  {`{"name":"customers/1/devices/2","deviceIdentifier":{"imei":"1"}}`, Listed{Name: "customers/1/devices/2", Facts: Facts{IMEI: "1"}}, true},
		"a Chromebook":  {`{"name":"customers/1/devices/2","deviceIdentifier":{"serialNumber":"A1","deviceType":"DEVICE_TYPE_CHROME_OS"}}`, Listed{}, false},
		"a broken name": {`{"name":"customers/1/devices/2\u0000","deviceIdentifier":{"serialNumber":"A1"}}`, Listed{}, false},
	} {
		var d Device
		if err := json.Unmarshal([]byte(c.record), &d); err != nil {
			t.Fatal(err)
		}
		got, ok := d.listed()
		if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
			t.Errorf("%s: %v\n%s", name, ok, diff)
		}
	}
}

// TestConfigure: the configuration is made once, found again, changed where it
// differs, and made anew where somebody has deleted it.
func TestConfigure(t *testing.T) {
	const configurations = "customers/1/configurations"
	s, m, g := setUp(t, map[string][]answer{
		devices:                  {listing("")},
		"GET customers/1/dpcs":   {ok(`{"dpcs":[{"name":"customers/1/dpcs/agent","packageName":"org.example.agent"}]}`)},
		"GET " + configurations:  {ok(`{}`)},
		"POST " + configurations: {ok(`{"name":"customers/1/configurations/7"}`)},
	})
	m.account.Configuration = Configuration{Way: WayAgent, Name: "Ours", Company: "Example", Email: "it@example.com", Phone: "+49 30 1"}
	s.Step(t.Context(), "worker")
	var made Resource
	for _, c := range g.calls {
		if body, is := strings.CutPrefix(c, "POST "+configurations+" "); is {
			if err := json.Unmarshal([]byte(body), &made); err != nil {
				t.Fatal(err)
			}
		}
	}
	if m.account.Configured != configurations+"/7" || made.Title != "Ours" || made.DPC != "customers/1/dpcs/agent" || !strings.Contains(made.Extras, `"rollcall.server":"https://mdm.example.com"`) {
		t.Fatalf("configured %q as %+v; %+v", m.account.Configured, made, m.ends)
	}
	// Google writes JSON anew, and names the agent by another customer.
	var extras any
	if err := json.Unmarshal([]byte(made.Extras), &extras); err != nil {
		t.Fatal(err)
	}
	spaced, _ := json.MarshalIndent(extras, "", "   ")
	had := made
	had.Name, had.Extras, had.DPC = m.account.Configured, string(spaced), "customers/2/dpcs/agent"
	has := func(r Resource) []answer {
		b, _ := json.Marshal(map[string]any{"configurations": []Resource{{Name: configurations + "/1", Title: "Another"}, r}})
		return []answer{ok(string(b))}
	}
	patch := "PATCH " + configurations + "/7"
	g.answers["GET "+configurations], g.answers[patch] = has(had), []answer{ok("{}")}
	s.Step(t.Context(), "worker")
	if n := g.count("P"); n != 1 {
		t.Errorf("%d changes of what is the same: %q", n-1, g.calls)
	}
	m.account.Configuration.Phone, m.account.Configuration.Default = "+49 30 2", true
	s.Step(t.Context(), "worker")
	if n := g.count(patch + " contactPhone,isDefault {"); n != 1 {
		t.Errorf("patched: %q", g.calls)
	}
	m.account.Configured = "" // the answer was lost
	m.account.Configuration = Configuration{Way: WayAgent, Name: "Ours", Company: "Example", Email: "it@example.com", Phone: "+49 30 1"}
	s.Step(t.Context(), "worker")
	if m.account.Configured != configurations+"/7" || g.count("POST "+configurations) != 1 {
		t.Errorf("not found again: %q", g.calls)
	}
	g.answers["GET "+configurations] = []answer{ok("{}")}
	s.Step(t.Context(), "worker")
	if g.count("POST "+configurations) != 2 {
		t.Errorf("not made anew: %q", g.calls)
	}
	if len(m.tokens) != 1 {
		t.Errorf("%d enrollment tokens", len(m.tokens))
	}
	for hash, old := range m.tokens {
		old.RevokedAt = start
		m.tokens[hash] = old
	}
	g.answers["GET "+configurations] = has(had)
	s.Step(t.Context(), "worker")
	if len(m.tokens) != 2 || g.count(patch+" dpcExtras {") != 1 {
		t.Errorf("a revoked token stays in the extras: %q", g.calls)
	}
	g.answers["POST "+configurations], g.answers["GET "+configurations] = []answer{{status: 503}}, []answer{ok("{}")}
	before := g.count("POST " + configurations)
	s.Step(t.Context(), "worker")
	if n := g.count("POST " + configurations); n != before+1 {
		t.Errorf("what is not idempotent was made %d times", n-before)
	}
}

// TestConfigureProblem: what an admin has to settle keeps nobody from the roll.
func TestConfigureProblem(t *testing.T) {
	for name, c := range map[string]struct {
		configuration Configuration
		dpcs          string
		code          string
	}{
		"an agent that is not on Google's list": {Configuration{Way: WayAgent}, `{"dpcs":[{"name":"customers/1/dpcs/x","packageName":"com.example"}]}`, "zero_touch_agent_unlisted"},
		"no organization at Google":             {Configuration{Way: WayDevicePolicy, Mode: amapi.FullyManaged}, `{}`, "zero_touch_no_way"},
	} {
		s, m, _ := setUp(t, map[string][]answer{devices: {listing("", "A1")}, "GET customers/1/dpcs": {ok(c.dpcs)}})
		m.account.Configuration = c.configuration
		m.wanted = []Wanted{{Name: "customers/1/devices/1", Give: true}}
		s.Step(t.Context(), "worker")
		end := m.ends[0]
		if !end.Done || end.Problem == nil || end.Problem.Code != c.code || !slices.Equal(m.steps, []string{"start", "page [A1]", "end"}) {
			t.Errorf("%s: %+v, %+v, %v", name, end, end.Problem, m.steps)
		}
	}
}

// TestAssign: one device that Google refuses does not keep others waiting; a
// service that is down does.
func TestAssign(t *testing.T) {
	const apply, remove = "POST customers/1/devices:applyConfiguration", "POST customers/1/devices:removeConfiguration"
	run := func(answers ...answer) (*memory, *service) {
		s, m, g := setUp(t, map[string][]answer{devices: {listing("")}, "GET customers/1/dpcs": {ok(`{"dpcs":[{"name":"customers/1/dpcs/agent","packageName":"org.example.agent"}]}`)},
			"GET customers/1/configurations": {ok(`{}`)}, "POST customers/1/configurations": {ok(`{"name":"customers/1/configurations/7"}`)}, apply: answers, remove: {ok("{}")}})
		m.account.Configuration = Configuration{Way: WayAgent, Name: "Ours"}
		m.wanted = []Wanted{{Name: "customers/1/devices/1", Give: true, Attempts: 1}, {Name: "customers/1/devices/2", Give: true}, {Name: "customers/1/devices/3"}}
		s.Step(t.Context(), "worker")
		return m, g
	}
	m, g := run(answer{status: 400}, ok("{}"))
	want := []string{`assigned 1 "" invalid`, `assigned 2 "customers/1/configurations/7" `, `assigned 3 "" `}
	if diff := cmp.Diff(want, m.steps[3:]); diff != "" {
		t.Error(diff)
	}
	if end := m.ends[0]; !end.Done || end.DueAt.Sub(start) != 2*deviceRetry {
		t.Errorf("end %+v", end)
	}
	if g.count(apply+` {"configuration":"customers/1/configurations/7","device":{"deviceId":"2"}}`) != 1 || g.count(remove+` {"device":{"deviceId":"3"}}`) != 1 {
		t.Errorf("calls %q", g.calls)
	}
	m, _ = run(answer{status: 429})
	if len(m.steps) != 3 || m.ends[0].Problem.Code != "zero_touch_too_many" {
		t.Errorf("steps %v, end %+v", m.steps, m.ends[0])
	}
}

func TestCheckConfiguration(t *testing.T) {
	good := Configuration{Way: WayDevicePolicy, Company: "Example", Email: "it@example.com", Phone: "+49 (30) 123-4"}
	for name, c := range map[string]struct {
		change func(*Configuration)
		ok     bool
	}{
		"a good one":             {func(*Configuration) {}, true},
		"no way":                 {func(c *Configuration) { c.Way = "" }, false},
		"a personal mode":        {func(c *Configuration) { c.Mode = amapi.PersonalProfile }, false},
		"an agent with a mode":   {func(c *Configuration) { c.Way, c.Mode = WayAgent, amapi.FullyManaged }, false},
		"an address with a name": {func(c *Configuration) { c.Email = "Ann <it@example.com>" }, false},
		"no phone":               {func(c *Configuration) { c.Phone = "none" }, false},
		"no company":             {func(c *Configuration) { c.Company = " " }, false},
		"a line break":           {func(c *Configuration) { c.Message = "a\nb" }, false},
	} {
		got := good
		c.change(&got)
		if err := got.check(); (err == nil) != c.ok || err != nil && enroll.KindOf(err) != enroll.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := good.check(); err != nil || good.Name != "Rollcall" || good.Mode != amapi.FullyManaged {
		t.Errorf("defaults: %+v, %v", good, err)
	}
}

// TestKeysNameGoogle: no key makes this server call somebody else.
func TestKeysNameGoogle(t *testing.T) {
	s, m, _ := setUp(t, nil)
	clouds, err := NewClouds("", m, s.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clouds.read(m.secrets[serviceAccount]); enroll.KindOf(err) != enroll.KindInvalid {
		t.Errorf("a key whose tokens come from this machine: %v", err)
	}
	if _, err := NewClouds("ftp://example.com", m, nil); err == nil {
		t.Error("a service that is no address of one was taken")
	}
}

func TestErrorsKeepTheirCause(t *testing.T) {
	cause := errors.New("cause")
	err := error(&Error{Call: "GET customers", Code: Unreachable, Err: cause})
	if !errors.Is(err, cause) || enroll.KindOf(err) != enroll.KindUnavailable {
		t.Errorf("%v", err)
	}
}
