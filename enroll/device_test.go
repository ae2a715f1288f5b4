package enroll

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

// filled has every field set, also those that were added since the test was
// written; texts start with mark.
func filled[T any](t *testing.T, mark string) T {
	t.Helper()
	var v T
	fill(t, reflect.ValueOf(&v).Elem(), mark)
	return v
}

func fill(t *testing.T, v reflect.Value, mark string) {
	t.Helper()
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(noon))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), mark+v.Type().Field(i).Name)
		}
	case reflect.String:
		v.SetString(mark)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), mark)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), mark)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(t, value, mark)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(mark).Convert(v.Type().Key()), value)
	default:
		t.Fatalf("the test cannot fill a %s", v.Type())
	}
}

// fullDevice has every field set.
func fullDevice(t *testing.T) Device { return filled[Device](t, "") }

func fullFacts(t *testing.T) Facts { return filled[Facts](t, "old") }

// eachField runs test for every field of a struct.
func eachField(t *testing.T, v any, test func(t *testing.T, name string, index int)) {
	typ := reflect.TypeOf(v)
	for i := range typ.NumField() {
		t.Run(typ.Field(i).Name, func(t *testing.T) { test(t, typ.Field(i).Name, i) })
	}
}

func TestPlatformAdmits(t *testing.T) {
	for _, c := range []struct {
		row, arriving Platform
		want          bool
	}{
		{PlatformIOS, PlatformIOS, true}, {PlatformApple, PlatformIOS, true}, {PlatformApple, PlatformApple, true}, {PlatformAndroid, PlatformAndroid, true},
		{PlatformIOS, PlatformApple, false}, {PlatformIOS, PlatformAndroid, false}, {PlatformApple, PlatformAndroid, false},
		{PlatformAndroid, PlatformIOS, false}, {PlatformAndroid, PlatformApple, false}, {"", PlatformIOS, false}, {PlatformIOS, "", false}, {PlatformApple, "", false},
	} {
		if got := c.row.Admits(c.arriving); got != c.want {
			t.Errorf("a row for %q admits %q: %v", c.row, c.arriving, got)
		}
	}
}

func TestDeviceRedacted(t *testing.T) {
	d := fullDevice(t)
	if diff := cmp.Diff(d, d.Redacted()); diff != "" {
		t.Errorf("an accepted device is redacted (-have +shown):\n%s", diff)
	}
	d.AcceptedAt = time.Time{}
	want := d
	want.Facts, want.LastSeenAt = Facts{}, time.Time{}
	want.Sources = map[string]Source{"serial": SourceCSV}
	d.Sources = map[string]Source{"serial": SourceCSV, "imei": SourceDEP, "supervised": SourceDevice}
	if diff := cmp.Diff(want, d.Redacted()); diff != "" {
		t.Errorf("before acceptance (-want +shown):\n%s", diff)
	}
	if d.Facts.Empty() || len(d.Sources) != 3 {
		t.Error("redacting changed the device itself")
	}
}

func TestDeviceEffectiveAndDeletable(t *testing.T) {
	for _, s := range States {
		if s == StateBlocked {
			continue // never stored
		}
		d := Device{State: s}
		deletable := s != StateEnrolled
		if d.Effective() != s || d.Deletable() != deletable {
			t.Errorf("%s: effective %s, deletable %v", s, d.Effective(), d.Deletable())
		}
		d.BlockedAt = noon
		want := StateBlocked
		if s == StateEnrolled {
			want = StateEnrolled
		}
		if d.Effective() != want || d.Deletable() != deletable {
			t.Errorf("%s and blocked: effective %s, deletable %v", s, d.Effective(), d.Deletable())
		}
	}
}

func TestDeviceExpires(t *testing.T) {
	for s, want := range map[State]State{StatePreEnrolled: StateExpired, StateInvited: StateExpired, StateUnenrolled: StateExpired, StatePendingApproval: StateExpired,
		StateEnrolling: StateEnrolling, StateEnrolled: StateEnrolled} {
		d := Device{State: s, ExpiresAt: noon}
		if got := d.EffectiveAt(noon.Add(-time.Second)); got != s {
			t.Errorf("%s before its end is %s", s, got)
		}
		if got := d.EffectiveAt(noon); got != want {
			t.Errorf("%s at its end is %s, want %s", s, got, want)
		}
	}
	if got := (Device{State: StateInvited, ExpiresAt: noon, BlockedAt: noon}).EffectiveAt(noon); got != StateBlocked {
		t.Errorf("a blocked row is %s", got)
	}
}

// TestDeviceLearns asserts whose word counts: the device's own, then Apple's or
// Google's, then the admin's, and among equals the later one.
func TestDeviceLearns(t *testing.T) {
	var d Device
	d.Learn(Facts{IMEI: "csv", Model: "csv", UDID: "csv"}, SourceCSV)
	d.Learn(Facts{IMEI: "dep", Model: "dep"}, SourceDEP)
	d.Learn(Facts{IMEI: "api", UDID: "api"}, SourceAPI)
	yes, no := true, false
	d.Learn(Facts{Model: "device", Supervised: &yes, Extra: map[string]string{"a": "b"}}, SourceDevice)
	before := d
	d.Learn(Facts{Supervised: &no, Model: "later"}, SourceDEP)
	want := Device{Facts: Facts{IMEI: "dep", Model: "device", UDID: "api", Supervised: &yes, Extra: map[string]string{"a": "b"}},
		Sources: map[string]Source{"imei": SourceDEP, "model": SourceDevice, "udid": SourceAPI, "supervised": SourceDevice}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.Learn(Facts{UDID: "device"}, SourceDevice)
	if before.Sources["udid"] != SourceAPI {
		t.Error("learning changed a copy of the device")
	}
}

func TestDeviceSame(t *testing.T) {
	if d := fullDevice(t); !d.Same(fullDevice(t)) {
		t.Fatal("a device is not the same as its copy")
	}
	eachField(t, fullDevice(t), func(t *testing.T, name string, i int) {
		d := fullDevice(t)
		reflect.ValueOf(&d).Elem().Field(i).SetZero()
		leftOut := name == "Version" || name == "UpdatedAt"
		if d.Same(fullDevice(t)) != leftOut || fullDevice(t).Same(d) != leftOut {
			t.Errorf("another %s: same is %v", name, d.Same(fullDevice(t)))
		}
	})

	d := fullDevice(t)
	d.CreatedAt = noon.In(time.FixedZone("", 3600))
	if !d.Same(fullDevice(t)) {
		t.Error("the same instant in another zone is a change")
	}
	none, empty := Device{}, Device{Sources: map[string]Source{}, Facts: Facts{Extra: map[string]string{}}}
	if !none.Same(empty) || !empty.Same(none) {
		t.Error("no entries and no map are a change")
	}
	if empty.Sources == nil || empty.Facts.Extra == nil {
		t.Error("comparing changed the device itself")
	}
}

func TestFactsMerge(t *testing.T) {
	newer := filled[Facts](t, "new")
	newer.Supervised = new(bool)
	old := fullFacts(t)
	if diff := cmp.Diff(fullFacts(t), old.Merge(Facts{})); diff != "" {
		t.Errorf("nothing new (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(newer, Facts{}.Merge(newer)); diff != "" {
		t.Errorf("all new (-want +got):\n%s", diff)
	}
	eachField(t, newer, func(t *testing.T, name string, i int) {
		var one Facts
		reflect.ValueOf(&one).Elem().Field(i).Set(reflect.ValueOf(newer).Field(i))
		if one.Empty() {
			t.Error("Empty does not look at it")
		}
		want := fullFacts(t)
		if name == "Extra" {
			want.Extra = map[string]string{"oldExtra": "oldExtra", "newExtra": "newExtra"}
		} else {
			reflect.ValueOf(&want).Elem().Field(i).Set(reflect.ValueOf(newer).Field(i))
		}
		if diff := cmp.Diff(want, old.Merge(one)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	if over := old.Merge(Facts{Extra: map[string]string{"oldExtra": "w"}}); over.Extra["oldExtra"] != "w" {
		t.Errorf("the newer answer is lost: %v", over.Extra)
	}
	if diff := cmp.Diff(fullFacts(t), old); diff != "" {
		t.Errorf("merging changed the facts themselves (-want +got):\n%s", diff)
	}
	if !(Facts{}).Empty() || !(Facts{Extra: map[string]string{}}).Empty() {
		t.Error("no facts are not empty")
	}
}
