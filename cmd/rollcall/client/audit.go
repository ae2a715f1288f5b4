package client

import "context"

// AuditCommands are about the log of changes.
type AuditCommands struct {
	Session
	List   auditList   `cmd:"" help:"List the changes, newest first."`
	Verify auditVerify `cmd:"" help:"Verify that nobody tampered with the log; fails where somebody did."`
}

type auditList struct {
	Actor     string `help:"Only of this token or administrator, by its ID."`
	Operation string `help:"Only this operation of the API, such as put-device."`
	Kind      string `help:"Only objects of this kind, such as device."`
	Key       string `help:"Only the object of this name, such as a serial."`
	Since     string `help:"Not older: 24h, 7d, 2026-12-31 or RFC 3339."`
	Until     string `help:"Older than this."`
	limited
}

// Run implements the command.
func (c *auditList) Run(ctx context.Context, s *Session) error {
	since, err := moment("--since", c.Since, -1)
	if err != nil {
		return err
	}
	until, err := moment("--until", c.Until, -1)
	if err != nil {
		return err
	}
	query := filter("actor", c.Actor, "operation", c.Operation, "kind", c.Kind, "key", c.Key, "since", since, "until", until)
	return s.list(ctx, "/audit", query, c.Limit, columns("sequence", "at", "actor=actor.name", "operation", "kind", "key", "from=remote_addr"))
}

type auditVerify struct{}

// Run implements the command.
func (c *auditVerify) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get("/audit/verify", nil))
	if err != nil {
		return err
	}
	if err := s.show(raw, columns("intact", "entries", "head", "broken", "reason")); err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	if r["intact"] != true {
		return failed("Compare with a backup, and with hashes noted before.", "the log does not hold from entry %s on", r.text("broken"))
	}
	return nil
}
