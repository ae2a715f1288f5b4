package storage

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"rollcall/enroll"
)

// ImportRows implements enroll.ImportStore.
func (s *Store) ImportRows(ctx context.Context, id string, f enroll.ImportRowFilter, p enroll.Page) ([]enroll.PlanRow, error) {
	after, err := strconv.Atoi(cmp.Or(p.After, "0"))
	if err != nil {
		return nil, cursorInvalid()
	}
	query, args := "SELECT "+columns("p.", planRowNames)+" FROM import_rows p ", []any{}
	where := `WHERE p.import_id = ? AND p.line > ?`
	args = append(args, id, after)
	if len(f.Actions) > 0 {
		marks := make([]string, len(f.Actions))
		for i, a := range f.Actions {
			marks[i] = "?"
			args = append(args, string(a))
		}
		where += ` AND p.action IN (` + strings.Join(marks, ", ") + `)`
	}
	if f.Warned {
		where += ` AND p.warned`
	}
	if f.Problem != "" {
		where += ` AND p.problem <> '' AND p.problem = ?`
		args = append(args, f.Problem)
	}
	if f.Line > 0 {
		where += ` AND p.line = ?`
		args = append(args, f.Line)
	}
	if f.Kept {
		where += ` AND p.fresh <> ''`
		imp, err := s.Import(ctx, id)
		if err != nil {
			return nil, err
		}
		result := "p.revert"
		if imp.State != enroll.ImportReverted {
			query = strings.Replace(query, "p.revert", revertResult+" AS revert", 1) + `LEFT JOIN devices d ON d.id = p.device_id `
			result = "(" + revertResult + ")"
		}
		where += ` AND ` + result + ` IN ('kept_enrolled', 'kept_changed', 'gone')`
	}
	var rows []planRow
	if err := s.all(ctx, &rows, query+where+` ORDER BY p.line LIMIT ?`, append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	plan := make([]enroll.PlanRow, len(rows))
	for i, r := range rows {
		d, err := decode[rowDetail](r.Detail)
		if err != nil {
			return nil, err
		}
		plan[i] = enroll.PlanRow{Line: r.Line, Action: enroll.RowAction(r.Action), Serial: r.Serial, Email: r.Email, Changes: d.Changes, Errors: d.Errors, Warnings: d.Warnings,
			Revert: enroll.RevertResult(r.Revert), Version: r.Version}
	}
	return plan, nil
}

// ImportProblems implements enroll.ImportStore.
func (s *Store) ImportProblems(ctx context.Context, id string) ([]enroll.ProblemCount, error) {
	var rows []struct {
		Problem string `json:"problem"`
		Rows    int    `json:"number"`
		Detail  string `json:"detail"`
	}
	if err := s.all(ctx, &rows, `SELECT c.problem, c.number, p.detail FROM (SELECT problem, count(*) AS number, min(line) AS line FROM import_rows
		WHERE import_id = ? AND problem <> '' GROUP BY problem) AS c JOIN import_rows p ON p.import_id = ? AND p.line = c.line ORDER BY c.problem`, id, id); err != nil {
		return nil, err
	}
	out := make([]enroll.ProblemCount, len(rows))
	for i, r := range rows {
		d, err := decode[rowDetail](r.Detail)
		if err != nil {
			return nil, err
		}
		first := d.Errors[0] // a row with a problem has one
		out[i] = enroll.ProblemCount{Code: r.Problem, Rows: r.Rows, Column: first.Column, Detail: first.Detail, Hint: first.Hint}
	}
	return out, nil
}

// invitable are the actions of rows whose users can be recipients.
const invitable = `('new', 'changed', 'unchanged', 'skipped')`

// recipientJoins reads what rows p of an import speak of: devices and users
// that, of a plan, may not be there yet. Its argument is the domain.
const recipientJoins = ` LEFT JOIN devices d ON d.id = p.device_id
	LEFT JOIN users u ON u.email = p.email AND u.domain = ?
	LEFT JOIN import_users f ON f.import_id = p.import_id AND f.email = p.email `

// isRecipient says whether the user of a row p can get a request.
func isRecipient(imp enroll.Import) string {
	const (
		known = `(u.id IS NOT NULL OR f.user_id IS NOT NULL)`
		owner = `(d.user_id <> '' AND d.user_id = u.id)`
	)
	switch {
	case !imp.Options.PreEnroll:
		return known
	case imp.State == enroll.ImportApplied || imp.State == enroll.ImportSending || imp.State == enroll.ImportReverting || imp.State == enroll.ImportReverted:
		return `coalesce(` + owner + `, false)`
	}
	return `(p.action <> 'skipped' AND ` + known + ` OR coalesce(` + owner + `, false))`
}

// recipientRow is a row of an import with its device and user.
type recipientRow struct {
	Line     int    `json:"line"`
	DeviceID string `json:"device_id"`
	Serial   string `json:"serial"`
	State    string `json:"device_state"`
	User     string `json:"planned_user"`
	Passes   bool   `json:"passes"`
	userRow
}

// userOrBlank selects the user u, or nothing of it.
var userOrBlank = func() string {
	blank := make([]string, len(userNames))
	for i, name := range userNames {
		none := "''"
		if strings.HasSuffix(name, "_at") {
			none = "0"
		}
		blank[i] = "coalesce(u." + name + ", " + none + ") AS " + name
	}
	return strings.Join(blank, ", ")
}()

// ImportRecipients implements enroll.ImportStore. Rows are taken first and held
// against devices and users then, so that no plan of the database reads all.
func (s *Store) ImportRecipients(ctx context.Context, id string, p enroll.Page) ([]enroll.Recipient, error) {
	after, err := strconv.Atoi(cmp.Or(p.After, "0"))
	if err != nil {
		return nil, cursorInvalid()
	}
	imp, err := s.Import(ctx, id)
	if err != nil {
		return nil, err
	}
	limit := pageLimit(p)
	out := make([]enroll.Recipient, 0, limit)
	for {
		var rows []recipientRow
		if err := s.all(ctx, &rows, `SELECT p.line, p.device_id, coalesce(d.serial, p.serial) AS serial, coalesce(d.effective, '`+string(enroll.StatePreEnrolled)+`') AS device_state,
			coalesce(f.fresh, '') AS planned_user, `+isRecipient(imp)+` AS passes, `+userOrBlank+`
			FROM (SELECT * FROM import_rows WHERE import_id = ? AND line > ? AND email <> '' AND action IN `+invitable+` ORDER BY line LIMIT `+strconv.Itoa(limit)+`) AS p`+
			recipientJoins+`ORDER BY p.line`, id, after, imp.Options.Domain); err != nil {
			return nil, err
		}
		for _, r := range rows {
			after = r.Line
			if !r.Passes {
				continue
			}
			to, err := r.recipient(imp)
			if err != nil {
				return nil, err
			}
			if out = append(out, to); len(out) == limit {
				return out, nil
			}
		}
		if len(rows) < limit {
			return out, nil
		}
	}
}

func (r recipientRow) recipient(imp enroll.Import) (enroll.Recipient, error) {
	user := r.userRow
	if user.ID == "" || imp.State == enroll.ImportPlanned && r.User != "" {
		var err error
		if user, err = decode[userRow](r.User); err != nil {
			return enroll.Recipient{}, err
		}
	}
	to := enroll.Recipient{Line: r.Line, User: user.user()}
	if imp.Options.PreEnroll {
		to.DeviceID, to.Serial, to.State = r.DeviceID, r.Serial, enroll.State(r.State)
	}
	return to, nil
}

// countRecipients counts those of a plan who can be reached by e-mail and by
// SMS.
func countRecipients(ctx context.Context, tx *session, imp enroll.Import) (email, sms int, err error) {
	if !imp.Options.PreEnroll {
		return 0, 0, nil
	}
	mobile := `f.fresh ->> 'mobile'`
	if tx.name() == "postgres" {
		mobile = `f.fresh::json ->> 'mobile'`
	}
	var n struct {
		Email int `json:"email"`
		SMS   int `json:"sms"`
	}
	err = tx.get(ctx, &n, `SELECT count(*) AS email, coalesce(sum(CASE WHEN coalesce(`+mobile+`, u.mobile, '') <> '' THEN 1 ELSE 0 END), 0) AS sms
		FROM import_rows p`+recipientJoins+`WHERE p.import_id = ? AND p.email <> '' AND p.action IN `+invitable+` AND `+isRecipient(imp)+`
		AND coalesce(d.effective, '') NOT IN ('`+string(enroll.StateEnrolled)+`', '`+string(enroll.StateBlocked)+`')`, imp.Options.Domain, imp.ID)
	return n.Email, n.SMS, err
}

// SendImport implements enroll.ImportStore.
func (s *Store) SendImport(ctx context.Context, l enroll.ImportLease, invites []enroll.Invite, sending enroll.Sending) error {
	ctx = auditedImport(ctx, l.ImportID, "send-import-requests")
	return s.write(ctx, func(tx *session) error {
		r, err := holdImport(ctx, tx, l, enroll.ImportSending)
		if err != nil {
			return err
		}
		written, err := lockWritten(ctx, tx, l.ImportID, invites)
		if err != nil {
			return err
		}
		if err := s.createRequests(ctx, tx, invites); err != nil {
			return err
		}
		// An invitation of its own does not keep a row from being reverted.
		if _, err := tx.exec(ctx, `UPDATE import_rows SET written = (SELECT d.version FROM devices d WHERE d.id = import_rows.device_id)
			WHERE import_id = ? AND `+tx.in("device_id"), l.ImportID, tx.list(written)); err != nil {
			return err
		}
		r.Sending, r.Done = encode(sending), sending.Sent+sending.LeftOut
		if sending.Done {
			r.State, r.Worker, r.LeaseUntil = string(enroll.ImportApplied), "", 0
		}
		tx.record(ctx, "import", l.ImportID, nil, map[string]any{"via": sending.Via, "requests": len(invites)})
		return saveImport(ctx, tx, r)
	})
}

// lockWritten locks the devices of invites, in order, and gives those that are
// as the import left them.
func lockWritten(ctx context.Context, tx *session, importID string, invites []enroll.Invite) ([]string, error) {
	ids := make([]string, len(invites))
	for i, invite := range invites {
		ids[i] = invite.DeviceID
	}
	lock := tx.lock()
	if lock != "" {
		lock += " OF d"
	}
	var written []string
	err := tx.all(ctx, &written, `SELECT d.id FROM devices d JOIN import_rows p ON p.device_id = d.id WHERE p.import_id = ? AND `+tx.in("d.id")+` AND p.fresh <> '' AND `+asWritten+`
		ORDER BY d.id`+lock, importID, tx.list(ids))
	return written, err
}
