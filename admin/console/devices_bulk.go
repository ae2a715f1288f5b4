package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// Bulk actions go in two steps: the page that names what would happen to which
// devices, and the run. Above typedAbove devices the number has to be typed.
const (
	maxBulk    = 1000
	typedAbove = 50
)

// bulkActions are the actions, and the operation each needs.
var bulkActions = map[string]string{
	"request": "create-requests", "join": "change-members", "leave": "change-members", "block": "block-device", "unblock": "unblock-device", "delete": "delete-device", "disenroll": "disenroll-device",
}

type bulk struct {
	Action  string
	Serials []string
	More    bool // more devices match than one run takes
	Groups  []string
	Typed   bool // the number has to be typed
}

func confirmBulk(q *request) error { return showBulk(q, nil) }

func showBulk(q *request, p *problem) error {
	b := bulk{Action: q.Typed("action"), Serials: slices.Compact(slices.Sorted(slices.Values(q.TypedAll("serial"))))}
	if _, ok := bulkActions[b.Action]; !ok {
		return errNoPage
	}
	if q.Typed("all") != "" {
		filters, err := url.ParseQuery(q.Typed("query"))
		if err != nil {
			return errBroken
		}
		if b.Serials, b.More, err = q.matching(filters); err != nil {
			return err
		}
	}
	if len(b.Serials) > maxBulk {
		b.Serials, b.More = b.Serials[:maxBulk], true
	}
	b.Typed = len(b.Serials) > typedAbove
	if b.Action == "join" || b.Action == "leave" {
		var err error
		if b.Groups, err = q.groupNames(true); err != nil {
			return err
		}
	}
	return q.page("devices-bulk", view{Title: text("devices.bulk."+b.Action, len(b.Serials)), Area: "devices", Crumbs: []crumb{{"/devices?" + q.Typed("query"), text("devices.title")}}, Data: b, Problem: p})
}

// matching are the devices of a list, up to what one run takes.
func (q *request) matching(filters url.Values) (serials []string, more bool, err error) {
	filters.Set("limit", strconv.Itoa(maxBulk))
	for len(serials) < maxBulk {
		var page deviceList
		if err := q.get("/devices", filters, &page); err != nil {
			return nil, false, err
		}
		for _, d := range page.Items {
			serials = append(serials, d.Serial)
		}
		if page.NextCursor == "" {
			return serials, false, nil
		}
		filters.Set("cursor", page.NextCursor)
	}
	return serials, true, nil
}

// bulkResult is what became of one device.
type bulkResult struct {
	Serial  string
	Problem *problem // nil: done
}

func runBulk(q *request) error {
	action, serials := q.Typed("action"), q.TypedAll("serial")
	if _, ok := bulkActions[action]; !ok || len(serials) > maxBulk {
		return errBroken
	}
	if len(serials) == 0 {
		return showBulk(q, &problem{Status: http.StatusUnprocessableEntity, Detail: text("devices.bulk.none"), Hint: text("devices.bulk.none.hint")})
	}
	if len(serials) > typedAbove && q.Typed("count") != strconv.Itoa(len(serials)) {
		return showBulk(q, &problem{Status: http.StatusUnprocessableEntity, Detail: text("devices.bulk.typed", len(serials)), Hint: text("devices.bulk.typed.hint")})
	}
	results, err := q.runBulk(action, serials)
	if p := refusal(err); p != nil {
		return showBulk(q, p)
	}
	if err != nil {
		return err
	}
	data := struct {
		Done   int
		Failed []bulkResult
	}{}
	for _, r := range results {
		if r.Problem == nil {
			data.Done++
		} else {
			data.Failed = append(data.Failed, r)
		}
	}
	if len(data.Failed) == 0 {
		return q.done("/devices?"+q.Typed("query"), "devices.bulk.done."+action, data.Done)
	}
	return q.page("devices-bulk-done", view{Title: text("devices.bulk.partly"), Area: "devices", Crumbs: []crumb{{"/devices?" + q.Typed("query"), text("devices.title")}}, Data: data})
}

func (q *request) runBulk(action string, serials []string) ([]bulkResult, error) {
	type operation struct {
		Method string `json:"method"`
		Path   string `json:"path"`
		Body   any    `json:"body,omitempty"`
	}
	var operations []operation
	switch action {
	case "request":
		return done(serials), q.post("/requests", map[string]any{"serials": serials, "via": q.Typed("via")}, nil)
	case "join":
		return done(serials), q.post(at("/groups/%s/members", q.Typed("group")), map[string]any{"add": serials}, nil)
	case "leave":
		return done(serials), q.post(at("/groups/%s/members", q.Typed("group")), map[string]any{"remove": serials}, nil)
	case "disenroll":
		var results []bulkResult
		for _, serial := range serials {
			err := q.do(call{Method: http.MethodPost, Path: at("/devices/%s/disenroll", serial), JSON: map[string]any{}}, nil)
			p := refusal(err)
			if err != nil && p == nil {
				return nil, err
			}
			results = append(results, bulkResult{serial, p})
		}
		return results, nil
	case "delete":
		for _, serial := range serials {
			operations = append(operations, operation{http.MethodDelete, at("/devices/%s", serial), nil})
		}
	case "block":
		for _, serial := range serials {
			operations = append(operations, operation{http.MethodPost, at("/devices/%s/block", serial), map[string]any{"reason": q.Typed("reason")}})
		}
	case "unblock":
		for _, serial := range serials {
			operations = append(operations, operation{http.MethodPost, at("/devices/%s/unblock", serial), nil})
		}
	}
	var answered struct {
		Results []struct {
			Status int             `json:"status"`
			Body   json.RawMessage `json:"body"`
		} `json:"results"`
	}
	if err := q.post("/batch", map[string]any{"operations": operations}, &answered); err != nil {
		return nil, err
	}
	results := done(serials)
	for i, r := range answered.Results {
		if r.Status < http.StatusBadRequest || i >= len(results) {
			continue
		}
		results[i].Problem = &problem{}
		if err := json.Unmarshal(r.Body, results[i].Problem); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// done are devices with which all went well.
func done(serials []string) []bulkResult {
	out := make([]bulkResult, len(serials))
	for i, serial := range serials {
		out[i].Serial = serial
	}
	return out
}
