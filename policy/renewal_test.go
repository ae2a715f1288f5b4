package policy

import (
	"testing"
	"time"

	"rollcall/enroll"
)

func TestRenewal(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	at := func(left time.Duration) Situation {
		return Situation{EnrollmentID: "e", Device: enroll.Device{ID: "d", Serial: "S"}, Fingerprint: "f", IdentityEnds: now.Add(left)}
	}
	for name, c := range map[string]struct {
		s    Situation
		want bool
	}{
		"unknown end":  {Situation{}, false},
		"a year left":  {at(365 * 24 * time.Hour), false},
		"a month left": {at(30 * 24 * time.Hour), true},
		"over":         {at(-time.Hour), true},
	} {
		if _, got := renewal(c.s, now); got != c.want {
			t.Errorf("%s: wanted %v, want %v", name, got, c.want)
		}
	}
	first, _ := renewal(at(30*24*time.Hour), now)
	sameWeek, _ := renewal(at(30*24*time.Hour), now.Add(24*time.Hour))
	nextWeek, _ := renewal(at(30*24*time.Hour), now.Add(8*24*time.Hour))
	if first.Hash != sameWeek.Hash || first.Hash == nextWeek.Hash {
		t.Errorf("hashes %q, %q, %q: a renewal is repeated weekly, not daily", first.Hash, sameWeek.Hash, nextWeek.Hash)
	}
}
