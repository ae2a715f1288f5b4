package iphone

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"rollcall/sim/plist"
)

// app is an installed app. Store apps known only by number and enterprise
// apps known only by manifest have made-up identifiers, because the phone has
// no App Store to ask: "id:<number>" and "manifest:<url>".
type app struct {
	managed       bool
	flags         int64
	configuration bool
}

func (p *Phone) installApplication(_ context.Context, c plist.Dict) (outcome, error) {
	var id string
	given := 0
	if n, ok := c["iTunesStoreID"].(int64); ok {
		id = fmt.Sprintf("id:%d", n)
		given++
	}
	if s, ok := c["Identifier"].(string); ok {
		id = s
		given++
	}
	if s, ok := c["ManifestURL"].(string); ok {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" {
			return outcome{}, mdmError(12024, "the app manifest could not be validated")
		}
		id = "manifest:" + s
		given++
	}
	if given != 1 || id == "" {
		return outcome{}, errFormat
	}
	flags, _ := c["ManagementFlags"].(int64)
	if flags != 0 && flags != 1 && flags != 4 && flags != 5 {
		return outcome{}, errFormat
	}
	configuration, hasConfiguration := c["Configuration"]
	if _, ok := configuration.(plist.Dict); hasConfiguration && !ok {
		return outcome{}, errFormat
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	change, _ := c["ChangeManagementState"].(string)
	if old := p.apps[id]; old != nil && !old.managed && change != "Managed" {
		return outcome{}, mdmError(12025, "the app is already installed")
	}
	p.apps[id] = &app{managed: true, flags: flags, configuration: hasConfiguration}
	p.notify()
	return outcome{keys: plist.Dict{"Identifier": id, "State": "Installing"}}, nil
}

func (p *Phone) removeApplication(_ context.Context, c plist.Dict) (outcome, error) {
	id, ok := c["Identifier"].(string)
	if !ok {
		return outcome{}, errFormat
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.apps[id]; a == nil || !a.managed {
		return outcome{}, mdmError(12029, "the app %q is not managed", id)
	}
	delete(p.apps, id)
	p.notify()
	return outcome{}, nil
}

// AddApp puts an app on the phone as the user does, from the App Store.
func (p *Phone) AddApp(identifier string) {
	p.change(func() { p.apps[identifier] = &app{} })
}

func (p *Phone) installedApplicationList(_ context.Context, c plist.Dict) (outcome, error) {
	managedOnly, _ := c["ManagedAppsOnly"].(bool)
	list := []any{}
	for id, a := range p.selectApps(c) {
		if managedOnly && !a.managed {
			continue
		}
		list = append(list, plist.Dict{"Identifier": id, "Name": id, "Version": "1", "ShortVersion": "1.0",
			"BundleSize": 12_000_000, "DynamicSize": 4096, "Installing": false})
	}
	return outcome{keys: plist.Dict{"InstalledApplicationList": list}}, nil
}

func (p *Phone) managedApplicationList(_ context.Context, c plist.Dict) (outcome, error) {
	list := plist.Dict{}
	for id, a := range p.selectApps(c) {
		if a.managed {
			list[id] = plist.Dict{"Status": "Managed", "ManagementFlags": a.flags, "HasConfiguration": a.configuration,
				"HasFeedback": false, "IsValidated": true}
		}
	}
	return outcome{keys: plist.Dict{"ManagedApplicationList": list}}, nil
}

// selectApps copies the apps named by Identifiers, all without it.
func (p *Phone) selectApps(c plist.Dict) map[string]app {
	wanted, filtered := c["Identifiers"].([]any)
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]app{}
	for id, a := range p.apps {
		if !filtered || slices.Contains(wanted, any(id)) {
			out[id] = *a
		}
	}
	return out
}
