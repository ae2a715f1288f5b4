package storage

import (
	"context"
	"database/sql"
	"errors"

	"rollcall/enroll"
)

// OpenRows implements enroll.GateStore.
func (s *Store) OpenRows(ctx context.Context, serials []string) ([]enroll.Device, error) {
	var rows []deviceRow
	tx := s.reader(ctx)
	if err := s.all(ctx, &rows, selectDevice+"WHERE "+tx.in("d.serial")+" AND d.state IN ('pre_enrolled', 'invited') AND d.blocked_at = 0 LIMIT 20", tx.list(serials)); err != nil {
		return nil, err
	}
	devices := make([]enroll.Device, 0, len(rows))
	for _, r := range rows {
		d, err := r.device()
		if err != nil {
			return nil, err
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// NoteNearMisses implements enroll.GateStore.
func (s *Store) NoteNearMisses(ctx context.Context, decisionID string, near []enroll.NearMiss) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE decisions SET near_misses = ? WHERE id = ?`, encode(near), decisionID)
		return err
	})
}

// RepairSerial implements enroll.GateStore.
func (s *Store) RepairSerial(ctx context.Context, decisionID, serial string, check func(enroll.Decision, enroll.Device) (enroll.Repair, error)) (enroll.Device, error) {
	var device enroll.Device
	err := s.write(ctx, func(tx *session) error {
		d, err := findDecision(ctx, tx, decisionID, "")
		if err != nil {
			return err
		}
		row, err := findDevice(ctx, tx, "serial", serial, tx.lock())
		if errors.Is(err, sql.ErrNoRows) {
			return enroll.NoDevice(serial)
		}
		if err != nil {
			return err
		}
		old, err := row.device()
		if err != nil {
			return err
		}
		repair, err := check(d, old)
		if err != nil {
			return err
		}
		if err := makeRoom(ctx, tx, d.Serial); err != nil {
			return err
		}
		tx.record(ctx, "device", d.Serial, map[string]string{"serial": old.Serial}, map[string]string{"serial": d.Serial, "decision_id": d.ID})
		fresh := old
		fresh.Serial, fresh.SerialRaw = d.Serial, d.Serial
		if device, err = renameDevice(ctx, tx, row, fresh); err != nil {
			return err
		}
		if err := forgetApproval(ctx, tx, d.Serial); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE decisions SET repaired_at = ?, repaired_by = ?, repaired_serial = ? WHERE id = ?`, micros(repair.At), repair.By, repair.Serial, d.ID)
		return err
	})
	if err != nil {
		return enroll.Device{}, err
	}
	return device, nil
}

// makeRoom removes the row that the device made by arriving.
func makeRoom(ctx context.Context, tx *session, serial string) error {
	row, d, err := deviceIfAny(ctx, tx, serial)
	if err != nil || d == nil {
		return err
	}
	if !d.SelfReported() || d.State == enroll.StateEnrolled || d.State == enroll.StateEnrolling {
		return enroll.Errorf(enroll.KindConflict, "serial_taken", "there is another row with the serial %s, which is %s", serial, d.State).
			WithHint("Delete one of the two rows, or disenroll its device first.")
	}
	return removeDevice(ctx, tx, row)
}

// renameDevice gives a locked row another serial, wherever it is kept beside
// the row to sort by.
func renameDevice(ctx context.Context, tx *session, row deviceRow, d enroll.Device) (enroll.Device, error) {
	n, err := tx.exec(ctx, `UPDATE devices SET serial = ? WHERE id = ? AND NOT EXISTS (SELECT 1 FROM devices o WHERE o.serial = ?)`, d.Serial, row.ID, d.Serial)
	if err != nil {
		return d, err
	}
	if n == 0 {
		return d, errAgain // the device arrived meanwhile
	}
	for _, table := range []string{"device_seen", "device_tags", "memberships"} {
		if _, err := tx.exec(ctx, `UPDATE `+table+` SET serial = ? WHERE device_id = ?`, d.Serial, row.ID); err != nil {
			return d, err
		}
	}
	event := eventRow{ID: enroll.NewID(), DeviceID: row.ID, At: micros(now()), Kind: string(enroll.EntryChanged), Actor: clean(enroll.ActorOf(ctx)),
		Changes: encode([]enroll.FieldChange{{Field: "serial", Old: row.Serial, New: d.Serial}})}
	if err := insertEvents(ctx, tx, event); err != nil {
		return d, err
	}
	row.Serial = d.Serial
	fresh, _, err := saveIfChanged(ctx, tx, row, newDeviceRow(d))
	if err != nil {
		return d, err
	}
	return fresh.shown()
}
