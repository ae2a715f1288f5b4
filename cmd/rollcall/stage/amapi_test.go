package stage

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	simamapi "rollcall/sim/amapi"
)

// googled is a play with an organization at a simulated Google, which refuses
// whatever Google's own schema would refuse.
type googled struct {
	*play
	cloud      *simamapi.Cloud
	enterprise string
	ways       map[string]string // content of QR codes by mode
}

// googleCloud is a simulated Google before there is a server for it.
type googleCloud struct {
	*simamapi.Cloud
	both  *clock         // Google's and the server's
	roots *x509.CertPool // of the server, once it is there
}

func startGoogle(t *testing.T, change ...func(*simamapi.Options)) *googleCloud {
	t.Helper()
	schema, err := simamapi.LoadSchema(filepath.Join("..", "..", "..", "..", "shared", "data", "amapi-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := &googleCloud{both: &clock{}, roots: x509.NewCertPool()}
	phones := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.roots}}
	t.Cleanup(phones.CloseIdleConnections)
	o := simamapi.Options{Schema: schema, Now: g.both.Now, PerMinute: -1, PullWait: 200 * time.Millisecond, PushRetry: 50 * time.Millisecond, Client: &http.Client{Transport: phones, Timeout: time.Minute}}
	for _, f := range change {
		f(&o)
	}
	if g.Cloud, err = simamapi.New(o); err != nil {
		t.Fatal(err)
	}
	if err := g.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// options are those of a server that this Google is Google for.
func (g *googleCloud) options(o *app.Options) {
	o.AMAPIURL, o.PubSubURL, o.GoogleCertsURL = g.URL(), g.URL(), g.URL()+"/oauth2/v3/certs"
}

// serve signs an organization up for the server of a play.
func (g *googleCloud) serve(p *play) *googled {
	p.clock = g.both
	g.roots.AddCert(p.App.Authority().Certificate())
	signed := &googled{play: p, cloud: g.Cloud, ways: map[string]string{}}
	signed.signUp()
	return signed
}

// withGoogle plays on both databases, each with a Google of its own.
func withGoogle(t *testing.T, run func(g *googled), change ...func(*simamapi.Options)) {
	t.Helper()
	onEngines(t, func(t *testing.T, dsn string) {
		cloud := startGoogle(t, change...)
		run(cloud.serve(start(t, dsn, func(o *Options) { o.Now, o.Change = cloud.both.Now, cloud.options })))
		if w := cloud.Warnings(); len(w) > 0 {
			t.Errorf("Google reads past %v", w)
		}
	})
}

type enterprise struct {
	Name      string
	SignupURL string    `json:"signup_url"`
	SetUpAt   time.Time `json:"set_up_at"`
	Delivery  string
	Problem   *struct{ Code string }
}

// signUp is what an administrator does: key, sign-up, Google's pages.
func (g *googled) signUp() {
	g.t.Helper()
	key, err := g.cloud.ServiceAccountKey()
	g.must(err)
	var e enterprise
	g.admin(http.MethodPut, "/android/enterprise", object{"key": json.RawMessage(key)}, &e)
	g.admin(http.MethodPost, "/android/enterprise/signup", nil, &e)
	g.check("there is a URL to sign up at", e.SignupURL != "" && e.Name == "", e)
	res, err := g.client.Get(e.SignupURL)
	g.must(err)
	page, err := io.ReadAll(res.Body)
	res.Body.Close()
	g.must(err)
	g.check("the administrator is told that it is done", res.StatusCode == http.StatusOK && strings.Contains(string(page), "bound"), res.Status, string(page))
	g.admin(http.MethodGet, "/android/enterprise", nil, &e)
	g.check("the enterprise is bound and set up", strings.HasPrefix(e.Name, "enterprises/LC") && !e.SetUpAt.IsZero(), e)
	g.enterprise = e.Name
	g.readWays()
	// The same callback a second time binds nothing.
	again, err := g.client.Get(g.url + "/android/signup?state=made-up&enterpriseToken=x")
	g.must(err)
	again.Body.Close()
	g.check("a made-up callback is refused", again.StatusCode == http.StatusGone, again.Status)
}

func (g *googled) readWays() {
	g.t.Helper()
	var ways struct {
		Items []struct {
			Mode   string
			QRCode string `json:"qr_code"`
		}
	}
	g.admin(http.MethodGet, "/android/enterprise/ways", nil, &ways)
	clear(g.ways)
	for _, w := range ways.Items {
		g.ways[w.Mode] = w.QRCode
	}
}

// droid takes a device out of its box.
func (g *googled) droid(serial string, change ...func(*simamapi.Hardware)) *simamapi.Device {
	g.t.Helper()
	h := simamapi.Hardware{Serial: serial}
	for _, f := range change {
		f(&h)
	}
	d, err := g.cloud.AddDevice(h)
	g.must(err)
	return d
}

func (g *googled) listed(serial string) {
	g.t.Helper()
	g.roll(serial, object{"platform": "android"})
}

type googleDevice struct {
	ID, Serial, Mode, State, Code string
	Complaints                    []struct{ Pointer, Setting, Reason string } `json:"non_compliance"`
}

// record finds the newest record of a device at Google; a device enrolls under
// another name each time.
func (g *googled) records() []googleDevice {
	g.t.Helper()
	var out struct{ Items []googleDevice }
	g.admin(http.MethodGet, "/android/enterprise/devices", nil, &out)
	return out.Items
}

func (g *googled) record(serial string) (found googleDevice) {
	g.t.Helper()
	for _, r := range g.records() {
		if r.Serial == serial && (found.ID == "" || r.State != "gone") {
			found = r
		}
	}
	return found
}

func (g *googled) untilState(serial, state string) {
	g.t.Helper()
	g.until(serial+" is "+state, func() bool { return g.device(serial).State == state })
}

// enrolled lists a device and sets it up over the sign-in page.
func (g *googled) enrolled(serial string, change ...func(*simamapi.Hardware)) *simamapi.Device {
	g.t.Helper()
	g.listed(serial)
	d := g.droid(serial, change...)
	g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
	g.untilState(serial, "enrolled")
	return d
}

// TestGoogleStraight is the way of a listed device over the sign-in page to its
// policy, of a stranger who is refused there, and of commands up to the wipe.
func TestGoogleStraight(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		g.listed("R58N00000A1")
		g.document("Basics", object{"restrictions": object{"camera": "deny", "nfc": "deny", "factory_reset": "deny"}, "lock_message": "Property of Example"})
		g.bind("Basics", object{"serial": "R58N00000A1"})
		d := g.droid("R58N00000A1", func(h *simamapi.Hardware) { h.APILevel = 34 })
		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		admitted := g.decided("R58N00000A1", enroll.AllowListed)
		g.check("the serial is Google's word", admitted.Evidence == "signed" && admitted.Channel == "amapi", admitted)
		g.untilState("R58N00000A1", "enrolled")
		r := g.acknowledged("R58N00000A1")
		g.check("it was decided once", len(g.decisions("R58N00000A1")) == 1, g.decisions("R58N00000A1"))
		g.check("the device has its policy", d.State().Policy["cameraAccess"] == "CAMERA_ACCESS_DISABLED", d.State().Policy)
		complains := func(pointer, state string) bool {
			for _, n := range r.Notes {
				if n.Pointer == pointer && n.State == state {
					return true
				}
			}
			return false
		}
		g.check("what the system is too old for is told", complains("/restrictions/nfc", "unsupported"), r.Notes)
		g.check("what Google did not allow the project is told", complains("/restrictions/factory_reset", "failed"), r.Notes)
		g.check("the device is known", g.device("R58N00000A1").Facts != nil && g.device("R58N00000A1").Facts.Model == "Pixel 10", g.device("R58N00000A1"))

		stranger := g.droid("R58N00000B1")
		err := stranger.Setup(g.ctx, g.ways["fully_managed"])
		g.check("a stranger is sent away", errors.Is(err, simamapi.ErrRefused), err)
		g.decided("R58N00000B1", enroll.DenyNotPreEnrolled)
		g.check("and is not managed", !stranger.State().Managed)

		g.check("the lock is acknowledged", g.done("R58N00000A1", g.command("R58N00000A1", "lock", nil)).State == "acknowledged")
		d.Fail("REBOOT", "UNSUPPORTED")
		failed := g.done("R58N00000A1", g.command("R58N00000A1", "reboot", nil))
		g.check("Google's word is the error", failed.State == "failed" && failed.Error == "UNSUPPORTED", failed)
		g.check("lost mode", g.done("R58N00000A1", g.command("R58N00000A1", "start_lost_mode", object{"message": "Call us"})).State == "acknowledged" && d.State().Lost)
		g.check("and its end", g.done("R58N00000A1", g.command("R58N00000A1", "stop_lost_mode", nil)).State == "acknowledged")
		g.check("a passcode", g.done("R58N00000A1", g.command("R58N00000A1", "reset_passcode", object{"passcode": "748291"})).State == "acknowledged")
		wiped := g.done("R58N00000A1", g.command("R58N00000A1", "wipe", object{"external_storage": true}))
		g.check("the wipe is acknowledged", wiped.State == "acknowledged", wiped)
		g.untilState("R58N00000A1", "unenrolled")
		g.check("the device is reset", d.State().Resets == 1 && !d.State().Managed, d.State())

		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		g.untilState("R58N00000A1", "enrolled")
		g.acknowledged("R58N00000A1")
	})
}
