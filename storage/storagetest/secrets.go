package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/admin"
	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/storage"
)

func testSecrets(t *testing.T, open func(t *testing.T) *storage.Store) {
	each(t, open, map[string]func(w *world){
		"put, get, delete": func(w *world) {
			_, err := w.Secret(w.ctx, "one")
			w.kind(err, enroll.KindNotFound)
			for _, value := range []string{"first", "second", ""} {
				w.ok(w.PutSecret(w.ctx, "one", []byte(value)))
				if got, err := w.Secret(w.ctx, "one"); err != nil || string(got) != value {
					w.Fatalf("secret %q, %v", got, err)
				}
			}
			for range 2 {
				w.ok(w.DeleteSecret(w.ctx, "one"))
			}
			_, err = w.Secret(w.ctx, "one")
			w.kind(err, enroll.KindNotFound)
		},
		"the first writer wins": func(w *world) {
			var mu sync.Mutex
			values := map[string]bool{}
			var created atomic.Int64
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					got, made, err := w.CreateSecret(w.ctx, "ca", fmt.Appendf(nil, "key %d", i))
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						w.Error(err)
					}
					if made {
						created.Add(1)
					}
					values[string(got)] = true
				})
			}
			wg.Wait()
			if len(values) != 1 || created.Load() != 1 {
				w.Fatalf("values %v, created %d times", values, created.Load())
			}
		},
	})
}

func testIdentities(t *testing.T, open func(t *testing.T) *storage.Store) {
	identity := func(n int) certs.Identity {
		return certs.Identity{Fingerprint: fingerprint(n), DER: []byte{1, byte(n)}, KeyHash: []byte{2, byte(n)},
			Binding:  certs.Binding{Purpose: certs.PurposeMDM, Serial: "AAA", DeviceID: "d"},
			IssuedAt: at(1), ExpiresAt: at(1000)}
	}
	same := func(w *world, err, want error) {
		w.Helper()
		if !errors.Is(err, want) {
			w.Fatalf("error %v, want %v", err, want)
		}
	}
	each(t, open, map[string]func(w *world){
		"a challenge is used once": func(w *world) {
			c := certs.Challenge{Hash: [32]byte{1}, Binding: certs.Binding{Purpose: certs.PurposeOTA, AttemptID: "a", UDID: "u"}, ExpiresAt: at(100)}
			w.ok(w.PutChallenge(w.ctx, c))
			got, err := w.Challenge(w.ctx, c.Hash)
			if diff := cmp.Diff(c, got); diff != "" || err != nil {
				w.Fatalf("%v (-want +got)\n%s", err, diff)
			}
			_, err = w.IdentityByChallenge(w.ctx, c.Hash)
			same(w, err, certs.ErrIdentityUnknown)
			var won, used atomic.Int64
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					switch err := w.Consume(w.ctx, c.Hash, identity(i), at(10)); {
					case err == nil:
						won.Add(1)
					case errors.Is(err, certs.ErrChallengeUsed):
						used.Add(1)
					default:
						w.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 || used.Load() != 49 {
				w.Fatalf("%d won, %d were told it is used", won.Load(), used.Load())
			}
			got, err = w.Challenge(w.ctx, c.Hash)
			w.ok(err)
			id, err := w.IdentityByChallenge(w.ctx, c.Hash)
			w.ok(err)
			if !got.UsedAt.Equal(at(10)) || string(got.UsedByKey) != string(id.KeyHash) {
				w.Fatalf("challenge %+v, identity %+v", got, id)
			}
			recorded := 0
			for i := range 50 {
				if _, err := w.Identity(w.ctx, fingerprint(i)); err == nil {
					recorded++
				}
			}
			if recorded != 1 {
				w.Fatalf("%d identities are recorded", recorded)
			}
			same(w, w.Consume(w.ctx, c.Hash, identity(60), at(500)), certs.ErrChallengeUsed) // used is told before expired
			// Only what ended unused is forgotten.
			for h, ends := range map[byte]int{7: 100, 8: 900} {
				w.ok(w.PutChallenge(w.ctx, certs.Challenge{Hash: [32]byte{h}, ExpiresAt: at(ends)}))
			}
			if n, err := w.ForgetChallenges(w.ctx, at(500)); err != nil || n != 1 {
				w.Errorf("forgot %d challenges, %v", n, err)
			}
			_, err = w.Challenge(w.ctx, [32]byte{7})
			same(w, err, certs.ErrChallengeUnknown)
			for _, h := range [][32]byte{c.Hash, {8}} {
				if _, err := w.Challenge(w.ctx, h); err != nil {
					w.Errorf("challenge %x was forgotten: %v", h[:1], err)
				}
			}
		},
		"unknown and expired": func(w *world) {
			_, err := w.Challenge(w.ctx, [32]byte{9})
			same(w, err, certs.ErrChallengeUnknown)
			same(w, w.Consume(w.ctx, [32]byte{9}, identity(1), at(1)), certs.ErrChallengeUnknown)
			w.ok(w.PutChallenge(w.ctx, certs.Challenge{Hash: [32]byte{2}, ExpiresAt: at(100)}))
			same(w, w.Consume(w.ctx, [32]byte{2}, identity(1), at(100)), certs.ErrChallengeExpired)
			_, err = w.Identity(w.ctx, fingerprint(1))
			same(w, err, certs.ErrIdentityUnknown)
			if err := w.PutChallenge(w.ctx, certs.Challenge{Hash: [32]byte{2}, ExpiresAt: at(900)}); err == nil {
				w.Fatal("a challenge was stored over another one")
			}
		},
		"renewed identities": func(w *world) {
			want := identity(2)
			want.Renews, want.RevokedAt = fingerprint(1), at(7)
			for range 2 {
				w.ok(w.PutIdentity(w.ctx, want))
			}
			got, err := w.Identity(w.ctx, want.Fingerprint)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				w.Fatalf("%v (-want +got)\n%s", err, diff)
			}
		},
	})
}

func testTokens(t *testing.T, open func(t *testing.T) *storage.Store) {
	token := func(n byte, role admin.Role) admin.Token {
		return admin.Token{ID: enroll.NewID(), Name: fmt.Sprint("token ", n), Role: role, Hash: [32]byte{n}, CreatedAt: at(int(n))}
	}
	each(t, open, map[string]func(w *world){
		"the first is made once": func(w *world) {
			var created atomic.Int64
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					made, err := w.CreateFirstToken(w.ctx, token(byte(i), admin.RoleAdmin))
					if err != nil {
						w.Error(err)
					}
					if made {
						created.Add(1)
					}
				})
			}
			wg.Wait()
			all, err := w.Tokens(w.ctx)
			w.ok(err)
			if len(all) != 1 || created.Load() != 1 {
				w.Fatalf("%d tokens, made %d times", len(all), created.Load())
			}
		},
		"lookup and use": func(w *world) {
			want := token(1, admin.RoleOperator)
			want.ExpiresAt = at(1000)
			w.ok(w.CreateToken(w.ctx, want))
			if got, err := w.TokenByHash(w.ctx, want.Hash); err != nil || got != want {
				w.Fatalf("token %+v, %v", got, err)
			}
			_, err := w.TokenByHash(w.ctx, [32]byte{9})
			w.kind(err, enroll.KindNotFound)
			w.ok(w.TokenUsed(w.ctx, want.ID, at(90)))
			w.ok(w.TokenUsed(w.ctx, want.ID, at(30)))
			if got, err := w.TokenByHash(w.ctx, want.Hash); err != nil || !got.LastUsedAt.Equal(at(90).Truncate(time.Minute)) {
				w.Fatalf("token %+v, %v", got, err)
			}
			second := token(2, admin.RoleViewer)
			w.ok(w.CreateToken(w.ctx, second))
			if all, err := w.Tokens(w.ctx); err != nil || len(all) != 2 || all[0].ID != second.ID {
				w.Fatalf("tokens %+v, %v", all, err)
			}
		},
		"the last admin stays": func(w *world) {
			one, two, viewer, expired := token(1, admin.RoleAdmin), token(2, admin.RoleAdmin), token(3, admin.RoleViewer), token(4, admin.RoleAdmin)
			expired.ExpiresAt = at(50)
			for _, t := range []admin.Token{one, two, viewer, expired} {
				w.ok(w.CreateToken(w.ctx, t))
			}
			w.kind(w.RevokeToken(w.ctx, "unknown", at(100)), enroll.KindNotFound)
			w.ok(w.RevokeToken(w.ctx, viewer.ID, at(100)))
			var refused atomic.Int64
			var wg sync.WaitGroup
			for _, t := range []admin.Token{one, two} {
				wg.Go(func() {
					switch err := w.RevokeToken(w.ctx, t.ID, at(100)); enroll.KindOf(err) {
					case "":
					case enroll.KindConflict:
						refused.Add(1)
					default:
						w.Error(err)
					}
				})
			}
			wg.Wait()
			if refused.Load() != 1 {
				w.Fatalf("%d of two were refused", refused.Load())
			}
			w.ok(w.RevokeToken(w.ctx, viewer.ID, at(200)))
			if got, err := w.TokenByHash(w.ctx, viewer.Hash); err != nil || !got.RevokedAt.Equal(at(100)) {
				w.Fatalf("revoked again: %+v, %v", got, err)
			}
		},
	})
}
