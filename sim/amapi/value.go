package amapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object; numbers in it are json.Number or Go's integers.
type object = map[string]any

// maxDepth is how deep a body may be nested.
const maxDepth = 64

// parse reads one JSON value and refuses what encoding/json lets pass: keys
// that come twice, null, and text behind the value.
func parse(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("text behind the value")
	}
	return v, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		out := object{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string)
			if _, twice := out[name]; twice {
				return nil, fmt.Errorf("key %q comes twice", name)
			}
			if out[name], err = parseValue(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return out, err
	case json.Delim('['):
		out := []any{}
		for d.More() {
			item, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, item)
		}
		_, err := d.Token()
		return out, err
	case nil:
		return nil, errors.New("null")
	}
	return t, nil
}

// clone copies a JSON value so that the copy can be changed.
func clone[T any](v T) T { return cloneValue(v).(T) }

func cloneValue(v any) any {
	switch v := v.(type) {
	case object:
		out := make(object, len(v))
		for k, inner := range v {
			out[k] = cloneValue(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = cloneValue(inner)
		}
		return out
	}
	return v
}

// lookup follows a dotted path of objects.
func lookup(v object, path string) (any, bool) {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		inner, ok := v[name]
		if !ok || !deeper {
			return inner, ok
		}
		if v, ok = inner.(object); !ok {
			return nil, false
		}
		path = rest
	}
}

// assign copies what is at a dotted path of from to into, or clears it there.
func assign(into, from object, path string) {
	value, present := lookup(from, path)
	for {
		name, rest, deeper := strings.Cut(path, ".")
		if !deeper {
			if present {
				into[name] = cloneValue(value)
			} else {
				delete(into, name)
			}
			return
		}
		inner, ok := into[name].(object)
		if !ok {
			if !present {
				return
			}
			inner = object{}
			into[name] = inner
		}
		into, path = inner, rest
	}
}

// text is the string at a path, "" where there is none.
func text(v object, path string) string {
	inner, _ := lookup(v, path)
	s, _ := inner.(string)
	return s
}

// flag is the boolean at a path, false where there is none.
func flag(v object, path string) bool {
	inner, _ := lookup(v, path)
	b, _ := inner.(bool)
	return b
}

// number is the integer at a path, 0 where there is none.
func number(v object, path string) int {
	inner, _ := lookup(v, path)
	n, _ := inner.(json.Number)
	i, _ := strconv.Atoi(string(n))
	return i
}

// list is the array of objects at a path.
func list(v object, path string) []object {
	inner, _ := lookup(v, path)
	var out []object
	items, _ := inner.([]any)
	for _, item := range items {
		if o, ok := item.(object); ok {
			out = append(out, o)
		}
	}
	return out
}

// texts is the array of strings at a path.
func texts(v object, path string) []string {
	inner, _ := lookup(v, path)
	var out []string
	items, _ := inner.([]any)
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// seconds reads a duration as in "600s"; false if it is none. Google's
// durations reach further than Go's, whose greatest stands for them.
func seconds(value string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(value, "s"), 64)
	if err != nil || !durationFormat.MatchString(value) {
		return 0, false
	}
	const longest = time.Duration(1<<63 - 1)
	if n > longest.Seconds() {
		return longest, true
	}
	return time.Duration(n * float64(time.Second)), true
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
