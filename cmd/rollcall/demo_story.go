package main

import (
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/iphone"
)

// demoRow is what the demo needs of a row of a list.
type demoRow struct {
	name, email, serial, ownership, platform, deviceName string
	mailed                                               bool // gets the request by e-mail
}

// putOnRoll imports the sample CSV, whose header needs no mapping.
func (d *demo) putOnRoll(ctx context.Context) error {
	var file []byte
	if err := d.API(ctx, http.MethodGet, "/imports/sample.csv", nil, &file); err != nil {
		return err
	}
	records, err := csv.NewReader(strings.NewReader(string(file))).ReadAll()
	if err != nil {
		return err
	}
	for _, r := range records[1:] { // name,email,mobile,ownership,devicename,SerialNumber,platform
		d.rows = append(d.rows, demoRow{name: r[0], email: r[1], ownership: r[3], deviceName: r[4], serial: r[5], platform: r[6]})
	}
	if err := d.API(ctx, http.MethodPost, "/imports?domain=local&apply=true&file_name=sample.csv", stage.Raw{ContentType: "text/csv", Data: file}, nil); err != nil {
		return err
	}
	d.say("The sample CSV puts %d devices on the roll before anyone unboxes them.", len(records)-1)
	return nil
}

//go:embed demodata/purchase.csv
var purchaseList []byte

// typo is the serial of the purchase list that has a letter O where the phone
// has a zero.
const typo, typoMeant = "DEMOX4O7B1", "DEMOX407B1"

// importView is an import as the API shows it.
type importView struct {
	ID, State string
	Columns   []struct{ Header, Field string }
	Counts    struct{ Rows, New, Error int }
}

// importPurchase brings in a list as somebody else wrote it: other header,
// other language, other charset.
func (d *demo) importPurchase(ctx context.Context) error {
	var imp importView
	if err := d.API(ctx, http.MethodPost, "/imports?domain=local&charset=windows-1252&file_name=purchase.csv", stage.Raw{ContentType: "text/csv", Data: purchaseList}, &imp); err != nil {
		return err
	}
	if err := d.planned(ctx, &imp); err != nil {
		return err
	}
	var found []string
	for _, c := range imp.Columns {
		found = append(found, c.Header+" is "+c.Field)
	}
	d.say("A list from the purchasing department, with a header of its own: %s.", strings.Join(found, ", "))
	d.say("Its plan has %d errors, since nobody said what \"Firma\" and \"Privat\" are; that is told once.", imp.Counts.Error)
	values := map[string]any{"values": map[string]any{"ownership": map[string]string{"Firma": "corporate", "Privat": "personal"}}}
	if err := d.API(ctx, http.MethodPatch, "/imports/"+imp.ID, stage.Raw{ContentType: "application/merge-patch+json", Data: mustJSON(values)}, &imp); err != nil {
		return err
	}
	if err := d.planned(ctx, &imp); err != nil {
		return err
	}
	if imp.Counts.Error > 0 {
		return fmt.Errorf("the plan still has %d errors", imp.Counts.Error)
	}
	if err := d.API(ctx, http.MethodPost, "/imports/"+imp.ID+"/apply", nil, nil); err != nil {
		return err
	}
	if err := d.await(ctx, func() (bool, error) {
		err := d.API(ctx, http.MethodGet, "/imports/"+imp.ID, nil, &imp)
		return imp.State == "applied", err
	}); err != nil {
		return err
	}
	d.say("Applied: %d new devices, all or nothing.", imp.Counts.New)
	d.rows = append(d.rows,
		demoRow{name: "Tímon Groß", email: "timon.gross@example.com", serial: "DEMO4TIM0N", ownership: "corporate", platform: "ios", deviceName: "iPhone von Tímon", mailed: true},
		demoRow{name: "Jülia Weiß", email: "julia.weiss@example.com", serial: "DEMO7JUL1A", ownership: "personal", platform: "ios", mailed: true})
	return nil
}

func (d *demo) planned(ctx context.Context, imp *importView) error {
	return d.await(ctx, func() (bool, error) {
		err := d.API(ctx, http.MethodGet, "/imports/"+imp.ID, nil, imp)
		return imp.State == "planned" || imp.State == "failed", err
	})
}

const demoGroup, demoPolicy = "iPhones and iPads", "Company basics"

// demoDocument is the policy of the demo, once for every platform.
var demoDocument = map[string]any{
	"passcode":     map[string]any{"required": true, "min_length": 6, "simple": "deny", "lock_after_seconds": 300},
	"wifi":         []any{map[string]any{"ssid": "Example", "security": "wpa2", "password": "correct horse"}},
	"restrictions": map[string]any{"backup": "deny", "encrypted_backup": "require", "untrusted_tls": "deny"},
}

func (d *demo) bindPolicy(ctx context.Context) error {
	rule := map[string]any{"conditions": []any{map[string]any{"field": "platform", "values": []string{"ios", "apple"}}}}
	steps := []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/groups", map[string]any{"name": demoGroup, "rule": rule}},
		{http.MethodPut, "/policies/" + url.PathEscape(demoPolicy), map[string]any{"document": demoDocument}},
		{http.MethodPost, "/policies/" + url.PathEscape(demoPolicy) + "/bindings", map[string]any{"group": demoGroup}},
	}
	for _, s := range steps {
		if err := d.API(ctx, s.method, s.path, s.body, nil); err != nil {
			return fmt.Errorf("%s %s: %w", s.method, s.path, err)
		}
	}
	var group struct{ Devices int }
	if err := d.await(ctx, func() (bool, error) {
		err := d.API(ctx, http.MethodGet, "/groups/"+url.PathEscape(demoGroup), nil, &group)
		return group.Devices > 0, err
	}); err != nil {
		return err
	}
	d.say("The group %q (by rule: %d devices) gets the policy %q: %s. No device has enrolled yet.", demoGroup, group.Devices, demoPolicy, strings.Join(slices.Sorted(maps.Keys(demoDocument)), ", "))
	return nil
}

func (d *demo) restrict(ctx context.Context) error {
	d.say("Pre-enrolled Devices Only is set to enforce.")
	return d.API(ctx, http.MethodPut, "/settings/enrollment-restrictions", map[string]string{"pre_enrolled_devices_only": "enforce"}, nil)
}

// invite sends the requests: links to copy for the sample, mails for the
// purchase list.
func (d *demo) invite(ctx context.Context) error {
	var links, mails []string
	for _, r := range d.apple() {
		if r.mailed {
			mails = append(mails, r.serial)
		} else {
			links = append(links, r.serial)
		}
	}
	var answer struct {
		Items []struct{ Serial, Link string }
	}
	if err := d.API(ctx, http.MethodPost, "/requests", map[string]any{"serials": links}, &answer); err != nil {
		return err
	}
	for _, r := range answer.Items {
		d.links[r.Serial] = r.Link
	}
	if err := d.API(ctx, http.MethodPost, "/requests", map[string]any{"serials": mails, "via": "email"}, nil); err != nil {
		return err
	}
	for _, r := range d.apple() {
		if !r.mailed {
			continue
		}
		m, err := d.post.Wait(ctx, r.email, 1)
		if err != nil {
			return err
		}
		for _, link := range m.Links() {
			if strings.Contains(link, "/enroll/r/") {
				d.links[r.serial] = link
			}
		}
	}
	d.say("Enrollment requests go out: %d as links, %d by e-mail, each with a QR code.", len(links), len(mails))
	return nil
}

func (d *demo) apple() []demoRow {
	var out []demoRow
	for _, r := range d.rows {
		if r.platform == "ios" || r.platform == "apple" {
			out = append(out, r)
		}
	}
	return out
}

// arrive lets the devices come in, and three that should not.
func (d *demo) arrive(ctx context.Context) error {
	rows := d.apple()
	d.say("Phones arrive ...")
	// Somebody got hold of an invitation that is for another phone.
	if err := d.arrival(ctx, "found "+rows[1].name+"'s link", "FOUNDLINK002", d.links[rows[1].serial], iphone.Choice{Ownership: "corporate"}); err != nil {
		return err
	}
	for i, r := range rows {
		var choice iphone.Choice
		if r.ownership == "selectuser" {
			choice.Ownership = "corporate"
		}
		var change []func(*iphone.Config)
		if r.deviceName != "" { // only a supervised device lets itself be named
			change = append(change, func(c *iphone.Config) { c.Supervised, c.OSVersion = true, "26.1" })
		}
		if i%2 == 1 {
			change = append(change, func(c *iphone.Config) { c.Product, c.DeviceName = "iPad16,3", "iPad" })
		}
		if err := d.arrival(ctx, r.name, r.serial, d.links[r.serial], choice, change...); err != nil {
			return err
		}
	}
	// A stranger, and a phone whose serial was typed wrong, find the general page.
	if err := d.arrival(ctx, "a stranger", "STRANGER0001", d.URL()+"/enroll", iphone.Choice{}); err != nil {
		return err
	}
	return d.arrival(ctx, "Zoë Kraus, mistyped", typoMeant, d.URL()+"/enroll", iphone.Choice{})
}

// repair is an admin who reads the refusal of the mistyped serial, takes over
// the near miss, and the phone's second attempt.
func (d *demo) repair(ctx context.Context) error {
	dec, err := d.decision(ctx, typoMeant)
	if err != nil {
		return err
	}
	if len(dec.NearMisses) == 0 || dec.NearMisses[0].Serial != typo {
		return fmt.Errorf("the refusal of %s does not offer %s: %+v", typoMeant, typo, dec.NearMisses)
	}
	near := dec.NearMisses[0]
	d.say("%s is refused, and looks like the row %s (%s). The admin takes that over; the phone tries again.", typoMeant, near.Serial, near.Reason)
	if err := d.API(ctx, http.MethodPost, "/decisions/"+dec.ID+"/repair", map[string]string{"serial": near.Serial}, nil); err != nil {
		return err
	}
	return d.arrival(ctx, "Zoë Kraus, repaired", typoMeant, d.URL()+"/enroll", iphone.Choice{})
}

// arrival is a person who opens a link on a device.
func (d *demo) arrival(ctx context.Context, who, serial, link string, choice iphone.Choice, change ...func(*iphone.Config)) error {
	return d.enter(ctx, who, serial, func(p *iphone.Phone) error { return p.OpenLink(ctx, link, choice) }, change...)
}

// enter lets a device come in by a way of its own, and notes what became of it.
func (d *demo) enter(ctx context.Context, who, serial string, way func(*iphone.Phone) error, change ...func(*iphone.Config)) error {
	p, err := d.Phone(serial, change...)
	if err != nil {
		return err
	}
	err = way(p)
	var refused *iphone.RefusedError
	if errors.As(err, &refused) {
		return d.arrived(ctx, who, serial, fmt.Sprint(refused.Status, " ", strings.TrimSpace(refused.Text)))
	}
	if err != nil {
		return fmt.Errorf("%s (%s): %w", who, serial, err)
	}
	return d.arrived(ctx, who, serial, "")
}

// arrived notes what became of a device.
func (d *demo) arrived(ctx context.Context, who, serial, refusal string) error {
	dec, err := d.decision(ctx, serial)
	d.arrivals = append(d.arrivals, arrival{who: who, serial: serial, refusal: refusal, decision: dec})
	return err
}
