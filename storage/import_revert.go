package storage

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"rollcall/enroll"
)

// revertResult is what a revert does with a row p of a plan that its device d
// was written by. Who enrolled since, or was changed, stays as it is.
const revertResult = `CASE
	WHEN d.id IS NULL THEN 'gone'
	WHEN p.base = 0 AND d.state IN ('enrolling', 'enrolled') THEN 'kept_enrolled'
	WHEN d.version = p.base + 1 THEN CASE WHEN p.base = 0 THEN 'deleted' ELSE 'restored' END
	WHEN d.state IN ('enrolling', 'enrolled') THEN 'kept_enrolled'
	ELSE 'kept_changed' END`

// PreviewRevert implements enroll.ImportStore.
func (s *Store) PreviewRevert(ctx context.Context, id string) (enroll.RevertCounts, error) {
	var rows []revertCount
	err := s.all(ctx, &rows, `SELECT revert, count(*) AS number FROM (SELECT `+revertResult+` AS revert FROM import_rows p LEFT JOIN devices d ON d.id = p.device_id
		WHERE p.import_id = ? AND p.fresh <> '') AS results GROUP BY revert`, id)
	return countReverts(rows), err
}

type revertCount struct {
	Revert string `json:"revert"`
	Number int    `json:"number"`
}

func countReverts(rows []revertCount) enroll.RevertCounts {
	var c enroll.RevertCounts
	for _, r := range rows {
		switch enroll.RevertResult(r.Revert) {
		case enroll.RevertDeleted:
			c.Deleted = r.Number
		case enroll.RevertRestored:
			c.Restored = r.Number
		case enroll.RevertKeptEnrolled:
			c.KeptEnrolled = r.Number
		case enroll.RevertKeptChanged:
			c.KeptChanged = r.Number
		case enroll.RevertGone:
			c.Gone = r.Number
		}
	}
	return c
}

// RevertImport implements enroll.ImportStore. Groups and domains that the
// import made stay.
func (s *Store) RevertImport(ctx context.Context, l enroll.ImportLease, now time.Time, progress func(done int)) error {
	ctx = auditedImport(ctx, l.ImportID, "revert-import")
	return s.write(ctx, func(tx *session) error {
		r, err := beginImport(ctx, tx, l, enroll.ImportReverting)
		if err != nil {
			return err
		}
		imp, err := r.imported()
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE import_rows SET revert = r.revert FROM (SELECT p.line AS line, `+revertResult+` AS revert
			FROM import_rows p LEFT JOIN devices d ON d.id = p.device_id WHERE p.import_id = ? AND p.fresh <> '') AS r
			WHERE import_rows.import_id = ? AND import_rows.line = r.line`, l.ImportID, l.ImportID); err != nil {
			return err
		}
		// A row that the import only linked is reverted in its links.
		if err := writeLinks(ctx, tx, l.ImportID, `p.revert IN ('', 'restored', 'deleted')`, true, now); err != nil {
			return err
		}
		if err := unwriteDevices(ctx, tx, l.ImportID, micros(now), progress); err != nil {
			return err
		}
		if err := unwriteUsers(ctx, tx, imp, now); err != nil {
			return err
		}
		var rows []revertCount
		if err := tx.all(ctx, &rows, `SELECT revert, count(*) AS number FROM import_rows WHERE import_id = ? AND revert <> '' GROUP BY revert`, l.ImportID); err != nil {
			return err
		}
		imp.Reverted, imp.State, imp.RevertedAt, imp.Done = countReverts(rows), enroll.ImportReverted, now, imp.Counts.Rows
		return finishImport(ctx, tx, l, imp)
	})
}

func unwriteDevices(ctx context.Context, tx *session, id string, at int64, progress func(done int)) error {
	for line, done := 0, 0; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var plan []planRow
		if err := tx.all(ctx, &plan, "SELECT "+columns("", planRowNames)+" FROM import_rows WHERE import_id = ? AND line > ? ORDER BY line LIMIT ?", id, line, importChunk); err != nil {
			return err
		}
		if len(plan) == 0 {
			return nil
		}
		line = plan[len(plan)-1].Line
		var restored []deviceRow
		var gone, due []string
		for _, p := range plan {
			switch enroll.RevertResult(p.Revert) {
			case enroll.RevertDeleted:
				gone = append(gone, p.DeviceID)
			case enroll.RevertRestored:
				r, err := decode[deviceRow](p.Old)
				if err != nil {
					return err
				}
				r.Version, r.UpdatedAt = p.Base+2, at
				restored = append(restored, r)
				if r.State == string(enroll.StateEnrolled) {
					due = append(due, r.ID)
				}
			}
		}
		if err := deleteDevices(ctx, tx, gone); err != nil {
			return err
		}
		if err := saveDevices(ctx, tx, restored...); err != nil {
			return err
		}
		if err := markDevicesDue(ctx, tx, due); err != nil {
			return err
		}
		done += len(plan)
		progress(done)
	}
}

// unwriteUsers takes away users that the import made and who own nothing, and
// gives the others back what they had, unless it was changed since.
func unwriteUsers(ctx context.Context, tx *session, imp enroll.Import, now time.Time) error {
	applied := micros(imp.AppliedAt)
	if _, err := tx.exec(ctx, `DELETE FROM users WHERE updated_at = ? AND id IN (SELECT p.user_id FROM import_users p WHERE p.import_id = ? AND p.base = 0)
		AND id NOT IN (SELECT d.user_id FROM devices d WHERE d.user_id <> '') AND id NOT IN (SELECT q.user_id FROM requests q)`, applied, imp.ID); err != nil {
		return err
	}
	for after := ""; ; {
		var plan []planUser
		if err := tx.all(ctx, &plan, "SELECT "+columns("p.", planUserNames)+` FROM import_users p JOIN users u ON u.id = p.user_id WHERE p.import_id = ? AND p.base > 0 AND p.email > ?
			AND u.updated_at = ? ORDER BY p.email LIMIT ?`, imp.ID, after, applied, importChunk); err != nil {
			return err
		}
		if len(plan) == 0 {
			return nil
		}
		after = plan[len(plan)-1].Email
		rows := make([]userRow, len(plan))
		for i, p := range plan {
			var err error
			if rows[i], err = decode[userRow](p.Old); err != nil {
				return err
			}
			rows[i].UpdatedAt = micros(now)
		}
		if err := saveUsers(ctx, tx, rows); err != nil {
			return err
		}
	}
}

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
			Revert: enroll.RevertResult(r.Revert)}
	}
	return plan, nil
}

// ImportRecipients implements enroll.ImportStore.
func (s *Store) ImportRecipients(ctx context.Context, id string, p enroll.Page) ([]enroll.Recipient, error) {
	after, err := strconv.Atoi(cmp.Or(p.After, "0"))
	if err != nil {
		return nil, cursorInvalid()
	}
	imp, err := s.Import(ctx, id)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Line        int    `json:"line"`
		Serial      string `json:"serial"`
		DeviceState string `json:"device_state"`
		userRow
	}
	if err := s.all(ctx, &rows, `SELECT p.line, coalesce(d.serial, '') AS serial, coalesce(d.state, '') AS device_state, `+columns("u.", userNames)+`
		FROM import_rows p LEFT JOIN devices d ON d.id = p.device_id
		JOIN users u ON u.email = p.email AND u.domain = ? WHERE p.import_id = ? AND p.line > ? AND p.email <> '' AND p.action IN ('new', 'changed', 'unchanged', 'skipped')
		AND (d.id IS NULL OR d.user_id = u.id) AND (d.id IS NOT NULL OR p.device_id = '') ORDER BY p.line LIMIT ?`, imp.Options.Domain, id, after, pageLimit(p)); err != nil {
		return nil, err
	}
	out := make([]enroll.Recipient, len(rows))
	for i, r := range rows {
		out[i] = enroll.Recipient{Line: r.Line, Serial: r.Serial, State: enroll.State(r.DeviceState), User: r.userRow.user()}
	}
	return out, nil
}
