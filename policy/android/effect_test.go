package android

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/policy/document"
)

// ofApple are fields that name Apple themselves: nobody expects them of an
// Android device, so they are passed over without a note.
var ofApple = regexp.MustCompile(`^/apple/|/(bundle_id|app_store_id|manifest_url|license|keep_on_removal|no_backup)$`)

// meaningless are fields that say nothing where they stand: the name of an app
// is for people, a blocked app is not configured; a note on the whole stands
// for the parts of what Android does not have at all.
var meaningless = regexp.MustCompile(`^/(apps/(required|allowed|blocked)/\*|single_app)/name$` +
	`|^/apps/blocked/\*/(apk_url|removable|configuration)$|^/(apps/allowed/\*|single_app)/removable$` +
	`|^/(email|web_clips|home_screen)/|^/vpn/\*/(name|remote_id|local_id|authentication|shared_secret|certificate|username|password|on_demand)$` +
	`|^/web_filter/allow_only/\*/title$|^/os_update/window_(start|end)_minute$`)

// leaves gives the pointers of a JSON value's leaves, with and without indices.
func leaves(pointer string, v any, f func(path []string)) {
	var walk func(path []string, v any)
	walk = func(path []string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(append(slices.Clone(path), k), e)
			}
		case []any:
			f(path)
			for i, e := range v {
				walk(append(slices.Clone(path), fmt.Sprint(i)), e)
			}
		default:
			f(path)
		}
	}
	walk(nil, v)
}

// without gives the value with one leaf taken out.
func without(v any, path []string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if k != path[0] {
				out[k] = e
			} else if len(path) > 1 {
				out[k] = without(e, path[1:])
			}
		}
		return out
	case []any:
		out := []any{}
		for i, e := range v {
			if fmt.Sprint(i) != path[0] {
				out = append(out, e)
			} else if len(path) > 1 {
				out = append(out, without(e, path[1:]))
			}
		}
		return out
	}
	return v
}

var number = regexp.MustCompile(`^[0-9]+$`)

// fields are the pointers of all fields that a document can have, * for
// positions.
func fields(pointer string, t reflect.Type, out *[]string) {
	switch {
	case t.Kind() == reflect.Pointer:
		fields(pointer, t.Elem(), out)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name == "icons" {
				continue // icons in icons
			}
			fields(pointer+"/"+name, t.Field(i).Type, out)
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		fields(pointer+"/*", t.Elem(), out)
	default:
		*out = append(*out, pointer)
	}
}

// TestEveryFieldHasAnEffect: whatever the document says reaches an Android
// device or is told not to. Each field is taken out of documents that use it,
// and the outcome has to differ, for the policy and for the agent.
func TestEveryFieldHasAnEffect(t *testing.T) {
	effective := map[string]bool{}
	for _, name := range featureNames() {
		d := feature(t, name)
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		before := outcome(t, d)
		leaves("", v, func(path []string) {
			less, err := json.Marshal(without(v, path))
			if err != nil {
				t.Fatal(err)
			}
			var changed document.Document
			if err := json.Unmarshal(less, &changed); err != nil {
				t.Fatal(err)
			}
			if outcome(t, changed) != before {
				generic := slices.Clone(path)
				for i, p := range generic {
					if number.MatchString(p) {
						generic[i] = "*"
					}
				}
				for n := range generic {
					effective["/"+strings.Join(generic[:n+1], "/")] = true
				}
			}
		})
	}
	var all []string
	fields("", reflect.TypeFor[document.Document](), &all)
	if len(all) < 150 {
		t.Fatalf("only %d fields were found", len(all))
	}
	for _, pointer := range all {
		passed := ofApple.MatchString(pointer) || meaningless.MatchString(pointer)
		if !effective[pointer] && !passed {
			t.Errorf("%s has neither an effect nor a note", pointer)
		}
	}
}

// outcome is all that becomes of a document at Google.
func outcome(t *testing.T, d document.Document) string {
	t.Helper()
	var out []any
	for _, mode := range modes {
		body, notes := Compile(d, target(mode))
		out = append(out, body, notes)
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAgentTakesOrTells: what a document says stands in the agent's policy too,
// or is told to be left out.
func TestAgentTakesOrTells(t *testing.T) {
	d := everything(t)
	for _, mode := range modes {
		out, notes := Agent(d, target(mode))
		was, is := map[string]bool{}, map[string]bool{}
		collect(t, d, was)
		collect(t, out, is)
		for p := range was {
			told := slices.ContainsFunc(notes, func(n document.Note) bool {
				return p == n.Pointer || strings.HasPrefix(p, n.Pointer+"/") || strings.HasPrefix(n.Pointer, p+"/")
			})
			generic := regexp.MustCompile(`/[0-9]+`).ReplaceAllString(p, "/*")
			if !is[p] && !told && !ofApple.MatchString(generic) && !strings.HasPrefix(p, "/android/") && !meaningless.MatchString(generic) {
				t.Errorf("%s: %s is neither in the agent's policy nor told", mode, p)
			}
		}
		for p := range is {
			if !was[p] && p != "/v" {
				t.Errorf("%s: %s comes from nowhere", mode, p)
			}
		}
	}
}

func collect(t *testing.T, v any, into map[string]bool) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var x any
	if err := json.Unmarshal(b, &x); err != nil {
		t.Fatal(err)
	}
	leaves("", x, func(path []string) { into["/"+strings.Join(path, "/")] = true })
}

// TestTable: the table has every restriction, in order, in one place each.
func TestTable(t *testing.T) {
	var names []string
	for _, r := range Restrictions {
		if len(names) == 0 || names[len(names)-1] != r.Name {
			names = append(names, r.Name)
		}
		if (r.Field == "") != (r.Value == nil) {
			t.Errorf("%s: a field without a value, or a value without a field", r.Name)
		}
		if r.Rounded && r.Caveat == "" {
			t.Errorf("%s: is carried out otherwise, and nothing says how", r.Name)
		}
	}
	want := make([]string, len(restrictionFields))
	for name, i := range restrictionFields {
		want[i] = name
	}
	slices.Sort(names)
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-document +table):\n%s", diff)
	}
}

func TestPointer(t *testing.T) {
	for _, c := range []struct{ setting, path, want string }{
		{"cameraAccess", "", "/restrictions/camera"},
		{"passwordPolicies", "passwordPolicies[0].passwordMinimumLength", "/passcode/min_length"},
		{"passwordPolicies", "passwordPolicies[1].passwordHistoryLength", "/passcode/history"},
		{"passwordPolicies", "", "/passcode/required"},
		{"maximumTimeToLock", "", "/passcode/lock_after_seconds"},
		{"deviceConnectivityManagement", "deviceConnectivityManagement.usbDataAccess", "/restrictions/usb_transfer"},
		{"deviceConnectivityManagement", "usbDataAccess", "/restrictions/usb_transfer"},
		{"personalUsagePolicies", "personalUsagePolicies.cameraDisabled", "/restrictions/camera"},
		{"openNetworkConfiguration", "openNetworkConfiguration.NetworkConfigurations[2].WiFi.SSID", "/wifi"},
		{"openNetworkConfiguration", "", "/wifi"},
		{"applications", "applications[3].installType", "/apps/required"},
		{"systemUpdate", "systemUpdate.startMinutes", "/os_update/window_start_minute"},
		{"minimumApiLevel", "", "/os_update/min_api_level"},
		{"funDisabled", "", "/android/policy/funDisabled"},
		{"", "", ""},
	} {
		if got := Pointer(c.setting, c.path); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.setting, c.path, got, c.want)
		}
	}
	for _, r := range Restrictions {
		if r.Field == "" {
			continue
		}
		setting, _, _ := strings.Cut(r.Field, ".")
		got := Pointer(setting, r.Field)
		if !slices.ContainsFunc(Restrictions, func(o Row) bool { return o.Field == r.Field && got == "/restrictions/"+o.Name }) {
			t.Errorf("%s: %q", r.Field, got)
		}
	}
}

func TestNeedsTheLevel(t *testing.T) {
	d := parse(t, `{"restrictions":{"nfc":"deny","autofill":"deny"},"wifi":[{"ssid":"x","security":"open","disable_private_address":true}]}`)
	for _, c := range []struct {
		level int
		want  []string
	}{
		{0, nil}, {35, nil},
		{34, []string{"/restrictions/nfc"}},
		{28, []string{"/restrictions/nfc", "/wifi/0/disable_private_address"}}, // autofill: half of it is there
		{25, []string{"/restrictions/nfc", "/restrictions/autofill", "/wifi/0/disable_private_address"}},
	} {
		_, notes := Compile(d, document.Target{Management: document.FullyManaged, APILevel: c.level})
		var got []string
		for _, n := range notes {
			if n.Code == document.NoteAPILevel {
				got = append(got, n.Pointer)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("level %d (-want +got):\n%s", c.level, diff)
		}
	}
}

// TestEmptyRestrictsNothing: a document that says nothing, or allows
// everything, leaves the defaults that restrict nothing.
func TestEmptyRestrictsNothing(t *testing.T) {
	allowed := &document.Restrictions{}
	v := reflect.ValueOf(allowed).Elem()
	for i := range v.NumField() {
		v.Field(i).SetString(map[string]string{"allow,deny": "allow", "require,optional": "optional", "off,on,user": "user"}[v.Type().Field(i).Tag.Get("enum")])
	}
	for _, mode := range append(modes, "") {
		empty, notes := Compile(document.Document{}, target(mode))
		if notes != nil {
			t.Errorf("%s: notes %v", mode, notes)
		}
		open, notes := Compile(document.Document{Restrictions: allowed}, target(mode))
		delete(open, "locationMode") // the person's choice, said aloud
		notes = slices.DeleteFunc(notes, func(n document.Note) bool { return n.Pointer == "/restrictions/location" })
		if diff := cmp.Diff(empty, open); diff != "" || len(notes) > 0 {
			t.Errorf("%s: notes %v (-empty +allowed):\n%s", mode, notes, diff)
		}
	}
}

func TestName(t *testing.T) {
	a, _ := Compile(parse(t, `{"wifi":[{"ssid":"a","security":"open"},{"ssid":"b","security":"open"}],"apps":{"blocked":[{"package":"x"},{"package":"y"}]}}`), target(document.FullyManaged))
	b, _ := Compile(parse(t, `{"wifi":[{"ssid":"b","security":"open"},{"ssid":"a","security":"open"}],"apps":{"blocked":[{"package":"y"},{"package":"x"}]}}`), target(document.FullyManaged))
	c, _ := Compile(parse(t, `{"wifi":[{"ssid":"b","security":"open"}]}`), target(document.FullyManaged))
	if Name(a) != Name(b) || Name(a) == Name(c) {
		t.Errorf("names %s, %s, %s", Name(a), Name(b), Name(c))
	}
	if ok, _ := regexp.MatchString(`^p[0-9a-f]{32}$`, Name(a)); !ok {
		t.Errorf("the name %s", Name(a))
	}
}

func BenchmarkCompile(b *testing.B) {
	d := everything(b)
	for b.Loop() {
		Compile(d, target(document.FullyManaged))
	}
}
