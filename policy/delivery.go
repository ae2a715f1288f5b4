package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"rollcall/enroll"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

// Step is one thing to do on a device, without its wire form.
type Step interface{ step() }

// The steps of a first check-in, in their order (DeviceInformation,
// SecurityInfo, device name, profiles, release from Setup Assistant).
type (
	QueryDevice    struct{}
	QuerySecurity  struct{}
	SetDeviceName  struct{ Name string }
	InstallProfile struct {
		Identifier string // PayloadIdentifier
		Profile    document.Profile
	}
	RemoveProfile    struct{ Identifier string }
	QueryProfiles    struct{}                       // installed by this server
	QueryApps        struct{ Identifiers []string } // bundle IDs; empty: all managed apps
	Settings         struct{ Items []apple.Setting }
	InstallApp       struct{ App apple.Install }
	RemoveApp        struct{ Identifier string } // bundle ID of a managed app
	Declare          struct{ Tokens []byte }     // what the endpoint "tokens" answers (JSON)
	DeviceConfigured struct{}
	RenewIdentity    struct{ EnrollmentID, DecisionID, DeviceID, Serial, UDID string }
)

func (QueryDevice) step()      {}
func (QuerySecurity) step()    {}
func (SetDeviceName) step()    {}
func (InstallProfile) step()   {}
func (RemoveProfile) step()    {}
func (QueryProfiles) step()    {}
func (QueryApps) step()        {}
func (Settings) step()         {}
func (InstallApp) step()       {}
func (RemoveApp) step()        {}
func (Declare) step()          {}
func (DeviceConfigured) step() {}
func (RenewIdentity) step()    {}

// Item is one thing a device is to have. Hash tells whether it changed.
type Item struct {
	Key   string // stable name: "profile:" + PayloadIdentifier, "device_name", ...
	Title string // for the receipt
	Hash  string
	Step  Step
}

// profileKey starts the key of an item that is a profile.
const profileKey = "profile:"

// Desired is the desired state of a device in the order of its first check-in.
// policies are in the order of their binding; the first device name wins, and
// a device's own name comes before all.
func Desired(d enroll.Device, policies []Bound, awaiting bool) []Item {
	items := []Item{
		{Key: "query:device", Title: "Device information", Hash: "1", Step: QueryDevice{}},
		{Key: "query:security", Title: "Security information", Hash: "1", Step: QuerySecurity{}},
	}
	name := d.Name
	for _, p := range policies {
		if name == "" {
			name = strings.ReplaceAll(p.Document.DeviceName, "{serial}", d.Serial)
		}
	}
	if name != "" {
		items = append(items, Item{Key: "device_name", Title: "Device name", Hash: hash(name), Step: SetDeviceName{name}})
	}
	for _, p := range policies {
		if p.Document.Apple == nil {
			continue
		}
		for _, f := range p.Document.Apple.Profiles {
			id := IdentifierPrefix + p.ID + "." + f.ID
			title := f.DisplayName
			if title == "" {
				title = p.Name + ": " + f.ID
			}
			items = append(items, Item{Key: profileKey + id, Title: title, Hash: hash(f), Step: InstallProfile{id, f}})
		}
	}
	if awaiting {
		items = append(items, Item{Key: "configured", Title: "Release from Setup Assistant", Hash: "1", Step: DeviceConfigured{}})
	}
	return items
}

func hash(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // checked at save: only values that have a JSON form are stored
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// CommandState is where a command stands.
type CommandState string

// The states of a command. Queued and sent are open; the others are final.
const (
	CommandQueued       CommandState = "queued"
	CommandSent         CommandState = "sent"
	CommandAcknowledged CommandState = "acknowledged"
	CommandFailed       CommandState = "failed" // Error, CommandFormatError, or an item of it failed
	CommandCancelled    CommandState = "cancelled"
)

// Open says whether the command still has to be answered.
func (s CommandState) Open() bool { return s == CommandQueued || s == CommandSent }

// Delivered is what a device was last sent for an item.
type Delivered struct {
	Key       string
	Hash      string
	Removal   bool // the last command removes the item
	CommandID string
	State     CommandState
	Attempts  int // how often the command was handed out
}

// Planned is a step to send, and the item it belongs to.
type Planned struct {
	Item    Item
	Removal bool
}

// Plan is what has to happen so that a device gets from what it was sent to
// what it is to have.
type Plan struct {
	Send   []Planned
	Cancel []string // IDs of open commands that are overtaken
	Forget []string // keys of items that are no longer wanted nor on the device
}

// Empty says whether nothing has to happen.
func (p Plan) Empty() bool { return len(p.Send) == 0 && len(p.Cancel) == 0 && len(p.Forget) == 0 }

// held ends the Hash of an installation that follows another one of the same
// profile: even if it never leaves the queue, the device may have the profile.
const held = "+"

// mayHold says whether the device may have the item: a command for it was
// handed out, be it cancelled or failed since, or may have been handed out
// before the one that is last now.
func (d Delivered) mayHold() bool {
	if d.Removal {
		return d.State != CommandAcknowledged
	}
	return d.State == CommandAcknowledged || d.Attempts > 0 || strings.HasSuffix(d.Hash, held)
}

// Diff makes the plan. A failed item is not sent again until it changes: the
// receipt shows the device's own words, and resending the same bytes to an
// unchanged device would only fail again.
//
// A command that was handed out may be carried out although the plan cancels
// it. Devices carry out one command at a time in the order they get them, so
// whatever overtakes it has the last word; and an item is forgotten together
// with its open command only where that was never handed out.
func Diff(desired []Item, delivered []Delivered) Plan {
	var plan Plan
	have := make(map[string]Delivered, len(delivered))
	for _, d := range delivered {
		have[d.Key] = d
	}
	cancel := func(d Delivered) {
		if d.State.Open() {
			plan.Cancel = append(plan.Cancel, d.CommandID)
		}
	}
	for _, item := range desired {
		was, known := have[item.Key]
		delete(have, item.Key)
		_, release := item.Step.(DeviceConfigured)
		tooEarly := release && was.State == CommandQueued && len(plan.Send) > 0
		if known && !was.Removal && strings.TrimSuffix(was.Hash, held) == item.Hash && was.State != CommandCancelled && !tooEarly {
			continue
		}
		cancel(was)
		// A queued command may be handed out while this plan is made.
		if strings.HasPrefix(item.Key, profileKey) && (was.State.Open() || was.mayHold()) {
			item.Hash += held
		}
		plan.Send = append(plan.Send, Planned{Item: item})
	}
	for _, was := range delivered {
		if _, left := have[was.Key]; !left {
			continue
		}
		identifier, isProfile := strings.CutPrefix(was.Key, profileKey)
		switch {
		case was.Removal && was.State.Open():
		case was.Removal && was.State == CommandFailed: // it was not there
			plan.Forget = append(plan.Forget, was.Key)
		case isProfile && was.mayHold():
			cancel(was)
			plan.Send = append(plan.Send, Planned{Removal: true, Item: Item{Key: was.Key, Title: was.Key, Step: RemoveProfile{identifier}}})
		default:
			cancel(was)
			if !was.State.Open() || was.Attempts == 0 {
				plan.Forget = append(plan.Forget, was.Key)
			}
		}
	}
	return plan
}

// Receipt is what a device got of its policies, for the admin.
type Receipt struct {
	EnrollmentID string
	EnrolledAt   time.Time
	CompletedAt  time.Time // last final answer, once nothing is open; zero before
	Items        []ReceiptItem
}

// TimeToPolicy is the time from the enrollment to the last final answer; zero
// while something is open.
func (r Receipt) TimeToPolicy() time.Duration {
	if r.CompletedAt.IsZero() || r.EnrolledAt.IsZero() {
		return 0
	}
	return r.CompletedAt.Sub(r.EnrolledAt)
}

// ReceiptItem is one line of a receipt.
type ReceiptItem struct {
	Key         string
	Title       string
	Removal     bool
	CommandID   string
	RequestType string
	State       CommandState
	NotNow      bool // the device answered NotNow last
	Attempts    int
	Error       string // the device's own words
	QueuedAt    time.Time
	SentAt      time.Time // first hand-out
	FinishedAt  time.Time
}
