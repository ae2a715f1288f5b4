package stage

import (
	"testing"
	"time"

	"rollcall/sim/apns"
	"rollcall/sim/iphone"
)

// TestTokenGone: APNs says that a token is dead. The device is left alone until
// it brings another one, and gets then what waited.
func TestTokenGone(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "UNREACHED001"
		p.roll(serial)
		ph := p.phone(serial).enroll(p.url + "/enroll")
		p.acknowledged(serial)

		p.Push.Unregister(ph.Token())
		first := p.command(serial, "ProfileList", nil)
		p.until("the server has learnt it", func() bool { return p.rows("enrollments", "push_inactive_at <> 0") == 1 })
		second := p.command(serial, "CertificateList", nil)
		p.until("no push is under way", func() bool { return p.rows("pushes", "due_at > 0 OR lease_until > 0") == 0 })
		p.check("APNs was asked once", p.Push.Counts()["Unregistered"] == 1, p.Push.Counts())
		p.check("the commands wait", p.commandOf(serial, first).State == "queued" && p.commandOf(serial, second).State == "queued")

		p.must(ph.SendTokenUpdate(p.ctx))
		p.check("what waited is delivered", p.done(serial, first).State == "acknowledged" && p.done(serial, second).State == "acknowledged")
		p.check("the device is reachable again", p.rows("enrollments", "push_inactive_at <> 0") == 0)
	})
}

// TestPushesAreRepeated: APNs is overloaded or away for a while.
func TestPushesAreRepeated(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "RETRIED00001"
		p.roll(serial)
		ph := p.phone(serial).enroll(p.url + "/enroll")
		p.acknowledged(serial)
		for _, trouble := range []struct {
			status int
			reason string
		}{{429, "TooManyRequests"}, {503, "ServiceUnavailable"}, {500, "InternalServerError"}} {
			pushed := ph.Pushes()
			p.Push.FailNext(2, trouble.status, trouble.reason)
			id := p.command(serial, "ProfileList", nil)
			for n := int64(1); n <= 2; n++ {
				p.until(trouble.reason, func() bool { return p.Push.Counts()[trouble.reason] == n })
				p.check("nothing arrived yet", ph.Pushes() == pushed)
				p.clock.advance(time.Minute)
			}
			p.check("delivered after all", p.done(serial, id).State == "acknowledged")
			p.check("with one push", ph.Pushes() == pushed+1, ph.Pushes(), pushed)
		}
	})
}

// TestPushesAreCoalesced: many changes while APNs is away are one push.
func TestPushesAreCoalesced(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial, changes = "COALESCED001", 15
		p.roll(serial)
		p.policy("Basics", passcode(1))
		p.bind("Basics", object{"serial": serial})
		ph := p.phone(serial).enroll(p.url + "/enroll")
		p.acknowledged(serial)

		p.Push.FailNext(1_000_000, 503, "ServiceUnavailable")
		for n := range changes {
			p.policy("Basics", passcode(2+n%13), wifi("office"))
			p.command(serial, "ProfileList", nil)
		}
		p.policy("Basics", passcode(16), wifi("office"))
		p.until("all of it is planned", func() bool { return p.rows("deliveries", "due_at > 0") == 0 })
		before, pushed := p.Push.Counts()[apns.Accepted], ph.Pushes()
		p.Push.FailNext(0, 0, "")
		p.clock.advance(5 * time.Minute)
		ph.want("the last change", func(ph *iphone.Phone) bool { return minLength(ph) == 16 && has(ph, "office") })
		p.until("nothing is open", func() bool { return p.rows("commands", "finished_at = 0") == 0 })
		p.check("one push did it", p.Push.Counts()[apns.Accepted] == before+1 && ph.Pushes() == pushed+1, p.Push.Counts()[apns.Accepted]-before)
		p.check("what was overtaken was not sent", p.rows("commands", "state = 'cancelled' AND attempts > 0") == 0)
		p.check("every other command was", count(ph.CommandsSeen(), "ProfileList") == changes, count(ph.CommandsSeen(), "ProfileList"))
	})
}

// TestRestart: the server ends in the middle of a session, and again with a
// push that is due. Phones and server go on by themselves.
func TestRestart(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "RESTARTED001"
		p.roll(serial)
		p.policy("Basics", passcode(6), wifi("office"))
		p.bind("Basics", object{"serial": serial})
		ph := p.phone(serial)
		restarted := make(chan error, 1)
		ph.OnCommand("SecurityInfo", func(n int) iphone.Reaction {
			if n == 1 {
				restarted <- p.Restart(p.ctx)
			}
			return iphone.Execute
		})
		if err := ph.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}); err != nil {
			t.Fatal(err)
		}
		p.must(<-restarted)
		r := p.acknowledged(serial)
		p.check("all was delivered, and once", len(r.Items) == 4 && len(ph.CommandsSeen()) == 4, ph.CommandsSeen())

		p.Push.FailNext(1_000_000, 503, "ServiceUnavailable")
		id := p.command(serial, "ProfileList", nil)
		p.must(p.Restart(p.ctx))
		p.check("it waits", p.commandOf(serial, id).State == "queued")
		p.Push.FailNext(0, 0, "")
		p.clock.advance(5 * time.Minute)
		p.check("what was due is delivered", p.done(serial, id).State == "acknowledged")
		p.check("there is no second first token", p.App.FirstToken() == "")
	})
}
