package storage

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/enroll"
)

// storedDevice is a row together with what follows from it and from its owner,
// under the names and in the form in which lists and rule groups look at it.
// Everything that writes devices comes through storeDevices, so it never
// differs from the row. Only the passing of time changes it by itself; see
// ExpireDevices.
type storedDevice struct {
	deviceRow
	traits
	UserKey  string `json:"user_key"`
	IMEI     string `json:"imei"`
	AssetKey string `json:"asset_key"`
}

// traits are the derived columns that rules look at.
type traits struct {
	Effective string `json:"effective"`
	Source    string `json:"source"`
	Domain    string `json:"domain"`
	Email     string `json:"email"`
	Model     string `json:"model"`
	Product   string `json:"product"`
}

const storedFields = deviceFields + `, effective text, source text, domain text, email text, user_key text, model text, product text, imei text, asset_key text`

func newStoredDevice(r deviceRow, owner userRow, at time.Time) (storedDevice, enroll.Traits, error) {
	d, err := r.device()
	if err != nil {
		return storedDevice{}, enroll.Traits{}, err
	}
	t := enroll.TraitsOf(d, owner.user(), at)
	return storedDevice{deviceRow: r, UserKey: strings.ToLower(owner.Name), IMEI: d.Redacted().Facts.IMEI, AssetKey: t.AssetTag,
		traits: traits{Effective: t.State, Source: t.Source, Domain: t.Domain, Email: t.Email, Model: t.Model, Product: t.Product}}, t, nil
}

// createDevices writes new rows. A serial that somebody else has put on the
// roll meanwhile makes the transaction run again.
func createDevices(ctx context.Context, tx *session, rows ...deviceRow) error {
	return storeDevices(ctx, tx, now(), true, rows)
}

// saveDevices writes rows that are locked.
func saveDevices(ctx context.Context, tx *session, rows ...deviceRow) error {
	return storeDevices(ctx, tx, now(), false, rows)
}

// updateStored overwrites rows. One row, which is what an arrival or a check-in
// changes, goes without the detour over a set of records: measured on
// PostgreSQL, a third of the time; on SQLite many do so, too.
func updateStored(ctx context.Context, tx *session, rows []storedDevice) error {
	if len(rows) > 1 && tx.name() == "postgres" {
		_, err := tx.exec(ctx, updateDevices+tx.records(storedFields)+" WHERE devices.id = r.id", encode(rows))
		return err
	}
	for _, r := range rows {
		if _, err := tx.exec(ctx, updateDevice, append(values(r, storedIndex, changeable), r.ID)...); err != nil {
			return err
		}
	}
	return nil
}

var storedIndex = fieldsByColumn[storedDevice]()

// storeDevices writes rows with all that follows from them: their tags, their
// history, and their membership in rule groups.
func storeDevices(ctx context.Context, tx *session, at time.Time, fresh bool, rows []deviceRow) error {
	if len(rows) == 0 {
		return nil
	}
	before, err := devicesBefore(ctx, tx, fresh, rows)
	if err != nil {
		return err
	}
	owners, err := ownersOf(ctx, tx, before, rows)
	if err != nil {
		return err
	}
	stored := make([]storedDevice, len(rows))
	traits := make([]enroll.Traits, len(rows))
	for i, r := range rows {
		if stored[i], traits[i], err = newStoredDevice(r, owners[r.UserID], at); err != nil {
			return err
		}
	}
	if fresh {
		n, err := insert(ctx, tx, "devices", storedFields, "ON CONFLICT (serial) DO NOTHING", stored)
		if err != nil {
			return err
		}
		if n < int64(len(rows)) {
			return errAgain
		}
		ids := make([]string, len(rows))
		for i, r := range rows {
			ids[i] = r.ID
		}
		if _, err := tx.exec(ctx, `INSERT INTO device_seen (device_id, serial, at, effective, platform, ownership, source)
			SELECT d.id, d.serial, 0, d.effective, d.platform, d.ownership, d.source FROM devices d WHERE `+tx.in("d.id"), tx.list(ids)); err != nil {
			return err
		}
	} else {
		if err := updateStored(ctx, tx, stored); err != nil {
			return err
		}
		if err := moveSeen(ctx, tx, before, stored); err != nil {
			return err
		}
	}
	if err := saveTags(ctx, tx, before, rows); err != nil {
		return err
	}
	if err := recordChanges(ctx, tx, at, before, stored, owners); err != nil {
		return err
	}
	if err := tellDevices(ctx, tx, before, rows); err != nil {
		return err
	}
	return followRules(ctx, tx, stored, traits)
}

// moveSeen keeps up to date what device_seen is listed by beside the time.
func moveSeen(ctx context.Context, tx *session, before map[string]deviceBefore, rows []storedDevice) error {
	var ids []string
	for _, r := range rows {
		if old := before[r.ID]; old.Effective != r.Effective || old.Platform != r.Platform || old.Ownership != r.Ownership || old.Source != r.Source {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, `UPDATE device_seen SET effective = d.effective, platform = d.platform, ownership = d.ownership, source = d.source
		FROM devices d WHERE d.id = device_seen.device_id AND `+tx.in("d.id"), tx.list(ids))
	return err
}

// deviceBefore is a row as it was.
type deviceBefore struct {
	deviceRow
	Effective string `json:"effective"`
	Source    string `json:"source"`
}

func devicesBefore(ctx context.Context, tx *session, fresh bool, rows []deviceRow) (map[string]deviceBefore, error) {
	if fresh {
		return nil, nil
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	var found []deviceBefore
	if err := tx.all(ctx, &found, "SELECT "+columns("d.", deviceNames)+", d.effective, d.source FROM devices d WHERE "+tx.in("d.id"), tx.list(ids)); err != nil {
		return nil, err
	}
	before := make(map[string]deviceBefore, len(found))
	for _, r := range found {
		before[r.ID] = r
	}
	return before, nil
}

// ownersOf reads the owners that rows have and had.
func ownersOf(ctx context.Context, tx *session, before map[string]deviceBefore, rows []deviceRow) (map[string]userRow, error) {
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.UserID, before[r.ID].UserID)
	}
	return usersByID(ctx, tx, ids)
}

func saveTags(ctx context.Context, tx *session, before map[string]deviceBefore, rows []deviceRow) error {
	type tag struct {
		Tag      string `json:"tag"`
		Serial   string `json:"serial"`
		DeviceID string `json:"device_id"`
	}
	var drop []string
	var add []tag
	for _, r := range rows {
		old := before[r.ID].Tags
		if old == r.Tags || old == "" && r.Tags == "null" {
			continue
		}
		if old != "" {
			drop = append(drop, r.ID)
		}
		tags, err := decode[[]string](r.Tags)
		if err != nil {
			return err
		}
		for _, t := range tags {
			add = append(add, tag{t, r.Serial, r.ID})
		}
	}
	if len(drop) > 0 {
		if _, err := tx.exec(ctx, `DELETE FROM device_tags WHERE `+tx.in("device_id"), tx.list(drop)); err != nil {
			return err
		}
	}
	if len(add) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, `INSERT INTO device_tags (tag, serial, device_id) SELECT r.tag, r.serial, r.device_id FROM `+
		tx.records("tag text, serial text, device_id text")+` WHERE true ON CONFLICT (tag, serial) DO NOTHING`, encode(add))
	return err
}

type eventRow struct {
	ID       string `json:"id"`
	DeviceID string `json:"device_id"`
	At       int64  `json:"at"`
	Kind     string `json:"kind"`
	Actor    string `json:"actor"`
	ImportID string `json:"import_id"`
	Changes  string `json:"changes"`
}

const eventFields = `id text, device_id text, at bigint, kind text, actor text, import_id text, changes text`

var eventNames = columnNames(eventFields)

// recordChanges writes what an admin can see of a change into the history of
// each device. Facts are not in it: it may be read before the user has
// accepted.
func recordChanges(ctx context.Context, tx *session, at time.Time, before map[string]deviceBefore, rows []storedDevice, owners map[string]userRow) error {
	var events []eventRow
	for _, r := range rows {
		e := eventRow{ID: enroll.NewID(), DeviceID: r.ID, At: micros(at), Kind: string(enroll.EntryCreated), Actor: clean(enroll.ActorOf(ctx)), ImportID: enroll.ImportOf(ctx)}
		var changes []enroll.FieldChange
		if old, known := before[r.ID]; known {
			e.Kind = string(enroll.EntryChanged)
			if changes = fieldChanges(old, r, owners); len(changes) == 0 {
				continue
			}
		}
		e.Changes = encode(changes)
		events = append(events, e)
	}
	if len(events) == 0 {
		return nil
	}
	return insertEvents(ctx, tx, events...)
}

func insertEvents(ctx context.Context, tx *session, events ...eventRow) error {
	_, err := insert(ctx, tx, "device_events", eventFields, "", events)
	return err
}

func fieldChanges(old deviceBefore, fresh storedDevice, owners map[string]userRow) []enroll.FieldChange {
	tags := func(encoded string) string {
		list, _ := decode[[]string](encoded) // what cannot be read was refused before
		return strings.Join(list, ", ")
	}
	clock := func(us int64) string {
		if us == 0 {
			return ""
		}
		return instant(us).Format(time.RFC3339)
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	all := []enroll.FieldChange{
		{Field: "platform", Old: old.Platform, New: fresh.Platform},
		{Field: "ownership", Old: old.Ownership, New: fresh.Ownership},
		{Field: "name", Old: old.Name, New: fresh.Name},
		{Field: "user", Old: owners[old.UserID].Email, New: owners[fresh.UserID].Email},
		{Field: "state", Old: old.Effective, New: fresh.Effective},
		{Field: "block_reason", Old: old.BlockReason, New: fresh.BlockReason},
		{Field: "asset_tag", Old: old.AssetTag, New: fresh.AssetTag},
		{Field: "tags", Old: tags(old.Tags), New: tags(fresh.Tags)},
		{Field: "notes", Old: old.Notes, New: fresh.Notes},
		{Field: "not_before", Old: clock(old.NotBefore), New: clock(fresh.NotBefore)},
		{Field: "expires_at", Old: clock(old.ExpiresAt), New: clock(fresh.ExpiresAt)},
		{Field: "max_uses", Old: number(old.MaxUses), New: number(fresh.MaxUses)},
	}
	return slices.DeleteFunc(all, func(c enroll.FieldChange) bool { return c.Old == c.New })
}

// ExpireDevices implements enroll.RollStore, in batches so that it locks
// nothing for long.
func (s *Store) ExpireDevices(ctx context.Context, now time.Time) (int, error) {
	total := 0
	for {
		done := 0
		err := s.write(ctx, func(tx *session) error {
			var ids []string
			if err := tx.all(ctx, &ids, `SELECT d.id FROM devices d WHERE d.expires_at > 0 AND d.expires_at <= ?
				AND d.effective IN ('pre_enrolled', 'invited', 'unenrolled', 'pending_approval') ORDER BY d.expires_at LIMIT 200`, micros(now)); err != nil {
				return err
			}
			var rows []deviceRow
			if err := tx.all(ctx, &rows, selectDevice+"WHERE "+tx.in("d.id")+" ORDER BY d.id"+tx.lock(), tx.list(ids)); err != nil {
				return err
			}
			rows = slices.DeleteFunc(rows, func(r deviceRow) bool { return r.ExpiresAt == 0 || r.ExpiresAt > micros(now) }) // changed meanwhile
			done = len(rows)
			return storeDevices(ctx, tx, now, false, rows)
		})
		if err != nil || done == 0 {
			return total, err
		}
		total += done
	}
}
