package stage

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

// lease is how long a command belongs to the connection that got it, and a bit.
const lease = 4 * time.Second

func TestUnknownAndRepeatedResults(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("REPEATED0001")
		ph := p.phone("REPEATED0001", manual).enroll(p.url + "/enroll")
		ph.connectUntil("the first check-in", func() bool { return !p.receipt("REPEATED0001").CompletedAt.IsZero() })
		p.check("a result nobody waits for is taken", ph.ask(200, plist.Dict{"Status": "Acknowledged", "CommandUUID": "nobody-knows-it"}) == nil)

		ph.OnCommand("ProfileList", func(int) iphone.Reaction { return iphone.LoseAnswer })
		id := p.command("REPEATED0001", "ProfileList", nil)
		if err := ph.Connect(p.ctx); !errors.Is(err, iphone.ErrConnectionLost) {
			t.Fatalf("connect: %v", err)
		}
		first := p.commandOf("REPEATED0001", id)
		p.check("the result has arrived", first.State == "acknowledged" && strings.Contains(first.Result, "ProfileList"), first)
		ph.connect() // brings the result again
		ph.ask(200, plist.Dict{"Status": "Error", "CommandUUID": id})
		ph.ask(200, plist.Dict{"Status": "NotNow", "CommandUUID": id})
		p.check("it counts once, and as it came first", p.commandOf("REPEATED0001", id) == first, p.commandOf("REPEATED0001", id), first)
		p.check("the command was carried out once", count(ph.CommandsSeen(), "ProfileList") == 1, ph.CommandsSeen())
		p.check("nothing is left to do", ph.ask(200, ph.Idle()) == nil)
	})
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// TestFourConnectionsAtOnce: a device that opens four connections at once gets
// its next command on one of them, and everything in the end.
func TestFourConnectionsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("FOURFOLD0001")
		p.policy("Basics", passcode(6), wifi("office"))
		p.bind("Basics", object{"serial": "FOURFOLD0001"})
		ph := p.phone("FOURFOLD0001", manual).enroll(p.url + "/enroll")
		p.until("four commands are queued", func() bool { return p.rows("commands", "") == 4 })

		var wait sync.WaitGroup
		var mu sync.Mutex
		var got []string
		for range 4 {
			wait.Go(func() {
				status, body, err := ph.ConnectRaw(p.ctx, ph.Idle())
				mu.Lock()
				defer mu.Unlock()
				if err != nil || status != http.StatusOK {
					t.Errorf("%d %v", status, err)
				} else if len(body) > 0 {
					got = append(got, string(body))
				}
			})
		}
		wait.Wait()
		p.check("one connection has a command", len(got) == 1, got)
		p.check("one command was handed out", p.rows("commands", "attempts > 0") == 1)
		p.check("nothing more comes within the lease", ph.ask(200, ph.Idle()) == nil)

		pushed := ph.Pushes()
		p.clock.advance(lease) // whoever had the command does not answer
		ph.want("a push when the lease ends", func(ph *iphone.Phone) bool { return ph.Pushes() > pushed })
		ph.connect()
		r := p.acknowledged("FOURFOLD0001")
		p.check("everything was delivered", len(r.Items) == 4 && hasAll("passcode", "office")(ph.Phone), r.Items)
		p.check("the command that was lost was sent twice, the others once", r.Items[0].Attempts == 2 && r.Items[1].Attempts == 1, r.Items)
	})
}

// TestNotNowLast: the last word was NotNow, so the device comes back by itself
// and nobody has to push it.
func TestNotNowLast(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("LOCKED000001")
		p.policy("Basics", passcode(6), wifi("office"))
		p.bind("Basics", object{"serial": "LOCKED000001"})
		ph := p.phone("LOCKED000001")
		ph.Lock()
		ph.enroll(p.url + "/enroll")
		p.until("both profiles are put off", func() bool { return p.rows("commands", "not_now AND request_type = 'InstallProfile'") == 2 })
		p.until("no push is due", func() bool { return p.rows("pushes", "due_at > 0 OR lease_until > 0") == 0 })
		r := p.receipt("LOCKED000001")
		p.check("what a locked device can do is done", r.Items[0].State == "applied" && r.CompletedAt.IsZero(), r.Items)
		pushed := ph.Pushes()

		p.must(ph.Unlock(p.ctx))
		p.acknowledged("LOCKED000001")
		p.check("no push was needed", ph.Pushes() == pushed, ph.Pushes(), pushed)
		p.check("the profiles are there", hasAll("passcode", "office")(ph.Phone), ph.InstalledProfiles())
	})
}

// TestNotNowInBetween: others were answered after the NotNow, so the device
// does not come back by itself and is pushed after a while.
func TestNotNowInBetween(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("NOTNOW000001")
		p.policy("Basics", passcode(6))
		p.bind("Basics", object{"serial": "NOTNOW000001"})
		ph := p.phone("NOTNOW000001")
		ph.OnCommand("SecurityInfo", func(n int) iphone.Reaction {
			if n == 1 {
				return iphone.NotNow
			}
			return iphone.Execute
		})
		ph.enroll(p.url + "/enroll")
		ph.want("the profile behind it", hasAll("passcode"))
		later := p.clock.Now().Add(4 * time.Minute).UnixMicro()
		p.until("a push is due in a few minutes", func() bool { return p.rows("pushes", "due_at > $1", later) == 1 })
		p.check("and it is open until then", p.receipt("NOTNOW000001").CompletedAt.IsZero())
		p.clock.advance(6 * time.Minute)
		r := p.acknowledged("NOTNOW000001")
		p.check("it was sent twice", r.Items[1].RequestType == "SecurityInfo" && r.Items[1].Attempts == 2, r.Items)
	})
}

// TestOneBrokenItem: what a device cannot take is on the receipt in its own
// words, and the rest goes on.
func TestOneBrokenItem(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("BROKEN000001", object{"name": "Front desk"})
		p.policy("Basics", wifi("a"), wifi("b"), wifi("c"))
		p.bind("Basics", object{"serial": "BROKEN000001"})
		ph := p.phone("BROKEN000001") // not supervised: no device name for it
		ph.OnCommand("InstallProfile", func(n int) iphone.Reaction {
			switch n {
			case 1:
				return iphone.Error(iphone.ErrorItem{Code: 4001, Domain: "MCInstallationErrorDomain", Message: "Profile Installation Failed"},
					iphone.ErrorItem{Code: 1009, Domain: "MCProfileErrorDomain", Message: "it hurts"})
			case 2:
				return iphone.FormatError
			}
			return iphone.Execute
		})
		ph.enroll(p.url + "/enroll")
		r := p.settled("BROKEN000001")
		for suffix, want := range map[string]struct{ state, words string }{
			".a": {"failed", "MCInstallationErrorDomain 4001: Profile Installation Failed; MCProfileErrorDomain 1009: it hurts"},
			".b": {"failed", "CommandFormatError"},
			".c": {"applied", ""},
		} {
			i, ok := r.find(suffix)
			p.check(suffix+" is "+want.state+" in the device's words", ok && i.State == want.state && i.Error == want.words, i)
		}
		p.check("the name is no more tried once it is known not to be supervised", slices.ContainsFunc(r.Notes, func(n note) bool {
			return n.Pointer == "/device_name" && n.State == "unsupported" && n.Code == "not_supervised"
		}), r)
		p.check("the last profile is there", has(ph.Phone, "c") && !has(ph.Phone, "a"), ph.InstalledProfiles())

		// Only what changes is tried again.
		seen := count(ph.CommandsSeen(), "InstallProfile")
		p.policy("Basics", passcode(6), wifi("b"), wifi("c"))
		ph.want("the changed profile", hasAll("passcode"))
		p.check("one more was sent", count(ph.CommandsSeen(), "InstallProfile") == seen+1, ph.CommandsSeen())
	})
}

// TestLostResultAndCrash: a connection that breaks behind a command, and a
// device that goes down with one in hand.
func TestLostResultAndCrash(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("UNLUCKY00001")
		p.policy("Basics", wifi("a"), wifi("b"))
		p.bind("Basics", object{"serial": "UNLUCKY00001"})
		ph := p.phone("UNLUCKY00001")
		ph.OnCommand("SecurityInfo", func(n int) iphone.Reaction {
			if n == 1 {
				return iphone.Crash
			}
			return iphone.Execute
		})
		ph.OnCommand("InstallProfile", func(n int) iphone.Reaction {
			if n == 1 {
				return iphone.DropConnectionAfterExecute
			}
			return iphone.Execute
		})
		ph.enroll(p.url + "/enroll")
		ph.want("the crash", func(ph *iphone.Phone) bool { return slices.Contains(ph.CommandsSeen(), "SecurityInfo") })
		p.check("the profiles wait behind it", !has(ph.Phone, "a"))
		p.clock.advance(lease)
		r := p.acknowledged("UNLUCKY00001")
		p.check("everything was delivered", hasAll("a", "b")(ph.Phone), ph.InstalledProfiles())
		security, _ := r.find("query:security")
		a, _ := r.find(".a")
		p.check("what was crashed upon was sent again, what was only not reported was not", security.Attempts == 2 && a.Attempts == 1, r.Items)
	})
}

// TestLaterChanges: after the enrollment, whatever changes in a policy, its
// bindings or a group reaches the device by itself.
func TestLaterChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		p.roll("CHANGES00001")
		p.group("Everybody", "CHANGES00001")
		p.policy("Basics", passcode(6), wifi("office"))
		p.bind("Basics", object{"group": "Everybody"})
		p.policy("Guest", wifi("guest"))
		ph := p.phone("CHANGES00001").enroll(p.url + "/enroll")
		ph.want("the policy", hasAll("passcode", "office"))
		others := len(ph.InstalledProfiles()) - 2 // enrollment and trust
		lacks := func(id string) func(*iphone.Phone) bool {
			return func(ph *iphone.Phone) bool { return !has(ph, id) }
		}

		p.policy("Basics", passcode(8), wifi("office"))
		ph.want("the changed profile", func(ph *iphone.Phone) bool { return minLength(ph) == 8 })
		p.check("the unchanged one was not sent again", count(ph.CommandsSeen(), "InstallProfile") == 3, ph.CommandsSeen())

		p.policy("Basics", passcode(8))
		ph.want("removal of a profile that left the policy", lacks("office"))

		p.bind("Guest", object{"serial": "CHANGES00001"})
		ph.want("the profile of another policy", hasAll("guest"))
		p.admin(http.MethodDelete, "/policies/Guest/bindings?serial="+url.QueryEscape("CHANGES00001"), nil, nil)
		ph.want("removal when the policy is unbound", lacks("guest"))

		p.members("Everybody", object{"remove": []string{"CHANGES00001"}})
		ph.want("removal when the device leaves the group", lacks("passcode"))
		p.members("Everybody", object{"add": []string{"CHANGES00001"}})
		ph.want("installation when it comes back", hasAll("passcode"))
		p.admin(http.MethodDelete, "/policies/Basics", nil, nil)
		ph.want("removal when the policy is deleted", lacks("passcode"))

		p.until("nothing is open", func() bool { return p.rows("commands", "finished_at = 0") == 0 })
		p.check("nothing failed", p.rows("commands", "state = 'failed'") == 0)
		p.check("and what is not ours is untouched", len(ph.InstalledProfiles()) == others && ph.Enrolled(), ph.InstalledProfiles())
	})
}
