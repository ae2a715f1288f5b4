package storagetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/storage"
)

// signed is an attempt of an iPhone over the air.
func signed(serial string, change ...func(*enroll.Attempt)) enroll.Attempt {
	a := enroll.Attempt{At: at(1), Channel: enroll.ChannelOTA, Platform: enroll.PlatformIOS, Serial: serial, Evidence: enroll.EvidenceSigned, Facts: enroll.Facts{UDID: "udid-" + serial}}
	for _, f := range change {
		f(&a)
	}
	return a
}

// settings changes the restrictions.
func (w *world) settings(change func(*enroll.Settings)) {
	w.Helper()
	_, err := w.restrictions().ChangeSettings(w.ctx, change)
	w.ok(err)
}

func (w *world) restrictions() *enroll.Restrictions {
	return enroll.NewRestrictions(w.Store, w.Store, func() time.Time { return at(1000) })
}

func (w *world) approvals() *enroll.Approvals {
	return enroll.NewApprovals(w.Store, enroll.NewRoll(w.Store, nil), func() time.Time { return at(1000) })
}

func (w *world) enforce(s *enroll.Settings) { s.PreEnrolledDevicesOnly = enroll.ModeEnforce }
func (w *world) holding(s *enroll.Settings) {
	s.PreEnrolledDevicesOnly, s.UnlistedDevices = enroll.ModeEnforce, enroll.UnlistedHold
}

// decides wants the gate to answer this.
func (w *world) decides(a enroll.Attempt, want enroll.Code) enroll.Decision {
	w.Helper()
	d, err := enroll.NewGate(w.Store, nil).Decide(w.ctx, a)
	w.ok(err)
	if d.Code != want {
		w.Fatalf("%s was decided %s, want %s: %+v", a.Serial, d.Code, want, d.Trace)
	}
	return d
}

// change changes a row that is on the roll.
func (w *world) change(serial string, change func(*enroll.Device)) enroll.Device {
	w.Helper()
	d, _, err := w.ChangeDevice(w.ctx, serial, nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
		change(old)
		return *old, nil
	})
	w.ok(err)
	return d
}

func (w *world) state(serial string, want enroll.State) {
	w.Helper()
	d, err := w.Device(w.ctx, serial)
	if want == "" {
		w.kind(err, enroll.KindNotFound)
		return
	}
	w.ok(err)
	if d.State != want {
		w.Fatalf("%s is %s, want %s", serial, d.State, want)
	}
}

func testRestrictions(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"settings": func(w *world) {
			if set, err := w.Settings(w.ctx); err != nil || set != (enroll.Settings{PreEnrolledDevicesOnly: enroll.ModeOff}) {
				w.Fatalf("before the first change: %+v, %v", set, err)
			}
			want := enroll.Settings{PreEnrolledDevicesOnly: enroll.ModeAudit, UnlistedDevices: enroll.UnlistedHold, OwnerMismatch: enroll.MismatchWarn,
				RequiredEvidence: enroll.EvidenceSigned, DevicesPerUser: 3, DecisionDays: 30, UpdatedAt: at(1000)}
			w.settings(func(s *enroll.Settings) { *s = want })
			if got, err := w.Settings(w.ctx); err != nil || got != want {
				w.Fatalf("%+v, %v", got, err)
			}
			w.settings(func(s *enroll.Settings) { s.DevicesPerUser = 4 })
			want.DevicesPerUser = 4
			if got, err := w.Settings(w.ctx); err != nil || got != want {
				w.Fatalf("%+v, %v", got, err)
			}
		},
		"rules": func(w *world) {
			r := w.restrictions()
			no := false
			var want []enroll.Rule
			for i := range 3 {
				rule, created, err := r.PutRule(w.ctx, enroll.Rule{Name: fmt.Sprintf("rule %d", 9-i), Enabled: i > 0, Action: enroll.RuleDeny,
					Conditions: enroll.Conditions{Models: []string{"iPhone*", "ü"}, OSMinimum: "17.4", OnRoll: &no, Groups: []string{"a"}}})
				w.ok(err)
				if !created {
					w.Fatal("not created")
				}
				want = append(want, rule)
			}
			got, err := r.Rules(w.ctx)
			w.ok(err)
			if diff := cmp.Diff(want, got); diff != "" {
				w.Fatalf("(-want +got)\n%s", diff)
			}
			_, err = r.OrderRules(w.ctx, []string{"rule 8", "rule 7", "rule 9"})
			w.ok(err)
			w.ok(r.DeleteRule(w.ctx, "rule 7"))
			got, err = r.Rules(w.ctx)
			w.ok(err)
			if diff := cmp.Diff([]enroll.Rule{want[1], want[0]}, got); diff != "" {
				w.Fatalf("(-want +got)\n%s", diff)
			}
			known, err := w.Known(w.ctx, signed("AAA"))
			w.ok(err)
			if len(known.Rules) != 1 || known.Rules[0].Name != "rule 8" {
				w.Fatalf("the gate asks %+v", known.Rules)
			}
		},
		"changes at once": func(w *world) {
			done := make(chan error)
			for i := range 8 {
				go func() {
					_, _, err := w.restrictions().PutRule(w.ctx, enroll.Rule{Name: fmt.Sprint(i), Enabled: true, Action: enroll.RuleAllow})
					done <- err
				}()
			}
			for range 8 {
				w.ok(<-done)
			}
			if rules, err := w.restrictions().Rules(w.ctx); err != nil || len(rules) != 8 {
				w.Fatalf("%d rules, %v", len(rules), err)
			}
		},
		"a rule in effect": func(w *world) {
			d := w.device("AAA")
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "loaners", CreatedAt: start, UpdatedAt: start}))
			_, _, err := w.restrictions().PutRule(w.ctx, enroll.Rule{Name: "no loaners by hand", Enabled: true, Action: enroll.RuleDeny,
				Conditions: enroll.Conditions{Channels: []enroll.Channel{enroll.ChannelOTA}, Groups: []string{"loaners"}}})
			w.ok(err)
			w.decides(signed("AAA"), enroll.AllowListed)
			w.ok(w.ChangeMembers(w.ctx, "loaners", []string{d.Serial}, nil))
			got := w.decides(signed("AAA"), enroll.DenyChannel)
			stored, err := w.Decision(w.ctx, got.ID)
			w.ok(err)
			if i := slices.IndexFunc(stored.Trace, func(s enroll.Step) bool { return s.Check == "rule no loaners by hand" }); i < 0 || stored.Trace[i].Result != "fail" {
				w.Fatalf("trace %+v", stored.Trace)
			}
		},
		"a group that a rule is about": func(w *world) {
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "loaners", CreatedAt: start, UpdatedAt: start}))
			_, _, err := w.restrictions().PutRule(w.ctx, enroll.Rule{Name: "off", Action: enroll.RuleDeny, Conditions: enroll.Conditions{Groups: []string{"loaners"}, Channels: []enroll.Channel{enroll.ChannelProfile}}})
			w.ok(err)
			w.kind(w.DeleteGroup(w.ctx, "loaners"), enroll.KindConflict)
			w.ok(w.ChangeRestrictions(w.ctx, func(s enroll.Settings, _ []enroll.Rule) (enroll.Settings, []enroll.Rule, error) { return s, nil, nil }))
			w.ok(w.DeleteGroup(w.ctx, "loaners"))
		},
		"devices of a user at the same time": func(w *world) {
			w.settings(func(s *enroll.Settings) { s.DevicesPerUser = 1 })
			serials := []string{"AAA", "BBB", "CCC", "DDD", "EEE", "FFF"}
			codes := make(chan enroll.Code, len(serials))
			for _, serial := range serials {
				w.put(enroll.Device{Serial: serial, Platform: enroll.PlatformIOS, Ownership: enroll.OwnershipCorporate}, "ann@example.com")
			}
			for _, serial := range serials {
				go func() {
					d, err := enroll.NewGate(w.Store, nil).Decide(w.ctx, signed(serial))
					if err != nil {
						w.Error(err)
					}
					codes <- d.Code
				}()
			}
			count := map[enroll.Code]int{}
			for range serials {
				count[<-codes]++
			}
			if count[enroll.AllowListed] != 1 || count[enroll.DenyUserLimit] != len(serials)-1 {
				w.Errorf("decided %v", count)
			}
		},
		"devices of nobody that a user takes at the same time": func(w *world) {
			w.settings(func(s *enroll.Settings) { s.DevicesPerUser, s.PreEnrolledDevicesOnly = 1, enroll.ModeOff })
			ann := w.put(enroll.Device{Serial: "OWN", Platform: enroll.PlatformIOS, Ownership: enroll.OwnershipCorporate}, "ann@example.com").UserID
			serials := []string{"AAA", "BBB", "CCC", "DDD"}
			for _, serial := range serials {
				w.device(serial)
			}
			codes := make(chan enroll.Code, len(serials)+1)
			for _, serial := range append(serials, "EEE") { // one that is not on the roll
				go func() {
					a := signed(serial)
					a.UserID = ann
					d, err := enroll.NewGate(w.Store, nil).Decide(w.ctx, a)
					if err != nil {
						w.Error(err)
					}
					codes <- d.Code
				}()
			}
			count := map[enroll.Code]int{}
			for range len(serials) + 1 {
				count[<-codes]++
			}
			if count[enroll.DenyUserLimit] != len(serials) {
				w.Errorf("decided %v", count)
			}
			owned := 0
			for _, serial := range append(serials, "EEE") {
				switch d, err := w.Device(w.ctx, serial); {
				case err == nil && d.UserID == ann && d.Sources["user"] == enroll.SourceDevice:
					owned++
				case err == nil && d.UserID != "":
					w.Errorf("%s: %+v", serial, d)
				}
			}
			if owned != 1 {
				w.Errorf("the user got %d devices", owned)
			}
		},
		"devices of a user": func(w *world) {
			w.settings(func(s *enroll.Settings) { s.DevicesPerUser = 2 })
			ann := func(serial string) {
				_, _, err := w.ChangeDevice(w.ctx, serial, &enroll.User{Domain: "local", Email: "ann@example.com"}, func(_ *enroll.Device, user string) (enroll.Device, error) {
					return enroll.Device{ID: enroll.NewID(), Serial: serial, UserID: user, State: enroll.StatePreEnrolled, Platform: enroll.PlatformIOS, Ownership: enroll.OwnershipCorporate}, nil
				})
				w.ok(err)
			}
			for i, serial := range []string{"AAA", "BBB", "CCC"} {
				ann(serial)
				if i < 2 {
					d := w.decides(signed(serial), enroll.AllowListed)
					w.token(w.authenticate(enroll.Device{ID: d.DeviceID, Serial: serial}, fingerprint(i)), fingerprint(i))
				}
			}
			w.decides(signed("CCC"), enroll.DenyUserLimit)
			w.decides(signed("BBB"), enroll.AllowListed)
			w.device("DDD")
			w.decides(signed("DDD"), enroll.AllowListed)
		},
		"uses": func(w *world) {
			w.device("AAA")
			w.change("AAA", func(d *enroll.Device) { d.MaxUses = 2 })
			uses := func(want int) {
				w.Helper()
				if d, err := w.Device(w.ctx, "AAA"); err != nil || d.Uses != want {
					w.Fatalf("%d uses, want %d; %v", d.Uses, want, err)
				}
			}
			second := 0
			authenticate := func() mdm.Enrollment {
				w.Helper()
				second += 10
				d := w.decides(signed("AAA"), enroll.AllowListed)
				e, err := w.Authenticate(w.ctx, mdm.Authentication{DeviceID: d.DeviceID, UDID: "udid-AAA", Fingerprint: fingerprint(second), Topic: "t", DecisionID: d.ID, At: at(second)})
				w.ok(err)
				return e
			}
			token := func(e mdm.Enrollment) {
				w.Helper()
				_, err := w.TokenUpdate(w.ctx, mdm.TokenUpdate{Enrollment: e, Fingerprint: e.Fingerprint, Topic: "t", Token: []byte{1}, PushMagic: "m", At: at(second + 1)})
				w.ok(err)
			}
			e := authenticate()
			uses(0) // nothing before it is enrolled
			token(e)
			uses(1)
			token(authenticate()) // wiped, and back
			uses(1)
			authenticate() // wiped, interrupted,
			e = authenticate()
			token(e) // and back
			uses(1)
			w.ok(w.CheckOut(w.ctx, e.ID, at(second+5)))
			authenticate() // a new enrollment, interrupted
			token(authenticate())
			uses(2)
			token(authenticate()) // the last use does not keep it from coming back
			uses(2)
			d, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			w.ok(w.CheckOut(w.ctx, d.EnrollmentID, at(second+5)))
			w.decides(signed("AAA"), enroll.DenyUsedUp)
		},
		"a block survives wipe and enrollment": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			w.change("AAA", func(d *enroll.Device) { d.BlockedAt, d.BlockReason = at(5), "lost" })
			w.state("AAA", enroll.StateEnrolled)
			w.decides(signed("AAA"), enroll.DenyBlocked)
			w.ok(w.CheckOut(w.ctx, e.ID, at(6)))
			w.decides(signed("AAA"), enroll.DenyBlocked)
			w.change("AAA", func(d *enroll.Device) { d.BlockedAt, d.BlockReason = time.Time{}, "" })
			w.decides(signed("AAA"), enroll.AllowListed)
		},
		"forecast": func(w *world) {
			for i, serial := range []string{"OLD", "LISTED", "TOKEN", "STRANGER", "STRANGER", ""} {
				d := enroll.Decision{ID: enroll.NewID(), At: at(i), Channel: enroll.ChannelOTA, Platform: enroll.PlatformIOS, Serial: serial, Evidence: enroll.EvidenceSigned,
					Code: enroll.AllowOpen, Outcome: enroll.OutcomeAllow, Facts: enroll.Facts{OSVersion: "17.0"}}
				if serial == "TOKEN" {
					d.Code, d.Outcome = enroll.DenyTokenExpired, enroll.OutcomeDeny
				}
				w.ok(w.RecordDecision(w.ctx, d))
			}
			w.device("LISTED")
			r := enroll.NewRestrictions(w.Store, w.Store, func() time.Time { return at(1).AddDate(0, 0, 7) })
			f, err := r.Forecast(w.ctx, 7, enroll.Enforcing)
			w.ok(err)
			want := []enroll.ForecastCode{{Code: enroll.DenyNotPreEnrolled, Devices: 1}, {Code: enroll.DenyTokenExpired, Devices: 1}}
			if diff := cmp.Diff(want, f.Refused); diff != "" || f.Devices != 3 || f.Admitted != 1 || f.More || len(f.Listed) != 2 || f.Listed[0].Serial != "STRANGER" || f.Listed[0].Was != enroll.AllowOpen {
				w.Fatalf("%+v (-want +got)\n%s", f, diff)
			}
			_, _, err = r.PutRule(w.ctx, enroll.Rule{Name: "new systems", Enabled: true, Action: enroll.RuleDeny, Conditions: enroll.Conditions{OSMinimum: "18"}})
			w.ok(err)
			if f, err = r.Forecast(w.ctx, 7, enroll.Enforcing); err != nil || f.Admitted != 0 || f.Refused[0] != (enroll.ForecastCode{Code: enroll.DenyOSVersion, Devices: 2}) {
				w.Fatalf("with the rule: %+v, %v", f, err)
			}
			seen := 0
			if more, err := w.Review(w.ctx, start, 2, func(enroll.Decision, enroll.Known) { seen++ }); err != nil || !more || seen != 1 {
				w.Fatalf("the first two decisions: %d devices, more %v, %v", seen, more, err)
			}
		},
		"decisions are forgotten": func(w *world) {
			var ids []string
			for i := range 5 {
				d := enroll.Decision{ID: enroll.NewID(), At: at(i), Serial: "AAA", Code: enroll.AllowOpen, Outcome: enroll.OutcomeAllow}
				w.ok(w.RecordDecision(w.ctx, d))
				ids = append(ids, d.ID)
			}
			for i, want := range []int{2, 1, 0} {
				if n, err := w.DeleteDecisions(w.ctx, at(3), 2); err != nil || n != want {
					w.Fatalf("run %d removed %d, %v", i, n, err)
				}
			}
			left, err := w.Decisions(w.ctx, enroll.DecisionFilter{}, enroll.Page{})
			w.ok(err)
			if len(left) != 2 || left[0].ID != ids[4] || left[1].ID != ids[3] {
				w.Fatalf("left: %+v", left)
			}
		},
	})
}

func testApprovals(t *testing.T, open func(t *testing.T) *storage.Store) {
	list := func(w *world, state enroll.ApprovalState) (serials []string) {
		w.Helper()
		as, err := w.Approvals(w.ctx, state, enroll.Page{})
		w.ok(err)
		for _, a := range as {
			serials = append(serials, a.Serial)
		}
		return serials
	}
	lists := func(w *world, state enroll.ApprovalState, want ...string) {
		w.Helper()
		if got := list(w, state); !slices.Equal(got, want) {
			w.Fatalf("%s: %v, want %v", state, got, want)
		}
	}
	each(t, open, map[string]func(w *world){
		"held and approved": func(w *world) {
			w.settings(w.holding)
			w.decides(signed("AAA"), enroll.HoldPendingApproval)
			w.state("AAA", enroll.StatePendingApproval)
			second := w.decides(signed("AAA", func(a *enroll.Attempt) { a.At = at(9) }), enroll.HoldPendingApproval)
			row, err := w.Device(w.ctx, "AAA")
			w.ok(err)
			if row.ID != second.DeviceID || !row.SelfReported() {
				w.Fatalf("row %+v", row)
			}
			a, err := w.Approval(w.ctx, "AAA")
			w.ok(err)
			want := enroll.Approval{Serial: "AAA", State: enroll.ApprovalPending, DecisionID: second.ID, Attempts: 2, AskedAt: at(1), LastAt: at(9)}
			if a != want {
				w.Fatalf("approval %+v, want %+v", a, want)
			}
			_, err = w.approvals().Approve(w.ctx, "aaa", "ann")
			w.ok(err)
			want.State, want.DecidedAt, want.DecidedBy = enroll.ApprovalApproved, at(1000), "ann"
			if a, err = w.Approval(w.ctx, "AAA"); err != nil || a != want {
				w.Fatalf("approval %+v, want %+v; %v", a, want, err)
			}
			w.state("AAA", enroll.StatePreEnrolled)
			w.decides(signed("AAA"), enroll.AllowApproved)
			w.state("AAA", enroll.StateEnrolling)
			lists(w, enroll.ApprovalPending)
			lists(w, enroll.ApprovalApproved, "AAA")
			w.ok(w.DeleteDevice(w.ctx, "AAA"))
			lists(w, enroll.ApprovalApproved)
			w.decides(signed("AAA"), enroll.HoldPendingApproval)
		},
		"rejected, and taken back": func(w *world) {
			w.settings(w.holding)
			w.decides(signed("AAA"), enroll.HoldPendingApproval)
			_, err := w.approvals().Reject(w.ctx, "AAA", "ann")
			w.ok(err)
			w.state("AAA", "")
			lists(w, enroll.ApprovalPending)
			lists(w, enroll.ApprovalRejected, "AAA")
			w.decides(signed("AAA"), enroll.DenyNotPreEnrolled)
			w.decides(signed("AAA"), enroll.DenyNotPreEnrolled)
			w.state("AAA", "")
			_, err = w.approvals().Approve(w.ctx, "AAA", "ann")
			w.ok(err)
			w.decides(signed("AAA"), enroll.AllowApproved)
			_, err = w.approvals().Reject(w.ctx, "AAA", "ann")
			w.kind(err, enroll.KindConflict)
			w.device("BBB")
			_, err = w.approvals().Reject(w.ctx, "BBB", "ann")
			w.kind(err, enroll.KindNotFound)
		},
		"approved and added": func(w *world) {
			w.settings(w.holding)
			w.decides(signed("AAA"), enroll.HoldPendingApproval)
			w.decides(signed("BBB"), enroll.HoldPendingApproval)
			corporate := enroll.OwnershipCorporate
			d, err := w.approvals().ApproveAndAdd(w.ctx, "AAA", enroll.DeviceInput{Ownership: &corporate, User: &enroll.User{Domain: "local", Email: "ann@example.com"}})
			w.ok(err)
			if d.SelfReported() || d.Ownership != corporate || d.Platform != enroll.PlatformIOS || d.UserID == "" || d.State != enroll.StatePreEnrolled {
				w.Fatalf("row %+v", d)
			}
			w.decides(signed("AAA"), enroll.AllowListed)
			_, err = w.Approval(w.ctx, "AAA")
			w.kind(err, enroll.KindNotFound)
			lists(w, enroll.ApprovalPending, "BBB")
			// An admin puts the other one on the roll without looking.
			w.change("BBB", func(d *enroll.Device) { d.Sources = map[string]enroll.Source{"serial": enroll.SourceCSV} })
			lists(w, enroll.ApprovalPending)
			w.decides(signed("BBB"), enroll.AllowListed)
		},
		"no longer asked once admitted": func(w *world) {
			w.settings(w.holding)
			w.decides(signed("AAA"), enroll.HoldPendingApproval)
			w.settings(func(s *enroll.Settings) { s.PreEnrolledDevicesOnly = enroll.ModeOff })
			w.decides(signed("AAA"), enroll.AllowOpen)
			w.state("AAA", enroll.StateEnrolling)
			lists(w, enroll.ApprovalPending)
		},
		"an enrolled stranger comes back": func(w *world) {
			d := w.decides(signed("AAA"), enroll.AllowOpen)
			e := w.authenticate(enroll.Device{ID: d.DeviceID, Serial: "AAA"}, fingerprint(1))
			w.token(e, fingerprint(1))
			w.settings(w.holding)
			w.decides(signed("AAA"), enroll.HoldPendingApproval)
			w.state("AAA", enroll.StateEnrolled) // it is left alone
			lists(w, enroll.ApprovalPending, "AAA")
			_, err := w.approvals().Reject(w.ctx, "AAA", "ann")
			w.kind(err, enroll.KindConflict)
			w.ok(w.CheckOut(w.ctx, e.ID, at(20)))
			w.decides(signed("AAA"), enroll.HoldPendingApproval)
			w.state("AAA", enroll.StatePendingApproval)
			_, err = w.approvals().Reject(w.ctx, "AAA", "ann")
			w.ok(err)
			w.state("AAA", enroll.StateUnenrolled)
		},
		"many at once": func(w *world) {
			w.settings(w.holding)
			done := make(chan error)
			for range 8 {
				go func() {
					d, err := enroll.NewGate(w.Store, nil).Decide(w.ctx, signed("AAA"))
					if err == nil && d.Code != enroll.HoldPendingApproval {
						err = fmt.Errorf("decided %s", d.Code)
					}
					done <- err
				}()
			}
			for range 8 {
				w.ok(<-done)
			}
			if a, err := w.Approval(w.ctx, "AAA"); err != nil || a.Attempts != 8 {
				w.Fatalf("approval %+v, %v", a, err)
			}
		},
	})
}

func testRepairs(t *testing.T, open func(t *testing.T) *storage.Store) {
	gate := func(w *world) *enroll.Gate {
		return enroll.NewGate(w.Store, func() time.Time { return at(50) })
	}
	each(t, open, map[string]func(w *world){
		"a near miss": func(w *world) {
			w.settings(w.enforce)
			row := w.device("C39XK1ABCDO1")
			w.request(row, 100)
			w.device("C39XK1ABZZ01")
			d := w.decides(signed("C39XK1ABCD01"), enroll.DenyNotPreEnrolled)
			want := []enroll.NearMiss{{Serial: "C39XK1ABCDO1", Reason: d.NearMisses[0].Reason}}
			stored, err := w.Decision(w.ctx, d.ID)
			w.ok(err)
			if diff := cmp.Diff(want, stored.NearMisses); diff != "" {
				w.Fatalf("near misses (-want +stored)\n%s", diff)
			}
			got, err := gate(w).RepairSerial(w.ctx, d.ID, "c39xk1abcdo1", "ann")
			w.ok(err)
			if got.ID != row.ID || got.Serial != "C39XK1ABCD01" || got.Version <= row.Version || got.State != enroll.StateInvited {
				w.Fatalf("row %+v", got)
			}
			w.state("C39XK1ABCDO1", "")
			if stored, err = w.Decision(w.ctx, d.ID); err != nil || *stored.Repair != (enroll.Repair{Serial: "C39XK1ABCDO1", At: at(50), By: "ann"}) {
				w.Fatalf("repair %+v, %v", stored.Repair, err)
			}
			if rs, err := w.Requests(w.ctx, enroll.RequestFilter{DeviceID: row.ID}, enroll.Page{}); err != nil || len(rs) != 1 {
				w.Fatalf("requests %+v, %v", rs, err)
			}
			w.decides(signed("C39XK1ABCD01"), enroll.AllowListed)
			_, err = gate(w).RepairSerial(w.ctx, d.ID, "C39XK1ABCD01", "ann")
			w.kind(err, enroll.KindConflict)
		},
		"the row of the device itself makes room": func(w *world) {
			w.settings(w.holding)
			row := w.device("C39XK1ABCD0")
			d := w.decides(signed("C39XK1ABCD01"), enroll.HoldPendingApproval)
			w.state("C39XK1ABCD01", enroll.StatePendingApproval)
			got, err := gate(w).RepairSerial(w.ctx, d.ID, "C39XK1ABCD0", "ann")
			w.ok(err)
			if got.ID != row.ID || got.SelfReported() {
				w.Fatalf("row %+v", got)
			}
			_, err = w.Approval(w.ctx, "C39XK1ABCD01")
			w.kind(err, enroll.KindNotFound)
			w.decides(signed("C39XK1ABCD01"), enroll.AllowListed)
		},
		"what cannot be repaired": func(w *world) {
			w.settings(w.enforce)
			d := w.decides(signed("C39XK1ABCD01"), enroll.DenyNotPreEnrolled)
			_, err := gate(w).RepairSerial(w.ctx, d.ID, "NOBODY", "ann")
			w.kind(err, enroll.KindNotFound)
			_, err = gate(w).RepairSerial(w.ctx, "unknown", "NOBODY", "ann")
			w.kind(err, enroll.KindNotFound)
			w.enroll("C39XK1ABCDX1", fingerprint(1))
			_, err = gate(w).RepairSerial(w.ctx, d.ID, "C39XK1ABCDX1", "ann")
			w.kind(err, enroll.KindConflict)
			w.settings(func(s *enroll.Settings) { s.PreEnrolledDevicesOnly = enroll.ModeOff })
			open := w.decides(signed("F17ZQ0WXYV99"), enroll.AllowOpen)
			w.token(w.authenticate(enroll.Device{ID: open.DeviceID, Serial: "F17ZQ0WXYV99"}, fingerprint(2)), fingerprint(2))
			w.settings(w.enforce)
			w.device("F17ZQ0WXYV98")
			enrolled := w.decides(signed("F17ZQ0WXYV99"), enroll.DenyNotPreEnrolled)
			_, err = gate(w).RepairSerial(w.ctx, enrolled.ID, "F17ZQ0WXYV98", "ann")
			w.kind(err, enroll.KindConflict)
			w.device("C39XK1ABCD02")
			w.device("C39XK1ABCD01") // meanwhile an admin has put it on the roll
			_, err = gate(w).RepairSerial(w.ctx, d.ID, "C39XK1ABCD02", "ann")
			w.kind(err, enroll.KindConflict)
			admitted := w.decides(signed("C39XK1ABCD01"), enroll.AllowListed)
			_, err = gate(w).RepairSerial(w.ctx, admitted.ID, "C39XK1ABCD02", "ann")
			w.kind(err, enroll.KindConflict)
		},
		"only open rows are near": func(w *world) {
			w.settings(w.enforce)
			w.enroll("C39XK1ABCDX1", fingerprint(1))
			w.device("C39XK1ABCDB1")
			w.change("C39XK1ABCDB1", func(d *enroll.Device) { d.BlockedAt = at(1) })
			w.device("C39XK1ABCDA1")
			w.change("C39XK1ABCDA1", func(d *enroll.Device) { d.Platform = enroll.PlatformAndroid })
			if d := w.decides(signed("C39XK1ABCD01"), enroll.DenyNotPreEnrolled); len(d.NearMisses) != 0 {
				w.Fatalf("near misses %+v", d.NearMisses)
			}
		},
	})
}
