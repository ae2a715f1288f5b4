package enroll

import (
	"context"
	"slices"
	"time"
)

// Settings are the Enrollment Restrictions. The zero value of each field is its
// default.
type Settings struct {
	PreEnrolledDevicesOnly Mode
	UnlistedDevices        UnlistedDevices // what enforcing does with devices that are not on the roll
	OwnerMismatch          OwnerMismatch
	RequiredEvidence       Evidence // how well a device must prove its serial; empty: claiming it is enough
	DevicesPerUser         int      // how many devices a user may have enrolled; 0: any number
	DecisionDays           int      // how long decisions are kept; 0: DefaultDecisionDays
	UpdatedAt              time.Time
}

// UnlistedDevices is what becomes of devices that are not on the roll while
// Pre-enrolled Devices Only is enforced.
type UnlistedDevices string

// The choices; empty is UnlistedRefuse.
const (
	UnlistedRefuse UnlistedDevices = "refuse"
	UnlistedHold   UnlistedDevices = "hold" // until an admin approves them
)

// OwnerMismatch is what becomes of a device that another user enrolls than the
// one its row belongs to.
type OwnerMismatch string

// The choices; empty is MismatchRefuse.
const (
	MismatchIgnore OwnerMismatch = "ignore"
	MismatchWarn   OwnerMismatch = "warn" // admit, and say so in the trace
	MismatchRefuse OwnerMismatch = "refuse"
)

// Bounds of the settings. Decisions are kept a year and a month if nothing
// else is said.
const (
	DefaultDecisionDays = 400
	MaxDecisionDays     = 3650
	MaxDevicesPerUser   = 100_000
	MaxRules            = 100
)

// WithDefaults is s with every default written out.
func (s Settings) WithDefaults() Settings {
	if s.PreEnrolledDevicesOnly == "" {
		s.PreEnrolledDevicesOnly = ModeOff
	}
	if s.UnlistedDevices == "" {
		s.UnlistedDevices = UnlistedRefuse
	}
	if s.OwnerMismatch == "" {
		s.OwnerMismatch = MismatchRefuse
	}
	if s.RequiredEvidence == "" {
		s.RequiredEvidence = EvidenceClaimed
	}
	if s.DecisionDays == 0 {
		s.DecisionDays = DefaultDecisionDays
	}
	return s
}

// Check says what is wrong with the settings by themselves, or nil.
func (s Settings) Check() error {
	s = s.WithDefaults()
	switch {
	case !slices.Contains(Modes, s.PreEnrolledDevicesOnly):
		return Errorf(KindInvalid, "mode_unknown", "the mode %q does not exist", s.PreEnrolledDevicesOnly).WithHint("Use one of off, audit, enforce.")
	case s.UnlistedDevices != UnlistedRefuse && s.UnlistedDevices != UnlistedHold:
		return Errorf(KindInvalid, "unlisted_unknown", "devices that are not on the roll cannot be treated as %q", s.UnlistedDevices).WithHint("Use refuse or hold.")
	case !slices.Contains([]OwnerMismatch{MismatchIgnore, MismatchWarn, MismatchRefuse}, s.OwnerMismatch):
		return Errorf(KindInvalid, "owner_mismatch_unknown", "an owner mismatch cannot be treated as %q", s.OwnerMismatch).WithHint("Use one of ignore, warn, refuse.")
	case s.RequiredEvidence.rank() < 0:
		return evidenceUnknown(s.RequiredEvidence)
	case s.DevicesPerUser < 0 || s.DevicesPerUser > MaxDevicesPerUser:
		return Errorf(KindInvalid, "devices_per_user", "%d devices for each user are not possible", s.DevicesPerUser).WithHint("Use 0 for any number, or a limit up to %d.", MaxDevicesPerUser)
	case s.DecisionDays < 1 || s.DecisionDays > MaxDecisionDays:
		return Errorf(KindInvalid, "decision_days", "decisions cannot be kept for %d days", s.DecisionDays).WithHint("Use 1 to %d.", MaxDecisionDays)
	}
	return nil
}

func evidenceUnknown(e Evidence) error {
	return Errorf(KindInvalid, "evidence_unknown", "the evidence %q does not exist", e).WithHint("Use one of claimed, token, signed, attested.")
}

// RestrictionStore keeps the settings and the rules of the gate. Changes of
// either happen one after the other: change sees both, may be called again,
// and an error from it leaves all as it was.
type RestrictionStore interface {
	Settings(ctx context.Context) (Settings, error)             // ModeOff before the first change
	Restrictions(ctx context.Context) (Settings, []Rule, error) // rules in their order
	ChangeRestrictions(ctx context.Context, change func(Settings, []Rule) (Settings, []Rule, error)) error
	// Review hands on the newest decision of each serial since a time, newest
	// first, without its trace, with what is known of the serial now except
	// for requests and holders. It looks at no more than limit decisions; more
	// says that there were more.
	Review(ctx context.Context, since time.Time, limit int, each func(Decision, Known)) (more bool, err error)
	// DeleteDecisions removes up to limit decisions made before a time, oldest
	// first, and says how many.
	DeleteDecisions(ctx context.Context, before time.Time, limit int) (int, error)
}

// Restrictions is what admins do with the settings and rules of the gate.
type Restrictions struct {
	store RestrictionStore
	gate  GateStore
	now   func() time.Time
}

// NewRestrictions makes the service; a nil clock is time.Now.
func NewRestrictions(store RestrictionStore, gate GateStore, now func() time.Time) *Restrictions {
	if now == nil {
		now = time.Now
	}
	return &Restrictions{store: store, gate: gate, now: now}
}

// Settings are the settings with their defaults written out.
func (r *Restrictions) Settings(ctx context.Context) (Settings, error) {
	s, err := r.store.Settings(ctx)
	return s.WithDefaults(), err
}

// ChangeSettings changes settings if they can work, alone and with the rules.
func (r *Restrictions) ChangeSettings(ctx context.Context, change func(*Settings)) (Settings, error) {
	var out Settings
	err := r.store.ChangeRestrictions(ctx, func(s Settings, rules []Rule) (Settings, []Rule, error) {
		s = s.WithDefaults()
		change(&s)
		s = s.WithDefaults()
		if err := s.Check(); err != nil {
			return s, nil, err
		}
		for _, rule := range rules {
			if err := rule.reaches(s); err != nil {
				return s, nil, err
			}
		}
		s.UpdatedAt = r.now().UTC()
		out = s
		return s, rules, nil
	})
	if err != nil {
		return Settings{}, err
	}
	return out, nil
}

// Rules lists the rules in their order.
func (r *Restrictions) Rules(ctx context.Context) ([]Rule, error) {
	_, rules, err := r.store.Restrictions(ctx)
	return rules, err
}

// Rule finds a rule by its name.
func (r *Restrictions) Rule(ctx context.Context, name string) (Rule, error) {
	rules, err := r.Rules(ctx)
	if err != nil {
		return Rule{}, err
	}
	i := indexRule(rules, name)
	if i < 0 {
		return Rule{}, noRule(name)
	}
	return rules[i], nil
}

// PutRule makes a rule, at the end of the order, or changes the one with this
// name.
func (r *Restrictions) PutRule(ctx context.Context, rule Rule) (_ Rule, created bool, err error) {
	if err := rule.Check(); err != nil {
		return Rule{}, false, err
	}
	now := r.now().UTC()
	rule.CreatedAt, rule.UpdatedAt = now, now
	err = r.store.ChangeRestrictions(ctx, func(s Settings, rules []Rule) (Settings, []Rule, error) {
		if err := rule.reaches(s.WithDefaults()); err != nil {
			return s, nil, err
		}
		i := indexRule(rules, rule.Name)
		if created = i < 0; !created {
			rule.CreatedAt = rules[i].CreatedAt
			rules[i] = rule
			return s, rules, nil
		}
		if len(rules) >= MaxRules {
			return s, nil, Errorf(KindConflict, "rules_full", "there are %d rules; more are not possible", len(rules)).WithHint("Delete rules that are no longer needed.")
		}
		return s, append(rules, rule), nil
	})
	if err != nil {
		return Rule{}, false, err
	}
	return rule, created, nil
}

// DeleteRule removes a rule.
func (r *Restrictions) DeleteRule(ctx context.Context, name string) error {
	return r.store.ChangeRestrictions(ctx, func(s Settings, rules []Rule) (Settings, []Rule, error) {
		i := indexRule(rules, name)
		if i < 0 {
			return s, nil, noRule(name)
		}
		return s, slices.Delete(rules, i, i+1), nil
	})
}

// OrderRules puts the rules in this order, which names each of them once.
func (r *Restrictions) OrderRules(ctx context.Context, names []string) ([]Rule, error) {
	var out []Rule
	err := r.store.ChangeRestrictions(ctx, func(s Settings, rules []Rule) (Settings, []Rule, error) {
		out = make([]Rule, 0, len(rules))
		for _, name := range names {
			i := indexRule(rules, name)
			switch {
			case i < 0:
				return s, nil, noRule(name)
			case indexRule(out, name) >= 0:
				return s, nil, Errorf(KindInvalid, "rule_repeated", "the rule %q is named twice", name)
			}
			out = append(out, rules[i])
		}
		if len(out) < len(rules) {
			return s, nil, Errorf(KindConflict, "rules_missing", "%d of %d rules are named", len(out), len(rules)).WithHint("Read the rules again, and name every one in the order they are to have.")
		}
		return s, out, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func indexRule(rules []Rule, name string) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })
}

func noRule(name string) error {
	return Errorf(KindNotFound, "rule_unknown", "no rule has the name %q", name)
}

const deleteBatch = 1000

// ForgetDecisions removes decisions that are older than the settings say, in
// batches, and says how many.
func (r *Restrictions) ForgetDecisions(ctx context.Context) (int, error) {
	s, err := r.Settings(ctx)
	if err != nil {
		return 0, err
	}
	before := r.now().UTC().AddDate(0, 0, -s.DecisionDays)
	for all := 0; ; {
		n, err := r.store.DeleteDecisions(ctx, before, deleteBatch)
		if all += n; err != nil || n < deleteBatch {
			return all, err
		}
	}
}
