package apple

import (
	"slices"
	"strconv"

	"rollcall/policy/document"
)

// Flags of an Install (Apple: Install Application command, ManagementFlags).
const (
	FlagRemove   = 1 // the app goes when the enrollment ends
	FlagNoBackup = 4
)

// forApple says whether the app exists on Apple devices at all; if not, it is
// one of another platform, and of no interest.
func forApple(a *document.App) bool {
	return a.BundleID != "" || a.AppStoreID != 0 || a.ManifestURL != "" || a.Package == "" && a.APKURL == ""
}

// appKey is stable while the app keeps its bundle ID, or else its place in the
// App Store, or else its manifest.
func appKey(a *document.App) string {
	switch {
	case a.BundleID != "":
		return "app." + a.BundleID
	case a.AppStoreID != 0:
		return "app_store." + strconv.FormatInt(a.AppStoreID, 10)
	}
	return "app_manifest." + short(a.ManifestURL)
}

func (c *compiler) requiredApps() {
	if c.d.Apps == nil {
		return
	}
	for i := range c.d.Apps.Required {
		a, pointer := &c.d.Apps.Required[i], element("/apps/required", i)
		if !forApple(a) || !c.able(pointer, c.feature("apps.required")) {
			continue
		}
		if a.ManifestURL == "" && a.License == "" && c.t.UserEnrollment {
			c.note(pointer+"/license", document.NoteUserEnrollment, "Devices that their users enrolled as their own get apps of the App Store only with a volume licence.")
			continue
		}
		if a.BundleID == "" {
			c.note(pointer+"/bundle_id", document.NoteDoubtful, "Without it the app can be installed, but neither be found on the device again nor be taken off it.")
		}
		if c.t.Supervised != nil && !*c.t.Supervised {
			c.note(pointer, document.NoteUnsupervised, "The device is not supervised, so its user is asked and may refuse.")
		}
		c.plan.Apps = append(c.plan.Apps, c.app(a, pointer))
	}
}

func (c *compiler) app(a *document.App, pointer string) Install {
	in := Install{Key: appKey(a), Title: "Install " + a.Label(), Pointer: pointer, AppStoreID: a.AppStoreID, BundleID: a.BundleID,
		ManifestURL: a.ManifestURL, Licensed: a.License != "", TakeOver: !c.t.UserEnrollment, Configuration: a.Configuration}
	if !a.KeepOnRemoval {
		in.Flags |= FlagRemove
	}
	if a.NoBackup {
		in.Flags |= FlagNoBackup
	}
	if a.Removable != nil && !*a.Removable && c.able(pointer+"/removable", c.feature("apps.required.removable")) {
		in.Attributes = document.Dict{"Removable": false}
	}
	return in
}

// webApp stands for all web clips in lists of apps.
const webApp = "com.apple.webapp"

// appLists are the apps that can be used, or cannot, in a payload of their own.
// The lists had other names before iOS 15.
func (c *compiler) appLists() {
	apps := c.d.Apps
	if apps == nil {
		return
	}
	content := document.Dict{}
	put := func(name, pointer string, ids []any) {
		if f := c.feature(name); c.able(pointer, f) {
			content[f.Key] = ids
		}
	}
	if apps.Allowed != nil {
		ids := c.bundleIDs("/apps/allowed", apps.Allowed)
		for _, id := range c.bundleIDs("", apps.Required) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		if len(c.d.WebClips) > 0 {
			ids = append(ids, webApp)
		}
		put("apps.allowed", "/apps/allowed", ids)
	}
	if len(apps.Blocked) > 0 {
		if ids := c.bundleIDs("/apps/blocked", apps.Blocked); len(ids) > 0 {
			put("apps.blocked", "/apps/blocked", ids)
		}
	}
	if len(content) > 0 {
		c.install("app_list", "Apps that can be used", "/apps", document.Payload{Type: "com.apple.applicationaccess", Content: content})
	}
}

// bundleIDs are the apps of a list by which a device knows them; an app of
// Apple's without one is noted if pointer says where the list stands.
func (c *compiler) bundleIDs(pointer string, apps []document.App) []any {
	ids := []any{}
	for i := range apps {
		a := &apps[i]
		switch {
		case a.BundleID != "":
			ids = append(ids, a.BundleID)
		case pointer != "" && forApple(a):
			c.note(element(pointer, i)+"/bundle_id", document.NoteDoubtful, "Without it the app has no place in the list: devices know apps by their bundle ID.")
		}
	}
	return ids
}

// singleApp locks the device into one app (Apple: App Lock payload). It comes
// after every other profile, since the app is then all there is.
func (c *compiler) singleApp() {
	const pointer = "/single_app"
	a := c.d.SingleApp
	switch {
	case a == nil || !forApple(a):
	case a.BundleID == "":
		c.note(pointer+"/bundle_id", document.NoteDoubtful, "Without it the device cannot be locked into the app.")
	case c.able(pointer, c.feature("single_app")):
		c.install("single_app", "Single app "+a.Label(), pointer, document.Payload{Type: "com.apple.app.lock",
			Content: document.Dict{"App": document.Dict{"Identifier": a.BundleID}}})
		c.plan.Profiles[len(c.plan.Profiles)-1].Last = true
	}
}
