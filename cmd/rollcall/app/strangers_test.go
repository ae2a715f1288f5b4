package app

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestRemoteOf: X-Forwarded-For is believed as far as our proxies wrote it.
func TestRemoteOf(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.7:4711", nil, "192.0.2.7:4711"},
		{"a header of a stranger's own", "192.0.2.7:4711", []string{"198.51.100.1"}, "192.0.2.7:4711"},
		{"one proxy", "10.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the stranger put in front", "10.0.0.1:4711", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:4711", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two lines", "10.0.0.1:4711", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"IPv6", "[fd00::1]:4711", []string{"2001:db8::1"}, "2001:db8::1"},
		{"a proxy that says nothing", "10.0.0.1:4711", nil, "10.0.0.1:4711"},
		{"nonsense", "10.0.0.1:4711", []string{"198.51.100.1, unknown"}, "10.0.0.1:4711"},
		{"only proxies", "10.0.0.1:4711", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
	} {
		r := httptest.NewRequest("GET", "/enroll", nil)
		r.RemoteAddr = c.peer
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := remoteOf(r, proxies); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
