package importer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"rollcall/enroll"
)

// row checks one record and keeps it, or what is wrong with each of its cells.
func (f *file) row(record []string, line int) {
	if len(record) != len(f.column) {
		f.fail(enroll.RowError{Line: line, Code: "columns_count", Detail: fmt.Sprintf("the row has %d values, the header %d columns", len(record), len(f.column)),
			Hint: "A value that holds a comma must be in quotes."})
		return
	}
	row := enroll.ImportRow{Line: line}
	good := true
	for i, column := range f.column {
		var err error
		if len(record[i]) > f.limits.Cell {
			err = wrong("cell_too_long", "the value has %d bytes; at most %d are possible", len(record[i]), f.limits.Cell)
		} else {
			err = setters[column](&row, record[i])
		}
		if err == nil {
			continue
		}
		good = false
		e := enroll.RowError{Line: line, Column: column, Value: record[i], Detail: err.Error()}
		if known := (*enroll.Error)(nil); errors.As(err, &known) {
			e.Code, e.Detail, e.Hint = known.Code, known.Text, known.Hint
		}
		f.fail(e)
	}
	if row.Serial != "" {
		if first, twice := f.firstLine[row.Serial]; twice {
			f.fail(enroll.RowError{Line: line, Column: "SerialNumber", Value: row.SerialRaw, Code: "serial_twice",
				Detail: fmt.Sprintf("the serial %s is in line %d already and again in line %d", row.Serial, first, line), Hint: "Remove one of the two rows."})
			good = false
		} else {
			f.firstLine[row.Serial] = line
		}
	}
	if good {
		f.rows = append(f.rows, row)
	}
}

func wrong(code, format string, args ...any) *enroll.Error {
	return enroll.Errorf(enroll.KindInvalid, code, format, args...)
}

// setters check the cell of a column and put its normal form into the row.
// Every error is an *enroll.Error.
var setters = map[string]func(*enroll.ImportRow, string) error{
	"name": func(r *enroll.ImportRow, cell string) (err error) {
		r.Name, err = text(cell, "the user's name")
		if err == nil && r.Name == "" {
			err = missing("the user's name")
		}
		return err
	},
	"devicename": func(r *enroll.ImportRow, cell string) (err error) {
		r.DeviceName, err = text(cell, "the device name")
		return err
	},
	"email": func(r *enroll.ImportRow, cell string) error {
		r.Email = strings.ToLower(strings.TrimSpace(cell))
		if r.Email == "" {
			return missing("the e-mail address")
		}
		return enroll.CheckEmail(r.Email)
	},
	"mobile": func(r *enroll.ImportRow, cell string) error {
		r.Mobile = strings.TrimSpace(cell)
		return checkMobile(r.Mobile)
	},
	"ownership": func(r *enroll.ImportRow, cell string) error {
		o, ok := ownerships[strings.ToLower(strings.Join(strings.Fields(cell), " "))]
		if !ok {
			return notOneOf("ownership", cell, "personal, corporate, selectuser")
		}
		r.Ownership = o
		return nil
	},
	"platform": func(r *enroll.ImportRow, cell string) error {
		for _, p := range enroll.Platforms {
			if strings.EqualFold(strings.TrimSpace(cell), string(p)) {
				r.Platform = p
				return nil
			}
		}
		return notOneOf("platform", cell, "android, ios, apple")
	},
	"SerialNumber": func(r *enroll.ImportRow, cell string) error {
		raw := strings.TrimSpace(cell)
		if exponent.MatchString(raw) {
			return wrong("serial_exponent", "a spreadsheet changed this serial into the number %s", raw).
				WithHint("Format the column as text, type the serial again and export the file anew.")
		}
		serial := enroll.NormalizeSerial(raw)
		if serial == "" {
			return missing("the serial")
		}
		if err := enroll.CheckSerial(serial); err != nil {
			return err
		}
		r.Serial, r.SerialRaw = serial, raw
		return nil
	},
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
var exponent = regexp.MustCompile(`^\d+([.,]\d+)?[eE]\+\d+$`)

// text folds white space, line breaks of quoted cells included, into single
// spaces.
func text(cell, what string) (string, error) {
	s := strings.Join(strings.Fields(cell), " ")
	if len(s) > enroll.MaxName {
		return "", wrong("value_too_long", "%s has %d bytes; at most %d are possible", what, len(s), enroll.MaxName)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return "", wrong("value_characters", "%s holds a control character", what)
	}
	return s, nil
}

// checkMobile asks for what can be a telephone number (ITU-T E.164: at most 15
// digits), in the ways people write it.
func checkMobile(mobile string) error {
	if mobile == "" {
		return nil
	}
	if exponent.MatchString(mobile) {
		return wrong("mobile_exponent", "a spreadsheet changed this number into %s", mobile).
			WithHint("Format the column as text, type the number again and export the file anew.")
	}
	digits := 0
	for i, r := range mobile {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r == '+' && i == 0, r == ' ', r == '-', r == '(', r == ')':
		default:
			return wrong("mobile_invalid", "%q is not a telephone number", mobile).WithHint("Use digits, spaces, dashes and parentheses, with a + in front of the country code.")
		}
	}
	if digits < 5 || digits > 15 {
		return wrong("mobile_invalid", "the telephone number has %d digits; 5 to 15 are possible", digits)
	}
	return nil
}

func missing(what string) error {
	return wrong("value_missing", "%s is missing", what).WithHint("Every row needs name, email, ownership, SerialNumber and platform.")
}

func notOneOf(what, cell, allowed string) error {
	if strings.TrimSpace(cell) == "" {
		return wrong("value_missing", "the %s is missing", what).WithHint("Use one of %s.", allowed)
	}
	return wrong(what+"_unknown", "the %s %q does not exist", what, strings.TrimSpace(cell)).WithHint("Use one of %s.", allowed)
}
