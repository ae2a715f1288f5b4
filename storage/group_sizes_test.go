package storage

import (
	"fmt"
	"testing"

	"rollcall/enroll"
)

// TestGroupSizes counts a group that is said to be large, and again after it has
// grown.
func TestGroupSizes(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		s, ctx := openTest(t, dsn), t.Context()
		if err := s.CreateGroup(ctx, enroll.Group{ID: "large", Name: "large"}); err != nil {
			t.Fatal(err)
		}
		var sizes groupSizes
		for i, want := range []struct{ small, large int }{{1, 1}, {2, 1}} { // the large count is kept
			serial := fmt.Sprint("S", i)
			if _, _, err := s.ChangeDevice(ctx, serial, nil, func(*enroll.Device, string) (enroll.Device, error) {
				return enroll.Device{ID: enroll.NewID(), Serial: serial, State: enroll.StatePreEnrolled, Platform: enroll.PlatformIOS, CreatedAt: now(), UpdatedAt: now()}, nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := s.ChangeMembers(ctx, "large", []string{serial}, nil); err != nil {
				t.Fatal(err)
			}
			g, err := s.Group(ctx, "large")
			if err != nil || g.Devices != want.small {
				t.Errorf("%d members are counted as %d: %v", i+1, g.Devices, err)
			}
			if n, err := sizes.of(ctx, s, "large", exactMembers+1); err != nil || n != want.large {
				t.Errorf("a large group of %d has %d, want %d: %v", i+1, n, want.large, err)
			}
		}
	})
}
