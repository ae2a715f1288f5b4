package console

import (
	"cmp"
	"fmt"
	"net/http"
	"time"
)

var restrictionPages = []route{
	get("/enrollment/restrictions", showRestrictions),
	post("/enrollment/restrictions", setRestrictions),
	get("/enrollment/restrictions/change", chooseRestrictions),
	get("/enrollment/restrictions/forecast", forecastPart),
}

// restrictions are the settings of the gate.
type restrictions struct {
	Mode      string    `json:"pre_enrolled_devices_only"`
	Unlisted  string    `json:"unlisted_devices"`
	Mismatch  string    `json:"owner_mismatch"`
	Evidence  string    `json:"required_evidence"`
	PerUser   int       `json:"devices_per_user"`
	Days      int       `json:"decision_days"`
	UpdatedAt time.Time `json:"updated_at"`
}

// restrictionFields are the settings by the API's names, in the order of the form.
var restrictionFields = []string{"pre_enrolled_devices_only", "unlisted_devices", "owner_mismatch", "required_evidence", "devices_per_user", "decision_days"}

func (r restrictions) fields() map[string]string {
	return map[string]string{"pre_enrolled_devices_only": r.Mode, "unlisted_devices": r.Unlisted, "owner_mismatch": r.Mismatch, "required_evidence": r.Evidence,
		"devices_per_user": fmt.Sprint(r.PerUser), "decision_days": fmt.Sprint(r.Days)}
}

// are says whether the settings are those that were chosen already.
func (r restrictions) are(chosen func(name string) string) bool {
	for name, value := range r.fields() {
		if v := chosen(name); v != "" && v != value {
			return false
		}
	}
	return true
}

// forecast is what settings would do to the devices that arrived lately.
type forecast struct {
	Since    time.Time `json:"since"`
	Devices  int       `json:"devices"`
	Admitted int       `json:"admitted"`
	Refused  []struct {
		Code    string `json:"code"`
		Text    string `json:"text"`
		Devices int    `json:"devices"`
	} `json:"refused"`
	Items []struct {
		Serial     string     `json:"serial"`
		Channel    string     `json:"channel"`
		LastAt     time.Time  `json:"last_at"`
		Was        string     `json:"was"`
		Code       string     `json:"code"`
		State      string     `json:"state"`
		NearMisses []nearMiss `json:"near_misses"`
	} `json:"items"`
	More bool `json:"more"`
}

type nearMiss struct {
	Serial string `json:"serial"`
	Reason string `json:"reason"`
}

// forecastDays is how far a forecast looks back where nobody says otherwise.
const forecastDays = "7"

func showRestrictions(q *request) error { return restrictionsPage(q, nil) }

// restrictionsPage shows settings and rules; a problem is that of the settings.
func restrictionsPage(q *request, p *problem) error {
	var data struct {
		Settings restrictions
		Fields   map[string]string
		Rules    []rule
	}
	if err := q.get("/settings/enrollment-restrictions", nil, &data.Settings); err != nil {
		return err
	}
	data.Fields = data.Settings.fields()
	for name := range data.Fields { // somebody who comes back from the forecast goes on with what was chosen
		data.Fields[name] = cmp.Or(q.Param(name), data.Fields[name])
	}
	var err error
	if data.Rules, err = q.rules(); err != nil {
		return err
	}
	return q.enrollment("enrollment-restrictions", view{Title: text("enrollment.restrictions.title"), Data: data, Problem: p})
}

// forecastPart is the forecast beside the settings, which may take a moment.
func forecastPart(q *request) error {
	var f forecast
	if err := q.get("/settings/enrollment-restrictions/forecast", query("days", forecastDays), &f); err != nil {
		return err
	}
	return q.part("enrollment-forecast-brief", f)
}

// change is a setting that would become another.
type change struct{ Name, Old, New string }

// chooseRestrictions shows what the chosen settings would do, before they are
// saved.
func chooseRestrictions(q *request) error { return changePage(q, q.Param, nil) }

// changePage takes what was chosen from the URL, or from the form that was sent.
func changePage(q *request, chosen func(name string) string, p *problem) error {
	var now restrictions
	if err := q.get("/settings/enrollment-restrictions", nil, &now); err != nil {
		return err
	}
	data := struct {
		Changes  []change
		Seen     string
		Mode     string
		Days     string
		Chosen   map[string]string
		Forecast forecast
		Back     string // to the form, with what was chosen
	}{Back: Prefix + "/enrollment/restrictions?" + q.URL.RawQuery, Seen: version(now.UpdatedAt), Days: cmp.Or(q.Param("days"), forecastDays), Chosen: now.fields()}
	for _, name := range restrictionFields {
		if v := chosen(name); v != "" && v != data.Chosen[name] {
			data.Changes = append(data.Changes, change{name, data.Chosen[name], v})
			data.Chosen[name] = v
		}
	}
	data.Mode = data.Chosen["pre_enrolled_devices_only"]
	asked := data.Mode
	if asked == "audit" { // admits everything; what it would tell is what enforcing would do
		asked = "enforce"
	}
	err := q.get("/settings/enrollment-restrictions/forecast", query("days", data.Days, "pre_enrolled_devices_only", asked,
		"unlisted_devices", data.Chosen["unlisted_devices"], "required_evidence", data.Chosen["required_evidence"]), &data.Forecast)
	if err != nil {
		return err
	}
	return q.enrollment("enrollment-restrictions-change", view{Title: text("enrollment.change.title"), Data: data, Problem: p,
		Crumbs: []crumb{{"/enrollment/restrictions", text("enrollment.restrictions.title")}}})
}

// setRestrictions changes the settings that the form names, and no others:
// somebody else may have changed those meanwhile.
func setRestrictions(q *request) error {
	var now restrictions
	if err := q.get("/settings/enrollment-restrictions", nil, &now); err != nil {
		return err
	}
	if p := q.meanwhile(now.UpdatedAt); p != nil && !now.are(q.Typed) {
		return changePage(q, q.Typed, p)
	}
	body := map[string]any{}
	for _, name := range restrictionFields {
		switch v := q.Typed(name); {
		case v == "":
		case name == "devices_per_user" || name == "decision_days":
			body[name] = whole(v)
		default:
			body[name] = v
		}
	}
	err := q.do(call{Method: http.MethodPut, Path: "/settings/enrollment-restrictions", JSON: body}, nil)
	if p := refusal(err); p != nil {
		return restrictionsPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/enrollment/restrictions", "enrollment.restrictions.done")
}
