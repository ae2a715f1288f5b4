package app

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/admin"
	"rollcall/admin/webhook"
	"rollcall/certs"
	"rollcall/dep"
	"rollcall/dep/cloud"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/storage"
)

func testStore(t *testing.T) *storage.Store {
	t.Helper()
	o := Options{DataDir: t.TempDir(), LogLevel: "error"}
	o.Database, o.SealKeyFile = "sqlite:"+filepath.Join(o.DataDir, "rollcall.db"), filepath.Join(o.DataDir, "seal.key")
	store, err := OpenStore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestExamine: each thing that can be wrong is found, under its code, and
// nothing else is.
func TestExamine(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	good := Options{PublicURL: "https://mdm.example.com", TLS: TLSOff, SigningCert: "x"}
	usual := []string{"push_certificate_missing", "restriction_off"}
	for name, test := range map[string]struct {
		options func(*Options)
		prepare func(t *testing.T, s *storage.Store)
		want    []string // codes, without those of usual
		without string   // of usual
	}{
		"nothing more": {},
		"no URL":       {options: func(o *Options) { o.PublicURL = "" }, want: []string{"public_url_missing"}},
		"loopback":     {options: func(o *Options) { o.PublicURL = "https://127.0.0.1:8443" }, want: []string{"public_url_local"}},
		"http":         {options: func(o *Options) { o.PublicURL = "http://mdm.example.com" }, want: []string{"public_url_not_https"}},
		"own":          {options: func(o *Options) { o.TLS = TLSOwn }, want: []string{"server_certificate_own"}},
		"no file":      {options: func(o *Options) { o.TLS, o.TLSCert = TLSFiles, "nowhere" }, want: []string{"server_certificate_unreadable"}},
		"unsigned":     {options: func(o *Options) { o.SigningCert = "" }, want: []string{"profiles_unsigned"}},
		"CA ends":      {prepare: func(t *testing.T, s *storage.Store) { storeCA(t, s, now.AddDate(-10, 0, 20)) }, want: []string{"ca_expiring"}},
		"CA ended":     {prepare: func(t *testing.T, s *storage.Store) { storeCA(t, s, now.AddDate(-11, 0, 0)) }, want: []string{"ca_expired"}},
		"CA is good":   {prepare: func(t *testing.T, s *storage.Store) { storeCA(t, s, now) }},
		"enforced":     {prepare: func(t *testing.T, s *storage.Store) { restrict(t, s, enroll.ModeEnforce) }, without: "restriction_off"},
		"audited":      {prepare: func(t *testing.T, s *storage.Store) { restrict(t, s, enroll.ModeAudit) }, want: []string{"restriction_audit"}, without: "restriction_off"},
		"terms": {prepare: func(t *testing.T, s *storage.Store) {
			account := dep.Account{ID: enroll.NewID(), Name: "Berlin", CreatedAt: now, UpdatedAt: now}
			if err := s.CreateAccount(t.Context(), account, []byte("key")); err != nil {
				t.Fatal(err)
			}
			if _, err := s.PutToken(t.Context(), account.ID, cloud.Token{ExpiresAt: now.AddDate(1, 0, 0)}, cloud.Account{ServerUUID: "u"}, "", false, now); err != nil {
				t.Fatal(err)
			}
			fail(t, s, dep.Problem{Code: "dep_t_c_not_signed", Text: "Terms.", Hint: "Accept them.", Since: now})
		}, want: []string{"dep_terms_not_accepted"}},
		"a push that does not leave": {prepare: func(t *testing.T, s *storage.Store) {
			d, _, err := s.ChangeDevice(t.Context(), "AAA", nil, func(*enroll.Device, string) (enroll.Device, error) {
				return enroll.Device{ID: enroll.NewID(), State: enroll.StatePreEnrolled, Platform: enroll.PlatformIOS}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			e, err := s.Authenticate(t.Context(), mdm.Authentication{DeviceID: d.ID, UDID: "u", Fingerprint: "f", At: now})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.PushDue(t.Context(), e.ID, now.Add(-stuckAfter-time.Second)); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"pushes_stuck"}},
		"webhooks": {prepare: func(t *testing.T, s *storage.Store) {
			for i, change := range []func(*webhook.Webhook){
				func(*webhook.Webhook) {},
				func(w *webhook.Webhook) { w.Failures, w.FailingSince = 9, now.Add(-time.Hour) },
				func(w *webhook.Webhook) { w.DisabledAt, w.DisabledReason = now, "failing" },
				func(w *webhook.Webhook) { w.DisabledAt = now }, // by an admin
			} {
				w := webhook.Webhook{ID: enroll.NewID(), URL: "https://hooks.example.com/" + string(rune('a'+i)), Secret: "s", CreatedAt: now}
				if err := s.CreateWebhook(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				if _, err := s.ChangeWebhook(t.Context(), w.ID, func(w webhook.Webhook) (webhook.Webhook, error) { change(&w); return w, nil }); err != nil {
					t.Fatal(err)
				}
			}
		}, want: []string{"webhook_failing", "webhook_disabled"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			o := good
			if test.options != nil {
				test.options(&o)
			}
			if test.prepare != nil {
				test.prepare(t, s)
			}
			var got []string
			for _, f := range Examine(t.Context(), o, s, now) {
				if (f.Level == admin.LevelOK) != (f.Code == "") || (f.Level == admin.LevelOK) != (f.Fix == "") || !strings.HasSuffix(f.Text, ".") && f.Level != admin.LevelOK {
					t.Errorf("%+v", f)
				}
				if f.Code != "" {
					got = append(got, f.Code)
				}
			}
			want := append(slices.DeleteFunc(slices.Clone(usual), func(c string) bool { return c == test.without }), test.want...)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func restrict(t *testing.T, s *storage.Store, mode enroll.Mode) {
	t.Helper()
	if _, err := enroll.NewRestrictions(s, s, time.Now).ChangeSettings(t.Context(), func(set *enroll.Settings) { set.PreEnrolledDevicesOnly = mode }); err != nil {
		t.Fatal(err)
	}
}

// storeCA stores a CA that was made at a time, which is good for ten years.
func storeCA(t *testing.T, s *storage.Store, made time.Time) {
	t.Helper()
	ca, err := certs.CreateAuthority("CA", made)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(storedCA{ca.Certificate().Raw, ca.KeyDER()})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateSecret(t.Context(), caSecret, raw); err != nil {
		t.Fatal(err)
	}
}

// fail lets the synchronisation of the account that is due fail.
func fail(t *testing.T, s *storage.Store, p dep.Problem) {
	t.Helper()
	account, ok, err := s.ClaimAccount(t.Context(), "worker", p.Since, time.Minute)
	if err != nil || !ok {
		t.Fatalf("no account is due: %v", err)
	}
	if err := s.FinishRun(t.Context(), dep.Lease{AccountID: account.ID, Worker: "worker"}, dep.Run{At: p.Since, Problem: &p}); err != nil {
		t.Fatal(err)
	}
}
