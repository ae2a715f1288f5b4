package enroll

import (
	"strings"
	"unicode"
)

// MaxSerial is the longest serial that is accepted, in bytes of the normal form.
const MaxSerial = 64

// NormalizeSerial gives the normal form under which a serial is compared and
// stored: upper case, without spaces, dots, dashes and zero-width characters.
func NormalizeSerial(raw string) string {
	var b strings.Builder
	b.Grow(len(raw))
	for _, r := range raw {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), unicode.Is(unicode.Cf, r), unicode.IsControl(r), r == '.':
		default:
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}

// PlaceholderSerial says whether a serial in normal form is what Android names
// where the maker has put none: many devices have the same.
func PlaceholderSerial(serial string) bool {
	switch serial {
	case "":
		return false
	case "UNKNOWN", "0123456789ABCDEF", "0123456789", "1234567890ABCDEF":
		return true
	}
	return strings.Trim(serial, serial[:1]) == ""
}

// CheckSerial says what is wrong with a serial in normal form, or nil.
func CheckSerial(serial string) error {
	switch {
	case serial == "":
		return Errorf(KindInvalid, "serial_empty", "the serial is empty").WithHint("Use the serial printed on the box or shown under Settings > General > About.")
	case len(serial) > MaxSerial:
		return Errorf(KindInvalid, "serial_too_long", "the serial has %d characters; at most %d are possible", len(serial), MaxSerial)
	}
	for _, r := range serial {
		if r > unicode.MaxASCII || !(unicode.IsLetter(r) || unicode.IsDigit(r) || r == '/' || r == '_' || r == '+') {
			return Errorf(KindInvalid, "serial_characters", "the serial holds the character %q", r).WithHint("A serial has Latin letters and digits only.")
		}
	}
	return nil
}
