package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"rollcall/android"
	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
)

// Receipt implements policy.DeliveryStore.
func (s *Store) Receipt(ctx context.Context, deviceID string) (policy.Receipt, error) {
	var receipt policy.Receipt
	err := s.read(ctx, func(tx *session) error {
		e, err := findEnrollment(ctx, tx, `e.device_id = ? AND e.user_id = '' ORDER BY e.id DESC LIMIT 1`, deviceID)
		if errors.Is(err, sql.ErrNoRows) {
			return enroll.Errorf(enroll.KindNotFound, "enrollment_unknown", "the device has not enrolled yet")
		}
		if err != nil {
			return err
		}
		receipts, err := s.receipts(ctx, tx, []enrollmentRow{e})
		receipt = receipts[deviceID]
		return err
	})
	return receipt, err
}

// receipts are those of enrollments, by device.
func (s *Store) receipts(ctx context.Context, tx *session, enrollments []enrollmentRow) (map[string]policy.Receipt, error) {
	ids, devices := make([]string, len(enrollments)), make([]string, len(enrollments))
	for i, e := range enrollments {
		ids[i], devices[i] = e.ID, e.DeviceID
	}
	items, err := deliveredTo(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	notes, err := notesOf(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	plans, err := lastPlans(ctx, tx, devices)
	if err != nil {
		return nil, err
	}
	out := make(map[string]policy.Receipt, len(enrollments))
	for _, e := range enrollments {
		r := policy.Receipt{EnrollmentID: e.ID, EnrolledAt: instant(e.EnrolledAt), PolicyAt: instant(e.PolicyAt), Notes: notes[e.ID], Versions: plans[e.DeviceID].versions, Due: plans[e.DeviceID].due}
		for _, i := range items[e.ID] {
			d, err := s.delivered(i)
			if err != nil {
				return nil, err
			}
			item := policy.ReceiptItem{Key: i.Key, Title: i.Title, Removal: i.Removal, Policies: d.Policies, CommandID: i.CommandID,
				RequestType: i.RequestType, Command: d.State, NotNow: i.NotNow, Attempts: i.Attempts, Tries: i.Tries, Reason: i.Reason, Error: i.Error,
				QueuedAt: d.QueuedAt, SentAt: instant(i.SentAt), FinishedAt: d.FinishedAt}
			if e.State == string(mdm.EnrollmentActive) {
				item.RetryAt = policy.NextTry(d)
			}
			r.Items = append(r.Items, item)
			if i.RequestType == "set_policy" && d.Result != nil {
				r.Notes = append(r.Notes, android.NotApplied(d.Result)...)
			}
		}
		r.Complete()
		out[e.DeviceID] = r
	}
	return out, nil
}

// notesOf are the notes of the last plans, by enrollment.
func notesOf(ctx context.Context, tx *session, enrollmentIDs []string) (map[string][]policy.Note, error) {
	var rows []struct {
		EnrollmentID string `json:"enrollment_id"`
		Notes        string `json:"notes"`
	}
	if err := tx.all(ctx, &rows, `SELECT enrollment_id, notes FROM delivery_notes WHERE `+tx.in("enrollment_id"), tx.list(enrollmentIDs)); err != nil {
		return nil, err
	}
	out := make(map[string][]policy.Note, len(rows))
	for _, r := range rows {
		notes, err := decode[[]policy.Note](r.Notes)
		if err != nil {
			return nil, err
		}
		out[r.EnrollmentID] = notes
	}
	return out, nil
}

// lastPlan is what the last plan of a device was made from.
type lastPlan struct {
	versions map[string]int64 // by the policies' names
	due      bool             // there is to be another one
}

// lastPlans are those of devices, by ID; policies that are gone are left out.
func lastPlans(ctx context.Context, tx *session, deviceIDs []string) (map[string]lastPlan, error) {
	var rows []struct {
		DeviceID string `json:"device_id"`
		Versions string `json:"versions"`
		Due      bool   `json:"due"`
	}
	if err := tx.all(ctx, &rows, `SELECT device_id, versions, due_at > 0 AS due FROM deliveries WHERE `+tx.in("device_id"), tx.list(deviceIDs)); err != nil {
		return nil, err
	}
	planned := make([]map[string]int64, len(rows))
	var ids []string
	for i, r := range rows {
		var err error
		if planned[i], err = decode[map[string]int64](r.Versions); err != nil {
			return nil, err
		}
		for id := range planned[i] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var policies []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if err := tx.all(ctx, &policies, `SELECT id, name FROM policies WHERE `+tx.in("id"), tx.list(slices.Compact(ids))); err != nil {
		return nil, err
	}
	out := make(map[string]lastPlan, len(rows))
	for i, r := range rows {
		plan := lastPlan{versions: map[string]int64{}, due: r.Due}
		for _, p := range policies {
			if v, ok := planned[i][p.ID]; ok {
				plan.versions[p.Name] = v
			}
		}
		out[r.DeviceID] = plan
	}
	return out, nil
}

// boundDevice is a device that a policy is bound to.
type boundDevice struct {
	ID     string `json:"id"`
	Serial string `json:"serial"`
}

// boundPage reads a page of the devices that a policy is bound to. Each group is
// read by its own index, as far as the page goes: a group may hold the whole
// roll, and one query for everything would sort all of it.
func boundPage(ctx context.Context, tx *session, policyID string, page enroll.Page) ([]boundDevice, error) {
	limit := pageLimit(page)
	var groups []string
	if err := tx.all(ctx, &groups, `SELECT group_id FROM bindings WHERE policy_id = ? AND group_id <> ''`, policyID); err != nil {
		return nil, err
	}
	var all []boundDevice
	add := func(query string, args ...any) error {
		var some []boundDevice
		err := tx.all(ctx, &some, query, args...)
		all = append(all, some...)
		return err
	}
	for _, group := range groups {
		if err := add(`SELECT device_id AS id, serial FROM memberships WHERE group_id = ? AND serial > ? ORDER BY serial LIMIT ?`, group, page.After, limit); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(
		add(`SELECT d.id, d.serial FROM bindings b JOIN devices d ON d.id = b.device_id WHERE b.policy_id = ? AND b.device_id <> '' AND d.serial > ? ORDER BY d.serial LIMIT ?`, policyID, page.After, limit),
		add(`SELECT d.id, d.serial FROM bindings b JOIN devices d ON d.user_id = b.user_id WHERE b.policy_id = ? AND b.user_id <> '' AND d.serial > ? ORDER BY d.serial LIMIT ?`, policyID, page.After, limit),
	); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b boundDevice) int { return strings.Compare(a.Serial, b.Serial) })
	all = slices.Compact(all)
	return all[:min(len(all), limit)], nil
}

// PolicyReceipts implements policy.Store.
func (s *Store) PolicyReceipts(ctx context.Context, name string, page enroll.Page) ([]policy.PolicyReceipt, error) {
	var out []policy.PolicyReceipt
	err := s.read(ctx, func(tx *session) error {
		var id string
		if err := tx.get(ctx, &id, `SELECT id FROM policies WHERE name = ?`, name); errors.Is(err, sql.ErrNoRows) {
			return noPolicy(name)
		} else if err != nil {
			return err
		}
		devices, err := boundPage(ctx, tx, id, page)
		if err != nil {
			return err
		}
		ids := make([]string, len(devices))
		for i, d := range devices {
			ids[i] = d.ID
		}
		var enrollments []enrollmentRow
		if err := tx.all(ctx, &enrollments, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE `+tx.in("e.device_id")+` AND e.user_id = '' AND e.state = 'active'`, tx.list(ids)); err != nil {
			return err
		}
		receipts, err := s.receipts(ctx, tx, enrollments)
		if err != nil {
			return err
		}
		out = make([]policy.PolicyReceipt, len(devices))
		for i, d := range devices {
			out[i] = receipts[d.ID].Of(name, d.Serial)
		}
		return nil
	})
	return out, err
}
