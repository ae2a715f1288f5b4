package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// AdministratorCommands are about people who sign in to the console.
type AdministratorCommands struct {
	Session
	List    administratorList    `cmd:"" help:"List the administrators."`
	Add     administratorAdd     `cmd:"" help:"Add an administrator and print the link with which they choose a password, this once."`
	Set     administratorSet     `cmd:"" help:"Change name, role or address."`
	Disable administratorDisable `cmd:"" help:"Let somebody sign in no more, and end their sessions."`
	Enable  administratorEnable  `cmd:"" help:"Let somebody sign in again."`
	Reset   administratorReset   `cmd:"" help:"Take the password away, end the sessions, and print a link to choose a new one."`
	Delete  administratorDelete  `cmd:"" help:"Delete an administrator."`
}

// ViewCommands are about saved views of the list of devices.
type ViewCommands struct {
	Session
	List   viewList   `cmd:"" help:"List the views of this token, and those that are shared."`
	Put    viewPut    `cmd:"" help:"Save a view under a name."`
	Delete viewDelete `cmd:"" help:"Delete a view."`
}

var (
	administratorColumns = columns("email", "name", "role", "second_factor", "password=has_password", "invited=invited_until", "seen=last_seen_at", "disabled=disabled_at", "id")
	viewColumns          = columns("name", "query", "shared", "owner=owner_name", "updated=updated_at")
)

type administratorList struct{}

// Run implements the command.
func (c *administratorList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/administrators", nil, unpaged, administratorColumns)
}

type administratorAdd struct {
	Email string `arg:"" help:"E-mail address, with which they sign in."`
	Name  string `help:"Name." required:""`
	Role  string `help:"What they may do." enum:"viewer,operator,admin" default:"viewer"`
}

// Run implements the command.
func (c *administratorAdd) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post("/administrators", map[string]string{"email": c.Email, "name": c.Name, "role": c.Role}))
	if err != nil {
		return err
	}
	return s.link(raw)
}

// link prints the link of a new or reset administrator alone, for programs.
func (s *Session) link(raw []byte) error {
	if s.Output != formTable {
		return s.show(raw, append(administratorColumns, columns("link")...))
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	_, err = fmt.Println(r.text("link"))
	return err
}

// administratorArg is an administrator that is named.
type administratorArg struct {
	Who string `arg:"" help:"E-mail address or ID." name:"administrator"`
}

// path finds the administrator, and gives its path in the API.
func (c administratorArg) path(ctx context.Context, s *Session) (string, error) {
	id := c.Who
	if strings.Contains(c.Who, "@") {
		id = ""
		err := s.pages(ctx, "/administrators", url.Values{}, unpaged, func(items []json.RawMessage) error {
			for _, raw := range items {
				r, err := parseRecord(raw)
				if err != nil {
					return err
				}
				if strings.EqualFold(r.text("email"), c.Who) {
					id = r.text("id")
				}
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		if id == "" {
			return "", failed("rollcall administrator list shows them.", "there is no administrator %s", c.Who)
		}
	}
	return join("administrators", id), nil
}

func (c administratorArg) patch(ctx context.Context, s *Session, body any, format string) error {
	path, err := c.path(ctx, s)
	if err != nil {
		return err
	}
	raw, err := s.do(ctx, call{method: http.MethodPatch, path: path, body: body})
	if err != nil {
		return err
	}
	return s.done(raw, administratorColumns, format, c.Who)
}

type administratorSet struct {
	administratorArg
	Name  string `help:"Another name."`
	Role  string `help:"Another role; ends the sessions." enum:"viewer,operator,admin," default:""`
	Email string `help:"Another e-mail address; ends the sessions."`
}

// Run implements the command.
func (c *administratorSet) Run(ctx context.Context, s *Session) error {
	body := map[string]string{}
	for key, value := range map[string]string{"name": c.Name, "role": c.Role, "email": c.Email} {
		if value != "" {
			body[key] = value
		}
	}
	return c.patch(ctx, s, body, "%s is changed")
}

type administratorDisable struct{ administratorArg }

// Run implements the command.
func (c *administratorDisable) Run(ctx context.Context, s *Session) error {
	return c.patch(ctx, s, map[string]bool{"disabled": true}, "%s is disabled")
}

type administratorEnable struct{ administratorArg }

// Run implements the command.
func (c *administratorEnable) Run(ctx context.Context, s *Session) error {
	return c.patch(ctx, s, map[string]bool{"disabled": false}, "%s can sign in again")
}

type administratorReset struct {
	administratorArg
	SecondFactor bool `help:"Also turn off the second factor, for who has lost the phone and the recovery codes."`
}

// Run implements the command.
func (c *administratorReset) Run(ctx context.Context, s *Session) error {
	path, err := c.path(ctx, s)
	if err != nil {
		return err
	}
	if c.SecondFactor {
		if _, err := s.do(ctx, remove(path+"/second-factor")); err != nil {
			return err
		}
	}
	raw, err := s.do(ctx, post(path+"/reset", nil))
	if err != nil {
		return err
	}
	return s.link(raw)
}

type administratorDelete struct{ administratorArg }

// Run implements the command.
func (c *administratorDelete) Run(ctx context.Context, s *Session) error {
	path, err := c.path(ctx, s)
	if err != nil {
		return err
	}
	if _, err := s.do(ctx, remove(path)); err != nil {
		return err
	}
	return s.done(nil, nil, "%s is deleted", c.Who)
}

type viewList struct{}

// Run implements the command.
func (c *viewList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/views", nil, unpaged, viewColumns)
}

type viewPut struct {
	Name   string `arg:"" help:"Name of the view."`
	Query  string `arg:"" help:"Parameters of the list of devices, such as 'ownership=corporate&sort=updated_at'."`
	Shared bool   `help:"Let everybody see it."`
}

// Run implements the command.
func (c *viewPut) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, put(join("views", c.Name), map[string]any{"query": c.Query, "shared": c.Shared}))
	if err != nil {
		return err
	}
	return s.done(raw, viewColumns, "the view %s is saved", c.Name)
}

type viewDelete struct {
	Name string `arg:"" help:"Name of the view."`
}

// Run implements the command.
func (c *viewDelete) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(join("views", c.Name))); err != nil {
		return err
	}
	return s.done(nil, nil, "the view %s is deleted", c.Name)
}
