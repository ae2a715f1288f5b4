package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/enroll"
)

var _ enroll.DecisionStore = (*Store)(nil)

type decisionRow struct {
	ID         string `json:"id"`
	At         int64  `json:"at"`
	Channel    string `json:"channel"`
	Platform   string `json:"platform"`
	Serial     string `json:"serial"`
	Evidence   string `json:"evidence"`
	Facts      string `json:"facts"`
	Mode       string `json:"mode"`
	Outcome    string `json:"outcome"`
	Code       string `json:"code"`
	Enforced   string `json:"enforced"`
	DeviceID   string `json:"device_id"`
	RequestID  string `json:"request_id"`
	Trace      string `json:"trace"`
	RemoteAddr string `json:"remote_addr"`

	NearMisses     string `json:"near_misses"`
	RepairedAt     int64  `json:"repaired_at"`
	RepairedBy     string `json:"repaired_by"`
	RepairedSerial string `json:"repaired_serial"`
}

const (
	decidedColumns  = `id, at, channel, platform, serial, evidence, facts, mode, outcome, code, enforced, device_id, request_id, trace, remote_addr`
	decisionColumns = decidedColumns + `, near_misses, repaired_at, repaired_by, repaired_serial`
)

func (r decisionRow) decision() (enroll.Decision, error) {
	facts, err := decode[enroll.Facts](r.Facts)
	if err != nil {
		return enroll.Decision{}, err
	}
	trace, err := decode[[]enroll.Step](r.Trace)
	if err != nil {
		return enroll.Decision{}, err
	}
	near, err := decode[[]enroll.NearMiss](r.NearMisses)
	if err != nil {
		return enroll.Decision{}, err
	}
	var repair *enroll.Repair
	if r.RepairedAt != 0 {
		repair = &enroll.Repair{Serial: r.RepairedSerial, At: instant(r.RepairedAt), By: r.RepairedBy}
	}
	return enroll.Decision{ID: r.ID, At: instant(r.At), Channel: enroll.Channel(r.Channel), Platform: enroll.Platform(r.Platform), Serial: r.Serial,
		Evidence: enroll.Evidence(r.Evidence), Facts: facts, Mode: enroll.Mode(r.Mode), Outcome: enroll.Outcome(r.Outcome), Code: enroll.Code(r.Code),
		Enforced: enroll.Code(r.Enforced), DeviceID: r.DeviceID, RequestID: r.RequestID, Trace: trace, RemoteAddr: r.RemoteAddr,
		NearMisses: near, Repair: repair}, nil
}

func insertDecision(ctx context.Context, tx *session, d enroll.Decision) error {
	_, err := tx.exec(ctx, `INSERT INTO decisions (`+decidedColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, micros(d.At), string(d.Channel), string(d.Platform), d.Serial, string(d.Evidence), encodeFacts(d.Facts), string(d.Mode),
		string(d.Outcome), string(d.Code), string(d.Enforced), d.DeviceID, d.RequestID, encode(d.Trace), d.RemoteAddr)
	if err != nil {
		return err
	}
	return tell(ctx, tx, enroll.NewEvent(enroll.EventGateDecided, d.At, enroll.EventRefs{Serial: d.Serial, DecisionID: d.ID, RequestID: d.RequestID, Channel: d.Channel, Outcome: d.Outcome, Code: d.Code}))
}

// Decision implements enroll.DecisionStore.
func (s *Store) Decision(ctx context.Context, id string) (enroll.Decision, error) {
	d, err := findDecision(ctx, s.reader(ctx), id, "")
	return d, unavailable(err)
}

// findDecision reads a decision; locked where tail is tx.lock().
func findDecision(ctx context.Context, tx *session, id, tail string) (enroll.Decision, error) {
	var r decisionRow
	if err := tx.get(ctx, &r, `SELECT `+decisionColumns+` FROM decisions WHERE id = ?`+tail, id); errors.Is(err, sql.ErrNoRows) {
		return enroll.Decision{}, enroll.Errorf(enroll.KindNotFound, "decision_unknown", "there is no decision with the ID %q", id)
	} else if err != nil {
		return enroll.Decision{}, err
	}
	return r.decision()
}

// DeleteDecisions implements enroll.RestrictionStore.
func (s *Store) DeleteDecisions(ctx context.Context, before time.Time, limit int) (int, error) {
	var n int64
	err := s.write(ctx, func(tx *session) (err error) {
		n, err = tx.exec(ctx, `DELETE FROM decisions WHERE id IN (SELECT id FROM decisions WHERE at < ? ORDER BY at, id LIMIT ?)`, micros(before), limit)
		return err
	})
	return int(n), err
}

// Decisions implements enroll.DecisionStore.
func (s *Store) Decisions(ctx context.Context, f enroll.DecisionFilter, p enroll.Page) ([]enroll.Decision, error) {
	query, args := `SELECT `+decisionColumns+` FROM decisions WHERE id < ?`, []any{lastKey(p)}
	add := func(condition string, values ...any) {
		query, args = query+" AND "+condition, append(args, values...)
	}
	for _, c := range []struct{ column, value string }{{"serial", f.Serial}, {"outcome", string(f.Outcome)}, {"code", string(f.Code)},
		{"channel", string(f.Channel)}, {"evidence", string(f.Evidence)}} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if f.NearMiss {
		add("near_misses <> 'null' AND repaired_at = 0")
	}
	if f.Newer != "" {
		add("id > ?", f.Newer)
	}
	// IDs follow the time, but for the clocks of replicas: the bounds on them
	// keep a list from being read to its end for a row that is not there.
	if !f.Since.IsZero() {
		add("at >= ? AND id >= (SELECT id FROM decisions WHERE at >= ? ORDER BY at, id LIMIT 1)", micros(f.Since), micros(f.Since.Add(-clockSkew)))
	}
	if !f.Until.IsZero() {
		add("at < ? AND id <= (SELECT id FROM decisions WHERE at < ? ORDER BY at DESC, id DESC LIMIT 1)", micros(f.Until), micros(f.Until.Add(clockSkew)))
	}
	var rows []decisionRow
	if err := s.all(ctx, &rows, query+" ORDER BY id DESC LIMIT ?", append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	decisions := make([]enroll.Decision, 0, len(rows))
	for _, r := range rows {
		d, err := r.decision()
		if err != nil {
			return nil, err
		}
		decisions = append(decisions, d)
	}
	return decisions, nil
}

// clockSkew is more than the clocks of replicas differ by.
const clockSkew = time.Hour
