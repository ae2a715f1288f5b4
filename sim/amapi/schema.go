package amapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schema is Google's discovery document, or as much of it as validation needs:
// methods, parameters and schemas.
type Schema struct {
	Revision string
	common   map[string]*field
	methods  map[string]*method // by id without "androidmanagement."
	schemas  map[string]*field
}

// method is one call of the document.
type method struct {
	HTTPMethod string            `json:"httpMethod"`
	FlatPath   string            `json:"flatPath"`
	Parameters map[string]*field `json:"parameters"`
	Request    *field            `json:"request"`
	Response   *field            `json:"response"`
}

// field is a schema, a property of one, or a parameter.
type field struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Format     string            `json:"format"`
	Enum       []string          `json:"enum"`
	Items      *field            `json:"items"`
	Properties map[string]*field `json:"properties"`
	Additional *field            `json:"additionalProperties"`
	ReadOnly   bool              `json:"readOnly"`
	Deprecated bool              `json:"deprecated"`
	Location   string            `json:"location"`
	Repeated   bool              `json:"repeated"`
}

// resource is a node of the document's tree of methods.
type resource struct {
	Methods   map[string]*method   `json:"methods"`
	Resources map[string]*resource `json:"resources"`
}

// LoadSchema reads a discovery document (JSON) from a file.
func LoadSchema(path string) (*Schema, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("amapi: %w", err)
	}
	var doc struct {
		Revision   string            `json:"revision"`
		Parameters map[string]*field `json:"parameters"`
		Schemas    map[string]*field `json:"schemas"`
		resource
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("amapi: %s: %w", path, err)
	}
	s := &Schema{Revision: doc.Revision, common: doc.Parameters, schemas: doc.Schemas, methods: map[string]*method{}}
	s.collect("", &doc.resource)
	if len(s.methods) == 0 || len(s.schemas) == 0 {
		return nil, fmt.Errorf("amapi: %s is no discovery document", path)
	}
	return s, nil
}

func (s *Schema) collect(prefix string, r *resource) {
	for name, m := range r.Methods {
		s.methods[prefix+name] = m
	}
	for name, child := range r.Resources {
		s.collect(prefix+name+".", child)
	}
}

// checkQuery returns what is wrong with the query of a call, "" for nothing.
func (s *Schema) checkQuery(id string, q url.Values) string {
	for _, name := range sortedKeys(q) {
		p := s.methods[id].Parameters[name]
		if p == nil || p.Location != "query" {
			p = s.common[name]
		}
		if p == nil {
			return fmt.Sprintf("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", name, name)
		}
		if len(q[name]) > 1 && !p.Repeated {
			return fmt.Sprintf("Invalid value at '%s' (repeated), the parameter is given %d times", name, len(q[name]))
		}
		for _, value := range q[name] {
			if !p.holdsText(value) {
				return fmt.Sprintf("Invalid value at '%s' (%s), %q", name, p.kind(), value)
			}
		}
	}
	return ""
}

// holdsText checks a value of a query, where everything is text.
func (f *field) holdsText(value string) bool {
	switch f.Type {
	case "integer":
		_, err := strconv.ParseInt(value, 10, 32)
		return err == nil
	case "boolean":
		return value == "true" || value == "false"
	}
	return f.holdsString(value)
}

var (
	durationFormat = regexp.MustCompile(`^-?\d{1,12}(\.\d{1,9})?s$`)
	maskFormat     = regexp.MustCompile(`^[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*(,[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*)*$`)
	base64Format   = regexp.MustCompile(`^[A-Za-z0-9+/_-]*={0,2}$`)
)

func (f *field) holdsString(value string) bool {
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, value) {
		return false
	}
	switch f.Format {
	case "int64":
		_, err := strconv.ParseInt(value, 10, 64)
		return err == nil
	case "google-duration":
		return durationFormat.MatchString(value)
	case "google-datetime":
		_, err := time.Parse(time.RFC3339Nano, value)
		return err == nil
	case "google-fieldmask":
		return maskFormat.MatchString(value)
	case "byte":
		return base64Format.MatchString(value)
	}
	return true
}

// kind names a type as errors do.
func (f *field) kind() string {
	switch {
	case len(f.Enum) > 0:
		return "TYPE_ENUM"
	case f.Format != "":
		return f.Format
	}
	return "TYPE_" + strings.ToUpper(f.Type)
}

// finding is what a walk over a body met.
type finding struct {
	problem  string   // the first fault, in Google's words; "": none
	warnings []string // fields that are read only or deprecated
}

// check walks a value as the named schema.
func (s *Schema) check(name string, value any) finding {
	var out finding
	s.walk(s.schemas[name], value, "", &out)
	return out
}

func (s *Schema) walk(f *field, value any, path string, out *finding) {
	if out.problem != "" {
		return
	}
	if f.Ref != "" {
		f = s.schemas[f.Ref]
	}
	good := true
	switch f.Type {
	case "any":
	case "string":
		text, ok := value.(string)
		good = ok && f.holdsString(text)
	case "boolean":
		_, good = value.(bool)
	case "integer":
		number, ok := value.(json.Number)
		n, err := strconv.ParseInt(string(number), 10, 64)
		good = ok && err == nil && n >= math.MinInt32 && n <= math.MaxInt32
	case "number":
		_, good = value.(json.Number)
	case "array":
		var list []any
		if list, good = value.([]any); good {
			for i, item := range list {
				s.walk(f.Items, item, fmt.Sprintf("%s[%d]", path, i), out)
			}
		}
	case "object":
		var members object
		if members, good = value.(object); good {
			s.walkObject(f, members, path, out)
		}
	default:
		good = false
	}
	if !good && out.problem == "" {
		shown, _ := json.Marshal(value)
		out.problem = fmt.Sprintf("Invalid value at '%s' (%s), %.200s", path, f.kind(), shown)
	}
}

func (s *Schema) walkObject(f *field, members object, path string, out *finding) {
	for _, name := range sortedKeys(members) {
		inner := name
		if path != "" {
			inner = path + "." + name
		}
		property := f.Properties[name]
		switch {
		case property != nil && property.ReadOnly:
			out.warnings = append(out.warnings, inner+" is read only")
		case property != nil && property.Deprecated:
			out.warnings = append(out.warnings, inner+" is deprecated")
		case property == nil:
			property = f.Additional
		}
		if property == nil {
			at := ""
			if path != "" {
				at = fmt.Sprintf(" at '%s'", path)
			}
			out.problem = fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", name, at)
			return
		}
		s.walk(property, members[name], inner, out)
	}
}

// checkMask says whether every path of a mask is a field of the schema.
func (s *Schema) checkMask(name, mask string) string {
	for _, path := range strings.Split(mask, ",") {
		f := s.schemas[name]
		for _, part := range strings.Split(path, ".") {
			if f = f.Properties[part]; f == nil {
				return fmt.Sprintf("Invalid field mask: %q is no field of %s.", path, name)
			}
			if f.Ref != "" {
				f = s.schemas[f.Ref]
			}
		}
	}
	return ""
}
