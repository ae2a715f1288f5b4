package apple

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/policy/apple/schematest"
	"rollcall/policy/document"
)

// TestRestrictionsAreComplete: every restriction of the document has its rows,
// in its order, and each row tells what it does or why there is nothing.
func TestRestrictionsAreComplete(t *testing.T) {
	var want []string
	for i := range reflect.TypeFor[document.Restrictions]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[document.Restrictions]().Field(i).Tag.Get("json"), ",")
		want = append(want, name)
	}
	var got []string
	seen := map[string]bool{}
	for _, r := range Restrictions {
		if len(got) == 0 || got[len(got)-1] != r.Name {
			got = append(got, r.Name)
		}
		if seen[r.Name+" "+r.Key] {
			t.Errorf("%s: %s is there twice", r.Name, r.Key)
		}
		seen[r.Name+" "+r.Key] = true
		if _, isBool := r.Value.(bool); isBool != (r.Key != "") {
			t.Errorf("%s: the value of %q is %v", r.Name, r.Key, r.Value)
		}
		if r.Key == "" && r.Caveat == "" {
			t.Errorf("%s: neither a key nor a reason", r.Name)
		}
		if r.Rounded && r.Caveat == "" {
			t.Errorf("%s: it does something else than its name, and does not say what", r.Name)
		}
		if item := r.setting(); item != "" && settingTitles[item] == "" {
			t.Errorf("%s: the item %s has no title", r.Name, item)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the table has\n%v\nthe document has\n%v", got, want)
	}
}

// TestFeaturesAreApples holds what the compiler believes of payloads, commands
// and declarations against Apple's schema.
func TestFeaturesAreApples(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	for _, f := range Features {
		part, known := s.Profiles[f.Type]
		if !known {
			part, known = s.Declarations[f.Type]
		}
		if !known {
			part, known = s.Commands[f.Type]
		}
		all := []schematest.Support{part.OS["iOS"]}
		path := strings.Split(f.Key, ".")
		if item, ok := strings.CutPrefix(f.Type, settingsPrefix); ok {
			part, known, path = schematest.Part{Keys: s.Commands["Settings"].Keys[0].Sub}, true, []string{item}
			all = []schematest.Support{s.Commands["Settings"].OS["iOS"]}
		}
		keys := part.Keys
		for _, name := range path {
			if name == "" {
				continue
			}
			i := slices.IndexFunc(keys, func(k schematest.Key) bool { return k.Name == name })
			if known = known && i >= 0; !known {
				break
			}
			all, keys = append(all, keys[i].OS["iOS"]), keys[i].Sub
		}
		if !known {
			t.Errorf("%s: Apple has no %s %s", f.Name, f.Type, f.Key)
			continue
		}
		minOS, supervised, user := "", false, true
		for _, ios := range all {
			if ios.Introduced != "" && older(minOS, ios.Introduced) {
				minOS = ios.Introduced
			}
			supervised = supervised || ios.Supervised || slices.Equal(ios.Enroll, []string{"supervised"})
			user = user && ios.UE != "forbidden" && (ios.Enroll == nil || slices.Contains(ios.Enroll, "user"))
		}
		switch f.Name {
		case "web_filter":
			supervised, user = true, false // FilterType BuiltIn only; the schema knows the payload as a whole
		case "vpn":
			minOS = "8.0" // IKEv2; the schema does not tell
		}
		if f.MinOS != minOS || f.Supervised != supervised || f.UserEnrollment != user {
			t.Errorf("%s: here %q, supervised %t, user enrollment %t; Apple %q, %t, %t", f.Name, f.MinOS, f.Supervised, f.UserEnrollment, minOS, supervised, user)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"14.1", "14.2", true}, {"14.2", "14.2", false}, {"14.2", "14.2.0", false}, {"9.3.1", "14", true}, {"14.10", "14.9", false}, {"17.2.1 (a)", "17.2.1", false},
		{"17.2.1 (a)", "17.2.2", true}, {"26", "26.1", true}, {"", "1", true}, {"1", "", false}, {"", "", false}, {"x", "1", true}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("%q older than %q: %t", c.a, c.b, got)
		}
	}
}

// TestRestrictionsAreApples holds the table against Apple's.
func TestRestrictionsAreApples(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	settings := map[string]schematest.Key{}
	for _, item := range s.Commands["Settings"].Keys[0].Sub {
		settings[item.Name] = item
	}
	for _, r := range Restrictions {
		var apples schematest.Restriction
		if item := r.setting(); item != "" {
			k, ok := settings[item]
			if !ok {
				t.Errorf("%s: there is no item %s", r.Name, item)
			}
			ios := k.OS["iOS"]
			apples = schematest.Restriction{Key: r.Key, Type: "boolean", Introduced: ios.Introduced, Supervised: ios.Supervised, UserEnrollment: ios.UE != "forbidden"}
			if apples.Introduced == "" { // as old as the command, or not told
				apples.Introduced = r.MinOS
			}
		} else if r.Key != "" {
			ok := false
			if apples, ok = s.Restrictions[r.Key]; !ok {
				t.Errorf("%s: Apple has no key %s", r.Name, r.Key)
			}
		} else {
			continue
		}
		got := schematest.Restriction{Key: r.Key, Type: "boolean", Introduced: r.MinOS, Deprecated: r.Deprecated, Supervised: r.Supervised, UserEnrollment: r.UserEnrollment}
		if strings.Contains(r.Caveat, deprecatedUnsupervised) {
			got.Note = "unsup-deprecated"
		}
		if r.Supervised {
			apples.Note = "" // it says nothing there
		}
		if got != apples {
			t.Errorf("%s:\n  here  %+v\n  Apple %+v", r.Name, got, apples)
		}
	}
}
