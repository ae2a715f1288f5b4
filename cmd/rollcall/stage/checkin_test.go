package stage

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/mdm"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

// enrollment reads what the server keeps of the enrollment behind credentials.
func (p *play) enrollment(by credentials) mdm.Enrollment {
	p.t.Helper()
	e, err := p.App.Store().Enrollment(p.ctx, certs.Fingerprint(by.cert))
	p.must(err)
	return e
}

func (p *play) unlockToken(by credentials) []byte {
	p.t.Helper()
	token, err := p.App.Store().UnlockToken(p.ctx, p.enrollment(by).ID)
	p.must(err)
	return token
}

// unmanaged takes a device up to its MDM identity, which has not checked in.
func (p *play) unmanaged(serial string) (attributes plist.Dict, topic string, by credentials) {
	p.t.Helper()
	attributes, ota := p.secondPhase(serial)
	status, profile := p.phase(attributes, ota)
	p.check("phase 3", status == http.StatusOK, status)
	topic = p.payload(profile, "com.apple.mdm")["Topic"].(string)
	return attributes, topic, p.mustSCEP(profile)
}

func TestTokenUpdateKeepsWhatItDoesNotSay(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("TOKENS000001")
		attributes, topic, id := p.unmanaged("TOKENS000001")
		hello := authenticate(attributes)
		hello["Topic"] = topic
		send := func(m plist.Dict) {
			t.Helper()
			status, answer := p.put(checkInPath, checkInType, m, id)
			p.check("200", status == http.StatusOK, status, string(answer))
		}
		update := func(more plist.Dict) plist.Dict {
			m := plist.Dict{"MessageType": "TokenUpdate", "UDID": attributes["UDID"], "Topic": topic, "Token": []byte{1, 2, 3}, "PushMagic": "magic"}
			for k, v := range more {
				m[k] = v
			}
			return m
		}

		status, _ := p.put(checkInPath, checkInType, update(nil), id)
		p.check("TokenUpdate before Authenticate is no enrollment", status == http.StatusBadRequest, status)

		send(hello)
		first := p.enrollment(id)
		p.check("authenticated is not enrolled", first.State == mdm.EnrollmentAuthenticated && p.device("TOKENS000001").State == "enrolling", first)
		send(hello)
		p.check("a repeated Authenticate is the same enrollment", p.enrollment(id).ID == first.ID && p.rows("enrollments", "") == 1)
		p.check("and one decision", len(p.decisions("TOKENS000001")) == 1, p.decisions("TOKENS000001"))

		for name, incomplete := range map[string]plist.Dict{
			"no Token": {"Token": []byte{}}, "no PushMagic": {"PushMagic": ""}, "no Topic": {"Topic": ""},
		} {
			status, _ := p.put(checkInPath, checkInType, update(incomplete), id)
			p.check(name+" is answered 400", status == http.StatusBadRequest, status)
		}
		p.check("and none of them enrolls", p.enrollment(id).State == mdm.EnrollmentAuthenticated)

		send(update(plist.Dict{"UnlockToken": []byte("unlock me"), "AwaitingConfiguration": true}))
		e := p.enrollment(id)
		p.check("enrolled, awaiting, with an unlock token", e.State == mdm.EnrollmentActive && e.Awaiting && string(p.unlockToken(id)) == "unlock me", e)

		send(update(plist.Dict{"Token": []byte{4, 5, 6}, "PushMagic": "more magic"}))
		e = p.enrollment(id)
		p.check("the new token is stored", bytes.Equal(e.Token, []byte{4, 5, 6}) && e.PushMagic == "more magic", e)
		p.check("the unlock token is still there", string(p.unlockToken(id)) == "unlock me")
		p.check("it still awaits its configuration", e.Awaiting)

		send(update(plist.Dict{"UnlockToken": []byte("another"), "AwaitingConfiguration": false}))
		p.check("what it says is stored", string(p.unlockToken(id)) == "another" && !p.enrollment(id).Awaiting)
	})
}

// TestAwaitingDeviceIsReleased: a device in Setup Assistant hangs until
// DeviceConfigured comes, also when a part of its policy failed.
func TestAwaitingDeviceIsReleased(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("AWAITING0001")
		p.policy("Broken", profile("nonsense", "com.apple.wifi.managed", object{"EncryptionType": "WPA2"}), passcode(6)) // no SSID_STR
		p.bind("Broken", object{"serial": "AWAITING0001"})
		ph := p.phone("AWAITING0001", supervised, awaiting).enroll(p.url + "/enroll")
		ph.want("release from Setup Assistant", func(ph *iphone.Phone) bool { return !ph.Awaiting() })
		r := p.settled("AWAITING0001")
		broken, _ := r.find(".nonsense")
		p.check("the broken profile failed in the device's own words", broken.State == "failed" && broken.Error != "", broken)
		released, ok := r.find("configured")
		p.check("and was no reason to wait", ok && released.State == "applied" && has(ph.Phone, "passcode"), r.Items)
		seen := ph.CommandsSeen()
		p.check("DeviceConfigured comes last", seen[len(seen)-1] == "DeviceConfigured", seen)
	})
}

func TestCheckOut(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("CHECKOUT0001")
		ph := p.phone("CHECKOUT0001", manual).enroll(p.url + "/enroll")
		p.command("CHECKOUT0001", "ProfileList", nil)
		id := ph.identity()
		p.must(ph.RemoveProfileByUser(p.ctx))
		p.check("the row is unenrolled", p.device("CHECKOUT0001").State == "unenrolled", p.device("CHECKOUT0001"))
		e := p.enrollment(id)
		p.check("its push data is gone", e.State == mdm.EnrollmentEnded && len(e.Token) == 0 && e.PushMagic == "", e)
		p.check("nothing is open, no push is due", p.rows("commands", "finished_at = 0") == 0 && p.rows("pushes", "") == 0)
		status, _ := p.put(connectPath, connectType, plist.Dict{"UDID": ph.UDID(), "Status": "Idle"}, id)
		p.check("an ended enrollment is answered 400, never 401", status == http.StatusBadRequest, status)
		var problem *Problem
		err := p.API(p.ctx, http.MethodPost, "/devices/CHECKOUT0001/commands", object{"request_type": "DeviceLock"}, nil)
		p.check("commands need an enrolled device", errors.As(err, &problem) && problem.Status == http.StatusConflict, err)
	})
}

// TestMessages sends every check-in message there is, and one there is not.
func TestMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("MESSAGES0001")
		ph := p.phone("MESSAGES0001", manual).enroll(p.url + "/enroll")
		say := func(want int, messageType string, more plist.Dict) plist.Dict {
			t.Helper()
			m := plist.Dict{"MessageType": messageType}
			for k, v := range more {
				m[k] = v
			}
			return ph.checkIn(want, m)
		}
		say(400, "Frobnicate", nil)
		say(400, "", nil)
		ph.ask(400, plist.Dict{"Status": "Frobnicate"})
		ph.ask(400, plist.Dict{"Status": "Acknowledged"}) // of what?

		p.check("no bootstrap token", len(say(200, "GetBootstrapToken", nil)) == 0)
		say(200, "SetBootstrapToken", plist.Dict{"BootstrapToken": []byte("bootstrap")})
		got := say(200, "GetBootstrapToken", nil)
		p.check("the bootstrap token comes back", string(got["BootstrapToken"].([]byte)) == "bootstrap", got)
		p.check("it is sealed in the database", p.rows("enrollments", "bootstrap_token IS NOT NULL") == 1 && !p.plainInDatabase("bootstrap_token", "bootstrap"))
		say(200, "SetBootstrapToken", nil)
		p.check("and is deleted by an empty one", len(say(200, "GetBootstrapToken", nil)) == 0)

		say(400, "GetToken", plist.Dict{"TokenServiceType": "com.apple.maid"})
		p.check("users are managed without a password", len(say(200, "UserAuthenticate", plist.Dict{"UserID": "U-1"})) == 1)

		tokens := say(200, "DeclarativeManagement", plist.Dict{"Endpoint": "tokens"})["SyncTokens"].(object)
		items := say(200, "DeclarativeManagement", plist.Dict{"Endpoint": "declaration-items"})
		p.check("both endpoints name the same declarations token", tokens["DeclarationsToken"] != "" && tokens["DeclarationsToken"] == items["DeclarationsToken"], tokens, items)
		for _, kind := range []string{"Activations", "Assets", "Configurations", "Management"} {
			list, ok := items["Declarations"].(object)[kind].([]any)
			p.check(kind+" is there and empty", ok && len(list) == 0, items)
		}
		say(200, "DeclarativeManagement", plist.Dict{"Endpoint": "status", "Data": []byte(`{"StatusItems":{}}`)})
		say(404, "DeclarativeManagement", plist.Dict{"Endpoint": "declaration/configuration/none"})
		say(400, "DeclarativeManagement", plist.Dict{"Endpoint": "frobnicate"})
		p.check("the device is enrolled through all of it", p.device("MESSAGES0001").State == "enrolled" && ph.Enrolled())
	})
}

// plainInDatabase looks for a text in a column that should be sealed.
func (p *play) plainInDatabase(column, text string) bool {
	p.t.Helper()
	rows, err := p.db.QueryContext(p.ctx, "SELECT "+column+" FROM enrollments WHERE "+column+" IS NOT NULL")
	p.must(err)
	defer rows.Close()
	for rows.Next() {
		var b []byte
		p.must(rows.Scan(&b))
		if bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	p.must(rows.Err())
	return false
}

// TestUserChannel: a user of a device has a queue and push data of its own.
func TestUserChannel(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const user = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF" // of a Shared iPad; the short name tells users apart
		p.roll("SHARED000001")
		ph := p.phone("SHARED000001", manual).enroll(p.url + "/enroll")
		ph.connectUntil("the first check-in", func() bool { return !p.receipt("SHARED000001").CompletedAt.IsZero() })
		idle := func(name string) plist.Dict {
			return plist.Dict{"UserID": user, "UserShortName": name, "Status": "Idle"}
		}
		ph.ask(400, idle("anna@example.com"))
		for _, name := range []string{"anna@example.com", "bert@example.com"} {
			ph.checkIn(200, plist.Dict{"MessageType": "TokenUpdate", "UserID": user, "UserShortName": name, "Topic": ph.Topic(), "Token": []byte("token of " + name), "PushMagic": name})
		}
		store := p.App.Store()
		fingerprint := certs.Fingerprint(ph.identity().cert)
		anna, _, err := store.Poll(p.ctx, fingerprint, "anna@example.com")
		p.must(err)
		device := p.enrollment(ph.identity())
		p.check("the channel is one of the device", anna.ID != device.ID && anna.DeviceID == device.DeviceID && anna.PushMagic == "anna@example.com", anna)
		p.check("the device's own token is untouched", bytes.Equal(device.Token, ph.Token()), device)

		c, err := mdm.NewCommand("ProfileList", nil)
		p.must(err)
		p.must(store.Enqueue(p.ctx, anna.ID, []mdm.Command{c}, time.Now()))
		p.check("the device gets nothing", ph.ask(200, ph.Idle()) == nil)
		p.check("nor does the other user", ph.ask(200, idle("bert@example.com")) == nil)
		got := ph.ask(200, idle("anna@example.com"))
		p.check("the user gets the command", got["CommandUUID"] == c.ID, got)
		answer := idle("anna@example.com")
		answer["Status"], answer["CommandUUID"] = "Acknowledged", c.ID
		p.check("and acknowledges it", ph.ask(200, answer) == nil)

		ph.checkIn(200, plist.Dict{"MessageType": "CheckOut", "UserID": user, "UserShortName": "anna@example.com"})
		ph.ask(400, idle("anna@example.com"))
		p.check("the other user and the device go on", ph.ask(200, idle("bert@example.com")) == nil && p.device("SHARED000001").State == "enrolled")

		p.must(ph.CheckOut(p.ctx))
		ph.ask(400, idle("bert@example.com"))
		p.check("users end with the device", p.rows("enrollments", "ended_at = 0") == 0)
	})
}

// TestDisenroll: the admin lets a device go. It is gone for the server when the
// device has removed the profile, also where its CheckOut is lost.
func TestDisenroll(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.policy("Basics", passcode(6))
		for _, serial := range []string{"LETGO0000001", "LETGO0000002"} {
			p.roll(serial)
			p.bind("Basics", object{"serial": serial})
			lost := func(m plist.Dict) {
				if serial == "LETGO0000002" {
					m["UDID"] = "nobody"
				}
			}
			ph := p.phone(serial, tamper("CheckOut", lost)).enroll(p.url + "/enroll")
			p.acknowledged(serial)
			p.admin(http.MethodPost, "/devices/"+serial+"/disenroll", nil, nil)
			ph.want("to be let go", func(ph *iphone.Phone) bool { return !ph.Enrolled() })
			p.check("with all that was managed", !has(ph.Phone, "passcode"), ph.InstalledProfiles())
			p.until("the server knows", func() bool { return p.device(serial).State == "unenrolled" })
			p.check("nothing of it is open", p.rows("enrollments", "ended_at = 0") == 0 && p.rows("commands", "finished_at = 0") == 0)
			ph.enroll(p.url + "/enroll")
			p.check("it may come back", p.device(serial).State == "enrolled")
			p.must(ph.RemoveProfileByUser(p.ctx))
		}
	})
}
