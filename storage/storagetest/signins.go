package storagetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/dep/account"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/storage"
)

func testSignIns(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"a session is read until it ends": func(w *world) {
			hash := [32]byte{1}
			_, err := w.SignIn(w.ctx, hash, at(0))
			w.kind(err, enroll.KindNotFound)
			w.ok(w.PutSignIn(w.ctx, hash, []byte("state"), at(100)))
			if got, err := w.SignIn(w.ctx, hash, at(99)); err != nil || string(got) != "state" {
				w.Fatalf("%q, %v", got, err)
			}
			_, err = w.SignIn(w.ctx, hash, at(100))
			w.kind(err, enroll.KindNotFound)
			if done, err := w.FinishSignIn(w.ctx, hash, at(100)); done || err != nil {
				w.Fatalf("finished after its end: %v, %v", done, err)
			}
		},
		"a session ends once": func(w *world) {
			hash := [32]byte{2}
			w.ok(w.PutSignIn(w.ctx, hash, []byte("state"), at(100)))
			var first atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					done, err := w.FinishSignIn(w.ctx, hash, at(1))
					if err != nil {
						w.Error(err)
					}
					if done {
						first.Add(1)
					}
				})
			}
			wg.Wait()
			if first.Load() != 1 {
				w.Fatalf("finished %d times", first.Load())
			}
			_, err := w.SignIn(w.ctx, hash, at(1))
			w.kind(err, enroll.KindNotFound)
		},
		"wrong codes are counted by where they come from": func(w *world) {
			const tries, window = 3, time.Minute
			try := func(source string, now time.Time) bool {
				id, tooMany, err := w.RequestByCode(w.ctx, [32]byte{9}, source, tries, window, now)
				if err != nil || id != "" {
					w.Fatalf("%q, %v", id, err)
				}
				return tooMany
			}
			var refused atomic.Int64
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if try("a", at(0)) {
						refused.Add(1)
					}
				})
			}
			wg.Wait()
			if refused.Load() != 10-tries {
				w.Fatalf("%d of 10 were refused; want %d", refused.Load(), 10-tries)
			}
			if try("b", at(1)) {
				w.Error("another address pays for it")
			}
			if !try("a", at(59)) || try("a", at(61)) {
				w.Error("the window is not a minute")
			}
		},
		"access tokens": func(w *world) {
			hash := [32]byte{3}
			given := account.Access{Account: "ann", UserID: "u", Serial: enroll.NewAccountSerial(), ManagedAppleID: "ann@example.com", CreatedAt: at(0), ExpiresAt: at(100)}
			stored, err := w.PutAccess(w.ctx, hash, given)
			w.ok(err)
			if diff := cmp.Diff(given, stored); diff != "" {
				w.Fatalf("stored (-given +stored):\n%s", diff)
			}
			got, err := w.Access(w.ctx, hash, at(99))
			w.ok(err)
			if diff := cmp.Diff(given, got); diff != "" {
				w.Fatalf("read (-given +read):\n%s", diff)
			}
			_, err = w.Access(w.ctx, hash, at(100))
			w.kind(err, enroll.KindNotFound)

			next := given
			next.Serial = enroll.NewAccountSerial()
			if stored, err = w.PutAccess(w.ctx, [32]byte{4}, next); err != nil || stored.Serial != given.Serial {
				w.Fatalf("the name of a row that nobody took is not kept: %q, %v", stored.Serial, err)
			}
			use := func(hash byte, name, enrollment string, now time.Time, want bool) {
				w.Helper()
				if good, err := w.UseAccess(w.ctx, [32]byte{hash}, name, enrollment, now); err != nil || good != want {
					w.Errorf("token %d for %s, %q: %v, %v", hash, name, enrollment, good, err)
				}
			}
			use(3, "bob", "", at(1), false)
			use(3, "ann", "", at(1), true)
			use(3, "ann", "e1", at(1), true) // bound now
			use(3, "ann", "e1", at(2), true)
			use(3, "ann", "e2", at(2), false)
			use(3, "ann", "e1", at(100), false)
			use(5, "ann", "e1", at(1), false)
			_, err = w.Access(w.ctx, hash, at(2))
			w.kind(err, enroll.KindNotFound) // a device has enrolled with it
			w.ok(w.ForgetSignIns(w.ctx, at(1000)))
			use(3, "ann", "", at(2), false)
		},
		"an enrollment knows its account": func(w *world) {
			d := w.device("ACCOUNT00001")
			e, err := w.Store.Authenticate(w.ctx, mdm.Authentication{DeviceID: d.ID, UDID: "enrollment-id", Fingerprint: "f", Topic: "t", Account: "ann", At: at(1)})
			w.ok(err)
			read, err := w.EnrollmentByID(w.ctx, e.ID)
			w.ok(err)
			if e.Account != "ann" || read.Account != "ann" {
				w.Fatalf("%q, %q", e.Account, read.Account)
			}
			w.ok(w.ForgetSignIns(w.ctx, at(5)))
		},
	})
}
