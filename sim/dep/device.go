package dep

import (
	"fmt"
	"time"
)

// Device is what Apple knows of a device from its making and sale. Serial and
// Family are needed, the rest may be empty.
type Device struct {
	Serial      string
	Family      string // device_family: iPhone, iPad, Mac, AppleTV, Watch, Vision
	Model       string // "iPhone 17"
	Description string // "IPHONE 17 256GB BLACK"
	Color       string
	AssetTag    string

	IMEI, MEID                []string
	EID                       string
	WiFi, Bluetooth, Ethernet string // MAC addresses
	// MigrationDeadline is set in the portal for a device that is to move to
	// this device management service by itself.
	MigrationDeadline time.Time
}

// ProfileStatus is where a device stands with its profile.
type ProfileStatus string

// The life cycle: no profile yet, assigned, fetched by the device, taken away.
const (
	ProfileEmpty    ProfileStatus = "empty"
	ProfileAssigned ProfileStatus = "assigned"
	ProfilePushed   ProfileStatus = "pushed"
	ProfileRemoved  ProfileStatus = "removed"
)

// State is a device as the portal shows it.
type State struct {
	Device
	Account       string // empty: in the organization, but in no account
	ProfileStatus ProfileStatus
	ProfileUUID   string
	Assigned      time.Time // to the account
}

type device struct {
	Device
	account     *Account
	index       int // in account.members
	assigned    time.Time
	profile     *profile
	status      ProfileStatus
	profileAt   time.Time // profile_assign_time
	pushedAt    time.Time
	replacement bool
}

// operation is op_type in the stream of changes.
type operation string

const (
	added    operation = "added"
	modified operation = "modified"
	deleted  operation = "deleted"
)

type change struct {
	device *device
	op     operation
	at     time.Time
	// replaced marks a device that was deleted because another replaced it.
	replaced bool
}

// AddDevices puts new devices into the account, as a purchase does. A serial
// that the organization has already is an error, and nothing is added.
func (a *Account) AddDevices(devices ...Device) error {
	c := a.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[string]bool, len(devices))
	for _, d := range devices {
		if d.Serial == "" || d.Family == "" || seen[d.Serial] || c.devices[d.Serial] != nil {
			return fmt.Errorf("dep: device %q has no family, no serial, or is there already", d.Serial)
		}
		seen[d.Serial] = true
	}
	for _, d := range devices {
		made := &device{Device: d, status: ProfileEmpty}
		c.devices[d.Serial] = made
		a.take(made, added)
	}
	return nil
}

// Device returns a device of the organization.
func (c *Cloud) Device(serial string) (State, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.devices[serial]
	if d == nil {
		return State{}, false
	}
	s := State{Device: d.Device, ProfileStatus: d.status, Assigned: d.assigned}
	if d.account != nil {
		s.Account = d.account.name
	}
	if d.profile != nil {
		s.ProfileUUID = d.profile.uuid
	}
	return s, true
}

// Move assigns a device to an account, nil for none, as an administrator does
// in the portal. Its profile is lost, also where the account stays the same.
// The old account's stream says deleted, the new one's modified with
// profile_status removed.
func (c *Cloud) Move(serial string, to *Account) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.devices[serial]
	if d == nil {
		return unknown(serial)
	}
	d.lose()
	switch {
	case to == nil:
		d.leave(false)
	case d.account == to:
		d.assigned = c.now()
		to.log(d, modified)
	default:
		d.leave(false)
		to.take(d, modified)
	}
	return nil
}

// Release ends the organization's ownership of a device.
func (c *Cloud) Release(serial string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.devices[serial]
	if d == nil {
		return unknown(serial)
	}
	c.release(d, false)
	return nil
}

func (c *Cloud) release(d *device, byReplacement bool) {
	d.leave(byReplacement)
	d.lose()
	delete(c.devices, d.Serial)
}

// Replace is a repair at Apple: the old device is released, and the new one
// takes its place in its account.
func (c *Cloud) Replace(serial string, with Device) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.devices[serial]
	if old == nil || old.account == nil {
		return unknown(serial)
	}
	if with.Serial == "" || c.devices[with.Serial] != nil {
		return fmt.Errorf("dep: %q cannot replace a device", with.Serial)
	}
	if with.Family == "" {
		with.Family = old.Family
	}
	account := old.account
	c.release(old, true)
	made := &device{Device: with, status: ProfileEmpty, replacement: true}
	c.devices[with.Serial] = made
	c.replaced[with.Serial] = replaced{serial, c.now()}
	account.take(made, added)
	return nil
}

// Change alters what Apple knows of a device, for example its asset tag or the
// deadline of its migration. The serial stays.
func (c *Cloud) Change(serial string, change func(*Device)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.devices[serial]
	if d == nil {
		return unknown(serial)
	}
	change(&d.Device)
	d.Serial = serial
	if d.account != nil {
		d.account.log(d, modified)
	}
	return nil
}

func unknown(serial string) error { return fmt.Errorf("dep: no device %q", serial) }

// take puts a device that is in no account into this one.
func (a *Account) take(d *device, op operation) {
	d.account, d.index, d.assigned = a, len(a.members), a.cloud.now()
	a.members = append(a.members, d)
	a.log(d, op)
}

// leave takes a device out of its account.
func (d *device) leave(replaced bool) {
	a := d.account
	if a == nil {
		return
	}
	a.members[d.index] = nil
	d.account = nil
	a.changes = append(a.changes, change{device: d, op: deleted, at: a.cloud.now(), replaced: replaced})
}

// lose takes the profile away. A device that never had one is removed as
// well: that is how moved devices are seen at Apple.
func (d *device) lose() {
	d.profile, d.profileAt, d.pushedAt = nil, time.Time{}, time.Time{}
	d.status = ProfileRemoved
}

func (a *Account) log(d *device, op operation) {
	a.changes = append(a.changes, change{device: d, op: op, at: a.cloud.now()})
}
