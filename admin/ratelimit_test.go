package admin

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	l := NewLimiter(RateLimit{PerSecond: 2, Burst: 3})
	l.now = func() time.Time { return now }
	for i := range 3 {
		if wait := l.Take("a"); wait != 0 {
			t.Errorf("number %d of the burst waits %v", i, wait)
		}
	}
	if wait := l.Take("a"); wait != 500*time.Millisecond {
		t.Errorf("one more waits %v", wait)
	}
	if wait := l.Take("b"); wait != 0 {
		t.Errorf("somebody else waits %v", wait)
	}
	now = now.Add(500 * time.Millisecond)
	if wait := l.Take("a"); wait != 0 {
		t.Errorf("after the wait it is %v", wait)
	}
	if wait := l.Take("a"); wait == 0 {
		t.Error("two passed after a wait for one")
	}
	now = now.Add(time.Hour)
	for range 3 {
		l.Take("a")
	}
	if wait := l.Take("a"); wait == 0 {
		t.Error("an hour filled more than the burst")
	}
	free := NewLimiter(RateLimit{})
	for range 1000 {
		if free.Take("a") != 0 {
			t.Fatal("no limit is one")
		}
	}
}

// TestLimiterMemory lets more addresses come than are remembered.
func TestLimiterMemory(t *testing.T) {
	now := time.Now()
	l := NewLimiter(RateLimit{PerSecond: 1, Burst: 2})
	l.now = func() time.Time { return now }
	for i := range 3 * maxBuckets {
		l.Take(fmt.Sprint(i))
		if len(l.buckets) > maxBuckets {
			t.Fatalf("%d buckets", len(l.buckets))
		}
	}
	now = now.Add(time.Minute)
	l.Take("new")
	l.Take("new")
	for i := range maxBuckets {
		l.Take(fmt.Sprint("again", i))
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
}

func TestRemoteClient(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4711":              "192.0.2.7",
		"[::ffff:192.0.2.7]:4711":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:4711": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:4711":         "fe80::/64",
		"@":                           "@",
	} {
		if got := RemoteClient(remote); got != want {
			t.Errorf("%s: %q, want %q", remote, got, want)
		}
	}
}

// TestRateLimit asks too often: with a token, with none, and from elsewhere.
func TestRateLimit(t *testing.T) {
	a, secrets := brokenAPI(t)
	a.Limit, a.FailureLimit = RateLimit{PerSecond: 0.001, Burst: 2}, RateLimit{PerSecond: 0.001, Burst: 2}
	h := a.Handler()
	ask := func(secret, remote string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", Prefix+"/imports/sample.csv", nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const here, there = "192.0.2.7:1", "192.0.2.8:1"
	for i, step := range []struct {
		secret, remote string
		status         int
	}{
		{"wrong", here, 401}, {"wrong", here, 401}, {"wrong", here, 429}, {"", here, 429},
		{"wrong", there, 401},
		{secrets[RoleViewer], here, 200}, {secrets[RoleViewer], there, 200}, {secrets[RoleViewer], here, 429},
		{secrets[RoleAdmin], here, 200},
	} {
		w := ask(step.secret, step.remote)
		if w.Code != step.status {
			t.Errorf("step %d: %d %s, want %d", i, w.Code, w.Body, step.status)
		}
		if after, err := strconv.Atoi(w.Header().Get("Retry-After")); (step.status == 429) != (err == nil && after >= 1) {
			t.Errorf("step %d: Retry-After is %q", i, w.Header().Get("Retry-After"))
		}
	}
}
