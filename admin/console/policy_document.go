package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// document is a policy document as the editor holds it: JSON as it came, with
// its numbers as they were written.
type document map[string]any

// UnmarshalJSON implements json.Unmarshaler.
func (d *document) UnmarshalJSON(b []byte) error {
	v, err := decodeJSON(string(b))
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return errors.New("a document is an object")
	}
	*d = m
	return nil
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(s string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the end")
	}
	return v, nil
}

// encodeJSON is JSON for people, with its keys in order.
func encodeJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// digest tells whether a text of a form was changed.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// unixLines undoes what browsers make of line ends.
func unixLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func pointerToken(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func pointerTokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, t := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return tokens
}

// patternOf is a pointer without the indices of lists, as settings have them.
func patternOf(pointer string) string {
	var b strings.Builder
	for _, t := range pointerTokens(pointer) {
		if _, err := strconv.Atoi(t); err != nil {
			b.WriteString("/" + pointerToken(t))
		}
	}
	return b.String()
}

// placeName names a place of a document for people.
func placeName(pointer string) string {
	var names []string
	pattern := ""
	for _, t := range pointerTokens(pointer) {
		if i, err := strconv.Atoi(t); err == nil {
			names = append(names, strconv.Itoa(i+1))
			continue
		}
		pattern += "/" + t
		if pattern != "/restrictions" {
			names = append(names, settingName(pattern))
		}
	}
	return strings.Join(names, " › ")
}

// settingName is the name of a setting: that of its whole pattern, or of the
// field. What belongs to Apple, Google or an app keeps its own.
func settingName(pattern string) string {
	path := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	for _, key := range []string{strings.Join(path, "."), path[len(path)-1]} {
		if name, err := textOrError("setting." + key); err == nil {
			return name
		}
	}
	return path[len(path)-1]
}

// put gives v with value at a pointer; the token - is behind the end of a list.
// What is not there on the way is made.
func put(v any, pointer []string, value any) any {
	if len(pointer) == 0 {
		return value
	}
	if list, ok := v.([]any); ok || pointer[0] == "-" {
		if pointer[0] == "-" {
			return append(slices.Clone(list), put(nil, pointer[1:], value))
		}
		if i, err := strconv.Atoi(pointer[0]); err == nil && i >= 0 && i < len(list) {
			list = slices.Clone(list)
			list[i] = put(list[i], pointer[1:], value)
		}
		return list
	}
	m, ok := v.(map[string]any)
	if !ok && v != nil {
		return v
	}
	if m = maps.Clone(m); m == nil {
		m = map[string]any{}
	}
	m[pointer[0]] = put(m[pointer[0]], pointer[1:], value)
	return m
}

// without gives v without what stands at a pointer.
func without(v any, pointer []string) any {
	if len(pointer) == 0 {
		return v
	}
	switch v := v.(type) {
	case []any:
		i, err := strconv.Atoi(pointer[0])
		if err != nil || i < 0 || i >= len(v) {
			return v
		}
		if len(pointer) == 1 {
			return slices.Delete(slices.Clone(v), i, i+1)
		}
		v = slices.Clone(v)
		v[i] = without(v[i], pointer[1:])
		return v
	case map[string]any:
		if _, there := v[pointer[0]]; !there {
			return v
		}
		v = maps.Clone(v)
		if len(pointer) == 1 {
			delete(v, pointer[0])
		} else {
			v[pointer[0]] = without(v[pointer[0]], pointer[1:])
		}
		return v
	}
	return v
}

// differ lists the places where two documents are not the same.
func differ(from, to any) []difference {
	var out []difference
	var walk func(pointer string, from, to any)
	walk = func(pointer string, from, to any) {
		a, isA := from.(map[string]any)
		b, isB := to.(map[string]any)
		if isA && isB {
			keys := maps.Clone(a)
			maps.Copy(keys, b)
			for _, k := range slices.Sorted(maps.Keys(keys)) {
				walk(pointer+"/"+pointerToken(k), a[k], b[k])
			}
			return
		}
		l, isL := from.([]any)
		m, isM := to.([]any)
		if isL && isM {
			for i := range max(len(l), len(m)) {
				var left, right any
				if i < len(l) {
					left = l[i]
				}
				if i < len(m) {
					right = m[i]
				}
				walk(pointer+"/"+strconv.Itoa(i), left, right)
			}
			return
		}
		if was, is := encodeJSON(from), encodeJSON(to); was != is {
			d := difference{Pointer: pointer}
			if from != nil {
				d.From = json.RawMessage(was)
			}
			if to != nil {
				d.To = json.RawMessage(is)
			}
			out = append(out, d)
		}
	}
	walk("", from, to)
	return out
}
