package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
)

const dir = "../../testdata/csv"

const header = "name,email,mobile,ownership,devicename,SerialNumber,platform\n"

var plainOptions = enroll.ImportOptions{Domain: "local", PreEnroll: true}.WithDefaults()

// readAll reads a file as the server does: once to see what it is, and again.
func readAll(data []byte, opts enroll.ImportOptions, l Limits, wrap func(io.Reader) io.Reader) (*File, []enroll.ImportRow, error) {
	var n Nature
	if _, err := io.Copy(&n, wrap(bytes.NewReader(data))); err != nil {
		return nil, nil, err
	}
	f, err := Open(wrap(bytes.NewReader(data)), n.String(), opts, l)
	if err != nil {
		return f, nil, err
	}
	var rows []enroll.ImportRow
	for {
		row, err := f.Next()
		if errors.Is(err, io.EOF) {
			return f, rows, nil
		}
		if err != nil {
			return f, nil, err
		}
		rows = append(rows, row)
	}
}

func whole(r io.Reader) io.Reader { return r }

func load(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return paths
}

func day(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }

// TestGoodFiles reads every good file whole and byte by byte.
func TestGoodFiles(t *testing.T) {
	anna := enroll.ImportRow{Line: 2, Name: "Anna", Email: "anna@example.com", Ownership: "corporate", Platform: "ios"}
	with := func(serial string, change func(*enroll.ImportRow)) enroll.ImportRow {
		r := anna
		r.Serial, r.SerialRaw = serial, serial
		if change != nil {
			change(&r)
		}
		return r
	}
	want := map[string][]enroll.ImportRow{
		"good-bom-crlf.csv": {
			with("C39XK1ABCD01", nil),
			{Line: 3, Name: "Bernd", Email: "bernd@example.com", Mobile: "+49 151 2345678", Ownership: "personal", DeviceName: "Desk 4", Serial: "R58M123ABCD", SerialRaw: "R58M123ABCD", Platform: "android"},
		},
		"good-order-and-case.csv": {
			with("C39XK1ABCD02", func(r *enroll.ImportRow) {
				r.Ownership, r.SerialRaw, r.Platform = "selectuser", "c39-xk1.abcd 02", "apple"
			}),
			{Line: 3, Name: "Bernd", Email: "b@example.com", Ownership: "selectuser", Serial: "C39XK1ABCD03", SerialRaw: "C39XK1ABCD03", Platform: "ios"},
		},
		"good-quoted-newline.csv": {
			with("C39XK1ABCD04", func(r *enroll.ImportRow) { r.Name, r.DeviceName = "Schmidt, Anna", `The "big" iPad` }),
			{Line: 7, Name: "Bernd", Email: "bernd@example.com", Ownership: "personal", Serial: "C39XK1ABCD05", SerialRaw: "C39XK1ABCD05", Platform: "apple"},
		},
		"good-no-final-newline.csv": {with("C39XK1ABCD06", func(r *enroll.ImportRow) { r.Ownership = "selectuser" })},
		"good-semicolons.csv": {with("C39XK1ABCD07", func(r *enroll.ImportRow) {
			r.Line, r.Name, r.Email, r.DeviceName, r.Groups = 3, "Müller, Änne", "aenne@example.com", "Empfang", []string{"Lager", "Köln"}
		})},
		"good-tabs.csv":             {with("C39XK1ABCD08", func(r *enroll.ImportRow) { r.Ownership, r.Tags = "personal", []string{"a", "b"} })},
		"good-bars.csv":             {with("C39XK1ABCD09", nil)},
		"good-utf16-le.csv":         {with("C39XK1ABCD10", func(r *enroll.ImportRow) { r.Name, r.Email = "Zoë", "zoe@example.com" })},
		"good-utf16-be-no-mark.csv": {with("C39XK1ABCD11", func(r *enroll.ImportRow) { r.Name, r.Email = "Zoë", "zoe@example.com" })},
		"good-windows-1252.csv": {with("C39XK1ABCD12", func(r *enroll.ImportRow) {
			r.Name, r.Email, r.DeviceName = "Jürgen Groß", "juergen@example.com", "Café – 1"
		})},
		"good-old-mac.csv":        {with("C39XK1ABCD13", nil)},
		"good-unknown-column.csv": {with("C39XK1ABCD14", nil)},
		"good-all-columns.csv": {
			with("C39XK1ABCD15", func(r *enroll.ImportRow) {
				r.Mobile, r.DeviceName, r.Groups, r.Tags, r.AssetTag = "+49 151 2345678", "Desk 1", []string{"Sales", "Berlin"}, []string{"new", "spare"}, "A-17"
				r.IMEI, r.IMEI2, r.UDID, r.Model = "490154203237518", "356938035643809", "00008110-000A1B2C3D4E5F6A", "iPhone 16"
				r.NotBefore, r.ExpiresAt, r.Uses, r.Policies, r.Notes = day(2026, 1, 2), day(2027, 1, 1), 3, []string{"Basics", "Wi-Fi"}, "first line\nsecond"
			}),
			{Line: 4, Name: "Bernd", Email: "b@example.com", Ownership: "corporate", Serial: "C39XK1ABCD16", SerialRaw: "C39XK1ABCD16", Platform: "ios", NotBefore: time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC),
				Clear: map[string]bool{"mobile": true, "devicename": true, "group": true, "tags": true, "asset_tag": true, "expires_at": true, "notes": true}},
		},
		"good-neutralised.csv": {with("C39XK1ABCD17", func(r *enroll.ImportRow) { r.Name, r.Mobile, r.DeviceName = "=Anna", "+49 151 2345678", "-1" })},
		"good-first-last-name.csv": {with("C39XK1ABCD18", func(r *enroll.ImportRow) {
			r.Name, r.Mobile, r.Ownership, r.Platform = "Anna Schmidt", "0151/2345678", "personal", "apple"
		})},
	}
	for _, path := range files(t, "good-*.csv") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data := load(t, path)
			opts := plainOptions
			if strings.Contains(path, "windows-1252") {
				opts.Charset = "Windows-1252"
			}
			for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": whole, "byte by byte": iotest.OneByteReader, "data with EOF": iotest.DataErrReader} {
				_, got, err := readAll(data, opts, DefaultLimits, wrap)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if diff := cmp.Diff(want[filepath.Base(path)], got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// TestBadFiles has "line column code" of every error, or the code of the
// file's one.
func TestBadFiles(t *testing.T) {
	want := map[string]string{
		"bad-cells.csv": "2 email email_invalid, 2 mobile mobile_invalid, 2 ownership ownership_unknown, 2 platform platform_unknown, 2 name value_missing, " +
			"3 mobile mobile_invalid, 3 email value_missing, 3 ownership value_missing, 3 SerialNumber value_missing, 3 platform value_missing, " +
			"4 SerialNumber serial_characters, 6 SerialNumber serial_exponent",
		"bad-duplicate-serial.csv": "4 SerialNumber serial_twice",
		"bad-header-missing.csv":   "column_missing",
		"bad-header-twice.csv":     "column_twice",
		"bad-bare-quote.csv":       "2 ownership ownership_unknown, 3 name quotes, 4  columns_count",
		"bad-open-quote.csv":       "3 name quote_open",
		"bad-columns-count.csv":    "2  columns_count, 3  columns_count",
		"bad-empty.csv":            "file_empty",
		"bad-blank.csv":            "file_empty",
		"bad-no-rows.csv":          "file_no_rows",
		"bad-nul.csv":              "2 devicename value_nul",
		"bad-damaged.csv":          "2 name value_damaged",
		"bad-charset-needed.csv":   "charset_needed",
		"bad-mixed-encodings.csv":  "3 name value_encoding",
		"bad-truncated-rune.csv":   "2 devicename value_encoding",
		"bad-excel.csv":            "file_not_csv",
		"bad-html.csv":             "file_not_csv",
		"bad-no-header.csv":        "header_unknown",
		"bad-one-column.csv":       "column_missing",
		"bad-no-platform.csv":      "default_missing",
		"bad-extras.csv": "2 imei imei_exponent, 2 imei2 imei_check_digit, 2 udid udid_invalid, 2 not_before date_invalid, 2 expires_at date_invalid, 2 uses uses_invalid, " +
			"3 name clear_mandatory, 3 ownership clear_mandatory, 3 imei imei_invalid, 3 uses uses_invalid",
	}
	for _, path := range files(t, "bad-*.csv") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, rows, err := readAll(load(t, path), plainOptions, DefaultLimits, whole)
			if got := codes(t, rows, err); got != want[filepath.Base(path)] {
				t.Errorf("got  %s\nwant %s", got, want[filepath.Base(path)])
			}
		})
	}
}

// codes tells everything that is wrong in one line, and asserts that a person
// can work with it.
func codes(t *testing.T, rows []enroll.ImportRow, err error) string {
	t.Helper()
	if err != nil {
		var e *enroll.Error
		if !errors.As(err, &e) || e.Kind != enroll.KindInvalid || e.Text == "" {
			t.Fatalf("not an error for a person: %v", err)
		}
		return e.Code
	}
	var out []string
	for _, r := range rows {
		for _, e := range r.Errors {
			if e.Detail == "" || e.Code == "" || e.Line != r.Line {
				t.Errorf("line %d: %+v is no help", r.Line, e)
			}
			out = append(out, fmt.Sprintf("%d %s %s", e.Line, e.Column, e.Code))
		}
	}
	return strings.Join(out, ", ")
}

func TestTextsOfErrors(t *testing.T) {
	for _, c := range []struct{ file, says string }{
		{"bad-duplicate-serial.csv", "line 2 already and again in line 4"},
		{"bad-extras.csv", "Excel changed this number"},
		{"bad-cells.csv", "Excel changed this number"},
		{"bad-charset-needed.csv", "line 2 holds bytes that are not UTF-8"},
		{"bad-no-platform.csv", "no column for platform"},
		{"bad-one-column.csv", "no column for name, email, ownership, platform"},
	} {
		_, rows, err := readAll(load(t, filepath.Join(dir, c.file)), plainOptions, DefaultLimits, whole)
		said := fmt.Sprint(err)
		for _, r := range rows {
			said += fmt.Sprint(r.Errors)
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s does not say %q: %s", c.file, c.says, said)
		}
	}
}

func TestWarnings(t *testing.T) {
	_, rows, err := readAll(load(t, filepath.Join(dir, "warn-formula.csv")), plainOptions, DefaultLimits, whole)
	if err != nil || len(rows) != 1 || len(rows[0].Errors) > 0 {
		t.Fatalf("%+v, %v", rows, err)
	}
	var got []string
	for _, w := range rows[0].Warnings {
		got = append(got, w.Column+" "+w.Code)
	}
	if diff := cmp.Diff([]string{"name formula", "devicename formula"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rows[0].Name != "=HYPERLINK(1)" {
		t.Errorf("the formula became %q", rows[0].Name)
	}
}

// TestPresets reads the sample of every preset as it is, with what the list
// cannot know as defaults.
func TestPresets(t *testing.T) {
	defaults := map[string]map[string]string{
		"intune-identifiers": {"platform": "ios"}, "intune-models": {"platform": "apple"}, "jamf-pro": {"ownership": "corporate"}, "jamf-school": {"ownership": "corporate"},
		"miradore": {"ownership": "corporate", "platform": "android"}, "soti": {"ownership": "corporate"},
	}
	want := map[string]string{
		"intune-identifiers":     "DMPWXA0QFRJ1 ios corporate   iPad pool; DMPWXA0QFRJ2 ios corporate",
		"intune-models":          "DMPWXA0QFRJ3 apple corporate    iPad Air; R52T30ABCDE apple corporate    SM-X700",
		"workspace-one":          "C39XK1WS0001 ios corporate aschmidt anna.schmidt@example.com  iPhone 16 490154203237518 [Sales] A-1; 23145522W0002 android corporate shared warehouse@example.com  TC58  [Warehouse]; C02XK1WS0003 apple personal bmueller bernd.mueller@example.com    [Sales]",
		"jamf-pro":               "C02XK1JP0001 apple corporate Anna Schmidt anna.schmidt@example.com    [] A-1; DMPXK1JP0002 ios corporate",
		"jamf-school":            "DMPXK1JS0001 apple corporate     [Class 7b] S-1; DMPXK1JS0002 apple corporate     [Class 7b] S-2",
		"manageengine":           "C39XK1ME0001 ios corporate Anna Schmidt anna.schmidt@example.com    [Sales]; R58XK1ME0002 android personal Bernd Müller bernd.mueller@example.com    [Sales]",
		"miradore":               "C39XK1MI0001 android corporate  anna.schmidt@example.com; R58XK1MI0002 android corporate  bernd.mueller@example.com",
		"soti":                   "C39XK1SO0001 ios corporate; R58XK1SO0002 android corporate",
		"esper":                  "R58XK1ES0001 android corporate     490154203237518; R58XK1ES0002 android corporate",
		"zero-touch":             "R58XK1ZT0001 android corporate    Pixel 9 490154203237518; R58XK1ZT0002 android corporate    TC58",
		"apple-business-manager": "C39XK1AB0001 ios corporate    iPhone 16 Pro 256GB; C02XK1AB0002 apple corporate    MacBook Air 13",
	}
	squeeze := func(s string) string {
		var out []string
		for part := range strings.SplitSeq(s, ";") {
			out = append(out, strings.Join(strings.Fields(strings.ReplaceAll(part, "[]", "")), " "))
		}
		return strings.Join(out, "; ")
	}
	for _, p := range BuiltInPresets() {
		t.Run(p.Name, func(t *testing.T) {
			opts := plainOptions
			opts.Preset, opts.Defaults = p.Name, defaults[p.Name]
			data := load(t, filepath.Join(dir, "presets", p.Name+".csv"))
			_, rows, err := readAll(data, opts, DefaultLimits, whole)
			if wrong := codes(t, rows, err); wrong != "" {
				t.Fatalf("%s: %v", wrong, err)
			}
			var got []string
			for _, r := range rows {
				got = append(got, fmt.Sprint(r.Serial, " ", r.Platform, " ", r.Ownership, " ", r.Name, " ", r.Email, " ", r.Notes, " ", r.Model, " ", r.IMEI, " ", r.Groups, " ", r.AssetTag))
			}
			if diff := cmp.Diff(squeeze(want[p.Name]), squeeze(strings.Join(got, ";"))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(opts.Defaults) == 0 {
				return
			}
			opts.Defaults = nil
			f, _, err := readAll(data, opts, DefaultLimits, whole)
			var e *enroll.Error
			if !errors.As(err, &e) || e.Code != "default_missing" || f == nil || len(f.Columns) == 0 {
				t.Errorf("without its defaults: %v", err)
			}
			for name := range defaults[p.Name] {
				if !strings.Contains(e.Text, name) {
					t.Errorf("%q does not name %s", e.Text, name)
				}
			}
		})
	}
}

// TestInvitations makes users only, of a list without serials.
func TestInvitations(t *testing.T) {
	opts := plainOptions
	opts.Preset, opts.PreEnroll = "manageengine", false
	_, rows, err := readAll(load(t, filepath.Join(dir, "presets", "manageengine-invitations.csv")), opts, DefaultLimits, whole)
	if err != nil || len(rows) != 1 || len(rows[0].Errors) > 0 || rows[0].Email != "anna.schmidt@example.com" || rows[0].Ownership != "corporate" {
		t.Fatalf("%+v, %v", rows, err)
	}
	opts.PreEnroll = true
	if _, _, err := readAll(load(t, filepath.Join(dir, "presets", "manageengine-invitations.csv")), opts, DefaultLimits, whole); err == nil {
		t.Fatal("devices without serials are taken")
	}
}

// TestSample holds the sample to the promise that it imports as it is.
func TestSample(t *testing.T) {
	f, rows, err := readAll(Sample(), plainOptions, DefaultLimits, whole)
	if err != nil || len(rows) != 5 || codes(t, rows, err) != "" {
		t.Fatalf("%d rows, %v, %s", len(rows), err, codes(t, rows, err))
	}
	for _, c := range f.Columns {
		if c.Field != c.Header || c.Confidence != exact {
			t.Errorf("column %+v", c)
		}
	}
	if !bytes.Equal(Sample(), load(t, filepath.Join(dir, "sample.csv"))) {
		t.Error("testdata/csv/sample.csv is another file")
	}
}

func TestMapping(t *testing.T) {
	data := func(head string) string {
		return head + "\nanna@example.com,490154203237518,x,Anna,C39XK1ABCD01,ios,corporate\n"
	}
	for _, c := range []struct {
		name, head string
		change     func(o *enroll.ImportOptions)
		want       string // field, or ?suggestion, of each column; or the code of the error
	}{
		{"synonyms", "E-MAIL ADDRESS,IMEI Number,Colour,Full name,S/N,Betriebssystem,Owned by", nil, "email imei - name SerialNumber platform ownership"},
		{"mistyped", "emial,IMEI Nummer,Colour,Name,Serialnumbr,Platform,Ownership", func(o *enroll.ImportOptions) {
			o.Mapping = map[string]string{"emial": "email", "Serialnumbr": "serial"}
		}, "email imei - name SerialNumber platform ownership"},
		{"mistyped and not mapped", "email,imei,Colour,Name,Serialnumbr,Platform,Ownership", nil, "email imei - name ?SerialNumber platform ownership"},
		{"by content", "A,B,C,Name,Serial,Platform,Ownership", nil, "?email ?imei - name SerialNumber platform ownership"},
		{"by position", "A,B,C,D,E,F,G", func(o *enroll.ImportOptions) {
			o.Header = "yes"
			o.Mapping = map[string]string{"#1": "email", "#2": "-", "#4": "name", "#5": "Seriennummer", "#6": "platform", "#7": "ownership"}
		}, "email - - name SerialNumber platform ownership"},
		{"left out", "email,imei,C,Name,Serial,Platform,Ownership", func(o *enroll.ImportOptions) { o.Mapping = map[string]string{"IMEI": "-"} }, "email - - name SerialNumber platform ownership"},
		{"the surer of two", "email,imei,User Name,Name,Serial,Platform,Ownership", nil, "email imei ?name name SerialNumber platform ownership"},
		{"two mapped to one", "email,imei,C,Name,Serial,Platform,Ownership", func(o *enroll.ImportOptions) { o.Mapping = map[string]string{"C": "name"} }, "column_twice"},
		{"several for groups", "email,imei,Group,Name,Serial,Platform,Gruppe", func(o *enroll.ImportOptions) { o.Defaults = map[string]string{"Besitz": "personal"} }, "email imei group name SerialNumber platform group"},
		{"field unknown", "email,imei,C,Name,Serial,Platform,Ownership", func(o *enroll.ImportOptions) { o.Mapping = map[string]string{"C": "colour"} }, "field_unknown"},
		{"column unknown", "email,imei,C,Name,Serial,Platform,Ownership", func(o *enroll.ImportOptions) { o.Mapping = map[string]string{"D": "notes"} }, "mapping_column_unknown"},
		{"default of a serial", "email,imei,C,Name,Serial,Platform,Ownership", func(o *enroll.ImportOptions) { o.Defaults = map[string]string{"serial": "X1"} }, "default_invalid"},
		{"default that is none", "email,imei,C,Name,Serial,OS,x", func(o *enroll.ImportOptions) { o.Defaults = map[string]string{"ownership": "leased"} }, "default_invalid"},
		{"preset unknown", "email,imei,C,Name,Serial,OS,x", func(o *enroll.ImportOptions) { o.Preset = "x" }, "preset_unknown"},
		{"delimiter unknown", "email,imei,C,Name,Serial,OS,x", func(o *enroll.ImportOptions) { o.Delimiter = "x" }, "delimiter_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := plainOptions
			if c.change != nil {
				c.change(&opts)
			}
			f, _, err := readAll([]byte(data(c.head)), opts, DefaultLimits, whole)
			var got []string
			for i := 0; f != nil && i < len(f.Columns); i++ {
				switch col := f.Columns[i]; {
				case col.Field != "":
					got = append(got, col.Field)
				case col.Suggested != "":
					got = append(got, "?"+col.Suggested)
				default:
					got = append(got, "-")
				}
			}
			if e := (*enroll.Error)(nil); errors.As(err, &e) && !strings.Contains(c.want, " ") {
				got = []string{e.Code}
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %s, want %s (%v)", text, c.want, err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	row := func(i int) string { return fmt.Sprintf("Anna,anna@example.com,,corporate,,SERIAL%d,ios\n", i) }
	small := Limits{Rows: 2, Columns: 10, Cell: 100}
	for _, c := range []struct{ name, file, want string }{
		{"rows", header + row(1) + row(2), ""},
		{"too many rows", header + row(1) + row(2) + row(3), "file_too_many_rows"},
		{"too many columns", strings.Repeat("x,", 10_000) + "name\n" + row(1), "columns_too_many"},
		{"a row with too many columns", header + strings.Repeat("x,", 11) + "\n" + row(2), "2  columns_too_many"},
		{"a long cell", header + strings.Repeat("n", 101) + row(1) + row(2), "2 name cell_too_long"},
		{"the longest cell", header + "Anna,anna@example.com,,corporate," + strings.Repeat("n", 100) + ",SERIAL1,ios\n", ""},
		{"a cell of 10 MB", header + `"` + strings.Repeat("n", 10<<20) + `",a@example.com,,corporate,,S1,ios` + "\n" + row(2), "2 name cell_too_long"},
	} {
		_, rows, err := readAll([]byte(c.file), plainOptions, small, whole)
		if got := codes(t, rows, err); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDuplicateModes(t *testing.T) {
	file := header + "A,a@example.com,,corporate,x,S1,ios\nA,a@example.com,,corporate,,s-1,ios\n"
	opts := plainOptions
	opts.OnDuplicate = enroll.DuplicateSkip
	_, rows, err := readAll([]byte(file), opts, DefaultLimits, whole)
	if err != nil || len(rows) != 2 || rows[1].SkipOf != 2 || len(rows[1].Errors) > 0 {
		t.Fatalf("skip: %+v, %v", rows, err)
	}
	opts.OnDuplicate = enroll.DuplicateReplace
	_, rows, _ = readAll([]byte(header+"A,a@example.com,,corporate,,S1,ios\n"), opts, DefaultLimits, whole)
	if diff := cmp.Diff(map[string]bool{"mobile": true, "devicename": true}, rows[0].Clear); diff != "" {
		t.Errorf("replace clears (-want +got):\n%s", diff)
	}
}

// TestCorrections changes single cells, named in each way.
func TestCorrections(t *testing.T) {
	opts := plainOptions
	opts.Corrections = []enroll.Correction{{Line: 2, Column: "ownership", Value: "personal"}, {Line: 2, Column: "#2", Value: "a@example.com"}, {Line: 3, Column: "Serial no", Value: "S2"}, {Line: 9, Column: "x"}}
	_, rows, err := readAll([]byte("name,email,owned by,serial no,platform\nA,@,leased,S1,ios\nB,b@example.com,corporate,S1,ios\n"), opts, DefaultLimits, whole)
	if wrong := codes(t, rows, err); wrong != "" || rows[0].Ownership != "personal" || rows[1].Serial != "S2" {
		t.Errorf("%s %+v", wrong, rows)
	}
}

// TestErrorsFileComesBack reads a file with the columns that errors.csv adds,
// which are no columns of the roll.
func TestErrorsFileComesBack(t *testing.T) {
	f, rows, err := readAll([]byte("name,email,ownership,SerialNumber,platform,line,error\n'-A,a@example.com,corporate,S1,ios,7,it was wrong\n"), plainOptions, DefaultLimits, whole)
	if err != nil || codes(t, rows, err) != "" || rows[0].Name != "-A" {
		t.Fatalf("%+v, %v", rows, err)
	}
	for _, c := range f.Columns[5:] {
		if c.Field != "" || c.Suggested != "" {
			t.Errorf("column %+v", c)
		}
	}
	opts := plainOptions
	opts.Preset, opts.Defaults = "soti", map[string]string{"ownership": "corporate"}
	_, rows, err = readAll([]byte("SerialNumber,platform,line,error\nS1,ios,3,x\n"), opts, DefaultLimits, whole)
	if err != nil || len(rows) != 1 || len(rows[0].Errors) > 0 || rows[0].Serial != "S1" {
		t.Fatalf("of a list without a header: %+v, %v", rows, err)
	}
}

func TestNeutral(t *testing.T) {
	for _, cell := range []string{"", "a", "=1", "+49", "-", "@x", "'=1", "''=1", "'a", "'", "a=1"} {
		neutral := Neutral(cell)
		if formulaSign(neutral) {
			t.Errorf("%q becomes the formula %q", cell, neutral)
		}
		if back, _ := plain(neutral); back != cell {
			t.Errorf("%q becomes %q and then %q", cell, neutral, back)
		}
	}
}

// TestSynonymsAreUnique finds a header that means two fields.
func TestSynonymsAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, f := range fields {
		for _, s := range append([]string{f.name}, f.synonyms...) {
			if other, twice := seen[fold(s)]; twice && other != f.name {
				t.Errorf("%q means %s and %s", s, other, f.name)
			}
			seen[fold(s)] = f.name
		}
	}
	for _, p := range builtIn {
		for column, to := range p.Mapping {
			if to != FieldNone && byField[to] == nil {
				t.Errorf("%s maps %s to %s", p.Name, column, to)
			}
		}
	}
}

// TestReaderFails gives the error of the reader, wherever it comes.
func TestReaderFails(t *testing.T) {
	boom := errors.New("boom")
	data := header + "Anna,anna@example.com,,corporate,,S1,ios\n" + strings.Repeat("\n", 100_000)
	var n Nature
	io.WriteString(&n, data)
	for _, at := range []int{0, 10, len(header) + 3, 80_000} {
		f, err := Open(io.MultiReader(strings.NewReader(data[:at]), iotest.ErrReader(boom)), n.String(), plainOptions, DefaultLimits)
		for err == nil {
			_, err = f.Next()
		}
		if !errors.Is(err, boom) {
			t.Errorf("after %d bytes: %v", at, err)
		}
	}
}

// FuzzFile reads anything as each preset; it must never panic, and what it
// calls good must be good.
func FuzzFile(f *testing.F) {
	seeds := 0
	for _, pattern := range []string{"*.csv", "presets/*.csv"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, uint8(seeds))
			seeds++
		}
	}
	if seeds < 20 {
		f.Fatalf("only %d seeds", seeds)
	}
	presets := append([]enroll.ImportPreset{{}}, builtIn...)
	f.Fuzz(func(t *testing.T, data []byte, choice uint8) {
		opts := plainOptions
		opts.Charset, opts.Preset = "windows-1252", presets[int(choice)%len(presets)].Name
		opts.Defaults = map[string]string{"platform": "apple", "ownership": "corporate"}
		if choice%3 == 0 {
			opts.OnDuplicate = enroll.DuplicateReplace
		}
		_, rows, err := readAll(data, opts, Limits{Rows: 1000, Columns: 50, Cell: 1 << 10}, whole)
		if err != nil {
			var e *enroll.Error
			if !errors.As(err, &e) || e.Kind != enroll.KindInvalid {
				t.Fatalf("not an error for a person: %v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, r := range rows {
			if len(r.Errors) > 0 {
				continue
			}
			if r.Serial == "" || enroll.CheckSerial(r.Serial) != nil || seen[r.Serial] || !slices.Contains(enroll.Platforms, r.Platform) || !slices.Contains(enroll.Ownerships, r.Ownership) {
				t.Fatalf("a good row is not good: %+v", r)
			}
			seen[r.Serial] = true
		}
	})
}

// BenchmarkRead reads a file of 100,000 rows.
func BenchmarkRead(b *testing.B) {
	var file bytes.Buffer
	file.WriteString(header)
	for i := range 100_000 {
		fmt.Fprintf(&file, "User %d,user%d@example.com,+49 151 %07d,corporate,Device %d,SERIAL%07d,ios\n", i, i, i, i, i)
	}
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, rows, err := readAll(file.Bytes(), plainOptions, DefaultLimits, whole); err != nil || len(rows) != 100_000 {
			b.Fatal(len(rows), err)
		}
	}
}
