package plist

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

var (
	bom          = []byte("\xef\xbb\xbf")
	binaryMagic  = []byte("bplist")
	commentStart = []byte("<!--")
	commentEnd   = []byte("-->")
	cdataStart   = []byte("<![CDATA[")
	cdataEnd     = []byte("]]>")
	doctypeStart = []byte("<!DOCTYPE")
	piStart      = []byte("<?")
	piEnd        = []byte("?>")
)

// element is one of the names that a property list may contain.
type element uint8

const (
	elementNone element = iota
	elementPlist
	elementDict
	elementArray
	elementKey
	elementLeaf // string, data, date, integer, real, true, false
)

func elementOf(name []byte) element {
	switch string(name) { // does not allocate
	case "plist":
		return elementPlist
	case "dict":
		return elementDict
	case "array":
		return elementArray
	case "key":
		return elementKey
	case "string", "data", "date", "integer", "real", "true", "false":
		return elementLeaf
	}
	return elementNone
}

// check gives the text of a list without its byte order mark, once it is clear
// that decoding it is bounded.
func check(data []byte, l Limits) ([]byte, error) {
	if l.Bytes == 0 {
		l.Bytes = MaxConnect
	}
	if l.Depth == 0 {
		l.Depth = DefaultMaxDepth
	}
	if l.Elements == 0 {
		l.Elements = DefaultMaxElements
	}
	if len(data) > l.Bytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), l.Bytes)
	}
	text := bytes.TrimPrefix(data, bom)
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n\x00"), binaryMagic) {
		return nil, ErrBinary
	}
	if !utf8.Valid(text) {
		return nil, ErrEncoding
	}
	var room [DefaultMaxDepth + 1]frame
	s := scanner{text: text, limits: l, open: room[:0]}
	if err := s.scan(); err != nil {
		return nil, err
	}
	return text, nil
}

// frame is an open <plist>, <dict> or <array>.
type frame struct {
	is   element
	full bool // plist: has its value; dict: a key waits for its value
}

// scanner walks over the markup once, from left to right, never back.
type scanner struct {
	text     []byte
	limits   Limits
	pos      int
	elements int

	doctype bool
	done    bool    // </plist> was there
	open    []frame // innermost last
	leaf    []byte  // name of the open text element; nil: none
}

func (s *scanner) scan() error {
	for s.pos < len(s.text) {
		if s.text[s.pos] != '<' {
			if err := s.characters(); err != nil {
				return err
			}
			continue
		}
		rest := s.text[s.pos:]
		var err error
		switch {
		case len(rest) < 2:
			return s.malformed("unfinished tag")
		case rest[1] == '/':
			err = s.endTag()
		case bytes.HasPrefix(rest, commentStart):
			err = s.skip(commentStart, commentEnd)
		case bytes.HasPrefix(rest, cdataStart):
			if s.leaf == nil {
				return s.malformed("CDATA outside of a value")
			}
			err = s.skip(cdataStart, cdataEnd)
		case rest[1] == '!':
			err = s.documentType()
		case bytes.HasPrefix(rest, piStart):
			if len(s.open) > 0 || s.done {
				return s.malformed("processing instruction inside")
			}
			err = s.skip(piStart, piEnd)
		default:
			err = s.startTag()
		}
		if err != nil {
			return err
		}
	}
	if !s.done {
		return s.malformed("it ends early")
	}
	return nil
}

func (s *scanner) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, s.pos)
}

// characters steps over text up to the next markup. Between elements only
// white space may stand. References (&amp;) are text and stay the decoder's.
func (s *scanner) characters() error {
	n := bytes.IndexByte(s.text[s.pos:], '<')
	if n < 0 {
		n = len(s.text) - s.pos
	}
	if s.leaf == nil {
		for _, c := range s.text[s.pos : s.pos+n] {
			if !isSpace(c) {
				return s.malformed("text between elements")
			}
		}
	}
	s.pos += n
	return nil
}

func (s *scanner) skip(start, end []byte) error {
	from := s.pos + len(start)
	n := bytes.Index(s.text[from:], end)
	if n < 0 {
		return s.malformed("unfinished markup")
	}
	s.pos = from + n + len(end)
	return nil
}

// documentType accepts Apple's DOCTYPE and any other that only names an
// external subset, which nobody fetches.
func (s *scanner) documentType() error {
	if s.doctype || len(s.open) > 0 || s.done || !bytes.HasPrefix(s.text[s.pos:], doctypeStart) {
		return fmt.Errorf("%w: at byte %d", ErrDoctype, s.pos)
	}
	var quote byte
	for i := s.pos + len(doctypeStart); i < len(s.text); i++ {
		c := s.text[i]
		switch {
		case c == '<' || c == '[':
			return fmt.Errorf("%w: at byte %d", ErrDoctype, i)
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			s.doctype = true
			s.pos = i + 1
			return nil
		}
	}
	return s.malformed("unfinished DOCTYPE")
}

func (s *scanner) startTag() error {
	if s.done {
		return s.malformed("a second root")
	}
	if s.leaf != nil {
		return s.malformed("element inside of a text element")
	}
	nameAt := s.pos + 1
	i := nameAt
	for i < len(s.text) && isName(s.text[i]) {
		i++
	}
	name := s.text[nameAt:i]
	is := elementOf(name)
	if is == elementPlist {
		i = skipVersion(s.text, i)
	}
	for i < len(s.text) && isSpace(s.text[i]) {
		i++
	}
	closed := i < len(s.text) && s.text[i] == '/'
	if closed {
		i++
	}
	if is == elementNone || i >= len(s.text) || s.text[i] != '>' {
		return s.malformed("unknown element or attribute")
	}
	if s.elements++; s.elements > s.limits.Elements {
		return fmt.Errorf("%w: more than %d", ErrTooMany, s.limits.Elements)
	}
	if err := s.place(is); err != nil {
		return err
	}
	text := is == elementKey || is == elementLeaf
	// <plist> is a frame too, but not a level of nesting.
	if !text && len(s.open) > s.limits.Depth {
		return fmt.Errorf("%w: more than %d levels", ErrTooDeep, s.limits.Depth)
	}
	switch {
	case closed && is == elementPlist:
		return s.malformed("empty plist")
	case closed:
	case text:
		s.leaf = name
	default:
		s.open = append(s.open, frame{is: is})
	}
	s.pos = i + 1
	return nil
}

// place checks that an element may stand where it is.
func (s *scanner) place(is element) error {
	if len(s.open) == 0 {
		if is != elementPlist {
			return s.malformed("the root is not plist")
		}
		return nil
	}
	in := &s.open[len(s.open)-1]
	switch {
	case is == elementPlist, in.is != elementDict && is == elementKey:
		return s.malformed("element in the wrong place")
	case in.is == elementPlist:
		if in.full {
			return s.malformed("a second value")
		}
		in.full = true
	case in.is == elementDict:
		if in.full == (is == elementKey) {
			return s.malformed("dict is not pairs of key and value")
		}
		in.full = is == elementKey
	}
	return nil
}

func (s *scanner) endTag() error {
	nameAt := s.pos + 2
	i := nameAt
	for i < len(s.text) && isName(s.text[i]) {
		i++
	}
	name := s.text[nameAt:i]
	for i < len(s.text) && isSpace(s.text[i]) {
		i++
	}
	if i >= len(s.text) || s.text[i] != '>' {
		return s.malformed("unfinished tag")
	}
	switch {
	case s.leaf != nil:
		if !bytes.Equal(name, s.leaf) {
			return s.malformed("mismatched end tag")
		}
		s.leaf = nil
	case len(s.open) == 0:
		return s.malformed("end tag without start")
	default:
		in := s.open[len(s.open)-1]
		switch {
		case elementOf(name) != in.is:
			return s.malformed("mismatched end tag")
		case in.is == elementDict && in.full:
			return s.malformed("key without a value")
		case in.is == elementPlist && !in.full:
			return s.malformed("empty plist")
		}
		s.open = s.open[:len(s.open)-1]
		s.done = len(s.open) == 0
	}
	s.pos = i + 1
	return nil
}

// skipVersion steps over the version attribute of <plist>.
func skipVersion(text []byte, i int) int {
	j := i
	for j < len(text) && isSpace(text[j]) {
		j++
	}
	if j == i {
		return i
	}
	for _, v := range [...]string{`version="1.0"`, `version='1.0'`} {
		if bytes.HasPrefix(text[j:], []byte(v)) {
			return j + len(v)
		}
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isName(c byte) bool { return 'a' <= c && c <= 'z' }
