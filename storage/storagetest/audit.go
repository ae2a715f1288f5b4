package storagetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
	"rollcall/storage"
)

// as makes what follows part of a call.
func (w *world) as(operation string) *world {
	return &world{w.TB, w.Store, enroll.WithCall(w.ctx, enroll.Call{ActorKind: "token", ActorID: "t1", ActorName: "anna", Operation: operation, Path: "/api/v1/x", RequestID: "r1", RemoteAddr: "192.0.2.1"})}
}

// audit lists the log, oldest first.
func (w *world) audit() []enroll.AuditEntry {
	w.Helper()
	entries, err := w.Audit(w.ctx, enroll.AuditFilter{}, 0, 1000)
	w.ok(err)
	for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
		entries[i], entries[j] = entries[j], entries[i]
	}
	return entries
}

// intact verifies the chain.
func (w *world) intact(entries int) {
	w.Helper()
	report, err := w.VerifyAudit(w.ctx)
	w.ok(err)
	if report.Broken != 0 || report.Entries != int64(entries) {
		w.Errorf("the log is %+v, want %d entries", report, entries)
	}
}

func testAudit(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a change under a call is written down, any other is not": func(w *world) {
			w.intact(0)
			w.device("AAA")
			w.enroll("BBB", fingerprint(1))
			if log := w.audit(); len(log) != 0 {
				w.Fatalf("written down: %+v", log)
			}
			w.as("put-device").device("CCC")
			_, _, err := w.as("block-device").ChangeDevice(w.as("block-device").ctx, "CCC", nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
				old.BlockedAt, old.BlockReason = at(1), "lost"
				return *old, nil
			})
			w.ok(err)
			w.as("put-device").device("CCC") // changes nothing
			w.ok(w.DeleteDevice(w.as("delete-device").ctx, "CCC"))
			log := w.audit()
			if len(log) != 3 {
				w.Fatalf("%d entries: %+v", len(log), log)
			}
			made, blocked, deleted := log[0], log[1], log[2]
			if made.Call != (enroll.Call{ActorKind: "token", ActorID: "t1", ActorName: "anna", Operation: "put-device", Path: "/api/v1/x", RequestID: "r1", RemoteAddr: "192.0.2.1"}) || made.Kind != "device" ||
				made.Key != "CCC" || made.Before != nil || !strings.Contains(string(made.After), `"platform":"ios"`) {
				w.Errorf("made: %+v", made)
			}
			if !strings.Contains(string(blocked.After), `"block_reason":"lost"`) || strings.Contains(string(blocked.Before), "lost") {
				w.Errorf("blocked: %s -> %s", blocked.Before, blocked.After)
			}
			if deleted.After != nil || deleted.Before == nil {
				w.Errorf("deleted: %s -> %s", deleted.Before, deleted.After)
			}
			w.intact(3)
		},
		"no change is left out": func(w *world) {
			// What has no words of its own for the log is there by its call.
			w.ok(w.PutSecret(w.as("put-push-certificate").ctx, "a name", []byte("a secret")))
			log := w.audit()
			if len(log) != 1 || log[0].Call.Operation != "put-push-certificate" || log[0].Kind != "" {
				w.Errorf("the log is %+v", log)
			}
		},
		"secrets stay out": func(w *world) {
			in := w.as("put-policy")
			in.policy("wifi", "hunter2")
			in.policy("wifi", "hunter3")
			token, secret := admin.NewToken("ci", admin.RoleViewer, start, time.Time{})
			w.ok(w.CreateToken(in.ctx, token))
			in.webhook("https://example.com/")
			log := w.audit()
			if len(log) != 4 || !strings.Contains(string(log[1].After), `"version":2`) || !strings.Contains(string(log[1].After), "com.apple.wifi.managed") {
				w.Errorf("the log is %+v", log)
			}
			for _, e := range log {
				for _, hidden := range []string{"hunter", secret, "secret of", fmt.Sprintf("%x", token.Hash)} {
					if strings.Contains(string(e.Before)+string(e.After), hidden) {
						w.Errorf("%s tells %q: %s", e.Call.Operation, hidden, e.After)
					}
				}
			}
			w.intact(4)
		},
		"a change that fails leaves no entry": func(w *world) {
			err := w.Atomically(w.as("run-batch").ctx, func(ctx context.Context) error {
				inner := world{w.TB, w.Store, ctx}
				inner.device("AAA")
				return enroll.Errorf(enroll.KindConflict, "no", "no")
			})
			if enroll.KindOf(err) != enroll.KindConflict {
				w.Fatal(err)
			}
			if log := w.audit(); len(log) != 0 {
				w.Errorf("written down: %+v", log)
			}
			if _, err := w.Device(w.ctx, "AAA"); enroll.KindOf(err) != enroll.KindNotFound {
				w.Errorf("half of a transaction: %v", err)
			}
			w.intact(0)
		},
		"one transaction of many changes": func(w *world) {
			w.ok(w.Atomically(w.as("run-batch").ctx, func(ctx context.Context) error {
				for i := range 3 {
					inner := world{w.TB, w.Store, ctx}
					inner.device(fmt.Sprint("S", i))
					if _, err := w.Device(ctx, fmt.Sprint("S", i)); err != nil {
						return err // does not see its own changes
					}
				}
				return nil
			}))
			w.intact(3)
		},
		"many at once make one chain": func(w *world) {
			const writers, each = 6, 8
			var wg sync.WaitGroup
			for i := range writers {
				wg.Go(func() {
					in := w.as("put-device")
					for j := range each {
						in.device(fmt.Sprint("S", i, "X", j))
					}
				})
			}
			wg.Wait()
			w.intact(writers * each)
		},
		"filters and pages": func(w *world) {
			for i := range 5 {
				w.as("put-device").device(fmt.Sprint("S", i))
			}
			w.ok(w.DeleteDevice(w.as("delete-device").ctx, "S1"))
			for name, test := range map[string]struct {
				filter enroll.AuditFilter
				want   int
			}{
				"all":       {enroll.AuditFilter{}, 6},
				"operation": {enroll.AuditFilter{Operation: "delete-device"}, 1},
				"object":    {enroll.AuditFilter{Kind: "device", Key: "S1"}, 2},
				"token":     {enroll.AuditFilter{ActorID: "t1"}, 6},
				"nobody":    {enroll.AuditFilter{ActorID: "t2"}, 0},
				"since":     {enroll.AuditFilter{Since: time.Now().Add(time.Hour)}, 0},
				"until":     {enroll.AuditFilter{Until: time.Now().Add(time.Hour)}, 6},
			} {
				got := 0
				for before := int64(0); ; {
					page, err := w.Audit(w.ctx, test.filter, before, 2)
					w.ok(err)
					if len(page) == 0 {
						break
					}
					got += len(page)
					before = page[len(page)-1].Seq
				}
				if got != test.want {
					w.Errorf("%s: %d entries, want %d", name, got, test.want)
				}
			}
		},
	})
}

func testAnswers(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"claimed, kept, given again, forgotten": func(w *world) {
			claim := func(token, key string, second int) *admin.Answer {
				w.Helper()
				a, err := w.ClaimAnswer(w.ctx, token, key, "POST /x", at(second), time.Minute)
				w.ok(err)
				return a
			}
			if a := claim("t1", "k", 0); a != nil {
				w.Fatalf("a fresh key has %+v", a)
			}
			if a := claim("t1", "k", 1); a == nil || a.Status != 0 {
				w.Fatalf("a running request has %+v", a)
			}
			if a := claim("t2", "k", 1); a != nil {
				w.Errorf("the key of another token has %+v", a)
			}
			want := admin.Answer{Target: "POST /x", BodyHash: [32]byte{1}, Status: 201, ContentType: "application/json", Body: []byte(`{"token":"s"}`)}
			w.ok(w.KeepAnswer(w.ctx, "t1", "k", want))
			w.ok(w.DropAnswer(w.ctx, "t1", "k")) // is for those that have none
			a := claim("t1", "k", 3600)
			if a == nil || a.Status != 201 || string(a.Body) != string(want.Body) || a.BodyHash != want.BodyHash || a.ContentType != want.ContentType {
				w.Errorf("kept is %+v", a)
			}
			if a := claim("t1", "k", 25*3600); a != nil {
				w.Errorf("after a day there is %+v", a)
			}
		},
		"a key that is given back, or whose server died, is free": func(w *world) {
			for _, second := range []int{0, 61} {
				a, err := w.ClaimAnswer(w.ctx, "t", "k", "POST /x", at(second), time.Minute)
				if w.ok(err); a != nil {
					w.Errorf("at %d: %+v", second, a)
				}
			}
			w.ok(w.DropAnswer(w.ctx, "t", "k"))
			a, err := w.ClaimAnswer(w.ctx, "t", "k", "POST /x", at(62), time.Minute)
			if w.ok(err); a != nil {
				w.Errorf("given back: %+v", a)
			}
			if n, err := w.PurgeAnswers(w.ctx, at(100)); err != nil || n != 1 {
				w.Errorf("%d went, %v", n, err)
			}
		},
		"of many one runs": func(w *world) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			mine := 0
			for range 8 {
				wg.Go(func() {
					a, err := w.ClaimAnswer(w.ctx, "t", "k", "POST /x", at(0), time.Minute)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						w.Error(err)
					} else if a == nil {
						mine++
					}
				})
			}
			wg.Wait()
			if mine != 1 {
				w.Errorf("%d run", mine)
			}
		},
	})
}
