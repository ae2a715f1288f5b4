package cms

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"definite stays", "30 03 02 01 05", "30 03 02 01 05"},
		{"indefinite", "30 80 02 01 05 00 00", "30 03 02 01 05"},
		{"indefinite and empty", "30 80 00 00", "30 00"},
		{"indefinite in indefinite", "30 80 31 80 02 01 05 00 00 00 00", "30 05 31 03 02 01 05"},
		{"indefinite in definite", "30 07 31 80 02 01 05 00 00", "30 05 31 03 02 01 05"},
		{"long form of a short length", "30 81 03 02 01 05", "30 03 02 01 05"},
		{"leading zero in a length", "30 82 00 03 02 01 05", "30 03 02 01 05"},
		{"chunks", "24 80 04 02 01 02 04 01 03 00 00", "04 03 01 02 03"},
		{"chunks with a length", "24 07 04 02 01 02 04 01 03", "04 03 01 02 03"},
		{"chunks of chunks", "30 80 24 80 24 80 04 01 01 00 00 04 02 02 03 00 00 02 01 05 00 00", "30 08 04 03 01 02 03 02 01 05"},
		{"no chunks", "24 80 00 00", "04 00"},
		{"zeros inside a primitive", "30 80 04 02 00 00 00 00", "30 04 04 02 00 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := normalise(fromHex(t, tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fromHex(t, tt.want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNormaliseLongLengths(t *testing.T) {
	for _, n := range []int{0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000} {
		content := bytes.Repeat([]byte{0xab}, n)
		half := n / 2
		ber := []byte{tagChunkedOctetString, 0x80}
		ber = append(appendHeader(ber, tagOctetString, half), content[:half]...)
		ber = append(appendHeader(ber, tagOctetString, n-half), content[half:]...)
		ber = append(ber, 0, 0)
		got, err := normalise(ber)
		if err != nil {
			t.Fatal(err)
		}
		if want := append(appendHeader(nil, tagOctetString, n), content...); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: wrong result, starts with %x", n, got[:6])
		}
	}
}

// hostile are the shapes that stop or starve pkcs7.Parse.
func hostile() map[string][]byte {
	nested := func(size int) []byte { // SEQUENCEs with lengths, innermost first
		var b []byte
		for len(b) < size {
			b = append(appendHeader(nil, 0x30, len(b)), b...)
		}
		return b
	}
	flat := bytes.Repeat([]byte{0x05, 0x00}, 125<<10)
	return map[string][]byte{
		"empty":                             {},
		"4 MB of indefinite nesting":        bytes.Repeat([]byte{0x30, 0x80}, 2<<20),
		"200 KB of indefinite nesting":      bytes.Repeat([]byte{0x30, 0x80}, 100<<10),
		"62 KB of nested sequences":         nested(62 << 10),
		"250 KB of flat children":           append(appendHeader(nil, 0x30, len(flat)), flat...),
		"5 MB body":                         append(appendHeader(nil, 0x04, 5<<20), make([]byte, 5<<20)...),
		"33 levels":                         append(bytes.Repeat([]byte{0x30, 0x80}, 33), make([]byte, 66)...),
		"nothing but end of contents":       {0, 0},
		"indefinite without end":            {0x30, 0x80, 0x02, 0x01, 0x05},
		"indefinite primitive":              {0x04, 0x80, 0x00, 0x00},
		"end of contents in definite":       {0x30, 0x02, 0x00, 0x00},
		"child longer than parent":          {0x30, 0x03, 0x04, 0x05, 0x00, 0x00, 0x00, 0x00},
		"end of contents outside parent":    {0x30, 0x05, 0x31, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00},
		"length of five bytes":              {0x30, 0x85, 0, 0, 0, 0, 0},
		"length of four bytes, far too big": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0},
		"multi-byte tag":                    {0x3f, 0x81, 0x01, 0x00},
		"chunk that is no octet string":     {0x24, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00},
		"trailing bytes":                    {0x30, 0x03, 0x02, 0x01, 0x05, 0x00},
	}
}

func TestHostileShapesAreRefused(t *testing.T) {
	for name, body := range hostile() {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseSigned(body); !errors.Is(err, ErrMalformed) {
				t.Errorf("ParseSigned: %v", err)
			}
			if _, err := ParseEnveloped(body); !errors.Is(err, ErrMalformed) {
				t.Errorf("ParseEnveloped: %v", err)
			}
		})
	}
}

func TestLimitsAreReachable(t *testing.T) {
	depth := append(bytes.Repeat([]byte{0x30, 0x80}, maxDepth), make([]byte, 2*maxDepth)...)
	if _, err := normalise(depth); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	flat := bytes.Repeat([]byte{0x05, 0x00}, maxElements-1)
	if _, err := normalise(append(appendHeader(nil, 0x30, len(flat)), flat...)); err != nil {
		t.Errorf("%d elements: %v", maxElements, err)
	}
	flat = append(flat, 0x05, 0x00)
	if _, err := normalise(append(appendHeader(nil, 0x30, len(flat)), flat...)); err == nil {
		t.Errorf("%d elements were accepted", maxElements+1)
	}
}

// The door is passed on every connect of every device, and by every attacker.
func TestScanDoesNotAllocate(t *testing.T) {
	p := rsaParty(t)
	der, err := SignDetached([]byte("body"), p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := normalise(der); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
