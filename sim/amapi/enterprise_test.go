package amapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// follow opens a page as an admin does, and returns where it leads.
func (b *bench) follow(address string) (int, *url.URL) {
	b.t.Helper()
	resp, err := b.client.Get(address)
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	back, _ := resp.Location()
	return resp.StatusCode, back
}

func TestSignUp(t *testing.T) {
	b := newBench(t)
	b.refused("POST", "signupUrls?projectId=other&callbackUrl=https%3A%2F%2Fmdm.example.com", nil, "PERMISSION_DENIED", "")
	b.refused("POST", "signupUrls?projectId=sim-project&callbackUrl=mdm.example.com", nil, "INVALID_ARGUMENT", "callbackUrl")
	b.refused("POST", "signupUrls?projectId=sim-project&callbackUrl=https%3A%2F%2Fmdm.example.com&allowedDomains=a%40b.com", nil, "INVALID_ARGUMENT", "allowedDomains")
	out := b.ok("POST", "signupUrls?projectId=sim-project&callbackUrl="+url.QueryEscape("https://mdm.example.com/back?state=1")+"&adminEmail=a%40example.com&allowedDomains=example.com&allowedDomains=*.example.org", nil)
	name := text(out, "name")
	create := func(token string) string {
		return "enterprises?projectId=sim-project&signupUrlName=" + url.QueryEscape(name) + "&enterpriseToken=" + token
	}
	b.refused("POST", create(""), object{}, "INVALID_ARGUMENT", "not valid")
	status, back := b.follow(text(out, "url"))
	if status != http.StatusFound || back.Query().Get("state") != "1" || !strings.HasPrefix(back.String(), "https://mdm.example.com/back?") {
		t.Fatal(status, back)
	}
	token := back.Query().Get("enterpriseToken")
	b.refused("POST", create("other"), object{}, "INVALID_ARGUMENT", "not valid")
	b.refused("POST", create(token), object{"pubsubTopic": "projects/sim-project/topics/none"}, "INVALID_ARGUMENT", "pubsubTopic")
	made := b.ok("POST", create(token), object{"enterpriseDisplayName": "Acme"})
	if text(made, "enterpriseDisplayName") != "Acme" || !strings.HasPrefix(text(made, "name"), "enterprises/LC") {
		t.Error(made)
	}
	b.refused("POST", create(token), object{}, "INVALID_ARGUMENT", "already been used")
	if status, _ := b.follow(text(out, "url")); status != http.StatusNotFound {
		t.Errorf("a used sign-up URL: %d", status)
	}
	if diff := cmp.Diff(made, b.ok("GET", text(made, "name"), nil)); diff != "" {
		t.Error(diff)
	}
}

func TestEnterprisePatch(t *testing.T) {
	b := newBench(t)
	patch := func(mask string, body object) object {
		t.Helper()
		if mask != "" {
			mask = "?updateMask=" + mask
		}
		out := b.ok("PATCH", b.enterprise+mask, body)
		for _, name := range []string{"name", "enterpriseType", "managedGooglePlayAccountsEnterpriseType"} {
			delete(out, name)
		}
		return out
	}
	types := []any{"ENROLLMENT", "STATUS_REPORT", "COMMAND"}
	for _, c := range []struct {
		mask string
		body object
		want object
	}{
		{"enterpriseDisplayName", object{"enterpriseDisplayName": "New", "pubsubTopic": ""}, object{"enterpriseDisplayName": "New", "pubsubTopic": b.topic, "enabledNotificationTypes": types}},
		{"enterpriseDisplayName", object{}, object{"pubsubTopic": b.topic, "enabledNotificationTypes": types}},
		{"contactInfo.contactEmail", object{"contactInfo": object{"contactEmail": "a@example.com"}}, object{"pubsubTopic": b.topic, "enabledNotificationTypes": types, "contactInfo": object{"contactEmail": "a@example.com"}}},
		{"", object{"enterpriseDisplayName": "Only"}, object{"enterpriseDisplayName": "Only"}},
	} {
		if diff := cmp.Diff(c.want, patch(c.mask, c.body)); diff != "" {
			t.Errorf("%q: %s", c.mask, diff)
		}
	}
	b.refused("PATCH", b.enterprise+"?updateMask=name", object{"name": "enterprises/x"}, "INVALID_ARGUMENT", "cannot be written")
	b.refused("PATCH", b.enterprise+"?updateMask=enterpriseDisplayName", object{"enterpriseDisplayName": strings.Repeat("x", 101)}, "INVALID_ARGUMENT", "100 characters")
	b.refused("PATCH", b.enterprise+"?updateMask=pubsubTopic", object{"pubsubTopic": "topics/amapi"}, "INVALID_ARGUMENT", "pubsubTopic")
	b.refused("PATCH", b.enterprise+"?updateMask=enabledNotificationTypes", object{"enabledNotificationTypes": []any{"NOTIFICATION_TYPE_UNSPECIFIED"}}, "INVALID_ARGUMENT", "UNSPECIFIED")
	b.refused("DELETE", b.enterprise, nil, "FAILED_PRECONDITION", "EMM")
	b.refused("GET", "enterprises/LCnone", nil, "PERMISSION_DENIED", "")
	if out := b.ok("GET", "enterprises?projectId=sim-project", nil); len(out) != 0 {
		t.Error(out)
	}
	// A new topic hears of itself; one that stays does not.
	patch("pubsubTopic", object{"pubsubTopic": b.topic})
	b.wantMessages("test")
	patch("pubsubTopic", object{"pubsubTopic": b.topic})
	b.wantMessages()
}

func TestSigninDetails(t *testing.T) {
	b := newBench(t)
	entry := func(usage, tag string) object {
		return object{"signinUrl": "https://mdm.example.com/android/signin", "allowPersonalUsage": usage, "tokenTag": tag}
	}
	patch := func(entries ...any) []object {
		t.Helper()
		return list(b.ok("PATCH", b.enterprise+"?updateMask=signinDetails", object{"signinDetails": entries}), "signinDetails")
	}
	company, person := entry(corporate, "fm"), entry(personal, "wp")
	first := patch(company, person)
	if len(first) != 2 || text(first[0], "signinEnrollmentToken") == text(first[1], "signinEnrollmentToken") || !strings.Contains(text(first[0], "qrCode"), text(first[0], "signinEnrollmentToken")) {
		t.Fatal(first)
	}
	company["defaultStatus"] = "SIGNIN_DETAIL_IS_DEFAULT"
	second := patch(company)
	if text(second[0], "signinEnrollmentToken") != text(first[0], "signinEnrollmentToken") {
		t.Error("an entry that stayed lost its token")
	}
	third := patch(company, person)
	if text(third[1], "signinEnrollmentToken") == text(first[1], "signinEnrollmentToken") {
		t.Error("an entry that was removed kept its token")
	}
	b.setup(b.device(Hardware{Serial: "S1"}), text(first[1], "qrCode"), ErrToken)
	for words, entries := range map[string][]any{
		"unique":      {company, company},
		"https":       {object{"signinUrl": "http://mdm.example.com/"}},
		"default":     {company, object{"signinUrl": "https://mdm.example.com/2", "defaultStatus": "SIGNIN_DETAIL_IS_DEFAULT"}},
		"UNSPECIFIED": {entry("ALLOW_PERSONAL_USAGE_UNSPECIFIED", "")},
	} {
		b.refused("PATCH", b.enterprise+"?updateMask=signinDetails", object{"signinDetails": entries}, "INVALID_ARGUMENT", words)
	}
	if diff := cmp.Diff(third, list(b.ok("GET", b.enterprise, nil), "signinDetails")); diff != "" {
		t.Error("a refused patch changed something:", diff)
	}
}

func TestUnbind(t *testing.T) {
	b := newBench(t)
	d := b.enrolled(Hardware{Serial: "S1"})
	name := d.State().Name
	b.cloud.Unbind(b.enterprise)
	b.refused("GET", b.enterprise, nil, "PERMISSION_DENIED", "not authorized")
	b.refused("GET", name, nil, "PERMISSION_DENIED", "not authorized")
	b.wantMessages()
	if s := d.State(); s.Managed || s.Resets != 1 {
		t.Error(s)
	}
}

func TestWebTokens(t *testing.T) {
	b := newBench(t)
	out := b.ok("POST", b.enterprise+"/webTokens", object{"parentFrameUrl": "https://mdm.example.com", "enabledFeatures": []any{"ZERO_TOUCH_CUSTOMER_MANAGEMENT"}})
	if text(out, "value") == "" {
		t.Error(out)
	}
	b.refused("POST", b.enterprise+"/webTokens", object{"parentFrameUrl": "http://mdm.example.com"}, "INVALID_ARGUMENT", "https")
	b.ok("POST", b.enterprise+":generateEnterpriseUpgradeUrl", object{})
}
