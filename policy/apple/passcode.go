package apple

import "rollcall/policy/document"

// passcodeRule is one rule in both of its forms.
type passcodeRule struct {
	profile     string // key of com.apple.mobiledevice.passwordpolicy
	declaration string // key of com.apple.configuration.passcode.settings
	minOS       string // of the declaration's key
	value       any
}

// passcode is a declaration where the device knows it, and else a profile.
func (c *compiler) passcode() {
	const (
		pointer = "/passcode"
		title   = "Passcode"
	)
	p := c.d.Passcode
	if p == nil {
		return
	}
	rules := c.passcodeRules(p)
	if len(rules) == 0 && !p.Required || !c.able(pointer, c.feature("passcode")) {
		return
	}
	if !p.Required {
		c.note(pointer, document.NoteRounded, "Apple devices ask for a passcode as soon as there is a rule for it.")
	}
	rules = append(rules, passcodeRule{"forcePIN", "RequirePasscode", "15.0", true})
	declarable := c.declares()
	for _, r := range rules {
		declarable = declarable && (c.t.OSVersion == "" || !older(c.t.OSVersion, r.minOS))
	}
	content := document.Dict{}
	if declarable {
		for _, r := range rules {
			content[r.declaration] = r.value
		}
		c.declare("passcode", title, pointer, "com.apple.configuration.passcode.settings", content)
		return
	}
	switch {
	case c.t.UserEnrollment && !c.mobile():
		c.note(pointer, document.NoteUserEnrollment, "A Mac that its user enrolled as their own takes no rules for its passcode.")
		return
	case c.t.UserEnrollment:
		c.note(pointer, document.NoteUserEnrollment, "Devices that their users enrolled as their own ask for six digits that are not simple, whatever the policy says.")
	}
	for _, r := range rules {
		content[r.profile] = r.value
		if r.profile == "allowSimple" {
			content[r.profile] = false
		}
	}
	c.install("passcode", title, pointer, document.Payload{Type: "com.apple.mobiledevice.passwordpolicy", Content: content})
}

// passcodeRules are the rules beside that there is to be a passcode. The value
// of allowSimple is that of its declaration, which says the opposite.
func (c *compiler) passcodeRules(p *document.Passcode) []passcodeRule {
	var rules []passcodeRule
	add := func(there bool, profile, declaration, minOS string, value any) {
		if there {
			rules = append(rules, passcodeRule{profile, declaration, minOS, value})
		}
	}
	minLength, notSimple, alphanumeric := p.MinLength, p.Simple == document.Deny, p.Alphanumeric
	switch p.Complexity {
	case "low":
		minLength = max(minLength, 4)
	case "medium":
		minLength, notSimple = max(minLength, 4), true
	case "high":
		minLength, notSimple, alphanumeric = max(minLength, 8), true, true
	}
	add(minLength > 0, "minLength", "MinimumLength", "15.0", int64(minLength))
	add(notSimple, "allowSimple", "RequireComplexPasscode", "15.0", true)
	add(alphanumeric, "requireAlphanumeric", "RequireAlphanumericPasscode", "16.2", true)
	add(p.MinComplexChars > 0, "minComplexChars", "MinimumComplexCharacters", "16.2", int64(p.MinComplexChars))
	add(p.History > 0, "pinHistory", "PasscodeReuseLimit", "15.0", int64(p.History))
	add(p.MaxAgeDays > 0, "maxPINAgeInDays", "MaximumPasscodeAgeInDays", "16.2", int64(p.MaxAgeDays))
	add(p.MaxFailedAttempts > 0, "maxFailedAttempts", "MaximumFailedAttempts", "15.0", int64(p.MaxFailedAttempts))
	if s := p.LockAfterSeconds; s > 0 {
		minutes := min(max(s/60, 1), 15)
		c.rounded("/passcode/lock_after_seconds", s, minutes)
		add(true, "maxInactivity", "MaximumInactivityInMinutes", "15.0", int64(minutes))
	}
	if s := p.GraceSeconds; s != nil {
		c.rounded("/passcode/grace_seconds", *s, *s/60)
		add(true, "maxGracePeriod", "MaximumGracePeriodInMinutes", "15.0", int64(*s/60))
	}
	return rules
}

func (c *compiler) rounded(pointer string, seconds, minutes int) {
	if seconds != minutes*60 {
		c.note(pointer, document.NoteRounded, "Apple counts whole minutes within bounds: %d s become %d min.", seconds, minutes)
	}
}
