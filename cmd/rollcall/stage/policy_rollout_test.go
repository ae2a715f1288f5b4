package stage

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"rollcall/sim/iphone"
)

// TestRolloutSurvivesRestart: who is in a roll-out stays in, and who is not
// stays out, over a restart and for a change that is saved after it; a server
// that stops before it planned anything loses nothing.
func TestRolloutSurvivesRestart(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		var serials []string
		for i := range 8 {
			serials = append(serials, fmt.Sprintf("ROLLBACK000%d", i))
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
		reached := func() map[string]bool {
			in := map[string]bool{}
			for _, s := range serials {
				var bound struct{ Items []struct{ Version int } }
				p.admin(http.MethodGet, "/devices/"+s+"/policies", nil, &bound)
				in[s] = bound.Items[0].Version > 1
			}
			return in
		}
		p.admin(http.MethodPut, "/policies/Basics/rollout", object{"percent": 50}, nil)
		p.policy("Basics", passcode(8))
		before := reached()
		p.must(p.Restart(p.ctx))
		p.check("the same devices are in", maps.Equal(before, reached()), before, reached())
		p.policy("Basics", passcode(10))
		p.check("for the next version too", maps.Equal(before, reached()), before, reached())
		for s, in := range before {
			want := map[bool]int{true: 10, false: 6}[in]
			phones[s].want(fmt.Sprintf("%d on %s", want, s), func(ph *iphone.Phone) bool { return minLength(ph) == want })
		}
		p.admin(http.MethodPost, "/policies/Basics/rollout/pause", nil, nil)
		p.must(p.Restart(p.ctx))
		p.admin(http.MethodPut, "/policies/Basics/rollout", object{"percent": 100}, nil)
		p.until("nothing is due", func() bool { return p.rows("deliveries", "due_at > 0") == 0 })
		for s, in := range before {
			p.check("paused is paused after a restart", in == (minLength(phones[s].Phone) == 10), s)
		}
		p.admin(http.MethodPost, "/policies/Basics/rollout/resume", nil, nil)
		p.must(p.Restart(p.ctx))
		for _, s := range serials {
			phones[s].want("the last version in the end", func(ph *iphone.Phone) bool { return minLength(ph) == 10 })
		}
	})
}

// TestDeclarations: a phone that speaks declarative management fetches its
// passcode rules as a declaration and reports on it; a change reaches it by
// the command alone, and what is taken out of the policy goes from the phone.
func TestDeclarations(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("DECLARED0001")
		p.document("Basics", object{"passcode": object{"required": true, "min_length": 6}, "restrictions": object{"backup": "deny"}})
		p.bind("Basics", object{"serial": "DECLARED0001"})
		ph := p.phone("DECLARED0001", supervised).enroll(p.url + "/enroll")
		r := p.acknowledged("DECLARED0001")
		declared, _ := r.find("declarations")
		p.check("by the command", declared.RequestType == "DeclarativeManagement" && len(declared.Policies) == 1, declared)
		p.check("and by no profile", minLength(ph.Phone) == 0 && has(ph.Phone, "restrictions"), ph.InstalledProfiles())

		first := ph.declared("passcode")
		p.check("the phone has it", first != "", ph.items())
		p.until("the phone's report is stored", func() bool {
			return p.declarations("DECLARED0001")["com.apple.configuration.passcode.settings"] == "applied"
		})

		profiles := count(ph.CommandsSeen(), "InstallProfile")
		p.document("Basics", object{"passcode": object{"required": true, "min_length": 8}, "restrictions": object{"backup": "deny"}})
		ph.want("the change", func(*iphone.Phone) bool { now := ph.declared("passcode"); return now != "" && now != first })
		p.check("came by the command", count(ph.CommandsSeen(), "DeclarativeManagement") == 2 && count(ph.CommandsSeen(), "InstallProfile") == profiles, ph.CommandsSeen())
		p.until("the phone has reported on it", func() bool {
			return p.declarations("DECLARED0001")["com.apple.configuration.passcode.settings"] == "applied"
		})

		p.document("Basics", object{"restrictions": object{"backup": "deny"}})
		ph.want("the rules go", func(*iphone.Phone) bool { return ph.declared("passcode") == "" })
		p.until("the server says so", func() bool {
			_, there := p.declarations("DECLARED0001")["com.apple.configuration.passcode.settings"]
			return !there
		})
		_, failure := ph.Declarations()
		p.check("the rest stays", has(ph.Phone, "restrictions") && failure == nil, failure)
	})
}

// TestDeclarationsOfOldPhones: a phone before iOS 15 gets the same rules as a
// profile.
func TestDeclarationsOfOldPhones(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("OLDPHONE0001")
		p.document("Basics", object{"passcode": object{"required": true, "min_length": 6}})
		p.bind("Basics", object{"serial": "OLDPHONE0001"})
		ph := p.phone("OLDPHONE0001", func(c *iphone.Config) { c.OSVersion = "14.8" }).enroll(p.url + "/enroll")
		ph.want("the profile", func(ph *iphone.Phone) bool { return minLength(ph) == 6 })
		p.until("no plan is wanted", func() bool { return p.rows("deliveries", "due_at > 0") == 0 })
		p.check("nothing is declared", len(ph.items()) == 0 && len(p.declarations("OLDPHONE0001")) == 0, ph.items())
	})
}

// items are the declarations on the phone.
func (ph *phone) items() map[string]string {
	items, _ := ph.Declarations()
	return items
}

// declared is the ServerToken of the configuration about something; empty:
// there is none.
func (ph *phone) declared(about string) string {
	for key, token := range ph.items() {
		if strings.HasPrefix(key, "configuration/") && strings.Contains(key, about) {
			return token
		}
	}
	return ""
}

// declarations are the states of what a device is declared, by type.
func (p *play) declarations(serial string) map[string]string {
	p.t.Helper()
	var set struct {
		Declarations []struct{ Type, State string }
	}
	p.admin(http.MethodGet, "/devices/"+serial+"/declarations", nil, &set)
	states := map[string]string{}
	for _, d := range set.Declarations {
		states[d.Type] = d.State
	}
	return states
}
