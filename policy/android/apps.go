package android

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rollcall/policy/document"
)

// chrome is the browser that takes a list of pages.
const chrome = "com.android.chrome"

// apps writes applications and the mode of the store. What is required can be
// used; a closed list holds it too. Apps that name no package are Apple's.
func (c *compiler) apps(d *document.Document) {
	a := d.Apps
	if a == nil {
		a = &document.Apps{}
	}
	entries := map[string]map[string]any{}
	c.required(a.Required, entries)
	closed := a.Allowed != nil
	for i := range a.Allowed {
		app, p := &a.Allowed[i], fmt.Sprintf("/apps/allowed/%d", i)
		if app.Package != "" && entries[app.Package] == nil {
			entries[app.Package] = c.application(p, app, "AVAILABLE")
		}
	}
	for i := range a.Blocked {
		if b := a.Blocked[i]; b.Package != "" {
			entries[b.Package] = map[string]any{"packageName": b.Package, "installType": "BLOCKED"}
		}
	}
	c.kiosk(d.SingleApp, entries)
	c.webFilter(d.WebFilter, entries)
	toInstall := slices.ContainsFunc(a.Required, func(a document.App) bool { return a.Package != "" }) || d.SingleApp != nil && d.SingleApp.Package != ""
	if c.body["installAppsDisabled"] == true && toInstall {
		delete(c.body, "installAppsDisabled")
		c.set("/restrictions/app_install", "playStoreMode", "WHITELIST")
		c.note("/restrictions/app_install", document.NoteRounded, "Required apps could not be installed either; the store is closed instead, and apps that are neither required nor allowed are removed.")
	}
	if closed {
		c.set("/apps/allowed", "playStoreMode", "WHITELIST")
	}
	if len(entries) > 0 {
		list := make([]any, 0, len(entries))
		for _, e := range entries {
			list = append(list, e)
		}
		slices.SortFunc(list, func(a, b any) int {
			return strings.Compare(a.(map[string]any)["packageName"].(string), b.(map[string]any)["packageName"].(string))
		})
		c.set("/apps", "applications", list)
	}
	if c.t.Management == "" || c.t.Management == document.CompanyWorkProfile {
		c.personalApps(a, closed)
	}
}

func (c *compiler) required(apps []document.App, entries map[string]map[string]any) {
	for i := range apps {
		app, p := &apps[i], fmt.Sprintf("/apps/required/%d", i)
		if app.Package == "" {
			continue
		}
		kind := "FORCE_INSTALLED"
		if app.Removable != nil && *app.Removable {
			kind = "PREINSTALLED"
		}
		entries[app.Package] = c.application(p, app, kind)
	}
}

func (c *compiler) application(p string, app *document.App, kind string) map[string]any {
	e := map[string]any{"packageName": app.Package, "installType": kind}
	if app.APKURL != "" {
		c.note(p+"/apk_url", document.NotePlatform, "Google installs from Google Play only; publish the app there for the organization.")
	}
	if app.Configuration != nil {
		e["managedConfiguration"] = plain(app.Configuration)
	}
	return e
}

// plain is a dictionary as JSON has it: Google knows neither bytes nor dates.
func plain(d document.Dict) any {
	b, err := json.Marshal(d)
	if err != nil {
		return map[string]any{}
	}
	return json.RawMessage(b)
}

// personalApps is the personal side of a company's device.
func (c *compiler) personalApps(a *document.Apps, closed bool) {
	list, kind, mode, pointer := a.Blocked, "BLOCKED", "BLOCKLIST", "/apps/blocked"
	if closed {
		list, kind, mode, pointer = slices.Concat(a.Allowed, a.Required), "AVAILABLE", "ALLOWLIST", "/apps/allowed"
	}
	var names []string
	for _, app := range list {
		if app.Package != "" {
			names = append(names, app.Package)
		}
	}
	if !closed && names == nil {
		return
	}
	slices.Sort(names)
	entries := []any{}
	for _, n := range slices.Compact(names) {
		entries = append(entries, map[string]any{"packageName": n, "installType": kind})
	}
	c.set(pointer, "personalUsagePolicies.personalPlayStoreMode", mode)
	c.set(pointer, "personalUsagePolicies.personalApplications", entries)
}

// kiosk makes an app the only one. The install type KIOSK is deprecated.
func (c *compiler) kiosk(app *document.App, entries map[string]map[string]any) {
	if app == nil || app.Package == "" || !c.fits("/single_app", full, 0) {
		return
	}
	e := c.application("/single_app", app, "REQUIRED_FOR_SETUP")
	if old := entries[app.Package]; old != nil && e["managedConfiguration"] == nil && old["managedConfiguration"] != nil {
		e["managedConfiguration"] = old["managedConfiguration"]
	}
	e["roles"] = []any{map[string]any{"roleType": "KIOSK"}}
	entries[app.Package] = e
	c.by["applications"] = append(c.by["applications"], "/single_app")
}

// webFilter configures Chrome; its lists are texts that hold JSON
// (chromeenterprise.google/policies: URLBlocklist, URLAllowlist).
func (c *compiler) webFilter(f *document.WebFilter, entries map[string]map[string]any) {
	if f == nil {
		return
	}
	e := entries[chrome]
	switch {
	case e != nil && e["installType"] == "BLOCKED":
		c.note("/web_filter", document.NoteOutranked, "Chrome, which would filter, is blocked.")
		return
	case e != nil && e["managedConfiguration"] != nil:
		c.note("/web_filter", document.NoteOutranked, "Chrome has a configuration of its own in apps.")
		return
	case e == nil:
		e = map[string]any{"packageName": chrome, "installType": "AVAILABLE"}
		entries[chrome] = e
	}
	configuration := map[string]any{}
	list := func(name string, urls []string) {
		if len(urls) > 0 {
			b, _ := json.Marshal(urls) // texts only: cannot fail
			configuration[name] = string(b)
		}
	}
	denied, allowed := f.Denied, f.Permitted
	if f.AllowOnly != nil {
		denied, allowed = append([]string{"*"}, denied...), nil
		for _, b := range f.AllowOnly {
			allowed = append(allowed, b.URL)
		}
	}
	list("URLBlocklist", denied)
	list("URLAllowlist", allowed)
	if f.AdultContent == document.Deny {
		configuration["ForceGoogleSafeSearch"] = true
	}
	e["managedConfiguration"] = configuration
	c.by["applications"] = append(c.by["applications"], "/web_filter")
	c.note("/web_filter", document.NoteRounded, "On Android Chrome alone filters; for adult content it asks Google for a safe search.")
}
