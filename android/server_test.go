package android

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/certs/attestation"
	"rollcall/enroll"
	"rollcall/policy"
)

func code(t *testing.T, body []byte) string {
	t.Helper()
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || a.V != 1 || a.Action == "" {
		t.Fatalf("not an answer: %s", body)
	}
	return a.Code
}

// TestNonceReplayed: a nonce is good once, for five minutes, and from this
// server only.
func TestNonceReplayed(t *testing.T) {
	s, f := testServer()
	nonce, body := enrollRequest(t, s, nil)
	send := func(who string, body []byte) (int, string) {
		w := s.serve(signedRequest(t, http.MethodPost, PathEnroll, who, 0, body))
		return w.Code, code(t, w.Body.Bytes())
	}
	if status, _ := send(nonce, body); status != http.StatusCreated {
		t.Fatal(status)
	}
	if status, c := send(nonce, body); status != http.StatusConflict || c != "nonce_used" {
		t.Errorf("again: %d %s", status, c)
	}
	// The same device with a new nonce has lost the answer.
	nonce, body = enrollRequest(t, s, nil)
	f.enrolled.TokenID = "token"
	if status, _ := send(nonce, body); status != http.StatusOK || f.token.Uses != 1 {
		t.Errorf("the lost answer: %d, %d uses", status, f.token.Uses)
	}
	other := NewNonces([]byte("another key"), s.Now)
	foreign, _ := other.New()
	late, _ := s.Nonces.New()
	for name, n := range map[string]string{"foreign": foreign, "short": late[:40], "not base64": "!" + late[1:], "empty": ""} {
		_, body := enrollRequest(t, s, map[string]any{"nonce": n})
		if status, c := send(n, body); status != http.StatusBadRequest || c != "nonce_invalid" {
			t.Errorf("%s: %d %s", name, status, c)
		}
	}
	s.Nonces.now = func() time.Time { return testNow.Add(nonceLife) }
	if _, ok := s.Nonces.Check(late); ok {
		t.Error("a nonce is good after its end")
	}
}

// TestSignatures: what is not signed by the key over this very request is
// refused, and does nothing.
func TestSignatures(t *testing.T) {
	s, f := enrolledServer(t)
	idle := []byte(`{"v":1,"results":[]}`)
	for name, change := range map[string]func(*http.Request){
		"missing":         func(r *http.Request) { r.Header.Del(headerSignature) },
		"not base64":      func(r *http.Request) { r.Header.Set(headerSignature, "***") },
		"too long":        func(r *http.Request) { r.Header.Set(headerSignature, strings.Repeat("A", 4000)) },
		"not ASN.1":       func(r *http.Request) { r.Header.Set(headerSignature, "AAAA") },
		"zeros":           func(r *http.Request) { r.Header.Set(headerSignature, "MAYCAQACAQA=") },
		"another counter": func(r *http.Request) { r.Header.Set(headerCounter, "43") },
		"no counter":      func(r *http.Request) { r.Header.Del(headerCounter) },
		"counter 0":       func(r *http.Request) { r.Header.Set(headerCounter, "0") },
		"counter +42":     func(r *http.Request) { r.Header.Set(headerCounter, "+42") },
		"too large":       func(r *http.Request) { r.Header.Set(headerCounter, "9223372036854775808") },
		"no device":       func(r *http.Request) { r.Header.Del(headerDevice) },
		"another method":  func(r *http.Request) { r.Method = http.MethodPost },
	} {
		r := signedRequest(t, http.MethodPut, PathCheckin, testDevice, 42, idle)
		change(r)
		w := s.serve(r)
		if w.Code != http.StatusBadRequest || f.enrolled.Counter != 41 {
			t.Errorf("%s: %d %s, counter %d", name, w.Code, w.Body, f.enrolled.Counter)
		}
	}
	// Strangers are bounded where they cannot sign.
	s.Strangers = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusTooManyRequests)
		return false
	}
	r := signedRequest(t, http.MethodPut, PathCheckin, testDevice, 43, idle)
	r.Header.Del(headerSignature)
	if w := s.serve(r); w.Code != http.StatusTooManyRequests {
		t.Errorf("a stranger: %d", w.Code)
	}
	if w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, 44, idle)); w.Code != http.StatusOK {
		t.Errorf("a device: %d", w.Code)
	}
}

// TestKeys: P-256 and nothing else.
func TestKeys(t *testing.T) {
	s, _ := testServer()
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&other.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]string{"P-384": base64.StdEncoding.EncodeToString(der), "none": "", "nonsense": "AAAA", "large": strings.Repeat("AAAA", 1000)} {
		nonce, body := enrollRequest(t, s, map[string]any{"public_key": key})
		w := s.serve(signedRequest(t, http.MethodPost, PathEnroll, nonce, 0, body))
		if c := code(t, w.Body.Bytes()); w.Code != http.StatusBadRequest || c != "public_key_invalid" {
			t.Errorf("%s: %d %s", name, w.Code, c)
		}
	}
}

// TestBounds: large and broken messages.
func TestBounds(t *testing.T) {
	s, f := enrolledServer(t)
	long := strings.Repeat("x", 300)
	many := `{"v":1,"results":[` + strings.TrimSuffix(strings.Repeat(`{"command_id":"a","status":"acknowledged"},`, 101), ",") + `]}`
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"too large":     {`{"v":1,"pad":"` + strings.Repeat("x", maxCheckin) + `"}`, http.StatusRequestEntityTooLarge},
		"not JSON":      {"results", http.StatusBadRequest},
		"more than one": {`{"v":1}{"v":1}`, http.StatusBadRequest},
		"version 2":     {`{"v":2}`, http.StatusBadRequest},
		"101 results":   {many, http.StatusBadRequest},
		"a long name":   {`{"v":1,"device":{"model":"` + long + `"}}`, http.StatusBadRequest},
	} {
		before := f.enrolled.Counter
		w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, before+1, []byte(test.body)))
		var a answer
		if json.Unmarshal(w.Body.Bytes(), &a) != nil || a.Action != actionNone || w.Code != test.status || f.enrolled.Counter != before {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, 1000, []byte(`{"v":1,"results":[{"command_id":"a","status":"acknowledged"}],"unknown":[1]}`))); w.Code != http.StatusOK {
		t.Errorf("a field that is not known: %d %s", w.Code, w.Body)
	}
}

// TestUnreadableResults: each is refused by itself. Its command has failed, and
// what else the device has to say is taken.
func TestUnreadableResults(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, test := range map[string]struct {
		result string
		want   resultProblem
	}{
		"unknown status": {`{"command_id":"0192","status":"fine"}`, resultProblem{1, "0192", "status_unknown", "The result has a status that is not known."}},
		"status 7":       {`{"command_id":"0192","status":7}`, resultProblem{1, "0192", "result_invalid", "The result cannot be read."}},
		"no command":     {`{"status":"acknowledged"}`, resultProblem{1, "", "command_id_invalid", "The result names no command."}},
		"a long id":      {`{"command_id":"` + long + `","status":"acknowledged"}`, resultProblem{1, "", "command_id_invalid", "The result names no command."}},
		"a number":       {`7`, resultProblem{1, "", "command_id_invalid", "The result names no command."}},
	} {
		s, f := enrolledServer(t)
		f.queue = []Command{{ID: "0191", Type: typeReboot}, {ID: "0192", Type: typeLock}, {ID: "0193", Type: typeInformation}}
		body := `{"v":1,"results":[{"command_id":"0191","status":"acknowledged"},` + test.result + `,{"command_id":"0193","status":"acknowledged","data":{"model":"Pixel 10"}}]}`
		w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, 42, []byte(body)))
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK || !slices.Equal(a.Problems, []resultProblem{test.want}) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if f.facts.Model != "Pixel 10" {
			t.Errorf("%s: what another result tells is not taken", name)
		}
		failed := slices.ContainsFunc(f.results, func(r Result) bool {
			return r.CommandID == "0192" && r.State == policy.CommandFailed && r.ErrorCode() == codeResultInvalid
		})
		if failed != (test.want.CommandID != "") {
			t.Errorf("%s: results %+v", name, f.results)
		}
		w = s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, 43, []byte(`{"v":1,"results":[`+test.result+`]}`)))
		if w.Code != http.StatusOK {
			t.Errorf("%s, by itself: %d %s", name, w.Code, w.Body)
		}
	}
}

// attests is an Attestor that says what it is.
type attests struct {
	Attested
	err error
}

func (a attests) Verify([][]byte, []byte, crypto.PublicKey) (Attested, error) {
	return a.Attested, a.err
}

// TestEvidence: what the serial of an attempt is known by.
func TestEvidence(t *testing.T) {
	chain := map[string]any{"attestation": []string{"AAAA"}}
	row := enroll.Device{ID: "row", Serial: "R58N12ABCDE", Ownership: enroll.OwnershipCorporate}
	for name, test := range map[string]struct {
		prepare  func(*Server, *fake)
		change   map[string]any
		status   int
		refused  enroll.Code
		evidence enroll.Evidence
	}{
		"claimed":                 {func(*Server, *fake) {}, nil, 201, "", enroll.EvidenceClaimed},
		"a bound token":           {func(_ *Server, f *fake) { f.token.DeviceID, f.device = "row", row }, nil, 201, "", enroll.EvidenceToken},
		"bound to another serial": {func(_ *Server, f *fake) { f.token.DeviceID, f.device.Serial = "row", "OTHER" }, nil, 403, enroll.DenyTokenSerialMismatch, enroll.EvidenceClaimed},
		"for another ownership": {func(_ *Server, f *fake) {
			f.token = Token{DeviceID: "row", MaxUses: 1, Ownership: "personal"}
			f.device = row
		}, nil, 403, enroll.DenyOwnership, enroll.EvidenceClaimed},
		"attested":                 {func(s *Server, _ *fake) { s.Attestor = attests{Attested: Attested{Serial: "R58N12ABCDE"}} }, chain, 201, "", enroll.EvidenceAttested},
		"a key without serial":     {func(s *Server, _ *fake) { s.Attestor = attests{} }, chain, 201, "", enroll.EvidenceClaimed},
		"another serial":           {func(s *Server, _ *fake) { s.Attestor = attests{Attested: Attested{Serial: "OTHER"}} }, chain, 403, enroll.DenyIdentityConflict, enroll.EvidenceClaimed},
		"another IMEI":             {func(s *Server, _ *fake) { s.Attestor = attests{Attested: Attested{IMEI: "1"}} }, chain, 403, enroll.DenyIdentityConflict, enroll.EvidenceClaimed},
		"no list of revoked keys":  {func(*Server, *fake) {}, chain, 201, "", enroll.EvidenceClaimed},
		"a revoked key":            {func(s *Server, _ *fake) { s.Attestor = attests{err: attestation.ErrRevoked} }, chain, 403, enroll.DenyIdentityConflict, enroll.EvidenceClaimed},
		"another challenge":        {func(s *Server, _ *fake) { s.Attestor = attests{err: attestation.ErrOtherChallenge} }, chain, 403, enroll.DenyIdentityConflict, enroll.EvidenceClaimed},
		"another key":              {func(s *Server, _ *fake) { s.Attestor = attests{err: attestation.ErrOtherKey} }, chain, 403, enroll.DenyIdentityConflict, enroll.EvidenceClaimed},
		"a list that is not known": {func(s *Server, _ *fake) { s.Attestor = attests{err: attestation.ErrStatusUnknown} }, chain, 503, "", ""},
		"a wrong root":             {func(s *Server, _ *fake) { s.Attestor = attests{err: attestation.ErrUntrustedRoot} }, chain, 201, "", enroll.EvidenceClaimed},
		"software":                 {func(s *Server, _ *fake) { s.Attestor = attests{err: attestation.ErrSoftware} }, chain, 201, "", enroll.EvidenceClaimed},
		"software, verified boot": {func(s *Server, _ *fake) {
			s.RequireVerifiedBoot, s.Attestor = true, attests{err: attestation.ErrSoftware}
		}, chain, 403, enroll.DenyEvidenceTooWeak, enroll.EvidenceClaimed},
		"an unlocked boot loader":  {func(s *Server, _ *fake) { s.RequireVerifiedBoot = true; s.Attestor = attests{} }, chain, 403, enroll.DenyEvidenceTooWeak, enroll.EvidenceClaimed},
		"no attestation of a boot": {func(s *Server, _ *fake) { s.RequireVerifiedBoot = true; s.Attestor = attests{} }, nil, 403, enroll.DenyEvidenceTooWeak, enroll.EvidenceClaimed},
		"a takeover":               {func(_ *Server, f *fake) { f.takeover = true }, nil, 403, enroll.DenyIdentityConflict, enroll.EvidenceClaimed},
		"a proven takeover":        {func(_ *Server, f *fake) { f.takeover, f.token.DeviceID, f.device = true, "row", row }, nil, 201, "", enroll.EvidenceToken},
	} {
		s, f := testServer()
		test.prepare(s, f)
		nonce, body := enrollRequest(t, s, test.change)
		w := s.serve(signedRequest(t, http.MethodPost, PathEnroll, nonce, 0, body))
		if w.Code != test.status || f.attempt.Evidence != test.evidence {
			t.Errorf("%s: %d %s, evidence %s", name, w.Code, w.Body, f.attempt.Evidence)
		}
		if a := (answer{}); test.status == 503 && (json.Unmarshal(w.Body.Bytes(), &a) != nil || a.Action != actionRetry || len(f.refused) > 0) {
			t.Errorf("%s: %s, refused %v", name, w.Body, f.refused)
		}
		if test.refused != "" && (len(f.refused) != 1 || f.refused[0] != test.refused) {
			t.Errorf("%s: refused %v", name, f.refused)
		}
	}
}

// TestCommandsThatCannotBe: types and parameters that the protocol does not
// have.
func TestCommandsThatCannotBe(t *testing.T) {
	for name, args := range map[string]map[string]any{
		"DeviceLock": nil, "set_policy": nil, typeResetPasscode: nil, typeInstallApp: {"package": "a", "url": "b"}, typeLock: {"text": "x"}, typeRing: {"seconds": "x"},
		TypeWipe: {"esims": 1}, typeRemoveApp: {"package": ""},
	} {
		if _, err := NewCommand(name, args); enroll.KindOf(err) != enroll.KindInvalid {
			t.Errorf("%s %v: %v", name, args, err)
		}
	}
}
