package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

var rulePages = []route{
	get("/enrollment/restrictions/new-rule", only("put-gate-rule", newRule)),
	post("/enrollment/restrictions/new-rule", makeRule),
	get("/enrollment/restrictions/rules/{name}", only("put-gate-rule", editRule)),
	post("/enrollment/restrictions/rules/{name}", changeRule),
	post("/enrollment/restrictions/rules/{name}/enabled", switchRule),
	get("/enrollment/restrictions/rules/{name}/delete", only("delete-gate-rule", askDeleteRule)),
	post("/enrollment/restrictions/rules/{name}/delete", deleteRule),
	post("/enrollment/restrictions/rule-order", moveRule),
	get("/enrollment/restrictions/test", testGate),
}

// rule is a rule of the gate.
type rule struct {
	Name       string     `json:"name"`
	Enabled    bool       `json:"enabled"`
	Action     string     `json:"action"`
	Evidence   string     `json:"evidence"`
	Conditions conditions `json:"conditions"`
	UpdatedAt  time.Time  `json:"updated_at"`
}

// Seen names the rule as it was shown; a new one has none.
func (r rule) Seen() string {
	if r.UpdatedAt.IsZero() {
		return ""
	}
	return version(r.UpdatedAt)
}

type conditions struct {
	Channels      []string `json:"channels,omitempty"`
	Platforms     []string `json:"platforms,omitempty"`
	Ownerships    []string `json:"ownerships,omitempty"`
	OSMinimum     string   `json:"os_minimum,omitempty"`
	OSMaximum     string   `json:"os_maximum,omitempty"`
	Models        []string `json:"models,omitempty"`
	Manufacturers []string `json:"manufacturers,omitempty"`
	Evidence      []string `json:"evidence,omitempty"`
	OnRoll        *bool    `json:"on_roll,omitempty"`
	Groups        []string `json:"groups,omitempty"`
}

// Has says whether a list of the conditions has a value.
func (c conditions) Has(list, value string) bool {
	return slices.Contains(map[string][]string{"channels": c.Channels, "platforms": c.Platforms, "ownerships": c.Ownerships, "evidence": c.Evidence, "groups": c.Groups}[list], value)
}

// Models and manufacturers stand in the form one a line.
func (c conditions) ModelLines() string        { return strings.Join(c.Models, "\n") }
func (c conditions) ManufacturerLines() string { return strings.Join(c.Manufacturers, "\n") }

// Roll is the condition about the roll as the form has it.
func (c conditions) Roll() string {
	switch {
	case c.OnRoll == nil:
		return ""
	case *c.OnRoll:
		return "on"
	}
	return "off"
}

// Place is where a rule stands, counted from one, by its index; with a step, the
// place before or after.
func (rule) Place(i int, steps ...int) int {
	for _, step := range steps {
		i += step
	}
	return i + 1
}

// None says whether the rule is about every device.
func (c conditions) None() bool {
	return len(c.Channels)+len(c.Platforms)+len(c.Ownerships)+len(c.Models)+len(c.Manufacturers)+len(c.Evidence)+len(c.Groups) == 0 && c.OSMinimum == "" && c.OSMaximum == "" && c.OnRoll == nil
}

func (r rule) body() map[string]any {
	return given(map[string]any{"enabled": r.Enabled, "action": r.Action, "evidence": r.Evidence, "conditions": r.Conditions})
}

func (q *request) rules() ([]rule, error) {
	var all struct {
		Items []rule `json:"items"`
	}
	err := q.get("/gate/rules", nil, &all)
	return all.Items, err
}

// typedRule is the rule of the form.
func (q *request) typedRule(name string) rule {
	r := rule{Name: name, Enabled: q.Typed("enabled") != "", Action: q.Typed("action"), Conditions: conditions{Channels: q.TypedAll("channels"), Platforms: q.TypedAll("platforms"), Ownerships: q.TypedAll("ownerships"),
		OSMinimum: q.Typed("os_minimum"), OSMaximum: q.Typed("os_maximum"), Models: lines(q.Typed("models")), Manufacturers: lines(q.Typed("manufacturers")),
		Evidence: q.TypedAll("known_by"), Groups: q.TypedAll("groups")}}
	if r.Action == "require_evidence" {
		r.Evidence = q.Typed("evidence")
	}
	if roll := q.Typed("on_roll"); roll != "" {
		on := roll == "on"
		r.Conditions.OnRoll = &on
	}
	return r
}

func newRule(q *request) error { return rulePage(q, rule{Enabled: true}, nil) }

// rulePage is the form of a rule; one without a name is a new one.
// What it was changed to meanwhile is shown beside it.
func rulePage(q *request, r rule, p *problem, meanwhile ...rule) error {
	groups, err := q.groupNames(false)
	if err != nil {
		return err
	}
	for _, g := range r.Conditions.Groups { // one that was deleted meanwhile is still there to be taken out
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	v := view{Title: text("enrollment.rule.new"), Problem: p, Crumbs: []crumb{{"/enrollment/restrictions", text("enrollment.restrictions.title")}}, Data: struct {
		Rule      rule
		Groups    []string
		Meanwhile []rule
	}{r, groups, meanwhile}}
	if r.Name != "" {
		v.Title = text("enrollment.rule.title", r.Name)
	}
	return q.enrollment("enrollment-rule", v)
}

// makeRule refuses the name of a rule that is there: the API would change that one.
func makeRule(q *request) error {
	name := q.Typed("name")
	r := q.typedRule("")
	p := &problem{Status: http.StatusUnprocessableEntity, Code: "name", Detail: text("enrollment.rule.nameless")}
	if name != "" {
		err := q.get(at("/gate/rules/%s", name), nil, nil)
		if p = refusal(err); p == nil && err != nil {
			return err
		}
		if p == nil {
			p = &problem{Status: http.StatusConflict, Code: "name", Detail: text("enrollment.rule.taken"), Hint: text("enrollment.rule.taken.hint")}
		} else if p.Status == http.StatusNotFound {
			err := q.put(at("/gate/rules/%s", name), r.body(), nil)
			if p = refusal(err); p == nil && err != nil {
				return err
			}
		}
	}
	if p != nil {
		return rulePage(q, r, p.place("name", "/name"))
	}
	return q.done("/enrollment/restrictions", "enrollment.rule.made", name)
}

func editRule(q *request) error {
	var r rule
	if err := q.get(at("/gate/rules/%s", q.PathValue("name")), nil, &r); err != nil {
		return err
	}
	return rulePage(q, r, nil)
}

// changeRule asks again where the rule was changed or deleted meanwhile. A form
// that was told so may make it anew.
func changeRule(q *request) error {
	r := q.typedRule(q.PathValue("name"))
	var now rule
	err := q.get(at("/gate/rules/%s", r.Name), nil, &now)
	p := refusal(err)
	switch {
	case p != nil && p.Status == http.StatusNotFound && q.Typed("seen") != "":
		p.Hint = text("enrollment.rule.gone")
		return rulePage(q, r, p)
	case err != nil && (p == nil || p.Status != http.StatusNotFound):
		return err
	case err == nil && !same(r.body(), now.body()):
		if p := q.meanwhile(now.UpdatedAt); p != nil {
			r.UpdatedAt = now.UpdatedAt
			return rulePage(q, r, p, now)
		}
	}
	r.UpdatedAt = now.UpdatedAt
	err = q.put(at("/gate/rules/%s", r.Name), r.body(), nil)
	if p := refusal(err); p != nil {
		return rulePage(q, r, p)
	}
	if err != nil {
		return err
	}
	return q.done("/enrollment/restrictions", "enrollment.rule.changed", r.Name)
}

// switchRule turns a rule on or off and leaves the rest of it as it is.
func switchRule(q *request) error {
	var r rule
	if err := q.get(at("/gate/rules/%s", q.PathValue("name")), nil, &r); err != nil {
		return err
	}
	r.Enabled = q.Typed("enabled") == "true"
	if err := q.put(at("/gate/rules/%s", r.Name), r.body(), nil); err != nil {
		return err
	}
	if r.Enabled {
		return q.done("/enrollment/restrictions", "enrollment.rule.on", r.Name)
	}
	return q.done("/enrollment/restrictions", "enrollment.rule.off", r.Name)
}

func askDeleteRule(q *request) error {
	var r rule
	if err := q.get(at("/gate/rules/%s", q.PathValue("name")), nil, &r); err != nil {
		return err
	}
	return q.enrollment("enrollment-rule-delete", view{Title: text("enrollment.rule.delete.title", r.Name), Data: r, Crumbs: []crumb{{"/enrollment/restrictions", text("enrollment.restrictions.title")}}})
}

func deleteRule(q *request) error {
	name := q.PathValue("name")
	if err := q.delete(at("/gate/rules/%s", name), nil, nil); err != nil {
		return err
	}
	return q.done("/enrollment/restrictions", "enrollment.rule.deleted", name)
}

// moveRule puts a rule at a place, so that sending the form twice moves it once.
func moveRule(q *request) error {
	rules, err := q.rules()
	if err != nil {
		return err
	}
	var names []string
	for _, r := range rules {
		names = append(names, r.Name)
	}
	i := slices.Index(names, q.Typed("name"))
	place, err := strconv.Atoi(q.Typed("place"))
	if i < 0 || err != nil || place < 1 || place > len(names) {
		return errNoPage
	}
	names = slices.Insert(slices.Delete(names, i, i+1), place-1, q.Typed("name"))
	if err := q.put("/gate/rule-order", map[string]any{"names": names}, nil); err != nil {
		return err
	}
	return q.done("/enrollment/restrictions", "enrollment.rule.moved", q.Typed("name"))
}

// decision is what the gate says of an attempt.
type decision struct {
	ID         string     `json:"id"`
	Channel    string     `json:"channel"`
	Platform   string     `json:"platform"`
	Serial     string     `json:"serial"`
	Evidence   string     `json:"evidence"`
	Outcome    string     `json:"outcome"`
	Code       string     `json:"code"`
	Enforced   string     `json:"enforced"`
	Text       string     `json:"text"`
	Fix        string     `json:"fix"`
	Person     string     `json:"person"`
	NearMisses []nearMiss `json:"near_misses"`
	Trace      []struct {
		Check  string `json:"check"`
		Result string `json:"result"`
		Detail string `json:"detail"`
	} `json:"trace"`
	OnRoll   bool     `json:"on_roll"`
	Groups   []string `json:"groups"`
	Policies []string `json:"policies"`
}

// testFields are the parameters of the test box, which is a page to be shared.
var testFields = []string{"serial", "platform", "channel", "evidence", "os_version", "model", "product", "manufacturer", "ownership"}

// testGate asks the gate about a device that need not exist.
func testGate(q *request) error {
	v := view{Title: text("enrollment.test.title"), Crumbs: []crumb{{"/enrollment/restrictions", text("enrollment.restrictions.title")}}}
	if q.Param("serial") == "" {
		return q.enrollment("enrollment-test", v)
	}
	body := map[string]any{}
	for _, name := range testFields {
		if value := q.Param(name); value != "" {
			body[name] = value
		}
	}
	// A link names what it knows; the form asks for all of it.
	if body["channel"] == nil {
		body["channel"] = "ota"
	}
	if body["platform"] == nil {
		body["platform"] = "ios"
		if slices.Contains([]string{"agent", "amapi"}, q.Param("channel")) {
			body["platform"] = "android"
		}
	}
	var d decision
	err := q.askedUser(body)
	if err == nil {
		err = q.post("/gate/evaluate", body, &d)
	}
	if v.Problem = refusal(err); v.Problem == nil {
		if err != nil {
			return err
		}
		v.Data = d
	}
	return q.enrollment("enrollment-test", v)
}

// askedUser finds the user of the test box by the e-mail address.
func (q *request) askedUser(body map[string]any) error {
	email := q.Param("email")
	if email == "" {
		return nil
	}
	var found struct {
		Items []user `json:"items"`
	}
	if err := q.get("/users", query("q", email, "limit", "100"), &found); err != nil {
		return err
	}
	for _, u := range found.Items {
		if strings.EqualFold(u.Email, email) {
			body["user_id"] = u.ID
			return nil
		}
	}
	return (&problem{Status: http.StatusNotFound, Code: "email", Detail: text("enrollment.test.nouser"), Hint: text("enrollment.test.nouser.hint")}).place("email", "/email")
}
