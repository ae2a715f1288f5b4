package enroll

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var importLine = ImportRow{Line: 2, Name: "A", Email: "a@example.com", Ownership: OwnershipCorporate, DeviceName: "ipad", Serial: "C02XK1", SerialRaw: "c02xk1", Platform: PlatformIOS}

func importOptions(change ...func(*ImportOptions)) ImportOptions {
	o := ImportOptions{Domain: "local", PreEnroll: true}.WithDefaults()
	for _, f := range change {
		f(&o)
	}
	return o
}

// owner is the user of stored.
func owner() *User {
	return &User{ID: "local/a@example.com", Domain: "local", Email: "a@example.com", Name: "A"}
}

func TestPlanImportRow(t *testing.T) {
	with := func(f func(*ImportRow)) ImportRow { r := importLine; f(&r); return r }
	for _, c := range []struct {
		name    string
		old     *Device
		row     ImportRow
		want    *Device // nil: not written
		as      RowAction
		changes string
	}{
		{"new", nil, importLine, ptr(stored(func(d *Device) { d.Version = 0 })), ActionNew, "devicename ownership platform email"},
		{"new without a name", nil, with(func(r *ImportRow) { r.DeviceName = "" }), ptr(stored(func(d *Device) {
			d.Version, d.Name = 0, ""
			delete(d.Sources, "name")
		})), ActionNew, "ownership platform email"},
		{"as it is", ptr(stored()), importLine, nil, ActionUnchanged, ""},
		{"a blank name leaves it", ptr(stored()), with(func(r *ImportRow) { r.DeviceName = "" }), nil, ActionUnchanged, ""},
		{"a name that is to be emptied", ptr(stored()), with(func(r *ImportRow) { r.DeviceName, r.Clear = "", map[string]bool{"devicename": true} }), ptr(stored(func(d *Device) {
			d.Name = ""
			delete(d.Sources, "name")
		})), ActionChanged, "devicename"},
		{"another spelling of the serial", ptr(stored()), with(func(r *ImportRow) { r.SerialRaw = "C02-XK1" }), nil, ActionUnchanged, ""},
		{"another name", ptr(stored(func(d *Device) { d.Sources = sources("name", "api") })), with(func(r *ImportRow) { r.DeviceName = "x" }),
			ptr(stored(func(d *Device) { d.Name = "x" })), ActionChanged, "devicename"},
		{"another ownership", ptr(stored()), with(func(r *ImportRow) { r.Ownership = OwnershipPersonal }), ptr(stored(func(d *Device) { d.Ownership = OwnershipPersonal })), ActionChanged, "ownership"},
		{"what the user chose stays", ptr(stored(func(d *Device) { d.Ownership, d.Sources = OwnershipPersonal, sources("ownership", "device") })),
			with(func(r *ImportRow) { r.Ownership = OwnershipSelectUser }), nil, ActionUnchanged, ""},
		{"what the user chose is overruled", ptr(stored(func(d *Device) { d.Ownership, d.Sources = OwnershipPersonal, sources("ownership", "device") })),
			importLine, ptr(stored()), ActionChanged, "ownership"},
		{"another owner", ptr(stored(func(d *Device) { d.UserID, d.Sources = "b", sources("user", "api") })), importLine, ptr(stored()), ActionChanged, "email"},
		{"no owner in the file", ptr(stored()), with(func(r *ImportRow) { r.Email, r.Name = "", "" }), nil, ActionUnchanged, ""},
		{"what agrees keeps its source", ptr(stored(func(d *Device) {
			d.Sources = sources("platform", "dep", "ownership", "api", "name", "api", "user", "api")
		})), importLine, nil, ActionUnchanged, ""},
		{"wider platform", ptr(stored()), with(func(r *ImportRow) { r.Platform = PlatformApple }), ptr(stored(func(d *Device) { d.Platform = PlatformApple })), ActionChanged, "platform"},
		{"narrower platform", ptr(stored(func(d *Device) { d.Platform = PlatformApple })), importLine, ptr(stored()), ActionChanged, "platform"},
		{"another platform", ptr(stored(func(d *Device) { d.Platform = PlatformAndroid })), importLine, nil, ActionConflict, ""},
		{"a self-reported row becomes an admin's", ptr(stored(func(d *Device) { d.Sources = sources("serial", "device") })), importLine, ptr(stored()), ActionChanged, "serial_source"},
		{"a row from DEP stays one", ptr(stored(func(d *Device) { d.Sources = sources("serial", "dep") })), importLine, nil, ActionUnchanged, ""},
		{"a row without sources", ptr(stored(func(d *Device) { d.Sources = nil })), with(func(r *ImportRow) { r.DeviceName = "x" }),
			ptr(stored(func(d *Device) { d.Name, d.Sources = "x", map[string]Source{"name": SourceCSV} })), ActionChanged, "devicename"},
		{"state, block and facts stay", ptr(stored(func(d *Device) { d.State, d.BlockedAt, d.Facts.UDID = StateEnrolled, noon, "u" })), with(func(r *ImportRow) { r.DeviceName = "x" }),
			ptr(stored(func(d *Device) { d.State, d.BlockedAt, d.Facts.UDID, d.Name = StateEnrolled, noon, "u", "x" })), ActionChanged, "devicename"},
		{"facts of the file", ptr(stored(func(d *Device) { d.Facts.IMEI = "1" })), with(func(r *ImportRow) { r.IMEI, r.IMEI2, r.Model = "2", "3", "m" }), ptr(stored(func(d *Device) {
			d.Facts = Facts{IMEI: "2", Model: "m", Extra: map[string]string{"IMEI2": "3"}}
			d.Sources = sources("imei", "csv", "model", "csv")
		})), ActionChanged, "imei imei2 model"},
		{"what the device says stays", ptr(stored(func(d *Device) { d.AcceptedAt, d.Facts.IMEI, d.Sources = noon, "1", sources("imei", "device") })), with(func(r *ImportRow) { r.IMEI = "2" }), nil, ActionUnchanged, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := PlanImportRow(importOptions(), c.row, ImportBase{Device: c.old, User: owner()}, nil, noon)
			if got.Action != c.as || got.User != nil || c.old != nil && got.Base != c.old.Version {
				t.Errorf("%+v, want %s", got, c.as)
			}
			if diff := cmp.Diff(c.want, got.Device, ignoreIDIf(c.as == ActionNew)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var fields []string
			for _, f := range got.Changes {
				fields = append(fields, f.Field)
			}
			want := strings.Fields(c.changes)
			slices.Sort(want)
			slices.Sort(fields)
			if !slices.Equal(fields, want) {
				t.Errorf("changes %v, want %v", got.Changes, want)
			}
		})
	}
}

// TestPlanShowsNoFacts holds the plan to redaction: before the user has
// accepted, nothing that the device told is in it.
func TestPlanShowsNoFacts(t *testing.T) {
	old := stored(func(d *Device) {
		d.Facts = Facts{IMEI: "SECRET1", UDID: "SECRET2", Model: "SECRET3", Extra: map[string]string{"IMEI2": "SECRET4"}}
		d.Sources = sources("imei", "device")
	})
	row := importLine
	row.IMEI, row.UDID, row.Model, row.IMEI2 = "1", "2", "3", "4"
	if got := fmt.Sprint(PlanImportRow(importOptions(), row, ImportBase{Device: &old, User: owner()}, nil, noon).PlanRow); strings.Contains(got, "SECRET") {
		t.Errorf("the plan tells %s", got)
	}
	old.AcceptedAt = noon
	got := PlanImportRow(importOptions(), row, ImportBase{Device: &old, User: owner()}, nil, noon)
	if len(got.Warnings) != 1 || got.Warnings[0].Code != "fact_differs" || !strings.Contains(got.Warnings[0].Detail, "SECRET1") || !strings.Contains(fmt.Sprint(got.Changes), "SECRET3") {
		t.Errorf("after acceptance the plan tells %+v", got.PlanRow)
	}
}

func TestPlanImportUsers(t *testing.T) {
	row := func(name, mobile string) ImportRow {
		return ImportRow{Line: 2, Email: "a@example.com", Name: name, Mobile: mobile}
	}
	usersOnly := func(o *ImportOptions) { o.PreEnroll = false }
	skip := func(o *ImportOptions) { o.PreEnroll, o.Users = false, UsersSkip }
	known := &User{ID: "U", Domain: "local", Email: "a@example.com", Name: "A", Mobile: "1"}
	for _, c := range []struct {
		name string
		o    func(*ImportOptions)
		base ImportBase
		row  ImportRow
		want *User
		as   RowAction
	}{
		{"new", usersOnly, ImportBase{}, row("A", "1"), known, ActionNew},
		{"as it is", usersOnly, ImportBase{User: known}, row("A", ""), nil, ActionUnchanged},
		{"replaced", usersOnly, ImportBase{User: known}, row("B", ""), &User{ID: "U", Domain: "local", Email: "a@example.com", Name: "B", Mobile: "1"}, ActionChanged},
		{"skipped", skip, ImportBase{User: known}, row("B", "2"), nil, ActionUnchanged},
		{"skipped, but of this file", skip, ImportBase{User: known, NewUser: true}, row("B", ""), &User{ID: "U", Domain: "local", Email: "a@example.com", Name: "B", Mobile: "1"}, ActionChanged},
		{"a device is of no matter", usersOnly, ImportBase{User: known, Device: ptr(stored())}, row("A", "1"), nil, ActionUnchanged},
	} {
		got := PlanImportRow(importOptions(c.o), c.row, c.base, nil, noon)
		if got.Action != c.as || got.Device != nil || got.Base != 0 {
			t.Errorf("%s: %+v", c.name, got)
		}
		if diff := cmp.Diff(c.want, got.User, cmpopts.IgnoreFields(User{}, "ID")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestImportOptions(t *testing.T) {
	for code, change := range map[string]func(*ImportOptions){
		"":                     func(*ImportOptions) {},
		"domain_required":      func(o *ImportOptions) { o.Domain = "" },
		"name_too_long":        func(o *ImportOptions) { o.Domain = strings.Repeat("d", MaxName+1) },
		"on_duplicate_unknown": func(o *ImportOptions) { o.OnDuplicate = "x" },
		"on_error_unknown":     func(o *ImportOptions) { o.OnError = "x" },
		"users_unknown":        func(o *ImportOptions) { o.Users = "x" },
		"owner_unknown":        func(o *ImportOptions) { o.Owner = "x" },
		"header_unknown":       func(o *ImportOptions) { o.Header = "x" },
	} {
		wantError(t, importOptions(change).Check(), KindInvalid, code)
	}
	es := RowErrors{{Line: 3, Column: "platform", Value: "android", Detail: "this serial is on the roll for ios"}, {Line: 4}}
	if got, want := es[:1].Error(), `line 3, platform "android": this serial is on the roll for ios`; got != want {
		t.Errorf("one error reads %q, want %q", got, want)
	}
	if got := es.Error(); !strings.HasSuffix(got, "on the roll for ios; and 1 more errors") {
		t.Errorf("two errors read %q", got)
	}
}

// TestPlanIsIdempotent plans any row against any device, writes it, and plans
// the same row again: there is nothing left to do, in every mode.
func TestPlanIsIdempotent(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "a", "b"})
	list := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"g1", "g2"}), 0, 2, rapid.ID)
	rapid.Check(t, func(t *rapid.T) {
		row := ImportRow{Line: 2, Serial: "S1", SerialRaw: "s1", Platform: rapid.SampledFrom(Platforms).Draw(t, "platform"), Ownership: rapid.SampledFrom(Ownerships).Draw(t, "ownership"),
			Email: rapid.SampledFrom([]string{"", "a@example.com"}).Draw(t, "email"), Name: text.Draw(t, "name"), Mobile: text.Draw(t, "mobile"), DeviceName: text.Draw(t, "devicename"),
			AssetTag: text.Draw(t, "asset"), Notes: text.Draw(t, "notes"), IMEI: text.Draw(t, "imei"), IMEI2: text.Draw(t, "imei2"), Model: text.Draw(t, "model"),
			Uses: rapid.IntRange(0, 2).Draw(t, "uses"), Groups: list.Draw(t, "groups"), Clear: map[string]bool{}}
		for _, f := range []string{"mobile", "devicename", "asset_tag", "notes", "imei", "imei2", "model", "uses", "group", "email"} {
			if rapid.Bool().Draw(t, "clear "+f) {
				row.Clear[f] = true
			}
		}
		var base ImportBase
		if rapid.Bool().Draw(t, "known") {
			d := stored()
			d.Serial, d.Platform, d.Ownership = "S1", rapid.SampledFrom(Platforms).Draw(t, "old platform"), rapid.SampledFrom(Ownerships).Draw(t, "old ownership")
			d.Name, d.Notes, d.Facts = text.Draw(t, "old name"), text.Draw(t, "old notes"), Facts{IMEI: text.Draw(t, "old imei")}
			d.Sources["serial"] = rapid.SampledFrom([]Source{SourceCSV, SourceDEP, SourceDevice}).Draw(t, "source")
			base = ImportBase{Device: &d, Groups: list.Draw(t, "old groups")}
		}
		if rapid.Bool().Draw(t, "user known") {
			base.User = owner()
		}
		o := importOptions(func(o *ImportOptions) {
			o.OnDuplicate = rapid.SampledFrom([]string{DuplicateSkip, DuplicateUpdate, DuplicateReplace, DuplicateFail}).Draw(t, "mode")
			o.Users = rapid.SampledFrom([]string{UsersReplace, UsersSkip}).Draw(t, "users")
		})
		first := PlanImportRow(o, row, base, nil, noon)
		if (first.Action == ActionError || first.Action == ActionConflict) != (len(first.Errors) > 0) {
			t.Fatalf("%s with the errors %v", first.Action, first.Errors)
		}
		if first.Action != ActionNew && first.Action != ActionChanged {
			if first.Device != nil || first.User != nil || !first.Groups.empty() {
				t.Fatalf("%s writes %+v", first.Action, first)
			}
			return
		}
		if first.Device != nil {
			base.Device = first.Device
		}
		if first.User != nil {
			base.User = first.User
		}
		base.Groups = slices.DeleteFunc(slices.Concat(base.Groups, first.Groups.Add), func(g string) bool { return slices.Contains(first.Groups.Remove, g) })
		o.OnDuplicate = DuplicateUpdate
		again := PlanImportRow(o, row, base, nil, noon)
		if again.Action != ActionUnchanged || again.Device != nil || again.User != nil {
			t.Fatalf("the second time %+v", again)
		}
	})
}
