package client

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"strconv"
	"strings"
)

type policyVersions struct{ onePolicy }

// Run implements the command.
func (c *policyVersions) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, join("policies", c.Name, "versions"), nil, 0, columns("version", "restored", "priority", "updated_at", "updated_by"))
}

type policyCompare struct {
	onePolicy
	From int64 `arg:"" help:"A version."`
	To   int64 `arg:"" optional:"" help:"Another version; the newest if left out."`
}

// Run implements the command.
func (c *policyCompare) Run(ctx context.Context, s *Session) error {
	query := url.Values{"from": {strconv.FormatInt(c.From, 10)}}
	if c.To != 0 {
		query.Set("to", strconv.FormatInt(c.To, 10))
	}
	raw, err := s.do(ctx, get(join("policies", c.Name, "compare"), query))
	if err != nil {
		return err
	}
	return s.showWith(raw, columns("from", "to"), "differences", columns("pointer", "from", "to"))
}

type policyRestore struct {
	onePolicy
	Version int64 `arg:"" help:"The version to go back to."`
}

// Run implements the command.
func (c *policyRestore) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(join("policies", c.Name, "versions", strconv.FormatInt(c.Version, 10), "restore"), nil))
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	what := "has the content of version"
	if r["changed"] != true {
		what = "had already the content of version"
	}
	return s.done(raw, policyFields, "the policy %s %s %d, and is at version %s", c.Name, what, c.Version, r.text("version"))
}

type policyRollout struct {
	onePolicy
	Percent   *int `help:"Share of the devices that gets new versions." xor:"change"`
	PerMinute int  `help:"With --percent: how many devices a change reaches in a minute; 0 for all at once."`
	Pause     bool `help:"Hold new versions back from everybody who does not have them." xor:"change"`
	Resume    bool `help:"Go on." xor:"change"`
}

// Run implements the command.
func (c *policyRollout) Run(ctx context.Context, s *Session) error {
	path := join("policies", c.Name, "rollout")
	call := get(path, nil)
	switch {
	case c.Percent != nil:
		call = put(path, map[string]int{"percent": *c.Percent, "per_minute": c.PerMinute})
	case c.Pause:
		call = post(path+"/pause", nil)
	case c.Resume:
		call = post(path+"/resume", nil)
	}
	raw, err := s.do(ctx, call)
	if err != nil {
		return err
	}
	return s.show(raw, columns("percent", "per_minute", "paused", "base_version", "version"))
}

type policySchema struct{}

// Run implements the command.
func (c *policySchema) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get("/policy-schema", nil))
	if err != nil {
		return err
	}
	return s.printJSON(raw)
}

// printJSON writes a value with indentation.
func (s *Session) printJSON(raw json.RawMessage) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(raw)
}

type policyReceipt struct {
	onePolicy
	limited
}

// Run implements the command.
func (c *policyReceipt) Run(ctx context.Context, s *Session) error {
	open := column{name: "not_applied", of: func(r record) string {
		var titles []string
		for _, i := range r.list("items") {
			if state := i.text("state"); state != "applied" {
				titles = append(titles, i.text("title")+" ("+state+")")
			}
		}
		for _, n := range r.list("notes") {
			if state := n.text("state"); state != "note" {
				titles = append(titles, n.text("pointer")+" ("+state+")")
			}
		}
		return strings.Join(titles, ", ")
	}}
	return s.list(ctx, join("policies", c.Name, "receipt"), nil, c.Limit, append(columns("serial", "state", "version", "completed=completed_at"), open))
}
