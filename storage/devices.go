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

var _ enroll.RollStore = (*Store)(nil)

// deviceRow is a row of the table devices. Two rows are equal (==) where the
// devices are the same in every stored respect.
type deviceRow struct {
	ID           string `json:"id"`
	Serial       string `json:"serial"`
	SerialRaw    string `json:"serial_raw"`
	Platform     string `json:"platform"`
	Ownership    string `json:"ownership"`
	Name         string `json:"name"`
	NameKey      string `json:"name_key"` // lower case, to search by
	UserID       string `json:"user_id"`
	State        string `json:"state"`
	Facts        string `json:"facts"`
	Sources      string `json:"sources"`
	AssetTag     string `json:"asset_tag"`
	Tags         string `json:"tags"`
	Notes        string `json:"notes"`
	NotBefore    int64  `json:"not_before"`
	ExpiresAt    int64  `json:"expires_at"`
	MaxUses      int    `json:"max_uses"`
	Uses         int    `json:"uses"`
	BlockedAt    int64  `json:"blocked_at"`
	BlockReason  string `json:"block_reason"`
	EnrollmentID string `json:"enrollment_id"`
	AcceptedAt   int64  `json:"accepted_at"`
	EnrolledAt   int64  `json:"enrolled_at"`
	LastSeenAt   int64  `json:"last_seen_at"`
	CreatedAt    int64  `json:"created_at"`
	UpdatedAt    int64  `json:"updated_at"`
	Version      int64  `json:"version"`
}

const deviceFields = `id text, serial text, serial_raw text, platform text, ownership text, name text, name_key text, user_id text, state text,
	facts text, sources text, asset_tag text, tags text, notes text, not_before bigint, expires_at bigint, max_uses bigint, uses bigint, blocked_at bigint, block_reason text, enrollment_id text, accepted_at bigint, enrolled_at bigint,
	last_seen_at bigint, created_at bigint, updated_at bigint, version bigint`

var (
	deviceNames  = columnNames(deviceFields)
	selectDevice = "SELECT " + columns("d.", deviceNames) + " FROM devices d "
	storedNames  = columnNames(storedFields)
	// last_seen_at is written by Seen only, which does not ask for the row's
	// version.
	changeable = slices.DeleteFunc(slices.Clone(storedNames), func(n string) bool {
		return n == "id" || n == "serial" || n == "last_seen_at" || n == "created_at"
	})
	updateDevices = func() string {
		set := make([]string, len(changeable))
		for i, n := range changeable {
			set[i] = n + " = r." + n
		}
		return "UPDATE devices SET " + strings.Join(set, ", ") + " FROM "
	}()
	updateDevice = "UPDATE devices SET " + strings.Join(changeable, " = ?, ") + " = ? WHERE id = ?"
)

func newDeviceRow(d enroll.Device) deviceRow {
	sources := d.Sources
	if sources == nil {
		sources = map[string]enroll.Source{}
	}
	return deviceRow{ID: d.ID, Serial: clean(d.Serial), SerialRaw: clean(d.SerialRaw), Platform: string(d.Platform), Ownership: string(d.Ownership),
		Name: clean(d.Name), NameKey: clean(strings.ToLower(d.Name)), UserID: d.UserID, State: string(d.State),
		Facts: encodeFacts(d.Facts), Sources: encode(sources),
		AssetTag: clean(d.AssetTag), Tags: encodeTags(d.Tags), Notes: clean(d.Notes), NotBefore: micros(d.NotBefore), ExpiresAt: micros(d.ExpiresAt),
		MaxUses: d.MaxUses, Uses: d.Uses, BlockedAt: micros(d.BlockedAt), BlockReason: clean(d.BlockReason),
		EnrollmentID: d.EnrollmentID, AcceptedAt: micros(d.AcceptedAt), EnrolledAt: micros(d.EnrolledAt), LastSeenAt: micros(d.LastSeenAt),
		CreatedAt: micros(d.CreatedAt), UpdatedAt: micros(d.UpdatedAt), Version: d.Version}
}

func (r deviceRow) device() (enroll.Device, error) {
	facts, err := decode[enroll.Facts](r.Facts)
	if err != nil {
		return enroll.Device{}, err
	}
	sources, err := decode[map[string]enroll.Source](r.Sources)
	if err != nil {
		return enroll.Device{}, err
	}
	tags, err := decode[[]string](r.Tags)
	if err != nil {
		return enroll.Device{}, err
	}
	return enroll.Device{ID: r.ID, Serial: r.Serial, SerialRaw: r.SerialRaw, Platform: enroll.Platform(r.Platform), Ownership: enroll.Ownership(r.Ownership),
		Name: r.Name, UserID: r.UserID, State: enroll.State(r.State), Facts: facts, Sources: sources,
		AssetTag: r.AssetTag, Tags: tags, Notes: r.Notes, NotBefore: instant(r.NotBefore), ExpiresAt: instant(r.ExpiresAt), MaxUses: r.MaxUses, Uses: r.Uses,
		BlockedAt: instant(r.BlockedAt), BlockReason: r.BlockReason, EnrollmentID: r.EnrollmentID, AcceptedAt: instant(r.AcceptedAt),
		EnrolledAt: instant(r.EnrolledAt), LastSeenAt: instant(r.LastSeenAt), CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), Version: r.Version}, nil
}

// encodeTags gives tags as JSON; none is null, so that it reads back as nil.
func encodeTags(tags []string) string {
	if len(tags) == 0 {
		return "null"
	}
	out := make([]string, len(tags))
	for i, t := range tags {
		out[i] = clean(t)
	}
	return encode(out)
}

// encodeFacts gives facts as JSON without what PostgreSQL cannot hold.
func encodeFacts(f enroll.Facts) string {
	for _, s := range []*string{&f.UDID, &f.IMEI, &f.MEID, &f.Product, &f.Model, &f.OSVersion, &f.BuildVersion, &f.DeviceName} {
		*s = clean(*s)
	}
	if f.Extra != nil {
		extra := make(map[string]string, len(f.Extra))
		for k, v := range f.Extra {
			extra[clean(k)] = clean(v)
		}
		f.Extra = extra
	}
	return encode(f)
}

// mergeFacts takes what the device tells of itself.
func (r *deviceRow) mergeFacts(told enroll.Facts) error {
	d, err := r.device()
	if err != nil {
		return err
	}
	d.Learn(told, enroll.SourceDevice)
	r.Facts, r.Sources = encodeFacts(d.Facts), encode(d.Sources)
	return nil
}

// giveOwner makes somebody the owner of a row that belongs to nobody.
func (r *deviceRow) giveOwner(userID string) error {
	if r.UserID != "" || userID == "" {
		return nil
	}
	d, err := r.device()
	if err != nil {
		return err
	}
	d.Sources["user"] = enroll.SourceDevice
	r.UserID, r.Sources = userID, encode(d.Sources)
	return nil
}

// shown is the device as it may leave the store.
func (r deviceRow) shown() (enroll.Device, error) {
	d, err := r.device()
	return d.Redacted(), err
}

// findDevice reads one row by a column; locked where tail is tx.lock().
func findDevice(ctx context.Context, tx *session, column, value, tail string) (deviceRow, error) {
	var r deviceRow
	err := tx.get(ctx, &r, selectDevice+"WHERE d."+column+" = ?"+tail, value)
	return r, err
}

// lockDevice is findDevice by ID, locked; KindNotFound when it is gone.
func lockDevice(ctx context.Context, tx *session, id string) (deviceRow, error) {
	r, err := findDevice(ctx, tx, "id", id, tx.lock())
	if errors.Is(err, sql.ErrNoRows) {
		return r, deviceGone(id)
	}
	return r, err
}

func deviceGone(id string) error {
	return enroll.Errorf(enroll.KindNotFound, "device_unknown", "no device with the ID %q is on the roll", id)
}

// saveIfChanged writes a locked row when it differs from what it was, with the
// next version.
func saveIfChanged(ctx context.Context, tx *session, old, fresh deviceRow) (deviceRow, bool, error) {
	fresh.ID, fresh.Serial, fresh.CreatedAt, fresh.LastSeenAt = old.ID, old.Serial, old.CreatedAt, old.LastSeenAt
	fresh.Version, fresh.UpdatedAt = old.Version, old.UpdatedAt
	if fresh == old {
		return old, false, nil
	}
	fresh.Version, fresh.UpdatedAt = old.Version+1, micros(now())
	return fresh, true, saveDevices(ctx, tx, fresh)
}

// Device implements enroll.RollStore.
func (s *Store) Device(ctx context.Context, serial string) (enroll.Device, error) {
	var r deviceRow
	if err := s.one(ctx, &r, selectDevice+"WHERE d.serial = ?", serial); errors.Is(err, sql.ErrNoRows) {
		return enroll.Device{}, enroll.NoDevice(serial)
	} else if err != nil {
		return enroll.Device{}, err
	}
	return r.shown()
}

// DeviceByID implements enroll.RollStore.
func (s *Store) DeviceByID(ctx context.Context, id string) (enroll.Device, error) {
	var r deviceRow
	if err := s.one(ctx, &r, selectDevice+"WHERE d.id = ?", id); errors.Is(err, sql.ErrNoRows) {
		return enroll.Device{}, deviceGone(id)
	} else if err != nil {
		return enroll.Device{}, err
	}
	return r.shown()
}

// ChangeDevice implements enroll.RollStore. A user who is there already gets
// the name and mobile number given, where one is given.
func (s *Store) ChangeDevice(ctx context.Context, serial string, user *enroll.User, change func(*enroll.Device, string) (enroll.Device, error)) (d enroll.Device, changed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		d, changed = enroll.Device{}, false
		var old *enroll.Device
		row, err := findDevice(ctx, tx, "serial", serial, tx.lock())
		switch {
		case err == nil:
			known, err := row.device()
			if err != nil {
				return err
			}
			old = &known
		case !errors.Is(err, sql.ErrNoRows):
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
		next, err := change(old, userID)
		if err != nil {
			return err
		}
		fresh := newDeviceRow(next)
		if old == nil {
			fresh.Serial, fresh.Version, fresh.UpdatedAt = clean(serial), 1, micros(now())
			changed = true
			err = createDevices(ctx, tx, fresh)
		} else {
			fresh, changed, err = saveIfChanged(ctx, tx, row, fresh)
		}
		if err == nil && changed && fresh.State == string(enroll.StateEnrolled) {
			err = markDevicesDue(ctx, tx, []string{fresh.ID})
		}
		if err == nil {
			d, err = fresh.shown()
		}
		return err
	})
	if err != nil {
		return enroll.Device{}, false, err
	}
	return d, changed, nil
}

// openEnrollments are the channels of a device that have not ended, locked.
func openEnrollments(ctx context.Context, tx *session, deviceID string) ([]enrollmentRow, error) {
	var open []enrollmentRow
	err := tx.all(ctx, &open, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE e.ended_at = 0 AND e.device_id = ? ORDER BY e.id`+tx.lock(), deviceID)
	return open, err
}

// ReleaseDevice implements enroll.RollStore; enroll.KindConflict where the
// device is neither enrolled nor enrolling.
func (s *Store) ReleaseDevice(ctx context.Context, serial string, at time.Time) (enroll.Device, error) {
	var d enroll.Device
	err := s.write(ctx, func(tx *session) error {
		row, err := findDevice(ctx, tx, "serial", serial, tx.lock())
		if errors.Is(err, sql.ErrNoRows) {
			return enroll.NoDevice(serial)
		}
		if err != nil {
			return err
		}
		if row.State != string(enroll.StateEnrolled) && row.State != string(enroll.StateEnrolling) {
			return enroll.Errorf(enroll.KindConflict, "device_not_enrolled", "the device %s is %s", serial, row.State)
		}
		open, err := openEnrollments(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		if err := endEnrollments(ctx, tx, open, row.ID, at); err != nil {
			return err
		}
		fresh := row
		fresh.EnrollmentID = ""
		if err := fresh.backOnRoll(ctx, tx); err != nil {
			return err
		}
		if fresh, _, err = saveIfChanged(ctx, tx, row, fresh); err != nil {
			return err
		}
		d, err = fresh.shown()
		return err
	})
	if err != nil {
		return enroll.Device{}, err
	}
	return d, nil
}

// backOnRoll is the state of a device whose enrollment was ended by hand.
func (r *deviceRow) backOnRoll(ctx context.Context, tx *session) error {
	d, err := r.device()
	if err != nil {
		return err
	}
	if r.EnrolledAt != 0 || d.Sources["serial"] == enroll.SourceDevice {
		r.State = string(enroll.StateUnenrolled)
		return nil
	}
	r.State = string(enroll.StateInvited)
	return r.uninvite(ctx, tx) // unless a request is open
}

// DeleteDevice implements enroll.RollStore. Its enrollments stay as history of
// the gate, like its decisions; one that had begun ends.
func (s *Store) DeleteDevice(ctx context.Context, serial string) error {
	return s.write(ctx, func(tx *session) error {
		row, err := findDevice(ctx, tx, "serial", serial, tx.lock())
		if errors.Is(err, sql.ErrNoRows) {
			return enroll.NoDevice(serial)
		}
		if err != nil {
			return err
		}
		if d, err := row.device(); err != nil {
			return err
		} else if !d.Deletable() {
			return enroll.Errorf(enroll.KindConflict, "device_enrolled", "the device %s is %s", serial, d.State).WithHint("Disenroll it first.")
		}
		return removeDevice(ctx, tx, row)
	})
}

// removeDevice deletes a locked row with all that belongs to it.
func removeDevice(ctx context.Context, tx *session, row deviceRow) error {
	open, err := openEnrollments(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	if err := endEnrollments(ctx, tx, open, row.ID, now()); err != nil {
		return err
	}
	return deleteDevices(ctx, tx, []string{row.ID})
}

// deleteDevices takes locked rows that nothing is enrolled by off the roll, with
// all that belongs to them.
func deleteDevices(ctx context.Context, tx *session, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := tellDeleted(ctx, tx, ids...); err != nil {
		return err
	}
	for _, query := range []string{
		`DELETE FROM bindings WHERE device_id <> '' AND ` + tx.in("device_id"),
		`DELETE FROM deliveries WHERE ` + tx.in("device_id"),
		`DELETE FROM device_tags WHERE ` + tx.in("device_id"),
		`DELETE FROM device_seen WHERE ` + tx.in("device_id"),
		`DELETE FROM device_events WHERE ` + tx.in("device_id"),
		`DELETE FROM devices WHERE ` + tx.in("id"), // with memberships, requests and approval
	} {
		if _, err := tx.exec(ctx, query, tx.list(ids)); err != nil {
			return err
		}
	}
	return nil
}

// Serials implements enroll.RollStore.
func (s *Store) Serials(ctx context.Context, ids []string) (map[string]string, error) {
	var rows []struct {
		ID     string `json:"id"`
		Serial string `json:"serial"`
	}
	if err := s.all(ctx, &rows, `SELECT id, serial FROM devices WHERE `+s.in("id"), s.list(ids)); err != nil {
		return nil, err
	}
	serials := make(map[string]string, len(rows))
	for _, r := range rows {
		serials[r.ID] = r.Serial
	}
	return serials, nil
}

// serialsToIDs finds the IDs of devices, locked and in order; KindNotFound for
// the first serial that is not on the roll.
func serialsToIDs(ctx context.Context, tx *session, serials []string) ([]string, error) {
	if len(serials) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID     string `json:"id"`
		Serial string `json:"serial"`
	}
	if err := tx.all(ctx, &rows, `SELECT id, serial FROM devices WHERE `+tx.in("serial")+` ORDER BY id`+tx.lock(), tx.list(serials)); err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(rows))
	ids := make([]string, 0, len(rows))
	for _, r := range rows {
		known[r.Serial] = true
		ids = append(ids, r.ID)
	}
	if i := slices.IndexFunc(serials, func(serial string) bool { return !known[serial] }); i >= 0 {
		return nil, enroll.NoDevice(serials[i])
	}
	return ids, nil
}
