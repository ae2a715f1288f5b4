package stage

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/dep"
	"rollcall/enroll"
	"rollcall/sim/applepki"
	"rollcall/sim/cms"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

// adeProfile makes an ADE profile, with an account around it, and says what
// Apple would tell devices about it.
func (p *play) adeProfile(name string, change ...func(*dep.Profile)) iphone.CloudConfiguration {
	p.t.Helper()
	now := time.Now()
	err := p.App.Store().CreateAccount(p.ctx, dep.Account{ID: enroll.NewID(), Name: name, CertificatePEM: []byte("none"), CreatedAt: now, UpdatedAt: now}, []byte("none"))
	p.must(err)
	secret := "secret-of-" + name
	profile, _, _, err := p.App.Store().ChangeProfile(p.ctx, name, name, secret, func(*dep.Profile) (dep.Profile, error) {
		made := dep.Profile{ID: enroll.NewID(), Authentication: dep.AuthenticationNone, Version: 1, CreatedAt: now, UpdatedAt: now}
		for _, f := range change {
			f(&made)
		}
		return made, nil
	})
	p.must(err)
	c := iphone.CloudConfiguration{URL: p.url + dep.EntryPath(secret), AwaitDeviceConfigured: profile.Settings.AwaitConfigured, ReturnToService: profile.Settings.ReturnToService}
	if profile.Authentication != dep.AuthenticationNone {
		c.ConfigurationWebURL = p.url + dep.WebPath(secret)
	}
	return c
}

func signedInBy(a dep.Authentication) func(*dep.Profile) {
	return func(p *dep.Profile) { p.Authentication = a }
}

// activate is the device in Setup Assistant.
func (ph *phone) activate(c iphone.CloudConfiguration) *phone {
	ph.p.t.Helper()
	if err := ph.SetupAssistant(ph.p.ctx, c); err != nil {
		ph.p.t.Fatalf("%s does not enroll in Setup Assistant: %v", ph.Serial(), err)
	}
	return ph
}

// code makes the code of a request.
func (p *play) code(r request) string {
	p.t.Helper()
	var out struct{ Code string }
	p.admin(http.MethodPost, "/requests/"+r.ID+"/code", nil, &out)
	return out.Code
}

func typing(code string) iphone.Choice {
	return iphone.Choice{Fields: map[string]string{"code": code}}
}

// TestADEEnrolls: the listed device comes in by one signed message, gets its
// policy in Setup Assistant, and one decision says so; the stranger is refused.
func TestADEEnrolls(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.roll("ADE000000001")
		p.policy("Work", wifi("office"))
		p.bind("Work", object{"serial": "ADE000000001"})
		c := p.adeProfile("school")
		ph := p.phone("ADE000000001").activate(c)
		p.acknowledged("ADE000000001")
		ph.want("the policy", hasAll("office"))
		p.check("supervised", ph.Supervised())
		d := p.decided("ADE000000001", enroll.AllowListed)
		p.check("one decision, channel ade, signed", len(p.decisions("ADE000000001")) == 1 && d.Channel == "ade" && d.Evidence == "signed", p.decisions("ADE000000001"))
		p.check("the device reports itself", p.device("ADE000000001").State == "enrolled")

		stranger := p.phone("ADE000000002")
		before := p.issued()
		refused := stranger.turnedAway(stranger.SetupAssistant(p.ctx, c))
		p.check("403 and a short sentence", refused.Status == http.StatusForbidden && refused.Text == enroll.DenyNotPreEnrolled.Reason().Person, refused)
		p.decided("ADE000000002", enroll.DenyNotPreEnrolled)
		p.check("nothing was issued", p.issued() == before, before, p.issued())
	})
}

// machineInfo is what a device signs in Setup Assistant.
func machineInfo(serial string) plist.Dict {
	return plist.Dict{"UDID": "00008130-" + strings.ToUpper(hexOf(serial)), "SERIAL": serial, "PRODUCT": "iPad16,3", "VERSION": "23B85", "OS_VERSION": "26.1",
		"LANGUAGE": "en", "MDM_CAN_REQUEST_SOFTWARE_UPDATE": true}
}

// TestADEBadMachineInfo has a scene for each way in which machine info can be
// wrong. None is answered 401, and none leads to anything.
func TestADEBadMachineInfo(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		const serial = "ADEBAD000001"
		p.roll(serial)
		c := p.adeProfile("bad")
		asks := p.adeProfile("asks", signedInBy(dep.AuthenticationRequest))
		device, chain, _ := p.deviceIdentity(serial)
		otherApple, err := applepki.New()
		p.must(err)
		forged, err := otherApple.IssueDeviceKey("00008130-"+hexOf(serial), serial, p.key())
		p.must(err)
		sign := func(info plist.Dict, by credentials) []byte {
			body, err := cms.Sign(plist.Marshal(info), by.cert, by.key, cms.SignOptions{Certificates: chain})
			p.must(err)
			return body
		}
		noSerial := machineInfo(serial)
		delete(noSerial, "SERIAL")
		good := sign(machineInfo(serial), device)
		for _, scene := range []struct {
			name, url string
			body      []byte
			status    int
			serial    string // of the decision
			code      enroll.Code
		}{
			{"unsigned", c.URL, plist.Marshal(machineInfo(serial)), 400, "", ""},
			{"empty", c.URL, nil, 400, "", ""},
			{"truncated", c.URL, good[:len(good)/2], 400, "", ""},
			{"changed after signing", c.URL, bytes.Replace(good, []byte("iPad16,3"), []byte("iPad16,4"), 1), 400, "", ""},
			{"signed by a stranger", c.URL, sign(machineInfo(serial), selfSigned(p)), 403, serial, enroll.DenyEvidenceTooWeak},
			{"signed by another Apple", c.URL, sign(machineInfo(serial), credentials{forged.Certificate, forged.Key}), 403, serial, enroll.DenyEvidenceTooWeak},
			{"replayed with another URL", p.url + dep.EntryPath("guessed"), good, 403, serial, enroll.DenyTokenUnknown},
			{"posted past the web view", asks.URL, good, 403, serial, enroll.DenyChannel},
			{"without serial", c.URL, sign(noSerial, device), 403, "", enroll.DenyEvidenceTooWeak},
			{"signed, but no property list", c.URL, signedText(t, device), 400, "", ""},
		} {
			p.scene(scene.name, func(p *play) {
				before := p.issued()
				res, answer := p.send(http.MethodPost, scene.url, "application/pkcs7-signature", bytes.NewReader(scene.body))
				p.check("the status", res.StatusCode == scene.status, res.StatusCode, string(answer))
				p.noInternals(string(answer))
				if scene.code != "" {
					p.decided(scene.serial, scene.code)
				}
				p.check("nothing was issued", p.issued() == before, before, p.issued())
			})
		}
		p.scene("BER-encoded machine info is read", func(p *play) {
			res, answer := p.send(http.MethodPost, c.URL, "application/pkcs7-signature", bytes.NewReader(indefinite(t, good)))
			p.check("the profile", res.StatusCode == http.StatusOK && res.Header.Get("Content-Type") == "application/x-apple-aspen-config", res.StatusCode, string(answer))
		})
		p.scene("a serial that is not in DEP is the gate's to decide, which says so", func(p *play) {
			p.decided(serial, enroll.AllowListed)
			var full struct {
				Trace []struct{ Check, Result, Detail string }
			}
			p.admin(http.MethodGet, "/decisions/"+p.decisions(serial)[0].ID, nil, &full)
			p.check("the trace", len(full.Trace) > 0 && full.Trace[0].Check == "DEP" && full.Trace[0].Result == "warn", full)
		})
	})
}

func signedText(t *testing.T, by credentials) []byte {
	t.Helper()
	body, err := cms.Sign([]byte("no property list"), by.cert, by.key, cms.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// indefinite writes the outermost SEQUENCE of a message in BER.
func indefinite(t *testing.T, der []byte) []byte {
	t.Helper()
	if der[0] != 0x30 || der[1] != 0x82 {
		t.Fatal("not a long sequence")
	}
	return append(append([]byte{0x30, 0x80}, der[4:]...), 0, 0)
}

// TestADEHostileBytes feeds every bomb to every new door.
func TestADEHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		c := p.adeProfile("hostile", signedInBy(dep.AuthenticationRequest))
		for _, b := range bombs(t) {
			header := base64.StdEncoding.EncodeToString(b.body[:min(len(b.body), 32<<10)])
			text := url.QueryEscape(string(b.body[:min(len(b.body), 2<<10)]))
			for name, status := range map[string]func() (*http.Response, []byte){
				"machine info": func() (*http.Response, []byte) {
					return p.send(http.MethodPost, c.URL, "application/pkcs7-signature", bytes.NewReader(b.body))
				},
				"account machine info": func() (*http.Response, []byte) {
					return p.send(http.MethodPost, "/enroll/account/byod", "application/pkcs7-signature", bytes.NewReader(b.body))
				},
				"machine info of web view": func() (*http.Response, []byte) {
					return p.send(http.MethodGet, c.ConfigurationWebURL, "", nil, "X-Apple-Aspen-Deviceinfo", header)
				},
				"code": func() (*http.Response, []byte) {
					return p.send(http.MethodPost, c.ConfigurationWebURL, "application/x-www-form-urlencoded", bytes.NewReader(b.body))
				},
				"callback": func() (*http.Response, []byte) {
					return p.send(http.MethodGet, "/enroll/oidc/callback?state="+text, "", nil)
				},
				"user": func() (*http.Response, []byte) {
					return p.send(http.MethodGet, "/.well-known/com.apple.remotemanagement?user-identifier="+text, "", nil)
				},
			} {
				if len(b.body) == 0 && name == "machine info of web view" {
					continue
				}
				res, answer := status()
				p.check(b.name+" as "+name+" is answered 4xx, and not 401", res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusUnauthorized, res.StatusCode, string(answer))
				p.noInternals(string(answer))
			}
		}
		p.check("nothing panicked", !strings.Contains(p.log.String(), "panic"))
		p.check("nothing was decided", p.rows("decisions", "") == 0)
	})
}

// TestADEUpdatesFirst: a device with an old system is told to update, which it
// does, and comes back; one that cannot is let in by the gate as it is.
func TestADEUpdatesFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.roll("ADEOLD000001")
		p.roll("ADEOLD000002")
		c := p.adeProfile("new", func(d *dep.Profile) { d.MinimumOS = map[string]string{"iPhone": "26.2", "iPad": "27"} })
		p.phone("ADEOLD000001").activate(c)
		p.check("one decision, about the new system", len(p.decisions("ADEOLD000001")) == 1, p.decisions("ADEOLD000001"))
		p.until("the new version is known", func() bool {
			f := p.device("ADEOLD000001").Facts
			return f != nil && f.OSVersion == "26.2"
		})

		p.phone("ADEOLD000002", tamper("MachineInfo", func(m plist.Dict) { m["MDM_CAN_REQUEST_SOFTWARE_UPDATE"] = false })).activate(c)
		p.decided("ADEOLD000002", enroll.AllowListed)

		device, _, _ := p.deviceIdentity("ADEOLD000003")
		body, err := cms.Sign(plist.Marshal(machineInfo("ADEOLD000003")), device.cert, device.key, cms.SignOptions{})
		p.must(err)
		res, _ := p.send(http.MethodPost, c.URL, "application/pkcs7-signature", bytes.NewReader(body))
		p.check("a stranger is refused, and not sent to update", res.StatusCode == http.StatusForbidden && !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json"), res.Header)
		p.decided("ADEOLD000003", enroll.DenyNotPreEnrolled)

		p.roll("ADEOLD000003")
		res, answer := p.send(http.MethodPost, c.URL, "application/pkcs7-signature", bytes.NewReader(body))
		var apple struct {
			Code    string
			Details struct{ OSVersion string }
		}
		p.must(json.Unmarshal(answer, &apple))
		p.check("Apple's code, as JSON", res.StatusCode == http.StatusForbidden && res.Header.Get("Content-Type") == "application/json" &&
			apple.Code == "com.apple.softwareupdate.required" && apple.Details.OSVersion == "27", res.StatusCode, string(answer))
		p.check("that is no decision", len(p.decisions("ADEOLD000003")) == 1)
	})
}

// TestADEPersonTypesCode: the web view asks for the code of the enrollment
// request, and the gate hears whose it is.
func TestADEPersonTypesCode(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		for serial, owner := range map[string]string{"ADEWEB000001": "ann@example.com", "ADEWEB000002": "bob@example.com"} {
			p.roll(serial, object{"user": object{"email": owner}})
		}
		c := p.adeProfile("web", signedInBy(dep.AuthenticationRequest))
		r := p.invite("ADEWEB000001")
		code := p.code(r)
		p.scene("a wrong code leads nowhere", func(p *play) {
			c.Choice = typing("00000-00000")
			ph := p.phone("ADEWEB000001")
			ph.turnedAway(ph.SetupAssistant(p.ctx, c))
			p.check("the page says so", strings.Contains(ph.LastPage(), "not known"), ph.LastPage())
			p.check("the gate was not asked", len(p.decisions("ADEWEB000001")) == 0)
		})
		p.scene("the code of another row is refused", func(p *play) {
			c.Choice = typing(code)
			ph := p.phone("ADEWEB000002")
			ph.turnedAway(ph.SetupAssistant(p.ctx, c))
			p.decided("ADEWEB000002", enroll.DenyTokenSerialMismatch)
		})
		p.scene("the code lets its device in, as people type it", func(p *play) {
			c.Choice = typing(" " + strings.ToLower(strings.ReplaceAll(code, "-", " ")))
			p.phone("ADEWEB000001").activate(c)
			d := p.decided("ADEWEB000001", enroll.AllowListed)
			p.check("one decision, with the request", len(p.decisions("ADEWEB000001")) == 1 && d.RequestID == r.ID, d)
			p.check("the request is completed", p.request(r.ID).State == "completed")
		})
		p.scene("a code is used up with its request", func(p *play) {
			c.Choice = typing(code)
			ph := p.phone("ADEWEB000002")
			ph.turnedAway(ph.SetupAssistant(p.ctx, c))
			p.check("the page says so", strings.Contains(ph.LastPage(), "has been used"), ph.LastPage())
		})
		p.scene("the codes are not in the database", func(p *play) {
			p.check("hashed", p.rows("request_codes", "") == 1)
			p.check("not in the log", !strings.Contains(p.log.String(), code))
		})
	})
}

// TestADECodesAreNotGuessed: after too many wrong codes from one address none
// is looked up there for a while, not even the right one.
func TestADECodesAreNotGuessed(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("ADEGUESS0001")
		c := p.adeProfile("guess", signedInBy(dep.AuthenticationRequest))
		code := p.code(p.invite("ADEGUESS0001"))
		device, _, _ := p.deviceIdentity("ADEGUESS0001")
		body, err := cms.Sign(plist.Marshal(machineInfo("ADEGUESS0001")), device.cert, device.key, cms.SignOptions{})
		p.must(err)
		res, _ := p.send(http.MethodGet, c.ConfigurationWebURL, "", nil, "X-Apple-Aspen-Deviceinfo", base64.StdEncoding.EncodeToString(body))
		session := res.Header.Get("Set-Cookie")
		p.check("the cookie is bound to host and TLS", strings.HasPrefix(session, "__Host-") && strings.Contains(session, "Secure") && strings.Contains(session, "HttpOnly") && strings.Contains(session, "SameSite=Lax"), session)
		session, _, _ = strings.Cut(session, ";")
		try := func(code string) int {
			res, _ := p.send(http.MethodPost, c.ConfigurationWebURL, "application/x-www-form-urlencoded", strings.NewReader(url.Values{"code": {code}}.Encode()), "Cookie", session)
			return res.StatusCode
		}
		for range enroll.CodeTries {
			p.check("a wrong code", try("11111-11111") == http.StatusUnprocessableEntity)
		}
		p.check("no more", try("11111-11112") == http.StatusTooManyRequests)
		p.check("not even the right one", try(code) == http.StatusTooManyRequests)
		p.clock.advance(enroll.CodeWindow + time.Minute)
		p.check("until a while has passed", try(code) == http.StatusOK)
		p.check("and then once", try(code) == http.StatusForbidden)
	})
}

// TestADEGateIsAskedOnce: a form that is sent many times at once is one sign-in,
// one decision and one profile.
func TestADEGateIsAskedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("ADEONCE00001")
		c := p.adeProfile("once", signedInBy(dep.AuthenticationRequest))
		code := p.code(p.invite("ADEONCE00001"))
		device, _, _ := p.deviceIdentity("ADEONCE00001")
		body, err := cms.Sign(plist.Marshal(machineInfo("ADEONCE00001")), device.cert, device.key, cms.SignOptions{})
		p.must(err)
		res, _ := p.send(http.MethodGet, c.ConfigurationWebURL, "", nil, "X-Apple-Aspen-Deviceinfo", base64.StdEncoding.EncodeToString(body))
		cookie, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";")
		var profiles atomic.Int64
		var taps sync.WaitGroup
		for range 8 {
			taps.Go(func() {
				req, err := http.NewRequestWithContext(p.ctx, http.MethodPost, c.ConfigurationWebURL, strings.NewReader(url.Values{"code": {code}}.Encode()))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.Header.Set("Cookie", cookie)
				res, err := p.client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					profiles.Add(1)
				}
			})
		}
		taps.Wait()
		p.check("one profile", profiles.Load() == 1, profiles.Load())
		p.check("one decision", len(p.decisions("ADEONCE00001")) == 1, len(p.decisions("ADEONCE00001")))
	})
}

// TestADEWebViewWithoutDevice: the pages open in Setup Assistant only, and for
// half an hour.
func TestADEWebViewWithoutDevice(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("ADEVIEW00001")
		c := p.adeProfile("view", signedInBy(dep.AuthenticationRequest))
		other := p.adeProfile("other", signedInBy(dep.AuthenticationRequest))
		device, _, _ := p.deviceIdentity("ADEVIEW00001")
		body, err := cms.Sign(plist.Marshal(machineInfo("ADEVIEW00001")), device.cert, device.key, cms.SignOptions{})
		p.must(err)
		header := base64.StdEncoding.EncodeToString(body)
		begin := func() string {
			res, _ := p.send(http.MethodGet, c.ConfigurationWebURL, "", nil, "X-Apple-Aspen-Deviceinfo", header)
			cookie, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";")
			return cookie
		}
		get := func(url string, header ...string) int {
			res, answer := p.send(http.MethodGet, url, "", nil, header...)
			p.noInternals(string(answer))
			return res.StatusCode
		}
		p.check("no machine info, no session", get(c.ConfigurationWebURL) == http.StatusForbidden)
		p.check("machine info that is none", get(c.ConfigurationWebURL, "X-Apple-Aspen-Deviceinfo", "!") == http.StatusForbidden)
		p.check("machine info that is not signed", get(c.ConfigurationWebURL, "X-Apple-Aspen-Deviceinfo", "AAAA") == http.StatusForbidden)
		p.check("machine info replayed with another URL", get(p.url+dep.WebPath("guessed"), "X-Apple-Aspen-Deviceinfo", header) == http.StatusForbidden)
		p.decided("ADEVIEW00001", enroll.DenyTokenUnknown)
		cookie := begin()
		p.check("a reload without the header", get(c.ConfigurationWebURL, "Cookie", cookie) == http.StatusOK)
		p.check("the page of another profile", get(other.ConfigurationWebURL, "Cookie", cookie) == http.StatusForbidden)
		p.check("the callback of a provider", get(p.url+"/enroll/oidc/callback?state=&code=x", "Cookie", cookie) == http.StatusForbidden)
		p.check("an invented session", get(c.ConfigurationWebURL, "Cookie", "__Host-rollcall-signin=invented") == http.StatusForbidden)
		p.clock.advance(31 * time.Minute)
		p.check("after half an hour", get(c.ConfigurationWebURL, "Cookie", cookie) == http.StatusForbidden)
	})
}

// TestADEPersonSignsIn: the provider says who the person is, and the gate holds
// that against the owner of the row.
func TestADEPersonSignsIn(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		p, provider := startWithProvider(t, dsn)
		p.restrict(enroll.ModeEnforce)
		p.roll("ADEOIDC00001", object{"user": object{"email": "ann@example.com"}})
		p.roll("ADEOIDC00002")
		p.roll("ADEOIDC00003", object{"user": object{"email": "bob@example.com"}})
		c := p.adeProfile("oidc", signedInBy(dep.AuthenticationOIDC))
		try := func(serial string) (*phone, error) {
			ph := p.phone(serial, p.trusting(provider))
			return ph, ph.SetupAssistant(p.ctx, c)
		}
		p.scene("somebody the roll does not know", func(p *play) {
			provider.Person("eve@example.com")
			ph, err := try("ADEOIDC00001")
			ph.turnedAway(err)
			p.check("the gate was not asked", len(p.decisions("ADEOIDC00001")) == 0)
		})
		p.scene("somebody who refuses", func(p *play) {
			provider.Person("")
			ph, err := try("ADEOIDC00001")
			ph.turnedAway(err)
		})
		lies := map[string]func(map[string]any){
			"another nonce":                 func(c map[string]any) { c["nonce"] = "x" },
			"another audience":              func(c map[string]any) { c["aud"] = "x" },
			"another issuer":                func(c map[string]any) { c["iss"] = "https://x.example.com" },
			"a token that ended":            func(c map[string]any) { c["exp"] = 1 },
			"an unproven address":           func(c map[string]any) { c["email_verified"] = "false" },
			"an address nobody vouches for": func(c map[string]any) { delete(c, "email_verified") },
			"no address":                    func(c map[string]any) { delete(c, "email") },
		}
		provider.Person("ann@example.com")
		for name, lie := range lies {
			p.scene(name, func(p *play) {
				provider.Lie(lie)
				defer provider.Lie(nil)
				ph, err := try("ADEOIDC00001")
				ph.turnedAway(err)
				p.check("the gate was not asked", len(p.decisions("ADEOIDC00001")) == 0)
			})
		}
		p.scene("the owner of the row", func(p *play) {
			ph, err := try("ADEOIDC00001")
			p.must(err)
			p.check("enrolled", ph.Enrolled())
			p.check("one decision", len(p.decisions("ADEOIDC00001")) == 1)
			p.decided("ADEOIDC00001", enroll.AllowListed)
		})
		p.scene("somebody else than the owner", func(p *play) {
			ph, err := try("ADEOIDC00003")
			ph.turnedAway(err)
			p.decided("ADEOIDC00003", enroll.DenyUserMismatch)
		})
		p.scene("a row of nobody gets an owner", func(p *play) {
			_, err := try("ADEOIDC00002")
			p.must(err)
			var row struct{ User struct{ Email string } }
			p.admin(http.MethodGet, "/devices/ADEOIDC00002", nil, &row)
			p.check("the owner", row.User.Email == "ann@example.com", row)
		})
	})
}

// TestADEReturnsToService: a device that may erase itself comes back managed,
// and waits until it has its policy; others may not.
func TestADEReturnsToService(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("ADERTS000001")
		p.roll("ADERTS000002")
		c := p.adeProfile("kiosk", func(d *dep.Profile) { d.Settings.ReturnToService = true })
		ph := p.phone("ADERTS000001").activate(c)
		p.acknowledged("ADERTS000001")
		ph.want("to be released from Setup Assistant", func(p *iphone.Phone) bool { return !p.Awaiting() })
		ph.checkIn(http.StatusOK, plist.Dict{"MessageType": "SetBootstrapToken", "BootstrapToken": []byte("boot")})
		answer := ph.checkIn(http.StatusOK, plist.Dict{"MessageType": "ReturnToService"})
		back, _ := answer["ReturnToService"].(plist.Dict)
		token, _ := back["BootstrapToken"].([]byte)
		p.check("it may, and gets its token back", back["Enabled"] == true && string(token) == "boot", answer)
		if err := ph.ReturnToService(p.ctx, c); err != nil {
			t.Fatal(err)
		}
		p.check("it is back", ph.Enrolled() && len(p.decisions("ADERTS000001")) == 2, p.decisions("ADERTS000001"))
		ph.want("to be released again", func(p *iphone.Phone) bool { return !p.Awaiting() })

		p.roll("ADERTS000003")
		plain := p.adeProfile("desk")
		desk := p.phone("ADERTS000003").activate(plain)
		p.check("one whose profile does not say so may not", errors.Is(desk.ReturnToService(p.ctx, plain), iphone.ErrNotReturning))

		p.roll("ADERTS000004", object{"user": object{"email": "ann@example.com"}})
		web := p.adeProfile("lounge", signedInBy(dep.AuthenticationRequest), func(d *dep.Profile) { d.Settings.ReturnToService = true })
		web.Choice = typing(p.code(p.invite("ADERTS000004")))
		lounge := p.phone("ADERTS000004").activate(web)
		p.must(lounge.ReturnToService(p.ctx, web))
		p.check("one that would ask for a person takes its profile along", lounge.Enrolled() && len(p.decisions("ADERTS000004")) == 2, p.decisions("ADERTS000004"))
		p.admin(http.MethodPost, "/devices/ADERTS000004/block", object{"reason": "lost"}, nil)
		p.check("unless the gate is against it", errors.Is(lounge.ReturnToService(p.ctx, web), iphone.ErrNotReturning))
		p.decided("ADERTS000004", enroll.DenyBlocked)

		byHand := p.phone("ADERTS000002").enroll(p.url + "/enroll")
		err := byHand.ReturnToService(p.ctx, c)
		p.check("one that came by hand may not", errors.Is(err, iphone.ErrNotReturning), err)
	})
}

// TestServiceConfig: what Configurator asks for, without a secret in it.
func TestServiceConfig(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.adeProfile("config")
		res, body := p.send(http.MethodGet, "/MDMServiceConfig", "", nil)
		var config map[string]string
		p.must(json.Unmarshal(body, &config))
		p.check("JSON with the URLs", res.Header.Get("Content-Type") == "application/json" && config["trust_profile_url"] == p.url+"/enroll/trust", string(body))
		p.check("no secret", !strings.Contains(string(body), "secret-of"), string(body))
		_, body = p.send(http.MethodGet, config["dep_anchor_certs_url"], "", nil)
		var anchors []string
		p.must(json.Unmarshal(body, &anchors))
		der, err := base64.StdEncoding.DecodeString(anchors[0])
		p.check("the anchor", err == nil && bytes.Equal(der, p.App.Authority().Certificate().Raw), string(body))
	})
}
