package importer

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/enroll"
)

// clearCell empties a value on the roll.
const clearCell = "CLEAR!"

// line is a row while its cells are read.
type line struct {
	enroll.ImportRow
	first, last string
	set         map[string]bool // fields that a cell or a default has given a value
}

// Longest values, in bytes.
const (
	maxUses = 1_000_000
	maxMany = 100 // values of one cell
)

func setName(l *line, cell string) (err error) {
	l.Name, err = text(cell, "the user's name", enroll.MaxName)
	return err
}

func setFirstName(l *line, cell string) (err error) {
	l.first, err = text(cell, "the first name", enroll.MaxName)
	return err
}

func setLastName(l *line, cell string) (err error) {
	l.last, err = text(cell, "the last name", enroll.MaxName)
	return err
}

func setDeviceName(l *line, cell string) (err error) {
	l.DeviceName, err = text(cell, "the device name", enroll.MaxName)
	return err
}

func setAssetTag(l *line, cell string) (err error) {
	l.AssetTag, err = text(cell, "the asset tag", enroll.MaxName)
	return err
}

func setModel(l *line, cell string) (err error) {
	l.Model, err = text(cell, "the model", enroll.MaxName)
	return err
}

// setNotes keeps line breaks.
func setNotes(l *line, cell string) error {
	notes := strings.TrimSpace(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(cell))
	if len(notes) > enroll.MaxNotes {
		return wrong("value_too_long", "the notes have %d bytes; at most %d are possible", len(notes), enroll.MaxNotes)
	}
	l.Notes = notes
	return nil
}

func setEmail(l *line, cell string) error {
	email := strings.ToLower(strings.TrimSpace(cell))
	if err := enroll.CheckEmail(email); err != nil {
		return err
	}
	l.Email = email
	return nil
}

func setMobile(l *line, cell string) error {
	mobile := strings.TrimSpace(cell)
	if err := checkMobile(mobile); err != nil {
		return err
	}
	l.Mobile = mobile
	return nil
}

func setOwnership(l *line, cell string) error {
	meaning, ok := ownerships[strings.ToLower(strings.Join(strings.Fields(cell), " "))]
	if !ok {
		return wrong("ownership_unknown", "the ownership %q does not exist", cell).WithHint("Use one of personal, corporate, selectuser.")
	}
	l.Ownership = meaning
	return nil
}

func setPlatform(l *line, cell string) error {
	for _, p := range enroll.Platforms {
		if strings.EqualFold(cell, string(p)) {
			l.Platform = p
			return nil
		}
	}
	return wrong("platform_unknown", "the platform %q does not exist", cell).WithHint("Use one of android, ios, apple.")
}

func setSerial(l *line, cell string) error {
	if exponent.MatchString(cell) {
		return wrong("serial_exponent", "Excel changed this number: a serial is not %s", cell).WithHint(formatAsText)
	}
	serial := enroll.NormalizeSerial(cell)
	if err := enroll.CheckSerial(serial); err != nil {
		return err
	}
	l.Serial, l.SerialRaw = serial, cell
	return nil
}

// setIdentifier takes a serial and refuses what is none.
func setIdentifier(l *line, cell string) error {
	digits := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' {
			return -1
		}
		return r
	}, cell)
	if checkIMEI(digits) == nil {
		return wrong("identifier_imei", "%s is an IMEI; the roll is kept by serial numbers", digits).WithHint("Give the serial of this device; its IMEI can go into a column imei.")
	}
	if udid.MatchString(cell) {
		return wrong("identifier_udid", "this is a UDID; the roll is kept by serial numbers").WithHint("Give the serial of this device; its UDID can go into a column udid.")
	}
	return setSerial(l, cell)
}

func setIMEI(l *line, cell string) (err error) {
	l.IMEI, err = imei(cell)
	return err
}

func setIMEI2(l *line, cell string) (err error) {
	l.IMEI2, err = imei(cell)
	return err
}

func imei(cell string) (string, error) {
	if exponent.MatchString(cell) {
		return "", wrong("imei_exponent", "Excel changed this number: an IMEI is not %s", cell).WithHint(formatAsText)
	}
	digits := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' || r == '/' {
			return -1
		}
		return r
	}, cell)
	return digits, checkIMEI(digits)
}

// checkIMEI asks for 15 digits, the last of which is Luhn's check digit (3GPP
// TS 23.003, annex B).
func checkIMEI(digits string) error {
	if len(digits) != 15 || strings.Trim(digits, "0123456789") != "" {
		return wrong("imei_invalid", "%q is not an IMEI: it has 15 digits", digits).WithHint("Dial *#06# on the device to see it.")
	}
	sum := 0
	for i, d := range digits {
		n := int(d - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	if sum%10 != 0 {
		return wrong("imei_check_digit", "the check digit of the IMEI %s is wrong, so a digit is mistyped or two are swapped", digits).WithHint("Dial *#06# on the device to see it.")
	}
	return nil
}

func setUDID(l *line, cell string) error {
	if !udid.MatchString(cell) {
		return wrong("udid_invalid", "%q is not a UDID", cell).WithHint("It looks like 00008110-000A1B2C3D4E5F6A, or has 40 hexadecimal digits.")
	}
	l.UDID = cell
	return nil
}

var udid = regexp.MustCompile(`^(?i:[0-9a-f]{40}|[0-9a-f]{8}-[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`)

func setGroups(l *line, cell string) (err error) {
	l.Groups, err = several(l.Groups, cell, "group")
	return err
}

func setPolicies(l *line, cell string) (err error) {
	l.Policies, err = several(l.Policies, cell, "policy")
	return err
}

func setTags(l *line, cell string) error {
	tags, err := enroll.NormalizeTags(append(strings.Split(cell, "|"), l.Tags...))
	l.Tags = tags
	return err
}

// several splits the values of a cell and leaves repeats out.
func several(list []string, cell, what string) ([]string, error) {
next:
	for part := range strings.SplitSeq(cell, "|") {
		value, err := text(part, "the "+what, enroll.MaxName)
		if err != nil {
			return nil, err
		}
		if value == "" {
			continue
		}
		for _, v := range list {
			if v == value {
				continue next
			}
		}
		if list = append(list, value); len(list) > maxMany {
			return nil, wrong("values_too_many", "the cell has more than %d values", maxMany)
		}
	}
	return list, nil
}

func setNotBefore(l *line, cell string) (err error) {
	l.NotBefore, _, err = date(cell)
	return err
}

// setExpiresAt takes a day as good until its end.
func setExpiresAt(l *line, cell string) error {
	at, day, err := date(cell)
	if day {
		at = at.AddDate(0, 0, 1)
	}
	l.ExpiresAt = at
	return err
}

// date reads RFC 3339 or a day, which is one of UTC. Forms like 01/02/2026 mean
// two days, and so none.
func date(cell string) (at time.Time, day bool, err error) {
	if at, err := time.Parse(time.DateOnly, cell); err == nil {
		return at, true, nil
	}
	if at, err := time.Parse(time.RFC3339, cell); err == nil {
		return at.UTC().Truncate(time.Microsecond), false, nil
	}
	return time.Time{}, false, wrong("date_invalid", "%q is not a date", cell).WithHint("Write 2026-12-31, or 2026-12-31T18:00:00Z.")
}

func setUses(l *line, cell string) error {
	n, err := strconv.Atoi(cell)
	if err != nil || n < 1 || n > maxUses {
		return wrong("uses_invalid", "%q is not a number of uses", cell).WithHint("Use a number from 1 to %d, or leave it blank for no limit.", maxUses)
	}
	l.Uses = n
	return nil
}

// ownerships are the spellings that are understood, in lower case.
var ownerships = map[string]enroll.Ownership{
	"personal":             enroll.OwnershipPersonal,
	"corporate":            enroll.OwnershipCorporate,
	"selectuser":           enroll.OwnershipSelectUser,
	"user_choice":          enroll.OwnershipSelectUser,
	"allow user to select": enroll.OwnershipSelectUser,
}

// exponent is what spreadsheets make of long digit strings: 3.5E+14.
var exponent = regexp.MustCompile(`^\d+([.,]\d+)?[eE]\+?\d+$`)

const formatAsText = "Format the column as text, type the number again and export the file anew."

// text folds white space, line breaks of quoted cells included, into single
// spaces.
func text(cell, what string, longest int) (string, error) {
	s := strings.Join(strings.Fields(cell), " ")
	if len(s) > longest {
		return "", wrong("value_too_long", "%s has %d bytes; at most %d are possible", what, len(s), longest)
	}
	return s, nil
}

// checkText refuses what no cell may hold, and what was damaged on its way.
func checkText(cell string) error {
	switch {
	case !utf8.ValidString(cell):
		return wrong("value_encoding", "the value holds bytes that are not UTF-8").WithHint("The file is put together from different encodings; type this value again.")
	case strings.ContainsRune(cell, utf8.RuneError):
		return wrong("value_damaged", "the value holds the mark of a character that was lost when the file was converted").WithHint("Type this value again, or export the file anew as UTF-8.")
	case strings.IndexByte(cell, 0) >= 0:
		return wrong("value_nul", "the value holds a NUL byte").WithHint("Type this value again.")
	case strings.ContainsFunc(cell, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }):
		return wrong("value_characters", "the value holds a control character").WithHint("Type this value again.")
	}
	return nil
}

// plain takes away the mark by which a cell was kept from being a formula when
// we wrote it, and says whether the cell is a formula without that mark.
func plain(cell string) (value string, formula bool) {
	if marked := strings.TrimLeft(cell, "'"); marked != cell && formulaSign(marked) {
		return cell[1:], false
	}
	return cell, formulaSign(cell)
}

func formulaSign(cell string) bool { return cell != "" && strings.IndexByte("=+-@\t\r", cell[0]) >= 0 }

// Neutral is a cell as it is safe in a spreadsheet: one that would run as a
// formula starts with an apostrophe, which reading takes away again.
func Neutral(cell string) string {
	if formulaSign(strings.TrimLeft(cell, "'")) {
		return "'" + cell
	}
	return cell
}

// checkMobile asks for what can be a telephone number (ITU-T E.164: at most 15
// digits), in the ways people write it.
func checkMobile(mobile string) error {
	if exponent.MatchString(mobile) {
		return wrong("mobile_exponent", "Excel changed this number: a telephone number is not %s", mobile).WithHint(formatAsText)
	}
	digits := 0
	for i, r := range mobile {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r == '+' && i == 0, r == ' ', r == '-', r == '(', r == ')', r == '/', r == '.':
		default:
			return wrong("mobile_invalid", "%q is not a telephone number", mobile).WithHint("Use digits, spaces, dashes and parentheses, with a + in front of the country code.")
		}
	}
	if digits < 5 || digits > 15 {
		return wrong("mobile_invalid", "the telephone number has %d digits; 5 to 15 are possible", digits)
	}
	return nil
}

// rowError words what is wrong with a cell.
func rowError(lineNumber int, column, value string, err error) enroll.RowError {
	e := enroll.RowError{Line: lineNumber, Column: column, Value: shorten(value), Detail: err.Error()}
	if known := (*enroll.Error)(nil); errors.As(err, &known) {
		e.Code, e.Detail, e.Hint = known.Code, known.Text, known.Hint
	}
	return e
}

func shorten(s string) string {
	const shown = 200
	if len(s) > shown {
		s = s[:shown] + "…"
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
