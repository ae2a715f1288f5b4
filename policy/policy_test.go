package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// good is a policy without fault.
func good() Policy {
	return Policy{Name: "Wi-Fi", Document: document.Document{DeviceName: "ipad-{serial}", WiFi: []document.WiFi{{SSID: "corp", Security: "wpa2", Password: "correct horse"}}}}
}

func TestPolicyCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Policy)
		code   string // empty: good
	}{
		{"as it is", func(*Policy) {}, ""},
		{"nothing in it", func(p *Policy) { p.Document = document.Document{} }, ""},
		{"longest name", func(p *Policy) { p.Name = strings.Repeat("n", enroll.MaxName) }, ""},
		{"highest priority", func(p *Policy) { p.Priority = MaxPriority }, ""},
		{"lowest priority", func(p *Policy) { p.Priority = -MaxPriority }, ""},

		{"no name", func(p *Policy) { p.Name = "" }, "policy_name"},
		{"blank name", func(p *Policy) { p.Name = " \t" }, "policy_name"},
		{"name too long", func(p *Policy) { p.Name = strings.Repeat("n", enroll.MaxName+1) }, "policy_name"},
		{"control character in the name", func(p *Policy) { p.Name = "a\x00" }, "text"},
		{"priority too high", func(p *Policy) { p.Priority = MaxPriority + 1 }, "policy_priority"},
		{"priority too low", func(p *Policy) { p.Priority = -MaxPriority - 1 }, "policy_priority"},
		{"a payload that would replace the enrollment", func(p *Policy) {
			p.Document.Apple = &document.Apple{Profiles: []document.Profile{{ID: "m", Payloads: []document.Payload{{Type: "com.apple.mdm"}}}}}
		}, "payload_forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := good()
			c.change(&p)
			err := p.Check()
			var e *enroll.Error
			switch errors.As(err, &e); {
			case c.code == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.code != "" && (e == nil || e.Code != c.code || e.Kind != enroll.KindInvalid):
				t.Errorf("error %v, want %s", err, c.code)
			}
		})
	}
}

func TestSources(t *testing.T) {
	p := good()
	p.ID, p.Version, p.Priority = "P", 3, 7
	want := []document.Source{{PolicyID: "P", Policy: "Wi-Fi", Version: 3, Priority: 7, Via: "group:Sales", Document: p.Document}}
	if diff := cmp.Diff(want, Sources([]Bound{{p, "group:Sales"}})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTargetCheck(t *testing.T) {
	for _, c := range []struct {
		target Target
		good   bool
	}{
		{Target{Group: "g"}, true},
		{Target{Serial: "S"}, true},
		{Target{User: "a@example.com", Domain: "local"}, true},
		{Target{}, false},
		{Target{User: "a@example.com"}, false},
		{Target{Group: "g", Domain: "local"}, false},
		{Target{Group: "g", Serial: "S"}, false},
		{Target{Serial: "S", User: "a@example.com", Domain: "local"}, false},
	} {
		if err := c.target.Check(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.target, err)
		}
	}
}
