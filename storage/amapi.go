package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/android/amapi"
	"rollcall/enroll"
)

var _ amapi.Store = (*Store)(nil)

// onlyOrganization is the key of the one row.
const onlyOrganization = "only"

// Organization implements amapi.OrganizationStore.
func (s *Store) Organization(ctx context.Context) (amapi.Organization, error) {
	o, err := organization(ctx, s.reader(ctx), "")
	if err != nil {
		return amapi.Organization{}, unavailable(err)
	}
	if o == nil {
		return amapi.Organization{}, amapi.NoOrganization()
	}
	return *o, nil
}

func organization(ctx context.Context, tx *session, tail string) (*amapi.Organization, error) {
	var state string
	err := tx.get(ctx, &state, `SELECT state FROM amapi_organization WHERE id = ?`+tail, onlyOrganization)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := decode[amapi.Organization](state)
	return &o, err
}

// auditedOrganization is what the audit log keeps of an organization.
func auditedOrganization(o *amapi.Organization) any {
	if o == nil {
		return nil
	}
	return map[string]any{"project": o.Project, "account": o.Account, "name": o.Name, "topic": o.Topic, "subscription": o.Subscription, "delivery": o.Delivery,
		"push_account": o.PushAccount, "settings": o.Settings}
}

// ChangeOrganization implements amapi.OrganizationStore.
func (s *Store) ChangeOrganization(ctx context.Context, change func(*amapi.Organization) (amapi.Organization, error)) (amapi.Organization, error) {
	var fresh amapi.Organization
	err := s.write(ctx, func(tx *session) error {
		old, err := organization(ctx, tx, tx.lock())
		if err != nil {
			return err
		}
		if fresh, err = change(old); err != nil {
			return err
		}
		if _, audited := enroll.CallOf(ctx); audited {
			tx.record(ctx, "android_enterprise", onlyOrganization, auditedOrganization(old), auditedOrganization(&fresh))
		}
		_, err = tx.exec(ctx, `INSERT INTO amapi_organization (id, state) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state`, onlyOrganization, clean(encode(fresh)))
		return err
	})
	return fresh, err
}

// DeleteOrganization implements amapi.OrganizationStore.
func (s *Store) DeleteOrganization(ctx context.Context, at time.Time) error {
	return s.write(ctx, func(tx *session) error {
		old, err := organization(ctx, tx, tx.lock())
		if err != nil {
			return err
		}
		if old == nil {
			return amapi.NoOrganization()
		}
		var devices []string
		if err := tx.all(ctx, &devices, `SELECT device_id FROM amapi_devices WHERE enrollment_id <> '' ORDER BY device_id`); err != nil {
			return err
		}
		for _, id := range devices {
			if err := endOfProtocol(ctx, tx, id, protocolAMAPI, at); err != nil {
				return err
			}
		}
		for _, table := range []string{"amapi_organization", "amapi_jobs", "amapi_tokens", "amapi_messages", "amapi_devices", "amapi_operations", "amapi_policies"} {
			if _, err := tx.exec(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
		}
		tx.record(ctx, "android_enterprise", onlyOrganization, auditedOrganization(old), nil)
		return nil
	})
}

// endOfProtocol ends the enrollment of a device, if it is one of a protocol.
func endOfProtocol(ctx context.Context, tx *session, deviceID, protocol string, at time.Time) error {
	device, err := lockDevice(ctx, tx, deviceID)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	var ended []enrollmentRow
	if err := tx.all(ctx, &ended, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE e.device_id = ? AND e.protocol = ? AND e.ended_at = 0 ORDER BY e.id`+tx.lock(),
		deviceID, protocol); err != nil {
		return err
	}
	if err := endEnrollments(ctx, tx, ended, deviceID, at); err != nil {
		return err
	}
	for _, e := range ended {
		if err := unenroll(ctx, tx, device, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// ClaimJob implements amapi.OrganizationStore. A job that was never done is due.
func (s *Store) ClaimJob(ctx context.Context, job, worker string, now time.Time, lease time.Duration) (bool, error) {
	// Most looks find nothing, and are to cost no write.
	var row struct {
		DueAt      int64 `json:"due_at"`
		LeaseUntil int64 `json:"lease_until"`
	}
	err := s.one(ctx, &row, `SELECT due_at, lease_until FROM amapi_jobs WHERE job = ?`, job)
	if err == nil && (row.DueAt > micros(now) || row.LeaseUntil > micros(now)) {
		return false, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	var claimed bool
	err = s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `INSERT INTO amapi_jobs (job, worker, due_at, asked_at, lease_until) VALUES (?, ?, 0, 0, ?)
			ON CONFLICT (job) DO UPDATE SET worker = excluded.worker, lease_until = excluded.lease_until, asked_at = 0
			WHERE amapi_jobs.due_at <= ? AND amapi_jobs.lease_until <= ?`, job, worker, micros(now.Add(lease)), micros(now), micros(now))
		claimed = n > 0
		return err
	})
	return claimed && err == nil, err
}

// HoldJob implements amapi.OrganizationStore.
func (s *Store) HoldJob(ctx context.Context, job, worker string, until time.Time) error {
	return s.ownJob(ctx, `UPDATE amapi_jobs SET lease_until = ? WHERE job = ? AND worker = ?`, micros(until), job, worker)
}

// FinishJob implements amapi.OrganizationStore. What has become due meanwhile
// stays so.
func (s *Store) FinishJob(ctx context.Context, job, worker string, dueAt time.Time) error {
	return s.ownJob(ctx, `UPDATE amapi_jobs SET worker = '', lease_until = 0, due_at = CASE WHEN asked_at > 0 THEN asked_at ELSE CAST(? AS bigint) END, asked_at = 0
		WHERE job = ? AND worker = ?`, micros(dueAt), job, worker)
}

func (s *Store) ownJob(ctx context.Context, query string, args ...any) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, query, args...)
		if err == nil && n == 0 {
			return enroll.ErrLeaseLost
		}
		return err
	})
}

// JobDue implements amapi.OrganizationStore.
func (s *Store) JobDue(ctx context.Context, job string, at time.Time) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO amapi_jobs (job, worker, due_at, asked_at, lease_until) VALUES (?, '', ?, 0, 0)
			ON CONFLICT (job) DO UPDATE SET due_at = CASE WHEN amapi_jobs.due_at < excluded.due_at THEN amapi_jobs.due_at ELSE excluded.due_at END,
				asked_at = CASE WHEN amapi_jobs.worker <> '' THEN excluded.due_at ELSE 0 END`, job, micros(at))
		return err
	})
}

// bucket holds burst calls and gets one more with every.
type bucket struct {
	every time.Duration
	burst time.Duration // in time
}

// The bucket of a project holds 100 calls and gets 500 a minute, so that within
// no minute there are more than the 600 that Google allows a project. Of those,
// the sign-in page gets 100 a minute at most.
var (
	budget  = bucket{time.Minute / 500, 100 * (time.Minute / 500)}
	signIns = bucket{time.Minute / 80, 20 * (time.Minute / 80)}
)

// signInKey is the bucket of the sign-in page; no project has such a name.
func signInKey(project string) string { return project + "#signin" }

// TakeCall implements amapi.Budget.
func (s *Store) TakeCall(ctx context.Context, project string, now time.Time) (time.Duration, error) {
	return s.take(ctx, project, budget, now)
}

// TakeSignIn implements amapi.OrganizationStore.
func (s *Store) TakeSignIn(ctx context.Context, project string, now time.Time) (time.Duration, error) {
	return s.take(ctx, signInKey(project), signIns, now)
}

// take is one statement: full_at moves on by one call, unless the bucket is
// empty.
func (s *Store) take(ctx context.Context, key string, b bucket, now time.Time) (time.Duration, error) {
	var wait time.Duration
	err := s.write(ctx, func(tx *session) error {
		wait = 0
		if err := tx.do(ctx, tx.lazy()); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `INSERT INTO amapi_budget (project, full_at) VALUES (?, ?)
			ON CONFLICT (project) DO UPDATE SET full_at = CASE WHEN amapi_budget.full_at > ? THEN amapi_budget.full_at ELSE CAST(? AS bigint) END + ?
			WHERE amapi_budget.full_at <= ?`, key, micros(now.Add(b.every)), micros(now), micros(now), b.every.Microseconds(), micros(now.Add(b.burst-b.every)))
		if err != nil || n > 0 {
			return err
		}
		var full int64
		if err := tx.get(ctx, &full, `SELECT full_at FROM amapi_budget WHERE project = ?`, key); err != nil {
			return err
		}
		wait = max(instant(full).Sub(now.Add(b.burst-b.every)), time.Millisecond)
		return nil
	})
	return wait, err
}

// HoldCalls implements amapi.Budget.
func (s *Store) HoldCalls(ctx context.Context, project string, until time.Time) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO amapi_budget (project, full_at) VALUES (?, ?)
			ON CONFLICT (project) DO UPDATE SET full_at = CASE WHEN amapi_budget.full_at > excluded.full_at THEN amapi_budget.full_at ELSE excluded.full_at END`,
			project, micros(until.Add(budget.burst-budget.every)))
		return err
	})
}

type amapiTokenRow struct {
	ID         string `json:"id"`
	DeviceID   string `json:"device_id"`
	Serial     string `json:"serial"`
	Mode       string `json:"mode"`
	Identified string `json:"identified"`
	IMEI       string `json:"imei"`
	DecisionID string `json:"decision_id"`
	NonceHash  []byte `json:"nonce_hash"`
	Name       string `json:"name"`
	State      string `json:"state"`
	UsedBy     string `json:"used_by"`
	CreatedAt  int64  `json:"created_at"`
	ExpiresAt  int64  `json:"expires_at"`
}

const selectAMAPIToken = `SELECT id, device_id, serial, mode, identified, imei, decision_id, nonce_hash, name, state, used_by, created_at, expires_at FROM amapi_tokens WHERE id = ?`

// AddBoundToken implements amapi.TokenStore.
func (s *Store) AddBoundToken(ctx context.Context, t amapi.BoundToken) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO amapi_tokens (id, device_id, serial, mode, identified, imei, decision_id, nonce_hash, name, state, used_by, created_at, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)`, t.ID, t.DeviceID, t.Serial, string(t.Mode), clean(t.Identified), clean(t.IMEI), t.DecisionID, t.NonceHash,
			t.Name, string(t.State), micros(t.CreatedAt), micros(t.ExpiresAt))
		return err
	})
}

// BoundTokenMade implements amapi.TokenStore.
func (s *Store) BoundTokenMade(ctx context.Context, id, name string) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE amapi_tokens SET name = ?, state = ? WHERE id = ? AND state = ?`, clean(name), string(amapi.TokenMade), id, string(amapi.TokenAsked))
		return err
	})
}

// BoundToken implements amapi.TokenStore.
func (s *Store) BoundToken(ctx context.Context, id string) (amapi.BoundToken, error) {
	var r amapiTokenRow
	err := s.one(ctx, &r, selectAMAPIToken, clean(id))
	if errors.Is(err, sql.ErrNoRows) {
		return amapi.BoundToken{}, enroll.Errorf(enroll.KindNotFound, "amapi_token_unknown", "there is no such token")
	}
	return amapi.BoundToken{ID: r.ID, DeviceID: r.DeviceID, Serial: r.Serial, Mode: amapi.Mode(r.Mode), Identified: r.Identified, IMEI: r.IMEI, DecisionID: r.DecisionID,
		NonceHash: r.NonceHash, Name: r.Name, State: amapi.TokenState(r.State), UsedBy: r.UsedBy, CreatedAt: instant(r.CreatedAt), ExpiresAt: instant(r.ExpiresAt)}, err
}
