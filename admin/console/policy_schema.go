package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schema is what the editor needs of a JSON Schema.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        string             `json:"type"`
	Description string             `json:"description"`
	Format      string             `json:"format"`
	Encoding    string             `json:"contentEncoding"`
	Enum        []any              `json:"enum"`
	Minimum     json.Number        `json:"minimum"`
	Maximum     json.Number        `json:"maximum"`
	MaxLength   int                `json:"maxLength"`
	MaxItems    int                `json:"maxItems"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Items       *schema            `json:"items"`
	Defs        map[string]*schema `json:"$defs"`
}

// The controls of the editor.
const (
	controlObject = "object" // a fieldset
	controlList   = "list"   // of fieldsets
	controlLines  = "lines"  // of texts
	controlTicks  = "ticks"  // some of a few values
	controlChoice = "choice"
	controlSwitch = "switch"
	controlNumber = "number"
	controlText   = "text"
	controlSecret = "secret"
	controlFile   = "file" // base64
	controlJSON   = "json" // whatever it is
)

// control is the control of a value of this schema, which is resolved.
func (s *schema) control(model *policyModel) string {
	switch {
	case s.Properties != nil:
		return controlObject
	case s.Type == "array":
		switch items := model.resolve(s.Items); {
		case items.Type != "string" || items.Encoding != "":
			return controlList
		case items.Enum != nil:
			return controlTicks
		}
		return controlLines
	case s.Type == "boolean":
		return controlSwitch
	case s.Type == "integer" || s.Type == "number":
		return controlNumber
	case s.Type != "string":
		return controlJSON
	case s.Enum != nil:
		return controlChoice
	case s.Format == "password":
		return controlSecret
	case s.Encoding == "base64":
		return controlFile
	}
	return controlText
}

func (s *schema) options() []string {
	out := make([]string, len(s.Enum))
	for i, v := range s.Enum {
		out[i] = fmt.Sprint(v)
	}
	return out
}

// policySetting is a field of the document and what it becomes; see the API's
// PolicySetting.
type policySetting struct {
	Pointer string           `json:"pointer"`
	Area    string           `json:"area"`
	Apple   []appleSetting   `json:"apple"`
	Android []androidSetting `json:"android"`

	// In a word how far the platforms have it; empty: nothing is known.
	OnApple, OnAndroid string `json:"-"`
}

type appleSetting struct {
	Key            string `json:"key"`
	Value          any    `json:"value"`
	Supervised     bool   `json:"supervised"`
	UserEnrollment bool   `json:"user_enrollment"`
	MinOS          string `json:"min_os"`
	Before         string `json:"before"`
	Deprecated     string `json:"deprecated"`
	Caveat         string `json:"caveat"`
}

// Written is the key and what is written there.
func (a appleSetting) Written() string { return written(a.Key, a.Value) }

type androidSetting struct {
	Field      string   `json:"field"`
	When       string   `json:"when"`
	Value      any      `json:"value"`
	Modes      []string `json:"modes"`
	MinAPI     int      `json:"min_api_level"`
	Permission bool     `json:"permission"`
	Caveat     string   `json:"caveat"`
}

// Written is the field and what is written there.
func (a androidSetting) Written() string { return written(a.Field, a.Value) }

func written(key string, value any) string {
	if value == nil {
		return key
	}
	return fmt.Sprintf("%s = %v", key, value)
}

// Told says whether anything is known of it.
func (s policySetting) Told() bool { return len(s.Apple)+len(s.Android) > 0 }

// How far a platform has a setting.
const (
	supportNo   = "no"
	supportSome = "some" // of its devices
	supportAll  = "all"
)

func supportOf[T any](rows []T, has, everywhere func(T) bool) string {
	word := ""
	for _, r := range rows {
		switch {
		case !has(r) && word == "":
			word = supportNo
		case has(r) && everywhere(r):
			word = supportAll
		case has(r) && word != supportAll:
			word = supportSome
		}
	}
	return word
}

func onApple(rows []appleSetting) string {
	return supportOf(rows, func(a appleSetting) bool { return a.Key != "" }, func(a appleSetting) bool { return !a.Supervised })
}

func onAndroid(rows []androidSetting) string {
	return supportOf(rows, func(a androidSetting) bool { return a.Field != "" }, func(a androidSetting) bool { return a.Modes == nil })
}

// policyModel is what can be said in a document, as the API tells it.
type policyModel struct {
	root     *schema
	settings []policySetting
	at       map[string]int // settings by their pointers
}

func (q *request) policyModel() (*policyModel, error) {
	m := &policyModel{root: &schema{}, at: map[string]int{}}
	if err := q.get("/policy-schema", nil, m.root); err != nil {
		return nil, err
	}
	var list struct {
		Items []policySetting `json:"items"`
	}
	if err := q.get("/policy-settings", nil, &list); err != nil {
		return nil, err
	}
	m.settings = list.Items
	for i, s := range m.settings {
		m.at[s.Pointer] = i
	}
	return m, nil
}

// resolve follows references; what a reference says beside it stays.
func (m *policyModel) resolve(s *schema) *schema {
	name, ok := strings.CutPrefix(s.Ref, "#/$defs/")
	if !ok {
		return s
	}
	out := *m.root.Defs[name]
	if s.Description != "" {
		out.Description = s.Description
	}
	return &out
}

// find is the schema at a pointer, where - and numbers are elements of lists;
// nil: there is no such place.
func (m *policyModel) find(pointer string) *schema {
	s := m.resolve(m.root)
	for _, token := range pointerTokens(pointer) {
		switch {
		case s.Properties[token] != nil:
			s = m.resolve(s.Properties[token])
		case s.Items != nil:
			s = m.resolve(s.Items)
		default:
			return nil
		}
	}
	return s
}

// fields are the names of an object's fields in the order of the document.
func (m *policyModel) fields(pattern string, s *schema) []string {
	place := func(name string) int {
		if i, ok := m.at[pattern+"/"+name]; ok {
			return i
		}
		return len(m.settings)
	}
	names := slices.Sorted(maps.Keys(s.Properties))
	slices.SortStableFunc(names, func(a, b string) int { return place(a) - place(b) })
	return names
}

// setting is what is known of a place. What one platform's table says of it as a
// whole stands beside what the other's says of its parts, and the other way round.
func (m *policyModel) setting(pointer string) policySetting {
	pattern := patternOf(pointer)
	i, ok := m.at[pattern]
	if !ok {
		return policySetting{Pointer: pattern}
	}
	s := m.settings[i]
	whole := strings.Count(pattern, "/") == 1
	if !s.Told() && !whole {
		return s
	}
	for above := pattern; (s.Apple == nil || s.Android == nil) && strings.Count(above, "/") > 1; {
		above = above[:strings.LastIndexByte(above, '/')]
		up := m.settings[m.at[above]]
		if s.Apple == nil {
			s.Apple = up.Apple
		}
		if s.Android == nil {
			s.Android = up.Android
		}
	}
	apple, android := s.Apple, s.Android
	for _, part := range m.settings {
		if whole && strings.HasPrefix(part.Pointer, pattern+"/") {
			if s.Apple == nil {
				apple = append(apple, part.Apple...)
			}
			if s.Android == nil {
				android = append(android, part.Android...)
			}
		}
	}
	s.OnApple, s.OnAndroid = onApple(apple), onAndroid(android)
	return s
}

// units are the settings that are added to a policy one by one: every
// restriction, and every other part as a whole.
func (m *policyModel) units() []policySetting {
	var out []policySetting
	for _, s := range m.settings {
		tokens := pointerTokens(s.Pointer)
		if len(tokens) == 2 && tokens[0] == "restrictions" || len(tokens) == 1 && tokens[0] != "restrictions" {
			out = append(out, s)
		}
	}
	return out
}

// fresh is what a setting holds when it is added.
func (m *policyModel) fresh(s *schema) any {
	switch s.control(m) {
	case controlObject:
		return map[string]any{}
	case controlList, controlLines, controlTicks:
		return []any{}
	case controlChoice:
		for _, first := range []string{"deny", "require"} {
			if slices.Contains(s.options(), first) {
				return first
			}
		}
		return s.options()[0]
	case controlSwitch:
		return true
	case controlJSON:
		return map[string]any{}
	}
	return ""
}
