package storage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"rollcall/enroll"
)

var _ enroll.ImportStore = (*Store)(nil)

// mutexUploads lets two uploads of one file become one import.
const mutexUploads mutex = 7303301

type importRow struct {
	ID          string `json:"id"`
	State       string `json:"state"`
	FileName    string `json:"file_name"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
	Fingerprint string `json:"fingerprint"`
	Lines       int    `json:"lines"`
	Nature      string `json:"nature"`
	Options     string `json:"options"`
	Charset     string `json:"charset"`
	Delimiter   string `json:"delimiter"`
	Columns     string `json:"file_columns"`
	Counts      string `json:"counts"`
	Done        int    `json:"done"`
	Stale       int    `json:"stale"`
	Problem     string `json:"problem"`
	CreatedBy   string `json:"created_by"`
	CreatedAt   int64  `json:"created_at"`
	PlannedAt   int64  `json:"planned_at"`
	AppliedBy   string `json:"applied_by"`
	AppliedAt   int64  `json:"applied_at"`
	RevertedBy  string `json:"reverted_by"`
	RevertedAt  int64  `json:"reverted_at"`
	Reverted    string `json:"reverted"`
	Worker      string `json:"worker"`
	LeaseUntil  int64  `json:"lease_until"`
	Version     int64  `json:"version"`
	Sending     string `json:"sending"`
}

const importFields = `id text, state text, file_name text, size bigint, sha256 text, fingerprint text, lines bigint, nature text, options text, charset text, delimiter text,
	file_columns text, counts text, done bigint, stale bigint, problem text, created_by text, created_at bigint, planned_at bigint, applied_by text, applied_at bigint,
	reverted_by text, reverted_at bigint, reverted text, worker text, lease_until bigint, version bigint, sending text`

var (
	importNames   = columnNames(importFields)
	selectImport  = "SELECT " + columns("i.", importNames) + " FROM imports i "
	insertImports = "INSERT INTO imports (" + columns("", importNames) + ") SELECT " + columns("r.", importNames) + " FROM "
	updateImports = func() string {
		set := ""
		for i, n := range importNames[1:] {
			if i > 0 {
				set += ", "
			}
			set += n + " = r." + n
		}
		return "UPDATE imports SET " + set + " FROM "
	}()
)

// fingerprint names a file together with all options it is imported with.
func fingerprint(sha256Hex, options string) string {
	sum := sha256.Sum256([]byte(sha256Hex + " " + options))
	return hex.EncodeToString(sum[:])
}

func newImportRow(i enroll.Import) importRow {
	options := encode(i.Options)
	return importRow{ID: i.ID, State: string(i.State), FileName: clean(i.FileName), Size: i.Size, SHA256: i.SHA256, Fingerprint: fingerprint(i.SHA256, options), Lines: i.Lines,
		Nature: i.Nature, Options: options, Charset: i.Charset, Delimiter: i.Delimiter, Columns: encode(i.Columns), Counts: encode(i.Counts), Done: i.Done, Stale: i.Stale,
		Problem: encode(i.Problem), CreatedBy: clean(i.CreatedBy), CreatedAt: micros(i.CreatedAt), PlannedAt: micros(i.PlannedAt), AppliedBy: clean(i.AppliedBy), AppliedAt: micros(i.AppliedAt),
		RevertedBy: clean(i.RevertedBy), RevertedAt: micros(i.RevertedAt), Reverted: encode(i.Reverted),
		Version: max(i.Version, 1), Sending: encode(i.Sending)}
}

func (r importRow) imported() (i enroll.Import, err error) {
	i = enroll.Import{ID: r.ID, State: enroll.ImportState(r.State), FileName: r.FileName, Size: r.Size, SHA256: r.SHA256, Lines: r.Lines, Nature: r.Nature, Charset: r.Charset,
		Delimiter: r.Delimiter, Done: r.Done, Stale: r.Stale, CreatedBy: r.CreatedBy, CreatedAt: instant(r.CreatedAt), PlannedAt: instant(r.PlannedAt), AppliedBy: r.AppliedBy,
		AppliedAt: instant(r.AppliedAt), RevertedBy: r.RevertedBy, RevertedAt: instant(r.RevertedAt), Version: r.Version}
	var errs [6]error
	i.Options, errs[0] = decode[enroll.ImportOptions](r.Options)
	i.Columns, errs[1] = decode[[]enroll.ImportColumn](r.Columns)
	i.Counts, errs[2] = decode[enroll.ImportCounts](r.Counts)
	i.Problem, errs[3] = decode[*enroll.ImportProblem](r.Problem)
	i.Reverted, errs[4] = decode[enroll.RevertCounts](r.Reverted)
	i.Sending, errs[5] = decode[*enroll.Sending](r.Sending)
	return i, errors.Join(errs[:]...)
}

func noImport(id string) error {
	return enroll.Errorf(enroll.KindNotFound, "import_unknown", "no import has the ID %q", id)
}

// findImport reads an import; locked where tail is tx.lock(). One whose file
// is on its way is none yet.
func findImport(ctx context.Context, tx *session, id, tail string) (importRow, error) {
	var r importRow
	err := tx.get(ctx, &r, selectImport+"WHERE i.id = ?"+tail, id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && r.State == string(enroll.ImportUploading) {
		return r, noImport(id)
	}
	return r, err
}

// saveImport writes a row that is locked.
func saveImport(ctx context.Context, tx *session, r importRow) error {
	_, err := tx.exec(ctx, updateImports+tx.records(importFields)+" WHERE imports.id = r.id", encode([]importRow{r}))
	return err
}

// CreateImport implements enroll.ImportStore.
func (s *Store) CreateImport(ctx context.Context, imp enroll.Import) error {
	imp.State = enroll.ImportUploading
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, insertImports+tx.records(importFields), encode([]importRow{newImportRow(imp)}))
		return err
	})
}

// AddImportChunk implements enroll.ImportStore.
func (s *Store) AddImportChunk(ctx context.Context, id string, seq int, data []byte) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO import_chunks (import_id, seq, data) VALUES (?, ?, ?)`, id, seq, data)
		return err
	})
}

// ImportChunk implements enroll.ImportStore.
func (s *Store) ImportChunk(ctx context.Context, id string, seq int) ([]byte, error) {
	var data []byte
	if err := s.one(ctx, &data, `SELECT data FROM import_chunks WHERE import_id = ? AND seq = ?`, id, seq); !errors.Is(err, sql.ErrNoRows) {
		return data, err
	}
	return nil, nil
}

// FinishUpload implements enroll.ImportStore.
func (s *Store) FinishUpload(ctx context.Context, imp enroll.Import, again bool) (found enroll.Import, existed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		existed = false
		if err := tx.do(ctx, tx.mutex(mutexUploads, false)); err != nil {
			return err
		}
		row := newImportRow(imp)
		row.State = string(enroll.ImportUploaded)
		var known importRow
		err := sql.ErrNoRows
		if !again {
			err = tx.get(ctx, &known, selectImport+`WHERE i.fingerprint = ? AND i.state NOT IN ('uploading', 'reverted', 'cancelled') ORDER BY i.id DESC LIMIT 1`, row.Fingerprint)
		}
		switch {
		case err == nil:
			existed, row = true, known
			_, err = tx.exec(ctx, `DELETE FROM imports WHERE id = ?`, imp.ID) // with its file
		case errors.Is(err, sql.ErrNoRows):
			err = saveImport(ctx, tx, row)
		}
		if err == nil {
			found, err = row.imported()
		}
		return err
	})
	return found, existed, err
}

// DropUploads implements enroll.ImportStore.
func (s *Store) DropUploads(ctx context.Context, before time.Time) (int, error) {
	var n int64
	err := s.write(ctx, func(tx *session) (err error) {
		n, err = tx.exec(ctx, `DELETE FROM imports WHERE state = 'uploading' AND created_at < ?`, micros(before))
		return err
	})
	return int(n), err
}

// Import implements enroll.ImportStore.
func (s *Store) Import(ctx context.Context, id string) (enroll.Import, error) {
	r, err := findImport(ctx, s.pool(), id, "")
	if err != nil {
		return enroll.Import{}, unavailable(err)
	}
	return r.imported()
}

// Imports implements enroll.ImportStore.
func (s *Store) Imports(ctx context.Context, p enroll.Page) ([]enroll.Import, error) {
	var rows []importRow
	if err := s.all(ctx, &rows, selectImport+`WHERE i.id < ? AND i.state <> 'uploading' ORDER BY i.id DESC LIMIT ?`, lastKey(p), pageLimit(p)); err != nil {
		return nil, err
	}
	imports := make([]enroll.Import, len(rows))
	for n, r := range rows {
		var err error
		if imports[n], err = r.imported(); err != nil {
			return nil, err
		}
	}
	return imports, nil
}

// ChangeImport implements enroll.ImportStore.
func (s *Store) ChangeImport(ctx context.Context, id string, change func(enroll.Import) (enroll.Import, error)) (enroll.Import, error) {
	var changed enroll.Import
	err := s.write(ctx, func(tx *session) error {
		was, err := findImport(ctx, tx, id, tx.lock())
		if err != nil {
			return err
		}
		old, err := was.imported()
		if err != nil {
			return err
		}
		if changed, err = change(old); err != nil {
			return err
		}
		row := newImportRow(changed)
		if row.State == was.State {
			row.Worker, row.LeaseUntil = was.Worker, was.LeaseUntil
		}
		if err := saveImport(ctx, tx, row); err != nil || changed.State != enroll.ImportCancelled {
			return err
		}
		return dropPlan(ctx, tx, id, "import_chunks")
	})
	if err != nil {
		return enroll.Import{}, err
	}
	return changed, nil
}

// DeleteImport implements enroll.ImportStore.
func (s *Store) DeleteImport(ctx context.Context, id string, check func(enroll.Import) error) error {
	return s.write(ctx, func(tx *session) error {
		row, err := findImport(ctx, tx, id, tx.lock())
		if err != nil {
			return err
		}
		imp, err := row.imported()
		if err != nil {
			return err
		}
		if err := check(imp); err != nil {
			return err
		}
		tx.record(ctx, "import", id, map[string]any{"state": imp.State, "file_name": imp.FileName, "sha256": imp.SHA256}, nil)
		_, err = tx.exec(ctx, `DELETE FROM imports WHERE id = ?`, id) // with file and plan
		return err
	})
}

// DropImports implements enroll.ImportStore, one at a time: each may have many
// rows.
func (s *Store) DropImports(ctx context.Context, before time.Time) (int, error) {
	for total := 0; ; total++ {
		var n int64
		err := s.write(ctx, func(tx *session) (err error) {
			at := micros(before)
			n, err = tx.exec(ctx, `DELETE FROM imports WHERE id IN (SELECT id FROM imports WHERE state NOT IN ('uploading', 'uploaded', 'planning', 'applying', 'sending', 'reverting')
				AND created_at < ? AND planned_at < ? AND applied_at < ? AND reverted_at < ? ORDER BY id LIMIT 1)`, at, at, at, at)
			return err
		})
		if err != nil || n == 0 {
			return total, err
		}
	}
}

// dropPlan removes the plan of an import, and what else belongs to it.
func dropPlan(ctx context.Context, tx *session, id string, more ...string) error {
	for _, table := range append([]string{"import_rows", "import_users", "import_links"}, more...) {
		if _, err := tx.exec(ctx, `DELETE FROM `+table+` WHERE import_id = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// ClaimImport implements enroll.ImportStore.
func (s *Store) ClaimImport(ctx context.Context, worker string, now time.Time, lease time.Duration) (imp enroll.Import, ok bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		ok = false
		var r importRow
		err := tx.get(ctx, &r, selectImport+`WHERE i.state IN ('uploaded', 'planning', 'applying', 'sending', 'reverting') AND i.lease_until <= ? ORDER BY i.id LIMIT 1`+tx.skipLocked(), micros(now))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.State == string(enroll.ImportUploaded) {
			r.State = string(enroll.ImportPlanning)
		}
		r.Worker, r.LeaseUntil, r.Done = worker, micros(now.Add(lease)), 0
		if err := saveImport(ctx, tx, r); err != nil {
			return err
		}
		ok = true
		imp, err = r.imported()
		return err
	})
	return imp, ok && err == nil, err
}

// holdImport makes sure that a worker has an import, whose row stays locked.
func holdImport(ctx context.Context, tx *session, l enroll.ImportLease, state enroll.ImportState) (importRow, error) {
	r, err := findImport(ctx, tx, l.ImportID, tx.lock())
	if enroll.KindOf(err) == enroll.KindNotFound || err == nil && (r.Worker != l.Worker || r.State != string(state)) {
		return r, enroll.ErrLeaseLost
	}
	return r, err
}

// HoldImport implements enroll.ImportStore.
func (s *Store) HoldImport(ctx context.Context, l enroll.ImportLease, done int, until time.Time) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE imports SET done = ?, lease_until = ? WHERE id = ? AND worker = ? AND state IN ('planning', 'applying', 'sending', 'reverting')`,
			done, micros(until), l.ImportID, l.Worker)
		if err == nil && n == 0 {
			return enroll.ErrLeaseLost
		}
		return err
	})
}
