package enroll

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rule is what the gate asks beside the roll. Rules stand in an order; of two
// that admit or hold, the first that matches counts, and one that refuses
// beats them all.
type Rule struct {
	Name       string // unique
	Enabled    bool
	Conditions Conditions
	Action     RuleAction
	Evidence   Evidence // what RuleRequireEvidence asks for; else empty
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// RuleAction is what a rule does with a device that meets its conditions.
type RuleAction string

// The actions. RuleAllow and RuleHold are about devices that are not on the
// roll, and only where Pre-enrolled Devices Only would refuse them; the others
// act in every mode.
const (
	RuleDeny            RuleAction = "deny"
	RuleRequireEvidence RuleAction = "require_evidence"
	RuleAllow           RuleAction = "allow"
	RuleHold            RuleAction = "hold"
)

// RuleActions lists the actions.
var RuleActions = []RuleAction{RuleDeny, RuleRequireEvidence, RuleAllow, RuleHold}

// Conditions say which devices a rule is about. All that are given must hold;
// of a list, one entry is enough. What a device has not told meets no
// condition: an over-the-air enrollment tells the system version only at its
// last step, where the gate asks again.
type Conditions struct {
	Channels   []Channel   `json:"channels,omitempty"`
	Platforms  []Platform  `json:"platforms,omitempty"`
	Ownerships []Ownership `json:"ownerships,omitempty"` // of the row, or chosen by the user
	// OSMinimum and OSMaximum are the versions that are wanted, both included:
	// deny and hold are about devices outside of this range, the other actions
	// about devices inside. A maximum covers every version that begins with it.
	OSMinimum     string     `json:"os_minimum,omitempty"`
	OSMaximum     string     `json:"os_maximum,omitempty"`
	Models        []string   `json:"models,omitempty"`        // patterns with * and ?, of model name or product
	Manufacturers []string   `json:"manufacturers,omitempty"` // the same
	Evidence      []Evidence `json:"evidence,omitempty"`
	OnRoll        *bool      `json:"on_roll,omitempty"`
	Groups        []string   `json:"groups,omitempty"` // names
}

const maxConditions = 100

// Check says what is wrong with a rule, or nil. A rule that can never apply,
// or that asks for what no device can give, is wrong.
func (r Rule) Check() error {
	if strings.TrimSpace(r.Name) != r.Name || r.Name == "" {
		return Errorf(KindInvalid, "name_invalid", "the name of a rule cannot be empty or begin or end with a space")
	}
	if err := checkName("the name of the rule", r.Name); err != nil {
		return err
	}
	if !slices.Contains(RuleActions, r.Action) {
		return Errorf(KindInvalid, "action_unknown", "the action %q does not exist", r.Action).WithHint("Use one of deny, require_evidence, allow, hold.")
	}
	if err := r.Conditions.check(); err != nil {
		return err
	}
	return r.checkAction()
}

func (c Conditions) check() error {
	for what, n := range map[string]int{"models": len(c.Models), "manufacturers": len(c.Manufacturers), "groups": len(c.Groups)} {
		if n > maxConditions {
			return Errorf(KindInvalid, "conditions_too_many", "%d %s are given; at most %d are possible", n, what, maxConditions)
		}
	}
	for _, p := range slices.Concat(c.Models, c.Manufacturers, c.Groups) {
		if err := checkName("a pattern or group", p); err != nil || strings.TrimSpace(p) == "" {
			return cmp.Or(err, error(Errorf(KindInvalid, "pattern_empty", "a pattern or group is empty")))
		}
	}
	if err := cmp.Or(within("channel", c.Channels, Channels), within("platform", c.Platforms, Platforms),
		within("ownership", c.Ownerships, Ownerships), within("evidence", c.Evidence, Evidences)); err != nil {
		return err
	}
	for _, v := range []string{c.OSMinimum, c.OSMaximum} {
		if _, ok := parseVersion(v); v != "" && !ok {
			return Errorf(KindInvalid, "version_invalid", "%q is not a version", v).WithHint("Write numbers and dots, as in 17.4.1.")
		}
	}
	if c.OSMinimum != "" && c.OSMaximum != "" && compareVersion(c.OSMinimum, c.OSMaximum) > 0 {
		return Errorf(KindInvalid, "version_range", "the minimum %s is above the maximum %s", c.OSMinimum, c.OSMaximum)
	}
	if len(c.ways()) == 0 {
		return Errorf(KindInvalid, "rule_never_applies", "no device of these platforms arrives by these channels, so the rule would never apply").
			WithHint("Apple devices use ota, profile, ade and account; Android devices use agent and amapi.")
	}
	return nil
}

// within refuses what is given and not in all.
func within[T ~string](what string, given, all []T) error {
	for _, g := range given {
		if !slices.Contains(all, g) {
			return Errorf(KindInvalid, what+"_unknown", "the %s %q does not exist", what, g)
		}
	}
	return nil
}

func (r Rule) checkAction() error {
	c := r.Conditions
	if r.Action != RuleRequireEvidence && r.Evidence != "" {
		return Errorf(KindInvalid, "evidence_unused", "the action %s asks for no evidence", r.Action).WithHint("Use the action require_evidence, or leave the evidence out.")
	}
	switch r.Action {
	case RuleDeny:
		if c.denial() == "" {
			return Errorf(KindInvalid, "deny_without_reason", "the rule names nothing about a device that is not wanted").
				WithHint("Add a channel, platform, ownership, system version, model, manufacturer or evidence, or on_roll false; block single devices instead.")
		}
	case RuleRequireEvidence:
		if r.Evidence.rank() < 0 {
			return evidenceUnknown(r.Evidence)
		}
		if r.Evidence.rank() <= EvidenceClaimed.rank() {
			return Errorf(KindInvalid, "evidence_too_low", "every device has the evidence claimed").WithHint("Ask for token, signed or attested.")
		}
		return c.provable(r.Evidence, "the rule asks for")
	case RuleAllow, RuleHold:
		if c.OnRoll != nil && *c.OnRoll {
			return Errorf(KindInvalid, "rule_never_applies", "the action %s is about devices that are not on the roll, and the rule about those that are", r.Action).
				WithHint("Leave on_roll out.")
		}
	}
	return nil
}

// reaches says whether a rule that admits has devices left to admit under the
// settings.
func (r Rule) reaches(s Settings) error {
	if !r.Enabled || r.Action != RuleAllow && r.Action != RuleHold {
		return nil
	}
	if err := r.Conditions.provable(s.RequiredEvidence, "required_evidence asks for"); err != nil {
		e := err.(*Error)
		return Errorf(KindInvalid, e.Code, "the rule %q cannot work: %s", r.Name, e.Text).WithHint("%s", e.Hint)
	}
	return nil
}

// way is a kind of arrival.
type way struct {
	channel  Channel
	personal bool
}

// proves is the strongest evidence each channel can give. An Apple device that
// is enrolled by its user's account, and a personal Android device with a work
// profile, never show a serial: they are known by their one-time request.
var proves = map[way]Evidence{
	{ChannelOTA, true}: EvidenceSigned, {ChannelOTA, false}: EvidenceSigned,
	{ChannelProfile, true}: EvidenceToken, {ChannelProfile, false}: EvidenceToken,
	{ChannelADE, true}: EvidenceAttested, {ChannelADE, false}: EvidenceAttested,
	{ChannelAccount, true}: EvidenceToken, {ChannelAccount, false}: EvidenceToken,
	{ChannelAgent, true}: EvidenceToken, {ChannelAgent, false}: EvidenceAttested,
	{ChannelAMAPI, true}: EvidenceToken, {ChannelAMAPI, false}: EvidenceSigned,
}

// ways are the kinds of arrival that the conditions leave.
func (c Conditions) ways() (ways []way) {
	for _, channel := range Channels {
		android := channel == ChannelAgent || channel == ChannelAMAPI
		fits := len(c.Platforms) == 0 || slices.ContainsFunc(c.Platforms, func(p Platform) bool { return (p == PlatformAndroid) == android })
		if !fits || len(c.Channels) > 0 && !slices.Contains(c.Channels, channel) {
			continue
		}
		for _, personal := range []bool{false, true} {
			if len(c.Ownerships) == 0 || slices.Contains(c.Ownerships, OwnershipSelectUser) || slices.Contains(c.Ownerships, OwnershipPersonal) && personal || slices.Contains(c.Ownerships, OwnershipCorporate) && !personal {
				ways = append(ways, way{channel, personal})
			}
		}
	}
	return ways
}

// provable says whether any device that meets the conditions can give this
// evidence.
func (c Conditions) provable(e Evidence, who string) error {
	if slices.ContainsFunc(c.ways(), func(w way) bool { return proves[w].rank() >= e.rank() }) {
		return nil
	}
	return Errorf(KindInvalid, "evidence_impossible", "%s the evidence %s, which no device can give that the rule is about: account-driven enrollments and personal Android devices never show a serial, and a plain profile does not prove it", who, e).
		WithHint("Ask for token, which an enrollment request gives, or choose other channels, platforms or ownerships.")
}

// denial is the code of a refusal by these conditions: that of the most
// particular one.
func (c Conditions) denial() Code {
	switch {
	case c.OSMinimum != "" || c.OSMaximum != "":
		return DenyOSVersion
	case len(c.Models) > 0 || len(c.Manufacturers) > 0:
		return DenyModel
	case len(c.Ownerships) > 0:
		return DenyOwnership
	case len(c.Evidence) > 0:
		return DenyEvidenceTooWeak
	case len(c.Channels) > 0:
		return DenyChannel
	case len(c.Platforms) > 0:
		return DenyPlatform
	case c.OnRoll != nil && !*c.OnRoll:
		return DenyNotPreEnrolled
	}
	return ""
}

// check is the name of the rule in a trace.
func (r Rule) check() string { return "rule " + r.Name }

// apply asks a rule. A denial, where there is one, is a code; hold and allow
// come back as the code they would give a device that is not on the roll.
func (r Rule) apply(a Attempt, k Known) (Code, Step) {
	step := Step{Check: r.check(), Result: "skip"}
	if unmet := r.unmet(a, k); unmet != "" {
		step.Detail = "not about this device: " + unmet
		return "", step
	}
	switch r.Action {
	case RuleDeny:
		step.Result, step.Detail = "fail", "the rule refuses such devices"
		return r.Conditions.denial(), step
	case RuleRequireEvidence:
		if a.Evidence.rank() < r.Evidence.rank() {
			step.Result, step.Detail = "fail", fmt.Sprintf("the rule asks for the evidence %s, the device gave %s", r.Evidence, a.Evidence)
			return DenyEvidenceTooWeak, step
		}
		step.Result, step.Detail = "pass", fmt.Sprintf("the rule asks for the evidence %s, the device gave %s", r.Evidence, a.Evidence)
	case RuleAllow:
		step.Result, step.Detail = "pass", "the rule admits such devices"
		return AllowRule, step
	case RuleHold:
		step.Result, step.Detail = "hold", "the rule holds such devices for approval"
		return HoldPendingApproval, step
	}
	return "", step
}

// unmet names the first condition that does not hold; empty: all do.
func (r Rule) unmet(a Attempt, k Known) string {
	c := r.Conditions
	listed := onRoll(k.Device)
	if r.Action == RuleAllow || r.Action == RuleHold {
		if listed {
			return "it is on the roll"
		}
	}
	ownership := ownershipOf(a, k)
	in := func(what, value string, met bool) string {
		if met {
			return ""
		}
		return fmt.Sprintf("its %s is %q", what, value)
	}
	outside := r.Action == RuleDeny || r.Action == RuleHold
	return cmp.Or(
		in("channel", string(a.Channel), len(c.Channels) == 0 || slices.Contains(c.Channels, a.Channel)),
		in("platform", string(a.Platform), len(c.Platforms) == 0 || slices.ContainsFunc(c.Platforms, func(p Platform) bool { return p.Admits(a.Platform) })),
		in("ownership", string(ownership), len(c.Ownerships) == 0 || slices.Contains(c.Ownerships, ownership)),
		c.unmetVersion(a.Facts.OSVersion, outside),
		in("model", a.Facts.Product+" "+a.Facts.Model, len(c.Models) == 0 || anyGlob(c.Models, a.Facts.Product, a.Facts.Model)),
		in("manufacturer", manufacturer(a), len(c.Manufacturers) == 0 || anyGlob(c.Manufacturers, manufacturer(a))),
		in("evidence", string(a.Evidence), len(c.Evidence) == 0 || slices.Contains(c.Evidence, a.Evidence)),
		in("being on the roll", strconv.FormatBool(listed), c.OnRoll == nil || *c.OnRoll == listed),
		in("group", strings.Join(k.Groups, ", "), len(c.Groups) == 0 || slices.ContainsFunc(c.Groups, func(g string) bool { return slices.Contains(k.Groups, g) })),
	)
}

func (c Conditions) unmetVersion(version string, outside bool) string {
	if c.OSMinimum == "" && c.OSMaximum == "" {
		return ""
	}
	if _, ok := parseVersion(version); !ok {
		return "it has not told its system version"
	}
	inside := (c.OSMinimum == "" || compareVersion(version, c.OSMinimum) >= 0) && (c.OSMaximum == "" || compareVersion(cutVersion(version, c.OSMaximum), c.OSMaximum) <= 0)
	if inside != outside {
		return ""
	}
	return fmt.Sprintf("its system version is %q", version)
}

// ownershipOf is whose device it is to be: what was chosen counts where the
// row leaves the choice.
func ownershipOf(a Attempt, k Known) Ownership {
	if k.Device != nil && k.Device.Ownership != OwnershipSelectUser && k.Device.Ownership != "" {
		return k.Device.Ownership
	}
	if k.Request != nil && k.Request.Ownership != "" {
		return k.Request.Ownership
	}
	return cmp.Or(a.Ownership, OwnershipSelectUser)
}

// ManufacturerFact is the name among Facts.Extra under which Android devices
// tell their manufacturer.
const ManufacturerFact = "manufacturer"

func manufacturer(a Attempt) string {
	if a.Platform == PlatformIOS || a.Platform == PlatformApple {
		return "Apple"
	}
	return a.Facts.Extra[ManufacturerFact]
}

// anyGlob says whether a pattern matches one of the values that are known.
func anyGlob(patterns []string, values ...string) bool {
	for _, p := range patterns {
		for _, v := range values {
			if v != "" && glob(strings.ToLower(p), strings.ToLower(v)) {
				return true
			}
		}
	}
	return false
}

// glob matches the whole of s; * is any text, ? any one character.
func glob(pattern, s string) bool {
	p, text := []rune(pattern), []rune(s)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(text) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == text[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// parseVersion reads the numbers of "17.4.1"; what follows them, as in
// "17.4.1 (a)", does not count.
func parseVersion(v string) (parts []int, ok bool) {
	v, _, _ = strings.Cut(strings.TrimSpace(v), " ")
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || len(parts) == 8 {
			return nil, false
		}
		parts = append(parts, n)
	}
	return parts, len(parts) > 0
}

// compareVersion compares number by number; one that is not there is 0.
func compareVersion(a, b string) int {
	x, _ := parseVersion(a)
	y, _ := parseVersion(b)
	for i := range max(len(x), len(y)) {
		var n, m int
		if i < len(x) {
			n = x[i]
		}
		if i < len(y) {
			m = y[i]
		}
		if n != m {
			return cmp.Compare(n, m)
		}
	}
	return 0
}

// cutVersion is v with no more numbers than like has.
func cutVersion(v, like string) string {
	parts, _ := parseVersion(v)
	bound, _ := parseVersion(like)
	var out []string
	for _, n := range parts[:min(len(parts), len(bound))] {
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ".")
}
