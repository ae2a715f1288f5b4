package client

import "context"

// DecisionCommands are about what the gate decided.
type DecisionCommands struct {
	Session
	List   decisionList   `cmd:"" help:"List the decisions, newest first."`
	Show   decisionShow   `cmd:"" help:"Show a decision with every check."`
	Repair decisionRepair `cmd:"" help:"Give a row of the roll the serial of a refused device."`
}

// decisionFilter narrows the decisions.
type decisionFilter struct {
	Serial   string `help:"Only of this device."`
	Outcome  string `help:"Only with this outcome: allow, hold, deny, error."`
	Code     string `help:"Only with this code, such as deny.not_pre_enrolled."`
	Channel  string `help:"Only by this way: ota, profile, ade, account, agent, amapi."`
	Evidence string `help:"Only with this evidence: claimed, token, signed, attested."`
	NearMiss bool   `help:"Only refusals that look like a row of the roll and were not repaired yet."`
	Since    string `help:"Not older: 24h, 7d, 2026-12-31 or RFC 3339."`
	Until    string `help:"Older, likewise."`
}

func (f decisionFilter) pairs() ([]string, error) {
	since, err := moment("--since", f.Since, -1)
	if err != nil {
		return nil, err
	}
	until, err := moment("--until", f.Until, -1)
	near := ""
	if f.NearMiss {
		near = "true"
	}
	return []string{"serial", f.Serial, "outcome", f.Outcome, "code", f.Code, "channel", f.Channel, "evidence", f.Evidence, "near_miss", near, "since", since, "until", until}, err
}

type decisionList struct {
	decisionFilter
	limited
}

// Run implements the command.
func (c *decisionList) Run(ctx context.Context, s *Session) error {
	pairs, err := c.pairs()
	if err != nil {
		return err
	}
	return s.list(ctx, "/decisions", filter(pairs...), c.Limit, columns("at", "serial", "channel", "evidence", "outcome", "code", "id"))
}

type oneDecision struct {
	ID string `arg:"" help:"ID of the decision."`
}

type decisionShow struct{ oneDecision }

// Run implements the command.
func (c *decisionShow) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(join("decisions", c.ID), nil))
	if err != nil {
		return err
	}
	fields := columns("at", "serial", "channel", "platform", "evidence", "mode", "outcome", "code", "enforced", "why=text", "fix", "person_reads=person", "remote_addr", "request_id",
		"model=facts.model", "product=facts.product", "os_version=facts.os_version", "id")
	if s.Output != formTable {
		return s.show(raw, fields)
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return writeDecision(r, fields)
}

type decisionRepair struct {
	oneDecision
	Serial string `arg:"" help:"Serial of the row as it is on the roll, usually a near miss."`
}

// Run implements the command.
func (c *decisionRepair) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(join("decisions", c.ID, "repair"), map[string]string{"serial": c.Serial}))
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return s.done(raw, deviceFields, "the row %s is %s now", c.Serial, r.text("serial"))
}
