package storagetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/dep"
	"rollcall/dep/cloud"
	"rollcall/enroll"
	"rollcall/storage"
)

// depWorld is a store with an account that a worker has.
type depWorld struct {
	*world
	account dep.Account
	lease   dep.Lease
}

func (w *world) dep(name string, preEnroll bool) *depWorld {
	w.Helper()
	a := dep.Account{ID: enroll.NewID(), Name: name, AddAsPreEnrolled: preEnroll, Default: dep.Default{Group: "New"}, CertificatePEM: []byte("certificate"), CreatedAt: start, UpdatedAt: start}
	w.ok(w.CreateAccount(w.ctx, a, []byte("private key")))
	a, err := w.PutToken(w.ctx, a.ID, cloud.Token{ConsumerKey: "CK_" + name, ConsumerSecret: "CS"}, cloud.Account{ServerUUID: "server " + name}, "session", false, at(1))
	w.ok(err)
	d := &depWorld{world: w, account: a}
	d.claim("worker of "+name, 2)
	return d
}

// claim takes the account, as the only one that is due.
func (d *depWorld) claim(worker string, second int) {
	d.Helper()
	a, ok, err := d.ClaimAccount(d.ctx, worker, at(second), time.Minute)
	d.ok(err)
	if !ok || a.ID != d.account.ID {
		d.Fatalf("claimed %q, %v", a.Name, ok)
	}
	d.lease = dep.Lease{AccountID: a.ID, Worker: worker}
}

func (d *depWorld) page(full bool, second int, devices ...cloud.Device) {
	d.Helper()
	d.ok(d.SavePage(d.ctx, d.lease, cloud.Page{Devices: devices, Cursor: "after " + at(second).String()}, full, at(second)))
	for {
		more, err := d.SettleRoll(d.ctx, d.lease, 2, at(second).Add(-time.Hour), at(second))
		d.ok(err)
		if !more {
			return
		}
	}
}

func listed(serial string, change ...func(*cloud.Device)) cloud.Device {
	d := cloud.Device{Serial: serial, Family: "iPhone", Model: "iPhone 17", ProfileStatus: cloud.StatusEmpty}
	for _, f := range change {
		f(&d)
	}
	return d
}

func operation(op cloud.OpType, second int) func(*cloud.Device) {
	return func(d *cloud.Device) { d.OpType, d.OpDate = op, cloud.Time{Time: at(second)} }
}

func (d *depWorld) rows(serials ...string) (there []bool) {
	d.Helper()
	for _, s := range serials {
		_, err := d.Device(d.ctx, s)
		if err != nil {
			d.kind(err, enroll.KindNotFound)
		}
		there = append(there, err == nil)
	}
	return there
}

func (d *depWorld) want(what string, got, want any) {
	d.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		d.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func testDEP(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"an account has a name of its own, and secrets that open": func(w *world) {
			d := w.dep("Berlin", true)
			w.kind(w.CreateAccount(w.ctx, dep.Account{ID: enroll.NewID(), Name: "Berlin"}, []byte("k")), enroll.KindConflict)
			pair, err := w.AccountKeys(w.ctx, d.account.ID)
			w.ok(err)
			token, err := w.AccountToken(w.ctx, d.account.ID)
			w.ok(err)
			d.want("key", string(pair.KeyPEM), "private key")
			d.want("token", token.ConsumerSecret, "CS")
			_, err = w.Account(w.ctx, "Hamburg")
			w.kind(err, enroll.KindNotFound)
		},
		"a session belongs to its token": func(w *world) {
			d := w.dep("Berlin", true)
			installed := d.account.Token.InstalledAt
			s, err := w.AccountSession(w.ctx, d.account.ID, installed)
			w.ok(err)
			d.want("session", s, "session")
			w.ok(w.SetAccountSession(w.ctx, d.account.ID, installed.Add(time.Second), "of another token"))
			w.ok(w.SetAccountSession(w.ctx, d.account.ID, installed, "next"))
			s, err = w.AccountSession(w.ctx, d.account.ID, installed)
			w.ok(err)
			d.want("session", s, "next")
			s, err = w.AccountSession(w.ctx, d.account.ID, at(50))
			w.ok(err)
			d.want("session of another token", s, "")
		},
		"one server is one account": func(w *world) {
			w.dep("Berlin", true)
			other := dep.Account{ID: enroll.NewID(), Name: "Twice", CreatedAt: start, UpdatedAt: start}
			w.ok(w.CreateAccount(w.ctx, other, []byte("k")))
			_, err := w.PutToken(w.ctx, other.ID, cloud.Token{}, cloud.Account{ServerUUID: "server Berlin"}, "", false, at(3))
			w.kind(err, enroll.KindConflict)
		},
		"a lease is one worker's until it ends": func(w *world) {
			d := w.dep("Berlin", true)
			_, ok, err := w.ClaimAccount(w.ctx, "other", at(10), time.Minute)
			w.ok(err)
			d.want("claimed twice", ok, false)
			w.ok(w.HoldAccount(w.ctx, d.lease, at(100)))
			_, ok, err = w.ClaimAccount(w.ctx, "other", at(90), time.Minute)
			w.ok(err)
			d.want("claimed while held", ok, false)
			old := d.lease
			d.claim("other", 101)
			for _, err := range []error{w.HoldAccount(w.ctx, old, at(200)), w.SavePage(w.ctx, old, cloud.Page{}, false, at(102)), w.FinishRun(w.ctx, old, dep.Run{At: at(102)}),
				w.SaveAssigned(w.ctx, old, nil, at(102)), w.Undefine(w.ctx, old, "U")} {
				if !errors.Is(err, enroll.ErrLeaseLost) {
					w.Fatalf("who lost the account gets %v", err)
				}
			}
		},
		"what becomes due during a run stays due": func(w *world) {
			d := w.dep("Berlin", true)
			_, err := w.SyncNow(w.ctx, "Berlin", false, at(5))
			w.ok(err)
			w.ok(w.FinishRun(w.ctx, d.lease, dep.Run{Done: true, At: at(6), DueAt: at(1800)}))
			d.claim("again", 7)
			w.ok(w.FinishRun(w.ctx, d.lease, dep.Run{Done: true, At: at(8), DueAt: at(1800)}))
			_, ok, err := w.ClaimAccount(w.ctx, "early", at(1799), time.Minute)
			w.ok(err)
			d.want("claimed early", ok, false)
		},
		"a full list by hand ends the run that is under way": func(w *world) {
			d := w.dep("Berlin", true)
			d.page(false, 3, listed("A1"))
			_, err := w.SyncNow(w.ctx, "Berlin", true, at(5))
			w.ok(err)
			if err := w.SavePage(w.ctx, d.lease, cloud.Page{Cursor: "old"}, false, at(6)); !errors.Is(err, enroll.ErrLeaseLost) {
				w.Fatalf("the old run goes on: %v", err)
			}
		},
		"devices become rows in their group, once": func(w *world) {
			d := w.dep("Berlin", true)
			d.page(true, 3, listed("A1"), listed("B1"), listed("C1", func(c *cloud.Device) { c.Family = "Mac" }))
			d.want("rows", d.rows("A1", "B1", "C1"), []bool{true, true, true})
			group, err := w.Group(w.ctx, "New")
			w.ok(err)
			d.want("members", group.Devices, 3)
			first, err := w.Device(w.ctx, "A1")
			w.ok(err)
			d.page(true, 4, listed("A1"), listed("B1"))
			again, err := w.Device(w.ctx, "A1")
			w.ok(err)
			d.want("version", again.Version, first.Version)
			d.page(true, 5, listed("A1", func(c *cloud.Device) { c.AssetTag = "INV-1" }))
			again, err = w.Device(w.ctx, "A1")
			w.ok(err)
			d.want("asset tag", again.AssetTag, "INV-1")
			entries, _, err := w.Timeline(w.ctx, again.ID, enroll.Page{Limit: 10})
			w.ok(err)
			if len(entries) < 2 {
				w.Fatalf("history: %+v", entries)
			}
		},
		"what is older than what is known is nothing": func(w *world) {
			d := w.dep("Berlin", true)
			d.page(false, 10, listed("A1", operation(cloud.Deleted, 9)), listed("B1", operation(cloud.Modified, 9), func(c *cloud.Device) { c.AssetTag = "new" }))
			d.page(false, 11, listed("A1", operation(cloud.Added, 8)), listed("B1", operation(cloud.Added, 8), func(c *cloud.Device) { c.AssetTag = "old" }))
			d.want("rows", d.rows("A1", "B1"), []bool{false, true})
			b, err := w.Device(w.ctx, "B1")
			w.ok(err)
			d.want("asset tag", b.AssetTag, "new")
			d.page(false, 12, listed("A1", operation(cloud.Added, 12)))
			d.want("rows", d.rows("A1"), []bool{true})
		},
		"who has enrolled stays when Apple lets go": func(w *world) {
			d := w.dep("Berlin", true)
			d.page(true, 3, listed("A1"), listed("B1"))
			w.enroll("A1", fingerprint(1))
			d.page(false, 20, listed("A1", operation(cloud.Deleted, 19)), listed("B1", operation(cloud.Deleted, 19)))
			d.want("rows", d.rows("A1", "B1"), []bool{true, false})
			_, is, err := w.Listed(w.ctx, "A1")
			w.ok(err)
			d.want("listed", is, false)
		},
		"a full list sweeps what it does not name": func(w *world) {
			d := w.dep("Berlin", true)
			d.page(true, 3, listed("A1"), listed("B1"), listed("C1"))
			state, err := w.StartFull(w.ctx, d.lease)
			w.ok(err)
			d.want("full", state.Full && state.Cursor == "", true)
			d.page(true, 5, listed("B1"))
			for more := true; more; {
				more, err = w.SweepDevices(w.ctx, d.lease, 1, at(6))
				w.ok(err)
			}
			d.page(false, 7)
			d.want("rows", d.rows("A1", "B1", "C1"), []bool{false, true, false})
			a, err := w.Account(w.ctx, "Berlin")
			w.ok(err)
			d.want("full", a.Sync.Full, false)
		},
		"what is to be assigned follows from what is": testDEPAssignment,
		"profiles have a secret URL, versions, and stay while they are used": func(w *world) {
			d := w.dep("Berlin", true)
			p, created, _, err := w.ChangeProfile(w.ctx, "Berlin", "Standard", "the secret", func(old *dep.Profile) (dep.Profile, error) {
				return dep.Profile{ID: enroll.NewID(), Version: 1, Authentication: dep.AuthenticationRequest, MinimumOS: map[string]string{"iPad": "26"}, Settings: dep.ProfileSettings{AwaitConfigured: true}, CreatedAt: start, UpdatedAt: start}, nil
			})
			w.ok(err)
			d.want("created", created, true)
			entry, err := w.Entry(w.ctx, "the secret")
			w.ok(err)
			d.want("entry", entry, dep.Entry{ProfileID: p.ID, AccountID: d.account.ID, Authentication: dep.AuthenticationRequest, MinimumOS: map[string]string{"iPad": "26"}, AwaitConfigured: true})
			byID, err := w.EntryOf(w.ctx, p.ID)
			w.ok(err)
			d.want("entry by its ID", byID, entry)
			_, err = w.Entry(w.ctx, "another")
			w.kind(err, enroll.KindNotFound)
			_, err = w.EntryOf(w.ctx, "another")
			w.kind(err, enroll.KindNotFound)
			todo, err := w.Definitions(w.ctx, d.account.ID)
			w.ok(err)
			if len(todo) != 1 || todo[0].Secret != "the secret" {
				w.Fatalf("to be defined: %+v", todo)
			}
			w.ok(w.Defined(w.ctx, d.lease, p.ID, 1, "U1", at(5)))
			todo, err = w.Definitions(w.ctx, d.account.ID)
			w.ok(err)
			d.want("to be defined", len(todo), 0)
			d.page(true, 6, listed("A1", func(c *cloud.Device) { c.ProfileUUID, c.ProfileStatus = "U1", cloud.StatusPushed }))
			w.kind(w.DeleteProfile(w.ctx, "Berlin", "Standard"), enroll.KindConflict)
			versions, err := w.ProfileVersions(w.ctx, "Berlin", "Standard")
			w.ok(err)
			d.want("versions", versions, []dep.Version{{Version: 1, UUID: "U1", DefinedAt: at(5), Devices: 1}})
			d.page(true, 7, listed("A1"))
			w.ok(w.DeleteProfile(w.ctx, "Berlin", "Standard"))
			_, err = w.Entry(w.ctx, "the secret")
			w.kind(err, enroll.KindNotFound)
		},
		"a refused profile stays among those to be told, with the reason": func(w *world) {
			d := w.dep("Berlin", true)
			p, _, _, err := w.ChangeProfile(w.ctx, "Berlin", "Standard", "the secret", func(*dep.Profile) (dep.Profile, error) {
				return dep.Profile{ID: enroll.NewID(), Version: 1, CreatedAt: start, UpdatedAt: start}, nil
			})
			w.ok(err)
			w.ok(w.DefinitionRefused(w.ctx, d.lease, p.ID, 1, dep.Problem{Code: "dep_magic_invalid", Since: at(5)}))
			todo, err := w.Definitions(w.ctx, d.account.ID)
			w.ok(err)
			if len(todo) != 1 || todo[0].Profile.Problem == nil || todo[0].Profile.Problem.Code != "dep_magic_invalid" {
				w.Fatalf("to be told: %+v", todo)
			}
		},
		"misses are counted by source and window": func(w *world) {
			tooMany := func(source string, second int) bool {
				many, err := w.TooMany(w.ctx, source, 2, time.Minute, at(second))
				w.ok(err)
				return many
			}
			for second := range 2 {
				if tooMany("here", second) {
					w.Fatalf("too many after %d", second)
				}
				w.ok(w.Missed(w.ctx, "here", time.Minute, at(second)))
			}
			if !tooMany("here", 2) || tooMany("there", 2) || tooMany("here", 61) {
				w.Errorf("too many: here %v, there %v, later %v", tooMany("here", 2), tooMany("there", 2), tooMany("here", 61))
			}
			w.ok(w.Missed(w.ctx, "here", time.Minute, at(61)))
			if tooMany("here", 62) {
				w.Error("an old window counts")
			}
		},
		"rows stay when their account goes": func(w *world) {
			d := w.dep("Berlin", true)
			d.page(true, 3, listed("A1"))
			w.ok(w.DeleteAccount(w.ctx, "Berlin"))
			d.want("rows", d.rows("A1"), []bool{true})
			if err := w.HoldAccount(w.ctx, d.lease, at(100)); !errors.Is(err, enroll.ErrLeaseLost) {
				w.Fatalf("its worker goes on: %v", err)
			}
		},
		"a change is in the audit log, without secrets": func(w *world) {
			w.dep("Berlin", true)
			ctx := enroll.WithCall(w.ctx, enroll.Call{ActorKind: "token", ActorID: "t", ActorName: "admin", Operation: "patch-dep-account", Path: "/api/v1/dep/accounts/Berlin"})
			_, err := w.ChangeAccount(ctx, "Berlin", func(a dep.Account) (dep.Account, error) {
				a.AddAsPreEnrolled = false
				return a, nil
			})
			w.ok(err)
			entries, err := w.Audit(context.WithoutCancel(w.ctx), enroll.AuditFilter{Kind: "dep_account"}, 0, 10)
			w.ok(err)
			if len(entries) != 1 || entries[0].Key != "Berlin" || string(entries[0].Before) == string(entries[0].After) {
				w.Fatalf("entries: %+v", entries)
			}
		},
	})
}

func testDEPAssignment(w *world) {
	d := w.dep("Berlin", true)
	p, _, _, err := w.ChangeProfile(w.ctx, "Berlin", "Standard", "secret", func(*dep.Profile) (dep.Profile, error) {
		return dep.Profile{ID: enroll.NewID(), Version: 1, CreatedAt: start, UpdatedAt: start}, nil
	})
	w.ok(err)
	w.ok(w.Defined(w.ctx, d.lease, p.ID, 1, "U1", at(3)))
	with := func(uuid string, s cloud.Status) func(*cloud.Device) {
		return func(c *cloud.Device) { c.ProfileUUID, c.ProfileStatus = uuid, s }
	}
	d.page(true, 4, listed("EMPTY"), listed("RIGHT", with("U1", cloud.StatusAssigned)), listed("PUSHED", with("U1", cloud.StatusPushed)), listed("WRONG", with("U9", cloud.StatusAssigned)),
		listed("REMOVED", with("U1", cloud.StatusRemoved)), listed("TABLET", func(c *cloud.Device) { c.Family = "iPad" }), listed("WATCH1", func(c *cloud.Device) { c.Family = "Watch" }))
	d.page(false, 5, listed("GONE", operation(cloud.Deleted, 5)))
	wants := dep.Wants{Families: map[dep.Family]string{dep.FamilyIPhone: "U1", dep.FamilyIPad: "U2", dep.FamilyMac: dep.Undecided}, Other: ""}
	due := func(w2 dep.Wants, second int) (out []string) {
		w.Helper()
		for after := ""; ; {
			list, err := w.ToAssign(w.ctx, d.account.ID, w2, after, at(second), 2)
			w.ok(err)
			if len(list) == 0 {
				return out
			}
			for _, x := range list {
				out, after = append(out, x.Serial+" "+x.UUID), x.Serial
			}
		}
	}
	d.want("due", due(wants, 6), []string{"EMPTY U1", "REMOVED U1", "TABLET U2", "WRONG U1"})
	w.ok(w.SaveAssigned(w.ctx, d.lease, []dep.Assigned{{Serial: "EMPTY", UUID: "U1", Outcome: cloud.OutcomeSuccess}, {Serial: "REMOVED", UUID: "U1", Outcome: cloud.OutcomeFailed, RetryAt: at(60)},
		{Serial: "TABLET", UUID: "U2", Outcome: cloud.OutcomeThrottled, RetryAt: at(50)}, {Serial: "WRONG", UUID: "U1", Outcome: cloud.OutcomeNotAccessible, RetryAt: at(70)}}, at(6)))
	d.want("due after the first attempt", due(wants, 7), []string(nil))
	next, err := w.NextAttempt(w.ctx, d.account.ID, wants)
	w.ok(err)
	d.want("next attempt", next, at(50))
	d.want("due later", due(wants, 60), []string{"REMOVED U1", "TABLET U2"})
	list, err := w.ToAssign(w.ctx, d.account.ID, wants, "", at(60), 10)
	w.ok(err)
	d.want("attempts", []int{list[0].Attempts, list[1].Attempts}, []int{1, 0})
	undecided := dep.Wants{Families: map[dep.Family]string{dep.FamilyIPhone: dep.Undecided, dep.FamilyIPad: dep.Undecided}, Other: dep.Undecided}
	d.want("due while nobody knows", due(undecided, 100), []string(nil))
	d.want("due where none is wanted: those of the account's own", due(dep.Wants{}, 100), []string{"EMPTY ", "PUSHED ", "RIGHT "})
	counts, err := w.CountFindings(w.ctx, "Berlin", at(100))
	w.ok(err)
	d.want("report", counts, map[dep.Finding]int{dep.NotOnRoll: 0, dep.NotInDEP: 0, dep.NotAssigned: 4, dep.Silent: 1, dep.InTwoAccounts: 0})
	rows, err := w.FindingRows(w.ctx, dep.NotAssigned, "", at(100), "", 2)
	w.ok(err)
	d.want("first page", []string{rows[0].Serial, rows[1].Serial}, []string{"REMOVED", "TABLET"})
	rows, err = w.FindingRows(w.ctx, dep.NotAssigned, "", at(100), rows[1].Key(), 10)
	w.ok(err)
	d.want("second page", []string{rows[0].Serial, rows[1].Serial}, []string{"WATCH1", "WRONG"})
}
