package importer

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"rollcall/enroll"
)

// Columns is the header of the file. Case, surrounding spaces and order do not
// matter.
var Columns = []string{"name", "email", "mobile", "ownership", "devicename", "SerialNumber", "platform"}

// Mandatory are the columns that must be there and have a value in each row.
var Mandatory = []string{"name", "email", "ownership", "SerialNumber", "platform"}

// Limits bound what a file may cost.
type Limits struct {
	Bytes   int64 // of the file
	Rows    int   // without the header and empty lines
	Columns int
	Cell    int // bytes of one cell
	Errors  int // collected; the rest is counted
}

// DefaultLimits are the limits of the product.
var DefaultLimits = Limits{Bytes: 64 << 20, Rows: 200_000, Columns: 100, Cell: 64 << 10, Errors: 1000}

// Errors is what is wrong with the rows of a file. It unwraps to
// enroll.RowErrors.
type Errors struct {
	Rows enroll.RowErrors // in the order of lines, never empty
	More int              // errors beyond Limits.Errors, counted only
}

// Error implements error.
func (e *Errors) Error() string {
	if e.More == 0 {
		return e.Rows.Error()
	}
	return fmt.Sprintf("%v; and %d more that are not listed", e.Rows, e.More)
}

// Unwrap gives the listed errors.
func (e *Errors) Unwrap() error { return e.Rows }

// Read reads a whole file: the rows in its order, in normal form, or an error.
// That is *Errors where header or rows are wrong, an *enroll.Error of
// KindInvalid where the file as such is (empty, too large, not UTF-8 text),
// and the error of r where reading failed. Lines of blanks and commas are
// skipped.
func Read(r io.Reader, l Limits) ([]enroll.ImportRow, error) {
	d := newDoor(r, l.Bytes)
	if err := d.open(); err != nil {
		return nil, err
	}
	f := &file{limits: l, csv: csv.NewReader(d), firstLine: map[string]int{}}
	f.csv.FieldsPerRecord = -1 // counted by row, to name both numbers
	f.csv.ReuseRecord = true
	err := f.read()
	switch {
	case err != nil:
		return nil, err
	case len(f.errs.Rows) > 0:
		return nil, &f.errs
	case len(f.rows) == 0:
		return nil, enroll.Errorf(enroll.KindInvalid, "file_no_rows", "the file has a header but no rows")
	}
	return f.rows, nil
}

// file is a file half read.
type file struct {
	limits    Limits
	csv       *csv.Reader
	column    []string // canonical name by position
	rows      []enroll.ImportRow
	firstLine map[string]int // serial -> line it was first seen in
	errs      Errors
}

func (f *file) fail(e enroll.RowError) {
	if len(f.errs.Rows) == f.limits.Errors {
		f.errs.More++
		return
	}
	const shown = 200
	if len(e.Value) > shown {
		e.Value = strings.ToValidUTF8(e.Value[:shown], "") + "…"
	}
	f.errs.Rows = append(f.errs.Rows, e)
}

// read goes through the file. What is wrong with header and rows goes to
// f.errs; the error is that of the file.
func (f *file) read() error {
	record, line, err := f.next()
	if errors.Is(err, io.EOF) {
		return f.onlyBlank()
	}
	if err != nil || !f.header(record, line) {
		return err
	}
	for n := 0; ; n++ {
		record, line, err := f.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == f.limits.Rows {
			return enroll.Errorf(enroll.KindInvalid, "file_too_many_rows", "the file has more than %d rows", f.limits.Rows).WithHint("Split it into several files.")
		}
		f.row(record, line)
	}
}

// onlyBlank tells a file that ended before its header from one whose quoting
// is broken there.
func (f *file) onlyBlank() error {
	if len(f.errs.Rows) > 0 {
		return nil
	}
	return enroll.Errorf(enroll.KindInvalid, "file_empty", "the file holds empty lines only").WithHint("Start from the sample file.")
}

// next gives the next record that is not blank, and the physical line it
// starts in. Broken quoting ends the file, since where the next record starts
// would be a guess.
func (f *file) next() ([]string, int, error) {
	for {
		record, err := f.csv.Read()
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			e := enroll.RowError{Line: bad.StartLine, Code: "quotes", Detail: "a quote stands inside a value that is not quoted",
				Hint: "Put the whole value in quotes and write each quote inside it twice. Later lines were not checked."}
			if errors.Is(bad.Err, csv.ErrQuote) {
				e.Detail = "a quoted value is not closed, or text follows its closing quote"
			}
			f.fail(e)
			return nil, 0, io.EOF
		}
		if err != nil {
			return nil, 0, err
		}
		if slices.ContainsFunc(record, func(c string) bool { return strings.TrimSpace(c) != "" }) {
			line, _ := f.csv.FieldPos(0)
			return record, line, nil
		}
	}
}

// header reads the first record; false means that rows cannot be read.
func (f *file) header(record []string, line int) bool {
	if len(record) > f.limits.Columns {
		f.fail(enroll.RowError{Line: line, Code: "columns_count", Detail: fmt.Sprintf("the header has %d columns; at most %d are possible", len(record), f.limits.Columns)})
		return false
	}
	if len(record) == 1 {
		for _, delimiter := range []struct{ sign, name string }{{";", "semicolons"}, {"\t", "tabs"}, {"|", "vertical bars"}} {
			if strings.Contains(record[0], delimiter.sign) {
				f.fail(enroll.RowError{Line: line, Value: record[0], Code: "delimiter", Detail: "the columns are separated by " + delimiter.name, Hint: "Save the file with commas as separators."})
				return false
			}
		}
	}
	known := make(map[string]string, len(Columns))
	for _, c := range Columns {
		known[strings.ToLower(c)] = c
	}
	seen := map[string]bool{}
	for i, cell := range record {
		name, ok := known[strings.ToLower(strings.TrimSpace(cell))]
		switch {
		case strings.TrimSpace(cell) == "":
			f.fail(enroll.RowError{Line: line, Code: "column_unnamed", Detail: fmt.Sprintf("column %d of the header has no name", i+1), Hint: "Remove the column, or the comma too many."})
		case !ok:
			f.fail(enroll.RowError{Line: line, Column: cell, Value: cell, Code: "column_unknown", Detail: fmt.Sprintf("the column %q is not known", cell), Hint: "The columns are " + strings.Join(Columns, ", ") + "."})
		case seen[name]:
			f.fail(enroll.RowError{Line: line, Column: name, Value: cell, Code: "column_twice", Detail: fmt.Sprintf("the column %s is there twice", name)})
		}
		seen[name] = true
		f.column = append(f.column, name)
	}
	for _, c := range Mandatory {
		if !seen[c] {
			f.fail(enroll.RowError{Line: line, Column: c, Code: "column_missing", Detail: fmt.Sprintf("the column %s is missing", c), Hint: "The first line of the file names the columns: " + strings.Join(Columns, ",")})
		}
	}
	return len(f.errs.Rows) == 0
}
