package amapi

import (
	"errors"
	"fmt"
	"strings"
)

// How a set-up ends other than well.
var (
	// ErrRefused: the sign-in page sent the device to enroll/invalid.
	ErrRefused = errors.New("the organization refused the device")
	// ErrToken: the token is unknown, used up, expired or deleted, or does not
	// fit the way the device was set up or the person who did.
	ErrToken = errors.New("the enrollment token is not valid")
	// ErrManaged: the device is managed already.
	ErrManaged = errors.New("the device is managed already")
	// ErrOffline: the device reaches nobody.
	ErrOffline = errors.New("the device is offline")
	// ErrSignIn: the sign-in page did not lead anywhere.
	ErrSignIn = errors.New("the sign-in page did not let the device go on")
)

// Hardware is what a device is born with. Serial is required; the rest has
// defaults.
type Hardware struct {
	Serial       string `json:"serial"`
	IMEI         string `json:"imei,omitempty"`
	MEID         string `json:"meid,omitempty"`
	Brand        string `json:"brand,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	APILevel     int    `json:"api_level,omitempty"` // default 36
}

// Device is an Android device with Android Device Policy on it. It is online
// from the start and does at once what the cloud tells it.
type Device struct {
	cloud    *Cloud
	hardware Hardware

	// All of it is under the cloud's lock.
	offline       bool
	busy          bool // a set-up is under way
	account       string
	record        *record // nil: not managed
	policy        object
	resets        int
	uninstallable map[string]bool
	failing       map[string]string
}

// State is what a device is at some moment.
type State struct {
	Managed   bool           `json:"managed"`
	Name      string         `json:"name,omitempty"` // enterprises/.../devices/...
	Mode      string         `json:"management_mode,omitempty"`
	Ownership string         `json:"ownership,omitempty"`
	Policy    map[string]any `json:"policy,omitempty"` // as applied; a copy
	Lost      bool           `json:"lost,omitempty"`
	Disabled  bool           `json:"disabled,omitempty"`
	Resets    int            `json:"resets"` // how often it was wiped, or lost its work profile
	Offline   bool           `json:"offline"`
}

// AddDevice takes a device out of its box. Its serial must be new.
func (c *Cloud) AddDevice(h Hardware) (*Device, error) {
	for at, standard := range map[*string]string{&h.Brand: "google", &h.Manufacturer: "Google", &h.Model: "Pixel 10"} {
		if *at == "" {
			*at = standard
		}
	}
	if h.APILevel == 0 {
		h.APILevel = 36
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Serial == "" || c.serials[h.Serial] != nil {
		return nil, fmt.Errorf("amapi: serial %q is empty or known", h.Serial)
	}
	d := &Device{cloud: c, hardware: h, uninstallable: map[string]bool{}, failing: map[string]string{}}
	c.devices = append(c.devices, d)
	c.serials[h.Serial] = d
	return d, nil
}

// Device finds a device by its serial; nil if there is none.
func (c *Cloud) Device(serial string) *Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serials[serial]
}

// Hardware is what the device was born with.
func (d *Device) Hardware() Hardware { return d.hardware }

// State is what the device is now.
func (d *Device) State() State {
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	s := State{Resets: d.resets, Offline: d.offline}
	if r := d.record; r != nil {
		s.Managed, s.Name, s.Mode, s.Ownership = true, r.name(), r.mode, r.ownership
		s.Lost, s.Disabled = r.appliedState == lostState, r.appliedState == disabledState
		if d.policy != nil {
			s.Policy = clone(d.policy)
		}
	}
	return s
}

// SetOffline takes the device off the net, or back on; it then does what has
// been waiting for it.
func (d *Device) SetOffline(offline bool) {
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	d.cloud.settle()
	d.offline = offline
	if d.record != nil {
		d.cloud.sync(d.record)
	}
}

// SetAccount is the Google account of the person who sets the device up; "" is
// none.
func (d *Device) SetAccount(email string) {
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	d.account = email
}

// Lacks makes a package impossible to install on this device.
func (d *Device) Lacks(packageName string) {
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	d.uninstallable[packageName] = true
}

// Fail lets the device answer commands of a type with an errorCode, such as
// "UNSUPPORTED"; "" ends it.
func (d *Device) Fail(commandType, errorCode string) {
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	d.failing[commandType] = errorCode
}

// Report lets the device send a STATUS_REPORT although nothing has changed.
func (d *Device) Report() error {
	c := d.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	r := d.record
	switch {
	case d.offline:
		return ErrOffline
	case r == nil || !r.wipeBy.IsZero():
		return errors.New("amapi: the device is not managed")
	}
	r.reported = c.now()
	c.notify(r.enterprise, "STATUS_REPORT", r.render())
	return nil
}

// Reset is the person who resets the device, or removes its work profile.
// Nobody tells the cloud.
func (d *Device) Reset() {
	d.cloud.mu.Lock()
	defer d.cloud.mu.Unlock()
	d.reset()
}

func (d *Device) reset() {
	d.record, d.policy = nil, nil
	d.resets++
}

// Fixture is a number of phones with serials that begin alike.
func Fixture(prefix string, n int) []Hardware {
	models := []Hardware{
		{Brand: "google", Manufacturer: "Google", Model: "Pixel 10", APILevel: 36},
		{Brand: "samsung", Manufacturer: "samsung", Model: "SM-S931B", APILevel: 35},
		{Brand: "Zebra", Manufacturer: "Zebra Technologies", Model: "TC58", APILevel: 33},
	}
	out := make([]Hardware, n)
	for i := range out {
		h := models[i%len(models)]
		h.Serial = fmt.Sprintf("%s%07d", strings.ToUpper(prefix), i+1)
		h.IMEI = imei(i + 1)
		out[i] = h
	}
	return out
}

// imei is a number with its check digit (Luhn).
func imei(n int) string {
	digits := fmt.Sprintf("35000000%06d", n%1_000_000)
	sum := 0
	for i, d := range digits {
		v := int(d - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return fmt.Sprintf("%s%d", digits, (10-sum%10)%10)
}
