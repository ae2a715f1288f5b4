package android

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"rollcall/policy/document"
)

// Policy is the body of policies.patch of the Android Management API.
type Policy map[string]any

// Name is a policy's name at Google, made of its content: equal policies are
// one there, and a change makes another.
func Name(body Policy) string {
	b, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("android: a policy without JSON form: %v", err))
	}
	sum := sha256.Sum256(b)
	return "p" + hex.EncodeToString(sum[:16])
}

// Compile makes the policy of a document for a target, and tells what of the
// document the target will not honour. d is resolved. Equal documents for
// targets of one management mode and API level give equal bodies.
func Compile(d document.Document, t document.Target) (Policy, []document.Note) {
	c := &compiler{t: t, body: Policy{}, by: map[string][]string{}}
	c.reporting()
	c.restrictions(d.Restrictions)
	c.passcode(d.Passcode)
	c.networks(&d)
	c.vpn(&d)
	c.apps(&d)
	c.osUpdate(d.OSUpdate)
	if d.LockMessage != "" && c.fits("/lock_message", full, 0) {
		c.set("/lock_message", "deviceOwnerLockScreenInfo.defaultMessage", d.LockMessage)
	}
	c.absent(&d)
	c.raw(d.Android)
	return c.body, c.notes
}

type compiler struct {
	t     document.Target
	body  Policy
	notes []document.Note
	by    map[string][]string // top-level field -> pointers that made it
}

func (c *compiler) note(pointer string, code document.NoteCode, format string, args ...any) {
	c.notes = append(c.notes, document.Note{Pointer: pointer, Code: code, Text: fmt.Sprintf(format, args...)})
}

// set writes a field by its dotted path; pointer says for what, and is empty
// for what stands in every policy.
func (c *compiler) set(pointer, path string, v any) {
	at := map[string]any(c.body)
	names := strings.Split(path, ".")
	for _, n := range names[:len(names)-1] {
		inner, ok := at[n].(map[string]any)
		if !ok {
			inner = map[string]any{}
			at[n] = inner
		}
		at = inner
	}
	at[names[len(names)-1]] = v
	if pointer != "" {
		c.by[names[0]] = append(c.by[names[0]], pointer)
	}
}

// fits says whether the target has a setting, and notes it where not.
func (c *compiler) fits(pointer string, modes []document.Management, minAPI int) bool {
	code, text := c.misfit(modes, minAPI)
	if code != "" {
		c.note(pointer, code, "%s", text)
	}
	return code == ""
}

func (c *compiler) misfit(modes []document.Management, minAPI int) (document.NoteCode, string) {
	if c.t.Management != "" && modes != nil && !slices.Contains(modes, c.t.Management) {
		names := make([]string, len(modes))
		for i, m := range modes {
			names[i] = modeNames[m]
		}
		return document.NoteManagement, "Android has this setting on " + strings.Join(names, " and ") + " only."
	}
	if c.t.APILevel > 0 && c.t.APILevel < minAPI {
		return document.NoteAPILevel, fmt.Sprintf("Android has this setting from API level %d; the device has %d.", minAPI, c.t.APILevel)
	}
	return "", ""
}

var modeNames = map[document.Management]string{
	document.FullyManaged:        "fully managed devices",
	document.CompanyWorkProfile:  "company-owned devices with a work profile",
	document.PersonalWorkProfile: "personal devices with a work profile",
}

// reporting is in every policy: without it devices do not tell what the roll
// wants to know of them.
func (c *compiler) reporting() {
	c.set("", "statusReportingSettings", map[string]any{
		"applicationReportsEnabled": true, "applicationReportingSettings": map[string]any{"includeRemovedApps": true},
		"deviceSettingsEnabled": true, "softwareInfoEnabled": true, "memoryInfoEnabled": true, "networkInfoEnabled": true,
		"displayInfoEnabled": true, "hardwareStatusEnabled": true, "powerManagementEventsEnabled": true,
		"systemPropertiesEnabled": true, "commonCriteriaModeEnabled": true,
	})
}

// restrictionFields gives the index of a restriction in document.Restrictions.
var restrictionFields = func() map[string]int {
	out := map[string]int{}
	t := reflect.TypeFor[document.Restrictions]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out[name] = i
	}
	return out
}()

// said is what a restriction says.
func said(r *document.Restrictions, name string) string {
	if r == nil {
		return ""
	}
	return reflect.ValueOf(r).Elem().Field(restrictionFields[name]).String()
}

// answers says whether the row answers the value of its restriction.
func (r *Row) answers(value string) bool {
	if r.When != "" {
		return value == r.When
	}
	return value == string(document.Deny) || value == string(document.Require)
}

func (c *compiler) restrictions(r *document.Restrictions) {
	for i := range Restrictions {
		row := &Restrictions[i]
		if row.Open != nil {
			if code, _ := c.misfit(row.Modes, row.MinAPI); code == "" {
				c.set("", row.Field, row.Open)
			}
		}
	}
	if r == nil {
		return
	}
	for i := 0; i < len(Restrictions); {
		n := i + 1
		for n < len(Restrictions) && Restrictions[n].Name == Restrictions[i].Name {
			n++
		}
		c.restriction(Restrictions[i:n], said(r, Restrictions[i].Name))
		i = n
	}
}

// restriction writes the rows of one restriction; where none fits, the note is
// that of the first.
func (c *compiler) restriction(rows []Row, value string) {
	pointer := "/restrictions/" + rows[0].Name
	if rows[0].Field == "" {
		if rows[0].answers(value) {
			c.note(pointer, document.NotePlatform, "%s", strings.TrimSpace("Android has no such setting. "+rows[0].Caveat))
		}
		return
	}
	written := false
	var misfit document.Note
	for i := range rows {
		row := &rows[i]
		if !row.answers(value) {
			continue
		}
		if code, text := c.misfit(row.Modes, row.MinAPI); code != "" {
			if misfit.Code == "" {
				misfit = document.Note{Pointer: pointer, Code: code, Text: text}
			}
			continue
		}
		written = true
		if row.List {
			list, _ := c.body[row.Field].([]any)
			c.set(pointer, row.Field, append(list, row.Value))
		} else {
			c.set(pointer, row.Field, row.Value)
		}
		if row.Permission {
			c.note(pointer, document.NotePermission, "Google has to allow this setting to the project; without that the device answers PROJECT_NOT_PERMITTED.")
		}
		if row.Rounded {
			c.note(pointer, document.NoteRounded, "%s", row.Caveat)
		}
	}
	if !written && misfit.Code != "" {
		c.notes = append(c.notes, misfit)
	}
}

func (c *compiler) vpn(d *document.Document) {
	for i, v := range d.VPN {
		p := fmt.Sprintf("/vpn/%d", i)
		if v.AndroidPackage == "" {
			c.note(p, document.NotePlatform, "On Android a connection is an app's; give android_package.")
			continue
		}
		if v.Server != "" {
			c.note(p+"/server", document.NotePlatform, "On Android the app knows its server; configure it in apps.required.")
		}
		if c.body["alwaysOnVpnPackage"] != nil {
			c.note(p+"/android_package", document.NoteOutranked, "Only one app can keep a connection always on.")
			continue
		}
		c.set(p, "alwaysOnVpnPackage", map[string]any{"packageName": v.AndroidPackage, "lockdownEnabled": v.Lockdown})
		if d.Apps == nil || !slices.ContainsFunc(d.Apps.Required, func(a document.App) bool { return a.Package == v.AndroidPackage }) {
			c.note(p+"/android_package", document.NoteDoubtful, "%s is not among the required apps.", v.AndroidPackage)
		}
	}
}

func (c *compiler) osUpdate(u *document.OSUpdate) {
	if u == nil {
		return
	}
	const p = "/os_update"
	if kind := map[string]string{"automatic": "AUTOMATIC", "windowed": "WINDOWED", "postpone": "POSTPONE"}[u.Mode]; kind != "" && c.fits(p+"/mode", company, 0) {
		c.set(p+"/mode", "systemUpdate.type", kind)
		if kind == "WINDOWED" {
			c.set(p+"/window_start_minute", "systemUpdate.startMinutes", u.WindowStart)
			c.set(p+"/window_end_minute", "systemUpdate.endMinutes", u.WindowEnd)
		}
	}
	if u.DeferDays > 0 {
		c.note(p+"/defer_days", document.NotePlatform, "Android knows no number of days; the mode postpone waits for 30.")
	}
	if u.TargetVersion != "" {
		c.note(p+"/target_version", document.NotePlatform, "Android enforces no version; min_api_level reports devices below one.")
	}
	if u.Deadline != "" {
		c.note(p+"/deadline", document.NotePlatform, "Android enforces no version; min_api_level reports devices below one.")
	}
	if u.MinAPILevel > 0 {
		c.set(p+"/min_api_level", "minimumApiLevel", u.MinAPILevel)
	}
}

// absent notes what has no place in a policy at Google.
func (c *compiler) absent(d *document.Document) {
	for i := range d.Email {
		c.note(fmt.Sprintf("/email/%d", i), document.NotePlatform, "Android has no mail accounts in a policy; configure a mail app in apps.required.")
	}
	for i := range d.WebClips {
		c.note(fmt.Sprintf("/web_clips/%d", i), document.NotePlatform, "A web app is an object of its own at Google; once made, its package can be required.")
	}
	if d.DeviceName != "" {
		c.note("/device_name", document.NotePlatform, "Android has no such setting.")
	}
	if d.HomeScreen != nil {
		c.note("/home_screen", document.NotePlatform, "Android has no such setting; a launcher can be required and configured.")
	}
}

// raw lays the fields that were given as they are over what was compiled.
func (c *compiler) raw(a *document.Android) {
	if a == nil {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(a.Policy)) {
		var v any
		dec := json.NewDecoder(strings.NewReader(string(a.Policy[k])))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			c.note("/android/policy/"+k, document.NoteDoubtful, "The value is not JSON: %v", err)
			continue
		}
		told := map[string]bool{}
		for _, p := range c.by[k] {
			if !told[p] {
				c.note(p, document.NoteOutranked, "android.policy gives the field %s.", k)
			}
			told[p] = true
		}
		c.body[k] = v
	}
}

// indices are those of lists in a path of Google's: "[3]".
var indices = regexp.MustCompile(`\[[0-9]+\]`)
