package stage

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/sim/cms"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

func (p *play) person(email string) {
	p.t.Helper()
	p.admin(http.MethodPut, "/domains/local/users/"+url.PathEscape(email), object{"name": "Somebody"}, nil)
}

// account is a person who signs in to a device, and types a code where asked.
func (p *play) account(email, code string) iphone.Account {
	return iphone.Account{Identifier: email, Domain: p.url, Choice: typing(code)}
}

// invited puts a row of an owner on the roll and gives the code of its request.
func (p *play) invited(serial, email string, ownership enroll.Ownership) (request, string) {
	p.t.Helper()
	p.roll(serial, object{"user": object{"email": email}, "ownership": ownership})
	r := p.invite(serial)
	return r, p.code(r)
}

// mdmPayload is what the enrollment profile on a phone says.
func (ph *phone) mdmPayload() plist.Dict {
	ph.p.t.Helper()
	d, ok := ph.ProfilePayload("rollcall.enrollment", "com.apple.mdm")
	if !ok {
		ph.p.t.Fatal("no enrollment profile")
	}
	return d
}

// TestAccountBYOD: a person's own device never tells its serial. It is known by
// the enrollment request, and gets its policy under an EnrollmentID.
func TestAccountBYOD(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		const serial, ann = "ACCBYOD00001", "ann@example.com"
		r, code := p.invited(serial, ann, enroll.OwnershipPersonal)
		p.policy("Own", wifi("guests"))
		p.bind("Own", object{"serial": serial})
		ph := p.phone("REALSERIAL01")
		p.must(ph.SignIn(p.ctx, p.account(ann, code)))
		p.acknowledged(serial)
		ph.want("the policy", hasAll("guests"))
		payload := ph.mdmPayload()
		_, rights := payload["AccessRights"]
		p.check("BYOD, for the account, without rights", payload["EnrollmentMode"] == "BYOD" && payload["AssignedManagedAppleID"] == ann && !rights, payload)
		d := p.decided(serial, enroll.AllowListed)
		p.check("one decision, by the request", len(p.decisions(serial)) == 1 && d.Channel == "account" && d.Evidence == "token" && d.RequestID == r.ID, d)
		p.check("the serial of the device is nowhere", p.rows("devices", "serial = 'REALSERIAL01'") == 0 && len(p.decisions("REALSERIAL01")) == 0)
		p.check("it is known by its EnrollmentID", ph.EnrollmentID() != "" && p.rows("enrollments", "udid = '"+ph.EnrollmentID()+"' AND ended_at = 0") == 1)
		p.check("the request is completed", p.request(r.ID).State == "completed")
		p.check("no serial among what the device tells", p.device(serial).Facts != nil && p.device(serial).Facts.IMEI == "")
		id := p.command(serial, "DeviceInformation", object{"Queries": []string{"OSVersion"}})
		p.check("it obeys", p.done(serial, id).State == "acknowledged")
		certificate, _ := ph.Identity()
		renewed := p.done(serial, p.command(serial, "Renew", nil))
		next, _ := ph.Identity()
		p.check("its identity is renewed, in the same mode", renewed.State == "acknowledged" && !next.Equal(certificate) && ph.mdmPayload()["EnrollmentMode"] == "BYOD", renewed.Error)

		p.must(ph.RemoveProfileByUser(p.ctx))
		p.check("and leaves", p.device(serial).State == "unenrolled")
		p.check("its token with it", ph.SignIn(p.ctx, p.account(ann, code)) != nil)
	})
}

// TestAccountADDE: a device of the organization enrolls with rights, and a
// serial that it tells later does not choose its row.
func TestAccountADDE(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		_, code := p.invited("ACCADDE00001", "ann@example.com", enroll.OwnershipCorporate)
		_, other := p.invited("ACCADDE00002", "bob@example.com", enroll.OwnershipCorporate)
		ph := p.phone("ACCADDE00001")
		p.must(ph.SignIn(p.ctx, p.account("ann@example.com", code)))
		p.acknowledged("ACCADDE00001")
		payload := ph.mdmPayload()
		p.check("ADDE, with rights", payload["EnrollmentMode"] == "ADDE" && payload["AccessRights"] != nil, payload)

		thief := p.phone("ACCADDE00009")
		refused := thief.turnedAway(thief.SignIn(p.ctx, p.account("bob@example.com", other)))
		p.check("403 with Apple's code, never 401", refused.Status == http.StatusForbidden && refused.Code == "com.apple.unrecognized.device", refused)
		p.decided("ACCADDE00009", enroll.DenyIdentityConflict)
		p.check("the row is not taken", p.device("ACCADDE00002").State != "enrolled")
	})
}

// TestAccountRefusals: who may not come in by an account.
func TestAccountRefusals(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		_, code := p.invited("ACCREF000001", "ann@example.com", enroll.OwnershipPersonal)
		p.person("bob@example.com")
		p.scene("an unknown user", func(p *play) {
			ph := p.phone("REALSERIAL02")
			refused := ph.turnedAway(ph.SignIn(p.ctx, p.account("eve@example.com", code)))
			p.check("Apple's code", refused.Status == http.StatusForbidden && refused.Code == "com.apple.well-known.failed", refused)
		})
		p.scene("no user at all", func(p *play) {
			res, body := p.send(http.MethodGet, "/.well-known/com.apple.remotemanagement", "", nil)
			p.check("Apple's code", res.StatusCode == http.StatusForbidden && strings.Contains(string(body), "com.apple.well-known.failed"), string(body))
		})
		p.scene("the code of somebody else", func(p *play) {
			ph := p.phone("REALSERIAL02")
			ph.turnedAway(ph.SignIn(p.ctx, p.account("bob@example.com", code)))
			p.check("the page says so", strings.Contains(ph.LastPage(), "somebody else"), ph.LastPage())
			p.check("the gate was not asked", len(p.decisions("ACCREF000001")) == 0)
		})
		p.scene("a personal row does not enroll with rights", func(p *play) {
			ph := p.phone("REALSERIAL02")
			token := p.accessToken("ann@example.com", code)
			status, _ := p.enrollWith("adde", token, "REALSERIAL02")
			p.check("403", status == http.StatusForbidden, status)
			p.decided("ACCREF000001", enroll.DenyOwnership)
			p.check("not enrolled", !ph.Enrolled())
		})
		p.scene("machine info that a stranger signed", func(p *play) {
			token := p.accessToken("ann@example.com", code)
			body, err := cms.Sign(plist.Marshal(plist.Dict{"LANGUAGE": "en", "PRODUCT": "iPhone17,2", "VERSION": "23B85"}), selfSigned(p).cert, p.key(), cms.SignOptions{})
			p.must(err)
			res, _ := p.send(http.MethodPost, "/enroll/account/byod", "application/pkcs7-signature", bytes.NewReader(body), "Authorization", "Bearer "+token)
			p.check("400: the key is not the certificate's", res.StatusCode == http.StatusBadRequest, res.StatusCode)
			stranger := selfSigned(p)
			body, err = cms.Sign(plist.Marshal(plist.Dict{"LANGUAGE": "en", "PRODUCT": "iPhone17,2", "VERSION": "23B85"}), stranger.cert, stranger.key, cms.SignOptions{})
			p.must(err)
			res, _ = p.send(http.MethodPost, "/enroll/account/byod", "application/pkcs7-signature", bytes.NewReader(body), "Authorization", "Bearer "+token)
			p.check("403", res.StatusCode == http.StatusForbidden, res.StatusCode)
			p.decided("ACCREF000001", enroll.DenyEvidenceTooWeak)
		})
		p.scene("a way that does not exist", func(p *play) {
			status, _ := p.enrollWith("owned", "", "REALSERIAL02")
			p.check("404", status == http.StatusNotFound, status)
		})
		p.check("nobody is enrolled", p.rows("enrollments", "") == 0)
	})
}

// accessToken signs a person in as the device's browser does.
func (p *play) accessToken(email, code string) string {
	p.t.Helper()
	page := "/enroll/account/authenticate?user-identifier=" + url.QueryEscape(email)
	res, _ := p.send(http.MethodGet, page, "", nil)
	cookie, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";")
	req, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.url+page, strings.NewReader(url.Values{"code": {code}}.Encode()))
	p.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Cookie", cookie)
	res, err = p.client.Transport.RoundTrip(req)
	p.must(err)
	defer res.Body.Close()
	to, err := res.Location()
	if err != nil || res.StatusCode != http.StatusPermanentRedirect {
		p.t.Fatalf("sign-in: %d %v", res.StatusCode, err)
	}
	return to.Query().Get("access-token")
}

// enrollWith posts the machine info of a device.
func (p *play) enrollWith(mode, token, serial string) (status int, header http.Header) {
	p.t.Helper()
	device, chain, _ := p.deviceIdentity(serial)
	body, err := cms.Sign(plist.Marshal(plist.Dict{"LANGUAGE": "en", "PRODUCT": "iPhone17,2", "VERSION": "23B85"}), device.cert, device.key, cms.SignOptions{Certificates: chain})
	p.must(err)
	res, answer := p.send(http.MethodPost, "/enroll/account/"+mode, "application/pkcs7-signature", bytes.NewReader(body), "Authorization", "Bearer "+token)
	p.noInternals(string(answer))
	return res.StatusCode, res.Header
}

// TestAccountWithoutRow: a person who signs in at the provider and has no open
// request. While the restriction is off, a row is made under a name of its own;
// while it is on, there is no row to know the device by.
func TestAccountWithoutRow(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		p, provider := startWithProvider(t, dsn)
		p.person("ann@example.com")
		provider.Person("ann@example.com")
		ph := p.phone("REALSERIAL03", p.trusting(provider))
		p.restrict(enroll.ModeEnforce)
		ph.turnedAway(ph.SignIn(p.ctx, p.account("ann@example.com", "")))
		p.check("the account on the device is a hint for the provider", len(provider.Hints()) == 1 && provider.Hints()[0] == "ann@example.com", provider.Hints())
		p.check("refused as not pre-enrolled", p.rows("decisions", "code = 'deny.not_pre_enrolled' AND channel = 'account'") == 1)

		p.restrict(enroll.ModeOff)
		p.must(ph.SignIn(p.ctx, p.account("ann@example.com", "")))
		var list struct {
			Items []struct {
				Serial, State string
				User          struct{ Email string }
			}
		}
		p.admin(http.MethodGet, "/devices", nil, &list)
		p.check("one row, of the person, under a name of its own", len(list.Items) == 1 && enroll.IsAccountSerial(list.Items[0].Serial) && list.Items[0].User.Email == "ann@example.com", list)
		p.until("enrolled", func() bool { return p.device(list.Items[0].Serial).State == "enrolled" })
		p.check("the name was the same when it was refused", p.rows("decisions", "serial = '"+list.Items[0].Serial+"'") == 2)
	})
}

// TestAccountBlockedDevice: a device whose row is blocked does not come back
// under the name that an account gives it, where it tells its serial. Its user
// has nothing open, and another server says that it enrolls with rights.
func TestAccountBlockedDevice(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		p, provider := startWithProvider(t, dsn)
		p.restrict(enroll.ModeOff)
		p.person("ann@example.com")
		provider.Person("ann@example.com")
		elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(object{"Servers": []object{{"Version": "mdm-adde", "BaseURL": p.url + "/enroll/account/adde"}}})
		}))
		t.Cleanup(elsewhere.Close)
		ann := iphone.Account{Identifier: "ann@example.com", Domain: elsewhere.URL}
		ph := p.phone("ACCBLOCK0001", p.trusting(provider), func(c *iphone.Config) { c.Roots.AddCert(elsewhere.Certificate()) })
		p.roll("ACCBLOCK0001")
		p.admin(http.MethodPost, "/devices/ACCBLOCK0001/block", object{"reason": "stolen"}, nil)
		refused := ph.turnedAway(ph.SignIn(p.ctx, ann))
		p.check("403 with Apple's code", refused.Status == http.StatusForbidden && refused.Code == "com.apple.unrecognized.device", refused)
		d := p.decided("ACCBLOCK0001", enroll.DenyBlocked)
		p.check("by its channel", d.Channel == "account", d)
		p.check("nothing is enrolled", !ph.Enrolled() && p.rows("enrollments", "") == 0)

		p.admin(http.MethodPost, "/devices/ACCBLOCK0001/unblock", nil, nil)
		p.must(ph.SignIn(p.ctx, ann))
		p.check("it enrolls under the account's name", ph.Enrolled() && p.device("ACCBLOCK0001").State == "pre_enrolled")
	})
}

// TestAccountSignsInAgain: when the token has ended, and then only, a request
// is answered 401 with the way to sign in; the device stays managed.
func TestAccountSignsInAgain(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		p, provider := startWithProvider(t, dsn)
		p.roll("ACCAGAIN0001", object{"user": object{"email": "ann@example.com"}, "ownership": "personal"})
		p.person("bob@example.com")
		p.invite("ACCAGAIN0001")
		provider.Person("ann@example.com")
		ph := p.phone("REALSERIAL04", p.trusting(provider), manual)
		p.must(ph.SignIn(p.ctx, p.account("ann@example.com", "")))
		ph.connectUntil("the first check-in", func() bool { return !p.receipt("ACCAGAIN0001").CompletedAt.IsZero() })

		p.clock.advance(91 * 24 * time.Hour)
		err := ph.Connect(p.ctx)
		var refused *iphone.RefusedError
		p.check("401, and where to sign in", errors.As(err, &refused) && refused.Status == http.StatusUnauthorized && strings.HasPrefix(refused.SignIn, `Bearer method="apple-as-web"`), err)
		p.check("the device stays managed", ph.Enrolled() && p.device("ACCAGAIN0001").State == "enrolled")
		status, _, err := ph.CheckInRaw(p.ctx, plist.Dict{"MessageType": "GetBootstrapToken", "EnrollmentID": ph.EnrollmentID()})
		p.check("check-in as well", err == nil && status == http.StatusUnauthorized, status, err)

		provider.Person("bob@example.com")
		p.check("not as somebody else", ph.SignInAgain(p.ctx, refused, p.account("ann@example.com", "")) != nil)
		p.check("nor with a token of somebody else", ph.SignInAgain(p.ctx, refused, p.account("bob@example.com", "")) == nil && ph.Connect(p.ctx) != nil)
		provider.Person("ann@example.com")
		p.must(ph.SignInAgain(p.ctx, refused, p.account("ann@example.com", "")))
		ph.connect()

		p.clock.advance(91 * 24 * time.Hour)
		p.must(ph.RemoveProfileByUser(p.ctx))
		p.check("who leaves need not sign in", p.device("ACCAGAIN0001").State == "unenrolled")
	})
}

// TestOnly401: beside a refused Authenticate of old systems, 401 is for
// account-driven enrollment: no other device gets it, whatever it sends.
func TestOnly401(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("ONLY40100001")
		ph := p.phone("ONLY40100001").enroll(p.url + "/enroll")
		c := p.adeProfile("only401")
		idle := plist.Marshal(ph.Idle())
		for _, authorization := range []string{"", "Bearer", "Bearer x", "Basic eDp5", "Bearer " + strings.Repeat("x", 4000)} {
			for path, body := range map[string][]byte{connectPath: idle, checkInPath: plist.Marshal(plist.Dict{"MessageType": "GetBootstrapToken", "UDID": ph.UDID()})} {
				kind := map[string]string{connectPath: connectType, checkInPath: checkInType}[path]
				res, _ := p.send(http.MethodPut, path, kind, bytes.NewReader(body), "Authorization", authorization, "Mdm-Signature", signature(t, body, ph.identity()))
				p.check("an enrolled device with "+authorization[:min(len(authorization), 10)], res.StatusCode == http.StatusOK, res.StatusCode)
			}
			for _, target := range []string{c.URL, "/enroll/ota/attributes", "/enroll/account/owned"} {
				res, _ := p.send(http.MethodPost, target, "application/pkcs7-signature", strings.NewReader("x"), "Authorization", authorization)
				p.check("a stranger at "+target, res.StatusCode != http.StatusUnauthorized, res.StatusCode)
			}
		}
		status, header := p.enrollWith("byod", "invented", "ONLY40100001")
		p.check("a device whose user has not signed in", status == http.StatusUnauthorized && strings.Contains(header.Get("WWW-Authenticate"), p.url+"/enroll/account/authenticate"), status)
	})
}

// TestAccountDiscovery: exactly one server, and the way by the row's ownership.
func TestAccountDiscovery(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.person("nobody@example.com")
		p.invited("ACCDISC00001", "own@example.com", enroll.OwnershipPersonal)
		p.invited("ACCDISC00002", "work@example.com", enroll.OwnershipCorporate)
		for email, version := range map[string]string{"nobody@example.com": "mdm-byod", "own@example.com": "mdm-byod", "work@example.com": "mdm-adde", "WORK@example.com": "mdm-adde"} {
			res, body := p.send(http.MethodGet, "/.well-known/com.apple.remotemanagement?model-family=iPhone&user-identifier="+url.QueryEscape(email), "", nil)
			var out struct {
				Servers []struct{ Version, BaseURL string }
			}
			p.must(json.Unmarshal(body, &out))
			p.check(email, res.StatusCode == http.StatusOK && res.Header.Get("Content-Type") == "application/json" && len(out.Servers) == 1 && out.Servers[0].Version == version &&
				out.Servers[0].BaseURL == p.url+"/enroll/account/"+strings.TrimPrefix(version, "mdm-"), string(body))
		}
	})
}
