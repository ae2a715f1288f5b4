package dep

import "time"

// wireDevice is the Device object. Which fields are there depends on the
// protocol version the client names.
type wireDevice struct {
	SerialNumber       string        `json:"serial_number"`
	Model              string        `json:"model,omitempty"`
	Description        string        `json:"description,omitempty"`
	Color              string        `json:"color,omitempty"`
	AssetTag           string        `json:"asset_tag,omitempty"`
	ProfileStatus      ProfileStatus `json:"profile_status,omitempty"`
	ProfileUUID        string        `json:"profile_uuid,omitempty"`
	ProfileAssignTime  string        `json:"profile_assign_time,omitempty"`
	ProfilePushTime    string        `json:"profile_push_time,omitempty"`
	DeviceAssignedDate string        `json:"device_assigned_date,omitempty"`
	DeviceAssignedBy   string        `json:"device_assigned_by,omitempty"`
	OpType             operation     `json:"op_type,omitempty"` // sync only
	OpDate             string        `json:"op_date,omitempty"`
	ResponseStatus     string        `json:"response_status,omitempty"` // details only

	OS                string `json:"os,omitempty"` // from version 2
	DeviceFamily      string `json:"device_family,omitempty"`
	MigrationDeadline string `json:"mdm_migration_deadline,omitempty"` // from version 8

	IMEI                  []string `json:"imei,omitempty"` // from version 10, as all below
	MEID                  []string `json:"meid,omitempty"`
	EID                   string   `json:"eid,omitempty"`
	WiFi                  string   `json:"wifi_mac_address,omitempty"`
	Bluetooth             string   `json:"bluetooth_mac_address,omitempty"`
	Ethernet              string   `json:"ethernet_mac_address,omitempty"`
	IsReplacement         *bool    `json:"is_replacement_device,omitempty"`
	ReleasedByReplacement *bool    `json:"released_by_replacement,omitempty"`
}

// The protocol versions that brought fields.
const (
	versionFamily    = 2
	versionOrg       = 3
	versionIPadOS    = 7
	versionMigration = 8
	versionThrottled = 9
	versionLatest    = 10
)

// show is a device of account a.
func (a *Account) show(d *device, version int) wireDevice {
	w := describe(d, version)
	w.DeviceAssignedDate, w.DeviceAssignedBy = stamp(d.assigned), a.cloud.options.Organization.Email
	w.ProfileStatus, w.ProfileAssignTime, w.ProfilePushTime = d.status, stamp(d.profileAt), stamp(d.pushedAt)
	if d.profile != nil {
		w.ProfileUUID = d.profile.uuid
	}
	if version >= versionMigration {
		w.MigrationDeadline = stamp(d.MigrationDeadline)
	}
	return w
}

// describe is what a device is, whoever has it.
func describe(d *device, version int) wireDevice {
	w := wireDevice{SerialNumber: d.Serial, Model: d.Model, Description: d.Description, Color: d.Color, AssetTag: d.AssetTag}
	if version >= versionFamily {
		w.DeviceFamily, w.OS = d.Family, osOf(d.Family, version)
	}
	if version >= versionLatest {
		w.IMEI, w.MEID, w.EID, w.WiFi, w.Bluetooth, w.Ethernet = d.IMEI, d.MEID, d.EID, d.WiFi, d.Bluetooth, d.Ethernet
		replacement, released := d.replacement, false
		w.IsReplacement, w.ReleasedByReplacement = &replacement, &released
	}
	return w
}

// operate is an entry of the stream of changes. It shows the device as it is
// now; what has left the account, no more than what it is.
func (a *Account) operate(ch change, version int) wireDevice {
	w := describe(ch.device, version)
	if ch.op != deleted && ch.device.account == a {
		w = a.show(ch.device, version)
	}
	w.OpType, w.OpDate = ch.op, stamp(ch.at)
	if ch.replaced && w.ReleasedByReplacement != nil {
		*w.ReleasedByReplacement = true
	}
	return w
}

func osOf(family string, version int) string {
	switch family {
	case "iPad":
		if version >= versionIPadOS {
			return "iPadOS"
		}
		return "iOS"
	case "Mac":
		return "OSX"
	case "AppleTV":
		return "tvOS"
	case "Watch":
		return "watchOS"
	case "Vision":
		return "visionOS"
	}
	return "iOS"
}

// stamp writes a time as Apple does, in whole seconds of UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
