package stage

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/enroll"
	"rollcall/sim/iphone"
)

// TestHeldDevicesGoOn: a stranger waits, the admin decides, and the phone goes
// on by trying again.
func TestHeldDevicesGoOn(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.admin(http.MethodPut, "/settings/enrollment-restrictions", object{"pre_enrolled_devices_only": "enforce", "unlisted_devices": "hold"}, nil)
		person := enroll.HoldPendingApproval.Reason().Person
		for n, way := range arrivals {
			if way.request {
				continue
			}
			p.scene(way.name, func(p *play) {
				serial := "HELD0000000" + string(rune('A'+n))
				ph := p.phone(serial)
				before := p.issued()
				refused := ph.turnedAway(ph.Install(p.ctx, way.download(p, "")))
				after := p.issued()
				p.check("403 with the words for the person", refused.Status == http.StatusForbidden && strings.Contains(refused.Text+refused.Message, person), refused)
				if way.channel == "ota" {
					before.devices++ // the row that waits
					p.check("nothing was issued", before == after, before, after)
				}
				p.decided(serial, enroll.HoldPendingApproval)
				p.check("it waits", p.device(serial).State == "pending_approval")
				p.admin(http.MethodPost, "/approvals/"+serial+"/approve", nil, nil)
				ph.install(way.download(p, ""))
				p.check("it is enrolled", ph.Enrolled() && p.device(serial).State == "enrolled")
				p.decided(serial, enroll.AllowApproved)
			})
		}

		added := p.phone("ADDED0000001")
		added.turnedAway(added.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		p.admin(http.MethodPost, "/approvals/ADDED0000001/approve-and-add", object{"ownership": "corporate"}, nil)
		added.enroll(p.url + "/enroll")
		p.decided("ADDED0000001", enroll.AllowListed)

		rejected := p.phone("REJECTED0001")
		rejected.turnedAway(rejected.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		p.admin(http.MethodPost, "/approvals/REJECTED0001/reject", nil, nil)
		rejected.turnedAway(rejected.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		p.decided("REJECTED0001", enroll.DenyNotPreEnrolled)
		p.check("it has no row", p.unknown("REJECTED0001"))
	})
}

// TestRepairedSerial: a typing error on the roll is found at the gate and
// corrected by the refusal.
func TestRepairedSerial(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.roll("C39XK1ABCDO1", object{"name": "Desk 4"})
		ph := p.phone("C39XK1ABCD01")
		ph.turnedAway(ph.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		var d struct {
			NearMisses []enroll.NearMiss `json:"near_misses"`
		}
		id := p.decided("C39XK1ABCD01", enroll.DenyNotPreEnrolled).ID
		p.admin(http.MethodGet, "/decisions/"+id, nil, &d)
		p.check("the row that was meant", len(d.NearMisses) == 1 && d.NearMisses[0].Serial == "C39XK1ABCDO1", d)
		p.admin(http.MethodPost, "/decisions/"+id+"/repair", object{"serial": d.NearMisses[0].Serial}, nil)
		ph.enroll(p.url + "/enroll")
		p.check("it is enrolled", p.device("C39XK1ABCD01").State == "enrolled")
	})
}

// TestSystemVersionIsAskedAtTheEnd: over the air the version is told with
// Authenticate only; the gate asks again there.
func TestSystemVersionIsAskedAtTheEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("OLDPHONE0002")
		p.admin(http.MethodPut, "/gate/rules/new%20systems", object{"action": "deny", "conditions": object{"os_minimum": "99"}}, nil)
		ph := p.phone("OLDPHONE0002")
		refused := ph.turnedAway(ph.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		p.check("Apple's code for a device that is not wanted", refused.Code == "com.apple.unrecognized.device" && refused.Message == enroll.DenyOSVersion.Reason().Person, refused)
		d := p.decided("OLDPHONE0002", enroll.DenyOSVersion)
		var told struct{ Trace []enroll.Step }
		p.admin(http.MethodGet, "/decisions/"+d.ID, nil, &told)
		p.check("the trace names the rule", slices.ContainsFunc(told.Trace, func(s enroll.Step) bool { return s.Check == "rule new systems" && s.Result == "fail" }), told)
		p.check("no enrollment began", p.rows("enrollments", "") == 0)
	})
}
