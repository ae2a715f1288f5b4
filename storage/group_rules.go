package storage

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"rollcall/enroll"
)

// A rule group's members are kept by two: every change of a device evaluates
// all rules in its own transaction (followRules), and a new or changed rule is
// applied to the devices that were there before in parts, each a transaction
// (EvaluateRules). mutexRules stands between them: a change of a device holds
// it shared, a change of a rule alone. So a device that changes at the same
// time either sees the new rule, or is committed before the first part looks
// for devices.
const mutexRules mutex = 7303101

// evaluateChunk is how many devices one transaction of EvaluateRules takes.
const evaluateChunk = 2000

type ruleRow struct {
	ID         string `json:"id"`
	Rule       string `json:"rule"`
	Generation int64  `json:"generation"`
	To         string `json:"evaluated_to"`
}

// groupRule is a rule and the group it makes.
type groupRule struct {
	ruleRow
	enroll.GroupRule
}

func readRules(ctx context.Context, tx *session, condition string) ([]groupRule, error) {
	var rows []ruleRow
	if err := tx.all(ctx, &rows, `SELECT id, rule, generation, evaluated_to FROM device_groups WHERE rule <> '' `+condition); err != nil {
		return nil, err
	}
	rules := make([]groupRule, len(rows))
	for i, r := range rows {
		rule, err := decode[enroll.GroupRule](r.Rule)
		if err != nil {
			return nil, err
		}
		rules[i] = groupRule{r, rule}
	}
	return rules, nil
}

// setRule gives a group a rule and begins its evaluation.
func setRule(ctx context.Context, tx *session, groupID string, rule enroll.GroupRule, at int64) error {
	_, err := tx.exec(ctx, `UPDATE device_groups SET rule = ?, generation = generation + 1, evaluating = TRUE, evaluated_to = '', evaluated = 0,
		evaluate_total = (SELECT count(*) FROM devices), updated_at = ? WHERE id = ?`, encode(rule), at, groupID)
	return err
}

// ChangeRule implements enroll.GroupStore.
func (s *Store) ChangeRule(ctx context.Context, name string, rule enroll.GroupRule) (g enroll.Group, changed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		changed = false
		if err := tx.do(ctx, tx.mutex(mutexRules, false)); err != nil {
			return err
		}
		var r groupRow
		err := tx.get(ctx, &r, selectGroup+"WHERE g.name = ?", name)
		if errors.Is(err, sql.ErrNoRows) {
			return noGroup(name)
		}
		if err != nil {
			return err
		}
		if g, err = r.group(); err != nil {
			return err
		}
		if g.Rule == nil {
			return enroll.Errorf(enroll.KindConflict, "group_static", "the group %q has no rule; its members are named one by one", name).
				WithHint("Make another group with the rule and bind the policies to it.")
		}
		if g.Rule.Same(rule) {
			return nil
		}
		changed = true
		tx.record(ctx, "group", name, map[string]any{"rule": g.Rule}, map[string]any{"rule": rule})
		if err := setRule(ctx, tx, r.ID, rule, micros(now())); err != nil {
			return err
		}
		if err := tx.get(ctx, &r, selectGroup+"WHERE g.name = ?", name); err != nil {
			return err
		}
		g, err = r.group()
		return err
	})
	if err != nil {
		return enroll.Group{}, false, err
	}
	return g, changed, nil
}

// member is a device that rules are held against.
type member struct {
	ID       string
	Enrolled bool
	Traits   enroll.Traits
}

// followRules makes devices that are written in this transaction members of
// the groups whose rules match them, and of no other rule group.
func followRules(ctx context.Context, tx *session, rows []storedDevice, traits []enroll.Traits) error {
	if err := tx.do(ctx, tx.mutex(mutexRules, true)); err != nil {
		return err
	}
	rules, err := readRules(ctx, tx, "")
	if err != nil || len(rules) == 0 {
		return err
	}
	devices := make([]member, len(rows))
	for i, r := range rows {
		devices[i] = member{r.ID, r.State == string(enroll.StateEnrolled), traits[i]}
	}
	return applyRules(ctx, tx, rules, devices)
}

func applyRules(ctx context.Context, tx *session, rules []groupRule, devices []member) error {
	groups, ids := make([]string, len(rules)), make([]string, len(devices))
	for i, r := range rules {
		groups[i] = r.ID
	}
	for i, d := range devices {
		ids[i] = d.ID
	}
	type membership struct {
		Group  string `json:"group_id"`
		Device string `json:"device_id"`
	}
	var rows []membership
	if err := tx.all(ctx, &rows, `SELECT group_id, device_id FROM memberships WHERE `+tx.in("device_id")+` AND `+tx.in("group_id"), tx.list(ids), tx.list(groups)); err != nil {
		return err
	}
	is := make(map[membership]bool, len(rows))
	for _, r := range rows {
		is[r] = true
	}
	add, remove := map[string][]string{}, map[string][]string{}
	var due []string
	for _, d := range devices {
		moved := false
		for _, r := range rules {
			in, belongs := is[membership{r.ID, d.ID}], r.Matches(d.Traits)
			switch {
			case belongs && !in:
				add[r.ID] = append(add[r.ID], d.ID)
			case in && !belongs:
				remove[r.ID] = append(remove[r.ID], d.ID)
			}
			moved = moved || in != belongs
		}
		if moved && d.Enrolled {
			due = append(due, d.ID)
		}
	}
	if len(due) > 0 {
		if err := tx.do(ctx, tx.mutex(mutexPolicies, true)); err != nil {
			return err
		}
	}
	for _, group := range groups {
		if err := errors.Join(removeMembers(ctx, tx, group, remove[group]), addMembers(ctx, tx, group, add[group])); err != nil {
			return err
		}
	}
	return markDevicesDue(ctx, tx, due)
}

// traitsRow is what rules look at, as it is stored.
type traitsRow struct {
	ID        string `json:"id"`
	Serial    string `json:"serial"`
	Platform  string `json:"platform"`
	Ownership string `json:"ownership"`
	State     string `json:"state"`
	Tags      string `json:"tags"`
	AssetKey  string `json:"asset_key"`
	traits
}

const selectTraits = `SELECT d.id, d.serial, d.platform, d.ownership, d.state, d.tags, d.asset_key, d.effective, d.source, d.domain, d.email, d.model, d.product FROM devices d `

func (r traitsRow) member() (member, error) {
	m := member{ID: r.ID, Enrolled: r.State == string(enroll.StateEnrolled), Traits: enroll.Traits{Platform: r.Platform, Ownership: r.Ownership, Source: r.Source,
		Model: r.Model, Product: r.Product, Serial: strings.ToLower(r.Serial), Email: r.Email, Domain: r.Domain, AssetTag: r.AssetKey, State: r.Effective}}
	if r.Tags == "null" {
		return m, nil
	}
	tags, err := decode[[]string](r.Tags)
	for i, t := range tags {
		tags[i] = strings.ToLower(t)
	}
	m.Traits.Tags = tags
	return m, err
}

// EvaluateRules implements enroll.GroupStore.
func (s *Store) EvaluateRules(ctx context.Context) (more bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		more = false
		rules, err := readRules(ctx, tx, `AND evaluating ORDER BY id LIMIT 1`)
		if err != nil || len(rules) == 0 {
			return err
		}
		more = true
		rule := rules[0]
		// The devices first: every change of a device holds its row when it
		// asks for the rules.
		var rows []traitsRow
		if err := tx.all(ctx, &rows, selectTraits+`WHERE d.id > ? ORDER BY d.id LIMIT ?`+tx.lock(), rule.To, evaluateChunk); err != nil {
			return err
		}
		if err := tx.do(ctx, tx.mutex(mutexRules, true)); err != nil {
			return err
		}
		to, going := rule.To, len(rows) == evaluateChunk
		if len(rows) > 0 {
			to = rows[len(rows)-1].ID
		}
		n, err := tx.exec(ctx, `UPDATE device_groups SET evaluated_to = ?, evaluated = evaluated + ?, evaluating = ? WHERE id = ? AND generation = ? AND evaluated_to = ? AND evaluating`,
			to, len(rows), going, rule.ID, rule.Generation, rule.To)
		if err != nil || n == 0 {
			return err // another server was faster, or the rule is another one now
		}
		devices := make([]member, len(rows))
		for i, r := range rows {
			if devices[i], err = r.member(); err != nil {
				return err
			}
		}
		return applyRules(ctx, tx, rules, devices)
	})
	return more && err == nil, err
}

// PreviewRule implements enroll.GroupStore. It reads all devices, a part at a
// time and without locks.
func (s *Store) PreviewRule(ctx context.Context, rule enroll.GroupRule, examples int) (enroll.RulePreview, error) {
	p := enroll.RulePreview{Examples: []string{}}
	for after := ""; ; {
		var rows []traitsRow
		if err := s.all(ctx, &rows, selectTraits+`WHERE d.serial > ? ORDER BY d.serial LIMIT ?`, after, 2*evaluateChunk); err != nil {
			return p, err
		}
		for _, r := range rows {
			m, err := r.member()
			if err != nil {
				return p, err
			}
			if !rule.Matches(m.Traits) {
				continue
			}
			p.Matches++
			if len(p.Examples) < examples {
				p.Examples = append(p.Examples, r.Serial)
			}
		}
		p.Devices += len(rows)
		if len(rows) < 2*evaluateChunk {
			return p, nil
		}
		after = rows[len(rows)-1].Serial
	}
}
