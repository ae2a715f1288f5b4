package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/android/zerotouch"
	"rollcall/enroll"
)

var _ zerotouch.Store = (*Store)(nil)

// onlyZeroTouch is the key of the one row.
const onlyZeroTouch = "only"

type zeroTouchRow struct {
	Settings      string `json:"settings"`
	Generation    int64  `json:"generation"`
	DueAt         int64  `json:"due_at"`
	StartedAt     int64  `json:"started_at"`
	DoneAt        int64  `json:"done_at"`
	Failures      int    `json:"failures"`
	Problem       string `json:"problem"`
	Worker        string `json:"worker"`
	LeaseUntil    int64  `json:"lease_until"`
	Devices       int    `json:"devices"`
	WithoutSerial int    `json:"without_serial"`
}

const (
	zeroTouchColumns = `a.settings, a.generation, a.due_at, a.started_at, a.done_at, a.failures, a.problem, a.worker, a.lease_until`
	lockZeroTouch    = `SELECT ` + zeroTouchColumns + `, 0 AS devices, 0 AS without_serial FROM zero_touch_account a WHERE a.id = ?`
	selectZeroTouch  = `SELECT ` + zeroTouchColumns + `, (SELECT count(*) FROM zero_touch_devices d WHERE d.deleted_at = 0) AS devices,
		(SELECT count(*) FROM zero_touch_devices d WHERE d.deleted_at = 0 AND d.serial = '') AS without_serial FROM zero_touch_account a WHERE a.id = ?`
)

func (r zeroTouchRow) account() (zerotouch.Account, error) {
	a, err := decode[zerotouch.Account](r.Settings)
	if err != nil {
		return a, err
	}
	a.Devices, a.WithoutSerial = r.Devices, r.WithoutSerial
	a.Sync = zerotouch.SyncState{Generation: r.Generation, DueAt: instant(r.DueAt), Running: r.Worker != "", StartedAt: instant(r.StartedAt), DoneAt: instant(r.DoneAt), Failures: r.Failures}
	a.Sync.Problem, err = decode[*zerotouch.Problem](r.Problem)
	return a, err
}

// auditedZeroTouch is what the audit log keeps of the account.
func auditedZeroTouch(a *zerotouch.Account) any {
	if a == nil {
		return nil
	}
	return map[string]any{"project": a.Project, "account": a.Address, "customer": a.Customer, "add_as_pre_enrolled": a.AddAsPreEnrolled, "group": a.Group, "assign": a.Assign,
		"configuration": a.Configuration}
}

// ZeroTouch implements zerotouch.AccountStore.
func (s *Store) ZeroTouch(ctx context.Context) (zerotouch.Account, error) {
	var r zeroTouchRow
	err := s.one(ctx, &r, selectZeroTouch, onlyZeroTouch)
	if errors.Is(err, sql.ErrNoRows) {
		return zerotouch.Account{}, zerotouch.NoAccount()
	}
	if err != nil {
		return zerotouch.Account{}, err
	}
	return r.account()
}

// ChangeZeroTouch implements zerotouch.AccountStore.
func (s *Store) ChangeZeroTouch(ctx context.Context, at time.Time, change func(*zerotouch.Account) (zerotouch.Account, error)) (zerotouch.Account, error) {
	var fresh zerotouch.Account
	err := s.write(ctx, func(tx *session) error {
		var r zeroTouchRow
		var old *zerotouch.Account
		switch err := tx.get(ctx, &r, lockZeroTouch+tx.lock(), onlyZeroTouch); {
		case err == nil:
			a, err := r.account()
			if err != nil {
				return err
			}
			old = &a
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		was := old
		if old != nil {
			copied := *old
			was = &copied
		}
		var err error
		if fresh, err = change(old); err != nil {
			return err
		}
		if err := refuseRuled(ctx, tx, fresh.Group); err != nil {
			return err
		}
		if was != nil && fresh.AddAsPreEnrolled && !was.AddAsPreEnrolled {
			if _, err := tx.exec(ctx, `UPDATE zero_touch_devices SET roll_step = 'add' WHERE deleted_at = 0 AND serial <> ''`); err != nil {
				return err
			}
		}
		if was != nil && fresh.Group != was.Group {
			if _, err := tx.exec(ctx, `UPDATE zero_touch_devices SET roll_step = 'group' WHERE deleted_at = 0 AND serial <> '' AND roll_step IN ('', 'learn')`); err != nil {
				return err
			}
		}
		if was != nil && fresh.Customer != was.Customer {
			r.Worker, r.LeaseUntil = "", 0 // what a run has read is another's list
		}
		if fresh.Swept() {
			r.DueAt = micros(at)
		}
		tx.record(ctx, "zero_touch", onlyZeroTouch, auditedZeroTouch(was), auditedZeroTouch(&fresh))
		_, err = tx.exec(ctx, `INSERT INTO zero_touch_account (id, settings, generation, due_at, started_at, done_at, failures, problem, worker, lease_until)
			VALUES (?, ?, 0, ?, 0, 0, 0, 'null', ?, ?) ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, due_at = excluded.due_at, worker = excluded.worker,
				lease_until = excluded.lease_until`, onlyZeroTouch, clean(encode(fresh)), r.DueAt, r.Worker, r.LeaseUntil)
		return err
	})
	if err != nil {
		return zerotouch.Account{}, err
	}
	var r zeroTouchRow
	if err := s.reader(ctx).get(ctx, &r, selectZeroTouch, onlyZeroTouch); err != nil {
		return fresh, unavailable(err)
	}
	return r.account()
}

// refuseRuled refuses a group whose members are those of a rule.
func refuseRuled(ctx context.Context, tx *session, group string) error {
	if group == "" {
		return nil
	}
	var ruled bool
	err := tx.get(ctx, &ruled, `SELECT EXISTS (SELECT 1 FROM device_groups WHERE name = ? AND rule <> '')`, group)
	if err == nil && ruled {
		return enroll.Errorf(enroll.KindConflict, "group_by_rule", "the members of the group %q are those its rule matches", group).WithHint("Name a static group.")
	}
	return err
}

// DeleteZeroTouch implements zerotouch.AccountStore.
func (s *Store) DeleteZeroTouch(ctx context.Context) error {
	return s.write(ctx, func(tx *session) error {
		var r zeroTouchRow
		err := tx.get(ctx, &r, lockZeroTouch+tx.lock(), onlyZeroTouch)
		if errors.Is(err, sql.ErrNoRows) {
			return zerotouch.NoAccount()
		}
		if err != nil {
			return err
		}
		old, err := r.account()
		if err != nil {
			return err
		}
		for _, table := range []string{"zero_touch_devices", "zero_touch_account"} {
			if _, err := tx.exec(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
		}
		tx.record(ctx, "zero_touch", onlyZeroTouch, auditedZeroTouch(&old), nil)
		return nil
	})
}

// ZeroTouchDue implements zerotouch.AccountStore.
func (s *Store) ZeroTouchDue(ctx context.Context, at time.Time) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE zero_touch_account SET due_at = ? WHERE id = ?`, micros(at), onlyZeroTouch)
		if err == nil && n == 0 {
			return zerotouch.NoAccount()
		}
		return err
	})
}

// ChooseZeroTouch implements zerotouch.AccountStore.
func (s *Store) ChooseZeroTouch(ctx context.Context, serials []string, c zerotouch.Choice, at time.Time) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE zero_touch_account SET due_at = ? WHERE id = ?`, micros(at), onlyZeroTouch) // which locks it
		if err != nil {
			return err
		}
		if n == 0 {
			return zerotouch.NoAccount()
		}
		var listed []string
		if err := tx.all(ctx, &listed, `SELECT DISTINCT serial FROM zero_touch_devices WHERE deleted_at = 0 AND `+tx.in("serial"), tx.list(serials)); err != nil {
			return err
		}
		if missing := without(serials, listed); missing != "" {
			return enroll.Errorf(enroll.KindNotFound, "zero_touch_device_unknown", "zero-touch lists no device with the serial number %q", missing)
		}
		_, err = tx.exec(ctx, `UPDATE zero_touch_devices SET choice = ?, outcome = '', attempts = 0, retry_at = 0 WHERE deleted_at = 0 AND `+tx.in("serial"), string(c), tx.list(serials))
		return err
	})
}

// without is the first of list that is not among known; empty: all are.
func without(list, known []string) string {
	there := make(map[string]bool, len(known))
	for _, k := range known {
		there[k] = true
	}
	for _, v := range list {
		if !there[v] {
			return v
		}
	}
	return ""
}

// ZeroTouchDevices implements zerotouch.AccountStore.
func (s *Store) ZeroTouchDevices(ctx context.Context, p enroll.Page) ([]zerotouch.Known, error) {
	var rows []struct {
		zeroTouchDeviceRow
		OnRoll bool `json:"on_roll"`
	}
	if err := s.all(ctx, &rows, `SELECT `+columns("z.", zeroTouchDeviceNames)+`, EXISTS (SELECT 1 FROM devices d WHERE d.serial = z.serial) AS on_roll
		FROM zero_touch_devices z WHERE z.deleted_at = 0 AND z.name > ? ORDER BY z.name LIMIT ?`, p.After, p.Limit); err != nil {
		return nil, err
	}
	out := make([]zerotouch.Known, len(rows))
	for i, r := range rows {
		out[i] = zerotouch.Known{Name: r.Name, Serial: r.Serial, Configuration: r.Configuration, Choice: zerotouch.Choice(r.Choice), Outcome: r.Outcome, Attempts: r.Attempts,
			RetryAt: instant(r.RetryAt), OnRoll: r.OnRoll}
	}
	return out, nil
}
