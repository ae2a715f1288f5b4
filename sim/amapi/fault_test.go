package amapi

import (
	"net/http"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	b := newBench(t)
	name := b.enrolled(Hardware{Serial: "S1"}).State().Name
	spoil := func(f Fault) {
		t.Helper()
		if err := b.cloud.Spoil(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		fault  Fault
		status string
		words  string
	}{
		{Throttled(), "RESOURCE_EXHAUSTED", "Requests per minute"},
		{NotFound500(), "INTERNAL", "Requested entity was not found."},
		{Internal(), "INTERNAL", "Internal error"},
		{Unavailable(), "UNAVAILABLE", ""},
	} {
		spoil(c.fault.On("enterprises.devices.get", 1))
		b.ok("GET", b.enterprise, nil)
		b.refused("GET", name, nil, c.status, c.words)
		b.ok("GET", name, nil)
	}
	// A command that was carried out, and whose answer is lost.
	for _, kind := range []FaultKind{Lose, HalfBody} {
		spoil(Fault{Kind: kind}.On("enterprises.devices.issueCommand", 1))
		if status, _, err := b.send("POST", name+":issueCommand", object{"type": "LOCK"}); err == nil {
			t.Errorf("%s: %d", kind, status)
		}
		b.wantMessages("COMMAND")
	}
	if ops := list(b.ok("GET", name+"/operations", nil), "operations"); len(ops) != 2 {
		t.Error(ops)
	}
	// One that was not.
	spoil(Fault{Kind: Drop}.On("enterprises.", 1))
	if _, _, err := b.send("POST", name+":issueCommand", object{"type": "LOCK"}); err == nil {
		t.Error("no error")
	}
	b.wantMessages()
	b.client.Timeout = 50 * time.Millisecond
	spoil(Fault{Kind: Hang}.On("", 1))
	if _, _, err := b.send("GET", name, nil); err == nil {
		t.Error("no error")
	}
	spoil(Fault{Kind: Slow, Delay: time.Hour}.On("", 1))
	if _, _, err := b.send("GET", name, nil); err == nil {
		t.Error("no error")
	}
	b.client.Timeout = 30 * time.Second
	spoil(Fault{Kind: Slow, Delay: time.Millisecond}.On("", 1))
	b.ok("GET", name, nil)
	if err := b.cloud.Spoil(Fault{Kind: "explode"}); err == nil {
		t.Error("an unknown kind")
	}
	spoil(Unavailable())
	b.refused("GET", name, nil, "UNAVAILABLE", "")
	b.refused("GET", b.topic, nil, "UNAVAILABLE", "")
	b.cloud.Heal()
	b.ok("GET", name, nil)
	spoil(Unavailable().On("oauth.token", 1))
	if status, _ := b.exchange("x"); status != http.StatusServiceUnavailable {
		t.Error(status)
	}
	spoil(Fault{Kind: Reply, Status: 429, Code: "RESOURCE_EXHAUSTED", RetryAfter: "7"}.On("", 1))
	resp, err := b.client.Get(b.cloud.URL() + "/v1/" + name)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("Retry-After") != "7" {
		t.Error(resp.Header)
	}
	if got := b.cloud.Calls()["enterprises.devices.issueCommand"]; got != 3 {
		t.Error(got)
	}
}
