package client

import (
	"context"
	"fmt"
)

// TokenCommands are about API tokens.
type TokenCommands struct {
	Session
	Create tokenCreate `cmd:"" help:"Make a token and print it, this once."`
	List   tokenList   `cmd:"" help:"List the tokens, revoked ones included."`
	Revoke tokenRevoke `cmd:"" help:"Revoke a token at once."`
}

var tokenColumns = columns("id", "name", "role", "created=created_at", "expires=expires_at", "last_used=last_used_at", "revoked=revoked_at")

type tokenCreate struct {
	Name    string `help:"What it is for; shown beside what was done with it." required:""`
	Role    string `help:"What it may do." enum:"viewer,operator,admin" default:"viewer"`
	Expires string `help:"When it ends: 90d, 2026-12-31 or RFC 3339. Default: never."`
}

// Run implements the command: on standard output there is the token alone, for
// programs.
func (c *tokenCreate) Run(ctx context.Context, s *Session) error {
	body := map[string]string{"name": c.Name, "role": c.Role}
	expires, err := moment("--expires", c.Expires, 1)
	if err != nil {
		return err
	}
	if expires != "" {
		body["expires_at"] = expires
	}
	raw, err := s.do(ctx, post("/tokens", body))
	if err != nil {
		return err
	}
	if s.Output != formTable {
		return s.show(raw, columns("id", "name", "role", "created=created_at", "expires=expires_at", "token"))
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	_, err = fmt.Println(r.text("token"))
	return err
}

type tokenList struct{}

// Run implements the command.
func (c *tokenList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/tokens", nil, unpaged, tokenColumns)
}

type tokenRevoke struct {
	ID string `arg:"" help:"ID of the token."`
}

// Run implements the command.
func (c *tokenRevoke) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(join("tokens", c.ID))); err != nil {
		return err
	}
	return s.done(nil, nil, "the token %s is revoked", c.ID)
}
