package policy

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// TestAndroidPolicyWithoutMissingVariables: what needs a value that the device
// does not have is left out, and nothing else.
func TestAndroidPolicyWithoutMissingVariables(t *testing.T) {
	app := func(name, user string) document.App {
		return document.App{Name: name, Package: "org." + name, Configuration: document.Dict{"user": user, "more": "{imei}"}}
	}
	d := document.Document{DeviceName: "{user.name}", LockMessage: "Property of {organization}", Apps: &document.Apps{
		Required: []document.App{app("a", "{user.email}"), app("b", "fixed"), app("c", "{user.email}"), app("d", "{serial}")}}}
	device := enroll.Device{Serial: "S1", Platform: enroll.PlatformAndroid, Facts: enroll.Facts{IMEI: "49", Extra: map[string]string{APILevelFact: "34", ManagementFact: "fully_managed"}}}
	target := TargetOf(device, false)
	target.Agent = true
	if target.APILevel != 34 || target.Management != document.FullyManaged {
		t.Fatalf("target %+v", target)
	}
	desire := NewPlanner().Desire([]Bound{{Policy: Policy{ID: "p", Name: "p", Document: d}}}, target, VariablesOf(device, Person{}, "Acme"), "")
	if len(desire.Items) != 1 || desire.Items[0].Key != "policy" || desire.Items[0].Blocked != "" {
		t.Fatalf("items %+v", desire.Items)
	}
	got := desire.Items[0].Step.(SetAgentPolicy).Policy
	var names []string
	for _, a := range got.Apps.Required {
		names = append(names, a.Name)
	}
	if diff := cmp.Diff([]string{"b", "d"}, names); diff != "" || got.DeviceName != "" || got.LockMessage != "Property of Acme" || got.Apps.Required[1].Configuration["user"] != "S1" {
		t.Errorf("%+v\n%s", got, diff)
	}
	missing := 0
	for _, n := range desire.Notes {
		if n.Code == codeMissing {
			missing++
		}
	}
	if missing != 3 {
		t.Errorf("%d notes of missing variables: %+v", missing, desire.Notes)
	}
	target.Agent = false
	other := NewPlanner().Desire([]Bound{{Policy: Policy{ID: "p", Name: "p", Document: d}}}, target, VariablesOf(device, Person{}, "Acme"), "")
	if step, ok := other.Items[0].Step.(SetPolicy); !ok || step.Name == "" || step.Policy["playStoreMode"] != "BLACKLIST" {
		t.Errorf("for Google: %+v", other.Items)
	}
}

// TestEncoderOfTheProtocol: each enrollment's commands are of its protocol.
func TestEncoderOfTheProtocol(t *testing.T) {
	s := Situation{EnrollmentID: "e", Protocol: ProtocolAgent, Device: enroll.Device{Platform: enroll.PlatformAndroid}}
	c, err := NewDeliverer(nil, nil, Options{Encoders: map[Protocol]Encoder{ProtocolAgent: typeEncoder{}}}).plan(t.Context(), NewPlanner(), Due{}, s, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, cmd := range c.Commands {
		types = append(types, cmd.RequestType)
	}
	if diff := cmp.Diff([]string{"QueryDevice", "SetAgentPolicy"}, types); diff != "" {
		t.Error(diff)
	}
	if _, err := NewDeliverer(nil, nil, Options{}).plan(t.Context(), NewPlanner(), Due{}, s, time.Now()); err == nil {
		t.Error("a protocol without an encoder is planned")
	}
}

type typeEncoder struct{}

func (typeEncoder) Encode(_ context.Context, _ string, s Step) (string, []byte, error) {
	switch s.(type) {
	case QueryDevice:
		return "QueryDevice", nil, nil
	case SetAgentPolicy:
		return "SetAgentPolicy", nil, nil
	}
	return "another", nil, nil
}

func (typeEncoder) Inventory(string, []byte) (map[string]bool, error) { return nil, nil }
