package android

import (
	"fmt"
	"strconv"

	"rollcall/policy/document"
)

const secondsOfDay = 24 * 60 * 60

func (c *compiler) passcode(p *document.Passcode) {
	if p == nil {
		return
	}
	if p.LockAfterSeconds > 0 {
		c.set("/passcode/lock_after_seconds", "maximumTimeToLock", strconv.Itoa(p.LockAfterSeconds*1000))
	}
	if p.GraceSeconds != nil {
		c.note("/passcode/grace_seconds", document.NotePlatform, "Android has no such setting.")
	}
	entry := c.requirements(p)
	if entry == nil {
		return
	}
	entry["passwordScope"] = "SCOPE_DEVICE"
	entries := []any{entry}
	if p.Required && c.t.Management == document.PersonalWorkProfile && entry["passwordQuality"] != "SOMETHING" {
		c.note("/passcode/required", document.NoteRounded, "From Android 12 on the lock of a personal device is held to one of three complexities.")
	}
	if p.WorkProfile && p.Required && c.fits("/passcode/work_profile", profiles, 0) {
		second := map[string]any{}
		for k, v := range entry {
			second[k] = v
		}
		second["passwordScope"], second["unifiedLockSettings"] = "SCOPE_PROFILE", "REQUIRE_SEPARATE_WORK_LOCK"
		entries = append(entries, second)
	}
	c.set("/passcode", "passwordPolicies", entries)
}

// requirements are those of one scope; nil: none.
func (c *compiler) requirements(p *document.Passcode) map[string]any {
	out := map[string]any{}
	if p.History > 0 {
		out["passwordHistoryLength"] = p.History
	}
	if p.MaxAgeDays > 0 {
		out["passwordExpirationTimeout"] = fmt.Sprintf("%ds", p.MaxAgeDays*secondsOfDay)
	}
	if p.MaxFailedAttempts > 0 {
		out["maximumFailedPasswordsForWipe"] = p.MaxFailedAttempts
	}
	if p.Required {
		quality(p, out)
	} else {
		for _, f := range []struct {
			name string
			set  bool
		}{{"min_length", p.MinLength > 0}, {"complexity", p.Complexity != ""}, {"simple", p.Simple == document.Deny}, {"alphanumeric", p.Alphanumeric},
			{"min_complex_characters", p.MinComplexChars > 0}, {"work_profile", p.WorkProfile}} {
			if f.set {
				c.note("/passcode/"+f.name, document.NotePlatform, "Android has no rules for a passcode that is not required; set passcode.required.")
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// quality asks for a complexity where that is all that is asked for. Google
// enforces a length, a kind of characters or a number of symbols only without
// it; then complexity becomes what it means (document.Passcode).
func quality(p *document.Passcode, out map[string]any) {
	detailed := p.MinLength > 0 || p.Alphanumeric || p.MinComplexChars > 0
	length := p.MinLength
	switch {
	case !detailed && p.Complexity != "":
		out["passwordQuality"] = map[string]string{"low": "COMPLEXITY_LOW", "medium": "COMPLEXITY_MEDIUM", "high": "COMPLEXITY_HIGH"}[p.Complexity]
		return
	case p.Complexity == "high":
		length = max(length, 8)
	case p.Complexity != "":
		length = max(length, 4)
	}
	switch {
	case p.MinComplexChars > 0:
		out["passwordQuality"], out["passwordMinimumSymbols"] = "COMPLEX", p.MinComplexChars
		length = max(length, p.MinComplexChars)
	case p.Alphanumeric || p.Complexity == "high":
		out["passwordQuality"] = "ALPHANUMERIC"
	case p.Simple == document.Deny || p.Complexity == "medium":
		out["passwordQuality"] = "NUMERIC_COMPLEX"
	case length > 0:
		out["passwordQuality"] = "NUMERIC"
	default:
		out["passwordQuality"] = "SOMETHING"
	}
	if length > 0 {
		out["passwordMinimumLength"] = length
	}
}
