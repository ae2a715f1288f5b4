package document

import (
	"reflect"
	"slices"
	"strings"
)

// Place is a field of the document.
type Place struct {
	Pointer string // "/restrictions/camera"; elements of lists have no index: "/wifi/ssid"
	Area    Area   // of a restriction
}

// Area is what a restriction is about.
type Area string

// The areas, in the order of Restrictions.
const (
	AreaHardware Area = "hardware" // and connections
	AreaApps     Area = "apps"     // and content
	AreaData     Area = "data"     // and cloud
	AreaDevice   Area = "device"   // and its settings
)

// areaBegins has the first restriction of each area.
var areaBegins = map[string]Area{"camera": AreaHardware, "app_install": AreaApps, "backup": AreaData, "factory_reset": AreaDevice}

// Places lists all fields of the document in its order, each before those
// within it. Below raw payloads and configurations, which hold what their
// makers say, there are none.
func Places() []Place {
	var out []Place
	area := Area("")
	var walk func(pointer string, t reflect.Type, within []reflect.Type)
	walk = func(pointer string, t reflect.Type, within []reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || slices.Contains(within, t) {
			return
		}
		within = append(within, t)
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			p := Place{Pointer: pointer + "/" + token(name)}
			if t == reflect.TypeFor[Restrictions]() {
				if next, ok := areaBegins[name]; ok {
					area = next
				}
				p.Area = area
			}
			out = append(out, p)
			walk(p.Pointer, t.Field(i).Type, within)
		}
	}
	walk("", reflect.TypeFor[Document](), nil)
	return out
}
