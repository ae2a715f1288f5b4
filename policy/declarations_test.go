package policy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

func planned() []apple.Declaration {
	return []apple.Declaration{
		{Kind: apple.KindConfiguration, Type: "com.apple.configuration.passcode.settings", Identifier: "rollcall.passcode", Payload: document.Dict{"RequirePasscode": true}},
		{Kind: apple.KindConfiguration, Type: "com.apple.configuration.softwareupdate.settings", Identifier: "rollcall.update", Payload: document.Dict{}},
		{Kind: apple.KindActivation, Type: "com.apple.activation.simple", Identifier: "rollcall.all",
			Payload: document.Dict{"StandardConfigurations": []any{"rollcall.passcode", "rollcall.update"}}},
	}
}

func identifiers(ds []Declaration) (out []string) {
	for _, d := range ds {
		out = append(out, d.Kind+"/"+d.Identifier)
	}
	return out
}

func TestDeclarationsLeaveOutWhatTheDeviceDoesNotKnow(t *testing.T) {
	all, err := Declarations(planned(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"activation/rollcall.all", "configuration/rollcall.passcode", "configuration/rollcall.update"}, identifiers(all)); diff != "" {
		t.Error(diff)
	}
	some, err := Declarations(planned(), map[string]bool{"com.apple.configuration.passcode.settings": true, "com.apple.activation.simple": true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"activation/rollcall.all", "configuration/rollcall.passcode"}, identifiers(some)); diff != "" {
		t.Error(diff)
	}
	var activation struct {
		Type, Identifier, ServerToken string
		Payload                       struct{ StandardConfigurations []string }
	}
	if err := json.Unmarshal(some[0].Body, &activation); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rollcall.passcode"}, activation.Payload.StandardConfigurations); diff != "" {
		t.Error(diff)
	}
	if activation.Type != "com.apple.activation.simple" || activation.Identifier != "rollcall.all" || activation.ServerToken != some[0].ServerToken || len(activation.ServerToken) > 64 {
		t.Errorf("declaration %+v", activation)
	}
	if some[0].ServerToken == all[0].ServerToken {
		t.Error("the activation changed and kept its token")
	}
	if none, _ := Declarations(planned(), map[string]bool{"com.apple.activation.simple": true}); len(none) != 0 {
		t.Errorf("an activation without configurations is left: %v", identifiers(none))
	}
}

func TestDeclarationsTokenFollowsContentAndEnrollment(t *testing.T) {
	a, _ := Declarations(planned(), nil)
	again, _ := Declarations(planned(), nil)
	changed := planned()
	changed[0].Payload = document.Dict{"RequirePasscode": false}
	b, _ := Declarations(changed, nil)
	token := DeclarationsToken("one", a)
	if token != DeclarationsToken("one", again) {
		t.Error("the same declarations have two tokens")
	}
	for what, other := range map[string]string{"content": DeclarationsToken("one", b), "enrollment": DeclarationsToken("two", a), "number": DeclarationsToken("one", a[:2])} {
		if other == token {
			t.Errorf("another %s has the same token", what)
		}
	}
	var items struct {
		Declarations struct {
			Activations, Assets, Configurations, Management []struct{ Identifier, ServerToken string }
		}
		DeclarationsToken string
	}
	if err := json.Unmarshal(DeclarationItems(DeclarationSet{Token: token, Declarations: a}), &items); err != nil {
		t.Fatal(err)
	}
	if d := items.Declarations; items.DeclarationsToken != token || len(d.Activations) != 1 || len(d.Configurations) != 2 || d.Assets == nil || d.Management == nil {
		t.Errorf("items %+v: all four lists are required", items)
	}
	if got := string(SyncTokens(token, time.Date(2026, 1, 2, 4, 4, 5, 6, time.FixedZone("", 3600)))); got != `{"SyncTokens":{"Timestamp":"2026-01-02T03:04:05Z","DeclarationsToken":"`+token+`"}}` {
		t.Error(got)
	}
}

func TestStatusReportsMerge(t *testing.T) {
	var s DeclarativeStatus
	merge := func(report string) {
		t.Helper()
		if err := s.Merge([]byte(report), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(items string) {
		t.Helper()
		var w map[string]any
		if err := json.Unmarshal([]byte(items), &w); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, s.Items); diff != "" {
			t.Error(diff)
		}
	}
	merge(`{"StatusItems":{"device":{"operating-system":{"version":"17.1","build-version":"A"}},"app":{"managed":{"list":[{"identifier":"a","state":"managed"},{"identifier":"b"}]}}}}`)
	merge(`{"StatusItems":{"device":{"operating-system":{"version":"17.2"}},"app":{"managed":{"list":[{"identifier":"b","_removed":true},{"identifier":"a","name":"A"},{"identifier":"c"}]}}},"Errors":[{"StatusItem":"x"}]}`)
	want(`{"device":{"operating-system":{"version":"17.2","build-version":"A"}},"app":{"managed":{"list":[{"identifier":"a","state":"managed","name":"A"},{"identifier":"c"}]}}}`)
	if len(s.Errors) != 1 {
		t.Errorf("errors %v", s.Errors)
	}
	merge(`{"StatusItems":{"x":{"list":["1","2"]}}}`)
	merge(`{"StatusItems":{"x":{"list":["3"]}}}`)
	if diff := cmp.Diff([]any{"3"}, s.at("x", "list")); diff != "" {
		t.Error(diff)
	}
	merge(`{"StatusItems":{"passcode":{"is-present":true}},"FullReport":true}`)
	want(`{"passcode":{"is-present":true}}`)

	deep := ""
	for range 40 {
		deep += `{"a":`
	}
	for range 40 {
		if deep[len(deep)-1] == ':' {
			deep += "1"
		}
		deep += "}"
	}
	for name, report := range map[string]string{"not JSON": `{`, "too deep": `{"StatusItems":` + deep + `}`, "another type": `{"StatusItems":[1]}`} {
		if err := s.Merge([]byte(report), time.Unix(2, 0)); enroll.KindOf(err) != enroll.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	want(`{"passcode":{"is-present":true}}`)
}

func TestStatusTellsOfDeclarations(t *testing.T) {
	var s DeclarativeStatus
	if s.Supported() != nil {
		t.Error("a device that said nothing supports something")
	}
	d := Declaration{Kind: "configuration", Identifier: "p", ServerToken: "t1"}
	if err := s.Merge([]byte(`{"StatusItems":{"management":{"client-capabilities":{"supported-payloads":{"declarations":{"configurations":["c"],"activations":["a"]},"status-items":["s"]}},
		"declarations":{"configurations":[{"identifier":"p","server-token":"t1","active":false,"valid":"invalid","reasons":[{"code":"Error.ConfigurationIsInvalid","description":"no"}]}]}}}}`), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"a": true, "c": true}, s.Supported()); diff != "" {
		t.Error(diff)
	}
	got, ok := s.State(d)
	if diff := cmp.Diff(DeclarationState{ServerToken: "t1", Valid: "invalid", Reasons: []DeclarationReason{{"Error.ConfigurationIsInvalid", "no"}}}, got); !ok || diff != "" {
		t.Error(diff)
	}
	d.ServerToken = "t2"
	if _, ok := s.State(d); ok {
		t.Error("the state of an older version counts")
	}
}
