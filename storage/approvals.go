package storage

import (
	"context"
	"database/sql"
	"errors"

	"rollcall/enroll"
)

var _ enroll.ApprovalStore = (*Store)(nil)

type approvalRow struct {
	Serial     string `json:"serial"`
	State      string `json:"state"`
	DecisionID string `json:"decision_id"`
	Attempts   int    `json:"attempts"`
	AskedAt    int64  `json:"asked_at"`
	LastAt     int64  `json:"last_at"`
	DecidedAt  int64  `json:"decided_at"`
	DecidedBy  string `json:"decided_by"`
}

const selectApproval = `SELECT a.serial, a.state, a.decision_id, a.attempts, a.asked_at, a.last_at, a.decided_at, a.decided_by FROM approvals a `

func (r approvalRow) approval() enroll.Approval {
	return enroll.Approval{Serial: r.Serial, State: enroll.ApprovalState(r.State), DecisionID: r.DecisionID, Attempts: r.Attempts,
		AskedAt: instant(r.AskedAt), LastAt: instant(r.LastAt), DecidedAt: instant(r.DecidedAt), DecidedBy: r.DecidedBy}
}

// findApproval reads the approval of a serial; nil: there is none.
func findApproval(ctx context.Context, tx *session, serial, tail string) (*enroll.Approval, error) {
	var r approvalRow
	err := tx.get(ctx, &r, selectApproval+"WHERE a.serial = ?"+tail, serial)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	a := r.approval()
	return &a, err
}

// saveApproval writes an approval with the row it ends with, "" for none.
func saveApproval(ctx context.Context, tx *session, a enroll.Approval, deviceID string) error {
	_, err := tx.exec(ctx, `INSERT INTO approvals (serial, device_id, state, decision_id, attempts, asked_at, last_at, decided_at, decided_by)
		VALUES (?, NULLIF(CAST(? AS text), ''), ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (serial) DO UPDATE SET device_id = excluded.device_id, state = excluded.state, decision_id = excluded.decision_id, attempts = excluded.attempts,
			asked_at = excluded.asked_at, last_at = excluded.last_at, decided_at = excluded.decided_at, decided_by = excluded.decided_by`,
		a.Serial, deviceID, string(a.State), a.DecisionID, a.Attempts, micros(a.AskedAt), micros(a.LastAt), micros(a.DecidedAt), a.DecidedBy)
	return err
}

func forgetApproval(ctx context.Context, tx *session, serial string) error {
	_, err := tx.exec(ctx, `DELETE FROM approvals WHERE serial = ?`, serial)
	return err
}

// asks notes that a device was held.
func asks(ctx context.Context, tx *session, old *enroll.Approval, d enroll.Decision) error {
	a := enroll.Approval{Serial: d.Serial, State: enroll.ApprovalPending, AskedAt: d.At}
	if old != nil {
		a = *old
	}
	a.DecisionID, a.LastAt = d.ID, d.At
	a.Attempts++
	return saveApproval(ctx, tx, a, d.DeviceID)
}

// Approvals implements enroll.ApprovalStore. A device that an admin has put on
// the roll since it asked is not among them.
func (s *Store) Approvals(ctx context.Context, state enroll.ApprovalState, p enroll.Page) ([]enroll.Approval, error) {
	var rows []approvalRow
	if err := s.all(ctx, &rows, selectApproval+`LEFT JOIN devices d ON d.serial = a.serial WHERE a.state = ? AND a.serial > ? AND (d.id IS NULL OR `+selfReported+`)
		ORDER BY a.serial LIMIT ?`, string(state), p.After, pageLimit(p)); err != nil {
		return nil, err
	}
	approvals := make([]enroll.Approval, len(rows))
	for i, r := range rows {
		approvals[i] = r.approval()
	}
	return approvals, nil
}

// selfReported says that nobody but the device itself told its serial. The
// column is JSON without spaces, and no field can hold a quote.
const selfReported = `d.sources LIKE '%"serial":"device"%'`

// Approval implements enroll.ApprovalStore.
func (s *Store) Approval(ctx context.Context, serial string) (enroll.Approval, error) {
	a, err := findApproval(ctx, s.reader(ctx), serial, "")
	if err != nil {
		return enroll.Approval{}, unavailable(err)
	}
	if a == nil {
		return enroll.Approval{}, enroll.NoApproval(serial)
	}
	return *a, nil
}

// ChangeApproval implements enroll.ApprovalStore.
func (s *Store) ChangeApproval(ctx context.Context, serial string, user *enroll.User,
	change func(enroll.Approval, enroll.Decision, *enroll.Device, string) (*enroll.Approval, *enroll.Device, error)) error {
	return s.write(ctx, func(tx *session) error {
		row, known, err := deviceIfAny(ctx, tx, serial)
		if err != nil {
			return err
		}
		approval, err := findApproval(ctx, tx, serial, tx.lock())
		if err != nil {
			return err
		}
		if approval == nil {
			return enroll.NoApproval(serial)
		}
		asked, err := findDecision(ctx, tx, approval.DecisionID, "")
		if enroll.KindOf(err) == enroll.KindNotFound { // forgotten by age
			asked, err = enroll.Decision{Serial: serial, Platform: enroll.PlatformApple, At: approval.LastAt}, nil
		}
		if err != nil {
			return err
		}
		userID := ""
		if user != nil {
			users, err := findOrMakeUsers(ctx, tx, []enroll.User{*user})
			if err != nil {
				return err
			}
			userID = users.of(user.Domain, user.Email)
		}
		fresh, device, err := change(*approval, asked, known, userID)
		if err != nil {
			return err
		}
		tx.record(ctx, "approval", serial, auditedApproval(approval), auditedApproval(fresh))
		switch {
		case device == nil && known != nil:
			err = removeDevice(ctx, tx, row)
		case device == nil:
		case known == nil:
			err = createDevices(ctx, tx, newDeviceRow(*device))
		default:
			_, _, err = saveIfChanged(ctx, tx, row, newDeviceRow(*device))
		}
		switch {
		case err != nil:
			return err
		case fresh == nil:
			return forgetApproval(ctx, tx, serial)
		case device == nil:
			return saveApproval(ctx, tx, *fresh, "")
		}
		return saveApproval(ctx, tx, *fresh, device.ID)
	})
}

func auditedApproval(a *enroll.Approval) any {
	if a == nil {
		return nil
	}
	return map[string]enroll.ApprovalState{"state": a.State}
}

// deviceIfAny reads and locks the row of a serial; nil: there is none.
func deviceIfAny(ctx context.Context, tx *session, serial string) (deviceRow, *enroll.Device, error) {
	row, err := findDevice(ctx, tx, "serial", serial, tx.lock())
	if errors.Is(err, sql.ErrNoRows) {
		return row, nil, nil
	}
	if err != nil {
		return row, nil, err
	}
	d, err := row.device()
	return row, &d, err
}
