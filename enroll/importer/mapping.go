package importer

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/enroll"
)

// How sure a column is of its field. What is less than synonymous is not taken:
// it is suggested, and an admin decides.
const (
	chosen     = 1.0  // by the admin or a preset
	exact      = 1.0  // the field's own name
	synonymous = 0.95 // a name that means the field
	mistyped   = 0.75 // one letter off
	contained  = 0.6  // a known name within a longer one
	alike      = 0.5  // the values look so
)

// mapping finds out what each column means.
type mapping struct {
	opts    enroll.ImportOptions
	preset  enroll.ImportPreset
	columns []enroll.ImportColumn
	fields  []*field // by column; nil: not used
}

// isHeader says whether the first record names the columns.
func (m *mapping) isHeader(first record) bool {
	switch m.opts.Header {
	case "yes":
		return true
	case "no":
		return false
	}
	known := 0
	for _, cell := range first.cells {
		if m.named(cell) {
			known++
		}
	}
	if m.preset.Header == "no" {
		// A list without a header that came back as errors.csv has one.
		return len(first.cells) > 0 && known == len(first.cells)
	}
	return known > 0
}

// named says whether a cell is the name of a column.
func (m *mapping) named(cell string) bool {
	key := fold(cell)
	if key == "" {
		return false
	}
	if _, ok := byHeader[key]; ok || slices.Contains(ours, key) {
		return true
	}
	return lookup(m.opts.Mapping, cell, 0) != "" || lookup(m.preset.Mapping, cell, 0) != ""
}

// lookup finds what a mapping says of a column, by position or by name.
func lookup(mapping map[string]string, header string, position int) string {
	if to, ok := mapping[fmt.Sprintf("#%d", position)]; ok && position > 0 {
		return to
	}
	if header = strings.TrimSpace(header); header == "" {
		return ""
	}
	if to, ok := mapping[header]; ok {
		return to
	}
	for from, to := range mapping {
		if !strings.HasPrefix(from, "#") && fold(from) == fold(header) && fold(header) != "" {
			return to
		}
	}
	return ""
}

// resolve maps the columns of a header (nil: there is none) of which the first
// records are known.
func (m *mapping) resolve(header []string, first []record, hasHeader bool) error {
	width := len(header)
	if !hasHeader {
		for _, r := range first {
			width = max(width, len(r.cells))
		}
	}
	m.columns = make([]enroll.ImportColumn, width)
	m.fields = make([]*field, width)
	for i := range m.columns {
		c := &m.columns[i]
		c.Position = i + 1
		if hasHeader {
			c.Header = strings.TrimSpace(shorten(header[i]))
		}
		for _, r := range first {
			if i < len(r.cells) && strings.TrimSpace(r.cells[i]) != "" && len(c.Samples) < 3 {
				c.Samples = append(c.Samples, shorten(r.cells[i]))
			}
		}
		if err := m.column(c, first, hasHeader); err != nil {
			return err
		}
	}
	if err := m.unused(); err != nil {
		return err
	}
	return m.settle()
}

// column finds the field of one column.
func (m *mapping) column(c *enroll.ImportColumn, first []record, hasHeader bool) error {
	for _, by := range []struct {
		mapping map[string]string
		place   int
	}{{m.opts.Mapping, c.Position}, {m.preset.Mapping, positionIf(!hasHeader, c.Position)}} {
		to := lookup(by.mapping, c.Header, by.place)
		if to == FieldNone {
			c.Confidence = chosen
			return nil
		}
		if to != "" {
			f, ok := fieldNamed(to)
			if !ok {
				return wrong("field_unknown", "the mapping names the field %q, which does not exist", to).WithHint("The fields are %s, and %s to leave a column out.", strings.Join(FieldNames(), ", "), FieldNone)
			}
			c.Field, c.Confidence = f.name, chosen
			return nil
		}
	}
	if key := fold(c.Header); key != "" && !slices.Contains(ours, key) {
		if f, ok := byHeader[key]; ok {
			c.Field, c.Confidence = f.name, synonymous
			if key == fold(f.name) {
				c.Confidence = exact
			}
			return nil
		}
		if c.Suggested, c.Confidence = resembling(key); c.Suggested != "" {
			return nil
		}
	} else if key != "" {
		return nil // ours
	}
	c.Suggested, c.Confidence = looksLike(c.Position-1, first)
	return nil
}

func positionIf(use bool, position int) int {
	if use {
		return position
	}
	return 0
}

// unused tells of a mapping for a column that is not there: a mistyped name
// would otherwise be a column silently lost.
func (m *mapping) unused() error {
	for from := range m.opts.Mapping {
		if !slices.ContainsFunc(m.columns, func(c enroll.ImportColumn) bool {
			return lookup(map[string]string{from: "x"}, c.Header, c.Position) != ""
		}) {
			return wrong("mapping_column_unknown", "the mapping names the column %q, which the file does not have", from).WithHint("Name a column as the header does, or by its position: #1 is the first.")
		}
	}
	return nil
}

// settle gives each field to one column, the surest.
func (m *mapping) settle() error {
	by := map[string]int{}
	for i := range m.columns {
		c := &m.columns[i]
		if c.Field == "" {
			continue
		}
		f := byField[c.Field]
		first, taken := by[c.Field]
		switch {
		case !taken || f.many:
		case m.columns[first].Confidence == c.Confidence && c.Confidence == exact:
			return wrong("column_twice", "the columns %d and %d are both mapped to %s", first+1, i+1, c.Field).WithHint("Map one of them to another field, or to %s to leave it out.", FieldNone)
		case m.columns[first].Confidence >= c.Confidence:
			c.Field, c.Suggested = "", c.Field
			continue
		default:
			other := &m.columns[first]
			other.Field, other.Suggested = "", other.Field
			m.fields[first] = nil
		}
		by[c.Field] = i
		m.fields[i] = f
	}
	return nil
}

// needs says which values every row has to have.
func needs(preEnroll bool, owner string) []string {
	var fields []string
	if owner != enroll.OwnerOptional {
		fields = append(fields, FieldName)
	}
	if owner != enroll.OwnerOptional || !preEnroll {
		fields = append(fields, FieldEmail)
	}
	if preEnroll {
		fields = append(fields, FieldOwnership, FieldSerial, FieldPlatform)
	}
	return fields
}

// complete says which mandatory values neither a column nor a default gives.
func (m *mapping) complete(needed []string, defaults map[string]string) error {
	has := func(name string) bool {
		return defaults[name] != "" || slices.ContainsFunc(m.fields, func(f *field) bool { return f != nil && f.name == name })
	}
	var columns, missing []string
	for _, name := range needed {
		switch {
		case has(name), name == FieldName && (has(FieldFirstName) || has(FieldLastName)), name == FieldSerial && has(FieldIdentifier):
		case name == FieldSerial || name == FieldEmail || name == FieldName:
			columns = append(columns, name)
		default:
			missing = append(missing, name)
		}
	}
	hint := "The columns of the file are listed under columns."
	for _, c := range m.columns {
		if c.Suggested != "" && slices.Contains(slices.Concat(columns, missing), c.Suggested) {
			hint = fmt.Sprintf("The column %q looks like %s.", strings.TrimSpace(c.Header+fmt.Sprintf(" #%d", c.Position)), c.Suggested)
			break
		}
	}
	switch {
	case len(columns) > 0:
		how := "Map one to it (mapping)."
		if !slices.Contains(columns, FieldSerial) {
			how = "Map one to it (mapping), give a default for the whole file, or say that devices need no owner (owner=optional)."
		}
		return wrong("column_missing", "the file has no column for %s", strings.Join(slices.Concat(columns, missing), ", ")).WithHint("%s %s", how, hint)
	case len(missing) > 0:
		return wrong("default_missing", "the file has no column for %s, and the import names no default", strings.Join(missing, " and ")).
			WithHint("Give a value for the whole file, such as default=%s:%s, or map a column to it. %s", missing[0], map[string]string{FieldOwnership: "corporate", FieldPlatform: "ios"}[missing[0]], hint)
	}
	return nil
}

// resembling looks for a known name that a header nearly is.
func resembling(key string) (string, float64) {
	best, confidence := "", 0.0
	for i := range fields {
		for _, name := range append([]string{fields[i].name}, fields[i].synonyms...) {
			known := fold(name)
			switch {
			case len(known) >= 5 && confidence < mistyped && oneEdit(key, known):
				best, confidence = fields[i].name, mistyped
			case len(known) >= 4 && confidence < contained && strings.Contains(key, known):
				best, confidence = fields[i].name, contained
			}
		}
	}
	return best, confidence
}

// oneEdit says whether one letter more, less or other makes a into b.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i < len(a) && a[i+1:] == b[i+1:]
	}
	return a[i:] == b[i+1:]
}

// looksLike judges a column by its first values.
func looksLike(column int, first []record) (string, float64) {
	var values []string
	for _, r := range first {
		if column < len(r.cells) {
			if v := strings.TrimSpace(r.cells[column]); v != "" {
				values = append(values, v)
			}
		}
	}
	if len(values) == 0 {
		return "", 0
	}
	all := func(is func(string) bool) bool {
		return !slices.ContainsFunc(values, func(v string) bool { return !is(v) })
	}
	reads := func(set func(*line, string) error) func(string) bool {
		return func(v string) bool { return set(&line{}, v) == nil }
	}
	switch {
	case all(reads(setEmail)):
		return FieldEmail, alike
	case all(reads(setIMEI)):
		return FieldIMEI, alike
	case all(reads(setUDID)):
		return FieldUDID, alike
	case all(reads(setOwnership)):
		return FieldOwnership, alike
	case all(reads(setPlatform)):
		return FieldPlatform, alike
	case all(func(v string) bool {
		return len(v) >= 8 && len(v) <= 20 && strings.ContainsAny(v, "0123456789") && reads(setSerial)(v) && strings.ToUpper(v) == v
	}):
		return FieldSerial, alike
	}
	return "", 0
}
