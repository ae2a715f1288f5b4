package stage

import (
	"net/http"
	"testing"

	"rollcall/mdm"
)

// TestDisenrollByForce takes a device out of management by itself and by force, and
// lets it come back into the group its rule puts it in.
func TestDisenrollByForce(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.policy("enrolled only", wifi("Office"))
		p.admin(http.MethodPost, "/groups", object{"name": "enrolled", "rule": object{"conditions": []object{{"field": "state", "values": []string{"enrolled"}}}}}, nil)
		p.bind("enrolled only", object{"group": "enrolled"})
		p.roll("DISENROLL001")
		ph := p.phone("DISENROLL001").enroll(p.url + "/enroll")
		p.acknowledged("DISENROLL001")
		p.check("the rule group brought its policy", len(ph.InstalledProfiles()) > 1, ph.InstalledProfiles())

		var left struct {
			CommandID string `json:"command_id"`
		}
		p.admin(http.MethodPost, "/devices/DISENROLL001/disenroll", object{}, &left)
		p.until("the device has left", func() bool { return p.device("DISENROLL001").State == "unenrolled" })
		p.until("the profile is gone", func() bool { _, there := ph.InstalledProfiles()[mdm.EnrollmentIdentifier]; return !there })
		p.check("the removal can still be read", p.commandOf("DISENROLL001", left.CommandID).RequestType == "RemoveProfile")

		ph.enroll(p.url + "/enroll")
		p.acknowledged("DISENROLL001")
		p.admin(http.MethodPost, "/devices/DISENROLL001/disenroll", object{"force": true}, nil)
		p.check("force needs no device", p.device("DISENROLL001").State == "unenrolled", p.device("DISENROLL001"))
		p.check("nothing is open", p.rows("commands", "finished_at = 0") == 0 && p.rows("pushes", "") == 0)
	})
}
