package document_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/policy/android"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

var update = flag.Bool("update", false, "write the tables into docs/policy.md")

const page = "../../docs/policy.md"

func readPage(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// meanings of the variables, for the page.
var meanings = map[string]string{
	"serial":           "serial number",
	"device.id":        "identifier in this server",
	"device.name":      "name on the roll",
	"device.model":     "model, such as iPhone 16 Pro",
	"device.asset_tag": "asset tag on the roll",
	"imei":             "IMEI",
	"udid":             "UDID (Apple)",
	"user.name":        "name of the owner",
	"user.email":       "e-mail address of the owner",
	"user.mobile":      "telephone number of the owner",
	"user.local_part":  "what stands before the @ of the address",
	"domain":           "domain of the owner",
	"ownership":        "corporate or personal",
	"organization":     "name of the organization",
}

// TestDocumentedTables compares the documentation with the tables it is made
// from.
func TestDocumentedTables(t *testing.T) {
	was := readPage(t)
	var variables strings.Builder
	variables.WriteString("| variable | |\n|---|---|\n")
	for _, n := range document.VariableNames {
		if meanings[n] == "" {
			t.Errorf("nothing is said about {%s}", n)
		}
		fmt.Fprintf(&variables, "| `{%s}` | %s |\n", n, meanings[n])
	}
	text := put(t, was, "variables", variables.String())
	text = put(t, text, "tables", "### Restrictions\n"+restrictionTable()+"\n### Everything else\n"+featureTable())
	if text == was {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the tables; run go test ./policy/document -run TestDocumentedTables -update", page)
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// put replaces what stands at a place of the page.
func put(t *testing.T, text, place, content string) string {
	t.Helper()
	head, rest, ok := strings.Cut(text, "<!-- "+place+": ")
	note, rest, _ := strings.Cut(rest, "-->\n")
	_, tail, found := strings.Cut(rest, "<!-- end of "+place+" -->")
	if !ok || !found {
		t.Fatalf("%s has no place for %s", page, place)
	}
	return head + "<!-- " + place + ": " + note + "-->\n" + content + "<!-- end of " + place + " -->" + tail
}

// line is one row of the table, gathered from both platforms.
type line struct {
	apple, supervised, personal, android, caveats []string
}

func (l *line) row(name string) string {
	list := func(s []string) string {
		if len(s) == 0 {
			return "-"
		}
		return strings.Join(s, "<br>")
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", name, list(l.apple), list(l.supervised), list(l.personal), list(l.android), strings.Join(l.caveats, " "))
}

const heading = "| name | Apple | supervised | user enrollment | Android | caveat |\n|---|---|---|---|---|---|\n"

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (l *line) caveat(platform, text string) {
	if text = platform + ": " + text; !strings.HasSuffix(text, ": ") && !slices.Contains(l.caveats, text) {
		l.caveats = append(l.caveats, text)
	}
}

func (l *line) ofAndroid(field string, value any, modes []document.Management, level int, caveat string) {
	l.caveat("Android", caveat)
	if field == "" {
		return
	}
	s := "`" + field
	if value != nil {
		s += fmt.Sprintf(" %v", value)
	}
	s += "`"
	if level > 0 {
		s += fmt.Sprint(" ", level)
	}
	for _, m := range modes {
		s += " " + map[document.Management]string{document.FullyManaged: "F", document.CompanyWorkProfile: "C", document.PersonalWorkProfile: "P"}[m]
	}
	l.android = append(l.android, s)
}

func restrictionTable() string {
	lines := map[string]*line{}
	var names []string
	of := func(name string) *line {
		if lines[name] == nil {
			lines[name] = &line{}
			names = append(names, name)
		}
		return lines[name]
	}
	for _, r := range apple.Restrictions {
		l := of(r.Name)
		l.caveat("Apple", r.Caveat)
		if r.Key == "" {
			continue
		}
		l.apple = append(l.apple, fmt.Sprintf("`%s %v` %s", r.Key, r.Value, r.MinOS))
		l.supervised = append(l.supervised, yes(r.Supervised))
		l.personal = append(l.personal, yes(r.UserEnrollment))
	}
	for _, r := range android.Restrictions {
		of(r.Name).ofAndroid(r.Field, r.Value, r.Modes, r.MinAPI, r.Caveat)
	}
	var b strings.Builder
	b.WriteString(heading)
	for _, n := range names {
		b.WriteString(lines[n].row(n))
	}
	return b.String()
}

func featureTable() string {
	lines := map[string]*line{}
	of := func(name string) *line {
		if lines[name] == nil {
			lines[name] = &line{}
		}
		return lines[name]
	}
	for _, f := range apple.Features {
		l := of(f.Name)
		key, versions := f.Type, f.MinOS
		if f.Key != "" {
			key += " " + f.Key
		}
		if f.Before != "" {
			versions += ", before " + f.Before
		}
		l.apple = append(l.apple, fmt.Sprintf("`%s` %s", key, versions))
		l.supervised = append(l.supervised, yes(f.Supervised))
		l.personal = append(l.personal, yes(f.UserEnrollment))
		l.caveat("Apple", f.Caveat)
	}
	for _, f := range android.Features {
		of(strings.ReplaceAll(strings.TrimPrefix(f.Pointer, "/"), "/", ".")).ofAndroid(f.Field, nil, f.Modes, f.MinAPI, f.Caveat)
	}
	names := make([]string, 0, len(lines))
	for n := range lines {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(heading)
	for _, n := range names {
		b.WriteString(lines[n].row(n))
	}
	return b.String()
}

// TestDocumentedExamples: what the page shows can be saved.
func TestDocumentedExamples(t *testing.T) {
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(readPage(t), -1)
	if len(examples) < 2 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, e := range examples {
		var d document.Document
		dec := json.NewDecoder(strings.NewReader(e[1]))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil {
			t.Errorf("%s: %v", e[1], err)
		} else if err := d.Check(); err != nil {
			t.Errorf("%s: %v", e[1], err)
		}
	}
}
