package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"rollcall/admin"
)

// TestGroups makes groups of both kinds, as an operator does.
func TestGroups(t *testing.T) {
	h := newHouse(t)
	for _, d := range []struct{ serial, platform string }{{"GROUPA1", "ios"}, {"GROUPA2", "android"}, {"GROUPA3", "ios"}} {
		h.API(http.MethodPut, "/devices/"+d.serial, map[string]any{"platform": d.platform, "ownership": "corporate"}, nil)
	}
	p := h.As(admin.RoleOperator)

	// By rule: conditions are added, tried and removed before anything is kept.
	g := p.Get("/console/groups").Wants(http.StatusOK, "There is no group yet").Follow("New group with a rule")
	g = g.Form("Add a condition").Set("name", "a/b <i>").Send().Wants(http.StatusOK, "Condition 2")
	g = g.Form("Remove condition 2").Send().Wants(http.StatusOK).Lacks("Condition 2")
	g = g.Form("Show which devices match").Set("c0.field", "platform").Set("c0.values", "ios").Send().Wants(http.StatusOK, "2 of 3 devices match now", "GROUPA1", "GROUPA3")
	g = g.Form("Make the group").Set("c0.values", "iphone").Send().Wants(http.StatusUnprocessableEntity, `platform is never "iphone"`)
	g = g.Form("Make the group").Set("c0.values", "ios").Send().Wants(http.StatusOK, "The group a/b <i> was made.", "platform is ios")
	if strings.Contains(g.Body, "<i>") {
		t.Error("the name is HTML")
	}
	g = g.Follow("Change the rule").Wants(http.StatusOK, "in the group by this rule")
	g.Form("Save the rule").Set("c0.values", "android\n").Set("match", "any").Send().Wants(http.StatusOK, "The rule was saved", "platform is android", "at least one of these")
	part := p.Post("/console/group-preview", url.Values{"csrf": {g.Form("Save the rule").Fields.Get("csrf")}, "c0.field": {"serial"}, "c0.values": {"GROUPA*"}, "match": {"all"}})
	part.Wants(http.StatusOK, "3 of 3 devices match now").Lacks("Main navigation")

	p.Get("/console/groups/a%2Fb%20%3Ci%3E/evaluation").Wants(http.StatusOK, "device").Lacks("Main navigation")

	// Named one by one: all serials or none.
	g = p.Get("/console/groups").Follow("New group, members named").Form("Make the group").Set("name", "Named").Send().Wants(http.StatusOK, "The group is empty")
	g = g.Form("Add to the group").Set("add", "GROUPA1, GROUPX").Send().Wants(http.StatusNotFound, "GROUPX")
	if got := g.Form("Add to the group").Fields.Get("add"); got != "GROUPA1, GROUPX" {
		t.Errorf("typed was %q", got)
	}
	g.Form("Add to the group").Set("add", " ").Send().Wants(http.StatusUnprocessableEntity, "No device is named")
	g = g.Form("Add to the group").Set("add", "GROUPA1\r\nGROUPA2").Send().Wants(http.StatusOK, "2 devices were added", "GROUPA2")
	g.Form("Remove the ticked devices").Set("serial", "GROUPA1").Send().Wants(http.StatusOK, "1 device was removed").Lacks("GROUPA1")
	p.Get("/console/groups/Named/rule").Wants(http.StatusConflict, "it has no rule")

	h.API(http.MethodPut, "/policies/Basics", map[string]any{}, nil)
	h.API(http.MethodPost, "/policies/Basics/bindings", map[string]any{"group": "Named"}, nil)
	p.Get("/console/groups").Wants(http.StatusOK, "Named named one by one 1 Basics")
	h.As(admin.RoleViewer).Get("/console/groups/Named").Wants(http.StatusOK, "Basics").Lacks("Delete", "Add to the group", "Remove the ticked")
	g = p.Get("/console/groups/Named").Follow("Delete").Wants(http.StatusOK, "stays on the roll", "Basics")
	g.Form("Delete the group").Send().Wants(http.StatusOK, "The group Named was deleted.")
	g.Form("Delete the group").Send().Wants(http.StatusNotFound)
}
