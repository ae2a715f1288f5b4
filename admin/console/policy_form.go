package console

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// keptSecret stands for a secret in the API's answers, and keptFile for a file
// that is one.
const keptSecret = "********"

var keptFile = base64.StdEncoding.EncodeToString([]byte(keptSecret))

// node is a place of the document in the form of the editor.
type node struct {
	Pointer   string
	Name      string
	Help      string
	Control   string
	Value     string
	Options   []option
	Minimum   json.Number
	Maximum   json.Number
	MaxLength int
	Long      bool // a text of more than one line
	Needed    bool
	Kept      bool // a secret that is there, and not shown
	Unit      bool // stands in the policy by itself and can be taken out
	Element   bool // of a list
	Setting   policySetting
	Wrong     string
	Children  []*node
	Missing   []addable // parts that can be added to it
	Full      bool      // no more elements fit
}

type option struct {
	Value  string
	Chosen bool
}

// ID is an identifier in HTML.
func (n *node) ID() string { return "s" + strings.ReplaceAll(n.Pointer, "/", "-") }

// addable is a setting that is not in the policy.
type addable struct {
	Pointer string
	Name    string
	Help    string
	Setting policySetting
}

// settingArea is a part of the form, or of the list of what can be added.
type settingArea struct {
	Area    string
	Nodes   []*node
	Missing []addable
}

// areaOf groups what is no restriction under a name of its own.
func areaOf(s policySetting) string {
	if s.Area != "" {
		return s.Area
	}
	if s.Pointer == "/apple" || s.Pointer == "/android" {
		return "raw"
	}
	return "parts"
}

// areas are the settings of a document as a form, and what can be added to it.
// search narrows the latter.
func (m *policyModel) areas(d document, p *problem, search string) []settingArea {
	var out []settingArea
	for _, s := range m.units() {
		area := areaOf(s)
		if i := slices.IndexFunc(out, func(a settingArea) bool { return a.Area == area }); i < 0 {
			out = append(out, settingArea{Area: area})
		}
		a := &out[slices.IndexFunc(out, func(a settingArea) bool { return a.Area == area })]
		if v, there := lookUp(map[string]any(d), pointerTokens(s.Pointer)); there {
			n := m.node(s.Pointer, m.find(s.Pointer), v, p)
			n.Unit = true
			a.Nodes = append(a.Nodes, n)
			continue
		}
		add := m.addable(s.Pointer)
		if search == "" || strings.Contains(strings.ToLower(add.Name+" "+add.Help+" "+add.Pointer), strings.ToLower(search)) {
			a.Missing = append(a.Missing, add)
		}
	}
	return out
}

func (m *policyModel) addable(pointer string) addable {
	return addable{Pointer: pointer, Name: settingName(patternOf(pointer)), Help: m.find(pointer).Description, Setting: m.setting(pointer)}
}

func lookUp(v any, pointer []string) (any, bool) {
	for _, token := range pointer {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[token]; !ok {
			return nil, false
		}
	}
	return v, true
}

// node is the form of a value, which is nil where nothing is there.
func (m *policyModel) node(pointer string, s *schema, v any, p *problem) *node {
	pattern := patternOf(pointer)
	n := &node{Pointer: pointer, Name: settingName(pattern), Help: s.Description, Control: s.control(m), Minimum: s.Minimum, Maximum: s.Maximum,
		MaxLength: s.MaxLength, Setting: m.setting(pointer), Wrong: p.At("/document" + pointer)}
	switch n.Control {
	case controlObject:
		m.object(n, pattern, s, v, p)
	case controlList:
		list, _ := v.([]any)
		for i, e := range list {
			child := m.node(pointer+"/"+strconv.Itoa(i), m.resolve(s.Items), e, p)
			child.Name, child.Element = text("policies.edit.element", n.Name, i+1), true
			child.Setting = policySetting{}
			n.Children = append(n.Children, child)
		}
		n.Full = s.MaxItems > 0 && len(list) >= s.MaxItems
	case controlLines, controlTicks:
		var chosen []string
		list, ok := v.([]any)
		for _, e := range list {
			chosen = append(chosen, shownWhole(e))
		}
		if n.Value = strings.Join(chosen, "\n"); !ok && v != nil {
			n.Value = shownWhole(v)
		}
		if n.Control == controlTicks {
			for _, o := range m.resolve(s.Items).options() {
				n.Options = append(n.Options, option{o, slices.Contains(chosen, o)})
			}
		}
	case controlSecret, controlFile:
		if n.Value = shownWhole(v); n.Value == keptSecret || n.Value == keptFile {
			n.Kept, n.Value = true, ""
		}
	case controlJSON:
		if raw, isText := v.(string); isText { // that was no JSON
			n.Value = raw
		} else if v != nil {
			n.Value = encodeJSON(v)
		}
	default:
		n.Value = shownWhole(v)
		n.Long = s.MaxLength > 255 && s.Format == "" || strings.Contains(n.Value, "\n")
		options := s.options()
		if n.Control == controlSwitch {
			options = []string{"true", "false"}
		}
		for _, o := range options {
			n.Options = append(n.Options, option{o, o == n.Value})
		}
	}
	return n
}

// object makes the fields of an object: single values are all there, parts of
// their own only where something is said in them, or something has to be.
func (m *policyModel) object(n *node, pattern string, s *schema, v any, p *problem) {
	fields, _ := v.(map[string]any)
	for _, name := range m.fields(pattern, s) {
		at, field := n.Pointer+"/"+pointerToken(name), m.resolve(s.Properties[name])
		value, there := fields[name]
		needed := slices.Contains(s.Required, name)
		control := field.control(m)
		if !there && !needed && (control == controlObject || control == controlList || control == controlJSON) {
			n.Missing = append(n.Missing, m.addable(at))
			continue
		}
		child := m.node(at, field, value, p)
		child.Needed, child.Unit = needed, !needed && (control == controlObject || control == controlList || control == controlJSON)
		n.Children = append(n.Children, child)
	}
}

// shownWhole is a single value as it stands in a field.
func shownWhole(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return encodeJSON(v)
}

// typedDocument reads the document from the fields of the form. With empty,
// texts of which nothing is typed yet stay in it.
func (q *request) typedDocument(m *policyModel, empty bool) (document, error) {
	d := document{}
	is := map[string]bool{} // objects and lists that are there
	for _, pointer := range q.form["is"] {
		is[pointer] = true
	}
	var read func(pointer string, s *schema) (any, bool, error)
	read = func(pointer string, s *schema) (any, bool, error) {
		switch s.control(m) {
		case controlObject:
			out := map[string]any{}
			for name, field := range s.Properties {
				v, there, err := read(pointer+"/"+pointerToken(name), m.resolve(field))
				if err != nil {
					return nil, false, err
				}
				if there {
					out[name] = v
				}
			}
			return out, is[pointer] || pointer == "" || pointer == "/restrictions" && len(out) > 0, nil
		case controlList:
			if !is[pointer] {
				return nil, false, nil
			}
			out := []any{}
			for _, i := range indices(is, pointer) {
				v, there, err := read(pointer+"/"+strconv.Itoa(i), m.resolve(s.Items))
				if err != nil {
					return nil, false, err
				}
				if there {
					out = append(out, v)
				}
			}
			return out, true, nil
		}
		return q.typedValue(pointer, s.control(m), empty && strings.Count(pointer, "/") == 1)
	}
	v, _, err := read("", m.resolve(m.root))
	if err == nil {
		d = v.(map[string]any)
	}
	return d, err
}

// indices are those of the elements of a list that are there, in order.
func indices(is map[string]bool, pointer string) []int {
	var out []int
	for p := range is {
		if rest, ok := strings.CutPrefix(p, pointer+"/"); ok {
			if i, err := strconv.Atoi(rest); err == nil && i >= 0 {
				out = append(out, i)
			}
		}
	}
	slices.Sort(out)
	return out
}

// typedValue reads a single value. What is no number or JSON stays a text, which
// the API refuses with its place.
func (q *request) typedValue(pointer, control string, empty bool) (any, bool, error) {
	list, there := q.form["f"+pointer]
	if control == controlTicks {
		out := []any{}
		for _, v := range list {
			out = append(out, v)
		}
		return out, len(out) > 0, nil
	}
	if !there {
		return nil, false, nil
	}
	typed := unixLines(list[0])
	switch control {
	case controlSecret, controlFile:
		return q.typedSecret(pointer, control, typed)
	case controlLines:
		out := []any{}
		for _, line := range strings.Split(typed, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
		return out, len(out) > 0, nil
	case controlJSON:
		if strings.TrimSpace(typed) == "" {
			return nil, false, nil
		}
		if v, err := decodeJSON(typed); err == nil {
			return v, true, nil
		}
	case controlNumber:
		if n := strings.TrimSpace(typed); json.Valid([]byte(n)) && n != "" {
			return json.Number(n), true, nil
		}
	case controlSwitch:
		if typed == "true" || typed == "false" {
			return typed == "true", true, nil
		}
	}
	return typed, typed != "" || empty, nil
}

// typedSecret reads a secret, which stays as it is where none is typed, or a
// file.
func (q *request) typedSecret(pointer, control, typed string) (any, bool, error) {
	if control == controlFile {
		file, err := q.File("u" + pointer)
		if err != nil {
			return nil, false, errBroken
		}
		if len(file) > 0 {
			return base64.StdEncoding.EncodeToString(file), true, nil
		}
		if strings.Contains(typed, "-----BEGIN ") { // PEM, as it was pasted
			typed = base64.StdEncoding.EncodeToString([]byte(typed))
		}
		typed = strings.Join(strings.Fields(typed), "")
	}
	if typed != "" {
		return typed, true, nil
	}
	if q.form.Get("k"+pointer) == "" || q.Ticked("x"+pointer, "true", false) {
		return nil, false, nil
	}
	if control == controlFile {
		return keptFile, true, nil
	}
	return keptSecret, true, nil
}
