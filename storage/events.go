package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
	"rollcall/policy"
)

var _ admin.EventStore = (*Store)(nil)

type outboxRow struct {
	ID   string `json:"id"`
	Seq  int64  `json:"seq"`
	Type string `json:"type"`
	At   int64  `json:"at"`
	Refs string `json:"refs"`
}

const (
	outboxFields = `id text, type text, at bigint, refs text`
	outboxChunk  = 1000
)

var (
	outboxNames  = columnNames(outboxFields)
	selectOutbox = "SELECT seq, " + columns("", outboxNames) + " FROM events "
	insertOutbox = "INSERT INTO events (seq, " + columns("", outboxNames) + ") SELECT 0, " + columns("r.", outboxNames) + " FROM "
)

func (r outboxRow) event() (enroll.Event, error) {
	refs, err := decode[enroll.EventRefs](r.Refs)
	return enroll.Event{ID: r.ID, Seq: r.Seq, Type: enroll.EventType(r.Type), At: instant(r.At), Refs: refs}, err
}

// tell writes events in the transaction of what they tell. One with an ID that
// is there already is not told twice.
func tell(ctx context.Context, tx *session, events ...enroll.Event) error {
	for start := 0; start < len(events); start += outboxChunk {
		chunk := events[start:min(start+outboxChunk, len(events))]
		rows := make([]outboxRow, len(chunk))
		for i, e := range chunk {
			rows[i] = outboxRow{ID: e.ID, Type: string(e.Type), At: micros(e.At), Refs: clean(encode(e.Refs))}
		}
		if _, err := tx.exec(ctx, insertOutbox+tx.records(outboxFields)+" WHERE true ON CONFLICT (id) DO NOTHING", encode(rows)); err != nil {
			return err
		}
	}
	return nil
}

// tellDevices tells what devices have become, and writes it down for the audit
// log; before has the rows that were there. An import is one event and one
// entry, which its own transaction writes; see tellImport.
func tellDevices(ctx context.Context, tx *session, before map[string]deviceBefore, rows []deviceRow) error {
	if enroll.ImportOf(ctx) != "" {
		return nil
	}
	events := make([]enroll.Event, 0, len(rows))
	for _, fresh := range rows {
		old := before[fresh.ID].deviceRow
		if e, ok := deviceEvent(old, fresh); ok {
			events = append(events, e)
		}
		tx.record(ctx, "device", fresh.Serial, auditedDevice(old), auditedDevice(fresh))
	}
	return tell(ctx, tx, events...)
}

// auditedDevice is what the audit log keeps of a device: what an admin can say
// of it. What the device told of itself is not in it; before the user has
// accepted nobody may read that.
func auditedDevice(r deviceRow) any {
	if r.ID == "" {
		return nil
	}
	return struct {
		Platform    string          `json:"platform"`
		Ownership   string          `json:"ownership"`
		Name        string          `json:"name,omitempty"`
		UserID      string          `json:"user_id,omitempty"`
		State       string          `json:"state"`
		AssetTag    string          `json:"asset_tag,omitempty"`
		Tags        json.RawMessage `json:"tags,omitempty"`
		Notes       string          `json:"notes,omitempty"`
		NotBefore   time.Time       `json:"not_before,omitzero"`
		ExpiresAt   time.Time       `json:"expires_at,omitzero"`
		MaxUses     int             `json:"max_uses,omitempty"`
		BlockedAt   time.Time       `json:"blocked_at,omitzero"`
		BlockReason string          `json:"block_reason,omitempty"`
		Version     int64           `json:"version"`
	}{r.Platform, r.Ownership, r.Name, r.UserID, r.State, r.AssetTag, json.RawMessage(r.Tags), r.Notes, instant(r.NotBefore), instant(r.ExpiresAt), r.MaxUses,
		instant(r.BlockedAt), r.BlockReason, r.Version}
}

// deviceEvent is the event of a change of a device.
func deviceEvent(old, fresh deviceRow) (enroll.Event, bool) {
	refs := enroll.EventRefs{Serial: fresh.Serial}
	event := func(t enroll.EventType) (enroll.Event, bool) { return enroll.NewEvent(t, now(), refs), true }
	enrolled, unenrolled := string(enroll.StateEnrolled), string(enroll.StateUnenrolled)
	switch {
	case old.ID == "":
		return event(enroll.EventDeviceCreated)
	case old.State != enrolled && fresh.State == enrolled:
		return event(enroll.EventDeviceEnrolled)
	case old.State != unenrolled && fresh.State == unenrolled:
		return event(enroll.EventDeviceUnenrolled)
	case old.BlockedAt == 0 && fresh.BlockedAt != 0:
		return event(enroll.EventDeviceBlocked)
	case old.BlockedAt != 0 && fresh.BlockedAt == 0:
		return event(enroll.EventDeviceUnblocked)
	}
	if refs.Fields = changedFields(old, fresh); len(refs.Fields) == 0 {
		return enroll.Event{}, false
	}
	return event(enroll.EventDeviceChanged)
}

// changedFields names what of a device is different, as the API calls it.
func changedFields(old, fresh deviceRow) []string {
	var names []string
	for _, f := range []struct {
		name    string
		changed bool
	}{
		{"serial", old.Serial != fresh.Serial},
		{"platform", old.Platform != fresh.Platform},
		{"ownership", old.Ownership != fresh.Ownership},
		{"name", old.Name != fresh.Name},
		{"user", old.UserID != fresh.UserID},
		{"state", old.State != fresh.State},
		{"facts", old.Facts != fresh.Facts},
		{"asset_tag", old.AssetTag != fresh.AssetTag},
		{"tags", old.Tags != fresh.Tags},
		{"notes", old.Notes != fresh.Notes},
		{"not_before", old.NotBefore != fresh.NotBefore},
		{"expires_at", old.ExpiresAt != fresh.ExpiresAt},
		{"max_uses", old.MaxUses != fresh.MaxUses},
		{"uses", old.Uses != fresh.Uses},
		{"accepted_at", old.AcceptedAt != fresh.AcceptedAt},
	} {
		if f.changed {
			names = append(names, f.name)
		}
	}
	return names
}

// tellRequests tells that requests came into a state.
func tellRequests(ctx context.Context, tx *session, state enroll.RequestState, ids ...string) error {
	t, ok := state.Event()
	if !ok || len(ids) == 0 {
		return nil
	}
	var rows []struct {
		ID     string `json:"id"`
		Serial string `json:"serial"`
	}
	if err := tx.all(ctx, &rows, `SELECT q.id, d.serial FROM requests q JOIN devices d ON d.id = q.device_id WHERE `+tx.in("q.id")+` ORDER BY q.id`, tx.list(ids)); err != nil {
		return err
	}
	events := make([]enroll.Event, len(rows))
	for i, r := range rows {
		events[i] = enroll.NewEvent(t, now(), enroll.EventRefs{Serial: r.Serial, RequestID: r.ID})
		tx.record(ctx, "request", r.ID, nil, map[string]string{"serial": r.Serial, "state": string(state)})
	}
	return tell(ctx, tx, events...)
}

// tellFailed tells that a device refused a part of a policy; the command is one
// that has just failed.
func tellFailed(ctx context.Context, tx *session, enrollmentID, commandID string) error {
	serial, err := serialOfItem(ctx, tx, enrollmentID, commandID)
	if err != nil || serial == "" {
		return err
	}
	return tell(ctx, tx, enroll.NewEvent(enroll.EventPolicyFailed, now(), enroll.EventRefs{Serial: serial, CommandID: commandID}))
}

// tellCompleted tells that a device has all of its policies; the command is the
// last one of its queue. One that has nothing to do with policies tells nothing,
// and neither does one after which more is to be planned.
func tellCompleted(ctx context.Context, tx *session, enrollmentID, commandID string) error {
	serial, err := serialOfItem(ctx, tx, enrollmentID, commandID)
	if err != nil || serial == "" {
		return err
	}
	var more bool
	if err := tx.get(ctx, &more, `SELECT EXISTS (SELECT 1 FROM delivered i JOIN commands c ON c.id = i.command_id WHERE i.enrollment_id = ? AND c.state <> 'acknowledged')
		OR EXISTS (SELECT 1 FROM deliveries w JOIN enrollments e ON e.device_id = w.device_id WHERE e.id = ? AND w.due_at > 0)`, enrollmentID, enrollmentID); err != nil || more {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE deliveries SET told = TRUE WHERE device_id = (SELECT e.device_id FROM enrollments e WHERE e.id = ?)`, enrollmentID); err != nil {
		return err
	}
	return tell(ctx, tx, enroll.NewEvent(enroll.EventPolicyCompleted, now(), enroll.EventRefs{Serial: serial}))
}

// serialOfItem is the serial of the device that a command brings a part of a
// policy to; empty where it brings none.
func serialOfItem(ctx context.Context, tx *session, enrollmentID, commandID string) (string, error) {
	var serial string
	err := tx.get(ctx, &serial, `SELECT d.serial FROM enrollments e JOIN devices d ON d.id = e.device_id
		WHERE e.id = ? AND EXISTS (SELECT 1 FROM delivered i WHERE i.enrollment_id = e.id AND i.command_id = ?)`, enrollmentID, commandID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return serial, err
}

// tellDeleted tells that devices are about to be taken off the roll.
func tellDeleted(ctx context.Context, tx *session, ids ...string) error {
	if enroll.ImportOf(ctx) != "" {
		return nil
	}
	var rows []deviceRow
	if err := tx.all(ctx, &rows, selectDevice+"WHERE "+tx.in("d.id")+" ORDER BY d.id", tx.list(ids)); err != nil {
		return err
	}
	events := make([]enroll.Event, len(rows))
	for i, r := range rows {
		events[i] = enroll.NewEvent(enroll.EventDeviceDeleted, now(), enroll.EventRefs{Serial: r.Serial})
		tx.record(ctx, "device", r.Serial, auditedDevice(r), nil)
	}
	return tell(ctx, tx, events...)
}

// tellImport tells of all rows of an import at once. One that made users only
// is no news of devices.
func tellImport(ctx context.Context, tx *session, imp enroll.Import) error {
	if !imp.Options.PreEnroll {
		return nil
	}
	if imp.State == enroll.ImportReverted {
		return tell(ctx, tx, enroll.NewEvent(enroll.EventDeviceReverted, imp.RevertedAt, enroll.EventRefs{ImportID: imp.ID, Changed: imp.Reverted.Restored, Deleted: imp.Reverted.Deleted}))
	}
	return tell(ctx, tx, enroll.NewEvent(enroll.EventDeviceImported, imp.AppliedAt, enroll.EventRefs{ImportID: imp.ID, New: imp.Counts.New, Changed: imp.Counts.Changed}))
}

// auditedImport makes the work on an import part of a call in the name of who
// asked for it: a worker does it after the call has been answered.
func auditedImport(ctx context.Context, id, operation string) context.Context {
	ctx = enroll.WithImport(ctx, id)
	return enroll.WithCall(ctx, enroll.Call{ActorName: enroll.ActorOf(ctx), Operation: operation, Path: "/api/v1/imports/" + id})
}

// auditedUser is what the audit log keeps of a user.
func auditedUser(r userRow) any {
	if r.ID == "" {
		return nil
	}
	return map[string]string{"name": r.Name, "mobile": r.Mobile, "language": r.Language}
}

// auditedPolicy is what the audit log keeps of a policy: the names of what is in
// it, and nothing of the content, which may hold passwords. Its version tells
// that it changed.
func auditedPolicy(p *policy.Policy) any {
	if p == nil {
		return nil
	}
	fields, err := decode[map[string]json.RawMessage](encode(p.Document))
	if err != nil {
		panic(err) // a document is an object
	}
	profiles := map[string][]string{}
	if p.Document.Apple != nil {
		for _, f := range p.Document.Apple.Profiles {
			types := []string{}
			for _, payload := range f.Payloads {
				types = append(types, payload.Type)
			}
			profiles[f.ID] = types
		}
	}
	return map[string]any{"version": p.Version, "priority": p.Priority, "document": slices.Sorted(maps.Keys(fields)), "profiles": profiles}
}

// Tell writes an event that no change in the database goes with; an ID that is
// there already is not told twice.
func (s *Store) Tell(ctx context.Context, e enroll.Event) error {
	return s.write(ctx, func(tx *session) error { return tell(ctx, tx, e) })
}

// Events implements admin.EventStore. The newest place is read first: where
// fewer events than asked for are found, there are no more up to it.
func (s *Store) Events(ctx context.Context, after int64, types []string, limit int) (events []enroll.Event, last int64, err error) {
	limit = pageLimit(enroll.Page{Limit: limit})
	var rows []outboxRow
	err = s.read(ctx, func(tx *session) error {
		rows = nil
		if err := tx.get(ctx, &last, `SELECT seq FROM heads WHERE name = 'events'`); err != nil || last <= after {
			return err
		}
		query, args := selectOutbox+"WHERE seq > 0 AND seq > ?", []any{after}
		if len(types) > 0 {
			var names []string
			for _, t := range enroll.EventTypes {
				if t.Matches(types) {
					names = append(names, string(t))
				}
			}
			query += " AND " + tx.in("type")
			args = append(args, tx.list(names))
		}
		return tx.all(ctx, &rows, query+" ORDER BY seq LIMIT ?", append(args, limit)...)
	})
	if err != nil {
		return nil, 0, err
	}
	for _, r := range rows {
		e, err := r.event()
		if err != nil {
			return nil, 0, err
		}
		events = append(events, e)
	}
	if len(rows) == limit {
		last = rows[limit-1].Seq
	}
	return events, max(last, after), nil
}

// EventRange implements admin.EventStore.
func (s *Store) EventRange(ctx context.Context) (oldest, newest int64, err error) {
	var r struct {
		Oldest int64 `json:"oldest"`
		Newest int64 `json:"newest"`
	}
	err = s.one(ctx, &r, `SELECT h.seq AS newest, COALESCE((SELECT min(e.seq) FROM events e WHERE e.seq > 0), h.seq + 1) AS oldest FROM heads h WHERE h.name = 'events'`)
	return r.Oldest, r.Newest, err
}

// Publish implements webhook.Outbox. The head of the stream is locked first,
// so that one server at a time gives places and sees all that the one before
// it has left.
func (s *Store) Publish(ctx context.Context, at time.Time) (published int, more bool, err error) {
	var waiting bool
	if err := s.one(ctx, &waiting, `SELECT EXISTS (SELECT 1 FROM events WHERE seq = 0)`); err != nil || !waiting {
		return 0, false, err
	}
	err = s.write(ctx, func(tx *session) error {
		published = 0
		var h head
		if err := tx.get(ctx, &h, `SELECT seq, hash FROM heads WHERE name = 'events'`+tx.lock()); err != nil {
			return err
		}
		var rows []outboxRow
		if err := tx.all(ctx, &rows, selectOutbox+"WHERE seq = 0 ORDER BY id LIMIT ?", outboxChunk); err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			rows[i].Seq = h.Seq + int64(i) + 1
		}
		if _, err := tx.exec(ctx, `UPDATE events SET seq = r.seq FROM `+tx.records("id text, seq bigint")+` WHERE events.id = r.id`, encode(rows)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE heads SET seq = ? WHERE name = 'events'`, rows[len(rows)-1].Seq); err != nil {
			return err
		}
		published = len(rows)
		return makeDeliveries(ctx, tx, rows, at)
	})
	return published, published == outboxChunk, err
}

// PurgeEvents implements webhook.Outbox, in batches so that it locks nothing
// for long.
func (s *Store) PurgeEvents(ctx context.Context, before time.Time) (int, error) {
	total := 0
	for _, query := range []string{
		`DELETE FROM events WHERE id IN (SELECT o.id FROM (SELECT id, at FROM events WHERE seq > 0 ORDER BY seq LIMIT 1000) AS o WHERE o.at < ?)`,
		`DELETE FROM webhook_deliveries WHERE id IN (SELECT o.id FROM (SELECT id, created_at, due_at FROM webhook_deliveries ORDER BY id LIMIT 1000) AS o WHERE o.created_at < ? AND o.due_at = 0)`,
	} {
		for {
			var n int64
			err := s.write(ctx, func(tx *session) (err error) {
				n, err = tx.exec(ctx, query, micros(before))
				return err
			})
			total += int(n)
			if err != nil {
				return total, err
			}
			if n == 0 {
				break
			}
		}
	}
	return total, nil
}

// encodeTypes gives patterns as JSON.
func encodeTypes(types []string) string {
	if types == nil {
		types = []string{}
	}
	b, _ := json.Marshal(types) // a list of strings always has a form
	return string(b)
}
