package importer

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"rollcall/enroll"
)

// Nature is what the bytes of a file are, found out while they pass: a whole
// file has to be seen before it can be called UTF-8. It is an io.Writer.
type Nature struct {
	Size     int64  `json:"size"`
	Lines    int    `json:"lines"`              // by line feeds; an upper bound for rows, header included
	Head     []byte `json:"head"`               // first bytes
	Runes    int    `json:"runes"`              // that need more than one byte
	BadBytes int    `json:"bad_bytes"`          // that are no part of UTF-8
	BadLine  int    `json:"bad_line,omitempty"` // of the first such byte
	NULs     [2]int `json:"nuls"`               // at even and at odd places

	tail []byte // bytes of a rune that the last chunk ended in
	last byte
}

// Write implements io.Writer; it never fails.
func (n *Nature) Write(p []byte) (int, error) {
	if missing := 8 - len(n.Head); missing > 0 {
		n.Head = append(n.Head, p[:min(missing, len(p))]...)
	}
	for i := bytes.IndexByte(p, 0); i >= 0 && i < len(p); i++ {
		if p[i] == 0 {
			n.NULs[(n.Size+int64(i))%2]++
		}
	}
	n.Size += int64(len(p))
	written := len(p)
	for len(p) > 0 {
		switch {
		case len(n.tail) > 0:
			n.tail = append(n.tail, p[0])
			p = p[1:]
			if !utf8.FullRune(n.tail) {
				continue
			}
			rest := n.tail
			n.tail = nil
			for len(rest) > 0 {
				rest = rest[n.rune(rest):]
			}
		case p[0] < utf8.RuneSelf:
			if p[0] == '\n' || n.last == '\r' {
				n.Lines++
			}
			n.last = p[0]
			p = p[1:]
		case !utf8.FullRune(p):
			n.tail = bytes.Clone(p)
			p = nil
		default:
			p = p[n.rune(p):]
		}
	}
	return written, nil
}

// rune looks at the first rune of b and gives its length.
func (n *Nature) rune(b []byte) int {
	r, size := utf8.DecodeRune(b)
	switch {
	case r == utf8.RuneError && size == 1 && b[0] >= utf8.RuneSelf:
		n.bad()
	case size > 1:
		n.Runes++
	}
	return size
}

func (n *Nature) bad() {
	if n.BadBytes++; n.BadLine == 0 {
		n.BadLine = n.Lines + 1
	}
}

// String is the form a Nature is stored in.
func (n *Nature) String() string {
	for range n.tail { // the file ends in the middle of a rune
		n.bad()
	}
	n.tail = nil
	b, _ := json.Marshal(n) // numbers and bytes always have a form
	return string(b)
}

// magic are the first bytes of files that admins upload instead of a CSV file.
var magic = []struct{ prefix, what string }{
	{"PK\x03\x04", "an Excel workbook or another archive"},
	{"\xd0\xcf\x11\xe0", "an old Excel workbook"},
	{"%PDF", "a PDF document"},
	{"\x1f\x8b", "a compressed file"},
	{"\x89PNG", "an image"},
	{"<html", "a web page"},
	{"<!DOC", "a web page"},
}

const saveAs = "Save it as \"CSV UTF-8 (comma delimited)\" and upload that file."

// The names of Unicode's encodings; those of code pages are the WHATWG's.
const (
	UTF8    = "utf-8"
	UTF16LE = "utf-16le"
	UTF16BE = "utf-16be"

	likelyCharset = "windows-1252"
)

// charset says how the file is to be read: by its byte-order mark, else as
// UTF-8 where it is that, else as UTF-16 where it looks so, else as the code
// page that the admin chose. There is no guess between code pages: each would
// read any file, and turn names into others.
func (n *Nature) charset(chosen string) (string, error) {
	for _, m := range magic {
		if bytes.HasPrefix(n.Head, []byte(m.prefix)) {
			return "", wrong("file_not_csv", "the file is %s, not CSV", m.what).WithHint(saveAs)
		}
	}
	half := max(int(n.Size/2), 1)
	little, big := n.NULs[1]*5 >= half, n.NULs[0]*5 >= half
	switch {
	case n.Size == 0:
		return "", wrong("file_empty", "the file is empty").WithHint("Start from the sample file.")
	case bytes.HasPrefix(n.Head, []byte("\xef\xbb\xbf")):
		return UTF8, nil
	case bytes.HasPrefix(n.Head, []byte("\xff\xfe")):
		return UTF16LE, nil
	case bytes.HasPrefix(n.Head, []byte("\xfe\xff")):
		return UTF16BE, nil
	case little && !big:
		return UTF16LE, nil
	case big && !little:
		return UTF16BE, nil
	case big:
		return "", wrong("file_not_text", "the file is full of NUL bytes, so it is not text").WithHint(saveAs)
	case n.BadBytes < n.Runes || n.BadBytes == 0:
		// A file that was put together from others is mostly UTF-8; a code page
		// would damage that part, so the cells of the other part are told.
		return UTF8, nil
	case chosen == "":
		return "", wrong("charset_needed", "line %d holds bytes that are not UTF-8", n.BadLine).
			WithHint("Say which code page the file is in; charset=%s is the likely one for files saved by Excel in Western Europe and America. Or save it as \"CSV UTF-8\".", likelyCharset)
	}
	name, err := charsetName(chosen)
	if err == nil && strings.HasPrefix(name, "utf-16") {
		err = wrong("charset_wrong", "the file is not UTF-16").WithHint("Leave charset out to have it found out, or name a code page.")
	}
	return name, err
}

// charsetName gives the standard name of a charset.
func charsetName(chosen string) (string, error) {
	e, err := htmlindex.Get(strings.TrimSpace(chosen))
	if err != nil || e == encoding.Replacement {
		return "", wrong("charset_unknown", "the charset %q is not known", chosen).WithHint("Use a name like utf-8, %s, windows-1250, iso-8859-15 or macintosh.", likelyCharset)
	}
	name, err := htmlindex.Name(e)
	return name, err
}

// decoded reads a file of a charset as UTF-8. Bytes that are wrong in UTF-8
// stay as they are, so that the cell that holds them can be named.
func decoded(r io.Reader, charset string) (io.Reader, error) {
	switch charset {
	case UTF8:
		return r, nil
	case UTF16LE:
		return transform.NewReader(r, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder()), nil
	case UTF16BE:
		return transform.NewReader(r, unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder()), nil
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err
	}
	return transform.NewReader(r, e.NewDecoder()), nil
}

func wrong(code, format string, args ...any) *enroll.Error {
	return enroll.Errorf(enroll.KindInvalid, code, format, args...)
}
