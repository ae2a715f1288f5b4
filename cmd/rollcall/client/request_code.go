package client

import "context"

var codeColumns = columns("serial", "state", "code", "expires=expires_at", "id")

type requestCode struct{ oneRequest }

// Run implements the command.
func (c *requestCode) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(join("requests", c.ID, "code"), nil))
	if err != nil {
		return err
	}
	return s.show(raw, codeColumns)
}
