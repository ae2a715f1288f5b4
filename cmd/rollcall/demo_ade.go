package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"

	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/applepki"
	"rollcall/sim/dep"
	"rollcall/sim/iphone"
)

// demoAccount is a DEP account of the demo.
type demoAccount struct {
	name        string
	preEnrolled bool
	devices     []dep.Device
}

// startDEP starts Apple's simulated service for Automated Device Enrollment;
// roots is where the server finds its CA.
func startDEP(pki *applepki.PKI, roots string) (*dep.Cloud, error) {
	cloud := dep.New(dep.Options{Organization: dep.Organization{Name: "Example"}})
	if err := cloud.Start("127.0.0.1:0", pki); err != nil {
		return nil, err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.PushCA().Raw})
	if err := os.WriteFile(roots, ca, 0o600); err != nil {
		return nil, errors.Join(err, cloud.Close())
	}
	return cloud, nil
}

// syncDEP joins two DEP accounts, of which one has "Add as Pre-enrolled Device".
func (d *demo) syncDEP(ctx context.Context) error {
	berlin, hamburg := dep.Fixture("DEPBERLIN", 2), dep.Fixture("DEPHAMBURG", 1)
	d.accounts = []demoAccount{{"Berlin", true, berlin[1:]}, {"Hamburg", false, hamburg}}
	for _, a := range d.accounts {
		if err := d.joinDEP(ctx, a); err != nil {
			return fmt.Errorf("the DEP account %s: %w", a.name, err)
		}
	}
	serial := d.accounts[0].devices[0].Serial
	var row struct {
		ShownName string `json:"shown_name"`
		State     string
	}
	if err := d.API(ctx, http.MethodGet, "/devices/"+serial, nil, &row); err != nil {
		return err
	}
	d.say("Two DEP accounts are joined with Apple's server tokens. Berlin has \"Add as Pre-enrolled Device\": its iPad %s is on the roll as %s (%s). Hamburg has not.", serial, row.ShownName, row.State)
	return nil
}

// joinDEP makes an account with a profile for its devices, as an admin does
// with Apple's portal, and waits until each device has it at Apple.
func (d *demo) joinDEP(ctx context.Context, a demoAccount) error {
	server, err := d.dep.AddAccount(a.name)
	if err != nil {
		return err
	}
	if err := server.AddDevices(a.devices...); err != nil {
		return err
	}
	var made struct {
		Certificate string `json:"certificate_pem"`
	}
	if err := d.API(ctx, http.MethodPost, "/dep/accounts", map[string]any{"name": a.name, "add_as_pre_enrolled": a.preEnrolled}, &made); err != nil {
		return err
	}
	token, err := server.TokenFile([]byte(made.Certificate))
	if err != nil {
		return err
	}
	path := "/dep/accounts/" + a.name
	for _, s := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPut, path + "/token", stage.Raw{ContentType: "application/pkcs7-mime", Data: token}},
		{http.MethodPut, path + "/profiles/Standard", map[string]any{"settings": map[string]any{"await_device_configured": true}}},
		{http.MethodPatch, path, map[string]any{"default": map[string]any{"profile": "Standard"}}},
	} {
		if err := d.API(ctx, s.method, s.path, s.body, nil); err != nil {
			return err
		}
	}
	return d.await(ctx, func() (bool, error) {
		for _, device := range a.devices {
			if s, _ := d.dep.Device(device.Serial); s.ProfileStatus != dep.ProfileAssigned {
				return false, nil
			}
		}
		return true, nil
	})
}

// unbox switches on the devices of both accounts: each asks Apple where to
// enroll. The iPad of Berlin waits in Setup Assistant until its policy is in.
func (d *demo) unbox(ctx context.Context) error {
	for _, a := range d.accounts {
		for _, device := range a.devices {
			found, ok := d.dep.Activate(device.Serial)
			if !ok {
				return fmt.Errorf("Apple has no profile for %s", device.Serial)
			}
			who := "iPad of " + a.name + " (DEP)"
			err := d.enter(ctx, who, device.Serial, func(p *iphone.Phone) error {
				if a.preEnrolled {
					d.ipad = p
				}
				return p.SetupAssistant(ctx, iphone.CloudConfiguration{URL: found.URL, ConfigurationWebURL: found.ConfigurationWebURL, AwaitDeviceConfigured: found.AwaitDeviceConfigured})
			}, func(c *iphone.Config) { c.Product, c.OSVersion = "iPad16,3", "26.1" })
			if err != nil {
				return err
			}
		}
	}
	last := d.accounts[0].devices[0].Serial
	if err := d.ipad.WaitFor(ctx, func(p *iphone.Phone) bool { return !p.Awaiting() }); err != nil {
		return err
	}
	r, err := d.receipt(ctx, last)
	if err != nil {
		return err
	}
	d.say("%s waited in Setup Assistant until its policy was in (%.0f ms).", last, r.TimeToPolicySeconds*1000)
	return nil
}
