package stage

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"rollcall/enroll"
	simamapi "rollcall/sim/amapi"
)

func (g *googled) spoil(f simamapi.Fault, call string, times int) {
	g.t.Helper()
	g.must(g.cloud.Spoil(f.On(call, times)))
}

func (g *googled) spoilMessages(kind simamapi.MessageFaultKind, of string, times int) {
	g.t.Helper()
	g.must(g.cloud.SpoilMessages(simamapi.MessageFault{Kind: kind, Type: of, Times: times}))
}

// TestGoogleSignInFailsClosed: while Google or the quota does not answer, nobody
// gets a token.
func TestGoogleSignInFailsClosed(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.listed("CLOSED000001")
		for _, f := range []simamapi.Fault{simamapi.Unavailable(), simamapi.Internal(), {Kind: simamapi.Drop}} {
			d := g.droid(fmt.Sprintf("CLOSED%06d", 100+len(g.cloud.Calls())+int(time.Now().UnixNano()%100000)))
			g.spoil(f, "provisioningInfo.get", 0)
			err := d.Setup(g.ctx, g.ways["fully_managed"])
			g.check("the page asks to try again", errors.Is(err, simamapi.ErrSignIn), err)
			g.cloud.Heal()
		}
		made := g.droid("CLOSED000001")
		g.spoil(simamapi.NotFound500(), "provisioningInfo.get", 1)
		err := made.Setup(g.ctx, g.ways["fully_managed"])
		g.check("what Google does not know is refused", errors.Is(err, simamapi.ErrRefused), err)
		// A token whose answer was lost is not used; the next visit makes another.
		g.spoil(simamapi.Fault{Kind: simamapi.Lose}, "enterprises.enrollmentTokens.create", 1)
		err = made.Setup(g.ctx, g.ways["fully_managed"])
		g.check("no token without an answer", errors.Is(err, simamapi.ErrSignIn), err)
		g.must(made.Setup(g.ctx, g.ways["fully_managed"]))
		g.untilState("CLOSED000001", "enrolled")
	})
}

// TestGoogleNotificationsOutOfOrder: duplicates, disorder and messages that are
// late neither enroll nor unenroll the wrong device.
func TestGoogleNotificationsOutOfOrder(t *testing.T) {
	withGoogle(t, func(g *googled) {
		for i, kind := range []simamapi.MessageFaultKind{simamapi.Duplicate, simamapi.Republish, simamapi.Redeliver, simamapi.Reorder} {
			serial := fmt.Sprintf("ORDER%07d", i)
			g.spoilMessages(kind, "ENROLLMENT", 1)
			g.enrolled(serial)
			g.acknowledged(serial)
			g.check("it was decided once", len(g.decisions(serial)) == 1, g.decisions(serial))
		}
		// The report of a device's end that comes after its next enrollment.
		d := g.cloud.Device("ORDER0000000")
		g.spoilMessages(simamapi.Reorder, "STATUS_REPORT", 1)
		g.done("ORDER0000000", g.command("ORDER0000000", "wipe", nil))
		g.untilState("ORDER0000000", "unenrolled")
		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		g.cloud.ReleaseMessages()
		g.untilState("ORDER0000000", "enrolled")
		g.acknowledged("ORDER0000000")
		g.check("it is enrolled still", g.device("ORDER0000000").State == "enrolled")
	})
}

// TestGoogleLostNotifications: what no message told is found by comparison.
func TestGoogleLostNotifications(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.spoilMessages(simamapi.Vanish, "", 0)
		g.listed("SILENT000001")
		d := g.droid("SILENT000001")
		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		g.check("nothing was heard", g.device("SILENT000001").State == "enrolling", g.device("SILENT000001"))
		g.admin(http.MethodPost, "/android/enterprise/reconcile", nil, nil)
		g.untilState("SILENT000001", "enrolled")
		g.cloud.Heal()
		g.acknowledged("SILENT000001")

		// A device that Google has and the roll has not.
		g.restrict(enroll.ModeEnforce)
		g.spoilMessages(simamapi.Vanish, "", 0)
		g.must(g.droid("SILENT000002").Setup(g.ctx, g.foreignToken("PERSONAL_USAGE_DISALLOWED")))
		g.cloud.Heal()
		g.admin(http.MethodPost, "/android/enterprise/reconcile", nil, nil)
		g.untilRecord("it is held", "SILENT000002", "quarantined")

		// One that its user reset, and set up again.
		d.Reset()
		g.must(d.Setup(g.ctx, g.ways["fully_managed"]))
		g.until("the new enrollment", func() bool {
			n := 0
			for _, r := range g.records() {
				if r.Serial == "SILENT000001" && r.State == "gone" {
					n++
				}
			}
			return n == 1 && g.record("SILENT000001").State == "enrolled"
		})
		g.acknowledged("SILENT000001")
	})
}

// TestGoogleCommandsOnce: a command whose answer was lost is looked for and not
// given twice; one that was refused for the quota is not lost.
func TestGoogleCommandsOnce(t *testing.T) {
	withGoogle(t, func(g *googled) {
		d := g.enrolled("ONCE00000001")
		g.acknowledged("ONCE00000001")
		d.SetOffline(true)
		g.spoil(simamapi.Fault{Kind: simamapi.Lose}, "enterprises.devices.issueCommand", 1)
		id := g.command("ONCE00000001", "reboot", nil)
		g.until("it was given", func() bool { return g.cloud.Calls()["enterprises.devices.issueCommand"] == 1 })
		g.until("the answer was found wanting", func() bool {
			return g.commandOf("ONCE00000001", id).State == "sent" && g.rows("amapi_operations", "operation = ''") == 1
		})
		g.clock.advance(time.Minute)
		g.until("it was found", func() bool { return g.rows("amapi_operations", "operation <> ''") == 1 })
		d.SetOffline(false)
		g.check("it is acknowledged", g.done("ONCE00000001", id).State == "acknowledged")
		g.check("it was given once", g.cloud.Calls()["enterprises.devices.issueCommand"] == 1, g.cloud.Calls())

		g.spoil(simamapi.Throttled(), "enterprises.devices.issueCommand", 1)
		id = g.command("ONCE00000001", "lock", nil)
		g.until("Google says that it is too much", func() bool { return g.cloud.Calls()["enterprises.devices.issueCommand"] == 2 })
		g.check("the command waits", g.commandOf("ONCE00000001", id).FinishedAt.IsZero())
		g.clock.advance(2 * time.Minute)
		g.check("and is not lost", g.done("ONCE00000001", id).State == "acknowledged")

		// One that expires while the device is off ends without a message.
		d.SetOffline(true)
		id = g.command("ONCE00000001", "lock", nil)
		g.until("Google has it", func() bool { return g.rows("amapi_operations", "open") == 1 })
		g.clock.advance(8 * 24 * time.Hour)
		failed := g.done("ONCE00000001", id)
		g.check("it has failed", failed.State == "failed" && failed.Error != "", failed)
	})
}

// TestGoogleSharedPolicy: devices with the same content share a policy, and its
// change costs one call, however many they are.
func TestGoogleSharedPolicy(t *testing.T) {
	withGoogle(t, func(g *googled) {
		const n = 12
		serials := make([]string, n)
		for i := range serials {
			serials[i] = fmt.Sprintf("SHARE%07d", i)
			g.listed(serials[i])
		}
		g.group("Everybody", serials...)
		g.document("Basics", object{"restrictions": object{"camera": "deny"}})
		g.bind("Basics", object{"group": "Everybody"})
		for _, s := range serials {
			g.must(g.droid(s).Setup(g.ctx, g.ways["fully_managed"]))
		}
		for _, s := range serials {
			g.untilState(s, "enrolled")
			g.acknowledged(s)
		}
		before := g.cloud.Calls()
		g.document("Basics", object{"restrictions": object{"camera": "deny", "screenshot": "deny"}})
		for _, s := range serials {
			g.until("the change on "+s, func() bool { return g.cloud.Device(s).State().Policy["screenCaptureDisabled"] == true })
			g.acknowledged(s)
		}
		after := g.cloud.Calls()
		g.check("one call for the policy", after["enterprises.policies.patch"]-before["enterprises.policies.patch"] == 1, before, after)
		g.check("none for the devices", after["enterprises.devices.patch"] == before["enterprises.devices.patch"], before, after)

		// One device goes another way.
		g.document("Own", object{"restrictions": object{"bluetooth": "deny"}})
		g.bind("Own", object{"serial": serials[0]})
		g.until("its own policy", func() bool { return g.cloud.Device(serials[0]).State().Policy["bluetoothDisabled"] == true })
		g.acknowledged(serials[0])
		g.check("the others are as they were", g.cloud.Device(serials[1]).State().Policy["bluetoothDisabled"] == nil)
	})
}

// TestGoogleUnbound: an enterprise that is not ours any more stops the calls and
// is shown; devices keep their state.
func TestGoogleUnbound(t *testing.T) {
	withGoogle(t, func(g *googled) {
		g.enrolled("UNBOUND00001")
		g.acknowledged("UNBOUND00001")
		g.cloud.Device("UNBOUND00001").SetOffline(true)
		g.cloud.Unbind(g.enterprise)
		id := g.command("UNBOUND00001", "lock", nil)
		g.until("the problem is shown", func() bool {
			var e enterprise
			g.admin(http.MethodGet, "/android/enterprise", nil, &e)
			return e.Problem != nil && e.Problem.Code == "amapi_forbidden"
		})
		g.check("the command is kept", g.commandOf("UNBOUND00001", id).FinishedAt.IsZero())
	})
}
