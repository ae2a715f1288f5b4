package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"rollcall/enroll"
)

// Cell is one value of a row of a file.
type Cell struct {
	Column    int // from 1
	Header    string
	Field     string // empty: the column is not used
	Value     string // as it is planned with
	Uploaded  string // as the file has it
	Corrected bool
}

// maxCorrections is how many cells of one import can be corrected.
const maxCorrections = 10_000

// correctTries is how often a correction is worked out anew because another one
// was faster.
const correctTries = 5

// Row is a planned row and the cells it was planned from.
func (im *Imports) Row(ctx context.Context, id string, line int) (enroll.PlanRow, []Cell, error) {
	if err := im.HasPlan(ctx, id); err != nil {
		return enroll.PlanRow{}, nil, err
	}
	imp, row, err := im.row(ctx, id, line)
	if err != nil {
		return row, nil, err
	}
	corrections := imp.Options.Corrections
	imp.Options.Corrections = nil
	f, err := im.open(ctx, imp)
	if err != nil {
		return row, nil, err
	}
	uploaded, err := find(f.NextRecord, line)
	if err != nil {
		return row, nil, err
	}
	cells := make([]Cell, len(f.Columns))
	for i, c := range f.Columns {
		cells[i] = Cell{Column: c.Position, Header: c.Header, Field: c.Field}
		if i < len(uploaded) {
			cells[i].Value, cells[i].Uploaded = uploaded[i], uploaded[i]
		}
	}
	for _, c := range corrections {
		if i := f.columnOf(c.Column); c.Line == line && i >= 0 {
			cells[i].Value, cells[i].Corrected = c.Value, true
		}
	}
	return row, cells, nil
}

func (im *Imports) row(ctx context.Context, id string, line int) (imp enroll.Import, row enroll.PlanRow, err error) {
	if imp, err = im.Import(ctx, id); err != nil {
		return imp, row, err
	}
	rows, err := im.ImportRows(ctx, id, enroll.ImportRowFilter{Line: line}, enroll.Page{Limit: 1})
	if err == nil && len(rows) == 0 {
		err = enroll.Errorf(enroll.KindNotFound, "row_unknown", "the file has no row that begins in line %d", line)
	}
	if err != nil {
		return imp, row, err
	}
	return imp, rows[0], nil
}

// find reads on to the record of a line.
func find(next func() (int, []string, error), line int) ([]string, error) {
	for {
		at, cells, err := next()
		if err != nil || at == line {
			return cells, err
		}
	}
}

// Correct gives cells of a row other values, nil taking a correction back. The
// file stays as it was uploaded; the row, and those with its old and new serial
// number and user, are planned anew. cells is by column, field or position; a
// version that is not 0 is that of the row as the admin has seen it, and a row
// that is another by now is a RowConflict.
func (im *Imports) Correct(ctx context.Context, id string, line int, cells map[string]*string, version int64, wait time.Duration) (enroll.PlanRow, error) {
	for try := 1; ; try++ {
		err := im.correct(ctx, id, line, cells, version, wait)
		var known *enroll.Error
		if errors.As(err, &known) && known.Code == "plan_moved" && try < correctTries {
			continue
		}
		if err != nil {
			return enroll.PlanRow{}, err
		}
		_, row, err := im.row(ctx, id, line)
		return row, err
	}
}

func (im *Imports) correct(ctx context.Context, id string, line int, cells map[string]*string, version int64, wait time.Duration) error {
	imp, err := im.Import(ctx, id)
	if err != nil {
		return err
	}
	if imp.State != enroll.ImportPlanned {
		return enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so its rows cannot be corrected", imp.State)
	}
	_, row, err := im.row(ctx, id, line)
	if err != nil {
		return err
	}
	if version != 0 && row.Version != version {
		return &enroll.RowConflict{Current: row}
	}
	was := imp.Options.Corrections
	if imp.Options.Corrections, err = corrected(imp, line, cells); err != nil || slices.Equal(was, imp.Options.Corrections) {
		return err
	}
	r, err := im.touched(ctx, imp, row)
	if errors.Is(err, errWide) {
		o := imp.Options
		if _, err := im.Change(ctx, id, func(now *enroll.ImportOptions) error { now.Corrections = o.Corrections; return nil }); err != nil {
			return err
		}
		_, err = im.Await(ctx, id, wait)
		return err
	}
	if err != nil {
		return err
	}
	return im.ReplanRows(ctx, id, r, im.now().UTC())
}

// corrected are the corrections of an import with those of some cells.
func corrected(imp enroll.Import, line int, cells map[string]*string) ([]enroll.Correction, error) {
	f := File{Columns: imp.Columns}
	all := slices.Clone(imp.Options.Corrections)
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		i := f.columnOf(name)
		if i < 0 {
			return nil, unknownColumn(line, name)
		}
		all = slices.DeleteFunc(all, func(c enroll.Correction) bool { return c.Line == line && f.columnOf(c.Column) == i })
		if value := cells[name]; value != nil {
			all = append(all, enroll.Correction{Line: line, Column: fmt.Sprintf("#%d", imp.Columns[i].Position), Value: *value})
		}
	}
	if len(all) > maxCorrections {
		return nil, tooManyCorrections()
	}
	return latest(all), nil
}

func tooManyCorrections() error {
	return wrong("corrections_too_many", "more than %d cells would be corrected", maxCorrections).WithHint("Correct the file and upload it again.")
}

func unknownColumn(line int, name string) error {
	return wrong("correction_unknown", "line %d has no column %q", line, name).WithHint("Name the column as the header does, by its field, or by its position: #1 is the first.")
}

// errWide says that a correction touches more than is worth to be told apart.
var errWide = errors.New("importer: a correction touches much of the file")

// mostTouched is how many rows are planned anew one by one.
const mostTouched = 5000

// touched finds the rows that a correction has to do with, before or after: the
// row, those with its serial number, and all rows of the users of these.
func (im *Imports) touched(ctx context.Context, imp enroll.Import, old enroll.PlanRow) (enroll.Replan, error) {
	r := enroll.Replan{Version: imp.Version, Options: imp.Options}
	serials, emails := map[string]bool{old.Serial: true}, map[string]bool{old.Email: true}
	for known := 0; known < len(serials)+len(emails); { // again while there is more to look for
		known, r.Rows = len(serials)+len(emails), nil
		f, err := im.open(ctx, imp)
		if err != nil {
			return r, err
		}
		for {
			row, err := f.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return r, err
			}
			switch {
			case row.Line == old.Line:
				serials[row.Serial], emails[row.Email] = true, true
			case row.Serial != "" && serials[row.Serial]:
				emails[row.Email] = true
			case row.Email == "" || !emails[row.Email]:
				continue
			}
			if r.Rows = append(r.Rows, row); len(r.Rows) > mostTouched {
				return r, errWide
			}
		}
	}
	delete(emails, "")
	r.Emails = slices.Sorted(maps.Keys(emails))
	return r, nil
}
