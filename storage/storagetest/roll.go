package storagetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/storage"
)

func testRoll(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a device comes back as it was written": func(w *world) {
			yes := true
			want := enroll.Device{ID: enroll.NewID(), Serial: "C02XYZ", SerialRaw: "c02-xyz", Platform: enroll.PlatformApple, Ownership: enroll.OwnershipPersonal,
				Name: "Ann's iPad", State: enroll.StatePreEnrolled, Facts: enroll.Facts{UDID: "u", IMEI: "i", Supervised: &yes, Extra: map[string]string{"a": "b"}},
				Sources: map[string]enroll.Source{"serial": enroll.SourceCSV}, BlockedAt: at(1), BlockReason: "lost", AcceptedAt: at(2), EnrolledAt: at(3), CreatedAt: at(5)}
			got, changed, err := w.ChangeDevice(w.ctx, want.Serial, nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
				if old != nil {
					w.Errorf("there is one already: %+v", old)
				}
				return want, nil
			})
			w.ok(err)
			want.Version, want.UpdatedAt = 1, got.UpdatedAt
			if diff := cmp.Diff(want, got); diff != "" || !changed || got.UpdatedAt.IsZero() {
				w.Fatalf("changed %v, (-want +got)\n%s", changed, diff)
			}
			for name, read := range map[string]func() (enroll.Device, error){
				"by serial": func() (enroll.Device, error) { return w.Device(w.ctx, want.Serial) },
				"by ID":     func() (enroll.Device, error) { return w.DeviceByID(w.ctx, want.ID) },
			} {
				got, err := read()
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					w.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
				}
			}
			_, err = w.Device(w.ctx, "UNKNOWN")
			w.kind(err, enroll.KindNotFound)
			_, err = w.DeviceByID(w.ctx, "unknown")
			w.kind(err, enroll.KindNotFound)
		},
		"a change that changes nothing": func(w *world) {
			d := w.device("AAA")
			same, changed, err := w.ChangeDevice(w.ctx, "AAA", nil, func(old *enroll.Device, _ string) (enroll.Device, error) { return *old, nil })
			w.ok(err)
			if changed || same.Version != d.Version || !same.UpdatedAt.Equal(d.UpdatedAt) {
				w.Fatalf("changed %v, version %d", changed, same.Version)
			}
			named, changed, err := w.ChangeDevice(w.ctx, "AAA", nil, rename("one"))
			w.ok(err)
			if !changed || named.Version != d.Version+1 || named.Name != "one" {
				w.Fatalf("changed %v, %+v", changed, named)
			}
		},
		"an error undoes the user too": func(w *world) {
			boom := errors.New("boom")
			made := ""
			_, _, err := w.ChangeDevice(w.ctx, "AAA", &enroll.User{Domain: "local", Email: "ann@example.com"}, func(_ *enroll.Device, user string) (enroll.Device, error) {
				made = user
				return enroll.Device{}, boom
			})
			if !errors.Is(err, boom) || made == "" {
				w.Fatalf("error %v, user %q", err, made)
			}
			_, err = w.User(w.ctx, made)
			w.kind(err, enroll.KindNotFound)
			_, err = w.Device(w.ctx, "AAA")
			w.kind(err, enroll.KindNotFound)
		},
		"users are one by domain and e-mail": func(w *world) {
			w.ok(w.CreateDomain(w.ctx, enroll.Domain{Name: "other"}))
			own := func(serial, domain, name string) string {
				d, _, err := w.ChangeDevice(w.ctx, serial, &enroll.User{Domain: domain, Email: "ann@example.com", Name: name}, func(_ *enroll.Device, user string) (enroll.Device, error) {
					return enroll.Device{ID: enroll.NewID(), UserID: user, State: enroll.StatePreEnrolled}, nil
				})
				w.ok(err)
				return d.UserID
			}
			first, second, other := own("AAA", "local", "Ann"), own("BBB", "local", ""), own("CCC", "other", "Ann")
			if first == "" || first != second || first == other {
				w.Fatalf("users %q, %q, %q", first, second, other)
			}
			u, err := w.User(w.ctx, first)
			w.ok(err)
			if u.Name != "Ann" || u.Domain != "local" || u.Email != "ann@example.com" || u.CreatedAt.IsZero() {
				w.Fatalf("user %+v", u)
			}
		},
		"no concurrent change is lost": func(w *world) {
			w.device("AAA")
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					_, changed, err := w.ChangeDevice(w.ctx, "AAA", nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
						d := *old
						d.Name += string(rune('a' + i))
						return d, nil
					})
					if err != nil || !changed {
						w.Errorf("change %d: %v, %v", i, changed, err)
					}
				})
			}
			wg.Wait()
			d, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			if len(d.Name) != 20 || d.Version != 21 {
				w.Fatalf("name %q, version %d", d.Name, d.Version)
			}
		},
		"two make the same row": func(w *world) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if _, _, err := w.ChangeDevice(w.ctx, "AAA", &enroll.User{Domain: "local", Email: "ann@example.com"}, func(old *enroll.Device, user string) (enroll.Device, error) {
						if old != nil {
							return *old, nil
						}
						return enroll.Device{ID: enroll.NewID(), UserID: user, State: enroll.StatePreEnrolled}, nil
					}); err != nil {
						w.Error(err)
					}
				})
			}
			wg.Wait()
			if all, err := w.Devices(w.ctx, enroll.DeviceFilter{}, enroll.Page{}); err != nil || len(all) != 1 {
				w.Fatalf("%d rows, %v", len(all), err)
			}
		},
		"keys sort by bytes": func(w *world) {
			serials := []string{"B", "A_1", "A/1", "A+1", "A1", "A", "Z9", "A10", "A2", "0", "AA", "ZZZZ", "_", "a"}
			for _, s := range serials {
				w.device(s)
				w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: s}))
			}
			slices.Sort(serials)
			var got []string
			for after := ""; ; {
				page, err := w.Devices(w.ctx, enroll.DeviceFilter{}, enroll.Page{Limit: 4, After: after})
				w.ok(err)
				if len(page) == 0 {
					break
				}
				for _, d := range page {
					got = append(got, d.Serial)
				}
				after = got[len(got)-1]
			}
			if diff := cmp.Diff(serials, got); diff != "" {
				w.Errorf("devices (-want +got)\n%s", diff)
			}
			groups, err := w.Groups(w.ctx)
			w.ok(err)
			got = nil
			for _, g := range groups {
				got = append(got, g.Name)
			}
			if diff := cmp.Diff(serials, got); diff != "" {
				w.Errorf("groups (-want +got)\n%s", diff)
			}
		},
		"filters": func(w *world) {
			ann := &enroll.User{Domain: "local", Email: "ann@example.com"}
			var annID string
			for _, d := range []enroll.Device{
				{Serial: "AA1", Name: "Front desk", Platform: enroll.PlatformIOS, State: enroll.StatePreEnrolled},
				{Serial: "AA2", Name: "100%", Platform: enroll.PlatformAndroid, State: enroll.StateEnrolled, BlockedAt: at(1)},
				{Serial: "AB1", Name: "Äpfel", Platform: enroll.PlatformIOS, State: enroll.StateInvited, BlockedAt: at(1)},
				{Serial: "BB1", Platform: enroll.PlatformIOS, State: enroll.StateInvited},
			} {
				var user *enroll.User
				if d.Serial > "AB" {
					user = ann
				}
				_, _, err := w.ChangeDevice(w.ctx, d.Serial, user, func(_ *enroll.Device, id string) (enroll.Device, error) {
					d.ID, d.UserID = enroll.NewID(), id
					annID = max(annID, id)
					return d, nil
				})
				w.ok(err)
			}
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "group", Name: "g"}))
			w.ok(w.ChangeMembers(w.ctx, "g", []string{"AA1", "BB1"}, nil))
			for _, c := range []struct {
				query enroll.DeviceQuery
				want  string
			}{
				{enroll.DeviceQuery{}, "AA1 AA2 AB1 BB1"},
				{enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{State: enroll.StateInvited}}, "BB1"},
				{enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{State: enroll.StateBlocked}}, "AB1"},
				{enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{State: enroll.StateEnrolled}}, "AA2"},
				{enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{Platform: enroll.PlatformAndroid}}, "AA2"},
				{enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{GroupID: "group"}}, "AA1 BB1"},
				{enroll.DeviceQuery{DeviceFilter: enroll.DeviceFilter{UserID: annID}}, "AB1 BB1"},
				{enroll.DeviceQuery{Search: "aa"}, "AA1 AA2"},
				{enroll.DeviceQuery{Search: "FRONT"}, "AA1"},
				{enroll.DeviceQuery{Search: "äP"}, "AB1"},
				{enroll.DeviceQuery{Search: "100%"}, "AA2"},
				{enroll.DeviceQuery{Search: "%"}, ""},
				{enroll.DeviceQuery{Search: "Ann@"}, "AB1 BB1"},
				{enroll.DeviceQuery{Search: "a"}, "AA1 AA2 AB1 BB1"},
				{enroll.DeviceQuery{Search: "a", DeviceFilter: enroll.DeviceFilter{Platform: enroll.PlatformIOS, State: enroll.StateInvited}}, "BB1"},
			} {
				if got := strings.Join(w.list(c.query, 10), " "); got != c.want {
					w.Errorf("%+v: %v, want %s", c.query, got, c.want)
				}
			}
		},
		"delete": func(w *world) {
			d := w.device("AAA")
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "g", Name: "g"}))
			w.ok(w.ChangeMembers(w.ctx, "g", []string{"AAA"}, nil))
			w.policy("p", "one")
			w.bind("p", policy.Target{Serial: "AAA"})
			r := w.request(d, 100)
			w.ok(w.DeleteDevice(w.ctx, "AAA"))
			w.kind(w.DeleteDevice(w.ctx, "AAA"), enroll.KindNotFound)
			_, err := w.Request(w.ctx, r.ID)
			w.kind(err, enroll.KindNotFound)
			if targets, err := w.targets("p"); err != nil || len(targets) != 0 {
				w.Errorf("bindings %v, %v", targets, err)
			}
			if g, err := w.Group(w.ctx, "g"); err != nil || g.Devices != 0 {
				w.Errorf("group %+v, %v", g, err)
			}
			w.enroll("BBB", fingerprint(1))
			w.kind(w.DeleteDevice(w.ctx, "BBB"), enroll.KindConflict)
		},
		"groups": func(w *world) {
			w.device("AAA")
			b := w.device("BBB")
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "1", Name: "one", CreatedAt: at(1), UpdatedAt: at(1)}))
			w.kind(w.CreateGroup(w.ctx, enroll.Group{ID: "2", Name: "one"}), enroll.KindConflict)
			w.kind(w.ChangeMembers(w.ctx, "one", []string{"AAA", "NOBODY"}, nil), enroll.KindNotFound)
			if g, err := w.Group(w.ctx, "one"); err != nil || g.Devices != 0 {
				w.Fatalf("half of a change: %+v, %v", g, err)
			}
			for range 2 {
				w.ok(w.ChangeMembers(w.ctx, "one", []string{"AAA", "BBB"}, nil))
			}
			if groups, err := w.GroupsOf(w.ctx, b.ID); err != nil || len(groups) != 1 || groups[0].Name != "one" {
				w.Fatalf("groups of a device: %+v, %v", groups, err)
			}
			w.ok(w.ChangeMembers(w.ctx, "one", nil, []string{"BBB"}))
			if groups, err := w.GroupsOf(w.ctx, b.ID); err != nil || len(groups) != 0 {
				w.Fatalf("after leaving: %+v, %v", groups, err)
			}
			w.kind(w.ChangeMembers(w.ctx, "none", nil, nil), enroll.KindNotFound)
			w.ok(w.DeleteGroup(w.ctx, "one"))
			w.kind(w.DeleteGroup(w.ctx, "one"), enroll.KindNotFound)
			_, err := w.Group(w.ctx, "one")
			w.kind(err, enroll.KindNotFound)
		},
		"a cancelled caller": func(w *world) {
			ctx, cancel := context.WithCancel(w.ctx)
			cancel()
			if _, err := w.restrictions().ChangeSettings(ctx, w.enforce); !errors.Is(err, context.Canceled) {
				w.Fatalf("error %v", err)
			}
			if set, err := w.Settings(w.ctx); err != nil || set.PreEnrolledDevicesOnly != enroll.ModeOff {
				w.Fatalf("settings %+v, %v", set, err)
			}
		},
		"text that a database may not like": func(w *world) {
			d := w.device("AAA")
			w.ok(w.RecordFacts(w.ctx, d.ID, enroll.Facts{DeviceName: "a\x00b\xff", Extra: map[string]string{"k\x00": "v\xff"}}))
			got := w.inside("AAA")
			if got.Facts.DeviceName != "ab\uFFFD" || got.Facts.Extra["k"] != "v\uFFFD" {
				w.Fatalf("facts %+v", got.Facts)
			}
			named, _, err := w.ChangeDevice(w.ctx, "AAA", nil, rename("x'\";--\x00\xff"))
			w.ok(err)
			if named.Name != "x'\";--\uFFFD" {
				w.Fatalf("name %q", named.Name)
			}
		},
	})
}

func rename(name string) func(*enroll.Device, string) (enroll.Device, error) {
	return func(old *enroll.Device, _ string) (enroll.Device, error) {
		d := *old
		d.Name = name
		return d, nil
	}
}
