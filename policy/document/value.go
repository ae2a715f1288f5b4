package document

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Dict is a dictionary of a property list. Its values are string, bool, int64,
// float64, []byte, time.Time, []any and Dict. In JSON, bytes are
// {"$data": "base64"} and dates {"$date": "RFC 3339"}; a number with a dot or
// an exponent is a real, any other an integer.
type Dict map[string]any

const maxNesting = 32

// UnmarshalJSON implements json.Unmarshaler.
func (d *Dict) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		return err
	}
	v, err := dictFromJSON(raw, 0)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

func dictFromJSON(raw map[string]any, depth int) (Dict, error) {
	out := make(Dict, len(raw))
	for k, v := range raw {
		if err := checkText(k); err != nil {
			return nil, err
		}
		x, err := valueFromJSON(v, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = x
	}
	return out, nil
}

func valueFromJSON(v any, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d", maxNesting)
	}
	switch v := v.(type) {
	case string:
		return v, checkText(v)
	case bool:
		return v, nil
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return v.Float64()
		}
		return v.Int64()
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			x, err := valueFromJSON(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = x
		}
		return out, nil
	case map[string]any:
		if len(v) == 1 {
			if s, ok := v["$data"].(string); ok {
				return base64.StdEncoding.DecodeString(s)
			}
			if s, ok := v["$date"].(string); ok {
				return dateFromJSON(s)
			}
		}
		return dictFromJSON(v, depth)
	case nil:
		return nil, fmt.Errorf("null has no property list form")
	}
	return nil, fmt.Errorf("%T has no property list form", v)
}

// dateFromJSON gives what a property list can say of a time: UTC, seconds,
// four digits of the year.
func dateFromJSON(s string) (any, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, err
	}
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 1 || t.Year() > 9999 {
		return nil, fmt.Errorf("the date %s has no property list form", s)
	}
	return t, nil
}

// checkText says whether a string can be part of an XML document (XML 1.0,
// section 2.2); the others would reach the device as something else.
func checkText(s string) error {
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return fmt.Errorf("the character %U has no property list form", r)
		}
	}
	return nil
}

// CheckTexts says which of the strings cannot be part of a property list.
func CheckTexts(texts ...string) error {
	for _, s := range texts {
		if err := checkText(s); err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON implements json.Marshaler with keys in order, so that equal
// dictionaries have equal bytes. What UnmarshalJSON would refuse is an error.
func (d Dict) MarshalJSON() ([]byte, error) {
	v, err := toJSON(map[string]any(d), 0)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func toJSON(v any, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d", maxNesting)
	}
	switch v := v.(type) {
	case Dict:
		return toJSON(map[string]any(v), depth)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if err := checkText(k); err != nil {
				return nil, err
			}
			x, err := toJSON(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = x
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			x, err := toJSON(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = x
		}
		return out, nil
	case string:
		return v, checkText(v)
	case []byte:
		return map[string]string{"$data": base64.StdEncoding.EncodeToString(v)}, nil
	case time.Time:
		return map[string]string{"$date": v.UTC().Format(time.RFC3339)}, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%v is not a number that can be stored", v)
		}
		return real64(v), nil
	case nil:
		return nil, fmt.Errorf("null has no property list form")
	}
	return v, nil
}

// real64 keeps the dot of a real in JSON, so that 1.0 does not become 1.
type real64 float64

func (r real64) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(r), 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return []byte(s), nil
}

func (f Profile) size() (int, error) {
	b, err := json.Marshal(f)
	return len(b), err
}
