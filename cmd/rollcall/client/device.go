package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// DeviceCommands are about the roll.
type DeviceCommands struct {
	Session
	List      deviceList      `cmd:"" help:"List the roll."`
	Get       deviceGet       `cmd:"" help:"Show a device."`
	Put       devicePut       `cmd:"" help:"Put a device on the roll, or change what is said of it."`
	Set       deviceSet       `cmd:"" help:"Change fields of a device."`
	Delete    deviceDelete    `cmd:"" help:"Take a device off the roll that is not enrolled."`
	Block     deviceBlock     `cmd:"" help:"Have the gate refuse a device from now on."`
	Unblock   deviceUnblock   `cmd:"" help:"Let a blocked device pass again."`
	Disenroll deviceDisenroll `cmd:"" help:"Remove the management from an enrolled device."`
	Push      devicePush      `cmd:"" help:"Wake a device."`
	Policy    devicePolicy    `cmd:"" help:"Show what a device is to have, on the roll or not."`
	Receipt   deviceReceipt   `cmd:"" help:"Show what a device got of its policies."`
	Timeline  deviceTimeline  `cmd:"" help:"Show the history of a device."`
}

var (
	deviceColumns = columns("serial", "state", "platform", "ownership", "name=shown_name", "email=user.email", "groups", "last_seen=last_seen_at")
	deviceFields  = columns("serial", "banner", "state", "platform", "ownership", "name=shown_name", "user_name=user.name", "user_email=user.email", "user_mobile=user.mobile", "user_domain=user.domain",
		"groups", "asset_tag", "tags", "notes", "not_before", "expires_at", "max_uses", "uses", "blocked_at=blocked.at", "block_reason=blocked.reason",
		"model=facts.model", "product=facts.product", "os_version=facts.os_version", "imei=facts.imei", "udid=facts.udid",
		"accepted_at", "enrolled_at", "last_seen_at", "created_at", "updated_at", "version")
)

// limited is what lists share.
type limited struct {
	Limit int `help:"Show at most so many; 0: all." default:"0"`
}

func (l limited) Validate() error {
	if l.Limit < 0 {
		return usage("", "--limit cannot be negative")
	}
	return nil
}

// deviceFilter narrows the roll; the words are those of the API.
type deviceFilter struct {
	State     string `help:"Only in this state, such as pre_enrolled or enrolled."`
	Platform  string `help:"Only of this platform: android, ios, apple."`
	Ownership string `help:"Only of this ownership: personal, corporate, selectuser."`
	Group     string `help:"Only members of this group."`
	User      string `help:"Only of the user with this ID."`
	Domain    string `help:"Only of users of this domain."`
	Source    string `help:"Only what this source put on the roll: csv, api, dep, device."`
	Tag       string `help:"Only with this tag."`
	Model     string `help:"Only of this model."`
	Expiring  string `help:"Only rows that have not enrolled and expire within so many days." name:"expiring-days"`
	Search    string `help:"Beginning of serial, name, e-mail address, IMEI or asset tag." short:"q"`
}

func (f deviceFilter) pairs() []string {
	return []string{"state", f.State, "platform", f.Platform, "ownership", f.Ownership, "group", f.Group, "user", f.User, "domain", f.Domain, "source", f.Source, "tag", f.Tag, "model", f.Model, "expiring_days", f.Expiring, "q", f.Search}
}

type deviceList struct {
	deviceFilter
	Sort  string `help:"serial, name, updated_at, enrolled_at or last_seen_at."`
	Order string `help:"asc or desc."`
	limited
}

// Run implements the command.
func (c *deviceList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/devices", filter(append(c.pairs(), "sort", c.Sort, "order", c.Order)...), c.Limit, deviceColumns)
}

// oneDevice is the argument of commands on a device.
type oneDevice struct {
	Serial string `arg:"" help:"Serial, in any spelling."`
}

func (d oneDevice) path(parts ...string) string {
	return join(append([]string{"devices", d.Serial}, parts...)...)
}

type deviceGet struct{ oneDevice }

// Run implements the command.
func (c *deviceGet) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(c.path(), nil))
	if err != nil {
		return err
	}
	return s.show(raw, deviceFields)
}

// versioned guards a change against that of somebody else.
type versioned struct {
	IfVersion int64 `help:"Change the row only if it still has this version." placeholder:"N"`
}

func (v versioned) etag() string {
	if v.IfVersion == 0 {
		return ""
	}
	return `"` + strconv.FormatInt(v.IfVersion, 10) + `"`
}

// deviceInput is what can be said of a device.
type deviceInput struct {
	Platform  string   `help:"android, ios or apple; needed for a new row."`
	Ownership string   `help:"personal, corporate or selectuser; needed for a new row."`
	Name      string   `help:"Device name it is to have."`
	Email     string   `help:"E-mail address of the owner."`
	UserName  string   `help:"Name of the owner."`
	Mobile    string   `help:"Mobile number of the owner."`
	Domain    string   `help:"Domain of the owner; default: local."`
	AssetTag  string   `help:"Asset tag."`
	Tag       []string `help:"Tag; repeat for several. All of them: tags that are not named are taken away."`
	Notes     string   `help:"Notes."`
	NotBefore string   `help:"Cannot enroll earlier: 2026-12-31, RFC 3339, or 24h and 90d from now."`
	ExpiresAt string   `help:"Cannot enroll from then on." name:"expires"`
	MaxUses   *int     `help:"How often the row can be used to enroll; 0: any number."`
	Model     string   `help:"Model, as on the box."`
	IMEI      string   `help:"IMEI, as on the box." name:"imei"`
}

func (c deviceInput) body() (map[string]any, error) {
	body := map[string]any{}
	set := func(into map[string]any, pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] != "" {
				into[pairs[i]] = pairs[i+1]
			}
		}
	}
	notBefore, err := moment("--not-before", c.NotBefore, 1)
	if err != nil {
		return nil, err
	}
	expires, err := moment("--expires", c.ExpiresAt, 1)
	if err != nil {
		return nil, err
	}
	set(body, "platform", c.Platform, "ownership", c.Ownership, "name", c.Name, "asset_tag", c.AssetTag, "notes", c.Notes, "not_before", notBefore, "expires_at", expires)
	if len(c.Tag) > 0 {
		body["tags"] = c.Tag
	}
	if c.MaxUses != nil {
		body["max_uses"] = *c.MaxUses
	}
	user, facts := map[string]any{}, map[string]any{}
	set(user, "email", c.Email, "name", c.UserName, "mobile", c.Mobile, "domain", c.Domain)
	switch {
	case len(user) > 0 && c.Email == "":
		return nil, usage("Add --email.", "an owner is known by an e-mail address")
	case len(user) > 0:
		body["user"] = user
	}
	set(facts, "model", c.Model, "imei", c.IMEI)
	if len(facts) > 0 {
		body["facts"] = facts
	}
	return body, nil
}

type devicePut struct {
	oneDevice
	deviceInput
	versioned
}

// Run implements the command.
func (c *devicePut) Run(ctx context.Context, s *Session) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	call := put(c.path(), body)
	call.ifMatch = c.etag()
	return s.changeDevice(ctx, call)
}

// changeDevice makes a call that answers with a device and what became of it.
func (s *Session) changeDevice(ctx context.Context, c call) error {
	raw, err := s.do(ctx, c)
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	what := "it was so already"
	if r["created"] == true {
		what = "put on the roll"
	} else if r["changed"] == true {
		what = "changed"
	}
	return s.done(raw, deviceFields, "%s: %s, version %s", r.text("serial"), what, r.text("version"))
}

// settable are the fields of a device that set knows, each with how its value
// is read.
var settable = map[string]func(name, text string) (any, error){
	"platform": plainText, "ownership": plainText, "name": plainText, "asset_tag": plainText, "notes": plainText,
	"tags":       func(_, text string) (any, error) { return strings.Split(text, "|"), nil },
	"user":       func(_, text string) (any, error) { return map[string]any{"email": text}, nil },
	"max_uses":   wholeNumber,
	"not_before": func(name, text string) (any, error) { return moment(name, text, 1) },
	"expires_at": func(name, text string) (any, error) { return moment(name, text, 1) },
}

func plainText(_, text string) (any, error) { return text, nil }

func wholeNumber(name, text string) (any, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, usage("", "%s %q is not a whole number", name, text)
	}
	return n, nil
}

// assignments reads FIELD=VALUE arguments; an empty value is null.
func assignments(args []string, fields map[string]func(name, text string) (any, error)) (map[string]any, error) {
	out := map[string]any{}
	for _, a := range args {
		name, text, ok := strings.Cut(a, "=")
		read, known := fields[name]
		if !ok || !known {
			return nil, usage("The fields are "+strings.Join(slices.Sorted(maps.Keys(fields)), ", ")+".", "%q is not FIELD=VALUE with a field that can be set", a)
		}
		if text == "" {
			out[name] = nil
			continue
		}
		v, err := read(name, text)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

type deviceSet struct {
	oneDevice
	Fields []string `arg:"" help:"FIELD=VALUE; an empty value clears the field. Fields: platform, ownership, name, user (e-mail address), asset_tag, tags (A|B), notes, not_before, expires_at, max_uses."`
	versioned
}

// Run implements the command.
func (c *deviceSet) Run(ctx context.Context, s *Session) error {
	body, err := assignments(c.Fields, settable)
	if err != nil {
		return err
	}
	return s.changeDevice(ctx, call{method: "PATCH", path: c.path(), body: body, ifMatch: c.etag()})
}

type deviceDelete struct {
	Serials []string `arg:"" name:"serial" help:"Serials; - reads them from standard input, one a line."`
}

// Run implements the command.
func (c *deviceDelete) Run(ctx context.Context, s *Session) error {
	all, err := serials(c.Serials)
	if err != nil {
		return err
	}
	for _, serial := range all {
		if _, err := s.do(ctx, remove(join("devices", serial))); err != nil {
			return err
		}
		if err := s.done(nil, nil, "%s is off the roll", serial); err != nil {
			return err
		}
	}
	return nil
}

type deviceBlock struct {
	oneDevice
	Reason string `help:"For other admins; the person at the device does not see it." required:""`
}

// Run implements the command.
func (c *deviceBlock) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(c.path("block"), map[string]string{"reason": c.Reason}))
	if err != nil {
		return err
	}
	return s.done(raw, deviceFields, "%s is blocked", c.Serial)
}

type deviceUnblock struct{ oneDevice }

// Run implements the command.
func (c *deviceUnblock) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(c.path("unblock"), nil))
	if err != nil {
		return err
	}
	return s.done(raw, deviceFields, "%s is not blocked", c.Serial)
}

type deviceDisenroll struct {
	oneDevice
	Force bool `help:"End the enrollment on the server at once, without waiting for the device."`
}

// Run implements the command.
func (c *deviceDisenroll) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(c.path("disenroll"), map[string]bool{"force": c.Force}))
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return s.done(raw, columns("state", "command_id", "detail"), "%s is %s. %s", c.Serial, r.text("state"), r.text("detail"))
}

type devicePush struct{ oneDevice }

// Run implements the command.
func (c *devicePush) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, post(c.path("push"), nil)); err != nil {
		return err
	}
	return s.done(nil, nil, "%s is woken", c.Serial)
}

type deviceTimeline struct {
	oneDevice
	limited
}

// Run implements the command.
func (c *deviceTimeline) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, c.path("timeline"), nil, c.Limit, columns("at", "kind", "what", "state", "detail", "actor"))
}

// showWith writes an object with a list in it: as JSON whole, as CSV only the
// list.
func (s *Session) showWith(raw []byte, fields []column, name string, items []column) error {
	if s.Output == formJSON {
		return s.show(raw, fields)
	}
	if s.Output == formTable {
		if err := s.show(raw, fields); err != nil {
			return err
		}
		fmt.Println()
	}
	return s.part(raw, name, items)
}
