package dep

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestReplies(t *testing.T) {
	c, _ := start(t, Options{}, 0)
	c.login()
	date := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	for _, tt := range []struct {
		name       string
		fault      Fault
		status     int
		body       string
		retryAfter string
	}{
		{"busy, seconds", Busy(429, "7"), 429, "", "7"},
		{"busy, date", Busy(503, date), 503, "", date},
		{"code", Refuse(400, "EXHAUSTED_CURSOR"), 400, "EXHAUSTED_CURSOR", ""},
		{"HTML", HTML(200), 200, "<!DOCTYPE html>", ""},
		{"empty", Fault{Kind: Reply}, 200, "", ""},
	} {
		c.cloud.Spoil(tt.fault.On("GET /account", 1))
		if out := c.call("POST", "/server/devices", map[string]any{}); out.status != 200 {
			t.Errorf("%s: another call is spoiled: %d", tt.name, out.status)
		}
		out := c.call("GET", "/account", nil)
		if out.status != tt.status || !strings.HasPrefix(string(out.body), tt.body) || tt.body == "" && len(out.body) != 0 || out.header.Get("Retry-After") != tt.retryAfter {
			t.Errorf("%s: %d %q, retry after %q", tt.name, out.status, out.body, out.header.Get("Retry-After"))
		}
		if out := c.call("GET", "/account", nil); out.status != 200 {
			t.Errorf("%s: the next call is %d", tt.name, out.status)
		}
	}
	c.cloud.Spoil(Busy(503, ""))
	for range 3 {
		if out := c.call("GET", "/account", nil); out.status != 503 {
			t.Errorf("without a number: %d", out.status)
		}
	}
	c.cloud.Heal()
	if out := c.call("GET", "/account", nil); out.status != 200 {
		t.Errorf("healed: %d", out.status)
	}
	if n := c.cloud.Calls()["GET /account"]; n != 14 {
		t.Errorf("%d calls are counted", n)
	}
}

func TestFaultOfOneAccount(t *testing.T) {
	c, _ := start(t, Options{}, 0)
	a, err := c.cloud.AddAccount("Other")
	if err != nil {
		t.Fatal(err)
	}
	other := newClient(t, c.cloud, a)
	c.login()
	f := Busy(429, "1")
	f.Account = "Other"
	c.cloud.Spoil(f)
	if out := c.call("GET", "/account", nil); out.status != 200 {
		t.Errorf("the good account: %d", out.status)
	}
	if out := other.must(other.sign()); out.status != 429 {
		t.Errorf("the spoiled account: %d", out.status)
	}
}

// What is lost on the way back has happened.
func TestLostAnswers(t *testing.T) {
	for _, kind := range []FaultKind{HalfBody, Lose} {
		c, _ := start(t, Options{}, 1)
		one, profile := c.account.Serials()[0], c.define()
		c.cloud.Spoil(Fault{Kind: kind}.On("POST /profile/devices", 1))
		_, err := c.do(c.request("POST", "/profile/devices", map[string]any{"profile_uuid": profile, "devices": []string{one}}))
		if err == nil {
			t.Errorf("%s: an answer came", kind)
		}
		if d, _ := c.cloud.Device(one); d.ProfileUUID != profile {
			t.Errorf("%s: the assignment is lost as well", kind)
		}
	}
}

func TestDropAndHang(t *testing.T) {
	c, _ := start(t, Options{}, 1)
	one, profile := c.account.Serials()[0], c.define()
	body := map[string]any{"profile_uuid": profile, "devices": []string{one}}
	c.cloud.Spoil(Fault{Kind: Drop, Times: 1}, Fault{Kind: Hang, Times: 1})
	if _, err := c.do(c.request("POST", "/profile/devices", body)); err == nil {
		t.Error("an answer came")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.do(c.request("POST", "/profile/devices", body).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if d, _ := c.cloud.Device(one); d.ProfileUUID != "" {
		t.Error("a call that was not carried out assigned")
	}
}

// A test server that waits for its handlers must not wait for ever.
func TestCloseEndsHangingCalls(t *testing.T) {
	c := New(Options{})
	c.Spoil(Fault{Kind: Hang})
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		c.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/account", nil))
	}()
	select {
	case <-ended:
		t.Error("it does not hang")
	case <-time.After(50 * time.Millisecond):
	}
	c.Close()
	if got := <-ended; got != http.ErrAbortHandler {
		t.Errorf("it ends with %v", got)
	}
}

func TestStuckCursor(t *testing.T) {
	c, _ := start(t, Options{}, 3)
	cursor := c.upToDate()
	c.cloud.Spoil(Fault{Kind: Stuck}.On("POST /devices/sync", 1))
	if p := c.sync(10, cursor); p.Cursor != cursor || !p.MoreToFollow {
		t.Errorf("more %v, same cursor %v", p.MoreToFollow, p.Cursor == cursor)
	}
	if p := c.sync(10, cursor); p.Cursor == cursor || p.MoreToFollow {
		t.Error("still stuck")
	}
}
