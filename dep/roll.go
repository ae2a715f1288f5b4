package dep

import (
	"strings"
	"time"

	"rollcall/dep/cloud"
	"rollcall/enroll"
)

// Listed is what Apple knows of a device itself.
type Listed struct {
	Model    string   `json:"model,omitempty"`
	Color    string   `json:"color,omitempty"`
	OS       string   `json:"os,omitempty"`
	AssetTag string   `json:"asset_tag,omitempty"`
	IMEI     []string `json:"imei,omitempty"`
	MEID     []string `json:"meid,omitempty"`
}

// maxFact is how much of a field of Apple's is kept, in bytes, and maxNumbers
// how many IMEIs and MEIDs.
const (
	maxFact    = 200
	maxNumbers = 4
)

// ListedOf takes of Apple's record what describes the device.
func ListedOf(d cloud.Device) Listed {
	cut := func(s string) string {
		if len(s) > maxFact {
			s = s[:maxFact]
		}
		return strings.ToValidUTF8(strings.TrimSpace(s), "")
	}
	numbers := func(list []string) []string {
		var out []string
		for _, n := range list {
			if n = cut(strings.ReplaceAll(n, " ", "")); n != "" && len(out) < maxNumbers {
				out = append(out, n)
			}
		}
		return out
	}
	return Listed{Model: cut(d.Model), Color: cut(d.Color), OS: cut(d.OS), AssetTag: cut(d.AssetTag), IMEI: numbers(d.IMEI), MEID: numbers(d.MEID)}
}

// facts are those that the roll has a place for.
func (l Listed) facts() enroll.Facts {
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	return enroll.Facts{Model: l.Model, IMEI: first(l.IMEI), MEID: first(l.MEID)}
}

// Row is the row of a device that the roll does not have. It has no name, which
// a device would take for its own; it is shown under DefaultName.
func Row(serial string, f Family, l Listed, at time.Time) enroll.Device {
	d := enroll.Device{ID: enroll.NewID(), Serial: serial, SerialRaw: serial, Platform: platform(f), Ownership: enroll.OwnershipCorporate, State: enroll.StatePreEnrolled,
		CreatedAt: at, Sources: map[string]enroll.Source{"serial": enroll.SourceDEP, "platform": enroll.SourceDEP, "ownership": enroll.SourceDEP}}
	Merge(&d, l)
	return d
}

// Merge lays what Apple says over a row, field by field: an admin's words and
// the device's own stand, but for facts that Apple knows better (see
// enroll.Device.Learn). A row that came in by itself is one of DEP from now on.
func Merge(d *enroll.Device, l Listed) {
	d.Learn(l.facts(), enroll.SourceDEP)
	if s := d.Sources["serial"]; s == "" || s == enroll.SourceDevice {
		d.Sources["serial"] = enroll.SourceDEP
	}
	if l.AssetTag != "" && (d.AssetTag == "" || d.Sources["asset_tag"] == enroll.SourceDEP) && d.AssetTag != l.AssetTag {
		d.AssetTag = l.AssetTag
		d.Sources["asset_tag"] = enroll.SourceDEP
	}
}

// LeavesWithDevice says whether a row goes when Apple lists its device no more:
// it came by DEP, no file has named it, and it is neither enrolled nor blocked.
func LeavesWithDevice(d enroll.Device) bool {
	if d.Sources["serial"] != enroll.SourceDEP || d.State == enroll.StateEnrolled || !d.BlockedAt.IsZero() {
		return false
	}
	for _, s := range d.Sources {
		if s == enroll.SourceCSV {
			return false
		}
	}
	return true
}

// WaitsForGroup says whether a row follows when the default groups of its account
// change, as long as it is in none: it came by DEP, and its device has not
// enrolled.
func WaitsForGroup(d enroll.Device) bool {
	return d.Sources["serial"] == enroll.SourceDEP && (d.State == enroll.StatePreEnrolled || d.State == enroll.StateInvited)
}

func platform(f Family) enroll.Platform {
	switch f {
	case FamilyIPhone, FamilyIPad, "iPod":
		return enroll.PlatformIOS
	}
	return enroll.PlatformApple
}

// ShownName is what a device is called in lists: the name it is to have, else
// the one that it has, else DefaultName where it came by DEP. d is Redacted.
func ShownName(d enroll.Device) string {
	switch {
	case d.Name != "":
		return d.Name
	case d.Facts.DeviceName != "":
		return d.Facts.DeviceName
	case d.Sources["serial"] == enroll.SourceDEP:
		return DefaultName
	}
	return ""
}
