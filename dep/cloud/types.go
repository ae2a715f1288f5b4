package cloud

import (
	"encoding/json"
	"time"
)

// Token is what a server token file holds.
type Token struct {
	ConsumerKey    string    `json:"consumer_key"`
	ConsumerSecret string    `json:"consumer_secret"`
	AccessToken    string    `json:"access_token"`
	AccessSecret   string    `json:"access_secret"`
	ExpiresAt      time.Time `json:"access_token_expiry"`
}

// String keeps the secrets out of logs.
func (Token) String() string { return "cloud.Token(hidden)" }

// GoString keeps the secrets out of %#v.
func (t Token) GoString() string { return t.String() }

// Account is what Apple says of the token's server and its organization.
type Account struct {
	ServerName string  `json:"server_name"`
	ServerUUID string  `json:"server_uuid"`
	AdminID    string  `json:"admin_id"`
	OrgName    string  `json:"org_name"`
	OrgEmail   string  `json:"org_email"`
	OrgPhone   string  `json:"org_phone"`
	OrgAddress string  `json:"org_address"`
	OrgID      string  `json:"org_id"`
	OrgIDHash  string  `json:"org_id_hash"`
	OrgType    string  `json:"org_type"` // edu, org, tvprovider
	OrgVersion string  `json:"org_version"`
	URLs       []Limit `json:"urls"`
}

// Limit is how much one call of a URL takes.
type Limit struct {
	URI   string `json:"uri"`
	Limit struct {
		Default int `json:"default"`
		Maximum int `json:"maximum"`
	} `json:"limit"`
}

// MaxPerCall is the most devices of one call: what Apple says for its URL, but
// not more than 1,000.
func (a Account) MaxPerCall(uri string) int {
	most := maxDevices
	for _, u := range a.URLs {
		if u.URI == uri && u.Limit.Maximum > 0 {
			most = min(most, u.Limit.Maximum)
		}
	}
	return most
}

const maxDevices = 1000

// OpType is what happened to a device. Pages of Fetch have none.
type OpType string

// The operations of a Sync.
const (
	Added    OpType = "added"
	Modified OpType = "modified"
	Deleted  OpType = "deleted"
)

// Status is where the profile of a device stands.
type Status string

// The life of an assignment: nothing, assigned, fetched by the device, removed
// by it.
const (
	StatusEmpty    Status = "empty"
	StatusAssigned Status = "assigned"
	StatusPushed   Status = "pushed"
	StatusRemoved  Status = "removed"
)

// Device is a device as Apple lists it (Apple: Device).
type Device struct {
	Serial      string `json:"serial_number"`
	Model       string `json:"model"`
	Description string `json:"description"`
	Color       string `json:"color"`
	AssetTag    string `json:"asset_tag"`
	OS          string `json:"os"`
	Family      string `json:"device_family"` // iPhone, iPad, iPod, Mac, AppleTV, Watch, Vision

	ProfileStatus     Status `json:"profile_status"`
	ProfileUUID       string `json:"profile_uuid"`
	ProfileAssignTime Time   `json:"profile_assign_time"`
	ProfilePushTime   Time   `json:"profile_push_time"`
	AssignedDate      Time   `json:"device_assigned_date"`
	AssignedBy        string `json:"device_assigned_by"`

	OpType OpType `json:"op_type"`
	OpDate Time   `json:"op_date"`

	MigrationDeadline     Time     `json:"mdm_migration_deadline"`
	IMEI                  []string `json:"imei"`
	MEID                  []string `json:"meid"`
	EID                   string   `json:"eid"`
	Replacement           bool     `json:"is_replacement_device"`
	ReleasedByReplacement bool     `json:"released_by_replacement"`

	ResponseStatus string `json:"response_status"` // of Details only
}

// Time is a time as Apple writes it; empty and unreadable ones are zero, as one
// bad date must not lose a page of devices.
type Time struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		t.Time = at.UTC()
	}
	return nil
}

// Page is a part of the list of devices.
type Page struct {
	Devices      []Device `json:"devices"`
	Cursor       string   `json:"cursor"`
	FetchedUntil Time     `json:"fetched_until"`
	More         bool     `json:"more_to_follow"`
}

// Outcome is what became of one device of an assignment.
type Outcome string

// The outcomes. A serial that an answer leaves out counts as OutcomeFailed.
const (
	OutcomeSuccess       Outcome = "SUCCESS"
	OutcomeNotAccessible Outcome = "NOT_ACCESSIBLE" // the device is not this server's
	OutcomeFailed        Outcome = "FAILED"
	OutcomeThrottled     Outcome = "THROTTLED"
)

// Assignment is the answer to an assignment, or to its removal.
type Assignment struct {
	Outcomes   map[string]Outcome // by serial; every one that was asked for
	RetryAfter time.Duration      // for throttled devices; 0: Apple did not say
}
