package importer

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"rollcall/enroll"
)

// HasPlan says why there is no plan to read the rows of, or nil.
func (im *Imports) HasPlan(ctx context.Context, id string) error {
	imp, err := im.Import(ctx, id)
	switch imp.State {
	case enroll.ImportUploaded, enroll.ImportPlanning, enroll.ImportFailed, enroll.ImportCancelled:
		return enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so there is no plan", imp.State)
	}
	return err
}

// WriteErrors writes the rows of a plan that cannot be applied as a CSV file:
// their columns as they were, and line and error behind them. Corrected, it can
// be uploaded as it is.
func (im *Imports) WriteErrors(ctx context.Context, id string, w io.Writer) error {
	imp, err := im.Import(ctx, id)
	if err != nil {
		return err
	}
	f, err := im.open(ctx, imp)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\ufeff"); err != nil { // Excel knows UTF-8 by it
		return err
	}
	out := csv.NewWriter(w)
	var keep []int
	var header []string
	for i, name := range f.Header() {
		if !slices.Contains(ours, fold(name)) {
			keep = append(keep, i)
			header = append(header, Neutral(name))
		}
	}
	if err := out.Write(append(header, ours...)); err != nil {
		return err
	}
	rows := badRows{im: im, id: id}
	for {
		bad, err := rows.next(ctx)
		if err != nil || bad == nil {
			out.Flush()
			return errors.Join(err, out.Error())
		}
		for {
			line, cells, err := f.NextRecord()
			if errors.Is(err, io.EOF) {
				out.Flush()
				return out.Error()
			}
			if err != nil {
				return err
			}
			if line < bad.Line {
				continue
			}
			record := make([]string, 0, len(keep)+2)
			for _, i := range keep {
				cell := ""
				if i < len(cells) {
					cell = strings.ToValidUTF8(cells[i], "\uFFFD")
				}
				record = append(record, reneutral(cell))
			}
			var texts []string
			for _, e := range bad.Errors {
				texts = append(texts, strings.TrimPrefix(e.Column+": "+e.Detail, ": "))
			}
			if err := out.Write(append(record, strconv.Itoa(bad.Line), Neutral(strings.Join(texts, "; ")))); err != nil {
				return err
			}
			break
		}
	}
}

// reneutral makes a cell safe that may be so already.
func reneutral(cell string) string {
	if value, formula := plain(cell); !formula {
		return Neutral(value)
	}
	return Neutral(cell)
}

// badRows gives the rows of a plan that cannot be applied, in the order of the
// file.
type badRows struct {
	im    *Imports
	id    string
	page  []enroll.PlanRow
	after string
	ended bool
}

func (b *badRows) next(ctx context.Context) (*enroll.PlanRow, error) {
	if len(b.page) == 0 && !b.ended {
		var err error
		if b.page, err = b.im.ImportRows(ctx, b.id, enroll.ImportRowFilter{Actions: []enroll.RowAction{enroll.ActionError, enroll.ActionConflict}}, enroll.Page{Limit: 1000, After: b.after}); err != nil {
			return nil, err
		}
		b.ended = len(b.page) < 1000
	}
	if len(b.page) == 0 {
		return nil, nil
	}
	row := b.page[0]
	b.page, b.after = b.page[1:], strconv.Itoa(row.Line)
	return &row, nil
}
