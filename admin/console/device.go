package console

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// devicePage shows one tab of a device.
func devicePage(q *request, template string, d device, data any, p *problem) error {
	here := at("/devices/%s", d.Serial)
	return q.page(template, view{Title: d.Serial, Area: "devices", Crumbs: []crumb{{"/devices", text("devices.title")}}, Problem: p, Data: struct {
		Device device
		More   any
	}{d, data}, Tabs: []tab{{Path: here, Text: "device.summary"}, {Path: here + "/policies", Text: "device.policies"}, {Path: here + "/timeline", Text: "device.timeline"}, {Path: here + "/enrollment", Text: "device.enrollment"}}})
}

func (q *request) device() (device, error) {
	var d device
	err := q.get(at("/devices/%s", q.PathValue("serial")), nil, &d)
	return d, err
}

func deviceSummary(q *request) error { return showSummary(q, nil) }

func showSummary(q *request, p *problem) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	return devicePage(q, "device-summary", d, slices.Sorted(maps.Keys(d.Sources)), p)
}

// from is a policy that something comes from.
type from struct {
	Policy string `json:"policy"`
	Via    string `json:"via"`
}

type note struct {
	Code     string `json:"code"`
	Pointer  string `json:"pointer"`
	Policies []from `json:"policies"`
	State    string `json:"state"`
	Text     string `json:"text"`
}

type effective struct {
	Policies []struct {
		Name     string `json:"name"`
		Version  int64  `json:"version"`
		Priority int    `json:"priority"`
		Via      string `json:"via"`
	} `json:"policies"`
	Items []struct {
		Key      string `json:"key"`
		Title    string `json:"title"`
		Blocked  string `json:"blocked"`
		Policies []from `json:"policies"`
	} `json:"items"`
	Notes     []note `json:"notes"`
	Conflicts []struct {
		Pointer string   `json:"pointer"`
		Text    string   `json:"text"`
		Won     origin   `json:"won"`
		Lost    []origin `json:"lost"`
	} `json:"conflicts"`
	Origins  map[string][]origin `json:"origins"`
	Document json.RawMessage     `json:"document"`
}

type origin struct {
	Policy  string `json:"policy"`
	Version int64  `json:"version"`
	Via     string `json:"via"`
}

// receipt is what a device got; see the API's Receipt.
type receipt struct {
	EnrolledAt  time.Time `json:"enrolled_at"`
	CompletedAt time.Time `json:"completed_at"`
	Seconds     float64   `json:"time_to_policy_seconds"`
	Items       []struct {
		Key        string    `json:"key"`
		Title      string    `json:"title"`
		State      string    `json:"state"`
		Error      string    `json:"error"`
		Policies   []from    `json:"policies"`
		Removal    bool      `json:"removal"`
		RetryAt    time.Time `json:"retry_at"`
		FinishedAt time.Time `json:"finished_at"`
	} `json:"items"`
	Notes []note `json:"notes"`
}

func devicePolicies(q *request) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	var data struct {
		Effective effective
		Receipt   *receipt
		Values    []policyValue
	}
	if err := q.get(at("/devices/%s/policy", d.Serial), nil, &data.Effective); err != nil {
		return err
	}
	if !d.EnrolledAt.IsZero() {
		data.Receipt = &receipt{}
		if err := q.get(at("/devices/%s/receipt", d.Serial), nil, data.Receipt); err != nil {
			return err
		}
	}
	data.Values = valuesOf(data.Effective)
	return devicePage(q, "device-policies", d, data, nil)
}

// policyValue is one value of the effective document, and where it comes from.
type policyValue struct {
	Pointer string
	Value   string
	Origin  string
}

// valuesOf lists what the effective document says, value by value.
func valuesOf(e effective) []policyValue {
	var document any
	if len(e.Document) == 0 || json.Unmarshal(e.Document, &document) != nil {
		return nil
	}
	var out []policyValue
	for _, pointer := range slices.Sorted(maps.Keys(e.Origins)) {
		value, ok := pointed(document, pointer)
		if !ok {
			continue
		}
		shown, err := json.Marshal(value)
		if err != nil {
			continue
		}
		var names []string
		for _, o := range e.Origins[pointer] {
			names = append(names, o.Policy)
		}
		out = append(out, policyValue{pointer, string(shown), strings.Join(names, ", ")})
	}
	return out
}

// pointed is the value that a JSON pointer (RFC 6901) leads to.
func pointed(document any, pointer string) (any, bool) {
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		object, ok := document.(map[string]any)
		if !ok {
			return nil, false
		}
		if document, ok = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]; !ok {
			return nil, false
		}
	}
	return document, true
}

func deviceTimeline(q *request) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	var data struct {
		Items []struct {
			At       time.Time `json:"at"`
			Kind     string    `json:"kind"`
			What     string    `json:"what"`
			State    string    `json:"state"`
			Detail   string    `json:"detail"`
			Actor    string    `json:"actor"`
			ID       string    `json:"id"`
			ImportID string    `json:"import_id"`
			Changes  []struct {
				Field string `json:"field"`
				Old   string `json:"old"`
				New   string `json:"new"`
			} `json:"changes"`
		} `json:"items"`
		NextCursor string `json:"next_cursor"`
	}
	query := q.filtersOf([]string{"cursor"})
	query.Set("limit", pageSize)
	if err := q.get(at("/devices/%s/timeline", d.Serial), query, &data); err != nil {
		return err
	}
	return devicePage(q, "device-timeline", d, data, nil)
}

// sentRequest is an enrollment request; see the API's Request.
type sentRequest struct {
	ID         string    `json:"id"`
	State      string    `json:"state"`
	Via        string    `json:"via"`
	Problem    string    `json:"problem"`
	CreatedAt  time.Time `json:"created_at"`
	OpenedAt   time.Time `json:"opened_at"`
	AcceptedAt time.Time `json:"accepted_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// gateDecision is a decision in a list.
type gateDecision struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Channel  string    `json:"channel"`
	Outcome  string    `json:"outcome"`
	Code     string    `json:"code"`
	Evidence string    `json:"evidence"`
}

func deviceEnrollment(q *request) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	var requests struct {
		Items []sentRequest `json:"items"`
	}
	var decisions struct {
		Items []gateDecision `json:"items"`
	}
	if err := q.get("/requests", url.Values{"serial": {d.Serial}, "limit": {"20"}}, &requests); err != nil {
		return err
	}
	if err := q.get("/decisions", url.Values{"serial": {d.Serial}, "limit": {"20"}}, &decisions); err != nil {
		return err
	}
	return devicePage(q, "device-enrollment", d, struct {
		Requests  []sentRequest
		Decisions []gateDecision
	}{requests.Items, decisions.Items}, nil)
}
