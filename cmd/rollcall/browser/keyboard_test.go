package browser

import (
	"strings"
	"testing"

	"rollcall/admin"
)

// walk presses Tab and wants to be led from one name to the next, each marked
// for the eye.
func (b *person) walk(names ...string) {
	b.t.Helper()
	for _, name := range names {
		b.Press("Tab")
		if f := b.Focused(); !strings.HasPrefix(f.Name, name) || !f.Marked {
			b.fail("%s: Tab leads to %+v, not to %q", b.Path(), f, name)
		}
	}
}

// TestKeyboard signs in and begins an import without a mouse.
func TestKeyboard(t *testing.T) {
	h := newHouse(t)
	h.as(t, admin.RoleAdmin)
	b := browse(t, h.URL())
	b.Open("/console/imports/new")
	b.walk("Skip to the content", "E-mail address")
	b.Type("admin@example.com")
	b.walk("Password")
	b.Type(password)
	b.Press("Enter")
	b.See("CSV file")

	b.walk("Skip to the content", "Rollcall", "Search", "Search", "Ada", "Sign out", "Overview")
	b.Open("/console/imports/new")
	b.walk("Skip to the content")
	b.Press("Enter")
	b.walk("Import", "Sample CSV", "Domain", "Pre-enroll Devices", "Serial numbers that are on the roll already", "Users who exist already", "Rows with errors",
		"Lists of other products", "CSV file", "Upload and plan", "Back", "Show as API")
	b.Press("Enter")
	b.See("curl -H")
}
