package android

import (
	"fmt"
	"reflect"
	"slices"

	"rollcall/policy/document"
)

// AgentVersion is the version of the document that the agent protocol speaks.
const AgentVersion = 1

// AgentPolicy is the policy document of the agent protocol: the neutral
// document as far as an Android device can carry it out, under "v".
type AgentPolicy struct {
	V int `json:"v"`
	document.Document
}

// Agent makes the agent's policy of a document for a target, and tells what of
// the document is left out because no Android device, or not this one, has it.
// What the agent itself cannot do it tells with its result. d is resolved.
func Agent(d document.Document, t document.Target) (AgentPolicy, []document.Note) {
	c := &compiler{t: t}
	out := AgentPolicy{V: AgentVersion, Document: document.Document{
		Restrictions: c.agentRestrictions(d.Restrictions),
		Passcode:     c.agentPasscode(d.Passcode),
		Certificates: d.Certificates,
		WebClips:     d.WebClips,
		WebFilter:    d.WebFilter,
		DeviceName:   d.DeviceName,
		LockMessage:  d.LockMessage,
		OSUpdate:     c.agentUpdate(d.OSUpdate),
	}}
	for i, w := range d.WiFi {
		if e := w.EAP; e != nil && !slices.ContainsFunc(e.Methods, func(m string) bool { return outer[m] != "" }) {
			c.note(fmt.Sprintf("/wifi/%d/eap/methods", i), document.NotePlatform, "Android knows tls, ttls, peap, sim and aka; the network is left out.")
			continue
		}
		out.WiFi = append(out.WiFi, w)
	}
	for i, v := range d.VPN {
		if v.AndroidPackage == "" {
			c.note(fmt.Sprintf("/vpn/%d", i), document.NotePlatform, "On Android a connection is an app's; give android_package.")
			continue
		}
		if v.Server != "" {
			c.note(fmt.Sprintf("/vpn/%d/server", i), document.NotePlatform, "On Android the app knows its server; configure it in apps.required.")
		}
		out.VPN = append(out.VPN, document.VPN{Name: v.Name, AndroidPackage: v.AndroidPackage, Lockdown: v.Lockdown})
	}
	for i := range d.Email {
		c.note(fmt.Sprintf("/email/%d", i), document.NotePlatform, "Android has no mail accounts in a policy; configure a mail app in apps.required.")
	}
	if d.HomeScreen != nil {
		c.note("/home_screen", document.NotePlatform, "Android has no such setting; a launcher can be required and configured.")
	}
	if a := d.Apps; a != nil {
		out.Apps = &document.Apps{Required: agentApps(a.Required), Blocked: agentApps(a.Blocked)}
		if a.Allowed != nil {
			out.Apps.Allowed = append([]document.App{}, agentApps(a.Allowed)...)
		}
	}
	if d.SingleApp != nil {
		if apps := agentApps([]document.App{*d.SingleApp}); apps != nil && c.fits("/single_app", full, 0) {
			out.SingleApp = &apps[0]
		}
	}
	return out, c.notes
}

// agentRestrictions leaves out what the table has no row for.
func (c *compiler) agentRestrictions(r *document.Restrictions) *document.Restrictions {
	if r == nil {
		return nil
	}
	out := *r
	into := reflect.ValueOf(&out).Elem()
	for i := 0; i < len(Restrictions); {
		n := i + 1
		for n < len(Restrictions) && Restrictions[n].Name == Restrictions[i].Name {
			n++
		}
		rows := Restrictions[i:n]
		i = n
		value := said(r, rows[0].Name)
		scratch := compiler{t: c.t, body: Policy{}, by: map[string][]string{}}
		scratch.restriction(rows, value)
		for _, note := range scratch.notes {
			if note.Code != document.NotePermission && note.Code != document.NoteRounded {
				c.notes = append(c.notes, note)
				into.Field(restrictionFields[rows[0].Name]).SetString("")
			}
		}
	}
	return &out
}

func (c *compiler) agentPasscode(p *document.Passcode) *document.Passcode {
	if p == nil {
		return nil
	}
	out := *p
	if p.GraceSeconds != nil {
		c.note("/passcode/grace_seconds", document.NotePlatform, "Android has no such setting.")
		out.GraceSeconds = nil
	}
	if p.WorkProfile && !c.fits("/passcode/work_profile", profiles, 0) {
		out.WorkProfile = false
	}
	return &out
}

func (c *compiler) agentUpdate(u *document.OSUpdate) *document.OSUpdate {
	if u == nil {
		return nil
	}
	scratch := compiler{t: c.t, body: Policy{}, by: map[string][]string{}}
	scratch.osUpdate(u)
	c.notes = append(c.notes, scratch.notes...)
	out := document.OSUpdate{MinAPILevel: u.MinAPILevel}
	if scratch.body["systemUpdate"] != nil || u.Mode == "user" {
		out.Mode, out.WindowStart, out.WindowEnd = u.Mode, u.WindowStart, u.WindowEnd
	}
	return &out
}

// agentApps gives the Android halves of apps.
func agentApps(apps []document.App) []document.App {
	var out []document.App
	for _, a := range apps {
		if a.Package != "" {
			out = append(out, document.App{Name: a.Name, Package: a.Package, APKURL: a.APKURL, Removable: a.Removable, Configuration: a.Configuration})
		}
	}
	return out
}
