package storage

import (
	"context"
	"database/sql"
	"errors"

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
}

const decisionColumns = `id, at, channel, platform, serial, evidence, facts, mode, outcome, code, enforced, device_id, request_id, trace, remote_addr`

func (r decisionRow) decision() (enroll.Decision, error) {
	facts, err := decode[enroll.Facts](r.Facts)
	if err != nil {
		return enroll.Decision{}, err
	}
	trace, err := decode[[]enroll.Step](r.Trace)
	if err != nil {
		return enroll.Decision{}, err
	}
	return enroll.Decision{ID: r.ID, At: instant(r.At), Channel: enroll.Channel(r.Channel), Platform: enroll.Platform(r.Platform), Serial: r.Serial,
		Evidence: enroll.Evidence(r.Evidence), Facts: facts, Mode: enroll.Mode(r.Mode), Outcome: enroll.Outcome(r.Outcome), Code: enroll.Code(r.Code),
		Enforced: enroll.Code(r.Enforced), DeviceID: r.DeviceID, RequestID: r.RequestID, Trace: trace, RemoteAddr: r.RemoteAddr}, nil
}

func insertDecision(ctx context.Context, tx *session, d enroll.Decision) error {
	_, err := tx.exec(ctx, `INSERT INTO decisions (`+decisionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, micros(d.At), string(d.Channel), string(d.Platform), d.Serial, string(d.Evidence), encodeFacts(d.Facts), string(d.Mode),
		string(d.Outcome), string(d.Code), string(d.Enforced), d.DeviceID, d.RequestID, encode(d.Trace), d.RemoteAddr)
	return err
}

// Decision implements enroll.DecisionStore.
func (s *Store) Decision(ctx context.Context, id string) (enroll.Decision, error) {
	var r decisionRow
	if err := s.one(ctx, &r, `SELECT `+decisionColumns+` FROM decisions WHERE id = ?`, id); errors.Is(err, sql.ErrNoRows) {
		return enroll.Decision{}, enroll.Errorf(enroll.KindNotFound, "decision_unknown", "there is no decision with the ID %q", id)
	} else if err != nil {
		return enroll.Decision{}, err
	}
	return r.decision()
}

// Decisions implements enroll.DecisionStore.
func (s *Store) Decisions(ctx context.Context, f enroll.DecisionFilter, p enroll.Page) ([]enroll.Decision, error) {
	query, args := `SELECT `+decisionColumns+` FROM decisions WHERE id < ?`, []any{lastKey(p)}
	for _, c := range []struct{ column, value string }{{"serial", f.Serial}, {"outcome", string(f.Outcome)}, {"code", string(f.Code)}} {
		if c.value != "" {
			query += " AND " + c.column + " = ?"
			args = append(args, c.value)
		}
	}
	if !f.Since.IsZero() {
		query += " AND at >= ?"
		args = append(args, micros(f.Since))
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
