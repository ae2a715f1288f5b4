package enroll

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// restrictionCase is a case of the settings and rules of the gate. The attempt
// is an iPhone on OTA, and with set the same on another channel.
type restrictionCase struct {
	name    string
	attempt func(*Attempt)
	known   Known
	want    verdict
	result  string // of the check or rule named in step
	step    string
}

func deny(c Conditions) Rule { return Rule{Name: "r", Enabled: true, Action: RuleDeny, Conditions: c} }
func rules(r ...Rule) []Rule { return r }
func told(change func(*Facts)) func(*Attempt) {
	return func(a *Attempt) { change(&a.Facts) }
}
func osVersion(v string) func(*Attempt) { return told(func(f *Facts) { f.OSVersion = v }) }
func owned(d *Device)                   { d.UserID = "ann" }

var (
	allowAll = Rule{Name: "allow", Enabled: true, Action: RuleAllow}
	holdAll  = Rule{Name: "hold", Enabled: true, Action: RuleHold}
	of       = func(user string) *Request { return invitation(func(r *Request) { r.UserID = user }) }
	approval = func(s ApprovalState) *Approval { return &Approval{Serial: "C02XK1", State: s} }
)

var restrictionCases = []restrictionCase{
	// The time and the uses of a row.
	{"not yet", nil, Known{Device: row(func(d *Device) { d.NotBefore = noon.Add(1) })}, always(DenyNotYetValid), "fail", "validity"},
	{"from now", nil, Known{Device: row(func(d *Device) { d.NotBefore = noon })}, always(AllowListed), "pass", "validity"},
	{"until now", nil, Known{Device: row(func(d *Device) { d.ExpiresAt = noon })}, always(DenyExpired), "fail", "validity"},
	{"for another instant", nil, Known{Device: row(func(d *Device) { d.ExpiresAt = noon.Add(1) })}, always(AllowListed), "pass", "validity"},
	{"expired while enrolled", nil, Known{Device: row(func(d *Device) { d.ExpiresAt, d.State = noon, StateEnrolled })}, always(DenyExpired), "fail", "validity"},
	{"one use left", nil, Known{Device: row(func(d *Device) { d.MaxUses, d.Uses = 2, 1 })}, always(AllowListed), "pass", "validity"},
	{"used up", nil, Known{Device: row(func(d *Device) { d.MaxUses, d.Uses, d.State = 2, 2, StateUnenrolled })}, always(DenyUsedUp), "fail", "validity"},
	{"fewer uses than were made", nil, Known{Device: row(func(d *Device) { d.MaxUses, d.Uses = 1, 5 })}, always(DenyUsedUp), "fail", "validity"},
	{"used up, and enrolled", nil, Known{Device: row(func(d *Device) { d.MaxUses, d.Uses, d.State = 1, 1, StateEnrolled })}, always(AllowListed), "pass", "validity"},
	{"used up, interrupted on the way back", nil, Known{Device: row(func(d *Device) { d.MaxUses, d.Uses, d.State, d.EnrolledAt = 1, 1, StateEnrolling, noon })}, always(AllowListed), "pass", "validity"},
	{"used up while enrolling for the first time", nil, Known{Device: row(func(d *Device) { d.MaxUses, d.Uses, d.State = 1, 1, StateEnrolling })}, always(DenyUsedUp), "fail", "validity"},
	{"no limit of uses", nil, Known{Device: row(func(d *Device) { d.Uses = 1000 })}, always(AllowListed), "pass", "validity"},
	{"no row", nil, Known{}, unlisted, "skip", "validity"},

	// Who enrolls.
	{"the owner", withSecret, Known{Device: row(owned), Request: of("ann")}, always(AllowListed), "pass", "owner"},
	{"another user", withSecret, Known{Device: row(owned), Request: of("bob")}, always(DenyUserMismatch), "fail", "owner"},
	{"another user, by the channel", func(a *Attempt) { a.UserID = "bob" }, Known{Device: row(owned)}, always(DenyUserMismatch), "fail", "owner"},
	{"the channel knows better than the request", func(a *Attempt) { a.UserID, a.RequestSecret = "ann", "secret" }, Known{Device: row(owned), Request: of("bob")}, always(AllowListed), "pass", "owner"},
	{"another user, warned of", withSecret, Known{Device: row(owned), Request: of("bob"), Settings: Settings{OwnerMismatch: MismatchWarn}}, always(AllowListed), "warn", "owner"},
	{"another user, ignored", withSecret, Known{Device: row(owned), Request: of("bob"), Settings: Settings{OwnerMismatch: MismatchIgnore}}, always(AllowListed), "pass", "owner"},
	{"nobody's row", withSecret, Known{Device: row(), Request: of("bob")}, always(AllowListed), "skip", "owner"},
	{"nobody knows who", withSecret, Known{Device: row(owned), Request: of("")}, always(AllowListed), "skip", "owner"},
	{"user limit reached", nil, Known{Device: row(owned), UserDevices: 2, Settings: Settings{DevicesPerUser: 2}}, always(DenyUserLimit), "fail", "user limit"},
	{"user limit not reached", nil, Known{Device: row(owned), UserDevices: 1, Settings: Settings{DevicesPerUser: 2}}, always(AllowListed), "pass", "user limit"},
	{"user limit, enrolled already", nil, Known{Device: row(owned, func(d *Device) { d.State = StateEnrolled }), UserDevices: 2, Settings: Settings{DevicesPerUser: 2}}, always(AllowListed), "pass", "user limit"},
	{"user limit, nobody's row that a person takes", func(a *Attempt) { a.UserID = "bob" }, Known{Device: row(), UserDevices: 2, Settings: Settings{DevicesPerUser: 2}}, always(DenyUserLimit), "fail", "user limit"},
	{"user limit, no row, and a person", func(a *Attempt) { a.UserID = "bob" }, Known{UserDevices: 2, Settings: Settings{DevicesPerUser: 2}}, always(DenyUserLimit), "fail", "user limit"},
	{"user limit, nobody's row", nil, Known{Device: row(), UserDevices: 2, Settings: Settings{DevicesPerUser: 2}}, always(AllowListed), "skip", "user limit"},

	// Evidence; the attempt's is signed.
	{"required evidence", nil, Known{Device: row(), Settings: Settings{RequiredEvidence: EvidenceSigned}}, always(AllowListed), "pass", "evidence"},
	{"too weak", nil, Known{Device: row(), Settings: Settings{RequiredEvidence: EvidenceAttested}}, always(DenyEvidenceTooWeak), "fail", "evidence"},
	{"a level that does not exist", nil, Known{Device: row(), Settings: Settings{RequiredEvidence: "sworn"}}, always(DenyEvidenceTooWeak), "fail", "evidence"},

	// Rules that refuse, each by the code of its most particular condition.
	{"channel", nil, Known{Device: row(), Rules: rules(deny(Conditions{Channels: []Channel{ChannelADE, ChannelOTA}}))}, always(DenyChannel), "fail", "rule r"},
	{"another channel", nil, Known{Device: row(), Rules: rules(deny(Conditions{Channels: []Channel{ChannelADE}}))}, always(AllowListed), "skip", "rule r"},
	{"platform", nil, Known{Device: row(), Rules: rules(deny(Conditions{Platforms: []Platform{PlatformApple}}))}, always(DenyPlatform), "fail", "rule r"},
	{"another platform", nil, Known{Device: row(), Rules: rules(deny(Conditions{Platforms: []Platform{PlatformAndroid}}))}, always(AllowListed), "skip", "rule r"},
	{"ownership", nil, Known{Device: row(), Rules: rules(deny(Conditions{Ownerships: []Ownership{OwnershipCorporate}}))}, always(DenyOwnership), "fail", "rule r"},
	{"ownership, chosen in the request", withSecret, Known{Device: row(func(d *Device) { d.Ownership = OwnershipSelectUser }),
		Request: invitation(func(r *Request) { r.Ownership = OwnershipPersonal }), Rules: rules(deny(Conditions{Ownerships: []Ownership{OwnershipPersonal}}))}, always(DenyOwnership), "fail", "rule r"},
	{"ownership, the row's beats the chosen one", withSecret, Known{Device: row(), Request: invitation(func(r *Request) { r.Ownership = OwnershipPersonal }),
		Rules: rules(deny(Conditions{Ownerships: []Ownership{OwnershipPersonal}}))}, always(AllowListed), "skip", "rule r"},
	{"too old a system", osVersion("17.3.9"), Known{Device: row(), Rules: rules(deny(Conditions{OSMinimum: "17.4"}))}, always(DenyOSVersion), "fail", "rule r"},
	{"the oldest system that is wanted", osVersion("17.4"), Known{Device: row(), Rules: rules(deny(Conditions{OSMinimum: "17.4.0"}))}, always(AllowListed), "skip", "rule r"},
	{"numbers, not text", osVersion("17.10"), Known{Device: row(), Rules: rules(deny(Conditions{OSMinimum: "17.9"}))}, always(AllowListed), "skip", "rule r"},
	{"too new a system", osVersion("27.0"), Known{Device: row(), Rules: rules(deny(Conditions{OSMaximum: "26"}))}, always(DenyOSVersion), "fail", "rule r"},
	{"within the maximum", osVersion("26.9.9 (a)"), Known{Device: row(), Rules: rules(deny(Conditions{OSMaximum: "26"}))}, always(AllowListed), "skip", "rule r"},
	{"a system that was not told", nil, Known{Device: row(), Rules: rules(deny(Conditions{OSMinimum: "17.4"}))}, always(AllowListed), "skip", "rule r"},
	{"a system that is no version", osVersion("beta"), Known{Device: row(), Rules: rules(deny(Conditions{OSMinimum: "17.4"}))}, always(AllowListed), "skip", "rule r"},
	{"product", told(func(f *Facts) { f.Product = "iPhone10,6" }), Known{Device: row(), Rules: rules(deny(Conditions{Models: []string{"ipad*", "iphone10,?"}}))}, always(DenyModel), "fail", "rule r"},
	{"model", told(func(f *Facts) { f.Model = "iPhone 8 Plus" }), Known{Device: row(), Rules: rules(deny(Conditions{Models: []string{"*8*"}}))}, always(DenyModel), "fail", "rule r"},
	{"a part of a model is not the model", told(func(f *Facts) { f.Product = "iPhone10,62" }), Known{Device: row(), Rules: rules(deny(Conditions{Models: []string{"iPhone10,?"}}))}, always(AllowListed), "skip", "rule r"},
	{"a star stands for nothing, too", told(func(f *Facts) { f.Product = "iPhone10,6" }), Known{Device: row(), Rules: rules(deny(Conditions{Models: []string{"i*Phone10*,6"}}))}, always(DenyModel), "fail", "rule r"},
	{"no model told", nil, Known{Device: row(), Rules: rules(deny(Conditions{Models: []string{"*"}}))}, always(AllowListed), "skip", "rule r"},
	{"manufacturer of an iPhone", nil, Known{Device: row(), Rules: rules(deny(Conditions{Manufacturers: []string{"apple"}}))}, always(DenyModel), "fail", "rule r"},
	{"manufacturer of an Android device", func(a *Attempt) {
		a.Platform, a.Facts.Extra = PlatformAndroid, map[string]string{ManufacturerFact: "Samsung"}
	}, Known{Device: row(android), Rules: rules(deny(Conditions{Manufacturers: []string{"sam*"}}))}, always(DenyModel), "fail", "rule r"},
	{"evidence as a condition", nil, Known{Device: row(), Rules: rules(deny(Conditions{Evidence: []Evidence{EvidenceSigned}}))}, always(DenyEvidenceTooWeak), "fail", "rule r"},
	{"off the roll", nil, Known{Rules: rules(deny(Conditions{OnRoll: ptr(false)}))}, always(DenyNotPreEnrolled), "fail", "rule r"},
	{"on the roll", nil, Known{Device: row(), Rules: rules(deny(Conditions{OnRoll: ptr(false)}))}, always(AllowListed), "skip", "rule r"},
	{"group", nil, Known{Device: row(), Groups: []string{"a", "loaners"}, Rules: rules(deny(Conditions{Groups: []string{"loaners"}, Channels: []Channel{ChannelOTA}}))}, always(DenyChannel), "fail", "rule r"},
	{"another group", nil, Known{Device: row(), Groups: []string{"a"}, Rules: rules(deny(Conditions{Groups: []string{"loaners"}, Channels: []Channel{ChannelOTA}}))}, always(AllowListed), "skip", "rule r"},
	{"all conditions must hold", osVersion("17.0"), Known{Device: row(), Rules: rules(deny(Conditions{OSMinimum: "18", Channels: []Channel{ChannelADE}}))}, always(AllowListed), "skip", "rule r"},
	{"evidence that a rule asks for", nil, Known{Device: row(), Rules: rules(Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceAttested})}, always(DenyEvidenceTooWeak), "fail", "rule r"},
	{"evidence that a rule gets", nil, Known{Device: row(), Rules: rules(Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceSigned})}, always(AllowListed), "pass", "rule r"},
	{"evidence, of devices of a version", osVersion("17.0"), Known{Device: row(), Rules: rules(Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceAttested, Conditions: Conditions{OSMinimum: "18"}})}, always(AllowListed), "skip", "rule r"},

	// Rules that admit or hold devices that are not on the roll.
	{"allowed by a rule", nil, Known{Rules: rules(allowAll)}, verdict{AllowOpen, AllowRule, AllowRule, AllowRule}, "pass", "rule allow"},
	{"listed, whatever a rule allows", nil, Known{Device: row(), Rules: rules(allowAll)}, always(AllowListed), "skip", "rule allow"},
	{"held by a rule", nil, Known{Rules: rules(holdAll)}, verdict{AllowOpen, AllowOpen, HoldPendingApproval, HoldPendingApproval}, "hold", "listed"},
	{"listed, whatever a rule holds", nil, Known{Device: row(), Rules: rules(holdAll)}, always(AllowListed), "skip", "rule hold"},
	{"the first of two that admit", nil, Known{Rules: rules(holdAll, allowAll)}, verdict{AllowOpen, AllowOpen, HoldPendingApproval, HoldPendingApproval}, "pass", "rule allow"},
	{"the first of two that admit, the other way", nil, Known{Rules: rules(allowAll, holdAll)}, verdict{AllowOpen, AllowRule, AllowRule, AllowRule}, "hold", "rule hold"},
	{"deny beats allow", nil, Known{Rules: rules(allowAll, deny(Conditions{Channels: []Channel{ChannelOTA}}))}, always(DenyChannel), "fail", "rule r"},
	{"the first of two that deny", nil, Known{Rules: rules(deny(Conditions{Platforms: []Platform{PlatformIOS}}), Rule{Name: "second", Action: RuleDeny, Conditions: Conditions{Channels: []Channel{ChannelOTA}}})}, always(DenyPlatform), "fail", "rule second"},
	{"allowed for the version", osVersion("18.0"), Known{Rules: rules(Rule{Name: "r", Action: RuleAllow, Conditions: Conditions{OSMinimum: "18"}})}, verdict{AllowOpen, AllowRule, AllowRule, AllowRule}, "pass", "rule r"},
	{"a check refuses before any rule", nil, Known{Device: row(blocked), Rules: rules(allowAll)}, always(DenyBlocked), "skip", "rule allow"},

	// Approval.
	{"held", nil, Known{Settings: Settings{UnlistedDevices: UnlistedHold}}, verdict{AllowOpen, AllowOpen, HoldPendingApproval, HoldPendingApproval}, "skip", "validity"},
	{"held again", nil, Known{Settings: Settings{UnlistedDevices: UnlistedHold}, Device: row(selfReported), Approval: approval(ApprovalPending)}, verdict{AllowOpen, AllowOpen, HoldPendingApproval, HoldPendingApproval}, "pass", "validity"},
	{"asked once, no longer held", nil, Known{Device: row(selfReported), Approval: approval(ApprovalPending)}, unlisted, "pass", "validity"},
	{"approved", nil, Known{Device: row(selfReported), Approval: approval(ApprovalApproved)}, always(AllowApproved), "pass", "listed"},
	{"approved and blocked", nil, Known{Device: row(selfReported, blocked), Approval: approval(ApprovalApproved)}, always(DenyBlocked), "fail", "blocked"},
	{"rejected", nil, Known{Settings: Settings{UnlistedDevices: UnlistedHold}, Approval: approval(ApprovalRejected)}, unlisted, "pass", "serial"},
	{"rejected beats a rule", nil, Known{Rules: rules(allowAll), Approval: approval(ApprovalRejected)}, unlisted, "pass", "rule allow"},
	{"put on the roll after a rejection", nil, Known{Device: row(), Approval: approval(ApprovalRejected)}, always(AllowListed), "pass", "listed"},
}

func TestEvaluateRestrictions(t *testing.T) {
	for _, c := range restrictionCases {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range []struct {
				mode           Mode
				code, enforced Code
			}{{ModeOff, c.want.off, c.want.off}, {ModeAudit, c.want.audit, c.want.audited}, {ModeEnforce, c.want.enforce, c.want.enforce}, {"", c.want.enforce, c.want.enforce}} {
				k := c.known
				k.Settings.PreEnrolledDevicesOnly = m.mode
				a := Attempt{At: noon, Channel: ChannelOTA, Platform: PlatformIOS, Serial: "C02XK1", Evidence: EvidenceSigned}
				if c.attempt != nil {
					c.attempt(&a)
				}
				d := Evaluate(a, k)
				if d.Code != m.code || d.Enforced != m.enforced || d.Outcome != m.code.Outcome() {
					t.Errorf("%q: %s %s (enforcing: %s), want %s (%s)", m.mode, d.Outcome, d.Code, d.Enforced, m.code, m.enforced)
				}
				for _, r := range k.Rules {
					if !slices.ContainsFunc(d.Trace, func(s Step) bool { return s.Check == "rule "+r.Name && s.Detail != "" }) {
						t.Errorf("the rule %q is not in the trace: %+v", r.Name, d.Trace)
					}
				}
				if m.mode != ModeEnforce {
					continue
				}
				if i := slices.IndexFunc(d.Trace, func(s Step) bool { return s.Check == c.step }); i < 0 || d.Trace[i].Result != c.result {
					t.Errorf("%s is not %q: %+v", c.step, c.result, d.Trace)
				}
			}
		})
	}
}

// TestEvaluateOnEveryChannel runs the cases that name no channel on all of
// them: none has a way around a setting or a rule.
func TestEvaluateOnEveryChannel(t *testing.T) {
	for _, c := range restrictionCases {
		if slices.ContainsFunc(c.known.Rules, func(r Rule) bool { return len(r.Conditions.Channels) > 0 }) {
			continue
		}
		for _, channel := range Channels {
			c.known.Settings.PreEnrolledDevicesOnly = ModeEnforce
			a := Attempt{At: noon, Platform: PlatformIOS, Serial: "C02XK1", Evidence: EvidenceSigned}
			if c.attempt != nil {
				c.attempt(&a)
			}
			a.Channel = channel
			if d := Evaluate(a, c.known); d.Code != c.want.enforce {
				t.Errorf("%s on %s: %s, want %s", c.name, channel, d.Code, c.want.enforce)
			}
		}
	}
}

func TestRuleCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		rule Rule
		code string
	}{
		{"deny a channel", deny(Conditions{Channels: []Channel{ChannelProfile}}), ""},
		{"allow all", allowAll, ""},
		{"everything", Rule{Name: "r", Action: RuleDeny, Conditions: Conditions{Channels: []Channel{ChannelAgent}, Platforms: []Platform{PlatformAndroid}, Ownerships: Ownerships, OSMinimum: "12", OSMaximum: "16.1",
			Models: []string{"SM-*"}, Manufacturers: []string{"Samsung"}, Evidence: Evidences, OnRoll: ptr(true), Groups: []string{"g"}}}, ""},
		{"no name", Rule{Action: RuleAllow}, "name_invalid"},
		{"blank around the name", Rule{Name: " r", Action: RuleAllow}, "name_invalid"},
		{"line feed in the name", Rule{Name: "a\nb", Action: RuleAllow}, "name_characters"},
		{"no action", Rule{Name: "r"}, "action_unknown"},
		{"unknown channel", deny(Conditions{Channels: []Channel{"mail"}}), "channel_unknown"},
		{"unknown platform", deny(Conditions{Platforms: []Platform{"macos"}}), "platform_unknown"},
		{"unknown ownership", deny(Conditions{Ownerships: []Ownership{"leased"}}), "ownership_unknown"},
		{"unknown evidence", deny(Conditions{Evidence: []Evidence{"sworn"}}), "evidence_unknown"},
		{"no version", deny(Conditions{OSMinimum: "seventeen"}), "version_invalid"},
		{"negative version", deny(Conditions{OSMaximum: "17.-1"}), "version_invalid"},
		{"range upside down", deny(Conditions{OSMinimum: "18", OSMaximum: "17.9"}), "version_range"},
		{"empty pattern", deny(Conditions{Models: []string{" "}}), "pattern_empty"},
		{"too many patterns", deny(Conditions{Models: make([]string, maxConditions+1)}), "conditions_too_many"},
		{"Android by Apple's channel", deny(Conditions{Channels: []Channel{ChannelADE}, Platforms: []Platform{PlatformAndroid}}), "rule_never_applies"},
		{"deny everything", deny(Conditions{}), "deny_without_reason"},
		{"deny a group", deny(Conditions{Groups: []string{"g"}}), "deny_without_reason"},
		{"deny what is on the roll", deny(Conditions{OnRoll: ptr(true)}), "deny_without_reason"},
		{"allow what is on the roll", Rule{Name: "r", Action: RuleAllow, Conditions: Conditions{OnRoll: ptr(true)}}, "rule_never_applies"},
		{"evidence without asking for it", Rule{Name: "r", Action: RuleAllow, Evidence: EvidenceSigned}, "evidence_unused"},
		{"require nothing", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceClaimed}, "evidence_too_low"},
		{"require the unknown", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: "sworn"}, "evidence_unknown"},
		{"require signed", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceSigned}, ""},
		{"signed of a plain profile", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceSigned, Conditions: Conditions{Channels: []Channel{ChannelProfile}}}, "evidence_impossible"},
		{"signed of an account", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceSigned, Conditions: Conditions{Channels: []Channel{ChannelAccount}}}, "evidence_impossible"},
		{"serial only and personal", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceSigned, Conditions: Conditions{Platforms: []Platform{PlatformAndroid}, Ownerships: []Ownership{OwnershipPersonal}}}, "evidence_impossible"},
		{"token of a personal Android device", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceToken, Conditions: Conditions{Platforms: []Platform{PlatformAndroid}, Ownerships: []Ownership{OwnershipPersonal}}}, ""},
		{"signed of a personal iPhone", Rule{Name: "r", Action: RuleRequireEvidence, Evidence: EvidenceSigned, Conditions: Conditions{Platforms: []Platform{PlatformIOS}, Ownerships: []Ownership{OwnershipPersonal}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, c.rule.Check(), KindInvalid, c.code) })
	}
}

// restrictionStore keeps settings and rules in memory.
type restrictionStore struct {
	RestrictionStore
	settings Settings
	rules    []Rule
	reviewed []Decision
	known    Known
	more     bool
	since    time.Time
	deleted  []int // what DeleteDecisions answers, in turn
	before   time.Time
}

func (s *restrictionStore) Settings(context.Context) (Settings, error) { return s.settings, nil }

func (s *restrictionStore) Restrictions(context.Context) (Settings, []Rule, error) {
	return s.settings, slices.Clone(s.rules), nil
}

func (s *restrictionStore) ChangeRestrictions(_ context.Context, change func(Settings, []Rule) (Settings, []Rule, error)) error {
	set, list, err := change(s.settings, slices.Clone(s.rules))
	if err == nil {
		s.settings, s.rules = set, list
	}
	return err
}

func (s *restrictionStore) Review(_ context.Context, since time.Time, _ int, each func(Decision, Known)) (bool, error) {
	s.since = since
	for _, d := range s.reviewed {
		each(d, s.known)
	}
	return s.more, nil
}

func (s *restrictionStore) DeleteDecisions(_ context.Context, before time.Time, _ int) (int, error) {
	if s.before = before; len(s.deleted) == 0 {
		return 0, errors.New("asked once too often")
	}
	n := s.deleted[0]
	s.deleted = s.deleted[1:]
	return n, nil
}

func restrictionsOf(s *restrictionStore, g *gateStore) *Restrictions {
	return NewRestrictions(s, g, func() time.Time { return noon })
}

func TestSettings(t *testing.T) {
	s := &restrictionStore{settings: Settings{PreEnrolledDevicesOnly: ModeAudit}}
	r := restrictionsOf(s, &gateStore{})
	got, err := r.Settings(t.Context())
	if want := (Settings{PreEnrolledDevicesOnly: ModeAudit, UnlistedDevices: UnlistedRefuse, OwnerMismatch: MismatchRefuse, RequiredEvidence: EvidenceClaimed, DecisionDays: 400}); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		change func(*Settings)
		code   string
	}{
		{func(s *Settings) { s.PreEnrolledDevicesOnly = "on" }, "mode_unknown"},
		{func(s *Settings) { s.UnlistedDevices = "admit" }, "unlisted_unknown"},
		{func(s *Settings) { s.OwnerMismatch = "ask" }, "owner_mismatch_unknown"},
		{func(s *Settings) { s.RequiredEvidence = "sworn" }, "evidence_unknown"},
		{func(s *Settings) { s.DevicesPerUser = -1 }, "devices_per_user"},
		{func(s *Settings) { s.DecisionDays = -1 }, "decision_days"},
		{func(s *Settings) { s.DecisionDays = MaxDecisionDays + 1 }, "decision_days"},
	} {
		_, err := r.ChangeSettings(t.Context(), c.change)
		wantError(t, err, KindInvalid, c.code)
	}
	if s.settings != (Settings{PreEnrolledDevicesOnly: ModeAudit}) {
		t.Errorf("a refused change was stored: %+v", s.settings)
	}
	got, err = r.ChangeSettings(t.Context(), func(s *Settings) { s.DevicesPerUser = 3 })
	if err != nil || got.DevicesPerUser != 3 || got.PreEnrolledDevicesOnly != ModeAudit || got.UpdatedAt != noon || s.settings != got {
		t.Errorf("%+v, %v; stored %+v", got, err, s.settings)
	}
}

func TestRules(t *testing.T) {
	s := &restrictionStore{settings: enforced}
	r := restrictionsOf(s, &gateStore{})
	names := func() (out []string) {
		for _, rule := range s.rules {
			out = append(out, rule.Name)
		}
		return out
	}
	for _, name := range []string{"a", "b", "c"} {
		rule := allowAll
		rule.Name = name
		if _, created, err := r.PutRule(t.Context(), rule); err != nil || !created {
			t.Fatalf("%s: %v, %v", name, created, err)
		}
	}
	changed := deny(Conditions{Channels: []Channel{ChannelADE}})
	changed.Name = "b"
	s.rules[1].CreatedAt = noon.Add(-time.Hour)
	if got, created, err := r.PutRule(t.Context(), changed); err != nil || created || got.CreatedAt != noon.Add(-time.Hour) || got.UpdatedAt != noon {
		t.Fatalf("%+v, %v, %v", got, created, err)
	}
	if got, err := r.Rule(t.Context(), "b"); err != nil || got.Action != RuleDeny || !slices.Equal(names(), []string{"a", "b", "c"}) {
		t.Errorf("%+v, %v; order %v", got, err, names())
	}
	for _, c := range []struct {
		names []string
		kind  Kind
		code  string
	}{
		{[]string{"a", "b"}, KindConflict, "rules_missing"}, {[]string{"a", "b", "a"}, KindInvalid, "rule_repeated"}, {[]string{"a", "b", "x"}, KindNotFound, "rule_unknown"}, {nil, KindConflict, "rules_missing"},
	} {
		_, err := r.OrderRules(t.Context(), c.names)
		wantError(t, err, c.kind, c.code)
	}
	if _, err := r.OrderRules(t.Context(), []string{"c", "a", "b"}); err != nil || !slices.Equal(names(), []string{"c", "a", "b"}) {
		t.Errorf("%v, %v", names(), err)
	}
	wantError(t, r.DeleteRule(t.Context(), "x"), KindNotFound, "rule_unknown")
	if err := r.DeleteRule(t.Context(), "a"); err != nil || !slices.Equal(names(), []string{"c", "b"}) {
		t.Errorf("%v, %v", names(), err)
	}
	_, err := r.Rule(t.Context(), "a")
	wantError(t, err, KindNotFound, "rule_unknown")
	for len(s.rules) < MaxRules {
		s.rules = append(s.rules, allowAll)
	}
	rule := allowAll
	rule.Name = "one too many"
	_, _, err = r.PutRule(t.Context(), rule)
	wantError(t, err, KindConflict, "rules_full")
}

// TestSettingsAndRulesThatCannotWork are refused from both sides.
func TestSettingsAndRulesThatCannotWork(t *testing.T) {
	personal := Rule{Name: "own phones", Enabled: true, Action: RuleAllow, Conditions: Conditions{Platforms: []Platform{PlatformAndroid}, Ownerships: []Ownership{OwnershipPersonal}}}
	s := &restrictionStore{rules: rules(personal)}
	r := restrictionsOf(s, &gateStore{})
	signed := func(s *Settings) { s.RequiredEvidence = EvidenceSigned }
	_, err := r.ChangeSettings(t.Context(), signed)
	wantError(t, err, KindInvalid, "evidence_impossible")
	s.rules[0].Enabled = false
	if _, err := r.ChangeSettings(t.Context(), signed); err != nil {
		t.Errorf("a rule that is switched off stands in the way: %v", err)
	}
	_, _, err = r.PutRule(t.Context(), personal)
	wantError(t, err, KindInvalid, "evidence_impossible")
}

func TestForgetDecisions(t *testing.T) {
	s := &restrictionStore{settings: Settings{DecisionDays: 30}, deleted: []int{deleteBatch, deleteBatch, 7}}
	if n, err := restrictionsOf(s, &gateStore{}).ForgetDecisions(t.Context()); err != nil || n != 2*deleteBatch+7 || s.before != noon.AddDate(0, 0, -30) || len(s.deleted) > 0 {
		t.Errorf("%d before %v, %v", n, s.before, err)
	}
}
