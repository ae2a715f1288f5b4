package client

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
)

// GateCommands ask the gate.
type GateCommands struct {
	Session
	Test     gateTest     `cmd:"" help:"Tell what would become of a device, and why, before it arrives."`
	Forecast gateForecast `cmd:"" help:"Tell what enforcing Pre-enrolled Devices Only would refuse of what arrived lately."`
}

type gateTest struct {
	oneDevice
	Platform     string `help:"What it presents itself as." enum:"ios,android" default:"ios"`
	Channel      string `help:"The way it arrives by: ota, profile, ade, account, agent, amapi. Default: ota, of Android agent."`
	Evidence     string `help:"How its serial is known: claimed, token, signed, attested. Default: what the channel usually gives."`
	OS           string `help:"Version of its system, such as 26.1." name:"os"`
	Model        string `help:"Model, such as 'iPhone 16 Pro'."`
	Product      string `help:"Product, such as iPhone17,1."`
	Manufacturer string `help:"Manufacturer of an Android device."`
	Ownership    string `help:"What the user would choose: personal or corporate."`
	User         string `help:"ID of the user who would enroll it."`
}

// usualEvidence is how a channel knows a serial of its own.
var usualEvidence = map[string]string{"ota": "signed", "ade": "signed", "amapi": "signed"}

// Run implements the command.
func (c *gateTest) Run(ctx context.Context, s *Session) error {
	channel := c.Channel
	if channel == "" {
		channel = map[string]string{"ios": "ota", "android": "agent"}[c.Platform]
	}
	evidence := c.Evidence
	if evidence == "" {
		evidence = usualEvidence[channel]
	}
	body := map[string]string{}
	for field, value := range map[string]string{"serial": c.Serial, "platform": c.Platform, "channel": channel, "evidence": evidence, "os_version": c.OS, "model": c.Model,
		"product": c.Product, "manufacturer": c.Manufacturer, "ownership": c.Ownership, "user_id": c.User} {
		if value != "" {
			body[field] = value
		}
	}
	raw, err := s.do(ctx, post("/gate/evaluate", body))
	if err != nil {
		return err
	}
	if s.Output != formTable {
		return s.show(raw, columns("serial", "outcome", "code", "enforced", "text", "fix", "person", "on_roll", "groups", "policies"))
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return writeDecision(r, columns("serial", "channel", "evidence", "mode", "outcome", "code", "enforced", "why=text", "fix", "person_reads=person", "on_roll", "groups", "policies"))
}

// writeDecision writes an answer of the gate with its near misses and checks.
func writeDecision(r record, fields []column) error {
	w := bufio.NewWriter(os.Stdout)
	writeFields(w, r, fields)
	if misses := r.list("near_misses"); len(misses) > 0 {
		fmt.Fprintln(w, "\nlooks like")
		for _, m := range misses {
			fmt.Fprintf(w, "  %s  %s\n", m.human("serial"), m.human("reason"))
		}
	}
	if trace := r.list("trace"); len(trace) > 0 {
		fmt.Fprintln(w, "\nchecks")
		check, result := 0, 0
		for _, t := range trace {
			check, result = max(check, len(t.human("check"))), max(result, len(t.human("result")))
		}
		for _, t := range trace {
			fmt.Fprintf(w, "  %-*s  %-*s  %s\n", check, t.human("check"), result, t.human("result"), t.human("detail"))
		}
	}
	return w.Flush()
}

type gateForecast struct {
	Days     int    `help:"How many days to look back." default:"7"`
	Mode     string `help:"What Pre-enrolled Devices Only is thought to be: off, audit or enforce." enum:"off,audit,enforce" default:"enforce"`
	Unlisted string `help:"What is thought to become of devices that are not on the roll: refuse or hold. Default: as it is set."`
	Evidence string `help:"How well devices are thought to have to prove their serial. Default: as it is set."`
}

// Run implements the command.
func (c *gateForecast) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get("/settings/enrollment-restrictions/forecast", filter("days", strconv.Itoa(c.Days), "pre_enrolled_devices_only", c.Mode, "unlisted_devices", c.Unlisted, "required_evidence", c.Evidence)))
	if err != nil {
		return err
	}
	return s.showWith(raw, columns("since", "devices", "admitted", "more"), "items", columns("serial", "channel", "last=last_at", "was", "code", "state"))
}
