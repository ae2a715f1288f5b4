package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"rollcall/admin"
)

func (h *house) device(serial string, fields map[string]any) {
	body := map[string]any{"platform": "ios", "ownership": "corporate"}
	for k, v := range fields {
		body[k] = v
	}
	h.API(http.MethodPut, "/devices/"+serial, body, nil)
}

func TestDevices(t *testing.T) {
	h := newHouse(t)
	h.device("LISTED1", map[string]any{"name": "Front desk", "user": map[string]any{"email": "ann@example.com", "name": "Ann"}})
	h.device("LISTED2", map[string]any{"platform": "android"})
	h.API(http.MethodPost, "/groups", map[string]any{"name": "a/b"}, nil)

	t.Run("filters and sorting are in the URL", func(t *testing.T) {
		g := h.As(admin.RoleViewer).Get("/console/devices?platform=android&sort=name&order=desc").Wants(http.StatusOK, "LISTED2", "platform: Android").Lacks("LISTED1")
		if !strings.Contains(g.Body, `aria-sort="descending"`) {
			t.Error("the column does not say how it is sorted")
		}
		if all := g.Follow("platform: Android × remove this filter"); all.URL.RawQuery != "order=desc&sort=name" {
			t.Errorf("without the filter: %s", all.URL.RawQuery)
		} else {
			all.Wants(http.StatusOK, "LISTED1", "LISTED2")
		}
	})
	t.Run("a viewer sees no button that would fail", func(t *testing.T) {
		h.As(admin.RoleViewer).Get("/console/devices").Lacks("Put a device on the roll", "With the chosen devices")
		h.As(admin.RoleViewer).Get("/console/devices/LISTED1").Lacks("Block this device", "Remove")
		h.As(admin.RoleViewer).Get("/console/devices/LISTED1/enrollment").Lacks("Send an enrollment request")
	})
	t.Run("a viewer who calls the URL all the same", func(t *testing.T) {
		viewer := h.As(admin.RoleViewer)
		csrf := viewer.Get("/console/devices").Form("Sign out").Fields.Get("csrf")
		viewer.Post("/console/devices/LISTED1/block", url.Values{"csrf": {csrf}}).Wants(http.StatusForbidden, "role operator")
	})
	t.Run("search", func(t *testing.T) {
		for _, wanted := range []string{"LISTED1", "listed1", "ann@example.com", "Front"} {
			if g := h.As(admin.RoleViewer).Get("/console/search?q=" + url.QueryEscape(wanted)); g.URL.Path != "/console/devices/LISTED1" {
				t.Errorf("%s leads to %s", wanted, g.URL)
			}
		}
		h.As(admin.RoleViewer).Get("/console/search?q=LISTED").Wants(http.StatusOK, "LISTED1", "LISTED2")
		h.As(admin.RoleViewer).Get("/console/search?q=nothing+such").Wants(http.StatusOK, "No device matches")
	})
	t.Run("export", func(t *testing.T) {
		g := h.As(admin.RoleViewer).Get("/console/devices.csv?platform=android")
		if !strings.Contains(g.Body, "LISTED2") || strings.Contains(g.Body, "LISTED1") || !strings.Contains(g.Header.Get("Content-Disposition"), "devices.csv") {
			t.Errorf("%v: %s", g.Header, g.Body)
		}
	})
	t.Run("saved views", func(t *testing.T) {
		p := h.As(admin.RoleOperator)
		g := p.Get("/console/devices?platform=android").Form("Save this list as a view").Set("view", "Androids & co").Send().Wants(http.StatusOK, "is saved", "LISTED2")
		p.Get("/console/devices").Follow("Androids & co").Wants(http.StatusOK, "LISTED2").Lacks("LISTED1")
		g.Form("Delete the view").Send().Wants(http.StatusOK, "is deleted").Lacks("Androids & co ×")
	})
}

func TestBulk(t *testing.T) {
	h := newHouse(t)
	for i := range 60 {
		h.device(fmt.Sprintf("BULK%03d", i), nil)
	}
	h.API(http.MethodPost, "/groups", map[string]any{"name": "Field & café"}, nil)
	p := h.As(admin.RoleOperator)

	t.Run("chosen ones", func(t *testing.T) {
		form := p.Get("/console/devices").Form("Go on").Set("action", "join").Set("serial", "BULK001", "BULK002")
		form.Send().Wants(http.StatusOK, "Add 2 devices to a group", "BULK001").Form("Add 2 devices to a group").Send().Wants(http.StatusOK, "2 devices are in the group")
		p.Get("/console/devices?group="+url.QueryEscape("Field & café")).Wants(http.StatusOK, "BULK001", "BULK002").Lacks("BULK003")
	})
	t.Run("above 50 the number is typed", func(t *testing.T) {
		confirm := p.Get("/console/devices").Form("Go on").Set("action", "block").Set("all", "true").Send().Wants(http.StatusOK, "Block 60 devices", "Type 60 to confirm")
		confirm.Form("Block 60 devices").Set("count", "59").Send().Wants(http.StatusUnprocessableEntity, "is not 60, so nothing was done", "Block 60 devices")
		p.Get("/console/devices?state=blocked").Wants(http.StatusOK, "No device matches")
		confirm.Form("Block 60 devices").Set("count", "60").Send().Wants(http.StatusOK, "60 devices are blocked")
	})
	t.Run("what cannot be done is named", func(t *testing.T) {
		gone := p.Get("/console/devices").Form("Go on").Set("action", "delete").Set("serial", "BULK005", "BULK006").Send()
		h.API(http.MethodDelete, "/devices/BULK005", nil, nil)
		gone.Form("Delete 2 devices from the roll").Send().Wants(http.StatusOK, "1 device is done, 1 could not be", "BULK005")
	})
	t.Run("none", func(t *testing.T) {
		p.Get("/console/devices").Form("Go on").Send().Wants(http.StatusOK, "tick some")
	})
}

func TestDevice(t *testing.T) {
	h := newHouse(t)
	h.device("DEVICE1", map[string]any{"name": `<b>bold</b>`, "facts": map[string]any{"imei": "490154203237518"}})
	p := h.As(admin.RoleOperator)

	t.Run("before acceptance", func(t *testing.T) {
		p.Get("/console/devices/DEVICE1").Wants(http.StatusOK, "Pre enrolled Device", "Nothing of the device is shown", "<b>bold</b>").Lacks("490154203237518")
	})
	t.Run("change, and the back button", func(t *testing.T) {
		form := p.Get("/console/devices/DEVICE1").Follow("Change").Form("Save")
		form.Set("asset_tag", "A-1").Set("tags", "x, y").Set("email", "ann@example.com").Set("expires_at", "2031-07-01T12:00").Send().
			Wants(http.StatusOK, "DEVICE1 is changed", "A-1", "x, y", "ann@example.com", "1 Jul 2031 12:00 CEST")
		// The same form again was made for the version before.
		conflict := form.Set("asset_tag", "A-2").Send().Wants(http.StatusConflict, "Somebody else has changed this device meanwhile", "A-1")
		if conflict.Form("Save mine all the same").Fields.Get("asset_tag") != "A-2" {
			t.Error("what was typed is lost")
		}
		conflict.Form("Save mine all the same").Send().Wants(http.StatusOK, "A-2")
	})
	t.Run("a field is cleared", func(t *testing.T) {
		p.Get("/console/devices/DEVICE1/edit").Form("Save").Set("asset_tag", "").Set("expires_at", "").Send().Wants(http.StatusOK).Lacks("A-2", "2031")
	})
	t.Run("wrong input is shown again", func(t *testing.T) {
		g := p.Get("/console/devices/DEVICE1/edit").Form("Save").Set("email", "not an address").Set("notes", "kept").Send()
		if g.Status != http.StatusUnprocessableEntity || g.Form("Save").Fields.Get("notes") != "kept" {
			t.Errorf("%d: %s", g.Status, g.Text())
		}
	})
	t.Run("block and unblock", func(t *testing.T) {
		p.Get("/console/devices/DEVICE1").Form("Block this device").Set("reason", "lost & found").Send().Wants(http.StatusOK, "DEVICE1 is blocked", "lost & found").
			Form("Unblock").Send().Wants(http.StatusOK, "DEVICE1 is unblocked")
	})
	t.Run("forms are ours, and done once", func(t *testing.T) {
		p.Post("/console/devices/DEVICE1/block", url.Values{"reason": {"x"}}).Wants(http.StatusForbidden, "not made for your session")
		p.Post("/console/devices/DEVICE1/block", url.Values{"reason": {"x"}, "csrf": {"forged"}}).Wants(http.StatusForbidden, "not made for your session")
		other := h.As(admin.RoleAdmin).Get("/console/devices").Form("Sign out").Fields.Get("csrf")
		p.Post("/console/devices/DEVICE1/block", url.Values{"csrf": {other}}).Wants(http.StatusForbidden)
		form := p.Get("/console/devices/DEVICE1/enrollment").Form("Send an enrollment request").Set("via", "link")
		form.Send().Wants(http.StatusOK, "is on its way")
		form.Send().Wants(http.StatusOK)
		// The back button, and another choice.
		block := p.Get("/console/devices/DEVICE1").Form("Block this device").Set("reason", "one")
		block.Send().Wants(http.StatusOK, "one")
		block.Set("reason", "two").Send().Wants(http.StatusOK, "two").Form("Unblock").Send().Wants(http.StatusOK)
		var sent struct{ Items []struct{ ID string } }
		h.API(http.MethodGet, "/requests?serial=DEVICE1", nil, &sent)
		if len(sent.Items) != 1 {
			t.Errorf("%d requests", len(sent.Items))
		}
	})
	t.Run("timeline", func(t *testing.T) {
		p.Get("/console/devices/DEVICE1/timeline").Wants(http.StatusOK, "put on the roll", "asset_tag", "A-1", "enrollment request")
	})
	t.Run("policies, before there are any", func(t *testing.T) {
		p.Get("/console/devices/DEVICE1/policies").Wants(http.StatusOK, "No policy reaches this device", "The device is not enrolled")
		h.API(http.MethodPut, "/policies/Basics", map[string]any{"document": map[string]any{"device_name": "desk", "restrictions": map[string]any{"camera": "deny"}}}, nil)
		h.API(http.MethodPost, "/policies/Basics/bindings", map[string]any{"serial": "DEVICE1"}, nil)
		p.Get("/console/devices/DEVICE1/policies").Wants(http.StatusOK, "Basics", "/restrictions/camera", "deny", "At its first check-in it gets")
	})
	t.Run("delete", func(t *testing.T) {
		p.Get("/console/devices/DEVICE1").Follow("Remove …").Form("Delete from the roll").Send().Wants(http.StatusOK, "DEVICE1 is off the roll")
		p.Get("/console/devices/DEVICE1").Wants(http.StatusNotFound)
	})
	t.Run("a name that is a path", func(t *testing.T) {
		p.Get("/console/devices/new").Form("Save").Set("serial", "..").Send().Lacks("is on the roll")
	})
	t.Run("a new one", func(t *testing.T) {
		p.Get("/console/devices/new").Form("Save").Send().Wants(http.StatusUnprocessableEntity, "The serial is missing")
		p.Get("/console/devices/new").Form("Save").Set("serial", "new 1").Send().Wants(http.StatusOK, "NEW1 is on the roll")
	})
	t.Run("a session that ended", func(t *testing.T) {
		form := p.Get("/console/devices/NEW1/edit").Form("Save").Set("notes", "long and well thought")
		h.store.ended = true
		defer func() { h.store.ended = false }()
		if g := form.Send(); g.Status != http.StatusUnauthorized {
			t.Errorf("%d: %s", g.Status, g.Text())
		}
	})
}
