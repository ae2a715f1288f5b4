package storage

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"rollcall/android/zerotouch"
	"rollcall/enroll"
)

type zeroTouchDeviceRow struct {
	Name          string `json:"name"`
	Serial        string `json:"serial"`
	Facts         string `json:"facts"`
	Configuration string `json:"configuration"`
	Choice        string `json:"choice"`
	Generation    int64  `json:"generation"`
	DeletedAt     int64  `json:"deleted_at"`
	RollStep      string `json:"roll_step"`
	Outcome       string `json:"outcome"`
	Attempts      int    `json:"attempts"`
	RetryAt       int64  `json:"retry_at"`
}

const zeroTouchDeviceFields = `name text, serial text, facts text, configuration text, choice text, generation bigint, deleted_at bigint, roll_step text, outcome text,
	attempts bigint, retry_at bigint`

var (
	zeroTouchDeviceNames  = columnNames(zeroTouchDeviceFields)
	selectZeroTouchDevice = "SELECT " + columns("d.", zeroTouchDeviceNames) + " FROM zero_touch_devices d "
	upsertZeroTouchDevice = func() string {
		set := make([]string, 0, len(zeroTouchDeviceNames))
		for _, n := range zeroTouchDeviceNames[1:] {
			set = append(set, n+" = excluded."+n)
		}
		return "ON CONFLICT (name) DO UPDATE SET " + strings.Join(set, ", ")
	}()
)

func saveZeroTouchDevices(ctx context.Context, tx *session, rows []zeroTouchDeviceRow) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := insert(ctx, tx, "zero_touch_devices", zeroTouchDeviceFields, upsertZeroTouchDevice, rows)
	return err
}

// leasedZeroTouch is a transaction of the worker that has the account, which
// stays locked.
func (s *Store) leasedZeroTouch(ctx context.Context, worker string, fn func(tx *session, r zeroTouchRow, a zerotouch.Account) error) error {
	return s.write(ctx, func(tx *session) error {
		var r zeroTouchRow
		err := tx.get(ctx, &r, lockZeroTouch+tx.lock(), onlyZeroTouch)
		if errors.Is(err, sql.ErrNoRows) || err == nil && r.Worker != worker {
			return enroll.ErrLeaseLost
		}
		if err != nil {
			return err
		}
		a, err := r.account()
		if err != nil {
			return err
		}
		return fn(tx, r, a)
	})
}

// ClaimZeroTouch implements zerotouch.SyncStore.
func (s *Store) ClaimZeroTouch(ctx context.Context, worker string, now time.Time, lease time.Duration) (a zerotouch.Account, ok bool, err error) {
	// Most looks find nothing, and are to cost no write.
	const due = ` AND a.due_at > 0 AND a.due_at <= ? AND a.lease_until <= ?`
	var r zeroTouchRow
	err = s.one(ctx, &r, lockZeroTouch+due, onlyZeroTouch, micros(now), micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, nil
	}
	if err != nil {
		return a, false, err
	}
	err = s.write(ctx, func(tx *session) error {
		ok = false
		err := tx.get(ctx, &r, lockZeroTouch+due+tx.skipLocked(), onlyZeroTouch, micros(now), micros(now))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if a, err = r.account(); err != nil || !a.Swept() {
			return err
		}
		ok = true
		_, err = tx.exec(ctx, `UPDATE zero_touch_account SET worker = ?, lease_until = ?, started_at = ? WHERE id = ?`, worker, micros(now.Add(lease)), micros(now), onlyZeroTouch)
		return err
	})
	return a, ok && err == nil, err
}

// HoldZeroTouch implements zerotouch.SyncStore.
func (s *Store) HoldZeroTouch(ctx context.Context, worker string, until time.Time) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE zero_touch_account SET lease_until = ? WHERE id = ? AND worker = ?`, micros(until), onlyZeroTouch, worker)
		if err == nil && n == 0 {
			return enroll.ErrLeaseLost
		}
		return err
	})
}

// FinishZeroTouch implements zerotouch.SyncStore.
func (s *Store) FinishZeroTouch(ctx context.Context, worker string, end zerotouch.Run) error {
	return s.leasedZeroTouch(ctx, worker, func(tx *session, r zeroTouchRow, a zerotouch.Account) error {
		if end.Problem != nil {
			if old := a.Sync.Problem; old != nil && old.Code == end.Problem.Code {
				end.Problem.Since = old.Since
			} else if err := tell(ctx, tx, enroll.NewEvent(enroll.EventZeroTouchProblem, end.At, enroll.EventRefs{Account: a.Customer, Problem: end.Problem.Code})); err != nil {
				return err
			}
		}
		if end.Done {
			r.DoneAt = micros(end.At)
		}
		if r.DueAt <= r.StartedAt {
			r.DueAt = micros(end.DueAt)
		}
		_, err := tx.exec(ctx, `UPDATE zero_touch_account SET done_at = ?, due_at = ?, failures = ?, problem = ?, worker = '', lease_until = 0 WHERE id = ?`,
			r.DoneAt, r.DueAt, end.Failures, clean(encode(end.Problem)), onlyZeroTouch)
		return err
	})
}

// StartZeroTouchSweep implements zerotouch.SyncStore.
func (s *Store) StartZeroTouchSweep(ctx context.Context, worker string) error {
	return s.leasedZeroTouch(ctx, worker, func(tx *session, _ zeroTouchRow, _ zerotouch.Account) error {
		_, err := tx.exec(ctx, `UPDATE zero_touch_account SET generation = generation + 1 WHERE id = ?`, onlyZeroTouch)
		return err
	})
}

// SaveZeroTouchPage implements zerotouch.SyncStore.
func (s *Store) SaveZeroTouchPage(ctx context.Context, worker string, page []zerotouch.Listed, at time.Time) error {
	names := make([]string, len(page))
	for i, l := range page {
		names[i] = clean(l.Name)
	}
	return s.leasedZeroTouch(ctx, worker, func(tx *session, a zeroTouchRow, _ zerotouch.Account) error {
		var rows []zeroTouchDeviceRow
		if err := tx.all(ctx, &rows, selectZeroTouchDevice+"WHERE "+tx.in("d.name"), tx.list(names)); err != nil {
			return err
		}
		known := make(map[string]zeroTouchDeviceRow, len(rows))
		for _, r := range rows {
			known[r.Name] = r
		}
		fresh := make([]zeroTouchDeviceRow, 0, len(page))
		for i, l := range page {
			old, isKnown := known[names[i]]
			if isKnown && old.Serial != l.Serial && old.Serial != "" && old.DeletedAt == 0 {
				// A reseller corrected it: the row of the old serial leaves under a
				// name that Google does not use.
				gone := old
				gone.Name += "#" + old.Serial
				gone.leave(at)
				fresh = append(fresh, gone)
				isKnown = false
			}
			fresh = append(fresh, nextZeroTouch(old, isKnown, l, names[i], a.Generation))
		}
		return saveZeroTouchDevices(ctx, tx, fresh)
	})
}

// nextZeroTouch is a device after what a page says of it.
func nextZeroTouch(old zeroTouchDeviceRow, known bool, l zerotouch.Listed, name string, generation int64) zeroTouchDeviceRow {
	next := zeroTouchDeviceRow{Name: name, Choice: string(zerotouch.ChoiceDefault)}
	if known {
		next = old
	}
	next.Serial, next.Facts, next.Generation, next.DeletedAt = clean(l.Serial), clean(encode(l.Facts)), generation, 0
	if c := clean(l.Configuration); c != next.Configuration {
		next.Configuration, next.Outcome, next.Attempts, next.RetryAt = c, "", 0, 0
	}
	switch {
	case next.Serial == "":
		next.RollStep = ""
	case !known || old.DeletedAt != 0 || old.Serial == "":
		next.RollStep = rollAdd
	case old.RollStep == "" && next.Facts != old.Facts:
		next.RollStep = rollLearn
	}
	return next
}

// leave makes a device one that Google lists no more.
func (r *zeroTouchDeviceRow) leave(at time.Time) {
	r.DeletedAt, r.RollStep = micros(at), rollRemove
	r.Configuration, r.Choice, r.Outcome, r.Attempts, r.RetryAt = "", string(zerotouch.ChoiceDefault), "", 0, 0
}

// EndZeroTouchSweep implements zerotouch.SyncStore.
func (s *Store) EndZeroTouchSweep(ctx context.Context, worker string, limit int, at time.Time) (more bool, err error) {
	err = s.leasedZeroTouch(ctx, worker, func(tx *session, a zeroTouchRow, _ zerotouch.Account) error {
		var rows []zeroTouchDeviceRow
		if err := tx.all(ctx, &rows, selectZeroTouchDevice+`WHERE d.deleted_at = 0 AND d.generation < ? ORDER BY d.name LIMIT ?`, a.Generation, limit); err != nil {
			return err
		}
		for i := range rows {
			rows[i].leave(at)
		}
		more = len(rows) == limit
		return saveZeroTouchDevices(ctx, tx, rows)
	})
	return more && err == nil, err
}

// SetZeroTouchConfigured implements zerotouch.SyncStore.
func (s *Store) SetZeroTouchConfigured(ctx context.Context, worker, name string) error {
	return s.leasedZeroTouch(ctx, worker, func(tx *session, _ zeroTouchRow, a zerotouch.Account) error {
		a.Configured = name
		_, err := tx.exec(ctx, `UPDATE zero_touch_account SET settings = ? WHERE id = ?`, clean(encode(a)), onlyZeroTouch)
		return err
	})
}

// ZeroTouchToAssign implements zerotouch.SyncStore.
func (s *Store) ZeroTouchToAssign(ctx context.Context, after string, now time.Time, limit int) ([]zerotouch.Wanted, error) {
	a, err := s.ZeroTouch(ctx)
	if err != nil || a.Configured == "" {
		return nil, err
	}
	var rows []struct {
		Name     string `json:"name"`
		Give     bool   `json:"give"`
		Attempts int    `json:"attempts"`
	}
	if err := s.all(ctx, &rows, `SELECT d.name, d.configuration <> ? AS give, d.attempts FROM zero_touch_devices d WHERE d.deleted_at = 0 AND d.retry_at <= ? AND d.name > ?
			AND (d.configuration <> ? AND (d.choice = 'ours' OR d.choice = 'default' AND (CAST(? AS text) = 'all' OR CAST(? AS text) = 'unassigned' AND d.configuration = ''))
				OR d.configuration = ? AND d.choice = 'none') ORDER BY d.name LIMIT ?`,
		a.Configured, micros(now), after, a.Configured, string(a.Assign), string(a.Assign), a.Configured, limit); err != nil {
		return nil, err
	}
	out := make([]zerotouch.Wanted, len(rows))
	for i, r := range rows {
		out[i] = zerotouch.Wanted{Name: r.Name, Give: r.Give, Attempts: r.Attempts}
	}
	return out, nil
}

// SaveZeroTouchAssigned implements zerotouch.SyncStore.
func (s *Store) SaveZeroTouchAssigned(ctx context.Context, worker string, done zerotouch.Assigned) error {
	return s.leasedZeroTouch(ctx, worker, func(tx *session, _ zeroTouchRow, _ zerotouch.Account) error {
		if done.Outcome != "" {
			_, err := tx.exec(ctx, `UPDATE zero_touch_devices SET outcome = ?, attempts = attempts + 1, retry_at = ? WHERE name = ?`, string(done.Outcome), micros(done.RetryAt), done.Name)
			return err
		}
		_, err := tx.exec(ctx, `UPDATE zero_touch_devices SET configuration = ?, outcome = '', attempts = 0, retry_at = 0 WHERE name = ?`, done.Configuration, done.Name)
		return err
	})
}
