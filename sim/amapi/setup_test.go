package amapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func link(value string) string {
	return "https://enterprise.google.com/android/enroll?et=" + url.QueryEscape(value)
}

// How a device is managed follows from the token and the way it is set up.
func TestSetupModes(t *testing.T) {
	b := newBench(t)
	b.policy("default", object{})
	for i, c := range []struct {
		usage, way      string
		mode, ownership string
		err             error
	}{
		{corporate, "qrCode", deviceOwner, companyOwned, nil},
		{userless, "qrCode", deviceOwner, companyOwned, nil},
		{personal, "qrCode", profileOwner, companyOwned, nil},
		{"", "qrCode", deviceOwner, companyOwned, nil},
		{corporate, "value", deviceOwner, companyOwned, nil},
		{corporate, "knox", deviceOwner, companyOwned, nil},
		{personal, "link", profileOwner, personallyHeld, nil},
		{"", "link", profileOwner, personallyHeld, nil},
		{corporate, "link", "", "", ErrToken},
		{userless, "link", "", "", ErrToken},
	} {
		fields := object{}
		if c.usage != "" {
			fields["allowPersonalUsage"] = c.usage
		}
		made := b.token(fields)
		entry := map[string]string{"qrCode": text(made, "qrCode"), "value": text(made, "value"), "link": link(text(made, "value")), "knox": `{"` + extraToken + `":"` + text(made, "value") + `"}`}[c.way]
		serial := string(rune('A' + i))
		d := b.device(Hardware{Serial: serial, IMEI: "350000000000019"})
		b.setup(d, entry, c.err)
		s := d.State()
		if s.Mode != c.mode || s.Ownership != c.ownership {
			t.Errorf("%+v: %+v", c, s)
		}
		if c.err != nil {
			continue
		}
		got := b.ok("GET", s.Name, nil)
		if text(got, "managementMode") != c.mode || text(got, "ownership") != c.ownership || text(got, "enrollmentTokenName") != text(made, "name") {
			t.Errorf("%+v: %v", c, got)
		}
		// Personal devices hide their serial behind an id that only this
		// organization knows; company-owned ones have no such id.
		esid := text(got, "hardwareInfo.enterpriseSpecificId")
		if want := map[string]string{companyOwned: serial, personallyHeld: esid}[c.ownership]; text(got, "hardwareInfo.serialNumber") != want || (esid == "") != (c.ownership == companyOwned) {
			t.Errorf("%+v: %v", c, got["hardwareInfo"])
		}
	}
	old := b.device(Hardware{Serial: "OLD", APILevel: 30})
	b.setup(old, link(text(b.token(object{"allowPersonalUsage": personal}), "value")), nil)
	if got := b.ok("GET", old.State().Name, nil); text(got, "hardwareInfo.serialNumber") != "OLD" {
		t.Error("Android 11 told no serial:", got)
	}
}

func TestSetupRefuses(t *testing.T) {
	b := newBench(t)
	open := text(b.token(object{"allowPersonalUsage": personal}), "value")
	b.policy("default", object{})
	once := b.token(object{"oneTimeOnly": true, "allowPersonalUsage": corporate})
	bound := b.token(object{"allowPersonalUsage": corporate, "googleAuthenticationOptions": object{"authenticationRequirement": "REQUIRED", "requiredAccountEmail": "a@example.com"}})
	d := b.device(Hardware{Serial: "S1"})
	for name, entry := range map[string]string{
		"nothing":       " ",
		"unknown":       "ABCDEFGH",
		"another link":  "https://enterprise.example.com/android/enroll?et=" + open,
		"plain link":    "http://enterprise.google.com/android/enroll?et=" + open,
		"empty link":    "https://enterprise.google.com/android/enroll",
		"no JSON":       "{",
		"another agent": `{"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME":"org.example/.Admin","android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE":{}}`,
		"no token":      `{"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME":"com.google.android.apps.work.clouddpc/.receivers.CloudDeviceAdminReceiver","android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE":{}}`,
		"no account":    text(bound, "qrCode"),
		"no account 2":  text(b.token(object{"googleAuthenticationOptions": object{"authenticationRequirement": "REQUIRED"}}), "qrCode"),
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.setup(d, entry, ErrToken)
		})
	}
	b.t = t
	d.SetAccount("b@example.com")
	b.setup(d, text(bound, "qrCode"), ErrToken)
	d.SetAccount("A@example.com")
	b.setup(d, text(bound, "qrCode"), nil)
	b.setup(d, text(once, "qrCode"), ErrManaged)
	second, third := b.device(Hardware{Serial: "S2"}), b.device(Hardware{Serial: "S3"})
	second.SetOffline(true)
	b.setup(second, text(once, "qrCode"), ErrOffline)
	second.SetOffline(false)
	b.setup(second, text(once, "qrCode"), nil)
	b.setup(third, text(once, "qrCode"), ErrToken)
	b.refused("GET", text(once, "name"), nil, "NOT_FOUND", "")
	if _, err := b.cloud.AddDevice(Hardware{Serial: "S3"}); err == nil {
		t.Error("two devices with one serial")
	}
}

// gate is the product's sign-in page, as far as a test needs one.
type gate struct {
	*httptest.Server
	mu   sync.Mutex // held while the page is served
	page http.HandlerFunc
}

// serve sets the page.
func (g *gate) serve(page http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.page = page
}

// settled waits for the page to have been served, so that what it noted can be
// read.
func (g *gate) settled() {
	g.mu.Lock()
	defer g.mu.Unlock()
}

func newGate(t *testing.T) *gate {
	g := &gate{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.page(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

// signinToken makes the page the sign-in page of an organization.
func (b *bench) signinToken(g *gate, usage string) string {
	b.t.Helper()
	out := b.ok("PATCH", b.enterprise+"?updateMask=signinDetails", object{"signinDetails": []any{object{"signinUrl": g.URL + "/signin?tenant=1", "allowPersonalUsage": usage}}})
	return text(list(out, "signinDetails")[0], "qrCode")
}

func TestSigninFlow(t *testing.T) {
	b := newBench(t)
	b.policy("default", object{})
	g := newGate(t)
	entry := b.signinToken(g, corporate)
	d := b.device(Hardware{Serial: "S1", IMEI: "350000000000019", MEID: "A0000000000001"})
	d.SetAccount("a@example.com")
	var info object
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/signin" {
			if r.URL.Query().Get("tenant") != "1" {
				t.Error("the page's own query is lost:", r.URL)
			}
			info = b.ok("GET", "provisioningInfo/"+r.URL.Query().Get("provisioningInfo"), nil)
			http.Redirect(w, r, "/next", http.StatusSeeOther)
			return
		}
		made := b.token(object{"oneTimeOnly": true, "duration": "600s", "allowPersonalUsage": corporate, "additionalData": "row 1"})
		http.Redirect(w, r, link(text(made, "value")), http.StatusFound)
	})
	b.setup(d, entry, nil)
	g.settled()
	want := object{"enterprise": b.enterprise, "managementMode": deviceOwner, "ownership": companyOwned, "brand": "google", "model": "Pixel 10", "serialNumber": "S1",
		"imei": "350000000000019", "meid": "A0000000000001", "authenticatedUserEmail": "a@example.com"}
	name := text(info, "name")
	delete(info, "name")
	delete(info, "apiLevel")
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	notes := b.wantMessages("ENROLLMENT", "STATUS_REPORT")
	if text(notes[0].body, "enrollmentTokenData") != "row 1" || text(notes[0].body, "state") != activeState || text(notes[0].body, "name") != d.State().Name {
		t.Error(notes[0].body)
	}
	b.clock.advance(24 * time.Hour)
	b.signIn()
	b.ok("GET", name, nil)
	b.clock.advance(time.Second)
	b.refused("GET", name, nil, "NOT_FOUND", "")
}

// A personal device never tells its serial before enrollment.
func TestSigninFlowPersonal(t *testing.T) {
	b := newBench(t)
	b.policy("default", object{})
	g := newGate(t)
	b.signinToken(g, personal)
	var info object
	g.serve(func(w http.ResponseWriter, r *http.Request) {
		info = b.ok("GET", "provisioningInfo/"+r.URL.Query().Get("provisioningInfo"), nil)
		http.Redirect(w, r, link(text(b.token(object{"allowPersonalUsage": personal}), "value")), http.StatusFound)
	})
	details := list(b.ok("GET", b.enterprise, nil), "signinDetails")
	b.setup(b.device(Hardware{Serial: "S1", IMEI: "350000000000019"}), link(text(details[0], "signinEnrollmentToken")), nil)
	g.settled()
	for _, name := range []string{"serialNumber", "imei", "authenticatedUserEmail"} {
		if _, told := info[name]; told {
			t.Errorf("%s is told: %v", name, info)
		}
	}
	if text(info, "ownership") != personallyHeld {
		t.Error(info)
	}
}

func TestSigninPageMayOnlyEndInTwoWays(t *testing.T) {
	b := newBench(t)
	b.policy("default", object{})
	g := newGate(t)
	entry := b.signinToken(g, corporate)
	d := b.device(Hardware{Serial: "S1"})
	to := func(address string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, address, http.StatusFound) }
	}
	for name, c := range map[string]struct {
		page http.HandlerFunc
		want error
	}{
		"refused":              {to("https://enterprise.google.com/android/enroll/invalid"), ErrRefused},
		"refused in the clear": {to("http://enterprise.google.com/android/enroll/invalid"), ErrSignIn},
		"a token in the clear": {to("http://enterprise.google.com/android/enroll?et=" + text(b.token(object{"allowPersonalUsage": corporate}), "value")), ErrSignIn},
		"another path":         {to("https://enterprise.google.com/enroll?et=x"), ErrSignIn},
		"no token":             {to("https://enterprise.google.com/android/enroll?et="), ErrSignIn},
		"unknown token":        {to(link("x")), ErrToken},
		"for work profiles":    {to(link(text(b.token(object{"allowPersonalUsage": personal}), "value"))), ErrToken},
		"a page":               {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }, ErrSignIn},
		"an error":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, ErrSignIn},
		"a loop":               {to("/again"), ErrSignIn},
		"broken":               {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrSignIn},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			g.serve(c.page)
			b.setup(d, entry, c.want)
			if d.State().Managed {
				t.Error("managed")
			}
		})
	}
	b.t = t
	b.wantMessages()
	other := b.cloud.AddEnterprise("Other")
	foreign := b.ok("POST", other+"/enrollmentTokens", object{"allowPersonalUsage": corporate})
	g.serve(to(link(text(foreign, "value"))))
	b.setup(d, entry, ErrToken)
}

// Without a policy a device waits for five minutes, and is then reset without a
// word.
func TestHold(t *testing.T) {
	b := newBench(t)
	enroll := func(serial string) *Device {
		d := b.device(Hardware{Serial: serial})
		b.setup(d, text(b.token(object{"allowPersonalUsage": corporate}), "qrCode"), nil)
		if got := text(b.wantMessages("ENROLLMENT")[0].body, "state"); got != provisioningState {
			t.Error(got)
		}
		return d
	}
	late, saved := enroll("S1"), enroll("S2")
	b.clock.advance(4*time.Minute + 59*time.Second)
	b.policy("late", object{})
	b.wantMessages()
	b.ok("PATCH", saved.State().Name+"?updateMask=policyName,state", object{"policyName": "late", "state": "ACTIVE"})
	if got := b.wantMessages("STATUS_REPORT")[0].body; text(got, "state") != activeState || text(got, "appliedPolicyVersion") != "1" {
		t.Error(got)
	}
	name := late.State().Name
	b.clock.advance(time.Second)
	b.refused("GET", name, nil, "NOT_FOUND", "")
	if s := late.State(); s.Managed || s.Resets != 1 {
		t.Error(s)
	}
	b.wantMessages()
	b.clock.advance(time.Hour / 2)
	if s := saved.State(); !s.Managed {
		t.Error(s)
	}
	// A policy that comes under the awaited name ends the wait as well.
	waiting := enroll("S3")
	b.policy("default", object{"statusReportingSettings": object{"softwareInfoEnabled": true}})
	b.wantMessages("STATUS_REPORT")
	if waiting.State().Policy == nil {
		t.Error("no policy")
	}
}

// A user who resets a device tells nobody; when it comes again, it has another
// name and knows its old ones.
func TestReset(t *testing.T) {
	b := newBench(t)
	d := b.enrolled(Hardware{Serial: "S1"})
	names := []string{d.State().Name}
	entry := text(b.token(object{"policyName": "plain", "allowPersonalUsage": corporate}), "qrCode")
	for range 2 {
		d.Reset()
		b.wantMessages()
		if got := b.ok("GET", names[len(names)-1], nil); text(got, "state") != activeState {
			t.Error(got)
		}
		b.setup(d, entry, nil)
		got := b.wantMessages("ENROLLMENT", "STATUS_REPORT")[0].body
		if diff := cmp.Diff(names, texts(got, "previousDeviceNames")); diff != "" {
			t.Error(diff)
		}
		names = append(names, text(got, "name"))
	}
	if slices.Index(names, names[2]) != 2 || d.State().Resets != 2 {
		t.Error(names)
	}
	// What is sent to the old name reaches nobody.
	b.ok("POST", names[0]+":issueCommand", object{"type": "WIPE", "wipeParams": object{}})
	b.wantMessages()
	if !d.State().Managed {
		t.Error("the wipe of an old name reached the device")
	}
}

func TestSpecificID(t *testing.T) {
	b := newBench(t)
	b.policy("default", object{})
	d := b.device(Hardware{Serial: "S1"})
	entry := link(text(b.token(object{"allowPersonalUsage": personal}), "value"))
	var ids []string
	for range 2 {
		b.setup(d, entry, nil)
		ids = append(ids, text(b.ok("GET", d.State().Name, nil), "hardwareInfo.enterpriseSpecificId"))
		d.Reset()
	}
	if ids[0] == "" || ids[0] != ids[1] || strings.Contains(ids[0], "S1") {
		t.Error(ids)
	}
}

func TestFixture(t *testing.T) {
	got := Fixture("sim", 3)
	if got[0].Serial != "SIM0000001" || got[2].Model != "TC58" || got[0].IMEI != "350000000000018" && len(got[0].IMEI) != 15 {
		t.Error(got)
	}
	for _, h := range Fixture("X", 50) {
		sum := 0
		for i := range h.IMEI {
			v := int(h.IMEI[len(h.IMEI)-1-i] - '0')
			if i%2 == 1 {
				if v *= 2; v > 9 {
					v -= 9
				}
			}
			sum += v
		}
		if sum%10 != 0 {
			t.Errorf("%s has a wrong check digit", h.IMEI)
		}
	}
}
