package storage

import (
	"context"
	"reflect"
	"slices"
	"time"

	"rollcall/enroll"
)

var _ enroll.RestrictionStore = (*Store)(nil)

// mutexRestrictions orders changes of the settings and rules of the gate.
const mutexRestrictions mutex = 7303201

// gateRuleRow is a row of the table gate_rules.
type gateRuleRow struct {
	Name       string `json:"name"`
	Position   int    `json:"position"`
	Enabled    bool   `json:"enabled"`
	Conditions string `json:"conditions"`
	Action     string `json:"action"`
	Evidence   string `json:"evidence"`
	CreatedAt  int64  `json:"created_at"`
	UpdatedAt  int64  `json:"updated_at"`
}

const gateRuleFields = `name text, position bigint, enabled boolean, conditions text, action text, evidence text, created_at bigint, updated_at bigint`

var (
	gateRuleNames   = columnNames(gateRuleFields)
	selectGateRules = "SELECT " + columns("", gateRuleNames) + " FROM gate_rules ORDER BY position"
	insertGateRules = "INSERT INTO gate_rules (" + columns("", gateRuleNames) + ") SELECT " + columns("r.", gateRuleNames) + " FROM "
)

func gateRules(ctx context.Context, tx *session) ([]enroll.Rule, error) {
	var rows []gateRuleRow
	if err := tx.all(ctx, &rows, selectGateRules); err != nil {
		return nil, err
	}
	rules := make([]enroll.Rule, 0, len(rows))
	for _, r := range rows {
		conditions, err := decode[enroll.Conditions](r.Conditions)
		if err != nil {
			return nil, err
		}
		rules = append(rules, enroll.Rule{Name: r.Name, Enabled: r.Enabled, Conditions: conditions, Action: enroll.RuleAction(r.Action),
			Evidence: enroll.Evidence(r.Evidence), CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt)})
	}
	return rules, nil
}

// enabledRules are the rules the gate asks.
func enabledRules(ctx context.Context, tx *session) ([]enroll.Rule, error) {
	rules, err := gateRules(ctx, tx)
	return slices.DeleteFunc(rules, func(r enroll.Rule) bool { return !r.Enabled }), err
}

// Restrictions implements enroll.RestrictionStore.
func (s *Store) Restrictions(ctx context.Context) (set enroll.Settings, rules []enroll.Rule, err error) {
	err = s.read(ctx, func(tx *session) (err error) {
		if set, err = settings(ctx, tx); err == nil {
			rules, err = gateRules(ctx, tx)
		}
		return err
	})
	return set, rules, err
}

// ChangeRestrictions implements enroll.RestrictionStore.
func (s *Store) ChangeRestrictions(ctx context.Context, change func(enroll.Settings, []enroll.Rule) (enroll.Settings, []enroll.Rule, error)) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexRestrictions, false)); err != nil {
			return err
		}
		set, err := settings(ctx, tx)
		if err != nil {
			return err
		}
		rules, err := gateRules(ctx, tx)
		if err != nil {
			return err
		}
		before := auditedRules(rules)
		fresh, rules, err := change(set, rules)
		if err != nil {
			return err
		}
		if fresh != set {
			if err := putSettings(ctx, tx, fresh); err != nil {
				return err
			}
		}
		after := auditedRules(rules)
		if !reflect.DeepEqual(before, after) {
			tx.record(ctx, "settings", "gate_rules", before, after)
		}
		rows := make([]gateRuleRow, len(rules))
		for i, r := range rules {
			rows[i] = gateRuleRow{Name: clean(r.Name), Position: i, Enabled: r.Enabled, Conditions: clean(encode(r.Conditions)), Action: string(r.Action),
				Evidence: string(r.Evidence), CreatedAt: micros(r.CreatedAt), UpdatedAt: micros(r.UpdatedAt)}
		}
		if _, err := tx.exec(ctx, `DELETE FROM gate_rules`); err != nil || len(rows) == 0 {
			return err
		}
		_, err = tx.exec(ctx, insertGateRules+tx.records(gateRuleFields), encode(rows))
		return err
	})
}

type auditedRule struct {
	Name       string            `json:"name"`
	Enabled    bool              `json:"enabled"`
	Action     enroll.RuleAction `json:"action"`
	Evidence   enroll.Evidence   `json:"evidence,omitempty"`
	Conditions enroll.Conditions `json:"conditions"`
}

// auditedRules is what the audit log keeps of the rules, in their order.
func auditedRules(rules []enroll.Rule) []auditedRule {
	out := make([]auditedRule, len(rules))
	for i, r := range rules {
		out[i] = auditedRule{r.Name, r.Enabled, r.Action, r.Evidence, r.Conditions}
	}
	return out
}

// Review implements enroll.RestrictionStore.
func (s *Store) Review(ctx context.Context, since time.Time, limit int, each func(enroll.Decision, enroll.Known)) (more bool, err error) {
	var decisions []enroll.Decision
	known := map[string]enroll.Known{} // by serial
	err = s.read(ctx, func(tx *session) (err error) {
		decisions, more, err = newestDecisions(ctx, tx, since, limit)
		if err != nil {
			return err
		}
		var basis enroll.Known
		if basis.Settings, err = settings(ctx, tx); err != nil {
			return err
		}
		if basis.Rules, err = enabledRules(ctx, tx); err != nil {
			return err
		}
		clear(known)
		for part := range slices.Chunk(decisions, 1000) {
			serials := make([]string, len(part))
			for i, d := range part {
				serials[i] = d.Serial
				known[d.Serial] = basis
			}
			if err := knowAll(ctx, tx, serials, known); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, d := range decisions {
		each(d, known[d.Serial])
	}
	return more, nil
}

// newestDecisions reads the newest decision of each serial, without its trace.
func newestDecisions(ctx context.Context, tx *session, since time.Time, limit int) ([]enroll.Decision, bool, error) {
	var rows []decisionRow
	if err := tx.all(ctx, &rows, `SELECT id, at, channel, platform, serial, evidence, facts, mode, outcome, code, enforced, device_id, request_id, '[]' AS trace,
		remote_addr, near_misses, repaired_at, repaired_by, repaired_serial FROM decisions WHERE at >= ? ORDER BY at DESC, id DESC LIMIT ?`, micros(since), limit+1); err != nil {
		return nil, false, err
	}
	seen := map[string]bool{"": true} // a device without a serial is no particular one
	var newest []enroll.Decision
	for _, r := range rows[:min(len(rows), limit)] {
		if seen[r.Serial] {
			continue
		}
		seen[r.Serial] = true
		d, err := r.decision()
		if err != nil {
			return nil, false, err
		}
		newest = append(newest, d)
	}
	return newest, len(rows) > limit, nil
}

// knowAll is knownOf for many serials, without requests and holders.
func knowAll(ctx context.Context, tx *session, serials []string, known map[string]enroll.Known) error {
	var approvals []approvalRow
	if err := tx.all(ctx, &approvals, selectApproval+"WHERE "+tx.in("a.serial"), tx.list(serials)); err != nil {
		return err
	}
	for _, r := range approvals {
		k, a := known[r.Serial], r.approval()
		k.Approval = &a
		known[r.Serial] = k
	}
	var rows []deviceRow
	if err := tx.all(ctx, &rows, selectDevice+"WHERE "+tx.in("d.serial"), tx.list(serials)); err != nil {
		return err
	}
	for _, r := range rows {
		d, err := r.device()
		if err != nil {
			return err
		}
		k := known[r.Serial]
		k.Device = &d
		if err := knowMore(ctx, tx, &k, enroll.Attempt{At: now()}, ""); err != nil {
			return err
		}
		known[r.Serial] = k
	}
	return nil
}
