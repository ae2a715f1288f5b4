package policy

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestVersionFor(t *testing.T) {
	in, out := "", "" // devices in and out of a tenth
	for i := 0; in == "" || out == ""; i++ {
		id := fmt.Sprint("device", i)
		if (Rollout{Percent: 10}).Reaches("P", id) {
			in = id
		} else {
			out = id
		}
	}
	tenth := Rollout{Percent: 10, Base: 3}
	paused := Rollout{Percent: 10, Base: 3, Paused: true}
	for _, c := range []struct {
		name    string
		rollout Rollout
		device  string
		has     int64
		want    int64
	}{
		{"everybody", Everybody, out, 2, 5},
		{"reached", tenth, in, 3, 5},
		{"not reached", tenth, out, 3, 3},
		{"not reached, and drawn back", tenth, out, 4, 3},
		{"new, not reached", tenth, out, 0, 3},
		{"new, reached", tenth, in, 0, 5},
		{"paused, has a newer one", paused, in, 4, 4},
		{"paused, has the old one", paused, in, 3, 3},
		{"paused, new", paused, in, 0, 3},
		{"paused, not reached", paused, out, 3, 3},
		{"nobody", Rollout{Base: 3}, in, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.rollout.VersionFor("P", c.device, 5, c.has); got != c.want {
				t.Errorf("version %d, want %d", got, c.want)
			}
		})
	}
}

// TestRolloutGrows: who is in stays in, and the share is about what was asked.
func TestRolloutGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		device := rapid.String().Draw(t, "device")
		small, large := rapid.IntRange(0, 100).Draw(t, "small"), rapid.IntRange(0, 100).Draw(t, "large")
		if small <= large && (Rollout{Percent: small}).Reaches("P", device) && !(Rollout{Percent: large}).Reaches("P", device) {
			t.Fatalf("in at %d percent and out at %d", small, large)
		}
	})
	reached := 0
	for i := range 10_000 {
		if (Rollout{Percent: 20}).Reaches("P", fmt.Sprint(i)) {
			reached++
		}
	}
	if reached < 1800 || reached > 2200 {
		t.Errorf("20 percent of 10,000 devices are %d", reached)
	}
	if (Rollout{Percent: 0}).Reaches("P", "x") || !Everybody.Reaches("P", "x") {
		t.Error("0 percent reach a device, or 100 do not")
	}
}

func TestRolloutChange(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to Rollout
		want     Rollout
	}{
		{"begin", Everybody, Rollout{Percent: 10}, Rollout{Percent: 10, Base: 7}},
		{"grow", Rollout{Percent: 10, Base: 3}, Rollout{Percent: 50}, Rollout{Percent: 50, Base: 3}},
		{"end", Rollout{Percent: 10, Base: 3}, Rollout{Percent: 100}, Everybody},
		{"pause", Everybody, Rollout{Percent: 100, Paused: true}, Rollout{Percent: 100, Paused: true, Base: 7}},
		{"pause a staged one", Rollout{Percent: 10, Base: 3}, Rollout{Percent: 10, Paused: true}, Rollout{Percent: 10, Paused: true, Base: 3}},
		{"the same", Rollout{Percent: 10, Base: 3}, Rollout{Percent: 10}, Rollout{Percent: 10, Base: 3}},
		{"only slower", Everybody, Rollout{Percent: 100, PerMinute: 5}, Rollout{Percent: 100, PerMinute: 5}},
	} {
		if got := c.from.Change(c.to, 7); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, bad := range []Rollout{{Percent: -1}, {Percent: 101}, {PerMinute: -1}} {
		if bad.Check() == nil {
			t.Errorf("%+v is let through", bad)
		}
	}
}

func TestRolloutAt(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if at := (Rollout{}).At(1000, start); !at.Equal(start) {
		t.Errorf("without a limit: %v", at)
	}
	if at := (Rollout{PerMinute: 120}).At(240, start); !at.Equal(start.Add(2 * time.Minute)) {
		t.Errorf("the 240th of 120 a minute: %v", at)
	}
}
