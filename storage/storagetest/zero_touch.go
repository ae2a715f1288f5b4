package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/android/zerotouch"
	"rollcall/enroll"
	"rollcall/storage"
)

// zeroTouchWorld is a store with an account that a worker has.
type zeroTouchWorld struct {
	*world
	worker string
}

func (w *world) zeroTouch(change ...func(*zerotouch.Account)) *zeroTouchWorld {
	w.Helper()
	z := &zeroTouchWorld{world: w}
	z.set(1, append([]func(*zerotouch.Account){func(a *zerotouch.Account) {
		a.Customer, a.Company, a.AddAsPreEnrolled, a.Group, a.Assign, a.CreatedAt = "customers/1", "Example", true, "New", zerotouch.AssignAll, start
	}}, change...)...)
	z.claim("worker", 2)
	return z
}

func (z *zeroTouchWorld) set(second int, change ...func(*zerotouch.Account)) zerotouch.Account {
	z.Helper()
	a, err := z.ChangeZeroTouch(z.ctx, at(second), func(old *zerotouch.Account) (zerotouch.Account, error) {
		var a zerotouch.Account
		if old != nil {
			a = *old
		}
		for _, f := range change {
			f(&a)
		}
		return a, nil
	})
	z.ok(err)
	return a
}

func (z *zeroTouchWorld) claim(worker string, second int) {
	z.Helper()
	_, ok, err := z.ClaimZeroTouch(z.ctx, worker, at(second), time.Minute)
	z.ok(err)
	if !ok {
		z.Fatalf("%s gets no account", worker)
	}
	z.worker = worker
}

func sold(n int, serial string, change ...func(*zerotouch.Listed)) zerotouch.Listed {
	l := zerotouch.Listed{Name: fmt.Sprintf("customers/1/devices/%d", n), Serial: serial, Facts: zerotouch.Facts{Manufacturer: "Google", Model: "Pixel 10", IMEI: fmt.Sprintf("35000000000000%d", n)}}
	for _, f := range change {
		f(&l)
	}
	return l
}

func configured(name string) func(*zerotouch.Listed) {
	return func(l *zerotouch.Listed) { l.Configuration = name }
}

// page reads a part of the list.
func (z *zeroTouchWorld) page(second int, list ...zerotouch.Listed) {
	z.Helper()
	z.ok(z.SaveZeroTouchPage(z.ctx, z.worker, list, at(second)))
	z.settle(second)
}

func (z *zeroTouchWorld) settle(second int) {
	z.Helper()
	for more := true; more; {
		var err error
		more, err = z.SettleZeroTouch(z.ctx, z.worker, 2, at(second))
		z.ok(err)
	}
}

// sweep reads the list to its end.
func (z *zeroTouchWorld) sweep(second int, list ...zerotouch.Listed) {
	z.Helper()
	z.ok(z.StartZeroTouchSweep(z.ctx, z.worker))
	z.page(second, list...)
	for more := true; more; {
		var err error
		more, err = z.EndZeroTouchSweep(z.ctx, z.worker, 1, at(second))
		z.ok(err)
	}
	z.settle(second)
}

func (z *zeroTouchWorld) rows(want string, serials ...string) {
	z.Helper()
	got := ""
	for _, s := range serials {
		switch _, err := z.Device(z.ctx, s); {
		case err == nil:
			got += "+"
		default:
			z.kind(err, enroll.KindNotFound)
			got += "-"
		}
	}
	z.want("rows of "+fmt.Sprint(serials), got, want)
}

func (z *zeroTouchWorld) want(what string, got, want any) {
	z.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		z.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// toAssign tells which devices wait for our configuration (+), or to lose it (-).
func (z *zeroTouchWorld) toAssign(second int) (out []string) {
	z.Helper()
	list, err := z.ZeroTouchToAssign(z.ctx, "", at(second), 100)
	z.ok(err)
	for _, w := range list {
		sign := "-"
		if w.Give {
			sign = "+"
		}
		out = append(out, sign+w.Name[len("customers/1/devices/"):])
	}
	return out
}

const oursAtGoogle = "customers/1/configurations/9"

func testZeroTouch(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"there is no account at first": func(w *world) {
			_, err := w.ZeroTouch(w.ctx)
			w.kind(err, enroll.KindNotFound)
			w.kind(w.DeleteZeroTouch(w.ctx), enroll.KindNotFound)
			w.kind(w.ZeroTouchDue(w.ctx, at(1)), enroll.KindNotFound)
			_, ok, err := w.ClaimZeroTouch(w.ctx, "worker", at(1), time.Minute)
			w.ok(err)
			if ok {
				w.Fatal("claimed what is not there")
			}
		},
		"without a customer nobody has anything to do": func(w *world) {
			z := &zeroTouchWorld{world: w}
			z.set(1)
			_, ok, err := w.ClaimZeroTouch(w.ctx, "worker", at(2), time.Minute)
			w.ok(err)
			z.want("claimed", ok, false)
		},
		"one of many workers has the account, and who lost it writes nothing": func(w *world) {
			z := &zeroTouchWorld{world: w}
			z.set(1, func(a *zerotouch.Account) { a.Customer = "customers/1" })
			var got atomic.Int32
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					_, ok, err := w.ClaimZeroTouch(w.ctx, fmt.Sprint("worker ", i), at(2), time.Minute)
					if err != nil {
						w.Error(err)
					}
					if ok {
						got.Add(1)
					}
				})
			}
			all.Wait()
			z.want("workers that have it", got.Load(), int32(1))
			z.claim("late", 100)
			_, err := w.EndZeroTouchSweep(w.ctx, "early", 1, at(101))
			_, err2 := w.SettleZeroTouch(w.ctx, "early", 1, at(101))
			for _, err := range []error{err, err2, w.HoldZeroTouch(w.ctx, "early", at(300)), w.StartZeroTouchSweep(w.ctx, "early"), w.SaveZeroTouchPage(w.ctx, "early", nil, at(101)),
				w.SetZeroTouchConfigured(w.ctx, "early", oursAtGoogle), w.SaveZeroTouchAssigned(w.ctx, "early", zerotouch.Assigned{}), w.FinishZeroTouch(w.ctx, "early", zerotouch.Run{})} {
				if !errors.Is(err, enroll.ErrLeaseLost) {
					w.Fatalf("who lost the account gets %v", err)
				}
			}
		},
		"what becomes due during a run stays due, and a new problem is told once": func(w *world) {
			z := w.zeroTouch()
			z.ok(w.ZeroTouchDue(w.ctx, at(3)))
			problem := func(second int) zerotouch.Run {
				return zerotouch.Run{At: at(second), DueAt: at(second + 3600), Failures: 1, Problem: &zerotouch.Problem{Code: "zero_touch_terms", Text: "t", Since: at(second)}}
			}
			z.ok(w.FinishZeroTouch(w.ctx, z.worker, problem(4)))
			z.claim("again", 5)
			z.ok(w.FinishZeroTouch(w.ctx, z.worker, problem(6)))
			a, err := w.ZeroTouch(w.ctx)
			z.ok(err)
			z.want("since", a.Sync.Problem.Since, at(4))
			z.want("due", a.Sync.DueAt, at(3606))
			z.want("done", a.Sync.DoneAt, time.Time{})
			_, _, err = w.Publish(w.ctx, at(7))
			z.ok(err)
			events, _, err := w.Events(w.ctx, 0, []string{"zero_touch.*"}, 10)
			z.ok(err)
			if len(events) != 1 || events[0].Refs.Account != "customers/1" || events[0].Refs.Problem != "zero_touch_terms" {
				w.Fatalf("told %+v", events)
			}
		},
		"devices become rows in the group, once, with their source": func(w *world) {
			z := w.zeroTouch()
			z.sweep(3, sold(1, "A1"), sold(2, "B2"), sold(3, ""), sold(4, "A1"))
			z.rows("++", "A1", "B2")
			d, err := w.Device(w.ctx, "A1") // two devices have this serial
			z.ok(err)
			z.want("platform", d.Platform, enroll.PlatformAndroid)
			z.want("state", d.State, enroll.StatePreEnrolled)
			z.want("source", d.Sources["serial"], enroll.SourceZeroTouch)
			g, err := w.Group(w.ctx, "New")
			z.ok(err)
			z.want("members", g.Devices, 2)
			a, err := w.ZeroTouch(w.ctx)
			z.ok(err)
			z.want("listed", []int{a.Devices, a.WithoutSerial}, []int{4, 1})
			z.sweep(4, sold(1, "A1"), sold(2, "B2"), sold(3, ""), sold(4, "A1"))
			again, err := w.Device(w.ctx, "A1")
			z.ok(err)
			z.want("version of what stays the same", again.Version, d.Version)
		},
		"facts are merged by who told them": func(w *world) {
			z := w.zeroTouch()
			_, _, err := w.ChangeDevice(w.ctx, "A1", nil, func(*enroll.Device, string) (enroll.Device, error) {
				return enroll.Device{ID: enroll.NewID(), Serial: "A1", SerialRaw: "A1", Platform: enroll.PlatformAndroid, Ownership: enroll.OwnershipPersonal, Name: "Till 4", State: enroll.StatePreEnrolled,
					Facts: enroll.Facts{Model: "a phone", IMEI: "1", MEID: "2"}, CreatedAt: start, AcceptedAt: start, // what is known of others is not shown
					Sources: map[string]enroll.Source{"serial": enroll.SourceCSV, "model": enroll.SourceCSV, "imei": enroll.SourceDevice, "meid": enroll.SourceCSV}}, nil
			})
			z.ok(err)
			z.sweep(3, sold(1, "A1"))
			d, err := w.Device(w.ctx, "A1")
			z.ok(err)
			z.want("row", []any{d.Name, d.Ownership, d.Facts.Model, d.Facts.IMEI, d.Facts.MEID, d.Sources["serial"], d.Sources["model"], d.Sources["imei"]},
				[]any{"Till 4", enroll.OwnershipPersonal, "Pixel 10", "1", "2", enroll.SourceCSV, enroll.SourceZeroTouch, enroll.SourceDevice})
			z.sweep(4)
			z.rows("+", "A1") // a file has named it
		},
		"what a broken sweep did not see stays; what a whole one did not see goes": func(w *world) {
			z := w.zeroTouch()
			z.sweep(3, sold(1, "A1"), sold(2, "B2"), sold(3, "C3"), sold(4, "D4"))
			d, err := w.Device(w.ctx, "C3")
			z.ok(err)
			e := w.authenticate(d, fingerprint(1))
			w.token(e, fingerprint(1))
			z.ok(w.StartZeroTouchSweep(w.ctx, z.worker))
			z.page(4, sold(1, "A1"))
			z.rows("++++", "A1", "B2", "C3", "D4")
			z.sweep(5, sold(1, "A1"))
			z.rows("+-+-", "A1", "B2", "C3", "D4") // C3 is enrolled
			z.sweep(6, sold(1, "A1"), sold(2, "B2"))
			z.rows("++", "A1", "B2")
		},
		"a serial that a reseller corrects is another row": func(w *world) {
			z := w.zeroTouch()
			z.sweep(3, sold(1, "A1"))
			z.sweep(4, sold(1, "B2"))
			z.rows("-+", "A1", "B2")
			z.sweep(5, sold(1, ""))
			z.rows("--", "A1", "B2")
			a, err := w.ZeroTouch(w.ctx)
			z.ok(err)
			z.want("listed", []int{a.Devices, a.WithoutSerial}, []int{1, 1})
		},
		"a serial that is listed twice stays until both are gone": func(w *world) {
			z := w.zeroTouch()
			z.sweep(3, sold(1, "A1"), sold(2, "A1"))
			z.sweep(4, sold(2, "A1"))
			z.rows("+", "A1")
			z.sweep(5)
			z.rows("-", "A1")
		},
		"the setting and the group may come later": func(w *world) {
			z := w.zeroTouch(func(a *zerotouch.Account) { a.AddAsPreEnrolled, a.Group = false, "" })
			z.sweep(3, sold(1, "A1"), sold(2, "B2"))
			z.rows("--", "A1", "B2")
			z.set(4, func(a *zerotouch.Account) { a.AddAsPreEnrolled = true })
			z.settle(5)
			z.rows("++", "A1", "B2")
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "sorted"}))
			w.ok(w.ChangeMembers(w.ctx, "sorted", []string{"A1"}, nil))
			z.set(6, func(a *zerotouch.Account) { a.Group = "Late" })
			z.settle(7)
			g, err := w.Group(w.ctx, "Late")
			z.ok(err)
			z.want("members", g.Devices, 1)
			z.set(8, func(a *zerotouch.Account) { a.AddAsPreEnrolled = false })
			z.sweep(9, sold(1, "A1"), sold(2, "B2"), sold(3, "C3"))
			z.rows("++-", "A1", "B2", "C3")
		},
		"a group with a rule takes nobody": func(w *world) {
			z := w.zeroTouch()
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "ruled", Rule: &enroll.GroupRule{Match: enroll.MatchAll, Conditions: []enroll.Condition{{Field: enroll.FieldSerial, Values: []string{"*"}}}}}))
			_, err := w.ChangeZeroTouch(w.ctx, at(3), func(a *zerotouch.Account) (zerotouch.Account, error) { a.Group = "ruled"; return *a, nil })
			w.kind(err, enroll.KindConflict)
			a, err := w.ZeroTouch(w.ctx)
			z.ok(err)
			z.want("group", a.Group, "New")
		},
		"who gets the configuration": func(w *world) {
			z := w.zeroTouch()
			list := []zerotouch.Listed{sold(1, "A1"), sold(2, "B2", configured("customers/1/configurations/other")), sold(3, "C3", configured(oursAtGoogle)), sold(4, "D4")}
			z.sweep(3, list...)
			z.want("before there is one", z.toAssign(4), []string(nil))
			z.ok(w.SetZeroTouchConfigured(w.ctx, z.worker, oursAtGoogle))
			z.want("all", z.toAssign(4), []string{"+1", "+2", "+4"})
			z.set(5, func(a *zerotouch.Account) { a.Assign = zerotouch.AssignUnassigned })
			z.want("unassigned", z.toAssign(5), []string{"+1", "+4"})
			z.set(6, func(a *zerotouch.Account) { a.Assign = zerotouch.AssignChosen })
			z.want("chosen", z.toAssign(6), []string(nil))
			z.ok(w.ChooseZeroTouch(w.ctx, []string{"B2"}, zerotouch.ChoiceOurs, at(6)))
			z.ok(w.ChooseZeroTouch(w.ctx, []string{"C3", "D4"}, zerotouch.ChoiceNone, at(6)))
			z.want("by choice", z.toAssign(6), []string{"+2", "-3"})
			w.kind(w.ChooseZeroTouch(w.ctx, []string{"A1", "X9"}, zerotouch.ChoiceOurs, at(6)), enroll.KindNotFound)
			z.want("by choice of one that is not listed", z.toAssign(6), []string{"+2", "-3"})
			z.sweep(7, list...)
			z.want("after the next sweep", z.toAssign(7), []string{"+2", "-3"})
			z.ok(w.SaveZeroTouchAssigned(w.ctx, z.worker, zerotouch.Assigned{Name: "customers/1/devices/3"}))
			z.ok(w.SaveZeroTouchAssigned(w.ctx, z.worker, zerotouch.Assigned{Name: "customers/1/devices/2", Outcome: zerotouch.Invalid, RetryAt: at(60)}))
			z.want("until the next try", z.toAssign(59), []string(nil))
			z.want("at the next try", z.toAssign(60), []string{"+2"})
			known, err := w.ZeroTouchDevices(w.ctx, enroll.Page{After: "customers/1/devices/1", Limit: 1})
			z.ok(err)
			z.want("known", known, []zerotouch.Known{{Name: "customers/1/devices/2", Serial: "B2", Configuration: "customers/1/configurations/other", Choice: zerotouch.ChoiceOurs, Outcome: "invalid",
				Attempts: 1, RetryAt: at(60), OnRoll: true}})
		},
		"another customer ends the run that is under way": func(w *world) {
			z := w.zeroTouch()
			z.sweep(3, sold(1, "A1"))
			z.set(4, func(a *zerotouch.Account) { a.Customer, a.Configured = "customers/2", "" })
			if err := w.SetZeroTouchConfigured(w.ctx, z.worker, oursAtGoogle); !errors.Is(err, enroll.ErrLeaseLost) {
				w.Fatalf("the old run goes on: %v", err)
			}
			z.claim("next", 4)
			z.sweep(5, sold(1, "B2", func(l *zerotouch.Listed) { l.Name = "customers/2/devices/1" }))
			z.rows("-+", "A1", "B2")
		},
		"a forgotten account leaves the roll as it is, and its history": func(w *world) {
			z := w.zeroTouch()
			z.sweep(3, sold(1, "A1"))
			z.ok(w.DeleteZeroTouch(w.ctx))
			z.rows("+", "A1")
			_, err := w.ZeroTouch(w.ctx)
			w.kind(err, enroll.KindNotFound)
			if err := w.SaveZeroTouchPage(w.ctx, z.worker, nil, at(4)); !errors.Is(err, enroll.ErrLeaseLost) {
				w.Fatalf("the worker goes on: %v", err)
			}
			z.set(5, func(a *zerotouch.Account) { a.Customer = "customers/1" })
			known, err := w.ZeroTouchDevices(w.ctx, enroll.Page{Limit: 10})
			z.ok(err)
			z.want("known", len(known), 0)
		},
		"changes of admins are in the audit log": func(w *world) {
			ctx := enroll.WithCall(w.ctx, enroll.Call{ActorKind: "token", ActorID: "t", ActorName: "admin", Operation: "put-zero-touch", Path: "/api/v1/android/zero-touch"})
			_, err := w.ChangeZeroTouch(ctx, at(1), func(*zerotouch.Account) (zerotouch.Account, error) {
				return zerotouch.Account{Customer: "customers/1", Address: "mdm@example.iam"}, nil
			})
			w.ok(err)
			entries, err := w.Audit(context.WithoutCancel(w.ctx), enroll.AuditFilter{Kind: "zero_touch"}, 0, 10)
			w.ok(err)
			if len(entries) != 1 {
				w.Fatalf("entries: %+v", entries)
			}
		},
	})
}
