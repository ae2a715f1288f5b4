package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// record is an object of the API.
type record map[string]any

func parseRecord(raw []byte) (record, error) {
	var r record
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err := dec.Decode(&r)
	return r, err
}

// at is the value at a path such as "user.email"; nil where there is none. "#"
// is the length of a list.
func (r record) at(path string) any {
	var v any = map[string]any(r)
	for part := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[part]
		case []any:
			if part != "#" {
				return nil
			}
			v = len(in)
		default:
			return nil
		}
	}
	return v
}

// text is the value at a path as text for programs: times as the API gives
// them, lists with |.
func (r record) text(path string) string { return textOf(r.at(path), "|") }

// human is the value at a path for people: times are those of this machine,
// and nothing that a terminal would act on.
func (r record) human(path string) string {
	v := r.at(path)
	if s, ok := v.(string); ok {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.Local().Format("2006-01-02 15:04:05")
		}
	}
	return clean(textOf(v, ", "))
}

// list is the value at a path where it is a list of objects.
func (r record) list(path string) []record {
	items, _ := r.at(path).([]any)
	var out []record
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func textOf(v any, separator string) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = textOf(e, separator)
		}
		return strings.Join(parts, separator)
	case map[string]any:
		b, _ := json.Marshal(v) // it came from JSON
		return string(b)
	}
	return fmt.Sprint(v)
}

// clean takes from a text what a terminal would act on: control characters and
// those that turn the direction of writing.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return '?'
		}
		return r
	}, s)
}

// inert keeps a spreadsheet from running a cell, in the way of the server's own
// exports: an import takes the apostrophe away again.
func inert(cell string) string {
	rest := strings.TrimLeft(cell, "'")
	if rest != "" && strings.ContainsRune("=+-@\t\r", rune(rest[0])) {
		return "'" + cell
	}
	return cell
}
