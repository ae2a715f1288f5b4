package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"rollcall/admin"
)

const mobileconfig = `<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>a.b</string><key>PayloadUUID</key><string>7B9E9C7E-1111-4222-8333-444455556666</string><key>PayloadDisplayName</key><string>Fonts of ours</string>
<key>PayloadContent</key><array><dict><key>PayloadType</key><string>com.apple.font</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>a.b.c</string><key>PayloadUUID</key><string>7B9E9C7E-1111-4222-8333-444455557777</string><key>Name</key><string>x</string></dict></array></dict></plist>`

// TestPolicyPages is the life of a policy around its document: made, bound,
// rolled out, with a profile of Apple's, looked at, deleted.
func TestPolicyPages(t *testing.T) {
	h := newHouse(t)
	h.API(http.MethodPut, "/devices/POLICY1", map[string]any{"platform": "ios", "ownership": "corporate", "user": map[string]any{"email": "ann@example.com", "name": "Ann"}}, nil)
	h.API(http.MethodPost, "/groups", map[string]any{"name": "Sales"}, nil)
	h.API(http.MethodPost, "/groups/Sales/members", map[string]any{"add": []string{"POLICY1"}}, nil)
	p := h.As(admin.RoleAdmin)
	g := p.Get("/console/policies").Wants(http.StatusOK, "There is no policy yet").Follow("New policy")
	g.Form("Make the policy").Set("name", " ").Send().Wants(http.StatusUnprocessableEntity, "needs a name")
	g.Form("Make the policy").Set("name", "Base/1").Set("description", "for <all>").Send().Wants(http.StatusOK, "The policy was made", "Nothing is set")
	g.Form("Make the policy").Set("name", "Base/1").Send().Wants(http.StatusUnprocessableEntity, "There is a policy with this name already")

	const page = "/console/policies/Base%2F1"
	g = p.Get(page).Wants(http.StatusOK, "bound to nothing")
	g = g.Form("Bind to the group").Set("group", "Sales").Send().Wants(http.StatusOK, "The policy is bound to Sales.", "It is bound to every group")
	g = g.Form("Bind to the device").Set("serial", "NOBODY").Send().Wants(http.StatusNotFound, "NOBODY")
	if got := g.Form("Bind to the device").Fields.Get("serial"); got != "NOBODY" {
		t.Errorf("typed was %q", got)
	}
	g = g.Form("Bind to the user").Set("user", "ann@example.com").Send().Wants(http.StatusOK, "The user ann@example.com in local")
	p.Get("/console/policies").Wants(http.StatusOK, "Base/1 for <all> 1 0 nothing yet Sales (1) 1 user")
	g = g.Form("Unbind").Send().Wants(http.StatusOK, "no longer bound to Sales")

	g = g.Form("Set the roll-out").Set("percent", "ten").Send().Wants(http.StatusUnprocessableEntity, "whole number")
	g = g.Form("Set the roll-out").Set("percent", "101").Send().Wants(http.StatusUnprocessableEntity, "100")
	g = g.Form("Set the roll-out").Set("percent", "10").Set("per_minute", "50").Send().Wants(http.StatusOK, "10 % of the devices", "50 devices in a minute")
	g = g.Form("Pause").Send().Wants(http.StatusOK, "paused; who has no newer one gets version 1")
	g = g.Form("Go on").Send().Wants(http.StatusOK, "The roll-out goes on.")

	g = g.Form("Upload").Set("id", "fonts").Send().Wants(http.StatusUnprocessableEntity, "Choose a .mobileconfig file")
	g = g.Form("Upload").Set("id", "fonts").Attach("file", "x.mobileconfig", "no profile").Send().Wants(http.StatusUnprocessableEntity)
	g = g.Form("Upload").Set("id", "fonts").Attach("file", "x.mobileconfig", mobileconfig).Send().Wants(http.StatusOK, "The profile fonts is part of the policy.", "Fonts of ours com.apple.font")
	g.Form("Remove").Send().Wants(http.StatusOK, "was taken out")

	h.API(http.MethodPut, "/policies/Base%2F1", map[string]any{"document": map[string]any{"restrictions": map[string]any{"sms": "deny", "airdrop": "deny"}, "lock_message": "Found? {serial}"}}, nil)
	h.API(http.MethodPost, "/policies/Base%2F1/bindings", map[string]any{"group": "Sales"}, nil)
	p.Get(page).Wants(http.StatusOK, "Text messages deny", "Message on the lock screen Found? {serial}")
	p.Get(page+"/warnings").Wants(http.StatusOK, "Text messages", "POLICY1", "not on this platform")
	p.Get(page+"/receipts").Wants(http.StatusOK, "POLICY1 not enrolled")
	g = p.Get(page+"/versions").Wants(http.StatusOK, "the newest").Follow("Compare with the newest").Wants(http.StatusOK, "Version 3 and version 4", "nothing Found? {serial}")
	g.Form("Restore version 3").Send().Wants(http.StatusOK, "Version 3 was restored", "5 (has version 3 again)", "Nothing: it restricts nothing")
	p.Get(page+"/versions/4").Wants(http.StatusOK, "AirDrop and nearby sharing deny").Form("Restore version 4").Send().Wants(http.StatusOK, "has version 4 again")
	p.Get(page + "/versions/9").Wants(http.StatusNotFound)

	viewer := h.As(admin.RoleViewer).Get(page).Wants(http.StatusOK, "Text messages deny")
	viewer.Lacks("Unbind", "Bind to", "Set the roll-out", "Upload", "Delete")
	for _, form := range []string{"/bindings", "/unbind", "/rollout", "/delete", "/edit", "/versions/3/restore"} {
		fields := url.Values{"csrf": {viewer.p.Get("/console/policies").Form("Sign out").Fields.Get("csrf")}, "group": {"Sales"}, "percent": {"1"}, "confirm": {"Base/1"}, "do": {"save"}, "base": {"6"}}
		h.As(admin.RoleViewer).Post(page+form, fields).Wants(http.StatusForbidden)
	}

	g = p.Get(page).Follow("Delete").Wants(http.StatusOK, "bound to 1 groups, 1 users and 0 devices")
	g = g.Form("Delete the policy").Set("confirm", "base").Send().Wants(http.StatusUnprocessableEntity, "nothing was deleted")
	g.Form("Delete the policy").Set("confirm", "Base/1").Send().Wants(http.StatusOK, "The policy Base/1 was deleted.")
	p.Get(page).Wants(http.StatusNotFound)
}

// TestPolicyPreview shows what a device gets, one that does not exist included.
func TestPolicyPreview(t *testing.T) {
	h := newHouse(t)
	h.API(http.MethodPost, "/groups", map[string]any{"name": "Sales"}, nil)
	for name, document := range map[string]any{"base": map[string]any{"restrictions": map[string]any{"sms": "deny", "airdrop": "deny"}, "lock_message": "base"}, "more": map[string]any{"lock_message": "more"}} {
		h.API(http.MethodPut, "/policies/"+name, map[string]any{"document": document}, nil)
		h.API(http.MethodPost, "/policies/"+name+"/bindings", map[string]any{"group": "Sales"}, nil)
	}
	h.API(http.MethodPut, "/policies/more", map[string]any{"priority": 5}, nil)
	p := h.As(admin.RoleViewer)
	g := p.Get("/console/policies").Follow("Preview")
	g.Form("Show").Set("platform", "ios").Send().Wants(http.StatusUnprocessableEntity, "Type a serial")
	g = g.Form("Show").Set("serial", "NEW1").Send().Wants(http.StatusOK, "not on the roll", "No policy reaches it")
	g = g.Form("Show").Set("group", "Sales").Set("supervised", "false").Send()
	g.Wants(http.StatusOK, "more version 2, through the group Sales", "Message on the lock screen more more version 2", "AirDrop and nearby sharing deny base version 1", "needs supervision", "more won.", "base lost.")
	g.Form("Show").Set("user", "nobody@example.com").Send().Wants(http.StatusNotFound, "nobody@example.com")
}

// TestPolicyEditor writes a document in the form and beside it.
func TestPolicyEditor(t *testing.T) {
	h := newHouse(t)
	h.API(http.MethodPut, "/policies/p", map[string]any{"document": map[string]any{"restrictions": map[string]any{"camera": "allow"},
		"wifi": []any{map[string]any{"ssid": "Office", "security": "wpa2", "password": "first secret", "auto_join": false}}, "device_name": "x",
		"apps": map[string]any{"required": []any{map[string]any{"bundle_id": "a.b", "configuration": map[string]any{"ratio": 1.0, "n": 1}}}}}}, nil)
	p := h.As(admin.RoleAdmin)
	const page = "/console/policies/p/edit"
	get := func() (document map[string]any) {
		t.Helper()
		var out struct{ Document map[string]any }
		h.API(http.MethodGet, "/policies/p", nil, &out)
		return out.Document
	}

	// What was not touched stays as it is, to the last digit.
	g := p.Get(page).Wants(http.StatusOK, "You are changing version 1", "Camera", "allowCamera = false", "cameraAccess = CAMERA_ACCESS_DISABLED", "set, not shown", "Wi-Fi networks, number 1")
	g.Lacks("first secret")
	g.Form("Save as a new version").Send().Wants(http.StatusOK, "There is no new version")
	g.Form("Save as a new version").Set("description", "one\r\ntwo").Send().Wants(http.StatusOK, "There is no new version", "one two")

	// Settings are added and taken out; nothing is saved by that.
	g = g.Form("Find").Set("find", "airdr").Send().Wants(http.StatusOK, "AirDrop and nearby sharing").Lacks("Text messages")
	g = press(g, "add:/restrictions/airdrop").Send().Wants(http.StatusOK)
	g = press(g, "remove:/restrictions/camera").Set("f/restrictions/airdrop", "allow").Send().Wants(http.StatusOK)
	g = press(g, "add:/passcode").Send()
	g = press(g, "add:/lock_message").Set("f/passcode/min_length", "99").Send()
	g = press(g, "add:/wifi/-").Set("f/wifi/0/security", "eap").Send()
	g = press(g, "add:/wifi/0/eap").Send().Wants(http.StatusOK, "Wi-Fi networks, number 2", "Enterprise sign-in")
	g = press(g, "remove:/wifi/1").Set("f/wifi/0/eap/methods", "peap", "ttls").Set("f/wifi/0/eap/server_names", "a.example.com\r\nb.example.com\r\n").Send().Wants(http.StatusOK).Lacks("number 2")

	// What the API refuses stands at its field, with everything that was typed.
	g = g.Form("Save as a new version").Set("f/lock_message", "Found? {serial}").Send().Wants(http.StatusUnprocessableEntity, "expected number <= 16")
	if f := g.Form("Save as a new version").Fields; f.Get("f/passcode/min_length") != "99" || f.Get("f/restrictions/airdrop") != "allow" || f.Get("f/lock_message") != "Found? {serial}" || len(f["f/wifi/0/eap/methods"]) != 2 {
		t.Errorf("typed was %v", f)
	}
	if !strings.Contains(g.Body, `<strong class="bad">expected number`) {
		t.Error("the field does not say what is wrong with it")
	}
	g = g.Form("Save as a new version").Set("f/passcode/min_length", "six").Send().Wants(http.StatusUnprocessableEntity)
	g = g.Form("Save as a new version").Set("f/passcode/min_length", "6").Set("f/wifi/0/password", "").Set("priority", "x").Send().Wants(http.StatusUnprocessableEntity, "whole number")
	g.Form("Save as a new version").Set("priority", "7").Set("x/wifi/0/password", "true").Send().Wants(http.StatusOK, "Version 2 was saved")
	if d := get(); d["restrictions"].(map[string]any)["camera"] != nil || d["restrictions"].(map[string]any)["airdrop"] != "allow" || d["lock_message"] != "Found? {serial}" ||
		d["wifi"].([]any)[0].(map[string]any)["password"] != nil || d["wifi"].([]any)[0].(map[string]any)["auto_join"] != false || len(d["wifi"].([]any)) != 1 || d["device_name"] != "x" {
		t.Errorf("saved %v", d)
	}

	// The JSON is the same document.
	g = p.Get(page)
	g = g.Form("Take over into the form").Set("json", `{"passcode":{"min_length":`).Send().Wants(http.StatusUnprocessableEntity, "This is no JSON")
	g = g.Form("Take over into the form").Set("json", `{"passcode":{"min_length":17},"wifi":[{"ssid":"Other","security":"wpa2","password":"second secret"}]}`).Send().Wants(http.StatusOK, "Shortest length")
	g = g.Form("Save as a new version").Send().Wants(http.StatusUnprocessableEntity, "/document/passcode/min_length")
	both := g.Form("Save as a new version").Set("f/passcode/min_length", "8").Set("json", `{"lock_message":"from the JSON"}`).Send().Wants(http.StatusUnprocessableEntity, "Both the form and the JSON were changed")
	both.Form("Take the JSON").Send().Wants(http.StatusOK, "Message on the lock screen").Lacks("Shortest length")
	g = both.Form("Take the form").Send().Wants(http.StatusOK, "Shortest length")
	g.Form("Save as a new version").Send().Wants(http.StatusOK, "Version 3 was saved")
	// Sent again, by the back button or in a hurry: what is kept of it is secret, so it is asked.
	g.Form("Save as a new version").Send().Wants(http.StatusConflict)

	// Two people at once: both see both.
	mine, theirs := p.Get(page), h.As(admin.RoleAdmin).Get(page)
	press(theirs, "add:/device_name").Send().Form("Save as a new version").Set("f/device_name", "theirs").Send().Wants(http.StatusOK, "Version 4 was saved")
	g = mine.Form("Save as a new version").Set("f/passcode/min_length", "9").Send().Wants(http.StatusConflict, "Version 4 of the policy was saved meanwhile", "Device name theirs nothing", "Passcode › Shortest length 8 9")
	edited := g.Form("Go on editing mine").Send().Wants(http.StatusOK, "You are changing version 4").Form("Save as a new version").Fields
	if edited.Get("f/passcode/min_length") != "9" || edited.Get("k/wifi/0/password") == "" {
		t.Errorf("mine is %v", edited)
	}
	g.Form("Save mine over version 4").Send().Wants(http.StatusOK, "Version 5 was saved")
	g.Form("Save mine over version 4").Send().Wants(http.StatusOK, "Version 5 was saved") // twice is once
	if d := get(); d["device_name"] != nil || d["passcode"].(map[string]any)["min_length"] != 9.0 {
		t.Errorf("saved %v", d)
	}

	// Files make their own way into the document.
	g = press(p.Get(page), "add:/certificates").Send()
	g.Form("Save as a new version").Set("f/certificates/0/name", "ca").Set("f/certificates/0/kind", "root").Attach("u/certificates/0/data", "ca.pem", "no certificate").Send().
		Wants(http.StatusUnprocessableEntity, "/document/certificates/0")
	p.Get(page + "?x=1").Wants(http.StatusOK)
	p.Get("/console/policies/none/edit").Wants(http.StatusNotFound)
}

// press is the editor's form with a button that says what to do.
func press(g *page, do string) *sent {
	g.p.h.t.Helper()
	if !strings.Contains(g.Body, `value="`+do+`"`) {
		g.p.h.t.Fatalf("there is no button %s", do)
	}
	s := g.Form("Save as a new version")
	s.Fields.Set("do", do)
	return s
}
