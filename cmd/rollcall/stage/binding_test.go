package stage

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/sim/applepki"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
	"rollcall/sim/scep"
)

// TestBindingOfTheSerial tries to enroll as another device than the one that
// was proven, at every step at which that could be tried.
func TestBindingOfTheSerial(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		for _, serial := range []string{"BIND00000001", "BIND00000002", "BIND00000003"} {
			p.roll(serial)
		}
		p.scene("phase 3 names another serial", func(p *play) {
			attributes, id := p.secondPhase("BIND00000001")
			attributes["SERIAL"] = "BIND00000002"
			p.conflicts("BIND00000002", attributes, id)
		})
		p.scene("phase 3 names another UDID", func(p *play) {
			attributes, id := p.secondPhase("BIND00000001")
			attributes["UDID"] = "00008130-0000000000000000"
			p.conflicts("BIND00000001", attributes, id)
		})
		for _, key := range []string{"SerialNumber", "UDID"} {
			p.scene("Authenticate names another "+key, func(p *play) {
				ph := p.phone("BIND00000001", tamper("Authenticate", func(m plist.Dict) { m[key] = "BIND00000002" }))
				refused := ph.turnedAway(ph.OpenLink(p.ctx, p.url+"/enroll", iphone.Choice{}))
				p.check("Apple's code for a device that is not wanted", refused.Status == http.StatusForbidden && refused.Code == "com.apple.unrecognized.device", refused)
				serial := "BIND00000001"
				if key == "SerialNumber" {
					serial = "BIND00000002"
				}
				p.decided(serial, enroll.DenyIdentityConflict)
				p.check("the other row is as it was", p.device("BIND00000002").State == "pre_enrolled")
				p.check("no enrollment began", p.rows("enrollments", "") == 0)
			})
		}
		p.scene("an OTA identity cannot manage", func(p *play) {
			attributes, id := p.secondPhase("BIND00000003")
			status, _ := p.put(checkInPath, checkInType, authenticate(attributes), id)
			p.check("Authenticate is answered 400", status == http.StatusBadRequest, status)
			status, _ = p.put(connectPath, connectType, plist.Dict{"UDID": attributes["UDID"], "Status": "Idle"}, id)
			p.check("connect is answered 400", status == http.StatusBadRequest, status)
			p.check("no enrollment began", p.rows("enrollments", "") == 0)
		})
		p.scene("an MDM identity is no answer to phase 3", func(p *play) {
			ph := p.phone("BIND00000003").enroll(p.url + "/enroll")
			_, _, attributes := p.deviceIdentity("BIND00000003")
			status, _ := p.phase(attributes, ph.identity())
			p.check("400", status == http.StatusBadRequest, status)
		})
	})
}

// secondPhase proves a serial and gets the OTA identity.
func (p *play) secondPhase(serial string) (plist.Dict, credentials) {
	p.t.Helper()
	device, chain, attributes := p.deviceIdentity(serial)
	status, profile := p.phase(attributes, device, chain...)
	if status != http.StatusOK {
		p.t.Fatalf("phase 2: %d %s", status, profile)
	}
	return attributes, p.mustSCEP(profile)
}

func (p *play) conflicts(serial string, attributes plist.Dict, by credentials) {
	p.t.Helper()
	before := p.issued()
	status, answer := p.phase(attributes, by)
	p.check("403 with a sentence", status == http.StatusForbidden && string(answer) == enroll.DenyIdentityConflict.Reason().Person+"\n", status, string(answer))
	p.decided(serial, enroll.DenyIdentityConflict)
	p.check("nothing was issued", p.issued() == before, before, p.issued())
}

func authenticate(attributes plist.Dict) plist.Dict {
	return plist.Dict{"MessageType": "Authenticate", "UDID": attributes["UDID"], "SerialNumber": attributes["SERIAL"], "ProductName": attributes["PRODUCT"],
		"OSVersion": "26.1", "BuildVersion": attributes["VERSION"], "Topic": "com.apple.mgmt.External.test"}
}

// selfSigned is an identity that nobody vouches for.
func selfSigned(p *play) credentials {
	p.t.Helper()
	key := p.key()
	template := &x509.Certificate{SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: "Device identity"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	p.must(err)
	cert, err := x509.ParseCertificate(der)
	p.must(err)
	return credentials{cert, key}
}

// TestUnprovenAttributes: attributes must be signed by an identity of Apple's
// device CA, and later by one of ours.
func TestUnprovenAttributes(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial = "UNPROVEN0001"
		p.roll(serial)
		otherApple, err := applepki.New()
		p.must(err)
		forged, err := otherApple.IssueDeviceKey("00008130-"+hexOf(serial), serial, p.key())
		p.must(err)
		_, _, attributes := p.deviceIdentity(serial)
		for _, c := range []struct {
			name   string
			signer credentials
			status int
		}{
			{"signed by nobody", selfSigned(p), http.StatusForbidden},
			{"signed by another Apple", credentials{forged.Certificate, forged.Key}, http.StatusForbidden},
			{"a certificate without its key", credentials{otherApple.DeviceCA(), forged.Key}, http.StatusBadRequest},
		} {
			p.scene(c.name, func(p *play) {
				before, decisions := p.issued(), len(p.decisions(serial))
				status, _ := p.phase(attributes, c.signer, forged.Chain...)
				p.check("refused", status == c.status, status)
				if c.status == http.StatusForbidden {
					d := p.decided(serial, enroll.DenyEvidenceTooWeak)
					p.check("recorded once, as a claim", len(p.decisions(serial)) == decisions+1 && d.Evidence == "claimed", d)
				}
				p.check("nothing was issued", p.issued() == before, before, p.issued())
			})
		}
		p.scene("not signed", func(p *play) {
			before := p.issued()
			status, _ := p.post("/enroll/ota/attributes", "application/pkcs7-signature", plist.Marshal(attributes))
			p.check("400", status == http.StatusBadRequest, status)
			p.check("nothing was issued", p.issued() == before)
		})
	})
}

// TestChallenges: a challenge is good once, and for a while.
func TestChallenges(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("CHALLENGE001")
		device, chain, attributes := p.deviceIdentity("CHALLENGE001")
		profile := func() []byte {
			status, profile := p.phase(attributes, device, chain...)
			p.check("phase 2", status == http.StatusOK, status)
			return profile
		}
		var failure *scep.Failure

		used := profile()
		p.mustSCEP(used)
		_, err := p.scep(used)
		p.check("a replayed challenge is refused", errors.As(err, &failure), err)
		p.check("there is one identity", p.rows("identities", "") == 1)

		late := profile()
		p.clock.advance(61 * time.Minute)
		_, err = p.scep(late)
		p.check("a challenge that is an hour old is refused", errors.As(err, &failure), err)
		p.check("there is one identity still", p.rows("identities", "") == 1)
	})
}

// TestIdentityOfRequests tries every wrong identity on check-in and connect.
// None may ever be answered 401: that would end the management of the device.
func TestIdentityOfRequests(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.roll("WHOISIT00001")
		p.roll("WHOISIT00002")
		a := p.phone("WHOISIT00001").enroll(p.url + "/enroll")
		b := p.phone("WHOISIT00002").enroll(p.url + "/enroll")
		idle := plist.Dict{"UDID": a.UDID(), "Status": "Idle"}
		update := plist.Dict{"MessageType": "TokenUpdate", "UDID": a.UDID(), "Topic": a.Topic(), "Token": []byte("stolen"), "PushMagic": "stolen"}
		hello := plist.Dict{"MessageType": "Authenticate", "UDID": a.UDID(), "Topic": a.Topic(), "SerialNumber": a.Serial(), "ProductName": "iPhone17,2", "OSVersion": "26.1"}
		refused := func(what string, status int) {
			t.Helper()
			p.check(what+" is answered 400", status == http.StatusBadRequest, status)
		}
		stranger := selfSigned(p)
		for name, message := range map[string]plist.Dict{"TokenUpdate": update, "Authenticate": hello} {
			status, _ := p.put(checkInPath, checkInType, message, stranger)
			refused(name+" under another CA", status)
		}
		status, _ := p.put(connectPath, connectType, idle, stranger)
		refused("connect under another CA", status)
		status, _ = p.putTLS(connectPath, connectType, idle, stranger)
		refused("a TLS client certificate of another CA", status)

		status, _ = p.put(connectPath, connectType, idle, b.identity())
		refused("connect as another device", status)
		status, _ = p.put(checkInPath, checkInType, update, b.identity())
		refused("TokenUpdate as another device", status)
		status, answer := p.put(checkInPath, checkInType, hello, b.identity())
		p.check("Authenticate as another device is refused for good", status == http.StatusForbidden, status, string(answer))
		p.decided(a.Serial(), enroll.DenyIdentityConflict)

		body := plist.Marshal(idle)
		status, _ = p.putRaw(connectPath, connectType, append(body, '\n'), signature(t, body, a.identity()))
		refused("a signature over other bytes", status)
		status, _ = p.putRaw(connectPath, connectType, body, "")
		refused("no identity", status)
		status, _ = p.putRaw(connectPath, connectType, body, "not base64!")
		refused("a signature that is none", status)
		status, _ = p.putRaw(connectPath, connectType, body, base64.StdEncoding.EncodeToString([]byte{0x30, 0x80, 0x06, 0x01, 0x2a}))
		refused("a broken signature", status)
		res, _ := p.send(http.MethodPut, connectPath, connectType, nil, "Client-Cert", ":"+base64.StdEncoding.EncodeToString(a.identity().cert.Raw)+":")
		refused("a proxy's header without a proxy", res.StatusCode)

		status, answer = p.putTLS(connectPath, connectType, idle, a.identity())
		p.check("the TLS client certificate alone is enough", status == http.StatusOK && len(answer) == 0, status, string(answer))
		status, _ = p.putTLS(connectPath, connectType, idle, b.identity())
		refused("another device's TLS client certificate", status)

		id := p.command(a.Serial(), "DeviceInformation", object{"Queries": []string{"SerialNumber"}})
		p.check("and after all that, the device is managed as before", p.done(a.Serial(), id).State == "acknowledged")
	})
}
