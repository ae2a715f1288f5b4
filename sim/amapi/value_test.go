package amapi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAssign(t *testing.T) {
	for _, c := range []struct{ into, from, path, want string }{
		{`{}`, `{"a":1}`, "a", `{"a":1}`},
		{`{"a":1}`, `{}`, "a", `{}`},
		{`{}`, `{"a":{"b":1,"c":2}}`, "a.b", `{"a":{"b":1}}`},
		{`{"a":{"b":1,"c":2}}`, `{"a":{}}`, "a.b", `{"a":{"c":2}}`},
		{`{"a":{"b":1,"c":2}}`, `{}`, "a.b", `{"a":{"c":2}}`},
		{`{}`, `{}`, "a.b", `{}`},
		{`{"a":[1]}`, `{"a":[2,3]}`, "a", `{"a":[2,3]}`},
	} {
		var parsed [3]object
		for i, text := range []string{c.into, c.from, c.want} {
			v, err := parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			parsed[i] = v.(object)
		}
		into, from, want := parsed[0], parsed[1], parsed[2]
		assign(into, from, c.path)
		if diff := cmp.Diff(want, into); diff != "" {
			t.Errorf("%+v: %s", c, diff)
		}
	}
}

func TestSeconds(t *testing.T) {
	for value, want := range map[string]time.Duration{"0s": 0, "600s": 10 * time.Minute, "1.5s": 1500 * time.Millisecond, "315360000000s": 1<<63 - 1, "-1s": -time.Second} {
		if got, ok := seconds(value); !ok || got != want {
			t.Errorf("%s: %v %v", value, got, ok)
		}
	}
	for _, value := range []string{"", "s", "1", "1m", "1e3s", "NaNs", "1.s"} {
		if got, ok := seconds(value); ok {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"x",true,{"b":1.5e3}]}`, `null`, `{"a":1,"a":2}`, `[`, `{} {}`, "\xff", `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parse(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
