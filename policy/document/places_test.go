package document

import (
	"slices"
	"testing"
)

func TestPlaces(t *testing.T) {
	places := Places()
	at := func(pointer string) int {
		return slices.IndexFunc(places, func(p Place) bool { return p.Pointer == pointer })
	}
	for pointer, area := range map[string]Area{
		"/restrictions": "", "/restrictions/camera": AreaHardware, "/restrictions/location": AreaHardware, "/restrictions/app_install": AreaApps,
		"/restrictions/screen_observation": AreaApps, "/restrictions/backup": AreaData, "/restrictions/untrusted_tls": AreaDevice,
		"/wifi/eap/methods": "", "/home_screen/pages/icons": "", "/apps/required/configuration": "", "/apple/profiles/payloads/content": "", "/android/policy": "",
	} {
		if i := at(pointer); i < 0 || places[i].Area != area {
			t.Errorf("%s: at %d of %d, area not %q", pointer, i, len(places), area)
		}
	}
	if at("/restrictions") > at("/restrictions/camera") || at("/restrictions/camera") > at("/restrictions/microphone") || at("/wifi") > at("/vpn") {
		t.Error("the places are not in the order of the document")
	}
	if at("/home_screen/pages/icons/icons") >= 0 {
		t.Error("what holds itself is listed without end")
	}
}
