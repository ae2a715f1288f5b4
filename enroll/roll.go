package enroll

import (
	"context"
	"maps"
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
}

// MaxName is the longest device or user name, in bytes.
const MaxName = 255

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
	if in.User != nil {
		return in.User.check()
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
	if err := in.check(); err != nil {
		return Device{}, false, false, err
	}
	now := r.now().UTC()
	d, changed, err = r.ChangeDevice(ctx, serial, in.User, func(old *Device, userID string) (Device, error) {
		created = old == nil
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
		return next, nil
	})
	return d, created && err == nil, changed, err
}

// Patch changes the row of a serial that is on the roll.
func (r *Roll) Patch(ctx context.Context, serial string, in DeviceInput) (Device, bool, error) {
	if err := in.check(); err != nil {
		return Device{}, false, err
	}
	return r.change(ctx, serial, in.User, func(d *Device, userID string) error {
		in.applyTo(d, userID)
		return nil
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

func (u *User) check() error {
	u.Email = strings.ToLower(strings.TrimSpace(u.Email))
	u.Domain = strings.TrimSpace(u.Domain)
	if u.Domain == "" {
		u.Domain = DefaultDomain
	}
	if err := CheckEmail(u.Email); err != nil {
		return err
	}
	return checkName("the user's name", u.Name)
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
