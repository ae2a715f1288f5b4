package apple

import (
	"reflect"
	"strings"

	"rollcall/policy/document"
)

// restrictionField is a field of document.Restrictions and its rows.
type restrictionField struct {
	index   int
	pointer string
	rows    []Row
}

// restrictionFields are read once: reflection by name is too slow for every
// device.
var restrictionFields = func() []restrictionField {
	var fields []restrictionField
	t := reflect.TypeFor[document.Restrictions]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		f := restrictionField{index: i, pointer: "/restrictions/" + name}
		for _, r := range Restrictions {
			if r.Name == name {
				f.rows = append(f.rows, r)
			}
		}
		fields = append(fields, f)
	}
	return fields
}()

// restricts says whether the value of a restriction asks for anything. What is
// allowed, optional or left to the user is how the device is anyway.
func restricts(value string) bool {
	switch value {
	case string(document.Deny), string(document.Require), string(document.LocationOff), string(document.LocationOn):
		return true
	}
	return false
}

// settingTitles name the items of the Settings command for people.
var settingTitles = map[string]string{"Bluetooth": "Bluetooth off", "PersonalHotspot": "Personal Hotspot off", "DataRoaming": "Data roaming off"}

func (c *compiler) restrictions() {
	if c.d.Restrictions == nil {
		return
	}
	content := document.Dict{}
	values := reflect.ValueOf(c.d.Restrictions).Elem()
	for _, f := range restrictionFields {
		if !restricts(values.Field(f.index).String()) {
			continue
		}
		for _, r := range f.rows {
			if r.Key == "" {
				c.note(f.pointer, document.NotePlatform, "%s", r.Caveat)
				continue
			}
			if !c.able(f.pointer, Feature{Supervised: r.Supervised, MinOS: r.MinOS, UserEnrollment: r.UserEnrollment}) {
				continue
			}
			if r.Rounded {
				c.note(f.pointer, document.NoteRounded, "%s", r.Caveat)
			}
			if item := r.setting(); item != "" {
				c.set(r.Name, settingTitles[item], f.pointer, item, document.Dict{"Enabled": r.Value})
			} else {
				content[r.Key] = r.Value
			}
		}
	}
	if content["forceWiFiToAllowedNetworksOnly"] == true && !c.hasNetwork() {
		c.note("/restrictions/wifi_change", document.NoteDoubtful, "There is no network in the policies of the device, so it will have no Wi-Fi at all.")
	}
	if len(content) > 0 {
		c.install("restrictions", "Restrictions", "/restrictions", document.Payload{Type: "com.apple.applicationaccess", Content: content})
	}
}

// hasNetwork says whether a profile of the plan brings a Wi-Fi network.
func (c *compiler) hasNetwork() bool {
	for _, f := range c.plan.Profiles {
		for _, p := range f.Profile.Payloads {
			if p.Type == "com.apple.wifi.managed" {
				return true
			}
		}
	}
	return false
}

func (c *compiler) deviceName() {
	const pointer = "/device_name"
	if c.d.DeviceName != "" && c.able(pointer, c.feature("device_name")) {
		c.set("device_name", "Device name", pointer, "DeviceName", document.Dict{"DeviceName": c.d.DeviceName})
	}
}

// lockMessage is the footnote of the lock screen (Apple: Lock Screen Message
// payload).
func (c *compiler) lockMessage() {
	const pointer = "/lock_message"
	if c.d.LockMessage != "" && c.able(pointer, c.feature("lock_message")) {
		c.install("lock_message", "Lock screen message", pointer, document.Payload{Type: "com.apple.shareddeviceconfiguration",
			Content: document.Dict{"LockScreenFootnote": c.d.LockMessage}})
	}
}
