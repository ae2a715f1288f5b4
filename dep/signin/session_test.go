package signin

import "testing"

func TestSourceOf(t *testing.T) {
	for remote, want := range map[string]string{"192.0.2.7:443": "192.0.2.7", "192.0.2.7": "192.0.2.7", "[2001:db8:1:2:3::4]:443": "2001:db8:1:2::/64",
		"[::ffff:192.0.2.7]:443": "192.0.2.7", "fe80::1%eth0": "fe80::/64", "unix": "unix"} {
		if got := SourceOf(remote); got != want {
			t.Errorf("%q is counted as %q; want %q", remote, got, want)
		}
	}
}
