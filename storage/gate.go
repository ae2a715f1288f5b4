package storage

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"rollcall/enroll"
)

var _ enroll.GateStore = (*Store)(nil)

// Decide implements enroll.GateStore.
func (s *Store) Decide(ctx context.Context, a enroll.Attempt, decide func(enroll.Known) enroll.Decision) (enroll.Decision, error) {
	var d enroll.Decision
	err := s.write(ctx, func(tx *session) error {
		known, row, err := knownOf(ctx, tx, a, tx.lock())
		if err != nil {
			return err
		}
		d = decide(known)
		switch {
		case d.Outcome == enroll.OutcomeHold:
			if d.DeviceID, err = hold(ctx, tx, known, row, d); err != nil {
				return err
			}
		case !d.Allowed():
		case known.Device == nil:
			made := enroll.RowFor(d)
			if made.UserID = a.UserID; made.UserID != "" {
				made.Sources["user"] = enroll.SourceDevice
			}
			d.DeviceID = made.ID
			if err := createDevices(ctx, tx, newDeviceRow(made)); err != nil {
				return err
			}
		default:
			d.DeviceID = row.ID
			fresh := row
			// An enrolled device stays so until its Authenticate: this attempt
			// may lead nowhere.
			if row.State != string(enroll.StateEnrolled) {
				fresh.State = string(enroll.StateEnrolling)
				if err := fresh.mergeFacts(a.Facts); err != nil {
					return err
				}
			}
			if known.Request != nil {
				if err := fresh.chooseOwnership(*known.Request); err != nil {
					return err
				}
			}
			if err := fresh.giveOwner(a.UserID); err != nil {
				return err
			}
			if _, _, err := saveIfChanged(ctx, tx, row, fresh); err != nil {
				return err
			}
		}
		if d.Allowed() && known.Approval != nil && known.Approval.State == enroll.ApprovalPending {
			if err := forgetApproval(ctx, tx, a.Serial); err != nil {
				return err
			}
		}
		return insertDecision(ctx, tx, d)
	})
	if err != nil {
		return enroll.Decision{}, err
	}
	return d, nil
}

// Known implements enroll.GateStore.
func (s *Store) Known(ctx context.Context, a enroll.Attempt) (enroll.Known, error) {
	var known enroll.Known
	err := s.read(ctx, func(tx *session) (err error) {
		known, _, err = knownOf(ctx, tx, a, "")
		return err
	})
	return known, err
}

// RecordDecision implements enroll.GateStore.
func (s *Store) RecordDecision(ctx context.Context, d enroll.Decision) error {
	return s.write(ctx, func(tx *session) error { return insertDecision(ctx, tx, d) })
}

// knownOf reads what is known about an attempt; locked where tail is tx.lock().
func knownOf(ctx context.Context, tx *session, a enroll.Attempt, tail string) (enroll.Known, deviceRow, error) {
	var known enroll.Known
	set, err := settings(ctx, tx)
	if err != nil {
		return known, deviceRow{}, err
	}
	known.Settings = set
	if known.Rules, err = enabledRules(ctx, tx); err != nil {
		return known, deviceRow{}, err
	}
	row, err := findDevice(ctx, tx, "serial", a.Serial, tail)
	switch {
	case err == nil:
		d, err := row.device()
		if err != nil {
			return known, row, err
		}
		known.Device = &d
	case !errors.Is(err, sql.ErrNoRows):
		return known, row, err
	}
	if err := knowMore(ctx, tx, &known, a, tail); err != nil {
		return known, row, err
	}
	if known.Device == nil || known.Device.SelfReported() {
		if known.Approval, err = findApproval(ctx, tx, a.Serial, tail); err != nil {
			return known, row, err
		}
	}
	if a.Facts.UDID != "" {
		holder, err := findHolder(ctx, tx, a.Facts.UDID)
		switch {
		case err == nil:
			d, err := holder.device()
			if err != nil {
				return known, row, err
			}
			known.Holder = &d
		case !errors.Is(err, sql.ErrNoRows):
			return known, row, err
		}
	}
	var q requestRow
	switch {
	case a.RequestSecret != "":
		hash := enroll.HashSecret(a.RequestSecret)
		err = tx.get(ctx, &q, selectRequest+ofSecret+tail, hash[:])
	case a.RequestID != "":
		err = tx.get(ctx, &q, selectRequest+"WHERE q.id = ?"+tail, a.RequestID)
	default:
		return known, row, nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return known, row, nil
	}
	r := q.request()
	known.Request = &r
	return known, row, err
}

// admitted is how long a device that was admitted counts as one of its user's
// although it has not enrolled yet: its challenge ends then.
const admitted = time.Hour

// knowMore reads what is only asked for by some settings and rules: the groups
// of the row, and how many other devices its user has enrolled or is about to.
// Where tail is tx.lock() the user is locked, so that of two devices that arrive
// at the same time one is counted by the other.
func knowMore(ctx context.Context, tx *session, known *enroll.Known, a enroll.Attempt, tail string) error {
	d := cmp.Or(known.Device, &enroll.Device{})
	if limit, user := known.Settings.DevicesPerUser, enroll.CountedUser(a, known.Device); limit > 0 && user != "" {
		if tail != "" {
			var locked []string
			if err := tx.all(ctx, &locked, `SELECT id FROM users WHERE id = ?`+tail, user); err != nil {
				return err
			}
		}
		if err := tx.get(ctx, &known.UserDevices, `SELECT count(*) FROM (SELECT 1 FROM devices WHERE user_id = ? AND user_id <> '' AND id <> ?
			AND state IN ('enrolled', 'enrolling') AND (state = 'enrolled' OR updated_at > ?) LIMIT ?) AS counted`, user, d.ID, micros(a.At.Add(-admitted)), limit); err != nil {
			return err
		}
	}
	if d.ID == "" || !slices.ContainsFunc(known.Rules, func(r enroll.Rule) bool { return len(r.Conditions.Groups) > 0 }) {
		return nil
	}
	return tx.all(ctx, &known.Groups, `SELECT g.name FROM device_groups g JOIN memberships m ON m.group_id = g.id WHERE m.device_id = ? ORDER BY g.name`, d.ID)
}

// hold keeps a device that waits for approval in a row of its own.
func hold(ctx context.Context, tx *session, known enroll.Known, row deviceRow, d enroll.Decision) (deviceID string, err error) {
	if known.Device == nil {
		made := enroll.WaitingRow(d)
		d.DeviceID = made.ID
		err = createDevices(ctx, tx, newDeviceRow(made))
	} else if row.State != string(enroll.StateEnrolled) {
		fresh := row
		fresh.State = string(enroll.StatePendingApproval)
		_, _, err = saveIfChanged(ctx, tx, row, fresh)
	}
	if err != nil {
		return "", err
	}
	return d.DeviceID, asks(ctx, tx, known.Approval, d)
}

// findHolder finds the row whose current enrollment has this UDID.
func findHolder(ctx context.Context, tx *session, udid string) (deviceRow, error) {
	var deviceID string
	if err := tx.get(ctx, &deviceID, `SELECT device_id FROM enrollments WHERE udid = ? AND user_id = '' AND ended_at = 0 LIMIT 1`, udid); err != nil {
		return deviceRow{}, err
	}
	return findDevice(ctx, tx, "id", deviceID, "")
}

// countUse counts an enrollment of the row, unless it took the place of one
// that had not ended: then the device that is enrolled was wiped and came back.
func countUse(ctx context.Context, tx *session, device *deviceRow, e enrollmentRow) error {
	for {
		before, err := findEnrollment(ctx, tx, `e.device_id = ? AND e.user_id = '' AND e.ended_at = ? AND e.id < ? ORDER BY e.id DESC LIMIT 1`, e.DeviceID, e.AuthenticatedAt, e.ID)
		if errors.Is(err, sql.ErrNoRows) {
			device.Uses++
			return nil
		}
		if err != nil || before.EnrolledAt != 0 {
			return err
		}
		e = before // interrupted; the one it took the place of may have run
	}
}
