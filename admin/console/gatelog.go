package console

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"rollcall/enroll"
)

var gatePages = []route{
	get("/gate", gateLog),
	get("/gate.csv", exportGateLog),
	get("/gate/tail", gateTail),
	get("/gate/{id}", showDecision),
	post("/gate/{id}/repair", repairByDecision),
	post("/gate/{id}/add", addByDecision),
	post("/gate/{id}/approve", approveByDecision),
	post("/gate/{id}/unblock", unblockByDecision),
}

// arrival is a decision with what its own page shows more of it.
type arrival struct {
	decision
	At         time.Time `json:"at"`
	Mode       string    `json:"mode"`
	RequestID  string    `json:"request_id"`
	RemoteAddr string    `json:"remote_addr"`
	Facts      *facts    `json:"facts"`
	Repair     *struct {
		Serial string    `json:"serial"`
		At     time.Time `json:"at"`
		By     string    `json:"by"`
	} `json:"repair"`
}

type gateList struct {
	Items      []arrival `json:"items"`
	NextCursor string    `json:"next_cursor"`
}

// gateFilters are the parameters that narrow the log, in the order in which they
// are shown. within is the console's own: the last hours, counted from now on.
var gateFilters = []string{"serial", "outcome", "code", "channel", "evidence", "near_miss", "within", "since", "until"}

// gateWithin are the periods to choose from.
var gateWithin = []string{"1h", "24h", "168h", "720h"}

// gateCodes are the reasons to choose from.
var gateCodes = func() []string {
	var out []string
	for _, r := range enroll.Reasons {
		out = append(out, string(r.Code))
	}
	return out
}()

// gateQuery is what the API is asked for.
func (q *request) gateQuery() url.Values {
	out := q.filtersOf(gateFilters)
	within, err := time.ParseDuration(out.Get("within"))
	if out.Del("within"); err == nil && within > 0 {
		out.Set("since", q.console.Now().Add(-within).UTC().Format(time.RFC3339Nano))
	}
	return out
}

// gateTable is a page of the log, which goes on by itself where it is live.
type gateTable struct {
	gateList
	Live   bool
	Paused bool
	Tail   string // where what is newer is
	Pause  string // this page without going on, or with it again
}

func (q *request) gateTable() (gateTable, error) {
	filters := q.gateQuery()
	filters.Set("limit", pageSize)
	if cursor := q.Param("cursor"); cursor != "" {
		filters.Set("cursor", cursor)
	}
	var out gateTable
	if err := q.get("/decisions", filters, &out.gateList); err != nil {
		return out, err
	}
	here := q.filtersOf(gateFilters)
	newest := q.Param("cursor") == "" && here.Get("until") == "" // of what is past nothing comes
	out.Paused = newest && q.Param("live") == "off"
	out.Live = newest && !out.Paused
	tail := q.filtersOf(gateFilters)
	if len(out.Items) > 0 {
		tail.Set("after", out.Items[0].ID)
	}
	out.Tail = Prefix + "/gate/tail?" + tail.Encode()
	if out.Live {
		here.Set("live", "off")
	}
	out.Pause = Prefix + "/gate?" + here.Encode()
	return out, nil
}

func gateLog(q *request) error {
	data := struct {
		Table   gateTable
		Filters []string
		Active  map[string]string
		Codes   []string
		Within  []string
		Export  string
	}{Active: map[string]string{}, Codes: gateCodes, Within: gateWithin, Export: Prefix + "/gate.csv?" + q.filtersOf(gateFilters).Encode()}
	for _, name := range gateFilters {
		if v := q.Param(name); v != "" {
			data.Filters = append(data.Filters, name)
			data.Active[name] = q.shownFilter(name, v)
		}
	}
	v := view{Title: text("gate.title"), Area: "gate"}
	var err error
	data.Table, err = q.gateTable()
	if p := refusal(err); p != nil && p.Status == http.StatusUnprocessableEntity { // a filter that was typed
		v.Problem, err = p, nil
	}
	if err != nil {
		return err
	}
	v.Data = data
	return q.page("gate", v)
}

// shownFilter is the value of a filter as its chip shows it.
func (q *request) shownFilter(name, value string) string {
	switch name {
	case "outcome", "channel", "evidence":
		return label(name, value)
	case "within", "near_miss":
		return label("gate."+name, value)
	case "since", "until":
		if t, err := time.Parse(time.RFC3339, value); err == nil {
			return t.In(q.Zone()).Format("2 Jan 2006 15:04 MST")
		}
	}
	return value
}

// gateTail is asked again and again by a page that is open. Where nothing is new
// it says so in a few bytes.
func gateTail(q *request) error {
	if after := q.Param("after"); after != "" {
		newer := q.gateQuery()
		newer.Set("after", after)
		newer.Set("limit", "1")
		var found gateList
		if err := q.get("/decisions", newer, &found); err != nil {
			return err
		}
		if len(found.Items) == 0 {
			q.w.WriteHeader(http.StatusNoContent)
			return nil
		}
	}
	table, err := q.gateTable()
	if err != nil {
		return err
	}
	return q.part("gate-table", table)
}

// exportGateLog gives the whole filtered log as CSV.
func exportGateLog(q *request) error {
	return q.pass(call{Method: http.MethodGet, Path: "/decisions", Query: q.gateQuery(), Accept: "text/csv"}, "decisions.csv")
}

// remedies are what can be done about a decision as things are now.
type remedies struct {
	Repair  bool // of its near misses
	Add     bool // the serial is not on the roll
	Approve bool // it waits for approval
	Unblock bool
	Request bool // a new enrollment request would help
	Edit    bool // the row is what refuses it
	Rules   bool // a rule or the settings do
}

// None says whether there is nothing to offer.
func (r remedies) None() bool { return r == remedies{} }

// byRow are codes that come from what the row says; byRule those from rules and
// settings; byRequest those of a request, or of who came with it.
var (
	byRow     = []enroll.Code{enroll.DenyExpired, enroll.DenyNotYetValid, enroll.DenyUsedUp, enroll.DenyPlatform, enroll.DenyOwnership, enroll.DenyUserMismatch}
	byRule    = []enroll.Code{enroll.DenyOSVersion, enroll.DenyModel, enroll.DenyChannel, enroll.DenyUserLimit, enroll.DenyEvidenceTooWeak}
	byRequest = []enroll.Code{enroll.DenyTokenUnknown, enroll.DenyTokenExpired, enroll.DenyTokenRevoked, enroll.DenyTokenUsedUp, enroll.DenyTokenSerialMismatch, enroll.DenyUserMismatch}
)

// remediesFor says what can be done, by the decision, the row (nil: none) and
// whether it waits.
func remediesFor(d arrival, row *device, waits bool) remedies {
	code := enroll.Code(d.Code)
	if d.Outcome == "allow" && d.Enforced != d.Code { // audit: what enforcing would have refused
		code = enroll.Code(d.Enforced)
	}
	if code.Outcome() == enroll.OutcomeAllow || code.Outcome() == enroll.OutcomeError || d.Repair != nil {
		return remedies{}
	}
	listed := row != nil && row.State != "pending_approval" && row.Sources["serial"] != "device"
	return remedies{
		Repair:  len(d.NearMisses) > 0 && !listed,
		Add:     row == nil && d.Serial != "" && code == enroll.DenyNotPreEnrolled,
		Approve: waits,
		Unblock: row != nil && row.Blocked != nil && code == enroll.DenyBlocked,
		Request: listed && row.User != nil && row.State != "enrolled" && slices.Contains(byRequest, code),
		Edit:    listed && slices.Contains(byRow, code),
		Rules:   slices.Contains(byRule, code),
	}
}

func showDecision(q *request) error { return decisionPage(q, nil) }

func decisionPage(q *request, p *problem) error {
	var data struct {
		Arrival  arrival
		Row      *device // as it is now; nil: there is none
		Remedies remedies
	}
	d := &data.Arrival
	if err := q.get(at("/decisions/%s", q.PathValue("id")), nil, d); err != nil {
		return err
	}
	waits := false
	if d.Serial != "" {
		var row device
		found, err := q.found(at("/devices/%s", d.Serial), &row)
		if err != nil {
			return err
		}
		if found {
			data.Row = &row
		}
		if d.Outcome == "hold" {
			var a approval
			if found, err = q.found(at("/approvals/%s", d.Serial), &a); err != nil {
				return err
			}
			waits = found && a.State == "pending"
		}
	}
	data.Remedies = remediesFor(*d, data.Row, waits)
	title := text("gate.decision.title", d.Serial)
	if d.Serial == "" {
		title = text("gate.decision.title.nobody")
	}
	return q.page("gate-decision", view{Title: title, Area: "gate", Data: data, Problem: p, Crumbs: []crumb{{"/gate", text("gate.title")}}})
}

// found reads what may not be there.
func (q *request) found(path string, out any) (bool, error) {
	err := q.get(path, nil, out)
	if p := refusal(err); p != nil && p.Status == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// remedied ends a form of a decision.
func remedied(q *request, err error, key string, args ...any) error {
	if p := refusal(err); p != nil {
		return decisionPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done(at("/gate/%s", q.PathValue("id")), key, args...)
}

// repairByDecision gives a row that was mistyped the serial of the device.
func repairByDecision(q *request) error {
	row := q.Typed("row")
	return remedied(q, q.post(at("/decisions/%s/repair", q.PathValue("id")), map[string]any{"serial": row}, nil), "gate.repaired", row)
}

// serialOf is the serial of the decision that a form is about: what the form
// says of it does not count.
func (q *request) serialOf() (string, error) {
	var d arrival
	if err := q.get(at("/decisions/%s", q.PathValue("id")), nil, &d); err != nil {
		return "", err
	}
	if d.Serial == "" {
		return "", errNoPage
	}
	return d.Serial, nil
}

// errListed is for a serial that somebody has put on the roll meanwhile.
var errListed = &problem{Status: http.StatusConflict, Detail: text("gate.add.listed"), Hint: text("gate.add.listed.hint")}

// addByDecision puts the device on the roll. A row that has come meanwhile is
// left as it is: the API would change it.
func addByDecision(q *request) error {
	serial, err := q.serialOf()
	if err != nil {
		return err
	}
	if there, err := q.found(at("/devices/%s", serial), nil); err != nil {
		return err
	} else if there {
		return remedied(q, errListed, "")
	}
	body := given(map[string]any{"platform": q.Typed("platform"), "ownership": q.Typed("ownership"), "name": q.Typed("name")})
	if email := q.Typed("email"); email != "" {
		body["user"] = map[string]any{"email": email}
	}
	return remedied(q, q.put(at("/devices/%s", serial), body, nil), "gate.added", serial)
}

func approveByDecision(q *request) error {
	serial, err := q.serialOf()
	if err == nil {
		err = q.post(at("/approvals/%s/approve", serial), nil, nil)
	}
	return remedied(q, err, "gate.approved", serial)
}

func unblockByDecision(q *request) error {
	serial, err := q.serialOf()
	if err == nil {
		err = q.post(at("/devices/%s/unblock", serial), nil, nil)
	}
	return remedied(q, err, "gate.unblocked", serial)
}
