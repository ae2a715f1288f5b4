package stage

import (
	"net/http"
	"sync/atomic"
	"testing"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/sim/plist"
	"rollcall/sim/scep"
)

// idle asks for work with any credentials.
func (p *play) idle(ph *phone, by credentials) (status int) {
	p.t.Helper()
	status, _ = p.put(connectPath, connectType, ph.Idle(), by)
	return status
}

// TestReEnrollment: an erased device comes back. Nothing of its old life is
// left to act upon, its history is, and its policy comes again.
func TestReEnrollment(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "COMEBACK0001"
		p.restrict(enroll.ModeEnforce)
		p.roll(serial)
		p.policy("Basics", passcode(6), wifi("office"))
		p.bind("Basics", object{"serial": serial})
		ph := p.phone(serial).enroll(p.url + "/enroll")
		first := p.acknowledged(serial)
		ph.checkIn(200, plist.Dict{"MessageType": "SetBootstrapToken", "BootstrapToken": []byte("bootstrap")})
		ph.Lock()
		open := p.command(serial, "CertificateList", nil)
		p.until("a command is put off", func() bool { return p.commandOf(serial, open).NotNow })
		oldID := ph.identity()
		old := p.enrollment(oldID)
		p.check("there is an unlock token", len(p.unlockToken(oldID)) > 0)

		p.must(ph.Erase(p.ctx))
		ph.enroll(p.url + "/enroll")
		ph.want("the policy again", hasAll("passcode", "office"))
		second := p.acknowledged(serial)
		p.check("the receipt is that of the new enrollment", second.EnrolledAt.After(first.CompletedAt) && len(second.Items) == 4, second)

		e := p.enrollment(oldID)
		p.check("the old enrollment has ended", e.ID == old.ID && e.State == mdm.EnrollmentEnded && len(e.Token) == 0 && e.PushMagic == "", e)
		bootstrap, err := p.App.Store().BootstrapToken(p.ctx, old.ID)
		p.check("its tokens are gone", err == nil && bootstrap == nil && len(p.unlockToken(oldID)) == 0, err)
		c, err := p.App.Store().CommandRecord(p.ctx, open)
		p.check("its open command is cancelled", err == nil && c.State == "cancelled", c, err)
		p.check("its history is there", p.rows("commands", "enrollment_id = $1 AND state = 'acknowledged'", old.ID) == 4)
		p.check("the old certificate is refused", p.idle(ph, oldID) == http.StatusBadRequest)
		p.check("it is one device with one enrollment", p.rows("devices", "") == 1 && p.rows("enrollments", "ended_at = 0") == 1)
		p.check("the gate was asked twice", len(p.decisions(serial)) == 2, p.decisions(serial))
	})
}

// TestRenewal: a renewed enrollment keeps its state, and the old certificate
// its place until the new one has proven to work.
func TestRenewal(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "RENEWED00001"
		p.restrict(enroll.ModeEnforce)
		p.roll(serial)
		p.policy("Basics", passcode(6))
		p.bind("Basics", object{"serial": serial})
		var updates, during atomic.Int64
		var ph *phone
		ph = p.phone(serial, tamper("TokenUpdate", func(plist.Dict) {
			if updates.Add(1) == 2 {
				during.Store(int64(p.idle(ph, ph.identity())))
			}
		})).enroll(p.url + "/enroll")
		p.acknowledged(serial)
		ph.checkIn(200, plist.Dict{"MessageType": "SetBootstrapToken", "BootstrapToken": []byte("bootstrap")})
		oldID, oldToken := ph.identity(), ph.UnlockToken()
		before, decisions, installs := p.enrollment(oldID), len(p.decisions(serial)), count(ph.CommandsSeen(), "InstallProfile")

		c := p.done(serial, p.command(serial, mdm.ActionRenew, nil))
		p.check("the device has installed it", c.State == "acknowledged" && c.RequestType == "InstallProfile", c)
		newID := ph.identity()
		p.check("it has another certificate", !newID.cert.Equal(oldID.cert))
		p.check("the old one was good until TokenUpdate", during.Load() == http.StatusOK, during.Load())
		p.check("the old one is refused now", p.idle(ph, oldID) == http.StatusBadRequest)
		p.check("the new one is taken", p.idle(ph, newID) == http.StatusOK)

		after := p.enrollment(newID)
		p.check("it is the same enrollment", after.ID == before.ID && after.EnrolledAt.Equal(before.EnrolledAt) && after.NextFingerprint == "", after)
		p.check("with new push data", after.PushMagic == ph.PushMagic() && after.PushMagic != before.PushMagic)
		got := ph.checkIn(200, plist.Dict{"MessageType": "GetBootstrapToken"})
		token, _ := got["BootstrapToken"].([]byte)
		p.check("the bootstrap token is kept", string(token) == "bootstrap", got)
		p.check("the unlock token is kept", string(p.unlockToken(newID)) == string(oldToken))
		p.check("the gate was not asked again", len(p.decisions(serial)) == decisions)
		p.check("the policy was not sent again", count(ph.CommandsSeen(), "InstallProfile") == installs+1, ph.CommandsSeen())
		p.check("and pushes reach it", p.done(serial, p.command(serial, "ProfileList", nil)).State == "acknowledged")
	})
}

// TestRenewalThatFails: the device rolls back, and the server has not burnt
// the bridge behind it.
func TestRenewalThatFails(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "RENEWED00002"
		p.roll(serial)
		var updates atomic.Int64
		ph := p.phone(serial, tamper("TokenUpdate", func(m plist.Dict) {
			if updates.Add(1) == 2 {
				delete(m, "Token")
			}
		})).enroll(p.url + "/enroll")
		p.acknowledged(serial)
		oldID := ph.identity()

		c := p.done(serial, p.command(serial, mdm.ActionRenew, nil))
		p.check("the renewal failed", c.State == "failed" && c.Error != "", c)
		p.check("the device has its old certificate", ph.identity().cert.Equal(oldID.cert))
		p.check("which is good", p.done(serial, p.command(serial, "ProfileList", nil)).State == "acknowledged")
		p.check("the row is enrolled", p.device(serial).State == "enrolled")

		c = p.done(serial, p.command(serial, mdm.ActionRenew, nil))
		p.check("the next renewal works", c.State == "acknowledged" && !ph.identity().cert.Equal(oldID.cert), c)
		p.check("and ends the old certificate", p.idle(ph, oldID) == http.StatusBadRequest)
	})
}

// TestRenewalOfAnotherDevice: a renewal's profile in the hands of another
// device renews nothing.
func TestRenewalOfAnotherDevice(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.roll("RENEWED00003")
		ph := p.phone("RENEWED00003", manual).enroll(p.url + "/enroll")
		ph.connectUntil("the first check-in", func() bool { return !p.receipt("RENEWED00003").CompletedAt.IsZero() })
		p.command("RENEWED00003", mdm.ActionRenew, nil)
		got := ph.ask(200, ph.Idle())
		stolen := got["Command"].(plist.Dict)["Payload"].([]byte)

		thief := p.phone("THIEF0000001")
		refused := thief.turnedAway(thief.Install(p.ctx, stolen))
		p.check("refused for good", refused.Code == "com.apple.unrecognized.device", refused)
		p.decided("THIEF0000001", enroll.DenyIdentityConflict)
		p.check("the device is managed as before", ph.ask(200, plist.Dict{"Status": "Error", "CommandUUID": got["CommandUUID"]}) == nil &&
			p.device("RENEWED00003").State == "enrolled" && p.enrollment(ph.identity()).State == mdm.EnrollmentActive)
	})
}

// TestRenewalBySCEP: a certificate that was got with the pinned one as its
// proof takes its place without any message.
func TestRenewalBySCEP(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("RENEWED00004")
		ph := p.phone("RENEWED00004").enroll(p.url + "/enroll")
		p.acknowledged("RENEWED00004")
		oldID := ph.identity()
		e := p.enrollment(oldID)
		key := p.key()
		cert, err := scep.Enroll(p.ctx, scep.Options{URL: p.url + "/scep", Key: key, HTTP: p.client, Subject: oldID.cert.Subject.ToRDNSequence(), KeyUsage: 5,
			RenewCertificate: oldID.cert, RenewKey: oldID.key})
		p.must(err)
		newID := credentials{cert, key}
		p.check("the old one is good until the new one is used", p.idle(ph, oldID) == http.StatusOK)
		p.check("the new one is taken", p.idle(ph, newID) == http.StatusOK)
		p.check("for the same enrollment", p.enrollment(newID).ID == e.ID && p.enrollment(newID).Fingerprint == certs.Fingerprint(cert))
		p.check("the old one is refused from then on", p.idle(ph, oldID) == http.StatusBadRequest)
	})
}
