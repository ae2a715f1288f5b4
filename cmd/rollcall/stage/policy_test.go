package stage

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"rollcall/sim/iphone"
)

// document makes or changes a policy.
func (p *play) document(name string, document object) {
	p.t.Helper()
	p.admin(http.MethodPut, "/policies/"+url.PathEscape(name), object{"document": document}, nil)
}

// TestOneDocument: a neutral document becomes what the phone has, and the
// receipt says which policy each part comes from, and what the phone cannot do.
func TestOneDocument(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("DOCUMENT0001")
		p.group("Everybody", "DOCUMENT0001")
		p.document("Basics", object{"restrictions": object{"camera": "deny", "sms": "deny", "backup": "deny"}, "lock_message": "Call {user.mobile}",
			"wifi": []any{object{"ssid": "Office", "security": "wpa2", "password": wifiPassword}}})
		p.bind("Basics", object{"group": "Everybody"})
		p.document("Own", object{"device_name": "Phone {serial}"})
		p.bind("Own", object{"serial": "DOCUMENT0001"})
		ph := p.phone("DOCUMENT0001", supervised).enroll(p.url + "/enroll")
		r := p.acknowledged("DOCUMENT0001")
		p.check("the phone has its name", ph.DeviceName() == "Phone DOCUMENT0001", ph.DeviceName())
		p.check("and the profiles", has(ph.Phone, "restrictions"), ph.InstalledProfiles())
		name, _ := r.find("device_name")
		p.check("the name is of the one policy", len(name.Policies) == 1 && name.Policies[0].Policy == "Own" && name.Policies[0].Via == "device", name)
		limits, _ := r.find("restrictions")
		p.check("the restrictions are of the other", len(limits.Policies) == 1 && limits.Policies[0].Policy == "Basics" && limits.Policies[0].Via == "group:Everybody", limits)
		p.check("what an iPhone cannot do is told", slices.ContainsFunc(r.Notes, func(n note) bool { return n.Pointer == "/restrictions/sms" && n.State == "unsupported" }), r.Notes)
		p.check("a variable without a value is told and stops nothing else", slices.ContainsFunc(r.Notes, func(n note) bool {
			return n.Pointer == "/lock_message" && n.State == "failed" && n.Code == "variable_missing" && n.Text == "The device has no value for {user.mobile}."
		}), r.Notes)
	})
}

// TestBadPayloads: one payload is refused, one not understood, one put off for
// ever. The others go on, and the phone leaves Setup Assistant: not before the
// one that is put off, but when the time is over.
func TestBadPayloads(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("BADLOAD00001")
		p.policy("Basics", wifi("a"), wifi("b"), wifi("c"), wifi("d"))
		p.bind("Basics", object{"serial": "BADLOAD00001"})
		ph := p.phone("BADLOAD00001", supervised, awaiting)
		ph.OnCommand("InstallProfile", func(n int) iphone.Reaction {
			switch n {
			case 1:
				return iphone.Error(iphone.ErrorItem{Code: 1000, Domain: "MCProfileErrorDomain", Message: "no"})
			case 2:
				return iphone.FormatError
			case 3:
				return iphone.Execute
			}
			return iphone.NotNow
		})
		ph.enroll(p.url + "/enroll")
		p.until("one is put off", func() bool { i, _ := p.receipt("BADLOAD00001").find(".d"); return i.State == "not_now" })
		p.until("no plan is wanted", func() bool { return p.rows("deliveries", "due_at > 0") == 0 })
		r := p.receipt("BADLOAD00001")
		for suffix, want := range map[string]string{".a": "failed", ".b": "failed", ".c": "applied"} {
			i, _ := r.find(suffix)
			p.check(suffix+" is "+want, i.State == want, i)
		}
		_, released := r.find("configured")
		p.check("nothing overtakes the one that is put off", !released && ph.Awaiting(), r.Items)

		p.clock.advance(11 * time.Minute)
		ph.want("release from Setup Assistant", func(ph *iphone.Phone) bool { return !ph.Awaiting() })
	})
}

// TestPolicyDeletedWhileDelivered: what was not carried out never is, what was
// is taken off again.
func TestPolicyDeletedWhileDelivered(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("DELETED00001")
		p.policy("Basics", wifi("a"), wifi("b"))
		p.bind("Basics", object{"serial": "DELETED00001"})
		ph := p.phone("DELETED00001")
		ph.OnCommand("InstallProfile", func(n int) iphone.Reaction {
			if n == 1 {
				return iphone.Execute
			}
			return iphone.NotNow
		})
		ph.enroll(p.url + "/enroll")
		p.until("one is there and one is put off", func() bool {
			b, _ := p.receipt("DELETED00001").find(".b")
			return has(ph.Phone, "a") && b.State == "not_now"
		})
		p.admin(http.MethodDelete, "/policies/Basics", nil, nil)
		ph.want("the one that was there is gone", func(ph *iphone.Phone) bool { return !has(ph, "a") })
		p.until("nothing is open", func() bool {
			return p.rows("commands", "finished_at = 0") == 0 && p.rows("deliveries", "due_at > 0") == 0
		})
		p.check("and the other never came", !has(ph.Phone, "b") && ph.Enrolled(), ph.InstalledProfiles())
	})
}

// TestRetry: an error that may pass is tried again later, one that stays is not.
func TestRetry(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("RETRY0000001")
		p.policy("Basics", wifi("a"), wifi("b"))
		p.bind("Basics", object{"serial": "RETRY0000001"})
		ph := p.phone("RETRY0000001")
		ph.OnCommand("InstallProfile", func(n int) iphone.Reaction {
			switch n {
			case 1:
				return iphone.Error(iphone.ErrorItem{Code: -1009, Domain: "NSURLErrorDomain", Message: "offline"})
			case 2:
				return iphone.Error(iphone.ErrorItem{Code: 1000, Domain: "MCProfileErrorDomain", Message: "no"})
			}
			return iphone.Execute
		})
		ph.enroll(p.url + "/enroll")
		r := p.settled("RETRY0000001")
		a, _ := r.find(".a")
		b, _ := r.find(".b")
		p.check("both failed, one has another chance", a.State == "failed" && b.State == "failed" && !a.RetryAt.IsZero() && b.RetryAt.IsZero(), a, b)
		p.clock.advance(6 * time.Minute)
		ph.want("the profile at the second try", hasAll("a"))
		p.until("the receipt says so", func() bool {
			a, _ = p.receipt("RETRY0000001").find(".a")
			return a.State == "applied" && a.Tries == 2 && a.Reason == "retry"
		})
		p.check("the other was not sent again", count(ph.CommandsSeen(), "InstallProfile") == 3, ph.CommandsSeen())
	})
}

// TestDrift: a profile that went behind the server's back comes back after the
// daily look.
func TestDrift(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("DRIFT0000001")
		p.document("Basics", object{"wifi": []any{object{"ssid": "Office", "security": "wpa2", "password": wifiPassword}}, "restrictions": object{"backup": "deny"}})
		p.bind("Basics", object{"serial": "DRIFT0000001"})
		ph := p.phone("DRIFT0000001").enroll(p.url + "/enroll")
		p.acknowledged("DRIFT0000001")
		gone := p.command("DRIFT0000001", "RemoveProfile", object{"Identifier": "rollcall.policy.restrictions"})
		p.check("the profile is removed", p.done("DRIFT0000001", gone).State == "acknowledged" && !has(ph.Phone, "restrictions"))
		p.clock.advance(25 * time.Hour)
		ph.want("the profile comes back", hasAll("restrictions"))
		p.until("the receipt says why", func() bool {
			i, _ := p.receipt("DRIFT0000001").find("restrictions")
			return i.State == "applied" && i.Reason == "drift"
		})
		p.acknowledged("DRIFT0000001")
		p.check("the rest was left alone", count(ph.CommandsSeen(), "InstallProfile") == 3, ph.CommandsSeen())
	})
}

// TestRollout: a change reaches some devices first, stays where it is while it
// is paused, and reaches all in the end.
func TestRollout(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const n = 5
		var serials []string
		for i := range n {
			serials = append(serials, fmt.Sprintf("ROLLOUT0000%d", i))
			p.roll(serials[i])
		}
		p.group("Everybody", serials...)
		p.policy("Basics", passcode(6))
		p.bind("Basics", object{"group": "Everybody"})
		phones := map[string]*phone{}
		for _, s := range serials {
			phones[s] = p.phone(s).enroll(p.url + "/enroll")
			phones[s].want("the first version", func(ph *iphone.Phone) bool { return minLength(ph) == 6 })
		}
		p.admin(http.MethodPut, "/policies/Basics/rollout", object{"percent": 40}, nil)
		p.policy("Basics", passcode(8))
		p.until("the change is planned", func() bool { return p.rows("deliveries", "due_at > 0") == 0 })
		for _, s := range serials {
			var bound struct{ Items []struct{ Version int } }
			p.admin(http.MethodGet, "/devices/"+s+"/policies", nil, &bound)
			want := map[int]int{1: 6, 2: 8}[bound.Items[0].Version]
			phones[s].want(fmt.Sprintf("version %d on %s", bound.Items[0].Version, s), func(ph *iphone.Phone) bool { return minLength(ph) == want })
		}
		p.admin(http.MethodPost, "/policies/Basics/rollout/pause", nil, nil)
		p.policy("Basics", passcode(10))
		p.until("the change is planned", func() bool { return p.rows("deliveries", "due_at > 0") == 0 })
		for _, s := range serials {
			p.check("nobody has the third version while it is paused", minLength(phones[s].Phone) != 10)
		}
		p.admin(http.MethodPost, "/policies/Basics/rollout/resume", nil, nil)
		p.admin(http.MethodPut, "/policies/Basics/rollout", object{"percent": 100}, nil)
		for _, s := range serials {
			phones[s].want("the last version in the end", func(ph *iphone.Phone) bool { return minLength(ph) == 10 })
		}
	})
}
