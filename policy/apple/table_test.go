package apple

import (
	"reflect"
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
		if item := r.setting(); item != "" && settingTitles[item] == "" {
			t.Errorf("%s: the item %s has no title", r.Name, item)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the table has\n%v\nthe document has\n%v", got, want)
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
