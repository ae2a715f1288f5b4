package storage

import (
	"context"
	"errors"
	"slices"
	"time"

	"rollcall/enroll"
)

// importChunk is how many rows are read and written at once.
const importChunk = 1000

// errStale undoes an application whose plan is out of date.
var errStale = errors.New("storage: the plan is out of date")

// ApplyImport implements enroll.ImportStore. It locks in the order in which
// everybody does: what is wide, devices by ID, users, groups.
func (s *Store) ApplyImport(ctx context.Context, l enroll.ImportLease, now time.Time, progress func(done int)) (stale int, err error) {
	ctx = auditedImport(ctx, l.ImportID, "apply-import")
	err = s.write(ctx, func(tx *session) error {
		stale = 0
		r, err := beginImport(ctx, tx, l, enroll.ImportApplying)
		if err != nil {
			return err
		}
		if stale, err = countStale(ctx, tx, l.ImportID); err != nil {
			return err
		}
		if stale > 0 {
			return errStale
		}
		imp, err := r.imported()
		if err != nil {
			return err
		}
		if err := writeUsers(ctx, tx, imp, now); err != nil {
			return err
		}
		if err := writeDevices(ctx, tx, l.ImportID, micros(now), progress); err != nil {
			return err
		}
		if err := writeLinks(ctx, tx, l.ImportID, "true", false, now); err != nil {
			return err
		}
		imp.State, imp.AppliedAt, imp.Stale = enroll.ImportApplied, now, 0
		imp.Done = imp.Counts.Rows
		if imp.Sending != nil {
			imp.State, imp.Done = enroll.ImportSending, 0
		}
		return finishImport(ctx, tx, l, imp)
	})
	if !errors.Is(err, errStale) {
		return 0, err
	}
	return stale, s.write(ctx, func(tx *session) error {
		r, err := holdImport(ctx, tx, l, enroll.ImportApplying)
		if err != nil {
			return err
		}
		r.State, r.Stale, r.Done, r.Worker, r.LeaseUntil = string(enroll.ImportUploaded), stale, 0, "", 0
		return saveImport(ctx, tx, r)
	})
}

// beginImport makes a transaction the only one of its kind. It does not lock the row
// of the import, so that others can note progress and read it meanwhile.
func beginImport(ctx context.Context, tx *session, l enroll.ImportLease, state enroll.ImportState) (importRow, error) {
	if err := errors.Join(tx.do(ctx, tx.mutex(mutexImports, false)), tx.do(ctx, tx.bulk())); err != nil {
		return importRow{}, err
	}
	r, err := findImport(ctx, tx, l.ImportID, "")
	if enroll.KindOf(err) == enroll.KindNotFound || err == nil && (r.Worker != l.Worker || r.State != string(state)) {
		return r, enroll.ErrLeaseLost
	}
	if err != nil {
		return r, err
	}
	var binds bool
	if err := tx.get(ctx, &binds, `SELECT EXISTS (SELECT 1 FROM import_links WHERE import_id = ? AND kind = '`+linkPolicy+`')`, l.ImportID); err != nil {
		return r, err
	}
	if err := tx.do(ctx, tx.mutex(mutexPolicies, !binds)); err != nil {
		return r, err
	}
	lock := tx.lock()
	if lock != "" {
		lock += " OF d"
	}
	var locked int
	return r, tx.get(ctx, &locked, `SELECT count(*) FROM (SELECT d.id FROM import_rows p JOIN devices d ON d.id = p.device_id
		WHERE p.import_id = ? AND p.device_id <> '' ORDER BY d.id`+lock+`) AS locked`, l.ImportID)
}

// finishImport writes the end of an import, unless its lease was lost.
func finishImport(ctx context.Context, tx *session, l enroll.ImportLease, imp enroll.Import) error {
	working := map[enroll.ImportState]enroll.ImportState{enroll.ImportApplied: enroll.ImportApplying, enroll.ImportSending: enroll.ImportApplying, enroll.ImportReverted: enroll.ImportReverting}
	if _, err := holdImport(ctx, tx, l, working[imp.State]); err != nil {
		return err
	}
	tx.record(ctx, "import", imp.ID, nil, map[string]any{"state": imp.State, "file_name": imp.FileName, "sha256": imp.SHA256, "counts": imp.Counts, "reverted": imp.Reverted})
	return errors.Join(tellImport(ctx, tx, imp), saveImport(ctx, tx, newImportRow(imp)))
}

// countStale counts the rows of the plan whose device or user is not as it was.
func countStale(ctx context.Context, tx *session, id string) (int, error) {
	total := 0
	for _, query := range []string{
		`SELECT count(*) FROM import_rows p LEFT JOIN devices d ON d.id = p.device_id
			WHERE p.import_id = ? AND p.base > 0 AND p.action IN ('changed', 'unchanged') AND coalesce(d.version, 0) <> p.base`,
		`SELECT count(*) FROM import_rows p JOIN devices d ON d.serial = p.serial WHERE p.import_id = ? AND p.action = 'new' AND p.fresh <> ''`,
		`SELECT count(*) FROM import_users p LEFT JOIN users u ON u.id = p.user_id WHERE p.import_id = ? AND p.base > 0 AND coalesce(u.updated_at, 0) <> p.base`,
		`SELECT count(*) FROM import_users p JOIN imports i ON i.id = p.import_id JOIN users u ON u.email = p.email AND u.domain = (i.options ` + domainOfOptions(tx) + `)
			WHERE p.import_id = ? AND p.base = 0`,
		`SELECT count(*) FROM import_links l LEFT JOIN policies p ON p.name = l.name WHERE l.import_id = ? AND l.kind = '` + linkPolicy + `' AND l.adding AND p.id IS NULL`,
		`SELECT count(*) FROM import_links l JOIN device_groups g ON g.name = l.name WHERE l.import_id = ? AND l.kind = '` + linkGroup + `' AND g.rule <> ''`,
	} {
		var n int
		if err := tx.get(ctx, &n, query, id); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// domainOfOptions takes the domain out of stored options.
func domainOfOptions(tx *session) string {
	if tx.name() == "postgres" {
		return `::json ->> 'domain'`
	}
	return `->> 'domain'`
}

// writeUsers makes and changes the users of a plan, and the domain.
func writeUsers(ctx context.Context, tx *session, imp enroll.Import, now time.Time) error {
	if _, err := tx.exec(ctx, `INSERT INTO domains (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, imp.Options.Domain, micros(now)); err != nil {
		return err
	}
	for after := ""; ; {
		var plan []planUser
		if err := tx.all(ctx, &plan, "SELECT "+columns("", planUserNames)+" FROM import_users WHERE import_id = ? AND email > ? ORDER BY email LIMIT ?", imp.ID, after, importChunk); err != nil {
			return err
		}
		if len(plan) == 0 {
			return nil
		}
		after = plan[len(plan)-1].Email
		var fresh, changed []userRow
		for _, p := range plan {
			r, err := decode[userRow](p.Fresh)
			if err != nil {
				return err
			}
			if r.UpdatedAt = micros(now); p.Base == 0 {
				r.CreatedAt = micros(now)
				fresh = append(fresh, r)
			} else {
				changed = append(changed, r)
			}
		}
		if len(fresh) > 0 {
			n, err := tx.exec(ctx, insertUsers+tx.records(userFields)+" WHERE true ON CONFLICT (email, domain) DO NOTHING", encode(fresh))
			if err != nil {
				return err
			}
			if n < int64(len(fresh)) {
				return errAgain // the next run finds the plan out of date
			}
		}
		if len(changed) > 0 {
			if err := saveUsers(ctx, tx, changed); err != nil {
				return err
			}
		}
	}
}

// writeDevices writes the rows of a plan that are to be made or changed.
func writeDevices(ctx context.Context, tx *session, id string, at int64, progress func(done int)) error {
	done := 0
	for line := 0; ; {
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
		var made, changed []deviceRow
		var due []string
		for _, p := range plan {
			if p.Fresh == "" {
				continue
			}
			r, err := decode[deviceRow](p.Fresh)
			if err != nil {
				return err
			}
			r.UpdatedAt = at
			switch {
			case p.Base == 0:
				r.CreatedAt = at
				made = append(made, r)
			default:
				changed = append(changed, r)
				if r.State == string(enroll.StateEnrolled) {
					due = append(due, r.ID)
				}
			}
		}
		if err := createDevices(ctx, tx, made...); err != nil {
			return err
		}
		if err := saveDevices(ctx, tx, changed...); err != nil {
			return err
		}
		if err := markDevicesDue(ctx, tx, due); err != nil {
			return err
		}
		done += len(plan)
		progress(done)
	}
}

// writeLinks makes what the plan adds and undoes what it takes away; the other
// way round where undo says so. Groups that are missing are made. Only rows p
// of the plan for which condition holds count.
func writeLinks(ctx context.Context, tx *session, id, condition string, undo bool, now time.Time) error {
	var links []planLink
	if err := tx.all(ctx, &links, `SELECT DISTINCT l.import_id, 0 AS line, l.kind, l.name, '' AS device_id, l.adding FROM import_links l
		JOIN import_rows p ON p.import_id = l.import_id AND p.line = l.line WHERE l.import_id = ? AND `+condition+` ORDER BY l.kind, l.name, l.adding`, id); err != nil {
		return err
	}
	for _, l := range links {
		var ids []string
		if err := tx.all(ctx, &ids, `SELECT l.device_id FROM import_links l JOIN import_rows p ON p.import_id = l.import_id AND p.line = l.line
			WHERE l.import_id = ? AND l.kind = ? AND l.name = ? AND l.adding = ? AND `+condition+` ORDER BY l.device_id`, id, l.Kind, l.Name, l.Adding); err != nil {
			return err
		}
		write := linkGroups
		if l.Kind == linkPolicy {
			write = linkPolicies
		}
		if err := write(ctx, tx, l.Name, l.Adding != undo, ids, now); err != nil {
			return err
		}
		if err := markDevicesDue(ctx, tx, ids); err != nil {
			return err
		}
	}
	return nil
}

func linkGroups(ctx context.Context, tx *session, name string, adding bool, ids []string, now time.Time) error {
	if adding {
		if _, err := tx.exec(ctx, `INSERT INTO device_groups (id, name, created_at, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
			enroll.NewID(), name, micros(now), micros(now)); err != nil {
			return err
		}
	}
	group, err := groupID(ctx, tx, name)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil // deleted since, with its members
	}
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE device_groups SET updated_at = ? WHERE id = ?`, micros(now), group); err != nil {
		return err
	}
	change := removeMembers
	if adding {
		change = addMembers
	}
	// For a long list PostgreSQL would read the whole roll.
	for part := range slices.Chunk(ids, importChunk) {
		if err := change(ctx, tx, group, part); err != nil {
			return err
		}
	}
	return nil
}

func linkPolicies(ctx context.Context, tx *session, name string, adding bool, ids []string, _ time.Time) error {
	policy, err := policyID(ctx, tx, name)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil // deleted since, with its bindings
	}
	if err != nil {
		return err
	}
	if !adding {
		_, err := tx.exec(ctx, `DELETE FROM bindings WHERE policy_id = ? AND group_id = '' AND `+tx.in("device_id"), policy, tx.list(ids))
		return err
	}
	type binding struct {
		ID       string `json:"id"`
		DeviceID string `json:"device_id"`
	}
	rows := make([]binding, len(ids))
	for i, id := range ids {
		rows[i] = binding{enroll.NewID(), id}
	}
	_, err = tx.exec(ctx, `INSERT INTO bindings (id, policy_id, group_id, device_id) SELECT r.id, CAST(? AS text), '', r.device_id FROM `+
		tx.records("id text, device_id text")+` WHERE true ON CONFLICT DO NOTHING`, policy, encode(rows))
	return err
}
