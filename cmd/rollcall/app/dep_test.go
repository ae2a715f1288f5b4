package app

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/dep"
	"rollcall/dep/cloud"
	"rollcall/enroll"
)

// TestDEPTokensThatEnd: doctor says so from 30 days before, and the upkeep tells
// of it once a day.
func TestDEPTokensThatEnd(t *testing.T) {
	dir := t.TempDir()
	store, err := OpenStore(t.Context(), Options{DataDir: dir, Database: "sqlite:" + filepath.Join(dir, "x.db"), SealKeyFile: filepath.Join(dir, "key"), LogLevel: "error"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for i, days := range []int{-1, 10, 200, 0} {
		a := dep.Account{ID: enroll.NewID(), Name: []string{"Ended", "Ending", "Good", "New"}[i], CreatedAt: now, UpdatedAt: now}
		if err := store.CreateAccount(t.Context(), a, []byte("key")); err != nil {
			t.Fatal(err)
		}
		if a.Name == "New" {
			continue // has no token yet
		}
		if _, err := store.PutToken(t.Context(), a.ID, cloud.Token{ExpiresAt: now.AddDate(0, 0, days)}, cloud.Account{ServerUUID: a.Name}, "", false, now.AddDate(-1, 0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	var fs findings
	examineDEP(t.Context(), store, now, &fs)
	for _, f := range fs {
		for _, name := range []string{"Ended", "Ending", "Good", "New"} {
			if strings.Contains(f.Text, `"`+name+`"`) {
				got[name] = string(f.Level) + " " + f.Code + " " + f.Link + ": " + f.Text
			}
		}
	}
	for name, want := range map[string]string{"Ended": "warn dep_token_expired /api/v1/dep/accounts/Ended: The server token of the DEP account \"Ended\" has expired.",
		"Ending": "warn dep_token_expiring /api/v1/dep/accounts/Ending: The server token of the DEP account \"Ending\" ends in 10 days.",
		"Good":   "ok  : The DEP account \"Good\" is up to date; its server token is good for 200 days.",
		"New":    "warn dep_token_missing /api/v1/dep/accounts/New: The DEP account \"New\" has no server token."} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	a := &App{store: store, log: slog.New(slog.DiscardHandler)}
	for range 2 {
		a.warnDEP(t.Context(), now.Truncate(24*time.Hour), now)
	}
	if _, _, err := store.Publish(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	events, _, err := store.Events(t.Context(), 0, []string{"dep_account.expiring"}, 10)
	if err != nil || len(events) != 2 {
		t.Errorf("%d events, want one for each of two accounts, once: %v", len(events), err)
	}
}
