package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
)

// AndroidCommands are about Android devices.
type AndroidCommands struct {
	Session
	Token      androidTokenCommands      `cmd:"" help:"Enrollment tokens of devices with an agent."`
	Enterprise androidEnterpriseCommands `cmd:"" help:"The organization at Google, whose devices Google manages (Android Management API)."`
	ZeroTouch  androidZeroTouchCommands  `cmd:"" name:"zero-touch" help:"The organization's account at Android's zero-touch enrollment."`
}

type androidTokenCommands struct {
	Create androidTokenCreate `cmd:"" help:"Make a token and print it with its link, this once."`
	List   androidTokenList   `cmd:"" help:"List the tokens."`
	Revoke androidTokenRevoke `cmd:"" help:"Revoke a token at once; devices that enrolled with it stay."`
	QR     androidTokenQR     `cmd:"" name:"qr" help:"Write the QR code of a token, or another form of it."`
}

var (
	androidTokenColumns = columns("id", "name", "state", "uses", "max_uses", "ownership", "group", "expires=expires_at", "last_used=last_used_at")
	androidTokenFields  = columns("id", "name", "max_uses", "ownership", "group", "device_id", "expires=expires_at", "token", "link")
)

type androidTokenCreate struct {
	Name      string `help:"What it is for." required:""`
	Uses      int    `help:"How many devices may enroll with it; 0: any number." default:"1"`
	Expires   string `help:"When it ends: 7d, 2026-12-31 or RFC 3339. Default: never."`
	Serial    string `help:"Bind it to this row of the roll, which makes it proof of the row."`
	Group     string `help:"Static group that devices join."`
	Ownership string `help:"Of devices whose row leaves it open: corporate or personal." enum:",corporate,personal" default:""`
	User      string `help:"E-mail address of who enrolls with it."`
	Domain    string `help:"Domain of the user." default:"local"`
	Out       string `help:"Write the QR code there (.png or .svg)." placeholder:"FILE"`
}

// Run implements the command.
func (c *androidTokenCreate) Run(ctx context.Context, s *Session) error {
	body := map[string]any{"name": c.Name, "max_uses": c.Uses}
	for name, value := range map[string]string{"serial": c.Serial, "group": c.Group, "ownership": c.Ownership} {
		if value != "" {
			body[name] = value
		}
	}
	if c.User != "" {
		body["user"] = map[string]string{"domain": c.Domain, "email": c.User}
	}
	expires, err := moment("--expires", c.Expires, 1)
	if err != nil {
		return err
	}
	if expires != "" {
		body["expires_at"] = expires
	}
	raw, err := s.do(ctx, post("/enrollment-tokens", body))
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := writeForm(raw, c.Out, ""); err != nil {
			return err
		}
	}
	return s.show(raw, androidTokenFields)
}

type androidTokenList struct {
	Limit int `help:"How many at most; 0: all." default:"100"`
}

// Run implements the command.
func (c *androidTokenList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/enrollment-tokens", nil, c.Limit, androidTokenColumns)
}

type androidTokenRevoke struct {
	ID string `arg:"" help:"ID of the token."`
}

// Run implements the command.
func (c *androidTokenRevoke) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, remove(join("enrollment-tokens", c.ID)))
	if err != nil {
		return err
	}
	return s.done(raw, androidTokenColumns, "the enrollment token %s is revoked", c.ID)
}

type androidTokenQR struct {
	Token        string `arg:"" help:"The token itself, as it was printed when it was made." env:"ROLLCALL_ENROLLMENT_TOKEN"`
	Out          string `help:"File: .png, .svg, .ndef (NFC), or .json (what the code holds). Default: the link, on standard output." placeholder:"FILE"`
	Form         string `help:"Print instead: link, qr, zero-touch or knox." enum:"link,qr,zero-touch,knox" default:"link"`
	DevicePolicy bool   `help:"The token is one of the Android Management API's."`
	SSID         string `help:"Wi-Fi network that setup joins." name:"ssid"`
	WiFiSecurity string `help:"NONE, WPA or WEP." name:"wifi-security" enum:",NONE,WPA,WEP" default:""`
	WiFiPassword string `help:"Its password; it stands in the code in clear." name:"wifi-password" env:"ROLLCALL_WIFI_PASSWORD"`
	Locale       string `help:"Such as de_DE."`
	TimeZone     string `help:"Such as Europe/Berlin."`
}

// Run implements the command.
func (c *androidTokenQR) Run(ctx context.Context, s *Session) error {
	setup := map[string]any{}
	if c.SSID != "" {
		network := map[string]string{"ssid": c.SSID}
		for name, value := range map[string]string{"security": c.WiFiSecurity, "password": c.WiFiPassword} {
			if value != "" {
				network[name] = value
			}
		}
		setup["wifi"] = network
	}
	for name, value := range map[string]string{"locale": c.Locale, "time_zone": c.TimeZone} {
		if value != "" {
			setup[name] = value
		}
	}
	body := map[string]any{"token": c.Token, "setup": setup}
	if c.DevicePolicy {
		body["for"] = "device_policy"
	}
	raw, err := s.do(ctx, post("/enrollment-tokens/payloads", body))
	if err != nil {
		return err
	}
	return writeForm(raw, c.Out, c.Form)
}

// forms are the members of the answer by how a file ends, or by name.
var forms = map[string]string{".png": "png", ".svg": "svg", ".ndef": "nfc", ".json": "qr", "link": "link", "qr": "qr", "zero-touch": "zero_touch", "knox": "knox"}

// writeForm writes one form of a token to a file, or prints it.
func writeForm(raw []byte, file, form string) error {
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	if file == "" {
		if r.text(forms[form]) == "" {
			return errors.New("the server has no agent configured (--agent-component), so there is no such form")
		}
		_, err := fmt.Println(r.text(forms[form]))
		return err
	}
	for ending, member := range forms {
		if len(ending) == 0 || ending[0] != '.' || len(file) <= len(ending) || file[len(file)-len(ending):] != ending {
			continue
		}
		data := []byte(r.text(member))
		if member == "png" || member == "nfc" {
			if data, err = base64.StdEncoding.DecodeString(string(data)); err != nil {
				return err
			}
		}
		if len(data) == 0 {
			return errors.New("the server has no agent configured (--agent-component), so there is no such form")
		}
		return os.WriteFile(file, data, 0o600)
	}
	return fmt.Errorf("%s does not end in .png, .svg, .ndef or .json", file)
}
