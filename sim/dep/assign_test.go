package dep

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/sim/applepki"
)

func TestProfileCodes(t *testing.T) {
	c, _ := start(t, Options{}, 0)
	long := func(n int) string { return strings.Repeat("ä", n) }
	for _, tt := range []struct {
		name, key string
		value     any
		code      string
	}{
		{"no name", "profile_name", " ", "CONFIG_NAME_REQUIRED"},
		{"longest name", "profile_name", long(125), ""},
		{"long name", "profile_name", long(126), "CONFIG_NAME_INVALID"},
		{"no URL", "url", nil, "CONFIG_URL_REQUIRED"},
		{"URL without TLS", "url", "http://mdm.example.com/", "CONFIG_URL_INVALID"},
		{"long URL", "url", "https://mdm.example.com/" + strings.Repeat("a", 2000), "CONFIG_URL_INVALID"},
		{"web URL", "configuration_web_url", "mdm.example.com", "CONFIG_URL_INVALID"},
		{"longest department", "department", long(125), ""},
		{"department", "department", long(126), "DEPARTMENT_INVALID"},
		{"not removable, not supervised", "is_mdm_removable", false, "FLAGS_INVALID"},
		{"language", "language", "english", "LOCALE_INVALID"},
		{"good language", "language", "pt-BR", ""},
		{"region", "region", "us", "LOCALE_INVALID"},
		{"good region", "region", "US", ""},
		{"longest magic", "org_magic", long(256), ""},
		{"magic", "org_magic", long(257), "MAGIC_INVALID"},
		{"mail", "support_email_address", long(251), "SUPPORT_EMAIL_INVALID"},
		{"phone", "support_phone_number", long(51), "SUPPORT_PHONE_INVALID"},
		{"wrong type", "skip_setup_items", "Siri", malformed},
		{"no certificate", "anchor_certs", []string{"AAAA"}, malformed},
		{"unknown key", "favourite_colour", "blue", ""},
	} {
		body := maps.Clone(goodProfile)
		body[tt.key] = tt.value
		out := c.call("POST", "/profile", body)
		if code := out.code(); tt.code != "" && (out.status != 400 || code != tt.code) || tt.code == "" && out.status != 200 {
			t.Errorf("%s: %d %s", tt.name, out.status, out.body)
		}
	}
	body := maps.Clone(goodProfile)
	body["is_mdm_removable"], body["is_supervised"] = false, true
	if out := c.call("POST", "/profile", body); out.status != 200 {
		t.Errorf("not removable, supervised: %d %s", out.status, out.body)
	}
}

func TestProfileIsKept(t *testing.T) {
	pki, err := applepki.New()
	if err != nil {
		t.Fatal(err)
	}
	anchor := base64.StdEncoding.EncodeToString(pki.PushCA().Raw)
	c, _ := start(t, Options{}, 2)
	body := maps.Clone(goodProfile)
	body["anchor_certs"], body["await_device_configured"], body["skip_setup_items"] = []string{anchor}, true, []string{"Siri"}
	body["configuration_web_url"] = "https://mdm.example.com/enroll/ade/secret/web"
	body["devices"] = []string{c.account.Serials()[0], "NOBODY"}
	var made statuses
	c.get("POST", "/profile", body, &made)
	if diff := cmp.Diff(map[string]Status{c.account.Serials()[0]: Success, "NOBODY": NotAccessible}, made.Devices); diff != "" {
		t.Error(diff)
	}
	var got Profile
	c.get("GET", "/profile?profile_uuid="+made.ProfileUUID, nil, &got)
	want := Profile{ProfileName: "Staff", URL: "https://mdm.example.com/enroll/ade/secret", ConfigurationWebURL: "https://mdm.example.com/enroll/ade/secret/web",
		AnchorCerts: []string{anchor}, AllowPairing: true, AwaitDeviceConfigured: true, IsMDMRemovable: true, SkipSetupItems: []string{"Siri"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c.refused("no UUID", "GET", "/profile", nil, 400, "PROFILE_UUID_REQUIRED")
	c.refused("unknown UUID", "GET", "/profile?profile_uuid=00", nil, 404, "NOT_FOUND")
	if other := c.define(); other == made.ProfileUUID {
		t.Error("two definitions have one UUID")
	}
	configuration, ok := c.cloud.Activate(c.account.Serials()[0])
	if !ok || configuration.Account != "Main" || configuration.ProfileUUID != made.ProfileUUID {
		t.Errorf("%+v, %v", configuration, ok)
	}
	if diff := cmp.Diff(want, configuration.Profile); diff != "" {
		t.Error(diff)
	}
}

func TestLifeCycle(t *testing.T) {
	c, _ := start(t, Options{}, 1)
	one := c.account.Serials()[0]
	expect := func(what string, status ProfileStatus, uuid string, pushed bool) {
		t.Helper()
		d := c.fetch(1, "").Devices[0]
		if d.ProfileStatus != status || d.ProfileUUID != uuid || (d.ProfileAssignTime != "") != (uuid != "") || (d.ProfilePushTime != "") != pushed {
			t.Errorf("%s: %+v", what, d)
		}
	}
	expect("new", ProfileEmpty, "", false)
	if _, ok := c.cloud.Activate(one); ok {
		t.Error("a device without a profile is sent somewhere")
	}
	profile := c.define()
	c.assign(profile, one)
	expect("assigned", ProfileAssigned, profile, false)
	if _, ok := c.cloud.Activate(one); !ok {
		t.Error("no configuration")
	}
	expect("activated", ProfilePushed, profile, true)
	second := c.define()
	c.assign(second, one)
	expect("another profile", ProfileAssigned, second, false)
	var out statuses
	c.get("DELETE", "/profile/devices", map[string]any{"devices": []string{one, "NOBODY"}}, &out)
	if diff := cmp.Diff(map[string]Status{one: Success, "NOBODY": NotAccessible}, out.Devices); diff != "" {
		t.Error(diff)
	}
	expect("removed", ProfileRemoved, "", false)
	if _, ok := c.cloud.Activate(one); ok {
		t.Error("a device whose profile was removed is sent somewhere")
	}
	if _, ok := c.cloud.Activate("NOBODY"); ok {
		t.Error("a device of nobody is sent somewhere")
	}
}

func TestOutcomes(t *testing.T) {
	c, now := start(t, Options{SessionLifetime: time.Hour}, 6)
	s := c.account.Serials()
	profile := c.define()
	c.account.FailDevices(1, NotAccessible, s[0])
	c.account.FailDevices(2, Failed, s[1])
	c.account.FailDevices(1, Omitted, s[2])
	c.account.Throttle(90*time.Second, s[3])
	c.account.Throttle(30*time.Second, s[4])
	out := c.assign(profile, append(s, "NOBODY")...)
	want := map[string]Status{s[0]: NotAccessible, s[1]: Failed, s[3]: Throttled, s[4]: Throttled, s[5]: Success, "NOBODY": NotAccessible}
	if diff := cmp.Diff(want, out.Devices); diff != "" {
		t.Error(diff)
	}
	if out.RetryAfter != 90 {
		t.Errorf("retry after %d", out.RetryAfter)
	}
	for _, serial := range s[:5] {
		if d, _ := c.cloud.Device(serial); d.ProfileStatus != ProfileEmpty {
			t.Errorf("%s is %s", serial, d.ProfileStatus)
		}
	}
	c.version = "9"
	if out = c.assign(profile, s[3]); out.Devices[s[3]] != Throttled || out.RetryAfter != 0 {
		t.Errorf("version 9: %+v", out)
	}
	c.version = "8"
	if out = c.assign(profile, s[3]); out.Devices[s[3]] != Failed || out.RetryAfter != 0 {
		t.Errorf("version 8: %+v", out)
	}
	c.version = "10"
	now.advance(31 * time.Second)
	want = map[string]Status{s[0]: Success, s[1]: Failed, s[2]: Success, s[3]: Throttled, s[4]: Success}
	if out = c.assign(profile, s[:5]...); !cmp.Equal(want, out.Devices) || out.RetryAfter != 59 {
		t.Errorf("after half a minute: %s, retry after %d", cmp.Diff(want, out.Devices), out.RetryAfter)
	}
	now.advance(time.Minute)
	if out = c.assign(profile, s[1], s[3]); out.Devices[s[1]] != Success || out.Devices[s[3]] != Success {
		t.Errorf("at last: %+v", out)
	}
}

func TestAssignRefuses(t *testing.T) {
	c, _ := start(t, Options{}, 1)
	other, err := c.cloud.AddAccount("Other")
	if err != nil {
		t.Fatal(err)
	}
	profile, one := c.define(), c.account.Serials()[0]
	foreign := newClient(t, c.cloud, other).define()
	serials := func(n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = one
		}
		return out
	}
	for _, tt := range []struct {
		name, profile string
		devices       []string
		status        int
		code          string
	}{
		{"no profile", "", serials(1), 400, "PROFILE_UUID_REQUIRED"},
		{"unknown profile", "00", serials(1), 404, "NOT_FOUND"},
		{"another account's profile", foreign, serials(1), 404, "NOT_FOUND"},
		{"no devices", profile, nil, 400, "DEVICE_ID_REQUIRED"},
		{"1,001 devices", profile, serials(1001), 400, malformed},
	} {
		c.refused(tt.name, "POST", "/profile/devices", map[string]any{"profile_uuid": tt.profile, "devices": tt.devices}, tt.status, tt.code)
	}
	c.assign(profile, serials(1000)...)
	if out := c.call("PUT", "/profile/devices", map[string]any{"profile_uuid": profile, "devices": serials(1)}); out.status != 200 {
		t.Errorf("PUT: %d %s", out.status, out.body)
	}
	c.refused("removal of none", "DELETE", "/profile/devices", map[string]any{}, 400, "DEVICE_ID_REQUIRED")
	c.refused("definition for 1,001", "POST", "/profile", map[string]any{"profile_name": "x", "url": "https://x.example", "devices": serials(1001)}, 400, malformed)
}

func TestDiscovery(t *testing.T) {
	const path = "/account-driven-enrollment/profile"
	c, _ := start(t, Options{}, 0)
	c.refused("not set", "GET", path, nil, 404, "NOT_FOUND")
	c.refused("no URL", "POST", path, map[string]any{}, 400, "MDM_SERVICE_DISCOVERY_URL_REQUIRED")
	c.refused("no TLS", "POST", path, map[string]any{"mdm_service_discovery_url": "http://example.com"}, 400, "MDM_SERVICE_DISCOVERY_URL_NOT_VALID")
	want := discovery{"https://example.com/.well-known/com.apple.remotemanagement"}
	if out := c.call("POST", path, want); out.status != 200 || c.account.Discovery() != want.URL {
		t.Errorf("%d %s, %q", out.status, out.body, c.account.Discovery())
	}
	var got discovery
	if c.get("GET", path, nil, &got); got != want {
		t.Errorf("%+v", got)
	}
	if out := c.call("DELETE", path, nil); out.status != 200 || c.account.Discovery() != "" {
		t.Errorf("%d %s, %q", out.status, out.body, c.account.Discovery())
	}
	provider, _ := start(t, Options{Organization: Organization{Name: "TV", Type: "tvprovider"}}, 0)
	provider.refused("organization", "POST", path, want, 400, "ORG_NOT_SUPPORTED")
}

func TestBetaTokensAndActivationLock(t *testing.T) {
	c, _ := start(t, Options{}, 1)
	var beta struct {
		Tokens []map[string]string `json:"betaEnrollmentTokens"`
	}
	c.get("GET", "/os-beta-enrollment/tokens", nil, &beta)
	if len(beta.Tokens) != 2 || beta.Tokens[0]["token"] == "" || beta.Tokens[0]["title"] == "" || beta.Tokens[0]["os"] != "iOS" {
		t.Errorf("%+v", beta)
	}
	c.account.AllowBeta(false)
	c.refused("turned off", "GET", "/os-beta-enrollment/tokens", nil, 403, "APPLE_SEED_FOR_IT_TURNED_OFF")
	for _, tt := range []struct {
		serial string
		want   Status
	}{{c.account.Serials()[0], Success}, {c.account.Serials()[0], Failed}, {"NOBODY", NotAccessible}} {
		var out struct {
			Serial string `json:"serial_number"`
			Status Status `json:"response_status"`
		}
		c.get("POST", "/device/activationlock", map[string]string{"device": tt.serial}, &out)
		if out.Serial != tt.serial || out.Status != tt.want {
			t.Errorf("%+v, want %+v", out, tt)
		}
	}
	c.refused("no device", "POST", "/device/activationlock", map[string]any{}, 400, "DEVICE_ID_REQUIRED")
}
