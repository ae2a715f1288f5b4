package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// PolicyCommands are about policies.
type PolicyCommands struct {
	Session
	List     policyList     `cmd:"" help:"List the policies."`
	Get      policyGet      `cmd:"" help:"Show a policy, or an older version of it."`
	Put      policyPut      `cmd:"" help:"Make or change a policy from a JSON or .mobileconfig file."`
	Delete   policyDelete   `cmd:"" help:"Delete a policy; devices lose what it brought."`
	Bind     policyBind     `cmd:"" help:"Bind a policy to a group, a device or a user."`
	Unbind   policyUnbind   `cmd:"" help:"Take a policy from a group, a device or a user."`
	Versions policyVersions `cmd:"" help:"List the versions of a policy."`
	Compare  policyCompare  `cmd:"" help:"Tell where two versions of a policy differ."`
	Restore  policyRestore  `cmd:"" help:"Roll a policy back: a new version with the content of an old one."`
	Receipt  policyReceipt  `cmd:"" help:"Show what devices got of a policy."`
	Rollout  policyRollout  `cmd:"" help:"Show or set how new versions reach devices."`
	Schema   policySchema   `cmd:"" help:"Print the JSON Schema of policy documents."`
}

// maxPolicy is the most that the API takes of a policy or profile.
const maxPolicy = 8 << 20

var (
	policyFields   = columns("name", "version", "restored", "priority", "rollout=rollout.percent", "created_at", "updated_at", "updated_by")
	warningColumns = columns("warning=pointer", "code", "text", "devices", "example")
)

type policyList struct{}

// Run implements the command.
func (c *policyList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/policies", nil, unpaged, columns("name", "version", "priority", "features", "updated_at"))
}

type onePolicy struct {
	Name string `arg:"" help:"Name of the policy."`
}

type policyGet struct {
	onePolicy
	Version int64 `help:"An older version."`
}

// Run implements the command. People get the document as JSON below the fields.
func (c *policyGet) Run(ctx context.Context, s *Session) error {
	path := join("policies", c.Name)
	if c.Version != 0 {
		path = join("policies", c.Name, "versions", strconv.FormatInt(c.Version, 10))
	}
	raw, err := s.do(ctx, get(path, nil))
	if err != nil {
		return err
	}
	if err := s.show(raw, policyFields); err != nil || s.Output != formTable {
		return err
	}
	var policy struct {
		Document json.RawMessage `json:"document"`
	}
	if err := json.Unmarshal(raw, &policy); err != nil {
		return failed("", "the answer of %s is not a policy", s.base)
	}
	return s.printJSON(policy.Document)
}

type policyPut struct {
	onePolicy
	File    string `arg:"" help:"Policy document as JSON, an object as policy get -o json gives it, or a .mobileconfig file; - for standard input."`
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
	if err := s.done(raw, policyFields, "the policy %s %s, version %s", c.Name, what, r.text("version")); err != nil || s.Output != formTable {
		return err
	}
	return s.warn(raw)
}

// warn lists what devices will not honour.
func (s *Session) warn(raw []byte) error {
	var answer struct {
		Warnings []json.RawMessage `json:"warnings"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return failed("", "the answer of %s is not a policy", s.base)
	}
	return s.table(answer.Warnings, warningColumns)
}

// putJSON sends a document, or of an object what can be set, so that what get
// gave can be put.
func (c *policyPut) putJSON(ctx context.Context, s *Session, text []byte) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, usage("", "%s is not a JSON object: %v", c.File, err)
	}
	body := map[string]json.RawMessage{}
	for _, settable := range []string{"document", "priority"} {
		if v, there := object[settable]; there {
			body[settable] = v
		}
	}
	if len(body) == 0 {
		body["document"] = text
	}
	return s.do(ctx, put(join("policies", c.Name), body))
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
	User   string `help:"E-mail address of a user." xor:"target" required:"" placeholder:"ADDRESS"`
	Domain string `help:"Domain of the user; local if left out."`
}

// target is what is bound, as fields or parameters of the API.
func (b binding) target() []string {
	return []string{"group", b.Group, "serial", b.Device, "user", b.User, "domain", b.Domain}
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
	} else if b.User != "" {
		target = b.User
	}
	if r["changed"] != true {
		word += " already"
	}
	if err := s.done(raw, columns("group", "serial", "user", "domain", "changed"), "the policy %s is %s: %s", b.Name, word, target); err != nil || s.Output != formTable {
		return err
	}
	return s.warn(raw)
}

type policyBind struct{ binding }

// Run implements the command.
func (c *policyBind) Run(ctx context.Context, s *Session) error {
	body := map[string]string{}
	for i, fields := 0, c.target(); i < len(fields); i += 2 {
		if fields[i+1] != "" {
			body[fields[i]] = fields[i+1]
		}
	}
	return c.change(ctx, s, post(join("policies", c.Name, "bindings"), body), "bound")
}

type policyUnbind struct{ binding }

// Run implements the command.
func (c *policyUnbind) Run(ctx context.Context, s *Session) error {
	call := remove(join("policies", c.Name, "bindings"))
	call.query = filter(c.target()...)
	return c.change(ctx, s, call, "not bound")
}
