package enroll

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func ptr[T any](v T) *T { return &v }

// stored is a row of the roll as an import left it.
func stored(change ...func(*Device)) Device {
	d := Device{ID: "D", Serial: "C02XK1", SerialRaw: "c02xk1", Platform: PlatformIOS, Ownership: OwnershipCorporate, Name: "ipad", UserID: "local/a@example.com",
		State: StatePreEnrolled, CreatedAt: noon, Version: 1,
		Sources: map[string]Source{"serial": SourceCSV, "platform": SourceCSV, "ownership": SourceCSV, "user": SourceCSV, "name": SourceCSV}}
	for _, f := range change {
		f(&d)
	}
	return d
}

// sources are those of stored, with some others.
func sources(pairs ...string) map[string]Source {
	m := stored().Sources
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = Source(pairs[i+1])
	}
	return m
}

func TestRollPut(t *testing.T) {
	whole := DeviceInput{Platform: ptr(PlatformIOS), Ownership: ptr(OwnershipCorporate), Name: ptr("ipad"), User: &User{Email: "A@Example.com "}}
	for _, c := range []struct {
		name             string
		old              *Device
		in               DeviceInput
		want             Device
		created, changed bool
	}{
		{"new", nil, whole, stored(func(d *Device) {
			d.SerialRaw = " c02x-k1"
			d.Sources = sources("serial", "api", "platform", "api", "ownership", "api", "user", "api", "name", "api")
		}), true, true},
		{"new without name and user", nil, DeviceInput{Platform: ptr(PlatformApple), Ownership: ptr(OwnershipSelectUser)}, stored(func(d *Device) {
			d.SerialRaw, d.Platform, d.Ownership, d.Name, d.UserID = " c02x-k1", PlatformApple, OwnershipSelectUser, "", ""
			d.Sources = map[string]Source{"serial": SourceAPI, "platform": SourceAPI, "ownership": SourceAPI}
		}), true, true},
		{"as it is", ptr(stored()), whole, stored(), false, false},
		{"nothing said", ptr(stored()), DeviceInput{}, stored(), false, false},
		{"another platform", ptr(stored()), DeviceInput{Platform: ptr(PlatformAndroid)}, stored(func(d *Device) {
			d.Platform, d.Sources, d.Version = PlatformAndroid, sources("platform", "api"), 2
		}), false, true},
		{"all others", ptr(stored()), DeviceInput{Ownership: ptr(OwnershipPersonal), Name: ptr("x"), User: &User{Domain: " corp ", Email: "b@example.com"}}, stored(func(d *Device) {
			d.Ownership, d.Name, d.UserID, d.Version = OwnershipPersonal, "x", "corp/b@example.com", 2
			d.Sources = sources("ownership", "api", "name", "api", "user", "api")
		}), false, true},
		{"name and user cleared", ptr(stored()), DeviceInput{Name: ptr(""), NoUser: true}, stored(func(d *Device) {
			d.Name, d.UserID, d.Sources, d.Version = "", "", sources("name", "api", "user", "api"), 2
		}), false, true},
		{"cleared already", ptr(stored(func(d *Device) { d.Name, d.UserID = "", "" })), DeviceInput{Name: ptr(""), NoUser: true},
			stored(func(d *Device) { d.Name, d.UserID = "", "" }), false, false},
		{"a self-reported row becomes an admin's", ptr(stored(func(d *Device) { d.Sources = sources("serial", "device") })), DeviceInput{},
			stored(func(d *Device) { d.Sources, d.Version = sources("serial", "api"), 2 }), false, true},
		{"a row from DEP stays one", ptr(stored(func(d *Device) { d.Sources = sources("serial", "dep") })), DeviceInput{},
			stored(func(d *Device) { d.Sources = sources("serial", "dep") }), false, false},
		{"a row without sources", ptr(stored(func(d *Device) { d.Sources = nil })), DeviceInput{Name: ptr("x")},
			stored(func(d *Device) {
				d.Name, d.Sources, d.Version = "x", map[string]Source{"serial": "api", "name": "api"}, 2
			}), false, true},
		{"an enrolled row stays enrolled", ptr(stored(func(d *Device) { d.State, d.EnrollmentID = StateEnrolled, "E" })), DeviceInput{Name: ptr("x")},
			stored(func(d *Device) {
				d.State, d.EnrollmentID, d.Name, d.Sources, d.Version = StateEnrolled, "E", "x", sources("name", "api"), 2
			}), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			if c.old != nil {
				m = newMemory(*c.old)
			}
			roll := NewRoll(m, (&clock{noon}).now)
			d, created, changed, err := roll.Put(t.Context(), " c02x-k1", c.in)
			if err != nil || created != c.created || changed != c.changed {
				t.Fatalf("created %v, changed %v, error %v", created, changed, err)
			}
			if c.created && d.ID == "" {
				t.Error("the new row has no ID")
			}
			if diff := cmp.Diff(c.want, d, ignoreIDIf(c.created)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(d, m.devices["C02XK1"]); diff != "" {
				t.Errorf("(-answered +stored):\n%s", diff)
			}
			if _, created, changed, err = roll.Put(t.Context(), "C02XK1", c.in); created || changed || err != nil {
				t.Errorf("the second time: created %v, changed %v, error %v", created, changed, err)
			}
		})
	}
}

func ignoreIDIf(created bool) cmp.Option {
	if created {
		return cmpopts.IgnoreFields(Device{}, "ID")
	}
	return cmp.Options{}
}

func TestRollRefuses(t *testing.T) {
	long := strings.Repeat("n", MaxName+1)
	whole := DeviceInput{Platform: ptr(PlatformIOS), Ownership: ptr(OwnershipCorporate)}
	for _, c := range []struct {
		name, serial string
		in           DeviceInput
		code         string
		put          bool // only Put
	}{
		{"empty serial", " - ", whole, "serial_empty", true},
		{"odd serial", "A'1", whole, "serial_characters", true},
		{"new without platform", "NEW", DeviceInput{Ownership: ptr(OwnershipPersonal)}, "device_incomplete", true},
		{"new without ownership", "NEW", DeviceInput{Platform: ptr(PlatformIOS)}, "device_incomplete", true},
		{"unknown platform", "C02XK1", DeviceInput{Platform: ptr(Platform("IOS"))}, "platform_unknown", false},
		{"empty platform", "C02XK1", DeviceInput{Platform: ptr(Platform(""))}, "platform_unknown", false},
		{"unknown ownership", "C02XK1", DeviceInput{Ownership: ptr(Ownership("shared"))}, "ownership_unknown", false},
		{"long name", "C02XK1", DeviceInput{Name: &long}, "name_too_long", false},
		{"name with a line feed", "C02XK1", DeviceInput{Name: ptr("a\nb")}, "name_characters", false},
		{"user without address", "C02XK1", DeviceInput{User: &User{Name: "A"}}, "email_invalid", false},
		{"user with a long name", "C02XK1", DeviceInput{User: &User{Email: "a@example.com", Name: long}}, "name_too_long", false},
		{"user's name with NUL", "C02XK1", DeviceInput{User: &User{Email: "a@example.com", Name: "a\x00"}}, "name_characters", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory(stored())
			roll := NewRoll(m, nil)
			_, created, changed, err := roll.Put(t.Context(), c.serial, c.in)
			wantError(t, err, KindInvalid, c.code)
			if !c.put {
				_, _, patched := roll.Patch(t.Context(), c.serial, c.in)
				wantError(t, patched, KindInvalid, c.code)
			}
			if created || changed || m.writes > 0 || len(m.users) > 0 || len(m.devices) != 1 {
				t.Errorf("created %v, changed %v, and the store has %v %v", created, changed, m.devices, m.users)
			}
		})
	}
	m := newMemory()
	m.err = errors.New("disk on fire")
	if _, created, changed, err := NewRoll(m, nil).Put(t.Context(), "NEW", whole); !errors.Is(err, m.err) || created || changed {
		t.Errorf("without a store: created %v, changed %v, error %v", created, changed, err)
	}
}

func TestRollPatch(t *testing.T) {
	m := newMemory(stored(func(d *Device) { d.Sources = sources("serial", "device") }))
	roll := NewRoll(m, nil)
	d, changed, err := roll.Patch(t.Context(), "c02xk1", DeviceInput{Name: ptr("x"), User: &User{Email: "b@example.com"}})
	want := stored(func(d *Device) {
		d.Name, d.UserID, d.Sources, d.Version = "x", "local/b@example.com", sources("serial", "device", "name", "api", "user", "api"), 2
	})
	if diff := cmp.Diff(want, d); err != nil || !changed || diff != "" {
		t.Errorf("changed %v, error %v (-want +got):\n%s", changed, err, diff)
	}
	if d, changed, err = roll.Patch(t.Context(), "C02XK1", DeviceInput{}); err != nil || changed || d.Version != 2 {
		t.Errorf("nothing said: changed %v, error %v, version %d", changed, err, d.Version)
	}
	_, _, err = roll.Patch(t.Context(), "other", DeviceInput{Name: ptr("x"), User: &User{Email: "c@example.com"}})
	wantError(t, err, KindNotFound, "device_unknown")
	if len(m.devices) != 1 || len(m.users) != 1 {
		t.Errorf("a patch of no row left %v %v", m.devices, m.users)
	}
}

func TestRollBlock(t *testing.T) {
	at := &clock{noon}
	m := newMemory(stored(func(d *Device) { d.State = StateEnrolled }))
	roll := NewRoll(m, at.now)
	for _, c := range []struct {
		what   string
		do     func() (Device, error)
		at     time.Time
		reason string
		writes int
	}{
		{"block", func() (Device, error) { return roll.Block(t.Context(), "c02xk1", "lost") }, noon, "lost", 1},
		{"the same again", func() (Device, error) { return roll.Block(t.Context(), "C02XK1", "lost") }, noon, "lost", 1},
		{"another reason keeps the time", func() (Device, error) { return roll.Block(t.Context(), "C02XK1", "stolen") }, noon, "stolen", 2},
		{"unblock", func() (Device, error) { return roll.Unblock(t.Context(), "c02xk1") }, time.Time{}, "", 3},
		{"unblock again", func() (Device, error) { return roll.Unblock(t.Context(), "C02XK1") }, time.Time{}, "", 3},
		{"block anew", func() (Device, error) { return roll.Block(t.Context(), "C02XK1", "") }, noon.Add(5 * time.Hour), "", 4},
	} {
		d, err := c.do()
		if err != nil || !d.BlockedAt.Equal(c.at) || d.BlockReason != c.reason || d.State != StateEnrolled || m.writes != c.writes {
			t.Errorf("%s: %v, blocked at %v for %q, state %s, %d writes", c.what, err, d.BlockedAt, d.BlockReason, d.State, m.writes)
		}
		at.at = at.at.Add(time.Hour)
	}
	_, err := roll.Block(t.Context(), "other", "x")
	wantError(t, err, KindNotFound, "device_unknown")
	_, err = roll.Unblock(t.Context(), "other")
	wantError(t, err, KindNotFound, "device_unknown")
}

func TestCheckEmail(t *testing.T) {
	label := strings.Repeat("d", 60)
	for _, good := range []string{
		"a@example.com", "first.last+tag@mail.example.co.uk", "o'brien_1@example.com", "a@localhost", "müller@bücher.example", "a@xn--bcher-kva.example",
		strings.Repeat("l", 64) + "@example.com", "1@2.3", "a/b=c!#$%&*?^`{|}~@example.com",
		"a@" + label + "." + label + "." + label + "." + label + ".example",
	} {
		if err := CheckEmail(good); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "a", "@", "a@", "@example.com", "a@b", "a@@example.com", "a@b@example.com", "a@.com", "a@example.", "a@example..com", ".a@example.com", "a.@example.com",
		"a..b@example.com", "a b@example.com", "a@exa mple.com", " a@example.com", "a@example.com\r\nBcc: b@example.com", "a@example.com\n", "a@example.com\x00", "a\x1b@example.com",
		"a\u00a0@example.com", "a\u200b@example.com", "\ufeffa@example.com", "a\u202e@example.com", "a\xff@example.com", "A <a@example.com>", "a@example.com,b@example.com",
		"a@example.com;b@example.com", "(c)a@example.com", `"a"@example.com`, "a@[192.0.2.1]", `a\@example.com`, "mailto:a@example.com",
		strings.Repeat("l", 65) + "@example.com", "a@" + strings.Repeat("d.", 130) + "com",
	} {
		wantError(t, CheckEmail(bad), KindInvalid, "email_invalid")
		if CheckEmail(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
