package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/enroll"
)

func TestAddress(t *testing.T) {
	for _, test := range []struct {
		token      string
		unverified bool
		want       string
	}{
		{`{"email":" Ann@Example.com","email_verified":true}`, false, "ann@example.com"},
		{`{"email":"ann@example.com","email_verified":"true"}`, false, "ann@example.com"},
		{`{"email":"ann@example.com"}`, false, ""},
		{`{"email":"ann@example.com","email_verified":null}`, false, ""},
		{`{"email":"ann@example.com","email_verified":1}`, true, ""},
		{`{"email":"ann@example.com"}`, true, "ann@example.com"},
		{`{"email":"ann@example.com","email_verified":false}`, true, ""},
		{`{"email":"ann@example.com","email_verified":"false"}`, true, ""},
		{`{"email":" ","email_verified":true}`, true, ""},
	} {
		var c claims
		if err := json.Unmarshal([]byte(test.token), &c); err != nil {
			t.Fatal(err)
		}
		got, err := c.address(test.unverified)
		if got != test.want || (err == nil) != (test.want != "") || err != nil && enroll.KindOf(err) != enroll.KindForbidden {
			t.Errorf("%s, unverified %v: %q, %v", test.token, test.unverified, got, err)
		}
	}
}

// stuck is a provider that does not answer until it is let go.
type stuck struct {
	asked atomic.Int64
	begun chan struct{}
	free  chan struct{}
}

func (s *stuck) RoundTrip(*http.Request) (*http.Response, error) {
	s.asked.Add(1)
	s.begun <- struct{}{}
	<-s.free
	return nil, errors.New("no route")
}

// TestOutage: a provider that does not answer is asked once at a time, nobody
// waits longer than they want to, and after a failure nobody waits for a while.
func TestOutage(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	provider := &stuck{begun: make(chan struct{}, 1), free: make(chan struct{})}
	o := &OIDC{Issuer: "https://login.example.com", Now: func() time.Time { return now }, Transport: provider}
	first := make(chan error, 1)
	go func() {
		_, _, err := o.discover(context.Background())
		first <- err
	}()
	<-provider.begun
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := o.discover(gone); !errors.Is(err, context.Canceled) || enroll.KindOf(err) != enroll.KindUnavailable {
		t.Errorf("who does not want to wait: %v", err)
	}
	close(provider.free)
	if err := <-first; enroll.KindOf(err) != enroll.KindUnavailable {
		t.Errorf("the first: %v", err)
	}
	if _, _, err := o.discover(context.Background()); enroll.KindOf(err) != enroll.KindUnavailable || provider.asked.Load() != 1 {
		t.Errorf("at once: %v, asked %d times", err, provider.asked.Load())
	}
	now = now.Add(providerPause)
	if _, _, err := o.discover(context.Background()); err == nil || provider.asked.Load() != 2 {
		t.Errorf("later: %v, asked %d times", err, provider.asked.Load())
	}
}
