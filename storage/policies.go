package storage

import (
	"context"
	"database/sql"
	"errors"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/policy/document"
)

var _ policy.Store = (*Store)(nil)

type policyRow struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Version    int64  `json:"version"`
	DeviceName string `json:"device_name"`
	Profiles   []byte `json:"profiles"`
	CreatedAt  int64  `json:"created_at"`
	UpdatedAt  int64  `json:"updated_at"`
}

const (
	selectPolicy     = `SELECT p.id, p.name, p.version, p.device_name, p.profiles, p.created_at, p.updated_at FROM policies p `
	profilesOfPolicy = "policies/profiles" // sealed: profiles hold passwords and keys
)

func (s *Store) policy(r policyRow) (policy.Policy, error) {
	text, err := s.unseal(profilesOfPolicy, r.ID, r.Profiles)
	if err != nil {
		return policy.Policy{}, err
	}
	profiles, err := decode[[]document.Profile](string(text))
	return policy.Policy{ID: r.ID, Name: r.Name, Version: r.Version, DeviceName: r.DeviceName, Profiles: profiles,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt)}, err
}

func (s *Store) policies(rows []policyRow) ([]policy.Policy, error) {
	policies := make([]policy.Policy, 0, len(rows))
	for _, r := range rows {
		p, err := s.policy(r)
		if err != nil {
			return nil, err
		}
		policies = append(policies, p)
	}
	return policies, nil
}

func noPolicy(name string) error {
	return enroll.Errorf(enroll.KindNotFound, "policy_unknown", "no policy has the name %q", name)
}

// Policy implements policy.Store.
func (s *Store) Policy(ctx context.Context, name string) (policy.Policy, error) {
	var r policyRow
	if err := s.one(ctx, &r, selectPolicy+"WHERE p.name = ?", name); errors.Is(err, sql.ErrNoRows) {
		return policy.Policy{}, noPolicy(name)
	} else if err != nil {
		return policy.Policy{}, err
	}
	return s.policy(r)
}

// Policies implements policy.Store.
func (s *Store) Policies(ctx context.Context) ([]policy.Policy, error) {
	var rows []policyRow
	if err := s.all(ctx, &rows, selectPolicy+"ORDER BY p.name"); err != nil {
		return nil, err
	}
	return s.policies(rows)
}

// boundTo chooses the enrollments of devices that a policy is bound to, itself
// or through a group.
const boundTo = `e.device_id IN (SELECT b.device_id FROM bindings b WHERE b.policy_id = ? AND b.device_id <> ''
	UNION SELECT m.device_id FROM bindings b JOIN memberships m ON m.group_id = b.group_id WHERE b.policy_id = ? AND b.group_id <> '')`

// ChangePolicy implements policy.Store. A policy may get another name, unless
// that is taken: KindConflict.
func (s *Store) ChangePolicy(ctx context.Context, name string, change func(*policy.Policy) (policy.Policy, error)) (p policy.Policy, changed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		p, changed = policy.Policy{}, false
		if err := tx.do(ctx, tx.mutex(mutexPolicies, false)); err != nil {
			return err
		}
		var row policyRow
		var old *policy.Policy
		err := tx.get(ctx, &row, selectPolicy+"WHERE p.name = ?"+tx.lock(), name)
		switch {
		case err == nil:
			known, err := s.policy(row)
			if err != nil {
				return err
			}
			old = &known
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		fresh, err := change(old)
		if err != nil {
			return err
		}
		profiles := encode(fresh.Profiles)
		fresh.UpdatedAt = now()
		if old != nil {
			fresh.ID, fresh.CreatedAt, fresh.Version = old.ID, old.CreatedAt, old.Version
			if fresh.Name == old.Name && fresh.DeviceName == old.DeviceName && profiles == encode(old.Profiles) {
				p = *old
				return nil
			}
		}
		if fresh.ID == "" {
			fresh.ID = enroll.NewID()
		}
		if fresh.CreatedAt.IsZero() {
			fresh.CreatedAt = fresh.UpdatedAt
		}
		fresh.Version++
		if old == nil {
			fresh.Version = 1
		}
		var taken bool
		if err := tx.get(ctx, &taken, `SELECT EXISTS (SELECT 1 FROM policies WHERE name = ? AND id <> ?)`, fresh.Name, fresh.ID); err != nil {
			return err
		}
		if taken {
			return enroll.Errorf(enroll.KindConflict, "policy_exists", "there is a policy with the name %q", fresh.Name)
		}
		sealed, err := s.seal(profilesOfPolicy, fresh.ID, []byte(profiles))
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO policies (id, name, version, device_name, profiles, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, device_name = excluded.device_name,
			profiles = excluded.profiles, updated_at = excluded.updated_at`,
			fresh.ID, fresh.Name, fresh.Version, fresh.DeviceName, sealed, micros(fresh.CreatedAt), micros(fresh.UpdatedAt)); err != nil {
			return err
		}
		p, changed = fresh, true
		tx.record(ctx, "policy", fresh.Name, auditedPolicy(old), auditedPolicy(&fresh))
		return markDue(ctx, tx, boundTo, fresh.ID, fresh.ID)
	})
	if err != nil {
		return policy.Policy{}, false, err
	}
	return p, changed, nil
}

// DeletePolicy implements policy.Store.
func (s *Store) DeletePolicy(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexPolicies, false)); err != nil {
			return err
		}
		id, err := policyID(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := markDue(ctx, tx, boundTo, id, id); err != nil {
			return err
		}
		tx.record(ctx, "policy", name, map[string]string{"name": name}, nil)
		_, err = tx.exec(ctx, `DELETE FROM policies WHERE id = ?`, id) // with its bindings
		return err
	})
}

func policyID(ctx context.Context, tx *session, name string) (string, error) {
	var id string
	err := tx.get(ctx, &id, `SELECT id FROM policies WHERE name = ?`+tx.lock(), name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", noPolicy(name)
	}
	return id, err
}

// Bind implements policy.Store.
func (s *Store) Bind(ctx context.Context, name string, to policy.Target) (bool, error) {
	return s.rebind(ctx, name, to, func(tx *session, p, group, device string) (int64, error) {
		return tx.exec(ctx, `INSERT INTO bindings (id, policy_id, group_id, device_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			enroll.NewID(), p, group, device)
	})
}

// Unbind implements policy.Store.
func (s *Store) Unbind(ctx context.Context, name string, from policy.Target) (bool, error) {
	return s.rebind(ctx, name, from, func(tx *session, p, group, device string) (int64, error) {
		return tx.exec(ctx, `DELETE FROM bindings WHERE policy_id = ? AND group_id = ? AND device_id = ?`, p, group, device)
	})
}

func (s *Store) rebind(ctx context.Context, name string, target policy.Target, write func(tx *session, policyID, groupID, deviceID string) (int64, error)) (bool, error) {
	if (target.Group == "") == (target.Serial == "") {
		return false, enroll.Errorf(enroll.KindInvalid, "binding_target", "a policy is bound to either a group or a device")
	}
	changed := false
	err := s.write(ctx, func(tx *session) error {
		changed = false
		if err := tx.do(ctx, tx.mutex(mutexPolicies, false)); err != nil {
			return err
		}
		var group, device string
		due, dueArg := `e.device_id = ?`, ""
		if target.Serial != "" {
			ids, err := serialsToIDs(ctx, tx, []string{target.Serial})
			if err != nil {
				return err
			}
			device, dueArg = ids[0], ids[0]
		} else {
			id, err := groupID(ctx, tx, target.Group)
			if err != nil {
				return err
			}
			group, dueArg = id, id
			due = `e.device_id IN (SELECT m.device_id FROM memberships m WHERE m.group_id = ?)`
		}
		id, err := policyID(ctx, tx, name)
		if err != nil {
			return err
		}
		n, err := write(tx, id, group, device)
		if err != nil || n == 0 {
			return err
		}
		changed = true
		tx.record(ctx, "policy", name, nil, map[string]string{"group": target.Group, "serial": target.Serial})
		return markDue(ctx, tx, due, dueArg)
	})
	return changed && err == nil, err
}

// Bindings implements policy.Store; in the order of binding.
func (s *Store) Bindings(ctx context.Context, name string) ([]policy.Target, error) {
	var targets []policy.Target
	err := s.read(ctx, func(tx *session) error {
		var id string
		if err := tx.get(ctx, &id, `SELECT id FROM policies WHERE name = ?`, name); errors.Is(err, sql.ErrNoRows) {
			return noPolicy(name)
		} else if err != nil {
			return err
		}
		var rows []struct {
			Group  string `json:"group_name"`
			Serial string `json:"serial"`
		}
		if err := tx.all(ctx, &rows, `SELECT coalesce(g.name, '') AS group_name, coalesce(d.serial, '') AS serial FROM bindings b
			LEFT JOIN device_groups g ON g.id = b.group_id LEFT JOIN devices d ON d.id = b.device_id WHERE b.policy_id = ? ORDER BY b.id`, id); err != nil {
			return err
		}
		targets = make([]policy.Target, len(rows))
		for i, r := range rows {
			targets[i] = policy.Target{Group: r.Group, Serial: r.Serial}
		}
		return nil
	})
	return targets, err
}

// Effective implements policy.Store. A policy that reaches the device twice is
// listed once, where it comes first.
func (s *Store) Effective(ctx context.Context, deviceID string) ([]policy.Policy, error) {
	policies, err := s.effective(ctx, s.pool(), deviceID)
	return policies, unavailable(err)
}

func (s *Store) effective(ctx context.Context, tx *session, deviceID string) ([]policy.Policy, error) {
	var rows []policyRow
	err := tx.all(ctx, &rows, `SELECT p.id, p.name, p.version, p.device_name, p.profiles, p.created_at, p.updated_at FROM (
			SELECT b.policy_id, min(b.place) AS place FROM (
				SELECT o.policy_id, '0' || o.id AS place FROM bindings o WHERE o.device_id = ? AND o.device_id <> ''
				UNION ALL
				SELECT o.policy_id, '1' || o.id FROM memberships m JOIN bindings o ON o.group_id = m.group_id AND o.group_id <> '' WHERE m.device_id = ?
			) AS b GROUP BY b.policy_id
		) AS f JOIN policies p ON p.id = f.policy_id ORDER BY f.place`, deviceID, deviceID)
	if err != nil {
		return nil, err
	}
	return s.policies(rows)
}
