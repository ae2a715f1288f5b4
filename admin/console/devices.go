package console

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

var devicePages = []route{
	get("/devices", devices),
	get("/devices.csv", exportDevices),
	get("/search", search),
	post("/devices/bulk", confirmBulk),
	post("/devices/bulk/run", runBulk),
	post("/devices/views", saveView),
	post("/devices/views/delete", deleteView),
	get("/devices/new", only("put-device", newDevice)),
	post("/devices/new", createDevice),
	get("/devices/{serial}", deviceSummary),
	get("/devices/{serial}/policies", devicePolicies),
	get("/devices/{serial}/timeline", deviceTimeline),
	get("/devices/{serial}/enrollment", deviceEnrollment),
	get("/devices/{serial}/edit", only("patch-device", editDevice)),
	post("/devices/{serial}/edit", changeDevice),
	post("/devices/{serial}/block", blockDevice),
	post("/devices/{serial}/unblock", unblockDevice),
	get("/devices/{serial}/remove", only("delete-device", askRemove)),
	post("/devices/{serial}/delete", deleteDevice),
	post("/devices/{serial}/disenroll", disenrollDevice),
	post("/devices/{serial}/push", pushDevice),
	post("/devices/{serial}/request", requestDevice),
	post("/devices/{serial}/command", commandDevice),
}

// pageSize is how many rows a list shows at once.
const pageSize = "50"

// device is what the pages show of a device; see the API's Device.
type device struct {
	Serial     string            `json:"serial"`
	Platform   string            `json:"platform"`
	Ownership  string            `json:"ownership"`
	Name       string            `json:"name"`
	ShownName  string            `json:"shown_name"`
	User       *user             `json:"user"`
	State      string            `json:"state"`
	Banner     string            `json:"banner"`
	Facts      *facts            `json:"facts"`
	Sources    map[string]string `json:"sources"`
	AssetTag   string            `json:"asset_tag"`
	Tags       []string          `json:"tags"`
	Notes      string            `json:"notes"`
	NotBefore  time.Time         `json:"not_before"`
	ExpiresAt  time.Time         `json:"expires_at"`
	MaxUses    int               `json:"max_uses"`
	Uses       int               `json:"uses"`
	Blocked    *block            `json:"blocked"`
	Groups     []string          `json:"groups"`
	AcceptedAt time.Time         `json:"accepted_at"`
	EnrolledAt time.Time         `json:"enrolled_at"`
	LastSeenAt time.Time         `json:"last_seen_at"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
	Version    int64             `json:"version"`
}

type user struct {
	ID     string `json:"id"`
	Domain string `json:"domain"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Mobile string `json:"mobile"`
}

type facts struct {
	DeviceName   string `json:"device_name"`
	Model        string `json:"model"`
	Product      string `json:"product"`
	OSVersion    string `json:"os_version"`
	BuildVersion string `json:"build_version"`
	UDID         string `json:"udid"`
	IMEI         string `json:"imei"`
	MEID         string `json:"meid"`
	Supervised   *bool  `json:"supervised"`
}

type block struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

type deviceList struct {
	Items      []device `json:"items"`
	NextCursor string   `json:"next_cursor"`
}

// deviceFilters are the parameters that narrow the list, in the order in which
// they are shown.
var deviceFilters = []string{"q", "state", "platform", "ownership", "group", "domain", "user", "source", "tag", "model", "expiring_days"}

// parameters takes the named ones that are set out of the URL of a page.
func (q *request) filtersOf(names []string) url.Values {
	out := url.Values{}
	for _, name := range names {
		if v := q.Param(name); v != "" {
			out.Set(name, v)
		}
	}
	return out
}

// filter is one that is set, as a chip.
type filter struct{ Name, Value string }

func devices(q *request) error { return showDevices(q, nil) }

func showDevices(q *request, p *problem) error {
	data := struct {
		deviceList
		Filters []filter
		Groups  []string
		Domains []string
		Export  string
		View    string // the query of this list, as it is saved
		Views   []savedView
	}{}
	filters := q.filtersOf(deviceFilters)
	data.Export = Prefix + "/devices.csv?" + filters.Encode()
	query := q.filtersOf(append(slices.Clone(deviceFilters), "sort", "order"))
	data.View = query.Encode()
	if cursor := q.Param("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	query.Set("limit", pageSize)
	if err := q.get("/devices", query, &data.deviceList); err != nil {
		return err
	}
	for _, name := range deviceFilters {
		if v := filters.Get(name); v != "" {
			data.Filters = append(data.Filters, filter{name, v})
		}
	}
	var err error
	if data.Groups, err = q.groupNames(false); err != nil {
		return err
	}
	if data.Domains, err = q.domainNames(); err != nil {
		return err
	}
	if data.Views, err = q.savedViews(); err != nil {
		return err
	}
	return q.page("devices", view{Title: text("devices.title"), Area: "devices", Data: data, Problem: p})
}

// domainNames are the domains, for a choice of one.
func (q *request) domainNames() ([]string, error) {
	var all struct {
		Items []struct {
			Name string `json:"name"`
		} `json:"items"`
	}
	err := q.get("/domains", nil, &all)
	out := make([]string, len(all.Items))
	for i, item := range all.Items {
		out[i] = item.Name
	}
	return out, err
}

// exportDevices gives the whole filtered list as CSV.
func exportDevices(q *request) error {
	return q.pass(call{Method: http.MethodGet, Path: "/devices", Query: q.filtersOf(deviceFilters), Accept: "text/csv"}, "devices.csv")
}

// search finds devices from anywhere. One that has exactly that serial is opened
// at once.
func search(q *request) error {
	wanted := q.Param("q")
	var found deviceList
	if err := q.get("/devices", url.Values{"q": {wanted}, "limit": {"2"}}, &found); err != nil {
		return err
	}
	if len(found.Items) == 1 && found.NextCursor == "" {
		q.redirect(at("/devices/%s", found.Items[0].Serial))
		return nil
	}
	q.redirect("/devices?" + url.Values{"q": {wanted}}.Encode())
	return nil
}

// Sorted is the URL that sorts this list by a column, the other way round where
// it is sorted by it already.
func (q *request) Sorted(column string) string {
	if q.Param("sort") == column && q.Param("order") != "desc" {
		return q.To("sort", column, "order", "desc")
	}
	return q.To("sort", column, "order", "")
}

// SortState is the value of aria-sort of a column.
func (q *request) SortState(column string) string {
	switch {
	case q.Param("sort") != column:
		return "none"
	case q.Param("order") == "desc":
		return "descending"
	}
	return "ascending"
}

// savedView is a list of devices under a name.
type savedView struct {
	Name  string `json:"name"`
	Query string `json:"query"`
}

func (q *request) savedViews() ([]savedView, error) {
	var all struct {
		Items []savedView `json:"items"`
	}
	err := q.get("/views", nil, &all)
	return all.Items, err
}

func saveView(q *request) error {
	name := q.Typed("view")
	if err := q.put(at("/views/%s", name), map[string]any{"query": q.Typed("query")}, nil); err != nil {
		if p := refusal(err); p != nil {
			q.URL.RawQuery = q.Typed("query")
			return showDevices(q, p)
		}
		return err
	}
	return q.done("/devices?"+q.Typed("query"), "devices.view.saved", name)
}

func deleteView(q *request) error {
	name := q.Typed("view")
	if err := q.delete(at("/views/%s", name), nil, nil); err != nil {
		return err
	}
	return q.done("/devices", "devices.view.deleted", name)
}
