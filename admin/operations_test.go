package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/mux"

	"rollcall/android"
	"rollcall/dep"
	"rollcall/enroll"
	"rollcall/enroll/importer"
	"rollcall/mdm"
	"rollcall/mdm/apns"
	"rollcall/policy"
	"rollcall/policy/document"
)

// errLeaky is an error that tells more than a client may know.
var errLeaky = errors.New("sql: pq: connection refused at /src/storage/devices.go:12 (panic)")

// The broken stores fail in every method that an operation reaches; a method
// that is not here panics, which must not show either.
type (
	brokenRoll         struct{ enroll.RollStore }
	brokenRequests     struct{ enroll.RequestStore }
	brokenImports      struct{ enroll.ImportStore }
	brokenGate         struct{ enroll.GateStore }
	brokenDecisions    struct{ enroll.DecisionStore }
	brokenRestrictions struct{ enroll.RestrictionStore }
	brokenApprovals    struct{ enroll.ApprovalStore }
	brokenPolicies     struct{ policy.Store }
	brokenDEP          struct{ dep.Store }
	brokenEnrollments  struct{ android.TokenStore }
	broken             struct{}
)

func (brokenImports) Import(context.Context, string) (enroll.Import, error) {
	return enroll.Import{}, errLeaky
}
func (brokenImports) CreateImport(context.Context, enroll.Import) error { return errLeaky }

func (brokenRoll) Device(context.Context, string) (enroll.Device, error) {
	return enroll.Device{}, errLeaky
}
func (brokenRoll) Devices(context.Context, enroll.DeviceFilter, enroll.Page) ([]enroll.Device, error) {
	return nil, &enroll.Error{Kind: enroll.KindUnavailable, Code: "store_unavailable", Text: "the database does not answer", Err: errLeaky}
}
func (b brokenRoll) DeviceList(ctx context.Context, q enroll.DeviceQuery, p enroll.Page) (enroll.DevicePage, error) {
	_, err := b.Devices(ctx, q.DeviceFilter, p)
	return enroll.DevicePage{}, err
}
func (brokenRequests) Request(context.Context, string) (enroll.Request, error) {
	return enroll.Request{}, errLeaky
}
func (brokenGate) Known(context.Context, enroll.Attempt) (enroll.Known, error) {
	return enroll.Known{}, errLeaky
}
func (brokenRestrictions) Settings(context.Context) (enroll.Settings, error) {
	return enroll.Settings{}, &enroll.Error{Kind: enroll.KindInternal, Text: errLeaky.Error(), Err: errLeaky}
}
func (brokenRestrictions) Restrictions(context.Context) (enroll.Settings, []enroll.Rule, error) {
	return enroll.Settings{}, nil, &enroll.Error{Kind: enroll.KindInternal, Text: errLeaky.Error(), Err: errLeaky}
}
func (brokenApprovals) Approval(context.Context, string) (enroll.Approval, error) {
	return enroll.Approval{}, errLeaky
}
func (brokenDecisions) Decision(context.Context, string) (enroll.Decision, error) {
	return enroll.Decision{}, errLeaky
}
func (brokenEnrollments) EnrollmentTokens(context.Context, enroll.Page) ([]android.Token, error) {
	return nil, errLeaky
}

func (brokenDEP) Account(context.Context, string) (dep.Account, error) {
	return dep.Account{}, errLeaky
}
func (brokenPolicies) Policy(context.Context, string) (policy.Policy, error) {
	return policy.Policy{}, errLeaky
}

func (broken) Figures(context.Context, time.Time, time.Time, time.Time) (Figures, error) {
	return Figures{}, errLeaky
}
func (broken) Cohorts(context.Context, time.Time, time.Time) (Cohorts, error) {
	return Cohorts{}, errLeaky
}
func (broken) Receipt(context.Context, string) (policy.Receipt, error) {
	return policy.Receipt{}, errLeaky
}
func (broken) DeclarationSet(context.Context, string) (policy.DeclarationSet, error) {
	return policy.DeclarationSet{}, errLeaky
}
func (broken) DeclarativeStatus(context.Context, string) (policy.DeclarativeStatus, error) {
	return policy.DeclarativeStatus{}, errLeaky
}
func (broken) Commands(context.Context, string, enroll.Page) ([]mdm.CommandRecord, error) {
	return nil, errLeaky
}
func (broken) DeviceCommands(context.Context, string, enroll.Page) ([]mdm.CommandRecord, error) {
	return nil, errLeaky
}
func (broken) DeviceCommand(context.Context, string, string) (mdm.CommandRecord, error) {
	return mdm.CommandRecord{}, errLeaky
}
func (broken) Timeline(context.Context, string, enroll.Page) ([]enroll.Entry, string, error) {
	return nil, "", errLeaky
}
func (broken) CommandRecord(context.Context, string) (mdm.CommandRecord, error) {
	return mdm.CommandRecord{}, errLeaky
}
func (broken) Send(context.Context, enroll.Device, string, map[string]any) (string, error) {
	return "", errLeaky
}
func (broken) SendRaw(context.Context, enroll.Device, []byte) (string, error) { return "", errLeaky }
func (broken) Push(context.Context, enroll.Device) error                      { return errLeaky }
func (broken) CSR(context.Context, string) ([]byte, error)                    { return nil, errLeaky }
func (broken) Install(context.Context, []byte, []byte, bool) (apns.Info, error) {
	return apns.Info{}, errLeaky
}
func (broken) Info(context.Context) (apns.Info, error) { return apns.Info{}, errLeaky }

// tokenStore is a TokenStore of function fields; nil ones panic.
type tokenStore struct {
	TokenStore
	byHash map[[32]byte]Token
	used   func(id string, at time.Time) error
	lookup error
}

func (s *tokenStore) TokenByHash(_ context.Context, hash [32]byte) (Token, error) {
	if s.lookup != nil {
		return Token{}, s.lookup
	}
	t, ok := s.byHash[hash]
	if !ok {
		return Token{}, enroll.Errorf(enroll.KindNotFound, "token_unknown", "no such token")
	}
	return t, nil
}

func (s *tokenStore) TokenUsed(_ context.Context, id string, at time.Time) error {
	if s.used == nil {
		return nil
	}
	return s.used(id, at)
}

// brokenAPI has working tokens, one for each role, and nothing else that works.
func brokenAPI(t *testing.T) (*API, map[Role]string) {
	t.Helper()
	tokens := &tokenStore{byHash: map[[32]byte]Token{}}
	secrets := map[Role]string{}
	for _, role := range roles {
		token, secret := NewToken(string(role), role, time.Now(), time.Time{})
		tokens.byHash[token.Hash] = token
		secrets[role] = secret
	}
	return &API{
		Roll: enroll.NewRoll(brokenRoll{}, nil), Imports: importer.New(brokenImports{}, nil, nil), Requests: enroll.NewRequests(brokenRequests{}, brokenRoll{}, nil), Codes: enroll.NewCodes(enroll.NewRequests(brokenRequests{}, brokenRoll{}, nil), nil, nil), Gate: enroll.NewGate(brokenGate{}, nil), Restrictions: enroll.NewRestrictions(brokenRestrictions{}, brokenGate{}, nil), Approvals: enroll.NewApprovals(brokenApprovals{}, enroll.NewRoll(brokenRoll{}, nil), nil),
		EnrollmentTokens: &android.Tokens{Store: brokenEnrollments{}},
		DEP:              dep.NewAccounts(brokenDEP{}, nil, func() {}, nil), Decisions: brokenDecisions{}, Figures: NewFigureKeeper(broken{}, 0, time.Now, slog.New(slog.DiscardHandler)), Policies: brokenPolicies{}, Deliveries: broken{}, Queue: broken{}, History: broken{}, Commands: broken{}, PushCertificates: broken{}, Tokens: tokens, Administrators: brokenAdministrators(), Views: brokenViews{},
		Mobileconfig: func([]byte) (document.Profile, error) { return document.Profile{}, errLeaky }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, secrets
}

// requestsFor has a body that is valid for each operation that takes one.
var requestsFor = map[string]struct{ contentType, body string }{
	"put-enrollment-restrictions":  {"application/json", `{"pre_enrolled_devices_only":"enforce"}`},
	"create-import":                {"text/csv", "name,email,mobile,ownership,devicename,SerialNumber,platform\nA,a@example.com,,corporate,,SERIAL1,ios\n"},
	"patch-import":                 {"application/json", `{"on_error":"skip"}`},
	"put-import-preset":            {"application/json", `{"header":"no"}`},
	"put-device":                   {"application/json", `{"platform":"ios","ownership":"corporate"}`},
	"patch-device":                 {"application/merge-patch+json", `{"name":"x"}`},
	"block-device":                 {"application/json", `{"reason":"lost"}`},
	"send-command":                 {"application/json", `{"request_type":"DeviceLock"}`},
	"create-group":                 {"application/json", `{"name":"g"}`},
	"change-members":               {"application/json", `{"add":["SERIAL1"]}`},
	"put-policy":                   {"application/json", `{"document":{"device_name":"x"}}`},
	"put-rollout":                  {"application/json", `{"percent":10}`},
	"put-profile":                  {"application/x-apple-aspen-config", `<plist/>`},
	"bind-policy":                  {"application/json", `{"group":"g"}`},
	"resend-request":               {"application/json", `{"via":"link"}`},
	"create-requests":              {"application/json", `{"serials":["SERIAL1"]}`},
	"preview-request":              {"application/json", `{"serial":"SERIAL1"}`},
	"apply-import":                 {"application/json", `{"requests":{"via":"email"}}`},
	"send-import-requests":         {"application/json", `{"via":"email"}`},
	"patch-import-row":             {"application/json", `{"email":"a@example.com"}`},
	"put-gate-rule":                {"application/json", `{"action":"allow","conditions":{}}`},
	"order-gate-rules":             {"application/json", `{"names":["a/b"]}`},
	"approve-and-add-device":       {"application/json", `{"ownership":"corporate"}`},
	"repair-decision":              {"application/json", `{"serial":"SERIAL1"}`},
	"put-rule":                     {"application/json", `{"conditions":[{"field":"serial","values":["*"]}]}`},
	"preview-rule":                 {"application/json", `{"conditions":[{"field":"serial","values":["*"]}]}`},
	"put-user":                     {"application/json", `{"name":"Ann"}`},
	"create-domain":                {"application/json", `{"name":"example.com"}`},
	"disenroll-device":             {"application/json", `{"force":false}`},
	"evaluate":                     {"application/json", `{"serial":"SERIAL1","platform":"ios","channel":"ota"}`},
	"create-push-csr":              {"application/json", `{"email":"a@example.com"}`},
	"put-push-certificate":         {"application/json", `{"certificate_pem":"x"}`},
	"test-mail":                    {"application/json", `{"to":"a@example.com"}`},
	"create-token":                 {"application/json", `{"name":"t","role":"viewer"}`},
	"put-android-enterprise":       {"application/json", `{"delivery":"pull"}`},
	"bind-android-enterprise":      {"application/json", `{"name":"enterprises/LC0"}`},
	"create-android-bound-token":   {"application/json", `{"serial":"SERIAL1","mode":"fully_managed"}`},
	"remove-android-device":        {"application/json", `{"confirm":"wipe"}`},
	"put-zero-touch":               {"application/json", `{"assign":"all"}`},
	"put-zero-touch-configuration": {"application/json", `{"way":"agent","company":"Example","email":"it@example.com","phone":"+49 30 123"}`},
	"choose-zero-touch-devices":    {"application/json", `{"serials":["SERIAL1"],"choice":"ours"}`},
	"create-enrollment-token":      {"application/json", `{"name":"table"}`},
	"make-enrollment-payloads":     {"application/json", `{"token":"secret"}`},
	"create-dep-account":           {"application/json", `{"name":"Berlin"}`},
	"patch-dep-account":            {"application/json", `{"add_as_pre_enrolled":true}`},
	"put-dep-token":                {"application/pkcs7-mime", "Content-Type: application/pkcs7-mime\r\n\r\n"},
	"sync-dep-account":             {"application/json", `{"full":true}`},
	"put-dep-discovery":            {"application/json", `{"url":"https://mdm.example.com/"}`},
	"disown-dep-devices":           {"application/json", `{"serials":["SERIAL1"],"confirm":"release for good"}`},
	"put-ade-profile":              {"application/json", `{"authentication":"none"}`},
	"create-webhook":               {"application/json", `{"url":"https://hooks.example.com/"}`},
	"put-webhook":                  {"application/json", `{"enabled":false}`},
	"create-administrator":         {"application/json", `{"email":"ann@example.com","name":"Ann","role":"viewer"}`},
	"patch-administrator":          {"application/json", `{"name":"Ann"}`},
	"patch-me":                     {"application/json", `{"theme":"dark"}`},
	"put-my-password":              {"application/json", `{"current":"a","new":"correct horse battery"}`},
	"put-my-second-factor":         {"application/json", `{"code":"123456"}`},
	"remove-my-second-factor":      {"application/json", `{"code":"123456"}`},
	"put-view":                     {"application/json", `{"query":"state=enrolled"}`},
	"run-batch":                    {"application/json", `{"atomic":true,"operations":[{"method":"DELETE","path":"/devices/SERIAL1"}]}`},
}

var queriesFor = map[string]string{"compare-policy-versions": "?from=1", "create-import": "?domain=local", "unbind-policy": "?group=g"}

// documented lists every operation of the document with its method.
func documented(a *API) map[string]*huma.Operation {
	out := map[string]*huma.Operation{}
	for path, item := range a.mount(mux.NewRouter()).OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete, "HEAD": item.Head} {
			if op != nil {
				out[method+" "+path] = op
			}
		}
	}
	return out
}

// call makes a valid request to an operation.
func call(h http.Handler, route string, op *huma.Operation, token string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(route, " ")
	path = strings.NewReplacer("{serial}", "SERIAL1", "{name}", "a%2Fb", "{id}", "x1", "{version}", "1", "{line}", "2", "{domain}", "local", "{email}", "ann@example.com").Replace(path) + queriesFor[op.OperationID]
	r := httptest.NewRequest(method, path, strings.NewReader(requestsFor[op.OperationID].body))
	if ct := requestsFor[op.OperationID].contentType; ct != "" {
		r.Header.Set("Content-Type", ct)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestDocumentAndRouterAgree compares what is routed with what is documented,
// and calls every operation.
func TestDocumentAndRouterAgree(t *testing.T) {
	a, secrets := brokenAPI(t)
	router := mux.NewRouter()
	a.mount(router)
	var routed, written []string
	err := router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		for _, m := range methods {
			routed = append(routed, m+" "+path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h := a.Handler()
	for route, op := range documented(a) {
		written = append(written, route)
		if w := call(h, route, op, secrets[RoleAdmin]); w.Code == http.StatusMethodNotAllowed || strings.Contains(w.Body.String(), "route_unknown") {
			t.Errorf("%s is documented but not routed: %d %s", route, w.Code, w.Body)
		}
		path := route[strings.Index(route, "/"):]
		for _, part := range strings.Split(path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok && !hasParam(op, "path", strings.TrimSuffix(name, "}")) {
				t.Errorf("%s does not document %s", route, part)
			}
		}
		if op.Summary == "" || op.OperationID == "" || len(op.Tags) != 1 {
			t.Errorf("%s lacks a summary, an id or a tag", route)
		}
		if op.RequestBody != nil && requestsFor[op.OperationID].body == "" {
			t.Errorf("%s has no request in this test", route)
		}
	}
	sort.Strings(routed)
	sort.Strings(written)
	if diff := cmp.Diff(written, routed); diff != "" {
		t.Errorf("documented (-) and routed (+) differ:\n%s", diff)
	}
}

func hasParam(op *huma.Operation, in, name string) bool {
	for _, p := range op.Parameters {
		if p.In == in && p.Name == name {
			return true
		}
	}
	return false
}

// TestRoles walks all operations with each role, and with no token.
func TestRoles(t *testing.T) {
	a, secrets := brokenAPI(t)
	h := a.Handler()
	// What each role may do that the one below may not, beyond reading.
	operator := []string{"devices", "groups", "users", "domains", "requests", "imports", "import-presets", "approvals", "decisions", "batch", "enrollment-tokens"}
	for route, op := range documented(a) {
		method, path, _ := strings.Cut(route, " ")
		first, _, _ := strings.Cut(strings.TrimPrefix(path, Prefix+"/"), "/")
		want := RoleAdmin
		switch {
		case op.OperationID == "get-openapi":
			if w := call(h, route, op, ""); w.Code != http.StatusOK {
				t.Errorf("%s without a token: %d", route, w.Code)
			}
			continue
		case op.OperationID == "list-android-poison": // what devices reported, as it came
		case slices.Contains([]string{"list-android-ways", "create-android-bound-token", "approve-android-device", "reconcile-android-enterprise"}, op.OperationID):
			want = RoleOperator
		case slices.Contains([]string{"me", "sessions", "views"}, first): // one's own
			want = RoleViewer
		case !slices.Contains([]string{"tokens", "webhooks", "audit", "administrators"}, first) && (method == "GET" || op.OperationID == "evaluate" || op.OperationID == "preview-rule"):
			want = RoleViewer
		case slices.Contains(operator, first):
			want = RoleOperator
		}
		for _, role := range roles {
			w := call(h, route, op, secrets[role])
			if got := w.Code != http.StatusForbidden; got != role.Includes(want) {
				t.Errorf("%s as %s: %d, needs %s", route, role, w.Code, want)
			}
			if w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), "the role "+string(want)) {
				t.Errorf("%s as %s does not name the role %s: %s", route, role, want, w.Body)
			}
		}
		w := call(h, route, op, "")
		if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s without a token: %d %v", route, w.Code, w.Header())
		}
	}
}

// TestNothingLeaks calls every operation while everything behind it fails or
// panics.
func TestNothingLeaks(t *testing.T) {
	a, secrets := brokenAPI(t)
	h := a.Handler()
	failed := 0
	for route, op := range documented(a) {
		w := call(h, route, op, secrets[RoleAdmin])
		if w.Code >= 500 {
			failed++
			if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("%s: %d as %s", route, w.Code, ct)
			}
		}
		for _, inner := range []string{"sql:", "pq:", ".go", "panic", "nil pointer", "goroutine", "connection refused"} {
			if strings.Contains(w.Body.String(), inner) {
				t.Errorf("%s shows %q: %s", route, inner, w.Body)
			}
		}
	}
	if failed < 30 {
		t.Errorf("only %d operations failed; the stores are not as broken as this test needs", failed)
	}
}

func TestTokens(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 30, 0, time.UTC)
	good, secret := NewToken("good", RoleViewer, now, time.Time{})
	expired, expiredSecret := NewToken("expired", RoleViewer, now, now)
	later, laterSecret := NewToken("later", RoleViewer, now, now.Add(time.Second))
	revoked, revokedSecret := NewToken("revoked", RoleViewer, now, time.Time{})
	revoked.RevokedAt = now
	strange, strangeSecret := NewToken("strange", "owner", now, time.Time{})
	store := &tokenStore{byHash: map[[32]byte]Token{}}
	for _, token := range []Token{good, expired, later, revoked, strange} {
		store.byHash[token.Hash] = token
	}
	a, _ := brokenAPI(t)
	a.Tokens, a.Now = store, func() time.Time { return now }
	h := a.Handler()
	tests := []struct {
		name, header string
		status       int
		code         string
	}{
		{"good", "Bearer " + secret, 200, ""},
		{"scheme in lower case", "bearer " + secret, 200, ""},
		{"not yet expired", "Bearer " + laterSecret, 200, ""},
		{"none", "", 401, "token_missing"},
		{"basic", "Basic " + secret, 401, "token_missing"},
		{"without scheme", secret, 401, "token_missing"},
		{"unknown", "Bearer " + secret + "x", 401, "token_unknown"},
		{"expired", "Bearer " + expiredSecret, 401, "token_expired"},
		{"revoked", "Bearer " + revokedSecret, 401, "token_revoked"},
		{"a role that does not exist", "Bearer " + strangeSecret, 403, "role_needed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", Prefix+"/imports/sample.csv", nil)
			if test.header != "" {
				r.Header.Set("Authorization", test.header)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.code) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, test.status, test.code)
			}
			if got := w.Header().Get("WWW-Authenticate") != ""; got != (test.status == 401) {
				t.Errorf("WWW-Authenticate is %q", w.Header().Get("WWW-Authenticate"))
			}
		})
	}
	store.lookup = errLeaky
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", Prefix+"/imports/sample.csv", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	h.ServeHTTP(w, r)
	if w.Code != 500 || strings.Contains(w.Body.String(), "sql") {
		t.Errorf("store down: %d %s", w.Code, w.Body)
	}
}

// TestLastUse asserts that the last use is noted at most once a minute, and
// that failing to note it does not matter.
func TestLastUse(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 30, 0, time.UTC)
	token, secret := NewToken("t", RoleViewer, now, time.Time{})
	store := &tokenStore{byHash: map[[32]byte]Token{token.Hash: token}}
	var noted []time.Time
	store.used = func(id string, at time.Time) error {
		token.LastUsedAt = at
		store.byHash[token.Hash] = token
		noted = append(noted, at)
		return errLeaky
	}
	a, _ := brokenAPI(t)
	a.Tokens, a.Now = store, func() time.Time { return now }
	h := a.Handler()
	for range 5 {
		r := httptest.NewRequest("GET", Prefix+"/imports/sample.csv", nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		now = now.Add(20 * time.Second)
	}
	minute := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	if diff := cmp.Diff([]time.Time{minute, minute.Add(time.Minute)}, noted); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
}

// TestStatusOfEveryKind finds a kind that the switch forgot.
func TestStatusOfEveryKind(t *testing.T) {
	a, _ := brokenAPI(t)
	want := map[enroll.Kind]int{enroll.KindInvalid: 422, enroll.KindNotFound: 404, enroll.KindConflict: 409, enroll.KindUnauthorized: 401,
		enroll.KindForbidden: 403, enroll.KindGone: 410, enroll.KindUnavailable: 503, enroll.KindInternal: 500, "new kind": 500}
	for kind, status := range want {
		p := a.problem(t.Context(), &enroll.Error{Kind: kind, Code: "c", Text: "text", Hint: "hint", Err: errLeaky})
		if p.Status != status || status != 500 && (p.Code != "c" || p.Detail != "text" || p.Hint != "hint") || status == 500 && p.Code != "internal" {
			t.Errorf("%s: %+v", kind, p)
		}
	}
}
