package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// bindings are two policies of a device.
func bindings() []Bound {
	return []Bound{
		{Policy{ID: "P1", Name: "Office", Version: 3, Document: document.Document{
			DeviceName: "phone of {user.local_part}", Restrictions: &document.Restrictions{Camera: document.Deny},
			WiFi: []document.WiFi{{SSID: "Office", Security: "wpa2", Password: "correct horse"}},
			Apps: &document.Apps{Required: []document.App{{BundleID: "com.example.office", AppStoreID: 1}}},
		}}, "group:Everybody"},
		{Policy{ID: "P2", Name: "Lab", Version: 1, Document: document.Document{
			Restrictions: &document.Restrictions{SMS: document.Deny, AirDrop: document.Deny},
			Apple:        &document.Apple{Profiles: []document.Profile{{ID: "raw", Payloads: []document.Payload{{Type: "com.example", Content: document.Dict{"Who": "{user.email}"}}}}}},
		}}, "device"},
	}
}

func phone(supervised bool) enroll.Device {
	return enroll.Device{ID: "D", Serial: "C0", Platform: enroll.PlatformIOS, Facts: enroll.Facts{Product: "iPhone17,2", OSVersion: "26.1", Supervised: &supervised}}
}

func desireOf(d enroll.Device, p Person) Desire {
	return NewPlanner().Desire(bindings(), TargetOf(d, false), VariablesOf(d, p, "Example"), d.Name)
}

func TestDesire(t *testing.T) {
	keys := func(d Desire) (keys []string) {
		for _, i := range d.Items {
			if i.Hash == "" || i.Title == "" {
				t.Errorf("%s has no hash or no title: %+v", i.Key, i)
			}
			keys = append(keys, i.Key)
		}
		slices.Sort(keys)
		return keys
	}
	ann := Person{Domain: "local", Name: "Ann", Email: "ann@example.com"}
	d := desireOf(phone(true), ann)
	all := keys(d)
	for _, want := range []string{"setting:device_name", "profile:rollcall.policy.restrictions", "profile:rollcall.policy.P2.raw"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is missing among %v", want, all)
		}
	}
	find := func(d Desire, key string) Item {
		i := slices.IndexFunc(d.Items, func(i Item) bool { return i.Key == key })
		if i < 0 {
			t.Fatalf("no item %s among %v", key, keys(d))
		}
		return d.Items[i]
	}
	office, lab := From{"Office", "group:Everybody"}, From{"Lab", "device"}
	for key, want := range map[string][]From{"setting:device_name": {office}, "profile:rollcall.policy.P2.raw": {lab}, "profile:rollcall.policy.restrictions": {lab, office}} {
		if diff := cmp.Diff(want, find(d, key).Policies); diff != "" {
			t.Errorf("%s comes from (-want +got):\n%s", key, diff)
		}
	}
	if s := find(d, "setting:device_name").Step.(Settings); s.Items[0].Content["DeviceName"] != "phone of ann" {
		t.Errorf("device name %v", s.Items[0].Content)
	}

	t.Run("missing variables", func(t *testing.T) {
		d := desireOf(phone(true), Person{})
		var failed []string
		for _, n := range d.Notes {
			if n.State == NoteFailed {
				failed = append(failed, n.Pointer+" "+n.Code+" "+n.Text)
			}
		}
		want := []string{"/apple/profiles/0/payloads/0/content/Who variable_missing The device has no value for {user.email}.",
			"/device_name variable_missing The device has no value for {user.local_part}."}
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(failed))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for key, blocked := range map[string]bool{"setting:device_name": true, "profile:rollcall.policy.P2.raw": true, "profile:rollcall.policy.restrictions": false} {
			if got := find(d, key).Blocked; (got != "") != blocked {
				t.Errorf("%s is blocked by %q", key, got)
			}
		}
	})
	t.Run("a name of the device's own", func(t *testing.T) {
		named := phone(true)
		named.Name = "{serial} is no variable here"
		d := desireOf(named, Person{})
		if i := find(d, "setting:device_name"); i.Blocked != "" || i.Step.(Settings).Items[0].Content["DeviceName"] != named.Name {
			t.Errorf("device name %+v", i)
		}
	})
	t.Run("not supervised", func(t *testing.T) {
		d := desireOf(phone(false), ann)
		if slices.Contains(keys(d), "setting:device_name") {
			t.Errorf("items %v", keys(d))
		}
		if !slices.ContainsFunc(d.Notes, func(n Note) bool {
			return n.State == NoteUnsupported && n.Pointer == "/device_name" && n.Code == "not_supervised" && slices.Contains(n.Policies, office)
		}) {
			t.Errorf("notes %+v", d.Notes)
		}
	})
	t.Run("the policies' names and versions are not on the device", func(t *testing.T) {
		other := bindings()
		other[0].Name, other[0].Version = "Renamed", 9
		again := NewPlanner().Desire(other, TargetOf(phone(true), false), VariablesOf(phone(true), ann, "Example"), "")
		if diff := cmp.Diff(d.Items, again.Items, cmpopts.IgnoreFields(Item{}, "Policies")); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

// TestPlannerShares: what is made once for devices that are alike is what would
// be made for each.
func TestPlannerShares(t *testing.T) {
	bound := bindings()
	bound[0].Document.DeviceName, bound[1].Document.Apple = "", nil // nothing depends on the device
	planner := NewPlanner()
	for i, supervised := range []bool{true, false, true} {
		d := phone(supervised)
		d.Serial = fmt.Sprint("S", i)
		shared := planner.Desire(bound, TargetOf(d, false), VariablesOf(d, Person{}, ""), "")
		alone := NewPlanner().Desire(bound, TargetOf(d, false), VariablesOf(d, Person{}, ""), "")
		if diff := cmp.Diff(alone, shared, cmpopts.IgnoreUnexported(Desire{})); diff != "" {
			t.Errorf("device %d (-alone +shared):\n%s", i, diff)
		}
	}
	if len(planner.effective) != 1 || len(planner.compiled) != 2 {
		t.Errorf("merged %d times, compiled %d times", len(planner.effective), len(planner.compiled))
	}
	own, planner := bindings(), NewPlanner()
	for _, email := range []string{"ann@example.com", "ben@example.com"} {
		d := phone(true)
		got := planner.Desire(own, TargetOf(d, false), VariablesOf(d, Person{Email: email}, ""), "")
		i := slices.IndexFunc(got.Items, func(i Item) bool { return i.Key == "setting:device_name" })
		local, _, _ := strings.Cut(email, "@")
		if name := got.Items[i].Step.(Settings).Items[0].Content["DeviceName"]; name != "phone of "+local {
			t.Errorf("%s gets the name %v", email, name)
		}
	}
}

// idEncoder writes the ID so many times, and counts.
type idEncoder struct{ times, calls int }

func (e *idEncoder) Encode(_ context.Context, id string, s Step) (string, []byte, error) {
	if e.calls++; e.times < 0 {
		return "", nil, errors.New("cannot be written")
	}
	return "T", []byte("<" + strings.Repeat(id+"|", e.times) + fmt.Sprintf("%v>", s)), nil
}

func (e *idEncoder) Inventory(string, []byte) (map[string]bool, error) { return nil, nil }

func TestEncodeOnce(t *testing.T) {
	profile := Planned{Item: installItem("a", "1")}
	for _, c := range []struct {
		name    string
		times   int
		planned Planned
		calls   int // for two devices
	}{
		{"a profile", 1, profile, 1},
		{"the ID stands there twice", 2, profile, 4},
		{"a step that differs each time", 1, Planned{Item: Item{Step: RenewIdentity{}}}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, planner := &idEncoder{times: c.times}, NewPlanner()
			for _, id := range []string{enroll.NewID(), enroll.NewID()} {
				_, want, _ := (&idEncoder{times: c.times}).Encode(t.Context(), id, c.planned.Item.Step)
				_, got, err := planner.encode(t.Context(), e, id, c.planned)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %v; want %s", got, err, want)
				}
			}
			if e.calls != c.calls {
				t.Errorf("encoded %d times, want %d", e.calls, c.calls)
			}
		})
	}
	if _, _, err := NewPlanner().encode(t.Context(), &idEncoder{times: -1}, "x", profile); err == nil {
		t.Error("an error is lost")
	}
	planner, e := NewPlanner(), &idEncoder{times: 1}
	for _, hash := range []string{"1", "2", "1" + held} {
		if _, _, err := planner.encode(t.Context(), e, "x", Planned{Item: installItem("a", hash)}); err != nil {
			t.Fatal(err)
		}
	}
	if e.calls != 3 {
		t.Errorf("%d encodings of three contents", e.calls)
	}
}

// TestWanted has what comes with time: the daily look, and where it is in the
// order.
func TestWanted(t *testing.T) {
	s := Situation{Device: phone(true), Policies: bindings(), EnrolledAt: at0, EnrollmentID: "E"}
	planner := NewPlanner()
	d := planner.Desire(s.Policies, TargetOf(s.Device, false), VariablesOf(s.Device, Person{Email: "a@b"}, ""), "")
	rank := func(i Item) int {
		switch i.Step.(type) {
		case QueryDevice:
			return 0
		case QuerySecurity:
			return 1
		case Settings:
			return 2
		case InstallProfile:
			return 3
		case Declare:
			return 4
		case InstallApp:
			return 5
		case QueryProfiles, QueryApps:
			return 6
		}
		return -1
	}
	for _, c := range []struct {
		after  time.Duration
		checks []string
		again  time.Duration
	}{
		{0, nil, day},
		{day - 1, nil, day},
		{day, []string{"1", "1"}, 2 * day},
		{50 * day, []string{"50", "50"}, 51 * day},
		{-time.Minute, nil, day}, // another replica's clock
	} {
		items, _, again, err := planner.wanted(s, d, at0.Add(c.after))
		if err != nil || !again.Equal(at0.Add(c.again)) {
			t.Errorf("%v: again %v, %v", c.after, again, err)
		}
		var checks []string
		last := 0
		for _, i := range items {
			if r := rank(i); r < last {
				t.Errorf("%s comes too late", i.Key)
			} else {
				last = r
			}
			if strings.HasPrefix(i.Key, checkKey) {
				checks = append(checks, i.Hash)
			}
		}
		if !slices.Equal(checks, c.checks) {
			t.Errorf("%v: checks %v", c.after, checks)
		}
	}
	if items, _, again, _ := planner.wanted(Situation{EnrolledAt: at0}, Desire{}, at0.Add(90*day)); len(items) != 2 || !again.IsZero() {
		t.Errorf("without policies: %v, again %v", items, again)
	}
}

func TestTargetOf(t *testing.T) {
	for _, c := range []struct{ product, model, want string }{
		{"iPhone17,2", "", "iPhone"}, {"iPad16,3", "iPhone", "iPad"}, {"", "iPad Pro", "iPad"}, {"Mac15,6", "", "Mac"}, {"AppleTV11,1", "", "AppleTV"}, {"", "", ""},
	} {
		if got := TargetOf(enroll.Device{Facts: enroll.Facts{Product: c.product, Model: c.model}}, false).Family; got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.product, c.model, got, c.want)
		}
	}
}

func TestWantedLocksIntoAnAppAfterTheApp(t *testing.T) {
	app := document.App{BundleID: "com.example.till", AppStoreID: 7}
	d := NewPlanner().Desire([]Bound{{Policy{ID: "P", Name: "Till", Version: 1, Document: document.Document{
		SingleApp: &app, Apps: &document.Apps{Required: []document.App{app}}, LockMessage: "Till"}}, "device"}}, TargetOf(phone(true), false), nil, "")
	items, _, _, err := NewPlanner().wanted(Situation{Device: phone(true), EnrollmentID: "E"}, d, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, i := range items {
		order = append(order, i.Key)
	}
	lock := slices.Index(order, "profile:"+IdentifierPrefix+"single_app")
	if installed := slices.Index(order, "app:app.com.example.till"); lock < 0 || installed < 0 || lock < installed {
		t.Errorf("order %v: a device that is locked into an app it does not have shows nothing", order)
	}
}
