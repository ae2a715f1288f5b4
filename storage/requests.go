package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"rollcall/enroll"
)

var _ enroll.RequestStore = (*Store)(nil)

type requestRow struct {
	ID         string `json:"id"`
	DeviceID   string `json:"device_id"`
	UserID     string `json:"user_id"`
	SecretHash []byte `json:"secret_hash"`
	State      string `json:"state"`
	Ownership  string `json:"ownership"`
	CreatedBy  string `json:"created_by"`
	CreatedAt  int64  `json:"created_at"`
	ExpiresAt  int64  `json:"expires_at"`
	OpenedAt   int64  `json:"opened_at"`
	AcceptedAt int64  `json:"accepted_at"`
	ClosedAt   int64  `json:"closed_at"`
}

const selectRequest = `SELECT q.id, q.device_id, q.user_id, q.secret_hash, q.state, q.ownership, q.created_by, q.created_at, q.expires_at,
	q.opened_at, q.accepted_at, q.closed_at FROM requests q `

func (r requestRow) request() enroll.Request {
	q := enroll.Request{ID: r.ID, DeviceID: r.DeviceID, UserID: r.UserID, State: enroll.RequestState(r.State), Ownership: enroll.Ownership(r.Ownership),
		CreatedBy: r.CreatedBy, CreatedAt: instant(r.CreatedAt), ExpiresAt: instant(r.ExpiresAt), OpenedAt: instant(r.OpenedAt),
		AcceptedAt: instant(r.AcceptedAt), ClosedAt: instant(r.ClosedAt)}
	copy(q.SecretHash[:], r.SecretHash)
	return q
}

func noRequest() error {
	return enroll.Errorf(enroll.KindNotFound, "request_unknown", "there is no such enrollment request")
}

// lockRequest reads a request, locked after its device.
func lockRequest(ctx context.Context, tx *session, id string) (deviceRow, requestRow, error) {
	var r requestRow
	var device string
	err := tx.get(ctx, &device, `SELECT device_id FROM requests WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return deviceRow{}, r, noRequest()
	}
	if err != nil {
		return deviceRow{}, r, err
	}
	d, err := lockDevice(ctx, tx, device)
	if err != nil {
		return d, r, err
	}
	err = tx.get(ctx, &r, selectRequest+"WHERE q.id = ?"+tx.lock(), id)
	if errors.Is(err, sql.ErrNoRows) {
		err = noRequest()
	}
	return d, r, err
}

// CreateRequests implements enroll.RequestStore.
func (s *Store) CreateRequests(ctx context.Context, rs []enroll.Request) error {
	return s.write(ctx, func(tx *session) error {
		ordered := slices.SortedFunc(slices.Values(rs), func(a, b enroll.Request) int { return strings.Compare(a.DeviceID, b.DeviceID) })
		for _, r := range ordered {
			row, err := lockDevice(ctx, tx, r.DeviceID)
			if err != nil {
				return err
			}
			if _, err := tx.exec(ctx, `UPDATE requests SET state = ?, closed_at = ? WHERE device_id = ? AND closed_at = 0`,
				string(enroll.RequestCancelled), micros(r.CreatedAt), r.DeviceID); err != nil {
				return err
			}
			if _, err := tx.exec(ctx, `INSERT INTO requests (id, device_id, user_id, secret_hash, state, ownership, created_by, created_at, expires_at,
				opened_at, accepted_at, closed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				r.ID, r.DeviceID, r.UserID, r.SecretHash[:], string(r.State), string(r.Ownership), r.CreatedBy, micros(r.CreatedAt),
				micros(r.ExpiresAt), micros(r.OpenedAt), micros(r.AcceptedAt), micros(r.ClosedAt)); err != nil {
				return err
			}
			fresh := row
			if row.State == string(enroll.StatePreEnrolled) || row.State == string(enroll.StateUnenrolled) {
				fresh.State = string(enroll.StateInvited)
			}
			if _, _, err := saveIfChanged(ctx, tx, row, fresh); err != nil {
				return err
			}
		}
		return nil
	})
}

// Request implements enroll.RequestStore.
func (s *Store) Request(ctx context.Context, id string) (enroll.Request, error) {
	var r requestRow
	if err := s.one(ctx, &r, selectRequest+"WHERE q.id = ?", id); errors.Is(err, sql.ErrNoRows) {
		return enroll.Request{}, noRequest()
	} else if err != nil {
		return enroll.Request{}, err
	}
	return r.request(), nil
}

// Requests implements enroll.RequestStore.
func (s *Store) Requests(ctx context.Context, deviceID string, p enroll.Page) ([]enroll.Request, error) {
	query, args := selectRequest+"WHERE q.id < ? ORDER BY q.id DESC LIMIT ?", []any{lastKey(p), pageLimit(p)}
	if deviceID != "" {
		query, args = selectRequest+"WHERE q.device_id = ? AND q.id < ? ORDER BY q.id DESC LIMIT ?", []any{deviceID, lastKey(p), pageLimit(p)}
	}
	var rows []requestRow
	if err := s.all(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	requests := make([]enroll.Request, len(rows))
	for i, r := range rows {
		requests[i] = r.request()
	}
	return requests, nil
}

// Invitation implements enroll.RequestStore.
func (s *Store) Invitation(ctx context.Context, secretHash [32]byte) (enroll.Invitation, error) {
	var inv enroll.Invitation
	err := s.read(ctx, func(tx *session) error {
		inv = enroll.Invitation{}
		var r requestRow
		if err := tx.get(ctx, &r, selectRequest+"WHERE q.secret_hash = ?", secretHash[:]); errors.Is(err, sql.ErrNoRows) {
			return noRequest()
		} else if err != nil {
			return err
		}
		inv.Request = r.request()
		d, err := findDevice(ctx, tx, "id", r.DeviceID, "")
		if err != nil {
			return err // a request goes with its device, so there is one
		}
		if inv.Device, err = d.device(); err != nil || d.UserID == "" {
			return err
		}
		var u userRow
		err = tx.get(ctx, &u, selectUser+"WHERE id = ?", d.UserID)
		inv.User = u.user()
		return err
	})
	return inv, err
}

// ChangeRequest implements enroll.RequestStore. When the changed request is
// closed without its device having enrolled, the device is no longer invited.
func (s *Store) ChangeRequest(ctx context.Context, id string, change func(enroll.Request) (enroll.Request, error)) (enroll.Request, error) {
	var result enroll.Request
	err := s.write(ctx, func(tx *session) error {
		device, row, err := lockRequest(ctx, tx, id)
		if err != nil {
			return err
		}
		old := row.request()
		fresh, err := change(old)
		if err != nil {
			return err
		}
		fresh.ID, fresh.DeviceID, fresh.SecretHash = old.ID, old.DeviceID, old.SecretHash
		result = fresh
		if fresh == old {
			return nil
		}
		if _, err := tx.exec(ctx, `UPDATE requests SET user_id = ?, state = ?, ownership = ?, created_by = ?, created_at = ?, expires_at = ?,
			opened_at = ?, accepted_at = ?, closed_at = ? WHERE id = ?`, fresh.UserID, string(fresh.State), string(fresh.Ownership), fresh.CreatedBy,
			micros(fresh.CreatedAt), micros(fresh.ExpiresAt), micros(fresh.OpenedAt), micros(fresh.AcceptedAt), micros(fresh.ClosedAt), id); err != nil {
			return err
		}
		changed := device
		if fresh.State == enroll.RequestAccepted {
			if changed.AcceptedAt == 0 {
				changed.AcceptedAt = micros(fresh.AcceptedAt)
			}
			changed.chooseOwnership(fresh)
		}
		if fresh.State == enroll.RequestCancelled || fresh.State == enroll.RequestExpired {
			if err := changed.uninvite(ctx, tx); err != nil {
				return err
			}
		}
		_, _, err = saveIfChanged(ctx, tx, device, changed)
		return err
	})
	if err != nil {
		return enroll.Request{}, err
	}
	return result, nil
}

// chooseOwnership takes the user's choice where the row leaves it to the user.
func (r *deviceRow) chooseOwnership(q enroll.Request) {
	if r.Ownership == string(enroll.OwnershipSelectUser) && q.Ownership != "" {
		r.Ownership = string(q.Ownership)
	}
}

// uninvite takes a device that has no open request any more back on the roll.
func (r *deviceRow) uninvite(ctx context.Context, tx *session) error {
	if r.State != string(enroll.StateInvited) {
		return nil
	}
	var open bool
	err := tx.get(ctx, &open, `SELECT EXISTS (SELECT 1 FROM requests WHERE device_id = ? AND closed_at = 0)`, r.ID)
	if err == nil && !open {
		r.State = string(enroll.StatePreEnrolled)
	}
	return err
}

// ExpireRequests implements enroll.RequestStore, in batches so that it locks
// nothing for long.
func (s *Store) ExpireRequests(ctx context.Context, now time.Time) (int, error) {
	total := 0
	for {
		done := 0
		err := s.write(ctx, func(tx *session) error {
			done = 0
			var rows []struct {
				ID       string `json:"id"`
				DeviceID string `json:"device_id"`
			}
			if err := tx.all(ctx, &rows, `SELECT o.id, o.device_id FROM (SELECT id, device_id FROM requests WHERE closed_at = 0 AND expires_at < ?
				ORDER BY expires_at LIMIT 200) AS o ORDER BY o.device_id`, micros(now)); err != nil {
				return err
			}
			for _, r := range rows {
				device, err := lockDevice(ctx, tx, r.DeviceID)
				if err != nil {
					return err
				}
				n, err := tx.exec(ctx, `UPDATE requests SET state = ?, closed_at = ? WHERE id = ? AND closed_at = 0`, string(enroll.RequestExpired), micros(now), r.ID)
				if err != nil {
					return err
				}
				done += int(n)
				changed := device
				if err := changed.uninvite(ctx, tx); err != nil {
					return err
				}
				if _, _, err := saveIfChanged(ctx, tx, device, changed); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || done == 0 {
			return total, err
		}
		total += done
	}
}
