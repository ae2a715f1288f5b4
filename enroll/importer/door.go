package importer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"rollcall/enroll"
)

// door lets only UTF-8 text of a bounded size pass.
type door struct {
	src  *bufio.Reader
	left int64 // bytes that may still pass
	max  int64
	line int    // of the next byte
	tail []byte // bytes of a rune that the last chunk ended in
}

func newDoor(r io.Reader, max int64) *door {
	return &door{src: bufio.NewReaderSize(r, 32<<10), left: max, max: max, line: 1}
}

// magic are the first bytes of files that admins upload instead of a CSV file.
var magic = []struct {
	prefix []byte
	what   string
}{
	{[]byte("PK\x03\x04"), "an Excel workbook or another archive"},
	{[]byte("\xd0\xcf\x11\xe0"), "an old Excel workbook"},
	{[]byte("\xff\xfe"), "UTF-16 text"},
	{[]byte("\xfe\xff"), "UTF-16 text"},
	{[]byte("%PDF"), "a PDF document"},
}

const saveAs = "Save it as \"CSV UTF-8 (comma delimited)\" and upload that file."

// open looks at the first bytes and skips a byte-order mark.
func (d *door) open() error {
	head, err := d.src.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(head) == 0 {
		return enroll.Errorf(enroll.KindInvalid, "file_empty", "the file is empty").WithHint("Start from the sample file.")
	}
	for _, m := range magic {
		if bytes.HasPrefix(head, m.prefix) {
			return enroll.Errorf(enroll.KindInvalid, "file_not_csv", "the file is %s, not CSV", m.what).WithHint(saveAs)
		}
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		n, _ := d.src.Discard(3) // they were peeked
		d.left -= int64(n)
	}
	return nil
}

// Read implements io.Reader.
func (d *door) Read(p []byte) (int, error) {
	n, err := d.src.Read(p)
	if int64(n) > d.left {
		return 0, enroll.Errorf(enroll.KindInvalid, "file_too_large", "the file is larger than %d bytes", d.max).WithHint("Split it into several files.")
	}
	d.left -= int64(n)
	if bad := d.check(p[:n]); bad != nil {
		return 0, bad
	}
	if err == io.EOF && len(d.tail) > 0 {
		err = d.notUTF8()
	}
	return n, err
}

// check goes through a chunk that may begin and end in the middle of a rune.
func (d *door) check(b []byte) error {
	for len(b) > 0 {
		switch {
		case len(d.tail) > 0:
			d.tail, b = append(d.tail, b[0]), b[1:]
			if !utf8.FullRune(d.tail) {
				continue
			}
			if !utf8.Valid(d.tail) {
				return d.notUTF8()
			}
			d.tail = d.tail[:0]
		case b[0] == 0:
			return enroll.Errorf(enroll.KindInvalid, "file_not_text", "line %d holds a NUL byte, so the file is not text", d.line).WithHint(saveAs)
		case b[0] < utf8.RuneSelf:
			if b[0] == '\n' {
				d.line++
			}
			b = b[1:]
		case !utf8.FullRune(b):
			d.tail = append(d.tail, b...)
			return nil
		default:
			r, size := utf8.DecodeRune(b)
			if r == utf8.RuneError && size == 1 {
				return d.notUTF8()
			}
			b = b[size:]
		}
	}
	return nil
}

func (d *door) notUTF8() error {
	return enroll.Errorf(enroll.KindInvalid, "file_not_utf8", "line %d holds bytes that are not UTF-8", d.line).WithHint(saveAs)
}
