package enroll

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ImportBase is what the roll knows when a row is planned.
type ImportBase struct {
	Device   *Device // that has the serial; nil: none
	Owner    string  // e-mail address of its owner
	Groups   []string
	Policies []string // bound to the device itself
	Rules    []string // those of the groups the row names that have a rule

	User    *User // that has the e-mail address, as earlier rows of the file leave it; nil: none
	NewUser bool  // made by an earlier row of the file
}

// ImportChange is a planned row with everything that writing it needs.
type ImportChange struct {
	PlanRow
	Base     int64   // version of the row of the roll it was planned against; 0: there was none
	Device   *Device // as it is to be; nil: it stays as it is, or there is none
	User     *User   // as it is to be; nil: it stays as it is, or there is none
	Groups   Links
	Policies Links
}

// Links are what a row adds to a device and takes from it, by name.
type Links struct {
	Add, Remove []string
}

func (l Links) empty() bool { return len(l.Add) == 0 && len(l.Remove) == 0 }

// PlanImportRow decides what an import does with one row. It is pure; the
// policies that a row may name are those of known.
func PlanImportRow(o ImportOptions, row ImportRow, base ImportBase, known map[string]bool, now time.Time) ImportChange {
	c := ImportChange{PlanRow: PlanRow{Line: row.Line, Serial: row.Serial, Email: row.Email, Errors: row.Errors, Warnings: row.Warnings}}
	wrong := func(action RowAction, column, value, code, hint, format string, args ...any) ImportChange {
		c.Action, c.Changes, c.Device, c.User = action, nil, nil, nil
		c.Groups, c.Policies = Links{}, Links{}
		c.Errors = append(c.Errors, RowError{Line: row.Line, Column: column, Value: value, Code: code, Detail: fmt.Sprintf(format, args...), Hint: hint})
		return c
	}
	if o.PreEnroll && base.Device != nil {
		c.Base = base.Device.Version
	}
	for _, name := range row.Policies {
		if !known[name] {
			wrong(ActionError, "policy", name, "policy_unknown", "Make the policy first, or correct its name.", "no policy has the name %q", name)
		}
	}
	for _, name := range base.Rules {
		wrong(ActionError, "group", name, "group_rule", "Take the group out of the row; the device is a member if the rule matches it.", "the members of the group %q follow from its rule", name)
	}
	if !row.NotBefore.IsZero() && !row.ExpiresAt.IsZero() && !row.NotBefore.Before(row.ExpiresAt) {
		wrong(ActionError, "expires_at", instantText(row.ExpiresAt), "window_invalid", "Set expires_at to a time after not_before.", "the row would expire before it becomes valid")
	}
	if len(c.Errors) > 0 {
		c.Action = ActionError
		return c
	}
	if row.SkipOf > 0 {
		c.Action = ActionSkipped
		c.Warnings = append(c.Warnings, RowError{Line: row.Line, Column: "SerialNumber", Value: row.SerialRaw, Code: "serial_twice", Detail: fmt.Sprintf("the serial %s is in line %d already", row.Serial, row.SkipOf)})
		return c
	}
	old := base.Device
	if !o.PreEnroll {
		old = nil
	}
	if old != nil && old.Sources["serial"] != SourceDevice {
		switch o.OnDuplicate {
		case DuplicateSkip:
			c.Action = ActionSkipped
			return c
		case DuplicateFail:
			return wrong(ActionError, "SerialNumber", row.SerialRaw, "serial_known", "Take the row out of the file, or import with on_duplicate=skip or update.", "the serial %s is on the roll already", row.Serial)
		}
	}
	if old != nil && old.Platform != row.Platform && !old.Platform.Admits(row.Platform) && !row.Platform.Admits(old.Platform) {
		return wrong(ActionConflict, "platform", string(row.Platform), "platform_conflict", "Correct the platform here, or change the row on the roll first.", "this serial is on the roll for %s", old.Platform)
	}
	userID := c.planUser(o, row, base)
	c.Action = ActionUnchanged
	if len(c.Changes) > 0 {
		c.Action = ActionChanged
	}
	switch {
	case !o.PreEnroll:
		if base.User == nil && c.User != nil {
			c.Action = ActionNew
		}
		return c
	case old == nil:
		c.Action = ActionNew
		old = &Device{ID: NewID(), Serial: row.Serial, SerialRaw: row.SerialRaw, State: StatePreEnrolled, CreatedAt: now, Sources: map[string]Source{}}
	}
	next := c.mergeDevice(*old, row, userID, base.Owner)
	c.Groups = c.link("group", base.Groups, row.Groups, row.Clear)
	c.Policies = c.link("policy", base.Policies, row.Policies, row.Clear)
	if c.Action == ActionNew || !next.Same(*old) {
		c.Device = &next
	}
	if c.Action != ActionNew && (c.Device != nil || !c.Groups.empty() || !c.Policies.empty()) {
		c.Action = ActionChanged
	}
	return c
}

func (c *ImportChange) change(field, old, fresh string) {
	c.Changes = append(c.Changes, FieldChange{Field: field, Old: old, New: fresh})
}

// planUser finds what becomes of the user of a row, and the ID.
func (c *ImportChange) planUser(o ImportOptions, row ImportRow, base ImportBase) string {
	if row.Email == "" {
		return ""
	}
	if base.User == nil {
		u := User{ID: NewID(), Domain: o.Domain, Email: row.Email, Name: row.Name, Mobile: row.Mobile}
		c.User = &u
		if !o.PreEnroll {
			c.change("email", "", u.Email)
		}
		if u.Name != "" {
			c.change("name", "", u.Name)
		}
		if u.Mobile != "" {
			c.change("mobile", "", u.Mobile)
		}
		return u.ID
	}
	u := *base.User
	if o.Users == UsersSkip && !base.NewUser {
		return u.ID
	}
	if row.Name != "" && row.Name != u.Name {
		c.change("name", u.Name, row.Name)
		u.Name = row.Name
	}
	if (row.Mobile != "" || row.Clear["mobile"]) && row.Mobile != u.Mobile {
		c.change("mobile", u.Mobile, row.Mobile)
		u.Mobile = row.Mobile
	}
	if u != *base.User {
		c.User = &u
	}
	return u.ID
}

// mergeDevice lays a row of a file over a row of the roll. A blank cell leaves
// the value as it is. What an accepted device has told of itself is not
// overwritten: it knows better.
func (c *ImportChange) mergeDevice(d Device, row ImportRow, userID, owner string) Device {
	fresh := d.Platform == ""
	d.Sources = sourcesOf(d)
	set := func(field, source, old, value string, write func()) {
		if old == value || value == "" && !row.Clear[field] {
			return
		}
		c.change(field, old, value)
		write()
		if value == "" {
			delete(d.Sources, source)
		} else {
			d.Sources[source] = SourceCSV
		}
	}
	set("platform", "platform", string(d.Platform), string(row.Platform), func() { d.Platform = row.Platform })
	if row.Ownership != OwnershipSelectUser || d.Sources["ownership"] != SourceDevice { // else the user was asked, and has chosen
		set("ownership", "ownership", string(d.Ownership), string(row.Ownership), func() { d.Ownership = row.Ownership })
	}
	set("devicename", "name", d.Name, row.DeviceName, func() { d.Name = row.DeviceName })
	set("asset_tag", "asset_tag", d.AssetTag, row.AssetTag, func() { d.AssetTag = row.AssetTag })
	set("tags", "tags", strings.Join(d.Tags, "|"), strings.Join(row.Tags, "|"), func() { d.Tags = row.Tags })
	set("notes", "notes", d.Notes, row.Notes, func() { d.Notes = row.Notes })
	set("not_before", "not_before", instantText(d.NotBefore), instantText(row.NotBefore), func() { d.NotBefore = row.NotBefore })
	set("expires_at", "expires_at", instantText(d.ExpiresAt), instantText(row.ExpiresAt), func() { d.ExpiresAt = row.ExpiresAt })
	set("uses", "max_uses", usesText(d.MaxUses), usesText(row.Uses), func() { d.MaxUses = row.Uses })
	if row.Email != "" || row.Clear["email"] {
		if d.UserID != userID {
			c.change("email", owner, row.Email)
			d.UserID = userID
			d.Sources["user"] = SourceCSV
		}
	}
	c.mergeFacts(&d, row)
	switch {
	case fresh:
		d.Sources["serial"] = SourceCSV
	case d.Sources["serial"] == SourceDevice:
		d.Sources["serial"] = SourceCSV
		c.change("serial_source", string(SourceDevice), string(SourceCSV))
	}
	return d
}

// mergeFacts takes what the file says of the device itself. What stands nearer
// to the device knows better (see Device.Learn). Before the user has accepted,
// the plan shows what the file says and not what is known.
func (c *ImportChange) mergeFacts(d *Device, row ImportRow) {
	take := func(field, old, value string, write func(string)) {
		switch {
		case old == value || value == "" && !row.Clear[field]:
		case old != "" && trust[SourceCSV] < trust[d.Sources[field]]:
			if d.Accepted() {
				c.Warnings = append(c.Warnings, RowError{Line: row.Line, Column: field, Value: value, Code: "fact_differs",
					Detail: fmt.Sprintf("the device itself says %s, which stays", old), Hint: "Correct the file, or check whether this is the device you mean."})
			}
		default:
			if !d.Accepted() {
				old = ""
			}
			c.change(field, old, value)
			write(value)
		}
	}
	for field, known := range map[string]struct {
		to    *string
		value string
	}{"imei": {&d.Facts.IMEI, row.IMEI}, "udid": {&d.Facts.UDID, row.UDID}, "model": {&d.Facts.Model, row.Model}} {
		take(field, *known.to, known.value, func(s string) {
			if *known.to = s; s == "" {
				delete(d.Sources, field)
			} else {
				d.Sources[field] = SourceCSV
			}
		})
	}
	const imei2 = "IMEI2"
	take("imei2", d.Facts.Extra[imei2], row.IMEI2, func(s string) {
		d.Facts.Extra = maps.Clone(d.Facts.Extra)
		if d.Facts.Extra == nil {
			d.Facts.Extra = map[string]string{}
		}
		if d.Facts.Extra[imei2] = s; s == "" {
			delete(d.Facts.Extra, imei2)
		}
	})
	slices.SortStableFunc(c.Changes, func(a, b FieldChange) int { return strings.Compare(a.Field, b.Field) })
}

// link finds what has to be added to reach what a cell says. CLEAR! takes all
// away.
func (c *ImportChange) link(field string, have, want []string, clear map[string]bool) Links {
	var l Links
	for _, name := range want {
		if !slices.Contains(have, name) {
			l.Add = append(l.Add, name)
		}
	}
	if clear[field] {
		for _, name := range have {
			if !slices.Contains(want, name) {
				l.Remove = append(l.Remove, name)
			}
		}
	}
	if !l.empty() {
		now := slices.DeleteFunc(slices.Concat(have, l.Add), func(name string) bool { return slices.Contains(l.Remove, name) })
		c.change(field, strings.Join(have, "|"), strings.Join(now, "|"))
	}
	return l
}

func instantText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func usesText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
