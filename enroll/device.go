package enroll

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// State is where a device stands in its life cycle.
type State string

// The life cycle of a device. PendingApproval, Blocked and Expired stand
// beside the way from the roll to an enrollment.
const (
	StatePreEnrolled     State = "pre_enrolled"
	StateInvited         State = "invited"
	StateEnrolling       State = "enrolling"
	StateEnrolled        State = "enrolled"
	StateUnenrolled      State = "unenrolled"
	StatePendingApproval State = "pending_approval"
	StateBlocked         State = "blocked"
	StateExpired         State = "expired"
)

// States lists all of them in the order of the life cycle.
var States = []State{StatePreEnrolled, StateInvited, StateEnrolling, StateEnrolled, StateUnenrolled, StatePendingApproval, StateBlocked, StateExpired}

// Platform is what kind of device a row of the roll may become.
type Platform string

// PlatformIOS is iPhone and iPad; PlatformApple is any Apple device.
const (
	PlatformAndroid Platform = "android"
	PlatformIOS     Platform = "ios"
	PlatformApple   Platform = "apple"
)

// Platforms lists the platforms in the order the documentation names them.
var Platforms = []Platform{PlatformAndroid, PlatformIOS, PlatformApple}

// Admits says whether a row of platform p may be taken by a device that
// presents itself as arriving. A device never presents itself as "apple": it
// is "ios" (iPhone, iPad) or another Apple product.
func (p Platform) Admits(arriving Platform) bool {
	return p == arriving || p == PlatformApple && arriving == PlatformIOS
}

// Ownership says whose device it is.
type Ownership string

// OwnershipSelectUser lets the user choose while enrolling.
const (
	OwnershipPersonal   Ownership = "personal"
	OwnershipCorporate  Ownership = "corporate"
	OwnershipSelectUser Ownership = "selectuser"
)

// Ownerships lists the ownerships in the order the documentation names them.
var Ownerships = []Ownership{OwnershipPersonal, OwnershipCorporate, OwnershipSelectUser}

// Source says who told a fact of a device.
type Source string

// The sources of facts.
const (
	SourceCSV       Source = "csv"
	SourceAPI       Source = "api"
	SourceDEP       Source = "dep"
	SourceZeroTouch Source = "zero_touch"
	SourceDevice    Source = "device"
)

// Device is the one record of a physical device through all its states.
type Device struct {
	ID        string // UUIDv7
	Serial    string // normal form, unique; see NormalizeSerial
	SerialRaw string // as it was given
	Platform  Platform
	Ownership Ownership
	Name      string // wanted device name; empty: none
	UserID    string // owner; empty: none
	State     State  // stored life cycle; Effective adds the block
	Facts     Facts
	Sources   map[string]Source // field name -> who told it

	AssetTag string
	Tags     []string // in order, without repeats
	Notes    string

	// When and how often the row may be used to enroll; zero: no limit.
	NotBefore time.Time
	ExpiresAt time.Time
	MaxUses   int
	Uses      int // enrollments so far

	BlockedAt   time.Time // zero: not blocked
	BlockReason string

	EnrollmentID string    // current enrollment; empty: none
	AcceptedAt   time.Time // request accepted or enrolled, whichever came first
	EnrolledAt   time.Time
	LastSeenAt   time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Version      int64 // grows by one with every change an admin can see
}

// Facts is what is known of the device itself beyond its serial. Before the
// user has accepted, none of it may be shown (see Device.Redacted).
type Facts struct {
	UDID         string            `json:"udid,omitempty"`
	IMEI         string            `json:"imei,omitempty"`
	MEID         string            `json:"meid,omitempty"`
	Product      string            `json:"product,omitempty"` // "iPhone17,2"
	Model        string            `json:"model,omitempty"`   // "iPhone 16 Pro"
	OSVersion    string            `json:"os_version,omitempty"`
	BuildVersion string            `json:"build_version,omitempty"`
	DeviceName   string            `json:"device_name,omitempty"` // as the device reports it
	Supervised   *bool             `json:"supervised,omitempty"`
	Extra        map[string]string `json:"extra,omitempty"` // further answers of DeviceInformation and SecurityInfo
}

// Empty says whether nothing is known.
func (f Facts) Empty() bool {
	return f.UDID == "" && f.IMEI == "" && f.MEID == "" && f.Product == "" && f.Model == "" && f.OSVersion == "" &&
		f.BuildVersion == "" && f.DeviceName == "" && f.Supervised == nil && len(f.Extra) == 0
}

// Merge lays newer facts over f: what newer does not know stays.
func (f Facts) Merge(newer Facts) Facts {
	over := func(old *string, fresh string) {
		if fresh != "" {
			*old = fresh
		}
	}
	over(&f.UDID, newer.UDID)
	over(&f.IMEI, newer.IMEI)
	over(&f.MEID, newer.MEID)
	over(&f.Product, newer.Product)
	over(&f.Model, newer.Model)
	over(&f.OSVersion, newer.OSVersion)
	over(&f.BuildVersion, newer.BuildVersion)
	over(&f.DeviceName, newer.DeviceName)
	if newer.Supervised != nil {
		f.Supervised = newer.Supervised
	}
	if len(newer.Extra) > 0 {
		merged := make(map[string]string, len(f.Extra)+len(newer.Extra))
		for k, v := range f.Extra {
			merged[k] = v
		}
		for k, v := range newer.Extra {
			merged[k] = v
		}
		f.Extra = merged
	}
	return f
}

// Effective is the state without regard to the time: a block hides every state
// but an existing enrollment, which it does not end.
func (d Device) Effective() State {
	if !d.BlockedAt.IsZero() && d.State != StateEnrolled {
		return StateBlocked
	}
	return d.State
}

// EffectiveAt is the state an admin sees: as Effective, and a row whose time is
// over is expired, unless its device is enrolled or about to be.
func (d Device) EffectiveAt(now time.Time) State {
	s := d.Effective()
	if d.ExpiresAt.IsZero() || now.Before(d.ExpiresAt) || s == StateEnrolled || s == StateEnrolling || s == StateBlocked {
		return s
	}
	return StateExpired
}

// Accepted says whether the device's user has accepted the enrollment request,
// or enrolled the device without one.
func (d Device) Accepted() bool { return !d.AcceptedAt.IsZero() }

// Redacted is the device as it may leave the server: until the user has
// accepted, a pre-enrolled device shows its serial and nothing else about the
// device itself, not even that something is known. What the admin put on the
// roll (name, owner, platform) stays.
func (d Device) Redacted() Device {
	if d.Accepted() {
		return d
	}
	d.Facts = Facts{}
	d.LastSeenAt = time.Time{}
	d.Sources = maps.Clone(d.Sources)
	maps.DeleteFunc(d.Sources, func(field string, _ Source) bool { return slices.Contains(factFields, field) })
	return d
}

// Same says whether d and other agree in everything an admin can see, which
// leaves out Version and UpdatedAt.
func (d Device) Same(other Device) bool {
	d.Version, other.Version = 0, 0
	d.UpdatedAt, other.UpdatedAt = time.Time{}, time.Time{}
	for _, t := range []struct{ ours, theirs *time.Time }{{&d.BlockedAt, &other.BlockedAt}, {&d.AcceptedAt, &other.AcceptedAt},
		{&d.EnrolledAt, &other.EnrolledAt}, {&d.LastSeenAt, &other.LastSeenAt}, {&d.CreatedAt, &other.CreatedAt},
		{&d.NotBefore, &other.NotBefore}, {&d.ExpiresAt, &other.ExpiresAt}} {
		if t.ours.Equal(*t.theirs) {
			*t.theirs = *t.ours // also where zone or clock reading differ
		}
	}
	if len(d.Sources) == 0 && len(other.Sources) == 0 {
		d.Sources, other.Sources = nil, nil
	}
	if len(d.Facts.Extra) == 0 && len(other.Facts.Extra) == 0 {
		d.Facts.Extra, other.Facts.Extra = nil, nil
	}
	return reflect.DeepEqual(d, other)
}

// Deletable says whether the row may be deleted rather than disenrolled. One
// that an enrollment has begun for may: it can be stuck there.
func (d Device) Deletable() bool { return d.State != StateEnrolled }

// factFields are the names of facts in Device.Sources. The answers in Extra
// come from the device only and have no entry.
var factFields = []string{"udid", "imei", "meid", "product", "model", "os_version", "build_version", "device_name", "supervised"}

// fields are pointers to the facts that are text, in the order of factFields.
func (f *Facts) fields() []*string {
	return []*string{&f.UDID, &f.IMEI, &f.MEID, &f.Product, &f.Model, &f.OSVersion, &f.BuildVersion, &f.DeviceName}
}

// trust orders sources: who stands nearer to the device is believed.
var trust = map[Source]int{SourceCSV: 1, SourceAPI: 1, SourceDEP: 2, SourceZeroTouch: 2, SourceDevice: 3}

// Learn merges facts told by a source, field by field: what the device says of
// itself beats Apple's or Google's list, and that beats what an admin wrote;
// among equals the later word counts. Who told a field is kept in Sources.
func (d *Device) Learn(f Facts, from Source) {
	sources := maps.Clone(d.Sources)
	if sources == nil {
		sources = map[string]Source{}
	}
	believed := func(field string, isKnown bool) bool {
		if isKnown && trust[from] < trust[sources[field]] {
			return false
		}
		sources[field] = from
		return true
	}
	known := d.Facts.fields()
	for i, told := range f.fields() {
		if *told != "" && !believed(factFields[i], *known[i] != "") {
			*told = ""
		}
	}
	if f.Supervised != nil && !believed("supervised", d.Facts.Supervised != nil) {
		f.Supervised = nil
	}
	d.Facts, d.Sources = d.Facts.Merge(f), sources
}
