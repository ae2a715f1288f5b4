package console

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/admin"
	"rollcall/android"
)

// enrollmentPages is the area about who may enroll, and by which way.
var enrollmentPages = slices.Concat(
	[]route{get("/enrollment", func(q *request) error {
		q.redirect("/enrollment/restrictions")
		return nil
	})},
	restrictionPages, rulePages, requestPages, approvalPages, tokenPages, depPages, adePages, googlePages, zeroTouchPages,
)

var enrollmentTabs = []tab{
	{"/enrollment/restrictions", "enrollment.tab.restrictions", "get-enrollment-restrictions"},
	{"/enrollment/requests", "enrollment.tab.requests", "list-requests"},
	{"/enrollment/approvals", "enrollment.tab.approvals", "list-approvals"},
	{"/enrollment/tokens", "enrollment.tab.tokens", "list-enrollment-tokens"},
	{"/enrollment/dep", "enrollment.tab.dep", "list-dep-accounts"},
	{"/enrollment/google", "enrollment.tab.google", "get-android-enterprise"},
	{"/enrollment/zero-touch", "enrollment.tab.zero", "get-zero-touch"},
}

// enrollment answers with a page of the area.
func (q *request) enrollment(name string, v view) error {
	v.Area, v.Tabs = "enrollment", enrollmentTabs
	return q.page(name, v)
}

var errRole = &problem{Status: http.StatusForbidden, Detail: text("enrollment.role"), Hint: text("enrollment.role.hint")}

// only shows the page of a form to who may send it.
func only(operation string, page func(*request) error) func(*request) error {
	return func(q *request) error {
		if can, err := q.Can(operation); err != nil {
			return err
		} else if !can {
			return errRole
		}
		return page(q)
	}
}

// whole is a number that was typed. What is none goes to the API as it is, which
// says what is wrong with it.
func whole(typed string) any {
	if n, err := strconv.Atoi(typed); err == nil {
		return n
	}
	return typed
}

// words are the entries of a list that was typed, by lines or commas.
func words(typed string) []string {
	return listed(typed, func(r rune) bool { return r == ',' || r == ';' || r == '\n' || r == '\r' || r == '\t' || r == ' ' })
}

// lines are the entries of a list that may hold commas and spaces.
func lines(typed string) []string {
	return listed(typed, func(r rune) bool { return r == '\n' || r == '\r' })
}

func listed(typed string, between func(rune) bool) []string {
	var out []string
	for _, w := range strings.FieldsFunc(typed, between) {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// given leaves out what is empty, so that the API takes it for not said.
func given(fields map[string]any) map[string]any {
	for name, v := range fields {
		if v == "" || v == nil {
			delete(fields, name)
		}
	}
	return fields
}

// version names what a form was made from, by the time of its last change.
func version(changed time.Time) string { return changed.UTC().Format(time.RFC3339Nano) }

// meanwhile refuses a form that was made from something else than what is there
// now. The API has no versions of these; of two forms that arrive in the same
// moment the later one counts.
func (q *request) meanwhile(changed time.Time) *problem {
	if seen := q.Typed("seen"); seen == "" || seen == version(changed) {
		return nil
	}
	return &problem{Status: http.StatusConflict, Code: "meanwhile", Detail: text("enrollment.meanwhile"), Hint: text("enrollment.meanwhile.hint")}
}

// same says whether a change would change nothing, as when a form is sent twice.
func same(a, b any) bool {
	one, err := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(one, other)
}

// place puts a refusal at the field it is about, by its code: codes and JSON
// pointers. What the API has placed itself stays there.
func (p *problem) place(pairs ...string) *problem {
	for i := 0; i+1 < len(pairs); i += 2 {
		if p.Code == pairs[i] && len(p.Errors) == 0 {
			p.Errors = append(p.Errors, admin.ProblemDetail{Pointer: pairs[i+1], Code: p.Code, Detail: p.Detail, Hint: p.Hint})
		}
	}
	return p
}

// groupNames are all groups, for lists to choose from.
func (q *request) groupNames(static bool) ([]string, error) {
	var groups struct {
		Items []struct {
			Name string `json:"name"`
			Rule any    `json:"rule"`
		} `json:"items"`
	}
	if err := q.get("/groups", nil, &groups); err != nil {
		return nil, err
	}
	var out []string
	for _, g := range groups.Items {
		if !static || g.Rule == nil {
			out = append(out, g.Name)
		}
	}
	return out, nil
}

// qrCode is a code as a drawing that is part of the page.
func qrCode(content string) (template.HTML, error) {
	code, err := android.NewQR(content)
	return template.HTML(code.SVG()), err
}

// query makes the parameters of a call out of names and values; empty ones are
// left out.
func query(pairs ...string) url.Values {
	out := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	return out
}
