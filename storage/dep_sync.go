package storage

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"rollcall/dep"
	"rollcall/dep/cloud"
	"rollcall/enroll"
)

// Steps that the roll has to make for a device of DEP.
const (
	rollAdd    = "add"
	rollLearn  = "learn"
	rollGroup  = "group" // the default groups have changed
	rollRemove = "remove"
)

type depDeviceRow struct {
	AccountID     string `json:"account_id"`
	Serial        string `json:"serial"`
	Family        string `json:"family"`
	Facts         string `json:"facts"`
	ProfileUUID   string `json:"profile_uuid"`
	ProfileStatus string `json:"profile_status"`
	AssignedAt    int64  `json:"assigned_at"`
	PushedAt      int64  `json:"pushed_at"`
	OpAt          int64  `json:"op_at"`
	Generation    int64  `json:"generation"`
	DeletedAt     int64  `json:"deleted_at"`
	RollStep      string `json:"roll_step"`
	Outcome       string `json:"outcome"`
	Attempts      int    `json:"attempts"`
	RetryAt       int64  `json:"retry_at"`
}

const depDeviceFields = `account_id text, serial text, family text, facts text, profile_uuid text, profile_status text, assigned_at bigint, pushed_at bigint, op_at bigint, generation bigint,
	deleted_at bigint, roll_step text, outcome text, attempts bigint, retry_at bigint`

var (
	depDeviceNames  = columnNames(depDeviceFields)
	selectDEPDevice = "SELECT " + columns("d.", depDeviceNames) + " FROM dep_devices d "
	upsertDEPDevice = func() (before, after string) {
		set := make([]string, 0, len(depDeviceNames))
		for _, n := range depDeviceNames[2:] {
			set = append(set, n+" = excluded."+n)
		}
		return "INSERT INTO dep_devices (" + columns("", depDeviceNames) + ") SELECT " + columns("r.", depDeviceNames) + " FROM ",
			" WHERE true ON CONFLICT (account_id, serial) DO UPDATE SET " + strings.Join(set, ", ")
	}
)

func saveDEPDevices(ctx context.Context, tx *session, rows []depDeviceRow) error {
	if len(rows) == 0 {
		return nil
	}
	before, after := upsertDEPDevice()
	_, err := tx.exec(ctx, before+tx.records(depDeviceFields)+after, encode(rows))
	return err
}

// leasedDEP is a transaction of a worker that has an account, whose row stays
// locked.
func (s *Store) leasedDEP(ctx context.Context, l dep.Lease, fn func(tx *session, a depAccountRow) error) error {
	return s.write(ctx, func(tx *session) error {
		r, _, err := lockDEP(ctx, tx, "id", l.AccountID)
		if enroll.KindOf(err) == enroll.KindNotFound || err == nil && r.Worker != l.Worker {
			return enroll.ErrLeaseLost
		}
		if err != nil {
			return err
		}
		return fn(tx, r)
	})
}

// ClaimAccount implements dep.SyncStore.
func (s *Store) ClaimAccount(ctx context.Context, worker string, now time.Time, lease time.Duration) (a dep.Account, ok bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		ok = false
		var r depAccountRow
		err := tx.get(ctx, &r, lockDEPAccount+`WHERE a.due_at > 0 AND a.due_at <= ? AND a.lease_until <= ? AND a.installed_at > 0 ORDER BY a.due_at LIMIT 1`+tx.skipLocked(),
			micros(now), micros(now))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		ok, r.Worker, r.StartedAt = true, worker, micros(now)
		if _, err := tx.exec(ctx, `UPDATE dep_accounts SET worker = ?, lease_until = ?, started_at = ? WHERE id = ?`, worker, micros(now.Add(lease)), r.StartedAt, r.ID); err != nil {
			return err
		}
		a, err = r.account()
		return err
	})
	return a, ok && err == nil, err
}

// HoldAccount implements dep.SyncStore.
func (s *Store) HoldAccount(ctx context.Context, l dep.Lease, until time.Time) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE dep_accounts SET lease_until = ? WHERE id = ? AND worker = ?`, micros(until), l.AccountID, l.Worker)
		if err == nil && n == 0 {
			return enroll.ErrLeaseLost
		}
		return err
	})
}

// FinishRun implements dep.SyncStore.
func (s *Store) FinishRun(ctx context.Context, l dep.Lease, r dep.Run) error {
	return s.leasedDEP(ctx, l, func(tx *session, row depAccountRow) error {
		was, err := row.account()
		if err != nil {
			return err
		}
		if r.Problem != nil {
			if old := was.Sync.Problem; old != nil && old.Code == r.Problem.Code {
				r.Problem.Since = old.Since
			} else if err := tell(ctx, tx, enroll.NewEvent(enroll.EventDEPAccountProblem, r.At, enroll.EventRefs{Account: row.Name, Problem: r.Problem.Code})); err != nil {
				return err
			}
		}
		if r.Apple != nil {
			row.Apple = clean(encode(r.Apple))
		}
		if r.Done {
			row.DoneAt = micros(r.At)
		}
		if row.DueAt <= row.StartedAt {
			row.DueAt = micros(r.DueAt)
		}
		_, err = tx.exec(ctx, `UPDATE dep_accounts SET apple = ?, done_at = ?, due_at = ?, failures = ?, problem = ?, worker = '', lease_until = 0 WHERE id = ?`,
			row.Apple, row.DoneAt, row.DueAt, r.Failures, clean(encode(r.Problem)), row.ID)
		return err
	})
}

// StartFull implements dep.SyncStore.
func (s *Store) StartFull(ctx context.Context, l dep.Lease) (dep.SyncState, error) {
	var state dep.SyncState
	err := s.leasedDEP(ctx, l, func(tx *session, r depAccountRow) error {
		r.Cursor, r.CursorAt, r.Full, r.Generation = "", 0, true, r.Generation+1
		a, err := r.account()
		if err != nil {
			return err
		}
		state = a.Sync
		_, err = tx.exec(ctx, `UPDATE dep_accounts SET sync_cursor = '', cursor_at = 0, full_list = TRUE, generation = ? WHERE id = ?`, r.Generation, r.ID)
		return err
	})
	return state, err
}

// SavePage implements dep.SyncStore.
func (s *Store) SavePage(ctx context.Context, l dep.Lease, p cloud.Page, full bool, at time.Time) error {
	return s.leasedDEP(ctx, l, func(tx *session, a depAccountRow) error {
		serials := make([]string, len(p.Devices))
		for i, d := range p.Devices {
			serials[i] = d.Serial
		}
		var rows []depDeviceRow
		if err := tx.all(ctx, &rows, selectDEPDevice+"WHERE d.account_id = ? AND "+tx.in("d.serial"), a.ID, tx.list(serials)); err != nil {
			return err
		}
		known := make(map[string]depDeviceRow, len(rows))
		for _, r := range rows {
			known[r.Serial] = r
		}
		fresh := make([]depDeviceRow, 0, len(p.Devices))
		for _, d := range p.Devices {
			old, isKnown := known[d.Serial]
			if next, ok := nextDEPDevice(a, old, isKnown, d, full, at); ok && next != old {
				fresh = append(fresh, next)
			}
		}
		if err := saveDEPDevices(ctx, tx, fresh); err != nil {
			return err
		}
		if p.Cursor != a.Cursor {
			a.CursorAt = micros(at)
		}
		_, err := tx.exec(ctx, `UPDATE dep_accounts SET sync_cursor = ?, cursor_at = ? WHERE id = ?`, p.Cursor, a.CursorAt, a.ID)
		return err
	})
}

// nextDEPDevice is a device after what a page says of it; ok is false where the
// page tells what is older than what is known.
func nextDEPDevice(a depAccountRow, old depDeviceRow, known bool, d cloud.Device, full bool, at time.Time) (depDeviceRow, bool) {
	op := micros(d.OpDate.Time)
	deleted := d.OpType == cloud.Deleted && !full
	if known && !full && op != 0 && (op < old.OpAt || op == old.OpAt && old.DeletedAt != 0 && !deleted) {
		return old, false
	}
	next := old
	next.AccountID, next.Serial, next.Generation, next.OpAt = a.ID, d.Serial, a.Generation, max(old.OpAt, op)
	if deleted {
		if !known || old.DeletedAt == 0 {
			next.leave(at)
		}
		if !known {
			next.Family, next.Facts, next.RollStep = clean(d.Family), clean(encode(dep.ListedOf(d))), ""
		}
		return next, true
	}
	next.Family, next.Facts, next.DeletedAt = clean(cut(d.Family)), clean(encode(dep.ListedOf(d))), 0
	next.ProfileUUID, next.ProfileStatus = clean(cut(d.ProfileUUID)), clean(cut(string(d.ProfileStatus)))
	next.AssignedAt, next.PushedAt = micros(d.ProfileAssignTime.Time), micros(d.ProfilePushTime.Time)
	switch {
	case !known || old.DeletedAt != 0:
		next.RollStep = rollAdd
	case old.RollStep == "" && next.Facts != old.Facts:
		next.RollStep = rollLearn
	}
	if next.ProfileUUID != old.ProfileUUID || next.ProfileStatus != old.ProfileStatus {
		next.Outcome, next.Attempts, next.RetryAt = "", 0, 0
	}
	return next, true
}

// leave makes a device one that Apple lists no more.
func (r *depDeviceRow) leave(at time.Time) {
	r.DeletedAt, r.RollStep = micros(at), rollRemove
	r.ProfileUUID, r.ProfileStatus, r.AssignedAt, r.PushedAt, r.Outcome, r.Attempts, r.RetryAt = "", "", 0, 0, "", 0, 0
}

// cut bounds what Apple says where only its own words are expected.
func cut(s string) string { return s[:min(len(s), 100)] }

// SweepDevices implements dep.SyncStore.
func (s *Store) SweepDevices(ctx context.Context, l dep.Lease, limit int, at time.Time) (more bool, err error) {
	err = s.leasedDEP(ctx, l, func(tx *session, a depAccountRow) error {
		var rows []depDeviceRow
		if err := tx.all(ctx, &rows, selectDEPDevice+`WHERE d.account_id = ? AND d.deleted_at = 0 AND d.generation < ? ORDER BY d.serial LIMIT ?`, a.ID, a.Generation, limit); err != nil {
			return err
		}
		for i := range rows {
			rows[i].leave(at)
		}
		if err := saveDEPDevices(ctx, tx, rows); err != nil {
			return err
		}
		if more = len(rows) == limit; more {
			return nil
		}
		_, err := tx.exec(ctx, `UPDATE dep_accounts SET full_list = FALSE WHERE id = ?`, a.ID)
		return err
	})
	return more && err == nil, err
}

// wantedDEP makes every listed device of an account a row of x, with the UUID it
// should have. It takes 5 arguments for the families before that of the account.
const wantedDEP = `WITH x AS (SELECT d.serial, d.profile_uuid, d.profile_status, d.attempts, d.retry_at, CASE d.family WHEN 'iPhone' THEN CAST(? AS text) WHEN 'iPad' THEN CAST(? AS text)
		WHEN 'Mac' THEN CAST(? AS text) WHEN 'AppleTV' THEN CAST(? AS text) ELSE CAST(? AS text) END AS wanted
	FROM dep_devices d WHERE d.account_id = ? AND d.deleted_at = 0) `

// misses says that a row of x has not what it should have. A profile is taken
// away only where it is one of the account's own.
const misses = `x.wanted <> '` + dep.Undecided + `' AND (x.wanted <> '' AND (x.profile_uuid <> x.wanted OR x.profile_status NOT IN ('assigned', 'pushed'))
	OR x.wanted = '' AND x.profile_status IN ('assigned', 'pushed') AND x.profile_uuid IN (SELECT v.uuid FROM dep_versions v JOIN dep_profiles p ON p.id = v.profile_id WHERE p.account_id = ?))`

func wantsArgs(accountID string, w dep.Wants) []any {
	return []any{w.Families[dep.FamilyIPhone], w.Families[dep.FamilyIPad], w.Families[dep.FamilyMac], w.Families[dep.FamilyAppleTV], w.Other, accountID, accountID}
}

// ToAssign implements dep.SyncStore.
func (s *Store) ToAssign(ctx context.Context, accountID string, w dep.Wants, after string, now time.Time, limit int) ([]dep.Wanted, error) {
	var rows []struct {
		Serial   string `json:"serial"`
		Wanted   string `json:"wanted"`
		Attempts int    `json:"attempts"`
	}
	if err := s.all(ctx, &rows, wantedDEP+`SELECT x.serial, x.wanted, x.attempts FROM x WHERE `+misses+` AND x.serial > ? AND x.retry_at <= ? ORDER BY x.serial LIMIT ?`,
		append(wantsArgs(accountID, w), after, micros(now), limit)...); err != nil {
		return nil, err
	}
	out := make([]dep.Wanted, len(rows))
	for i, r := range rows {
		out[i] = dep.Wanted{Serial: r.Serial, UUID: r.Wanted, Attempts: r.Attempts}
	}
	return out, nil
}

// NextAttempt implements dep.SyncStore.
func (s *Store) NextAttempt(ctx context.Context, accountID string, w dep.Wants) (time.Time, error) {
	var at int64
	err := s.one(ctx, &at, wantedDEP+`SELECT coalesce(min(x.retry_at), 0) FROM x WHERE `+misses+` AND x.retry_at > 0`, wantsArgs(accountID, w)...)
	return instant(at), err
}

// SaveAssigned implements dep.SyncStore.
func (s *Store) SaveAssigned(ctx context.Context, l dep.Lease, done []dep.Assigned, at time.Time) error {
	type row struct {
		Account string `json:"account_id"` // here, as SQLite looks for each device in all rows otherwise
		Serial  string `json:"serial"`
		UUID    string `json:"uuid"`
		Status  string `json:"status"`
		Outcome string `json:"outcome"`
		Counts  int    `json:"counts"`
		RetryAt int64  `json:"retry_at"`
	}
	var given, missed []row
	for _, d := range done {
		r := row{Account: l.AccountID, Serial: d.Serial, UUID: d.UUID, Status: string(cloud.StatusAssigned), Outcome: string(d.Outcome), Counts: 1, RetryAt: micros(d.RetryAt)}
		if d.UUID == "" {
			r.Status = string(cloud.StatusEmpty)
		}
		switch d.Outcome {
		case cloud.OutcomeSuccess:
			given = append(given, r)
			continue
		case cloud.OutcomeThrottled:
			r.Counts = 0 // Apple is busy, and the device is fine
		}
		missed = append(missed, r)
	}
	const fields = "account_id text, serial text, uuid text, status text, outcome text, counts bigint, retry_at bigint"
	return s.leasedDEP(ctx, l, func(tx *session, _ depAccountRow) error {
		if len(given) > 0 {
			if _, err := tx.exec(ctx, `UPDATE dep_devices SET profile_uuid = r.uuid, profile_status = r.status, assigned_at = ?, pushed_at = 0, outcome = r.outcome, attempts = 0, retry_at = 0 FROM `+
				tx.records(fields)+` WHERE dep_devices.account_id = r.account_id AND dep_devices.serial = r.serial`, micros(at), encode(given)); err != nil {
				return err
			}
		}
		if len(missed) == 0 {
			return nil
		}
		_, err := tx.exec(ctx, `UPDATE dep_devices SET outcome = r.outcome, attempts = attempts + r.counts, retry_at = r.retry_at FROM `+
			tx.records(fields)+` WHERE dep_devices.account_id = r.account_id AND dep_devices.serial = r.serial`, encode(missed))
		return err
	})
}
