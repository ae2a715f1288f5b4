package document

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func parse(t testing.TB, s string) Document {
	t.Helper()
	var d Document
	dec := json.NewDecoder(strings.NewReader(s))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return d
}

func source(t testing.TB, name string, priority int, via, doc string) Source {
	return Source{PolicyID: "id-" + name, Policy: name, Version: 1, Priority: priority, Via: via, Document: parse(t, doc)}
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name    string
		sources []Source
		want    string // the effective document
		lost    []string
	}{
		{"nothing", nil, `{}`, nil},
		{"deny wins over a higher priority", []Source{
			source(t, "a", 9, "device", `{"restrictions":{"camera":"allow","location":"user","encrypted_backup":"optional"}}`),
			source(t, "b", 1, "group:x", `{"restrictions":{"camera":"deny","location":"on","encrypted_backup":"require"}}`),
			source(t, "c", 1, "group:x", `{"restrictions":{"location":"off"}}`),
		}, `{"restrictions":{"camera":"deny","location":"off","encrypted_backup":"require"}}`,
			[]string{"/restrictions/camera b>a", "/restrictions/location c>a,b", "/restrictions/encrypted_backup b>a"}},
		{"the stricter of each passcode field", []Source{
			source(t, "a", 9, "device", `{"passcode":{"required":true,"min_length":4,"complexity":"high","history":3,"max_age_days":90,"max_failed_attempts":10,"lock_after_seconds":300,"grace_seconds":60,"simple":"allow"}}`),
			source(t, "b", 1, "user", `{"passcode":{"min_length":8,"complexity":"low","history":5,"max_age_days":30,"max_failed_attempts":6,"lock_after_seconds":60,"grace_seconds":0,"simple":"deny","alphanumeric":true}}`),
		}, `{"passcode":{"required":true,"min_length":8,"complexity":"high","history":5,"max_age_days":30,"max_failed_attempts":6,"lock_after_seconds":60,"grace_seconds":0,"simple":"deny","alphanumeric":true}}`,
			[]string{"/passcode/min_length b>a", "/passcode/complexity a>b", "/passcode/history b>a", "/passcode/max_age_days b>a", "/passcode/max_failed_attempts b>a",
				"/passcode/lock_after_seconds b>a", "/passcode/grace_seconds b>a", "/passcode/simple b>a"}},
		{"networks by name", []Source{
			source(t, "a", 1, "group:x", `{"wifi":[{"ssid":"office","security":"open"},{"ssid":"lab","security":"open"}]}`),
			source(t, "b", 2, "group:x", `{"wifi":[{"ssid":"guest","security":"open"},{"ssid":"office","security":"wep","password":"12345"}]}`),
			source(t, "c", 1, "group:x", `{"wifi":[{"ssid":"lab","security":"open"}]}`),
		}, `{"wifi":[{"ssid":"guest","security":"open"},{"ssid":"office","security":"wep","password":"12345"},{"ssid":"lab","security":"open"}]}`,
			[]string{"/wifi/1 b>a"}},
		{"of equal priority the device before the user before the group, then the name", []Source{
			source(t, "a", 5, "group:x", `{"device_name":"group a","lock_message":"group a","os_update":{"mode":"user"}}`),
			source(t, "b", 5, "group:x", `{"device_name":"group b","lock_message":"group b","os_update":{"mode":"automatic"}}`),
			source(t, "c", 5, "user", `{"device_name":"user","lock_message":"user"}`),
			source(t, "d", 5, "device", `{"device_name":"device"}`),
		}, `{"device_name":"device","lock_message":"user","os_update":{"mode":"user"}}`,
			[]string{"/device_name d>c,a,b", "/lock_message c>a,b", "/os_update a>b"}},
		{"equal values are no conflict", []Source{
			source(t, "a", 5, "group:x", `{"single_app":{"bundle_id":"com.x"},"android":{"policy":{"funDisabled":true,"a/b":{"x":1,"y":2}}}}`),
			source(t, "b", 5, "group:x", `{"single_app":{"bundle_id":"com.x"},"android":{"policy":{"funDisabled":true,"a/b":{"y":2,"x":1}}}}`),
		}, `{"single_app":{"bundle_id":"com.x"},"android":{"policy":{"funDisabled":true,"a/b":{"x":1,"y":2}}}}`, nil},
		{"raw fields by priority", []Source{
			source(t, "a", 5, "group:x", `{"android":{"policy":{"a/b":1,"c":1}}}`),
			source(t, "b", 6, "group:x", `{"android":{"policy":{"a/b":2}}}`),
		}, `{"android":{"policy":{"a/b":2,"c":1}}}`, []string{"/android/policy/a~1b b>a"}},
		{"raw profiles do not meet", []Source{
			source(t, "a", 5, "group:x", `{"apple":{"profiles":[{"id":"p","payloads":[{"type":"com.x","content":{}}]}]}}`),
			source(t, "b", 5, "group:x", `{"apple":{"profiles":[{"id":"p","payloads":[{"type":"com.y","content":{}}]}]}}`),
		}, `{"apple":{"profiles":[{"id":"id-a.p","payloads":[{"type":"com.x","content":{}}]},{"id":"id-b.p","payloads":[{"type":"com.y","content":{}}]}]}}`, nil},
		{"an app is merged by its halves", []Source{
			source(t, "a", 5, "group:x", `{"apps":{"required":[{"bundle_id":"com.x","package":"x","removable":false}]}}`),
			source(t, "b", 4, "group:x", `{"apps":{"required":[{"bundle_id":"com.y","package":"x","removable":true},{"app_store_id":7,"package":"z"}]}}`),
			source(t, "c", 3, "group:x", `{"apps":{"required":[{"bundle_id":"com.z","app_store_id":7,"package":"z"}]}}`),
		}, `{"apps":{"required":[{"bundle_id":"com.x","package":"x","removable":false},{"bundle_id":"com.y","removable":true},{"app_store_id":7,"package":"z"}]}}`,
			[]string{"/apps/required/0 a>b", "/apps/required/2 b>c"}},
		{"blocked wins over required and allowed", []Source{
			source(t, "a", 9, "group:x", `{"apps":{"required":[{"bundle_id":"com.x","package":"x"},{"bundle_id":"com.y"}],"allowed":[{"package":"x"},{"package":"q"}]}}`),
			source(t, "b", 1, "group:x", `{"apps":{"blocked":[{"package":"x"},{"bundle_id":"com.y"}]}}`),
		}, `{"apps":{"required":[{"bundle_id":"com.x"}],"allowed":[{"package":"q"}],"blocked":[{"package":"x"},{"bundle_id":"com.y"}]}}`,
			[]string{"/apps/blocked/0 b>a", "/apps/blocked/1 b>a"}},
		{"what is on every list is allowed", []Source{
			source(t, "a", 9, "group:x", `{"apps":{"allowed":[{"bundle_id":"com.x","package":"x"},{"bundle_id":"com.y","package":"y"}]}}`),
			source(t, "b", 1, "group:x", `{"apps":{"allowed":[{"package":"x"},{"bundle_id":"com.y","package":"y"},{"package":"z"}]}}`),
			source(t, "c", 1, "group:x", `{"apps":{"required":[{"package":"z"}]}}`),
		}, `{"apps":{"required":[{"package":"z"}],"allowed":[{"package":"x"},{"bundle_id":"com.y","package":"y"}]}}`,
			[]string{"/apps/allowed b>a,b"}},
		{"nothing is on both lists", []Source{
			source(t, "a", 9, "group:x", `{"apps":{"allowed":[{"package":"x"}]},"web_filter":{"allow_only":[{"title":"x","url":"https://x"}]}}`),
			source(t, "b", 1, "group:x", `{"apps":{"allowed":[{"package":"y"}]},"web_filter":{"allow_only":[{"title":"y","url":"https://y"}]}}`),
		}, `{"apps":{"allowed":[]},"web_filter":{"allow_only":[]}}`, []string{"/apps/allowed b>a,b", "/web_filter/allow_only b>a,b"}},
		{"the only app cannot be blocked", []Source{
			source(t, "a", 1, "group:x", `{"single_app":{"bundle_id":"com.x"}}`),
			source(t, "b", 9, "group:x", `{"apps":{"blocked":[{"bundle_id":"com.x","package":"x"}]}}`),
		}, `{"single_app":{"bundle_id":"com.x"},"apps":{"blocked":[{"package":"x"}]}}`, []string{"/single_app a>b"}},
		{"an exception holds where every filter makes it", []Source{
			source(t, "a", 9, "group:x", `{"web_filter":{"adult_content":"deny","permitted":["https://x","https://y"]}}`),
			source(t, "b", 1, "group:x", `{"web_filter":{"adult_content":"deny","permitted":["https://y","https://z"]}}`),
			source(t, "c", 1, "group:x", `{"web_filter":{"adult_content":"allow","permitted":["https://y"],"denied":["https://z"]}}`),
		}, `{"web_filter":{"adult_content":"deny","permitted":["https://y"],"denied":["https://z"]}}`,
			[]string{"/web_filter/adult_content a>c", "/web_filter/permitted b>a", "/web_filter/denied/0 c>b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Merge(c.sources)
			if diff := cmp.Diff(asJSON(t, parse(t, c.want)), asJSON(t, got.Document)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var lost []string
			for _, k := range got.Conflicts {
				var names []string
				for _, o := range k.Lost {
					names = append(names, o.Policy)
				}
				lost = append(lost, fmt.Sprintf("%s %s>%s", k.Pointer, k.Won.Policy, strings.Join(names, ",")))
			}
			slices.Sort(lost)
			slices.Sort(c.lost)
			if diff := cmp.Diff(c.lost, lost); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	got := Merge([]Source{
		source(t, "b", 1, "group:x", `{"restrictions":{"camera":"deny"},"wifi":[{"ssid":"office","security":"open"}]}`),
		source(t, "b", 1, "device", `{"restrictions":{"camera":"deny"},"wifi":[{"ssid":"office","security":"open"}]}`),
		source(t, "a", 1, "user", `{"restrictions":{"camera":"deny","nfc":"allow"}}`),
	}).Origins
	want := map[string][]Origin{
		"/restrictions/camera": {{"b", 1, "device"}, {"a", 1, "user"}, {"b", 1, "group:x"}},
		"/restrictions/nfc":    {{"a", 1, "user"}},
		"/wifi/0":              {{"b", 1, "device"}, {"b", 1, "group:x"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func asJSON(t interface{ Fatal(...any) }, v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return prune(out)
}

// prune takes empty objects out, which say nothing.
func prune(v any) any {
	if m, ok := v.(map[string]any); ok {
		for k, e := range m {
			e = prune(e)
			if inner, ok := e.(map[string]any); ok && len(inner) == 0 {
				delete(m, k)
			}
		}
	}
	return v
}

// documents draws small documents that meet each other often.
func documents() *rapid.Generator[Document] {
	word := func(words ...string) *rapid.Generator[string] { return rapid.SampledFrom(append(words, "", "")) }
	app := rapid.Custom(func(t *rapid.T) App {
		a := App{BundleID: word("com.a", "com.b").Draw(t, "bundle"), Package: word("a", "b", "c").Draw(t, "package"), AppStoreID: rapid.SampledFrom([]int64{0, 0, 1, 2}).Draw(t, "store")}
		if rapid.Bool().Draw(t, "managed") {
			a.Removable = new(bool)
		}
		if a.BundleID == "" && a.Package == "" && a.AppStoreID == 0 {
			a.Package = "d"
		}
		return a
	})
	urls := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"https://a", "https://b", "https://c"}), 0, 3, rapid.ID[string])
	return rapid.Custom(func(t *rapid.T) Document {
		var d Document
		if rapid.Bool().Draw(t, "restrict") {
			d.Restrictions = &Restrictions{}
			v := reflect.ValueOf(d.Restrictions).Elem()
			for i := range v.NumField() {
				allowed := strings.Split(v.Type().Field(i).Tag.Get("enum"), ",")
				v.Field(i).SetString(word(allowed...).Draw(t, "word"))
			}
		}
		if rapid.Bool().Draw(t, "passcode") {
			n := func(label string) int { return rapid.IntRange(0, 3).Draw(t, label) }
			d.Passcode = &Passcode{Required: rapid.Bool().Draw(t, "required"), MinLength: n("length"), Complexity: word("low", "medium", "high").Draw(t, "complexity"), History: n("history"),
				MaxAgeDays: n("age"), MaxFailedAttempts: n("failed"), LockAfterSeconds: n("lock"), MinComplexChars: n("complex"), Simple: Permission(word("allow", "deny").Draw(t, "simple"))}
			if grace := n("grace"); grace > 0 {
				grace--
				d.Passcode.GraceSeconds = &grace
			}
		}
		for _, ssid := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), 0, 3, rapid.ID[string]).Draw(t, "ssids") {
			d.WiFi = append(d.WiFi, WiFi{SSID: ssid, Security: "open", Hidden: rapid.Bool().Draw(t, "hidden")})
		}
		if rapid.Bool().Draw(t, "apps") {
			d.Apps = &Apps{Required: distinct(rapid.SliceOfN(app, 0, 3).Draw(t, "required"))}
			if rapid.Bool().Draw(t, "closed") {
				d.Apps.Allowed = append([]App{}, distinct(rapid.SliceOfN(app, 0, 4).Draw(t, "allowed"))...)
			} else {
				d.Apps.Blocked = distinct(rapid.SliceOfN(app, 0, 2).Draw(t, "blocked"))
			}
		}
		if rapid.Bool().Draw(t, "filter") {
			d.WebFilter = &WebFilter{AdultContent: Permission(word("allow", "deny").Draw(t, "adult")), Permitted: urls.Draw(t, "permitted"), Denied: urls.Draw(t, "denied")}
			if rapid.Bool().Draw(t, "only") {
				d.WebFilter.AllowOnly = []Bookmark{}
				for _, u := range urls.Draw(t, "only urls") {
					d.WebFilter.AllowOnly = append(d.WebFilter.AllowOnly, Bookmark{Title: word("t").Draw(t, "title"), URL: u})
				}
			}
		}
		d.DeviceName = word("n1", "n2").Draw(t, "name")
		if rapid.IntRange(0, 3).Draw(t, "kiosk") == 0 {
			a := app.Draw(t, "kiosk app")
			d.SingleApp = &a
		}
		if rapid.Bool().Draw(t, "raw") {
			d.Android = &Android{Policy: map[string]json.RawMessage{"f": json.RawMessage(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "field"))}}
			d.Apple = &Apple{Profiles: []Profile{{ID: "p", Payloads: []Payload{{Type: "com.x"}}}}}
		}
		return d
	})
}

// distinct leaves out apps that share an identifier with an earlier one, as
// Check demands.
func distinct(apps []App) []App {
	var l appList
	for _, a := range apps {
		if _, there := l.find(slices.Concat(appleIDs(&a), androidIDs(&a))); !there {
			l.add(a)
		}
	}
	return l.apps
}

func drawSources(t *rapid.T) []Source {
	var out []Source
	for i, d := range rapid.SliceOfN(documents(), 0, 4).Draw(t, "documents") {
		out = append(out, Source{PolicyID: strconv.Itoa(i), Policy: fmt.Sprint("p", i), Version: 1, Priority: rapid.IntRange(0, 1).Draw(t, "priority"),
			Via: rapid.SampledFrom([]string{"device", "user", "group:a", "group:b"}).Draw(t, "via"), Document: d})
	}
	return out
}

func TestMergeDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sources := drawSources(t)
		want := Merge(sources)
		if diff := cmp.Diff(want, Merge(rapid.Permutation(sources).Draw(t, "order"))); diff != "" {
			t.Fatalf("another order (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, Merge(slices.Concat(sources, sources))); diff != "" {
			t.Fatalf("each twice (-want +got):\n%s", diff)
		}
		want.Document.Apple = nil // the policy's name is put before its own each time
		again := Merge([]Source{{PolicyID: "e", Document: want.Document}})
		if diff := cmp.Diff(want.Document, again.Document); diff != "" || len(again.Conflicts) > 0 {
			t.Fatalf("merged again: conflicts %v (-want +got):\n%s", again.Conflicts, diff)
		}
	})
}

// TestMergePointers: every origin and conflict points at something.
func TestMergePointers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Merge(drawSources(t))
		doc := asJSON(t, e.Document)
		for p := range e.Origins {
			if !there(doc, p) {
				t.Fatalf("%s has an origin and is not in %v", p, doc)
			}
		}
		for _, c := range e.Conflicts {
			// What was taken out of a list to the last is told where the list was.
			if !there(doc, c.Pointer) && c.Pointer != "/web_filter/permitted" || len(c.Lost) == 0 || c.Text == "" {
				t.Fatalf("the conflict %v is not in %v", c, doc)
			}
		}
	})
}

func there(v any, pointer string) bool {
	for _, k := range strings.Split(pointer, "/")[1:] {
		switch x := v.(type) {
		case map[string]any:
			v = x[strings.NewReplacer("~1", "/", "~0", "~").Replace(k)]
		case []any:
			i, err := strconv.Atoi(k)
			if err != nil || i >= len(x) {
				return false
			}
			v = x[i]
		}
	}
	return v != nil
}

func TestMergeIsNeverLessRestrictive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sources := drawSources(t)
		e := Merge(sources).Document
		for _, s := range sources {
			if why := laxer(e, s.Document); why != "" {
				t.Fatalf("%s of %s is not kept", why, s.Policy)
			}
		}
	})
}

// laxer names what e lets happen and d does not; empty: nothing.
func laxer(e, d Document) string {
	if d.Restrictions != nil {
		a, b := reflect.ValueOf(e.Restrictions).Elem(), reflect.ValueOf(d.Restrictions).Elem()
		for i := range b.NumField() {
			if strictness[a.Field(i).String()] < strictness[b.Field(i).String()] {
				return restrictionPointers[i]
			}
		}
	}
	if p := d.Passcode; p != nil {
		q := e.Passcode
		least := func(a, b int) bool { return b == 0 || a != 0 && a <= b }
		if p.Required && !q.Required || q.MinLength < p.MinLength || strictness[q.Complexity] < strictness[p.Complexity] || q.History < p.History ||
			q.MinComplexChars < p.MinComplexChars || strictness[string(q.Simple)] < strictness[string(p.Simple)] ||
			!least(q.MaxAgeDays, p.MaxAgeDays) || !least(q.MaxFailedAttempts, p.MaxFailedAttempts) || !least(q.LockAfterSeconds, p.LockAfterSeconds) ||
			p.GraceSeconds != nil && (q.GraceSeconds == nil || *q.GraceSeconds > *p.GraceSeconds) {
			return "passcode"
		}
	}
	if d.Apps != nil {
		has := func(list []App, ids []string) bool {
			return slices.ContainsFunc(list, func(a App) bool { return shareOne(slices.Concat(appleIDs(&a), androidIDs(&a)), ids) })
		}
		for _, a := range d.Apps.Blocked {
			for _, h := range halves {
				ids := h.ids(&a)
				if ids == nil || e.SingleApp != nil && shareOne(h.ids(e.SingleApp), ids) {
					continue
				}
				if !has(e.Apps.Blocked, ids) || has(e.Apps.Required, ids) || has(e.Apps.Allowed, ids) {
					return fmt.Sprint("blocked ", a)
				}
			}
		}
		if d.Apps.Allowed != nil && e.Apps.Allowed == nil {
			return "allowed"
		}
		if d.Apps.Allowed != nil {
			for _, a := range e.Apps.Allowed {
				for _, h := range halves {
					if ids := h.ids(&a); ids != nil && !has(d.Apps.Allowed, ids) {
						return fmt.Sprint("allowed ", a)
					}
				}
			}
		}
	}
	if f := d.WebFilter; f != nil {
		g := e.WebFilter
		if strictness[string(g.AdultContent)] < strictness[string(f.AdultContent)] || f.AllowOnly != nil && g.AllowOnly == nil {
			return "web_filter"
		}
		for _, u := range f.Denied {
			if !slices.Contains(g.Denied, u) || slices.Contains(g.Permitted, u) {
				return "denied " + u
			}
		}
		for _, u := range g.Permitted {
			if f.AdultContent == Deny && !slices.Contains(f.Permitted, u) {
				return "permitted " + u
			}
		}
		for _, b := range g.AllowOnly {
			if f.AllowOnly != nil && !slices.ContainsFunc(f.AllowOnly, func(x Bookmark) bool { return x.URL == b.URL }) {
				return "allow_only " + b.URL
			}
		}
	}
	return ""
}

// TestRestrictionsHaveAnOrder: a field of another type would not be merged.
func TestRestrictionsHaveAnOrder(t *testing.T) {
	r := reflect.TypeFor[Restrictions]()
	for i := range r.NumField() {
		f := r.Field(i)
		for _, word := range strings.Split(f.Tag.Get("enum"), ",") {
			if f.Type.Kind() != reflect.String || strictness[word] == 0 {
				t.Errorf("%s: the value %q has no place in the order", f.Name, word)
			}
		}
	}
}
