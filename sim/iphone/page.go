package iphone

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// page is what a person and Safari make of an HTML document.
type page struct {
	text    string
	form    *form // the first one
	links   []link
	refresh string // target of a meta refresh
}

type link struct {
	href      string
	promising bool // looks like a profile download
}

type form struct {
	method, action, enctype string
	fields                  []field
}

// field is a form control. Radio buttons of one name are one field.
type field struct {
	name, kind string
	value      string // current value; of a chosen radio button or option
	chosen     bool   // radio, checkbox: something is chosen
	options    []string
	required   bool
}

func parsePage(body []byte) (*page, error) {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("iphone: page: %w", err)
	}
	p := &page{text: textOf(root)}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.DataAtom {
		case atom.Form:
			if p.form == nil {
				p.form = parseForm(n)
			}
		case atom.A:
			if href := attr(n, "href"); href != "" {
				p.links = append(p.links, link{href, has(n, "download") || attr(n, "type") == typeProfile || strings.HasSuffix(href, ".mobileconfig")})
			}
		case atom.Meta:
			if strings.EqualFold(attr(n, "http-equiv"), "refresh") {
				_, target, _ := strings.Cut(attr(n, "content"), ";")
				if k, v, ok := strings.Cut(strings.TrimSpace(target), "="); ok && strings.EqualFold(strings.TrimSpace(k), "url") {
					p.refresh = strings.Trim(strings.TrimSpace(v), `"'`)
				}
			}
		}
	}
	return p, nil
}

// offersProfile tells whether a link says that it is a profile.
func (p *page) offersProfile() bool {
	return slices.ContainsFunc(p.links, func(l link) bool { return l.promising })
}

func visibleText(body []byte) string {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return ""
	}
	return textOf(root)
}

// textOf joins the text a person sees, one space between pieces.
func textOf(root *html.Node) string {
	var words []string
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			words = append(words, strings.Fields(n.Data)...)
		case n.Type == html.ElementNode && (has(n, "hidden") || strings.Contains(strings.ReplaceAll(attr(n, "style"), " ", ""), "display:none") || n.DataAtom == atom.Script || n.DataAtom == atom.Style ||
			n.DataAtom == atom.Head || n.DataAtom == atom.Template || n.DataAtom == atom.Noscript):
			return
		case n.Type == html.ElementNode && n.DataAtom == atom.Input && attr(n, "type") == "submit":
			words = append(words, strings.Fields(attr(n, "value"))...)
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
	}
	walk(root)
	return strings.Join(words, " ")
}

func parseForm(n *html.Node) *form {
	f := &form{method: http.MethodGet, action: attr(n, "action"), enctype: attr(n, "enctype")}
	if strings.EqualFold(attr(n, "method"), "post") {
		f.method = http.MethodPost
	}
	byName := map[string]int{}
	submitted := false
	for c := range n.Descendants() {
		name := attr(c, "name")
		if c.Type != html.ElementNode || has(c, "disabled") {
			continue
		}
		fl := field{name: name, value: attr(c, "value"), required: has(c, "required")}
		switch c.DataAtom {
		case atom.Input:
			fl.kind = strings.ToLower(attr(c, "type"))
		case atom.Textarea:
			fl.kind, fl.value = "text", textOf(c)
		case atom.Select:
			fl.kind = "select"
			parseOptions(c, &fl)
		case atom.Button:
			if fl.kind = strings.ToLower(attr(c, "type")); fl.kind == "" {
				fl.kind = "submit"
			}
		default:
			continue
		}
		switch fl.kind {
		case "submit":
			if submitted { // only the button that is pressed counts
				continue
			}
			submitted = true
		case "button", "reset", "image", "file":
			continue
		case "checkbox":
			fl.chosen = has(c, "checked")
			if !has(c, "value") {
				fl.value = "on"
			}
		case "radio":
			if i, ok := byName[name]; ok {
				group := &f.fields[i]
				group.options = append(group.options, fl.value)
				group.required = group.required || fl.required
				if has(c, "checked") {
					group.value, group.chosen = fl.value, true
				}
				continue
			}
			fl.options, fl.chosen = []string{fl.value}, has(c, "checked")
			byName[name] = len(f.fields)
		}
		if name != "" {
			f.fields = append(f.fields, fl)
		}
	}
	return f
}

func parseOptions(sel *html.Node, fl *field) {
	for o := range sel.Descendants() {
		if o.DataAtom != atom.Option || has(o, "disabled") {
			continue
		}
		value := attr(o, "value")
		if !has(o, "value") {
			value = textOf(o)
		}
		if len(fl.options) == 0 || has(o, "selected") {
			fl.value = value
		}
		fl.options = append(fl.options, value)
	}
}

// fill answers the form. It fails where Safari would not send it: a required
// field without an answer, or an answer the page does not offer.
func (f *form) fill(choice Choice) (url.Values, error) {
	if f.enctype != "" && f.enctype != "application/x-www-form-urlencoded" {
		return nil, protocolError("Safari", "form with enctype %q", f.enctype)
	}
	values := url.Values{}
	for _, fl := range f.fields {
		answer, ok := choice.Fields[fl.name]
		if fl.name == "ownership" && choice.Ownership != "" {
			answer, ok = choice.Ownership, true
		}
		switch fl.kind {
		case "hidden", "submit":
			values.Add(fl.name, fl.value)
			continue
		case "checkbox":
			// A person who wants to go on ticks what must be ticked.
			if fl.chosen || fl.required || ok {
				values.Add(fl.name, fl.value)
			}
			continue
		case "radio", "select":
			if ok && !slices.Contains(fl.options, answer) {
				return nil, protocolError("Safari", "field %q does not offer %q, only %q", fl.name, answer, fl.options)
			}
			if fl.kind == "radio" && !ok && !fl.chosen {
				if fl.required {
					return nil, protocolError("Safari", "field %q needs a choice of %q", fl.name, fl.options)
				}
				continue
			}
		}
		if !ok {
			answer = fl.value
		}
		if fl.required && answer == "" {
			return nil, protocolError("Safari", "field %q needs an answer", fl.name)
		}
		values.Add(fl.name, answer)
	}
	return values, nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}
