package console

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

var auditPages = []route{
	get("/settings/audit", showAudit),
	get("/settings/audit/verify", verifyAudit),
}

// auditEntry is one change.
type auditEntry struct {
	Sequence   int64           `json:"sequence"`
	At         time.Time       `json:"at"`
	Actor      auditActor      `json:"actor"`
	Operation  string          `json:"operation"`
	Path       string          `json:"path"`
	Kind       string          `json:"kind"`
	Key        string          `json:"key"`
	Before     json.RawMessage `json:"before"`
	After      json.RawMessage `json:"after"`
	RequestID  string          `json:"request_id"`
	RemoteAddr string          `json:"remote_addr"`
	Hash       string          `json:"hash"`
}

type auditActor struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// auditChange is one field that a change made another.
type auditChange struct{ Field, Before, After string }

// Changes are the fields that differ, by name. Objects and lists are shown as
// JSON.
func (e auditEntry) Changes() []auditChange {
	var before, after map[string]json.RawMessage
	if json.Unmarshal(e.Before, &before) != nil && len(e.Before) > 0 || json.Unmarshal(e.After, &after) != nil && len(e.After) > 0 {
		return []auditChange{{Before: plain(e.Before), After: plain(e.After)}}
	}
	fields := map[string]bool{}
	for _, object := range []map[string]json.RawMessage{before, after} {
		for name := range object {
			fields[name] = true
		}
	}
	var out []auditChange
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if b, a := plain(before[name]), plain(after[name]); a != b {
			out = append(out, auditChange{name, b, a})
		}
	}
	return out
}

// plain is a JSON value for people: a string without its quotes.
func plain(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

var auditFilters = []string{"actor", "operation", "kind", "key"}

func showAudit(q *request) error {
	var data struct {
		Items      []auditEntry `json:"items"`
		NextCursor string       `json:"next_cursor"`
		Filtered   bool         `json:"-"`
	}
	filters := q.filtersOf(append([]string{"cursor"}, auditFilters...))
	filters.Set("limit", pageSize)
	q.setDay(filters, "since", 0)
	q.setDay(filters, "until", 1)
	v := view{Title: text("settings.audit.title")}
	err := q.get("/audit", filters, &data)
	if v.Problem = refusal(err); v.Problem == nil && err != nil {
		return err
	}
	data.Filtered = len(filters) > 1
	v.Data = data
	return q.settings("settings-audit", v)
}

// setDay makes a moment out of a day of the page's URL, where the person is.
// What is no day goes to the API as it is, which says so.
func (q *request) setDay(filters url.Values, name string, days int) {
	typed := strings.TrimSpace(q.Param(name))
	if typed == "" {
		return
	}
	if day, err := time.ParseInLocation(time.DateOnly, typed, q.Zone()); err == nil {
		typed = day.AddDate(0, 0, days).UTC().Format(time.RFC3339)
	}
	filters.Set(name, typed)
}

// auditReport is what following the chain of entries found.
type auditReport struct {
	Intact  bool   `json:"intact"`
	Entries int64  `json:"entries"`
	Head    string `json:"head"`
	Broken  int64  `json:"broken"`
	Reason  string `json:"reason"`
}

func verifyAudit(q *request) error {
	var report auditReport
	if err := q.get("/audit/verify", nil, &report); err != nil {
		return err
	}
	return q.settings("settings-audit-verified", view{Title: text("settings.audit.verify"), Data: report, Crumbs: []crumb{{"/settings/audit", text("settings.audit.title")}}})
}
