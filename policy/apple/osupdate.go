package apple

import "rollcall/policy/document"

// longestDeferral is how many days a new version can be held back.
const longestDeferral = 90

// osUpdate is declared: versions that must be there from iOS 17 on, and how
// updates come from iOS 18 on. Before that new versions can be held back by a
// restriction; Apple has removed it from OS 27.
func (c *compiler) osUpdate() {
	u := c.d.OSUpdate
	if u == nil {
		return
	}
	const (
		pointer = "/os_update"
		mode    = pointer + "/mode"
	)
	if u.TargetVersion != "" && u.Deadline != "" && c.able(pointer+"/target_version", c.feature("os_update.target_version")) {
		c.declare("os_update_target", "Update to "+u.TargetVersion, pointer+"/target_version", "com.apple.configuration.softwareupdate.enforcement.specific",
			document.Dict{"TargetOSVersion": u.TargetVersion, "TargetLocalDateTime": u.Deadline})
	}
	days, daysAt := u.DeferDays, pointer+"/defer_days"
	if u.Mode == "postpone" && days < longestDeferral {
		days, daysAt = longestDeferral, mode
	}
	install := ""
	switch u.Mode {
	case "automatic", "windowed":
		install = "AlwaysOn"
	case "postpone":
		install = "AlwaysOff"
	}
	settings := document.Dict{}
	if days > 0 {
		f := c.feature("os_update.defer_days")
		switch {
		case !c.able(daysAt, f):
		case f.Before != "":
			c.install("os_update", "System updates", pointer, document.Payload{Type: f.Type,
				Content: document.Dict{f.Key: true, "enforcedSoftwareUpdateDelay": int64(days)}})
		default:
			settings[f.Key] = document.Dict{"CombinedPeriodInDays": int64(days)}
		}
	}
	if install != "" && c.able(mode, c.feature("os_update.mode")) {
		actions := document.Dict{"InstallOSUpdates": install}
		if install == "AlwaysOn" {
			actions["Download"] = install
		}
		settings["AutomaticActions"] = actions
		if u.Mode == "windowed" {
			c.note(mode, document.NoteRounded, "Apple devices choose the time of day themselves, at night: windowed is carried out as automatic.")
		}
	}
	if len(settings) > 0 {
		c.declare("os_update", "System updates", pointer, "com.apple.configuration.softwareupdate.settings", settings)
	}
}
