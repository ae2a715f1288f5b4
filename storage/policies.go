package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/policy/document"
)

var _ policy.Store = (*Store)(nil)

type policyRow struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Version     int64  `json:"version"`
	Percent     int    `json:"rollout_percent"`
	PerMinute   int    `json:"rollout_per_minute"`
	Paused      bool   `json:"rollout_paused"`
	Base        int64  `json:"rollout_base"`
	CreatedAt   int64  `json:"created_at"`

	// Of the version.
	Priority  int    `json:"priority"`
	Document  []byte `json:"document"`
	Restored  int64  `json:"restored"`
	UpdatedAt int64  `json:"updated_at"`
	UpdatedBy string `json:"updated_by"`
}

const (
	policyColumns = `p.id, p.name, p.description, v.version, p.rollout_percent, p.rollout_per_minute, p.rollout_paused, p.rollout_base, p.created_at,
		v.priority, v.restored, v.created_at AS updated_at, v.created_by AS updated_by`
	selectPolicy   = `SELECT ` + policyColumns + `, v.document FROM policies p JOIN policy_versions v ON v.policy_id = p.id `
	currentVersion = `v.version = p.version `

	documentOfPolicy = "policy_versions/document" // sealed: it holds passwords and keys
)

func documentKey(id string, version int64) string { return id + "/" + strconv.FormatInt(version, 10) }

// policy makes a policy of a row; its document only where it was read.
func (s *Store) policy(r policyRow) (policy.Policy, error) {
	p := policy.Policy{ID: r.ID, Name: r.Name, Description: r.Description, Version: r.Version, Restored: r.Restored, Priority: r.Priority,
		Rollout:   policy.Rollout{Percent: r.Percent, PerMinute: r.PerMinute, Paused: r.Paused, Base: r.Base},
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), UpdatedBy: r.UpdatedBy}
	if r.Document == nil {
		return p, nil
	}
	text, err := s.unseal(documentOfPolicy, documentKey(r.ID, r.Version), r.Document)
	if err != nil {
		return p, err
	}
	p.Document, err = decode[document.Document](string(text))
	return p, err
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
	if err := s.one(ctx, &r, selectPolicy+"WHERE "+currentVersion+"AND p.name = ?", name); errors.Is(err, sql.ErrNoRows) {
		return policy.Policy{}, noPolicy(name)
	} else if err != nil {
		return policy.Policy{}, err
	}
	return s.policy(r)
}

// Policies implements policy.Store.
func (s *Store) Policies(ctx context.Context) ([]policy.Policy, error) {
	var rows []policyRow
	if err := s.all(ctx, &rows, selectPolicy+"WHERE "+currentVersion+"ORDER BY p.name"); err != nil {
		return nil, err
	}
	return s.policies(rows)
}

// ChangePolicy implements policy.Store. A policy may get another name, unless
// that is taken: KindConflict.
func (s *Store) ChangePolicy(ctx context.Context, name string, change func(*policy.Policy) (policy.Policy, error)) (p policy.Policy, changed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		p, changed = policy.Policy{}, false
		old, err := s.lockPolicy(ctx, tx, name)
		if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
			return err
		}
		fresh, err := change(old)
		if err != nil {
			return err
		}
		text := encode(fresh.Document)
		fresh.UpdatedAt, fresh.UpdatedBy = now(), enroll.ActorOf(ctx)
		if old == nil {
			fresh.Version, fresh.Rollout = 1, policy.Everybody
			if fresh.ID == "" {
				fresh.ID = enroll.NewID()
			}
			if fresh.CreatedAt.IsZero() {
				fresh.CreatedAt = fresh.UpdatedAt
			}
		} else {
			fresh.ID, fresh.CreatedAt, fresh.Version, fresh.Rollout = old.ID, old.CreatedAt, old.Version+1, old.Rollout
			if fresh.Name == old.Name && fresh.Priority == old.Priority && text == encode(old.Document) {
				p = *old
				return s.describePolicy(ctx, tx, &p, fresh.Description)
			}
		}
		if err := s.savePolicy(ctx, tx, fresh, text); err != nil {
			return err
		}
		p, changed = fresh, true
		tx.record(ctx, "policy", fresh.Name, auditedPolicy(old), auditedPolicy(&fresh))
		return s.markPolicyDue(ctx, tx, fresh)
	})
	if err != nil {
		return policy.Policy{}, false, err
	}
	return p, changed, nil
}

// describePolicy changes the description alone, which no device is told.
func (s *Store) describePolicy(ctx context.Context, tx *session, p *policy.Policy, description string) error {
	if p.Description == description {
		return nil
	}
	tx.record(ctx, "policy", p.Name, map[string]string{"description": p.Description}, map[string]string{"description": description})
	p.Description = description
	_, err := tx.exec(ctx, `UPDATE policies SET description = ? WHERE id = ?`, description, p.ID)
	return err
}

// lockPolicy reads a policy for a change, alone among those who change what
// many devices get.
func (s *Store) lockPolicy(ctx context.Context, tx *session, name string) (*policy.Policy, error) {
	if err := tx.do(ctx, tx.mutex(mutexPolicies, false)); err != nil {
		return nil, err
	}
	var row policyRow
	err := tx.get(ctx, &row, selectPolicy+"WHERE "+currentVersion+"AND p.name = ?"+tx.lock(), name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noPolicy(name)
	}
	if err != nil {
		return nil, err
	}
	p, err := s.policy(row)
	return &p, err
}

func (s *Store) savePolicy(ctx context.Context, tx *session, p policy.Policy, text string) error {
	var taken bool
	if err := tx.get(ctx, &taken, `SELECT EXISTS (SELECT 1 FROM policies WHERE name = ? AND id <> ?)`, p.Name, p.ID); err != nil {
		return err
	}
	if taken {
		return enroll.Errorf(enroll.KindConflict, "policy_exists", "there is a policy with the name %q", p.Name)
	}
	sealed, err := s.seal(documentOfPolicy, documentKey(p.ID, p.Version), []byte(text))
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `INSERT INTO policies (id, name, description, version, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, version = excluded.version, updated_at = excluded.updated_at`,
		p.ID, p.Name, p.Description, p.Version, micros(p.CreatedAt), micros(p.UpdatedAt)); err != nil {
		return err
	}
	_, err = tx.exec(ctx, `INSERT INTO policy_versions (policy_id, version, priority, document, restored, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.Version, p.Priority, sealed, p.Restored, micros(p.UpdatedAt), p.UpdatedBy)
	return err
}

// DeletePolicy implements policy.Store.
func (s *Store) DeletePolicy(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		p, err := s.lockPolicy(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := markDue(ctx, tx, boundTo, p.ID, p.ID, p.ID); err != nil {
			return err
		}
		tx.record(ctx, "policy", name, map[string]string{"name": name}, nil)
		_, err = tx.exec(ctx, `DELETE FROM policies WHERE id = ?`, p.ID) // with its versions and bindings
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

// Versions implements policy.Store.
func (s *Store) Versions(ctx context.Context, name string, page enroll.Page) ([]policy.Policy, error) {
	before := int64(1) << 62
	if page.After != "" {
		var err error
		if before, err = strconv.ParseInt(page.After, 10, 64); err != nil {
			return nil, cursorInvalid()
		}
	}
	var rows []policyRow
	err := s.read(ctx, func(tx *session) error {
		var id string
		err := tx.get(ctx, &id, `SELECT id FROM policies WHERE name = ?`, name)
		if errors.Is(err, sql.ErrNoRows) {
			return noPolicy(name)
		}
		if err != nil {
			return err
		}
		return tx.all(ctx, &rows, `SELECT `+policyColumns+` FROM policies p JOIN policy_versions v ON v.policy_id = p.id
			WHERE p.id = ? AND v.version < ? ORDER BY v.version DESC LIMIT ?`, id, before, pageLimit(page))
	})
	if err != nil {
		return nil, err
	}
	return s.policies(rows)
}

// Version implements policy.Store.
func (s *Store) Version(ctx context.Context, name string, version int64) (policy.Policy, error) {
	var r policyRow
	if err := s.one(ctx, &r, selectPolicy+"WHERE p.name = ? AND v.version = ?", name, version); errors.Is(err, sql.ErrNoRows) {
		return policy.Policy{}, enroll.Errorf(enroll.KindNotFound, "policy_version_unknown", "no policy %q has a version %d", name, version)
	} else if err != nil {
		return policy.Policy{}, err
	}
	return s.policy(r)
}

// ChangeRollout implements policy.Store.
func (s *Store) ChangeRollout(ctx context.Context, name string, change func(policy.Policy) (policy.Rollout, error)) (p policy.Policy, changed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		changed = false
		old, err := s.lockPolicy(ctx, tx, name)
		if err != nil {
			return err
		}
		p = *old
		if p.Rollout, err = change(*old); err != nil || p.Rollout == old.Rollout {
			return err
		}
		changed = true
		if _, err := tx.exec(ctx, `UPDATE policies SET rollout_percent = ?, rollout_per_minute = ?, rollout_paused = ?, rollout_base = ? WHERE id = ?`,
			p.Rollout.Percent, p.Rollout.PerMinute, p.Rollout.Paused, p.Rollout.Base, p.ID); err != nil {
			return err
		}
		tx.record(ctx, "policy", name, auditedRollout(old.Rollout), auditedRollout(p.Rollout))
		return s.markPolicyDue(ctx, tx, p)
	})
	if err != nil {
		return policy.Policy{}, false, err
	}
	return p, changed, nil
}

func auditedRollout(r policy.Rollout) any {
	return map[string]string{"percent": fmt.Sprint(r.Percent), "per_minute": fmt.Sprint(r.PerMinute), "paused": fmt.Sprint(r.Paused)}
}
