package importer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"rollcall/enroll"
)

// lookAhead is how many records are looked at to map the columns.
const lookAhead = 20

// File is an uploaded file that is read row by row, in memory that does not
// grow with it but for the serials seen.
type File struct {
	Charset   string
	Delimiter string
	Columns   []enroll.ImportColumn

	mapping   mapping
	limits    Limits
	records   *records
	ahead     []record
	header    []string // empty: there is none
	defaults  map[string]string
	values    map[string]map[string]string
	needed    []string
	owner     string
	fix       map[int][]enroll.Correction
	rows      int
	firstLine map[string]int // serial -> line it was first seen in
}

// Open begins to read a file of which everything but its content is known.
// nature is what Nature.String gave. Where the columns cannot be mapped there
// is a File beside the error, for its Columns; every error is an *enroll.Error
// of KindInvalid, or that of r.
func Open(r io.Reader, nature string, opts enroll.ImportOptions, limits Limits) (*File, error) {
	var n Nature
	if err := json.Unmarshal([]byte(nature), &n); err != nil {
		return nil, fmt.Errorf("importer: nature of the file: %w", err)
	}
	f := &File{limits: limits, firstLine: map[string]int{}, fix: map[int][]enroll.Correction{}}
	for _, c := range opts.Corrections {
		f.fix[c.Line] = append(f.fix[c.Line], c)
	}
	var err error
	if f.mapping.opts = opts; opts.Preset != "" {
		if f.mapping.preset, err = BuiltIn(opts.Preset); err != nil {
			return nil, err
		}
	}
	p := f.mapping.preset
	if f.Charset, err = n.charset(either(opts.Charset, p.Charset)); err != nil {
		return nil, err
	}
	text, err := decoded(r, f.Charset)
	if err != nil {
		return nil, err
	}
	src := bufio.NewReaderSize(text, 64<<10)
	if head, _ := src.Peek(3); string(head) == "\ufeff" {
		src.Discard(3) // it was peeked
	}
	head, err := src.Peek(src.Size())
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	delimiter, skip, err := f.delimiter(string(head), err == nil, either(opts.Delimiter, p.Delimiter))
	if err != nil {
		return nil, err
	}
	src.Discard(skip)
	f.Delimiter = string(delimiter)
	f.records = newRecords(src, delimiter, limits)
	if skip > 0 {
		f.records.line++
	}
	f.values = merged(p.Values, opts.Values)
	f.defaults = maps.Clone(p.Defaults)
	if f.defaults == nil {
		f.defaults = map[string]string{}
	}
	for name, value := range opts.Defaults {
		known, ok := fieldNamed(name)
		if !ok {
			return nil, wrong("field_unknown", "there is a default for the field %q, which does not exist", name).WithHint("The fields are %s.", strings.Join(FieldNames(), ", "))
		}
		if known.name == FieldSerial || known.name == FieldIdentifier {
			return nil, wrong("default_invalid", "a serial cannot be the same for the whole file")
		}
		if err := known.set(&line{}, value); err != nil {
			return nil, wrong("default_invalid", "the default of %s: %v", known.name, err)
		}
		f.defaults[known.name] = value
	}
	f.owner = either(opts.Owner, p.Owner)
	f.needed = needs(opts.PreEnroll, f.owner)
	return f, f.begin()
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func merged(a, b map[string]map[string]string) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, m := range []map[string]map[string]string{a, b} {
		for name, values := range m {
			if f, ok := fieldNamed(name); ok {
				name = f.name
			}
			if out[name] == nil {
				out[name] = map[string]string{}
			}
			for from, to := range values {
				out[name][fold(from)] = to
			}
		}
	}
	return out
}

// delimiter finds the sign between columns, and how many bytes of a line
// "sep=;", which Excel writes, stand before the table.
func (f *File) delimiter(head string, cut bool, chosen string) (sign byte, skip int, err error) {
	if rest, ok := strings.CutPrefix(strings.ToLower(head), "sep="); ok && len(rest) > 1 {
		if i := strings.IndexByte(rest, '\n'); i == 1 || i == 2 && rest[1] == '\r' {
			skip = len("sep=") + i + 1
			if chosen == "" {
				chosen = rest[:1]
			}
		}
	}
	if strings.EqualFold(chosen, "tab") {
		chosen = "\t"
	}
	for _, d := range delimiters {
		if chosen == string(d.sign) {
			return d.sign, skip, nil
		}
	}
	if chosen != "" {
		return 0, 0, wrong("delimiter_unknown", "the delimiter cannot be %q", chosen).WithHint("Use a comma, a semicolon, a tab or a vertical bar.")
	}
	return findDelimiter(head[skip:], cut, f.mapping.named), skip, nil
}

// begin reads the header and maps the columns.
func (f *File) begin() error {
	for len(f.ahead) <= lookAhead {
		r, err := f.records.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		f.ahead = append(f.ahead, r)
	}
	if len(f.ahead) == 0 {
		return wrong("file_empty", "the file holds empty lines only").WithHint("Start from the sample file.")
	}
	first := f.ahead[0]
	if first.fault != nil && first.fault.Code == "columns_too_many" {
		return wrong("columns_too_many", "the first line has more than %d columns", f.limits.Columns).WithHint("Is this the right file, and the right delimiter? Leave out columns that are not needed.")
	}
	hasHeader := f.mapping.isHeader(first)
	if hasHeader {
		f.header, f.ahead = first.cells, f.ahead[1:]
		if first.fault != nil {
			return wrong(first.fault.Code, "the header: %s", first.fault.Detail).WithHint("%s", first.fault.Hint)
		}
	}
	err := f.mapping.resolve(f.header, f.ahead, hasHeader)
	f.Columns = f.mapping.columns
	if err != nil {
		return err
	}
	if err := f.mapping.complete(f.needed, f.defaults); err != nil {
		if !hasHeader && f.mapping.preset.Name == "" && len(f.mapping.opts.Mapping) == 0 {
			return wrong("header_unknown", "the first line names no column that is known: %s", shorten(strings.Join(first.cells, f.Delimiter))).
				WithHint("Map the columns (mapping), choose a preset, or start from the sample file, whose first line is %s", strings.Join(Columns, ","))
		}
		return err
	}
	if len(f.ahead) == 0 {
		return wrong("file_no_rows", "the file has a header but no rows")
	}
	return nil
}

// Header is the first line of the file, or where it has none the fields of its
// columns.
func (f *File) Header() []string {
	if f.header != nil {
		return f.header
	}
	names := make([]string, len(f.mapping.fields))
	for i, known := range f.mapping.fields {
		if names[i] = fmt.Sprintf("column %d", i+1); known != nil {
			names[i] = known.name
		}
	}
	return names
}

// record gives the next record with its corrections.
func (f *File) record() (record, error) {
	var r record
	if len(f.ahead) > 0 {
		r, f.ahead = f.ahead[0], f.ahead[1:]
	} else {
		var err error
		if r, err = f.records.next(); err != nil {
			return r, err
		}
	}
	if f.rows++; f.rows > f.limits.Rows {
		return r, wrong("file_too_many_rows", "the file has more than %d rows", f.limits.Rows).WithHint("Split it into several files.")
	}
	for _, c := range f.fix[r.line] {
		if i := f.columnOf(c.Column); i >= 0 {
			for len(r.cells) <= i {
				r.cells = append(r.cells, "")
			}
			r.cells[i] = c.Value
		}
	}
	return r, nil
}

// columnOf finds a column by position, header or field; -1: there is none.
func (f *File) columnOf(name string) int {
	return slices.IndexFunc(f.Columns, func(c enroll.ImportColumn) bool {
		return name == fmt.Sprintf("#%d", c.Position) || name != "" && (name == c.Header || name == c.Field) || fold(name) != "" && fold(name) == fold(c.Header)
	})
}

// NextRecord gives the cells of the next row as they are, and its line; io.EOF
// after the last. Next and NextRecord read the same rows.
func (f *File) NextRecord() (line int, cells []string, err error) {
	r, err := f.record()
	return r.line, r.cells, err
}

// Next gives the next row, checked: what is wrong with it stands in its
// Errors. io.EOF after the last; any other error ends the file.
func (f *File) Next() (enroll.ImportRow, error) {
	r, err := f.record()
	if err != nil {
		return enroll.ImportRow{}, err
	}
	l := line{ImportRow: enroll.ImportRow{Line: r.line}, set: map[string]bool{}}
	if r.fault != nil {
		fault := *r.fault
		if fault.Column != "" {
			fault.Column = f.columnName(fault.Column)
		}
		l.Errors = append(l.Errors, fault)
		return l.ImportRow, nil
	}
	for len(r.cells) > len(f.mapping.fields) && strings.TrimSpace(r.cells[len(r.cells)-1]) == "" {
		r.cells = r.cells[:len(r.cells)-1]
	}
	if len(r.cells) > len(f.mapping.fields) || f.header != nil && len(r.cells) < len(f.mapping.fields) {
		l.Errors = append(l.Errors, enroll.RowError{Line: r.line, Code: "columns_count", Detail: fmt.Sprintf("the row has %d values, and there are %d columns", len(r.cells), len(f.mapping.fields)),
			Hint: "A value that holds the delimiter must be in quotes."})
		return l.ImportRow, nil
	}
	for i, cell := range r.cells {
		if known := f.mapping.fields[i]; known != nil {
			f.cell(&l, known, i, cell)
		}
	}
	f.finish(&l)
	return l.ImportRow, nil
}

func (f *File) columnName(position string) string {
	if i := f.columnOf(position); i >= 0 && f.Columns[i].Header != "" {
		return f.Columns[i].Header
	}
	return position
}

// cell reads one cell.
func (f *File) cell(l *line, known *field, column int, raw string) {
	name := either(f.Columns[column].Header, known.name)
	fail := func(err error) { l.Errors = append(l.Errors, rowError(l.Line, name, raw, err)) }
	if err := checkText(raw); err != nil {
		l.set[known.name] = true
		fail(err)
		return
	}
	value, formula := plain(strings.TrimSpace(raw))
	if formula && known.name != FieldMobile {
		l.Warnings = append(l.Warnings, enroll.RowError{Line: l.Line, Column: name, Value: shorten(raw), Code: "formula", Detail: "a spreadsheet would run this value as a formula; it was taken as text",
			Hint: "Check the value, and whether the export it came from can be trusted."})
	}
	switch value {
	case "":
		if f.mapping.opts.OnDuplicate == enroll.DuplicateReplace && !known.keep {
			l.clear(known.name)
		}
		return
	case clearCell:
		if known.keep || slices.Contains(f.needed, known.name) {
			l.set[known.name] = true
			fail(wrong("clear_mandatory", "%s cannot be emptied", known.name).WithHint("Every row needs it."))
			return
		}
		l.clear(known.name)
		l.set[known.name] = true // no default in its place
		return
	}
	if to, ok := f.values[known.name][fold(value)]; ok {
		value = to
	}
	l.set[known.name] = true
	delete(l.Clear, known.name)
	if err := known.set(l, value); err != nil {
		fail(err)
	}
}

func (l *line) clear(name string) {
	if l.Clear == nil {
		l.Clear = map[string]bool{}
	}
	l.Clear[name] = true
}

// finish fills in defaults and says what is missing.
func (f *File) finish(l *line) {
	if l.Name == "" && (l.first != "" || l.last != "") {
		l.Name = strings.TrimSpace(l.first + " " + l.last)
		l.set[FieldName] = true
	}
	for name, value := range f.defaults {
		if !l.set[name] {
			byField[name].set(l, value) // checked when the file was opened
			l.set[name] = true
			delete(l.Clear, name)
		}
	}
	for _, name := range f.needed {
		if !l.set[name] && !(name == FieldSerial && l.set[FieldIdentifier]) {
			l.Errors = append(l.Errors, enroll.RowError{Line: l.Line, Column: f.columnFor(name), Code: "value_missing", Detail: missing[name].detail, Hint: missing[name].hint})
		}
	}
	if l.Email == "" && !l.set[FieldEmail] && (l.Name != "" || l.Mobile != "") {
		l.Warnings = append(l.Warnings, enroll.RowError{Line: l.Line, Column: f.columnFor(FieldName), Value: shorten(l.Name), Code: "owner_without_email",
			Detail: "the row names a user without an e-mail address, so the device gets no owner", Hint: "Users are known by their e-mail addresses."})
	}
	if l.Serial == "" {
		return
	}
	first, twice := f.firstLine[l.Serial]
	switch {
	case !twice:
		f.firstLine[l.Serial] = l.Line
	case f.mapping.opts.OnDuplicate == enroll.DuplicateSkip:
		l.SkipOf = first
	default:
		l.Errors = append(l.Errors, enroll.RowError{Line: l.Line, Column: f.columnFor(FieldSerial), Value: shorten(l.SerialRaw), Code: "serial_twice",
			Detail: fmt.Sprintf("the serial %s is in line %d already and again in line %d", l.Serial, first, l.Line), Hint: "Remove one of the two rows."})
	}
}

// columnFor is the name of the column that gives a field.
func (f *File) columnFor(name string) string {
	for i, known := range f.mapping.fields {
		if known != nil && known.name == name && f.Columns[i].Header != "" {
			return f.Columns[i].Header
		}
	}
	return name
}

// missing are the texts for mandatory values that are not there.
var missing = map[string]struct{ detail, hint string }{
	FieldName:      {"the user's name is missing", "Every row needs name, email, ownership, SerialNumber and platform."},
	FieldEmail:     {"the e-mail address is missing", "Every row needs name, email, ownership, SerialNumber and platform."},
	FieldSerial:    {"the serial is missing", "Every row needs name, email, ownership, SerialNumber and platform."},
	FieldOwnership: {"the ownership is missing", "Use one of personal, corporate, selectuser."},
	FieldPlatform:  {"the platform is missing", "Use one of android, ios, apple."},
}
