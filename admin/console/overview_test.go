package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
)

// refusedHouse has a roll of one mistyped row, and a phone that was refused.
func refusedHouse(t *testing.T) *house {
	h := newHouse(t)
	h.API(http.MethodPut, "/devices/C39XK1ABCD01", map[string]any{"platform": "ios", "ownership": "corporate", "name": "<b>Desk</b>"}, nil)
	h.API(http.MethodPut, "/settings/enrollment-restrictions", map[string]any{"pre_enrolled_devices_only": "enforce"}, nil)
	if err := h.arrive("C39XK1ABCDO1"); err == nil {
		t.Fatal("a stranger enrolled")
	}
	return h
}

func TestOverviewPage(t *testing.T) {
	h := refusedHouse(t)
	viewer := h.As(admin.RoleViewer)
	g := viewer.Get("/console/")
	for end := time.Now().Add(20 * time.Second); !strings.Contains(g.Text(), "1 refused in 7 days") && time.Now().Before(end); { // a machine that is busy counts later
		g = viewer.Get("/console/")
	}
	g.Wants(http.StatusOK, "Needs attention", "1 pre-enrolled", "1 refused in 7 days", "0 enrolled", "Attempts per day", "Put on the roll", "deny.not_pre_enrolled", "No device completed its policy in the last 30 days.", "/api/v1/overview")
	today := time.Now().UTC().Format(time.DateOnly)
	for _, want := range []string{`class="chart-deny"`, "1 refused on " + today} {
		if !strings.Contains(g.Body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	g.Follow("1 refused in 7 days").Wants(http.StatusOK, "Gate log", "C39XK1ABCDO1", "outcome: refused", "since:")
	g.Follow("deny.not_pre_enrolled").Wants(http.StatusOK, "C39XK1ABCDO1", "reason: deny.not_pre_enrolled")
	g.Follow(today).Wants(http.StatusOK, "C39XK1ABCDO1", "before:")
	g.Follow("1 pre-enrolled").Wants(http.StatusOK, "C39XK1ABCD01")
	g.Follow("7 days").Wants(http.StatusOK, "in the last 7 days")
	g.Follow("Put on the roll").Wants(http.StatusOK, "C39XK1ABCD01")
	viewer.Get("/console/?days=many").Wants(http.StatusUnprocessableEntity)
}

// TestAttentionPages: each finding leads to a page that is there.
func TestAttentionPages(t *testing.T) {
	h := newHouse(t)
	ann := h.As(admin.RoleAdmin)
	g := ann.Get("/console/")
	for n := range g.root.Descendants() {
		if n.Data == "a" && strings.TrimSpace(textOf(n)) == "Look at it" {
			if to := ann.Get(attribute(n, "href")); to.Status != http.StatusOK {
				t.Errorf("%s: %d", to.URL.Path, to.Status)
			}
		}
	}
	g.Wants(http.StatusOK, "Pre-enrolled Devices Only is off").Lacks("Nothing needs attention.")
}

func TestGateLog(t *testing.T) {
	h := refusedHouse(t)
	viewer := h.As(admin.RoleViewer)
	g := viewer.Get("/console/gate").Wants(http.StatusOK, "C39XK1ABCDO1", "over the air", "signed", "refused", "deny.not_pre_enrolled", "near miss", "renewed every 2 seconds")

	t.Run("filters", func(t *testing.T) {
		for query, there := range map[string]bool{"outcome=deny": true, "outcome=allow": false, "channel=ota": true, "channel=ade": false, "evidence=signed": true, "evidence=claimed": false,
			"near_miss=true": true, "within=1h": true, "within=1ns": false, "code=deny.blocked": false, "serial=c39xk1abcdo1": true, "serial=other": false} {
			page := viewer.Get("/console/gate?" + query).Wants(http.StatusOK)
			if strings.Contains(page.Body, ">C39XK1ABCDO1</a>") != there {
				t.Errorf("%s: %s", query, page.Text())
			}
		}
		g := g.Form("Apply").Set("outcome", "deny").Set("near_miss", "true").Send().Wants(http.StatusOK, "outcome: refused", "near miss: looks like a row of the roll", "C39XK1ABCDO1")
		g.Follow("outcome: refused × remove").Wants(http.StatusOK, "near miss: looks like").Lacks("outcome: refused")
		viewer.Get("/console/gate?outcome=x").Wants(http.StatusUnprocessableEntity, "outcome")
		if csv := viewer.Get("/console/gate.csv?outcome=deny"); !strings.Contains(csv.Body, "C39XK1ABCDO1,signed,enforce,deny") {
			t.Errorf("CSV: %s", csv.Body)
		}
	})
	t.Run("live", func(t *testing.T) {
		tail := tailOf(t, g)
		if got := viewer.Get(tail); got.Status != http.StatusNoContent || got.Body != "" {
			t.Errorf("nothing is new, but: %d %s", got.Status, got.Body)
		}
		if err := h.arrive("D39XK1ABCD07"); err == nil {
			t.Fatal("a stranger enrolled")
		}
		next := viewer.Get(tail).Wants(http.StatusOK, "D39XK1ABCD07", "C39XK1ABCDO1")
		if strings.Contains(next.Body, "<html") && strings.Contains(next.Body, "<header") || tailOf(t, next) == tail {
			t.Errorf("not a part that goes on: %s", next.Body)
		}
		paused := g.Follow("Pause").Wants(http.StatusOK, "Paused").Lacks("renewed every")
		if strings.Contains(paused.Body, "hx-get") {
			t.Error("a paused page goes on")
		}
		paused.Follow("Go on").Wants(http.StatusOK, "renewed every")
		if old := viewer.Get("/console/gate?until=2026-01-01T00:00:00Z").Wants(http.StatusOK); strings.Contains(old.Body, "hx-get") {
			t.Error("the past goes on")
		}
	})
	t.Run("nobody signed in", func(t *testing.T) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+"/console/gate/tail", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("HX-Request", "true")
		if got := h.As("").do(r); got.Status != http.StatusUnauthorized || got.Header.Get("HX-Refresh") != "true" {
			t.Errorf("%d %v", got.Status, got.Header)
		}
	})
}

// tailOf is what a live page asks for.
func tailOf(t *testing.T, g *page) string {
	t.Helper()
	for n := range g.root.Descendants() {
		if to := attribute(n, "hx-get"); to != "" {
			return to
		}
	}
	t.Fatalf("the page is not live: %s", g.Body)
	return ""
}

// TestDecisionPage: the trace, and what can be done about it.
func TestDecisionPage(t *testing.T) {
	t.Run("a near miss is repaired", func(t *testing.T) {
		h := refusedHouse(t)
		path := h.newest("C39XK1ABCDO1")
		h.As(admin.RoleViewer).Get(path).Wants(http.StatusOK, "Attempt of C39XK1ABCDO1", "There is no row with this serial.", "Every check, in order", "listed", "Came from").
			Lacks("is C39XK1ABCDO1", "Add it to the roll")
		bob := h.As(admin.RoleOperator)
		g := bob.Get(path)
		form := g.Form("C39XK1ABCD01 is C39XK1ABCDO1")
		bob.Post(path+"/repair", url.Values{"row": {"C39XK1ABCD01"}}).Wants(http.StatusForbidden, "not made for your session")
		h.As(admin.RoleViewer).Post(path+"/repair", withToken(h, admin.RoleViewer, path, url.Values{"row": {"C39XK1ABCD01"}})).Wants(http.StatusForbidden)
		form.Send().Wants(http.StatusOK, "The row C39XK1ABCD01 has the serial of this device now.", "was given this serial by").Lacks("What can be done")
		form.Send().Wants(http.StatusOK, "was given this serial by") // sent twice, done once
		if err := h.arrive("C39XK1ABCDO1"); err != nil {
			t.Errorf("after the repair: %v", err)
		}
		bob.Get("/console/gate?near_miss=true").Wants(http.StatusOK, "No attempt matches.")
	})
	t.Run("a stranger is put on the roll", func(t *testing.T) {
		h := newHouse(t)
		h.API(http.MethodPut, "/settings/enrollment-restrictions", map[string]any{"pre_enrolled_devices_only": "enforce"}, nil)
		if err := h.arrive("D39XK1ABCD07"); err == nil {
			t.Fatal("a stranger enrolled")
		}
		path := h.newest("D39XK1ABCD07")
		bob := h.As(admin.RoleOperator)
		add := bob.Get(path).Form("Add to the roll").Set("ownership", "personal").Set("name", "Lost & found")
		g := add.Set("email", "nobody").Send().Wants(http.StatusUnprocessableEntity, "e-mail")
		if !strings.Contains(g.Body, `value="Lost &amp; found"`) {
			t.Error("what was typed is lost")
		}
		add.Set("email", "ann@example.com").Send().Wants(http.StatusOK, "D39XK1ABCD07 is on the roll.").Lacks("Add it to the roll")
		add.Send().Wants(http.StatusConflict, "on the roll already")
		if err := h.arrive("D39XK1ABCD07"); err != nil {
			t.Errorf("after it was put on the roll: %v", err)
		}
	})
	t.Run("a blocked device", func(t *testing.T) {
		h := newHouse(t)
		h.API(http.MethodPut, "/devices/D39XK1ABCD08", map[string]any{"platform": "ios", "ownership": "corporate"}, nil)
		h.API(http.MethodPost, "/devices/D39XK1ABCD08/block", map[string]any{"reason": "lost <i>"}, nil)
		if err := h.arrive("D39XK1ABCD08"); err == nil {
			t.Fatal("a blocked device enrolled")
		}
		h.As(admin.RoleOperator).Get(h.newest("D39XK1ABCD08")).Wants(http.StatusOK, "It was blocked: lost <i>").Form("Unblock").Send().Wants(http.StatusOK, "no longer blocked")
		if err := h.arrive("D39XK1ABCD08"); err != nil {
			t.Errorf("after it was unblocked: %v", err)
		}
	})
	t.Run("one that waits", func(t *testing.T) {
		h := newHouse(t)
		h.API(http.MethodPut, "/settings/enrollment-restrictions", map[string]any{"pre_enrolled_devices_only": "enforce", "unlisted_devices": "hold"}, nil)
		if err := h.arrive("D39XK1ABCD09"); err == nil {
			t.Fatal("a stranger enrolled")
		}
		g := h.As(admin.RoleOperator).Get(h.newest("D39XK1ABCD09")).Wants(http.StatusOK, "held", "Approve and add, or reject")
		g.Form("Approve").Send().Wants(http.StatusOK, "D39XK1ABCD09 is approved.").Lacks("Approve it")
		if err := h.arrive("D39XK1ABCD09"); err != nil {
			t.Errorf("after it was approved: %v", err)
		}
	})
	t.Run("one that is not there", func(t *testing.T) {
		newHouse(t).As(admin.RoleViewer).Get("/console/gate/nobody").Wants(http.StatusNotFound)
	})
}

// newest is the page of the newest decision about a serial.
func (h *house) newest(serial string) string {
	h.t.Helper()
	var list struct{ Items []struct{ ID string } }
	h.API(http.MethodGet, "/decisions?limit=1&serial="+serial, nil, &list)
	if len(list.Items) != 1 {
		h.t.Fatalf("there is no decision about %s", serial)
	}
	return "/console/gate/" + list.Items[0].ID
}

// withToken adds the token of somebody's forms.
func withToken(h *house, role admin.Role, path string, fields url.Values) url.Values {
	fields.Set("csrf", h.As(role).Get(path).Form("Sign out").Fields.Get("csrf"))
	return fields
}
