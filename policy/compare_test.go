package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/policy/document"
)

func TestCompare(t *testing.T) {
	wifi := func(ssid, password string) document.WiFi {
		return document.WiFi{SSID: ssid, Security: "wpa2", Password: document.Secret(password)}
	}
	from := document.Document{DeviceName: "a", WiFi: []document.WiFi{wifi("one", "first-secret"), wifi("two", "same-secret")},
		Restrictions: &document.Restrictions{Camera: document.Deny}}
	to := document.Document{LockMessage: "found?", WiFi: []document.WiFi{wifi("one", "other-secret"), wifi("two", "same-secret"), wifi("three", "third-secret")},
		Restrictions: &document.Restrictions{Camera: document.Allow}}
	want := []Difference{
		{"/device_name", "a", nil},
		{"/lock_message", nil, "found?"},
		{"/restrictions/camera", "deny", "allow"},
		{"/wifi/0/password", document.Kept, document.Kept},
		{"/wifi/2", nil, map[string]any{"ssid": "three", "security": "wpa2", "password": document.Kept}},
	}
	if diff := cmp.Diff(want, Compare(from, to)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Compare(from, from); len(got) != 0 {
		t.Errorf("a document differs from itself: %v", got)
	}
}
