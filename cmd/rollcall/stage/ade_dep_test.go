package stage

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	simdep "rollcall/sim/dep"
	"rollcall/sim/iphone"
)

// startCloud starts Apple's service for device enrollment, and gives the options
// of a server that uses it.
func startCloud(t *testing.T) (*simdep.Cloud, func(*app.Options)) {
	t.Helper()
	cloud := simdep.New(simdep.Options{})
	if err := cloud.Start("127.0.0.1:0", apple); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	roots := filepath.Join(t.TempDir(), "dep.pem")
	if err := os.WriteFile(roots, pemOf(apple.PushCA()), 0o600); err != nil {
		t.Fatal(err)
	}
	return cloud, func(o *app.Options) { o.DEPURL, o.DEPRoots = cloud.URL(), roots }
}

// startWithDEP sets the stage with that service.
func startWithDEP(t *testing.T, dsn string) (*play, *simdep.Cloud) {
	t.Helper()
	cloud, listed := startCloud(t)
	return start(t, dsn, func(o *Options) { o.Change = listed }), cloud
}

// depAccountOf makes an account with devices and a profile, and waits until
// each device has that profile at Apple.
func (p *play) depAccountOf(cloud *simdep.Cloud, name string, preEnrolled bool, profile object, devices ...simdep.Device) {
	p.t.Helper()
	server, err := cloud.AddAccount(name)
	p.must(err)
	p.must(server.AddDevices(devices...))
	var a depAccount
	p.admin(http.MethodPost, "/dep/accounts", object{"name": name, "add_as_pre_enrolled": preEnrolled, "default": object{"group": name}}, &a)
	file, err := server.TokenFile([]byte(a.Certificate))
	p.must(err)
	p.admin(http.MethodPut, "/dep/accounts/"+name+"/token", Raw{"application/pkcs7-mime", file}, nil)
	p.admin(http.MethodPut, "/dep/accounts/"+name+"/profiles/Standard", profile, nil)
	p.admin(http.MethodPatch, "/dep/accounts/"+name, object{"default": object{"group": name, "profile": "Standard"}}, nil)
	p.until("every device has its profile", func() bool {
		for _, d := range devices {
			if s, _ := cloud.Device(d.Serial); s.ProfileStatus != simdep.ProfileAssigned {
				return false
			}
		}
		return true
	})
}

// unboxed is a device that asks Apple where to enroll.
func (p *play) unboxed(cloud *simdep.Cloud, serial string) (*phone, iphone.CloudConfiguration) {
	p.t.Helper()
	found, ok := cloud.Activate(serial)
	if !ok {
		p.t.Fatalf("Apple has no profile for %s", serial)
	}
	anchor := base64.StdEncoding.EncodeToString(p.App.Authority().Certificate().Raw)
	p.check("the profile pins this server", len(found.AnchorCerts) == 1 && found.AnchorCerts[0] == anchor)
	return p.phone(serial, func(c *iphone.Config) { c.Product = "iPad16,3" }), iphone.CloudConfiguration{URL: found.URL,
		ConfigurationWebURL: found.ConfigurationWebURL, AwaitDeviceConfigured: found.AwaitDeviceConfigured, ReturnToService: found.IsReturnToService}
}

// TestADEFromBox is the whole way: an iPad that is on the roll only through
// DEP, waits in Setup Assistant until its policy is in; a device of an account
// without "Add as Pre-enrolled Device" is refused.
func TestADEFromBox(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		p, cloud := startWithDEP(t, dsn)
		p.restrict(enroll.ModeEnforce)
		devices := simdep.Fixture("BOX", 4)
		p.depAccountOf(cloud, "Berlin", true, object{"settings": object{"await_device_configured": true}}, devices[:2]...)
		p.depAccountOf(cloud, "Hamburg", false, object{"settings": object{}}, devices[2])
		p.depAccountOf(cloud, "Web", true, object{"settings": object{"is_return_to_service": true}, "authentication": "request"}, devices[3])
		p.policy("School", wifi("school"))
		p.bind("School", object{"group": "Berlin"})

		serial := devices[1].Serial
		var row struct {
			ShownName string `json:"shown_name"`
			State     string
		}
		p.admin(http.MethodGet, "/devices/"+serial, nil, &row)
		p.check("DEP_device before", row.ShownName == "DEP_device" && row.State == "pre_enrolled", row)
		ipad, c := p.unboxed(cloud, serial)
		ipad.activate(c)
		p.acknowledged(serial)
		ipad.want("to be released, with its policy", func(ph *iphone.Phone) bool { return !ph.Awaiting() && has(ph, "school") })
		var decided struct {
			Trace []struct{ Check, Result string }
		}
		p.admin(http.MethodGet, "/decisions/"+p.decided(serial, enroll.AllowListed).ID, nil, &decided)
		p.check("the trace says that DEP lists it", decided.Trace[0].Check == "DEP" && decided.Trace[0].Result == "pass", decided)

		other, c := p.unboxed(cloud, devices[2].Serial)
		other.turnedAway(other.SetupAssistant(p.ctx, c))
		p.decided(devices[2].Serial, enroll.DenyNotPreEnrolled)

		web, c := p.unboxed(cloud, devices[3].Serial)
		c.Choice = typing(p.code(p.invite(devices[3].Serial)))
		web.activate(c)
		web.want("to be released from Setup Assistant", func(ph *iphone.Phone) bool { return !ph.Awaiting() })
		p.decided(devices[3].Serial, enroll.AllowListed)
	})
}

// TestADEAwayFromDEP: a device that was released in Apple's portal has the old
// profile still, and one that moved has it of another account: the roll decides,
// and the trace says what DEP knows.
func TestADEAwayFromDEP(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		p, cloud := startWithDEP(t, dsn)
		p.restrict(enroll.ModeEnforce)
		devices := simdep.Fixture("AWAY", 2)
		p.depAccountOf(cloud, "Old", true, object{"settings": object{}}, devices[0])
		p.depAccountOf(cloud, "New", true, object{"settings": object{}}, devices[1])
		_, old := p.unboxed(cloud, devices[0].Serial)
		moved, _ := p.unboxed(cloud, devices[1].Serial)
		moved.activate(old)
		var decided struct {
			Trace []struct{ Check, Result, Detail string }
		}
		p.admin(http.MethodGet, "/decisions/"+p.decided(devices[1].Serial, enroll.AllowListed).ID, nil, &decided)
		p.check("another account lists it", decided.Trace[0].Check == "DEP" && decided.Trace[0].Result == "warn", decided)

		released := p.phone(devices[0].Serial)
		p.must(cloud.Release(devices[0].Serial))
		p.until("the release is known", func() bool {
			p.clock.advance(2 * time.Hour)
			p.admin(http.MethodPost, "/dep/accounts/Old/sync", nil, nil)
			return p.unknown(devices[0].Serial)
		})
		released.turnedAway(released.SetupAssistant(p.ctx, old))
		p.admin(http.MethodGet, "/decisions/"+p.decided(devices[0].Serial, enroll.DenyNotPreEnrolled).ID, nil, &decided)
		p.check("no account lists it", decided.Trace[0].Check == "DEP" && decided.Trace[0].Result == "warn", decided)
	})
}
