package importer

import (
	"slices"
	"strings"

	"rollcall/enroll"
)

// corporate and the like are what every row of some lists is.
const (
	corporate = string(enroll.OwnershipCorporate)
	personal  = string(enroll.OwnershipPersonal)
	android   = string(enroll.PlatformAndroid)
	ios       = string(enroll.PlatformIOS)
	apple     = string(enroll.PlatformApple)
)

// builtIn are the lists of other products as their documentation shows them,
// for which nothing has to be mapped. What a list does not say and nobody can
// know (often the ownership) has to be given with the import as a default.
var builtIn = []enroll.ImportPreset{
	{Name: "intune-identifiers", Title: "Microsoft Intune, corporate device identifiers: identifier, details; no header", Header: "no", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"#1": FieldIdentifier, "#2": FieldNotes}, Defaults: map[string]string{FieldOwnership: corporate}},
	{Name: "intune-models", Title: "Microsoft Intune, corporate device identifiers: manufacturer, model, serial number; no header", Header: "no", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"#1": FieldNone, "#2": FieldModel, "#3": FieldSerial}, Defaults: map[string]string{FieldOwnership: corporate}},
	{Name: "workspace-one", Title: "Workspace ONE UEM, device registration", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"Group ID": FieldGroup, "User Name": FieldName, "Security Type": FieldNone, "Message Type": FieldNone},
		Values: map[string]map[string]string{
			FieldOwnership: {"C": corporate, "S": corporate, "E": personal, "Corporate - Dedicated": corporate, "Corporate - Shared": corporate, "Employee Owned": personal},
			FieldPlatform:  {"Apple iOS": ios, "iPhone": ios, "iPad": ios, "Apple macOS": apple, "AppleOsX": apple, "macOS": apple}}},
	{Name: "jamf-pro", Title: "Jamf Pro, inventory preload", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"Device Type": FieldPlatform, "Username": FieldNone, "Full Name": FieldName},
		Values:  map[string]map[string]string{FieldPlatform: {"Computer": apple, "Mobile Device": ios}}},
	{Name: "jamf-school", Title: "Jamf School, placeholders", Owner: enroll.OwnerOptional,
		Mapping:  map[string]string{"Identification": FieldDeviceName, "AssignToUser": FieldName, "DeviceGroups": FieldGroup, "Groups": FieldGroup, "Location": FieldNone},
		Defaults: map[string]string{FieldPlatform: apple}},
	{Name: "manageengine", Title: "ManageEngine MDM: invitations (with pre_enroll=false), or devices", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"DOMAIN": FieldNone, "Domain Name": FieldNone},
		Values:  map[string]map[string]string{FieldPlatform: {"iPhone": ios, "iPad": ios, "macOS": apple, "Mac": apple, "tvOS": apple}}},
	{Name: "miradore", Title: "Miradore: user e-mail, device identifier; no header", Header: "no", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"#1": FieldEmail, "#2": FieldIdentifier}},
	{Name: "soti", Title: "SOTI MobiControl: serial number, type; no header", Header: "no", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"#1": FieldSerial, "#2": FieldPlatform},
		Values: map[string]map[string]string{FieldPlatform: {"Android Plus": android, "Android Enterprise": android, "AFW": android, "AndroidForWork": android,
			"iPhone": ios, "iPad": ios, "macOS": apple, "Mac": apple}}},
	{Name: "esper", Title: "Esper, device list: IMEI1, IMEI2, serial number", Owner: enroll.OwnerOptional,
		Defaults: map[string]string{FieldPlatform: android, FieldOwnership: corporate}},
	{Name: "zero-touch", Title: "Android zero-touch portal, device list", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"modemid": FieldIMEI, "modemtype": FieldNone, "manufacturer": FieldNone, "owner": FieldNone, "ownerid": FieldNone,
			"profiletype": FieldNone, "profileid": FieldNone, "profilename": FieldNone, "configuration": FieldNone, "configurationname": FieldNone},
		Defaults: map[string]string{FieldPlatform: android, FieldOwnership: corporate}},
	{Name: "apple-business-manager", Title: "Apple Business Manager or Apple School Manager, device export", Owner: enroll.OwnerOptional,
		Mapping: map[string]string{"Device Type": FieldPlatform, "Product Type": FieldPlatform, "Product": FieldModel, "Assigned to": FieldNone, "Order Number": FieldNone},
		Values: map[string]map[string]string{FieldPlatform: {"iPhone": ios, "iPad": ios, "iPod": ios, "iPod touch": ios, "Mac": apple, "MacBook": apple, "MacBook Air": apple,
			"MacBook Pro": apple, "iMac": apple, "Mac mini": apple, "Mac Studio": apple, "Mac Pro": apple, "Apple TV": apple, "Apple Watch": apple, "Watch": apple, "Apple Vision Pro": apple, "Vision": apple}},
		Defaults: map[string]string{FieldPlatform: apple, FieldOwnership: corporate}},
}

// BuiltInPresets are those that are always there, by name.
func BuiltInPresets() []enroll.ImportPreset {
	list := slices.Clone(builtIn)
	for i := range list {
		list[i].BuiltIn = true
	}
	slices.SortFunc(list, func(a, b enroll.ImportPreset) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// BuiltIn finds a preset that is always there.
func BuiltIn(name string) (enroll.ImportPreset, error) {
	all := BuiltInPresets()
	if i := slices.IndexFunc(all, func(p enroll.ImportPreset) bool { return p.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return enroll.ImportPreset{}, wrong("preset_unknown", "there is no preset %q", name).WithHint("There are %s, and those that were saved.", strings.Join(names, ", "))
}

// CheckPreset says what is wrong with a preset to be saved, or nil.
func CheckPreset(p enroll.ImportPreset) error {
	if _, err := BuiltIn(p.Name); err == nil {
		return enroll.Errorf(enroll.KindConflict, "preset_built_in", "the preset %q is built in and cannot be changed", p.Name).WithHint("Save it under another name.")
	}
	for column, to := range p.Mapping {
		if _, ok := fieldNamed(to); !ok && to != FieldNone {
			return wrong("field_unknown", "the column %q is mapped to the field %q, which does not exist", column, to).WithHint("The fields are %s, and %s to leave a column out.", strings.Join(FieldNames(), ", "), FieldNone)
		}
	}
	for _, m := range []map[string]string{p.Defaults} {
		for name := range m {
			if _, ok := fieldNamed(name); !ok {
				return wrong("field_unknown", "there is a default for the field %q, which does not exist", name).WithHint("The fields are %s.", strings.Join(FieldNames(), ", "))
			}
		}
	}
	for name := range p.Values {
		if _, ok := fieldNamed(name); !ok {
			return wrong("field_unknown", "there are values for the field %q, which does not exist", name).WithHint("The fields are %s.", strings.Join(FieldNames(), ", "))
		}
	}
	if p.Charset != "" {
		if _, err := charsetName(p.Charset); err != nil {
			return err
		}
	}
	return nil
}

// Under lays a saved preset under options: what the options say themselves
// stands.
func Under(o enroll.ImportOptions, p enroll.ImportPreset) enroll.ImportOptions {
	o.Preset = ""
	for _, f := range []struct {
		field *string
		below string
	}{{&o.Charset, p.Charset}, {&o.Delimiter, p.Delimiter}, {&o.Header, p.Header}, {&o.Owner, p.Owner}} {
		if *f.field == "" {
			*f.field = f.below
		}
	}
	o.Mapping, o.Defaults = over(p.Mapping, o.Mapping), over(p.Defaults, o.Defaults)
	if len(p.Values) > 0 {
		o.Values = merged(p.Values, o.Values)
	}
	return o
}

func over(below, above map[string]string) map[string]string {
	if len(below) == 0 {
		return above
	}
	out := map[string]string{}
	for _, m := range []map[string]string{below, above} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}
