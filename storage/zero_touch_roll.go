package storage

import (
	"context"
	"slices"
	"strings"
	"time"

	"rollcall/android/zerotouch"
	"rollcall/enroll"
)

// SettleZeroTouch implements zerotouch.SyncStore. It locks as SettleRoll does.
func (s *Store) SettleZeroTouch(ctx context.Context, worker string, limit int, at time.Time) (more bool, err error) {
	err = s.leasedZeroTouch(ctx, worker, func(tx *session, _ zeroTouchRow, a zerotouch.Account) error {
		steps := []string{rollRemove}
		if a.AddAsPreEnrolled {
			steps = append(steps, rollAdd, rollLearn, rollGroup)
		}
		var due []zeroTouchDeviceRow
		if err := tx.all(ctx, &due, selectZeroTouchDevice+`WHERE d.roll_step <> '' AND `+tx.in("d.roll_step")+` ORDER BY d.roll_step, d.name LIMIT ?`, tx.list(steps), limit); err != nil {
			return err
		}
		if more = len(due) == limit; len(due) == 0 {
			return nil
		}
		if err := settleZeroTouch(ctx, tx, a, due, at); err != nil {
			return err
		}
		names := make([]string, len(due))
		for i, d := range due {
			names[i] = d.Name
		}
		_, err := tx.exec(ctx, `UPDATE zero_touch_devices SET roll_step = '' WHERE `+tx.in("name"), tx.list(names))
		return err
	})
	return more && err == nil, err
}

// settleZeroTouch makes the steps of devices that are due.
func settleZeroTouch(ctx context.Context, tx *session, a zerotouch.Account, due []zeroTouchDeviceRow, at time.Time) error {
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
	made, changed := map[string]deviceRow{}, map[string]deviceRow{} // by serial, which two devices may share
	var leaving []deviceRow
	var joining []string
	waiting := map[string]string{} // group by ID of the row, if that is in none
	for _, d := range due {
		row, known := onRoll[d.Serial]
		facts, err := decode[zerotouch.Facts](d.Facts)
		if err != nil {
			return err
		}
		switch {
		case d.RollStep == rollRemove:
			if known && !slices.Contains(leaving, row) {
				leaving = append(leaving, row)
			}
		case known:
			was, err := row.device()
			if err != nil {
				return err
			}
			if d.RollStep == rollGroup && a.Group != "" && zerotouch.WaitsForGroup(was) {
				waiting[row.ID] = a.Group
			}
			zerotouch.Merge(&was, facts)
			if fresh := newDeviceRow(was); fresh != row {
				fresh.Version, fresh.UpdatedAt = row.Version+1, micros(at)
				changed[d.Serial] = fresh
			}
		case d.RollStep != rollAdd || made[d.Serial].ID != "":
		default:
			fresh := newDeviceRow(zerotouch.Row(d.Serial, facts, at))
			fresh.Version, fresh.UpdatedAt = 1, micros(at)
			made[d.Serial] = fresh
			if a.Group != "" {
				joining = append(joining, fresh.ID)
			}
		}
	}
	if err := createDevices(ctx, tx, valuesOf(made)...); err != nil {
		return err
	}
	if err := saveDevices(ctx, tx, valuesOf(changed)...); err != nil {
		return err
	}
	if err := leaveZeroTouch(ctx, tx, leaving); err != nil {
		return err
	}
	if err := withoutGroup(ctx, tx, waiting); err != nil {
		return err
	}
	for id := range waiting {
		joining = append(joining, id)
	}
	if len(joining) == 0 {
		return nil
	}
	slices.Sort(joining)
	return joinDEP(ctx, tx, map[string][]string{a.Group: joining}, at)
}

// valuesOf are the rows of a map in the order of their IDs, in which rows are
// locked.
func valuesOf(m map[string]deviceRow) []deviceRow {
	out := make([]deviceRow, 0, len(m))
	for _, r := range m {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b deviceRow) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// leaveZeroTouch takes rows off the roll whose device Google lists no more, where
// that is what becomes of them.
func leaveZeroTouch(ctx context.Context, tx *session, rows []deviceRow) error {
	if len(rows) == 0 {
		return nil
	}
	serials := make([]string, len(rows))
	for i, r := range rows {
		serials[i] = r.Serial
	}
	var listed []string // still, under another name
	if err := tx.all(ctx, &listed, `SELECT serial FROM zero_touch_devices WHERE deleted_at = 0 AND `+tx.in("serial"), tx.list(serials)); err != nil {
		return err
	}
	var gone []string
	for _, r := range rows {
		d, err := r.device()
		if err != nil {
			return err
		}
		switch {
		case slices.Contains(listed, r.Serial) || !zerotouch.LeavesWithDevice(d):
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
