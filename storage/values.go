package storage

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// micros is how a time is stored; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant is the inverse of micros, in UTC.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// encode gives the JSON of a value that always has one.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("storage: %T has no JSON: %v", v, err))
	}
	return string(b)
}

// decode reads JSON that encode wrote.
func decode[T any](text string) (T, error) {
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("storage: stored JSON of %T: %w", v, err)
	}
	return v, nil
}

// clean makes text storable in both engines: PostgreSQL refuses NUL and broken
// UTF-8, and devices send both.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// after is the smallest text that is above every text starting with prefix, as
// far as such text is valid Unicode.
func after(prefix string) string { return prefix + "\U0010FFFF" }
