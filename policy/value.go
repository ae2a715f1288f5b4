package policy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	case string, bool:
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
				return time.Parse(time.RFC3339, s)
			}
		}
		return dictFromJSON(v, depth)
	case nil:
		return nil, fmt.Errorf("null has no property list form")
	}
	return nil, fmt.Errorf("%T has no property list form", v)
}

// MarshalJSON implements json.Marshaler with keys in order, so that equal
// dictionaries have equal bytes.
func (d Dict) MarshalJSON() ([]byte, error) { return json.Marshal(toJSON(map[string]any(d))) }

func toJSON(v any) any {
	switch v := v.(type) {
	case Dict:
		return toJSON(map[string]any(v))
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = toJSON(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = toJSON(e)
		}
		return out
	case []byte:
		return map[string]string{"$data": base64.StdEncoding.EncodeToString(v)}
	case time.Time:
		return map[string]string{"$date": v.UTC().Format(time.RFC3339)}
	case float64:
		return real64(v)
	}
	return v
}

// real64 keeps the dot of a real in JSON, so that 1.0 does not become 1.
type real64 float64

func (r real64) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(r), 'g', -1, 64)
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return []byte(s), nil
}

func (f Profile) size() (int, error) {
	b, err := json.Marshal(f)
	return len(b), err
}
