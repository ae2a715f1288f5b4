package app

import (
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/android/zerotouch"
)

// TestExamineZeroTouch: what is wrong with the account is found under its code.
func TestExamineZeroTouch(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	store := testStore(t)
	examine := func(want string) {
		t.Helper()
		var fs findings
		examineZeroTouch(t.Context(), store, now, &fs)
		got := "nothing"
		if len(fs) == 1 {
			if got = fs[0].Code; fs[0].Level == admin.LevelOK {
				got = "fine"
			}
		}
		if got != want {
			t.Errorf("%s, want %s: %+v", got, want, fs)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(customer string) {
		t.Helper()
		_, err := store.ChangeZeroTouch(t.Context(), now, func(old *zerotouch.Account) (zerotouch.Account, error) {
			return zerotouch.Account{Address: "mdm@example.iam", Customer: customer, Company: "Example"}, nil
		})
		must(err)
	}
	// run is one run of a worker, which lists a device.
	run := func(at time.Time, serial string, p *zerotouch.Problem) {
		t.Helper()
		must(store.ZeroTouchDue(t.Context(), at))
		if _, ok, err := store.ClaimZeroTouch(t.Context(), "worker", at, time.Minute); err != nil || !ok {
			t.Fatal(ok, err)
		}
		must(store.SaveZeroTouchPage(t.Context(), "worker", []zerotouch.Listed{{Name: "customers/1/devices/1", Serial: serial}}, at))
		must(store.FinishZeroTouch(t.Context(), "worker", zerotouch.Run{At: at, Done: p == nil, Problem: p, DueAt: at.Add(time.Hour)}))
	}
	examine("nothing")
	set("")
	examine("zero_touch_no_customer")
	set("customers/1")
	examine("fine")
	run(now.Add(-25*time.Hour), "A1", nil)
	examine("zero_touch_not_swept")
	run(now.Add(-time.Hour), "A1", &zerotouch.Problem{Code: "zero_touch_terms", Text: "t", Hint: "h", Since: now})
	examine("zero_touch_failing")
	run(now, "", nil)
	examine("zero_touch_without_serial")
}
