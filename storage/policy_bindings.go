package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

// boundTo chooses the enrollments of devices that a policy is bound to, itself,
// through a user or through a group.
const boundTo = `e.device_id IN (SELECT b.device_id FROM bindings b WHERE b.policy_id = ? AND b.device_id <> ''
	UNION SELECT d.id FROM bindings b JOIN devices d ON d.user_id = b.user_id WHERE b.policy_id = ? AND b.user_id <> ''
	UNION SELECT m.device_id FROM bindings b JOIN memberships m ON m.group_id = b.group_id WHERE b.policy_id = ? AND b.group_id <> '')`

// markPolicyDue makes the delivery of the devices due that a policy is bound
// to: of all at once, or of those its roll-out reaches, one after the other.
func (s *Store) markPolicyDue(ctx context.Context, tx *session, p policy.Policy) error {
	if p.Rollout.PerMinute == 0 {
		return markDue(ctx, tx, boundTo, p.ID, p.ID, p.ID)
	}
	var devices []string
	if err := tx.all(ctx, &devices, `SELECT e.device_id FROM enrollments e WHERE e.state = 'active' AND e.user_id = '' AND `+boundTo+` ORDER BY e.device_id`,
		p.ID, p.ID, p.ID); err != nil {
		return err
	}
	if p.Rollout.Staged() {
		devices = slices.DeleteFunc(devices, func(id string) bool { return !p.Rollout.Reaches(p.ID, id) })
	}
	return s.markAgain(ctx, tx, devices, p.Rollout.At)
}

// markAgain gives each of the devices its turn: then it is planned, and before
// it keeps the versions it has.
func (s *Store) markAgain(ctx context.Context, tx *session, devices []string, at func(n int, start time.Time) time.Time) error {
	type again struct {
		DeviceID string `json:"device_id"`
		At       int64  `json:"at"`
	}
	start := now()
	const chunk = 1000
	for first := 0; first < len(devices); first += chunk {
		part := devices[first:min(first+chunk, len(devices))]
		rows := make([]again, len(part))
		for i, id := range part {
			rows[i] = again{id, micros(at(first+i, start))}
		}
		if _, err := tx.exec(ctx, `INSERT INTO deliveries (device_id, generation, planned, due_at, lease_until, again_at, turn_at)
			SELECT r.device_id, 1, 0, 0, 0, CAST(r.at AS bigint), CAST(r.at AS bigint) FROM `+tx.records("device_id text, at bigint")+` WHERE true ORDER BY r.device_id
			ON CONFLICT (device_id) DO UPDATE SET generation = deliveries.generation + 1, turn_at = excluded.turn_at,
				again_at = CASE WHEN deliveries.again_at > 0 AND deliveries.again_at < excluded.again_at THEN deliveries.again_at ELSE excluded.again_at END`,
			encode(rows)); err != nil {
			return err
		}
	}
	return nil
}

// Bind implements policy.Store.
func (s *Store) Bind(ctx context.Context, name string, to policy.Target) (bool, error) {
	return s.rebind(ctx, name, to, func(tx *session, b bindingRow) (int64, error) {
		return tx.exec(ctx, `INSERT INTO bindings (id, policy_id, group_id, device_id, user_id) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			enroll.NewID(), b.policy, b.group, b.device, b.user)
	})
}

// Unbind implements policy.Store.
func (s *Store) Unbind(ctx context.Context, name string, from policy.Target) (bool, error) {
	return s.rebind(ctx, name, from, func(tx *session, b bindingRow) (int64, error) {
		return tx.exec(ctx, `DELETE FROM bindings WHERE policy_id = ? AND group_id = ? AND device_id = ? AND user_id = ?`, b.policy, b.group, b.device, b.user)
	})
}

// bindingRow has the IDs of a policy and of one of the others.
type bindingRow struct{ policy, group, device, user string }

func (s *Store) rebind(ctx context.Context, name string, target policy.Target, write func(tx *session, b bindingRow) (int64, error)) (bool, error) {
	if err := target.Check(); err != nil {
		return false, err
	}
	changed := false
	err := s.write(ctx, func(tx *session) error {
		changed = false
		if err := tx.do(ctx, tx.mutex(mutexPolicies, false)); err != nil {
			return err
		}
		b, due, dueArg, err := findTarget(ctx, tx, target)
		if err != nil {
			return err
		}
		if b.policy, err = policyID(ctx, tx, name); err != nil {
			return err
		}
		n, err := write(tx, b)
		if err != nil || n == 0 {
			return err
		}
		changed = true
		tx.record(ctx, "policy", name, nil, map[string]string{"group": target.Group, "serial": target.Serial, "user": target.User})
		return markDue(ctx, tx, due, dueArg)
	})
	return changed && err == nil, err
}

// findTarget finds what a target names, and the condition for the enrollments
// that a binding to it touches.
func findTarget(ctx context.Context, tx *session, t policy.Target) (b bindingRow, due, arg string, err error) {
	switch {
	case t.Serial != "":
		ids, err := serialsToIDs(ctx, tx, []string{t.Serial})
		if err != nil {
			return b, "", "", err
		}
		b.device = ids[0]
		return b, `e.device_id = ?`, b.device, nil
	case t.Group != "":
		b.group, err = groupID(ctx, tx, t.Group)
		return b, `e.device_id IN (SELECT m.device_id FROM memberships m WHERE m.group_id = ?)`, b.group, err
	}
	err = tx.get(ctx, &b.user, `SELECT id FROM users WHERE email = lower(?) AND domain = ?`+tx.lock(), t.User, t.Domain)
	if errors.Is(err, sql.ErrNoRows) {
		err = enroll.Errorf(enroll.KindNotFound, "user_unknown", "the domain %q has no user %q", t.Domain, t.User)
	}
	return b, `e.device_id IN (SELECT d.id FROM devices d WHERE d.user_id = ?)`, b.user, err
}

// Bindings implements policy.Store, in the order of the key.
func (s *Store) Bindings(ctx context.Context, name string, page enroll.Page) ([]policy.Binding, error) {
	after, from := bindingRow{}, "" // beyond everything
	if page.After != "" {
		ids := strings.Split(page.After, "/")
		if len(ids) != 3 {
			return nil, cursorInvalid()
		}
		after, from = bindingRow{group: ids[0], device: ids[1], user: ids[2]}, `AND (b.group_id, b.device_id, b.user_id) < (?, ?, ?) `
	}
	var bindings []policy.Binding
	err := s.read(ctx, func(tx *session) error {
		var id string
		if err := tx.get(ctx, &id, `SELECT id FROM policies WHERE name = ?`, name); errors.Is(err, sql.ErrNoRows) {
			return noPolicy(name)
		} else if err != nil {
			return err
		}
		args := []any{id}
		if from != "" {
			args = append(args, after.group, after.device, after.user)
		}
		var rows []struct {
			GroupID  string `json:"group_id"`
			DeviceID string `json:"device_id"`
			UserID   string `json:"user_id"`
			Group    string `json:"group_name"`
			Serial   string `json:"serial"`
			User     string `json:"email"`
			Domain   string `json:"domain"`
		}
		if err := tx.all(ctx, &rows, `SELECT b.group_id, b.device_id, b.user_id, coalesce(g.name, '') AS group_name, coalesce(d.serial, '') AS serial,
				coalesce(u.email, '') AS email, coalesce(u.domain, '') AS domain FROM bindings b
			LEFT JOIN device_groups g ON g.id = b.group_id LEFT JOIN devices d ON d.id = b.device_id LEFT JOIN users u ON u.id = b.user_id
			WHERE b.policy_id = ? `+from+`ORDER BY b.group_id DESC, b.device_id DESC, b.user_id DESC LIMIT ?`, append(args, pageLimit(page))...); err != nil {
			return err
		}
		bindings = make([]policy.Binding, len(rows))
		for i, r := range rows {
			bindings[i] = policy.Binding{Target: policy.Target{Group: r.Group, Serial: r.Serial, User: r.User, Domain: r.Domain}, Key: r.GroupID + "/" + r.DeviceID + "/" + r.UserID}
		}
		return nil
	})
	return bindings, err
}

// BoundTo implements policy.Store.
func (s *Store) BoundTo(ctx context.Context) (map[string]policy.BoundTo, error) {
	out := map[string]policy.BoundTo{}
	err := s.read(ctx, func(tx *session) error {
		var single []struct {
			Name    string `json:"name"`
			Users   int    `json:"users"`
			Devices int    `json:"devices"`
		}
		if err := tx.all(ctx, &single, `SELECT p.name, c.users, c.devices FROM policies p JOIN (
			SELECT policy_id, count(CASE WHEN user_id <> '' THEN 1 END) AS users, count(CASE WHEN device_id <> '' THEN 1 END) AS devices
			FROM bindings GROUP BY policy_id) c ON c.policy_id = p.id`); err != nil {
			return err
		}
		for _, r := range single {
			out[r.Name] = policy.BoundTo{Users: r.Users, Devices: r.Devices}
		}
		var groups []struct {
			Name  string `json:"name"`
			Group string `json:"group_name"`
		}
		if err := tx.all(ctx, &groups, `SELECT p.name, g.name AS group_name FROM bindings b JOIN policies p ON p.id = b.policy_id
			JOIN device_groups g ON g.id = b.group_id WHERE b.group_id <> '' ORDER BY g.name`); err != nil {
			return err
		}
		for _, r := range groups {
			to := out[r.Name]
			to.Groups = append(to.Groups, r.Group)
			out[r.Name] = to
		}
		return nil
	})
	return out, err
}

// Reaching implements policy.Store. A policy that reaches the device twice is
// listed once, where it comes first.
func (s *Store) Reaching(ctx context.Context, r policy.Reach) ([]policy.Bound, error) {
	var bound []policy.Bound
	err := s.read(ctx, func(tx *session) error {
		rows, err := reachingDevices(ctx, tx, []string{r.DeviceID})
		if err != nil {
			return err
		}
		var more []reachRow
		if err := tx.all(ctx, &more, `SELECT '' AS device_id, b.policy_id, 1 AS place, '' AS group_name, b.id FROM bindings b WHERE b.user_id = ? AND b.user_id <> ''
			UNION ALL SELECT '', b.policy_id, 2, g.name, b.id FROM bindings b JOIN device_groups g ON g.id = b.group_id WHERE `+tx.in("g.name"),
			r.UserID, tx.list(r.Groups)); err != nil {
			return err
		}
		for _, m := range more {
			m.DeviceID = r.DeviceID
			rows = append(rows, m)
		}
		slices.SortFunc(rows, reachRow.compare)
		has := map[string]plannedRow{}
		if r.DeviceID != "" {
			if has, err = plannedVersions(ctx, tx, []string{r.DeviceID}); err != nil {
				return err
			}
		}
		all, err := s.boundPolicies(ctx, tx, rows, has)
		bound = all[r.DeviceID]
		return err
	})
	return bound, err
}
