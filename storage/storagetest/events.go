package storagetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/admin/webhook"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
)

// publish gives all events their places.
func (w *world) publish(second int) {
	w.Helper()
	for {
		_, more, err := w.Publish(w.ctx, at(second))
		w.ok(err)
		if !more {
			return
		}
	}
}

// events lists the published events after a place, as "type serial".
func (w *world) events(after int64, types ...string) (told []string, last int64) {
	w.Helper()
	es, last, err := w.Events(w.ctx, after, types, 1000)
	w.ok(err)
	for _, e := range es {
		told = append(told, string(e.Type)+" "+e.Refs.Serial)
	}
	return told, last
}

func testEvents(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a life in events": func(w *world) {
			d := w.device("AAA")
			_, _, err := w.ChangeDevice(w.ctx, "AAA", nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
				old.BlockedAt = at(1)
				return *old, nil
			})
			w.ok(err)
			_, _, err = w.ChangeDevice(w.ctx, "AAA", nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
				old.BlockedAt = time.Time{}
				return *old, nil
			})
			w.ok(err)
			e := w.authenticate(d, fingerprint(1))
			w.token(e, fingerprint(1))
			w.ok(w.CheckOut(w.ctx, e.ID, at(9)))
			w.ok(w.DeleteDevice(w.ctx, "AAA"))
			if told, _ := w.events(0); told != nil {
				w.Fatalf("events before they are published: %v", told)
			}
			w.publish(10)
			told, last := w.events(0, "device.*")
			want := []string{"device.created AAA", "device.blocked AAA", "device.unblocked AAA", "device.changed AAA", "device.enrolled AAA", "device.unenrolled AAA", "device.deleted AAA"}
			if !slices.Equal(told, want) {
				w.Errorf("told %v, want %v", told, want)
			}
			if oldest, newest, err := w.EventRange(w.ctx); err != nil || oldest != 1 || newest != last {
				w.Errorf("range %d to %d, %v; the last place is %d", oldest, newest, err, last)
			}
			if told, again := w.events(last); told != nil || again != last {
				w.Errorf("after the end: %v, %d", told, again)
			}
		},
		"policies that arrive, and one that is refused": func(w *world) {
			e := w.enroll("AAA", fingerprint(1))
			deliver := func(id, item string) {
				w.Helper()
				w.ok(w.commit(w.claim(1)[0], e.ID, []policy.Command{{ID: id, RequestType: "InstallProfile", Body: []byte("b"), ItemKey: item, Hash: id}}, nil, nil, at(4)))
			}
			report := func(id string, state policy.CommandState) {
				w.Helper()
				_, err := w.HandOut(w.ctx, e.ID, at(5), time.Minute)
				w.ok(err)
				_, err = w.Report(w.ctx, mdm.Report{EnrollmentID: e.ID, CommandID: id, State: state, At: at(6)}, time.Minute)
				w.ok(err)
			}
			told := func(want ...string) {
				w.Helper()
				w.publish(10)
				if got, _ := w.events(0, "policy.*"); !slices.Equal(got, want) {
					w.Errorf("told %v, want %v", got, want)
				}
			}
			other := w.queue(e.ID, 1)[0] // which has nothing to do with policies
			report(other, policy.CommandAcknowledged)
			told()
			w.policy("P", "x")
			w.bind("P", policy.Target{Serial: "AAA"})
			deliver("c1", "a")
			report("c1", policy.CommandAcknowledged)
			report("c1", policy.CommandAcknowledged) // again
			told("policy.completed AAA")
			w.policy("P", "y")
			deliver("c2", "b")
			report("c2", policy.CommandFailed)
			told("policy.completed AAA", "policy.failed AAA")
		},
		"an event goes with its transaction": func(w *world) {
			_, _, err := w.ChangeDevice(w.ctx, "AAA", nil, func(*enroll.Device, string) (enroll.Device, error) {
				return enroll.Device{}, enroll.Errorf(enroll.KindInvalid, "no", "no")
			})
			if err == nil {
				w.Fatal("the change was made")
			}
			err = w.Atomically(w.ctx, func(ctx context.Context) error {
				inner := world{w.TB, w.Store, ctx}
				inner.device("BBB")
				return enroll.Errorf(enroll.KindInvalid, "no", "no")
			})
			if enroll.KindOf(err) != enroll.KindInvalid {
				w.Fatal(err)
			}
			w.publish(1)
			if told, _ := w.events(0); told != nil {
				w.Errorf("told of what did not happen: %v", told)
			}
		},
		"one event for one ID": func(w *world) {
			e := enroll.NewEvent(enroll.EventPushCertificateExpiring, start, enroll.EventRefs{})
			w.ok(w.Tell(w.ctx, e))
			w.ok(w.Tell(w.ctx, e))
			w.publish(1)
			if told, _ := w.events(0); len(told) != 1 {
				w.Errorf("told %v", told)
			}
		},
		"places have no gaps and one order, whoever publishes": func(w *world) {
			const writers, each = 4, 25
			var wg sync.WaitGroup
			for i := range writers {
				wg.Go(func() {
					for range each {
						if err := w.Tell(w.ctx, enroll.NewEvent(enroll.EventDeviceChanged, start, enroll.EventRefs{Serial: string(rune('A' + i))})); err != nil {
							w.Error(err)
						}
						if _, _, err := w.Publish(w.ctx, at(1)); err != nil {
							w.Error(err)
						}
					}
				})
			}
			var seen []int64
			for last := int64(0); len(seen) < writers*each; {
				es, next, err := w.Events(w.ctx, last, nil, 7)
				w.ok(err)
				for _, e := range es {
					seen = append(seen, e.Seq)
				}
				last = next
				if w.Failed() {
					break
				}
			}
			wg.Wait()
			for i, seq := range seen {
				if seq != int64(i+1) {
					w.Fatalf("a reader got place %d as number %d", seq, i+1)
				}
			}
		},
		"old events and deliveries go": func(w *world) {
			hook := w.webhook("https://example.com/a")
			w.ok(w.Tell(w.ctx, enroll.NewEvent(enroll.EventDeviceChanged, at(0), enroll.EventRefs{})))
			w.ok(w.Tell(w.ctx, enroll.NewEvent(enroll.EventDeviceChanged, at(100), enroll.EventRefs{})))
			w.publish(1)
			_, ds, err := w.ClaimDeliveries(w.ctx, hook.ID, at(1), time.Minute, 10)
			w.ok(err)
			for _, d := range ds {
				w.ok(w.FinishDelivery(w.ctx, d, webhook.Result{At: at(1), Status: 200}))
			}
			n, err := w.PurgeEvents(w.ctx, at(50))
			w.ok(err)
			if n != 3 { // one event, two deliveries
				w.Errorf("%d rows went", n)
			}
			if oldest, newest, err := w.EventRange(w.ctx); err != nil || oldest != 2 || newest != 2 {
				w.Errorf("range %d to %d, %v", oldest, newest, err)
			}
			if _, err := w.Redeliver(w.ctx, hook.ID, ds[0].ID, at(2)); enroll.KindOf(err) != enroll.KindNotFound {
				w.Errorf("a delivery that is gone: %v", err)
			}
		},
	})
}

// webhook makes one for everything.
func (w *world) webhook(url string, types ...string) webhook.Webhook {
	w.Helper()
	hook := webhook.Webhook{ID: enroll.NewID(), URL: url, Types: types, Secret: "secret of " + url, CreatedAt: start, UpdatedAt: start}
	w.ok(w.CreateWebhook(w.ctx, hook))
	return hook
}

// claimOf takes what is due of a webhook.
func (w *world) claimOf(hook webhook.Webhook, second, limit int) (webhook.Webhook, []webhook.Delivery) {
	w.Helper()
	got, ds, err := w.ClaimDeliveries(w.ctx, hook.ID, at(second), time.Minute, limit)
	w.ok(err)
	return got, ds
}

func testWebhooks(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"each webhook gets what it wants": func(w *world) {
			all, some := w.webhook("https://example.com/all"), w.webhook("https://example.com/some", "request.*", "device.deleted")
			w.device("AAA")
			w.ok(w.DeleteDevice(w.ctx, "AAA"))
			w.publish(1)
			due, err := w.DueWebhooks(w.ctx, at(1))
			w.ok(err)
			if !slices.Equal(due, []string{all.ID, some.ID}) {
				w.Errorf("due are %v", due)
			}
			hook, ds := w.claimOf(some, 1, 10)
			if len(ds) != 1 || ds[0].Event.Type != enroll.EventDeviceDeleted || ds[0].Event.Refs.Serial != "AAA" || hook.Secret != some.Secret {
				w.Errorf("claimed %+v for %+v", ds, hook)
			}
			if _, ds := w.claimOf(all, 1, 10); len(ds) != 2 || ds[0].Event.Type != enroll.EventDeviceCreated {
				w.Errorf("claimed %+v", ds)
			}
		},
		"a lease is for one sender": func(w *world) {
			hook := w.webhook("https://example.com/")
			w.device("AAA")
			w.publish(1)
			_, ds := w.claimOf(hook, 1, 10)
			if _, again := w.claimOf(hook, 2, 10); len(ds) != 1 || len(again) != 0 {
				w.Fatalf("claimed %d, then %d", len(ds), len(again))
			}
			w.ok(w.ReleaseDeliveries(w.ctx, []string{ds[0].ID}))
			if _, again := w.claimOf(hook, 2, 10); len(again) != 1 {
				w.Errorf("released, then claimed %d", len(again))
			}
			if _, again := w.claimOf(hook, 63, 10); len(again) != 1 {
				w.Errorf("a lease that ended was not taken over")
			}
		},
		"a failure pauses the webhook and puts the delivery off": func(w *world) {
			hook := w.webhook("https://example.com/")
			w.device("AAA")
			w.device("BBB")
			w.publish(1)
			_, ds := w.claimOf(hook, 1, 1)
			w.ok(w.FinishDelivery(w.ctx, ds[0], webhook.Result{At: at(1), Status: 500, Error: "it answered 500", RetryAt: at(60), PauseUntil: at(10)}))
			if due, err := w.DueWebhooks(w.ctx, at(9)); err != nil || len(due) != 0 {
				w.Errorf("due while paused: %v, %v", due, err)
			}
			got, err := w.Webhook(w.ctx, hook.ID)
			if w.ok(err); got.Failures != 1 || !got.FailingSince.Equal(at(1)) || got.Secret != "" {
				w.Errorf("the webhook is %+v", got)
			}
			_, ds = w.claimOf(hook, 10, 10)
			if len(ds) != 1 || ds[0].Attempts != 0 {
				w.Fatalf("after the pause: %+v", ds)
			}
			w.ok(w.FinishDelivery(w.ctx, ds[0], webhook.Result{At: at(10), Status: 204}))
			if got, _ := w.Webhook(w.ctx, hook.ID); got.Failures != 0 || !got.FailingSince.IsZero() {
				w.Errorf("after a success the webhook is %+v", got)
			}
			_, ds = w.claimOf(hook, 60, 10)
			if len(ds) != 1 || ds[0].Attempts != 1 {
				w.Fatalf("the second attempt: %+v", ds)
			}
			w.ok(w.FinishDelivery(w.ctx, ds[0], webhook.Result{At: at(60), Status: 500, Error: "it answered 500", PauseUntil: at(61)}))
			failed, err := w.Deliveries(w.ctx, hook.ID, webhook.DeliveryFailed, enroll.Page{})
			if w.ok(err); len(failed) != 1 || failed[0].Attempts != 2 || failed[0].Status != 500 || !failed[0].DueAt.IsZero() {
				w.Errorf("given up: %+v", failed)
			}
			again, err := w.Redeliver(w.ctx, hook.ID, failed[0].ID, at(70))
			if w.ok(err); again.ID != failed[0].ID || again.State != webhook.DeliveryPending {
				w.Errorf("redelivered: %+v", again)
			}
			if _, err := w.Redeliver(w.ctx, hook.ID, failed[0].ID, at(70)); enroll.KindOf(err) != enroll.KindConflict {
				w.Errorf("redelivered twice: %v", err)
			}
			if _, ds := w.claimOf(hook, 70, 10); len(ds) != 1 {
				w.Errorf("a redelivery is not due")
			}
		},
		"a day of failures disables it": func(w *world) {
			hook := w.webhook("https://example.com/")
			w.device("AAA")
			w.publish(1)
			_, ds := w.claimOf(hook, 1, 1)
			fail := func(when time.Time) {
				w.ok(w.FinishDelivery(w.ctx, ds[0], webhook.Result{At: when, Error: "no answer", RetryAt: when.Add(time.Hour), PauseUntil: when}))
			}
			fail(at(1))
			fail(at(1).Add(24*time.Hour - time.Second))
			if got, _ := w.Webhook(w.ctx, hook.ID); !got.DisabledAt.IsZero() {
				w.Error("disabled too early")
			}
			fail(at(1).Add(24 * time.Hour))
			got, err := w.Webhook(w.ctx, hook.ID)
			if w.ok(err); got.DisabledAt.IsZero() || got.DisabledReason == "" {
				w.Errorf("not disabled: %+v", got)
			}
			w.publish(100)
			if told, _ := w.events(0, "webhook.disabled"); len(told) != 1 {
				w.Errorf("told %v", told)
			}
			if due, _ := w.DueWebhooks(w.ctx, at(1).Add(30*time.Hour)); len(due) != 0 {
				w.Errorf("a disabled webhook is due")
			}
			_, err = w.ChangeWebhook(w.ctx, hook.ID, func(h webhook.Webhook) (webhook.Webhook, error) {
				h.DisabledAt = time.Time{}
				return h, nil
			})
			w.ok(err)
			if got, _ := w.Webhook(w.ctx, hook.ID); got.Failures != 0 || !got.FailingSince.IsZero() {
				w.Errorf("enabled again: %+v", got)
			}
		},
		"a deleted webhook takes its deliveries along": func(w *world) {
			hook := w.webhook("https://example.com/")
			w.device("AAA")
			w.publish(1)
			_, ds := w.claimOf(hook, 1, 1)
			w.ok(w.DeleteWebhook(w.ctx, hook.ID))
			w.ok(w.FinishDelivery(w.ctx, ds[0], webhook.Result{At: at(2), Status: 200}))
			if _, err := w.Deliveries(w.ctx, hook.ID, "", enroll.Page{}); enroll.KindOf(err) != enroll.KindNotFound {
				w.Errorf("deliveries of nothing: %v", err)
			}
			if err := w.DeleteWebhook(w.ctx, hook.ID); enroll.KindOf(err) != enroll.KindNotFound {
				w.Errorf("deleted twice: %v", err)
			}
		},
		"there is a limit": func(w *world) {
			for range webhook.MaxWebhooks {
				w.webhook("https://example.com/")
			}
			if err := w.CreateWebhook(w.ctx, webhook.Webhook{ID: enroll.NewID()}); enroll.KindOf(err) != enroll.KindConflict {
				w.Errorf("one more: %v", err)
			}
		},
	})
}
