package document

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// VariableNames are the variables a document can use, written {serial}. A name
// in two braces, {{serial}}, stands for the text {serial}. Other braces are
// just text where they cannot be a mistyped variable: in raw payloads and in
// the configuration of apps.
var VariableNames = []string{
	"serial", "device.id", "device.name", "device.model", "device.asset_tag", "imei", "udid",
	"user.name", "user.email", "user.mobile", "user.local_part",
	"domain", "ownership", "organization",
}

var (
	anyVariable   = regexp.MustCompile(`\{\{?[a-z][a-z0-9_.]*\}?\}`)
	knownVariable = regexp.MustCompile(`\{\{(?:` + knownNames + `)\}\}|\{(?:` + knownNames + `)\}`)
	knownNames    = func() string {
		quoted := make([]string, len(VariableNames))
		for i, n := range VariableNames {
			quoted[i] = regexp.QuoteMeta(n)
		}
		return strings.Join(quoted, "|")
	}()
)

// Resolve puts the values of a device in the place of the variables, and tells
// which it has no value for; those stay as they are. d is not changed.
func (d Document) Resolve(v Variables) (Document, []Missing) {
	var missing []Missing
	out := d.mapTexts(func(pointer, text string, _ bool) string {
		return knownVariable.ReplaceAllStringFunc(text, func(s string) string {
			if strings.HasPrefix(s, "{{") {
				return s[1 : len(s)-1]
			}
			name := s[1 : len(s)-1]
			if v[name] != "" {
				return v[name]
			}
			if m := (Missing{Pointer: pointer, Variable: name}); !slices.Contains(missing, m) {
				missing = append(missing, m)
			}
			return s
		})
	})
	return out, missing
}

// unknownVariable gives the first text with a variable that does not exist.
func (d Document) unknownVariable() (pointer, variable string) {
	d.mapTexts(func(p, text string, raw bool) string {
		if raw || pointer != "" {
			return text
		}
		for _, s := range anyVariable.FindAllString(text, -1) {
			if knownVariable.FindString(s) != s {
				pointer, variable = p, s
				return text
			}
		}
		return text
	})
	return pointer, variable
}

// mapTexts gives a copy of d in which each text that may hold variables is what
// f makes of it; texts without a brace are left out. raw says that braces may
// be of other meaning there. What is not changed is shared with d.
func (d Document) mapTexts(f func(pointer, text string, raw bool) string) Document {
	at := func(pointer string, s *string) {
		if strings.ContainsRune(*s, '{') {
			*s = f(pointer, *s, false)
		}
	}
	at("/device_name", &d.DeviceName)
	at("/lock_message", &d.LockMessage)
	d.WiFi = slices.Clone(d.WiFi)
	for i := range d.WiFi {
		if d.WiFi[i].EAP == nil {
			continue
		}
		eap := *d.WiFi[i].EAP
		d.WiFi[i].EAP = &eap
		at(element("/wifi", i)+"/eap/identity", &eap.Identity)
		at(element("/wifi", i)+"/eap/anonymous_identity", &eap.AnonymousIdentity)
	}
	d.VPN = slices.Clone(d.VPN)
	for i := range d.VPN {
		at(element("/vpn", i)+"/local_id", &d.VPN[i].LocalID)
		at(element("/vpn", i)+"/username", &d.VPN[i].Username)
	}
	d.Email = slices.Clone(d.Email)
	for i := range d.Email {
		e := &d.Email[i]
		at(element("/email", i)+"/address", &e.Address)
		at(element("/email", i)+"/incoming/username", &e.Incoming.Username)
		at(element("/email", i)+"/outgoing/username", &e.Outgoing.Username)
	}
	d.WebClips = slices.Clone(d.WebClips)
	for i := range d.WebClips {
		at(element("/web_clips", i)+"/url", &d.WebClips[i].URL)
	}
	if d.HomeScreen != nil {
		d.HomeScreen = &HomeScreen{Dock: mapIcons("/home_screen/dock", d.HomeScreen.Dock, at), Pages: slices.Clone(d.HomeScreen.Pages)}
		for i := range d.HomeScreen.Pages {
			d.HomeScreen.Pages[i] = mapIcons(element("/home_screen/pages", i), d.HomeScreen.Pages[i], at)
		}
	}
	raw := func(pointer string, c Dict) Dict {
		out, _ := mapDict(pointer, c, func(p, text string) string { return f(p, text, true) })
		return out
	}
	if d.Apps != nil {
		apps := *d.Apps
		d.Apps = &apps
		list := func(pointer string, l []App) []App {
			l = slices.Clone(l)
			for i := range l {
				l[i].Configuration = raw(element(pointer, i)+"/configuration", l[i].Configuration)
			}
			return l
		}
		apps.Required = list("/apps/required", apps.Required)
		apps.Allowed = list("/apps/allowed", apps.Allowed)
	}
	if d.SingleApp != nil {
		app := *d.SingleApp
		d.SingleApp = &app
		app.Configuration = raw("/single_app/configuration", app.Configuration)
	}
	if d.Apple != nil {
		d.Apple = &Apple{Profiles: slices.Clone(d.Apple.Profiles)}
		for i := range d.Apple.Profiles {
			p := &d.Apple.Profiles[i]
			p.Payloads = slices.Clone(p.Payloads)
			for j := range p.Payloads {
				p.Payloads[j].Content = raw(element(element("/apple/profiles", i)+"/payloads", j)+"/content", p.Payloads[j].Content)
			}
		}
	}
	if d.Android != nil {
		d.Android = &Android{Policy: maps.Clone(d.Android.Policy)}
		for k, v := range d.Android.Policy {
			if knownVariable.Match(v) {
				d.Android.Policy[k] = mapJSON("/android/policy/"+token(k), v, func(p, text string) string { return f(p, text, true) })
			}
		}
	}
	return d
}

// mapIcons maps the addresses of web clips, which are to be those of the clips
// themselves.
func mapIcons(pointer string, icons []Icon, at func(pointer string, s *string)) []Icon {
	icons = slices.Clone(icons)
	for i := range icons {
		p := element(pointer, i)
		at(p+"/web_clip", &icons[i].WebClip)
		icons[i].Icons = mapIcons(p+"/icons", icons[i].Icons, at)
	}
	return icons
}

// mapDict gives a dictionary with its texts mapped, and whether any changed.
func mapDict(pointer string, d Dict, f func(pointer, text string) string) (Dict, bool) {
	changed := false
	out := d
	for _, k := range slices.Sorted(maps.Keys(d)) {
		if v, differs := mapValue(pointer+"/"+token(k), d[k], f); differs {
			if !changed {
				out, changed = maps.Clone(d), true
			}
			out[k] = v
		}
	}
	return out, changed
}

func mapValue(pointer string, v any, f func(pointer, text string) string) (any, bool) {
	switch v := v.(type) {
	case string:
		if !strings.ContainsRune(v, '{') {
			return v, false
		}
		s := f(pointer, v)
		return s, s != v
	case Dict:
		return mapDict(pointer, v, f)
	case map[string]any:
		out, changed := mapDict(pointer, v, f)
		return map[string]any(out), changed
	case []any:
		changed := false
		out := v
		for i := range v {
			if e, differs := mapValue(element(pointer, i), v[i], f); differs {
				if !changed {
					out, changed = slices.Clone(v), true
				}
				out[i] = e
			}
		}
		return out, changed
	}
	return v, false
}

// mapJSON maps the texts of a JSON value.
func mapJSON(pointer string, raw json.RawMessage, f func(pointer, text string) string) json.RawMessage {
	var v any
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return raw
	}
	v, changed := mapValue(pointer, v, f)
	if !changed {
		return raw
	}
	b, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return b
}
