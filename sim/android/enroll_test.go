package android

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/sim/androidpki"
)

func TestEnroll(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(func(c *Config) { c.PushID = "fid-1" })
	if !p.Enrolled() || p.DeviceID() != a.id || p.PollSeconds() != 900 || p.Organization() != "ACME" || p.Timings().EnrolledAt.IsZero() {
		t.Errorf("after enrolling: %q, %d, %q", p.DeviceID(), p.PollSeconds(), p.Organization())
	}
	if !p.Key().PublicKey.Equal(a.key) {
		t.Error("the server has another key")
	}
	m := s.enrolls[0]
	delete(m, "nonce")
	delete(m, "public_key")
	if diff := cmp.Diff(map[string]any{"v": 1., "token": "token",
		"device": map[string]any{"serial": "R58N12ABCDE", "imei": "490154203237518", "imei2": "", "meid": "", "manufacturer": "samsung", "brand": "samsung",
			"model": "SM-A536B", "os_version": "14", "api_level": 34., "security_patch": "2026-10-01", "management": "fully_managed", "enterprise_specific_id": ""},
		"agent": map[string]any{"package": "org.example.agent", "version": "1.4.0"}, "push": map[string]any{"kind": "fcm", "id": "fid-1"}}, m); diff != "" {
		t.Error(diff)
	}
}

func TestScan(t *testing.T) {
	s := newServer(t)
	p := s.phone(func(c *Config) { c.Server = "" })
	for _, bad := range []string{"", "{}", `{"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME":"a/.B"}`,
		`{"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME":"a/.B","android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE":{"rollcall.server":"` + s.url + `"}}`} {
		if err := p.Scan(t.Context(), bad); !isProtocol(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := p.Scan(t.Context(), `{"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME":"org.example.agent/.Receiver",
		"android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE":{"rollcall.server":"`+s.url+`","rollcall.token":"token"}}`); err != nil || !p.Enrolled() {
		t.Error(err)
	}
}

func isProtocol(err error) bool {
	var p *ProtocolError
	return errors.As(err, &p)
}

// The phone attests with the nonce it was given, for the key it enrolls with.
func TestAttestation(t *testing.T) {
	pki, err := androidpki.New()
	if err != nil {
		t.Fatal(err)
	}
	box, err := pki.Factory(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	p, a := s.enrolled(func(c *Config) { c.Keybox = box })
	chain := s.enrolls[0]["attestation"].([]any)
	der, err := base64.StdEncoding.DecodeString(chain[0].(string))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil || !a.key.Equal(leaf.PublicKey) {
		t.Fatalf("%v, or another key", err)
	}
	last := leaf.Extensions[len(leaf.Extensions)-1].Value
	if len(chain) != 4 || !bytes.Contains(last, []byte(s.enrolls[0]["nonce"].(string))) || !bytes.Contains(last, []byte(p.Serial())) {
		t.Errorf("%d certificates; nonce or serial are not in %x", len(chain), last)
	}
}

// The answer to an enrollment is lost: the phone comes again with the same key
// and token, and is the same device.
func TestLostAnswerOfEnroll(t *testing.T) {
	s := newServer(t)
	p := s.phone(nil)
	p.Lose("enroll", 1)
	if err := p.Enroll(t.Context(), "token"); !errors.Is(err, ErrConnectionLost) || p.Enrolled() {
		t.Fatal(err)
	}
	if err := p.Enroll(t.Context(), "token"); err != nil || p.DeviceID() != "device-0" || len(s.devices) != 1 {
		t.Errorf("%v, %q of %d devices", err, p.DeviceID(), len(s.devices))
	}
}

func TestRefusals(t *testing.T) {
	s := newServer(t)
	s.enrolled(nil)
	for _, tt := range []struct {
		token, code string
	}{{"token", "token_used"}, {"nonsense", "token_unknown"}} {
		var refused *RefusedError
		if err := s.phone(nil).Enroll(t.Context(), tt.token); !errors.As(err, &refused) || refused.Status != 410 || refused.Code != tt.code || refused.Message == "" {
			t.Errorf("%s: %v", tt.token, err)
		}
	}
	s.say("enroll", 403, `{"v":1,"action":"none","code":"deny.not_pre_enrolled","message":"Not on the list."}`)
	var refused *RefusedError
	if err := s.phone(nil).EnrollUntil(t.Context(), "token"); !errors.As(err, &refused) || refused.Code != "deny.not_pre_enrolled" || refused.Held() {
		t.Errorf("%v", err)
	}
}

// A held device, a server that is down and an old nonce are tried again.
func TestEnrollUntil(t *testing.T) {
	s := newServer(t)
	var slept []time.Duration
	p := s.phone(func(c *Config) {
		c.Sleep = func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
	})
	s.say("enroll", 202, `{"v":1,"action":"retry","retry_after":300,"code":"hold.pending_approval","message":"Wait."}`)
	s.say("enroll", 500, `{"v":1,"action":"retry","code":"internal","message":"Our fault."}`)
	s.say("enroll", 429, `{"v":1,"action":"retry","code":"too_many","message":"Slowly."}`, "Retry-After", "7")
	s.say("enroll", 400, `{"v":1,"action":"retry","code":"nonce_invalid","message":"Too old."}`)
	s.say("enroll", 409, `{"v":1,"action":"retry","code":"nonce_used","message":"Used."}`)
	if err := p.EnrollUntil(t.Context(), "token"); err != nil {
		t.Fatal(err)
	}
	if len(slept) != 3 || slept[0] != 300*time.Second || slept[1] < time.Second || slept[1] > 2*time.Second || slept[2] != 7*time.Second {
		t.Errorf("slept %v", slept)
	}
	if s.asked["nonce"] != 6 {
		t.Errorf("%d nonces for 6 attempts", s.asked["nonce"])
	}
}

// Whatever the server answers, the phone reports it and stays as it is.
func TestStrictAboutEnroll(t *testing.T) {
	good := map[string]string{"device_id": `"d"`, "checkin_url": `"https://a/c"`, "wait_url": `"https://a/w"`, "poll_seconds": "900", "organization": `"ACME"`}
	with := func(name, value string) string {
		body := `{"v":1,"action":"none"`
		for k, v := range good {
			if k == name {
				v = value
			}
			if v != "" {
				body += `,"` + k + `":` + v
			}
		}
		return body + "}"
	}
	nonce := `"nonce":"` + string(bytes.Repeat([]byte("n"), 43)) + `"`
	s := newServer(t)
	for _, tt := range []struct {
		name, step string
		status     int
		body       string
		header     []string
	}{
		{"content type", "enroll", 201, with("", ""), []string{"Content-Type", "text/html"}},
		{"no content type", "enroll", 201, with("", ""), []string{"Content-Type", ""}},
		{"character set", "enroll", 201, with("", ""), []string{"Content-Type", "application/json; charset=latin1"}},
		{"no object", "enroll", 201, `[]`, nil},
		{"null", "enroll", 201, `null`, nil},
		{"two objects", "enroll", 201, with("", "") + "{}", nil},
		{"no version", "enroll", 201, `{"action":"none"}`, nil},
		{"version 2", "enroll", 201, `{"v":2,"action":"none"}`, nil},
		{"version as text", "enroll", 201, `{"v":"1","action":"none"}`, nil},
		{"unknown action", "enroll", 201, `{"v":1,"action":"leave"}`, nil},
		{"no action", "enroll", 403, `{"v":1,"code":"deny.x","message":"m"}`, nil},
		{"no device id", "enroll", 201, with("device_id", ""), nil},
		{"device id as number", "enroll", 201, with("device_id", "7"), nil},
		{"relative URL", "enroll", 201, with("checkin_url", `"/c"`), nil},
		{"no wait URL", "enroll", 200, with("wait_url", ""), nil},
		{"no poll_seconds", "enroll", 201, with("poll_seconds", ""), nil},
		{"poll_seconds with a point", "enroll", 201, with("poll_seconds", "900.5"), nil},
		{"organization as number", "enroll", 201, with("organization", "1"), nil},
		{"401", "enroll", 401, `{"v":1,"action":"none","code":"x","message":"m"}`, nil},
		{"204", "enroll", 204, ``, nil},
		{"404", "enroll", 404, `{"v":1,"action":"none","code":"x","message":"m"}`, nil},
		{"refusal without code", "enroll", 403, `{"v":1,"action":"none","message":"m"}`, nil},
		{"refusal without message", "enroll", 410, `{"v":1,"action":"none","code":"token_used"}`, nil},
		{"refusal that unenrolls", "enroll", 403, `{"v":1,"action":"unenroll","code":"deny.x","message":"m"}`, nil},
		{"5xx that is final", "enroll", 503, `{"v":1,"action":"none","code":"x","message":"m"}`, nil},
		{"429 without Retry-After", "enroll", 429, `{"v":1,"action":"retry","code":"x","message":"m"}`, nil},
		{"hold with words for a time", "enroll", 202, `{"v":1,"action":"retry","retry_after":"soon","code":"hold.x","message":"m"}`, nil},
		{"redirect", "enroll", 302, `{"v":1,"action":"none","code":"x","message":"m"}`, []string{"Location", "/elsewhere"}},
		{"short nonce", "nonce", 200, `{"v":1,"action":"none","nonce":"abc","expires_at":"2026-11-22T12:05:00Z"}`, nil},
		{"nonce without end", "nonce", 200, `{"v":1,"action":"none",` + nonce + `}`, nil},
		{"nonce that ends soon", "nonce", 200, `{"v":1,"action":"none",` + nonce + `,"expires_at":"soon"}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := s.phone(nil)
			s.say(tt.step, tt.status, tt.body, tt.header...)
			if err := p.Enroll(t.Context(), "token"); !isProtocol(err) || p.Enrolled() {
				t.Errorf("%v, enrolled %v", err, p.Enrolled())
			}
		})
	}
}

// Tamper lies before the signature, Alter breaks it.
func TestLies(t *testing.T) {
	s := newServer(t)
	liar := s.phone(func(c *Config) {
		c.Tamper = func(_ string, m map[string]any) { m["device"].(map[string]any)["serial"] = "STOLEN" }
	})
	if err := liar.Enroll(t.Context(), "token"); err != nil || s.enrolls[0]["device"].(map[string]any)["serial"] != "STOLEN" {
		t.Errorf("%v, %v", err, s.enrolls)
	}
	s.tokens["other"] = ""
	broken := s.phone(func(c *Config) { c.Alter = func(_ string, r *http.Request) { r.Header.Del("Rollcall-Signature") } })
	var refused *RefusedError
	if err := broken.Enroll(t.Context(), "other"); !errors.As(err, &refused) || refused.Code != "signature_invalid" {
		t.Errorf("without signature: %v", err)
	}
}

func TestRepeat(t *testing.T) {
	s := newServer(t)
	p, a := s.enrolled(nil)
	if status, code, err := p.Repeat(t.Context()); err != nil || status != 409 || code != "nonce_used" {
		t.Errorf("enroll again: %d %s %v", status, code, err)
	}
	if err := p.CheckIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, code, err := p.Repeat(t.Context()); err != nil || status != 409 || code != "counter_used" || a.counter == 0 {
		t.Errorf("check-in again: %d %s %v", status, code, err)
	}
}
