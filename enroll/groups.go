package enroll

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Group is a named set of devices that policies are bound to: a static one,
// whose members are named one by one, or one with a rule.
type Group struct {
	ID         string     // UUIDv7
	Name       string     // unique
	Rule       *GroupRule // nil: a static group
	Evaluation Evaluation
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Devices    int // number of members; filled on reading, up to a minute old where they are many
}

// Evaluation is how far a new or changed rule has been applied to the devices
// that were there before. Devices that change meanwhile follow the new rule at
// once.
type Evaluation struct {
	Running bool
	Done    int // devices looked at
	Total   int // devices there were when it began
}

// GroupStore keeps groups.
type GroupStore interface {
	Group(ctx context.Context, name string) (Group, error)
	Groups(ctx context.Context) ([]Group, error) // by name
	// CreateGroup is KindConflict when the name is taken. The evaluation of a
	// rule begins; see EvaluateRules.
	CreateGroup(ctx context.Context, g Group) error
	// ChangeRule gives a rule group another rule; KindConflict for a static
	// group. changed is false where it has this rule already.
	ChangeRule(ctx context.Context, name string, rule GroupRule) (g Group, changed bool, err error)
	DeleteGroup(ctx context.Context, name string) error // with memberships and bindings; members' delivery becomes due
	// GroupsOf lists by name, without the number of members.
	GroupsOf(ctx context.Context, deviceID string) ([]Group, error)
	// GroupNames gives the names of the groups of many devices by device ID.
	GroupNames(ctx context.Context, deviceIDs []string) (map[string][]string, error)
	// ChangeMembers adds and removes members by serial; a serial that is not
	// on the roll is KindNotFound and nothing is changed, a rule group is
	// KindConflict. The delivery of enrolled devices among them becomes due.
	ChangeMembers(ctx context.Context, group string, add, remove []string) error
	// EvaluateRules applies new and changed rules to a part of the devices, in
	// one transaction, and says whether there is more to do. Any number of
	// servers may call it at once.
	EvaluateRules(ctx context.Context) (more bool, err error)
	// PreviewRule says which devices a rule would match now, with the serials
	// of the first few.
	PreviewRule(ctx context.Context, rule GroupRule, examples int) (RulePreview, error)
}

// RulePreview is what a rule would match.
type RulePreview struct {
	Devices  int      // on the roll
	Matches  int      // of them
	Examples []string // serials of the first matches
}

// RuleField is what a condition looks at.
type RuleField string

// The fields of conditions. What is known of the device itself (model,
// product) counts from the moment the user has accepted, so that a group tells
// nobody more than the device list does.
const (
	FieldPlatform  RuleField = "platform"
	FieldOwnership RuleField = "ownership"
	FieldSource    RuleField = "source" // who told the serial: csv, api, dep, device
	FieldModel     RuleField = "model"  // "iPhone 16 Pro"
	FieldProduct   RuleField = "product"
	FieldSerial    RuleField = "serial"
	FieldEmail     RuleField = "user_email"
	FieldDomain    RuleField = "user_domain"
	FieldTag       RuleField = "tag" // one of the device's tags
	FieldAssetTag  RuleField = "asset_tag"
	FieldState     RuleField = "state"
)

// RuleFields lists the fields.
var RuleFields = []RuleField{FieldPlatform, FieldOwnership, FieldSource, FieldModel, FieldProduct, FieldSerial, FieldEmail, FieldDomain, FieldTag, FieldAssetTag, FieldState}

// GroupRule says which devices belong to a group.
type GroupRule struct {
	Match      string      `json:"match"` // MatchAll or MatchAny
	Conditions []Condition `json:"conditions"`
}

// How the conditions of a rule are combined.
const (
	MatchAll = "all"
	MatchAny = "any"
)

// Condition compares one field. It holds where the field is like one of the
// values, or, with Not, like none of them. In a value * stands for any text and
// ? for one character; case does not matter. A field without a value is "".
type Condition struct {
	Field  RuleField `json:"field"`
	Not    bool      `json:"not,omitempty"`
	Values []string  `json:"values"`
}

// Bounds of a rule.
const (
	MaxConditions = 20
	MaxValues     = 200
)

// Normalized is the rule in the form in which it is stored and compared, or
// what is wrong with it.
func (r GroupRule) Normalized() (GroupRule, error) {
	if r.Match == "" {
		r.Match = MatchAll
	}
	if r.Match != MatchAll && r.Match != MatchAny {
		return r, Errorf(KindInvalid, "rule_match_unknown", "a rule cannot match %q of its conditions", r.Match).WithHint("Use all or any.")
	}
	if len(r.Conditions) == 0 || len(r.Conditions) > MaxConditions {
		return r, Errorf(KindInvalid, "rule_conditions", "the rule has %d conditions; 1 to %d are possible", len(r.Conditions), MaxConditions).
			WithHint("For all devices, use the condition serial is *.")
	}
	conditions := make([]Condition, 0, len(r.Conditions))
	for _, c := range r.Conditions {
		if !slices.Contains(RuleFields, c.Field) {
			return r, Errorf(KindInvalid, "rule_field_unknown", "a rule cannot look at %q", c.Field).WithHint("The fields are %s.", joinFields())
		}
		if len(c.Values) == 0 || len(c.Values) > MaxValues {
			return r, Errorf(KindInvalid, "rule_values", "the condition on %s has %d values; 1 to %d are possible", c.Field, len(c.Values), MaxValues)
		}
		values := make([]string, 0, len(c.Values))
		for _, v := range c.Values {
			if len(v) > MaxName {
				return r, Errorf(KindInvalid, "rule_value_too_long", "a value of the condition on %s has %d bytes; at most %d are possible", c.Field, len(v), MaxName)
			}
			if allowed := enums[c.Field]; allowed != nil && !strings.ContainsAny(v, "*?") && !slices.Contains(allowed, strings.ToLower(v)) {
				return r, Errorf(KindInvalid, "rule_value_unknown", "%s is never %q", c.Field, v).WithHint("Use one of %s.", strings.Join(allowed, ", "))
			}
			if c.Field == FieldSerial {
				v = normalizePattern(v)
			}
			values = append(values, strings.ToLower(v))
		}
		conditions = append(conditions, Condition{Field: c.Field, Not: c.Not, Values: values})
	}
	return GroupRule{Match: r.Match, Conditions: conditions}, nil
}

// enums are the fields with few values.
var enums = map[RuleField][]string{
	FieldPlatform: texts(Platforms), FieldOwnership: texts(Ownerships), FieldState: texts(States),
	FieldSource: {string(SourceCSV), string(SourceAPI), string(SourceDEP), string(SourceZeroTouch), string(SourceDevice)},
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func joinFields() string { return strings.Join(texts(RuleFields), ", ") }

// normalizePattern is NormalizeSerial for a pattern.
func normalizePattern(pattern string) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(strings.NewReplacer("*", "\x00*\x00", "?", "\x00?\x00").Replace(pattern), func(r rune) bool { return r == 0 }) {
		if part == "*" || part == "?" {
			b.WriteString(part)
		} else {
			b.WriteString(NormalizeSerial(part))
		}
	}
	return b.String()
}

// Same says whether two normalized rules are one.
func (r GroupRule) Same(other GroupRule) bool {
	return r.Match == other.Match && slices.EqualFunc(r.Conditions, other.Conditions, func(a, b Condition) bool {
		return a.Field == b.Field && a.Not == b.Not && slices.Equal(a.Values, b.Values)
	})
}

// Traits is what rules look at, in lower case.
type Traits struct {
	Platform, Ownership, Source, Model, Product, Serial, Email, Domain, AssetTag, State string
	Tags                                                                                []string
}

// TraitsOf gives the traits of a device and its owner at a time.
func TraitsOf(d Device, owner User, now time.Time) Traits {
	d = d.Redacted()
	t := Traits{Platform: string(d.Platform), Ownership: string(d.Ownership), Source: string(d.Sources["serial"]), Model: strings.ToLower(d.Facts.Model),
		Product: strings.ToLower(d.Facts.Product), Serial: strings.ToLower(d.Serial), Email: strings.ToLower(owner.Email), Domain: strings.ToLower(owner.Domain),
		AssetTag: strings.ToLower(d.AssetTag), State: string(d.EffectiveAt(now))}
	if t.Model == "" {
		t.Model = t.Product // until it has told its model's name
	}
	for _, tag := range d.Tags {
		t.Tags = append(t.Tags, strings.ToLower(tag))
	}
	return t
}

// Matches says whether a device with these traits belongs to the group. The
// rule is a normalized one.
func (r GroupRule) Matches(t Traits) bool {
	for _, c := range r.Conditions {
		if c.holds(t) != (r.Match == MatchAll) {
			return r.Match != MatchAll
		}
	}
	return r.Match == MatchAll
}

func (c Condition) holds(t Traits) bool {
	like := func(text string) bool {
		return slices.ContainsFunc(c.Values, func(pattern string) bool { return glob(pattern, text) })
	}
	if c.Field == FieldTag {
		return (slices.ContainsFunc(t.Tags, like) || len(t.Tags) == 0 && like("")) != c.Not
	}
	return like(t.field(c.Field)) != c.Not
}

func (t Traits) field(f RuleField) string {
	switch f {
	case FieldPlatform:
		return t.Platform
	case FieldOwnership:
		return t.Ownership
	case FieldSource:
		return t.Source
	case FieldModel:
		return t.Model
	case FieldProduct:
		return t.Product
	case FieldSerial:
		return t.Serial
	case FieldEmail:
		return t.Email
	case FieldDomain:
		return t.Domain
	case FieldAssetTag:
		return t.AssetTag
	case FieldState:
		return t.State
	}
	return ""
}
