package client

import (
	"context"
	"encoding/json"
)

type adeProfileCommands struct {
	List     adeList     `cmd:"" help:"List the profiles of an account."`
	Get      adeGet      `cmd:"" help:"Show a profile; -o json gives what put takes."`
	Put      adePut      `cmd:"" help:"Make or change a profile from a JSON file."`
	Delete   adeDelete   `cmd:"" help:"Delete a profile that no device has."`
	Versions adeVersions `cmd:"" help:"List the versions that Apple knows, and how many devices have each."`
}

var adeColumns = columns("name", "authentication", "version", "at_apple=apple.version", "pending", "problem=problem.text")

type adeList struct{ oneDEP }

// Run implements the command.
func (c *adeList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, c.path("profiles"), nil, unpaged, adeColumns)
}

type oneADE struct {
	oneDEP
	Name string `arg:"" help:"Name of the profile."`
}

type adeGet struct{ oneADE }

// Run implements the command.
func (c *adeGet) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(c.path("profiles", c.Name), nil))
	if err != nil {
		return err
	}
	return s.show(raw, append(adeColumns, columns("settings", "minimum_os", "uuid=apple.uuid", "warnings")...))
}

// maxADE is the most that the API takes of a profile.
const maxADE = 1 << 20

type adePut struct {
	oneADE
	File string `arg:"" help:"JSON object with settings (by Apple's names), authentication and minimum_os; - for standard input."`
}

// Run implements the command.
func (c *adePut) Run(ctx context.Context, s *Session) error {
	data, _, err := readInput(c.File, maxADE)
	if err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return usage("", "%s is not a JSON object: %v", c.File, err)
	}
	for _, told := range []string{"name", "version", "apple", "pending", "problem", "warnings", "created_at", "updated_at"} {
		delete(object, told) // so that what get gave can be put
	}
	raw, err := s.do(ctx, put(c.path("profiles", c.Name), object))
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	what := "was so already"
	if r["created"] == true {
		what = "is made"
	} else if r["changed"] == true {
		what = "is changed"
	}
	return s.done(raw, adeColumns, "the profile %s %s, version %s", c.Name, what, r.text("version"))
}

type adeDelete struct{ oneADE }

// Run implements the command.
func (c *adeDelete) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(c.path("profiles", c.Name))); err != nil {
		return err
	}
	return s.done(nil, nil, "the profile %s is deleted", c.Name)
}

type adeVersions struct{ oneADE }

// Run implements the command.
func (c *adeVersions) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, c.path("profiles", c.Name, "versions"), nil, unpaged, columns("version", "uuid", "devices", "defined=defined_at"))
}
