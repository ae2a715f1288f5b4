package admin_test

import (
	"strings"
	"testing"
)

func TestPolicyVersions(t *testing.T) {
	s := newServer(t)
	s.do("PUT /policies/p", `{"document":{"wifi":[{"ssid":"Office","security":"wpa2","password":"first secret"}]}}`).want(201).
		is("version=1", "priority=0", "document.wifi.0.password=********", "features=[wifi]", "updated_by=the admin").says("!first secret")
	s.do("PUT /policies/p", `{"priority":7,"document":{"wifi":[{"ssid":"Office","security":"wpa2","password":"********","hidden":true}]}}`).want(200).is("version=2", "priority=7", "changed=true")
	s.do("PUT /policies/p", `{"document":{"wifi":[{"ssid":"Office","security":"wpa2","password":"********","hidden":true}]}}`).want(200).is("version=2", "changed=false")
	s.do("PUT /policies/p", `{"document":{"wifi":[{"ssid":"Office","security":"wpa2","password":"second secret"}]}}`).want(200).is("version=3")

	s.do("GET /policies/p/versions", "").want(200).is("items.0.version=3", "items.2.version=1", "items.3=")
	page := s.do("GET /policies/p/versions?limit=2", "").want(200).is("items.1.version=2", "items.2=")
	s.do("GET /policies/p/versions?limit=2&cursor="+page.at("next_cursor").(string), "").want(200).is("items.0.version=1", "items.1=")
	s.do("GET /policies/p/versions/2", "").want(200).is("priority=7", "document.wifi.0.hidden=true")
	s.do("GET /policies/p/versions/4", "").want(404).is("code=policy_version_unknown")
	s.do("GET /policies/p/compare?from=1", "").want(200).is("from=1", "to=3", "differences.0.pointer=/wifi/0/password", "differences.0.from=********", "differences.1=")
	s.do("GET /policies/p/compare?from=1&to=2", "").want(200).is("differences.0.pointer=/wifi/0/hidden", "differences.0.to=true", "differences.1=") // the kept secret is the same
	s.do("GET /policies/p/compare", "").want(422)

	s.do("POST /policies/p/versions/2/restore", "").want(200).is("version=4", "restored=2", "priority=7", "document.wifi.0.hidden=true", "changed=true")
	s.do("GET /policies/p/compare?from=2", "").want(200).is("differences=[]")
	s.do("POST /policies/p/versions/2/restore", "").want(200).is("version=4", "changed=false")
	s.do("POST /policies/p/versions/9/restore", "").want(404)
	s.do("PUT /policies/p", `{"priority":7}`).want(200).is("changed=false")
}

// TestPolicyInput has what a policy cannot be: with a pointer to the place, and
// what would be possible.
func TestPolicyInput(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct{ name, document, pointer, says string }{
		{"unknown key", `{"kamera":"deny"}`, "/document", "unexpected property"},
		{"unknown key below", `{"restrictions":{"kamera":"deny"}}`, "/document/restrictions", "unexpected property"},
		{"wrong type", `{"passcode":{"min_length":"six"}}`, "/document/passcode/min_length", "integer"},
		{"out of range", `{"passcode":{"min_length":17}}`, "/document/passcode/min_length", "16"},
		{"no such value", `{"restrictions":{"camera":"forbid"}}`, "/document/restrictions/camera", "deny"},
		{"missing", `{"wifi":[{"ssid":"x"}]}`, "/document/wifi/0", "security"},
	} {
		got := s.do("PUT /policies/p", `{"document":`+c.document+`}`).want(422).is("code=request_invalid")
		found := false
		for i := range 5 {
			at := "errors." + string(rune('0'+i))
			pointer, _ := got.at(at + ".pointer").(string)
			detail, _ := got.at(at + ".detail").(string)
			found = found || strings.HasPrefix(pointer, c.pointer) && strings.Contains(detail, c.says)
		}
		if !found {
			t.Errorf("%s: %s", c.name, got.raw)
		}
	}
	// What one field says about another is for the document itself to say.
	s.do("PUT /policies/p", `{"document":{"apps":{"allowed":[{"bundle_id":"a.b"}],"blocked":[{"bundle_id":"c.d"}]}}}`).want(422).says("/apps")
	s.do("PUT /policies/p", `{"document":{"apps":{"required":[{"bundle_id":"a.b"}],"blocked":[{"bundle_id":"a.b"}]}}}`).want(422).says("/apps")
	s.do("PUT /policies/p", `{"document":{"wifi":[{"ssid":"x","security":"wpa2","password":"********"}]}}`).want(422) // nothing to keep
	s.do("PUT /policies/p", `{"priority":1001}`).want(422)
	s.do("GET /policies/p", "").want(404)
	for _, part := range []string{`"min_length"`, `"maximum":16`, `"$defs"`, `"$ref":"#/$defs/`} {
		s.do("GET /policy-schema", "").want(200).says(part)
	}
}

func TestRollout(t *testing.T) {
	s := newServer(t)
	s.do("PUT /policies/p", `{"document":{"lock_message":"one"}}`).want(201).is("rollout.percent=100", "rollout.base_version=")
	s.do("PUT /policies/p/rollout", `{"percent":10,"per_minute":100}`).want(200).is("percent=10", "per_minute=100", "base_version=1", "changed=true")
	s.do("PUT /policies/p/rollout", `{"percent":10,"per_minute":100}`).want(200).is("changed=false")
	s.do("PUT /policies/p", `{"document":{"lock_message":"two"}}`).want(200).is("version=2", "rollout.percent=10", "rollout.base_version=1")
	s.do("POST /policies/p/rollout/pause", "").want(200).is("paused=true", "base_version=1")
	s.do("POST /policies/p/rollout/resume", "").want(200).is("paused=false")
	s.do("PUT /policies/p/rollout", `{"percent":100}`).want(200).is("per_minute=0", "base_version=", "version=2")
	s.do("GET /policies/p/rollout", "").want(200).is("percent=100", "paused=false")
	s.do("PUT /policies/p/rollout", `{"percent":101}`).want(422)
	s.do("PUT /policies/none/rollout", `{"percent":10}`).want(404)
}

// TestEffectivePolicy is what a device would get, on the roll or not.
func TestEffectivePolicy(t *testing.T) {
	s := newServer(t)
	s.do("POST /groups", `{"name":"Sales"}`).want(201)
	s.do("PUT /policies/base", `{"document":{"device_name":"{user.local_part}","restrictions":{"camera":"deny","sms":"deny","airdrop":"deny"},"lock_message":"base"}}`).want(201)
	s.do("PUT /policies/more", `{"priority":5,"document":{"restrictions":{"camera":"allow"},"lock_message":"more"}}`).want(201)
	s.do("POST /policies/base/bindings", `{"group":"Sales"}`).want(200)
	s.do("POST /policies/more/bindings", `{"group":"Sales"}`).want(200)

	s.do("GET /devices/NOTYET/policy", "").want(200).is("serial=NOTYET", "on_roll=false", "policies=[]", "items=[]", "conflicts=[]")
	s.do("GET /devices/NOTYET/policy?group=Sales", "").want(200).
		is("policies.0.via=group:Sales", "document.restrictions.camera=deny", "document.lock_message=more", "conflicts.0.won.policy=base",
			"origins./restrictions/airdrop.0.policy=base").
		says(`"/restrictions/sms"`, `{user.local_part}`, `"state":"failed"`, `"blocked":"The device has no value for {user.local_part}."`)
	s.do("GET /devices/NOTYET/policy?group=Sales&supervised=false", "").want(200).says(`"code":"not_supervised"`)
	s.do("GET /devices/NOTYET/policy?group=Sales&supervised=maybe", "").want(422)
	s.do("GET /devices/NOTYET/policy?user=nobody@example.com", "").want(404)

	s.do("PUT /devices/LISTED", `{"platform":"ios","ownership":"corporate","user":{"email":"ann@example.com"}}`).want(201)
	s.do("POST /policies/more/bindings", `{"user":"Ann@example.com"}`).want(200).is("changed=true", "domain=local")
	s.do("GET /policies/more/bindings", "").want(200).is("items.1.user=ann@example.com", "items.1.domain=local")
	s.do("GET /devices/LISTED/policies", "").want(200).is("items.0.name=more", "items.0.via=user", "items.1=")
	s.do("GET /devices/LISTED/policy?group=Sales", "").want(200).is("on_roll=true", "policies.1.via=group:Sales").says("!variable_missing")
	s.do("GET /devices/NOTYET/policy?user=ann@example.com", "").want(200).is("policies.0.name=more", "policies.0.via=user")
	s.do("DELETE /policies/more/bindings?user=ann@example.com", "").want(200).is("changed=true")

	// A save says what devices of its groups will not honour.
	s.do("POST /groups/Sales/members", `{"add":["LISTED"]}`).want(200)
	s.do("PUT /policies/base", `{"document":{"restrictions":{"sms":"deny"}}}`).want(200).says(`"pointer":"/restrictions/sms"`, `"devices":1`, `"example":"LISTED"`)

	s.do("GET /policies/base/receipt", "").want(200).is("items.0.serial=LISTED", "items.0.state=not_enrolled", "items.0.version=", "items.0.items=[]", "items.1=")
	s.do("GET /policies/none/receipt", "").want(404).is("code=policy_unknown")

	// A binding says so, too.
	s.do("PUT /policies/late", `{"document":{"restrictions":{"sms":"deny"}}}`).want(201).is("warnings=[]")
	s.do("POST /policies/late/bindings", `{"group":"Sales"}`).want(200).is("changed=true", "warnings.0.code=platform", "warnings.0.example=LISTED")
	s.do("POST /policies/late/bindings", `{"serial":"LISTED"}`).want(200).is("warnings.0.pointer=/restrictions/sms", "warnings.0.devices=1")
	s.do("DELETE /policies/late/bindings?serial=LISTED", "").want(200).is("changed=true", "warnings=")
}

// TestPolicyConflict: who changes what somebody else has changed meanwhile is
// told, and shown it.
func TestPolicyConflict(t *testing.T) {
	s := newServer(t)
	s.do("PUT /policies/p", `{"document":{"lock_message":"one"}}`, `If-Match: "1"`).want(404).is("code=policy_unknown")
	s.do("PUT /policies/p", `{"document":{"lock_message":"one"}}`).want(201)
	s.do("PUT /policies/p", `{"document":{"lock_message":"two"}}`, `If-Match: "1"`).want(200).is("version=2")
	s.do("PUT /policies/p", `{"document":{"lock_message":"three"}}`, `If-Match: "1"`).want(409).is("code=version_changed", "current.version=2", "current.document.lock_message=two")
	s.do("GET /policies/p", "").want(200).is("version=2", "document.lock_message=two")
	s.do("PUT /policies/p", `{"document":{}}`, `If-Match: two`).want(422).is("code=if_match_invalid")
	s.do("PUT /policies/p", `{"document":{"apps":{"required":[{"name":"x"}]}}}`).want(422).
		is("errors.0.pointer=/document/apps/required/0", "errors.0.detail=The app has no identifier.").says("/apps/required/0: ")
}

// TestPolicyDescription: what a policy is for is nothing that a device is told.
func TestPolicyDescription(t *testing.T) {
	s := newServer(t)
	s.do("PUT /policies/p", `{"description":"for the offices"}`).want(201).is("description=for the offices", "version=1")
	s.do("PUT /policies/p", `{"description":"for all"}`).want(200).is("description=for all", "version=1", "changed=false")
	s.do("PUT /policies/p", `{"priority":1}`).want(200).is("description=for all", "version=2")
	s.do("GET /policies", "").want(200).is("items.0.description=for all")
	s.do("PUT /policies/p", `{"description":"`+strings.Repeat("x", 2001)+`"}`).want(422)
}

// TestPolicyList tells what policies are bound to.
func TestPolicyList(t *testing.T) {
	s := newServer(t)
	s.do("POST /groups", `{"name":"Sales"}`).want(201)
	s.do("PUT /devices/LISTED", `{"platform":"ios","ownership":"corporate","user":{"email":"ann@example.com"}}`).want(201)
	s.do("PUT /policies/p", `{"document":{"restrictions":{"sms":"deny"}}}`).want(201)
	s.do("GET /policies", "").want(200).is("items.0.bound.groups=[]", "items.0.bound.users=0")
	s.do("POST /policies/p/bindings", `{"group":"Sales"}`).want(200)
	s.do("POST /policies/p/bindings", `{"serial":"LISTED"}`).want(200)
	s.do("POST /policies/p/bindings", `{"user":"ann@example.com"}`).want(200)
	s.do("GET /policies", "").want(200).is("items.0.bound.groups=[Sales]", "items.0.bound.users=1", "items.0.bound.devices=1")
	first := s.do("GET /policies/p/bindings?limit=1", "").want(200).is("items.0.group=Sales", "items.1=")
	second := s.do("GET /policies/p/bindings?limit=1&cursor="+first.at("next_cursor").(string), "").want(200).is("items.0.serial=LISTED")
	s.do("GET /policies/p/bindings?limit=2&cursor="+second.at("next_cursor").(string), "").want(200).is("items.0.user=ann@example.com", "items.1=", "next_cursor=")
	s.do("GET /policies/p/bindings?cursor=eA", "").want(400)
	s.do("GET /policies/p/warnings", "").want(200).is("items.0.pointer=/restrictions/sms", "items.0.code=platform", "items.0.example=LISTED")
	s.do("GET /policies/none/warnings", "").want(404)
}

// TestPolicySettings: every field is there, with what the compilers say of it.
func TestPolicySettings(t *testing.T) {
	s := newServer(t)
	got := s.do("GET /policy-settings", "").want(200).is("items.0.pointer=/restrictions", "items.1.pointer=/restrictions/camera", "items.1.area=hardware",
		"items.1.apple.0.key=allowCamera", "items.1.apple.0.value=false", "items.1.apple.0.supervised=false", "items.1.android.0.field=cameraAccess", "items.1.android.1.modes=[work_profile_company]",
		"items.2.apple.0.key=").says(`"pointer":"/wifi/proxy"`, `"pointer":"/passcode/min_length"`, `"field":"passwordPolicies[].passwordMinimumLength"`, `"pointer":"/home_screen"`, "Dock.IconItem.URL")
	if n := len(got.at("items").([]any)); n < 150 {
		t.Errorf("%d settings", n)
	}
}
