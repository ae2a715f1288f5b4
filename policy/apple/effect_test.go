package apple_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/enroll"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

// ofAndroid are fields that name Android themselves: nobody expects them of an
// iPhone, so they are passed over without a note.
var ofAndroid = []string{"/passcode/work_profile", "/vpn/*/android_package", "/vpn/*/lockdown", "/apps/required/*/package", "/apps/required/*/apk_url",
	"/apps/allowed/*/package", "/apps/blocked/*/package", "/single_app/package", "/home_screen/dock/*/package", "/home_screen/pages/*/*/package",
	"/home_screen/pages/*/*/icons/*/package", "/os_update/min_api_level", "/android"}

// meaningless are fields that say nothing where they stand.
var meaningless = regexp.MustCompile(`^/apps/(allowed|blocked)/\*/name$|^/(apps/(allowed|blocked)|single_app)(/\*)?/(manifest_url|apk_url|license|keep_on_removal|no_backup|removable|configuration)$` +
	`|^/single_app/app_store_id$` + // the app is known by its bundle ID
	`|^/os_update/window_(start|end)_minute$` + // the note is on the mode
	`|^/home_screen/(dock|pages/\*)/\*/icons/\*/(folder|icons)$|^/home_screen/dock/\*/(folder|icons|web_clip)$|^/home_screen/pages/\*/\*/icons/\*/web_clip$`)

// place is a field of a document, its pointer with * for positions, and what it
// holds.
type place struct {
	pointer string
	value   reflect.Value
}

// places walks all fields that are no structs themselves.
func places(pointer string, v reflect.Value, out *[]place) {
	switch {
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		if !v.IsNil() {
			places(pointer, v.Elem(), out)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			places(pointer+"/"+name, v.Field(i), out)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 && v.Type().Elem().Kind() != reflect.String && v.Type().Elem() != reflect.TypeFor[document.Profile]():
		for i := range v.Len() {
			places(pointer+"/*", v.Index(i), out)
		}
	default:
		*out = append(*out, place{pointer, v})
	}
}

// fields are the pointers of all fields that a document can have.
func fields(pointer string, t reflect.Type, depth int, out *[]string) {
	switch {
	case depth > 12:
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		fields(pointer, t.Elem(), depth+1, out)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			fields(pointer+"/"+name, t.Field(i).Type, depth+1, out)
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && t.Elem().Kind() != reflect.String && t.Elem() != reflect.TypeFor[document.Profile]():
		if strings.Count(pointer, "/icons") == 0 || t.Elem() != reflect.TypeFor[document.Icon]() {
			fields(pointer+"/*", t.Elem(), depth+1, out)
		}
	default:
		*out = append(*out, pointer)
	}
}

// outcome is a plan and its notes as text.
func outcome(t *testing.T, d document.Document, target document.Target) string {
	t.Helper()
	p, notes := apple.Compile(d, target)
	var texts []string
	for _, s := range p.Settings {
		texts = append(texts, s.Title, s.Pointer)
	}
	for _, a := range p.Apps {
		texts = append(texts, a.Title, a.Pointer)
	}
	b, err := json.Marshal([]any{p, notes, texts})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEveryFieldHasAnEffect: whatever the document says either reaches an
// iPhone or is told not to. Each field is taken out of documents that use it,
// and the outcome has to differ.
func TestEveryFieldHasAnEffect(t *testing.T) {
	effective := map[string]bool{}
	for _, d := range features {
		before := outcome(t, d, phone("26.1"))
		var all []place
		places("", reflect.ValueOf(&d).Elem(), &all)
		for _, p := range all {
			if p.value.IsZero() {
				continue
			}
			was := reflect.New(p.value.Type()).Elem()
			was.Set(p.value)
			p.value.SetZero()
			if outcome(t, d, phone("26.1")) != before {
				effective[p.pointer] = true
			}
			p.value.Set(was)
		}
	}
	var all []string
	fields("", reflect.TypeFor[document.Document](), 0, &all)
	if len(all) < 150 {
		t.Fatalf("only %d fields were found", len(all))
	}
	for _, pointer := range all {
		passed := meaningless.MatchString(pointer) || slices.ContainsFunc(ofAndroid, func(p string) bool { return pointer == p || strings.HasPrefix(pointer, p+"/") })
		switch {
		case !effective[pointer] && !passed:
			t.Errorf("%s has neither an effect nor a note", pointer)
		case effective[pointer] && passed && !strings.HasSuffix(pointer, "/package"):
			t.Errorf("%s is on the list of those without effect, and has one", pointer)
		}
	}
}

// TestEmptyRestrictsNothing: nothing is sent for a document that says nothing,
// or allows everything.
func TestEmptyRestrictsNothing(t *testing.T) {
	allowed := everyRestriction()
	v := reflect.ValueOf(allowed).Elem()
	for i := range v.NumField() {
		switch v.Field(i).Interface().(type) {
		case document.Permission:
			v.Field(i).SetString(string(document.Allow))
		case document.Requirement:
			v.Field(i).SetString(string(document.Optional))
		case document.Location:
			v.Field(i).SetString(string(document.LocationUser))
		}
	}
	for name, d := range map[string]document.Document{
		"empty":     {},
		"allowed":   {Restrictions: allowed},
		"structs":   {Restrictions: &document.Restrictions{}, Passcode: &document.Passcode{}, Apps: &document.Apps{}, WebFilter: &document.WebFilter{}, OSUpdate: &document.OSUpdate{}, Apple: &document.Apple{}},
		"as it is":  {Passcode: &document.Passcode{Simple: document.Allow}, WebFilter: &document.WebFilter{AdultContent: document.Allow}, OSUpdate: &document.OSUpdate{Mode: "user"}},
		"elsewhere": {Apps: &document.Apps{Required: []document.App{{Package: "com.example"}}}, VPN: []document.VPN{{Name: "a", AndroidPackage: "b"}}, SingleApp: &document.App{Package: "com.example"}},
	} {
		for _, target := range []document.Target{phone("26.1"), {}, {Platform: enroll.PlatformIOS, UserEnrollment: true}} {
			if got := outcome(t, d, target); got != `[{"Profiles":null,"Settings":null,"Apps":null,"Declarations":null},null,null]` {
				t.Errorf("%s for %+v: %s", name, target, got)
			}
		}
	}
}

// TestNotes: what a device will not honour is told, with the reason that stands
// nearest to what one can do about it, and left out.
func TestNotes(t *testing.T) {
	no := false
	nfc := document.Document{Restrictions: &document.Restrictions{NFC: document.Deny}}
	for _, c := range []struct {
		name   string
		d      document.Document
		target document.Target
		note   string // pointer and code; empty: none
		sent   bool
	}{
		{"honoured", nfc, phone("17.0"), "", true},
		{"as old as it may be", nfc, phone("14.2"), "", true},
		{"too old", nfc, phone("14.1.9"), "/restrictions/nfc os_version", false},
		{"not supervised", nfc, document.Target{OSVersion: "17.0", Supervised: &no}, "/restrictions/nfc not_supervised", false},
		{"user enrollment", nfc, document.Target{OSVersion: "17.0", Supervised: &no, UserEnrollment: true}, "/restrictions/nfc user_enrollment", false},
		{"supervision unknown", nfc, document.Target{OSVersion: "17.0"}, "/restrictions/nfc not_supervised", true},
		{"version unknown", nfc, document.Target{Supervised: ref(true)}, "", true},
		{"version unknown, and new", document.Document{Restrictions: &document.Restrictions{WritingTools: document.Deny}}, document.Target{Supervised: ref(true)}, "/restrictions/writing_tools os_version", true},
		{"a Mac", nfc, document.Target{Family: "Mac", OSVersion: "26.1"}, "/restrictions/nfc platform", false},
		{"an Apple TV", document.Document{WiFi: []document.WiFi{{SSID: "a", Security: "open"}}}, document.Target{Family: "AppleTV", OSVersion: "26.1"}, "/wifi/0 platform", false},
		{"a network on a Mac", document.Document{WiFi: []document.WiFi{{SSID: "a", Security: "open"}}}, document.Target{Family: "Mac", OSVersion: "12.0", Supervised: &no}, "", true},
		{"no such switch", document.Document{Restrictions: &document.Restrictions{SMS: document.Deny}}, phone("26.1"), "/restrictions/sms platform", false},
		{"not quite that", document.Document{Restrictions: &document.Restrictions{Backup: document.Deny}}, phone("26.1"), "/restrictions/backup rounded", true},
		{"half of it", document.Document{Restrictions: &document.Restrictions{Marketplaces: document.Deny}}, phone("17.4"), "/restrictions/marketplaces os_version", true},
		{"unknown certificate", document.Document{WiFi: []document.WiFi{{SSID: "a", Security: "eap", EAP: &document.EAP{Methods: []string{"tls"}, Certificate: "x"}}}}, phone("26.1"), "/wifi/0/eap/certificate doubtful", false},
		{"certificate of another kind", document.Document{Certificates: testCertificates()[:0:0], VPN: []document.VPN{{Name: "a", Server: "b", Authentication: "certificate", Certificate: "Root"}}}, phone("26.1"), "/vpn/0/certificate doubtful", false},
		{"kiosk without bundle ID", document.Document{SingleApp: &document.App{AppStoreID: 1}}, phone("26.1"), "/single_app/bundle_id doubtful", false},
		{"proxy in user enrollment", document.Document{WiFi: []document.WiFi{{SSID: "a", Security: "open", Proxy: &document.Proxy{Server: "b", Port: 1}}}}, document.Target{OSVersion: "17.0", UserEnrollment: true}, "/wifi/0/proxy user_enrollment", true},
	} {
		p, notes := apple.Compile(c.d, c.target)
		var got string
		for _, n := range notes {
			got += fmt.Sprintf("%s %s", n.Pointer, n.Code)
			if n.Text == "" {
				t.Errorf("%s: the note says nothing", c.name)
			}
		}
		if got != c.note {
			t.Errorf("%s: notes %q, want %q", c.name, got, c.note)
		}
		if sent := len(p.Profiles)+len(p.Settings)+len(p.Apps)+len(p.Declarations) > 0; sent != c.sent {
			t.Errorf("%s: sent %t, want %t", c.name, sent, c.sent)
		}
	}
}

// TestPasscodeForms: a declaration where the device knows all it says, and else
// a profile; never both.
func TestPasscodeForms(t *testing.T) {
	plain := document.Passcode{Required: true, MinLength: 6}
	aging := document.Passcode{Required: true, MaxAgeDays: 30}
	for _, c := range []struct {
		version  string
		passcode document.Passcode
		declared bool
	}{{"14.8", plain, false}, {"15.0", plain, true}, {"16.1", aging, false}, {"16.2", aging, true}, {"", aging, true}} {
		p, _ := apple.Compile(document.Document{Passcode: &c.passcode}, phone(c.version))
		if declared, profile := len(p.Declarations) > 0, len(p.Profiles) > 0; declared != c.declared || profile == declared {
			t.Errorf("%q: declared %t, as a profile %t; want declared %t", c.version, declared, profile, c.declared)
		}
	}
	p, _ := apple.Compile(document.Document{Passcode: &plain}, document.Target{Family: "Mac", OSVersion: "26.1"})
	if len(p.Declarations) > 0 || len(p.Profiles) != 1 {
		t.Errorf("a Mac gets %+v", p)
	}
}

// TestOrder: a device that may join given networks only has to have them
// before, or it is lost; and it is locked into an app once that is there.
func TestOrder(t *testing.T) {
	d := everything()
	p, notes := apple.Compile(d, phone("26.1"))
	for i, f := range p.Profiles {
		if last := f.Key == "single_app"; f.Last != last || last && i != len(p.Profiles)-1 {
			t.Errorf("%s is number %d of %d, last %t", f.Key, i, len(p.Profiles), f.Last)
		}
	}
	restricted := slices.IndexFunc(p.Profiles, func(f apple.Installable) bool { return f.Key == "restrictions" })
	if restricted < 0 || p.Profiles[restricted].Profile.Payloads[0].Content["forceWiFiToAllowedNetworksOnly"] != true {
		t.Fatal("the restriction is missing")
	}
	networks := 0
	for i, f := range p.Profiles {
		for _, payload := range f.Profile.Payloads {
			if payload.Type == "com.apple.wifi.managed" || payload.Type == "com.apple.cellular" {
				networks++
				if i > restricted {
					t.Errorf("%s comes after the restriction", f.Key)
				}
			}
		}
	}
	if networks != 8 {
		t.Errorf("%d networks", networks)
	}
	lost := func(notes []document.Note) bool {
		return slices.ContainsFunc(notes, func(n document.Note) bool {
			return n.Pointer == "/restrictions/wifi_change" && n.Code == document.NoteDoubtful
		})
	}
	if lost(notes) {
		t.Error("the device has networks, and the note says it has none")
	}
	if _, notes := apple.Compile(features["restrictions"], phone("26.1")); !lost(notes) {
		t.Error("no note about a device without any network")
	}
}

// TestPlanIsStable: the same document gives the same plan, and its keys are
// unique.
func TestPlanIsStable(t *testing.T) {
	first := outcome(t, everything(), phone("26.1"))
	for range 10 {
		if again := outcome(t, everything(), phone("26.1")); again != first {
			t.Fatalf("\n%s\n%s", first, again)
		}
	}
	p, _ := apple.Compile(everything(), phone("26.1"))
	keys := map[string]bool{}
	put := func(key string) {
		if key == "" || keys[key] {
			t.Errorf("the key %q is there twice", key)
		}
		keys[key] = true
	}
	for _, f := range p.Profiles {
		put("profile " + f.Key)
		if err := document.CheckProfiles("x", []document.Profile{{ID: "x", Payloads: f.Profile.Payloads}}); err != nil {
			t.Errorf("%s is not a profile that a policy could have: %v", f.Key, err)
		}
	}
	for _, s := range p.Settings {
		put("setting " + s.Key)
	}
	for _, a := range p.Apps {
		put("app " + a.Key)
	}
}

// TestSameContentSameJSON: what stands elsewhere in the document, or is called
// something else, is not another setting or app.
func TestSameContentSameJSON(t *testing.T) {
	app := document.App{Name: "Office", BundleID: "com.example.office"}
	renamed := app
	renamed.Name = "Bureau"
	var all [2][]byte
	for i, d := range []document.Document{{Apps: &document.Apps{Required: []document.App{app}}}, {Apps: &document.Apps{Required: []document.App{{BundleID: "a.b"}, renamed}}}} {
		p, _ := apple.Compile(d, phone("26.1"))
		b, err := json.Marshal(p.Apps[len(p.Apps)-1])
		if err != nil {
			t.Fatal(err)
		}
		all[i] = b
	}
	if string(all[0]) != string(all[1]) {
		t.Errorf("\n%s\n%s", all[0], all[1])
	}
}

func BenchmarkCompile(b *testing.B) {
	d := everything()
	for b.Loop() {
		apple.Compile(d, phone("26.1"))
	}
}
