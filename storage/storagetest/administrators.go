package storagetest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/admin"
	"rollcall/admin/credential"
	"rollcall/enroll"
	"rollcall/storage"
)

func testAdministrators(t *testing.T, open func(t *testing.T) *storage.Store) {
	person := func(name string, role admin.Role) admin.Account {
		return admin.Account{Administrator: admin.Administrator{ID: enroll.NewID(), Email: name + "@example.com", Name: name, Role: role, CreatedAt: at(0), UpdatedAt: at(0), Version: 1}, Password: "hash of " + name}
	}
	same := func(w *world, want, got admin.Account) {
		w.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(admin.Administrator{}, "UpdatedAt", "HasPassword", "SecondFactor", "Version", "LastSeenAt")); diff != "" {
			w.Fatalf("account (-want +got):\n%s", diff)
		}
		if got.HasPassword != (want.Password != "") || got.SecondFactor != (want.Key != nil) {
			w.Fatalf("has password %v, second factor %v", got.HasPassword, got.SecondFactor)
		}
	}
	change := func(w *world, id string, f func(a *admin.Account)) error {
		_, err := w.ChangeAdministrator(w.ctx, id, func(a *admin.Account) (admin.SessionEnd, error) {
			f(a)
			return admin.SessionEnd{}, nil
		})
		return err
	}
	each(t, open, map[string]func(w *world){
		"an account is kept whole": func(w *world) {
			ann := person("ann", admin.RoleAdmin)
			ann.TimeZone, ann.Theme, ann.Invitation, ann.InvitedUntil = "Europe/Berlin", admin.ThemeDark, []byte{1, 2}, at(100)
			ann.Key, ann.NewKey, ann.Step, ann.RecoveryCodes = credential.Key("key"), credential.Key("new key"), 7, [][]byte{{3}, {4}}
			w.ok(w.CreateAdministrator(w.ctx, ann))
			got, err := w.Administrator(w.ctx, ann.ID)
			w.ok(err)
			same(w, ann, got)
			got, err = w.AdministratorByEmail(w.ctx, "ann@example.com")
			w.ok(err)
			same(w, ann, got)
			got, err = w.AdministratorByInvitation(w.ctx, []byte{1, 2})
			w.ok(err)
			same(w, ann, got)
			w.ok(change(w, ann.ID, func(a *admin.Account) {
				a.Key, a.NewKey, a.Invitation, a.RecoveryCodes, a.DisabledAt, a.Role = nil, nil, nil, nil, time.Time{}, admin.RoleAdmin
			}))
			ann.Key, ann.NewKey, ann.Invitation, ann.RecoveryCodes = nil, nil, nil, nil
			got, err = w.Administrator(w.ctx, ann.ID)
			w.ok(err)
			same(w, ann, got)
			if got.Version != 2 {
				w.Fatalf("version %d", got.Version)
			}
			for _, missing := range []func() error{
				func() error { _, err := w.Administrator(w.ctx, "x"); return err },
				func() error { _, err := w.AdministratorByEmail(w.ctx, "x\x00@example.com"); return err },
				func() error { _, err := w.AdministratorByInvitation(w.ctx, []byte{1, 2}); return err },
				func() error { return change(w, "x", func(*admin.Account) {}) },
				func() error { return w.DeleteAdministrator(w.ctx, "x") },
			} {
				w.kind(missing(), enroll.KindNotFound)
			}
		},
		"an address belongs to one": func(w *world) {
			ann, bob := person("ann", admin.RoleAdmin), person("bob", admin.RoleViewer)
			w.ok(w.CreateAdministrator(w.ctx, ann))
			w.kind(w.CreateAdministrator(w.ctx, person("ann", admin.RoleViewer)), enroll.KindConflict)
			w.ok(w.CreateAdministrator(w.ctx, bob))
			w.kind(change(w, bob.ID, func(a *admin.Account) { a.Email = ann.Email }), enroll.KindConflict)
			if all, err := w.Administrators(w.ctx); err != nil || len(all) != 2 || all[0].Name != "ann" || all[1].Email != "bob@example.com" {
				w.Fatalf("%+v, %v", all, err)
			}
		},
		"the code of the set-up makes one": func(w *world) {
			old, code := [32]byte{1}, [32]byte{2}
			for _, c := range [][32]byte{old, code} {
				if needed, err := w.PutSetUpCode(w.ctx, c, at(0)); err != nil || !needed {
					w.Fatal(needed, err)
				}
			}
			if made, err := w.CreateFirstAdministrator(w.ctx, person("eve", admin.RoleAdmin), old); err != nil || made {
				w.Fatalf("with the code of an earlier start: %v, %v", made, err)
			}
			var made atomic.Int64
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					ok, err := w.CreateFirstAdministrator(w.ctx, person("ann"+strings.Repeat("n", i), admin.RoleAdmin), code)
					if err != nil {
						w.Error(err)
					}
					if ok {
						made.Add(1)
					}
				})
			}
			wg.Wait()
			if all, err := w.Administrators(w.ctx); err != nil || made.Load() != 1 || len(all) != 1 {
				w.Fatalf("made %d: %+v, %v", made.Load(), all, err)
			}
			if needed, err := w.PutSetUpCode(w.ctx, code, at(0)); err != nil || needed {
				w.Fatalf("a set-up where there is somebody: %v, %v", needed, err)
			}
		},
		"the code is worth nothing where somebody came first": func(w *world) {
			code := [32]byte{2}
			_, err := w.PutSetUpCode(w.ctx, code, at(0))
			w.ok(err)
			w.ok(w.CreateAdministrator(w.ctx, person("ann", admin.RoleAdmin)))
			if made, err := w.CreateFirstAdministrator(w.ctx, person("eve", admin.RoleAdmin), code); err != nil || made {
				w.Fatal(made, err)
			}
		},
		"the last admin stays": func(w *world) {
			ann, bob, vic := person("ann", admin.RoleAdmin), person("bob", admin.RoleAdmin), person("vic", admin.RoleViewer)
			for _, a := range []admin.Account{ann, bob, vic} {
				w.ok(w.CreateAdministrator(w.ctx, a))
			}
			var refused atomic.Int64
			var wg sync.WaitGroup
			for _, f := range []func() error{
				func() error { return change(w, ann.ID, func(a *admin.Account) { a.DisabledAt = at(1) }) },
				func() error { return w.DeleteAdministrator(w.ctx, bob.ID) },
			} {
				wg.Go(func() {
					if err := f(); enroll.KindOf(err) == enroll.KindConflict {
						refused.Add(1)
					} else if err != nil {
						w.Error(err)
					}
				})
			}
			wg.Wait()
			if refused.Load() != 1 {
				w.Fatalf("%d of the last two were kept", refused.Load())
			}
			all, err := w.Administrators(w.ctx)
			w.ok(err)
			for _, a := range all {
				if a.Role == admin.RoleAdmin && a.DisabledAt.IsZero() {
					w.kind(change(w, a.ID, func(a *admin.Account) { a.Role = admin.RoleOperator }), enroll.KindConflict)
				}
			}
			w.ok(w.DeleteAdministrator(w.ctx, vic.ID))
		},
		"sessions": func(w *world) {
			ann, bob := person("ann", admin.RoleAdmin), person("bob", admin.RoleViewer)
			w.ok(w.CreateAdministrator(w.ctx, ann))
			w.ok(w.CreateAdministrator(w.ctx, bob))
			session := func(n byte, of admin.Account) admin.Session {
				s := admin.Session{ID: enroll.NewID(), AdministratorID: of.ID, CreatedAt: at(0), SeenAt: at(0), ExpiresAt: at(0).Add(admin.SessionLife), Address: "192.0.2.1", UserAgent: "Firefox", Method: admin.ByPassword}
				w.ok(w.CreateSession(w.ctx, s, [32]byte{n}))
				return s
			}
			first, second, third, his := session(1, ann), session(2, ann), session(3, ann), session(4, bob)
			got, who, err := w.SessionByHash(w.ctx, [32]byte{1})
			if err != nil || got != first || who.Email != ann.Email || !who.LastSeenAt.Equal(at(0)) {
				w.Fatalf("%+v of %+v, %v", got, who, err)
			}
			_, _, err = w.SessionByHash(w.ctx, [32]byte{9})
			w.kind(err, enroll.KindNotFound)
			w.ok(w.SessionSeen(w.ctx, first.ID, at(60)))
			w.ok(w.SessionSeen(w.ctx, first.ID, at(30)))
			w.ok(w.SessionSeen(w.ctx, "x", at(30)))
			if got, who, err := w.SessionByHash(w.ctx, [32]byte{1}); err != nil || !got.SeenAt.Equal(at(60)) || !who.LastSeenAt.Equal(at(60)) {
				w.Fatalf("%+v of %+v, %v", got, who, err)
			}
			want := func(of string, now, idle time.Time, sessions ...admin.Session) {
				w.Helper()
				all, err := w.Sessions(w.ctx, of, now, idle)
				w.ok(err)
				var got, ids []string
				for _, s := range all {
					got = append(got, s.ID)
				}
				for _, s := range sessions {
					ids = append(ids, s.ID)
				}
				if diff := cmp.Diff(ids, got); diff != "" {
					w.Fatalf("sessions (-want +got):\n%s", diff)
				}
			}
			want(ann.ID, at(1), at(-1), third, second, first)
			want("", at(1), at(-1), his, third, second, first)
			want("", at(1), at(1), first) // the others are idle
			want("", at(0).Add(admin.SessionLife), at(-1))
			w.kind(w.EndSession(w.ctx, his.ID, ann.ID), enroll.KindNotFound)
			w.ok(w.EndSession(w.ctx, third.ID, ann.ID))
			if _, err := w.ChangeAdministrator(w.ctx, ann.ID, func(a *admin.Account) (admin.SessionEnd, error) {
				return admin.SessionEnd{All: true, Except: first.ID}, nil
			}); err != nil {
				w.Fatal(err)
			}
			want("", at(1), at(-1), his, first)
			w.ok(w.EndSession(w.ctx, his.ID, ""))
			w.ok(w.ForgetConsole(w.ctx, at(60).Add(admin.SessionIdle-1)))
			want("", at(1), at(-1), first)
			w.ok(w.ForgetConsole(w.ctx, at(60).Add(admin.SessionIdle)))
			want("", at(1), at(-1))
			fourth := session(5, bob)
			want(bob.ID, at(1), at(-1), fourth)
			w.ok(w.DeleteAdministrator(w.ctx, bob.ID))
			_, _, err = w.SessionByHash(w.ctx, [32]byte{5})
			w.kind(err, enroll.KindNotFound)
		},
		"tries are counted beforehand, all at once too": func(w *world) {
			sources := []admin.TrySource{{Name: "ann", Free: 3}, {Name: "192.0.2.1", Free: 100}}
			var let atomic.Int64
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					until, err := w.TrySignIn(w.ctx, sources, at(0))
					if err != nil {
						w.Error(err)
					}
					if until.IsZero() {
						let.Add(1)
					}
				})
			}
			wg.Wait()
			if let.Load() != 3 {
				w.Fatalf("%d of 10 were let try", let.Load())
			}
			try := func(now time.Time, want time.Duration) {
				w.Helper()
				until, err := w.TrySignIn(w.ctx, sources, now)
				w.ok(err)
				if want == 0 && !until.IsZero() || want != 0 && !until.Equal(now.Add(want)) {
					w.Fatalf("blocked until %v, want %v from %v", until, want, now)
				}
			}
			try(at(29), time.Second)
			try(at(30), 0)
			try(at(89), time.Second) // twice as long
			try(at(90), 0)
			w.ok(w.SignInTried(w.ctx, sources))
			try(at(90), 0) // it was taken back
			w.ok(w.SignInTried(w.ctx, sources, "ann"))
			for range 3 {
				try(at(90), 0)
			}
			try(at(90), admin.BlockFirst)
			w.ok(w.ForgetConsole(w.ctx, at(90).Add(admin.FailureLife)))
			try(at(90), admin.BlockFirst)
			try(at(90).Add(admin.FailureLife), 0)
			try(at(90).Add(admin.FailureLife), 0)
			w.ok(w.ForgetConsole(w.ctx, at(91).Add(2*admin.FailureLife)))
			for range 3 {
				try(at(90), 0)
			}
		},
		"views": func(w *world) {
			ann := person("ann", admin.RoleAdmin)
			w.ok(w.CreateAdministrator(w.ctx, ann))
			w.ok(w.CreateAdministrator(w.ctx, person("bob", admin.RoleAdmin)))
			put := func(owner, name, query string, shared, created bool) {
				w.Helper()
				made, err := w.PutView(w.ctx, admin.SavedView{OwnerID: owner, Name: name, Query: query, Shared: shared, UpdatedAt: at(1)}, 3)
				if err != nil || made != created {
					w.Fatalf("%s: created %v, %v", name, made, err)
				}
			}
			put(ann.ID, "mine", "a=1", false, true)
			put(ann.ID, "ours", "a=1", true, true)
			put(ann.ID, "mine", "a=2", false, false)
			put("token", "mine", "b=1", false, true)
			put("token", "third", "b=1", true, true)
			want := func(owner string, views ...string) {
				w.Helper()
				all, err := w.Views(w.ctx, owner)
				w.ok(err)
				var got []string
				for _, v := range all {
					got = append(got, v.OwnerName+"/"+v.Name+"?"+v.Query)
				}
				if diff := cmp.Diff(views, got); diff != "" {
					w.Fatalf("views (-want +got):\n%s", diff)
				}
			}
			want(ann.ID, "ann/mine?a=2", "ann/ours?a=1", "/third?b=1")
			want("token", "/mine?b=1", "ann/ours?a=1", "/third?b=1")
			put("token", "last", "", false, true)
			_, err := w.PutView(w.ctx, admin.SavedView{OwnerID: "token", Name: "more"}, 3)
			w.kind(err, enroll.KindConflict)
			w.kind(w.DeleteView(w.ctx, "token", "ours"), enroll.KindNotFound)
			w.ok(w.DeleteView(w.ctx, "token", "mine"))
			w.ok(w.DeleteAdministrator(w.ctx, ann.ID))
			want("token", "/last?", "/third?b=1")
		},
		"nothing that proves anything is in the audit log": func(w *world) {
			w = &world{w.TB, w.Store, enroll.WithCall(w.ctx, enroll.Call{ActorKind: "administrator", ActorID: "a", ActorName: "ann", Operation: "x", Path: "/x"})}
			ann := person("ann", admin.RoleAdmin)
			ann.Key, ann.Invitation, ann.RecoveryCodes = credential.Key("hidden key"), []byte("hidden link"), [][]byte{[]byte("hidden code")}
			w.ok(w.CreateAdministrator(w.ctx, ann))
			w.ok(change(w, ann.ID, func(a *admin.Account) { a.Password = "hidden hash" }))
			w.ok(w.CreateSession(w.ctx, admin.Session{ID: "s", AdministratorID: ann.ID, Method: admin.ByOIDC}, [32]byte{1}))
			log, err := w.Audit(context.Background(), enroll.AuditFilter{}, 0, 100)
			w.ok(err)
			if len(log) != 3 || log[0].Kind != "session" || log[1].Kind != "administrator" || log[1].Call.ActorKind != "administrator" {
				w.Fatalf("%+v", log)
			}
			for _, e := range log {
				if text := string(e.Before) + string(e.After); strings.Contains(text, "hidden") || strings.Contains(text, "aGlkZGVu") || strings.Contains(text, "hash of") {
					w.Errorf("%s: %s", e.Kind, text)
				}
			}
		},
	})
}
