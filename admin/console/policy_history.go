package console

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// policyReceipt is what a device got of a policy.
type policyReceipt struct {
	Serial      string        `json:"serial"`
	State       string        `json:"state"`
	Version     int64         `json:"version"`
	CompletedAt time.Time     `json:"completed_at"`
	Items       []receiptItem `json:"items"`
	Notes       []receiptNote `json:"notes"`
}

type receiptItem struct {
	Title      string    `json:"title"`
	State      string    `json:"state"`
	Error      string    `json:"error"`
	Tries      int       `json:"tries"`
	FinishedAt time.Time `json:"finished_at"`
	RetryAt    time.Time `json:"retry_at"`
}

type receiptNote struct {
	State   string `json:"state"`
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Text    string `json:"text"`
}

func policyReceipts(q *request) error {
	name := q.PathValue("name")
	query := q.filtersOf([]string{"cursor"})
	query.Set("limit", pageSize)
	var list struct {
		Items      []policyReceipt `json:"items"`
		NextCursor string          `json:"next_cursor"`
	}
	if err := q.get(at("/policies/%s/receipt", name), query, &list); err != nil {
		return err
	}
	return q.page("policy-receipts", q.policyView(text("policies.receipts.title", name), list))
}

// policyVersionRow is a version in the list.
type policyVersionRow struct {
	Version   int64     `json:"version"`
	Restored  int64     `json:"restored"`
	Priority  int       `json:"priority"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
}

func policyVersions(q *request) error {
	name := q.PathValue("name")
	query := q.filtersOf([]string{"cursor"})
	query.Set("limit", pageSize)
	var data struct {
		Items      []policyVersionRow `json:"items"`
		NextCursor string             `json:"next_cursor"`
		Newest     int64
	}
	if err := q.get(at("/policies/%s/versions", name), query, &data); err != nil {
		return err
	}
	var newest policySummary
	if err := q.get(at("/policies/%s", name), nil, &newest); err != nil {
		return err
	}
	data.Newest = newest.Version
	return q.page("policy-versions", q.policyView(text("policies.versions.title", name), data))
}

func policyVersion(q *request) error {
	name := q.PathValue("name")
	var data struct {
		Policy fullPolicy
		Newest int64
		Said   []said
	}
	if err := q.get(at("/policies/%s/versions/%s", name, q.PathValue("version")), nil, &data.Policy); err != nil {
		return err
	}
	var newest policySummary
	if err := q.get(at("/policies/%s", name), nil, &newest); err != nil {
		return err
	}
	data.Newest, data.Said = newest.Version, saidBy(data.Policy.Document)
	v := q.policyView(text("policies.version.title", data.Policy.Version, name), data)
	v.Crumbs = append(v.Crumbs, crumb{at("/policies/%s/versions", name), text("policies.versions")})
	return q.page("policy-version", v)
}

func restoreVersion(q *request) error {
	version := q.PathValue("version")
	return q.changePolicy("", func(name string) error {
		return q.post(at("/policies/%s/versions/%s/restore", name, version), nil, nil)
	}, "policies.restore.done", version)
}

// difference is a place where two documents are not the same. A side that is
// absent has nothing there.
type difference struct {
	Pointer string          `json:"pointer"`
	From    json.RawMessage `json:"from"`
	To      json.RawMessage `json:"to"`
}

// Was and Is are the sides for people.
func (d difference) Was() string { return shownRaw(d.From) }
func (d difference) Is() string  { return shownRaw(d.To) }

func shownRaw(b json.RawMessage) string {
	var v any
	if len(b) == 0 || json.Unmarshal(b, &v) != nil {
		return ""
	}
	return shownValue(v)
}

func compareVersions(q *request) error {
	name := q.PathValue("name")
	query := url.Values{"from": {q.Param("from")}}
	if to := q.Param("to"); to != "" {
		query.Set("to", to)
	}
	var data struct {
		From        int64        `json:"from"`
		To          int64        `json:"to"`
		Differences []difference `json:"differences"`
		Newest      int64
	}
	if err := q.get(at("/policies/%s/compare", name), query, &data); err != nil {
		return err
	}
	var newest policySummary
	if err := q.get(at("/policies/%s", name), nil, &newest); err != nil {
		return err
	}
	data.Newest = newest.Version
	v := q.policyView(text("policies.compare.title", strconv.FormatInt(data.From, 10), strconv.FormatInt(data.To, 10)), data)
	v.Crumbs = append(v.Crumbs, crumb{at("/policies/%s/versions", name), text("policies.versions")})
	return q.page("policy-compare", v)
}
