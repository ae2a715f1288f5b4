package admin

import (
	"strconv"
	"strings"
	"time"

	"rollcall/enroll"
)

// deviceColumns begin with the header of an import, so that an export can be
// imported; what an import understands beyond it comes next, then what only
// tells.
var deviceColumns = []column[DeviceView]{
	{"name", func(d DeviceView) string { return ownerOf(d).Name }},
	{"email", func(d DeviceView) string { return ownerOf(d).Email }},
	{"mobile", func(d DeviceView) string { return ownerOf(d).Mobile }},
	{"ownership", func(d DeviceView) string { return string(d.Ownership) }},
	{"devicename", func(d DeviceView) string { return d.Name }},
	{"SerialNumber", func(d DeviceView) string { return d.Serial }},
	{"platform", func(d DeviceView) string { return string(d.Platform) }},
	{"groups", func(d DeviceView) string { return strings.Join(d.Groups, "|") }},
	{"tags", func(d DeviceView) string { return strings.Join(d.Tags, "|") }},
	{"asset_tag", func(d DeviceView) string { return d.AssetTag }},
	{"notes", func(d DeviceView) string { return d.Notes }},
	{"not_before", func(d DeviceView) string { return stamp(d.NotBefore) }},
	{"expires_at", func(d DeviceView) string { return stamp(d.ExpiresAt) }},
	{"uses", func(d DeviceView) string { return number(d.MaxUses) }},
	{"imei", func(d DeviceView) string { return factsShown(d).IMEI }},
	{"udid", func(d DeviceView) string { return factsShown(d).UDID }},
	{"model", func(d DeviceView) string { return factsShown(d).Model }},
	{"domain", func(d DeviceView) string { return ownerOf(d).Domain }},
	{"state", func(d DeviceView) string { return string(d.State) }},
	{"os_version", func(d DeviceView) string { return factsShown(d).OSVersion }},
	{"blocked_at", func(d DeviceView) string { return stamp(blockOf(d).At) }},
	{"block_reason", func(d DeviceView) string { return blockOf(d).Reason }},
	{"used", func(d DeviceView) string { return strconv.Itoa(d.Uses) }},
	{"accepted_at", func(d DeviceView) string { return stamp(d.AcceptedAt) }},
	{"enrolled_at", func(d DeviceView) string { return stamp(d.EnrolledAt) }},
	{"last_seen_at", func(d DeviceView) string { return stamp(d.LastSeenAt) }},
	{"created_at", func(d DeviceView) string { return stamp(d.CreatedAt) }},
	{"updated_at", func(d DeviceView) string { return stamp(d.UpdatedAt) }},
}

func ownerOf(d DeviceView) UserView {
	if d.User == nil {
		return UserView{}
	}
	return *d.User
}

// factsShown is what the view shows of the device itself: nothing before its
// user has accepted.
func factsShown(d DeviceView) enroll.Facts {
	if d.Facts == nil {
		return enroll.Facts{}
	}
	return *d.Facts
}

func blockOf(d DeviceView) blockView {
	if d.Blocked == nil {
		return blockView{}
	}
	return *d.Blocked
}

var decisionColumns = []column[DecisionView]{
	{"id", func(d DecisionView) string { return d.ID }},
	{"at", func(d DecisionView) string { return stamp(d.At) }},
	{"channel", func(d DecisionView) string { return string(d.Channel) }},
	{"platform", func(d DecisionView) string { return string(d.Platform) }},
	{"serial", func(d DecisionView) string { return d.Serial }},
	{"evidence", func(d DecisionView) string { return string(d.Evidence) }},
	{"mode", func(d DecisionView) string { return string(d.Mode) }},
	{"outcome", func(d DecisionView) string { return string(d.Outcome) }},
	{"code", func(d DecisionView) string { return string(d.Code) }},
	{"enforced", func(d DecisionView) string { return string(d.Enforced) }},
	{"request_id", func(d DecisionView) string { return d.RequestID }},
	{"remote_addr", func(d DecisionView) string { return d.RemoteAddr }},
	{"text", func(d DecisionView) string { return d.Text }},
	{"fix", func(d DecisionView) string { return d.Fix }},
}

var requestColumns = []column[RequestView]{
	{"id", func(q RequestView) string { return q.ID }},
	{"serial", func(q RequestView) string { return q.Serial }},
	{"via", func(q RequestView) string { return string(q.Via) }},
	{"state", func(q RequestView) string { return string(q.State) }},
	{"problem", func(q RequestView) string { return q.Problem }},
	{"ownership", func(q RequestView) string { return string(q.Ownership) }},
	{"created_by", func(q RequestView) string { return q.CreatedBy }},
	{"created_at", func(q RequestView) string { return stamp(q.CreatedAt) }},
	{"expires_at", func(q RequestView) string { return stamp(q.ExpiresAt) }},
	{"opened_at", func(q RequestView) string { return stamp(q.OpenedAt) }},
	{"accepted_at", func(q RequestView) string { return stamp(q.AcceptedAt) }},
	{"reminded_at", func(q RequestView) string { return stamp(q.RemindedAt) }},
	{"closed_at", func(q RequestView) string { return stamp(q.ClosedAt) }},
}

// number is a limit in a cell; empty for none.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// stamp is a time in a cell; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
