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
	DeviceName   string            `json:"device_name"`
	Model        string            `json:"model"`
	Product      string            `json:"product"`
	OSVersion    string            `json:"os_version"`
	BuildVersion string            `json:"build_version"`
	UDID         string            `json:"udid"`
	IMEI         string            `json:"imei"`
	MEID         string            `json:"meid"`
	Supervised   *bool             `json:"supervised"`
	Extra        map[string]string `json:"extra"`
}

type block struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// deviceFilters are the parameters that narrow the list, in the order in which
// they are shown.
var deviceFilters = []string{"q", "state", "platform", "ownership", "group", "domain", "user", "source", "tag", "model"}

// filtersOf takes the filters of a list out of the URL of its page.
func (q *request) filtersOf(names []string) url.Values {
	out := url.Values{}
	for _, name := range names {
		if v := q.Param(name); v != "" {
			out.Set(name, v)
		}
	}
	return out
}

type deviceList struct {
	Items      []device `json:"items"`
	NextCursor string   `json:"next_cursor"`
}

func devices(q *request) error {
	filters := q.filtersOf(append(slices.Clone(deviceFilters), "sort", "order", "cursor"))
	filters.Set("limit", pageSize)
	data := struct {
		deviceList
		Filters []string
		Active  map[string]string
		Groups  []string
		Domains []string
	}{Active: map[string]string{}}
	if err := q.get("/devices", filters, &data.deviceList); err != nil {
		return err
	}
	for _, name := range deviceFilters {
		if v := q.Param(name); v != "" {
			data.Filters = append(data.Filters, name)
			data.Active[name] = v
		}
	}
	return q.page("devices", view{Title: text("devices.title"), Area: "devices", Data: data})
}

// exportDevices gives the whole filtered list as CSV.
func exportDevices(q *request) error {
	return q.pass(call{Method: http.MethodGet, Path: "/devices", Query: q.filtersOf(deviceFilters), Accept: "text/csv"}, "devices.csv")
}

// search finds devices and users; one device that has exactly that serial is
// opened at once.
func search(q *request) error {
	q.redirect("/devices?q=" + url.QueryEscape(q.Param("q")))
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
