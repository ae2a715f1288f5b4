package app

import "testing"

// TestGCPercent: a small heap may grow fivefold, a large one by gcSpare, a very
// large one by its gcLeast.
func TestGCPercent(t *testing.T) {
	for kept, want := range map[uint64]int{0: gcMost, 8 << 20: gcMost, 64 << 20: 100, 128 << 20: 50, 1 << 30: gcLeast} {
		if got := gcPercent(kept); got != want {
			t.Errorf("%d MiB in use: %d %%, want %d %%", kept>>20, got, want)
		}
	}
}
