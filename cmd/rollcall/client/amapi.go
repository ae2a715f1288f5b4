package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
)

// androidEnterpriseCommands are about the organization at Google.
type androidEnterpriseCommands struct {
	Show       enterpriseShow       `cmd:"" help:"Show the organization."`
	Connect    enterpriseConnect    `cmd:"" help:"Connect it with a service account's key, or change how it reports."`
	Signup     enterpriseSignup     `cmd:"" help:"Begin the sign-up of an enterprise; prints the URL to open."`
	Bind       enterpriseBind       `cmd:"" help:"Take an enterprise that is bound to the project already."`
	Setup      enterpriseSetup      `cmd:"" help:"Repeat the set-up: topic, subscription, quarantine, ways in."`
	Gate       enterpriseGate       `cmd:"" help:"Set how devices of a mode come to the gate."`
	Ways       enterpriseWays       `cmd:"" help:"Show what devices are set up with (the content of QR codes)."`
	Token      enterpriseToken      `cmd:"" help:"Make a one-time token for a row of the roll; the only way in for personal devices."`
	Devices    enterpriseDevices    `cmd:"" help:"List the devices at Google."`
	Approve    enterpriseApprove    `cmd:"" help:"Admit a device in quarantine."`
	Remove     enterpriseRemove     `cmd:"" help:"Remove a device, which wipes it (of a personal one, its work profile)."`
	Reconcile  enterpriseReconcile  `cmd:"" help:"Compare the devices with Google's now."`
	Poison     enterprisePoison     `cmd:"" help:"List notifications that could not be processed."`
	Disconnect enterpriseDisconnect `cmd:"" help:"Forget the organization; Google goes on to manage its devices."`
}

const enterprisePath = "/android/enterprise"

var (
	enterpriseFields = columns("name", "display_name", "project", "account", "sign_up=signup_url", "topic", "subscription", "delivery", "push_account", "set_up=set_up_at",
		"compared=reconciled_at", "fully_managed=settings.fully_managed.gate", "work_profile_company=settings.work_profile_company.gate", "dedicated=settings.dedicated.gate",
		"work_profile_personal=settings.work_profile_personal.gate", "problem=problem.text", "fix=problem.hint")
	googleDeviceColumns = columns("id", "serial", "mode", "state", "code", "policy", "applied=applied_policy", "reported=reported_at")
	boundTokenFields    = columns("id", "link", "qr_code", "expires=expires_at")
)

type enterpriseShow struct{}

// Run implements the command.
func (c *enterpriseShow) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(enterprisePath, nil))
	if err != nil {
		return err
	}
	return s.show(raw, enterpriseFields)
}

type enterpriseConnect struct {
	Key          string  `arg:"" optional:"" help:"Key of the service account: the JSON file of Google's console." type:"existingfile"`
	Topic        *string `help:"Pub/Sub topic, such as projects/P/topics/rollcall."`
	Subscription *string `help:"Pub/Sub subscription."`
	Delivery     *string `help:"How notifications arrive: pull or push."`
	PushAccount  *string `help:"Service account that Pub/Sub signs pushes as." name:"push-account"`
}

// Run implements the command.
func (c *enterpriseConnect) Run(ctx context.Context, s *Session) error {
	body := map[string]any{}
	if c.Key != "" {
		key, err := os.ReadFile(c.Key)
		if err != nil {
			return failed("", "cannot read the key: %v", err)
		}
		if !json.Valid(key) {
			return failed("Give the JSON file as Google's console gave it.", "%s is not JSON", c.Key)
		}
		body["key"] = json.RawMessage(key)
	}
	for name, value := range map[string]*string{"topic": c.Topic, "subscription": c.Subscription, "delivery": c.Delivery, "push_account": c.PushAccount} {
		if value != nil {
			body[name] = *value
		}
	}
	raw, err := s.do(ctx, put(enterprisePath, body))
	if err != nil {
		return err
	}
	return s.done(raw, enterpriseFields, "the organization is connected")
}

type enterpriseSignup struct{}

// Run implements the command.
func (c *enterpriseSignup) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(enterprisePath+"/signup", nil))
	if err != nil {
		return err
	}
	return s.show(raw, columns("sign_up=signup_url"))
}

type enterpriseBind struct {
	Name string `arg:"" help:"Google's name, such as enterprises/LC01234567."`
}

// Run implements the command.
func (c *enterpriseBind) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(enterprisePath+"/bind", map[string]string{"name": c.Name}))
	if err != nil {
		return err
	}
	return s.done(raw, enterpriseFields, "%s is bound", c.Name)
}

type enterpriseSetup struct{}

// Run implements the command.
func (c *enterpriseSetup) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(enterprisePath+"/setup", nil))
	if err != nil {
		return err
	}
	return s.done(raw, enterpriseFields, "the enterprise is set up")
}

type enterpriseGate struct {
	Mode    string `arg:"" help:"fully_managed, work_profile_company, dedicated or work_profile_personal."`
	Gate    string `arg:"" help:"sign_in, notification, token or off."`
	Refused string `help:"What becomes of refused devices that have enrolled: quarantine or remove." default:"quarantine" enum:"quarantine,remove"`
}

// Run implements the command.
func (c *enterpriseGate) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, put(enterprisePath, map[string]any{"settings": map[string]any{c.Mode: map[string]string{"gate": c.Gate, "refused": c.Refused}}}))
	if err != nil {
		return err
	}
	return s.done(raw, enterpriseFields, "devices of the mode %s: %s", c.Mode, c.Gate)
}

type enterpriseWays struct{}

// Run implements the command.
func (c *enterpriseWays) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, enterprisePath+"/ways", nil, unpaged, columns("mode", "token", "qr_code"))
}

type enterpriseToken struct {
	Serial  string `arg:"" help:"Serial number of the row."`
	Mode    string `help:"fully_managed, work_profile_company, dedicated or work_profile_personal." default:"work_profile_personal"`
	Minutes int    `help:"How long it is good." default:"1440"`
}

// Run implements the command.
func (c *enterpriseToken) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(enterprisePath+"/tokens", map[string]any{"serial": c.Serial, "mode": c.Mode, "minutes": c.Minutes}))
	if err != nil {
		return err
	}
	return s.show(raw, boundTokenFields)
}

type enterpriseDevices struct {
	State string `help:"Only those in this state: enrolled, quarantined, removed or gone."`
	Limit int    `help:"How many at most; 0: all." default:"100"`
}

// Run implements the command.
func (c *enterpriseDevices) Run(ctx context.Context, s *Session) error {
	query := url.Values{}
	if c.State != "" {
		query.Set("state", c.State)
	}
	return s.list(ctx, enterprisePath+"/devices", query, c.Limit, googleDeviceColumns)
}

type oneGoogleDevice struct {
	ID string `arg:"" help:"Google's ID of the device (rollcall android enterprise devices)."`
}

type enterpriseApprove struct{ oneGoogleDevice }

// Run implements the command.
func (c *enterpriseApprove) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(enterprisePath+join("devices", c.ID, "approve"), nil))
	if err != nil {
		return err
	}
	return s.done(raw, googleDeviceColumns, "the device %s is admitted", c.ID)
}

type enterpriseRemove struct {
	oneGoogleDevice
	Yes    bool   `help:"Really wipe it." required:""`
	Reason string `help:"Shown on a personal device."`
}

// Run implements the command.
func (c *enterpriseRemove) Run(ctx context.Context, s *Session) error {
	body := map[string]string{"confirm": "wipe"}
	if c.Reason != "" {
		body["reason"] = c.Reason
	}
	raw, err := s.do(ctx, post(enterprisePath+join("devices", c.ID, "remove"), body))
	if err != nil {
		return err
	}
	return s.done(raw, googleDeviceColumns, "the device %s is removed; it is wiped when it is next online", c.ID)
}

type enterpriseReconcile struct{}

// Run implements the command.
func (c *enterpriseReconcile) Run(ctx context.Context, s *Session) error {
	_, err := s.do(ctx, call{method: http.MethodPost, path: enterprisePath + "/reconcile"})
	return err
}

type enterprisePoison struct {
	Limit int `help:"How many at most; 0: all." default:"100"`
}

// Run implements the command.
func (c *enterprisePoison) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, enterprisePath+"/poison", nil, c.Limit, columns("id", "type", "problem", "received=received_at"))
}

type enterpriseDisconnect struct {
	Yes bool `help:"Really forget it." required:""`
}

// Run implements the command.
func (c *enterpriseDisconnect) Run(ctx context.Context, s *Session) error {
	_, err := s.do(ctx, remove(enterprisePath))
	return err
}
