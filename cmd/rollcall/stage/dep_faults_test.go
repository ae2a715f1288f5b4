package stage

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"rollcall/dep"
	"rollcall/enroll"
	simdep "rollcall/sim/dep"
)

const assignCall = "POST /profile/devices"

// A first list tells no operations: who waits for "added" assigns nothing.
func TestDEPFirstListIsAssigned(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 30)...)
		p.synced(berlin)
		p.allAssigned(p.server, 30)
	})
}

// A cursor that moves on although the assignment failed must not leave the
// devices behind it without a profile.
func TestDEPAssignmentThatFailedIsMadeUpFor(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 5)...)
		p.spoil(simdep.Refuse(http.StatusServiceUnavailable, "").On(assignCall, 1))
		a := p.failed(berlin, "dep_unavailable")
		if a.Sync.Cursor == "" {
			t.Error("the page is not kept")
		}
		p.synced(berlin)
		p.allAssigned(p.server, 5)
	})
}

// All pages are taken, of the first list and of changes, and no more serials
// are sent at once than Apple takes.
func TestDEPAllPagesAndChunks(t *testing.T) {
	onPrograms(t, simdep.Options{PageLimit: 7}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 40)...)
		p.synced(berlin)
		p.allAssigned(p.server, 40)
		p.add(p.server, simdep.Fixture("G", 30)...)
		if a := p.synced(berlin); a.Devices != 70 {
			t.Errorf("%d devices are known, want 70", a.Devices)
		}
		p.allAssigned(p.server, 70)
		p.onRoll(simdep.Fixture("G", 30)[29].Serial, true)
	})
}

func TestDEPThousandsAreChunked(t *testing.T) {
	p := newProgram(t, "sqlite::memory:", simdep.Options{})
	p.add(p.server, simdep.Fixture("F", 2500)...)
	p.synced(berlin)
	p.allAssigned(p.server, 2500)
	if n := p.calls(assignCall, "PUT /profile/devices"); n != 3 {
		t.Errorf("%d calls assigned 2,500 devices, want 3", n)
	}
}

// What a 200 says of a single device counts.
func TestDEPOutcomesOfDevicesCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		status simdep.Status
		want   string
	}{
		{"NOT_ACCESSIBLE", simdep.NotAccessible, "NOT_ACCESSIBLE"}, {"FAILED", simdep.Failed, "FAILED"}, {"left out", simdep.Omitted, "FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onPrograms(t, simdep.Options{}, func(p *program) {
				devices := simdep.Fixture("F", 3)
				p.add(p.server, devices...)
				bad := devices[1].Serial
				p.server.FailDevices(2, c.status, bad)
				p.synced(berlin)
				k := p.known(berlin)[bad]
				if string(k.Outcome) != c.want || k.Attempts != 1 || k.RetryAt.IsZero() {
					t.Errorf("the device is %+v, want the outcome %s and another attempt", k, c.want)
				}
				counts, err := p.store.CountFindings(p.ctx, berlin, p.now())
				p.must(err)
				if counts[dep.NotAssigned] != 1 {
					t.Errorf("the report counts %v, want one that is not assigned", counts)
				}
				before := p.calls(assignCall)
				p.synced(berlin)
				if p.calls(assignCall) != before {
					t.Error("it is tried again at once")
				}
				for range 2 {
					p.later(3 * time.Minute)
					p.synced(berlin)
				}
				p.allAssigned(p.server, 3)
				if k := p.known(berlin)[bad]; k.Attempts != 0 || !k.RetryAt.IsZero() {
					t.Errorf("after success the device is %+v", k)
				}
			})
		})
	}
}

// THROTTLED waits for as long as Apple says, and is no failure of the device.
func TestDEPThrottledWaits(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		devices := simdep.Fixture("F", 3)
		p.add(p.server, devices...)
		p.server.Throttle(time.Hour, devices[0].Serial)
		a := p.synced(berlin)
		k := p.known(berlin)[devices[0].Serial]
		if wait := k.RetryAt.Sub(p.now()); k.Attempts != 0 || wait < 50*time.Minute || wait > time.Hour {
			t.Errorf("the device is %+v, tried in %v", k, wait)
		}
		if until := a.Sync.DueAt.Sub(p.now()); until > 31*time.Minute {
			t.Errorf("the account is due in %v", until)
		}
	})
}

// The last word on a serial counts, also where a page has several.
func TestDEPAddedAndModifiedInOnePage(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		p.synced(berlin)
		devices := simdep.Fixture("F", 2)
		p.add(p.server, devices...)
		p.must(p.apple.Change(devices[0].Serial, func(d *simdep.Device) { d.AssetTag = "INV-1" }))
		p.must(p.apple.Release(devices[1].Serial))
		p.synced(berlin)
		if d := p.row(devices[0].Serial); d == nil || d.AssetTag != "INV-1" {
			t.Errorf("the row is %+v, want the asset tag of the modification", d)
		}
		p.onRoll(devices[1].Serial, false)
	})
}

// T_C_NOT_SIGNED is no expired session: nothing is tried, somebody is told, the
// cursor stays, and it goes on when the terms are signed.
func TestDEPTermsNotSigned(t *testing.T) {
	onPrograms(t, simdep.Options{RotateEvery: -1}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 2)...)
		before := p.synced(berlin)
		sessions := p.calls("GET /session")
		p.server.SignTerms(false)
		p.add(p.server, simdep.Fixture("G", 2)...)
		a := p.failed(berlin, "dep_t_c_not_signed")
		if a.Sync.Cursor != before.Sync.Cursor || p.calls("GET /session") != sessions {
			t.Errorf("cursor kept: %v; %d sessions more", a.Sync.Cursor == before.Sync.Cursor, p.calls("GET /session")-sessions)
		}
		if until := a.Sync.DueAt.Sub(p.now()); until < 50*time.Minute {
			t.Errorf("it is tried again in %v", until)
		}
		since := a.Sync.Problem.Since
		if again := p.failed(berlin, "dep_t_c_not_signed"); !again.Sync.Problem.Since.Equal(since) {
			t.Error("the same problem is a new one")
		}
		_, _, err := p.store.Publish(p.ctx, p.now())
		p.must(err)
		events, _, err := p.store.Events(p.ctx, 0, []string{"dep_account.*"}, 10)
		p.must(err)
		if len(events) != 1 || events[0].Refs.Account != berlin || events[0].Refs.Problem != "dep_t_c_not_signed" {
			t.Errorf("told %+v, want it once", events)
		}
		p.server.SignTerms(true)
		p.synced(berlin)
		p.allAssigned(p.server, 4)
	})
}

// A released device leaves, and nobody tries to assign it a profile.
func TestDEPReleasedDevice(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		devices := simdep.Fixture("F", 3)
		p.add(p.server, devices...)
		p.synced(berlin)
		p.must(p.apple.Release(devices[0].Serial))
		before := p.calls(assignCall)
		p.synced(berlin)
		p.onRoll(devices[0].Serial, false)
		p.onRoll(devices[1].Serial, true)
		if _, listed, err := p.store.Listed(p.ctx, devices[0].Serial); err != nil || listed {
			t.Errorf("listed: %v, %v", listed, err)
		}
		if p.calls(assignCall) != before {
			t.Error("a released device was assigned a profile")
		}
	})
}

// Two workers on one account: one of them works.
func TestDEPOneWorkerForAnAccount(t *testing.T) {
	onPrograms(t, simdep.Options{PageLimit: 20}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 200)...)
		_, err := p.accounts.Sync(p.ctx, berlin, false)
		p.must(err)
		var all sync.WaitGroup
		for _, worker := range []string{"one", "two", "three"} {
			s := p.newSyncer()
			all.Go(func() { s.Step(p.ctx, worker) })
		}
		all.Wait()
		p.allAssigned(p.server, 200)
		if n := p.calls("POST /server/devices"); n > 11 {
			t.Errorf("%d pages were asked for, want those of one worker", n)
		}
	})
}

// Who has lost an account writes nothing more.
func TestDEPLostLease(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		_, err := p.accounts.Sync(p.ctx, berlin, false)
		p.must(err)
		a, ok, err := p.store.ClaimAccount(p.ctx, "dead", p.now(), time.Minute)
		p.must(err)
		if !ok {
			t.Fatal("nothing to claim")
		}
		if p.syncer.Step(p.ctx, "worker") {
			t.Error("two workers have one account")
		}
		p.later(2 * time.Minute)
		if !p.syncer.Step(p.ctx, "worker") {
			t.Error("nobody takes over from a worker that died")
		}
		if _, err := p.store.StartFull(p.ctx, dep.Lease{AccountID: a.ID, Worker: "dead"}); err != enroll.ErrLeaseLost {
			t.Errorf("the dead worker may go on: %v", err)
		}
	})
}

// Cursors that are too old, for Apple or by the calendar, mean a full list, and
// what left meanwhile leaves here.
func TestDEPExpiredCursor(t *testing.T) {
	for name, expire := range map[string]func(p *program){
		"at Apple":        func(p *program) { p.server.ExpireCursors() },
		"by the calendar": func(p *program) { p.later(8 * 24 * time.Hour) },
		"by hand": func(p *program) {
			_, err := p.accounts.Sync(p.ctx, berlin, true)
			p.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onPrograms(t, simdep.Options{PageLimit: 4}, func(p *program) {
				devices := simdep.Fixture("F", 10)
				p.add(p.server, devices...)
				p.synced(berlin)
				p.must(p.apple.Release(devices[3].Serial))
				expire(p)
				p.add(p.server, simdep.Fixture("G", 3)...)
				lists := p.calls("POST /server/devices")
				if a := p.synced(berlin); a.Sync.Full || a.Devices != 12 {
					t.Errorf("%d devices are known, full list open: %v", a.Devices, a.Sync.Full)
				}
				if p.calls("POST /server/devices") == lists {
					t.Error("there was no full list")
				}
				p.onRoll(devices[3].Serial, false)
				p.allAssigned(p.server, 12)
			})
		})
	}
}

// The same cursor with more to follow ends as an error and not in a loop.
func TestDEPCursorThatStandsStill(t *testing.T) {
	onPrograms(t, simdep.Options{PageLimit: 3}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 9)...)
		p.spoil(simdep.Fault{Kind: simdep.Stuck, Call: "POST /server/devices", Times: 2})
		p.failed(berlin, "dep_bad_answer")
		p.apple.Heal()
		p.synced(berlin)
		p.allAssigned(p.server, 9)
	})
}

// Sessions end and change under way; both answers to a dead one are understood.
func TestDEPSessions(t *testing.T) {
	for name, o := range map[string]simdep.Options{"401": {RotateEvery: 2, PageLimit: 3}, "403 FORBIDDEN": {RotateEvery: 1, PageLimit: 3, ForbidExpired: true}} {
		t.Run(name, func(t *testing.T) {
			onPrograms(t, o, func(p *program) {
				p.add(p.server, simdep.Fixture("F", 20)...)
				p.synced(berlin)
				p.server.ExpireSession()
				p.add(p.server, simdep.Fixture("G", 20)...)
				p.synced(berlin)
				p.allAssigned(p.server, 40)
				if n := p.calls("GET /session"); n > 3 {
					t.Errorf("%d sessions were asked for", n)
				}
			})
		})
	}
}

// What is not Apple's answer is not taken for one, and does no harm.
func TestDEPAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		fault simdep.Fault
		code  string
	}{
		"HTML with 200":  {simdep.HTML(http.StatusOK), "dep_bad_answer"},
		"HTML with 404":  {simdep.HTML(http.StatusNotFound), "dep_not_found"},
		"half a body":    {simdep.Fault{Kind: simdep.HalfBody}, "dep_bad_answer"},
		"nothing":        {simdep.Fault{Kind: simdep.Drop}, "dep_unreachable"},
		"an answer lost": {simdep.Fault{Kind: simdep.Lose}, "dep_unreachable"},
		"empty with 200": {simdep.Refuse(http.StatusOK, ""), "dep_bad_answer"},
		"access denied":  {simdep.Refuse(http.StatusForbidden, "ACCESS_DENIED"), "dep_access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			onPrograms(t, simdep.Options{}, func(p *program) {
				p.add(p.server, simdep.Fixture("F", 4)...)
				p.synced(berlin)
				p.spoil(c.fault.On("POST /devices/sync", 3))
				a := p.failed(berlin, c.code)
				if a.Devices != 4 || a.Sync.Failures == 0 {
					t.Errorf("%d devices are known, %d failures", a.Devices, a.Sync.Failures)
				}
				p.apple.Heal()
				p.synced(berlin)
				p.allAssigned(p.server, 4)
			})
		})
	}
}

// 429 and 503 make the whole account wait for what Apple asks, in both forms.
func TestDEPRetryAfter(t *testing.T) {
	for name, f := range map[string]simdep.Fault{
		"429 in seconds": simdep.Busy(http.StatusTooManyRequests, "1800"),
		"503 as a date":  simdep.Busy(http.StatusServiceUnavailable, time.Now().Add(30*time.Minute).UTC().Format(http.TimeFormat)),
	} {
		t.Run(name, func(t *testing.T) {
			onPrograms(t, simdep.Options{}, func(p *program) {
				p.spoil(f)
				a := p.sync(berlin)
				if until := a.Sync.DueAt.Sub(p.now()); a.Sync.Problem == nil || until < 25*time.Minute || until > 30*time.Minute {
					t.Errorf("it is tried again in %v, %+v", until, a.Sync.Problem)
				}
				if p.syncer.Step(p.ctx, "worker") {
					t.Error("it does not wait")
				}
				p.apple.Heal()
				p.later(31 * time.Minute)
				if !p.syncer.Step(p.ctx, "worker") {
					t.Error("it does not go on")
				}
			})
		})
	}
}

// A clock that is wrong is named, as nothing else would help.
func TestDEPClockSkew(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		wrong := simdep.New(simdep.Options{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
		p.must(wrong.Start("127.0.0.1:0", apple))
		defer wrong.Close()
		clouds, err := dep.NewClouds(wrong.URL(), wrong.RootCAs(), p.store, p.now)
		p.must(err)
		defer clouds.Close()
		server, err := wrong.AddAccount("Skewed")
		p.must(err)
		accounts := dep.NewAccounts(p.store, clouds, func() {}, p.now)
		a, err := accounts.Create(p.ctx, "Skewed", dep.Input{})
		p.must(err)
		file, err := server.TokenFile(a.CertificatePEM)
		p.must(err)
		_, err = accounts.InstallToken(p.ctx, "Skewed", file, false)
		p.code(err, enroll.KindConflict, "dep_clock_skew")
	})
}

// A server that stops gives its account back: the next one need not wait.
func TestDEPStopInTheMiddle(t *testing.T) {
	onPrograms(t, simdep.Options{PageLimit: 5}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 20)...)
		_, err := p.accounts.Sync(p.ctx, berlin, false)
		p.must(err)
		p.spoil(simdep.Fault{Kind: simdep.Hang, Call: assignCall, Times: 1})
		ctx, stop := context.WithCancel(p.ctx)
		var running sync.WaitGroup
		running.Go(func() { p.syncer.Step(ctx, "stopped") })
		p.must(p.apple.AwaitCall(p.ctx, assignCall, 1))
		stop()
		running.Wait()
		p.synced(berlin)
		p.allAssigned(p.server, 20)
		if n := p.calls("POST /server/devices"); n > 5 {
			t.Errorf("%d pages were asked for: it began anew", n)
		}
	})
}
