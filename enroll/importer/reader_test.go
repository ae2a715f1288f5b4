package importer

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
)

const dir = "../../testdata/csv"

const header = "name,email,mobile,ownership,devicename,SerialNumber,platform\n"

// TestGoodFiles reads every good file whole and byte by byte.
func TestGoodFiles(t *testing.T) {
	want := map[string][]enroll.ImportRow{
		"good-bom-crlf.csv": {
			{Line: 2, Name: "Anna", Email: "anna@example.com", Ownership: "corporate", Serial: "C39XK1ABCD01", SerialRaw: "C39XK1ABCD01", Platform: "ios"},
			{Line: 3, Name: "Bernd", Email: "bernd@example.com", Mobile: "+49 151 2345678", Ownership: "personal", DeviceName: "Desk 4", Serial: "R58M123ABCD", SerialRaw: "R58M123ABCD", Platform: "android"},
		},
		"good-order-and-case.csv": {
			{Line: 2, Name: "Anna", Email: "anna@example.com", Ownership: "selectuser", Serial: "C39XK1ABCD02", SerialRaw: "c39-xk1.abcd 02", Platform: "apple"},
			{Line: 3, Name: "Bernd", Email: "b@example.com", Ownership: "selectuser", Serial: "C39XK1ABCD03", SerialRaw: "C39XK1ABCD03", Platform: "ios"},
		},
		"good-quoted-newline.csv": {
			{Line: 2, Name: "Schmidt, Anna", Email: "anna@example.com", Ownership: "corporate", DeviceName: `The "big" iPad`, Serial: "C39XK1ABCD04", SerialRaw: "C39XK1ABCD04", Platform: "ios"},
			{Line: 7, Name: "Bernd", Email: "bernd@example.com", Ownership: "personal", Serial: "C39XK1ABCD05", SerialRaw: "C39XK1ABCD05", Platform: "apple"},
		},
		"good-no-final-newline.csv": {
			{Line: 2, Name: "Anna", Email: "anna@example.com", Ownership: "selectuser", Serial: "C39XK1ABCD06", SerialRaw: "C39XK1ABCD06", Platform: "ios"},
		},
	}
	for _, path := range files(t, "good-*.csv") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data := load(t, path)
			for name, r := range map[string]io.Reader{"whole": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data)), "data with EOF": iotest.DataErrReader(bytes.NewReader(data))} {
				got, err := Read(r, DefaultLimits)
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

func TestBadFiles(t *testing.T) {
	// "line column code" of every error, or the code of the file's one.
	want := map[string]string{
		"bad-cells.csv": "2 name value_missing, 2 email email_invalid, 2 mobile mobile_invalid, 2 ownership ownership_unknown, 2 platform platform_unknown, " +
			"3 email value_missing, 3 mobile mobile_invalid, 3 ownership value_missing, 3 SerialNumber value_missing, 3 platform value_missing, " +
			"4 SerialNumber serial_characters, 6 SerialNumber serial_exponent",
		"bad-duplicate-serial.csv": "4 SerialNumber serial_twice",
		"bad-header-missing.csv":   "1 ownership column_missing, 1 SerialNumber column_missing",
		"bad-header-unknown.csv":   "1 Colour column_unknown, 1  column_unnamed",
		"bad-header-twice.csv":     "1 name column_twice",
		"bad-semicolons.csv":       "1  delimiter",
		"bad-bare-quote.csv":       "2 ownership ownership_unknown, 3  quotes",
		"bad-open-quote.csv":       "3  quotes",
		"bad-columns-count.csv":    "2  columns_count, 3  columns_count",
		"bad-empty.csv":            "file_empty",
		"bad-blank.csv":            "file_empty",
		"bad-no-rows.csv":          "file_no_rows",
		"bad-nul.csv":              "file_not_text",
		"bad-windows-1252.csv":     "file_not_utf8",
		"bad-truncated-rune.csv":   "file_not_utf8",
		"bad-utf16.csv":            "file_not_csv",
		"bad-excel.csv":            "file_not_csv",
	}
	for _, path := range files(t, "bad-*.csv") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			rows, err := Read(bytes.NewReader(load(t, path)), DefaultLimits)
			if rows != nil {
				t.Errorf("rows of a bad file: %v", rows)
			}
			if got := codes(t, err); got != want[filepath.Base(path)] {
				t.Errorf("got  %s\nwant %s", got, want[filepath.Base(path)])
			}
		})
	}
}

// codes tells an error of Read in one line, and asserts that a person can work
// with it.
func codes(t *testing.T, err error) string {
	t.Helper()
	var rows enroll.RowErrors
	if errors.As(err, &rows) {
		var out []string
		for _, e := range rows {
			if e.Detail == "" {
				t.Errorf("%+v has no detail", e)
			}
			out = append(out, fmt.Sprintf("%d %s %s", e.Line, e.Column, e.Code))
		}
		return strings.Join(out, ", ")
	}
	var e *enroll.Error
	if !errors.As(err, &e) || e.Kind != enroll.KindInvalid || e.Text == "" {
		t.Fatalf("not an error for a person: %v", err)
	}
	return e.Code
}

func TestDuplicateNamesBothLines(t *testing.T) {
	_, err := Read(bytes.NewReader(load(t, filepath.Join(dir, "bad-duplicate-serial.csv"))), DefaultLimits)
	if err == nil || !strings.Contains(err.Error(), "line 2 already and again in line 4") {
		t.Errorf("got %v", err)
	}
}

func TestFileErrorsNameTheLine(t *testing.T) {
	for file, line := range map[string]string{header + "A,\xfc": "line 2 ", header + "\n\nA,\x00": "line 4 ", header + "A\xe2\x82": "line 2 "} {
		if _, err := Read(strings.NewReader(file), DefaultLimits); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%q: got %v, want %s", file, err, line)
		}
	}
}

func TestLimits(t *testing.T) {
	row := func(i int) string {
		return fmt.Sprintf("Anna,anna@example.com,,corporate,,SERIAL%d,ios\n", i)
	}
	three := header + row(1) + row(2) + row(3)
	wide := strings.Repeat("x,", 10) + "x\n"
	tests := []struct {
		name  string
		file  string
		limit func(*Limits)
		want  string
	}{
		{"bytes", three, func(l *Limits) { l.Bytes = int64(len(three)) - 1 }, "file_too_large"},
		{"bytes exactly", three, func(l *Limits) { l.Bytes = int64(len(three)) }, ""},
		{"rows", three, func(l *Limits) { l.Rows = 2 }, "file_too_many_rows"},
		{"rows exactly", three, func(l *Limits) { l.Rows = 3 }, ""},
		{"columns", wide, func(l *Limits) { l.Columns = 10 }, "1  columns_count"},
		{"cell", header + strings.Repeat("A", 33) + ",a@example.com,,corporate,,SERIAL1,ios\n", func(l *Limits) { l.Cell = 32 }, "2 name cell_too_long"},
		{"name", header + strings.Repeat("A", 256) + ",a@example.com,,corporate,,SERIAL1,ios\n", func(*Limits) {}, "2 name value_too_long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := DefaultLimits
			test.limit(&l)
			_, err := Read(strings.NewReader(test.file), l)
			if err == nil && test.want == "" {
				return
			}
			if got := codes(t, err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestErrorsAreCounted has more errors than are listed.
func TestErrorsAreCounted(t *testing.T) {
	l := DefaultLimits
	l.Errors = 3
	_, err := Read(strings.NewReader(header+strings.Repeat("Anna,anna@example.com,,leased,,,ios\n", 5)), l)
	var all *Errors
	if !errors.As(err, &all) || len(all.Rows) != 3 || all.More != 7 {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(all.Error(), "7 more that are not listed") {
		t.Errorf("the text hides the rest: %v", all)
	}
}

func TestLongValueIsShortened(t *testing.T) {
	_, err := Read(strings.NewReader(header+"Anna,anna@example.com,,"+strings.Repeat("ü", 5000)+",,SERIAL1,ios\n"), DefaultLimits)
	var rows enroll.RowErrors
	if !errors.As(err, &rows) || len(rows[0].Value) > 210 || !strings.HasSuffix(rows[0].Value, "ü…") {
		t.Errorf("got %+v", rows)
	}
}

func TestReadErrorIsHandedOn(t *testing.T) {
	broken := errors.New("connection lost")
	for _, before := range []string{"", header, header + "\"Anna"} {
		_, err := Read(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)), DefaultLimits)
		if !errors.Is(err, broken) {
			t.Errorf("after %q: got %v", before, err)
		}
	}
}

func TestSpellings(t *testing.T) {
	tests := []struct {
		column, cell string
		want         string // normal form, or the code of the error
	}{
		{"ownership", "Personal", "personal"},
		{"ownership", "CORPORATE ", "corporate"},
		{"ownership", "SelectUser", "selectuser"},
		{"ownership", "user_choice", "selectuser"},
		{"ownership", "Allow  User To Select", "selectuser"},
		{"ownership", "cope", "ownership_unknown"},
		{"platform", "iOS", "ios"},
		{"platform", " Android", "android"},
		{"platform", "APPLE", "apple"},
		{"platform", "ipados", "platform_unknown"},
		{"email", " Anna.Schmidt@Example.com ", "anna.schmidt@example.com"},
		{"email", "anna at example.com", "email_invalid"},
		{"mobile", "(0351) 123-456", "(0351) 123-456"},
		{"mobile", "00491511234567", "00491511234567"},
		{"mobile", "0049+151", "mobile_invalid"},
		{"mobile", "1234567890123456", "mobile_invalid"},
		{"mobile", "4.91511E+12", "mobile_exponent"},
		{"devicename", "Desk\u00a04", "Desk 4"},
		{"devicename", "Desk\u00074", "value_characters"},
		{"SerialNumber", "c39 xk1\u200b-abcd", "C39XK1ABCD"},
		{"SerialNumber", "1E+2", "serial_exponent"},
		{"SerialNumber", strings.Repeat("A", 65), "serial_too_long"},
		{"SerialNumber", "---", "value_missing"},
	}
	for _, test := range tests {
		var row enroll.ImportRow
		err := setters[test.column](&row, test.cell)
		got := map[string]string{"ownership": string(row.Ownership), "platform": string(row.Platform), "email": row.Email, "mobile": row.Mobile, "devicename": row.DeviceName, "SerialNumber": row.Serial}[test.column]
		if err != nil {
			got = codes(t, err)
		}
		if got != test.want {
			t.Errorf("%s %q: got %q, want %q", test.column, test.cell, got, test.want)
		}
	}
}

// TestSample asserts that the downloadable file is the one in testdata, names
// every choice and survives a round trip.
func TestSample(t *testing.T) {
	if diff := cmp.Diff(string(load(t, filepath.Join(dir, "sample.csv"))), string(Sample())); diff != "" {
		t.Errorf("testdata/csv/sample.csv differs:\n%s", diff)
	}
	if first, _, _ := strings.Cut(string(Sample()), "\n"); first+"\n" != header {
		t.Errorf("the header is %q", first)
	}
	rows, err := Read(bytes.NewReader(Sample()), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[string(r.Ownership)], seen[string(r.Platform)] = true, true
	}
	for _, o := range enroll.Ownerships {
		if !seen[string(o)] {
			t.Errorf("no row is %s", o)
		}
	}
	for _, p := range enroll.Platforms {
		if !seen[string(p)] {
			t.Errorf("no row is for %s", p)
		}
	}
	again, err := Read(bytes.NewReader(write(rows)), DefaultLimits)
	if diff := cmp.Diff(rows, again); err != nil || diff != "" {
		t.Errorf("round trip: %v\n%s", err, diff)
	}
}

func BenchmarkRead100000(b *testing.B) {
	var file bytes.Buffer
	file.WriteString(header)
	for i := range 100_000 {
		fmt.Fprintf(&file, "User %d,user%d@example.com,+49 151 %07d,corporate,Desk %d,C39XK%07d,ios\n", i, i, i, i, i)
	}
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		rows, err := Read(bytes.NewReader(file.Bytes()), DefaultLimits)
		if err != nil || len(rows) != 100_000 {
			b.Fatal(len(rows), err)
		}
	}
}

// FuzzRead asserts that what is accepted is in normal form: written and read
// again it is the same.
func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(paths) < 10 {
		f.Fatalf("the corpus has %d files: %v", len(paths), err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	limits := Limits{Bytes: 1 << 16, Rows: 100, Columns: 20, Cell: 1 << 10, Errors: 10}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := Read(bytes.NewReader(data), limits)
		if err != nil {
			codes(t, err)
			if rows != nil {
				t.Fatalf("rows with an error: %v", rows)
			}
			return
		}
		for i, r := range rows {
			if r.Serial != enroll.NormalizeSerial(r.SerialRaw) || enroll.CheckSerial(r.Serial) != nil || enroll.CheckEmail(r.Email) != nil || r.Name == "" {
				t.Fatalf("row %d is not in normal form: %+v", i, r)
			}
		}
		again, err := Read(bytes.NewReader(write(rows)), DefaultLimits)
		if err != nil {
			t.Fatalf("accepted, but not again: %v", err)
		}
		for i := range rows {
			rows[i].Line, again[i].Line = 0, 0
		}
		if diff := cmp.Diff(rows, again); diff != "" {
			t.Fatalf("changed by a round trip:\n%s", diff)
		}
	})
}

// write makes a file of rows.
func write(rows []enroll.ImportRow) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	records := [][]string{Columns}
	for _, r := range rows {
		records = append(records, []string{r.Name, r.Email, r.Mobile, string(r.Ownership), r.DeviceName, r.SerialRaw, string(r.Platform)})
	}
	if err := w.WriteAll(records); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return b.Bytes()
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return paths
}

func load(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
