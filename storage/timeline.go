package storage

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"rollcall/enroll"
	"rollcall/mdm"
)

var (
	_ enroll.Timeline   = (*Store)(nil)
	_ mdm.DeviceHistory = (*Store)(nil)
)

// moment is where a page of a timeline ended.
type moment struct {
	At int64  `json:"at"`
	ID string `json:"id"` // and what happened: one request has several entries
}

func momentOf(e enroll.Entry) moment { return moment{micros(e.At), e.ID + "/" + e.What} }

func (m moment) compare(other moment) int {
	return cmp.Or(cmp.Compare(m.At, other.At), cmp.Compare(m.ID, other.ID))
}

// Timeline implements enroll.Timeline.
func (s *Store) Timeline(ctx context.Context, deviceID string, p enroll.Page) (entries []enroll.Entry, next string, err error) {
	before := moment{At: 1<<63 - 1}
	if p.After != "" && json.Unmarshal([]byte(p.After), &before) != nil {
		return nil, "", cursorInvalid()
	}
	limit := pageLimit(p)
	err = s.read(ctx, func(tx *session) error {
		entries = []enroll.Entry{}
		row, err := findDevice(ctx, tx, "id", deviceID, "")
		if errors.Is(err, sql.ErrNoRows) {
			return deviceGone(deviceID)
		}
		if err != nil {
			return err
		}
		for _, read := range []func() ([]enroll.Entry, error){
			func() ([]enroll.Entry, error) { return changesOf(ctx, tx, deviceID, before, limit) },
			func() ([]enroll.Entry, error) { return decisionsOf(ctx, tx, row.Serial, before, limit) },
			func() ([]enroll.Entry, error) { return requestsOf(ctx, tx, deviceID) },
			func() ([]enroll.Entry, error) { return enrollmentsOf(ctx, tx, deviceID) },
			func() ([]enroll.Entry, error) { return commandsOf(ctx, tx, deviceID, before, limit) },
		} {
			found, err := read()
			if err != nil {
				return err
			}
			entries = append(entries, found...)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	entries = slices.DeleteFunc(entries, func(e enroll.Entry) bool { return e.At.IsZero() || momentOf(e).compare(before) >= 0 })
	slices.SortFunc(entries, func(a, b enroll.Entry) int { return momentOf(b).compare(momentOf(a)) })
	if len(entries) > limit {
		entries = entries[:limit]
		next = encode(momentOf(entries[limit-1]))
	}
	return entries, next, nil
}

// Each of the following gives one more entry than the page needs, so that it
// is known whether there is another page. Entries of one instant may come
// twice; who calls leaves out what is not before the page.

func changesOf(ctx context.Context, tx *session, deviceID string, before moment, limit int) ([]enroll.Entry, error) {
	var rows []eventRow
	if err := tx.all(ctx, &rows, "SELECT "+columns("", eventNames)+" FROM device_events WHERE device_id = ? AND at <= ? ORDER BY at DESC, id DESC LIMIT ?",
		deviceID, before.At, 2*limit+1); err != nil {
		return nil, err
	}
	entries := make([]enroll.Entry, len(rows))
	for i, r := range rows {
		changes, err := decode[[]enroll.FieldChange](r.Changes)
		if err != nil {
			return nil, err
		}
		entries[i] = enroll.Entry{ID: r.ID, At: instant(r.At), Kind: enroll.EntryKind(r.Kind), What: r.Kind, Actor: r.Actor, ImportID: r.ImportID, Changes: changes}
	}
	return entries, nil
}

func decisionsOf(ctx context.Context, tx *session, serial string, before moment, limit int) ([]enroll.Entry, error) {
	var rows []struct {
		ID      string `json:"id"`
		At      int64  `json:"at"`
		Channel string `json:"channel"`
		Outcome string `json:"outcome"`
		Code    string `json:"code"`
	}
	if err := tx.all(ctx, &rows, `SELECT id, at, channel, outcome, code FROM decisions WHERE serial = ? AND at <= ? ORDER BY at DESC, id DESC LIMIT ?`,
		serial, before.At, 2*limit+1); err != nil {
		return nil, err
	}
	entries := make([]enroll.Entry, len(rows))
	for i, r := range rows {
		entries[i] = enroll.Entry{ID: r.ID, At: instant(r.At), Kind: enroll.EntryDecision, What: r.Code, State: r.Outcome, Detail: r.Channel}
	}
	return entries, nil
}

// requestsOf tells of every step of the device's requests, which are few.
func requestsOf(ctx context.Context, tx *session, deviceID string) ([]enroll.Entry, error) {
	var rows []requestRow
	if err := tx.all(ctx, &rows, selectRequest+"WHERE q.device_id = ? ORDER BY q.id DESC LIMIT ?", deviceID, maxPage); err != nil {
		return nil, err
	}
	var entries []enroll.Entry
	for _, r := range rows {
		q := r.request()
		entries = append(entries,
			enroll.Entry{ID: q.ID, At: q.CreatedAt, Kind: enroll.EntryRequest, What: "created", Actor: q.CreatedBy},
			enroll.Entry{ID: q.ID, At: q.OpenedAt, Kind: enroll.EntryRequest, What: "opened"},
			enroll.Entry{ID: q.ID, At: q.AcceptedAt, Kind: enroll.EntryRequest, What: "accepted"},
			enroll.Entry{ID: q.ID, At: q.ClosedAt, Kind: enroll.EntryRequest, What: string(q.State)})
	}
	return entries, nil
}

// enrollmentsOf tells of the device's enrollments.
func enrollmentsOf(ctx context.Context, tx *session, deviceID string) ([]enroll.Entry, error) {
	var rows []enrollmentRow
	if err := tx.all(ctx, &rows, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE e.device_id = ? AND e.user_id = '' ORDER BY e.id DESC LIMIT ?`, deviceID, maxPage); err != nil {
		return nil, err
	}
	var entries []enroll.Entry
	for _, r := range rows {
		e := r.enrollment()
		entries = append(entries,
			enroll.Entry{ID: e.ID, At: e.AuthenticatedAt, Kind: enroll.EntryEnrollment, What: "authenticated"},
			enroll.Entry{ID: e.ID, At: e.EnrolledAt, Kind: enroll.EntryEnrollment, What: "enrolled"},
			enroll.Entry{ID: e.ID, At: e.EndedAt, Kind: enroll.EntryEnrollment, What: "ended"})
	}
	return entries, nil
}

// commandsOf tells of the commands of all enrollments. The newest are taken of
// each before they are sorted together, so that a long history costs
// nothing.
func commandsOf(ctx context.Context, tx *session, deviceID string, before moment, limit int) ([]enroll.Entry, error) {
	newest := `(SELECT n.id FROM commands n WHERE n.enrollment_id = e.id AND n.queued_at <= ? ORDER BY n.seq DESC LIMIT ?)`
	among := `c.id IN ` + newest
	if tx.name() == "postgres" { // which would look for each command in the list
		among = `c.id = ANY (ARRAY` + newest + `)`
	}
	var rows []commandRow
	if err := tx.all(ctx, &rows, `SELECT `+columns("c.", commandNames)+` FROM (SELECT id FROM enrollments WHERE device_id = ? AND authenticated_at <= ? ORDER BY id DESC LIMIT ?) AS e
		CROSS JOIN commands c WHERE `+among+` ORDER BY c.queued_at DESC, c.id DESC LIMIT ?`,
		deviceID, before.At, maxPage, before.At, 2*limit+1, 2*limit+1); err != nil {
		return nil, err
	}
	entries := make([]enroll.Entry, len(rows))
	for i, c := range rows {
		entries[i] = enroll.Entry{ID: c.ID, At: instant(c.QueuedAt), Kind: enroll.EntryCommand, What: c.RequestType, State: c.State, Detail: c.Error}
	}
	return entries, nil
}

// DeviceCommands implements mdm.DeviceHistory.
func (s *Store) DeviceCommands(ctx context.Context, deviceID string, p enroll.Page) ([]mdm.CommandRecord, error) {
	query, args := `SELECT `+columns("c.", commandNames)+` FROM commands c JOIN enrollments e ON e.id = c.enrollment_id WHERE e.device_id = ? `, []any{deviceID}
	if p.After != "" {
		var known bool
		if err := s.one(ctx, &known, `SELECT EXISTS (SELECT 1 FROM commands c JOIN enrollments e ON e.id = c.enrollment_id WHERE c.id = ? AND e.device_id = ?)`, p.After, deviceID); err != nil {
			return nil, err
		} else if !known {
			return nil, cursorInvalid()
		}
		query += `AND (c.enrollment_id, c.seq) < (SELECT a.enrollment_id, a.seq FROM commands a WHERE a.id = ?) `
		args = append(args, p.After)
	}
	var rows []commandRow
	if err := s.all(ctx, &rows, query+`ORDER BY c.enrollment_id DESC, c.seq DESC LIMIT ?`, append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	records := make([]mdm.CommandRecord, len(rows))
	for i, r := range rows {
		records[i] = r.record()
	}
	return records, nil
}

var commandNames = columnNames(commandColumns)

// DeviceCommand implements mdm.DeviceHistory.
func (s *Store) DeviceCommand(ctx context.Context, deviceID, commandID string) (mdm.CommandRecord, error) {
	c, err := s.CommandRecord(ctx, commandID)
	if err != nil {
		return c, err
	}
	if e, err := s.EnrollmentByID(ctx, c.EnrollmentID); err != nil {
		return mdm.CommandRecord{}, err
	} else if e.DeviceID != deviceID {
		return mdm.CommandRecord{}, enroll.Errorf(enroll.KindNotFound, "command_unknown", "the device has no command %q", commandID)
	}
	return c, nil
}
