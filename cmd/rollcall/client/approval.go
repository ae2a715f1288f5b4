package client

import "context"

// ApprovalCommands are about devices that the gate holds.
type ApprovalCommands struct {
	Session
	List    approvalList    `cmd:"" help:"List the devices that wait."`
	Approve approvalApprove `cmd:"" help:"Let a device enroll at its next attempt."`
	Reject  approvalReject  `cmd:"" help:"Refuse a device from now on."`
}

var approvalColumns = columns("serial", "state", "attempts", "asked=asked_at", "last=last_at", "decided_by", "decision=decision_id")

type approvalList struct {
	State string `help:"pending, approved or rejected." enum:"pending,approved,rejected" default:"pending"`
	limited
}

// Run implements the command.
func (c *approvalList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/approvals", filter("state", c.State), c.Limit, approvalColumns)
}

type approvalApprove struct {
	oneDevice
	Add bool `help:"Also put it on the roll, with what the flags below say."`
	deviceInput
}

// Run implements the command.
func (c *approvalApprove) Run(ctx context.Context, s *Session) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if !c.Add {
		if len(body) > 0 {
			return usage("Add --add.", "only a device that goes on the roll has fields")
		}
		raw, err := s.do(ctx, post(join("approvals", c.Serial, "approve"), nil))
		if err != nil {
			return err
		}
		return s.done(raw, approvalColumns, "%s may enroll at its next attempt", c.Serial)
	}
	raw, err := s.do(ctx, post(join("approvals", c.Serial, "approve-and-add"), body))
	if err != nil {
		return err
	}
	return s.done(raw, deviceFields, "%s is on the roll and may enroll at its next attempt", c.Serial)
}

type approvalReject struct{ oneDevice }

// Run implements the command.
func (c *approvalReject) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(join("approvals", c.Serial, "reject"), nil))
	if err != nil {
		return err
	}
	return s.done(raw, approvalColumns, "%s is rejected", c.Serial)
}
