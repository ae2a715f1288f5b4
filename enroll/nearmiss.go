package enroll

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// NearMiss is a row of the roll that a refused serial may have been meant for.
type NearMiss struct {
	Serial string `json:"serial"` // of the row
	Reason string `json:"reason"` // how the two differ
}

// Repair tells that an admin corrected a row by a decision.
type Repair struct {
	Serial string // the row had before
	At     time.Time
	By     string
}

// Bounds of the search for near misses.
const (
	maxNearMisses = 5
	minNearSerial = 6  // shorter serials are one edit away from too much
	maxNearSerial = 20 // for longer ones only the cheap variants are tried
	maxConfusable = 8  // characters that are tried in all combinations
)

const serialAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// lookalike pairs are what people and scanners take for each other.
var lookalike = map[byte]byte{'O': '0', '0': 'O', 'I': '1', '1': 'I', 'B': '8', '8': 'B', 'S': '5', '5': 'S'}

// variants are the serials that a row may have instead of this one, with the
// reason, best first: the keys to look up, so that the roll is never searched
// through. There are about 75 for each character.
func variants(serial string) (keys []string, reason map[string]string) {
	reason = map[string]string{serial: ""}
	try := func(why, variant string) {
		if _, seen := reason[variant]; !seen && len(variant) >= 4 {
			reason[variant] = why
			keys = append(keys, variant)
		}
	}
	if len(serial) < 4 || CheckSerial(serial) != nil {
		return nil, nil
	}
	for _, v := range confusions(serial) {
		try("O and 0, I and 1, B and 8 or S and 5 are confused", v)
	}
	try("the row has the prefix S of a box label", "S"+serial)
	try("the row has the prefix 1S of a box label", "1S"+serial)
	if bare := strings.TrimLeft(serial, "0"); bare != serial {
		for n := 1; n <= len(serial)-len(bare); n++ {
			try("the row has lost its leading zeros", serial[n:])
		}
	}
	for n := 1; n <= 3; n++ {
		try("the row has more leading zeros", strings.Repeat("0", n)+serial)
	}
	if len(serial) < minNearSerial {
		return keys, reason
	}
	for i := range len(serial) - 1 {
		try("two characters are swapped", serial[:i]+string(serial[i+1])+string(serial[i])+serial[i+2:])
	}
	for i := range len(serial) {
		try("the row lacks a character", serial[:i]+serial[i+1:])
	}
	if len(serial) > maxNearSerial {
		return keys, reason
	}
	for i := range len(serial) {
		for _, c := range serialAlphabet {
			try("one character differs", serial[:i]+string(c)+serial[i+1:])
		}
	}
	for i := range len(serial) + 1 {
		for _, c := range serialAlphabet {
			try("the row has a character too many", serial[:i]+string(c)+serial[i:])
		}
	}
	return keys, reason
}

// confusions are the serials that look like this one.
func confusions(serial string) []string {
	var places []int
	for i := range len(serial) {
		if lookalike[serial[i]] != 0 {
			places = append(places, i)
		}
	}
	if len(places) > maxConfusable {
		// All combinations would be too many: one way for each pair.
		var out []string
		for _, c := range "OIBS" {
			letter, digit := string(c), string(lookalike[byte(c)])
			out = append(out, strings.ReplaceAll(serial, letter, digit), strings.ReplaceAll(serial, digit, letter))
		}
		return out
	}
	out := make([]string, 0, 1<<len(places))
	for mask := 1; mask < 1<<len(places); mask++ {
		b := []byte(serial)
		for n, place := range places {
			if mask&(1<<n) != 0 {
				b[place] = lookalike[b[place]]
			}
		}
		out = append(out, string(b))
	}
	return out
}

// nearMisses looks for open rows that a device with this serial may have been
// meant for.
func nearMisses(ctx context.Context, store GateStore, serial string, p Platform) ([]NearMiss, error) {
	keys, reason := variants(serial)
	if len(keys) == 0 {
		return nil, nil
	}
	rows, err := store.OpenRows(ctx, keys)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(d Device) bool { return !onRoll(&d) || p != "" && !d.Platform.Admits(p) })
	slices.SortFunc(rows, func(a, b Device) int {
		return cmp.Compare(slices.Index(keys, a.Serial), slices.Index(keys, b.Serial))
	})
	var out []NearMiss
	for _, d := range rows[:min(len(rows), maxNearMisses)] {
		out = append(out, NearMiss{Serial: d.Serial, Reason: reason[d.Serial]})
	}
	return out, nil
}

// RepairSerial corrects the serial of a row that has not enrolled to the one
// of a device that was refused, so that its next attempt is admitted. The row
// keeps everything else.
func (g *Gate) RepairSerial(ctx context.Context, decisionID, serial, by string) (Device, error) {
	return g.store.RepairSerial(ctx, decisionID, NormalizeSerial(serial), func(d Decision, row Device) (Repair, error) {
		switch {
		case CheckSerial(d.Serial) != nil:
			return Repair{}, Errorf(KindConflict, "decision_without_serial", "the device of this decision named no usable serial")
		case d.Allowed():
			return Repair{}, Errorf(KindConflict, "decision_allowed", "the device of this decision was admitted").WithHint("Only a refusal has something to repair.")
		case d.Serial == row.Serial:
			return Repair{}, Errorf(KindConflict, "serial_same", "the row has the serial %s already", row.Serial)
		case row.State != StatePreEnrolled && row.State != StateInvited:
			return Repair{}, Errorf(KindConflict, "device_not_open", "the device %s is %s", row.Serial, row.State).WithHint("Only a row that has not enrolled can get another serial.")
		case !onRoll(&row):
			return Repair{}, Errorf(KindConflict, "device_not_listed", "the device %s was not put on the roll by an admin", row.Serial)
		}
		return Repair{Serial: row.Serial, At: g.now().UTC(), By: by}, nil
	})
}
