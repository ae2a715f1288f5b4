package console_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/admin/console"
)

// api is the API's own document, which what pages decode is held against: a field
// that no answer has would be empty on its page for ever.
type api struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema schema `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type schema struct {
	Ref        string            `json:"$ref"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	Additional json.RawMessage   `json:"additionalProperties"`
}

func (h *house) document() *api {
	h.t.Helper()
	var d api
	h.API(http.MethodGet, "/openapi.json", nil, &d)
	return &d
}

// answer is the schema of what an operation answers when all is well.
func (d *api) answer(method, path string) (schema, bool) {
	path, _, _ = strings.Cut(path, "?")
	steps := strings.Split(path, "/")
	best, literal := "", -1
	for template := range d.Paths {
		parts := strings.Split(strings.TrimPrefix(template, "/api/v1"), "/")
		same := 0
		if len(parts) != len(steps) || slices.ContainsFunc(slices.Collect(pairs(parts, steps)), func(p [2]string) bool {
			if p[0] == p[1] {
				same++
			}
			return p[0] != p[1] && !strings.HasPrefix(p[0], "{")
		}) {
			continue
		}
		if same > literal {
			best, literal = template, same
		}
	}
	for status, r := range d.Paths[best][strings.ToLower(method)].Responses {
		if content, ok := r.Content["application/json"]; ok && strings.HasPrefix(status, "2") {
			return content.Schema, true
		}
	}
	return schema{}, false
}

func pairs(a, b []string) func(func([2]string) bool) {
	return func(yield func([2]string) bool) {
		for i := range a {
			if !yield([2]string{a[i], b[i]}) {
				return
			}
		}
	}
}

func (d *api) resolve(s schema) schema {
	for s.Ref != "" {
		s = d.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	return s
}

// undivided are types that stand for one value of JSON. A problem is told of
// more shortly where it is part of an answer.
var undivided = []reflect.Type{reflect.TypeFor[time.Time](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[console.Problem]()}

// walk tells of each field of t whether the schema has it.
func (d *api) walk(s schema, t reflect.Type, tell func(owner reflect.Type, field string, there bool)) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s = d.resolve(s)
	switch {
	case slices.Contains(undivided, t) || t.Kind() == reflect.Interface || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return
	case t.Kind() == reflect.Slice && s.Items != nil:
		d.walk(*s.Items, t.Elem(), tell)
		return
	case t.Kind() == reflect.Map:
		var values schema
		if json.Unmarshal(s.Additional, &values) == nil {
			d.walk(values, t.Elem(), tell)
		}
		return
	case t.Kind() != reflect.Struct || len(s.Properties) == 0:
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			d.walk(s, f.Type, tell)
		case name == "" || name == "-":
		default:
			property, there := s.Properties[name]
			tell(t, name, there)
			if there {
				d.walk(property, f.Type, tell)
			}
		}
	}
}

// decoded are the fields that pages read, and whether any of the answers they
// are read from has them. One type may serve several answers.
var decoded = struct {
	sync.Mutex
	there map[string]bool
}{there: map[string]bool{}}

func (d *api) observe(method, path string, out any) {
	s, ok := d.answer(method, path)
	if out == nil || !ok {
		return
	}
	decoded.Lock()
	defer decoded.Unlock()
	d.walk(s, reflect.TypeOf(out), func(owner reflect.Type, field string, there bool) {
		name := owner.String() + " " + field
		decoded.there[name] = decoded.there[name] || there
	})
}

// TestMain fails where a page reads what no answer of the API has. That is only
// known when all tests have run.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" {
		for _, name := range slices.Sorted(maps.Keys(decoded.there)) {
			if !decoded.there[name] {
				fmt.Printf("FAIL: no answer of the API has what is decoded into %s\n", name)
				code = 1
			}
		}
	}
	os.Exit(code)
}

func TestObserved(t *testing.T) {
	d := &api{}
	if err := json.Unmarshal([]byte(`{"paths":{"/api/v1/a/{id}":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/A"}}}}}}}},
		"components":{"schemas":{"A":{"properties":{"items":{"items":{"$ref":"#/components/schemas/B"}}}},"B":{"properties":{"name":{}}}}}}`), d); err != nil {
		t.Fatal(err)
	}
	s, ok := d.answer(http.MethodGet, "/a/x")
	if !ok {
		t.Fatal("the operation is not found")
	}
	var out struct {
		Items []struct {
			Name  string `json:"name"`
			Typed string `json:"tpyo"`
		} `json:"items"`
	}
	var missing []string
	d.walk(s, reflect.TypeOf(&out), func(_ reflect.Type, field string, there bool) {
		if !there {
			missing = append(missing, field)
		}
	})
	if !slices.Equal(missing, []string{"tpyo"}) {
		t.Errorf("%v", missing)
	}
}
