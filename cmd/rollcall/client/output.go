package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Forms of output.
const (
	formTable = "table"
	formJSON  = "json"
	formCSV   = "csv"
)

// maxPage is the most that a page of the API holds.
const maxPage = 1000

// unpaged is the limit of a list that the API gives as a whole.
const unpaged = -1

// column is a column of a table: "serial", or "email=user.email" where it is
// named otherwise than its place in the object.
type column struct {
	name, path string
	of         func(record) string // instead of path, where the value takes more words
}

// text is the cell for programs, human the one for people.
func (c column) text(r record) string {
	if c.of != nil {
		return c.of(r)
	}
	return r.text(c.path)
}

func (c column) human(r record) string {
	if c.of != nil {
		return clean(c.of(r))
	}
	return r.human(c.path)
}

func columns(specs ...string) []column {
	out := make([]column, len(specs))
	for i, s := range specs {
		name, path, named := strings.Cut(s, "=")
		if !named {
			path = name
		}
		out[i] = column{name: name, path: path}
	}
	return out
}

// rows writes objects one after the other in one form.
type rows interface {
	begin() error
	page(raw []json.RawMessage) error
	end() error
}

func (s *Session) rows(w *bufio.Writer, cols []column) rows {
	switch s.Output {
	case formJSON:
		return &jsonRows{w: w}
	case formCSV:
		return &csvRows{w: csv.NewWriter(w), cols: cols}
	}
	return &tableRows{w: w, cols: cols, colour: terminal(os.Stdout)}
}

// list writes a list of the API, page after page; limit 0 is all of it, unpaged a list
// without pages.
func (s *Session) list(ctx context.Context, path string, query url.Values, limit int, cols []column) error {
	if query == nil {
		query = url.Values{}
	}
	w := bufio.NewWriter(os.Stdout)
	out := s.rows(w, cols)
	begun := false
	err := s.pages(ctx, path, query, limit, func(items []json.RawMessage) error {
		if !begun { // not before the server has agreed
			begun = true
			if err := out.begin(); err != nil {
				return err
			}
		}
		if err := out.page(items); err != nil {
			return err
		}
		return w.Flush()
	})
	if err != nil {
		return err
	}
	if err := out.end(); err != nil {
		return err
	}
	return w.Flush()
}

// pages reads a list page by page; take gets at least one page, which may be
// empty.
func (s *Session) pages(ctx context.Context, path string, query url.Values, limit int, take func([]json.RawMessage) error) error {
	for left := limit; ; {
		if limit != unpaged {
			size := maxPage
			if limit > 0 {
				size = min(maxPage, left)
			}
			query.Set("limit", strconv.Itoa(size))
		}
		raw, err := s.do(ctx, get(path, query))
		if err != nil {
			return err
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next_cursor"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return failed("", "the answer of %s is not a list", s.base)
		}
		if limit > 0 && len(page.Items) > left {
			page.Items = page.Items[:left]
		}
		if err := take(page.Items); err != nil {
			return err
		}
		left -= len(page.Items)
		if page.Next == "" || limit > 0 && left <= 0 {
			return nil
		}
		query.Set("cursor", page.Next)
	}
}

// show writes one object.
func (s *Session) show(raw []byte, cols []column) error {
	w := bufio.NewWriter(os.Stdout)
	r, err := parseRecord(raw)
	if err != nil {
		return failed("", "the answer of %s is not an object", s.base)
	}
	switch s.Output {
	case formJSON:
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		if _, err := b.WriteTo(w); err != nil {
			return err
		}
	case formCSV:
		out := &csvRows{w: csv.NewWriter(w), cols: cols}
		if err := out.begin(); err != nil {
			return err
		}
		if err := out.page([]json.RawMessage{raw}); err != nil {
			return err
		}
	default:
		writeFields(w, r, cols)
	}
	return w.Flush()
}

// writeFields writes an object as one line for each field that has a value.
func writeFields(w io.Writer, r record, cols []column) {
	width := 0
	for _, c := range cols {
		if c.human(r) != "" {
			width = max(width, len(c.name))
		}
	}
	for _, c := range cols {
		if v := c.human(r); v != "" {
			fmt.Fprintf(w, "%-*s  %s\n", width, strings.ReplaceAll(c.name, "_", " "), paint(v, terminal(os.Stdout)))
		}
	}
}

// done tells of a change in a sentence, or writes what it made of the object.
func (s *Session) done(raw []byte, cols []column, format string, args ...any) error {
	if s.Output != formTable {
		if raw == nil {
			return nil
		}
		return s.show(raw, cols)
	}
	_, err := fmt.Println(clean(fmt.Sprintf(format, args...)))
	return err
}

type jsonRows struct {
	w    *bufio.Writer
	some bool
}

func (j *jsonRows) begin() error {
	_, err := j.w.WriteString("[")
	return err
}

func (j *jsonRows) page(raw []json.RawMessage) error {
	for _, item := range raw {
		separator := ",\n"
		if !j.some {
			separator, j.some = "\n", true
		}
		var b bytes.Buffer
		if err := json.Indent(&b, item, "  ", "  "); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(j.w, "%s  %s", separator, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func (j *jsonRows) end() error {
	end := "]\n"
	if j.some {
		end = "\n]\n"
	}
	_, err := j.w.WriteString(end)
	return err
}

type csvRows struct {
	w    *csv.Writer
	cols []column
}

func (c *csvRows) begin() error {
	header := make([]string, len(c.cols))
	for i, col := range c.cols {
		header[i] = col.name
	}
	if err := c.w.Write(header); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

func (c *csvRows) page(raw []json.RawMessage) error {
	cells := make([]string, len(c.cols))
	for _, item := range raw {
		r, err := parseRecord(item)
		if err != nil {
			return err
		}
		for i, col := range c.cols {
			cells[i] = inert(col.text(r))
		}
		if err := c.w.Write(cells); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}

func (c *csvRows) end() error { return nil }

// tableRows lines up what one page holds; the first page decides the least
// widths, so that memory does not grow with the list.
type tableRows struct {
	w      io.Writer
	cols   []column
	colour bool
	widths []int
}

func (t *tableRows) begin() error {
	t.widths = make([]int, len(t.cols))
	return nil
}

func (t *tableRows) page(raw []json.RawMessage) error {
	var lines [][]string
	if t.widths[0] == 0 {
		header := make([]string, len(t.cols))
		for i, c := range t.cols {
			header[i] = strings.ToUpper(strings.ReplaceAll(c.name, "_", " "))
		}
		lines = append(lines, header)
	}
	for _, item := range raw {
		r, err := parseRecord(item)
		if err != nil {
			return err
		}
		cells := make([]string, len(t.cols))
		for i, c := range t.cols {
			if cells[i] = c.human(r); cells[i] == "" {
				cells[i] = "-"
			}
		}
		lines = append(lines, cells)
	}
	for _, l := range lines {
		for i, cell := range l {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, l := range lines {
		var b strings.Builder
		for i, cell := range l {
			b.WriteString(paint(cell, t.colour))
			if i < len(l)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		if _, err := fmt.Fprintln(t.w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func (t *tableRows) end() error { return nil }

// terminal says whether a person looks at a file.
func terminal(f *os.File) bool {
	i, err := f.Stat()
	return err == nil && i.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// Colours of words that stand for how well something is.
const green, yellow, red = "32", "33", "31"

var colours = map[string]string{
	"enrolled": green, "allow": green, "acknowledged": green, "applied": green, "approved": green, "delivered": green, "completed": green, "new": green,
	"hold": yellow, "pending": yellow, "pending_approval": yellow, "enrolling": yellow, "sent": yellow, "queued": yellow, "changed": yellow, "conflict": yellow,
	"deny": red, "error": red, "failed": red, "blocked": red, "bounced": red, "rejected": red, "expired": red, "cancelled": red,
}

// paint colours a word on a terminal, unless NO_COLOR is set (no-color.org).
func paint(word string, colour bool) string {
	code, known := colours[word]
	if !colour || !known || os.Getenv("NO_COLOR") != "" {
		return word
	}
	return "\x1b[" + code + "m" + word + "\x1b[0m"
}

// part writes a list that is in an object.
func (s *Session) part(raw []byte, name string, cols []column) error {
	var object map[string]json.RawMessage
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return failed("", "the answer of %s is not an object", s.base)
	}
	if list, ok := object[name]; ok {
		if err := json.Unmarshal(list, &items); err != nil {
			return failed("", "the answer of %s has no list %s", s.base, name)
		}
	}
	return s.writeRows(items, cols)
}

// writeRows writes a list that is in memory.
func (s *Session) writeRows(items []json.RawMessage, cols []column) error {
	w := bufio.NewWriter(os.Stdout)
	out := s.rows(w, cols)
	for _, step := range []func() error{out.begin, func() error { return out.page(items) }, out.end, w.Flush} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
