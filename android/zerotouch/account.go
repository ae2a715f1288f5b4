package zerotouch

import (
	"cmp"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"rollcall/android/amapi"
	"rollcall/enroll"
)

// Assign says which devices get our configuration at Google without being
// chosen one by one.
type Assign string

// The ways to assign. A device that was chosen (Choice) follows that instead.
const (
	AssignAll        Assign = "all"        // every device, whatever it has
	AssignUnassigned Assign = "unassigned" // those that have none
	AssignChosen     Assign = "chosen"     // nobody else than the chosen
)

// Choice is what an admin said of one device.
type Choice string

// The choices. ChoiceNone takes our configuration away and leaves others.
const (
	ChoiceDefault Choice = "default" // as the account says
	ChoiceOurs    Choice = "ours"
	ChoiceNone    Choice = "none"
)

// Way is who manages a device that is set up with our configuration.
type Way string

// The ways. Google takes an agent only that is in Google Play and on its list
// of zero-touch.
const (
	WayDevicePolicy Way = "device_policy" // Android Device Policy, through the sign-in page
	WayAgent        Way = "agent"         // the agent of this server, with an enrollment token
)

// Configuration is what devices get out of their box. Google requires all of
// Name, Company, Email and Phone, and shows the last three to whoever sets the
// device up.
type Configuration struct {
	Way     Way        `json:"way" enum:"device_policy,agent" doc:"Who manages the device: Google's Android Device Policy, or the agent of this server, which has to be on Google's list."`
	Mode    amapi.Mode `json:"mode,omitempty" doc:"Of device_policy: a mode whose gate is sign_in. Default: fully_managed."`
	Name    string     `json:"name,omitempty" maxLength:"100" doc:"In Google's portal. Default: Rollcall."`
	Company string     `json:"company" maxLength:"200"`
	Email   string     `json:"email" maxLength:"254"`
	Phone   string     `json:"phone" maxLength:"40"`
	Message string     `json:"message,omitempty" maxLength:"500" doc:"Shown while the device is set up."`
	Default bool       `json:"default,omitempty" doc:"Devices that resellers register from now on have it from the start."`
}

var phoneForm = regexp.MustCompile(`^\+?[0-9][0-9 ()./-]{2,}$`)

// check fills in what has a default and refuses what Google would.
func (c *Configuration) check() error {
	invalid := func(format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, "zero_touch_configuration_invalid", format, args...)
	}
	c.Name = cmp.Or(strings.TrimSpace(c.Name), "Rollcall")
	switch c.Way {
	case WayDevicePolicy:
		c.Mode = cmp.Or(c.Mode, amapi.FullyManaged)
		if !slices.Contains(amapi.Modes, c.Mode) || c.Mode == amapi.PersonalProfile {
			return invalid("zero-touch sets up company-owned devices; the mode %q is none of theirs", c.Mode)
		}
	case WayAgent:
		if c.Mode != "" {
			return invalid("an agent has no mode")
		}
	default:
		return invalid("the way is device_policy or agent")
	}
	if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
		return invalid("the e-mail address of the configuration is none")
	}
	if !phoneForm.MatchString(c.Phone) {
		return invalid("the phone number of the configuration is none")
	}
	if strings.TrimSpace(c.Company) == "" {
		return invalid("the configuration names no company")
	}
	for _, f := range []string{c.Name, c.Company, c.Message} {
		if strings.ContainsFunc(f, unicode.IsControl) {
			return invalid("the configuration has a control character in a name or message")
		}
	}
	return nil
}

// Account is the organization's account at zero-touch.
type Account struct {
	Project  string // Google Cloud project of the service account
	Address  string // of the service account
	KeyID    string
	Customer string // "customers/123"; empty: not chosen
	Company  string // that Google calls the customer

	// AddAsPreEnrolled is the setting "Add as Pre-enrolled Device": every device
	// that Google lists becomes a row of the roll. Off, it is known here and
	// nothing more.
	AddAsPreEnrolled bool
	Group            string // static group that new rows join; empty: none
	Assign           Assign
	Configuration    Configuration // zero: none
	Configured       string        // ours at Google, "customers/123/configurations/4"; empty: none

	CreatedAt time.Time
	UpdatedAt time.Time

	Devices       int       `json:"-"` // that Google lists; filled on reading
	WithoutSerial int       `json:"-"` // of them, which the roll cannot hold
	Sync          SyncState `json:"-"`
}

// Swept says whether there is a list to sweep.
func (a Account) Swept() bool { return a.Customer != "" }

// SyncState is how far the account has been brought up to date.
type SyncState struct {
	Generation int64     // number of the last sweep
	DueAt      time.Time // when a worker looks again; zero: never
	Running    bool
	StartedAt  time.Time // of the last run
	DoneAt     time.Time // last run that went through
	Failures   int       // runs in a row that did not
	Problem    *Problem  // what an admin has to know; nil: nothing
}

// Problem is what keeps the account from being up to date, worded for an admin.
type Problem struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Hint  string    `json:"hint,omitempty"`
	Since time.Time `json:"since"`
}

// NoAccount is the error where no account is connected.
func NoAccount() *enroll.Error {
	return enroll.Errorf(enroll.KindNotFound, "zero_touch_not_connected", "no zero-touch account is connected").
		WithHint("Give the service account's key: PUT /api/v1/android/zero-touch, or rollcall android zero-touch connect KEY.json.")
}

func noCustomer() *enroll.Error {
	return enroll.Errorf(enroll.KindConflict, "zero_touch_no_customer", "no customer of zero-touch is chosen yet").
		WithHint("List them with rollcall android zero-touch customers, and choose one with rollcall android zero-touch set --customer NAME.")
}
