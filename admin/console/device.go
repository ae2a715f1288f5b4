package console

import (
	"maps"
	"net/url"
	"slices"
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
}

func devicePolicies(q *request) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	var data struct {
		Effective effective
		Receipt   *receipt
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
	return devicePage(q, "device-policies", d, data, nil)
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
