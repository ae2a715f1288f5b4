package browser

import (
	"net/http"
	"testing"

	"rollcall/admin"
)

// TestBadInput is what goes wrong between people, browsers and forms.
func TestBadInput(t *testing.T) {
	h := newHouse(t)
	ada := h.as(t, admin.RoleAdmin)
	groups := func(name string) (n int) {
		var out struct{ Items []struct{ Name string } }
		h.admin(http.MethodGet, "/groups", nil, &out)
		for _, g := range out.Items {
			if g.Name == name {
				n++
			}
		}
		return n
	}
	newGroup := func(b *person, name string) {
		b.t.Helper()
		b.Open("/console/group-new?kind=static")
		b.Fill("Name", name)
	}

	t.Run("session over in the middle of a form", func(t *testing.T) {
		b := ada.on(t)
		newGroup(b, unkind)
		b.Forget()
		b.Click("Make the group")
		b.See("What you typed is kept")
		b.Fill("E-mail address", "admin@example.com")
		b.Fill("Password", password)
		b.Click("Sign in")
		b.See("Send the form now?")
		b.Click("Send it now")
		b.See("The group " + unkind + " was made.")
	})
	t.Run("sent twice", func(t *testing.T) {
		b := ada.on(t)
		newGroup(b, "Twice")
		b.DoubleClick("Make the group")
		b.See("The group Twice was made.")
		if n := groups("Twice"); n != 1 {
			t.Errorf("there are %d groups", n)
		}
	})
	t.Run("back, and once more", func(t *testing.T) {
		b := ada.on(t)
		newGroup(b, "Back")
		b.Click("Make the group")
		b.See("The group Back was made.")
		b.Back()
		b.Fill("Name", "Back")
		b.Click("Make the group")
		b.Miss("was made")
		if got := b.Value("Name"); got != "Back" {
			t.Errorf("the form says %q", got)
		}
	})
	t.Run("a form of another session", func(t *testing.T) {
		b := ada.on(t)
		newGroup(b, "Forged")
		if _, err := evaluate[string](b, `document.querySelector("main [name=csrf]").value = "another"`); err != nil {
			t.Fatal(err)
		}
		b.Click("Make the group")
		b.See("This form was not made for your session, so nothing was done.")
		if n := groups("Forged"); n != 0 {
			t.Error("it was done")
		}
	})
	t.Run("deleted meanwhile", func(t *testing.T) {
		b := ada.on(t)
		h.admin(http.MethodPost, "/groups", object{"name": "Gone"}, nil)
		b.Open("/console/groups/Gone/delete")
		h.admin(http.MethodDelete, "/groups/Gone", nil, nil)
		b.Click("Delete the group")
		b.See("Gone")
		if status := b.watch.status(); status != http.StatusNotFound {
			t.Errorf("status %d", status)
		}
	})
	t.Run("changed meanwhile", func(t *testing.T) {
		b := ada.on(t)
		h.admin(http.MethodPut, "/policies/Both", object{"document": object{"passcode": object{"min_length": 6}}}, nil)
		b.Open("/console/policies/Both/edit")
		b.Fill("Shortest length", "9")
		h.admin(http.MethodPut, "/policies/Both", object{"document": object{"passcode": object{"min_length": 7}}}, nil)
		b.Click("Save as a new version")
		b.See("You were changing version 1. Meanwhile version 2 was saved")
		b.See("7", "9")
	})
	t.Run("an admin's page for a viewer", func(t *testing.T) {
		b := h.as(t, admin.RoleViewer)
		b.Open("/console/settings/administrators/new")
		if status := b.watch.status(); status != http.StatusForbidden {
			t.Errorf("status %d", status)
		}
		b.Open("/console/groups")
		b.MissButton("New group")
	})
}
