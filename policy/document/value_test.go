package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// treeOf draws any value a property list can hold.
func treeOf(depth int) *rapid.Generator[any] {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09 .<&\"\\$\t\n\räß漢😀")), 0, 8, -1)
	kinds := []*rapid.Generator[any]{
		text.AsAny(),
		rapid.Bool().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Custom(func(t *rapid.T) any { return float64(rapid.Int32().Draw(t, "whole")) }),
		rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).AsAny(),
		rapid.SliceOfN(rapid.Byte(), 0, 9).AsAny(),
		rapid.Custom(func(t *rapid.T) any {
			return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "second"), 0).UTC()
		}),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(treeOf(depth-1), 0, 4).Draw(t, "array") }),
			rapid.Custom(func(t *rapid.T) any {
				return Dict(rapid.MapOfN(text, treeOf(depth-1), 0, 4).Draw(t, "dict"))
			}))
	}
	return rapid.OneOf(kinds...)
}

func TestDictRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Dict{"root": treeOf(4).Draw(t, "tree")}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Dict
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", b, diff)
		}
		again, err := json.Marshal(got)
		if err != nil || string(again) != string(b) {
			t.Fatalf("second encoding %s, first %s (%v)", again, b, err)
		}
	})
}

// nested is a value inside n dictionaries.
func nested(n int) string {
	return strings.Repeat(`{"k":`, n) + "1" + strings.Repeat("}", n)
}

func TestDictFromJSON(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, c := range []struct {
		json string
		want any // nil: an error that contains text
		text string
	}{
		{json: `"x"`, want: "x"},
		{json: `1`, want: int64(1)},
		{json: `-0`, want: int64(0)},
		{json: `9223372036854775807`, want: int64(math.MaxInt64)},
		{json: `-9223372036854775808`, want: int64(math.MinInt64)},
		{json: `1.0`, want: 1.0},
		{json: `1e2`, want: 100.0},
		{json: `1E300`, want: 1e300},
		{json: `true`, want: true},
		{json: `[]`, want: []any{}},
		{json: `{}`, want: Dict{}},
		{json: `{"$data":"AQI="}`, want: []byte{1, 2}},
		{json: `{"$data":""}`, want: []byte{}},
		{json: `{"$data":5}`, want: Dict{"$data": int64(5)}},
		{json: `{"$data":"AQI=","b":1}`, want: Dict{"$data": "AQI=", "b": int64(1)}},
		{json: `{"$date":"2026-03-04T05:06:07Z"}`, want: at},
		{json: `{"$date":"2026-03-04T07:06:07.9+02:00"}`, want: at},
		{json: `[1,1.0,"1"]`, want: []any{int64(1), 1.0, "1"}},

		{json: `null`, text: "null"},
		{json: `[null]`, text: "[0]: null"},
		{json: `{"a":{"b":null}}`, text: "a: b: null"},
		{json: `9223372036854775808`, text: "out of range"},
		{json: `1e400`, text: "out of range"},
		{json: `{"$data":"*"}`, text: "base64"},
		{json: `{"$date":"yesterday"}`, text: "cannot parse"},
		{json: `{"$date":"0001-01-01T00:00:00+10:00"}`, text: "date"},
		{json: `{"$date":"9999-12-31T23:59:59-10:00"}`, text: "date"},
		{json: `"a\u0000b"`, text: "U+0000"},
		{json: `{"a\u0007":1}`, text: "U+0007"},
		{json: `"\uFFFE"`, text: "U+FFFE"},
		{json: nested(maxNesting), text: "nested deeper"},
		{json: strings.Repeat("[", maxNesting+1) + strings.Repeat("]", maxNesting+1), text: "nested deeper"},
		{json: strings.Repeat("[", 100000) + strings.Repeat("]", 100000), text: "depth"},
	} {
		t.Run(fmt.Sprintf("%.40s", c.json), func(t *testing.T) {
			var d Dict
			err := json.Unmarshal([]byte(`{"v":`+c.json+`}`), &d)
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("got %v and the error %v, want an error with %q", d, err, c.text)
				}
				return
			}
			if diff := cmp.Diff(Dict{"v": c.want}, d); err != nil || diff != "" {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
	var d Dict
	if err := json.Unmarshal([]byte(nested(maxNesting)), &d); err != nil {
		t.Errorf("%d levels are refused: %v", maxNesting, err)
	}
	if err := json.Unmarshal([]byte(`[]`), &d); err == nil {
		t.Error("an array is taken for a dictionary")
	}
}

func TestDictToJSON(t *testing.T) {
	deep := func(n int) any {
		v := any(true)
		for range n {
			v = []any{v}
		}
		return v
	}
	for _, c := range []struct {
		name string
		in   any
		want string // empty: an error that contains text
		text string
	}{
		{"real without fraction", 1.0, `{"v":1.0}`, ""},
		{"large real", 1e300, `{"v":1e+300}`, ""},
		{"negative zero", math.Copysign(0, -1), `{"v":-0.0}`, ""},
		{"integer", int64(1), `{"v":1}`, ""},
		{"keys in order", Dict{"b": true, "a": false}, `{"v":{"a":false,"b":true}}`, ""},
		{"plain map", map[string]any{"a": []any{}}, `{"v":{"a":[]}}`, ""},
		{"bytes", []byte("hi"), `{"v":{"$data":"aGk="}}`, ""},
		{"date elsewhere", time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)), `{"v":{"$date":"2026-01-01T00:00:00Z"}}`, ""},
		{"deepest", deep(maxNesting - 1), `{"v":` + strings.Repeat("[", maxNesting-1) + "true" + strings.Repeat("]", maxNesting-1) + `}`, ""},
		{"too deep", deep(maxNesting), "", "nested deeper"},
		{"not a number", math.NaN(), "", "NaN is not a number"},
		{"infinite", math.Inf(-1), "", "-Inf is not a number"},
		{"nothing", nil, "", "null"},
		{"nothing inside", []any{Dict{"a": nil}}, "", "[0]: a: null"},
		{"control character", "\x00", "", "U+0000"},
		{"control character in a key", Dict{"\x1b": 1}, "", "U+001B"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := json.Marshal(Dict{"v": c.in})
			if c.want == "" {
				if err == nil || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("got %s and the error %v, want an error with %q", b, err, c.text)
				}
				if marshaler := (*json.MarshalerError)(nil); !errors.As(err, &marshaler) {
					t.Errorf("error %T, want it from the dictionary", err)
				}
				return
			}
			if err != nil || string(b) != c.want {
				t.Errorf("got %s (%v), want %s", b, err, c.want)
			}
		})
	}
	if b, err := json.Marshal(Payload{Type: "a"}); err != nil || string(b) != `{"type":"a","content":{}}` {
		t.Errorf("a payload without content: %s, %v", b, err)
	}
}
