package cms

import (
	"errors"
	"fmt"
)

// Limits of one message.
const (
	MaxBytes    = 256 << 10
	maxDepth    = 32
	maxElements = 4096
)

// ErrMalformed: the bytes are not one complete, reasonably shaped CMS message.
// All errors of decoding wrap it.
var ErrMalformed = errors.New("cms: malformed message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

const (
	tagOctetString        = 0x04
	tagChunkedOctetString = 0x24
	constructedBit        = 0x20
	tagNumberMask         = 0x1f
)

// header is the start of one BER element.
type header struct {
	tag        byte
	size       int  // bytes of tag and length
	length     int  // of the content; 0 when indefinite
	indefinite bool // content ends at an end-of-contents marker
	minimal    bool // length written as DER would
}

func readHeader(b []byte) (header, error) {
	if len(b) < 2 {
		return header{}, malformed("truncated header")
	}
	h := header{tag: b[0], size: 2, minimal: true}
	if h.tag&tagNumberMask == tagNumberMask {
		return header{}, malformed("multi-byte tag")
	}
	switch first := b[1]; {
	case first < 0x80:
		h.length = int(first)
	case first == 0x80:
		if h.tag&constructedBit == 0 {
			return header{}, malformed("indefinite length on a primitive element")
		}
		h.indefinite = true
	default:
		n := int(first & 0x7f)
		if n > 4 || len(b) < 2+n {
			return header{}, malformed("bad length")
		}
		for _, c := range b[2 : 2+n] {
			h.length = h.length<<8 | int(c)
		}
		h.size += n
		h.minimal = h.length >= 0x80 && b[2] != 0
	}
	if h.length > len(b)-h.size {
		return header{}, malformed("element is longer than its container")
	}
	return h, nil
}

// element is one BER element, in the order in which headers appear.
type element struct {
	tag        byte
	parent     int // index, -1 for the root
	start, end int // content of a primitive element
	size       int // of the content as rewritten
}

// scan walks over one BER element without recursion and reports whether it has
// to be rewritten before a DER decoder can read it. When collect is not nil, it
// is called for each element with its depth's parent index.
func scan(ber []byte, collect func(e element)) (rewrite bool, err error) {
	type frame struct {
		end        int // of the content, or of the nearest ancestor with a length
		index      int
		indefinite bool
		chunked    bool
	}
	if len(ber) > MaxBytes {
		return false, malformed("more than %d bytes", MaxBytes)
	}
	var stack [maxDepth]frame
	depth, elements, pos := 0, 0, 0
	for {
		// Close every container that ends here.
		for depth > 0 {
			top := stack[depth-1]
			if top.indefinite {
				if top.end-pos < 2 {
					return false, malformed("no end of contents")
				}
				if ber[pos] != 0 || ber[pos+1] != 0 {
					break
				}
				pos += 2
			} else if pos < top.end {
				break
			}
			depth--
		}
		if depth == 0 && elements > 0 {
			break
		}
		end, parent, inChunked := len(ber), -1, false
		if depth > 0 {
			top := stack[depth-1]
			end, parent, inChunked = top.end, top.index, top.chunked
		}
		h, err := readHeader(ber[pos:end])
		if err != nil {
			return false, err
		}
		if h.tag == 0 {
			return false, malformed("unexpected end of contents")
		}
		if inChunked && h.tag != tagOctetString && h.tag != tagChunkedOctetString {
			return false, malformed("chunk is not an octet string")
		}
		if elements++; elements > maxElements {
			return false, malformed("more than %d elements", maxElements)
		}
		pos += h.size
		contentEnd := pos + h.length
		if h.indefinite {
			contentEnd = end
		}
		rewrite = rewrite || h.indefinite || !h.minimal || h.tag == tagChunkedOctetString
		if collect != nil {
			collect(element{tag: h.tag, parent: parent, start: pos, end: pos + h.length})
		}
		if h.tag&constructedBit == 0 {
			pos = contentEnd
			continue
		}
		if depth == maxDepth {
			return false, malformed("nested deeper than %d", maxDepth)
		}
		stack[depth] = frame{end: contentEnd, index: elements - 1, indefinite: h.indefinite, chunked: h.tag == tagChunkedOctetString}
		depth++
	}
	if pos != len(ber) {
		return false, malformed("%d bytes after the message", len(ber)-pos)
	}
	return rewrite, nil
}

// normalise checks the shape of a message and returns it with definite minimal
// lengths and with chunked OCTET STRINGs joined. Input that is like this already
// is returned as it is, without copying.
func normalise(ber []byte) ([]byte, error) {
	rewrite, err := scan(ber, nil)
	if err != nil || !rewrite {
		return ber, err
	}
	var elements []element
	if _, err := scan(ber, func(e element) { elements = append(elements, e) }); err != nil {
		return nil, err
	}
	// Children follow their parents, so one pass backwards adds up all sizes.
	for i := len(elements) - 1; i >= 0; i-- {
		e := &elements[i]
		if e.tag&constructedBit == 0 {
			e.size = e.end - e.start
		}
		if e.parent < 0 {
			continue
		}
		if parent := &elements[e.parent]; parent.tag == tagChunkedOctetString {
			parent.size += e.size
		} else {
			parent.size += 1 + lengthSize(e.size) + e.size
		}
	}
	out := make([]byte, 0, len(ber)+4*len(elements))
	for _, e := range elements {
		if e.parent < 0 || elements[e.parent].tag != tagChunkedOctetString {
			tag := e.tag
			if tag == tagChunkedOctetString {
				tag = tagOctetString
			}
			out = appendHeader(out, tag, e.size)
		}
		if e.tag&constructedBit == 0 {
			out = append(out, ber[e.start:e.end]...)
		}
	}
	return out, nil
}

func lengthSize(n int) int {
	size := 1
	if n >= 0x80 {
		for ; n > 0; n >>= 8 {
			size++
		}
	}
	return size
}

func appendHeader(out []byte, tag byte, length int) []byte {
	out = append(out, tag)
	size := lengthSize(length)
	if size == 1 {
		return append(out, byte(length))
	}
	out = append(out, 0x80|byte(size-1))
	for shift := (size - 2) * 8; shift >= 0; shift -= 8 {
		out = append(out, byte(length>>shift))
	}
	return out
}
