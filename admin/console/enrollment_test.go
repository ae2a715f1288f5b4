package console_test

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/admin"
	"rollcall/sim/iphone"
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
		ann.Get(path+"/change?pre_enrolled_devices_only=off").Wants(http.StatusOK, "Enforce → Off", "None of them would be refused.")
		h.As(admin.RoleViewer).Get(path + "/change?pre_enrolled_devices_only=off").Wants(http.StatusOK).Lacks("Save these restrictions")
		h.As(admin.RoleOperator).Post(path, ann.Get(path).Form("Look at the forecast").Fields).Wants(http.StatusForbidden)
	})

	t.Run("rules", func(t *testing.T) {
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
		ann.Get(path).Form("Down").Send().Wants(http.StatusOK, "is moved")
		h.ruleOrder(t, "second", name)
		ann.Get(path).Form("Turn off").Send().Wants(http.StatusOK, "The rule second is off.")
		g = ann.Get(path).Follow(name)
		if f := g.Form("Save"); f.Fields.Get("os_minimum") != "17.4" || f.Fields.Get("platforms") != "ios" || f.Fields.Get("enabled") != "true" {
			t.Errorf("the form holds %v", f.Fields)
		}
		g.Form("Save").Set("os_minimum", "18").Send().Wants(http.StatusOK, "is changed", "system from 18")
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
