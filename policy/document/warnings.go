package document

import (
	"fmt"
	"slices"
)

// Warnings tells what is legal and still doubtful, on any device. What a given
// device will not honour is told by the compilers.
func (d Document) Warnings() []Note {
	var out []Note
	warn := func(pointer, format string, args ...any) {
		out = append(out, Note{Pointer: pointer, Code: NoteDoubtful, Text: fmt.Sprintf(format, args...)})
	}
	if p := d.Passcode; p != nil && !p.Required && *p != (Passcode{}) {
		warn("/passcode/required", "There are rules for the passcode, but none is required.")
	}
	for i, w := range d.WiFi {
		switch w.Security {
		case "wep":
			warn(element("/wifi", i)+"/security", "WEP is broken; anybody near can read along.")
		case "open":
			warn(element("/wifi", i)+"/security", "The network is open; anybody can offer one of this name.")
		case "eap":
			if w.EAP != nil && len(w.EAP.TrustedRoots) == 0 && len(w.EAP.ServerNames) == 0 {
				warn(element("/wifi", i)+"/eap", "Neither trusted_roots nor server_names: the device trusts any server, or asks the person.")
			}
		}
	}
	for i, e := range d.Email {
		for _, s := range []struct {
			at     string
			server MailServer
		}{{"/incoming/tls", e.Incoming}, {"/outgoing/tls", e.Outgoing}} {
			if s.server.TLS != nil && !*s.server.TLS {
				warn(element("/email", i)+s.at, "Mail and password go over the network unencrypted.")
			}
		}
	}
	if a := d.Apps; a != nil && a.Allowed != nil {
		usable := slices.Concat(a.Allowed, a.Required)
		if !slices.ContainsFunc(usable, func(a App) bool { return a.BundleID != "" }) {
			warn("/apps/allowed", "No app of the list has a bundle_id: on iPhone and iPad nothing but what belongs to the system could be used.")
		}
		if !slices.ContainsFunc(usable, func(a App) bool { return a.Package != "" }) {
			warn("/apps/allowed", "No app of the list has a package: on Android nothing but what belongs to the system could be used.")
		}
	}
	if f := d.WebFilter; f != nil && len(f.Permitted) > 0 && f.AdultContent != Deny {
		warn("/web_filter/permitted", "Exceptions from a filter that is not on; set adult_content to deny.")
	}
	if d.HomeScreen != nil {
		for i, page := range append([][]Icon{d.HomeScreen.Dock}, d.HomeScreen.Pages...) {
			at := "/home_screen/dock"
			if i > 0 {
				at = element("/home_screen/pages", i-1)
			}
			for j, c := range page {
				if c.WebClip != "" && !slices.ContainsFunc(d.WebClips, func(w WebClip) bool { return w.URL == c.WebClip }) {
					warn(element(at, j)+"/web_clip", "The policy has no web clip with this address.")
				}
			}
		}
	}
	return out
}
