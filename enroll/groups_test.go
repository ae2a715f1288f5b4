package enroll

import (
	"strings"
	"testing"
	"time"
)

func TestGroupRuleMatches(t *testing.T) {
	device := Device{Serial: "C39XK1ABCD01", Platform: PlatformIOS, Ownership: OwnershipCorporate, State: StatePreEnrolled, AssetTag: "A-17",
		Tags: []string{"Kiosk", "floor 2"}, Sources: map[string]Source{"serial": SourceDEP}, Facts: Facts{Model: "iPhone 16 Pro", Product: "iPhone17,1"}}
	owner := User{Domain: "example.com", Email: "ann@sales.example.com"}
	is := func(f RuleField, values ...string) Condition { return Condition{Field: f, Values: values} }
	not := func(f RuleField, values ...string) Condition { return Condition{Field: f, Not: true, Values: values} }
	for name, c := range map[string]struct {
		match string
		conds []Condition
		want  bool
	}{
		"platform":                      {"", []Condition{is(FieldPlatform, "ios")}, true},
		"one of several values":         {"", []Condition{is(FieldPlatform, "android", "iOS")}, true},
		"none of the values":            {"", []Condition{is(FieldPlatform, "android")}, false},
		"not":                           {"", []Condition{not(FieldPlatform, "android", "apple")}, true},
		"not, but it is":                {"", []Condition{not(FieldPlatform, "ios")}, false},
		"ownership":                     {"", []Condition{is(FieldOwnership, "corporate")}, true},
		"source":                        {"", []Condition{is(FieldSource, "dep")}, true},
		"a serial as it is printed":     {"", []Condition{is(FieldSerial, "c39-xk1*")}, true},
		"one character of a serial":     {"", []Condition{is(FieldSerial, "C39XK1ABCD0?")}, true},
		"a longer serial":               {"", []Condition{is(FieldSerial, "C39XK1ABCD0??")}, false},
		"the e-mail address":            {"", []Condition{is(FieldEmail, "*@SALES.example.com")}, true},
		"the domain":                    {"", []Condition{is(FieldDomain, "example.com")}, true},
		"a tag":                         {"", []Condition{is(FieldTag, "kiosk")}, true},
		"a tag it has not":              {"", []Condition{is(FieldTag, "floor 3")}, false},
		"without a tag":                 {"", []Condition{not(FieldTag, "kiosk")}, false},
		"the asset tag":                 {"", []Condition{is(FieldAssetTag, "a-1?")}, true},
		"the state":                     {"", []Condition{is(FieldState, "pre_enrolled")}, true},
		"all of two":                    {MatchAll, []Condition{is(FieldPlatform, "ios"), is(FieldTag, "none")}, false},
		"any of two":                    {MatchAny, []Condition{is(FieldPlatform, "android"), is(FieldTag, "kiosk")}, true},
		"any of none":                   {MatchAny, []Condition{is(FieldPlatform, "android"), is(FieldTag, "none")}, false},
		"the model before acceptance":   {"", []Condition{is(FieldModel, "iphone*")}, false},
		"the product before acceptance": {"", []Condition{is(FieldProduct, "iphone*")}, false},
		"no known model":                {"", []Condition{is(FieldModel, "")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			rule, err := GroupRule{Match: c.match, Conditions: c.conds}.Normalized()
			if err != nil {
				t.Fatal(err)
			}
			if got := rule.Matches(TraitsOf(device, owner, noon)); got != c.want {
				t.Errorf("matches: %v", got)
			}
		})
	}

	accepted := device
	accepted.AcceptedAt, accepted.ExpiresAt = noon, noon.Add(-time.Second)
	rule, err := GroupRule{Conditions: []Condition{is(FieldModel, "iPhone ?? Pro"), is(FieldProduct, "iphone17,*"), is(FieldState, "expired")}}.Normalized()
	if err != nil || !rule.Matches(TraitsOf(accepted, owner, noon)) {
		t.Errorf("an accepted and expired device does not match: %v", err)
	}
}

func TestGroupRuleNormalized(t *testing.T) {
	one := func(f RuleField, values ...string) GroupRule {
		return GroupRule{Conditions: []Condition{{Field: f, Values: values}}}
	}
	for code, rule := range map[string]GroupRule{
		"rule_match_unknown":  {Match: "some", Conditions: one(FieldSerial, "*").Conditions},
		"rule_conditions":     {},
		"rule_field_unknown":  one("color", "red"),
		"rule_values":         one(FieldTag),
		"rule_value_too_long": one(FieldTag, strings.Repeat("x", MaxName+1)),
		"rule_value_unknown":  one(FieldPlatform, "windows"),
	} {
		if _, err := rule.Normalized(); err == nil || err.(*Error).Code != code {
			t.Errorf("%s: %v", code, err)
		}
	}
	a, err := one(FieldSerial, "c39-*").Normalized()
	if err != nil {
		t.Fatal(err)
	}
	b, err := one(FieldSerial, "C39*").Normalized()
	if err != nil || !a.Same(b) {
		t.Errorf("%v and %v are not the same: %v", a, b, err)
	}
}
