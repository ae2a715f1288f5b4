package android

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCommands(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(func(c *Config) {
		c.Unknown = []string{"reboot"}
		c.CannotApply = map[string]string{"/restrictions/camera": "no camera", "/wifi/0/ssid": "no radio", "/wifi/7": "never there"}
	})
	policy := map[string]any{"v": 1, "restrictions": map[string]any{"camera": "deny"}, "wifi": []any{map[string]any{"ssid": "Office"}},
		"apps": map[string]any{"required": []any{map[string]any{"package": "com.example.mail"}}, "blocked": []any{map[string]any{"package": "com.example.game"}}}}
	for _, tt := range []struct {
		kind       string
		parameters map[string]any
		status     string
		code       string
		check      func(data map[string]any) bool
	}{
		{"install_app", map[string]any{"package": "com.example.game", "url": s.url + "/app.apk", "sha256": sumOf("an app")}, "acknowledged", "",
			func(d map[string]any) bool { return d["version"] == "1.0" && p.Apps()["com.example.game"] == "1.0" }},
		{"install_app", map[string]any{"package": "x", "url": s.url + "/app.apk", "sha256": sumOf("another app")}, "error", "checksum_mismatch", nil},
		{"install_app", map[string]any{"package": "x", "url": s.url + "/none", "sha256": sumOf("another app")}, "error", "download_failed", nil},
		{"install_app", nil, "error", "invalid_parameters", nil},
		{"set_policy", map[string]any{"policy": policy, "hash": "h1"}, "acknowledged", "", func(d map[string]any) bool {
			_, hash := p.Policy()
			return cmp.Equal(d, map[string]any{"applied": "h1", "not_applied": []any{
				map[string]any{"pointer": "/restrictions/camera", "code": "not_possible", "message": "no camera"},
				map[string]any{"pointer": "/wifi/0/ssid", "code": "not_possible", "message": "no radio"}}}) &&
				hash == "h1" && p.Apps()["com.example.mail"] != "" && p.Apps()["com.example.game"] == ""
		}},
		{"set_policy", map[string]any{"policy": map[string]any{"v": 2}, "hash": "h2"}, "error", "invalid_parameters",
			func(map[string]any) bool { _, hash := p.Policy(); return hash == "h1" }},
		{"set_policy", map[string]any{"policy": "text", "hash": "h2"}, "error", "invalid_parameters", nil},
		{"device_information", nil, "acknowledged", "", func(d map[string]any) bool {
			return d["serial"] == "R58N12ABCDE" && d["battery_level"] == 0.83 && d["passcode_set"] == false && len(d["apps"].([]any)) == 2
		}},
		{"remove_app", map[string]any{"package": "com.example.mail"}, "acknowledged", "", func(map[string]any) bool { return p.Apps()["com.example.mail"] == "" }},
		{"remove_app", map[string]any{"package": "com.example.mail"}, "error", "app_not_found", nil},
		{"lock", map[string]any{"message": "Lost", "phone": "112"}, "acknowledged", "", func(map[string]any) bool { return *p.Locked() == LockScreen{"Lost", "112"} }},
		{"lock", map[string]any{"message": 7}, "error", "invalid_parameters", nil},
		{"lock", map[string]any{"message": nil}, "error", "invalid_parameters", nil},
		{"reset_passcode", map[string]any{"passcode": "123456"}, "acknowledged", "", func(map[string]any) bool { return p.Passcode() == "123456" }},
		{"ring", map[string]any{"seconds": 30, "tune": "of tomorrow"}, "acknowledged", "", func(map[string]any) bool { return p.Done("ring") == 1 }},
		{"ring", map[string]any{"seconds": "long"}, "error", "invalid_parameters", nil},
		{"locate", nil, "acknowledged", "", func(d map[string]any) bool {
			_, err := time.Parse(time.RFC3339, d["at"].(string))
			return err == nil && d["latitude"] != nil
		}},
		{"reboot", nil, "unsupported", "", nil},
		{"make_coffee", nil, "unsupported", "", nil},
	} {
		r := s.run(p, a, tt.kind, tt.parameters)
		code := ""
		if e, ok := r["error"].(map[string]any); ok {
			code = e["code"].(string)
		}
		data, _ := r["data"].(map[string]any)
		if r["status"] != tt.status || code != tt.code || tt.check != nil && !tt.check(data) {
			t.Errorf("%s %v: %v", tt.kind, tt.parameters, r)
		}
	}
	if p.Timings().LastAcknowledgedAt.IsZero() || p.Timings().PolicyAt.IsZero() || p.PollSeconds() != 600 {
		t.Errorf("%+v, poll %d", p.Timings(), p.PollSeconds())
	}
}

func TestReactions(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	if r := react(p, s, a, NotNow); r["status"] != "not_now" {
		t.Errorf("%v", r)
	}
	a.queue = nil
	if r := react(p, s, a, Unsupported); r["status"] != "unsupported" {
		t.Errorf("%v", r)
	}
	if r := react(p, s, a, Fail("no_battery", "It is flat.")); r["status"] != "error" || !cmp.Equal(r["error"], any(map[string]any{"code": "no_battery", "message": "It is flat."})) {
		t.Errorf("%v", r)
	}
	if p.Done("ring") != 0 || len(p.CommandsSeen()) != 3 {
		t.Errorf("rang %d times of %v", p.Done("ring"), p.CommandsSeen())
	}
}

func react(p *Phone, s *fakeServer, a *agent, r Reaction) map[string]any {
	p.OnCommand("ring", func(int) Reaction { return r })
	defer p.OnCommand("ring", nil)
	return s.run(p, a, "ring", nil)
}

// A crash, a lost result and a lost answer: the phone goes on where the server
// believes it to be.
func TestLostConnections(t *testing.T) {
	for _, tt := range []struct {
		name     string
		reaction Reaction
		err      error
		done     int // after the first connection
		finally  int
		results  int
	}{
		{"crash", Crash, ErrCrashed, 0, 1, 1},
		{"result lost", DropResult, ErrConnectionLost, 1, 1, 1},
		{"answer lost", LoseAnswer, ErrConnectionLost, 1, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			p, a := s.enrolled(nil)
			p.OnCommand("ring", func(n int) Reaction {
				if n == 1 {
					return tt.reaction
				}
				return Execute
			})
			s.queue(a, "ring", nil)
			if err := p.CheckIn(t.Context()); !errors.Is(err, tt.err) || p.Done("ring") != tt.done {
				t.Fatalf("%v, rang %d times", err, p.Done("ring"))
			}
			if err := p.CheckIn(t.Context()); err != nil || p.Done("ring") != tt.finally || len(a.results) != tt.results || len(a.queue) != 0 {
				t.Errorf("%v, rang %d times, %d results, %d commands", err, p.Done("ring"), len(a.results), len(a.queue))
			}
		})
	}
}

// not_now keeps a command for later; others go first.
func TestNotNow(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	p.OnCommand("ring", func(n int) Reaction {
		if n == 1 {
			return NotNow
		}
		return Execute
	})
	s.queue(a, "ring", nil)
	s.queue(a, "locate", nil)
	if err := p.CheckIn(t.Context()); !isProtocol(err) {
		t.Errorf("a command again in its own session: %v", err)
	}
	if diff := cmp.Diff([]string{"ring", "locate"}, p.CommandsSeen()); diff != "" {
		t.Error(diff)
	}
	if err := p.CheckIn(t.Context()); err != nil || p.Done("ring") != 1 {
		t.Errorf("%v, rang %d times", err, p.Done("ring"))
	}
}

func TestUnenroll(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	s.run(p, a, "set_policy", map[string]any{"policy": map[string]any{"v": 1}, "hash": "h"})
	s.queue(a, "unenroll", nil)
	if err := p.CheckIn(t.Context()); !errors.Is(err, ErrUnenrolled) || p.Enrolled() || a.results[1]["status"] != "acknowledged" {
		t.Errorf("%v, enrolled %v, %v", err, p.Enrolled(), a.results)
	}
	if document, hash := p.Policy(); document != nil || hash != "" {
		t.Errorf("the policy stays: %s", document)
	}
	if err := p.CheckIn(t.Context()); !errors.Is(err, ErrNotEnrolled) {
		t.Error(err)
	}
}

// reenroll forgets the device id and keeps the policy.
func TestReenroll(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	s.run(p, a, "set_policy", map[string]any{"policy": map[string]any{"v": 1}, "hash": "h"})
	a.ended = "reenroll"
	key := p.Key()
	if err := p.CheckIn(t.Context()); !errors.Is(err, ErrReenroll) || p.Enrolled() {
		t.Fatal(err)
	}
	if _, hash := p.Policy(); hash != "h" {
		t.Error("the policy is gone")
	}
	s.tokens["new"] = ""
	if err := p.Enroll(t.Context(), "new"); err != nil || p.DeviceID() == a.id || p.Key().Equal(key) {
		t.Errorf("%v, %s again", err, p.DeviceID())
	}
}

func TestWipe(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	r := s.run(p, a, "wipe", map[string]any{"external_storage": true, "reason": "lost"})
	if r["status"] != "acknowledged" || p.Enrolled() || p.Key() != nil || p.Done("wipe") != 1 {
		t.Errorf("%v, enrolled %v", r, p.Enrolled())
	}
	s.tokens["new"] = ""
	if err := p.Enroll(t.Context(), "new"); err != nil {
		t.Error(err)
	}
	p.UserReset()
	if p.Enrolled() || p.Key() != nil || p.Done("wipe") != 0 {
		t.Error("something is left after a reset by hand")
	}
}

// Nothing but the action makes an agent leave.
func TestNothingElseMakesItLeave(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	s.queue(a, "ring", nil)
	for _, tt := range []struct {
		status int
		body   string
	}{
		{401, `{"v":1,"action":"none","code":"x","message":"m"}`}, {404, `not found`}, {410, `{"v":1,"action":"none","code":"x","message":"m"}`},
		{403, `{"v":1,"action":"none","code":"x","message":"m"}`}, {500, `{"v":1,"action":"retry","code":"x","message":"m"}`}, {200, `garbage`}, {200, `{"v":1,"action":"go away"}`},
		{200, `{"v":1,"action":"none","command":{"type":"wipe"}}`}, {200, `{"v":1,"action":"none","command":{"id":"1","type":"wipe","parameters":[]}}`},
		{200, `{"v":1,"action":"retry","command":{"id":"1","type":"wipe"}}`}, {200, `{"v":1,"action":"none","command":null}`}, {204, ``},
		{200, `{"v":1,"action":"none","poll_seconds":-1}`}, {409, `{"v":1,"action":"retry","code":"counter_used","message":"m"}`},
	} {
		s.say("checkin", tt.status, tt.body)
		if err := p.CheckIn(t.Context()); err == nil || !p.Enrolled() {
			t.Errorf("%d %s: %v, enrolled %v", tt.status, tt.body, err, p.Enrolled())
		}
	}
	p.SetOffline(true)
	if err := p.CheckIn(t.Context()); !errors.Is(err, ErrOffline) {
		t.Error(err)
	}
	p.SetOffline(false)
	if err := p.CheckIn(t.Context()); err != nil || p.Done("ring") != 1 {
		t.Errorf("%v, rang %d times", err, p.Done("ring"))
	}
}

// A phone whose clock was set back goes on from the counter that the server has.
func TestCounter(t *testing.T) {
	s := newServer(t)
	now := time.UnixMilli(5000)
	p, a := s.enrolled(func(c *Config) { c.Now = func() time.Time { return now } })
	for range 2 {
		if err := p.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if a.counter != 5001 {
		t.Errorf("counter %d", a.counter)
	}
	now = time.UnixMilli(10)
	p.SetCounter(0)
	if err := p.CheckIn(t.Context()); err != nil || a.counter != 5002 {
		t.Errorf("%v, counter %d", err, a.counter)
	}
	a.counter = math.MaxInt64
	if err := p.CheckIn(t.Context()); err == nil {
		t.Error("there is no larger counter")
	}
}

func TestNews(t *testing.T) {
	s := newServer(t)
	p, _ := s.enrolled(nil)
	p.Update("15", 35)
	p.SetPushID("fid-2")
	for range 2 {
		if err := p.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]map[string]any{
		{"v": 1., "results": []any{}, "device": map[string]any{"os_version": "15", "api_level": 35.}, "push": map[string]any{"kind": "fcm", "id": "fid-2"}},
		{"v": 1., "results": []any{}}}, s.checks); diff != "" {
		t.Error(diff)
	}
}

func TestWait(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	if wake, err := p.Wait(t.Context(), time.Second); err != nil || wake {
		t.Errorf("%v, %v", wake, err)
	}
	s.queue(a, "ring", nil)
	if wake, err := p.Wait(t.Context(), 55*time.Second); err != nil || !wake {
		t.Errorf("%v, %v", wake, err)
	}
	for _, body := range []string{`{"v":1,"action":"none"}`, `{"v":1,"action":"none","wake":"yes"}`, `{"v":1,"action":"none","wake":false}`} {
		s.say("wait", 200, body)
		if _, err := p.Wait(t.Context(), time.Second); !isProtocol(err) {
			t.Errorf("%s: %v", body, err)
		}
	}
	s.say("wait", 200, `{"v":1,"action":"unenroll"}`)
	if _, err := p.Wait(t.Context(), time.Second); !errors.Is(err, ErrUnenrolled) || p.Enrolled() {
		t.Error(err)
	}
}

// The agent's life: woken by the server, in spite of a fault, until it is told
// to leave.
func TestRun(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(func(c *Config) { c.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() } })
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	s.queue(a, "ring", nil)
	if err := p.WaitFor(t.Context(), func(p *Phone) bool { return p.Done("ring") == 1 }); err != nil {
		t.Fatal(err)
	}
	s.say("checkin", http.StatusServiceUnavailable, `{"v":1,"action":"retry","code":"unavailable","message":"Soon."}`)
	s.queue(a, "ring", nil)
	if err := p.WaitFor(t.Context(), func(p *Phone) bool { return p.Done("ring") == 2 }); err != nil {
		t.Fatal(err)
	}
	s.queue(a, "unenroll", nil)
	if err := <-ended; !errors.Is(err, ErrUnenrolled) {
		t.Error(err)
	}
}

func sumOf(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
