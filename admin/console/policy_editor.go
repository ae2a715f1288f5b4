package console

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"rollcall/admin"
)

// policyEditor is a policy as it is being written. The form and the JSON beside
// it are one document, told apart by their digests: the one that was changed
// counts.
type policyEditor struct {
	Name        string
	Base        int64  // the version that is being changed
	Priority    string // as it was typed
	Description string
	Areas       []settingArea
	Search      string
	JSON        string
	FormWas     string // digest of what the fields said when they were made
	JSONWas     string
	Both        bool // both were changed
	Added       string
	Files       bool // the form can take files
}

func editPolicy(q *request) error {
	var p fullPolicy
	if err := q.get(at("/policies/%s", q.PathValue("name")), nil, &p); err != nil {
		return err
	}
	m, err := q.policyModel()
	if err != nil {
		return err
	}
	return q.editor(m, policyEditor{Base: p.Version, Priority: strconv.Itoa(p.Priority), Description: p.Description}, p.Document, nil)
}

// editor shows a document. What was changed on one side only stands on both
// sides now.
func (q *request) editor(m *policyModel, e policyEditor, d document, p *problem) error {
	e.Name = q.PathValue("name")
	e.Areas = m.areas(d, p, e.Search)
	if !e.Both {
		e.JSON = encodeJSON(d)
		e.FormWas, e.JSONWas = digest(e.JSON), digest(e.JSON)
	}
	fields, files := 0, 0
	for _, a := range e.Areas {
		count(a.Nodes, &fields, &files)
	}
	e.Files = fields+files < fileFields && (files > 0 || len(e.JSON) > formLimit/8)
	v := q.policyView(text("policies.edit.title", e.Name), e)
	v.Problem = p
	return q.page("policy-edit", v)
}

// fileFields is how many fields a form with files may have; mime/multipart reads
// no more than 1,000. Larger ones take files as text.
const fileFields = 900

func count(nodes []*node, fields, files *int) {
	for _, n := range nodes {
		*fields += 1 + len(n.Options)
		if n.Control == controlFile {
			*files++
		}
		count(n.Children, fields, files)
	}
}

// savePolicy takes in the editor: it saves, or does what another of its buttons
// says and shows it again.
func savePolicy(q *request) error {
	m, err := q.policyModel()
	if err != nil {
		return err
	}
	do, pointer, _ := strings.Cut(q.Typed("do"), ":")
	e := policyEditor{Priority: q.Typed("priority"), Description: unixLines(q.Typed("description")), Search: q.Typed("find"), FormWas: q.Typed("form_was"), JSONWas: q.Typed("json_was")}
	e.Base, _ = strconv.ParseInt(q.Typed("base"), 10, 64)
	d, err := q.typedDocument(m, do != "save")
	if err != nil {
		return err
	}
	said, err := q.typedDocument(m, false)
	if err != nil {
		return err
	}
	e.JSON = unixLines(q.form.Get("json"))
	formChanged, jsonChanged := digest(encodeJSON(said)) != e.FormWas, digest(e.JSON) != e.JSONWas
	switch {
	case do == "find" && q.Header.Get("HX-Request") != "":
		return q.part("policy-addable", policyEditor{Areas: m.areas(d, nil, e.Search), Search: e.Search})
	case formChanged && jsonChanged && do != "form" && do != "json":
		e.Both = true
		return q.editor(m, e, d, wrongField("/json", text("policies.edit.both")))
	case do == "json" || jsonChanged && do != "form":
		v, err := decodeJSON(e.JSON)
		typed, isObject := v.(map[string]any)
		if err != nil || !isObject {
			e.Both = true
			return q.editor(m, e, d, jsonProblem(err))
		}
		d = typed
	}
	switch do {
	case "add":
		if s := m.find(pointer); s != nil {
			value := m.fresh(s)
			if s.control(m) == controlList && strings.Count(pointer, "/") == 1 {
				value = []any{m.fresh(m.resolve(s.Items))} // nobody adds an empty list of networks
			}
			e.Added, e.Search = pointer, ""
			d = put(map[string]any(d), pointerTokens(pointer), value).(map[string]any)
		}
	case "remove":
		d = without(map[string]any(d), pointerTokens(pointer)).(map[string]any)
	case "save":
		return q.savePolicy(m, e, d)
	}
	return q.editor(m, e, d, nil)
}

// jsonProblem tells where a text is no JSON.
func jsonProblem(err error) *problem {
	detail := text("policies.edit.noobject")
	if err != nil {
		detail = text("policies.edit.nojson", err.Error())
	}
	return &problem{Status: http.StatusUnprocessableEntity, Detail: detail, Errors: []admin.ProblemDetail{{Pointer: "/json", Detail: detail}}}
}

// savePolicy saves what was written on top of the version it is based on.
func (q *request) savePolicy(m *policyModel, e policyEditor, d document) error {
	name := q.PathValue("name")
	body := map[string]any{"document": d, "description": e.Description}
	if e.Priority != "" {
		priority, err := strconv.Atoi(e.Priority)
		if err != nil {
			return q.editor(m, e, d, wrongField("/priority", text("policies.edit.priority.number")))
		}
		body["priority"] = priority
	}
	var saved struct {
		Version  int64           `json:"version"`
		Changed  bool            `json:"changed"`
		Warnings []policyWarning `json:"warnings"`
	}
	err := q.do(call{Method: http.MethodPut, Path: at("/policies/%s", name), JSON: body, IfMatch: strconv.FormatInt(e.Base, 10)}, &saved)
	switch p := refusal(err); {
	case p != nil && p.Code == "version_changed":
		return q.policyConflict(m, e, d, p)
	case p != nil:
		return q.editor(m, e, d, p)
	case err != nil:
		return err
	case !saved.Changed:
		return q.done(at("/policies/%s", name), "policies.edit.same")
	case len(saved.Warnings) > 0:
		return q.done(at("/policies/%s/warnings", name), "policies.edit.warned", saved.Version, len(saved.Warnings))
	}
	return q.done(at("/policies/%s", name), "policies.edit.done", saved.Version)
}

// policyConflict shows what was written beside what somebody else has saved
// meanwhile. A form that was sent twice is no conflict.
func (q *request) policyConflict(m *policyModel, e policyEditor, d document, p *problem) error {
	var now fullPolicy
	if err := json.Unmarshal(p.Current, &now); err != nil {
		return err
	}
	differences := differ(map[string]any(now.Document), map[string]any(d))
	if len(differences) == 0 && strconv.Itoa(now.Priority) == e.Priority {
		return q.done(at("/policies/%s", now.Name), "policies.edit.done", now.Version)
	}
	was := e.Base
	e.Base, e.JSONWas = now.Version, ""
	e.Name, e.JSON = now.Name, encodeJSON(d)
	e.FormWas = digest(encodeJSON(document{})) // the page has no fields; what was written is in the JSON
	v := q.policyView(text("policies.conflict.title", now.Name), struct {
		Now         fullPolicy
		Was         int64
		Mine        policyEditor
		Differences []difference
	}{now, was, e, differences})
	v.Problem = p
	return q.page("policy-conflict", v)
}
