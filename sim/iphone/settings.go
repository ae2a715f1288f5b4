package iphone

import (
	"context"
	"slices"

	"rollcall/sim/plist"
)

// settingItems are the items of the Settings command, with the keys each must
// have, and whether it needs supervision.
var settingItems = map[string]struct {
	supervised bool
	keys       []string
}{
	"DeviceName":               {true, []string{"DeviceName"}},
	"Wallpaper":                {true, []string{"Image", "Where"}},
	"OrganizationInfo":         {false, []string{"OrganizationInfo"}},
	"MDMOptions":               {false, []string{"MDMOptions"}},
	"DataRoaming":              {false, []string{"Enabled"}},
	"PersonalHotspot":          {false, []string{"Enabled"}},
	"Bluetooth":                {false, []string{"Enabled"}},
	"ApplicationConfiguration": {false, []string{"Identifier"}},
	"ApplicationAttributes":    {false, []string{"Identifier"}},
	"TimeZone":                 {true, []string{"TimeZone"}},
	"AccessibilitySettings":    {true, nil},
	"DefaultApplications":      {true, nil},
}

// applySettings answers item by item: the command is Acknowledged, each item
// has its own Status.
func (p *Phone) applySettings(_ context.Context, c plist.Dict) (outcome, error) {
	items, ok := c["Settings"].([]any)
	if !ok || len(items) == 0 {
		return outcome{}, errFormat
	}
	results := []any{}
	for _, entry := range items {
		item, ok := entry.(plist.Dict)
		if !ok {
			return outcome{}, errFormat
		}
		name, ok := item["Item"].(string)
		if !ok {
			return outcome{}, errFormat
		}
		result := plist.Dict{"Item": name, "Status": "Acknowledged"}
		if id, ok := item["Identifier"].(string); ok {
			result["Identifier"] = id
		}
		if chain := p.applySetting(name, item); chain != nil {
			result["Status"], result["ErrorChain"] = "Error", chain.plist()
		}
		results = append(results, result)
	}
	return outcome{keys: plist.Dict{"Settings": results}}, nil
}

func (p *Phone) applySetting(name string, item plist.Dict) ChainError {
	spec, ok := settingItems[name]
	if !ok {
		return mdmError(12008, "unknown settings item %q", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if spec.supervised && !p.supervised {
		return mdmError(12053, "%s needs a supervised device", name)
	}
	for _, key := range spec.keys {
		if _, ok := item[key]; !ok {
			return mdmError(12008, "%s without %s", name, key)
		}
	}
	if slices.Contains([]string{"DataRoaming", "PersonalHotspot", "Bluetooth"}, name) {
		if _, ok := item["Enabled"].(bool); !ok {
			return mdmError(12008, "%s: Enabled is no boolean", name)
		}
	}
	switch name {
	case "DeviceName":
		s, ok := item["DeviceName"].(string)
		if !ok || s == "" {
			return mdmError(12008, "DeviceName is no string")
		}
		p.name = s
	case "OrganizationInfo":
		info, ok := item["OrganizationInfo"].(plist.Dict)
		if org, isString := info["OrganizationName"].(string); !ok || !isString || org == "" {
			return mdmError(12008, "OrganizationInfo without OrganizationName")
		}
	case "ApplicationConfiguration", "ApplicationAttributes":
		id, _ := item["Identifier"].(string)
		if a := p.apps[id]; a == nil || !a.managed {
			return mdmError(12029, "the app %q is not managed", id)
		}
	}
	p.settings[name] = clone(item)
	p.notify()
	return nil
}
