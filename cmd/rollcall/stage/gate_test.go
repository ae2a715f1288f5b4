package stage

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

// arrival is a way onto the server: what a phone downloads before the gate is
// asked, for a request or without one.
type arrival struct {
	name     string
	channel  string
	evidence enroll.Evidence
	request  bool
	download func(p *play, secret string) []byte
}

var arrivals = []arrival{
	{"ota", "ota", enroll.EvidenceSigned, false, (*play).otaProfile},
	{"ota with request", "ota", enroll.EvidenceSigned, true, (*play).otaProfile},
	{"profile", "profile", enroll.EvidenceClaimed, false, (*play).plainProfile},
	{"profile with request", "profile", enroll.EvidenceToken, true, (*play).plainProfile},
}

// refusal is a reason not to enroll, the same on every channel.
type refusal struct {
	code     enroll.Code
	request  int    // 1: only with a request, -1: only without
	platform string // of the row; "ios" by default
	unlisted bool
	nameless bool // the device names no serial, so the decision has none
	change   []func(*iphone.Config)
	// spoil happens between download and installation.
	spoil func(p *play, ph *phone, r request, profile []byte, again func() []byte) []byte
}

func keep(spoil func(p *play, ph *phone, r request)) func(*play, *phone, request, []byte, func() []byte) []byte {
	return func(p *play, ph *phone, r request, profile []byte, _ func() []byte) []byte {
		spoil(p, ph, r)
		return profile
	}
}

var refusals = []refusal{
	{code: enroll.DenyNotPreEnrolled, unlisted: true, request: -1},
	{code: enroll.DenyBlocked, spoil: keep(func(p *play, ph *phone, _ request) {
		p.admin(http.MethodPost, "/devices/"+ph.Serial()+"/block", object{"reason": "lost"}, nil)
	})},
	{code: enroll.DenyPlatform, platform: "android"},
	{code: enroll.DenyEvidenceTooWeak, nameless: true, change: []func(*iphone.Config){func(c *iphone.Config) {
		c.Tamper = func(step string, m plist.Dict) {
			switch step {
			case "OTA":
				m["SERIAL"] = " - "
			case "Authenticate":
				delete(m, "SerialNumber")
			}
		}
	}}},
	{code: enroll.DenyTokenSerialMismatch, request: 1}, // made for another row, see refuses
	{code: enroll.DenyTokenRevoked, request: 1, spoil: keep(func(p *play, _ *phone, r request) {
		p.admin(http.MethodPost, "/requests/"+r.ID+"/cancel", nil, nil)
	})},
	{code: enroll.DenyTokenUsedUp, request: 1, spoil: func(p *play, ph *phone, r request, profile []byte, again func() []byte) []byte {
		second := again()
		ph.install(profile)
		p.check("the request is completed", p.request(r.ID).State == "completed")
		p.must(ph.Erase(p.ctx))
		return second
	}},
	{code: enroll.DenyTokenExpired, request: 1, spoil: keep(func(p *play, _ *phone, r request) {
		// Not by the clock: phones have one of their own and would not like certificates from the future.
		_, err := p.db.ExecContext(p.ctx, "UPDATE requests SET expires_at = $1 WHERE id = $2", p.clock.Now().Add(-time.Second).UnixMicro(), r.ID)
		p.must(err)
	})},
}

// TestOneGateForAllChannels holds every reason against every channel: the same
// code, a recorded decision, nobody enrolled.
func TestOneGateForAllChannels(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		played := 0
		for _, why := range refusals {
			for n, way := range arrivals {
				if why.request > 0 && !way.request || why.request < 0 && way.request {
					continue
				}
				played++
				serial := fmt.Sprintf("GATE%d%s", n, serialPart(why.code))
				p.scene(string(why.code)+"/"+way.name, func(p *play) { p.refuses(serial, why, way) })
			}
		}
		p.check("the table is played", played == 22, played)
	})
}

// serialPart makes serials of codes.
func serialPart(c enroll.Code) string { return hexOf(string(c))[:8] }

func (p *play) refuses(serial string, why refusal, way arrival) {
	bound := serial // the serial a request is made for
	if why.code == enroll.DenyTokenSerialMismatch {
		bound = serial + "X"
		p.roll(bound)
	}
	if !why.unlisted {
		platform := "ios"
		if why.platform != "" {
			platform = why.platform
		}
		p.roll(serial, object{"platform": platform})
	}
	var r request
	if way.request {
		r = p.accepted(bound)
	}
	download := func() []byte {
		if !way.request {
			return way.download(p, "")
		}
		return way.download(p, r.secret())
	}
	ph := p.phone(serial, why.change...)
	profile := download()
	if why.spoil != nil {
		profile = why.spoil(p, ph, r, profile, download)
	}

	before := p.issued()
	refused := ph.turnedAway(ph.Install(p.ctx, profile))
	after := p.issued()
	if way.channel == "profile" {
		// There the gate stands at Authenticate, behind the identity.
		p.check("Apple's code for a device that is not wanted", refused.Code == "com.apple.unrecognized.device" && refused.Message == why.code.Reason().Person, refused)
		before.identities, before.spent = before.identities+1, before.spent+1
	}
	p.check("403", refused.Status == http.StatusForbidden, refused)
	p.check("nothing was issued", before == after, before, after)
	recorded := serial
	if why.nameless {
		recorded = "" // the newest decision of all
	}
	d := p.decided(recorded, why.code)
	p.check("channel and evidence are those of the way", d.Channel == way.channel && d.Evidence == string(way.evidence), d)
}

// TestGateBetweenProofAndAuthenticate blocks a device after its serial was
// proven: the identity it got by then does not help it.
func TestGateBetweenProofAndAuthenticate(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "BLOCKED00001"
		p.restrict(enroll.ModeEnforce)
		p.roll(serial)
		ph := p.phone(serial, tamper("Authenticate", func(plist.Dict) {
			p.admin(http.MethodPost, "/devices/"+serial+"/block", object{"reason": "just now"}, nil)
		}))
		refused := ph.turnedAway(ph.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
		p.check("refused at Authenticate", refused.Code == "com.apple.unrecognized.device", refused)
		p.decided(serial, enroll.DenyBlocked)
		p.check("no enrollment began", p.rows("enrollments", "") == 0)
	})
}

// TestOldSystemsAreRefusedIn401: iOS 16 does not know the 403, and this is the
// one place where a device is meant to give up.
func TestOldSystemsAreRefusedIn401(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		ph := p.phone("OLDPHONE0001", func(c *iphone.Config) { c.OSVersion, c.Product = "16.7.10", "iPhone10,6" })
		refused := ph.turnedAway(ph.Install(p.ctx, p.plainProfile("")))
		p.check("401", refused.Status == http.StatusUnauthorized, refused)
		p.decided("OLDPHONE0001", enroll.DenyNotPreEnrolled)
	})
}
