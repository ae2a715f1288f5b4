package storagetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/storage"
)

// list reads all pages of a query and gives the serials.
func (w *world) list(q enroll.DeviceQuery, limit int) []string {
	w.Helper()
	serials := []string{}
	for p, pages := (enroll.Page{Limit: limit}), 0; ; pages++ {
		page, err := w.DeviceList(w.ctx, q, p)
		w.ok(err)
		if len(page.Devices) > limit {
			w.Fatalf("%+v: a page of %d devices", q, len(page.Devices))
		}
		for _, d := range page.Devices {
			serials = append(serials, d.Serial)
		}
		if page.Next == "" {
			return serials
		}
		if pages > 100 {
			w.Fatalf("%+v: the list does not end", q)
		}
		p.After = page.Next
	}
}

// inside is the row as who changes it sees it, with all its facts.
func (w *world) inside(serial string) enroll.Device {
	w.Helper()
	var inside enroll.Device
	_, changed, err := w.ChangeDevice(w.ctx, serial, nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
		inside = *old
		return *old, nil
	})
	w.ok(err)
	if changed {
		w.Errorf("looking at %s changed it", serial)
	}
	return inside
}

// put writes a row with an owner, by e-mail address or none.
func (w *world) put(d enroll.Device, owner string) enroll.Device {
	w.Helper()
	var user *enroll.User
	if owner != "" {
		user = &enroll.User{Domain: enroll.DefaultDomain, Email: owner, Name: "Name of " + owner}
	}
	got, _, err := w.ChangeDevice(w.ctx, d.Serial, user, func(old *enroll.Device, id string) (enroll.Device, error) {
		d.ID, d.UserID, d.CreatedAt = enroll.NewID(), id, start
		if old != nil {
			d.ID, d.EnrollmentID = old.ID, old.EnrollmentID
		}
		if d.State == "" {
			d.State = enroll.StatePreEnrolled
		}
		return d, nil
	})
	w.ok(err)
	return got
}

// crowd puts n devices on the roll that differ in everything a list looks at,
// and gives them as they were written.
func (w *world) crowd(n int) []enroll.Device {
	w.Helper()
	devices := make([]enroll.Device, n)
	for i := range devices {
		d := enroll.Device{Serial: fmt.Sprintf("S%03d", (i*37)%n), Name: fmt.Sprintf("Name %02d", i%7), Platform: enroll.Platforms[i%3], Ownership: enroll.Ownerships[i%2],
			State: enroll.States[i%5], Sources: map[string]enroll.Source{"serial": []enroll.Source{enroll.SourceCSV, enroll.SourceDEP}[i%2]},
			Facts: enroll.Facts{Model: fmt.Sprintf("Model %d", i%3), IMEI: fmt.Sprintf("49015420323%04d", i)}, AssetTag: fmt.Sprintf("Tag-%d", i)}
		if i%2 == 0 {
			d.AcceptedAt = at(1)
		}
		if i%4 == 0 {
			d.EnrolledAt = at(i % 6)
		}
		if i%3 == 0 {
			d.Tags = []string{"blue", fmt.Sprintf("t%d", i%2)}
		}
		owner := ""
		if i%5 > 0 {
			owner = fmt.Sprintf("user%d@example.com", i%5)
		}
		devices[i] = w.put(d, owner)
	}
	return devices
}

// seenAt are pairs of an enrollment's ID and a second.
func seenAt(a string, second int, b string, other int) map[string]time.Time {
	return map[string]time.Time{a: at(second), b: at(other)}
}

func testLists(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		// Every filter, sort and direction, alone and together, against a plain
		// search through all devices.
		"every query": func(w *world) {
			devices := w.crowd(60)
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: "g", Name: "g"}))
			members := map[string]bool{}
			for _, d := range devices[:25] {
				members[d.Serial] = true
			}
			w.ok(w.ChangeMembers(w.ctx, "g", slices.Sorted(maps.Keys(members)), nil))
			owner := devices[1].UserID
			parts := []struct {
				set  func(*enroll.DeviceFilter)
				pass func(enroll.Device) bool
			}{
				{func(f *enroll.DeviceFilter) { f.State = enroll.StateInvited }, func(d enroll.Device) bool { return d.State == enroll.StateInvited }},
				{func(f *enroll.DeviceFilter) { f.Platform = enroll.PlatformIOS }, func(d enroll.Device) bool { return d.Platform == enroll.PlatformIOS }},
				{func(f *enroll.DeviceFilter) { f.Ownership = enroll.OwnershipPersonal }, func(d enroll.Device) bool { return d.Ownership == enroll.OwnershipPersonal }},
				{func(f *enroll.DeviceFilter) { f.GroupID = "g" }, func(d enroll.Device) bool { return members[d.Serial] }},
				{func(f *enroll.DeviceFilter) { f.UserID = owner }, func(d enroll.Device) bool { return d.UserID == owner }},
				{func(f *enroll.DeviceFilter) { f.Domain = "LOCAL" }, func(d enroll.Device) bool { return d.UserID != "" }},
				{func(f *enroll.DeviceFilter) { f.Source = enroll.SourceDEP }, func(d enroll.Device) bool { return d.Sources["serial"] == enroll.SourceDEP }},
				{func(f *enroll.DeviceFilter) { f.Tag = "blue" }, func(d enroll.Device) bool { return slices.Contains(d.Tags, "blue") }},
				{func(f *enroll.DeviceFilter) { f.Model = "model 2" }, func(d enroll.Device) bool { return d.Accepted() && d.Facts.Model == "Model 2" }},
			}
			key := func(sort enroll.DeviceSort, d enroll.Device) string {
				switch sort {
				case enroll.SortName:
					return strings.ToLower(d.Name)
				case enroll.SortUpdated:
					return fmt.Sprintf("%020d", d.UpdatedAt.UnixMicro())
				case enroll.SortEnrolled:
					return fmt.Sprintf("%020d", max(0, d.EnrolledAt.UnixMicro()))
				}
				return "" // nobody was seen
			}
			check := func(q enroll.DeviceQuery, pass ...func(enroll.Device) bool) {
				var want []string
				matching := slices.DeleteFunc(slices.Clone(devices), func(d enroll.Device) bool {
					return slices.ContainsFunc(pass, func(p func(enroll.Device) bool) bool { return !p(d) })
				})
				slices.SortFunc(matching, func(a, b enroll.Device) int {
					order := strings.Compare(key(q.Sort, a)+"\x00"+a.Serial, key(q.Sort, b)+"\x00"+b.Serial)
					if q.Desc {
						return -order
					}
					return order
				})
				for _, d := range matching {
					want = append(want, d.Serial)
				}
				if diff := cmp.Diff(strings.Join(want, " "), strings.Join(w.list(q, 7), " ")); diff != "" {
					w.Errorf("%+v (-want +got)\n%s", q, diff)
				}
			}
			for _, sort := range enroll.DeviceSorts {
				for _, desc := range []bool{false, true} {
					check(enroll.DeviceQuery{Sort: sort, Desc: desc})
					for i, a := range parts {
						one := enroll.DeviceQuery{Sort: sort, Desc: desc}
						a.set(&one.DeviceFilter)
						check(one, a.pass)
						for _, b := range parts[i+1:] {
							two := one
							b.set(&two.DeviceFilter)
							check(two, a.pass, b.pass)
						}
					}
				}
			}
		},
		"a list stays in step while rows change": func(w *world) {
			w.crowd(40)
			q := enroll.DeviceQuery{Sort: enroll.SortUpdated}
			seen := map[string]int{}
			page, err := w.DeviceList(w.ctx, q, enroll.Page{Limit: 10})
			w.ok(err)
			for i := 0; ; i++ {
				for _, d := range page.Devices {
					seen[d.Serial]++
				}
				if page.Next == "" {
					break
				}
				if i == 1 { // one that was listed, one that will be, and a new one
					w.put(enroll.Device{Serial: "NEW"}, "")
					_, _, err := w.ChangeDevice(w.ctx, page.Devices[0].Serial, nil, rename("x"))
					w.ok(err)
				}
				page, err = w.DeviceList(w.ctx, q, enroll.Page{Limit: 10, After: page.Next})
				w.ok(err)
			}
			// Changed ones move to the end, where they are met again; none is lost.
			if len(seen) != 41 {
				w.Errorf("%d devices of 41 were listed", len(seen))
			}
		},
		"search": func(w *world) {
			w.put(enroll.Device{Serial: "ANN1", Name: "zz"}, "")
			w.put(enroll.Device{Serial: "B1", Name: "Annex"}, "")
			w.put(enroll.Device{Serial: "B2"}, "ann@example.com")
			w.put(enroll.Device{Serial: "B3", AssetTag: "ANN-7"}, "")
			w.put(enroll.Device{Serial: "B4", Facts: enroll.Facts{IMEI: "490154203237518"}, AcceptedAt: at(1)}, "")
			w.put(enroll.Device{Serial: "B5", Facts: enroll.Facts{IMEI: "490154203237526"}}, "")
			w.put(enroll.Device{Serial: "ANN2", Name: "ann", AssetTag: "ann"}, "ann@example.com")
			for text, want := range map[string]string{"ann": "ANN1 ANN2 B1 B2 B3", "name of": "ANN2 B2", "49015420323": "B4", "b": "B1 B2 B3 B4 B5", "nothing": "", "ann-7": "B3"} {
				for _, limit := range []int{1, 2, 10} {
					if got := strings.Join(w.list(enroll.DeviceQuery{Search: text}, limit), " "); got != want {
						w.Errorf("%q by %d: %s, want %s", text, limit, got, want)
					}
				}
			}
			// A new name is found, the old one is not.
			_, _, err := w.ChangeUser(w.ctx, enroll.DefaultDomain, "ann@example.com", func(old *enroll.User) (enroll.User, error) {
				u := *old
				u.Name = "Zoe"
				return u, nil
			})
			w.ok(err)
			if got := w.list(enroll.DeviceQuery{Search: "zoe"}, 10); len(got) != 2 || len(w.list(enroll.DeviceQuery{Search: "name of"}, 10)) != 0 {
				w.Errorf("after the change of a user's name: %v", got)
			}
			_, err = w.DeviceList(w.ctx, enroll.DeviceQuery{Search: "a", Sort: enroll.SortName}, enroll.Page{})
			w.kind(err, enroll.KindInvalid)
		},
		"a cursor of something else": func(w *world) {
			for _, after := range []string{"x", "{}x", `{"w":7,"s":"A"}`, `{"w":-1}`, `{"s":"A"}`, `{"k":true,"s":"A"}`, `{"k":"x","s":"A"}`} {
				_, err := w.DeviceList(w.ctx, enroll.DeviceQuery{Sort: enroll.SortUpdated}, enroll.Page{After: after})
				w.kind(err, enroll.KindInvalid)
			}
		},
		// What passes is rare and at the end: pages are short, even empty, before
		// the list ends.
		"the work of a page is bounded": func(w *world) {
			for i := range 40 {
				d := enroll.Device{Serial: fmt.Sprintf("S%03d", i), Platform: enroll.PlatformIOS, Ownership: enroll.OwnershipCorporate, Facts: enroll.Facts{Model: "Old"}, AcceptedAt: at(1)}
				if i >= 30 {
					d.Ownership, d.Facts.Model = enroll.OwnershipPersonal, "New"
				}
				w.put(d, "")
			}
			want := []string{"S030", "S031", "S032", "S033", "S034", "S035", "S036", "S037", "S038", "S039"}
			for _, q := range []enroll.DeviceQuery{
				{DeviceFilter: enroll.DeviceFilter{Ownership: enroll.OwnershipPersonal}, Sort: enroll.SortName},
				{DeviceFilter: enroll.DeviceFilter{Model: "new"}, Sort: enroll.SortSeen},
				{DeviceFilter: enroll.DeviceFilter{Ownership: enroll.OwnershipPersonal}, Search: "s0"},
			} {
				page, err := w.DeviceList(w.ctx, q, enroll.Page{Limit: 20})
				w.ok(err)
				if len(page.Devices) > 0 || page.Next == "" {
					w.Errorf("%+v: the first page has %d devices, next %q", q, len(page.Devices), page.Next)
				}
				if diff := cmp.Diff(want, w.list(q, 20)); diff != "" {
					w.Errorf("%+v (-want +got)\n%s", q, diff)
				}
			}
			// Who reads by serial gets full pages.
			devices, err := w.Devices(w.ctx, enroll.DeviceFilter{Platform: enroll.PlatformIOS, Model: "new", Ownership: enroll.OwnershipPersonal}, enroll.Page{Limit: 9, After: "S001"})
			w.ok(err)
			if len(devices) != 9 {
				w.Errorf("%d devices of 9", len(devices))
			}
		},
		"devices that expire": func(w *world) {
			later := func(n int) time.Time { return at(n).AddDate(100, 0, 0) }
			for i, end := range []int{50, 40, 30, 0, 20, 60} {
				d := enroll.Device{Serial: fmt.Sprintf("E%d", i), Platform: enroll.PlatformIOS, Ownership: enroll.OwnershipCorporate}
				if end > 0 {
					d.ExpiresAt = later(end)
				}
				w.put(d, "")
			}
			f := enroll.DeviceFilter{EndsAfter: later(20), EndsBy: later(50)}
			for want, q := range map[string]enroll.DeviceQuery{
				"E2 E1 E0": {DeviceFilter: f},
				"E0 E1 E2": {DeviceFilter: f, Desc: true},
				"E1":       {DeviceFilter: f, Search: "e1"},
			} {
				if got := strings.Join(w.list(q, 2), " "); got != want {
					w.Errorf("%+v: %s, want %s", q, got, want)
				}
			}
			_, err := w.DeviceList(w.ctx, enroll.DeviceQuery{DeviceFilter: f, Sort: enroll.SortName}, enroll.Page{Limit: 2})
			w.kind(err, enroll.KindInvalid)
			all, err := w.Devices(w.ctx, f, enroll.Page{Limit: 9})
			w.ok(err)
			if len(all) != 3 {
				w.Errorf("%d of 3 are read in the order of serials", len(all))
			}
		},
		"seen devices are sorted by the minute": func(w *world) {
			a, b := w.enroll("AAA", fingerprint(1)), w.enroll("BBB", fingerprint(2))
			w.device("CCC")
			w.ok(w.Seen(w.ctx, seenAt(a.ID, 600, b.ID, 300)))
			if got := strings.Join(w.list(enroll.DeviceQuery{Sort: enroll.SortSeen, Desc: true}, 2), " "); got != "AAA BBB CCC" {
				w.Errorf("%s", got)
			}
			w.ok(w.Seen(w.ctx, seenAt(b.ID, 900, a.ID, 630)))
			if got := strings.Join(w.list(enroll.DeviceQuery{Sort: enroll.SortSeen, Desc: true}, 2), " "); got != "BBB AAA CCC" {
				w.Errorf("%s", got)
			}
			// Beside the time stands what the devices are filtered by.
			w.ok(w.CheckOut(w.ctx, a.ID, at(1000)))
			w.change("CCC", func(d *enroll.Device) { d.Platform, d.Ownership = enroll.PlatformAndroid, enroll.OwnershipPersonal })
			for want, f := range map[string]enroll.DeviceFilter{
				"BBB": {State: enroll.StateEnrolled}, "AAA": {State: enroll.StateUnenrolled}, "CCC": {Platform: enroll.PlatformAndroid, Ownership: enroll.OwnershipPersonal},
			} {
				if got := strings.Join(w.list(enroll.DeviceQuery{Sort: enroll.SortSeen, DeviceFilter: f}, 2), " "); got != want {
					w.Errorf("%+v: %s, want %s", f, got, want)
				}
			}
		},
		"nothing of the device before acceptance": func(w *world) {
			d := w.put(enroll.Device{Serial: "AAA", Facts: enroll.Facts{IMEI: "490154203237518", Model: "iPhone 16"}, LastSeenAt: at(9),
				Sources: map[string]enroll.Source{"serial": enroll.SourceDEP, "imei": enroll.SourceDEP}}, "")
			bySerial, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			byID, err := w.DeviceByID(w.ctx, d.ID)
			w.ok(err)
			all, err := w.Devices(w.ctx, enroll.DeviceFilter{}, enroll.Page{})
			w.ok(err)
			page, err := w.DeviceList(w.ctx, enroll.DeviceQuery{Search: "a"}, enroll.Page{})
			w.ok(err)
			for i, got := range []enroll.Device{d, bySerial, byID, all[0], page.Devices[0]} {
				if !got.Facts.Empty() || !got.LastSeenAt.IsZero() || len(got.Sources) != 1 {
					w.Errorf("reader %d shows %+v", i, got)
				}
			}
			for _, q := range []enroll.DeviceQuery{{Search: "490154"}, {DeviceFilter: enroll.DeviceFilter{Model: "iphone 16"}}} {
				if got := w.list(q, 10); len(got) > 0 {
					w.Errorf("%+v finds it", q)
				}
			}
			_, _, err = w.ChangeDevice(w.ctx, "AAA", nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
				if old.Facts.IMEI == "" {
					w.Error("who changes the device does not see it")
				}
				next := *old
				next.AcceptedAt = at(10)
				return next, nil
			})
			w.ok(err)
			if got := w.list(enroll.DeviceQuery{Search: "490154"}, 10); len(got) != 1 {
				w.Errorf("after acceptance the search finds %v", got)
			}
		},
	})
}
