package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/sim/amapi"
	"rollcall/sim/android"
)

// google is the simulated Google of the demo.
type google struct {
	cloud  *amapi.Cloud
	roots  *x509.CertPool // of the server, which phones open pages of
	phones *http.Transport
}

func startGoogle() (*google, error) {
	g := &google{roots: x509.NewCertPool()}
	g.phones = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.roots}}
	var err error
	if g.cloud, err = amapi.New(amapi.Options{PerMinute: -1, PullWait: 200 * time.Millisecond, Client: &http.Client{Transport: g.phones}}); err != nil {
		return nil, err
	}
	return g, g.cloud.Start("127.0.0.1:0")
}

func (g *google) close() {
	g.cloud.Close()
	g.phones.CloseIdleConnections()
}

// trust lets phones open the server's pages.
func (g *google) trust(roots *x509.CertPool) { g.phones.TLSClientConfig.RootCAs = roots }

// options lead the server to this Google, and name the agent of QR codes.
func (g *google) options(a *app.Options) {
	a.ZeroTouchURL, a.AMAPIURL, a.PubSubURL, a.GoogleCertsURL = g.cloud.URL(), g.cloud.URL(), g.cloud.URL(), g.cloud.CertsURL()
	a.AgentComponent, a.AgentURL = "org.example.agent/.AdminReceiver", "https://mdm.example.com/agent.apk"
	a.AgentChecksum = "I5YvS0O5hXY46mb01BlRjq4oJJGs2kuUcHvVkAPEXlg"
}

// demoGoogled is the serial of the phone that comes by Google's sign-in page.
const demoGoogled = "GOOGLE0PHONE1"

// scan lets Android phones arrive that scan the QR code of an enrollment token:
// the one it is bound to, and one that found it.
func (d *demo) scan(ctx context.Context) error {
	var row demoRow
	for _, r := range d.rows {
		if r.platform == "android" {
			row = r
		}
	}
	if err := d.API(ctx, http.MethodPut, "/devices/"+demoGoogled, map[string]any{"platform": "android", "ownership": "corporate"}, nil); err != nil {
		return err
	}
	for _, s := range []string{row.serial, demoGoogled} {
		if err := d.API(ctx, http.MethodPost, "/policies/"+url.PathEscape(demoPolicy)+"/bindings", map[string]string{"serial": s}, nil); err != nil {
			return err
		}
	}
	var token struct{ QR string }
	if err := d.API(ctx, http.MethodPost, "/enrollment-tokens", map[string]any{"name": row.name, "serial": row.serial, "max_uses": 1}, &token); err != nil {
		return err
	}
	d.say("The same policy goes to two Android phones. %s gets the QR code of a one-time token that is bound to its row.", row.serial)
	for _, who := range []struct{ name, serial string }{{"found " + row.name + "'s QR code", "FOUNDANDROID1"}, {row.name + " (agent)", row.serial}} {
		phone := android.New(android.Config{Serial: who.serial, Roots: d.Roots})
		err := phone.Scan(ctx, token.QR)
		var refused *android.RefusedError
		switch {
		case errors.As(err, &refused):
			phone.Close()
			err = d.arrived(ctx, who.name, who.serial, fmt.Sprint(refused.Status, " ", refused.Message))
		case err == nil:
			d.run(ctx, phone)
			err = d.arrived(ctx, who.name, who.serial, "")
		}
		if err != nil {
			return fmt.Errorf("%s (%s): %w", who.name, who.serial, err)
		}
	}
	return nil
}

// run keeps a phone checking in until the demo ends.
func (d *demo) run(ctx context.Context, phone *android.Phone) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		phone.Run(ctx) // ends with ctx; the receipt tells what it did
	}()
	d.leave = append(d.leave, func() {
		cancel()
		<-ended
		phone.Close()
	})
}

// signUp joins the organization to Google and lets phones come by the sign-in
// page of the Android Management API, the gate before enrollment.
func (d *demo) signUp(ctx context.Context) error {
	key, err := d.google.cloud.ServiceAccountKey()
	if err != nil {
		return err
	}
	var e struct {
		SignupURL string `json:"signup_url"`
	}
	if err := d.API(ctx, http.MethodPut, "/android/enterprise", map[string]any{"key": json.RawMessage(key)}, nil); err != nil {
		return err
	}
	if err := d.API(ctx, http.MethodPost, "/android/enterprise/signup", nil, &e); err != nil {
		return err
	}
	if err := d.browse(ctx, e.SignupURL); err != nil {
		return err
	}
	var ways struct {
		Items []struct {
			Mode   string
			QRCode string `json:"qr_code"`
		}
	}
	if err := d.API(ctx, http.MethodGet, "/android/enterprise/ways", nil, &ways); err != nil {
		return err
	}
	qr := ""
	for _, w := range ways.Items {
		if w.Mode == "fully_managed" {
			qr = w.QRCode
		}
	}
	d.say("The organization is signed up at Google. Phones scan its QR code, and Google asks this server before it enrolls them.")
	for _, who := range []struct{ name, serial string }{{"an Android stranger", "STRANGER0002"}, {"Android phone (Google)", demoGoogled}} {
		phone, err := d.google.cloud.AddDevice(amapi.Hardware{Serial: who.serial})
		if err != nil {
			return err
		}
		refusal := ""
		switch err := phone.Setup(ctx, qr); {
		case errors.Is(err, amapi.ErrRefused):
			refusal = "Google's page for devices that may not enroll"
		case err != nil:
			return fmt.Errorf("%s (%s): %w", who.name, who.serial, err)
		}
		if err := d.arrived(ctx, who.name, who.serial, refusal); err != nil {
			return err
		}
	}
	return d.await(ctx, func() (bool, error) {
		var row struct{ State string }
		err := d.API(ctx, http.MethodGet, "/devices/"+demoGoogled, nil, &row)
		return row.State == "enrolled", err
	})
}

// browse opens a page as an administrator does.
func (d *demo) browse(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: d.google.phones}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", address, resp.Status, strings.TrimSpace(string(page)))
	}
	return err
}
