package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/admin"
	"rollcall/enroll"
	"rollcall/mdm/apns"
	"rollcall/policy"
	"rollcall/storage"
)

// decided records a decision.
func (w *world) decided(at time.Time, code enroll.Code, change func(*enroll.Decision)) string {
	w.Helper()
	d := enroll.Decision{ID: enroll.NewID(), At: at, Serial: "AAA", Channel: enroll.ChannelOTA, Evidence: enroll.EvidenceSigned, Code: code, Outcome: code.Outcome()}
	if change != nil {
		change(&d)
	}
	w.ok(w.RecordDecision(w.ctx, d))
	return d.ID
}

func testOverview(t *testing.T, open func(t *testing.T) *storage.Store) {
	const day = 24 * time.Hour
	today := start.Truncate(day)
	each(t, open, map[string]func(w *world){
		"nothing": func(w *world) {
			f, err := w.Figures(w.ctx, at(10), today, today)
			w.ok(err)
			if diff := cmp.Diff(admin.Figures{At: at(10), States: map[enroll.State]int{}}, f); diff != "" {
				w.Errorf("(-want +got)\n%s", diff)
			}
		},
		"states": func(w *world) {
			for i, state := range []enroll.State{enroll.StatePreEnrolled, enroll.StatePreEnrolled, enroll.StateInvited, enroll.StateEnrolled} {
				w.put(enroll.Device{Serial: fmt.Sprint("S", i), State: state}, "")
			}
			w.change("S1", func(d *enroll.Device) { d.BlockedAt = at(1) })
			f, err := w.Figures(w.ctx, at(10), today, today)
			w.ok(err)
			want := map[enroll.State]int{enroll.StatePreEnrolled: 1, enroll.StateBlocked: 1, enroll.StateInvited: 1, enroll.StateEnrolled: 1}
			if diff := cmp.Diff(want, f.States); diff != "" {
				w.Errorf("(-want +got)\n%s", diff)
			}
		},
		"expiring": func(w *world) {
			now := time.Now().Add(day) // of what has ended by the real time nothing is expiring
			for serial, d := range map[string]enroll.Device{
				"past": {ExpiresAt: now}, "soon": {ExpiresAt: now.Add(time.Second)}, "last": {ExpiresAt: now.Add(admin.ExpiringSoon)},
				"later": {ExpiresAt: now.Add(admin.ExpiringSoon + time.Second)}, "never": {}, "enrolled": {ExpiresAt: now.Add(day), State: enroll.StateEnrolled},
			} {
				d.Serial = serial
				w.put(d, "")
			}
			f, err := w.Figures(w.ctx, now, today, today)
			w.ok(err)
			if f.Expiring != 2 {
				w.Errorf("%d are expiring, want 2", f.Expiring)
			}
		},
		"attempts by day": func(w *world) {
			w.decided(today.Add(-1), enroll.AllowListed, nil)
			w.decided(today, enroll.DenyBlocked, nil)
			w.decided(today.Add(day-time.Microsecond), enroll.DenyBlocked, nil)
			w.decided(today.Add(day-time.Microsecond), enroll.DenyNotPreEnrolled, nil)
			w.decided(today.Add(day), enroll.HoldPendingApproval, nil)
			want := []admin.Attempts{
				{Day: today.Add(day), Outcome: enroll.OutcomeHold, Code: enroll.HoldPendingApproval, Count: 1},
				{Day: today, Outcome: enroll.OutcomeDeny, Code: enroll.DenyBlocked, Count: 2},
				{Day: today, Outcome: enroll.OutcomeDeny, Code: enroll.DenyNotPreEnrolled, Count: 1},
				{Day: today.Add(-day), Outcome: enroll.OutcomeAllow, Code: enroll.AllowListed, Count: 1},
			}
			for i := range 3 { // with fewer and fewer days
				f, err := w.Figures(w.ctx, today.Add(2*day), today.Add(-day), today.Add(time.Duration(i-1)*day))
				w.ok(err)
				if diff := cmp.Diff(want[:[]int{4, 3, 1}[i]], f.Attempts); diff != "" {
					w.Errorf("%d (-want +got)\n%s", i, diff)
				}
			}
		},
		"cohorts": func(w *world) {
			list := func(serial string, at time.Time, by enroll.Source) {
				_, _, err := w.ChangeDevice(w.ctx, serial, nil, func(*enroll.Device, string) (enroll.Device, error) {
					return enroll.Device{ID: enroll.NewID(), Platform: enroll.PlatformIOS, State: enroll.StatePreEnrolled, CreatedAt: at, Sources: map[string]enroll.Source{"serial": by}}, nil
				})
				w.ok(err)
			}
			for serial, created := range map[string]time.Time{"OLD": today.Add(-1), "LISTED": today, "ASKED": today, "OPENED": today, "ARRIVED": today, "ENROLLED": start, "DONE": today.Add(day)} {
				list(serial, created, enroll.SourceCSV)
			}
			list("STRANGER", today, enroll.SourceDevice)
			w.request(w.device("ASKED"), 100)
			for range 2 { // requests of one device are one
				q := w.request(w.device("OPENED"), 100)
				_, err := w.ChangeRequest(w.ctx, q.ID, func(q enroll.Request) (enroll.Request, error) {
					q.State, q.OpenedAt = enroll.RequestOpened, at(1)
					return q, nil
				})
				w.ok(err)
			}
			w.request(w.device("OPENED"), 100) // and a new one changes nothing
			w.authenticate(w.device("ARRIVED"), fingerprint(1))
			w.enroll("ENROLLED", fingerprint(2))
			done := w.enroll("DONE", fingerprint(3))
			for _, due := range w.claim(2) {
				if due.DeviceID != done.DeviceID {
					w.ok(w.commit(due, "", nil, nil, nil, at(10)))
					continue
				}
				only := command("profile:a", "h1")
				w.ok(w.commit(due, done.ID, []policy.Command{only}, nil, nil, at(10)))
				_, err := w.HandOut(w.ctx, done.ID, at(11), time.Minute)
				w.ok(err)
				w.acknowledge(done.ID, only.ID, 12)
			}
			f, err := w.Figures(w.ctx, today.Add(day), today, today.Add(day))
			w.ok(err)
			want := []admin.Cohort{
				{Day: today.Add(day), Imported: 1, Admitted: 1, CheckedIn: 1, Complete: 1},
				{Day: today, Imported: 5, Invited: 2, Opened: 1, Admitted: 2, CheckedIn: 1},
			}
			c, err := w.Cohorts(w.ctx, today.Add(day), today)
			w.ok(err)
			if diff := cmp.Diff(admin.Cohorts{At: today.Add(day), Days: want}, c); diff != "" {
				w.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff([]admin.ToPolicy{{At: at(12), Took: 10 * time.Second}}, f.ToPolicy); diff != "" {
				w.Errorf("to policy (-want +got)\n%s", diff)
			}
			if f, err = w.Figures(w.ctx, today.Add(day), at(13), today); err != nil || len(f.ToPolicy) != 0 {
				w.Errorf("later: %+v, %v", f.ToPolicy, err)
			}
		},
		"filters of decisions": func(w *world) {
			near := []enroll.NearMiss{{Serial: "AAB"}}
			a := w.decided(at(0), enroll.AllowListed, nil)
			b := w.decided(at(4000), enroll.DenyNotPreEnrolled, func(d *enroll.Decision) { d.Channel, d.Evidence = enroll.ChannelADE, enroll.EvidenceAttested })
			c := w.decided(at(8000), enroll.DenyNotPreEnrolled, nil)
			w.ok(w.NoteNearMisses(w.ctx, c, near))
			for _, test := range []struct {
				name   string
				filter enroll.DecisionFilter
				want   []string
			}{
				{"channel", enroll.DecisionFilter{Channel: enroll.ChannelADE}, []string{b}},
				{"evidence", enroll.DecisionFilter{Evidence: enroll.EvidenceSigned}, []string{c, a}},
				{"near miss", enroll.DecisionFilter{NearMiss: true}, []string{c}},
				{"since", enroll.DecisionFilter{Since: at(4000)}, []string{c, b}},
				{"since later", enroll.DecisionFilter{Since: at(8001)}, nil},
				{"since long after", enroll.DecisionFilter{Since: at(80000)}, nil},
				{"until", enroll.DecisionFilter{Until: at(4000)}, []string{a}},
				{"until later", enroll.DecisionFilter{Until: at(80000)}, []string{c, b, a}},
				{"until before", enroll.DecisionFilter{Until: at(-80000)}, nil},
				{"between", enroll.DecisionFilter{Since: at(1), Until: at(7999), Outcome: enroll.OutcomeDeny}, []string{b}},
				{"newer", enroll.DecisionFilter{Newer: a}, []string{c, b}},
				{"newest", enroll.DecisionFilter{Newer: c}, nil},
			} {
				list, err := w.Decisions(w.ctx, test.filter, enroll.Page{})
				w.ok(err)
				var got []string
				for _, d := range list {
					got = append(got, d.ID)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					w.Errorf("%s (-want +got)\n%s", test.name, diff)
				}
			}
		},
		"outboxes that are stuck": func(w *world) {
			stuck := func(before int, want ...storage.Stuck) {
				w.Helper()
				got, err := w.Stuck(w.ctx, at(before))
				w.ok(err)
				if diff := cmp.Diff(want, got); diff != "" {
					w.Errorf("(-want +got)\n%s", diff)
				}
			}
			stuck(1000)
			e := w.enroll("AAA", fingerprint(1))
			w.ok(w.PushDue(w.ctx, e.ID, at(10)))
			stuck(10)
			stuck(11, storage.Stuck{Outbox: storage.OutboxPushes, Count: 1, Since: at(10)})
			for range 3 {
				claimed, err := w.ClaimPushes(w.ctx, at(20), time.Minute, 10)
				w.ok(err)
				w.ok(w.FinishPushes(w.ctx, []apns.Result{{Push: claimed[0], Outcome: apns.Retry, RetryAt: at(20), Reason: "connect", At: at(20)}}))
			}
			stuck(11, storage.Stuck{Outbox: storage.OutboxPushes, Count: 1, Since: at(20)})
			w.pushes(30)
			stuck(1000)

			d := w.device("BBB")
			secret, hash := enroll.NewSecret()
			q := enroll.Request{ID: enroll.NewID(), DeviceID: d.ID, Via: enroll.ViaEmail, State: enroll.RequestQueued, CreatedAt: at(40), ExpiresAt: at(100000)}
			w.ok(w.CreateRequests(w.ctx, []enroll.Invite{{Request: q, Link: enroll.Link{SecretHash: hash,
				Message: &enroll.Message{ID: enroll.NewID(), Kind: enroll.MessageInvitation, Via: enroll.ViaEmail, Secret: secret, CreatedAt: at(40), DueAt: at(40)}}}}))
			stuck(41, storage.Stuck{Outbox: storage.OutboxEmail, Count: 1, Since: at(40)})
			letters, err := w.ClaimMessages(w.ctx, enroll.ViaEmail, at(50), time.Minute, 10)
			w.ok(err)
			w.ok(w.FinishMessage(w.ctx, enroll.MessageResult{Letter: letters[0], Outcome: enroll.MessageSent, At: at(51)}))
			stuck(1000)
		},
	})
}
