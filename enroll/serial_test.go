package enroll

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSerial(t *testing.T) {
	for _, c := range []struct {
		name, raw, normal string
		code              string // empty: the normal form is a serial
	}{
		{"as printed", "C02XK1Y2JG5H", "C02XK1Y2JG5H", ""},
		{"lower case", "c02xk1y2jg5h", "C02XK1Y2JG5H", ""},
		{"spaces around and inside", "  C02X K1Y2 JG5H\t", "C02XK1Y2JG5H", ""},
		{"line feed of a clipboard", "C02XK1Y2JG5H\r\n", "C02XK1Y2JG5H", ""},
		{"dots", "C02X.K1Y2.JG5H.", "C02XK1Y2JG5H", ""},
		{"dashes", "C02X-K1Y2–JG5H—", "C02XK1Y2JG5H", ""},
		{"non-breaking hyphen", "C02X\u2011K1Y2JG5H", "C02XK1Y2JG5H", ""},
		{"soft hyphen", "C02X\u00adK1Y2JG5H", "C02XK1Y2JG5H", ""},
		{"non-breaking space", "C02X\u00a0K1Y2JG5H", "C02XK1Y2JG5H", ""},
		{"narrow and ideographic space", "C02X\u202fK1Y2\u3000JG5H", "C02XK1Y2JG5H", ""},
		{"zero width", "\u200bC02X\u200c\u200d\u2060K1Y2JG5H", "C02XK1Y2JG5H", ""},
		{"byte order mark", "\ufeffC02XK1Y2JG5H", "C02XK1Y2JG5H", ""},
		{"direction marks", "\u200eC02XK1Y2JG5H\u202c", "C02XK1Y2JG5H", ""},
		{"control characters", "C02X\x00K1\x1bY2JG5H", "C02XK1Y2JG5H", ""},
		{"letters that are kept", "ab/cd_ef+1", "AB/CD_EF+1", ""},
		{"zeros and letters stay apart", "0O1I", "0O1I", ""},
		{"longest", strings.Repeat("a", MaxSerial), strings.Repeat("A", MaxSerial), ""},
		{"longest with spaces", strings.Repeat("a ", MaxSerial), strings.Repeat("A", MaxSerial), ""},

		{"nothing", "", "", "serial_empty"},
		{"nothing but separators", " .-\u200b\ufeff", "", "serial_empty"},
		{"too long", strings.Repeat("A", MaxSerial+1), strings.Repeat("A", MaxSerial+1), "serial_too_long"},
		{"full-width letters", "ａＢＣ１２３", "ＡＢＣ１２３", "serial_characters"},
		{"Cyrillic letter that looks Latin", "С02XK1Y2JG5H", "С02XK1Y2JG5H", "serial_characters"},
		{"Kelvin sign", "\u212a02", "\u212a02", "serial_characters"},
		{"Arabic digits", "١٢٣", "١٢٣", "serial_characters"},
		{"minus sign", "A\u22121", "A\u22121", "serial_characters"},
		{"broken UTF-8", "A\xff1", "A\ufffd1", "serial_characters"},
		{"quote", "A'1", "A'1", "serial_characters"},
		{"wildcards", "A%1", "A%1", "serial_characters"},
		{"formula", "=A1", "=A1", "serial_characters"},
		{"markup", "<B>", "<B>", "serial_characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := NormalizeSerial(c.raw)
			if got != c.normal {
				t.Errorf("%q has the normal form %q, want %q", c.raw, got, c.normal)
			}
			wantError(t, CheckSerial(got), KindInvalid, c.code)
		})
	}
}

// wantError wants an Error of this kind and code; an empty code: none.
func wantError(t *testing.T, err error, kind Kind, code string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code || e.Text == "" {
		t.Errorf("error %#v, want %s %s with a text", err, kind, code)
	}
}

func TestNormalizeSerialIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~\x{80}-\x{24F}\x{2000}-\x{206F}\x{FEFF}\x{FF00}-\x{FF5E}]*`),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "raw")
		once := NormalizeSerial(raw)
		if twice := NormalizeSerial(once); twice != once {
			t.Fatalf("%q becomes %q and then %q", raw, once, twice)
		}
		if CheckSerial(once) == nil && once != strings.ToUpper(once) {
			t.Fatalf("%q is accepted in lower case", once)
		}
	})
}

// TestPlaceholderSerial: what many devices name is nobody's serial.
func TestPlaceholderSerial(t *testing.T) {
	for serial, want := range map[string]bool{"": false, "UNKNOWN": true, "0": true, "00000000": true, "0123456789ABCDEF": true, "ZZZZ": true, "R58N00000A1": false, "UNKNOWN00001": false} {
		if got := PlaceholderSerial(serial); got != want {
			t.Errorf("%q: %v", serial, got)
		}
	}
	g := NewGate(nil, nil)
	if a := g.prepare(Attempt{Platform: PlatformAndroid, Serial: "unknown"}); a.Serial != "" {
		t.Errorf("the gate looks for %q", a.Serial)
	}
	if a := g.prepare(Attempt{Platform: PlatformIOS, Serial: "0000"}); a.Serial != "0000" {
		t.Errorf("of another platform, the gate looks for %q", a.Serial)
	}
}
