package storage

import (
	"context"
	"maps"
	"slices"
	"time"

	"rollcall/dep"
	"rollcall/enroll"
)

// SettleRoll implements dep.SyncStore. It locks in the order in which everybody
// does after the account: devices by ID, what is wide, groups.
func (s *Store) SettleRoll(ctx context.Context, l dep.Lease, limit int, before, at time.Time) (more bool, err error) {
	err = s.leasedDEP(ctx, l, func(tx *session, row depAccountRow) error {
		a, err := row.account()
		if err != nil {
			return err
		}
		var others bool
		if err := tx.get(ctx, &others, `SELECT EXISTS (SELECT 1 FROM dep_accounts WHERE id <> ?)`, a.ID); err != nil {
			return err
		}
		if !others {
			before = at
		}
		steps := []string{rollRemove}
		if a.AddAsPreEnrolled {
			steps = append(steps, rollAdd, rollLearn, rollGroup)
		}
		var due []depDeviceRow
		if err := tx.all(ctx, &due, selectDEPDevice+`WHERE d.account_id = ? AND d.roll_step <> '' AND `+tx.in("d.roll_step")+` AND d.deleted_at <= ? ORDER BY d.roll_step, d.serial LIMIT ?`,
			a.ID, tx.list(steps), micros(before), limit); err != nil {
			return err
		}
		if more = len(due) == limit; len(due) == 0 {
			return nil
		}
		if err := settleDEP(ctx, tx, a, due, at); err != nil {
			return err
		}
		serials := make([]string, len(due))
		for i, d := range due {
			serials[i] = d.Serial
		}
		_, err = tx.exec(ctx, `UPDATE dep_devices SET roll_step = '' WHERE account_id = ? AND `+tx.in("serial"), a.ID, tx.list(serials))
		return err
	})
	return more && err == nil, err
}

// settleDEP makes the steps of devices that are due.
func settleDEP(ctx context.Context, tx *session, a dep.Account, due []depDeviceRow, at time.Time) error {
	serials := make([]string, len(due))
	for i, d := range due {
		serials[i] = d.Serial
	}
	var rows []deviceRow
	if err := tx.all(ctx, &rows, selectDevice+"WHERE "+tx.in("d.serial")+" ORDER BY d.id"+tx.lock(), tx.list(serials)); err != nil {
		return err
	}
	onRoll := make(map[string]deviceRow, len(rows))
	for _, r := range rows {
		onRoll[r.Serial] = r
	}
	var made, changed, leaving []deviceRow
	joining := map[string][]string{} // by group
	waiting := map[string]string{}   // group by ID of the row, if that has none
	for _, d := range due {
		row, known := onRoll[d.Serial]
		listed, err := decode[dep.Listed](d.Facts)
		if err != nil {
			return err
		}
		switch {
		case d.RollStep == rollRemove:
			if known {
				leaving = append(leaving, row)
			}
		case known:
			fresh, differs, err := mergedDEP(row, listed, at)
			if err != nil {
				return err
			}
			if differs {
				changed = append(changed, fresh)
			}
			if group := a.For(dep.Family(d.Family)).Group; d.RollStep == rollGroup && group != "" {
				was, err := row.device()
				if err != nil {
					return err
				}
				if dep.WaitsForGroup(was) {
					waiting[row.ID] = group
				}
			}
		case d.RollStep == rollAdd:
			fresh := newDeviceRow(dep.Row(d.Serial, dep.Family(d.Family), listed, at))
			fresh.Version, fresh.UpdatedAt = 1, micros(at)
			made = append(made, fresh)
			if group := a.For(dep.Family(d.Family)).Group; group != "" {
				joining[group] = append(joining[group], fresh.ID)
			}
		}
	}
	if err := createDevices(ctx, tx, made...); err != nil {
		return err
	}
	if err := saveDevices(ctx, tx, changed...); err != nil {
		return err
	}
	if err := leaveDEP(ctx, tx, leaving); err != nil {
		return err
	}
	if err := withoutGroup(ctx, tx, waiting); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(waiting)) {
		joining[waiting[id]] = append(joining[waiting[id]], id)
	}
	return joinDEP(ctx, tx, joining, at)
}

// mergedDEP is a row of the roll with what Apple says of its device.
func mergedDEP(row deviceRow, l dep.Listed, at time.Time) (fresh deviceRow, differs bool, err error) {
	d, err := row.device()
	if err != nil {
		return row, false, err
	}
	if d.Sources == nil {
		d.Sources = map[string]enroll.Source{}
	}
	dep.Merge(&d, l)
	if fresh = newDeviceRow(d); fresh == row {
		return row, false, nil
	}
	fresh.Version, fresh.UpdatedAt = row.Version+1, micros(at)
	return fresh, true, nil
}

// leaveDEP takes rows off the roll whose device Apple lists no more, where that
// is what becomes of them and no other account has the device.
func leaveDEP(ctx context.Context, tx *session, rows []deviceRow) error {
	if len(rows) == 0 {
		return nil
	}
	serials := make([]string, len(rows))
	for i, r := range rows {
		serials[i] = r.Serial
	}
	var listed []string
	if err := tx.all(ctx, &listed, `SELECT d.serial FROM dep_devices d JOIN dep_accounts a ON a.id = d.account_id WHERE d.deleted_at = 0 AND a.pre_enroll AND `+tx.in("d.serial"), tx.list(serials)); err != nil {
		return err
	}
	var gone []string
	for _, r := range rows {
		d, err := r.device()
		if err != nil {
			return err
		}
		switch {
		case slices.Contains(listed, r.Serial) || !dep.LeavesWithDevice(d):
		case d.State == enroll.StateEnrolling:
			if err := removeDevice(ctx, tx, r); err != nil { // which ends what it has begun
				return err
			}
		default:
			gone = append(gone, r.ID)
		}
	}
	return deleteDevices(ctx, tx, gone)
}

// withoutGroup leaves only those rows that are in no static group: nobody has
// sorted them yet.
func withoutGroup(ctx context.Context, tx *session, waiting map[string]string) error {
	if len(waiting) == 0 {
		return nil
	}
	var sorted []string
	if err := tx.all(ctx, &sorted, `SELECT DISTINCT m.device_id FROM memberships m JOIN device_groups g ON g.id = m.group_id WHERE g.rule = '' AND `+tx.in("m.device_id"),
		tx.list(slices.Collect(maps.Keys(waiting)))); err != nil {
		return err
	}
	for _, id := range sorted {
		delete(waiting, id)
	}
	return nil
}

// joinDEP makes new rows members of their default groups. A group that has been
// given a rule since takes nobody.
func joinDEP(ctx context.Context, tx *session, joining map[string][]string, at time.Time) error {
	if len(joining) == 0 {
		return nil
	}
	if err := tx.do(ctx, tx.mutex(mutexPolicies, true)); err != nil {
		return err
	}
	names := make([]string, 0, len(joining))
	for name := range joining {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var ruled bool
		if err := tx.get(ctx, &ruled, `SELECT EXISTS (SELECT 1 FROM device_groups WHERE name = ? AND rule <> '')`, name); err != nil {
			return err
		}
		if ruled {
			continue
		}
		if err := linkGroups(ctx, tx, name, true, joining[name], at); err != nil {
			return err
		}
	}
	return nil
}
