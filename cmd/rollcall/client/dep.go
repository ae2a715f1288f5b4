package client

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strconv"
)

// DEPCommands are about Apple's Automated Device Enrollment.
type DEPCommands struct {
	Session
	Account depAccountCommands `cmd:"" help:"DEP accounts (device management services in Apple Business or School Manager)."`
	Token   depTokenCommands   `cmd:"" help:"Certificates and server tokens of DEP accounts."`
	Profile adeProfileCommands `cmd:"" help:"ADE profiles: what devices find when they are activated."`
	Device  depDeviceCommands  `cmd:"" help:"Devices that Apple lists."`
	Sync    depSync            `cmd:"" help:"Synchronise an account now."`
	Report  depReport          `cmd:"" help:"Compare Apple's lists, the roll and the enrolled devices."`
}

type depAccountCommands struct {
	List      depList      `cmd:"" help:"List the accounts."`
	Get       depGet       `cmd:"" help:"Show an account."`
	Create    depCreate    `cmd:"" help:"Make an account; its certificate goes to Apple's portal."`
	Set       depSet       `cmd:"" help:"Change an account's name, its setting Add as Pre-enrolled Device, or its defaults."`
	Delete    depDelete    `cmd:"" help:"Delete an account; rows on the roll stay."`
	Discovery depDiscovery `cmd:"" help:"Show or set where Apple sends account-driven enrollments."`
}

var (
	depColumns = columns("name", "server=server.name", "devices", "pre_enrolled=add_as_pre_enrolled", "token_days=token.days_left", "up_to_date=sync.done_at", "problem=sync.problem.code")
	depFields  = columns("name", "server=server.name", "organization=server.organization", "add_as_pre_enrolled", "group=default.group", "profile=default.profile", "devices",
		"token_expires=token.expires_at", "token_days=token.days_left", "running=sync.running", "up_to_date=sync.done_at", "next=sync.due_at", "problem=sync.problem.text", "fix=sync.problem.hint")
)

type depList struct{}

// Run implements the command.
func (c *depList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/dep/accounts", nil, unpaged, depColumns)
}

type oneDEP struct {
	Account string `arg:"" help:"Name of the account."`
}

func (d oneDEP) path(parts ...string) string {
	return join(append([]string{"dep", "accounts", d.Account}, parts...)...)
}

type depGet struct{ oneDEP }

// Run implements the command.
func (c *depGet) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(c.path(), nil))
	if err != nil {
		return err
	}
	return s.show(raw, depFields)
}

// depDefaults are the defaults of an account, or of a family in it.
type depDefaults struct {
	AddAsPreEnrolled *bool   `help:"Put every device that Apple lists on the roll." negatable:"" name:"add-as-pre-enrolled"`
	Group            *string `help:"Group that new devices join; empty: none."`
	Profile          *string `help:"Profile that devices get; empty: none."`
	Family           string  `help:"Let --group and --profile be those of one family: iPhone, iPad, Mac or AppleTV." enum:",iPhone,iPad,Mac,AppleTV" default:""`
}

// body is what changes; old is the account as it is, nil for a new one.
func (d depDefaults) body(old record) map[string]any {
	out := map[string]any{}
	if d.AddAsPreEnrolled != nil {
		out["add_as_pre_enrolled"] = *d.AddAsPreEnrolled
	}
	if d.Group == nil && d.Profile == nil {
		return out
	}
	families, _ := old["families"].(map[string]any)
	if families == nil {
		families = map[string]any{}
	}
	known, _ := old["default"].(map[string]any)
	if d.Family != "" {
		known, _ = families[d.Family].(map[string]any)
	}
	if known == nil {
		known = map[string]any{}
	}
	if d.Group != nil {
		known["group"] = *d.Group
	}
	if d.Profile != nil {
		known["profile"] = *d.Profile
	}
	if d.Family == "" {
		out["default"] = known
	} else {
		families[d.Family] = known
		out["families"] = families
	}
	return out
}

type depCreate struct {
	Name             string  `arg:"" help:"Name for the account."`
	AddAsPreEnrolled bool    `help:"Put every device that Apple lists on the roll." name:"add-as-pre-enrolled"`
	Group            *string `help:"Group that new devices join."`
}

// Run implements the command.
func (c *depCreate) Run(ctx context.Context, s *Session) error {
	body := depDefaults{AddAsPreEnrolled: &c.AddAsPreEnrolled, Group: c.Group}.body(nil)
	body["name"] = c.Name
	raw, err := s.do(ctx, post("/dep/accounts", body))
	if err != nil {
		return err
	}
	return s.done(raw, depFields, "the DEP account %s is made; upload its certificate (rollcall dep token certificate) in Apple's portal", c.Name)
}

type depSet struct {
	oneDEP
	Rename *string `help:"Another name."`
	depDefaults
}

// Run implements the command.
func (c *depSet) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(c.path(), nil))
	if err != nil {
		return err
	}
	old, err := parseRecord(raw)
	if err != nil {
		return err
	}
	body := c.body(old)
	if c.Rename != nil {
		body["name"] = *c.Rename
	}
	if raw, err = s.do(ctx, call{method: http.MethodPatch, path: c.path(), body: body}); err != nil {
		return err
	}
	return s.done(raw, depFields, "the DEP account %s is changed", c.Account)
}

type depDelete struct{ oneDEP }

// Run implements the command.
func (c *depDelete) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(c.path())); err != nil {
		return err
	}
	return s.done(nil, nil, "the DEP account %s is deleted", c.Account)
}

type depDiscovery struct {
	oneDEP
	URL    string `help:"Set it to this https URL." xor:"change"`
	Remove bool   `help:"Take it back." xor:"change"`
}

// Run implements the command.
func (c *depDiscovery) Run(ctx context.Context, s *Session) error {
	what := get(c.path("discovery"), nil)
	switch {
	case c.Remove:
		what = remove(c.path("discovery"))
	case c.URL != "":
		what = put(c.path("discovery"), map[string]string{"url": c.URL})
	}
	raw, err := s.do(ctx, what)
	if err != nil {
		return err
	}
	if c.Remove {
		return s.done(nil, nil, "Apple sends account-driven enrollments of %s nowhere", c.Account)
	}
	return s.show(raw, columns("url"))
}

type depTokenCommands struct {
	Certificate depCertificate `cmd:"" help:"Print the certificate of an account, for Apple's portal."`
	Upload      depUpload      `cmd:"" help:"Upload the server token that Apple's portal gave."`
}

type depCertificate struct{ oneDEP }

// Run implements the command.
func (c *depCertificate) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(c.path(), nil))
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(r.text("certificate_pem"))
	return err
}

// maxToken is the most that the API takes of a server token file.
const maxToken = 64 << 10

type depUpload struct {
	oneDEP
	File  string `arg:"" help:"The .p7m file as Apple gave it; - for standard input."`
	Force bool   `help:"Take the token of another device management service, too; all devices of the old one are let go."`
}

// Run implements the command.
func (c *depUpload) Run(ctx context.Context, s *Session) error {
	file, _, err := readInput(c.File, maxToken)
	if err != nil {
		return err
	}
	query := url.Values{}
	if c.Force {
		query.Set("force", "true")
	}
	raw, err := s.do(ctx, call{method: http.MethodPut, path: c.path("token"), query: query, body: file, contentType: "application/pkcs7-mime"})
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return s.done(raw, depFields, "the token of %s is installed, good for %s days", c.Account, r.text("token.days_left"))
}

type depDeviceCommands struct {
	List   depDevices `cmd:"" help:"List the devices of an account, with their profiles."`
	Disown depDisown  `cmd:"" help:"Release devices from the organization, for good."`
}

type depDevices struct {
	oneDEP
	limited
}

// Run implements the command.
func (c *depDevices) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, c.path("devices"), nil, c.Limit, columns("serial", "family", "on_roll", "profile", "status=profile_status", "outcome", "attempts", "retry=retry_at"))
}

type depDisown struct {
	oneDEP
	Serials        []string `arg:"" help:"Serials; - reads them from standard input."`
	ReleaseForGood bool     `help:"Confirm: only a reseller or Apple Configurator brings them back." required:""`
}

// Run implements the command.
func (c *depDisown) Run(ctx context.Context, s *Session) error {
	list, err := serials(c.Serials)
	if err != nil {
		return err
	}
	raw, err := s.do(ctx, post(c.path("disown"), map[string]any{"serials": list, "confirm": "release for good"}))
	if err != nil {
		return err
	}
	return s.show(raw, columns("outcomes"))
}

type depSync struct {
	oneDEP
	Full bool `help:"Start with a full list instead of what has changed."`
}

// Run implements the command.
func (c *depSync) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(c.path("sync"), map[string]bool{"full": c.Full}))
	if err != nil {
		return err
	}
	return s.done(raw, depFields, "the DEP account %s is synchronised now; dep account get shows when it is done", c.Account)
}

type depReport struct {
	Finding string `arg:"" optional:"" help:"List the devices of one finding: not_on_roll, not_in_dep, not_assigned, silent or in_two_accounts. Default: count all." enum:",not_on_roll,not_in_dep,not_assigned,silent,in_two_accounts" default:""`
	Account string `help:"Only this account."`
	Days    int    `help:"How many days a device with a profile may take to enroll." default:"14" name:"silent-days"`
	limited
}

// Run implements the command.
func (c *depReport) Run(ctx context.Context, s *Session) error {
	query := filter("account", c.Account, "silent_days", strconv.Itoa(c.Days))
	if c.Finding != "" {
		return s.list(ctx, join("dep", "report", c.Finding), query, c.Limit, columns("serial", "account", "family", "state", "profile_status", "outcome", "since"))
	}
	raw, err := s.do(ctx, get("/dep/report", query))
	if err != nil {
		return err
	}
	return s.show(raw, columns("not_on_roll=counts.not_on_roll", "not_in_dep=counts.not_in_dep", "not_assigned=counts.not_assigned", "silent=counts.silent", "in_two_accounts=counts.in_two_accounts"))
}
