package apple

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"rollcall/policy/document"
)

// Compile says what d becomes on t, and what t will not honour. d is what
// document.Resolve gave; it is not changed, and the plan shares its values.
//
// What t is known not to honour is left out of the plan: a device would ignore
// some of it and fail on the rest. Compile again when more is known of it.
func Compile(d document.Document, t document.Target) (Plan, []document.Note) {
	c := compiler{d: &d, t: t}
	// Networks come before the restrictions: once a device may join only those
	// it was given, it would not come back for them.
	c.deviceName()
	c.certificates()
	c.wifi()
	c.vpn()
	c.raw()
	c.email()
	c.webClips()
	c.restrictions()
	c.passcode()
	c.webFilter()
	c.appLists()
	c.homeScreen()
	c.lockMessage()
	c.osUpdate()
	c.singleApp()
	c.requiredApps()
	c.activate()
	return c.plan, c.notes
}

// compiler is one call of Compile.
type compiler struct {
	d     *document.Document
	t     document.Target
	plan  Plan
	notes []document.Note
}

func (c *compiler) note(pointer string, code document.NoteCode, format string, args ...any) {
	n := document.Note{Pointer: pointer, Code: code, Text: fmt.Sprintf(format, args...)}
	// Several keys of one restriction have the same things to say, one after
	// the other.
	for i := len(c.notes) - 1; i >= 0 && c.notes[i].Pointer == pointer; i-- {
		if c.notes[i] == n {
			return
		}
	}
	c.notes = append(c.notes, n)
}

// feature is the row of a feature that counts for the target.
func (c *compiler) feature(name string) Feature {
	for _, f := range Features {
		if f.Name == name && (f.Before == "" || c.t.OSVersion != "" && older(c.t.OSVersion, f.Before)) {
			return f
		}
	}
	panic("apple: no row for the feature " + name)
}

// recent is a version that devices of unknown version may well not have.
const recent = "17.0"

// able says whether the target honours something, and notes why not.
func (c *compiler) able(pointer string, f Feature) bool {
	switch {
	case !c.mobile() && !(f.Mac && c.t.Family == "Mac"):
		c.note(pointer, document.NotePlatform, "It is carried out on iPhone and iPad, not on %s.", c.t.Family)
		return false
	case c.t.UserEnrollment && !f.UserEnrollment:
		c.note(pointer, document.NoteUserEnrollment, "Devices that their users enrolled as their own (User Enrollment) do not have it.")
		return false
	case f.Supervised && c.t.Supervised != nil && !*c.t.Supervised && c.mobile():
		c.note(pointer, document.NoteUnsupervised, "Only supervised devices honour it, and this one is not supervised.")
		return false
	case c.mobile() && c.t.OSVersion != "" && older(c.t.OSVersion, f.MinOS):
		c.note(pointer, document.NoteOSVersion, "It needs version %s or later; the device has %s.", f.MinOS, c.t.OSVersion)
		return false
	}
	if f.Supervised && c.t.Supervised == nil && c.mobile() {
		c.note(pointer, document.NoteUnsupervised, "Only supervised devices honour it; whether this one is supervised is not known.")
	}
	if c.mobile() && c.t.OSVersion == "" && !older(f.MinOS, recent) {
		c.note(pointer, document.NoteOSVersion, "It needs version %s or later; the version of the device is not known.", f.MinOS)
	}
	return true
}

// mobile says whether the target is, or may be, an iPhone or iPad.
func (c *compiler) mobile() bool { return c.t.Family != "Mac" && c.t.Family != "AppleTV" }

// declares says whether the target knows declarative management (iOS and
// iPadOS 15; a Mac's is left alone).
func (c *compiler) declares() bool {
	return c.mobile() && (c.t.OSVersion == "" || !older(c.t.OSVersion, "15.0"))
}

// older compares versions number by number; what is not a number ends them.
func older(version, than string) bool {
	for version != "" || than != "" {
		var a, b int
		a, version = nextNumber(version)
		b, than = nextNumber(than)
		if a != b {
			return a < b
		}
	}
	return false
}

func nextNumber(version string) (int, string) {
	first, rest, _ := strings.Cut(version, ".")
	digits := strings.TrimSpace(first)
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits, rest = digits[:i], ""
	}
	n, _ := strconv.Atoi(digits)
	return n, rest
}

// install adds a profile to the plan.
func (c *compiler) install(key, title, pointer string, payloads ...document.Payload) {
	c.plan.Profiles = append(c.plan.Profiles, Installable{Key: key, Title: title, Pointer: pointer,
		Profile: document.Profile{ID: key, DisplayName: title, Payloads: payloads}})
}

func (c *compiler) set(key, title, pointer, item string, content document.Dict) {
	c.plan.Settings = append(c.plan.Settings, Setting{Key: key, Title: title, Pointer: pointer, Item: item, Content: content})
}

// raw takes the profiles of the escape hatch as they are. Their IDs begin with
// that of their policy, so that they meet no key of ours.
func (c *compiler) raw() {
	if c.d.Apple == nil {
		return
	}
	for i, f := range c.d.Apple.Profiles {
		title := f.DisplayName
		if title == "" {
			title = f.ID
		}
		c.plan.Profiles = append(c.plan.Profiles, Installable{Key: f.ID, Title: title, Pointer: element("/apple/profiles", i), Profile: f})
	}
}

func element(list string, i int) string { return list + "/" + strconv.Itoa(i) }

// short names something in a key, whatever characters its name has.
func short(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:5])
}

// uuidOf derives a UUID from content: equal content, equal UUID.
func uuidOf(parts ...string) string {
	return strings.ToUpper(uuid.NewHash(sha256.New(), uuid.NameSpaceOID, []byte(strings.Join(parts, "\x00")), 8).String())
}
