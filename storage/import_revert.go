package storage

import (
	"context"
	"errors"
	"time"

	"rollcall/enroll"
)

// asWritten says that a device d is as row p of an import left it.
const asWritten = `d.version = CASE WHEN p.written > 0 THEN p.written ELSE p.base + 1 END`

// revertResult is what a revert does with a row p of a plan that its device d
// was written by. Who enrolled since, or was changed, stays as it is.
const revertResult = `CASE
	WHEN d.id IS NULL THEN 'gone'
	WHEN p.base = 0 AND d.state IN ('enrolling', 'enrolled') THEN 'kept_enrolled'
	WHEN ` + asWritten + ` THEN CASE WHEN p.base = 0 THEN 'deleted' ELSE 'restored' END
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
				if r.Version, r.UpdatedAt = p.Base+2, at; p.Written > 0 { // with an invitation, which ends
					r.Version = p.Written + 1
					if err := errors.Join(cancelRequests(ctx, tx, p.DeviceID, instant(at)), r.uninvite(ctx, tx)); err != nil {
						return err
					}
				}
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
