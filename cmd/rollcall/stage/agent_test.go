package stage

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	"rollcall/sim/android"
	"rollcall/sim/androidpki"
)

// hardware is the one maker of secure hardware.
var hardware = sync.OnceValues(androidpki.New)

// withAgent configures the agent that QR codes name, and trusts the hardware.
func withAgent(t *testing.T, change ...func(*app.Options)) func(*Options) {
	pki, err := hardware()
	if err != nil {
		t.Fatal(err)
	}
	roots := filepath.Join(t.TempDir(), "attestation.pem")
	var b []byte
	for _, r := range pki.Roots() {
		b = append(b, pemOf(r)...)
	}
	if err := os.WriteFile(roots, b, 0o600); err != nil {
		t.Fatal(err)
	}
	status := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"entries":{}}`)) }))
	t.Cleanup(status.Close)
	return func(o *Options) {
		o.Change = func(a *app.Options) {
			a.AttestationStatusURL = status.URL
			a.AgentComponent, a.AgentURL = "org.example.agent/.AdminReceiver", "https://mdm.example.com/agent.apk"
			a.AgentChecksum = "I5YvS0O5hXY46mb01BlRjq4oJJGs2kuUcHvVkAPEXlg"
			a.AttestationRoots = []string{roots}
			for _, f := range change {
				f(a)
			}
		}
	}
}

// droid makes an Android phone whose agent knows this server.
func (p *play) droid(serial string, change ...func(*android.Config)) *android.Phone {
	c := android.Config{Server: p.url, Serial: serial, Roots: p.Roots, Now: p.clock.Now}
	for _, f := range change {
		f(&c)
	}
	ph := android.New(c)
	p.t.Cleanup(ph.Close)
	return ph
}

type enrollmentToken struct {
	ID, Token, State, QR, Link string
	Uses                       int
}

// token makes an enrollment token.
func (p *play) token(fields object) (t enrollmentToken) {
	p.t.Helper()
	body := object{"name": "test"}
	for k, v := range fields {
		body[k] = v
	}
	p.admin(http.MethodPost, "/enrollment-tokens", body, &t)
	return t
}

func (p *play) tokenNow(id string) (t enrollmentToken) {
	p.t.Helper()
	p.admin(http.MethodGet, "/enrollment-tokens/"+id, nil, &t)
	return t
}

// androidRow puts Android devices on the roll.
func (p *play) androidRow(serials ...string) {
	for _, s := range serials {
		p.roll(s, object{"platform": "android"})
	}
}

// turnedAway wants a refusal with a status and code.
func (p *play) turnedAway(err error, status int, code string) {
	p.t.Helper()
	var refused *android.RefusedError
	if !errors.As(err, &refused) || refused.Status != status || refused.Code != code {
		p.t.Errorf("want %d %s, got %v", status, code, err)
	}
}

// TestAgent goes the straight way: a code is scanned, the device enrolls, gets
// its policy, is woken, and does what it is told.
func TestAgent(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.androidRow("AGENT0000001")
		p.group("Androids", "AGENT0000001")
		p.document("Basics", object{"restrictions": object{"camera": "deny", "facetime": "deny"}, "lock_message": "Property of {organization}", "device_name": "{user.name}"})
		p.bind("Basics", object{"group": "Androids"})
		token := p.token(object{"serial": "agent0000001", "max_uses": 1})
		ph := p.droid("AGENT0000001", func(c *android.Config) { c.Server = ""; c.CannotApply = map[string]string{"/lock_message": "no room"} })
		p.must(ph.Scan(p.ctx, token.QR))
		d := p.decided("AGENT0000001", enroll.AllowListed)
		p.check("the token is evidence", d.Evidence == "token" && d.Channel == "agent", d)
		p.check("the token is used", p.tokenNow(token.ID).State == "used")

		alive, stop := context.WithCancel(p.ctx)
		ended := make(chan error, 1)
		go func() { ended <- ph.Run(alive) }()
		r := p.acknowledged("AGENT0000001")
		doc, hash := ph.Policy()
		var policy struct {
			V            int
			Restrictions map[string]string
			DeviceName   string `json:"device_name"`
		}
		p.must(json.Unmarshal(doc, &policy))
		p.check("the policy is the neutral document as far as Android goes", policy.V == 1 && policy.Restrictions["camera"] == "deny" &&
			policy.Restrictions["facetime"] == "" && policy.DeviceName == "" && hash != "", string(doc))
		p.check("the receipt has it", len(r.Items) == 2 && r.TimeToPolicy > 0, r)
		for pointer, state := range map[string]string{"/restrictions/facetime": "unsupported", "/device_name": "failed", "/lock_message": "failed"} {
			p.check(pointer+" is told to be "+state, slices.ContainsFunc(r.Notes, func(n note) bool { return n.Pointer == pointer && n.State == state }), r.Notes)
		}
		row := p.device("AGENT0000001")
		p.check("the row knows the device", row.State == "enrolled" && row.Facts.OSVersion == "14" && row.Facts.Model == "SM-A536B" && row.Facts.Extra["manufacturer"] == "samsung", row)

		p.until("the phone waits", func() bool { return p.App.Waiting() == 1 })
		woken := time.Now()
		c := p.done("AGENT0000001", p.command("AGENT0000001", "lock", object{"message": "Lost", "phone": "112"}))
		p.check("it is locked", c.State == "acknowledged" && ph.Locked() != nil && ph.Locked().Message == "Lost", c)
		p.check("at once", time.Since(woken) < 20*time.Second)
		ph.OnCommand("ring", func(n int) android.Reaction {
			if n == 1 {
				return android.Fail("no_speaker", "there is none")
			}
			return android.Unsupported
		})
		c = p.done("AGENT0000001", p.command("AGENT0000001", "ring", object{"seconds": 5}))
		p.check("its words", c.State == "failed" && c.Error == "no_speaker: there is none", c)
		c = p.done("AGENT0000001", p.command("AGENT0000001", "ring", nil))
		p.check("unsupported", c.State == "failed" && c.Error == "unsupported", c)
		for _, way := range []android.Reaction{android.LoseAnswer, android.DropResult, android.Crash} {
			ph.OnCommand("locate", func(n int) android.Reaction {
				if n == 1 {
					return way
				}
				return android.Execute
			})
			c = p.done("AGENT0000001", p.command("AGENT0000001", "locate", nil))
			p.check("after a lost connection", c.State == "acknowledged" && strings.Contains(c.Result, "latitude"), c)
		}
		p.document("Basics", object{"restrictions": object{"camera": "allow"}})
		p.must(ph.WaitFor(p.ctx, func(ph *android.Phone) bool { _, h := ph.Policy(); return h != hash }))
		p.refused(http.StatusUnprocessableEntity, "command_invalid", http.MethodPost, "/devices/AGENT0000001/commands", object{"request_type": "DeviceLock"})
		p.refused(http.StatusUnprocessableEntity, "command_invalid", http.MethodPost, "/devices/AGENT0000001/commands", object{"request_type": "reset_passcode"})

		p.admin(http.MethodPost, "/devices/AGENT0000001/disenroll", nil, nil)
		p.check("it leaves when it is told", errors.Is(<-ended, android.ErrUnenrolled))
		stop()
		p.check("the row is unenrolled", p.device("AGENT0000001").State == "unenrolled")
	}, withAgent(t))
}

// TestAgentRetries: a policy that failed for a reason that may pass is sent
// again by itself, and one that failed for good is not.
func TestAgentRetries(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.androidRow("RETRY0000001", "RETRY0000002")
		p.document("Basics", object{"restrictions": object{"camera": "deny"}})
		words := map[string]string{"RETRY0000001": "network_unavailable", "RETRY0000002": "app_not_found"}
		for serial, code := range words {
			p.bind("Basics", object{"serial": serial})
			ph := p.droid(serial)
			ph.OnCommand("set_policy", func(n int) android.Reaction {
				if n == 1 {
					return android.Fail(code, "no")
				}
				return android.Execute
			})
			p.must(ph.Enroll(p.ctx, p.token(object{"serial": serial}).Token))
			alive, stop := context.WithCancel(p.ctx)
			ended := make(chan error, 1)
			go func() { ended <- ph.Run(alive) }()
			p.t.Cleanup(func() { stop(); <-ended })
			i, _ := p.settled(serial).find("policy")
			p.check("its words are told, and whether it has another chance", i.State == "failed" && i.RetryAt.IsZero() == (code == "app_not_found"), i)
		}
		p.clock.advance(6 * time.Minute)
		p.until("the policy is there at the second try", func() bool {
			i, _ := p.receipt("RETRY0000001").find("policy")
			return i.State == "applied" && i.Tries == 2 && i.Reason == "retry"
		})
		i, _ := p.receipt("RETRY0000002").find("policy")
		p.check("what fails for good stays so", i.State == "failed", i)
	})
}

// TestEnrollmentTokens: tokens that are used, expired, revoked, foreign, or
// bound to another serial.
func TestEnrollmentTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.androidRow("TOKEN0000001", "TOKEN0000002", "TOKEN0000003", "TOKEN0000004")
		p.scene("used", func(p *play) {
			tok := p.token(nil)
			p.must(p.droid("TOKEN0000001").Enroll(p.ctx, tok.Token))
			p.turnedAway(p.droid("TOKEN0000002").Enroll(p.ctx, tok.Token), http.StatusGone, "token_used")
			p.decided("TOKEN0000002", enroll.DenyTokenUsedUp)
		})
		p.scene("revoked", func(p *play) {
			tok := p.token(nil)
			p.admin(http.MethodDelete, "/enrollment-tokens/"+tok.ID, nil, nil)
			p.turnedAway(p.droid("TOKEN0000002").Enroll(p.ctx, tok.Token), http.StatusGone, "token_revoked")
			p.decided("TOKEN0000002", enroll.DenyTokenRevoked)
		})
		p.scene("expired", func(p *play) {
			tok := p.token(object{"expires_at": p.clock.Now().Add(time.Hour)})
			p.clock.advance(2 * time.Hour)
			p.turnedAway(p.droid("TOKEN0000002").Enroll(p.ctx, tok.Token), http.StatusGone, "token_expired")
			p.decided("TOKEN0000002", enroll.DenyTokenExpired)
		})
		p.scene("foreign", func(p *play) {
			p.turnedAway(p.droid("TOKEN0000002").Enroll(p.ctx, "a token of another server"), http.StatusGone, "token_unknown")
			p.decided("TOKEN0000002", enroll.DenyTokenUnknown)
		})
		p.scene("bound to another serial", func(p *play) {
			tok := p.token(object{"serial": "TOKEN0000003"})
			p.turnedAway(p.droid("TOKEN0000002").Enroll(p.ctx, tok.Token), http.StatusForbidden, string(enroll.DenyTokenSerialMismatch))
			p.decided("TOKEN0000002", enroll.DenyTokenSerialMismatch)
			p.check("a refused device does not use it up", p.tokenNow(tok.ID).Uses == 0)
			p.must(p.droid("").Enroll(p.ctx, tok.Token)) // a personal profile is not told its serial
			p.check("the row is enrolled", p.device("TOKEN0000003").State == "enrolled")
		})
		p.scene("a stranger", func(p *play) {
			tok := p.token(nil)
			p.turnedAway(p.droid("STRANGER00001").Enroll(p.ctx, tok.Token), http.StatusForbidden, string(enroll.DenyNotPreEnrolled))
			p.check("the token is still good", p.tokenNow(tok.ID).State == "usable")
		})
		p.scene("two devices at the same instant", func(p *play) {
			tok := p.token(nil)
			var enrolled, used atomic.Int64
			var wg sync.WaitGroup
			before := p.rows("enrollments", "ended_at = 0")
			for _, serial := range []string{"TOKEN0000002", "TOKEN0000004"} {
				ph := p.droid(serial)
				wg.Go(func() {
					var refused *android.RefusedError
					switch err := ph.Enroll(p.ctx, tok.Token); {
					case err == nil:
						enrolled.Add(1)
					case errors.As(err, &refused) && refused.Code == "token_used":
						used.Add(1)
					default:
						p.t.Error(err)
					}
				})
			}
			wg.Wait()
			p.check("exactly one enrolls", enrolled.Load() == 1 && used.Load() == 1, enrolled.Load(), used.Load())
			p.check("there is one enrollment more", p.rows("enrollments", "ended_at = 0") == before+1)
		})
		p.scene("the answer was lost", func(p *play) {
			tok := p.token(nil)
			p.androidRow("TOKEN0000006")
			before := p.rows("enrollments", "ended_at = 0")
			ph := p.droid("TOKEN0000006")
			ph.Lose("enroll", 1)
			p.check("the connection broke", ph.Enroll(p.ctx, tok.Token) != nil)
			p.must(ph.Enroll(p.ctx, tok.Token))
			p.check("one use", p.tokenNow(tok.ID).Uses == 1 && p.rows("enrollments", "ended_at = 0") == before+1)
		})
		p.scene("group, owner and ownership", func(p *play) {
			p.group("Sales")
			p.person("ann@example.com")
			p.roll("TOKEN0000005", object{"platform": "android", "ownership": "selectuser"})
			tok := p.token(object{"group": "Sales", "ownership": "personal", "user": object{"email": "ann@example.com"}})
			p.must(p.droid("TOKEN0000005").Enroll(p.ctx, tok.Token))
			var row struct {
				Ownership string
				Groups    []string
				User      struct{ Email string }
			}
			p.admin(http.MethodGet, "/devices/TOKEN0000005", nil, &row)
			p.check("the row took them", row.Ownership == "personal" && slices.Contains(row.Groups, "Sales") && row.User.Email == "ann@example.com", row)
		})
	})
}

// enrolled enrolls a phone that attests, once the server knows which keys are
// revoked.
func (p *play) enrolled(ph *android.Phone, token string) {
	p.t.Helper()
	p.until("the list of revoked keys", func() bool {
		err := ph.Enroll(p.ctx, token)
		var refused *android.RefusedError
		if errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable {
			return false
		}
		p.must(err)
		return true
	})
}

// TestAgentEvidence: who lies about a serial, and what hardware says of it.
func TestAgentEvidence(t *testing.T) {
	pki, err := hardware()
	if err != nil {
		t.Fatal(err)
	}
	box := func(p *play, of *androidpki.PKI) *androidpki.Keybox {
		p.t.Helper()
		b, err := of.Factory(time.Now().Add(24 * time.Hour))
		p.must(err)
		return b
	}
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.androidRow("PROOF0000001", "PROOF0000002")
		p.scene("a liar does not take over an enrollment", func(p *play) {
			tok := p.token(object{"max_uses": 0})
			honest := p.droid("PROOF0000001")
			p.must(honest.Enroll(p.ctx, tok.Token))
			p.turnedAway(p.droid("PROOF0000001").Enroll(p.ctx, tok.Token), http.StatusForbidden, string(enroll.DenyIdentityConflict))
			p.decided("PROOF0000001", enroll.DenyIdentityConflict)
			p.must(honest.CheckIn(p.ctx))
			bound := p.token(object{"serial": "PROOF0000001"})
			p.must(p.droid("PROOF0000001").Enroll(p.ctx, bound.Token))
			p.check("the replaced one is told to enroll again", errors.Is(honest.CheckIn(p.ctx), android.ErrReenroll))
		})
		p.scene("attested", func(p *play) {
			tok := p.token(nil)
			p.enrolled(p.droid("PROOF0000002", func(c *android.Config) { c.Keybox = box(p, pki) }), tok.Token)
			p.check("attested", p.decided("PROOF0000002", enroll.AllowListed).Evidence == "attested")
		})
		other, err := androidpki.New()
		p.must(err)
		p.scene("hardware of nobody", func(p *play) {
			p.androidRow("PROOF0000003")
			p.must(p.droid("PROOF0000003", func(c *android.Config) { c.Keybox = box(p, other) }).Enroll(p.ctx, p.token(nil).Token))
			p.check("claimed", p.decided("PROOF0000003", enroll.AllowListed).Evidence == "claimed")
		})
		for name, change := range map[string]func(*android.Config){
			"attestation of another serial": func(c *android.Config) { c.Hardware.Serial = "PROOF0000009" },
		} {
			p.scene(name, func(p *play) {
				tok := p.token(nil)
				ph := p.droid("PROOF0000002", func(c *android.Config) { c.Keybox = box(p, pki); c.Hardware.Brand = "samsung"; change(c) })
				p.turnedAway(ph.Enroll(p.ctx, tok.Token), http.StatusForbidden, string(enroll.DenyIdentityConflict))
				p.decided("PROOF0000002", enroll.DenyIdentityConflict)
			})
		}
	}, withAgent(t))
}

// TestVerifiedBoot: where a locked boot loader is required, others are refused.
func TestVerifiedBoot(t *testing.T) {
	pki, err := hardware()
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	p := start(t, "sqlite:"+filepath.Join(t.TempDir(), "rollcall.db"), withAgent(t, func(a *app.Options) { a.RequireVerifiedBoot = true }))
	p.androidRow("BOOT00000001", "BOOT00000002")
	keybox, err := pki.Factory(time.Now().Add(time.Hour))
	p.must(err)
	unlocked := func(c *android.Config) {
		c.Keybox, c.Hardware = keybox, androidpki.Device{Serial: "BOOT00000001", Unlocked: true}
	}
	p.enrolled(p.droid("BOOT00000002", func(c *android.Config) { c.Keybox = keybox }), p.token(nil).Token)
	for _, ph := range []*android.Phone{p.droid("BOOT00000001"), p.droid("BOOT00000001", unlocked)} {
		p.turnedAway(ph.Enroll(p.ctx, p.token(nil).Token), http.StatusForbidden, string(enroll.DenyEvidenceTooWeak))
	}
	p.must(p.droid("BOOT00000001", func(c *android.Config) { c.Keybox = keybox }).Enroll(p.ctx, p.token(nil).Token))
}

// TestAgentReplays: nonces, signatures and counters are taken once.
func TestAgentReplays(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.androidRow("REPLAY000001")
		tok := p.token(object{"max_uses": 0})
		ph := p.droid("REPLAY000001")
		p.must(ph.Enroll(p.ctx, tok.Token))
		repeat := func(what string, status int, code string) {
			p.t.Helper()
			got, said, err := ph.Repeat(p.ctx)
			p.must(err)
			p.check(what, got == status && said == code, got, said)
		}
		repeat("a nonce", http.StatusConflict, "nonce_used")
		p.must(ph.CheckIn(p.ctx))
		repeat("a check-in", http.StatusConflict, "counter_used")
		ph.SetCounter(1 << 62)
		p.must(ph.CheckIn(p.ctx))
		for name, alter := range map[string]func(*http.Request){
			"another device": func(r *http.Request) { r.Header.Set("Rollcall-Device", "0192") },
			"another counter": func(r *http.Request) {
				r.Header.Set("Rollcall-Counter", "9223372036854775807")
			},
			"no signature":     func(r *http.Request) { r.Header.Del("Rollcall-Signature") },
			"a short one":      func(r *http.Request) { r.Header.Set("Rollcall-Signature", "MAA=") },
			"a negative count": func(r *http.Request) { r.Header.Set("Rollcall-Counter", "-1") },
		} {
			bad := p.droid("REPLAY000001", func(c *android.Config) {
				c.Alter = func(step string, r *http.Request) {
					if step == "checkin" {
						alter(r)
					}
				}
			})
			p.must(bad.Enroll(p.ctx, p.token(object{"serial": "REPLAY000001"}).Token))
			err := bad.CheckIn(p.ctx)
			var refused *android.RefusedError
			ok := errors.As(err, &refused) && refused.Status == http.StatusBadRequest && refused.Action == "retry"
			if name == "another device" {
				ok = errors.Is(err, android.ErrReenroll)
			}
			p.check(name, ok, err)
		}
	})
}

// TestAgentLeaves: by wipe, by force, by its user; and waits for approval.
func TestAgentLeaves(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.androidRow("LEAVE0000001", "LEAVE0000002", "LEAVE0000003")
		p.scene("wipe", func(p *play) {
			ph := p.droid("LEAVE0000001")
			p.must(ph.Enroll(p.ctx, p.token(nil).Token))
			id := p.command("LEAVE0000001", "wipe", object{"external_storage": true, "reason": "sold"})
			p.until("the wipe", func() bool {
				err := ph.CheckIn(p.ctx)
				return errors.Is(err, android.ErrUnenrolled) || !ph.Enrolled()
			})
			p.check("it was acknowledged", p.commandOf("LEAVE0000001", id).State == "acknowledged")
			p.check("the row is unenrolled", p.device("LEAVE0000001").State == "unenrolled")
		})
		p.scene("by force", func(p *play) {
			ph := p.droid("LEAVE0000002")
			p.must(ph.Enroll(p.ctx, p.token(nil).Token))
			p.admin(http.MethodPost, "/devices/LEAVE0000002/disenroll", object{"force": true}, nil)
			p.check("it is told to leave", errors.Is(ph.CheckIn(p.ctx), android.ErrUnenrolled))
		})
		p.scene("reset by its user", func(p *play) {
			ph := p.droid("LEAVE0000003")
			p.must(ph.Enroll(p.ctx, p.token(nil).Token))
			ph.UserReset()
			p.must(ph.Enroll(p.ctx, p.token(object{"serial": "LEAVE0000003"}).Token))
			p.check("one enrollment runs", p.rows("enrollments", "ended_at = 0 AND device_id IN (SELECT id FROM devices WHERE serial = 'LEAVE0000003')") == 1)
		})
		p.scene("approval", func(p *play) {
			p.admin(http.MethodPut, "/settings/enrollment-restrictions", object{"pre_enrolled_devices_only": "enforce", "unlisted_devices": "hold"}, nil)
			tok := p.token(nil)
			ph := p.droid("LEAVE0000009")
			err := ph.Enroll(p.ctx, tok.Token)
			p.turnedAway(err, http.StatusAccepted, string(enroll.HoldPendingApproval))
			p.check("the token is not used", p.tokenNow(tok.ID).Uses == 0)
			p.admin(http.MethodPost, "/approvals/LEAVE0000009/approve", nil, nil)
			p.must(ph.Enroll(p.ctx, tok.Token))
		})
	})
}

// TestAndroidInvitation: the page of an enrollment request hands the phone its
// token.
func TestAndroidInvitation(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.restrict(enroll.ModeEnforce)
		p.androidRow("INVITED00001")
		r := p.accepted("INVITED00001")
		page := func() string {
			p.t.Helper()
			_, html := p.send(http.MethodGet, r.Link+"/next", "", nil)
			link := regexp.MustCompile(`href="(rollcall-agent:[^"]*)"`).FindStringSubmatch(string(html))
			if link == nil {
				p.t.Fatal("the page has no link")
			}
			u, err := url.Parse(strings.ReplaceAll(link[1], "&amp;", "&"))
			p.must(err)
			p.check("the link names the server", u.Query().Get("server") == p.url, u)
			return u.Query().Get("token")
		}
		first, second := page(), page()
		p.must(p.droid("INVITED00001").Enroll(p.ctx, first)) // although the page was opened again
		d := p.decided("INVITED00001", enroll.AllowListed)
		p.check("it came with the request", d.RequestID == r.ID && d.Evidence == "token", d)
		p.check("the request is completed", p.request(r.ID).State == "completed")
		p.turnedAway(p.droid("INVITED00001").Enroll(p.ctx, second), http.StatusGone, "token_revoked")
	}, withAgent(t))
}
