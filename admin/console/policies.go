package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/admin"
)

var policyPages = []route{
	get("/policies", policies),
	get("/policy-new", only("put-policy", newPolicy)),
	post("/policy-new", makePolicy),
	get("/policies/{name}", policyPage),
	post("/policies/{name}/bindings", bindPolicy),
	post("/policies/{name}/unbind", unbindPolicy),
	post("/policies/{name}/rollout", setRollout),
	post("/policies/{name}/profiles", putProfile),
	post("/policies/{name}/profiles/{id}/remove", removeProfile),
	get("/policies/{name}/warnings", policyWarnings),
	get("/policies/{name}/receipts", policyReceipts),
	get("/policies/{name}/versions", policyVersions),
	get("/policies/{name}/versions/{version}", policyVersion),
	post("/policies/{name}/versions/{version}/restore", restoreVersion),
	get("/policies/{name}/compare", compareVersions),
	get("/policies/{name}/delete", only("delete-policy", askDeletePolicy)),
	post("/policies/{name}/delete", deletePolicy),
	get("/policies/{name}/edit", only("put-policy", editPolicy)),
	post("/policies/{name}/edit", only("put-policy", savePolicy)),
	get("/policy-preview", previewPolicy),
}

// policySummary is what the pages show of a policy; see the API's Policy.
type policySummary struct {
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Version     int64     `json:"version"`
	Restored    int64     `json:"restored"`
	Priority    int       `json:"priority"`
	Features    []string  `json:"features"`
	Rollout     rollout   `json:"rollout"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	UpdatedBy   string    `json:"updated_by"`
	Bound       struct {
		Groups  []string `json:"groups"`
		Users   int      `json:"users"`
		Devices int      `json:"devices"`
	} `json:"bound"` // in lists only
	Via string `json:"via"` // of a device's
}

// Through says how it reaches the device.
func (p policySummary) Through() string {
	if group, ok := strings.CutPrefix(p.Via, "group:"); ok {
		return text("policies.via.group", group)
	}
	return label("via", p.Via)
}

type rollout struct {
	Percent   int   `json:"percent"`
	PerMinute int   `json:"per_minute"`
	Paused    bool  `json:"paused"`
	Base      int64 `json:"base_version"`
}

type fullPolicy struct {
	policySummary
	Document document `json:"document"`
}

var policyCrumbs = []crumb{{Path: "/policies", Text: text("policies.title")}}

// belowPolicy are the crumbs of the pages of a policy.
func (q *request) belowPolicy() []crumb {
	name := q.PathValue("name")
	return append(slices.Clone(policyCrumbs), crumb{at("/policies/%s", name), name})
}

// policyView is a page of a policy.
func (q *request) policyView(title string, data any) view {
	return view{Title: title, Area: "policies", Tabs: policyTabs, Crumbs: q.belowPolicy(), Data: data}
}

func (q *request) listedPolicies() ([]policySummary, error) {
	var list struct {
		Items []policySummary `json:"items"`
	}
	err := q.get("/policies", nil, &list)
	return list.Items, err
}

func (q *request) groupList() ([]group, error) {
	var list struct {
		Items []group `json:"items"`
	}
	err := q.get("/groups", nil, &list)
	return list.Items, err
}

func policies(q *request) error {
	listed, err := q.listedPolicies()
	if err != nil {
		return err
	}
	groups, err := q.groupList()
	if err != nil {
		return err
	}
	members := map[string]int{}
	for _, g := range groups {
		members[g.Name] = g.Devices
	}
	return q.page("policies", view{Title: text("policies.title"), Area: "policies", Tabs: policyTabs, Data: struct {
		Policies []policySummary
		Members  map[string]int
	}{listed, members}})
}

func newPolicy(q *request) error { return q.newPolicy(nil) }

func (q *request) newPolicy(p *problem) error {
	return q.page("policy-new", view{Title: text("policies.new"), Area: "policies", Tabs: policyTabs, Crumbs: policyCrumbs, Problem: p})
}

// makePolicy makes an empty policy, and goes on to its editor.
func makePolicy(q *request) error {
	name := q.Typed("name")
	var made struct {
		Created bool `json:"created"`
	}
	err := error(wrongField("/name", text("policies.new.name")))
	if name != "" {
		err = q.put(at("/policies/%s", name), map[string]any{}, &made) // changes nothing of one that is there
	}
	if err == nil && !made.Created {
		err = wrongField("/name", text("policies.new.exists"))
	}
	if description := q.Typed("description"); err == nil && description != "" {
		err = q.put(at("/policies/%s", name), map[string]any{"description": description}, nil)
	}
	if p := refusal(err); p != nil {
		return q.newPolicy(p)
	}
	if err != nil {
		return err
	}
	return q.done(at("/policies/%s/edit", name), "policies.new.done")
}

// wrongField is what the console itself finds wrong with a field.
func wrongField(place, detail string) *problem {
	return &problem{Status: http.StatusUnprocessableEntity, Detail: detail, Errors: []admin.ProblemDetail{{Pointer: place, Detail: detail}}}
}

// binding is what a policy is bound to.
type binding struct {
	Group  string `json:"group,omitempty"`
	Serial string `json:"serial,omitempty"`
	User   string `json:"user,omitempty"`
	Domain string `json:"domain,omitempty"`
}

func policyPage(q *request) error { return q.policyPage(nil) }

func (q *request) policyPage(p *problem) error {
	name := q.PathValue("name")
	var data struct {
		Policy   fullPolicy
		Said     []said
		Bindings []binding
		More     string // cursor of the further bindings
		Groups   []string
		Profiles []profile
	}
	if err := q.get(at("/policies/%s", name), nil, &data.Policy); err != nil {
		return err
	}
	var bound struct {
		Items      []binding `json:"items"`
		NextCursor string    `json:"next_cursor"`
	}
	query := q.filtersOf([]string{"cursor"})
	query.Set("limit", pageSize)
	if err := q.get(at("/policies/%s/bindings", name), query, &bound); err != nil {
		return err
	}
	data.Bindings, data.More = bound.Items, bound.NextCursor
	groups, err := q.groupList()
	if err != nil {
		return err
	}
	for _, g := range groups {
		if !slices.ContainsFunc(bound.Items, func(b binding) bool { return b.Group == g.Name }) {
			data.Groups = append(data.Groups, g.Name)
		}
	}
	data.Profiles = profilesOf(data.Policy.Document)
	data.Said = saidBy(data.Policy.Document)
	v := q.policyView(name, data)
	v.Crumbs, v.Problem = policyCrumbs, p
	return q.page("policy", v)
}

// profile is a raw Apple profile of a policy.
type profile struct {
	ID          string
	DisplayName string
	Types       []string
}

func profilesOf(d document) []profile {
	apple, _ := d["apple"].(map[string]any)
	list, _ := apple["profiles"].([]any)
	var out []profile
	for _, e := range list {
		raw, _ := e.(map[string]any)
		p := profile{}
		p.ID, _ = raw["id"].(string)
		p.DisplayName, _ = raw["display_name"].(string)
		payloads, _ := raw["payloads"].([]any)
		for _, load := range payloads {
			payload, _ := load.(map[string]any)
			kind, _ := payload["type"].(string)
			p.Types = append(p.Types, kind)
		}
		out = append(out, p)
	}
	return out
}

// said is one value of a document.
type said struct {
	Pointer string
	Value   string
}

// saidBy lists the values of a document, in the order of their pointers. Raw
// profiles are left out; they have a list of their own.
func saidBy(d document) []said {
	var out []said
	var walk func(pointer string, v any)
	walk = func(pointer string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if pointer+"/"+k != "/apple/profiles" {
					walk(pointer+"/"+pointerToken(k), v[k])
				}
			}
			if len(v) == 0 && pointer != "" {
				out = append(out, said{pointer, "{}"})
			}
		case []any:
			for i, e := range v {
				walk(pointer+"/"+strconv.Itoa(i), e)
			}
			if len(v) == 0 {
				out = append(out, said{pointer, "[]"})
			}
		default:
			out = append(out, said{pointer, shownValue(v)})
		}
	}
	walk("", map[string]any(d))
	return out
}

// shownValue is a value for people: texts as they are, the rest as JSON.
func shownValue(v any) string {
	const most = 200
	s, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		s = string(b)
	}
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// bindPolicy binds to what was typed into the one of its forms that was sent.
func bindPolicy(q *request) error {
	return q.changePolicy("", func(name string) error {
		return q.post(at("/policies/%s/bindings", name), binding{Group: q.Typed("group"), Serial: q.Typed("serial"), User: q.Typed("user"), Domain: q.Typed("domain")}, nil)
	}, "policies.bind.done", q.Typed("group")+q.Typed("serial")+q.Typed("user"))
}

func unbindPolicy(q *request) error {
	from := url.Values{}
	for _, name := range []string{"group", "serial", "user", "domain"} {
		if v := q.Typed(name); v != "" {
			from.Set(name, v)
		}
	}
	return q.changePolicy("", func(name string) error {
		return q.delete(at("/policies/%s/bindings", name), from, nil)
	}, "policies.unbind.done", q.Typed("group")+q.Typed("serial")+q.Typed("user"))
}

// changePolicy makes a change from the page of a policy, and goes to the page
// below it, or back, with the notice of a key.
func (q *request) changePolicy(to string, change func(name string) error, key string, args ...any) error {
	name := q.PathValue("name")
	if err := change(name); err != nil {
		if p := refusal(err); p != nil && p.Code != "policy_unknown" {
			return q.policyPage(p)
		}
		return err
	}
	return q.done(at("/policies/%s", name)+to, key, args...)
}

// setRollout sets, pauses or resumes.
func setRollout(q *request) error {
	switch q.Typed("do") {
	case "pause":
		return q.changePolicy("", func(name string) error { return q.post(at("/policies/%s/rollout/pause", name), nil, nil) }, "policies.rollout.paused.done")
	case "resume":
		return q.changePolicy("", func(name string) error { return q.post(at("/policies/%s/rollout/resume", name), nil, nil) }, "policies.rollout.resumed")
	}
	percent, err := strconv.Atoi(q.Typed("percent"))
	if err != nil {
		return q.policyPage(wrongField("/percent", text("policies.rollout.number")))
	}
	perMinute := 0
	if typed := q.Typed("per_minute"); typed != "" {
		if perMinute, err = strconv.Atoi(typed); err != nil {
			return q.policyPage(wrongField("/per_minute", text("policies.rollout.number")))
		}
	}
	return q.changePolicy("", func(name string) error {
		return q.put(at("/policies/%s/rollout", name), map[string]int{"percent": percent, "per_minute": perMinute}, nil)
	}, "policies.rollout.done")
}

func putProfile(q *request) error {
	file, err := q.File("file")
	if err != nil {
		return errBroken
	}
	id := q.Typed("id")
	switch {
	case len(file) == 0:
		return q.policyPage(wrongField("/file", text("policies.profiles.nofile")))
	case id == "":
		return q.policyPage(wrongField("/id", text("policies.profiles.noid")))
	}
	return q.changePolicy("", func(name string) error {
		return q.do(call{Method: http.MethodPut, Path: at("/policies/%s/profiles/%s", name, id), Raw: strings.NewReader(string(file)), ContentType: "application/x-apple-aspen-config"}, nil)
	}, "policies.profiles.done", id)
}

func removeProfile(q *request) error {
	id := q.PathValue("id")
	return q.changePolicy("", func(name string) error { return q.delete(at("/policies/%s/profiles/%s", name, id), nil, nil) }, "policies.profiles.removed", id)
}

// policyWarning is something that not every device will honour.
type policyWarning struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Text    string `json:"text"`
	Devices int    `json:"devices"`
	Example string `json:"example"`
}

func policyWarnings(q *request) error {
	name := q.PathValue("name")
	var list struct {
		Items []policyWarning `json:"items"`
	}
	if err := q.get(at("/policies/%s/warnings", name), nil, &list); err != nil {
		return err
	}
	return q.page("policy-warnings", q.policyView(text("policies.warnings.title", name), list.Items))
}

func askDeletePolicy(q *request) error { return q.askDeletePolicy(nil) }

func (q *request) askDeletePolicy(p *problem) error {
	name := q.PathValue("name")
	listed, err := q.listedPolicies()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(listed, func(p policySummary) bool { return p.Name == name })
	if i < 0 {
		return errNoPage
	}
	v := q.policyView(text("policies.delete.title", name), listed[i])
	v.Problem = p
	return q.page("policy-delete", v)
}

// deletePolicy wants the name of the policy typed.
func deletePolicy(q *request) error {
	name := q.PathValue("name")
	if q.Typed("confirm") != name {
		return q.askDeletePolicy(wrongField("/confirm", text("policies.delete.mistyped")))
	}
	if err := q.delete(at("/policies/%s", name), nil, nil); err != nil {
		return err
	}
	return q.done("/policies", "policies.delete.done", name)
}
