package enroll

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Roll is what admins do with devices, users and groups.
type Roll struct {
	RollStore
	now func() time.Time
}

// NewRoll makes the roll; a nil clock is time.Now.
func NewRoll(store RollStore, now func() time.Time) *Roll {
	if now == nil {
		now = time.Now
	}
	return &Roll{RollStore: store, now: now}
}

// DeviceInput is what an admin says of a device; nil fields are left as they
// are, pointers to empty values clear.
type DeviceInput struct {
	Platform  *Platform
	Ownership *Ownership
	Name      *string
	User      *User // found or made by domain and e-mail
	NoUser    bool  // take the owner away
	AssetTag  *string
	Tags      *[]string
	Notes     *string
	NotBefore *time.Time // zero: from now on
	ExpiresAt *time.Time // zero: never
	MaxUses   *int       // 0: any number
	Facts     Facts      // what the admin knows of the device itself; see Device.Learn

	// Version is the version the admin has seen. Where the row has another one,
	// nothing is changed and the error is a VersionConflict. 0: any.
	Version int64
}

// VersionConflict refuses a change of a row that somebody else has changed
// since it was read.
type VersionConflict struct {
	Current Device // as it is now, Redacted
}

// Error implements error.
func (e *VersionConflict) Error() string { return e.Unwrap().Error() }

// Unwrap gives the *Error, of KindConflict.
func (e *VersionConflict) Unwrap() error {
	return Errorf(KindConflict, "version_changed", "the device %s has been changed meanwhile; its version is %d now", e.Current.Serial, e.Current.Version).
		WithHint("Look at the current row, and make the change again with its version.")
}

func (in DeviceInput) expected(old *Device) error {
	switch {
	case in.Version == 0 || old != nil && old.Version == in.Version:
		return nil
	case old == nil:
		return Errorf(KindConflict, "version_changed", "the device is not on the roll any more").WithHint("Leave the version out to put it there again.")
	}
	return &VersionConflict{Current: old.Redacted()}
}

// MaxName is the longest device or user name, in bytes.
const MaxName = 255

// MaxNotes is how long notes may be, in bytes.
const MaxNotes = 4000

func (in DeviceInput) check() error {
	if in.Platform != nil && !in.Platform.valid() {
		return Errorf(KindInvalid, "platform_unknown", "the platform %q does not exist", *in.Platform).WithHint("Use one of android, ios, apple.")
	}
	if in.Ownership != nil && !in.Ownership.valid() {
		return Errorf(KindInvalid, "ownership_unknown", "the ownership %q does not exist", *in.Ownership).WithHint("Use one of personal, corporate, selectuser.")
	}
	if in.Name != nil {
		if err := checkName("the device name", *in.Name); err != nil {
			return err
		}
	}
	if in.AssetTag != nil {
		if err := checkName("the asset tag", *in.AssetTag); err != nil {
			return err
		}
	}
	if in.Tags != nil {
		var err error
		if *in.Tags, err = NormalizeTags(*in.Tags); err != nil {
			return err
		}
	}
	if in.Notes != nil && len(*in.Notes) > MaxNotes {
		return Errorf(KindInvalid, "notes_too_long", "the notes have %d bytes; at most %d are possible", len(*in.Notes), MaxNotes)
	}
	if in.MaxUses != nil && *in.MaxUses < 0 {
		return Errorf(KindInvalid, "max_uses_invalid", "max_uses cannot be %d", *in.MaxUses).WithHint("Use 0 for any number.")
	}
	if in.User != nil {
		return in.User.check()
	}
	return nil
}

// checked is check, and that the domain of the owner exists.
func (r *Roll) checked(ctx context.Context, in DeviceInput) error {
	err := in.check()
	if err == nil && in.User != nil {
		_, err = r.Domain(ctx, in.User.Domain)
	}
	if KindOf(err) == KindNotFound {
		return invalidDomain(in.User.Domain)
	}
	return err
}

// invalidDomain is NoDomain for a domain named in the input.
func invalidDomain(name string) error {
	e := *NoDomain(name)
	e.Kind = KindInvalid
	return &e
}

// checkWindow keeps a row from being closed before it opens.
func checkWindow(d Device) error {
	if !d.NotBefore.IsZero() && !d.ExpiresAt.IsZero() && !d.NotBefore.Before(d.ExpiresAt) {
		return Errorf(KindInvalid, "window_invalid", "the row would expire before it becomes valid").WithHint("Set expires_at to a time after not_before.")
	}
	return nil
}

// Put creates or changes the row of a serial. created and changed tell which;
// both false means that the row was so already.
func (r *Roll) Put(ctx context.Context, serial string, in DeviceInput) (d Device, created, changed bool, err error) {
	raw := serial
	serial = NormalizeSerial(serial)
	if err := CheckSerial(serial); err != nil {
		return Device{}, false, false, err
	}
	if err := r.checked(ctx, in); err != nil {
		return Device{}, false, false, err
	}
	now := r.now().UTC()
	d, changed, err = r.ChangeDevice(ctx, serial, in.User, func(old *Device, userID string) (Device, error) {
		created = old == nil
		if err := in.expected(old); err != nil {
			return Device{}, err
		}
		if created && (in.Platform == nil || in.Ownership == nil) {
			return Device{}, Errorf(KindInvalid, "device_incomplete", "a new device needs platform and ownership")
		}
		var next Device
		if created {
			next = Device{ID: NewID(), Serial: serial, SerialRaw: raw, State: StatePreEnrolled, CreatedAt: now, Sources: map[string]Source{}}
		} else {
			next = *old
			next.Sources = sourcesOf(*old)
		}
		in.applyTo(&next, userID)
		next.Sources["serial"] = keepAdmin(next.Sources["serial"])
		next.stopWaiting()
		return next, checkWindow(next)
	})
	return d, created && err == nil, changed, err
}

// Patch changes the row of a serial that is on the roll.
func (r *Roll) Patch(ctx context.Context, serial string, in DeviceInput) (Device, bool, error) {
	if err := r.checked(ctx, in); err != nil {
		return Device{}, false, err
	}
	return r.change(ctx, serial, in.User, func(d *Device, userID string) error {
		if err := in.expected(d); err != nil {
			return err
		}
		in.applyTo(d, userID)
		return checkWindow(*d)
	})
}

// Block refuses the device at the gate from now on, in every mode, until
// Unblock. It does not end an existing enrollment.
func (r *Roll) Block(ctx context.Context, serial, reason string) (Device, error) {
	d, _, err := r.change(ctx, serial, nil, func(d *Device, _ string) error {
		if d.BlockedAt.IsZero() {
			d.BlockedAt = r.now().UTC()
		}
		d.BlockReason = reason
		return nil
	})
	return d, err
}

// Unblock lets the device pass the gate again.
func (r *Roll) Unblock(ctx context.Context, serial string) (Device, error) {
	d, _, err := r.change(ctx, serial, nil, func(d *Device, _ string) error {
		d.BlockedAt, d.BlockReason = time.Time{}, ""
		return nil
	})
	return d, err
}

func (r *Roll) change(ctx context.Context, serial string, user *User, change func(d *Device, userID string) error) (Device, bool, error) {
	serial = NormalizeSerial(serial)
	return r.ChangeDevice(ctx, serial, user, func(old *Device, userID string) (Device, error) {
		if old == nil {
			return Device{}, NoDevice(serial)
		}
		next := *old
		next.Sources = sourcesOf(*old)
		return next, change(&next, userID)
	})
}

// NoDevice is the error for a serial that is not on the roll.
func NoDevice(serial string) *Error {
	return Errorf(KindNotFound, "device_unknown", "no device with the serial %q is on the roll", serial).
		WithHint("Compare the serial with the one on the device; add it with PUT or with an import.")
}

func (in DeviceInput) applyTo(d *Device, userID string) {
	set := func(field string) { d.Sources[field] = SourceAPI }
	if in.Platform != nil && d.Platform != *in.Platform {
		d.Platform = *in.Platform
		set("platform")
	}
	if in.Ownership != nil && d.Ownership != *in.Ownership {
		d.Ownership = *in.Ownership
		set("ownership")
	}
	if in.Name != nil && d.Name != *in.Name {
		d.Name = *in.Name
		set("name")
	}
	switch {
	case in.NoUser && d.UserID != "":
		d.UserID = ""
		set("user")
	case in.User != nil && d.UserID != userID:
		d.UserID = userID
		set("user")
	}
	if in.AssetTag != nil && d.AssetTag != *in.AssetTag {
		d.AssetTag = *in.AssetTag
		set("asset_tag")
	}
	if in.Tags != nil && !slices.Equal(d.Tags, *in.Tags) {
		d.Tags = slices.Clone(*in.Tags)
		set("tags")
	}
	if in.Notes != nil && d.Notes != *in.Notes {
		d.Notes = *in.Notes
		set("notes")
	}
	if in.NotBefore != nil && !d.NotBefore.Equal(*in.NotBefore) {
		d.NotBefore = in.NotBefore.UTC()
		set("not_before")
	}
	if in.ExpiresAt != nil && !d.ExpiresAt.Equal(*in.ExpiresAt) {
		d.ExpiresAt = in.ExpiresAt.UTC()
		set("expires_at")
	}
	if in.MaxUses != nil && d.MaxUses != *in.MaxUses {
		d.MaxUses = *in.MaxUses
		set("max_uses")
	}
	d.Learn(in.Facts, SourceAPI)
}

// Tags of a device: how many, and how long each may be, in bytes.
const (
	MaxTags   = 50
	MaxTagLen = 64
)

// NormalizeTags gives tags trimmed, in order and without repeats and blanks.
func NormalizeTags(tags []string) ([]string, error) {
	out := make([]string, 0, len(tags))
	for _, t := range tags {
		t = strings.TrimSpace(t)
		switch {
		case t == "":
			continue
		case len(t) > MaxTagLen:
			return nil, Errorf(KindInvalid, "tag_too_long", "the tag %q has %d bytes; at most %d are possible", t[:MaxTagLen], len(t), MaxTagLen)
		case strings.ContainsFunc(t, func(r rune) bool { return r == '|' || unicode.IsControl(r) }):
			return nil, Errorf(KindInvalid, "tag_characters", "the tag %q holds a character that separates tags", t).WithHint("Leave out | and control characters.")
		}
		out = append(out, t)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > MaxTags {
		return nil, Errorf(KindInvalid, "tags_too_many", "a device can have %d tags at most", MaxTags)
	}
	return out, nil
}

// sourcesOf is a copy that can be written to.
func sourcesOf(d Device) map[string]Source {
	if d.Sources == nil {
		return map[string]Source{}
	}
	return maps.Clone(d.Sources)
}

// keepAdmin makes a row that came in by itself one that an admin knows.
func keepAdmin(s Source) Source {
	if s == "" || s == SourceDevice {
		return SourceAPI
	}
	return s
}

func (p Platform) valid() bool {
	for _, k := range Platforms {
		if p == k {
			return true
		}
	}
	return false
}

func (o Ownership) valid() bool {
	for _, k := range Ownerships {
		if o == k {
			return true
		}
	}
	return false
}

// checkName keeps names out that no screen, mail header or file can hold.
func checkName(what, name string) error {
	if len(name) > MaxName {
		return Errorf(KindInvalid, "name_too_long", "%s has %d bytes; at most %d are possible", what, len(name), MaxName)
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return Errorf(KindInvalid, "name_characters", "%s holds a control character", what).WithHint("Type it again; line feeds and tabs are not possible.")
	}
	return nil
}

// CheckEmail says what is wrong with an e-mail address in lower case, or nil.
// It takes the addresses mail servers take (RFC 5321, section 4.1.2, without
// quoted local parts and address literals), and those of localhost.
func CheckEmail(email string) error {
	local, domain, _ := strings.Cut(email, "@")
	dotted := func(s string) bool {
		return s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
	}
	odd := func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == unicode.ReplacementChar || strings.ContainsRune("@<>,;:\\\"()[]", r)
	}
	if len(email) > 254 || len(local) > 64 || !dotted(local) || !dotted(domain) || !strings.Contains(domain, ".") && domain != "localhost" ||
		strings.ContainsFunc(local+domain, odd) {
		return Errorf(KindInvalid, "email_invalid", "%q is not an e-mail address", email).WithHint("Write it as name@example.com.")
	}
	return nil
}
