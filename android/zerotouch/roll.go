package zerotouch

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	"rollcall/enroll"
)

// Facts are what Google knows of a device itself.
type Facts struct {
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	IMEI         string `json:"imei,omitempty"`
	MEID         string `json:"meid,omitempty"`
}

// Listed is a device as a sweep finds it.
type Listed struct {
	Name          string // "customers/123/devices/4"
	Serial        string // normal form; empty: Google has none, or one that no device has
	Facts         Facts
	Configuration string // "customers/123/configurations/4"; empty: none
}

// maxFact is how much of a word of Google's is kept, in bytes.
const maxFact = 200

var deviceName = regexp.MustCompile(`^customers/[0-9A-Za-z_-]+/devices/[0-9A-Za-z_-]+$`)

func cut(s string) string {
	return strings.ToValidUTF8(strings.TrimSpace(s[:min(len(s), maxFact)]), "")
}

// listed takes of Google's record what is used; ok is false where it is no
// Android device.
func (d Device) listed() (l Listed, ok bool) {
	i := d.Identifier
	if len(d.Name) > maxFact || !deviceName.MatchString(d.Name) || i.Type == "DEVICE_TYPE_CHROME_OS" {
		return Listed{}, false
	}
	l = Listed{Name: d.Name, Serial: enroll.NormalizeSerial(i.Serial), Configuration: cut(d.Configuration),
		Facts: Facts{Manufacturer: cut(i.Manufacturer), Model: cut(i.Model), IMEI: cut(cmp.Or(i.IMEI, i.IMEI2)), MEID: cut(cmp.Or(i.MEID, i.MEID2))}}
	if enroll.CheckSerial(l.Serial) != nil {
		l.Serial = ""
	}
	return l, true
}

// Row is the row of a device that the roll does not have.
func Row(serial string, f Facts, at time.Time) enroll.Device {
	from := enroll.SourceZeroTouch
	d := enroll.Device{ID: enroll.NewID(), Serial: serial, SerialRaw: serial, Platform: enroll.PlatformAndroid, Ownership: enroll.OwnershipCorporate, State: enroll.StatePreEnrolled,
		CreatedAt: at, Sources: map[string]enroll.Source{"serial": from, "platform": from, "ownership": from}}
	Merge(&d, f)
	return d
}

// Merge lays what Google says over a row, field by field: an admin's words and
// the device's own stand, but for facts that Google knows better (see
// enroll.Device.Learn). A row that came in by itself is one of zero-touch from
// now on.
func Merge(d *enroll.Device, f Facts) {
	d.Learn(enroll.Facts{Model: f.Model, IMEI: f.IMEI, MEID: f.MEID}, enroll.SourceZeroTouch)
	if s := d.Sources["serial"]; s == "" || s == enroll.SourceDevice {
		d.Sources["serial"] = enroll.SourceZeroTouch
	}
}

// LeavesWithDevice says whether a row goes when Google lists its device no more:
// it came by zero-touch, no file has named it, and it is neither enrolled nor
// blocked.
func LeavesWithDevice(d enroll.Device) bool {
	if d.Sources["serial"] != enroll.SourceZeroTouch || d.State == enroll.StateEnrolled || !d.BlockedAt.IsZero() {
		return false
	}
	for _, s := range d.Sources {
		if s == enroll.SourceCSV {
			return false
		}
	}
	return true
}

// WaitsForGroup says whether a row follows when the group of the account
// changes, as long as it is in none: it came by zero-touch, and its device has
// not enrolled.
func WaitsForGroup(d enroll.Device) bool {
	return d.Sources["serial"] == enroll.SourceZeroTouch && (d.State == enroll.StatePreEnrolled || d.State == enroll.StateInvited)
}
