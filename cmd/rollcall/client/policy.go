package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
)

// PolicyCommands are about policies.
type PolicyCommands struct {
	Session
	List   policyList   `cmd:"" help:"List the policies."`
	Get    policyGet    `cmd:"" help:"Show a policy."`
	Put    policyPut    `cmd:"" help:"Make or change a policy from a JSON or .mobileconfig file."`
	Delete policyDelete `cmd:"" help:"Delete a policy; devices lose its profiles."`
	Bind   policyBind   `cmd:"" help:"Bind a policy to a group or a device."`
	Unbind policyUnbind `cmd:"" help:"Take a policy from a group or a device."`
}

// maxPolicy is the most that the API takes of a policy or profile.
const maxPolicy = 8 << 20

var (
	policyFields   = columns("name", "version", "device_name", "created_at", "updated_at")
	profileColumns = columns("profile=id", "display_name", "payloads=payloads.#")
)

type policyList struct{}

// Run implements the command.
func (c *policyList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/policies", nil, unpaged, columns("name", "version", "profiles=profiles.#", "device_name", "updated_at"))
}

type onePolicy struct {
	Name string `arg:"" help:"Name of the policy."`
}

type policyGet struct{ onePolicy }

// Run implements the command.
func (c *policyGet) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(join("policies", c.Name), nil))
	if err != nil {
		return err
	}
	return s.showWith(raw, policyFields, "profiles", profileColumns)
}

type policyPut struct {
	onePolicy
	File    string `arg:"" help:"JSON object as policy get -o json gives it, or a .mobileconfig file; - for standard input."`
	Profile string `help:"ID of the profile that a .mobileconfig file becomes; default: the name of the file." placeholder:"ID"`
}

// Run implements the command.
func (c *policyPut) Run(ctx context.Context, s *Session) error {
	data, name, err := readInput(c.File, maxPolicy)
	if err != nil {
		return err
	}
	var raw []byte
	if text := bytes.TrimSpace(data); bytes.HasPrefix(text, []byte("{")) {
		raw, err = c.putJSON(ctx, s, text)
	} else {
		raw, err = c.putProfile(ctx, s, data, name)
	}
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
	return s.done(raw, policyFields, "the policy %s %s, version %s", c.Name, what, r.text("version"))
}

// putJSON sends of an object what can be set, so that what get gave can be put.
func (c *policyPut) putJSON(ctx context.Context, s *Session, text []byte) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, usage("", "%s is not a JSON object: %v", c.File, err)
	}
	for _, told := range []string{"name", "version", "created_at", "updated_at"} {
		delete(object, told)
	}
	return s.do(ctx, put(join("policies", c.Name), object))
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// putProfile sends a .mobileconfig file. The policy is made where it is
// missing, after the server has found the file good.
func (c *policyPut) putProfile(ctx context.Context, s *Session, data []byte, name string) ([]byte, error) {
	id := c.Profile
	if id == "" {
		id = strings.Trim(notInID.ReplaceAllString(strings.TrimSuffix(name, filepath.Ext(name)), "-"), "-.")
	}
	if id == "" {
		return nil, usage("Add --profile.", "the profile needs an ID in the policy")
	}
	upload := call{method: "PUT", path: join("policies", c.Name, "profiles", id), body: data, contentType: "application/x-apple-aspen-config"}
	raw, err := s.do(ctx, upload)
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "policy_unknown" {
		if _, err := s.do(ctx, put(join("policies", c.Name), struct{}{})); err != nil {
			return nil, err
		}
		raw, err = s.do(ctx, upload)
	}
	return raw, err
}

type policyDelete struct{ onePolicy }

// Run implements the command.
func (c *policyDelete) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(join("policies", c.Name))); err != nil {
		return err
	}
	return s.done(nil, nil, "the policy %s is deleted", c.Name)
}

// binding is what a policy is bound to.
type binding struct {
	onePolicy
	Group  string `help:"Name of a group." xor:"target" required:""`
	Device string `help:"Serial of a device." xor:"target" required:"" placeholder:"SERIAL"`
}

func (b binding) change(ctx context.Context, s *Session, c call, word string) error {
	raw, err := s.do(ctx, c)
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	target := "the group " + b.Group
	if b.Device != "" {
		target = b.Device
	}
	if r["changed"] != true {
		word += " already"
	}
	return s.done(raw, columns("group", "serial", "changed"), "the policy %s is %s: %s", b.Name, word, target)
}

type policyBind struct{ binding }

// Run implements the command.
func (c *policyBind) Run(ctx context.Context, s *Session) error {
	body := map[string]string{"group": c.Group}
	if c.Device != "" {
		body = map[string]string{"serial": c.Device}
	}
	return c.change(ctx, s, post(join("policies", c.Name, "bindings"), body), "bound")
}

type policyUnbind struct{ binding }

// Run implements the command.
func (c *policyUnbind) Run(ctx context.Context, s *Session) error {
	call := remove(join("policies", c.Name, "bindings"))
	call.query = filter("group", c.Group, "serial", c.Device)
	return c.change(ctx, s, call, "not bound")
}
