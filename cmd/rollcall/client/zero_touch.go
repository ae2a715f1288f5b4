package client

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
)

// androidZeroTouchCommands are about Android's zero-touch enrollment.
type androidZeroTouchCommands struct {
	Show       zeroTouchShow       `cmd:"" help:"Show the account."`
	Connect    zeroTouchConnect    `cmd:"" help:"Connect it with the key of a service account that is a user of the zero-touch portal."`
	Customers  zeroTouchCustomers  `cmd:"" help:"List the customers that the service account may look after."`
	Set        zeroTouchSet        `cmd:"" help:"Choose the customer, and what becomes of its devices."`
	Configure  zeroTouchConfigure  `cmd:"" help:"Set what devices get out of their box."`
	Devices    zeroTouchDevices    `cmd:"" help:"List the devices that Google lists."`
	Assign     zeroTouchAssign     `cmd:"" help:"Choose which devices have the configuration."`
	Sync       zeroTouchSync       `cmd:"" help:"Sweep Google's list now."`
	Disconnect zeroTouchDisconnect `cmd:"" help:"Forget the account; rows on the roll stay."`
}

const zeroTouchPath = "/android/zero-touch"

var (
	zeroTouchFields = columns("company", "customer", "project", "account", "add_as_pre_enrolled", "group", "assign", "way=configuration.way", "mode=configuration.mode",
		"configuration=configuration.name", "configured", "devices", "without_serial", "running=sync.running", "done=sync.done_at", "due=sync.due_at", "failures=sync.failures",
		"problem=sync.problem.text", "fix=sync.problem.hint")
	zeroTouchDeviceColumns = columns("serial", "on_roll", "configuration", "choice", "outcome", "attempts", "retry=retry_at", "name")
)

type zeroTouchShow struct{}

// Run implements the command.
func (c *zeroTouchShow) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(zeroTouchPath, nil))
	if err != nil {
		return err
	}
	return s.show(raw, zeroTouchFields)
}

type zeroTouchConnect struct {
	Key string `arg:"" help:"Key of the service account: the JSON file of Google's console." type:"existingfile"`
}

// Run implements the command.
func (c *zeroTouchConnect) Run(ctx context.Context, s *Session) error {
	key, err := os.ReadFile(c.Key)
	if err != nil {
		return failed("", "cannot read the key: %v", err)
	}
	if !json.Valid(key) {
		return failed("Give the JSON file as Google's console gave it.", "%s is not JSON", c.Key)
	}
	raw, err := s.do(ctx, put(zeroTouchPath, map[string]any{"key": json.RawMessage(key)}))
	if err != nil {
		return err
	}
	return s.done(raw, zeroTouchFields, "the zero-touch account is connected")
}

type zeroTouchCustomers struct{}

// Run implements the command.
func (c *zeroTouchCustomers) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, zeroTouchPath+"/customers", nil, unpaged, columns("name", "company", "terms"))
}

type zeroTouchSet struct {
	Customer  *string `help:"Such as customers/123456789."`
	PreEnroll *bool   `help:"Put every device that Google lists on the roll." name:"pre-enroll" negatable:""`
	Group     *string `help:"Static group that new rows join."`
	Assign    *string `help:"Devices that get the configuration by themselves: all, unassigned (those that have none) or chosen."`
}

// Run implements the command.
func (c *zeroTouchSet) Run(ctx context.Context, s *Session) error {
	body := map[string]any{}
	for name, value := range map[string]*string{"customer": c.Customer, "group": c.Group, "assign": c.Assign} {
		if value != nil {
			body[name] = *value
		}
	}
	if c.PreEnroll != nil {
		body["add_as_pre_enrolled"] = *c.PreEnroll
	}
	raw, err := s.do(ctx, put(zeroTouchPath, body))
	if err != nil {
		return err
	}
	return s.done(raw, zeroTouchFields, "the zero-touch account is changed")
}

type zeroTouchConfigure struct {
	Way     string `help:"Who manages the devices: device_policy (Google's app) or agent." default:"device_policy" enum:"device_policy,agent"`
	Mode    string `help:"Of device_policy: fully_managed or work_profile_company; its gate has to be sign_in."`
	Name    string `help:"Name of the configuration in Google's portal." default:"Rollcall"`
	Company string `help:"Shown to whoever sets a device up." required:""`
	Email   string `help:"Contact, shown likewise." required:""`
	Phone   string `help:"Contact, shown likewise." required:""`
	Message string `help:"Shown likewise."`
	Default bool   `help:"Devices that resellers register from now on have it from the start."`
}

// Run implements the command.
func (c *zeroTouchConfigure) Run(ctx context.Context, s *Session) error {
	body := map[string]any{"way": c.Way, "name": c.Name, "company": c.Company, "email": c.Email, "phone": c.Phone, "message": c.Message, "default": c.Default}
	if c.Mode != "" {
		body["mode"] = c.Mode
	}
	raw, err := s.do(ctx, put(zeroTouchPath+"/configuration", body))
	if err != nil {
		return err
	}
	return s.done(raw, zeroTouchFields, "the configuration %s is on its way to Google", c.Name)
}

type zeroTouchDevices struct {
	Limit int `help:"How many at most; 0: all." default:"100"`
}

// Run implements the command.
func (c *zeroTouchDevices) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, zeroTouchPath+"/devices", nil, c.Limit, zeroTouchDeviceColumns)
}

type zeroTouchAssign struct {
	Choice  string   `arg:"" help:"ours, none or default (as the account says)." enum:"ours,none,default"`
	Serials []string `arg:"" help:"Serial numbers."`
}

// Run implements the command.
func (c *zeroTouchAssign) Run(ctx context.Context, s *Session) error {
	_, err := s.do(ctx, post(zeroTouchPath+"/devices/choose", map[string]any{"serials": c.Serials, "choice": c.Choice}))
	return err
}

type zeroTouchSync struct{}

// Run implements the command.
func (c *zeroTouchSync) Run(ctx context.Context, s *Session) error {
	_, err := s.do(ctx, call{method: http.MethodPost, path: zeroTouchPath + "/sync"})
	return err
}

type zeroTouchDisconnect struct {
	Yes bool `help:"Really forget it." required:""`
}

// Run implements the command.
func (c *zeroTouchDisconnect) Run(ctx context.Context, s *Session) error {
	_, err := s.do(ctx, remove(zeroTouchPath))
	return err
}
