package iphone

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mozilla.org/pkcs7"

	"rollcall/sim/cms"
	"rollcall/sim/plist"
)

func TestOTAEnrollment(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(nil)
	if !p.Enrolled() || p.Timings().EnrolledAt.IsZero() || p.Topic() != "com.apple.mgmt.External.test" {
		t.Errorf("enrolled %v, topic %q", p.Enrolled(), p.Topic())
	}
	if want := map[string][]string{"csrf": {"42"}, "ownership": {"personal"}, "terms": {"yes"}}; !cmp.Equal(s.form, want) {
		t.Error(cmp.Diff(want, s.form))
	}
	if p.LastPage() != "Done away n Install" {
		t.Errorf("last page %q", p.LastPage())
	}
	want := plist.Dict{"UDID": p.UDID(), "SERIAL": p.Serial(), "PRODUCT": "iPhone17,2", "VERSION": "23B85",
		"IMEI": "356938035643809", "CHALLENGE": "invitation", "LANGUAGE": "en_US"}
	if diff := cmp.Diff([]plist.Dict{want, want}, s.otas); diff != "" {
		t.Error(diff)
	}
	if s.signers[0].Subject.CommonName != p.UDID() || s.signers[1].Issuer.CommonName != "Test CA" {
		t.Errorf("phases signed by %v and %v", s.signers[0].Subject, s.signers[1].Subject)
	}
	cert, _ := p.Identity()
	auth, token := s.checkins[0], s.checkins[1]
	if diff := cmp.Diff(plist.Dict{"MessageType": "Authenticate", "UDID": p.UDID(), "Topic": p.Topic(), "OSVersion": "26.1", "BuildVersion": "23B85",
		"ProductName": "iPhone17,2", "SerialNumber": p.Serial(), "IMEI": "356938035643809"}, auth); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(plist.Dict{"MessageType": "TokenUpdate", "UDID": p.UDID(), "Topic": p.Topic(), "Token": p.Token(),
		"PushMagic": p.PushMagic(), "UnlockToken": p.UnlockToken()}, token); diff != "" {
		t.Error(diff)
	}
	if len(p.Token()) != 32 || s.clients[0] == nil || !s.clients[0].Equal(cert) {
		t.Error("the TLS client certificate is not the MDM identity")
	}
	if diff := cmp.Diff([]string{"test.enrollment"}, keys(p.InstalledProfiles())); diff != "" {
		t.Error(diff)
	}
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func TestSignMessage(t *testing.T) {
	s := newServer(t)
	s.sign = true
	p := s.enrolled(nil) // the fake server verifies each signature
	header, body, err := p.SignBody(p.Idle())
	if err != nil {
		t.Fatal(err)
	}
	if header.Get("Mdm-Signature") == "" || !bytes.Contains(body, []byte("Idle")) {
		t.Errorf("header %v", header)
	}
}

// Whatever step is refused, nothing is left on the phone, and the error tells
// what a person would see.
func TestRefusedStepsLeaveNothingBehind(t *testing.T) {
	unrecognized := `{"code":"com.apple.unrecognized.device","message":"not on the roll"}`
	for _, tt := range []struct {
		step       string
		status     int
		kind, body string
		text, code string
	}{
		{"link", 403, "text/html", htmlPage("This link was used"), "This link was used", ""},
		{"link", 200, "text/html", htmlPage("Nothing to see"), "Nothing to see", ""},
		{"accept", 409, "text/html", htmlPage("Too late"), "Too late", ""},
		{"ota", 403, "text/plain", "not on the roll", "not on the roll", ""},
		{"phase3", 403, "text/plain", "no", "no", ""},
		{"Authenticate", 401, "text/plain", "", "", ""},
		{"Authenticate", 403, "application/json", unrecognized, unrecognized, "com.apple.unrecognized.device"},
		{"TokenUpdate", 500, "text/plain", "oops", "oops", ""},
	} {
		s := newServer(t)
		s.say(tt.step, tt.status, tt.kind, tt.body)
		p := s.phone(nil)
		err := p.OpenLink(t.Context(), s.url+"/link", Choice{})
		var refused *RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", tt.step, err)
			continue
		}
		if refused.Status != tt.status || refused.Text != tt.text || refused.Code != tt.code {
			t.Errorf("%s: %+v", tt.step, refused)
		}
		if p.Enrolled() || len(p.InstalledProfiles()) != 0 || p.Token() != nil {
			t.Errorf("%s: something is left", tt.step)
		}
	}
}

func TestPageThatAsksAgainIsARefusal(t *testing.T) {
	s := newServer(t)
	s.say("accept", 200, "text/html", strings.Replace(s.page, "Hello", "Wrong answer", 1))
	err := s.phone(nil).OpenLink(t.Context(), s.url+"/link", Choice{})
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(refused.Text, "Wrong answer") {
		t.Error(err)
	}
	if err := s.phone(nil).OpenLink(t.Context(), s.url+"/link", Choice{Ownership: "stolen"}); err == nil {
		t.Error("an answer that the page does not offer is sent")
	}
}

// Each profile lacks one thing a device insists on.
func TestProfilesADeviceRefuses(t *testing.T) {
	s := newServer(t)
	mdmOf := func(d plist.Dict) plist.Dict { return d["PayloadContent"].([]any)[1].(plist.Dict) }
	scepOf := func(d plist.Dict) plist.Dict { return d["PayloadContent"].([]any)[0].(plist.Dict) }
	for name, spoil := range map[string]func(d plist.Dict){
		"no identifier":       func(d plist.Dict) { delete(d, "PayloadIdentifier") },
		"no payload UUID":     func(d plist.Dict) { delete(mdmOf(d), "PayloadUUID") },
		"version 2":           func(d plist.Dict) { mdmOf(d)["PayloadVersion"] = 2 },
		"UUID twice":          func(d plist.Dict) { mdmOf(d)["PayloadUUID"] = d["PayloadUUID"] },
		"unknown top key":     func(d plist.Dict) { d["Payloads"] = true },
		"unknown MDM key":     func(d plist.Dict) { mdmOf(d)["ServerUrl"] = "x" },
		"unknown payload":     func(d plist.Dict) { scepOf(d)["PayloadType"] = "com.example.x" },
		"http":                func(d plist.Dict) { mdmOf(d)["ServerURL"] = "http://mdm.example/" },
		"http check-in":       func(d plist.Dict) { mdmOf(d)["CheckInURL"] = "http://mdm.example/" },
		"topic":               func(d plist.Dict) { mdmOf(d)["Topic"] = "com.example" },
		"foreign identity":    func(d plist.Dict) { mdmOf(d)["IdentityCertificateUUID"] = d["PayloadUUID"] },
		"no rights":           func(d plist.Dict) { mdmOf(d)["AccessRights"] = 0 },
		"rights absent":       func(d plist.Dict) { delete(mdmOf(d), "AccessRights") },
		"2 without 1":         func(d plist.Dict) { mdmOf(d)["AccessRights"] = 2 },
		"128 without 64":      func(d plist.Dict) { mdmOf(d)["AccessRights"] = 128 },
		"string for boolean":  func(d plist.Dict) { mdmOf(d)["SignMessage"] = "true" },
		"capability":          func(d plist.Dict) { mdmOf(d)["ServerCapabilities"] = []string{"x"} },
		"account-driven mode": func(d plist.Dict) { mdmOf(d)["EnrollmentMode"] = "BYOD" },
		"SCEP key name":       func(d plist.Dict) { scepOf(d)["PayloadContent"].(plist.Dict)["KeyType"] = "RSA" },
		"SCEP key size":       func(d plist.Dict) { scepOf(d)["PayloadContent"].(plist.Dict)["Keysize"] = 512 },
		"empty":               func(d plist.Dict) { d["PayloadContent"] = []any{} },
	} {
		d := s.enrollmentProfile()
		spoil(d)
		p := s.phone(nil)
		var chain ChainError
		if err := p.Install(t.Context(), plist.Marshal(d)); !errors.As(err, &chain) || p.Enrolled() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.checkins) != 0 {
		t.Errorf("%d check-ins", len(s.checkins))
	}
	if err := s.phone(nil).Install(t.Context(), plist.Marshal(s.enrollmentProfile())); err != nil {
		t.Errorf("the profile without a fault: %v", err)
	}
}

func TestSignedProfiles(t *testing.T) {
	s := newServer(t)
	cert, err := s.ca.Issue("profile signer", &shared.keys[1].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	plain := plist.Marshal(with(payloadHeader("Configuration", "test.plain"), plist.Dict{"PayloadContent": []any{
		with(payloadHeader("com.apple.applicationaccess", "test.plain.a"), plist.Dict{"allowCamera": false})}}))
	signed, err := cms.Sign(plain, cert, shared.keys[1], cms.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := s.phone(nil)
	if err := p.Install(t.Context(), signed); err != nil {
		t.Fatal(err)
	}
	if err := p.Install(t.Context(), plain); err == nil {
		t.Error("a signed profile is replaced by an unsigned one")
	}
	i := bytes.Index(signed, []byte("allowCamera"))
	signed[i] ^= 1
	if err := s.phone(nil).Install(t.Context(), signed); err == nil {
		t.Error("a profile with a broken signature is installed")
	}
}

func TestMetaRefreshAndEncryptedProfile(t *testing.T) {
	s := newServer(t)
	s.final = func() []byte {
		d := s.enrollmentProfile()
		s.mu.Lock()
		defer s.mu.Unlock()
		to := s.signers[len(s.signers)-1] // the identity of phase 2
		sealed, err := pkcs7.Encrypt(plist.Marshal(d["PayloadContent"]), []*x509.Certificate{to})
		if err != nil {
			t.Error(err)
		}
		delete(d, "PayloadContent")
		return plist.Marshal(with(d, plist.Dict{"IsEncrypted": true, "EncryptedPayloadContent": sealed}))
	}
	p := s.phone(nil)
	if err := p.OpenLink(t.Context(), s.url+"/start", Choice{}); err != nil || !p.Enrolled() {
		t.Fatal(err)
	}
	if err := s.phone(nil).Install(t.Context(), s.final()); err == nil {
		t.Error("a profile encrypted to another device is installed")
	}
}

// A root in the enrollment profile is trusted for the rest of its own
// installation; one installed by hand alone is not.
func TestRootOfTheEnrollmentProfile(t *testing.T) {
	s := newServer(t)
	root := with(payloadHeader("com.apple.security.root", "test.root"), plist.Dict{"PayloadContent": s.tls.Certificate().Raw})
	noTrust := func(c *Config) { c.Roots = x509.NewCertPool() }
	p := s.phone(noTrust)
	alone := with(payloadHeader("Configuration", "test.alone"), plist.Dict{"PayloadContent": []any{root}})
	if err := p.Install(t.Context(), plist.Marshal(alone)); err != nil {
		t.Fatal(err)
	}
	if err := p.Install(t.Context(), s.final()); err == nil {
		t.Error("a root installed by hand is trusted for TLS")
	}
	d := s.enrollmentProfile()
	d["PayloadContent"] = append([]any{root}, d["PayloadContent"].([]any)...)
	if err := p.Install(t.Context(), plist.Marshal(d)); err != nil {
		t.Error(err)
	}
	if err := p.Connect(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSetupAssistant(t *testing.T) {
	s := newServer(t)
	p := s.phone(nil)
	if err := p.SetupAssistant(t.Context(), CloudConfiguration{URL: s.url + "/ade", AwaitDeviceConfigured: true}); err != nil {
		t.Fatal(err)
	}
	if info := s.otas[0]; info["SERIAL"] != p.Serial() || info["UDID"] != p.UDID() || info["MDM_CAN_REQUEST_SOFTWARE_UPDATE"] != true {
		t.Errorf("machine info %v", info)
	}
	if !p.Supervised() || !p.Awaiting() || s.checkins[1]["AwaitingConfiguration"] != true {
		t.Errorf("supervised %v, awaiting %v", p.Supervised(), p.Awaiting())
	}
	if r := s.run(p, "DeviceConfigured", nil); r["Status"] != "Acknowledged" || p.Awaiting() {
		t.Errorf("%v", r)
	}
	if r := s.run(p, "DeviceConfigured", nil); r["Status"] != "Error" {
		t.Errorf("twice: %v", r)
	}
	web := s.phone(nil)
	if err := web.SetupAssistant(t.Context(), CloudConfiguration{ConfigurationWebURL: s.url + "/adeweb"}); err != nil || !web.Enrolled() || web.Awaiting() {
		t.Errorf("web view: %v", err)
	}
	if web.LastPage() != "Go on" || s.otas[1]["SERIAL"] != web.Serial() {
		t.Errorf("page %q, machine info %v", web.LastPage(), s.otas[1])
	}
	refusedPhone := s.phone(nil)
	s.say("ade", http.StatusForbidden, "text/plain", "no")
	if err := refusedPhone.SetupAssistant(t.Context(), CloudConfiguration{URL: s.url + "/ade"}); err == nil || refusedPhone.Supervised() {
		t.Errorf("refused: %v", err)
	}
}

func TestRenewal(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(nil)
	before, _ := p.Identity()
	magic := p.PushMagic()
	if r := s.run(p, "InstallProfile", plist.Dict{"Payload": s.final()}); r["Status"] != "Acknowledged" {
		t.Fatalf("%v", r)
	}
	after, _ := p.Identity()
	if after.Equal(before) || p.PushMagic() == magic || len(s.checkins) != 4 {
		t.Errorf("same identity %v, %d check-ins", after.Equal(before), len(s.checkins))
	}
	if last := s.clients[len(s.clients)-1]; !last.Equal(after) {
		t.Error("the result does not come from the new identity")
	}
	s.say("TokenUpdate", 500, "text/plain", "")
	if r := s.run(p, "InstallProfile", plist.Dict{"Payload": s.final()}); r["Status"] != "Error" {
		t.Errorf("failed renewal: %v", r)
	}
	if now, _ := p.Identity(); !now.Equal(after) || !p.Enrolled() {
		t.Error("a failed renewal does not restore the old identity")
	}
	s.calm("TokenUpdate")
	for key, value := range map[string]any{"Topic": "com.apple.mgmt.External.other", "ServerURL": "https://elsewhere.example/", "CheckInURL": "https://elsewhere.example/"} {
		s.mdm[key] = value
		if r := s.run(p, "InstallProfile", plist.Dict{"Payload": s.final()}); errorCode(r) != 12012 {
			t.Errorf("other %s: %v", key, r)
		}
		delete(s.mdm, key)
	}
	s.mdm["AccessRights"] = 8191
	low := newServer(t)
	low.mdm["AccessRights"] = 3
	limited := low.enrolled(nil)
	low.mdm["AccessRights"] = 7
	if r := low.run(limited, "InstallProfile", plist.Dict{"Payload": low.final()}); errorCode(r) != 12012 {
		t.Errorf("more rights: %v", r)
	}
	stranger := s.enrollmentProfile()
	stranger["PayloadIdentifier"] = "other.enrollment"
	if err := p.Install(t.Context(), plist.Marshal(stranger)); err == nil {
		t.Error("a second MDM profile is installed")
	}
}
