package console_test

import (
	"net/http"
	"testing"

	"rollcall/admin"
)

func TestSettingsUsers(t *testing.T) {
	h := newHouse(t)
	ada := h.As(admin.RoleOperator)
	ada.Get("/console/settings").Wants(http.StatusOK, "Users & domains", "There are no users yet.", "local", "always there")

	g := ada.Get("/console/settings/users").Form("Make domain").Set("name", "north.example.com").Send().Wants(http.StatusOK, "The domain north.example.com is there now.")
	g.Form("Make domain").Set("name", "north.example.com").Send().Wants(http.StatusConflict, "there is a domain with the name", "always there")

	f := g.Follow("New user").Form("Make user").Set("domain", "north.example.com").Set("email", "grace@example.com").Set("name", "Grace <b>Hopper</b>").Set("language", "de_DE!")
	f = f.Send().Wants(http.StatusUnprocessableEntity, `"de_DE!" is not the tag of a language`).Form("Make user")
	if got := f.Fields.Get("name") + f.Fields.Get("domain"); got != "Grace <b>Hopper</b>north.example.com" {
		t.Errorf("what was typed is %q", got)
	}
	g = f.Set("language", "de").Send().Wants(http.StatusOK, "Grace <b>Hopper</b> is a user now.", "has users")
	g.Follow("grace@example.com").Form("Save").Set("name", "Grace").Set("language", "").Send().Wants(http.StatusOK, "Grace was saved.")
	var users struct {
		Items []struct{ ID, Name, Domain, Language string }
	}
	h.API(http.MethodGet, "/users?q=grace", nil, &users)
	if len(users.Items) != 1 || users.Items[0].Name != "Grace" || users.Items[0].Language != "" || users.Items[0].Domain != "north.example.com" {
		t.Fatalf("users are %+v", users.Items)
	}
	ada.Get("/console/settings/users?email=nobody").Wants(http.StatusOK, "No user is like that.").Lacks("grace@example.com")
	ada.Get("/console/settings/users?email=grace&domain=local").Lacks("grace@example.com")

	path := "/console/settings/users/" + users.Items[0].ID
	h.API(http.MethodPut, "/devices/OWNED1", map[string]any{"platform": "ios", "ownership": "corporate", "user": map[string]any{"email": "grace@example.com", "domain": "north.example.com"}}, nil)
	ada.Get(path).Follow("Devices").Wants(http.StatusOK, "OWNED1")
	ada.Get(path).Follow("Delete user").Form("Delete user").Send().Wants(http.StatusConflict, "owns devices", "Delete Grace?")
	ada.Get("/console/settings/domains/north.example.com/delete").Form("Delete domain").Send().Wants(http.StatusConflict, "has users")
	h.API(http.MethodDelete, "/devices/OWNED1", nil, nil)
	ada.Get(path+"/delete").Form("Delete user").Send().Wants(http.StatusOK, "The user was deleted.")
	ada.Get("/console/settings/users").Follow("Delete domain north.example.com").Form("Delete domain").Send().Wants(http.StatusOK, "The domain north.example.com was deleted.")
	ada.Get(path).Wants(http.StatusNotFound)

	ada.Get("/console/settings/users/new").Form("Make user").Set("email", "viewed@example.com").Send().Wants(http.StatusOK)
	viewer := h.As(admin.RoleViewer)
	viewer.Get("/console/settings/users").Wants(http.StatusOK, "viewed@example.com").Lacks("New user", "Make domain").Follow("viewed@example.com").Wants(http.StatusOK).Lacks("Save", "Delete user")
}
