package mdm

import (
	"context"
	"fmt"

	"rollcall/enroll"
	"rollcall/mdm/plist"
	"rollcall/policy"
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

// NewCommand makes a command of a RequestType with its request keys, under a
// new CommandUUID. keys is not kept. A RequestType among them is
// enroll.KindInvalid unless it is the same one: what is recorded, and what the
// caller may send, is decided by the first.
func NewCommand(requestType string, keys map[string]any) (Command, error) {
	return buildCommand(enroll.NewID(), requestType, keys)
}

func buildCommand(id, requestType string, keys map[string]any) (Command, error) {
	inner := map[string]any{"RequestType": requestType}
	for k, v := range keys {
		if k == "RequestType" && v != requestType {
			return Command{}, bad("request_type_twice", "the keys of the command name another RequestType than %q", requestType)
		}
		inner[k] = v
	}
	body, err := plist.Encode(map[string]any{"CommandUUID": id, "Command": inner})
	return Command{ID: id, RequestType: requestType, Body: body}, err
}

// RawCommand takes a command an admin wrote as a property list: a whole
// command, or only its inner dictionary with RequestType. It gets a new
// CommandUUID, so that it cannot be taken for another.
func RawCommand(data []byte) (Command, error) {
	dict, err := plist.DecodeDict(data)
	if err != nil {
		return Command{}, bad("plist_invalid", "the command is not a property list that can be read: %v", err)
	}
	if inner, ok := dict["Command"].(map[string]any); ok {
		dict = inner
	}
	requestType, _ := dict["RequestType"].(string)
	if requestType == "" {
		return Command{}, bad("request_type_missing", "the command has no RequestType")
	}
	return NewCommand(requestType, dict)
}

// deviceQueries is what a first check-in asks of a device (Apple: Device
// Information command). Queries an older system does not know are left out of
// its answer.
var deviceQueries = []string{"UDID", "SerialNumber", "DeviceName", "OSVersion", "BuildVersion", "SupplementalBuildVersion", "ModelName", "Model",
	"ModelNumber", "ProductName", "DeviceCapacity", "AvailableDeviceCapacity", "BatteryLevel", "IsSupervised", "IsMultiUser",
	"IsDeviceLocatorServiceEnabled", "IsMDMLostModeEnabled", "AwaitingConfiguration", "WiFiMAC", "BluetoothMAC", "EASDeviceIdentifier",
	"CellularTechnology", "ServiceSubscriptions", "IsCloudBackupEnabled", "LastCloudBackupDate", "iTunesStoreAccountIsActive", "TimeZone",
	"SoftwareUpdateDeviceID"}

// InstallProfile installs a configuration profile, signed or not.
func InstallProfile(profile []byte) (Command, error) {
	return NewCommand("InstallProfile", map[string]any{"Payload": profile})
}

// RemoveProfile removes a profile by its PayloadIdentifier; removing the
// enrollment profile ends the enrollment.
func RemoveProfile(identifier string) (Command, error) {
	return NewCommand("RemoveProfile", map[string]any{"Identifier": identifier})
}

// purchaseByLicence is the PurchaseMethod of volume licences. The other one, a
// free app or one with a redemption code, is the default.
const purchaseByLicence = 1

func installKeys(a apple.Install) map[string]any {
	keys := map[string]any{}
	switch {
	case a.AppStoreID != 0:
		keys["iTunesStoreID"] = a.AppStoreID
	case a.ManifestURL != "":
		keys["ManifestURL"] = a.ManifestURL
	default:
		keys["Identifier"] = a.BundleID
	}
	if a.Flags != 0 {
		keys["ManagementFlags"] = a.Flags
	}
	if a.Licensed {
		keys["Options"] = map[string]any{"PurchaseMethod": purchaseByLicence}
	}
	if a.TakeOver {
		keys["ChangeManagementState"] = "Managed"
	}
	for name, d := range map[string]document.Dict{"Configuration": a.Configuration, "Attributes": a.Attributes} {
		if d != nil {
			keys[name] = plain(d)
		}
	}
	return keys
}

func settingsKeys(settings []apple.Setting) map[string]any {
	items := make([]any, len(settings))
	for i, s := range settings {
		item := map[string]any{"Item": s.Item}
		for k, v := range s.Content {
			item[k] = plain(v)
		}
		items[i] = item
	}
	return map[string]any{"Settings": items}
}

// Encoder turns the steps of a policy into commands; it is a policy.Encoder.
type Encoder struct {
	Profiles *Profiles
}

// Encode implements policy.Encoder.
func (e Encoder) Encode(ctx context.Context, id string, s policy.Step) (string, []byte, error) {
	var requestType string
	var keys map[string]any
	switch s := s.(type) {
	case policy.QueryDevice:
		requestType, keys = "DeviceInformation", map[string]any{"Queries": deviceQueries}
	case policy.QuerySecurity:
		requestType = "SecurityInfo"
	case policy.InstallProfile:
		profile, err := e.Profiles.Configuration(s.Identifier, s.Profile)
		if err != nil {
			return "", nil, err
		}
		requestType, keys = "InstallProfile", map[string]any{"Payload": profile}
	case policy.RemoveProfile:
		requestType, keys = "RemoveProfile", map[string]any{"Identifier": s.Identifier}
	case policy.QueryProfiles:
		requestType, keys = "ProfileList", map[string]any{"ManagedOnly": true}
	case policy.QueryApps:
		requestType, keys = "ManagedApplicationList", map[string]any{}
		if len(s.Identifiers) > 0 {
			keys["Identifiers"] = s.Identifiers
		}
	case policy.Settings:
		requestType, keys = "Settings", settingsKeys(s.Items)
	case policy.InstallApp:
		requestType, keys = "InstallApplication", installKeys(s.App)
	case policy.RemoveApp:
		requestType, keys = "RemoveApplication", map[string]any{"Identifier": s.Identifier}
	case policy.Declare:
		requestType, keys = "DeclarativeManagement", map[string]any{}
		if len(s.Tokens) > 0 {
			keys["Data"] = s.Tokens
		}
	case policy.DeviceConfigured:
		requestType = "DeviceConfigured"
	case policy.RenewIdentity:
		profile, err := e.Profiles.Renewal(ctx, s)
		if err != nil {
			return "", nil, err
		}
		requestType, keys = "InstallProfile", map[string]any{"Payload": profile}
	default:
		return "", nil, fmt.Errorf("mdm: no command for step %T", s)
	}
	c, err := buildCommand(id, requestType, keys)
	return c.RequestType, c.Body, err
}
