package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"rollcall/admin"
)

// TestFrame: what every page is held to.
func TestFrame(t *testing.T) {
	h := newHouse(t)
	h.API(http.MethodPut, "/devices/FRAME1", map[string]any{"platform": "ios", "ownership": "corporate", "name": `<script>alert("1")</script>`}, nil)

	t.Run("a page", func(t *testing.T) {
		g := h.As(admin.RoleViewer).Get("/console/devices").Wants(http.StatusOK, "Devices", "FRAME1", `<script>alert("1")</script>`, "Show as API", "/api/v1/devices?limit=50")
		if strings.Contains(g.Body, "<script>alert") {
			t.Error("a name is HTML")
		}
		policy := g.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("the policy %q lacks %s", policy, want)
			}
		}
		if g.Header.Get("Cache-Control") != "no-store" {
			t.Error("the page may be stored")
		}
	})
	t.Run("nobody signed in", func(t *testing.T) {
		nobody := h.As("")
		nobody.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		g := nobody.Get("/console/devices?q=a")
		if g.Status != http.StatusSeeOther || g.Header.Get("Location") != "/console/sign-in?next="+url.QueryEscape("/console/devices?q=a") {
			t.Errorf("%d to %s", g.Status, g.Header.Get("Location"))
		}
	})
	t.Run("a page that is not there", func(t *testing.T) {
		h.As(admin.RoleViewer).Get("/console/nothing").Wants(http.StatusNotFound, "There is no such page.")
	})
	t.Run("static files", func(t *testing.T) {
		g := h.As("").Get("/console/static/console.css")
		if g.Status != http.StatusOK || !strings.HasPrefix(g.Header.Get("Content-Type"), "text/css") {
			t.Errorf("%d %s", g.Status, g.Header.Get("Content-Type"))
		}
		h.As("").Get("/console/static/doc.go").Wants(http.StatusNotFound)
	})
}
