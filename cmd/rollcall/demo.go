package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/iphone"
)

type demoCmd struct {
	Keep     bool   `help:"Leave the server running at the end, on the demo's data."`
	Database string `help:"Database to show it on; default: SQLite in a temporary folder."`
	Verbose  bool   `help:"Show the server's log."`
}

// demo is one run of the demonstration.
type demo struct {
	*stage.Stage
	out      io.Writer
	links    map[string]string // serial -> enrollment link
	arrivals []arrival
}

// arrival is one line of the closing table.
type arrival struct {
	who, serial string
	phone       *iphone.Phone
	refused     *iphone.RefusedError
}

const demoTimeout = time.Minute

// Run implements the command.
func (c *demoCmd) Run(ctx context.Context) error {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	o := stage.Options{Database: c.Database, Log: io.Discard}
	if c.Verbose {
		o.Log, o.LogLevel = os.Stderr, "info"
	}
	s, err := stage.Start(ctx, o)
	if err != nil {
		return err
	}
	defer s.Stop()
	d := &demo{Stage: s, out: os.Stdout, links: map[string]string{}}
	fmt.Fprintf(d.out, "Rollcall at %s, with a simulated Apple: device certificates, push service, phones.\n\n", s.App.URL())
	for _, step := range []func(context.Context) error{d.putOnRoll, d.bindPolicy, d.restrict, d.invite, d.arrive, d.table, d.explain} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "\nDone in %.1f s. Everything above went over TLS, SCEP and HTTP/2 as with real devices.\n", time.Since(started).Seconds())
	if !c.Keep {
		return nil
	}
	fmt.Fprintf(d.out, "\nThe server goes on at %s until you press Ctrl-C.\n  admin token: %s\n  try: curl -k -H 'Authorization: Bearer %s' %s/api/v1/devices\n", s.App.URL(), s.Token, s.Token, s.App.URL())
	keep := context.WithoutCancel(ctx)
	return waitForInterrupt(keep)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "- "+format+"\n", args...) }

// sampleRow is what the demo needs of a row of the sample CSV.
type sampleRow struct{ name, serial, ownership, platform, deviceName string }

func (d *demo) sample(ctx context.Context) (file []byte, rows []sampleRow, err error) {
	if err = d.API(ctx, http.MethodGet, "/imports/sample.csv", nil, &file); err != nil {
		return nil, nil, err
	}
	records, err := csv.NewReader(strings.NewReader(string(file))).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	for _, r := range records[1:] { // name,email,mobile,ownership,devicename,SerialNumber,platform
		rows = append(rows, sampleRow{name: r[0], ownership: r[3], deviceName: r[4], serial: r[5], platform: r[6]})
	}
	return file, rows, nil
}

func (d *demo) putOnRoll(ctx context.Context) error {
	file, _, err := d.sample(ctx)
	if err != nil {
		return err
	}
	var report struct{ Counts struct{ Rows int } }
	if err := d.API(ctx, http.MethodPost, "/imports?domain=local&apply=true&file_name=sample.csv", stage.Raw{ContentType: "text/csv", Data: file}, &report); err != nil {
		return err
	}
	d.say("The sample CSV puts %d devices on the roll before anyone unboxes them.", report.Counts.Rows)
	return nil
}

const demoGroup, demoPolicy = "Everybody", "Company basics"

// demoProfiles is the policy of the demo in Apple's own payloads.
var demoProfiles = []map[string]any{
	{"id": "passcode", "display_name": "Passcode", "payloads": []any{map[string]any{"type": "com.apple.mobiledevice.passwordpolicy",
		"content": map[string]any{"forcePIN": true, "minLength": 6, "allowSimple": false, "maxInactivity": 5}}}},
	{"id": "wifi", "display_name": "Office Wi-Fi", "payloads": []any{map[string]any{"type": "com.apple.wifi.managed",
		"content": map[string]any{"SSID_STR": "Example", "EncryptionType": "WPA2", "Password": "correct horse", "AutoJoin": true}}}},
	{"id": "restrictions", "display_name": "Restrictions", "payloads": []any{map[string]any{"type": "com.apple.applicationaccess",
		"content": map[string]any{"allowCloudBackup": false, "forceEncryptedBackup": true, "allowUntrustedTLSPrompt": false}}}},
}

func (d *demo) bindPolicy(ctx context.Context) error {
	_, rows, err := d.sample(ctx)
	if err != nil {
		return err
	}
	var serials []string
	for _, r := range rows {
		serials = append(serials, r.serial)
	}
	steps := []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/groups", map[string]any{"name": demoGroup}},
		{http.MethodPost, "/groups/" + url.PathEscape(demoGroup) + "/members", map[string]any{"add": serials}},
		{http.MethodPut, "/policies/" + url.PathEscape(demoPolicy), map[string]any{"profiles": demoProfiles}},
		{http.MethodPost, "/policies/" + url.PathEscape(demoPolicy) + "/bindings", map[string]any{"group": demoGroup}},
	}
	for _, s := range steps {
		if err := d.API(ctx, s.method, s.path, s.body, nil); err != nil {
			return fmt.Errorf("%s %s: %w", s.method, s.path, err)
		}
	}
	d.say("The group %q gets the policy %q (%d profiles). No device has enrolled yet.", demoGroup, demoPolicy, len(demoProfiles))
	return nil
}

func (d *demo) restrict(ctx context.Context) error {
	d.say("Pre-enrolled Devices Only is set to enforce.")
	return d.API(ctx, http.MethodPut, "/settings/enrollment-restrictions", map[string]string{"pre_enrolled_devices_only": "enforce"}, nil)
}

func (d *demo) invite(ctx context.Context) error {
	_, rows, err := d.sample(ctx)
	if err != nil {
		return err
	}
	var serials []string
	for _, r := range apple(rows) {
		serials = append(serials, r.serial)
	}
	var answer struct {
		Items []struct{ Serial, Link string }
	}
	if err := d.API(ctx, http.MethodPost, "/requests", map[string]any{"serials": serials}, &answer); err != nil {
		return err
	}
	for _, r := range answer.Items {
		d.links[r.Serial] = r.Link
	}
	d.say("Enrollment requests go out for %d iPhones and iPads.", len(d.links))
	return nil
}

func apple(rows []sampleRow) []sampleRow {
	var out []sampleRow
	for _, r := range rows {
		if r.platform == "ios" || r.platform == "apple" {
			out = append(out, r)
		}
	}
	return out
}

// arrive lets the devices of the sample come in, and two that should not.
func (d *demo) arrive(ctx context.Context) error {
	_, rows, err := d.sample(ctx)
	if err != nil {
		return err
	}
	rows = apple(rows)
	if len(rows) < 2 {
		return errors.New("the sample CSV has fewer than two Apple devices")
	}
	d.say("Phones arrive ...")
	// Somebody got hold of an invitation that is for another phone.
	if err := d.arrival(ctx, "found "+rows[1].name+"'s link", "FOUNDLINK002", d.links[rows[1].serial], iphone.Choice{Ownership: "corporate"}); err != nil {
		return err
	}
	for i, r := range rows {
		link, choice := d.links[r.serial], iphone.Choice{}
		if r.ownership == "selectuser" {
			choice.Ownership = "corporate"
		}
		supervised := func(c *iphone.Config) { c.Supervised, c.OSVersion = true, "26.1" }
		var change []func(*iphone.Config)
		if r.deviceName != "" {
			change = append(change, supervised)
		}
		if i%2 == 1 {
			change = append(change, func(c *iphone.Config) { c.Product, c.DeviceName = "iPad16,3", "iPad" })
		}
		if err := d.arrival(ctx, r.name, r.serial, link, choice, change...); err != nil {
			return err
		}
	}
	// A stranger finds the general enrollment page.
	return d.arrival(ctx, "a stranger", "STRANGER0001", d.App.URL()+"/enroll", iphone.Choice{})
}

func (d *demo) arrival(ctx context.Context, who, serial, link string, choice iphone.Choice, change ...func(*iphone.Config)) error {
	p, err := d.Phone(serial, change...)
	if err != nil {
		return err
	}
	a := arrival{who: who, serial: serial, phone: p}
	if err := p.OpenLink(ctx, link, choice); err != nil && !errors.As(err, &a.refused) {
		return fmt.Errorf("%s (%s): %w", who, serial, err)
	}
	d.arrivals = append(d.arrivals, a)
	return nil
}

type decisionView struct {
	Serial, Channel, Evidence, Outcome, Code string
	Text, Fix, Person                        string
}

type receiptView struct {
	CompletedAt         time.Time `json:"completed_at"`
	TimeToPolicySeconds float64   `json:"time_to_policy_seconds"`
	Items               []struct{ Title, State, Error string }
}

func (d *demo) table(ctx context.Context) error {
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tSERIAL\tCHANNEL\tEVIDENCE\tDECISION\tPOLICY\tTIME TO POLICY")
	for _, a := range d.arrivals {
		dec, err := d.decision(ctx, a.serial)
		if err != nil {
			return err
		}
		policy, took := "-", "-"
		if a.refused == nil {
			r, err := d.receipt(ctx, a.serial)
			if err != nil {
				return err
			}
			done := 0
			for _, i := range r.Items {
				if i.State == "acknowledged" {
					done++
				}
			}
			policy, took = fmt.Sprintf("%d of %d acknowledged", done, len(r.Items)), fmt.Sprintf("%.0f ms", r.TimeToPolicySeconds*1000)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.who, a.serial, dec.Channel, dec.Evidence, dec.Code, policy, took)
	}
	return w.Flush()
}

// decision is the newest one about a serial.
func (d *demo) decision(ctx context.Context, serial string) (decisionView, error) {
	var list struct{ Items []decisionView }
	if err := d.API(ctx, http.MethodGet, "/decisions?limit=1&serial="+url.QueryEscape(serial), nil, &list); err != nil {
		return decisionView{}, err
	}
	if len(list.Items) == 0 {
		return decisionView{}, fmt.Errorf("no decision was recorded for %s", serial)
	}
	return list.Items[0], nil
}

// receipt waits until every item of a device's policy has its final answer.
func (d *demo) receipt(ctx context.Context, serial string) (receiptView, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var r receiptView
		if err := d.API(ctx, http.MethodGet, "/devices/"+url.PathEscape(serial)+"/receipt", nil, &r); err != nil {
			return r, err
		}
		if !r.CompletedAt.IsZero() {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("the policy of %s was not complete in time: %+v", serial, r.Items)
		case <-tick.C:
		}
	}
}

// explain shows a refusal from all three sides.
func (d *demo) explain(ctx context.Context) error {
	for _, a := range d.arrivals {
		if a.refused == nil {
			continue
		}
		dec, err := d.decision(ctx, a.serial)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "\n%s (%s) was refused: %s\n", a.who, a.serial, dec.Code)
		fmt.Fprintf(d.out, "  the phone got    %d %s\n", a.refused.Status, strings.TrimSpace(a.refused.Text))
		fmt.Fprintf(d.out, "  the admin reads  %s\n  and can          %s\n", dec.Text, dec.Fix)
	}
	return nil
}
