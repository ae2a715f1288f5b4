package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"rollcall/enroll"
)

type groupRow struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Rule       string `json:"rule"`
	Evaluating bool   `json:"evaluating"`
	Evaluated  int    `json:"evaluated"`
	Total      int    `json:"evaluate_total"`
	CreatedAt  int64  `json:"created_at"`
	UpdatedAt  int64  `json:"updated_at"`
	Devices    int    `json:"devices"`
}

const (
	groupColumns = `g.id, g.name, g.rule, g.evaluating, g.evaluated, g.evaluate_total, g.created_at, g.updated_at`
	selectGroup  = `SELECT ` + groupColumns + `, (SELECT count(*) FROM memberships m WHERE m.group_id = g.id) AS devices FROM device_groups g `
	// selectGroups counts as many members as its first argument, and no more.
	selectGroups = `SELECT ` + groupColumns + `, (SELECT count(*) FROM (SELECT 1 FROM memberships m WHERE m.group_id = g.id LIMIT ?) AS counted) AS devices FROM device_groups g `
)

func (r groupRow) group() (enroll.Group, error) {
	g := enroll.Group{ID: r.ID, Name: r.Name, Evaluation: enroll.Evaluation{Running: r.Evaluating, Done: r.Evaluated, Total: r.Total},
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), Devices: r.Devices}
	if r.Rule == "" {
		return g, nil
	}
	rule, err := decode[enroll.GroupRule](r.Rule)
	g.Rule = &rule
	return g, err
}

func noGroup(name string) error {
	return enroll.Errorf(enroll.KindNotFound, "group_unknown", "no group has the name %q", name)
}

// groupID finds a group by name and keeps it from being deleted.
func groupID(ctx context.Context, tx *session, name string) (string, error) {
	var id string
	err := tx.get(ctx, &id, `SELECT id FROM device_groups WHERE name = ?`+tx.lock(), name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", noGroup(name)
	}
	return id, err
}

// Group implements enroll.RollStore.
func (s *Store) Group(ctx context.Context, name string) (enroll.Group, error) {
	var r groupRow
	if err := s.one(ctx, &r, selectGroups+"WHERE g.name = ?", exactMembers+1, name); errors.Is(err, sql.ErrNoRows) {
		return enroll.Group{}, noGroup(name)
	} else if err != nil {
		return enroll.Group{}, err
	}
	var err error
	if r.Devices, err = s.sizes.of(ctx, s, r.ID, r.Devices); err != nil {
		return enroll.Group{}, err
	}
	return r.group()
}

// Groups implements enroll.RollStore.
func (s *Store) Groups(ctx context.Context) ([]enroll.Group, error) {
	groups, err := s.groups(ctx, selectGroups+"ORDER BY g.name", exactMembers+1)
	for i := 0; i < len(groups) && err == nil; i++ {
		groups[i].Devices, err = s.sizes.of(ctx, s, groups[i].ID, groups[i].Devices)
	}
	return groups, err
}

// GroupsOf implements enroll.RollStore.
func (s *Store) GroupsOf(ctx context.Context, deviceID string) ([]enroll.Group, error) {
	return s.groups(ctx, "SELECT "+groupColumns+" FROM device_groups g WHERE g.id IN (SELECT o.group_id FROM memberships o WHERE o.device_id = ?) ORDER BY g.name", deviceID)
}

func (s *Store) groups(ctx context.Context, query string, args ...any) ([]enroll.Group, error) {
	var rows []groupRow
	if err := s.all(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	groups := make([]enroll.Group, len(rows))
	for i, r := range rows {
		var err error
		if groups[i], err = r.group(); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// GroupNames implements enroll.GroupStore.
func (s *Store) GroupNames(ctx context.Context, deviceIDs []string) (map[string][]string, error) {
	var rows []struct {
		DeviceID string `json:"device_id"`
		Name     string `json:"name"`
	}
	if err := s.all(ctx, &rows, `SELECT m.device_id, g.name FROM memberships m JOIN device_groups g ON g.id = m.group_id WHERE `+s.in("m.device_id")+` ORDER BY g.name`,
		s.list(deviceIDs)); err != nil {
		return nil, err
	}
	names := make(map[string][]string, len(deviceIDs))
	for _, r := range rows {
		names[r.DeviceID] = append(names[r.DeviceID], r.Name)
	}
	return names, nil
}

// CreateGroup implements enroll.RollStore.
func (s *Store) CreateGroup(ctx context.Context, g enroll.Group) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexRules, g.Rule == nil)); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `INSERT INTO device_groups (id, name, created_at, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
			g.ID, g.Name, micros(g.CreatedAt), micros(g.UpdatedAt))
		if err == nil && n == 0 {
			return enroll.Errorf(enroll.KindConflict, "group_exists", "there is a group with the name %q", g.Name)
		}
		tx.record(ctx, "group", g.Name, nil, map[string]any{"name": g.Name, "rule": g.Rule})
		if err != nil || g.Rule == nil {
			return err
		}
		return setRule(ctx, tx, g.ID, *g.Rule, micros(g.UpdatedAt))
	})
}

// DeleteGroup implements enroll.RollStore.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		for _, m := range []mutex{mutexRestrictions, mutexRules, mutexPolicies} {
			if err := tx.do(ctx, tx.mutex(m, m == mutexRestrictions)); err != nil {
				return err
			}
		}
		id, err := groupID(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := unusedByGate(ctx, tx, name); err != nil {
			return err
		}
		if err := markDue(ctx, tx, `e.device_id IN (SELECT m.device_id FROM memberships m WHERE m.group_id = ?)`, id); err != nil {
			return err
		}
		tx.record(ctx, "group", name, map[string]string{"name": name}, nil)
		for _, query := range []string{
			`DELETE FROM bindings WHERE group_id = ? AND group_id <> ''`,
			`DELETE FROM device_groups WHERE id = ?`, // with memberships
		} {
			if _, err := tx.exec(ctx, query, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// unusedByGate refuses where a rule of the gate, also one that is switched off,
// names the group: without it, the rule would mean something else.
func unusedByGate(ctx context.Context, tx *session, group string) error {
	rules, err := gateRules(ctx, tx)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if slices.Contains(r.Conditions.Groups, group) {
			return enroll.Errorf(enroll.KindConflict, "group_in_rule", "the rule %q of the gate is about the group %q", r.Name, group).
				WithHint("Take the group out of the rule, or delete the rule, first (/api/v1/gate/rules).")
		}
	}
	return nil
}

// ChangeMembers implements enroll.RollStore. A serial in both lists is added.
func (s *Store) ChangeMembers(ctx context.Context, group string, add, remove []string) error {
	return s.write(ctx, func(tx *session) error {
		// Devices, then what stands for many, then the group: the order in which
		// everybody locks.
		if _, err := serialsToIDs(ctx, tx, slices.Concat(add, remove)); err != nil {
			return err
		}
		if err := tx.do(ctx, tx.mutex(mutexPolicies, true)); err != nil {
			return err
		}
		id, err := groupID(ctx, tx, group)
		if err != nil {
			return err
		}
		var byRule bool
		if err := tx.get(ctx, &byRule, `SELECT rule <> '' FROM device_groups WHERE id = ?`, id); err != nil {
			return err
		}
		if byRule {
			return enroll.Errorf(enroll.KindConflict, "group_by_rule", "the members of the group %q are those its rule matches", group).
				WithHint("Change the rule, or what it looks at on the device; or bind the policy to a static group.")
		}
		adding, err := serialsToIDs(ctx, tx, add)
		if err != nil {
			return err
		}
		removing, err := serialsToIDs(ctx, tx, remove)
		if err != nil {
			return err
		}
		var before []string
		if err := tx.all(ctx, &before, `SELECT device_id FROM memberships WHERE group_id = ? AND `+tx.in("device_id"),
			id, tx.list(slices.Concat(adding, removing))); err != nil {
			return err
		}
		member := make(map[string]bool, len(before))
		for _, device := range before {
			member[device] = true
		}
		adds := make(map[string]bool, len(adding))
		for _, device := range adding {
			adds[device] = true
		}
		adding = slices.DeleteFunc(adding, func(device string) bool { return member[device] })
		removing = slices.DeleteFunc(removing, func(device string) bool { return !member[device] || adds[device] })
		if len(adding) == 0 && len(removing) == 0 {
			return nil
		}
		if err := errors.Join(removeMembers(ctx, tx, id, removing), addMembers(ctx, tx, id, adding)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE device_groups SET updated_at = ? WHERE id = ?`, micros(now()), id); err != nil {
			return err
		}
		tx.record(ctx, "group", group, nil, map[string][]string{"added": add, "removed": remove})
		return markDevicesDue(ctx, tx, slices.Concat(adding, removing))
	})
}

// addMembers puts devices into a group; those who are in it stay.
func addMembers(ctx context.Context, tx *session, groupID string, deviceIDs []string) error {
	if len(deviceIDs) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, `INSERT INTO memberships (group_id, device_id, serial) SELECT CAST(? AS text), d.id, d.serial FROM devices d WHERE `+tx.in("d.id")+
		` ON CONFLICT (group_id, device_id) DO NOTHING`, groupID, tx.list(deviceIDs))
	return err
}

// removeMembers takes devices out of a group.
func removeMembers(ctx context.Context, tx *session, groupID string, deviceIDs []string) error {
	if len(deviceIDs) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, `DELETE FROM memberships WHERE group_id = ? AND `+tx.in("device_id"), groupID, tx.list(deviceIDs))
	return err
}
