package mdm

import (
	"strconv"
	"strings"

	"rollcall/enroll"
)

// Content types of the protocol. Requests are matched by prefix, since devices
// add a charset.
const (
	contentCheckin = "application/x-apple-aspen-mdm-checkin"
	contentConnect = "application/x-apple-aspen-mdm"
	contentProfile = "application/x-apple-aspen-config"
	contentPlist   = "application/xml; charset=UTF-8"
)

// sharedUserID is the UserID of every user of a Shared iPad; its
// UserShortName tells them apart.
const sharedUserID = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"

// sender is who a message says it comes from. Device enrollments send UDID,
// user enrollments EnrollmentID and never UDID.
type sender struct {
	UDID             string `plist:",omitempty"`
	EnrollmentID     string `plist:",omitempty"`
	UserID           string `plist:",omitempty"`
	UserShortName    string `plist:",omitempty"`
	EnrollmentUserID string `plist:",omitempty"`
}

// device is the identifier of the device; an opaque string.
func (s sender) device() string {
	if s.UDID != "" {
		return s.UDID
	}
	return s.EnrollmentID
}

// user is the identifier of the user channel, "" on the device channel.
func (s sender) user() string {
	switch {
	case s.UserID == sharedUserID:
		return s.UserShortName
	case s.UserID != "":
		return s.UserID
	}
	return s.EnrollmentUserID
}

const maxIdentifier = 256 // UDIDs have no fixed length; this only bounds nonsense

func (s sender) check() error {
	if s.device() == "" {
		return bad("identifier_missing", "the message has neither UDID nor EnrollmentID")
	}
	for _, v := range []string{s.UDID, s.EnrollmentID, s.UserID, s.UserShortName, s.EnrollmentUserID} {
		if len(v) > maxIdentifier {
			return bad("identifier_too_long", "an identifier in the message is longer than %d bytes", maxIdentifier)
		}
	}
	return nil
}

// checkin is any check-in message: the union of the keys of all of them, since
// each message uses its own few.
type checkin struct {
	sender
	MessageType string

	// Authenticate
	Topic        string
	OSVersion    string
	BuildVersion string
	ProductName  string
	SerialNumber string
	IMEI         string
	MEID         string
	DeviceName   string
	ModelName    string

	// TokenUpdate
	Token                 []byte
	PushMagic             string
	UnlockToken           []byte
	AwaitingConfiguration *bool

	DigestResponse   string // UserAuthenticate
	BootstrapToken   []byte // SetBootstrapToken
	TokenServiceType string // GetToken
	Endpoint         string // DeclarativeManagement
	Data             []byte // DeclarativeManagement: the status report, JSON
}

func (m checkin) facts() enroll.Facts {
	return enroll.Facts{UDID: m.device(), IMEI: m.IMEI, MEID: m.MEID, Product: m.ProductName, Model: m.ModelName,
		OSVersion: m.OSVersion, BuildVersion: m.BuildVersion, DeviceName: m.DeviceName}
}

// PlatformOf tells iPhones and iPads from other Apple devices by their product
// ("iPhone17,2").
func PlatformOf(product string) enroll.Platform {
	for _, p := range []string{"iPhone", "iPad", "iPod"} {
		if strings.HasPrefix(product, p) {
			return enroll.PlatformIOS
		}
	}
	return enroll.PlatformApple
}

// knowsUnrecognized says whether a device understands the answer 403 with
// com.apple.unrecognized.device (iOS and tvOS 17, macOS 14, watchOS 10); others
// need 401.
func knowsUnrecognized(product, osVersion string) bool {
	major, _, _ := strings.Cut(osVersion, ".")
	version, err := strconv.Atoi(major)
	if err != nil {
		return false
	}
	switch {
	case PlatformOf(product) == enroll.PlatformIOS, strings.HasPrefix(product, "AppleTV"):
		return version >= 17
	case strings.HasPrefix(product, "Mac"), strings.HasPrefix(product, "iMac"):
		return version >= 14
	case strings.HasPrefix(product, "Watch"):
		return version >= 10
	}
	return false
}

// answer is the result of a command as a connect brings it. Response keys other
// than these are read where a command needs them.
type answer struct {
	sender
	Status      string
	CommandUUID string
	ErrorChain  []chainedError
	Settings    []settingResult

	RejectionReason string // InstallApplication: why the app will not come

	QueryResponses map[string]any
	SecurityInfo   map[string]any
}

type chainedError struct {
	ErrorCode            int64
	ErrorDomain          string
	LocalizedDescription string
	USEnglishDescription string
}

type settingResult struct {
	Item       string
	Status     string
	ErrorChain []chainedError
}

// maxErrorText bounds what is kept of a device's own words.
const maxErrorText = 2000

// words is an error chain in the device's own words, top level first.
func words(chain []chainedError) string {
	var parts []string
	for _, e := range chain {
		text := e.USEnglishDescription
		if text == "" {
			text = e.LocalizedDescription
		}
		parts = append(parts, strings.TrimSpace(e.ErrorDomain+" "+strconv.FormatInt(e.ErrorCode, 10)+": "+text))
	}
	s := strings.Join(parts, "; ")
	if len(s) > maxErrorText {
		s = strings.ToValidUTF8(s[:maxErrorText], "")
	}
	return s
}

// codes are the numbers of an answer's errors: what may be logged of them, for
// a device's own words may name people and places.
func (a answer) codes() []int64 {
	var codes []int64
	for _, e := range a.ErrorChain {
		codes = append(codes, e.ErrorCode)
	}
	for _, s := range a.Settings {
		for _, e := range s.ErrorChain {
			codes = append(codes, e.ErrorCode)
		}
	}
	return codes[:min(len(codes), 10)]
}

// failure says what went wrong with an answer that may look acknowledged: a
// Settings command reports each of its items by itself, and an app may be
// rejected.
func (a answer) failure() string {
	if a.Status != "Acknowledged" {
		said := words(a.ErrorChain)
		if said == "" {
			said = a.Status
		}
		return strings.TrimSuffix(said+": "+a.RejectionReason, ": ")
	}
	if a.RejectionReason != "" {
		return a.RejectionReason
	}
	var failed []string
	for _, s := range a.Settings {
		if s.Status != "" && s.Status != "Acknowledged" {
			failed = append(failed, strings.TrimSpace(s.Item+": "+s.Status+" "+words(s.ErrorChain)))
		}
	}
	return strings.Join(failed, "; ")
}

// facts is what an answer to DeviceInformation or SecurityInfo tells.
func (a answer) facts() enroll.Facts {
	var f enroll.Facts
	text := func(key string) string { s, _ := a.QueryResponses[key].(string); return s }
	f.DeviceName, f.OSVersion, f.BuildVersion = text("DeviceName"), text("OSVersion"), text("BuildVersion")
	f.Product, f.Model = text("ProductName"), text("ModelName")
	if b, ok := a.QueryResponses["IsSupervised"].(bool); ok {
		f.Supervised = &b
	}
	for _, from := range []map[string]any{a.QueryResponses, a.SecurityInfo} {
		for _, key := range extraFacts {
			if s, ok := scalar(from[key]); ok {
				if f.Extra == nil {
					f.Extra = map[string]string{}
				}
				f.Extra[key] = s
			}
		}
	}
	return f
}

// extraFacts are the answers kept beside the named facts.
var extraFacts = []string{"DeviceCapacity", "AvailableDeviceCapacity", "BatteryLevel", "WiFiMAC", "BluetoothMAC", "TimeZone",
	"IsMultiUser", "IsMDMLostModeEnabled", "IsDeviceLocatorServiceEnabled", "CellularTechnology", "ModelNumber",
	"HardwareEncryptionCaps", "PasscodePresent", "PasscodeCompliant", "PasscodeCompliantWithProfiles"}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, len(v) <= 256
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}
