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

	"rollcall/android/amapi"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
)

const enterprise = "enterprises/LC0"

// droid puts an Android device on the roll.
func (w *world) droid(serial, imei string) enroll.Device {
	w.Helper()
	d, _, err := w.ChangeDevice(w.ctx, serial, nil, func(*enroll.Device, string) (enroll.Device, error) {
		return enroll.Device{ID: enroll.NewID(), Serial: serial, SerialRaw: serial, Platform: enroll.PlatformAndroid, Ownership: enroll.OwnershipCorporate, State: enroll.StatePreEnrolled,
			Facts: enroll.Facts{IMEI: imei}, Sources: map[string]enroll.Source{"serial": enroll.SourceAPI}, CreatedAt: start}, nil
	})
	w.ok(err)
	return d
}

// google enrolls a device of Google's for a row.
func (w *world) google(d enroll.Device, name string, second int) amapi.Record {
	w.Helper()
	stale, err := w.Admit(w.ctx, amapi.Admission{Record: amapi.Record{Name: enterprise + "/devices/" + name, DeviceID: d.ID, Serial: d.Serial, Mode: amapi.FullyManaged, DecisionID: "decision",
		Policy: enterprise + "/policies/quarantine"}, Facts: enroll.Facts{OSVersion: "16"}, At: at(second)})
	w.ok(err)
	if stale {
		w.Fatal("the admission is stale")
	}
	return w.googleRecord(name)
}

func (w *world) googleRecord(name string) amapi.Record {
	w.Helper()
	r, err := w.Record(w.ctx, enterprise+"/devices/"+name)
	w.ok(err)
	return r
}

// claimed are the devices whose delivery is due.
func (w *world) claimed() []policy.Due {
	w.Helper()
	due, err := w.ClaimDue(w.ctx, at(100), time.Minute, 1000)
	w.ok(err)
	return due
}

func testAMAPI(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"the organization":              amapiOrganization,
		"jobs are one replica's":        amapiJobs,
		"the budget":                    amapiBudget,
		"notifications are stored once": amapiInbox,
		"events older than the newest":  amapiClock,
		"one token, two devices":        amapiToken,
		"a device that is not held":     amapiHeld,
		"a policy is reported":          amapiPolicies,
		"commands":                      amapiCommands,
		"rows by IMEI": func(w *world) {
			w.droid("AAA", "490154203237518")
			serial, err := w.SerialByIMEI(w.ctx, "490154203237518")
			w.ok(err)
			none, err := w.SerialByIMEI(w.ctx, "1")
			w.ok(err)
			w.droid("BBB", "490154203237518")
			both, err := w.SerialByIMEI(w.ctx, "490154203237518")
			w.ok(err)
			if serial != "AAA" || none != "" || both != "" {
				w.Fatalf("found %q, %q, %q", serial, none, both)
			}
		},
	})
}

// withoutSecrets cannot delete them.
type withoutSecrets struct{ *storage.Store }

func (withoutSecrets) DeleteSecret(context.Context, string) error { return errors.New("broken") }

func amapiOrganization(w *world) {
	_, err := w.Organization(w.ctx)
	w.kind(err, enroll.KindNotFound)
	want := amapi.Organization{Project: "p", Name: enterprise, Settings: amapi.DefaultSettings(), Ways: []amapi.Way{{Mode: amapi.FullyManaged, Token: "t", QRCode: "{}"}}, CreatedAt: at(1)}
	_, err = w.ChangeOrganization(w.ctx, func(old *amapi.Organization) (amapi.Organization, error) {
		if old != nil {
			w.Error("there is one already")
		}
		return want, nil
	})
	w.ok(err)
	got, err := w.Organization(w.ctx)
	w.ok(err)
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("(-want +got):\n%s", diff)
	}
	d := w.droid("AAA", "")
	r := w.google(d, "1", 2)
	s := amapi.Enterprises{Store: withoutSecrets{w.Store}}
	if err := s.Disconnect(w.ctx); err == nil {
		w.Fatal("it is disconnected with its key left")
	}
	_, err = w.Organization(w.ctx)
	w.ok(err)
	w.ok(w.DeleteOrganization(w.ctx, at(9)))
	_, err = w.Organization(w.ctx)
	w.kind(err, enroll.KindNotFound)
	e, err := w.EnrollmentByID(w.ctx, r.EnrollmentID)
	w.ok(err)
	if e.State != mdm.EnrollmentEnded {
		w.Fatalf("the enrollment is %s", e.State)
	}
}

func amapiJobs(w *world) {
	claim := func(worker string, second int, want bool) {
		w.Helper()
		if got, err := w.ClaimJob(w.ctx, "job", worker, at(second), 10*time.Second); err != nil || got != want {
			w.Fatalf("%s at %d: %v, %v", worker, second, got, err)
		}
	}
	claim("a", 1, true) // it was never done
	claim("b", 5, false)
	claim("b", 11, true) // the lease of the first is over
	if err := w.HoldJob(w.ctx, "job", "a", at(30)); err != enroll.ErrLeaseLost {
		w.Fatalf("the first holds it still: %v", err)
	}
	w.ok(w.HoldJob(w.ctx, "job", "b", at(30)))
	claim("a", 25, false)
	w.ok(w.JobDue(w.ctx, "job", at(26))) // while it is done
	w.ok(w.FinishJob(w.ctx, "job", "b", at(1000)))
	claim("a", 27, true)
	w.ok(w.FinishJob(w.ctx, "job", "a", at(1000)))
	claim("a", 999, false)
	claim("a", 1000, true)
}

// amapiBudget: within no minute more than 600, whoever takes them.
func amapiBudget(w *world) {
	now := at(0)
	var taken []time.Time
	for now.Before(at(180)) {
		wait, err := w.TakeCall(w.ctx, "p", now)
		w.ok(err)
		if wait == 0 {
			taken = append(taken, now)
			continue
		}
		now = now.Add(max(wait, 3*time.Second)) // seldom, so that it does not take long
	}
	for i := range taken {
		n := 0
		for _, t := range taken[i:] {
			if t.Sub(taken[i]) < time.Minute {
				n++
			}
		}
		if n > 600 {
			w.Fatalf("%d calls within a minute", n)
		}
	}
	if len(taken) < 1200 {
		w.Fatalf("only %d calls in three minutes", len(taken))
	}
	var got atomic.Int64
	var g sync.WaitGroup
	for range 20 {
		g.Go(func() {
			for range 10 {
				if wait, err := w.TakeCall(w.ctx, "q", at(0)); err == nil && wait == 0 {
					got.Add(1)
				}
			}
		})
	}
	g.Wait()
	if got.Load() != 100 {
		w.Fatalf("%d calls at once, want 100", got.Load())
	}
	lookups := 0
	for now := at(0); now.Before(at(60)); now = now.Add(100 * time.Millisecond) {
		if wait, err := w.TakeSignIn(w.ctx, "s", now); err == nil && wait == 0 {
			lookups++
		}
	}
	if lookups < 50 || lookups > 100 {
		w.Fatalf("%d lookups of the sign-in page in a minute", lookups)
	}
	if wait, err := w.TakeCall(w.ctx, "s", at(0)); err != nil || wait != 0 {
		w.Fatalf("the sign-in page used the budget up: %v, %v", wait, err)
	}
	w.ok(w.HoldCalls(w.ctx, "r", at(60)))
	if wait, err := w.TakeCall(w.ctx, "r", at(0)); err != nil || wait < 59*time.Second || wait > 61*time.Second {
		w.Fatalf("held calls: %v, %v", wait, err)
	}
	if wait, err := w.TakeCall(w.ctx, "r", at(61)); err != nil || wait != 0 {
		w.Fatalf("after it: %v, %v", wait, err)
	}
}

func amapiInbox(w *world) {
	message := func(id string) amapi.Message {
		return amapi.Message{ID: id, Kind: "ENROLLMENT", Data: []byte(`{}`), PublishedAt: at(1), ReceivedAt: at(2)}
	}
	for _, want := range []int{2, 0} {
		if n, err := w.StoreNotifications(w.ctx, []amapi.Message{message("1"), message("2")}); err != nil || n != want {
			w.Fatalf("%d are new, %v; want %d", n, err, want)
		}
	}
	claim := func(second, want int) []amapi.Message {
		w.Helper()
		got, err := w.ClaimNotifications(w.ctx, at(second), 10*time.Second, 10)
		w.ok(err)
		if len(got) != want {
			w.Fatalf("%d claimed, want %d", len(got), want)
		}
		return got
	}
	claim(3, 2)
	claim(4, 0)
	if got := claim(14, 2); got[0].Attempts != 2 { // the worker has ended
		w.Fatalf("%+v", got)
	}
	w.ok(w.FinishNotifications(w.ctx, []amapi.Finished{{ID: "1", State: amapi.MessageDone}, {ID: "2", State: amapi.MessageNew, RetryAt: at(30)}}))
	claim(29, 0)
	claim(30, 1)
	w.ok(w.FinishNotifications(w.ctx, []amapi.Finished{{ID: "2", State: amapi.MessagePoison, Problem: "bad"}}))
	claim(1000, 0)
	poison, err := w.PoisonedNotifications(w.ctx, enroll.Page{Limit: 10})
	w.ok(err)
	if len(poison) != 1 || poison[0].ID != "2" || poison[0].Problem != "bad" || string(poison[0].Data) != "{}" {
		w.Fatalf("%+v", poison)
	}
	if n, err := w.StoreNotifications(w.ctx, []amapi.Message{message("1")}); err != nil || n != 0 {
		w.Fatalf("one that is done is new again: %d, %v", n, err)
	}
	w.ok(w.ForgetNotifications(w.ctx, at(3)))
	if n, err := w.StoreNotifications(w.ctx, []amapi.Message{message("1")}); err != nil || n != 1 {
		w.Fatalf("one that is forgotten is not new: %d, %v", n, err)
	}
}

func amapiClock(w *world) {
	d := w.droid("AAA", "")
	r := w.google(d, "1", 10)
	if got, err := w.DeviceByID(w.ctx, d.ID); err != nil || got.State != enroll.StateEnrolled || got.EnrollmentID != r.EnrollmentID || got.Facts.OSVersion != "16" {
		w.Fatalf("%+v, %v", got, err)
	}
	again := w.google(d, "1", 11)
	if again.EnrollmentID != r.EnrollmentID {
		w.Fatal("a repeated admission began another enrollment")
	}
	observe := func(second int, version int64, wantStale bool) {
		w.Helper()
		known, stale, err := w.Observe(w.ctx, amapi.Report{Name: r.Name, At: at(second), Applied: "p", AppliedVersion: version})
		w.ok(err)
		if !known || stale != wantStale {
			w.Fatalf("known %v, stale %v", known, stale)
		}
	}
	observe(20, 2, false)
	observe(19, 1, true)
	observe(20, 3, false) // of the same time, another message
	gone := w.googleRecord("1")
	gone.State, gone.EventAt = amapi.RecordGone, at(15)
	if stale, err := w.Keep(w.ctx, gone); err != nil || !stale {
		w.Fatalf("an old end ended it: %v, %v", stale, err)
	}
	gone.EventAt = at(30)
	if stale, err := w.Keep(w.ctx, gone); err != nil || stale {
		w.Fatalf("%v, %v", stale, err)
	}
	if got, err := w.DeviceByID(w.ctx, d.ID); err != nil || got.State != enroll.StateUnenrolled {
		w.Fatalf("%+v, %v", got, err)
	}
	if stale, err := w.Admit(w.ctx, amapi.Admission{Record: gone, At: at(25)}); err != nil || !stale {
		w.Fatalf("an old report enrolled it again: %v, %v", stale, err)
	}
	w.google(d, "2", 40)
	w.google(d, "3", 50) // enrolled again under another name
	if got := w.googleRecord("2"); got.State != amapi.RecordGone || got.EnrollmentID != "" {
		w.Fatalf("%+v", got)
	}
	_, err := w.Admit(w.ctx, amapi.Admission{Record: w.googleRecord("2"), At: at(55)})
	if !errors.Is(err, amapi.ErrReplaced) || w.googleRecord("3").State != amapi.RecordEnrolled {
		w.Fatalf("a device that was replaced is back: %v", err)
	}
	missing, err := w.Missing(w.ctx, at(60), "", 10)
	w.ok(err)
	if diff := cmp.Diff([]string{enterprise + "/devices/3"}, missing); diff != "" {
		w.Fatal(diff)
	}
}

// amapiHeld: a recheck of the quarantine does not bring back what was removed
// meanwhile.
func amapiHeld(w *world) {
	d := w.droid("AAA", "")
	r := amapi.Record{Name: enterprise + "/devices/1", DeviceID: d.ID, Serial: d.Serial, Mode: amapi.FullyManaged, State: amapi.RecordQuarantined, EventAt: at(1)}
	for i, state := range []amapi.RecordState{amapi.RecordRemoved, amapi.RecordQuarantined} {
		kept := r
		kept.State, kept.EventAt = state, at(2+i)
		_, err := w.Keep(w.ctx, kept)
		w.ok(err)
		stale, err := w.Admit(w.ctx, amapi.Admission{Record: r, Held: true, At: at(10)})
		if w.ok(err); stale != (state == amapi.RecordRemoved) {
			w.Fatalf("%s: stale %v", state, stale)
		}
	}
}

// amapiToken: of two devices that come with one token at the same time, one is
// admitted.
func amapiToken(w *world) {
	d := w.droid("AAA", "")
	tok := amapi.BoundToken{ID: enroll.NewID(), DeviceID: d.ID, Serial: "AAA", Mode: amapi.FullyManaged, NonceHash: []byte{1}, State: amapi.TokenAsked, CreatedAt: at(0), ExpiresAt: at(600)}
	w.ok(w.AddBoundToken(w.ctx, tok))
	w.ok(w.BoundTokenMade(w.ctx, tok.ID, "name"))
	var admitted, refused atomic.Int64
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() {
			_, err := w.Admit(w.ctx, amapi.Admission{Record: amapi.Record{Name: fmt.Sprintf("%s/devices/%d", enterprise, i), DeviceID: d.ID, Serial: "AAA", Mode: amapi.FullyManaged}, TokenID: tok.ID, At: at(1)})
			switch enroll.KindOf(err) {
			case "":
				admitted.Add(1)
			case enroll.KindConflict:
				refused.Add(1)
			default:
				w.Errorf("%v", err)
			}
		})
	}
	g.Wait()
	got, err := w.BoundToken(w.ctx, tok.ID)
	w.ok(err)
	if admitted.Load() != 1 || refused.Load() != 7 || got.State != amapi.TokenUsed || got.UsedBy == "" || got.Name != "name" {
		w.Fatalf("%d admitted, %d refused; %+v", admitted.Load(), refused.Load(), got)
	}
}

func amapiPolicies(w *world) {
	const shared = enterprise + "/policies/p1"
	first, second := w.droid("AAA", ""), w.droid("BBB", "")
	a, b := w.google(first, "1", 1), w.google(second, "2", 1)
	ids := map[string]string{}
	due := w.claimed()
	for _, d := range due {
		r, id := a, enroll.NewID()
		if d.DeviceID == second.ID {
			r = b
		}
		ids[r.Name] = id
		w.ok(w.commit(d, r.EnrollmentID, []policy.Command{{ID: id, RequestType: amapi.TypeSetPolicy, Body: []byte(`{"x":1}`), ItemKey: "policy", Title: "Policy", Hash: "h1"}}, nil, nil, at(50)))
	}
	work, err := w.PendingPolicies(w.ctx, 10)
	w.ok(err)
	if len(work) != 2 || work[0].Device != a.Name || work[0].Hash != "h1" || work[0].CommandID != ids[a.Name] || work[0].Policy != enterprise+"/policies/quarantine" {
		w.Fatalf("%+v", work)
	}
	if body, err := w.CommandBody(w.ctx, work[0].CommandID); err != nil || string(body) != `{"x":1}` {
		w.Fatalf("%s, %v", body, err)
	}
	w.ok(w.PutShared(w.ctx, amapi.Shared{Name: shared, Hash: "h1", Version: 7}))
	// The report of the second came first.
	_, _, err = w.Observe(w.ctx, amapi.Report{Name: b.Name, At: at(51), Applied: shared, AppliedVersion: 7})
	w.ok(err)
	w.ok(w.Assigned(w.ctx, shared, 7, work, at(52)))
	state := func(name string) policy.CommandState {
		w.Helper()
		c, err := w.CommandRecord(w.ctx, ids[name])
		w.ok(err)
		return c.State
	}
	if state(a.Name) != policy.CommandSent || state(b.Name) != policy.CommandAcknowledged {
		w.Fatalf("%s and %s", state(a.Name), state(b.Name))
	}
	for version, want := range map[int64]policy.CommandState{6: policy.CommandSent} {
		_, _, err = w.Observe(w.ctx, amapi.Report{Name: a.Name, At: at(53), Applied: shared, AppliedVersion: version})
		w.ok(err)
		if got := state(a.Name); got != want {
			w.Fatalf("version %d: %s", version, got)
		}
	}
	_, _, err = w.Observe(w.ctx, amapi.Report{Name: a.Name, At: at(54), Applied: shared, AppliedVersion: 7, Complaints: []amapi.Complaint{{Pointer: "/restrictions/nfc", Setting: "deviceRadioState", Reason: "API_LEVEL"}}})
	w.ok(err)
	if state(a.Name) != policy.CommandAcknowledged {
		w.Fatalf("it is %s", state(a.Name))
	}
	receipt, err := w.Receipt(w.ctx, first.ID)
	w.ok(err)
	if len(receipt.Notes) != 1 || receipt.Notes[0].Pointer != "/restrictions/nfc" || receipt.Notes[0].Code != "api_level" {
		w.Fatalf("notes %+v", receipt.Notes)
	}
	all, err := w.SharedPolicies(w.ctx)
	w.ok(err)
	if diff := cmp.Diff([]amapi.Shared{{Name: shared, Hash: "h1", Version: 7, Devices: 2}}, all); diff != "" {
		w.Fatalf("(-want +got):\n%s", diff)
	}
	if work, err := w.PendingPolicies(w.ctx, 10); err != nil || len(work) != 0 {
		w.Fatalf("%+v, %v", work, err)
	}
}

func amapiCommands(w *world) {
	d := w.droid("AAA", "")
	r := w.google(d, "1", 1)
	lock, wipe := enroll.NewID(), enroll.NewID()
	w.ok(w.EnqueueAMAPI(w.ctx, r.EnrollmentID, lock, amapi.Command{Type: "lock", Body: []byte(`{"type":"LOCK"}`)}, at(2)))
	w.ok(w.EnqueueAMAPI(w.ctx, r.EnrollmentID, wipe, amapi.Command{Type: "wipe", Body: []byte(`{"type":"WIPE"}`)}, at(3)))
	wakes, err := w.ClaimWork(w.ctx, at(4), time.Minute, 10)
	w.ok(err)
	if len(wakes) != 1 || wakes[0].EnrollmentID != r.EnrollmentID {
		w.Fatalf("%+v", wakes)
	}
	if pushes := w.pushes(5); len(pushes) != 0 {
		w.Fatalf("APNs is to push %v", pushes)
	}
	open := func(want ...string) []amapi.Work {
		w.Helper()
		work, policies, err := w.OpenWork(w.ctx, []string{r.EnrollmentID})
		w.ok(err)
		var got []string
		for _, one := range work {
			got = append(got, one.CommandID)
		}
		if diff := cmp.Diff(want, got); diff != "" || policies {
			w.Fatalf("policies %v, (-want +got):\n%s", policies, diff)
		}
		return work
	}
	work := open(lock, wipe)
	held := wakes[0]
	ask := func(one amapi.Work, second int) amapi.Work {
		w.Helper()
		w.ok(w.Asking(w.ctx, held, one, at(second), at(second+60)))
		held.LeaseUntil, one.AskedAt = at(second+60), at(second)
		return one
	}
	lost := func(what string, held amapi.Wake, one amapi.Work) {
		w.Helper()
		if err := w.Asking(w.ctx, held, one, at(8), at(68)); !errors.Is(err, enroll.ErrLeaseLost) {
			w.Fatalf("%s: %v", what, err)
		}
	}
	asked := ask(work[0], 6)
	lost("a lease that is over", wakes[0], asked)
	lost("a command that another has asked", held, work[0])
	w.ok(w.Unasked(w.ctx, work[0])) // not at that time
	if asked := open(lock, wipe)[0]; !asked.AskedAt.Equal(at(6)) {
		w.Fatalf("%+v", asked)
	}
	if unanswered, err := w.Unanswered(w.ctx, r.Name); err != nil || len(unanswered) != 1 || string(unanswered[0].Body) != `{"type":"LOCK"}` {
		w.Fatalf("%+v, %v", unanswered, err)
	}
	w.ok(w.Unasked(w.ctx, asked))
	if asked := open(lock, wipe)[0]; !asked.AskedAt.IsZero() {
		w.Fatalf("%+v", asked)
	}
	asked = ask(work[0], 7)
	w.ok(w.Issued(w.ctx, amapi.Issued{CommandID: lock, Operation: r.Name + "/operations/1", ExpiresAt: at(20)}))
	lost("a command that Google has", held, asked)
	open(wipe)
	if i, err := w.IssuedAs(w.ctx, r.Name+"/operations/1"); err != nil || i.CommandID != lock || i.EnrollmentID != r.EnrollmentID {
		w.Fatalf("%+v, %v", i, err)
	}
	if late, err := w.Overdue(w.ctx, at(21), 10); err != nil || len(late) != 1 {
		w.Fatalf("%+v, %v", late, err)
	}
	w.ok(w.FinishCommand(w.ctx, amapi.Outcome{EnrollmentID: r.EnrollmentID, CommandID: lock, Failed: true, Error: "UNSUPPORTED", At: at(22)}, false))
	w.ok(w.FinishCommand(w.ctx, amapi.Outcome{EnrollmentID: r.EnrollmentID, CommandID: lock, At: at(23)}, false)) // a result counts once
	if c, err := w.CommandRecord(w.ctx, lock); err != nil || c.State != policy.CommandFailed || c.Error != "UNSUPPORTED" {
		w.Fatalf("%+v, %v", c, err)
	}
	if late, err := w.Overdue(w.ctx, at(21), 10); err != nil || len(late) != 0 {
		w.Fatalf("%+v, %v", late, err)
	}
	lost("a command that is over", held, amapi.Work{CommandID: lock, EnrollmentID: r.EnrollmentID, Device: r.Name})
	claim := func(second, want int) {
		w.Helper()
		if again, err := w.ClaimWork(w.ctx, at(second), time.Minute, 10); err != nil || len(again) != want {
			w.Fatalf("%+v, %v", again, err)
		}
	}
	w.ok(w.FinishWork(w.ctx, []amapi.Woken{{Wake: wakes[0]}})) // whose lease is another's
	claim(66, 0)
	w.ok(w.FinishWork(w.ctx, []amapi.Woken{{Wake: held, RetryAt: at(60)}}))
	claim(59, 0)
	claim(60, 1)
	w.ok(w.FinishCommand(w.ctx, amapi.Outcome{EnrollmentID: r.EnrollmentID, CommandID: wipe, At: at(61)}, true))
	if got, err := w.DeviceByID(w.ctx, d.ID); err != nil || got.State != enroll.StateUnenrolled {
		w.Fatalf("%+v, %v", got, err)
	}
	if got := w.googleRecord("1"); got.State != amapi.RecordGone {
		w.Fatalf("%+v", got)
	}
}
