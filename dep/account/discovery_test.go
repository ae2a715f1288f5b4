package account

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"rollcall/enroll"
)

// directory knows one user, who has no device.
type directory struct{ missed int }

func (*directory) UserByEmail(_ context.Context, domain, email string) (enroll.User, error) {
	if domain == "local" && email == "ann@example.com" {
		return enroll.User{ID: "ann", Email: email}, nil
	}
	return enroll.User{}, enroll.Errorf(enroll.KindNotFound, "user_unknown", "there is no such user")
}

func (*directory) User(context.Context, string) (enroll.User, error) { return enroll.User{}, nil }

func (*directory) Devices(context.Context, enroll.DeviceFilter, enroll.Page) ([]enroll.Device, error) {
	return nil, nil
}

func (*directory) DeviceByID(context.Context, string) (enroll.Device, error) {
	return enroll.Device{}, nil
}

func (d *directory) TooMany(_ context.Context, _ string, tries int, _ time.Duration, _ time.Time) (bool, error) {
	return d.missed >= tries, nil
}

func (d *directory) Missed(context.Context, string, time.Duration, time.Time) error {
	d.missed++
	return nil
}

// Who asks about many users that do not exist is told the same of those that do.
func TestDiscoveryDoesNotTellWhoIsAUser(t *testing.T) {
	known := &directory{}
	door := &Door{Roll: known, Misses: known, Domain: "local", BaseURL: "https://mdm.example.com/enroll/account", Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	ask := func(user string) (int, string) {
		w := httptest.NewRecorder()
		door.ServeDiscovery(w, httptest.NewRequest(http.MethodGet, "/.well-known/com.apple.remotemanagement?user-identifier="+user, nil))
		var answer struct{ Code string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return w.Code, answer.Code
	}
	if status, _ := ask("Ann@example.com"); status != http.StatusOK || known.missed != 0 {
		t.Fatalf("a user is answered %d, and counted %d times", status, known.missed)
	}
	for range missTries {
		if status, code := ask("eve@example.com"); status != http.StatusForbidden || code != "com.apple.well-known.failed" {
			t.Fatalf("a stranger is answered %d %s", status, code)
		}
	}
	if status, code := ask("ann@example.com"); status != http.StatusForbidden || code != "com.apple.well-known.failed" {
		t.Errorf("after %d misses a user is answered %d %s", missTries, status, code)
	}
	if known.missed != missTries {
		t.Errorf("%d misses are counted", known.missed)
	}
}
