package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"rollcall/enroll"
)

type groupRow struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	CreatedAt int64  `json:"created_at"`
	UpdatedAt int64  `json:"updated_at"`
	Devices   int    `json:"devices"`
}

const selectGroup = `SELECT g.id, g.name, g.created_at, g.updated_at,
	(SELECT count(*) FROM memberships m WHERE m.group_id = g.id) AS devices FROM device_groups g `

func (r groupRow) group() enroll.Group {
	return enroll.Group{ID: r.ID, Name: r.Name, CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), Devices: r.Devices}
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
	if err := s.one(ctx, &r, selectGroup+"WHERE g.name = ?", name); errors.Is(err, sql.ErrNoRows) {
		return enroll.Group{}, noGroup(name)
	} else if err != nil {
		return enroll.Group{}, err
	}
	return r.group(), nil
}

// Groups implements enroll.RollStore.
func (s *Store) Groups(ctx context.Context) ([]enroll.Group, error) {
	return s.groups(ctx, selectGroup+"ORDER BY g.name")
}

// GroupsOf implements enroll.RollStore; by name.
func (s *Store) GroupsOf(ctx context.Context, deviceID string) ([]enroll.Group, error) {
	return s.groups(ctx, selectGroup+"WHERE g.id IN (SELECT o.group_id FROM memberships o WHERE o.device_id = ?) ORDER BY g.name", deviceID)
}

func (s *Store) groups(ctx context.Context, query string, args ...any) ([]enroll.Group, error) {
	var rows []groupRow
	if err := s.all(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	groups := make([]enroll.Group, len(rows))
	for i, r := range rows {
		groups[i] = r.group()
	}
	return groups, nil
}

// CreateGroup implements enroll.RollStore.
func (s *Store) CreateGroup(ctx context.Context, g enroll.Group) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `INSERT INTO device_groups (id, name, created_at, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
			g.ID, g.Name, micros(g.CreatedAt), micros(g.UpdatedAt))
		if err == nil && n == 0 {
			return enroll.Errorf(enroll.KindConflict, "group_exists", "there is a group with the name %q", g.Name)
		}
		return err
	})
}

// DeleteGroup implements enroll.RollStore.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexPolicies, false)); err != nil {
			return err
		}
		id, err := groupID(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := markDue(ctx, tx, `e.device_id IN (SELECT m.device_id FROM memberships m WHERE m.group_id = ?)`, id); err != nil {
			return err
		}
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

// ChangeMembers implements enroll.RollStore. A serial in both lists is added.
func (s *Store) ChangeMembers(ctx context.Context, group string, add, remove []string) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexPolicies, true)); err != nil {
			return err
		}
		// Devices before the group: the order in which everybody locks.
		if _, err := serialsToIDs(ctx, tx, slices.Concat(add, remove)); err != nil {
			return err
		}
		id, err := groupID(ctx, tx, group)
		if err != nil {
			return err
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
		if _, err := tx.exec(ctx, `DELETE FROM memberships WHERE group_id = ? AND `+tx.in("device_id"), id, tx.list(removing)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO memberships (group_id, device_id) SELECT CAST(? AS text), d.id FROM devices d WHERE `+tx.in("d.id"),
			id, tx.list(adding)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE device_groups SET updated_at = ? WHERE id = ?`, micros(now()), id); err != nil {
			return err
		}
		return markDevicesDue(ctx, tx, slices.Concat(adding, removing))
	})
}
