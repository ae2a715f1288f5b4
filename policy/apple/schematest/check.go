package schematest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Device is what something is meant for.
type Device struct {
	System         string // "macOS"; empty: an iPhone or iPad
	OS             string // "17.2"
	Supervised     bool
	UserEnrollment bool
}

// Newest is a device that understands everything.
var Newest = Device{OS: "26.4", Supervised: true}

// supports says why the device has no use for something, or "".
func (d Device) supports(systems map[string]Support) string {
	system := d.System
	if system == "" {
		system = "iOS"
	}
	s := systems[system]
	switch {
	case s.Introduced == "n/a":
		return "is not for " + system
	case s.Introduced != "" && compare(d.OS, s.Introduced) < 0:
		return "is for " + s.Introduced + " and later, not for " + d.OS
	case s.Removed != "" && compare(d.OS, s.Removed) >= 0:
		return "is gone since " + s.Removed
	case s.Supervised && !d.Supervised:
		return "is for supervised devices"
	case d.UserEnrollment && s.UE == "forbidden":
		return "is not for user enrollment"
	case len(s.Enroll) > 0 && !slices.Contains(s.Enroll, d.enrollment()):
		return fmt.Sprintf("is for the enrollments %v, not for %s", s.Enroll, d.enrollment())
	}
	return ""
}

func (d Device) enrollment() string {
	switch {
	case d.UserEnrollment:
		return "user"
	case d.Supervised:
		return "supervised"
	}
	return "device"
}

func compare(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var n, m int
		if i < len(x) {
			n, _ = strconv.Atoi(x[i])
		}
		if i < len(y) {
			m, _ = strconv.Atoi(y[i])
		}
		if n != m {
			return n - m
		}
	}
	return 0
}

// walk collects what is wrong with a value, each with its path.
type walk struct {
	device Device
	wrong  []string
}

func (w *walk) add(at, format string, args ...any) {
	w.wrong = append(w.wrong, at+": "+fmt.Sprintf(format, args...))
}

func (w *walk) part(at string, p Part) {
	if why := w.device.supports(p.OS); why != "" {
		w.add(at, "it %s", why)
	}
}

// dict holds a dictionary against its keys.
func (w *walk) dict(at string, dict map[string]any, keys []Key) {
	known := map[string]Key{}
	for _, k := range keys {
		if k.Name == "ANY" {
			return
		}
		known[k.Name] = k
		if _, there := dict[k.Name]; k.Required && !there && w.device.supports(k.OS) == "" {
			w.add(at, "%s is required and missing", k.Name)
		}
	}
	for name, v := range dict {
		k, ok := known[name]
		if !ok {
			w.add(at, "%s is unknown", name)
			continue
		}
		w.key(at+"."+name, v, k)
	}
}

func (w *walk) key(at string, v any, k Key) {
	if why := w.device.supports(k.OS); why != "" {
		w.add(at, "%s", why)
		return
	}
	fits := true
	switch v := v.(type) {
	case string:
		fits = k.Type == "string"
		if k.Format != "" && !regexp.MustCompile(k.Format).MatchString(v) {
			w.add(at, "%q is not of the form %s", v, k.Format)
		}
		// A string with sub-keys takes their names as values.
		if len(k.Sub) > 0 && !slices.ContainsFunc(k.Sub, func(s Key) bool { return s.Name == v && w.device.supports(s.OS) == "" }) {
			w.add(at, "%q is none of the values for this system", v)
		}
	case bool:
		fits = k.Type == "boolean"
	case int64:
		fits = k.Type == "integer" || k.Type == "real"
		if r := k.Range; r != nil && (r.Min != nil && float64(v) < *r.Min || r.Max != nil && float64(v) > *r.Max) {
			w.add(at, "%d is out of range", v)
		}
	case float64:
		fits = k.Type == "real"
	case []byte:
		fits = k.Type == "data"
	case time.Time:
		fits = k.Type == "date"
	case []any:
		fits = k.Type == "array"
		for i, e := range v {
			w.element(fmt.Sprintf("%s[%d]", at, i), e, k)
		}
	case map[string]any:
		fits = k.Type == "dictionary"
		if len(k.Sub) > 0 {
			w.dict(at, v, k.Sub)
		}
	default:
		fits = false
	}
	if !fits && k.Type != "any" {
		w.add(at, "is %T and should be %s", v, k.Type)
	}
	if len(k.Enum) > 0 && !slices.ContainsFunc(k.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
		w.add(at, "%v is none of %v", v, k.Enum)
	}
}

// element holds an element of an array against the one form it may have, or,
// where there are several, against that whose Item it names. An array without a
// form, or one that the schema cuts off because it recurs, is taken as it is.
func (w *walk) element(at string, v any, array Key) {
	if len(array.Sub) == 0 {
		return
	}
	if len(array.Sub) == 1 {
		if array.Sub[0].Name != "$recursive" {
			w.key(at, v, array.Sub[0])
		}
		return
	}
	d, _ := v.(map[string]any)
	for _, s := range array.Sub {
		if s.Name == d["Item"] {
			w.key(at, v, s)
			return
		}
	}
	w.add(at, "%v is none of the forms", v)
}

// Dict says what is wrong with a dictionary that is to have these keys.
func (s *Schema) Dict(d Device, at string, dict map[string]any, p Part) []string {
	w := walk{device: d}
	w.part(at, p)
	w.dict(at, dict, p.Keys)
	return w.wrong
}

// Profile says what is wrong with a configuration profile, its payloads and the
// references between them. Values are those of a decoded property list.
func (s *Schema) Profile(d Device, top map[string]any) []string {
	w := walk{device: d}
	w.dict("profile", top, s.Profiles["TopLevel"].Keys)
	types := map[string]string{fmt.Sprint(top["PayloadUUID"]): "profile"} // by UUID
	identifiers := map[string]bool{}
	content, _ := top["PayloadContent"].([]any)
	for i, v := range content {
		payload, _ := v.(map[string]any)
		payloadType := fmt.Sprint(payload["PayloadType"])
		at := fmt.Sprintf("payload %d (%s)", i, payloadType)
		own, known := s.Profiles[payloadType]
		if !known {
			w.add(at, "the type is unknown")
			continue
		}
		w.part(at, own)
		w.dict(at, payload, slices.Concat(s.Profiles["CommonPayloadKeys"].Keys, own.Keys))
		id := fmt.Sprint(payload["PayloadUUID"])
		if types[id] != "" {
			w.add(at, "its PayloadUUID is there twice")
		}
		types[id] = payloadType
		if identifier := fmt.Sprint(payload["PayloadIdentifier"]); identifiers[identifier] {
			w.add(at, "its PayloadIdentifier is there twice")
		} else {
			identifiers[identifier] = true
		}
	}
	w.references("profile", top, types)
	return w.wrong
}

// references are the keys that name another payload of the profile by its UUID,
// and of which types it may be.
var references = map[string][]string{
	"IdentityCertificateUUID":      {"com.apple.security.scep"},
	"PayloadCertificateUUID":       {"com.apple.security.pkcs12", "com.apple.security.scep"},
	"PayloadCertificateAnchorUUID": {"com.apple.security.root", "com.apple.security.pem", "com.apple.security.pkcs1"},
}

func (w *walk) references(at string, v any, types map[string]string) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			w.references(fmt.Sprintf("%s[%d]", at, i), e, types)
		}
	case map[string]any:
		for name, e := range v {
			at := at + "." + name
			may, refers := references[name]
			if !refers {
				w.references(at, e, types)
				continue
			}
			all, several := e.([]any)
			if !several {
				all = []any{e}
			}
			for _, id := range all {
				if !slices.Contains(may, types[fmt.Sprint(id)]) {
					w.add(at, "it refers to %q, and should refer to one of %v", types[fmt.Sprint(id)], may)
				}
			}
		}
	}
}

// Command says what is wrong with a command as it goes over the wire; the
// profile in it is not looked at.
func (s *Schema) Command(d Device, top map[string]any) []string {
	inner, _ := top["Command"].(map[string]any)
	requestType, _ := inner["RequestType"].(string)
	known, ok := s.Commands[requestType]
	if id, _ := top["CommandUUID"].(string); id == "" || len(top) != 2 || !ok {
		return []string{fmt.Sprintf("not {CommandUUID, Command{RequestType}}, or an unknown RequestType %q", requestType)}
	}
	keys := map[string]any{}
	for k, v := range inner {
		if k != "RequestType" {
			keys[k] = v
		}
	}
	return s.Dict(d, requestType, keys, known)
}

// Declaration says what is wrong with the payload of a declaration.
func (s *Schema) Declaration(d Device, declarationType string, payload map[string]any) []string {
	known, ok := s.Declarations[declarationType]
	if !ok {
		return []string{fmt.Sprintf("the type %q is unknown", declarationType)}
	}
	return s.Dict(d, declarationType, payload, known)
}
