package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/admin"
)

var groupPages = []route{
	get("/groups", groups),
	get("/group-new", only("create-group", newGroup)),
	post("/group-new", makeGroup),
	post("/group-preview", previewRule),
	get("/groups/{name}", groupPage),
	get("/groups/{name}/evaluation", groupEvaluation),
	get("/groups/{name}/rule", only("put-rule", editGroupRule)),
	post("/groups/{name}/rule", changeGroupRule),
	post("/groups/{name}/members", changeMembers),
	get("/groups/{name}/delete", only("delete-group", askDeleteGroup)),
	post("/groups/{name}/delete", deleteGroup),
}

// policyTabs are the lists of the area.
var policyTabs = []tab{
	{Path: "/policies", Text: "policies.tab", Operation: "list-policies"},
	{Path: "/groups", Text: "groups.tab", Operation: "list-groups"},
	{Path: "/policy-preview", Text: "policies.preview.tab", Operation: "get-effective-policy"},
}

// group is what the pages show of a group; see the API's Group.
type group struct {
	Name       string      `json:"name"`
	Rule       *groupRule  `json:"rule"`
	Evaluation *evaluation `json:"evaluation"`
	Devices    int         `json:"devices"`
	CreatedAt  time.Time   `json:"created_at"`
	UpdatedAt  time.Time   `json:"updated_at"`
}

type evaluation struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

type groupRule struct {
	Match      string      `json:"match,omitempty"`
	Conditions []condition `json:"conditions"`
}

type condition struct {
	Field  string   `json:"field"`
	Not    bool     `json:"not,omitempty"`
	Values []string `json:"values"`
}

// Lines are the values as they are typed, but for that of no value.
func (c condition) Lines() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(c.Values), func(v string) bool { return v == "" }), "\n")
}

// None says that devices without a value meet it.
func (c condition) None() bool { return slices.Contains(c.Values, "") }

// ruleFields are what conditions can look at, in the order in which they are
// offered.
var ruleFields = []string{"platform", "ownership", "model", "product", "serial", "user_email", "user_domain", "tag", "asset_tag", "state", "source"}

func groups(q *request) error {
	var list struct {
		Items []group `json:"items"`
	}
	if err := q.get("/groups", nil, &list); err != nil {
		return err
	}
	bound, err := q.boundPolicies()
	if err != nil {
		return err
	}
	type row struct {
		group
		Policies []string
	}
	rows := make([]row, len(list.Items))
	for i, g := range list.Items {
		rows[i] = row{g, bound[g.Name]}
	}
	return q.page("groups", view{Title: text("groups.title"), Area: "policies", Tabs: policyTabs, Data: rows})
}

// boundPolicies are the names of the policies that are bound to each group.
func (q *request) boundPolicies() (map[string][]string, error) {
	policies, err := q.listedPolicies()
	out := map[string][]string{}
	for _, p := range policies {
		for _, g := range p.Bound.Groups {
			out[g] = append(out[g], p.Name)
		}
	}
	return out, err
}

// ruleForm is a group or its rule as it is being written.
type ruleForm struct {
	Name    string // of a new one
	Kind    string // "static" or "rule"; empty: the group is there
	Rule    groupRule
	Fields  []string
	Preview *rulePreview
	Applied *group // whose rule it is, unchanged: its members are known without a look at the whole roll
}

// Numbered are the conditions with the numbers people count them by.
func (f ruleForm) Numbered() []numberedCondition {
	out := make([]numberedCondition, len(f.Rule.Conditions))
	for i, c := range f.Rule.Conditions {
		out[i] = numberedCondition{c, i, i + 1}
	}
	return out
}

type numberedCondition struct {
	condition
	Index, Number int
}

// Full says that no more conditions fit.
func (f ruleForm) Full() bool { return len(f.Rule.Conditions) >= 20 }

type rulePreview struct {
	Devices  int      `json:"devices"`
	Matches  int      `json:"matches"`
	Examples []string `json:"examples"`
	Problem  *problem `json:"-"` // there is nothing to preview
}

var emptyRule = groupRule{Match: "all", Conditions: []condition{{Field: "platform"}}}

func newGroup(q *request) error {
	return q.groupForm(ruleForm{Kind: q.Param("kind"), Rule: emptyRule}, nil)
}

func (q *request) groupForm(f ruleForm, p *problem) error {
	f.Fields = ruleFields
	if f.Kind != "rule" {
		f.Kind = "static"
	}
	return q.page("group-new", view{Title: text("groups.new"), Area: "policies", Tabs: policyTabs, Crumbs: groupCrumbs, Data: f, Problem: p})
}

var groupCrumbs = []crumb{{Path: "/groups", Text: text("groups.title")}}

// typedGroupRule is the rule of the form that was sent.
func (q *request) typedGroupRule() groupRule {
	r := groupRule{Match: q.Typed("match")}
	for i := range 20 {
		at := "c" + strconv.Itoa(i) + "."
		if _, there := q.form[at+"field"]; !there {
			continue
		}
		c := condition{Field: q.Typed(at + "field"), Not: q.Typed(at+"not") == "true"}
		for _, line := range strings.Split(q.form.Get(at+"values"), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				c.Values = append(c.Values, line)
			}
		}
		if q.Typed(at+"none") == "true" {
			c.Values = append(c.Values, "") // devices without a value
		}
		r.Conditions = append(r.Conditions, c)
	}
	return r
}

// edited carries out a button of the rule editor that does not save, and says
// whether there was one.
func (q *request) edited(f *ruleForm) (bool, error) {
	do, number, _ := strings.Cut(q.Typed("do"), ":")
	switch do {
	case "add":
		f.Rule.Conditions = append(f.Rule.Conditions, condition{Field: ruleFields[0]})
	case "remove":
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(f.Rule.Conditions) {
			f.Rule.Conditions = slices.Delete(f.Rule.Conditions, i, i+1)
		}
	case "preview":
		p, err := q.preview(f.Rule)
		f.Preview = p
		return true, err
	default:
		return false, nil
	}
	return true, nil
}

// preview asks which devices a rule matches.
func (q *request) preview(r groupRule) (*rulePreview, error) {
	p := &rulePreview{}
	err := q.do(call{Method: http.MethodPost, Path: "/groups/preview", JSON: r}, p)
	if refused := refusal(err); refused != nil {
		return &rulePreview{Problem: refused}, nil
	}
	return p, err
}

// previewRule is the part of the editor that follows what is typed.
func previewRule(q *request) error {
	p, err := q.preview(q.typedGroupRule())
	if err != nil {
		return err
	}
	return q.part("rule-preview", p)
}

func makeGroup(q *request) error {
	f := ruleForm{Name: q.Typed("name"), Kind: q.Typed("kind"), Rule: q.typedGroupRule()}
	if done, err := q.edited(&f); err != nil || done {
		if err != nil {
			return err
		}
		return q.groupForm(f, nil)
	}
	body := map[string]any{"name": f.Name}
	if f.Kind == "rule" {
		body["rule"] = f.Rule
	}
	if err := q.post("/groups", body, nil); err != nil {
		if p := refusal(err); p != nil {
			return q.groupForm(f, p)
		}
		return err
	}
	return q.done(at("/groups/%s", f.Name), "groups.new.done", f.Name)
}

// shownMembers is how many members the page of a group shows.
const shownMembers = "20"

func groupPage(q *request) error { return q.groupPage(nil) }

func (q *request) groupPage(p *problem) error {
	var data struct {
		Group    group
		Members  []device
		More     bool
		Policies []string
	}
	name := q.PathValue("name")
	if err := q.get(at("/groups/%s", name), nil, &data.Group); err != nil {
		return err
	}
	var members deviceList
	if err := q.get("/devices", url.Values{"group": {name}, "limit": {shownMembers}}, &members); err != nil {
		return err
	}
	bound, err := q.boundPolicies()
	if err != nil {
		return err
	}
	data.Members, data.More, data.Policies = members.Items, members.NextCursor != "", bound[name]
	return q.page("group", view{Title: name, Area: "policies", Tabs: policyTabs, Crumbs: groupCrumbs, Data: data, Problem: p})
}

// groupEvaluation is the part of the page of a group that follows how far its
// rule is applied.
func groupEvaluation(q *request) error {
	var g group
	if err := q.get(at("/groups/%s", q.PathValue("name")), nil, &g); err != nil {
		return err
	}
	return q.part("group-evaluation", g)
}

func editGroupRule(q *request) error {
	var g group
	if err := q.get(at("/groups/%s", q.PathValue("name")), nil, &g); err != nil {
		return err
	}
	if g.Rule == nil {
		return &problem{Status: http.StatusConflict, Detail: text("groups.rule.static"), Hint: text("groups.rule.static.hint")}
	}
	return q.ruleForm(ruleForm{Rule: *g.Rule, Applied: &g}, nil)
}

func (q *request) ruleForm(f ruleForm, p *problem) error {
	f.Fields = ruleFields
	name := q.PathValue("name")
	return q.page("group-rule", view{Title: text("groups.rule.title", name), Area: "policies", Tabs: policyTabs,
		Crumbs: append(slices.Clone(groupCrumbs), crumb{at("/groups/%s", name), name}), Data: f, Problem: p})
}

func changeGroupRule(q *request) error {
	f := ruleForm{Rule: q.typedGroupRule()}
	if done, err := q.edited(&f); err != nil || done {
		if err != nil {
			return err
		}
		return q.ruleForm(f, nil)
	}
	name := q.PathValue("name")
	if err := q.put(at("/groups/%s/rule", name), f.Rule, nil); err != nil {
		if p := refusal(err); p != nil && p.Status != http.StatusNotFound {
			return q.ruleForm(f, p)
		}
		return err
	}
	return q.done(at("/groups/%s", name), "groups.rule.done")
}

// changeMembers adds the serials that were typed, or removes those that were
// ticked.
func changeMembers(q *request) error {
	name, change := q.PathValue("name"), map[string][]string{}
	if q.Typed("do") == "remove" {
		change["remove"] = q.TypedAll("serial")
	} else {
		change["add"] = strings.FieldsFunc(q.Typed("add"), func(r rune) bool { return strings.ContainsRune(" ,;\t\r\n", r) })
	}
	if len(change["add"])+len(change["remove"]) == 0 {
		return q.groupPage(&problem{Status: http.StatusUnprocessableEntity, Detail: text("groups.members.none"), Hint: text("groups.members.none.hint"),
			Errors: []admin.ProblemDetail{{Pointer: "/add", Detail: text("groups.members.none")}}})
	}
	if err := q.post(at("/groups/%s/members", name), change, nil); err != nil {
		if p := refusal(err); p != nil && p.Code != "group_unknown" {
			return q.groupPage(p)
		}
		return err
	}
	if n := len(change["remove"]); n > 0 {
		return q.done(at("/groups/%s", name), "groups.members.removed", n)
	}
	return q.done(at("/groups/%s", name), "groups.members.added", len(change["add"]))
}

func askDeleteGroup(q *request) error { return q.askDeleteGroup(nil) }

func (q *request) askDeleteGroup(p *problem) error {
	var data struct {
		group
		Policies []string
	}
	name := q.PathValue("name")
	if err := q.get(at("/groups/%s", name), nil, &data.group); err != nil {
		return err
	}
	bound, err := q.boundPolicies()
	if err != nil {
		return err
	}
	data.Policies = bound[name]
	return q.page("group-delete", view{Title: text("groups.delete.title", name), Area: "policies", Tabs: policyTabs,
		Crumbs: append(slices.Clone(groupCrumbs), crumb{at("/groups/%s", name), name}), Data: data, Problem: p})
}

func deleteGroup(q *request) error {
	name := q.PathValue("name")
	if err := q.delete(at("/groups/%s", name), nil, nil); err != nil {
		if p := refusal(err); p != nil && p.Status != http.StatusNotFound {
			return q.askDeleteGroup(p)
		}
		return err
	}
	return q.done("/groups", "groups.delete.done", name)
}
