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
	Via        string `json:"via"`
	State      string `json:"state"`
	Problem    string `json:"problem"`
	Ownership  string `json:"ownership"`
	CreatedBy  string `json:"created_by"`
	CreatedAt  int64  `json:"created_at"`
	ExpiresAt  int64  `json:"expires_at"`
	OpenedAt   int64  `json:"opened_at"`
	AcceptedAt int64  `json:"accepted_at"`
	RemindedAt int64  `json:"reminded_at"`
	ClosedAt   int64  `json:"closed_at"`
}

const selectRequest = `SELECT q.id, q.device_id, q.user_id, q.via, q.state, q.problem, q.ownership, q.created_by, q.created_at, q.expires_at,
	q.opened_at, q.accepted_at, q.reminded_at, q.closed_at FROM requests q `

// ofSecret finds the request by the hash of a secret.
const ofSecret = `WHERE q.id = (SELECT s.request_id FROM request_secrets s WHERE s.hash = ?)`

func (r requestRow) request() enroll.Request {
	return enroll.Request{ID: r.ID, DeviceID: r.DeviceID, UserID: r.UserID, Via: enroll.Via(r.Via), State: enroll.RequestState(r.State), Problem: r.Problem,
		Ownership: enroll.Ownership(r.Ownership), CreatedBy: r.CreatedBy, CreatedAt: instant(r.CreatedAt), ExpiresAt: instant(r.ExpiresAt),
		OpenedAt: instant(r.OpenedAt), AcceptedAt: instant(r.AcceptedAt), RemindedAt: instant(r.RemindedAt), ClosedAt: instant(r.ClosedAt)}
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
func (s *Store) CreateRequests(ctx context.Context, invites []enroll.Invite) error {
	return s.write(ctx, func(tx *session) error { return s.createRequests(ctx, tx, invites) })
}

// createRequests makes requests, with their devices locked in order.
func (s *Store) createRequests(ctx context.Context, tx *session, invites []enroll.Invite) error {
	ordered := slices.SortedFunc(slices.Values(invites), func(a, b enroll.Invite) int { return strings.Compare(a.DeviceID, b.DeviceID) })
	for _, r := range ordered {
		row, err := lockDevice(ctx, tx, r.DeviceID)
		if err != nil {
			return err
		}
		if err := cancelRequests(ctx, tx, r.DeviceID, r.CreatedAt); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO requests (id, device_id, user_id, via, state, problem, ownership, created_by, created_at, expires_at,
			opened_at, accepted_at, reminded_at, closed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.ID, r.DeviceID, r.UserID, string(r.Via), string(r.State), r.Problem, string(r.Ownership), r.CreatedBy, micros(r.CreatedAt),
			micros(r.ExpiresAt), micros(r.OpenedAt), micros(r.AcceptedAt), micros(r.RemindedAt), micros(r.ClosedAt)); err != nil {
			return err
		}
		if err := s.addLink(ctx, tx, r.ID, r.Link); err != nil {
			return err
		}
		if err := tellRequests(ctx, tx, r.State, r.ID); err != nil {
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
}

// cancelRequests withdraws the open requests of a locked device.
func cancelRequests(ctx context.Context, tx *session, deviceID string, at time.Time) error {
	var open []string
	if err := tx.all(ctx, &open, `UPDATE requests SET state = ?, closed_at = ? WHERE device_id = ? AND closed_at = 0 RETURNING id`,
		string(enroll.RequestCancelled), micros(at), deviceID); err != nil {
		return err
	}
	for _, id := range open {
		if err := dropMessages(ctx, tx, id, at); err != nil {
			return err
		}
	}
	return tellRequests(ctx, tx, enroll.RequestCancelled, open...)
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
func (s *Store) Requests(ctx context.Context, f enroll.RequestFilter, p enroll.Page) ([]enroll.Request, error) {
	query, args := selectRequest+"WHERE q.id < ?", []any{lastKey(p)}
	if f.DeviceID != "" {
		query, args = query+" AND q.device_id = ?", append(args, f.DeviceID)
	}
	if f.State != "" {
		query, args = query+" AND q.state = ?", append(args, string(f.State))
	}
	query, args = query+" ORDER BY q.id DESC LIMIT ?", append(args, pageLimit(p))
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
		if err := tx.get(ctx, &r, selectRequest+ofSecret, secretHash[:]); errors.Is(err, sql.ErrNoRows) {
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
	return s.changeRequest(ctx, id, change, nil)
}

// changeRequest writes a changed request, and what more there is with it.
func (s *Store) changeRequest(ctx context.Context, id string, change func(enroll.Request) (enroll.Request, error), more func(tx *session) error) (enroll.Request, error) {
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
		fresh.ID, fresh.DeviceID = old.ID, old.DeviceID
		result = fresh
		if more != nil {
			if err := more(tx); err != nil {
				return err
			}
		}
		if fresh == old {
			return nil
		}
		if _, err := tx.exec(ctx, `UPDATE requests SET user_id = ?, via = ?, state = ?, problem = ?, ownership = ?, created_by = ?, created_at = ?, expires_at = ?,
			opened_at = ?, accepted_at = ?, reminded_at = ?, closed_at = ? WHERE id = ?`, fresh.UserID, string(fresh.Via), string(fresh.State), fresh.Problem,
			string(fresh.Ownership), fresh.CreatedBy, micros(fresh.CreatedAt), micros(fresh.ExpiresAt), micros(fresh.OpenedAt), micros(fresh.AcceptedAt),
			micros(fresh.RemindedAt), micros(fresh.ClosedAt), id); err != nil {
			return err
		}
		if fresh.State != old.State {
			if err := tellRequests(ctx, tx, fresh.State, id); err != nil {
				return err
			}
		}
		if !fresh.ClosedAt.IsZero() {
			if err := dropMessages(ctx, tx, id, fresh.ClosedAt); err != nil {
				return err
			}
		}
		changed := device
		if fresh.State == enroll.RequestAccepted {
			if changed.AcceptedAt == 0 {
				changed.AcceptedAt = micros(fresh.AcceptedAt)
			}
			if err := changed.chooseOwnership(fresh); err != nil {
				return err
			}
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

// chooseOwnership takes the user's choice where the row leaves it to the user,
// and notes who has chosen.
func (r *deviceRow) chooseOwnership(q enroll.Request) error {
	if r.Ownership != string(enroll.OwnershipSelectUser) || q.Ownership == "" {
		return nil
	}
	sources, err := decode[map[string]enroll.Source](r.Sources)
	if err != nil {
		return err
	}
	if sources == nil {
		sources = map[string]enroll.Source{}
	}
	sources["ownership"] = enroll.SourceDevice
	r.Ownership, r.Sources = string(q.Ownership), encode(sources)
	return nil
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
				if n > 0 {
					if err := dropMessages(ctx, tx, r.ID, now); err != nil {
						return err
					}
					if err := tellRequests(ctx, tx, enroll.RequestExpired, r.ID); err != nil {
						return err
					}
				}
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
