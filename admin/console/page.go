package console

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed templates/*.html
var templates embed.FS

// pages are the parsed templates.
type pages struct{ *template.Template }

// view is what a page shows.
type view struct {
	Title   string   // a text
	Area    string   // entry of the navigation, such as "devices"
	Tabs    []tab    // of the area
	Crumbs  []crumb  // the pages above, outermost first
	Data    any      // what the page's own template shows
	Problem *problem // of the form that was sent
	Status  int      // 0: 200, or the problem's
	Bare    bool     // without navigation: the sign-in
}

// tab leads to a page beside this one. It is shown to who can use Operation.
type tab struct {
	Path, Text string // below Prefix; a key
	Operation  string
}

// crumb leads to a page above this one.
type crumb struct{ Path, Text string }

// shown is what templates see as $.
type shown struct {
	*request
	view
	Notice  string
	Content template.HTML
}

// page answers with a whole page.
func (q *request) page(name string, v view) error {
	s := shown{request: q, view: v, Notice: q.notice()}
	var content, whole bytes.Buffer
	if err := q.console.pages.ExecuteTemplate(&content, name, s); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	s.Content = template.HTML(content.String())
	if err := q.console.pages.ExecuteTemplate(&whole, "layout", s); err != nil {
		return fmt.Errorf("layout of %s: %w", name, err)
	}
	status := v.Status
	if status == 0 && v.Problem != nil {
		status = v.Problem.Status
	}
	q.write(status, whole.Bytes())
	return nil
}

// part answers with a piece of a page, for htmx.
func (q *request) part(name string, data any) error {
	var b bytes.Buffer
	if err := q.console.pages.ExecuteTemplate(&b, name, shown{request: q, view: view{Data: data}}); err != nil {
		return fmt.Errorf("part %s: %w", name, err)
	}
	q.write(http.StatusOK, b.Bytes())
	return nil
}

func (q *request) write(status int, b []byte) {
	if status == 0 {
		status = http.StatusOK
	}
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.WriteHeader(status)
	if _, err := q.w.Write(b); err != nil {
		q.console.Log.DebugContext(q.Context(), "page not delivered", "error", err)
	}
}

// fail answers with the page of an error.
func (c *Console) fail(q *request, err error) {
	p := refusal(err)
	if p == nil {
		if !errors.Is(err, q.Context().Err()) {
			c.Log.ErrorContext(q.Context(), "console page failed", "path", q.URL.Path, "error", err)
		}
		p = errInternal
	}
	if err := q.page("failure", view{Title: text("frame.failure"), Problem: p, Bare: q.Who.ID == ""}); err != nil {
		c.Log.ErrorContext(q.Context(), "page of an error not made", "error", err)
		http.Error(q.w, p.Detail, p.Status)
	}
}

func parsePages() (*pages, error) {
	set := template.New("").Funcs(template.FuncMap{
		"t": textOrError, "label": label, "dict": dict, "list": func(items ...any) []any { return items }, "number": number, "static": staticURL,
		"join": func(items []string) string { return strings.Join(items, ", ") }, "pretty": pretty, "pathname": url.PathEscape, "place": placeName, "query": queryString,
	})
	parsed, err := set.ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	return &pages{parsed}, nil
}

// dict makes the arguments of a component: names and values.
func dict(pairs ...any) (map[string]any, error) {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok || i+1 == len(pairs) {
			return nil, fmt.Errorf("dict: %v is no name with a value", pairs[i])
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}

// queryString is that of a URL, written anew, so that it can stand in a
// link as it is.
func queryString(s string) (template.URL, error) {
	values, err := url.ParseQuery(s)
	return template.URL(values.Encode()), err
}

// pretty is JSON for reading.
func pretty(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b), err
}

// visibleTab is a tab on a page.
type visibleTab struct {
	tab
	Current bool
}

// Visible are the tabs for who is signed in. Current is the one whose path is the
// longest that leads here.
func (s shown) Visible() ([]visibleTab, error) {
	var out []visibleTab
	current := -1
	for _, t := range s.Tabs {
		if t.Operation != "" {
			if can, err := s.Can(t.Operation); err != nil {
				return nil, err
			} else if !can {
				continue
			}
		}
		rest, ok := strings.CutPrefix(s.URL.EscapedPath(), Prefix+t.Path)
		if ok && (rest == "" || rest[0] == '/') && (current < 0 || len(t.Path) > len(out[current].Path)) {
			current = len(out)
		}
		out = append(out, visibleTab{tab: t})
	}
	if current >= 0 {
		out[current].Current = true
	}
	return out, nil
}

// At shows a time to people, in their zone, with the exact one in UTC beside it.
func (q *request) At(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.UTC().Format(time.RFC3339), t.UTC().Format("2006-01-02 15:04:05 MST"), t.In(q.Zone()).Format("2 Jan 2006 15:04 MST")))
}

// Day is At without the hour.
func (q *request) Day(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.UTC().Format(time.RFC3339), t.UTC().Format("2006-01-02 15:04:05 MST"), t.In(q.Zone()).Format("2 Jan 2006")))
}

// area is an entry of the navigation.
type area struct{ Path, Text string }

// Areas are the entries of the navigation, for everybody the same.
func (shown) Areas() []area {
	return []area{{"/", "overview"}, {"/devices", "devices"}, {"/imports", "import"}, {"/enrollment", "enrollment"}, {"/policies", "policies"}, {"/gate", "gate"}, {"/settings", "settings"}}
}
