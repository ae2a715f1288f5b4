package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"rollcall/sim/amapi"
)

type simAMAPICmd struct {
	Listen         string   `help:"Address to listen on." default:"127.0.0.1:8451"`
	Schema         string   `help:"Google's discovery document of the Android Management API (JSON), which every request is held against. Without it requests are not validated." type:"existingfile" placeholder:"FILE"`
	ServiceAccount string   `help:"Where to write the service account's key (JSON)." default:"sim-service-account.json" type:"path" placeholder:"FILE"`
	Project        string   `help:"The Google Cloud project." default:"sim-project"`
	Approved       bool     `help:"The project may set what Google lets approved projects only, such as factoryResetDisabled."`
	PerMinute      int      `help:"Quota of calls in a minute; -1: none." default:"600"`
	Topic          string   `help:"Pub/Sub topic that exists from the start." default:"amapi"`
	Subscription   string   `help:"Its subscription for pull." default:"rollcall"`
	Enterprises    []string `name:"enterprise" help:"Display name of an organization that is bound without a sign-up (repeatable)." placeholder:"NAME"`
	Devices        int      `help:"Devices in their boxes." default:"10"`
	Prefix         string   `help:"What their serials begin with." default:"SIM"`
	Faults         []string `name:"fault" sep:"none" help:"A fault in JSON, as for POST /sim/faults (repeatable)." placeholder:"JSON"`
}

// Run implements the command.
func (c *simAMAPICmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *simAMAPICmd) run(ctx context.Context, out io.Writer) error {
	cloud, err := c.open()
	if err != nil {
		return err
	}
	defer cloud.Close()
	// These exist before the first request can come.
	topic := cloud.AddTopic(c.Topic)
	made := []string{"Project:         " + cloud.Project(), "Topic:           " + topic, "Subscription:    " + cloud.AddSubscription(c.Subscription, topic)}
	for _, name := range c.Enterprises {
		made = append(made, fmt.Sprintf("Enterprise:      %s (%s)", cloud.AddEnterprise(name), name))
	}
	if err := cloud.Start(c.Listen); err != nil {
		return err
	}
	// The key names the cloud's address, which is known only now.
	key, err := cloud.ServiceAccountKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.ServiceAccount, key, 0o600); err != nil {
		return err
	}
	c.greet(out, cloud, made)
	<-ctx.Done()
	return nil
}

// open makes the cloud with its devices and faults.
func (c *simAMAPICmd) open() (*amapi.Cloud, error) {
	if c.Devices < 0 || c.Devices > 1_000_000 {
		return nil, fmt.Errorf("--devices %d is not between 0 and 1000000", c.Devices)
	}
	var schema *amapi.Schema
	if c.Schema != "" {
		var err error
		if schema, err = amapi.LoadSchema(c.Schema); err != nil {
			return nil, err
		}
	}
	cloud, err := amapi.New(amapi.Options{Schema: schema, Project: c.Project, Approved: c.Approved, PerMinute: c.PerMinute, Control: true})
	if err != nil {
		return nil, err
	}
	for _, h := range amapi.Fixture(c.Prefix, c.Devices) {
		if _, err := cloud.AddDevice(h); err != nil {
			return nil, err
		}
	}
	for _, text := range c.Faults {
		var fault amapi.Fault
		if err := json.Unmarshal([]byte(text), &fault); err != nil {
			return nil, fmt.Errorf("--fault %s: %w", text, err)
		}
		if err := cloud.Spoil(fault); err != nil {
			return nil, fmt.Errorf("--fault %s: %w", text, err)
		}
	}
	return cloud, nil
}

func (c *simAMAPICmd) greet(out io.Writer, cloud *amapi.Cloud, made []string) {
	fmt.Fprintf(out, "Google's Android Management API, Pub/Sub and zero-touch, simulated, at %s until you press Ctrl-C.\n", cloud.URL())
	if c.Schema == "" {
		fmt.Fprint(out, "\nWARNING: REQUESTS ARE NOT VALIDATED. Give Google's discovery document with --schema FILE.\n")
	}
	fmt.Fprintf(out, "\nService account: %s\n%s\n", c.ServiceAccount, strings.Join(made, "\n"))
	fmt.Fprintf(out, "\n%d devices:\n", c.Devices)
	for _, h := range amapi.Fixture(c.Prefix, min(c.Devices, shownSerials)) {
		fmt.Fprintf(out, "  %s  %s %s\n", h.Serial, h.Manufacturer, h.Model)
	}
	if c.Devices > shownSerials {
		fmt.Fprintf(out, "  ... all of them: curl -sf '%s/sim/devices'\n", cloud.URL())
	}
	fmt.Fprintf(out, "\nSet one up with a QR code's text, a token or a link:\n  curl -sf '%s/sim/devices/SERIAL/setup' -d '{\"entry\":\"https://enterprise.google.com/android/enroll?et=TOKEN\"}'\n", cloud.URL())
	fmt.Fprintf(out, "\nFaults: curl -sf '%s/sim/faults' -d '{\"kind\":\"reply\",\"call\":\"enterprises.devices.patch\",\"times\":3,\"status\":503,\"code\":\"UNAVAILABLE\"}'\n", cloud.URL())
}
