package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"rollcall/sim/applepki"
	"rollcall/sim/dep"
)

// simCmd runs simulators as programs of their own, for trials of a real
// server.
type simCmd struct {
	DEP   simDEPCmd   `cmd:"" name:"dep" help:"Apple's service for Automated Device Enrollment, with devices."`
	AMAPI simAMAPICmd `cmd:"" name:"amapi" help:"Google's Android Management API, Pub/Sub and zero-touch, with devices."`
}

type simDEPCmd struct {
	Listen          string        `help:"Address to listen on." default:"127.0.0.1:8450"`
	TLSCA           string        `name:"tls-ca" help:"Serve TLS, and write the certificate to trust to this file (PEM). Default: in the clear." type:"path" placeholder:"FILE"`
	Accounts        []string      `name:"account" help:"Names of the device management services of the organization (repeatable)." default:"Rollcall"`
	Devices         int           `help:"Devices of each account." default:"10"`
	Prefix          string        `help:"First three characters of the serials." default:"SIM"`
	PageLimit       int           `help:"Greatest page, and number of serials in a call." default:"1000"`
	SessionLifetime time.Duration `help:"How long a session lasts." default:"3m"`
	RotateEvery     int           `help:"After how many answers a session is replaced; -1: never." default:"10"`
	ForbidExpired   bool          `help:"Answer dead sessions with 403 FORBIDDEN instead of 401."`
	Faults          []string      `name:"fault" sep:"none" help:"A fault in JSON, as for POST /sim/faults (repeatable)." placeholder:"JSON"`
}

// shownSerials is how many serials are printed; the rest is a call away.
const shownSerials = 20

// Run implements the command.
func (c *simDEPCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *simDEPCmd) run(ctx context.Context, out io.Writer) error {
	cloud, err := c.open()
	if err != nil {
		return err
	}
	defer cloud.Close()
	pki, err := c.pki()
	if err != nil {
		return err
	}
	if err := cloud.Start(c.Listen, pki); err != nil {
		return err
	}
	c.greet(out, cloud)
	<-ctx.Done()
	return nil
}

// open makes the service with its accounts, devices and faults.
func (c *simDEPCmd) open() (*dep.Cloud, error) {
	switch {
	case len(c.Prefix) != 3:
		return nil, fmt.Errorf("--prefix %q is not three characters", c.Prefix)
	case c.Devices < 0 || c.Devices > 1_000_000:
		return nil, fmt.Errorf("--devices %d is not between 0 and 1000000", c.Devices)
	case c.PageLimit < 1:
		return nil, fmt.Errorf("--page-limit %d is not positive", c.PageLimit)
	}
	cloud := dep.New(dep.Options{PageLimit: c.PageLimit, SessionLifetime: c.SessionLifetime, RotateEvery: c.RotateEvery, ForbidExpired: c.ForbidExpired, Control: true})
	devices := dep.Fixture(c.Prefix, c.Devices*len(c.Accounts))
	for i, name := range c.Accounts {
		account, err := cloud.AddAccount(name)
		if err != nil {
			return nil, err
		}
		if err := account.AddDevices(devices[i*c.Devices : (i+1)*c.Devices]...); err != nil {
			return nil, err
		}
	}
	for _, text := range c.Faults {
		var fault dep.Fault
		if err := json.Unmarshal([]byte(text), &fault); err != nil {
			return nil, fmt.Errorf("--fault %s: %w", text, err)
		}
		if err := cloud.Spoil(fault); err != nil {
			return nil, fmt.Errorf("--fault %s: %w", text, err)
		}
	}
	return cloud, nil
}

// pki is what TLS needs, nil without TLS.
func (c *simDEPCmd) pki() (*applepki.PKI, error) {
	if c.TLSCA == "" {
		return nil, nil
	}
	pki, err := applepki.New()
	if err != nil {
		return nil, err
	}
	return pki, os.WriteFile(c.TLSCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.PushCA().Raw}), 0o644)
}

func (c *simDEPCmd) greet(out io.Writer, cloud *dep.Cloud) {
	trust := ""
	if c.TLSCA != "" {
		trust = " --cacert " + c.TLSCA
	}
	fmt.Fprintf(out, "Apple's DEP service, simulated, at %s until you press Ctrl-C.\n", cloud.URL())
	for _, a := range cloud.Accounts() {
		fmt.Fprintf(out, "\nAccount %s. Its token file for the certificate in dep.pem:\n", a.Name())
		fmt.Fprintf(out, "  curl -sf%s --data-binary @dep.pem '%s/sim/accounts/%s/token' -o token.p7m\n", trust, cloud.URL(), url.PathEscape(a.Name()))
		serials := a.Serials()
		fmt.Fprintf(out, "%d devices:\n", len(serials))
		for _, s := range serials[:min(len(serials), shownSerials)] {
			state, _ := cloud.Device(s)
			fmt.Fprintf(out, "  %s  %s\n", s, state.Model)
		}
		if len(serials) > shownSerials {
			fmt.Fprintf(out, "  ... all of them: curl -sf%s '%s/sim/accounts/%s/devices'\n", trust, cloud.URL(), url.PathEscape(a.Name()))
		}
	}
	fmt.Fprintf(out, "\nFaults: curl -sf%s '%s/sim/faults' -d '{\"kind\":\"reply\",\"call\":\"POST /devices/sync\",\"times\":3,\"status\":503,\"retry_after\":\"5\"}'\n", trust, cloud.URL())
}
