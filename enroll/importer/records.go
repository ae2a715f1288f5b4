package importer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"rollcall/enroll"
)

// record is one line of a table; it may run over several lines of the file.
type record struct {
	line  int // it starts in
	cells []string
	fault *enroll.RowError // what is wrong with it as a whole
}

func (r *record) blank() bool {
	for _, c := range r.cells {
		if strings.TrimSpace(c) != "" {
			return false
		}
	}
	return r.fault == nil
}

func (r *record) fail(column int, code, detail, hint string) {
	if r.fault == nil {
		r.fault = &enroll.RowError{Line: r.line, Code: code, Detail: detail, Hint: hint}
		if column > 0 {
			r.fault.Column = fmt.Sprintf("#%d", column)
		}
	}
}

// records splits text into records (RFC 4180). A broken record is told and
// skipped, and the next one is read: quotes are trouble for their own record
// only, unless one is never closed. No record costs more memory than the
// limits, whatever the file holds.
type records struct {
	src       *bufio.Reader
	delimiter byte
	limits    Limits
	line      int // of the next byte
	cell      []byte
	over      bool // the cell is longer than the limit
}

func newRecords(r io.Reader, delimiter byte, l Limits) *records {
	return &records{src: bufio.NewReaderSize(r, 64<<10), delimiter: delimiter, limits: l, line: 1}
}

// next gives the next record that is not blank; io.EOF after the last.
func (r *records) next() (record, error) {
	for {
		rec, err := r.read()
		if err != nil {
			return record{}, err
		}
		if !rec.blank() {
			return rec, nil
		}
	}
}

func (r *records) byte() (byte, error) {
	b, err := r.src.ReadByte()
	if err != nil {
		return 0, err
	}
	if b == '\r' { // also the line end of old Macs
		if after, err := r.src.Peek(1); err == nil && after[0] == '\n' {
			r.src.Discard(1)
		}
		b = '\n'
	}
	if b == '\n' {
		r.line++
	}
	return b, nil
}

// read goes through one record byte by byte; delimiters, quotes and line ends
// are ASCII and so are never part of another rune of UTF-8.
func (r *records) read() (record, error) {
	rec := record{line: r.line}
	const (
		start = iota // of a cell
		plain
		quoted
		closed // behind the closing quote
	)
	state, opened := start, 0
	for {
		b, err := r.byte()
		if errors.Is(err, io.EOF) {
			if state == start && len(rec.cells) == 0 {
				return rec, io.EOF
			}
			if state == quoted {
				rec.fail(len(rec.cells)+1, "quote_open", fmt.Sprintf("the quote opened in line %d is never closed, so the rest of the file could not be read", opened), "Close it, or write a quote inside a quoted value twice.")
			}
			r.end(&rec)
			return rec, nil
		}
		if err != nil {
			return record{}, err
		}
		switch {
		case state == quoted && b == '"':
			state = closed
		case state == quoted:
			r.add(b)
		case b == r.delimiter:
			r.end(&rec)
			state = start
		case b == '\n':
			r.end(&rec)
			return rec, nil
		case b == '"' && state == start && len(strings.TrimSpace(string(r.cell))) == 0:
			r.cell = r.cell[:0]
			state, opened = quoted, r.line
		case b == '"' && state == closed:
			r.add(b)
			state = quoted
		case state == closed && (b == ' ' || b == '\t'):
		case b == '"' || state == closed:
			rec.fail(len(rec.cells)+1, "quotes", "a quote stands inside a value that is not quoted, or text follows a closing quote", "Put the whole value in quotes and write each quote inside it twice.")
			r.add(b)
			state = plain
		default:
			r.add(b)
			if state == start && b != ' ' {
				state = plain
			}
		}
	}
}

func (r *records) add(b byte) {
	if len(r.cell) >= r.limits.Cell {
		r.over = true
		return
	}
	r.cell = append(r.cell, b)
}

// end closes a cell.
func (r *records) end(rec *record) {
	switch {
	case r.over:
		rec.fail(len(rec.cells)+1, "cell_too_long", fmt.Sprintf("the value is longer than %d bytes", r.limits.Cell), "Shorten it, or look for a quote that is not closed.")
	case len(rec.cells) >= r.limits.Columns:
		rec.fail(0, "columns_too_many", fmt.Sprintf("the line has more than %d columns", r.limits.Columns), "Is this the right file, and the right delimiter?")
	}
	if len(rec.cells) < r.limits.Columns {
		rec.cells = append(rec.cells, string(r.cell))
	}
	r.cell, r.over = r.cell[:0], false
}

var delimiters = []struct {
	sign byte
	name string
}{{',', "commas"}, {';', "semicolons"}, {'\t', "tabs"}, {'|', "vertical bars"}}

// findDelimiter looks which sign splits the beginning of a file into a table:
// the one that makes the most columns in the first line that the others have,
// too. A header that is understood decides before that.
func findDelimiter(head string, cut bool, known func(cell string) bool) byte {
	best, most := byte(','), 0
	for _, d := range delimiters {
		r := newRecords(strings.NewReader(head), d.sign, Limits{Cell: len(head), Columns: 10_000})
		var first record
		score, same, all := 0, 0, 0
		for all < 50 {
			rec, err := r.next()
			if err != nil {
				break
			}
			if all == 0 {
				first = rec
			}
			if all++; len(rec.cells) == len(first.cells) {
				same++
			}
		}
		if cut && all > 1 && all < 50 {
			all-- // the last record is not whole
		}
		if len(first.cells) < 2 {
			continue
		}
		for _, c := range first.cells {
			if known(c) {
				score += 1000
			}
		}
		if same*10 >= all*8 {
			score += len(first.cells)
		}
		if score > most {
			best, most = d.sign, score
		}
	}
	return best
}
