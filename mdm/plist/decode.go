package plist

import (
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"reflect"

	library "github.com/micromdm/plist"
)

// Caps in bytes for the bodies of Apple's two MDM requests. A check-in arrives
// before its sender is authenticated; a command result, which may carry
// hundreds of applications or certificates, after.
const (
	MaxCheckIn = 1 << 20
	MaxConnect = 16 << 20
)

// Bounds of a list when Limits leaves them out.
const (
	DefaultMaxDepth    = 32      // dicts and arrays inside each other
	DefaultMaxElements = 100_000 // all elements, keys included
)

// The reasons to refuse a list; use errors.Is. None is worth a retry.
var (
	ErrTooLarge = errors.New("property list is too large")
	ErrBinary   = errors.New("property list is binary; only XML is accepted")
	ErrEncoding = errors.New("property list is not UTF-8")
	ErrTooDeep  = errors.New("property list is nested too deeply")
	ErrTooMany  = errors.New("property list has too many elements")
	ErrDoctype  = errors.New("property list declares its own document type")
	ErrSyntax   = errors.New("property list is malformed")
	ErrType     = errors.New("property list has a value of another type than expected")
)

// Limits bounds what Decode accepts. A field that is zero has its default:
// MaxConnect, DefaultMaxDepth, DefaultMaxElements.
type Limits struct {
	Bytes    int
	Depth    int
	Elements int
}

// Decode puts an XML property list into the value that v points to; what was
// there before is overwritten. Struct fields are named by `plist:"Key"` tags;
// keys without a field are ignored, fields without a key stay zero. Integers go
// into integer fields (a negative one not into unsigned), <real> into floats,
// <data> into []byte, <date> into time.Time, and anything into any (integers
// that are not negative as uint64; DecodeDict is friendlier).
//
// Only the first of limits counts. Errors wrap one of the Err variables.
func Decode(data []byte, v any, limits ...Limits) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("plist: Decode into %T, want a pointer", v)
	}
	var l Limits
	if len(limits) > 0 {
		l = limits[0]
	}
	text, err := check(data, l)
	if err != nil {
		return err
	}
	// The library panics on slices and maps that hold something already.
	target.Elem().SetZero()
	if err := library.Unmarshal(text, v); err != nil {
		return withoutContent(err)
	}
	return nil
}

// DecodeDict decodes a list whose value is a dictionary. Values are string,
// bool, int64 (uint64 above its range), float64, []byte, time.Time, []any and
// map[string]any.
func DecodeDict(data []byte, limits ...Limits) (map[string]any, error) {
	var m map[string]any
	if err := Decode(data, &m, limits...); err != nil {
		return nil, err
	}
	narrow(m)
	return m, nil
}

// narrow turns the library's uint64, its type for every positive integer, into
// int64 wherever that loses nothing. Its recursion is bounded by Limits.Depth.
func narrow(v any) any {
	switch v := v.(type) {
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case []any:
		for i := range v {
			v[i] = narrow(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = narrow(v[k])
		}
	}
	return v
}

// withoutContent replaces the library's errors, which quote the values that
// they complain about.
func withoutContent(err error) error {
	var wrongType library.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("%w: no %s", ErrType, wrongType.Type)
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w: XML of line %d", ErrSyntax, syntax.Line)
	}
	return fmt.Errorf("%w: undecodable value or XML declaration", ErrSyntax)
}
