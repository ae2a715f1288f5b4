package iphone

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/sim/apns"
	"rollcall/sim/plist"
)

func TestCommands(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(nil)
	simple := plist.Marshal(with(payloadHeader("Configuration", "test.wifi"), plist.Dict{"PayloadContent": []any{
		with(payloadHeader("com.apple.wifi.managed", "test.wifi.a"), plist.Dict{"SSID_STR": "office", "EncryptionType": "WPA2", "Password": "x"})}}))
	bad := plist.Marshal(with(payloadHeader("Configuration", "test.pin"), plist.Dict{"PayloadContent": []any{
		with(payloadHeader("com.apple.mobiledevice.passwordpolicy", "test.pin.a"), plist.Dict{"minLength": 99})}}))
	for _, tt := range []struct {
		request string
		keys    plist.Dict
		status  string
		code    int64
		check   func(r plist.Dict) bool
	}{
		{"DeviceInformation", plist.Dict{"Queries": []string{"SerialNumber", "Nonsense"}}, "Acknowledged", 0,
			func(r plist.Dict) bool {
				return cmp.Equal(r["QueryResponses"], any(plist.Dict{"SerialNumber": p.Serial()}))
			}},
		{"DeviceInformation", nil, "CommandFormatError", 0, nil},
		{"SecurityInfo", nil, "Acknowledged", 0, func(r plist.Dict) bool { return r["SecurityInfo"].(plist.Dict)["PasscodePresent"] == false }},
		{"InstallProfile", plist.Dict{"Payload": simple}, "Acknowledged", 0, func(plist.Dict) bool { return len(p.InstalledProfiles()) == 2 }},
		{"InstallProfile", plist.Dict{"Payload": bad}, "Error", 2002, func(plist.Dict) bool { return len(p.InstalledProfiles()) == 2 }},
		{"ProfileList", nil, "Acknowledged", 0, func(r plist.Dict) bool { return len(r["ProfileList"].([]any)) == 2 }},
		{"CertificateList", nil, "Acknowledged", 0, func(r plist.Dict) bool { return len(r["CertificateList"].([]any)) == 1 }},
		{"RemoveProfile", plist.Dict{"Identifier": "test.wifi"}, "Acknowledged", 0, func(plist.Dict) bool { return len(p.InstalledProfiles()) == 1 }},
		{"RemoveProfile", plist.Dict{"Identifier": "test.wifi"}, "Error", 12075, nil},
		{"InstallApplication", plist.Dict{"iTunesStoreID": 361309726, "ManagementFlags": 1}, "Acknowledged", 0,
			func(r plist.Dict) bool { return r["State"] == "Installing" && len(p.InstalledApps()) == 1 }},
		{"InstallApplication", plist.Dict{"iTunesStoreID": 1, "Identifier": "two.ways"}, "CommandFormatError", 0, nil},
		{"ManagedApplicationList", nil, "Acknowledged", 0, func(r plist.Dict) bool { return len(r["ManagedApplicationList"].(plist.Dict)) == 1 }},
		{"InstalledApplicationList", nil, "Acknowledged", 0, func(r plist.Dict) bool { return len(r["InstalledApplicationList"].([]any)) == 1 }},
		{"RemoveApplication", plist.Dict{"Identifier": "id:361309726"}, "Acknowledged", 0, func(plist.Dict) bool { return len(p.InstalledApps()) == 0 }},
		{"RemoveApplication", plist.Dict{"Identifier": "id:361309726"}, "Error", 12029, nil},
		{"Settings", plist.Dict{"Settings": []any{plist.Dict{"Item": "DeviceName", "DeviceName": "new"},
			plist.Dict{"Item": "OrganizationInfo", "OrganizationInfo": plist.Dict{"OrganizationName": "ACME"}}}}, "Acknowledged", 0,
			func(r plist.Dict) bool {
				items := r["Settings"].([]any)
				return items[0].(plist.Dict)["Status"] == "Error" && items[1].(plist.Dict)["Status"] == "Acknowledged" && p.DeviceName() == "iPhone"
			}},
		{"Restrictions", plist.Dict{"ProfileRestrictions": true}, "Acknowledged", 0, func(r plist.Dict) bool { return r["ProfileRestrictions"] != nil }},
		{"DeviceLock", nil, "Acknowledged", 0, func(r plist.Dict) bool { return r["MessageResult"] == "NoPasscodeSet" }},
		{"ClearPasscode", plist.Dict{"UnlockToken": []byte("guess")}, "Error", 12019, nil},
		{"ClearPasscode", plist.Dict{"UnlockToken": p.UnlockToken()}, "Acknowledged", 0, nil},
		{"RestartDevice", nil, "Error", 12053, nil},
		{"DeclarativeManagement", nil, "Acknowledged", 0, func(plist.Dict) bool {
			have, err := p.Declarations()
			return err == nil && cmp.Equal(have, map[string]string{"configuration/pin": "v1"})
		}},
		{"MakeCoffee", nil, "Error", 12021, nil},
	} {
		r := s.run(p, tt.request, tt.keys)
		if r["Status"] != tt.status || errorCode(r) != tt.code || tt.check != nil && !tt.check(r) {
			t.Errorf("%s %v: %v", tt.request, tt.keys, r)
		}
	}
	if p.Timings().LastAcknowledgedAt.IsZero() {
		t.Error("no time of the last command")
	}
}

func TestAccessRightsAreEnforced(t *testing.T) {
	s := newServer(t)
	s.mdm["AccessRights"] = 1
	p := s.enrolled(nil)
	if _, ok := s.checkins[0]["SerialNumber"]; ok {
		t.Error("Authenticate tells the serial number without right 16")
	}
	if _, ok := s.checkins[1]["UnlockToken"]; ok {
		t.Error("TokenUpdate tells the UnlockToken without right 4")
	}
	if r := s.run(p, "EraseDevice", nil); errorCode(r) != 12007 || !p.Enrolled() {
		t.Errorf("%v", r)
	}
}

func TestConnectRefusesWhatADeviceDoesNotUnderstand(t *testing.T) {
	command := string(plist.Marshal(plist.Dict{"CommandUUID": "1", "Command": plist.Dict{"RequestType": "SecurityInfo"}}))
	for name, tt := range map[string]struct{ kind, body string }{
		"empty plist":    {"application/xml", string(plist.Marshal(plist.Dict{}))},
		"white space":    {"application/xml", "\n"},
		"no CommandUUID": {"application/xml", string(plist.Marshal(plist.Dict{"Command": plist.Dict{"RequestType": "SecurityInfo"}}))},
		"no RequestType": {"application/xml", string(plist.Marshal(plist.Dict{"CommandUUID": "1", "Command": plist.Dict{}}))},
		"content type":   {"text/plain", command},
	} {
		s := newServer(t)
		p := s.enrolled(nil)
		s.say("connect", 200, tt.kind, tt.body)
		var protocol *ProtocolError
		if err := p.Connect(t.Context()); !errors.As(err, &protocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResultsAreKeptUntilTaken(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(nil)
	p.OnCommand("SecurityInfo", func(n int) Reaction {
		if n == 1 {
			return DropConnectionAfterExecute
		}
		return Execute
	})
	id := s.push("SecurityInfo", nil)
	if err := p.Connect(t.Context()); !errors.Is(err, ErrConnectionLost) || len(s.results) != 0 {
		t.Fatalf("%v, %d results", err, len(s.results))
	}
	s.say("connect", 500, "text/plain", "")
	if err := p.Connect(t.Context()); err == nil {
		t.Fatal("500 is taken for success")
	}
	s.calm("connect")
	if err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.results) != 2 || s.results[1]["CommandUUID"] != id || s.results[1]["Status"] != "Acknowledged" {
		t.Errorf("results %v", s.results)
	}
	if err := p.Connect(t.Context()); err != nil || len(s.results) != 2 {
		t.Errorf("a taken result is sent again: %v, %v", err, s.results)
	}
}

func TestFaults(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(nil)
	s.push("ProfileList", nil)
	p.OnCommand("ProfileList", func(n int) Reaction { return []Reaction{Crash, NotNow, LoseAnswer, Execute}[n-1] })
	if err := p.Connect(t.Context()); !errors.Is(err, ErrCrashed) || len(s.results) != 0 {
		t.Errorf("crash: %v, %v", err, s.results)
	}
	if err := p.Connect(t.Context()); err != nil || s.results[0]["Status"] != "NotNow" {
		t.Errorf("not now: %v, %v", err, s.results)
	}
	if err := p.Connect(t.Context()); !errors.Is(err, ErrConnectionLost) {
		t.Errorf("lost answer: %v", err)
	}
	if err := p.Connect(t.Context()); err != nil || len(s.results) != 3 || s.results[1]["CommandUUID"] != s.results[2]["CommandUUID"] {
		t.Errorf("repeated result: %v, %v", err, s.results)
	}
	p.OnCommand("ProfileList", func(int) Reaction { return Error(ErrorItem{4711, "Test", "no"}) })
	if r := s.run(p, "ProfileList", nil); errorCode(r) != 4711 {
		t.Errorf("%v", r)
	}
	p.OnCommand("ProfileList", func(int) Reaction { return FormatError })
	if r := s.run(p, "ProfileList", nil); r["Status"] != "CommandFormatError" {
		t.Errorf("%v", r)
	}
	if diff := cmp.Diff([]string{"ProfileList", "ProfileList", "ProfileList", "ProfileList", "ProfileList"}, p.CommandsSeen()); diff != "" {
		t.Error(diff)
	}
}

func TestLockedPhoneSaysNotNow(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(func(c *Config) { c.Passcode = true })
	if r := s.run(p, "DeviceLock", nil); r["MessageResult"] != "Success" || !p.Locked() {
		t.Fatalf("%v", r)
	}
	if r := s.run(p, "SecurityInfo", nil); r["Status"] != "NotNow" {
		t.Errorf("%v", r)
	}
	if err := p.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last := s.results[len(s.results)-1]; last["Status"] != "Acknowledged" {
		t.Errorf("after unlocking: %v", last)
	}
}

func TestWaysOut(t *testing.T) {
	ctx := context.Background()
	gone := `{"code":"com.apple.unrecognized.device"}`
	for name, tt := range map[string]struct {
		version  string
		leave    func(s *fakeServer, p *Phone) error
		enrolled bool
		checkOut bool
	}{
		"401": {"16.7", func(s *fakeServer, p *Phone) error { s.say("connect", 401, "text/plain", ""); return p.Connect(ctx) }, false, false},
		"403": {"17.0", func(s *fakeServer, p *Phone) error {
			s.say("connect", 403, "application/json", gone)
			return p.Connect(ctx)
		}, false, false},
		"403 on 16": {"16.7", func(s *fakeServer, p *Phone) error {
			s.say("connect", 403, "application/json", gone)
			return p.Connect(ctx)
		}, true, false},
		"403 as text": {"26.0", func(s *fakeServer, p *Phone) error { s.say("connect", 403, "text/plain", gone); return p.Connect(ctx) }, true, false},
		"400":         {"26.0", func(s *fakeServer, p *Phone) error { s.say("connect", 400, "text/plain", ""); return p.Connect(ctx) }, true, false},
		"token update 401": {"26.0", func(s *fakeServer, p *Phone) error {
			s.say("TokenUpdate", 401, "text/plain", "")
			return p.SendTokenUpdate(ctx)
		}, false, false},
		"user":        {"26.0", func(s *fakeServer, p *Phone) error { return p.RemoveProfileByUser(ctx) }, false, true},
		"erase":       {"26.0", func(s *fakeServer, p *Phone) error { return p.Erase(ctx) }, false, false},
		"EraseDevice": {"26.0", func(s *fakeServer, p *Phone) error { s.push("EraseDevice", nil); return p.Connect(ctx) }, false, false},
		"RemoveProfile": {"26.0", func(s *fakeServer, p *Phone) error {
			s.push("RemoveProfile", plist.Dict{"Identifier": "test.enrollment"})
			return p.Connect(ctx)
		}, false, true},
	} {
		s := newServer(t)
		p := s.enrolled(func(c *Config) { c.OSVersion = tt.version })
		err := tt.leave(s, p)
		if p.Enrolled() != tt.enrolled || (len(p.InstalledProfiles()) != 0) != tt.enrolled {
			t.Errorf("%s: enrolled %v, %v", name, p.Enrolled(), err)
		}
		if out := s.checkins[len(s.checkins)-1]["MessageType"] == "CheckOut"; out != tt.checkOut {
			t.Errorf("%s: check-out %v", name, out)
		}
		if !tt.enrolled {
			if err := p.Connect(ctx); !errors.Is(err, ErrNotEnrolled) {
				t.Errorf("%s: connect afterwards: %v", name, err)
			}
		}
	}
}

// pushRecorder is a push service that only keeps the books.
type pushRecorder map[string]bool

func (r pushRecorder) Register(token []byte, _, _ string, _ func()) { r[string(token)] = true }
func (r pushRecorder) Unregister(token []byte)                      { delete(r, string(token)) }

func TestOnlyTheCurrentTokenIsReachable(t *testing.T) {
	s := newServer(t)
	tokens := pushRecorder{}
	s.say("TokenUpdate", 500, "text/plain", "")
	p := s.phone(func(c *Config) { c.Push = tokens })
	if err := p.Install(t.Context(), s.final()); err == nil || len(tokens) != 0 {
		t.Errorf("after a failed enrollment: %v, %d tokens", err, len(tokens))
	}
	s.calm("TokenUpdate")
	install := func() error { return p.Install(t.Context(), s.final()) }
	for i, step := range []func() error{install, install, func() error { return p.SendTokenUpdate(t.Context()) }} {
		if err := step(); err != nil || len(tokens) != 1 || !tokens[string(p.Token())] {
			t.Errorf("step %d: %v, %d tokens", i, err, len(tokens))
		}
	}
	if err := p.Erase(t.Context()); err != nil || len(tokens) != 0 {
		t.Errorf("after erasing: %v, %d tokens", err, len(tokens))
	}
}

func TestPushDuringASessionMeansAnother(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(func(c *Config) { c.AutoConnect = true })
	p.OnCommand("ProfileList", func(int) Reaction { p.wake(); return Execute })
	s.push("ProfileList", nil)
	if err := p.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.WaitFor(ctx, func(*Phone) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.idles == 2
	}); err != nil {
		t.Errorf("%v: %d sessions", err, s.idles)
	}
}

func TestPushWakesThePhone(t *testing.T) {
	s := newServer(t)
	cloud, err := apns.New(s.pki)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	p := s.enrolled(func(c *Config) { c.Push, c.AutoConnect = cloud, true })
	s.push("SecurityInfo", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p.wake()
	if err := p.WaitFor(ctx, func(p *Phone) bool { return !p.Timings().LastAcknowledgedAt.IsZero() }); err != nil {
		t.Fatal(err)
	}
	if p.Pushes() != 1 || len(p.CommandsSeen()) != 1 {
		t.Errorf("%d pushes, commands %v", p.Pushes(), p.CommandsSeen())
	}
}

func TestRawMessages(t *testing.T) {
	s := newServer(t)
	p := s.enrolled(nil)
	s.say("Nonsense", http.StatusBadRequest, "text/plain", "what")
	status, body, err := p.CheckInRaw(t.Context(), plist.Dict{"MessageType": "Nonsense", "UDID": "other"})
	if err != nil || status != 400 || string(body) != "what" {
		t.Errorf("%d %q %v", status, body, err)
	}
	if status, body, err = p.ConnectRaw(t.Context(), p.Idle()); err != nil || status != 200 || len(body) != 0 {
		t.Errorf("%d %q %v", status, body, err)
	}
}
