package apple

import "rollcall/policy/document"

// IdentifierPrefix starts the identifiers of declarations.
const IdentifierPrefix = "rollcall.policy."

func (c *compiler) declare(name, title, pointer, declarationType string, payload document.Dict) {
	c.plan.Declarations = append(c.plan.Declarations, Declaration{Title: title, Pointer: pointer, Kind: KindConfiguration,
		Type: declarationType, Identifier: IdentifierPrefix + name, Payload: payload})
}

// statusItems are what a device that has declarations tells of itself without
// being asked (Apple: Status Reports).
var statusItems = []struct {
	name  string
	minOS string
	user  bool // in user enrollment too
}{
	{"device.operating-system.version", "15.0", true},
	{"device.operating-system.build-version", "15.0", true},
	{"passcode.is-compliant", "16.0", true},
	{"passcode.is-present", "16.0", true},
	{"mdm.app", "16.0", true},
	{"softwareupdate.install-state", "17.0", false},
	{"softwareupdate.pending-version", "17.0", false},
	{"softwareupdate.failure-reason", "17.0", false},
	{"softwareupdate.install-reason", "17.0", false},
}

// activate completes the declarations of the plan: a subscription to what the
// device reports, and one activation of all configurations. Without any there
// are none, since a device that once has declarative management keeps it.
func (c *compiler) activate() {
	if len(c.plan.Declarations) == 0 {
		return
	}
	items := []any{}
	for _, s := range statusItems {
		if (s.user || !c.t.UserEnrollment) && (c.t.OSVersion == "" || !older(c.t.OSVersion, s.minOS)) {
			items = append(items, document.Dict{"Name": s.name})
		}
	}
	c.declare("status", "", "", "com.apple.configuration.management.status-subscriptions", document.Dict{"StatusItems": items})
	all := []any{}
	for _, d := range c.plan.Declarations {
		all = append(all, d.Identifier)
	}
	c.plan.Declarations = append(c.plan.Declarations, Declaration{Kind: KindActivation, Type: "com.apple.activation.simple",
		Identifier: IdentifierPrefix + "activation", Payload: document.Dict{"StandardConfigurations": all}})
}
