package storagetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/android"
	"rollcall/enroll"
	"rollcall/storage"
)

func testEnrollmentTokens(t *testing.T, open func(t *testing.T) *storage.Store) {
	create := func(w *world, tok android.Token, hash byte) android.Token {
		w.Helper()
		tok.ID, tok.CreatedAt = enroll.NewID(), at(0)
		w.ok(w.CreateEnrollmentToken(w.ctx, tok, [32]byte{hash}))
		return tok
	}
	use := func(w *world, tok android.Token, now time.Time, want bool) {
		w.Helper()
		if used, err := w.UseEnrollmentToken(w.ctx, tok.ID, now); err != nil || used != want {
			w.Fatalf("used %v, %v; want %v", used, err, want)
		}
	}
	each(t, open, map[string]func(w *world){
		"a token is found by its hash": func(w *world) {
			d := w.device("AAA")
			want := create(w, android.Token{Name: "table", MaxUses: 3, Ownership: enroll.OwnershipCorporate, UserID: "u", DeviceID: d.ID, RequestID: "r",
				CreatedBy: "admin", ExpiresAt: at(100)}, 1)
			got, err := w.EnrollmentTokenByHash(w.ctx, [32]byte{1})
			w.ok(err)
			if diff := cmp.Diff(want, got); diff != "" {
				w.Fatalf("(-want +got):\n%s", diff)
			}
			_, err = w.EnrollmentTokenByHash(w.ctx, [32]byte{2})
			w.kind(err, enroll.KindNotFound)
			_, err = w.EnrollmentToken(w.ctx, "other")
			w.kind(err, enroll.KindNotFound)
		},
		"uses, time and revocation": func(w *world) {
			limited := create(w, android.Token{MaxUses: 2, ExpiresAt: at(100)}, 1)
			use(w, limited, at(1), true)
			use(w, limited, at(100), false) // expired
			use(w, limited, at(99), true)
			use(w, limited, at(99), false) // used up
			endless := create(w, android.Token{}, 2)
			use(w, endless, at(1), true)
			use(w, endless, at(9999), true)
			revoked, err := w.RevokeEnrollmentToken(w.ctx, endless.ID, at(5))
			w.ok(err)
			if revoked.Uses != 2 || !revoked.RevokedAt.Equal(at(5)) || !revoked.LastUsedAt.Equal(at(9999)) {
				w.Fatalf("%+v", revoked)
			}
			use(w, endless, at(6), false)
			if again, err := w.RevokeEnrollmentToken(w.ctx, endless.ID, at(50)); err != nil || !again.RevokedAt.Equal(at(5)) {
				w.Fatalf("revoked again: %+v, %v", again, err)
			}
			_, err = w.RevokeEnrollmentToken(w.ctx, "other", at(1))
			w.kind(err, enroll.KindNotFound)
		},
		"a one-time token is used once": func(w *world) {
			tok := create(w, android.Token{MaxUses: 1}, 1)
			var used atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					ok, err := w.UseEnrollmentToken(w.ctx, tok.ID, at(1))
					if err != nil {
						w.Error(err)
					}
					if ok {
						used.Add(1)
					}
				})
			}
			wg.Wait()
			if used.Load() != 1 {
				w.Fatalf("used %d times", used.Load())
			}
		},
		"a use goes with its transaction": func(w *world) {
			tok := create(w, android.Token{MaxUses: 1}, 1)
			failed := errors.New("refused")
			err := w.Atomically(w.ctx, func(ctx context.Context) error {
				if used, err := w.UseEnrollmentToken(ctx, tok.ID, at(1)); err != nil || !used {
					w.Fatalf("%v, %v", used, err)
				}
				return failed
			})
			if !errors.Is(err, failed) {
				w.Fatal(err)
			}
			use(w, tok, at(2), true)
		},
		"of a request's tokens one is used": func(w *world) {
			other, second := create(w, android.Token{MaxUses: 1}, 4), create(w, android.Token{MaxUses: 1, RequestID: "r"}, 1)
			last := create(w, android.Token{MaxUses: 1, RequestID: "r"}, 2)
			use(w, second, at(1), true)
			use(w, last, at(1), false)
			use(w, other, at(1), true)
			if got, err := w.EnrollmentToken(w.ctx, second.ID); err != nil || !got.RevokedAt.IsZero() {
				w.Fatalf("the used one: %+v, %v", got, err)
			}
		},
		"what is not there": func(w *world) {
			w.kind(w.CreateEnrollmentToken(w.ctx, android.Token{ID: "t", Group: "nobody"}, [32]byte{1}), enroll.KindNotFound)
			w.kind(w.CreateEnrollmentToken(w.ctx, android.Token{ID: "t", DeviceID: "nobody"}, [32]byte{1}), enroll.KindNotFound)
		},
		"lists": func(w *world) {
			var want []string
			for i := range 5 {
				want = append([]string{create(w, android.Token{}, byte(i)).ID}, want...)
			}
			var got []string
			for after := ""; ; {
				page, err := w.EnrollmentTokens(w.ctx, enroll.Page{Limit: 2, After: after})
				w.ok(err)
				if len(page) == 0 {
					break
				}
				for _, tok := range page {
					got = append(got, tok.ID)
				}
				after = got[len(got)-1]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				w.Fatalf("(-want +got):\n%s", diff)
			}
		},
	})
}
