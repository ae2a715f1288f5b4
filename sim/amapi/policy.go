package amapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	maxApplications = 3000
	maxVersioned    = 20 // applications with minimumVersionCode
)

func (c *Cloud) getPolicy(e *enterprise, q *call) (any, *refusal) {
	p := e.policies[q.ids[1]]
	if p == nil {
		return nil, missing()
	}
	return p, nil
}

func (c *Cloud) listPolicies(e *enterprise, q *call) (any, *refusal) {
	var all []object
	for _, id := range sortedKeys(e.policies) {
		all = append(all, e.policies[id])
	}
	items, next, bad := page(q, all, 10, 100)
	return listed("policies", items, next), bad
}

// patchPolicy creates or updates a policy. Without a mask the body is the whole
// policy; with one, what it names is replaced, or cleared where the body does
// not have it.
func (c *Cloud) patchPolicy(e *enterprise, q *call) (any, *refusal) {
	id := q.ids[1]
	name := e.name() + "/policies/" + id
	if sent := text(q.body, "name"); sent != "" && sent != name {
		return nil, invalid("The name in the body is %q, in the path %q.", sent, name)
	}
	next := object{}
	if mask := q.query.Get("updateMask"); mask == "" {
		next = clone(q.body)
	} else {
		if old := e.policies[id]; old != nil {
			next = clone(old)
		}
		for _, path := range strings.Split(mask, ",") {
			if path == "name" || path == "version" {
				return nil, invalid("Invalid field mask: %s cannot be written.", path)
			}
			assign(next, q.body, path)
		}
	}
	return c.putPolicy(e, id, next)
}

// putPolicy checks and keeps a policy, and lets devices that use it know.
func (c *Cloud) putPolicy(e *enterprise, id string, next object) (any, *refusal) {
	if bad := checkPolicy(next); bad != nil {
		return nil, bad
	}
	version := 1
	if old := e.policies[id]; old != nil {
		n, _ := strconv.Atoi(text(old, "version"))
		version = n + 1
	}
	next["name"], next["version"] = e.name()+"/policies/"+id, strconv.Itoa(version)
	e.policies[id] = next
	for _, r := range slices.Clone(e.records) {
		if r.policy == next["name"] {
			c.sync(r)
		}
	}
	return next, nil
}

// checkPolicy holds a policy against the rules that no schema tells.
func checkPolicy(p object) *refusal {
	apps := list(p, "applications")
	names, versioned, kiosks := map[string]bool{}, 0, 0
	for _, app := range apps {
		name := text(app, "packageName")
		switch {
		case name == "":
			return invalid("applications: packageName is missing.")
		case names[name]:
			return invalid("applications: %s comes twice.", name)
		}
		names[name] = true
		if number(app, "minimumVersionCode") > 0 {
			versioned++
		}
		if text(app, "installType") == "KIOSK" {
			kiosks++
		}
	}
	switch {
	case len(apps) > maxApplications:
		return invalid("A policy can have at most %d applications.", maxApplications)
	case versioned > maxVersioned:
		return invalid("At most %d applications can have a minimumVersionCode.", maxVersioned)
	case kiosks > 1:
		return invalid("Only one application can have the install type KIOSK.")
	case len(list(p, "setupActions")) > 1:
		return invalid("A policy can have at most one setup action.")
	}
	for _, rule := range list(p, "policyEnforcementRules") {
		block, wipe := number(rule, "blockAction.blockAfterDays"), number(rule, "wipeAction.wipeAfterDays")
		_, blocks := rule["blockAction"]
		_, wipes := rule["wipeAction"]
		if !blocks || !wipes || wipe <= block {
			return invalid("policyEnforcementRules: blockAction and wipeAction are both required, and blocking comes first.")
		}
	}
	scopes := map[string]bool{}
	for _, rule := range list(p, "passwordPolicies") {
		scope := text(rule, "passwordScope")
		if scopes[scope] {
			return invalid("passwordPolicies: only one entry for each scope.")
		}
		scopes[scope] = true
		if _, unified := rule["unifiedLockSettings"]; unified && scope != "SCOPE_PROFILE" {
			return invalid("passwordPolicies: unifiedLockSettings needs SCOPE_PROFILE.")
		}
	}
	return nil
}

func (c *Cloud) deletePolicy(e *enterprise, q *call) (any, *refusal) {
	p := e.policies[q.ids[1]]
	if p == nil {
		return nil, missing()
	}
	if slices.ContainsFunc(e.records, func(r *record) bool { return r.policy == p["name"] }) {
		return nil, precondition("The policy is in use by a device.")
	}
	delete(e.policies, q.ids[1])
	return object{}, nil
}

// modifyApplications adds applications or changes them, each by its own mask.
func (c *Cloud) modifyApplications(e *enterprise, q *call) (any, *refusal) {
	p := e.policies[q.ids[1]]
	if p == nil {
		return nil, missing()
	}
	next := clone(p)
	apps, _ := next["applications"].([]any)
	changes := list(q.body, "changes")
	seen := map[string]bool{}
	for _, change := range changes {
		app, _ := change["application"].(object)
		name := text(app, "packageName")
		if name == "" || seen[name] {
			return nil, invalid("changes: each application needs a packageName, and comes once.")
		}
		seen[name] = true
		i := slices.IndexFunc(apps, func(a any) bool { return text(a.(object), "packageName") == name })
		merged := clone(app)
		if i < 0 {
			apps = append(apps, merged)
			continue
		}
		if mask := text(change, "updateMask"); mask != "" {
			merged = maps.Clone(apps[i].(object))
			for _, path := range strings.Split(mask, ",") {
				if path == "packageName" {
					return nil, invalid("Invalid field mask: packageName cannot be written.")
				}
				assign(merged, app, path)
			}
		}
		apps[i] = merged
	}
	if len(changes) == 0 {
		return nil, invalid("changes: nothing to change.")
	}
	next["applications"] = apps
	out, bad := c.putPolicy(e, q.ids[1], next)
	return object{"policy": out}, bad
}

// removeApplications removes applications; unknown ones are passed over.
func (c *Cloud) removeApplications(e *enterprise, q *call) (any, *refusal) {
	p := e.policies[q.ids[1]]
	if p == nil {
		return nil, missing()
	}
	names := texts(q.body, "packageNames")
	if len(names) == 0 {
		return nil, invalid("packageNames: nothing to remove.")
	}
	next := clone(p)
	apps, _ := next["applications"].([]any)
	apps = slices.DeleteFunc(apps, func(a any) bool { return slices.Contains(names, text(a.(object), "packageName")) })
	if len(apps) == 0 {
		delete(next, "applications")
	} else {
		next["applications"] = apps
	}
	out, bad := c.putPolicy(e, q.ids[1], next)
	return object{"policy": out}, bad
}
