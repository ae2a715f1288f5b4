package storagetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/storage"
)

// invite sends a request to the user of a new device, by mail.
func (w *world) invite(serial string) (enroll.Request, enroll.Message) {
	w.Helper()
	d, _, err := w.ChangeDevice(w.ctx, serial, &enroll.User{Domain: "local", Email: strings.ToLower(serial) + "@example.com", Name: "User of " + serial, Mobile: "+49151" + serial},
		func(_ *enroll.Device, user string) (enroll.Device, error) {
			return enroll.Device{ID: enroll.NewID(), UserID: user, State: enroll.StatePreEnrolled, Platform: enroll.PlatformIOS}, nil
		})
	w.ok(err)
	r := enroll.Request{ID: enroll.NewID(), DeviceID: d.ID, UserID: d.UserID, Via: enroll.ViaEmail, State: enroll.RequestQueued, CreatedBy: "admin", CreatedAt: start, ExpiresAt: at(100_000)}
	l := message(r.ID, enroll.MessageInvitation, enroll.ViaEmail, 0)
	w.ok(w.CreateRequests(w.ctx, []enroll.Invite{{Request: r, Link: l}}))
	return r, *l.Message
}

// message is a link that is sent at a second.
func message(requestID string, kind enroll.MessageKind, via enroll.Via, second int) enroll.Link {
	secret, hash := enroll.NewSecret()
	return enroll.Link{SecretHash: hash, Message: &enroll.Message{ID: enroll.NewID(), RequestID: requestID, Kind: kind, Via: via, Secret: secret,
		CreatedAt: at(second), DueAt: at(second)}}
}

// mail leases mail for a minute.
func (w *world) mail(second int) []enroll.Letter {
	w.Helper()
	letters, err := w.ClaimMessages(w.ctx, enroll.ViaEmail, at(second), time.Minute, 100)
	w.ok(err)
	return letters
}

// letter leases exactly one.
func (w *world) letter(second int) enroll.Letter {
	w.Helper()
	letters := w.mail(second)
	if len(letters) != 1 {
		w.Fatalf("%d letters at %d, want one: %+v", len(letters), second, letters)
	}
	return letters[0]
}

func (w *world) finish(l enroll.Letter, outcome enroll.MessageOutcome, second int) {
	w.Helper()
	w.ok(w.FinishMessage(w.ctx, enroll.MessageResult{Letter: l, Outcome: outcome, RetryAt: at(second + 30), Error: "said " + string(outcome), At: at(second)}))
}

// is asserts the state of a request and of its messages, each as "sent" or
// "waiting" or the error it ended with.
func (w *world) is(id string, state enroll.RequestState, problem string, messages ...string) {
	w.Helper()
	r, err := w.Request(w.ctx, id)
	w.ok(err)
	if r.State != state || r.Problem != problem {
		w.Errorf("the request is %s (%s), want %s (%s)", r.State, r.Problem, state, problem)
	}
	all, err := w.Messages(w.ctx, id)
	w.ok(err)
	var got []string
	for _, m := range all {
		what := m.Error
		switch {
		case !m.DueAt.IsZero():
			what = "waiting"
		case !m.SentAt.IsZero():
			what = "sent"
		}
		if m.Secret != "" || m.DueAt.IsZero() == m.FinishedAt.IsZero() {
			w.Errorf("message %+v", m)
		}
		got = append(got, what)
	}
	if diff := cmp.Diff(messages, got); diff != "" {
		w.Errorf("messages (-want +got):\n%s", diff)
	}
}

func testMessages(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a letter has all that is written in it": func(w *world) {
			r, m := w.invite("AAA")
			got := w.letter(1)
			m.Attempts = 1
			want := enroll.Letter{Message: m, Address: "aaa@example.com", Name: "User of AAA", Serial: "AAA", Platform: enroll.PlatformIOS, SentBy: "admin", ExpiresAt: at(100_000)}
			if diff := cmp.Diff(want, got); diff != "" {
				w.Fatalf("(-want +got)\n%s", diff)
			}
			w.is(r.ID, enroll.RequestQueued, "", "waiting")
			w.finish(got, enroll.MessageSent, 2)
			w.is(r.ID, enroll.RequestSent, "", "sent")
			if again := w.mail(100_000 - 1); len(again) != 0 {
				w.Fatalf("sent twice: %+v", again)
			}
			if inv, err := w.Invitation(w.ctx, enroll.HashSecret(m.Secret)); err != nil || inv.Request.ID != r.ID {
				w.Fatalf("the link is not good: %v", err)
			}
		},
		"nothing is due before its time, or another way": func(w *world) {
			r, m := w.invite("AAA")
			w.finish(w.letter(1), enroll.MessageRetry, 1)
			if early := w.mail(30); len(early) != 0 {
				w.Fatalf("claimed early: %+v", early)
			}
			if sms, err := w.ClaimMessages(w.ctx, enroll.ViaSMS, at(1000), time.Minute, 100); err != nil || len(sms) != 0 {
				w.Fatalf("claimed as SMS: %+v, %v", sms, err)
			}
			w.is(r.ID, enroll.RequestQueued, "", "waiting")
			if l := w.letter(31); l.Attempts != 2 || l.Secret != m.Secret || l.Error != "said retry" {
				w.Fatalf("second attempt: %+v", l)
			}
		},
		"killed between claim and finish": func(w *world) {
			r, m := w.invite("AAA")
			w.letter(1)
			if others := w.mail(60); len(others) != 0 {
				w.Fatalf("claimed while leased: %+v", others)
			}
			l := w.letter(61)
			if l.ID != m.ID || l.Secret != m.Secret || l.Attempts != 2 {
				w.Fatalf("after the lease: %+v", l)
			}
			w.finish(l, enroll.MessageSent, 62)
			w.is(r.ID, enroll.RequestSent, "", "sent")
		},
		"a worker that lost its lease": func(w *world) {
			r, _ := w.invite("AAA")
			slow := w.letter(1)
			fast := w.letter(61)
			w.finish(slow, enroll.MessageRetry, 62)
			w.finish(slow, enroll.MessageBounced, 62)
			w.finish(slow, enroll.MessageReleased, 62)
			if others := w.mail(100); len(others) != 0 {
				w.Fatalf("the lease of another was ended: %+v", others)
			}
			w.is(r.ID, enroll.RequestQueued, "", "waiting")
			w.finish(slow, enroll.MessageSent, 63) // it did go out
			w.is(r.ID, enroll.RequestSent, "", "sent")
			w.finish(fast, enroll.MessageBounced, 64)
			w.finish(fast, enroll.MessageRetry, 64)
			w.is(r.ID, enroll.RequestSent, "", "sent")
			if others := w.mail(5000); len(others) != 0 {
				w.Fatalf("sent again: %+v", others)
			}
		},
		"two claimers": func(w *world) {
			const n = 40
			want := map[string]bool{}
			for i := range n {
				_, m := w.invite("S" + string(rune('A'+i/26)) + string(rune('A'+i%26)))
				want[m.ID] = true
			}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for {
						letters, err := w.ClaimMessages(w.ctx, enroll.ViaEmail, at(1), time.Minute, 3)
						if err != nil {
							w.Error(err)
						}
						if len(letters) == 0 {
							return
						}
						mu.Lock()
						for _, l := range letters {
							if !want[l.ID] {
								w.Errorf("%s was claimed twice", l.ID)
							}
							delete(want, l.ID)
						}
						mu.Unlock()
						for _, l := range letters {
							if err := w.FinishMessage(w.ctx, enroll.MessageResult{Letter: l, Outcome: enroll.MessageSent, At: at(1)}); err != nil {
								w.Error(err)
							}
						}
					}
				})
			}
			wg.Wait()
			for len(want) > 0 { // PostgreSQL leaves out what the other has locked
				letters := w.mail(1)
				if len(letters) == 0 {
					w.Fatalf("%d were left", len(want))
				}
				for _, l := range letters {
					delete(want, l.ID)
				}
			}
		},
		"released": func(w *world) {
			w.invite("AAA")
			w.finish(w.letter(1), enroll.MessageReleased, 1)
			if l := w.letter(2); l.Attempts != 1 {
				w.Fatalf("an attempt that was none counts: %+v", l)
			}
		},
		"bounced, and sent again": func(w *world) {
			r, m := w.invite("AAA")
			w.finish(w.letter(1), enroll.MessageBounced, 1)
			w.is(r.ID, enroll.RequestBounced, "said bounced", "said bounced")
			bounced, err := w.Requests(w.ctx, enroll.RequestFilter{State: enroll.RequestBounced}, enroll.Page{})
			if err != nil || len(bounced) != 1 || bounced[0].ID != r.ID {
				w.Fatalf("bounced: %+v, %v", bounced, err)
			}
			if sent, err := w.Requests(w.ctx, enroll.RequestFilter{State: enroll.RequestSent, DeviceID: r.DeviceID}, enroll.Page{}); err != nil || len(sent) != 0 {
				w.Fatalf("sent: %+v, %v", sent, err)
			}
			l := message(r.ID, enroll.MessageInvitation, enroll.ViaEmail, 10)
			got, err := w.AddLink(w.ctx, r.ID, l, func(r enroll.Request) (enroll.Request, error) {
				r.State, r.Problem = enroll.RequestQueued, ""
				return r, nil
			})
			w.ok(err)
			if got.State != enroll.RequestQueued {
				w.Fatalf("request %+v", got)
			}
			w.finish(w.letter(10), enroll.MessageSent, 11)
			w.is(r.ID, enroll.RequestSent, "", "said bounced", "sent")
			for _, secret := range []string{m.Secret, l.Message.Secret} {
				if inv, err := w.Invitation(w.ctx, enroll.HashSecret(secret)); err != nil || inv.Request.ID != r.ID {
					w.Errorf("a link is not good: %v", err)
				}
			}
		},
		"sent again before it went": func(w *world) {
			r, old := w.invite("AAA")
			inHand := w.letter(1)
			l := message(r.ID, enroll.MessageInvitation, enroll.ViaEmail, 10)
			_, err := w.AddLink(w.ctx, r.ID, l, func(r enroll.Request) (enroll.Request, error) { return r, nil })
			w.ok(err)
			w.is(r.ID, enroll.RequestQueued, "", "no longer needed", "waiting")
			w.finish(inHand, enroll.MessageBounced, 11)
			w.is(r.ID, enroll.RequestQueued, "", "no longer needed", "waiting")
			if got := w.letter(100); got.ID == old.ID {
				w.Fatal("the earlier message is sent")
			}
		},
		"a link that is refused leaves nothing": func(w *world) {
			r, _ := w.invite("AAA")
			l := message(r.ID, enroll.MessageReminder, enroll.ViaEmail, 10)
			_, err := w.AddLink(w.ctx, r.ID, l, func(r enroll.Request) (enroll.Request, error) {
				return r, enroll.Errorf(enroll.KindConflict, "no", "no")
			})
			w.kind(err, enroll.KindConflict)
			w.is(r.ID, enroll.RequestQueued, "", "waiting")
			_, err = w.Invitation(w.ctx, l.SecretHash)
			w.kind(err, enroll.KindNotFound)
			_, err = w.AddLink(w.ctx, "unknown", message("unknown", enroll.MessageReminder, enroll.ViaEmail, 10), func(r enroll.Request) (enroll.Request, error) { return r, nil })
			w.kind(err, enroll.KindNotFound)
		},
		"what has become pointless is not sent": func(w *world) {
			cancelled, _ := w.invite("AAA")
			_, err := w.ChangeRequest(w.ctx, cancelled.ID, func(r enroll.Request) (enroll.Request, error) {
				r.State, r.ClosedAt = enroll.RequestCancelled, at(1)
				return r, nil
			})
			w.ok(err)
			w.is(cancelled.ID, enroll.RequestCancelled, "", "no longer needed")

			replaced, _ := w.invite("BBB")
			w.request(enroll.Device{ID: replaced.DeviceID}, 100)
			w.is(replaced.ID, enroll.RequestCancelled, "", "no longer needed")

			accepted, _ := w.invite("CCC")
			w.finish(w.letter(1), enroll.MessageSent, 1)
			_, err = w.AddLink(w.ctx, accepted.ID, message(accepted.ID, enroll.MessageReminder, enroll.ViaEmail, 2), func(r enroll.Request) (enroll.Request, error) {
				r.State, r.AcceptedAt = enroll.RequestAccepted, at(2)
				return r, nil
			})
			w.ok(err)
			if letters := w.mail(3); len(letters) != 0 {
				w.Fatalf("a reminder after acceptance: %+v", letters)
			}
			w.is(accepted.ID, enroll.RequestAccepted, "", "sent", "no longer needed")

			expired, _ := w.invite("DDD")
			if letters := w.mail(100_000); len(letters) != 0 {
				w.Fatalf("after the end: %+v", letters)
			}
			w.is(expired.ID, enroll.RequestQueued, "", "no longer needed")
			unsent, _ := w.invite("DDE")
			_, err = w.ExpireRequests(w.ctx, at(100_001))
			w.ok(err)
			w.is(unsent.ID, enroll.RequestExpired, "", "no longer needed")

			gone, _ := w.invite("EEE")
			l := w.letter(1)
			w.ok(w.DeleteDevice(w.ctx, "EEE"))
			w.finish(l, enroll.MessageSent, 2)
			_, err = w.Request(w.ctx, gone.ID)
			w.kind(err, enroll.KindNotFound)
		},
		"a device that got another owner": func(w *world) {
			w.invite("AAA")
			_, _, err := w.ChangeDevice(w.ctx, "AAA", &enroll.User{Domain: "local", Email: "new@example.com"}, func(old *enroll.Device, user string) (enroll.Device, error) {
				old.UserID = user
				return *old, nil
			})
			w.ok(err)
			if l := w.letter(1); l.Problem == "" {
				w.Fatalf("letter %+v", l)
			}
		},
		"whom to remind": func(w *world) {
			remind := func(sent, now, until int) []string {
				w.Helper()
				rs, err := w.RequestsToRemind(w.ctx, []enroll.Via{enroll.ViaEmail}, at(sent), at(now), at(until), 10)
				w.ok(err)
				var ids []string
				for _, r := range rs {
					ids = append(ids, r.ID)
				}
				return ids
			}
			r, _ := w.invite("AAA")
			w.request(w.device("LINK"), 100_000)
			if got := remind(100, 100, 100_000); got != nil {
				w.Fatalf("not sent yet: %v", got)
			}
			w.finish(w.letter(1), enroll.MessageSent, 1)
			for _, c := range []struct {
				sent, now, until int
				want             bool
			}{{100, 100, 100_000, true}, {100, 100, 99_999, false}, {0, 100, 100_000, false}, {100, 100_000, 200_000, false}} {
				if got := remind(c.sent, c.now, c.until); slices.Equal(got, []string{r.ID}) != c.want || !c.want && got != nil {
					w.Errorf("%+v: %v", c, got)
				}
			}
			if none, err := w.RequestsToRemind(w.ctx, []enroll.Via{enroll.ViaSMS}, at(100), at(100), at(100_000), 10); err != nil || len(none) != 0 {
				w.Errorf("by SMS: %v, %v", none, err)
			}
			_, err := w.AddLink(w.ctx, r.ID, message(r.ID, enroll.MessageReminder, enroll.ViaEmail, 100), func(r enroll.Request) (enroll.Request, error) {
				r.RemindedAt = at(100)
				return r, nil
			})
			w.ok(err)
			if got := remind(200, 200, 100_000); got != nil {
				w.Errorf("reminded already: %v", got)
			}
			w.finish(w.letter(200), enroll.MessageBounced, 200)
			w.is(r.ID, enroll.RequestBounced, "said bounced", "sent", "said bounced")
		},
	})
}
