package client

import (
	"context"
	"slices"
	"strings"
)

// GroupCommands are about groups.
type GroupCommands struct {
	Session
	List   groupList   `cmd:"" help:"List the groups."`
	Create groupCreate `cmd:"" help:"Make a group."`
	Delete groupDelete `cmd:"" help:"Delete a group. Its devices stay on the roll."`
	Add    groupAdd    `cmd:"" help:"Add devices to a static group."`
	Remove groupRemove `cmd:"" help:"Take devices out of a static group."`
	Rule   groupRule   `cmd:"" help:"Show, try or change the rule of a group."`
}

var groupFields = append(columns("name", "devices", "updated_at"), column{name: "rule", of: ruleText}, column{name: "applied", of: func(r record) string {
	if r.at("evaluation") == nil {
		return ""
	}
	return "to " + r.text("evaluation.done") + " of " + r.text("evaluation.total") + " devices"
}})

// ruleText is a rule in the words that --where takes.
func ruleText(r record) string {
	word := " and "
	if r.text("rule.match") == "any" {
		word = " or "
	}
	var parts []string
	for _, c := range r.list("rule.conditions") {
		is := "="
		if c["not"] == true {
			is = "!="
		}
		parts = append(parts, c.text("field")+is+c.text("values"))
	}
	return strings.Join(parts, word)
}

// maxChange is the most serials that one call of the API takes.
const maxChange = 1000

type groupList struct{}

// Run implements the command.
func (c *groupList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/groups", nil, unpaged, groupFields)
}

// conditions are a rule on the command line.
type conditions struct {
	Where []string `help:"Condition such as 'model=iPhone*|iPad*' or 'platform!=android'; repeat for several. Fields: platform, ownership, source, model, product, serial, user_email, user_domain, tag, asset_tag, state." placeholder:"CONDITION" sep:"none"`
	Match string   `help:"all or any of the conditions." enum:"all,any" default:"all"`
}

// rule is the rule in the form of the API; nil without conditions.
func (c conditions) rule() (map[string]any, error) {
	if len(c.Where) == 0 {
		return nil, nil
	}
	var list []map[string]any
	for _, w := range c.Where {
		field, values, ok := strings.Cut(w, "=")
		field, not := strings.CutSuffix(field, "!")
		if !ok || field == "" {
			return nil, usage("Write FIELD=VALUE or FIELD!=VALUE, with * for any text and | between values.", "%q is not a condition", w)
		}
		condition := map[string]any{"field": strings.TrimSpace(field), "values": strings.Split(values, "|")}
		if not {
			condition["not"] = true
		}
		list = append(list, condition)
	}
	return map[string]any{"match": c.Match, "conditions": list}, nil
}

// oneGroup is the argument of commands on a group.
type oneGroup struct {
	Name string `arg:"" help:"Name of the group."`
}

type groupCreate struct {
	oneGroup
	conditions
}

// Run implements the command.
func (c *groupCreate) Run(ctx context.Context, s *Session) error {
	body := map[string]any{"name": c.Name}
	rule, err := c.rule()
	if err != nil {
		return err
	}
	if rule != nil {
		body["rule"] = rule
	}
	raw, err := s.do(ctx, post("/groups", body))
	if err != nil {
		return err
	}
	return s.done(raw, groupFields, "the group %s is made", c.Name)
}

type groupDelete struct{ oneGroup }

// Run implements the command.
func (c *groupDelete) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(join("groups", c.Name))); err != nil {
		return err
	}
	return s.done(nil, nil, "the group %s is deleted", c.Name)
}

// members are the arguments of commands that change who is in a group.
type members struct {
	oneGroup
	Serials []string `arg:"" name:"serial" help:"Serials; - reads them from standard input, one a line."`
}

// change adds or removes, in calls of at most maxChange.
func (m members) change(ctx context.Context, s *Session, what string) error {
	all, err := serials(m.Serials)
	if err != nil {
		return err
	}
	var raw []byte
	for part := range slices.Chunk(all, maxChange) {
		if raw, err = s.do(ctx, post(join("groups", m.Name, "members"), map[string]any{what: part})); err != nil {
			return err
		}
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return s.done(raw, groupFields, "devices in the group %s: %s", m.Name, r.text("devices"))
}

type groupAdd struct{ members }

// Run implements the command.
func (c *groupAdd) Run(ctx context.Context, s *Session) error { return c.change(ctx, s, "add") }

type groupRemove struct{ members }

// Run implements the command.
func (c *groupRemove) Run(ctx context.Context, s *Session) error { return c.change(ctx, s, "remove") }

type groupRule struct {
	oneGroup
	conditions
	Preview bool `help:"Only tell which devices the conditions would match."`
}

// Run implements the command: without conditions it shows the rule.
func (c *groupRule) Run(ctx context.Context, s *Session) error {
	rule, err := c.rule()
	if err != nil {
		return err
	}
	switch {
	case rule == nil && c.Preview:
		return usage("Add --where.", "there is no condition to try")
	case rule == nil:
		raw, err := s.do(ctx, get(join("groups", c.Name), nil))
		if err != nil {
			return err
		}
		return s.show(raw, groupFields)
	case c.Preview:
		raw, err := s.do(ctx, post("/groups/preview", rule))
		if err != nil {
			return err
		}
		return s.show(raw, columns("devices", "matches", "examples"))
	}
	raw, err := s.do(ctx, put(join("groups", c.Name, "rule"), rule))
	if err != nil {
		return err
	}
	return s.done(raw, groupFields, "the group %s has a new rule; it is applied in the background", c.Name)
}
