package android

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/policy/android"
	"rollcall/policy/document"
)

var update = flag.Bool("update", false, "write testdata/agent anew")

// golden compares a message with its file.
func golden(t *testing.T, name string, message []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, message, "", "  "); err != nil {
		t.Fatalf("%s: %v: %s", name, err, message)
	}
	b.WriteByte('\n')
	path := filepath.Join("..", "testdata", "agent", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-file +now):\n%s", name, diff)
	}
}

// request reads a message of an agent.
func request(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "agent", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// enrollRequest is the message of enroll with the nonce of this run, since a
// nonce is made by the server.
func enrollRequest(t *testing.T, s *Server, change map[string]any) (nonce string, body []byte) {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(request(t, "enroll.request.json"), &m); err != nil {
		t.Fatal(err)
	}
	nonce, _ = s.Nonces.New()
	m["nonce"] = nonce
	for k, v := range change {
		m[k] = v
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return nonce, body
}

// TestGoldenRequestKey: the key in the message is the one that the tests sign
// with.
func TestGoldenRequestKey(t *testing.T) {
	spki, _, err := fingerprint(&testKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		golden(t, "enroll.request.json", []byte(`{"v":1,"token":"the-enrollment-token","nonce":"AAAAAGkhn0rr2u5cqjZq0nR8Sm0b1qkZVxqjQ0m0oR3yFqkYJd4","public_key":"`+base64.StdEncoding.EncodeToString(spki)+`",
			"device":{"serial":"R58N12ABCDE","imei":"490154203237518","imei2":"","meid":"","manufacturer":"samsung","brand":"samsung","model":"SM-A536B","os_version":"14","api_level":34,
			"security_patch":"2026-10-01","management":"fully_managed","enterprise_specific_id":""},"agent":{"package":"org.example.agent","version":"1.4.0"},"push":{"kind":"fcm","id":"fid-1"}}`))
	}
	var m struct {
		PublicKey []byte `json:"public_key"`
	}
	if err := json.Unmarshal(request(t, "enroll.request.json"), &m); err != nil || !bytes.Equal(m.PublicKey, spki) {
		t.Errorf("another key, %v", err)
	}
}

func TestGoldenNonce(t *testing.T) {
	s, _ := testServer()
	w := s.serve(signedRequest(t, http.MethodGet, PathNonce, "", 0, nil))
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if nonce, _ := m["nonce"].(string); len(nonce) < 43 {
		t.Errorf("nonce %q", nonce)
	}
	m["nonce"] = "base64url, 43 characters or more"
	b, _ := json.Marshal(m)
	golden(t, "nonce.response.json", b)
}

func TestGoldenEnroll(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(*fake)
		status  int
		refused enroll.Code
	}{
		{"enroll.response.json", func(*fake) {}, http.StatusCreated, ""},
		{"enroll.hold.response.json", func(f *fake) { f.decision.Code = enroll.HoldPendingApproval }, http.StatusAccepted, ""},
		{"enroll.refused.response.json", func(f *fake) { f.decision.Code = enroll.DenyNotPreEnrolled }, http.StatusForbidden, ""},
		{"enroll.token_used.response.json", func(f *fake) { f.token.Uses = 1 }, http.StatusGone, enroll.DenyTokenUsedUp},
		{"enroll.token_expired.response.json", func(f *fake) { f.token.ExpiresAt = testNow }, http.StatusGone, enroll.DenyTokenExpired},
		{"enroll.token_revoked.response.json", func(f *fake) { f.token.RevokedAt = testNow }, http.StatusGone, enroll.DenyTokenRevoked},
	} {
		s, f := testServer()
		test.prepare(f)
		uses := f.token.Uses
		nonce, body := enrollRequest(t, s, nil)
		w := s.serve(signedRequest(t, http.MethodPost, PathEnroll, nonce, 0, body))
		if w.Code != test.status {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
		golden(t, test.name, w.Body.Bytes())
		if test.refused != "" && (len(f.refused) != 1 || f.refused[0] != test.refused) {
			t.Errorf("%s: recorded %v", test.name, f.refused)
		}
		if test.status != http.StatusCreated && (f.token.Uses != uses || f.enrolled != nil) {
			t.Errorf("%s: the token is used", test.name)
		}
	}
}

// TestGoldenCommands: every command as it is handed out.
func TestGoldenCommands(t *testing.T) {
	_, information, err := Encoder{}.Encode(t.Context(), "", policy.QueryDevice{})
	if err != nil {
		t.Fatal(err)
	}
	_, set, err := Encoder{}.Encode(t.Context(), "", policy.SetAgentPolicy{Hash: "hash",
		Policy: android.AgentPolicy{V: 1, Document: document.Document{Restrictions: &document.Restrictions{Camera: document.Deny}, LockMessage: "Property of Example"}}})
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{typeInformation: information, typeSetPolicy: set}
	for name, args := range map[string]map[string]any{
		typeInstallApp: {"package": "org.example.mail", "url": "https://mdm.example.com/mail.apk", "sha256": "00ff"}, typeRemoveApp: {"package": "org.example.mail"},
		typeLock: {"message": "Lost", "phone": "112"}, typeResetPasscode: {"passcode": "483901"}, typeRing: {"seconds": 30.0}, typeLocate: nil, typeReboot: nil,
		TypeWipe: {"external_storage": true, "esims": false, "reason": "sold"}, typeUnenroll: nil,
	} {
		c, err := NewCommand(name, args)
		if err != nil {
			t.Fatal(err)
		}
		bodies[name] = c.Body
	}
	for name := range commandTypes {
		if bodies[name] == nil {
			t.Errorf("the command %s has no golden message", name)
		}
	}
	for name, body := range bodies {
		s, f := enrolledServer(t)
		f.queue = []Command{{ID: "01940000-0000-7000-8000-000000000001", Type: name, Body: body}}
		w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, 42, []byte(`{"v":1,"results":[]}`)))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		golden(t, "command."+name+".json", w.Body.Bytes())
	}
}

// TestGoldenCheckin: results of every status, and every other answer.
func TestGoldenCheckin(t *testing.T) {
	ids := []string{"0192", "0193", "0194", "0195"}
	if *update {
		golden(t, "checkin.request.json", []byte(`{"v":1,"results":[{"command_id":"0192","status":"acknowledged","data":{"os_version":"15","api_level":35,"battery_level":0.8,"encrypted":true,"apps":[{"package":"org.example.mail","version":"2"}]}},
			{"command_id":"0193","status":"error","error":{"code":"app_not_found","message":"the agent's own words"}},{"command_id":"0194","status":"unsupported"},{"command_id":"0195","status":"not_now"}],
			"device":{"os_version":"15"},"push":{"kind":"fcm","id":"fid-2"}}`))
	}
	s, f := enrolledServer(t)
	for _, id := range ids {
		f.queue = append(f.queue, Command{ID: id, Type: typeInformation, Body: []byte(`{}`)})
	}
	w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, 42, request(t, "checkin.request.json")))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	type said struct {
		ID, Error string
		State     policy.CommandState
		NotNow    bool
	}
	var got []said
	for _, r := range f.results {
		got = append(got, said{r.CommandID, r.Error, r.State, r.NotNow})
	}
	if diff := cmp.Diff([]said{{"0192", "", policy.CommandAcknowledged, false}, {"0193", "app_not_found: the agent's own words", policy.CommandFailed, false},
		{"0194", "unsupported", policy.CommandFailed, false}, {"0195", "", "", true}}, got); diff != "" {
		t.Error(diff)
	}
	if f.facts.OSVersion != "15" || f.facts.Extra["api_level"] != "35" || f.facts.Extra["battery_level"] != "0.8" || f.enrolled.PushID != "fid-2" {
		t.Errorf("facts %+v, push %q", f.facts, f.enrolled.PushID)
	}
	idle := []byte(`{"v":1,"results":[]}`)
	answer := func(name string, status int, prepare func(*fake), counter int64, who string, body []byte) {
		t.Helper()
		s, f := enrolledServer(t)
		prepare(f)
		w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, who, counter, body))
		if w.Code != status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		golden(t, name, w.Body.Bytes())
	}
	answer("checkin.response.json", http.StatusOK, func(*fake) {}, 42, testDevice, idle)
	answer("counter_used.response.json", http.StatusConflict, func(*fake) {}, 41, testDevice, idle)
	answer("device_unknown.response.json", http.StatusGone, func(*fake) {}, 42, "another", idle)
	answer("wiped.response.json", http.StatusOK, func(f *fake) { f.enrolled.EndedAt, f.enrolled.Wiped = testNow, true }, 42, testDevice, idle)
	answer("ended.response.json", http.StatusGone, func(f *fake) { f.enrolled.EndedAt = testNow }, 42, testDevice, idle)
	answer("replaced.response.json", http.StatusGone, func(f *fake) { f.enrolled.EndedAt, f.enrolled.Replaced = testNow, true }, 42, testDevice, idle)
	answer("unenrolled.response.json", http.StatusOK, func(f *fake) { f.removed, f.queue = "0192", []Command{{ID: "0192", Type: typeUnenroll}} }, 42, testDevice,
		[]byte(`{"v":1,"results":[{"command_id":"0192","status":"acknowledged"}]}`))
	answer("result_refused.response.json", http.StatusOK, func(*fake) {}, 42, testDevice, []byte(`{"v":1,"results":[{"command_id":"0192","status":"fine"}]}`))
	answer("unreadable.response.json", http.StatusBadRequest, func(*fake) {}, 42, testDevice, []byte(`{"v":1,`))
}

func TestGoldenWait(t *testing.T) {
	s, f := enrolledServer(t)
	f.queue = []Command{{ID: "0192", Type: typeLocate}}
	w := s.serve(signedRequest(t, http.MethodGet, PathWait+"?timeout=55", testDevice, 42, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	golden(t, "wait.response.json", w.Body.Bytes())
	f.queue = nil
	if w := s.serve(signedRequest(t, http.MethodGet, PathWait+"?timeout=1", testDevice, 43, nil)); w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Errorf("nothing came: %d %s", w.Code, w.Body)
	}
	for _, timeout := range []string{"0", "56", "x", "-1"} {
		if w := s.serve(signedRequest(t, http.MethodGet, PathWait+"?timeout="+timeout, testDevice, 44, nil)); w.Code != http.StatusBadRequest {
			t.Errorf("timeout %s: %d", timeout, w.Code)
		}
	}
	woken := make(chan int, 1)
	go func() {
		woken <- s.serve(signedRequest(t, http.MethodGet, PathWait, testDevice, 50, nil)).Code
	}()
	deadline := time.After(10 * time.Second)
	for s.Waits.Waiting() == 0 {
		select {
		case <-deadline:
			t.Fatal("nobody waits")
		case <-time.After(time.Millisecond):
		}
	}
	s.Waits.mu.Lock()
	s.Waits.waiting[testDevice].wake()
	delete(s.Waits.waiting, testDevice)
	s.Waits.mu.Unlock()
	if code := <-woken; code != http.StatusOK {
		t.Errorf("woken: %d", code)
	}
}
