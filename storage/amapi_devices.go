package storage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"rollcall/android/amapi"
	"rollcall/enroll"
	"rollcall/mdm"
)

type amapiDeviceRow struct {
	Name           string `json:"name"`
	DeviceID       string `json:"device_id"`
	EnrollmentID   string `json:"enrollment_id"`
	Serial         string `json:"serial"`
	IMEI           string `json:"imei"`
	Mode           string `json:"mode"`
	Model          string `json:"model"`
	State          string `json:"state"`
	Code           string `json:"code"`
	DecisionID     string `json:"decision_id"`
	EventAt        int64  `json:"event_at"`
	ReportedAt     int64  `json:"reported_at"`
	Policy         string `json:"policy"`
	PolicyVersion  int64  `json:"policy_version"`
	CommandID      string `json:"command_id"`
	Applied        string `json:"applied"`
	AppliedVersion int64  `json:"applied_version"`
	Complaints     string `json:"complaints"`
}

const amapiDeviceFields = `name text, device_id text, enrollment_id text, serial text, imei text, mode text, model text, state text, code text, decision_id text, event_at bigint,
	reported_at bigint, policy text, policy_version bigint, command_id text, applied text, applied_version bigint, complaints text`

var (
	amapiDeviceNames  = columnNames(amapiDeviceFields)
	selectAMAPIDevice = "SELECT " + columns("", amapiDeviceNames) + " FROM amapi_devices "
)

func newAMAPIDevice(r amapi.Record) amapiDeviceRow {
	return amapiDeviceRow{Name: r.Name, DeviceID: r.DeviceID, EnrollmentID: r.EnrollmentID, Serial: clean(r.Serial), IMEI: clean(r.IMEI), Mode: string(r.Mode), Model: clean(r.Model),
		State: string(r.State), Code: string(r.Code), DecisionID: r.DecisionID, EventAt: micros(r.EventAt), ReportedAt: micros(r.ReportedAt), Policy: r.Policy,
		PolicyVersion: r.PolicyVersion, CommandID: r.CommandID, Applied: clean(r.Applied), AppliedVersion: r.AppliedVersion, Complaints: clean(encode(r.Complaints))}
}

func (r amapiDeviceRow) record() (amapi.Record, error) {
	complaints, err := decode[[]amapi.Complaint](r.Complaints)
	return amapi.Record{Name: r.Name, DeviceID: r.DeviceID, EnrollmentID: r.EnrollmentID, Serial: r.Serial, IMEI: r.IMEI, Mode: amapi.Mode(r.Mode), Model: r.Model,
		State: amapi.RecordState(r.State), Code: enroll.Code(r.Code), DecisionID: r.DecisionID, EventAt: instant(r.EventAt), ReportedAt: instant(r.ReportedAt), Policy: r.Policy,
		PolicyVersion: r.PolicyVersion, CommandID: r.CommandID, Applied: r.Applied, AppliedVersion: r.AppliedVersion, Complaints: complaints}, err
}

// lockRecord reads the row of a device at Google and locks it, which everything
// does first that changes something of the device.
func lockRecord(ctx context.Context, tx *session, name string) (r amapiDeviceRow, known bool, err error) {
	err = tx.get(ctx, &r, selectAMAPIDevice+`WHERE name = ?`+tx.lock(), name)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}

func saveRecord(ctx context.Context, tx *session, r amapiDeviceRow) error {
	set := ""
	for _, n := range amapiDeviceNames[1:] {
		set += ", " + n + " = excluded." + n
	}
	_, err := insert(ctx, tx, "amapi_devices", amapiDeviceFields, "ON CONFLICT (name) DO UPDATE SET "+set[2:], []amapiDeviceRow{r})
	return err
}

func noRecord(name string) error {
	return enroll.Errorf(enroll.KindNotFound, "amapi_device_unknown", "Google's device %q is not known here", name)
}

// Record implements amapi.DeviceStore.
func (s *Store) Record(ctx context.Context, name string) (amapi.Record, error) {
	var r amapiDeviceRow
	if err := s.one(ctx, &r, selectAMAPIDevice+`WHERE name = ?`, clean(name)); errors.Is(err, sql.ErrNoRows) {
		return amapi.Record{}, noRecord(name)
	} else if err != nil {
		return amapi.Record{}, err
	}
	return r.record()
}

// Records implements amapi.DeviceStore.
func (s *Store) Records(ctx context.Context, state amapi.RecordState, p enroll.Page) ([]amapi.Record, error) {
	query, args := selectAMAPIDevice+`WHERE name > ?`, []any{p.After}
	if state != "" {
		query += ` AND state = ?`
		args = append(args, string(state))
	}
	var rows []amapiDeviceRow
	if err := s.all(ctx, &rows, query+` ORDER BY name LIMIT ?`, append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	out := make([]amapi.Record, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.record(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Missing implements amapi.DeviceStore.
func (s *Store) Missing(ctx context.Context, since time.Time, after string, limit int) ([]string, error) {
	var names []string
	err := s.all(ctx, &names, `SELECT name FROM amapi_devices WHERE state IN ('enrolled', 'quarantined') AND event_at < ? AND name > ? ORDER BY name LIMIT ?`, micros(since), after, limit)
	return names, err
}

// SerialByIMEI implements amapi.DeviceStore.
func (s *Store) SerialByIMEI(ctx context.Context, number string) (string, error) {
	fact := func(name string) string {
		if s.name() == "postgres" {
			return `(facts::jsonb ->> '` + name + `')`
		}
		return `json_extract(facts, '$.` + name + `')`
	}
	var serials []string
	if err := s.all(ctx, &serials, `SELECT serial FROM devices WHERE platform = 'android' AND `+fact("imei")+` = ?
		UNION SELECT serial FROM devices WHERE platform = 'android' AND `+fact("meid")+` = ? LIMIT 2`, clean(number), clean(number)); err != nil || len(serials) != 1 {
		return "", err
	}
	return serials[0], nil
}

// Admit implements amapi.DeviceStore.
func (s *Store) Admit(ctx context.Context, a amapi.Admission) (stale bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		stale = false
		old, known, err := lockRecord(ctx, tx, a.Record.Name)
		if err != nil {
			return err
		}
		if stale = known && micros(a.At) < old.EventAt || a.Held && (!known || old.State != string(amapi.RecordQuarantined)); stale {
			return nil
		}
		if known && old.State == string(amapi.RecordEnrolled) {
			return nil
		}
		if known && old.State == string(amapi.RecordGone) {
			var replaced bool
			if err := tx.get(ctx, &replaced, `SELECT EXISTS (SELECT 1 FROM amapi_devices WHERE device_id = ? AND state = 'enrolled' AND name <> ?)`, a.Record.DeviceID, a.Record.Name); err != nil {
				return err
			}
			if replaced {
				return amapi.ErrReplaced
			}
		}
		if a.TokenID != "" {
			n, err := tx.exec(ctx, `UPDATE amapi_tokens SET state = ?, used_by = ? WHERE id = ? AND (used_by = '' OR used_by = ?)`, string(amapi.TokenUsed), a.Record.Name, a.TokenID, a.Record.Name)
			if err != nil {
				return err
			}
			if n == 0 {
				return enroll.Errorf(enroll.KindConflict, "token_used", "another device has enrolled with this token")
			}
		}
		device, err := lockDevice(ctx, tx, a.Record.DeviceID)
		if err != nil {
			return err
		}
		// What it was enrolled as before is over, here and at Google.
		if _, err := tx.exec(ctx, `UPDATE amapi_devices SET state = 'gone', enrollment_id = '', command_id = '' WHERE device_id = ? AND state = 'enrolled' AND name <> ?`,
			device.ID, a.Record.Name); err != nil {
			return err
		}
		sum := sha256.Sum256([]byte(a.Record.Name))
		e, err := s.start(ctx, tx, mdm.Authentication{DeviceID: device.ID, UDID: a.Record.Name, Fingerprint: protocolAMAPI + ":" + hex.EncodeToString(sum[:]), Facts: a.Facts,
			DecisionID: a.Record.DecisionID, At: a.At}, protocolAMAPI, device)
		if err != nil {
			return err
		}
		if device, err = lockDevice(ctx, tx, device.ID); err != nil { // start has written it
			return err
		}
		if err := activate(ctx, tx, device, e, a.At); err != nil {
			return err
		}
		r := newAMAPIDevice(a.Record)
		r.State, r.EnrollmentID, r.EventAt, r.CommandID = string(amapi.RecordEnrolled), e.ID, micros(a.At), ""
		return saveRecord(ctx, tx, r)
	})
	return stale && err == nil, err
}

// Keep implements amapi.DeviceStore.
func (s *Store) Keep(ctx context.Context, r amapi.Record) (stale bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		old, known, err := lockRecord(ctx, tx, r.Name)
		if err != nil {
			return err
		}
		if stale = known && micros(r.EventAt) < old.EventAt; stale {
			return nil
		}
		if known && old.EnrollmentID != "" {
			if err := s.leave(ctx, tx, old, r.EventAt); err != nil {
				return err
			}
		}
		fresh := newAMAPIDevice(r)
		fresh.EnrollmentID, fresh.CommandID = "", ""
		return saveRecord(ctx, tx, fresh)
	})
	return stale && err == nil, err
}

// leave ends the enrollment of a locked record.
func (s *Store) leave(ctx context.Context, tx *session, r amapiDeviceRow, at time.Time) error {
	e, err := findEnrollment(ctx, tx, `e.id = ? AND e.ended_at = 0`, r.EnrollmentID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return endOfProtocol(ctx, tx, e.DeviceID, protocolAMAPI, at)
}

// Observe implements amapi.DeviceStore.
func (s *Store) Observe(ctx context.Context, o amapi.Report) (known, stale bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		known, stale = false, false
		r, there, err := lockRecord(ctx, tx, o.Name)
		if err != nil || !there || r.State != string(amapi.RecordEnrolled) {
			return err
		}
		if stale = micros(o.At) < r.EventAt; stale {
			known = true
			return nil
		}
		e, err := findEnrollment(ctx, tx, `e.id = ? AND e.ended_at = 0`, r.EnrollmentID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		known = true
		device, err := lockDevice(ctx, tx, e.DeviceID)
		if err != nil {
			return err
		}
		fresh := device
		if err := fresh.mergeFacts(o.Facts); err != nil {
			return err
		}
		if fresh, _, err = saveIfChanged(ctx, tx, device, fresh); err != nil {
			return err
		}
		if otherTarget(device, fresh) {
			if err := markDevicesDue(ctx, tx, []string{device.ID}); err != nil {
				return err
			}
		}
		r.EventAt, r.ReportedAt = micros(o.At), max(r.ReportedAt, micros(o.ReportedAt))
		before := r.Complaints
		r.Applied, r.AppliedVersion, r.Complaints = clean(o.Applied), o.AppliedVersion, clean(encode(o.Complaints))
		if r.Complaints != before && r.CommandID == "" {
			if err := s.complainAgain(ctx, tx, r); err != nil {
				return err
			}
		}
		if err := s.settlePolicy(ctx, tx, &r, o.At); err != nil {
			return err
		}
		return saveRecord(ctx, tx, r)
	})
	return known && err == nil, stale && err == nil, err
}

// settlePolicy ends the command of a policy that the device has reported.
func (s *Store) settlePolicy(ctx context.Context, tx *session, r *amapiDeviceRow, at time.Time) error {
	if r.CommandID == "" || r.Applied != r.Policy || r.AppliedVersion < r.PolicyVersion {
		return nil
	}
	result, err := policyResult(*r)
	if err != nil {
		return err
	}
	id := r.CommandID
	r.CommandID = ""
	return s.finishCommand(ctx, tx, amapi.Outcome{EnrollmentID: r.EnrollmentID, CommandID: id, Result: result, At: at})
}

// policyResult is the answer to a command of a policy, in the form that agents
// give it: what is not applied goes into the receipt.
func policyResult(r amapiDeviceRow) ([]byte, error) {
	complaints, err := decode[[]amapi.Complaint](r.Complaints)
	if err != nil {
		return nil, err
	}
	type part struct {
		Pointer string `json:"pointer"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	parts := make([]part, len(complaints))
	for i, c := range complaints {
		parts[i] = part{c.Pointer, strings.ToLower(c.Reason), strings.TrimSpace("Google: " + c.Setting + " " + c.Package + " " + c.Reason)}
	}
	return json.Marshal(map[string]any{"data": map[string]any{"applied": r.Applied, "version": r.AppliedVersion, "not_applied": parts}})
}

// complainAgain brings the answer to the last policy up to date with what the
// device complains of now.
func (s *Store) complainAgain(ctx context.Context, tx *session, r amapiDeviceRow) error {
	var id string
	err := tx.get(ctx, &id, `SELECT c.id FROM delivered i JOIN commands c ON c.id = i.command_id WHERE i.enrollment_id = ? AND c.request_type = '`+amapi.TypeSetPolicy+`' AND c.state = 'acknowledged'`, r.EnrollmentID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	result, err := policyResult(r)
	if err != nil {
		return err
	}
	sealed, err := s.seal(resultOfCommand, id, result)
	if err == nil {
		_, err = tx.exec(ctx, `UPDATE commands SET result = ? WHERE id = ?`, sealed, id)
	}
	return err
}
