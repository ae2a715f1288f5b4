package stage

import (
	"net/http"
	"os"
	"slices"
	"testing"

	"rollcall/enroll"
	"rollcall/sim/iphone"
)

// TestStraightWay is the product in one play: a CSV file, a policy bound to a
// group, an invitation, an iPhone, its policy; and a stranger.
func TestStraightWay(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial, stranger = "SAMPLE0IPHONE1", "STRANGER0001"
		file, err := os.ReadFile("../../../testdata/csv/sample.csv")
		p.must(err)
		var report struct {
			State  string
			Counts enroll.ImportCounts
		}
		p.admin(http.MethodPost, "/imports?domain=local&apply=true&file_name=sample.csv", Raw{"text/csv", file}, &report)
		p.check("5 rows are new", report.State == "applied" && report.Counts.Rows == 5 && report.Counts.New == 5, report)

		p.group("Everybody", serial)
		p.policy("Basics", passcode(6), wifi("office"), restrictions("limits"))
		p.bind("Basics", object{"group": "Everybody"})
		p.restrict(enroll.ModeEnforce)

		r := p.invite(serial)
		d := p.device(serial)
		p.check("the row is invited, with a banner and no facts", d.State == "invited" && d.Banner == "Pre enrolled Device" && d.Facts == nil, d)

		ph := p.phone(serial, supervised).enroll(r.Link)
		dec := p.decided(serial, enroll.AllowListed)
		p.check("over the air, with a signed serial, for the request", dec.Channel == "ota" && dec.Evidence == "signed" && dec.RequestID == r.ID, dec)

		got := p.acknowledged(serial)
		p.check("six items", len(got.Items) == 6, got.Items)
		p.check("the receipt has times", got.TimeToPolicy > 0 && got.CompletedAt.After(got.EnrolledAt), got)
		for _, i := range got.Items {
			p.check(i.Key+" was queued, then sent, then answered, once",
				!i.QueuedAt.IsZero() && !i.SentAt.Before(i.QueuedAt) && !i.FinishedAt.Before(i.SentAt) && i.Attempts == 1, i)
		}
		p.check("the phone has its profiles", hasAll("passcode", "office", "limits")(ph.Phone), ph.InstalledProfiles())
		p.check("and its name", ph.DeviceName() == "Anna's iPhone", ph.DeviceName())
		p.check("it was pushed", ph.Pushes() > 0)
		want := []string{"DeviceInformation", "SecurityInfo", "Settings", "InstallProfile", "InstallProfile", "InstallProfile"}
		p.check("commands come in the order of a first check-in", slices.Equal(ph.CommandsSeen(), want), ph.CommandsSeen())
		p.check("the request is completed", p.request(r.ID).State == "completed", p.request(r.ID))
		d = p.device(serial)
		p.check("the row is enrolled, shows facts and no banner",
			d.State == "enrolled" && d.Banner == "" && d.Facts != nil && d.Facts.UDID == ph.UDID() && d.Facts.Product == "iPhone17,2", d)

		p.refusesStranger(stranger, enroll.DenyNotPreEnrolled)
	})
}

// refusesStranger sends a phone to the general page and wants that it leaves
// nothing but a decision.
func (p *play) refusesStranger(serial string, code enroll.Code) {
	p.t.Helper()
	before := p.issued()
	ph := p.phone(serial)
	refused := ph.turnedAway(ph.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
	p.check("the refusal is a 403 with a sentence", refused.Status == http.StatusForbidden && refused.Text == code.Reason().Person, refused)
	p.decided(serial, code)
	after := p.issued()
	p.check("nothing was issued", before == after, before, after)
	p.check("there is no row", p.unknown(serial))
}

// TestModes walks Pre-enrolled Devices Only through its three modes (F14-F16).
func TestModes(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.policy("Basics", passcode(6))

		p.restrict(enroll.ModeOff)
		off := p.phone("OPENDOOR0001").enroll(p.url + "/enroll")
		d := p.decided("OPENDOOR0001", enroll.AllowOpen)
		p.check("off: nothing would have been enforced", d.Enforced == string(enroll.AllowOpen), d)
		p.bind("Basics", object{"serial": "OPENDOOR0001"})
		off.want("the passcode profile", hasAll("passcode"))

		p.restrict(enroll.ModeAudit)
		p.phone("OPENDOOR0002").enroll(p.url + "/enroll")
		d = p.decided("OPENDOOR0002", enroll.AllowOpen)
		p.check("audit: enforcing would have refused", d.Enforced == string(enroll.DenyNotPreEnrolled), d)

		p.restrict(enroll.ModeEnforce)
		p.refusesStranger("OPENDOOR0003", enroll.DenyNotPreEnrolled)

		// Those who are in stay in, with everything.
		p.policy("Basics", passcode(8))
		id := p.command("OPENDOOR0002", "DeviceInformation", object{"Queries": []string{"SerialNumber"}})
		p.check("an enrolled device still obeys", p.done("OPENDOOR0002", id).State == "acknowledged")
		off.want("the new passcode policy", func(ph *iphone.Phone) bool { return minLength(ph) == 8 })
		p.must(off.SendTokenUpdate(p.ctx))

		// Having been let in once does not put a device on the roll.
		p.must(off.Erase(p.ctx))
		off.turnedAway(off.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		p.decided("OPENDOOR0001", enroll.DenyNotPreEnrolled)
	})
}

// minLength is what the passcode profile on a phone asks for; 0 without one.
func minLength(ph *iphone.Phone) int {
	for identifier := range ph.InstalledProfiles() {
		if d, ok := ph.ProfilePayload(identifier, "com.apple.mobiledevice.passwordpolicy"); ok {
			n, _ := d["minLength"].(int64)
			return int(n)
		}
	}
	return 0
}
