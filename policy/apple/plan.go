package apple

import "rollcall/policy/document"

// Plan is what a document becomes on one device. Keys are stable names, unique
// in the plan, of what they hold ("restrictions", "wifi.1f0c9a2e"). The JSON of
// a Profile, Setting or Install changes when what is sent changes: where in the
// document it stands, and what people call it, is not part of it.
type Plan struct {
	Profiles     []Installable
	Settings     []Setting
	Apps         []Install
	Declarations []Declaration
}

// Installable is a configuration profile to install and, once it is no longer
// in the plan, to remove.
type Installable struct {
	Key     string // the PayloadIdentifier is a prefix of the server's and this
	Title   string // for people
	Pointer string // JSON pointer to what of the document it carries out
	Profile document.Profile
	Last    bool // to be installed after the apps, since it needs one of them
}

// Setting is one item of a Settings command. A setting stays as it is when it
// is no longer in the plan: Apple knows no way to take one back.
type Setting struct {
	Key     string
	Title   string        `json:"-"`
	Pointer string        `json:"-"`
	Item    string        // "DeviceName", "Bluetooth", "DataRoaming", ...
	Content document.Dict // the item's keys beside Item
}

// Install is an app to install as a managed app. The first one given of
// AppStoreID, ManifestURL and BundleID names it to the device; BundleID beside
// another is what the device will call it.
type Install struct {
	Key           string
	Title         string `json:"-"`
	Pointer       string `json:"-"`
	AppStoreID    int64
	BundleID      string // empty: known only from the answer to InstallApplication
	ManifestURL   string
	Flags         int           // ManagementFlags: 1 remove with the enrollment, 4 no backup, 5 both, 0 none
	Licensed      bool          // by a volume licence; else the user's Apple Account gets it
	TakeOver      bool          // also if the user installed it (ChangeManagementState)
	Configuration document.Dict // managed app configuration; nil: none
	Attributes    document.Dict // nil: none
}

// The kinds of a Declaration, as the URL of its document names them.
const (
	KindActivation    = "activation"
	KindAsset         = "asset"
	KindConfiguration = "configuration"
	KindManagement    = "management"
)

// Declaration is a declaration without its ServerToken (Apple: Declarations).
type Declaration struct {
	Title      string // empty: made by the compiler, not by the document
	Pointer    string
	Kind       string
	Type       string // "com.apple.configuration.passcode.settings"
	Identifier string // at most 64 bytes
	Payload    document.Dict
}
