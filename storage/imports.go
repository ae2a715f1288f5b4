package storage

import (
	"context"

	"rollcall/enroll"
)

// importChunk is how many rows are looked up and written at once.
const importChunk = 1000

type importRow struct {
	ID        string `json:"id"`
	FileName  string `json:"file_name"`
	SHA256    string `json:"sha256"`
	Domain    string `json:"domain"`
	CreatedBy string `json:"created_by"`
	CreatedAt int64  `json:"created_at"`
	Rows      int    `json:"all_rows"`
	New       int    `json:"new_rows"`
	Changed   int    `json:"changed"`
	Unchanged int    `json:"unchanged"`
	UsersNew  int    `json:"users_new"`
}

// ApplyImport implements enroll.RollStore. A row counts as changed also where
// only its user's name or mobile number is new.
func (s *Store) ApplyImport(ctx context.Context, imp enroll.Import, merge func(*enroll.Device, enroll.ImportRow, string) (enroll.Device, *enroll.RowError)) (enroll.ImportReport, error) {
	var report enroll.ImportReport
	err := s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexImports, false)); err != nil {
			return err
		}
		if err := tx.do(ctx, tx.bulk()); err != nil {
			return err
		}
		report = enroll.ImportReport{ID: imp.ID, FileName: imp.FileName, SHA256: imp.SHA256, Domain: imp.Domain, CreatedBy: imp.CreatedBy,
			CreatedAt: imp.CreatedAt, Rows: len(imp.Rows)}
		var wrong enroll.RowErrors
		for start := 0; start < len(imp.Rows); start += importChunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			rows := imp.Rows[start:min(start+importChunk, len(imp.Rows))]
			bad, err := importRows(ctx, tx, imp.Domain, rows, merge, &report)
			if err != nil {
				return err
			}
			wrong = append(wrong, bad...)
		}
		if len(wrong) > 0 {
			return wrong
		}
		_, err := tx.exec(ctx, `INSERT INTO imports (id, file_name, sha256, domain, created_by, created_at, all_rows, new_rows, changed, unchanged, users_new)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, report.ID, report.FileName, report.SHA256, report.Domain, report.CreatedBy,
			micros(report.CreatedAt), report.Rows, report.New, report.Changed, report.Unchanged, report.UsersNew)
		return err
	})
	if err != nil {
		return enroll.ImportReport{}, err
	}
	return report, nil
}

// importRows applies a chunk and adds to the report.
func importRows(ctx context.Context, tx *session, domain string, rows []enroll.ImportRow, merge func(*enroll.Device, enroll.ImportRow, string) (enroll.Device, *enroll.RowError), report *enroll.ImportReport) (enroll.RowErrors, error) {
	users := make([]enroll.User, len(rows))
	serials := make([]string, len(rows))
	for i, row := range rows {
		users[i] = enroll.User{Domain: domain, Name: row.Name, Email: row.Email, Mobile: row.Mobile}
		serials[i] = clean(row.Serial)
	}
	owners, err := findOrMakeUsers(ctx, tx, users)
	if err != nil {
		return nil, err
	}
	report.UsersNew += owners.created
	var known []deviceRow
	if err := tx.all(ctx, &known, selectDevice+"WHERE "+tx.in("d.serial")+" ORDER BY d.id"+tx.lock(), tx.list(serials)); err != nil {
		return nil, err
	}
	type change struct {
		old, fresh deviceRow // old is zero for a new device
	}
	changes := make(map[string]*change, len(rows)) // by serial: a file may name one twice
	for _, r := range known {
		changes[r.Serial] = &change{old: r, fresh: r}
	}
	at := micros(now())
	var wrong enroll.RowErrors
	for i, row := range rows {
		c := changes[serials[i]]
		var old *enroll.Device
		if c != nil {
			d, err := c.fresh.device()
			if err != nil {
				return nil, err
			}
			old = &d
		}
		owner := owners.of(domain, row.Email)
		d, bad := merge(old, row, owner)
		if bad != nil {
			wrong = append(wrong, *bad)
			continue
		}
		fresh := newDeviceRow(d)
		switch {
		case c == nil:
			fresh.Serial, fresh.Version, fresh.UpdatedAt = serials[i], 1, at
			changes[serials[i]] = &change{fresh: fresh}
			report.New++
		default:
			was := c.fresh
			fresh.ID, fresh.Serial, fresh.CreatedAt, fresh.LastSeenAt, fresh.Version, fresh.UpdatedAt = was.ID, was.Serial, was.CreatedAt, was.LastSeenAt, was.Version, was.UpdatedAt
			if fresh == was && !owners.changed[owner] {
				report.Unchanged++
				continue
			}
			report.Changed++
			if fresh != was {
				fresh.UpdatedAt = at
				if c.old.ID != "" {
					fresh.Version = c.old.Version + 1
				}
				c.fresh = fresh
			}
		}
	}
	if len(wrong) > 0 {
		return wrong, nil
	}
	var made, changed []deviceRow
	var due []string
	for _, serial := range serials {
		c := changes[serial]
		switch {
		case c.old.ID == "" && c.fresh.ID != "":
			made = append(made, c.fresh)
		case c.fresh != c.old:
			changed = append(changed, c.fresh)
			if c.fresh.State == string(enroll.StateEnrolled) {
				due = append(due, c.fresh.ID)
			}
		}
		c.old = c.fresh // a second row of this serial has nothing left to write
	}
	if err := createDevices(ctx, tx, made...); err != nil {
		return nil, err
	}
	if err := saveDevices(ctx, tx, changed...); err != nil {
		return nil, err
	}
	return nil, markDevicesDue(ctx, tx, due)
}

// Imports implements enroll.RollStore.
func (s *Store) Imports(ctx context.Context, p enroll.Page) ([]enroll.ImportReport, error) {
	var rows []importRow
	if err := s.all(ctx, &rows, `SELECT id, file_name, sha256, domain, created_by, created_at, all_rows, new_rows, changed, unchanged, users_new
		FROM imports WHERE id < ? ORDER BY id DESC LIMIT ?`, lastKey(p), pageLimit(p)); err != nil {
		return nil, err
	}
	reports := make([]enroll.ImportReport, len(rows))
	for i, r := range rows {
		reports[i] = enroll.ImportReport{ID: r.ID, FileName: r.FileName, SHA256: r.SHA256, Domain: r.Domain, CreatedBy: r.CreatedBy,
			CreatedAt: instant(r.CreatedAt), Rows: r.Rows, New: r.New, Changed: r.Changed, Unchanged: r.Unchanged, UsersNew: r.UsersNew}
	}
	return reports, nil
}
