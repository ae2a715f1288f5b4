package console_test

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/admin"
	"rollcall/sim/iphone"
	"rollcall/sim/mail"
)

// arrive lets a phone come by the open link.
func (h *house) arrive(serial string) error {
	h.t.Helper()
	ph, err := h.Stage.Phone(serial)
	if err != nil {
		h.t.Fatal(err)
	}
	return ph.OpenLink(h.t.Context(), h.Stage.URL()+"/enroll", iphone.Choice{})
}

// TestEnrollmentRestrictions: settings are saved after their forecast was seen;
// rules are made, ordered, switched, changed and deleted; the gate is asked.
func TestEnrollmentRestrictions(t *testing.T) {
	h := newHouse(t)
	h.API(http.MethodPut, "/devices/C39XK1ABCD01", map[string]any{"platform": "ios", "ownership": "corporate"}, nil)
	if err := h.arrive("C39XK1ABCDO1"); err != nil {
		t.Fatal(err)
	}
	ann := h.As(admin.RoleAdmin)
	const path = "/console/enrollment/restrictions"

	t.Run("settings", func(t *testing.T) {
		h.As(admin.RoleViewer).Get(path).Wants(http.StatusOK, "Pre-enrolled Devices Only", "Only an admin can change these.").Lacks("Add a rule", "Look at the forecast")
		ann.Get(path+"/forecast").Wants(http.StatusOK, "1 device arrived; 0 would be admitted.", "deny.not_pre_enrolled")
		g := ann.Get("/console/enrollment").Wants(http.StatusOK, "Enrollment Restrictions").Form("Look at the forecast").Set("pre_enrolled_devices_only", "enforce").Set("devices_per_user", "many").Send()
		g.Wants(http.StatusOK, "Off → Enforce", "0 → many", "1 device arrived; 0 would be admitted.", "C39XK1ABCDO1", "allow.open", "deny.not_pre_enrolled", "Row C39XK1ABCD01")
		g = g.Form("Save these restrictions").Send().Wants(http.StatusUnprocessableEntity, "expected integer")
		if !strings.Contains(g.Body, `value="many"`) || !strings.Contains(g.Body, `value="enforce" aria-describedby="m-enforce" checked`) {
			t.Errorf("what was typed is lost: %s", g.Body)
		}
		g = g.Form("Look at the forecast").Set("devices_per_user", "3").Send().Wants(http.StatusOK, "0 → 3")
		g.Follow("Back, change nothing yet").Form("Look at the forecast").Set("unlisted_devices", "hold").Send().Wants(http.StatusOK, "refuse them → hold them", "hold.pending_approval", "0 → 3").
			Form("Save these restrictions").Send().Wants(http.StatusOK, "are saved")
		var s struct {
			Mode     string `json:"pre_enrolled_devices_only"`
			Unlisted string `json:"unlisted_devices"`
			PerUser  int    `json:"devices_per_user"`
		}
		h.API(http.MethodGet, "/settings/enrollment-restrictions", nil, &s)
		if s.Mode != "enforce" || s.Unlisted != "hold" || s.PerUser != 3 {
			t.Errorf("%+v", s)
		}
		stale := ann.Get(path + "/change?devices_per_user=5").Form("Save these restrictions")
		h.API(http.MethodPut, "/settings/enrollment-restrictions", map[string]any{"devices_per_user": 4}, nil)
		g = stale.Send().Wants(http.StatusConflict, "Somebody else has changed this meanwhile.", "4 → 5")
		g.Form("Save these restrictions").Send().Wants(http.StatusOK, "are saved")
		ann.Get(path+"/change?pre_enrolled_devices_only=off").Wants(http.StatusOK, "Enforce → Off", "None of them would be refused.")
		h.As(admin.RoleViewer).Get(path + "/change?pre_enrolled_devices_only=off").Wants(http.StatusOK).Lacks("Save these restrictions")
		h.As(admin.RoleOperator).Post(path, ann.Get(path).Form("Look at the forecast").Fields).Wants(http.StatusForbidden)
	})

	t.Run("rules", func(t *testing.T) {
		h.As(admin.RoleOperator).Get(path+"/new-rule").Wants(http.StatusForbidden, "Your role may not do this.")
		const name = "A/B old <b>iOS</b> & co"
		form := ann.Get(path).Follow("Add a rule").Form("Save").Set("name", name).Set("action", "deny").Set("platforms", "ios").Set("os_minimum", "new").Set("models", "iPhone10,*\niPad?,1")
		g := form.Send()
		if g.Status != http.StatusUnprocessableEntity || !strings.Contains(g.Body, "iPhone10,*\niPad?,1") {
			t.Fatalf("%d %s", g.Status, g.Text())
		}
		g.Form("Save").Set("os_minimum", "17.4").Send().Wants(http.StatusOK, "is made", name, "system from 17.4", "model iPhone10,*, iPad?,1", "iPhone and iPad")
		ann.Get(path).Follow("Add a rule").Form("Save").Set("name", name).Send().Wants(http.StatusConflict, "There is a rule of this name.")
		ann.Get(path).Follow("Add a rule").Form("Save").Set("name", "second").Set("action", "require_evidence").Set("evidence", "signed").Set("on_roll", "on").Send().Wants(http.StatusOK, "second", "ask for proof")
		h.ruleOrder(t, name, "second")
		down := ann.Get(path).Form("Down")
		down.Send().Wants(http.StatusOK, "is moved")
		down.Send().Wants(http.StatusOK, "is moved") // twice is once
		h.ruleOrder(t, "second", name)
		ann.Get(path).Form("Up").Send().Wants(http.StatusOK, "is moved")
		h.ruleOrder(t, name, "second")
		down.Send().Wants(http.StatusOK, "is moved")
		ann.Get(path).Form("Turn off").Send().Wants(http.StatusOK, "The rule second is off.")
		g = ann.Get(path).Follow(name)
		if f := g.Form("Save"); f.Fields.Get("os_minimum") != "17.4" || f.Fields.Get("platforms") != "ios" || f.Fields.Get("enabled") != "true" {
			t.Errorf("the form holds %v", f.Fields)
		}
		g.Form("Save").Set("os_minimum", "18").Send().Wants(http.StatusOK, "is changed", "system from 18")
		mine := ann.Get(path).Follow(name).Form("Save").Set("os_minimum", "18.1")
		h.API(http.MethodPut, "/gate/rules/A%2FB%20old%20%3Cb%3EiOS%3C%2Fb%3E%20&%20co", map[string]any{"action": "hold", "conditions": map[string]any{"os_minimum": "18"}}, nil)
		g = mine.Send().Wants(http.StatusConflict, "Somebody else has changed this meanwhile.", "As it is now hold for approval")
		if !strings.Contains(g.Body, `value="18.1"`) {
			t.Error("what was typed is lost")
		}
		again := g.Form("Save")
		again.Send().Wants(http.StatusOK, "is changed", "system from 18.1")
		again.Send().Wants(http.StatusOK, "is changed") // twice is once
		mine = ann.Get(path).Follow(name).Form("Save").Set("os_minimum", "18")
		h.API(http.MethodDelete, "/gate/rules/A%2FB%20old%20%3Cb%3EiOS%3C%2Fb%3E%20&%20co", nil, nil)
		mine.Send().Wants(http.StatusNotFound, "It was deleted meanwhile.").Form("Save").Send().Wants(http.StatusOK, "is changed", "system from 18")
		h.ruleOrder(t, "second", name)
		g = ann.Get(path+"/test").Form("Ask").Set("serial", "c39xk1abcd01").Set("os_version", "17.4").Set("model", "iPhone10,1").Send()
		g.Wants(http.StatusOK, "deny.os_version", "refused", "Update the device", "on the roll", "Every check, in order", name)
		g.Form("Ask").Set("email", "nobody@example.com").Send().Wants(http.StatusNotFound, "There is no user with this e-mail address.")
		ann.Get(path).Follow("Delete").Wants(http.StatusOK, "Delete the rule second?").Form("Delete").Send().Wants(http.StatusOK, "is deleted")
		h.ruleOrder(t, name)
	})
}

func (h *house) ruleOrder(t *testing.T, want ...string) {
	t.Helper()
	var rules struct{ Items []struct{ Name string } }
	h.API(http.MethodGet, "/gate/rules", nil, &rules)
	var names []string
	for _, r := range rules.Items {
		names = append(names, r.Name)
	}
	if strings.Join(names, "|") != strings.Join(want, "|") {
		t.Errorf("the rules are %q, want %q", names, want)
	}
}

// TestEnrollmentRequests: requests are made by link and by mail, sent again,
// given a code, and cancelled.
func TestEnrollmentRequests(t *testing.T) {
	h := newHouse(t)
	for _, serial := range []string{"REQ000000001", "REQ000000002"} {
		h.API(http.MethodPut, "/devices/"+serial, map[string]any{"platform": "ios", "ownership": "corporate"}, nil)
	}
	ann := h.As(admin.RoleOperator)
	const path = "/console/enrollment/requests"
	h.As(admin.RoleViewer).Get(path).Wants(http.StatusOK, "There is no such request.").Lacks("New requests Export")
	ann.Get(path).Follow("New requests").Form("Send").Set("via", "link").Send().Wants(http.StatusUnprocessableEntity, "either serials or a group has to be given")
	g := ann.Get(path+"/new").Form("Send").Set("serials", "REQ000000001\nNOTTHERE0001").Set("via", "link").Send().Wants(http.StatusNotFound, "NOTTHERE0001")
	sent := g.Form("Send").Set("serials", "req000000001, REQ000000002").Set("via", "link")
	g = sent.Send().Wants(http.StatusOK, "Links of 2 requests", "shown here and never again", "REQ000000001", h.Stage.URL()+"/enroll/r/")
	if n := strings.Count(g.Body, "<svg"); n != 2 {
		t.Errorf("%d codes", n)
	}
	if again := sent.Send(); again.Text() != g.Text() {
		t.Error("sent twice, it was done twice")
	}
	ann.Get(path+"/new").Form("Send").Set("serials", "REQ000000001").Set("via", "email").Send().Wants(http.StatusConflict, "no mail server to send with", "or use link")
	g = ann.Get(path+"?state=sent").Wants(http.StatusOK, "REQ000000001", "link, handed over by you", "by operator").Follow("REQ000000002").Wants(http.StatusOK, "No message was sent")
	g.Form("Make a code").Send().Wants(http.StatusOK, "The code of this request", "never again")
	g.Form("Send again").Set("via", "sms").Send().Wants(http.StatusConflict, "no SMS gateway to send with").Form("Send again").Set("via", "link").Send().Wants(http.StatusOK, "Link of 1 request", "/enroll/r/")
	g.Follow("Cancel the request").Form("Cancel the request").Send().Wants(http.StatusOK, "its links are dead", "cancelled").Lacks("Make a code")
	ann.Get(path+"?state=cancelled").Wants(http.StatusOK, "REQ000000002").Lacks("REQ000000001")
	if csv := ann.Get(path + ".csv?state=sent"); csv.Status != http.StatusOK || !strings.Contains(csv.Body, "REQ000000001") || strings.Contains(csv.Body, "REQ000000002") {
		t.Errorf("%d %s", csv.Status, csv.Body)
	}
	h.As(admin.RoleViewer).Get(path + "?serial=REQ000000001").Wants(http.StatusOK).Follow("REQ000000001").Wants(http.StatusOK).Lacks("Send again")
	ann.Get(path+"?serial=NOTTHERE0001").Wants(http.StatusNotFound, "NOTTHERE0001")
}

// TestEnrollmentApprovals: what becomes of devices that the gate held.
func TestEnrollmentApprovals(t *testing.T) {
	h := newHouse(t)
	h.As(admin.RoleViewer).Get("/console/enrollment/approvals").Wants(http.StatusOK, "none is held at present")
	h.API(http.MethodPut, "/settings/enrollment-restrictions", map[string]any{"pre_enrolled_devices_only": "enforce", "unlisted_devices": "hold"}, nil)
	h.API(http.MethodPut, "/devices/C39XK1ABCD01", map[string]any{"platform": "ios", "ownership": "corporate", "name": "Ann's"}, nil)
	h.API(http.MethodPost, "/groups", map[string]any{"name": "Berlin"}, nil)
	for _, serial := range []string{"C39XK1ABCDO1", "HELD00000001", "HELD00000002", "HELD00000003"} {
		if h.arrive(serial) == nil {
			t.Fatalf("%s was let in", serial)
		}
	}
	ann := h.As(admin.RoleOperator)
	const path = "/console/enrollment/approvals"
	h.As(admin.RoleViewer).Get(path).Follow("HELD00000001").Wants(http.StatusOK, "hold.pending_approval", "over the air", "Every check, in order").Lacks("Approve and add")
	ann.Get(path).Wants(http.StatusOK, "HELD00000001", "waits").Follow("HELD00000001").Form("Approve").Send().Wants(http.StatusOK, "HELD00000001 is approved")
	ann.Get(path).Follow("HELD00000002").Form("Reject").Send().Wants(http.StatusOK, "HELD00000002 is rejected")
	form := ann.Get(path).Follow("HELD00000003").Form("Approve and add").Set("ownership", "personal").Set("email", "not an address").Set("name", "<i>Ben</i>").Set("group", "Berlin")
	g := form.Send().Wants(http.StatusUnprocessableEntity, "e-mail")
	g.Form("Approve and add").Set("email", "ben@example.com").Send().Wants(http.StatusOK, "HELD00000003 is on the roll.")
	var d struct {
		Name, Ownership string
		Groups          []string
		User            struct{ Email string }
	}
	h.API(http.MethodGet, "/devices/HELD00000003", nil, &d)
	if d.Name != "<i>Ben</i>" || d.Ownership != "personal" || len(d.Groups) != 1 || d.User.Email != "ben@example.com" {
		t.Errorf("%+v", d)
	}
	ann.Get(path).Follow("C39XK1ABCDO1").Wants(http.StatusOK, "This looks like a typing error on the roll").Form("Change C39XK1ABCD01 to C39XK1ABCDO1").Send().Wants(http.StatusOK, "has the serial C39XK1ABCDO1 now", "No device waits.")
	ann.Get(path+"?state=rejected").Wants(http.StatusOK, "HELD00000002", "by operator").Lacks("HELD00000001")
	ann.Post(path+"/HELD00000003/approve", ann.Get(path+"/HELD00000002").Form("Approve").Fields).Wants(http.StatusNotFound, "has asked to be approved")
}

// TestEnrollmentTokens: a token is made, shown once, listed, and revoked.
func TestEnrollmentTokens(t *testing.T) {
	h := newHouse(t)
	h.API(http.MethodPut, "/devices/R58N12ABCDE", map[string]any{"platform": "android", "ownership": "corporate"}, nil)
	h.API(http.MethodPost, "/groups", map[string]any{"name": "Kiosks"}, nil)
	ann := h.As(admin.RoleOperator)
	const path = "/console/enrollment/tokens"
	h.As(admin.RoleViewer).Get(path).Wants(http.StatusOK, "There are no tokens.").Lacks("New token")
	form := ann.Get(path).Follow("New token").Form("Make the token").Set("name", `Lobby <b>"1"</b>`).Set("max_uses", "20").Set("expires_at", "2030-01-31").Set("serial", "NOTTHERE0001").Set("group", "Kiosks").Set("ssid", "Setup").Set("password", " s p ")
	g := form.Send().Wants(http.StatusNotFound, "NOTTHERE0001")
	if !strings.Contains(g.Body, `value=" s p "`) {
		t.Error("the password is lost")
	}
	again := g.Form("Make the token").Set("serial", "R58N12ABCDE")
	g = again.Send().Wants(http.StatusOK, "never again", "rollcall-agent://enroll?", "Download as picture")
	if strings.Count(g.Body, "<svg") != 1 || again.Send().Text() != g.Text() {
		t.Error("no code, or a second token")
	}
	g = ann.Get(path).Wants(http.StatusOK, `Lobby <b>"1"</b>`, "usable", "0 of 20", "1 Feb 2030 00:00 CET", "R58N12ABCDE", "in Kiosks")
	g.Follow("Revoke").Wants(http.StatusOK, "Revoke the token").Form("Revoke").Send().Wants(http.StatusOK, "is revoked", "revoked")
	ann.Get(path+"/new").Form("Make the token").Set("name", "x").Set("max_uses", "-1").Send().Wants(http.StatusUnprocessableEntity, "expected number >= 0")
	h.As(admin.RoleViewer).Post(path+"/new", form.Fields).Wants(http.StatusForbidden)
}

// TestEnrollmentRequestMessages: why a mail failed is said where it is looked
// for, and the request is sent again to the corrected address.
func TestEnrollmentRequestMessages(t *testing.T) {
	server, options := post(t)
	h := newHouse(t, options)
	server.Treat("typo@example.com", mail.Rule{Code: 550, Text: "5.1.1 <typo@example.com> no such person"})
	h.API(http.MethodPut, "/devices/MAIL00000001", map[string]any{"platform": "ios", "ownership": "corporate", "user": map[string]any{"email": "typo@example.com", "name": "Ann"}}, nil)
	ann := h.As(admin.RoleOperator)
	const path = "/console/enrollment/requests"
	ann.Get(path+"/new").Form("Send").Set("serials", "MAIL00000001").Set("via", "email").Send().Wants(http.StatusOK, "1 request is on its way")
	g := ann.until(path+"?state=bounced", "no such person").Wants(http.StatusOK, "bounced", "e-mail").Follow("MAIL00000001")
	g.Wants(http.StatusOK, "The message bounced:", "no such person", "given up", "invitation", "Correct the address")
	server.Treat("typo@example.com", mail.Rule{})
	g.Form("Send again").Send().Wants(http.StatusOK, "sent again by e-mail")
	if _, err := server.Wait(t.Context(), "typo@example.com", 1); err != nil {
		t.Fatal(err)
	}
	ann.until(g.URL.Path, "taken").Lacks("The message bounced")
}
