package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/android/amapi"
	"rollcall/android/google"
	"rollcall/enroll"
	simamapi "rollcall/sim/amapi"
)

// gates changes the settings of modes.
func (g *googled) gates(settings object) {
	g.t.Helper()
	g.admin(http.MethodPut, "/android/enterprise", object{"settings": settings}, nil)
	g.readWays()
}

// bound makes a token for a row and gives its link and QR code.
func (g *googled) bound(serial, mode string) (link, qr string) {
	g.t.Helper()
	var out struct {
		Link   string
		QRCode string `json:"qr_code"`
	}
	g.admin(http.MethodPost, "/android/enterprise/tokens", object{"serial": serial, "mode": mode}, &out)
	return out.Link, out.QRCode
}

// recheckAfter is when devices in quarantine are looked at again.
const recheckAfter = 2 * time.Minute

func (g *googled) untilRecord(what, serial, state string) (r googleDevice) {
	g.t.Helper()
	g.until(what, func() bool {
		r = g.record(serial)
		return r.State == state
	})
	return r
}

// TestGoogleImpossibleSettings are refused with the reason: decision table of
// docs/android.md.
func TestGoogleImpossibleSettings(t *testing.T) {
	withGoogle(t, func(g *googled) {
		for mode, settings := range map[string]object{
			"personal by serial at sign-in": {"work_profile_personal": object{"gate": "sign_in", "refused": "remove"}},
			"personal by serial afterwards": {"work_profile_personal": object{"gate": "notification", "refused": "remove"}},
			"personal in quarantine":        {"work_profile_personal": object{"gate": "token", "refused": "quarantine"}},
			"a sign-in page without a user": {"dedicated": object{"gate": "sign_in", "refused": "quarantine"}},
			"no such mode":                  {"kiosk": object{"gate": "off", "refused": "remove"}},
		} {
			err := g.API(g.ctx, http.MethodPut, "/android/enterprise", object{"settings": settings}, nil)
			var problem *Problem
			g.check(mode+" is refused with a reason", errors.As(err, &problem) && problem.Status == http.StatusUnprocessableEntity && strings.HasPrefix(problem.Code, "amapi_") && problem.Detail != "", err)
		}
		g.roll("IOSROW000001")
		g.refused(http.StatusConflict, "not_android", http.MethodPost, "/android/enterprise/tokens", object{"serial": "IOSROW000001", "mode": "fully_managed"})
		g.listed("ANDROIDROW01")
		g.refused(http.StatusConflict, "amapi_mode_off", http.MethodPost, "/android/enterprise/tokens", object{"serial": "ANDROIDROW01", "mode": "dedicated"})
		g.refused(http.StatusConflict, "amapi_mode_ownership", http.MethodPost, "/android/enterprise/tokens", object{"serial": "ANDROIDROW01", "mode": "work_profile_personal"})
	})
}

// TestGoogleByIMEI: a row is found by its IMEI where its serial is mistyped.
func TestGoogleByIMEI(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		g.roll("MISTYPED0001", object{"platform": "android", "facts": object{"imei": "490154203237518"}})
		d := g.droid("CORRECT00001", func(h *simamapi.Hardware) { h.IMEI = "490154203237518" })
		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		g.untilState("MISTYPED0001", "enrolled")
	})
}

// TestGooglePersonal: of a personal device Google tells no serial, so it comes
// with a token that is bound to its row, or not at all.
func TestGooglePersonal(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		g.roll("PERSONAL0001", object{"platform": "android", "ownership": "personal"})
		link, _ := g.bound("PERSONAL0001", "work_profile_personal")
		d := g.droid("NOBODYKNOWS1")
		g.must(d.Setup(g.ctx, link))
		g.untilState("PERSONAL0001", "enrolled")
		g.check("the token is the evidence", g.decided("PERSONAL0001", enroll.AllowListed).Evidence == "token")
		other := g.droid("NOBODYKNOWS2")
		err := other.Setup(g.ctx, link)
		g.check("a token is good once", errors.Is(err, simamapi.ErrToken), err)

		// A token from elsewhere makes no row.
		token := g.foreignToken("PERSONAL_USAGE_ALLOWED")
		third := g.droid("NOBODYKNOWS3")
		g.must(third.Setup(g.ctx, "https://enterprise.google.com/android/enroll?et="+token))
		g.until("the work profile is removed", func() bool { return third.State().Resets == 1 })
		g.check("the personal device is shown as removed", slices.ContainsFunc(g.records(), func(r googleDevice) bool {
			return r.Code == string(enroll.DenyTokenUnknown) && (r.State == "removed" || r.State == "gone")
		}), g.records())
		g.command("PERSONAL0001", "lock", nil)
		g.refused(http.StatusConflict, "command_mode", http.MethodPost, "/devices/PERSONAL0001/commands", object{"request_type": "reboot"})
		g.admin(http.MethodPost, "/devices/PERSONAL0001/disenroll", nil, nil)
		g.untilState("PERSONAL0001", "unenrolled")
		g.check("the profile is gone", !d.State().Managed)
	})
}

// foreignToken is one that somebody made past this server.
func (g *googled) foreignToken(usage string) string {
	g.t.Helper()
	file, err := g.cloud.ServiceAccountKey()
	g.must(err)
	key, err := google.ParseServiceAccount(file)
	g.must(err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := amapi.NewClient(g.cloud.URL(), google.NewTokenSource(key, amapi.ManagementScope, &http.Client{Transport: transport}, nil), transport, key.ProjectID, nil, nil)
	token, err := client.CreateToken(g.ctx, g.enterprise, amapi.EnrollmentToken{AllowPersonalUsage: usage, Duration: "3600s"})
	g.must(err)
	return token.Value
}

// TestGoogleQuarantine: what enrolled past the sign-in page is held until an
// admin admits or removes it.
func TestGoogleQuarantine(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		g.gates(object{"fully_managed": object{"gate": "notification", "refused": "quarantine"}})
		g.check("no way leads to the sign-in page", g.ways["fully_managed"] == "", g.ways)
		token := g.foreignToken("PERSONAL_USAGE_DISALLOWED")
		for _, serial := range []string{"UNKNOWN00001", "UNKNOWN00002", "UNKNOWN00003"} {
			g.must(g.droid(serial).Setup(g.ctx, token))
			held := g.untilRecord("quarantine of "+serial, serial, "quarantined")
			g.check("it says why", held.Code == string(enroll.DenyNotPreEnrolled), held)
			g.check("it can do next to nothing", g.cloud.Device(serial).State().Policy["kioskCustomLauncherEnabled"] == true)
		}
		g.admin(http.MethodPost, "/android/enterprise/devices/"+g.record("UNKNOWN00001").ID+"/approve", nil, nil)
		g.untilState("UNKNOWN00001", "enrolled")
		g.acknowledged("UNKNOWN00001")
		g.check("the quarantine is over", g.cloud.Device("UNKNOWN00001").State().Policy["kioskCustomLauncherEnabled"] == nil)
		g.refused(http.StatusUnprocessableEntity, "amapi_remove_unconfirmed", http.MethodPost, "/android/enterprise/devices/"+g.record("UNKNOWN00002").ID+"/remove", object{"confirm": "yes"})
		g.admin(http.MethodPost, "/android/enterprise/devices/"+g.record("UNKNOWN00002").ID+"/remove", object{"confirm": "wipe"}, nil)
		g.until("the device is wiped", func() bool { return g.cloud.Device("UNKNOWN00002").State().Resets == 1 })
		// A row that is put on the roll by itself admits the third.
		g.listed("UNKNOWN00003")
		g.clock.advance(recheckAfter)
		g.untilState("UNKNOWN00003", "enrolled")

		g.gates(object{"fully_managed": object{"gate": "notification", "refused": "remove"}})
		stranger := g.droid("UNKNOWN00004")
		g.must(stranger.Setup(g.ctx, token))
		g.until("a stranger is wiped at once", func() bool { return stranger.State().Resets == 1 })
	})
}

// TestGoogleCarriedToken: the token of the sign-in page stands in a URL, and can
// be carried to another device. That one is not admitted.
func TestGoogleCarriedToken(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		g.listed("HONEST000001")
		_, qr := g.bound("HONEST000001", "fully_managed")
		thief := g.droid("THIEF0000001")
		g.must(thief.Setup(g.ctx, qr))
		held := g.untilRecord("the other device is held", "THIEF0000001", "quarantined")
		g.check("for its identity", held.Code == string(enroll.DenyTokenSerialMismatch), held)
		g.check("the row is untouched", g.device("HONEST000001").State == "pre_enrolled", g.device("HONEST000001"))
		g.refused(http.StatusConflict, "amapi_not_approvable", http.MethodPost, "/android/enterprise/devices/"+held.ID+"/approve", nil)
	})
}

// TestGoogleStrangeNotifications: forged, of another enterprise, of another type,
// malformed: nothing of it enrolls anybody, and nothing stays in the queue.
func TestGoogleStrangeNotifications(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.listed("INNOCENT0001")
		topic, subscription := "projects/"+g.cloud.Project()+"/topics/rollcall", "projects/"+g.cloud.Project()+"/subscriptions/rollcall"
		device := func(name, serial string) []byte {
			b, err := json.Marshal(object{"name": name, "managementMode": "DEVICE_OWNER", "ownership": "COMPANY_OWNED", "state": "ACTIVE", "hardwareInfo": object{"serialNumber": serial}})
			g.must(err)
			return b
		}
		g.cloud.Publish(topic, "ENROLLMENT", device("enterprises/LCother/devices/1", "INNOCENT0001"))
		g.cloud.Publish(topic, "ENROLLMENT", []byte(`{"name":`))
		g.cloud.Publish(topic, "STATUS_REPORT", []byte(`[]`))
		g.cloud.Publish(topic, "COMMAND", []byte(`{"name":"enterprises/LCother/devices/1/operations/2","done":true}`))
		g.cloud.Publish(topic, "USAGE_LOGS", []byte(`{}`))
		g.cloud.Publish(topic, "test", nil)
		var poison struct {
			Items []struct{ ID, Type, Problem string }
		}
		g.until("the poison is shown", func() bool {
			g.admin(http.MethodGet, "/android/enterprise/poison", nil, &poison)
			return len(poison.Items) == 4
		})
		g.until("everything is acknowledged", func() bool { return g.cloud.Unacknowledged(subscription) == 0 })

		g.admin(http.MethodPut, "/android/enterprise", object{"delivery": "push", "push_account": "pusher@" + g.cloud.Project() + ".iam.gserviceaccount.com"}, nil)
		body := device(g.enterprise+"/devices/1", "INNOCENT0001")
		for _, f := range simamapi.Forgeries {
			status, err := g.cloud.ForgePush(g.ctx, subscription, f, "ENROLLMENT", body)
			g.check(fmt.Sprintf("a push with %s is refused", f), err == nil && status == http.StatusUnauthorized, status, err)
		}
		g.check("nobody enrolled", g.device("INNOCENT0001").State == "pre_enrolled", g.device("INNOCENT0001"))
		d := g.droid("INNOCENT0002")
		g.listed("INNOCENT0002")
		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		g.untilState("INNOCENT0002", "enrolled") // by a push that is good
		g.must(g.cloud.RotateKeys())
		g.clock.advance(recheckAfter)
		g.acknowledged("INNOCENT0002")
		g.check("commands come by push as well", g.done("INNOCENT0002", g.command("INNOCENT0002", "lock", nil)).State == "acknowledged")
	})
}

// TestGoogleTokensHandedOut: a token that was handed out does not outlive its
// mode or its time here.
func TestGoogleTokensHandedOut(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		g.listed("HANDEDOUT001")
		_, qr := g.bound("HANDEDOUT001", "fully_managed")
		g.gates(object{"fully_managed": object{"gate": "off", "refused": "quarantine"}})
		g.must(g.droid("HANDEDOUT001").Setup(g.ctx, qr))
		held := g.untilRecord("the mode is off", "HANDEDOUT001", "quarantined")
		g.check("it says why", held.Code == string(enroll.DenyChannel), held)
		g.check("the row is untouched", g.device("HANDEDOUT001").State == "pre_enrolled", g.device("HANDEDOUT001"))
	})
}

// TestGoogleOtherPlatform: approving a device does not make another platform's
// row its own.
func TestGoogleOtherPlatform(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		g.gates(object{"fully_managed": object{"gate": "notification", "refused": "quarantine"}})
		token := g.foreignToken("PERSONAL_USAGE_DISALLOWED")
		for _, serial := range []string{"SAMESERIAL01", "SAMESERIAL02"} {
			if serial == "SAMESERIAL01" {
				g.roll(serial, object{"platform": "ios"})
			}
			g.must(g.droid(serial).Setup(g.ctx, token))
			g.untilRecord("quarantine of "+serial, serial, "quarantined")
		}
		g.refused(http.StatusConflict, "amapi_not_approvable", http.MethodPost, "/android/enterprise/devices/"+g.record("SAMESERIAL01").ID+"/approve", nil)
		g.roll("SAMESERIAL02", object{"platform": "ios"}) // after the device
		g.refused(http.StatusConflict, "not_android", http.MethodPost, "/android/enterprise/devices/"+g.record("SAMESERIAL02").ID+"/approve", nil)
		for _, serial := range []string{"SAMESERIAL01", "SAMESERIAL02"} {
			g.check("the row is untouched", g.device(serial).State == "pre_enrolled", g.device(serial))
		}
	})
}

// TestGoogleReplaced: what Google still tells of a device under the name that it
// had before does not end the enrollment that it has now.
func TestGoogleReplaced(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.restrict(enroll.ModeEnforce)
		d := g.enrolled("REPLACED0001")
		before := g.record("REPLACED0001").ID
		g.done("REPLACED0001", g.command("REPLACED0001", "wipe", nil))
		g.untilState("REPLACED0001", "unenrolled")
		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		g.untilState("REPLACED0001", "enrolled")
		now := g.record("REPLACED0001")
		report, err := json.Marshal(object{"name": g.enterprise + "/devices/" + before, "managementMode": "DEVICE_OWNER", "ownership": "COMPANY_OWNED", "state": "ACTIVE",
			"hardwareInfo": object{"serialNumber": "REPLACED0001"}})
		g.must(err)
		g.cloud.Publish("projects/"+g.cloud.Project()+"/topics/rollcall", "STATUS_REPORT", report)
		g.until("the old name is refused", func() bool { return g.decisions("REPLACED0001")[0].Code == string(enroll.DenyIdentityConflict) })
		after := g.record("REPLACED0001")
		g.check("the enrollment stays", after.ID == now.ID && after.State == "enrolled" && g.device("REPLACED0001").State == "enrolled", now, after)
	})
}
