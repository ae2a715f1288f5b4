package mdm

import (
	"bytes"
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/mdm/plist"
	"rollcall/policy"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

var update = flag.Bool("update", false, "write the golden files anew")

const golden = "../testdata/mdm/golden"

var authority = sync.OnceValue(func() *certs.Authority {
	a, err := certs.CreateAuthority("Rollcall test CA", time.Now())
	if err != nil {
		panic(err)
	}
	return a
})

// fixedChallenges hands out secrets one can recognise, and notes for what.
type fixedChallenges struct {
	bindings []certs.Binding
	lives    []time.Duration
}

func (f *fixedChallenges) NewChallenge(_ context.Context, b certs.Binding, life time.Duration) (string, error) {
	f.bindings, f.lives = append(f.bindings, b), append(f.lives, life)
	return fmt.Sprintf("challenge-%d", len(f.bindings)), nil
}

func testProfiles() (*Profiles, *fixedChallenges) {
	challenges := &fixedChallenges{}
	return &Profiles{Organization: "Example", SCEPURL: "https://mdm.example.com/scep", ServerURL: "https://mdm.example.com/mdm/connect",
		CheckInURL: "https://mdm.example.com/mdm/checkin", OTAURL: "https://mdm.example.com/enroll/ota/attributes", Authority: authority(), Challenges: challenges,
		Topic: func(context.Context) (string, error) {
			return "com.apple.mgmt.External.00000000-0000-4000-8000-000000000000", nil
		},
		Anchor: authority().Certificate()}, challenges
}

func testPolicyProfile() document.Profile {
	return document.Profile{ID: "office", DisplayName: "Office", Payloads: []document.Payload{
		{Type: "com.apple.wifi.managed", DisplayName: "Wi-Fi", Content: document.Dict{"SSID_STR": "Example", "EncryptionType": "WPA2", "Password": "correct horse", "AutoJoin": true}},
		{Type: "com.apple.mobiledevice.passwordpolicy", Content: document.Dict{"forcePIN": true, "minLength": int64(6)}},
		{Type: "com.apple.applicationaccess", Content: document.Dict{"allowCamera": false, "safariAcceptCookies": 1.5}},
	}}
}

// everyProfile makes each profile that the server hands out.
func everyProfile(t *testing.T) map[string][]byte {
	t.Helper()
	p, _ := testProfiles()
	ctx := t.Context()
	out := map[string][]byte{}
	put := func(name string) func([]byte, error) {
		return func(body []byte, err error) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out[name] = body
		}
	}
	put("profile-service")(p.ProfileService("the-secret-of-the-request"))
	put("ota-identity")(p.Identity(ctx, certs.Binding{Serial: "C39XK1ABCD01"}))
	put("enrollment")(p.Enrollment(ctx, certs.Binding{Serial: "C39XK1ABCD01"}))
	put("renewal")(p.Renewal(ctx, policy.RenewIdentity{EnrollmentID: "e-1", Serial: "C39XK1ABCD01"}))
	put("trust")(p.Trust())
	put("policy")(p.Configuration("rollcall.policy.p-1.office", testPolicyProfile()))
	p.Anchor, p.CheckInURL = nil, ""
	put("enrollment-one-url-public-certificate")(p.Enrollment(ctx, certs.Binding{}))
	return out
}

func stepName(s policy.Step) string { return strings.TrimPrefix(fmt.Sprintf("%T", s), "policy.") }

// steps are the names of what a policy does on a device.
var steps = []string{"QueryDevice", "QuerySecurity", "InstallProfile", "RemoveProfile", "QueryProfiles", "QueryApps", "Settings",
	"InstallApp", "RemoveApp", "Declare", "DeviceConfigured", "RenewIdentity"}

// everyCommand makes the commands of all steps.
func everyCommand(t *testing.T) map[string][]byte {
	t.Helper()
	p, _ := testProfiles()
	out := map[string][]byte{}
	for _, step := range []policy.Step{policy.QueryDevice{}, policy.QuerySecurity{},
		policy.InstallProfile{Identifier: "rollcall.policy.p-1.office", Profile: testPolicyProfile()}, policy.RemoveProfile{Identifier: "rollcall.policy.p-1.office"},
		policy.QueryProfiles{}, policy.QueryApps{Identifiers: []string{"com.example.office"}},
		policy.Settings{Items: []apple.Setting{{Item: "DeviceName", Content: document.Dict{"DeviceName": "Front desk"}}, {Item: "Bluetooth", Content: document.Dict{"Enabled": false}}}},
		policy.InstallApp{App: apple.Install{AppStoreID: 361309726, BundleID: "com.example.office", Flags: 5, Licensed: true, TakeOver: true,
			Configuration: document.Dict{"server": document.Dict{"port": int64(443)}}, Attributes: document.Dict{"Removable": false}}},
		policy.RemoveApp{Identifier: "com.example.office"}, policy.Declare{Tokens: []byte(`{"SyncTokens":{"Timestamp":"2026-01-02T03:04:05Z","DeclarationsToken":"1"}}`)},
		policy.DeviceConfigured{}, policy.RenewIdentity{EnrollmentID: "e-1", Serial: "C39XK1ABCD01"}} {
		_, body, err := Encoder{Profiles: p}.Encode(t.Context(), "01980000-0000-7000-8000-000000000001", step)
		if err != nil {
			t.Fatal(err)
		}
		out[stepName(step)] = body
	}
	return out
}

// refusalBody is what a refused device is answered.
func refusalBody(t *testing.T) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	refuse(w, checkin{ProductName: "iPhone17,2", OSVersion: "26.1"}, enroll.Decision{Code: enroll.DenyNotPreEnrolled})
	if w.Code != 403 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	return w.Body.Bytes()
}

var uuidForm = regexp.MustCompile(`\b[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}\b`)

// readable puts every element on a line of its own and names what differs from
// run to run: random UUIDs by their order, so that references stay visible, and
// the authority's certificate and fingerprint.
func readable(body []byte) []byte {
	cert, fingerprint := authority().Certificate().Raw, authority().Fingerprint()
	dict, err := plist.DecodeDict(body)
	if err != nil {
		panic(err)
	}
	body, err = plist.Encode(replaceData(dict, func(b []byte) any {
		switch {
		case bytes.Equal(b, cert):
			return "(certificate of the authority)"
		case bytes.Equal(b, fingerprint[:]):
			return "(SHA-256 of the certificate of the authority)"
		}
		if inner, err := plist.DecodeDict(b); err == nil {
			return inner
		}
		return b
	}))
	if err != nil {
		panic(err)
	}
	var seen []string
	text := uuidForm.ReplaceAllStringFunc(string(body), func(id string) string {
		if !slices.Contains(seen, id) {
			seen = append(seen, id)
		}
		return fmt.Sprintf("(UUID %d)", slices.Index(seen, id)+1)
	})
	return []byte(strings.ReplaceAll(text, "><", ">\n<") + "\n")
}

func replaceData(v any, replace func([]byte) any) any {
	switch v := v.(type) {
	case []byte:
		switch r := replace(v).(type) {
		case []byte:
			return r
		default:
			return replaceData(r, replace)
		}
	case []any:
		for i := range v {
			v[i] = replaceData(v[i], replace)
		}
	case map[string]any:
		for k := range v {
			v[k] = replaceData(v[k], replace)
		}
	}
	return v
}

// TestGolden compares every profile and every command of a first check-in with
// what was looked through by hand (go test ./mdm -run TestGolden -update).
func TestGolden(t *testing.T) {
	files := map[string][]byte{}
	for name, body := range everyProfile(t) {
		files["profile-"+strings.TrimPrefix(name, "profile-")] = readable(body)
	}
	for name, body := range everyCommand(t) {
		files["command-"+strings.ToLower(name)] = readable(body)
	}
	files["refusal"] = refusalBody(t)
	if there, err := os.ReadDir(golden); err != nil || len(files) != 7+len(steps)+1 || !*update && len(there) != len(files) {
		t.Errorf("%d outputs, %d golden files (%v)", len(files), len(there), err)
	}
	for name, got := range files {
		path := filepath.Join(golden, name+".txt")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-golden +made):\n%s", name, diff)
		}
	}
}

// TestBindings: what a challenge is bound to, and for how long it is good.
func TestBindings(t *testing.T) {
	p, challenges := testProfiles()
	given := certs.Binding{AttemptID: "d-1", RequestID: "r-1", DeviceID: "row-1", Serial: "C39XK1ABCD01", UDID: "u-1", Evidence: "signed"}
	if _, err := p.Identity(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Enrollment(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Renewal(t.Context(), policy.RenewIdentity{EnrollmentID: "e-1", DecisionID: "d-1", DeviceID: "row-1", Serial: "C39XK1ABCD01", UDID: "u-1"}); err != nil {
		t.Fatal(err)
	}
	ota, enrollment := given, given
	ota.Purpose, enrollment.Purpose = certs.PurposeOTA, certs.PurposeMDM
	renewal := certs.Binding{Purpose: certs.PurposeMDM, AttemptID: "d-1", DeviceID: "row-1", Serial: "C39XK1ABCD01", UDID: "u-1", Evidence: "token", EnrollmentID: "e-1"}
	if diff := cmp.Diff([]certs.Binding{ota, enrollment, renewal}, challenges.bindings); diff != "" {
		t.Errorf("bindings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]time.Duration{time.Hour, 24 * time.Hour, 30 * 24 * time.Hour}, challenges.lives); diff != "" {
		t.Errorf("lives (-want +got):\n%s", diff)
	}
}

// TestNoPushCertificate: without a topic nobody gets a profile that could not
// work, and no challenge is spent on it.
func TestNoPushCertificate(t *testing.T) {
	p, challenges := testProfiles()
	p.Topic = func(context.Context) (string, error) {
		return "", enroll.Errorf(enroll.KindUnavailable, "push_certificate_missing", "none")
	}
	if _, err := p.Enrollment(t.Context(), certs.Binding{}); enroll.KindOf(err) != enroll.KindUnavailable {
		t.Errorf("error %v", err)
	}
	if len(challenges.bindings) != 0 {
		t.Errorf("challenges were made for %v", challenges.bindings)
	}
}

// TestSignedProfile: with a signing certificate a profile is CMS around the
// same property list.
func TestSignedProfile(t *testing.T) {
	p, _ := testProfiles()
	plain, err := p.Configuration("rollcall.policy.p-1.office", testPolicyProfile())
	if err != nil {
		t.Fatal(err)
	}
	p.Signer = &Signer{Certificate: authority().Certificate(), Key: authority().Signer(), Chain: []*x509.Certificate{}}
	signed, err := p.Configuration("rollcall.policy.p-1.office", testPolicyProfile())
	if err != nil {
		t.Fatal(err)
	}
	if signed[0] != 0x30 || !bytes.Contains(signed, plain) {
		t.Error("the signed profile does not hold the plain one")
	}
	if _, err := ParseMobileconfig(signed); err != nil {
		t.Errorf("it cannot be read again: %v", err)
	}
}

// TestSameContentSameProfile: a device takes a profile for the same one by its
// UUIDs, so they follow the content and nothing else.
func TestSameContentSameProfile(t *testing.T) {
	p, _ := testProfiles()
	made := func(change func(*document.Profile)) string {
		t.Helper()
		f := testPolicyProfile()
		if change != nil {
			change(&f)
		}
		body, err := p.Configuration("rollcall.policy.p-1.office", f)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	first := made(nil)
	for range 20 {
		if again := made(nil); again != first {
			t.Fatalf("the same content differs:\n%s\n%s", first, again)
		}
	}
	uuids := func(s string) []string { return uuidForm.FindAllString(s, -1) }
	if n := len(uuids(first)); n != 4 {
		t.Fatalf("%d UUIDs", n)
	}
	changed := uuids(made(func(f *document.Profile) { f.Payloads[1].Content["minLength"] = int64(8) }))
	same := 0
	for i, id := range uuids(first) {
		if changed[i] == id {
			same++
		}
	}
	if same != 2 {
		t.Errorf("one payload changed, and of 4 UUIDs %d are the same; want 2 (the other payloads)", same)
	}
	own := made(func(f *document.Profile) {
		f.Payloads[0].UUID, f.Payloads[0].Identifier = "11111111-2222-4333-8444-555555555555", "my.own.identifier"
	})
	if !strings.Contains(own, "11111111-2222-4333-8444-555555555555") || !strings.Contains(own, "my.own.identifier") {
		t.Error("an identifier and a UUID that were given are not kept")
	}
	if other, err := p.Configuration("rollcall.policy.p-2.office", testPolicyProfile()); err != nil || slices.Equal(uuids(string(other)), uuids(first)) {
		t.Errorf("profiles of two policies have the same UUIDs: %v", err)
	}
}
