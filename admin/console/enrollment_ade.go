package console

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/dep"
)

var adePages = []route{
	get("/enrollment/dep/accounts/{account}/new-profile", only("put-ade-profile", newADEProfile)),
	post("/enrollment/dep/accounts/{account}/new-profile", makeADEProfile),
	get("/enrollment/dep/accounts/{account}/profiles/{profile}", editADEProfile),
	post("/enrollment/dep/accounts/{account}/profiles/{profile}", changeADEProfile),
	get("/enrollment/dep/accounts/{account}/profiles/{profile}/delete", only("delete-ade-profile", askDeleteADEProfile)),
	post("/enrollment/dep/accounts/{account}/profiles/{profile}/delete", deleteADEProfile),
}

// adeProfile is what devices find when they are activated.
type adeProfile struct {
	Name           string            `json:"name"`
	Settings       map[string]any    `json:"settings"`
	Authentication string            `json:"authentication"`
	MinimumOS      map[string]string `json:"minimum_os"`
	Version        int64             `json:"version"`
	Apple          *struct {
		Version   int64     `json:"version"`
		UUID      string    `json:"uuid"`
		DefinedAt time.Time `json:"defined_at"`
	} `json:"apple"`
	Pending  bool          `json:"pending"`
	Problem  *cloudProblem `json:"problem"`
	Warnings []string      `json:"warnings"`

	UpdatedAt time.Time `json:"updated_at"`
}

// Seen names the profile as it was shown; a new one has none.
func (p adeProfile) Seen() string {
	if p.UpdatedAt.IsZero() {
		return ""
	}
	return version(p.UpdatedAt)
}

// JSON is all that can be set, for reading.
func (p adeProfile) JSON() (string, error) { return pretty(p.body()) }

// The settings that the form has fields for, by Apple's names. Everything else
// stands in its JSON.
var (
	adeChoices = []string{"is_supervised", "is_mdm_removable", "is_mandatory", "allow_pairing"} // yes, no, or as Apple has it
	adeTicks   = []string{"await_device_configured", "is_multi_user", "is_return_to_service", "do_not_use_profile_from_backup", "auto_advance_setup"}
	adeFields  = []string{"department", "support_phone_number", "support_email_address", "org_magic", "language", "region"}
)

// Setting is a setting as the form has it.
func (p adeProfile) Setting(name string) string {
	switch v := p.Settings[name].(type) {
	case string:
		return v
	case bool:
		return map[bool]string{true: "true", false: "false"}[v]
	}
	return ""
}

// On says whether a setting is switched on.
func (p adeProfile) On(name string) bool { return p.Setting(name) == "true" }

// Label is the key of a pane, which Apple's documentation uses, with what is to be
// known of it.
func (p pane) Label() string {
	out := p.Key
	for _, note := range [][2]string{{"enrollment.ade.skip.only", p.Only}, {"enrollment.ade.skip.since", p.Since}, {"enrollment.ade.skip.gone", p.Gone}} {
		if note[1] != "" {
			out += " (" + text(note[0], note[1]) + ")"
		}
	}
	if p.Never {
		out += " (" + text("enrollment.ade.skip.never") + ")"
	}
	return out
}

// Skips says whether a pane of Setup Assistant is left out.
func (p adeProfile) Skips(pane string) bool {
	items, _ := p.Settings["skip_setup_items"].([]any)
	return slices.Contains(items, any(pane))
}

// Rest is the JSON of what the form has no fields for.
func (p adeProfile) Rest() (string, error) {
	rest := maps.Clone(p.Settings)
	for _, name := range slices.Concat(adeChoices, adeTicks, adeFields, []string{"skip_setup_items"}) {
		delete(rest, name)
	}
	if len(rest) == 0 {
		return "", nil
	}
	b, err := json.MarshalIndent(rest, "", "  ")
	return string(b), err
}

// pane is a pane of Setup Assistant, with what is to be known of it.
type pane struct {
	Key, Only, Since, Gone string
	Never                  bool // it is shown no more
}

// panes are all that Apple knows.
var panes = func() []pane {
	var out []pane
	for key, item := range dep.SkipItems {
		out = append(out, pane{key, string(item.Only), item.Introduced, item.Removed, item.Deprecated})
	}
	slices.SortFunc(out, func(a, b pane) int { return strings.Compare(strings.ToLower(a.Key), strings.ToLower(b.Key)) })
	return out
}()

// typedADE is the profile of the form; the problem says why its JSON is none.
func (q *request) typedADE(name string) (adeProfile, *problem) {
	p := adeProfile{Name: name, Authentication: q.Typed("authentication"), MinimumOS: map[string]string{}, Settings: map[string]any{}}
	if rest := q.Typed("rest"); rest != "" {
		if err := json.Unmarshal([]byte(rest), &p.Settings); err != nil || p.Settings == nil {
			p.Settings = map[string]any{}
			return p, (&problem{Status: http.StatusUnprocessableEntity, Code: "rest", Detail: text("enrollment.ade.rest.wrong"), Hint: text("enrollment.ade.rest.hint")}).place("rest", "/rest")
		}
	}
	for _, setting := range adeChoices {
		if v := q.Typed(setting); v != "" {
			p.Settings[setting] = v == "true"
		}
	}
	for _, setting := range adeTicks {
		if q.Typed(setting) != "" {
			p.Settings[setting] = true
		}
	}
	for _, setting := range adeFields {
		if v := q.Typed(setting); v != "" {
			p.Settings[setting] = v
		}
	}
	if skips := q.TypedAll("skip_setup_items"); len(skips) > 0 {
		p.Settings["skip_setup_items"] = skips
	}
	for _, f := range families {
		if v := q.Typed("minimum_" + f); v != "" {
			p.MinimumOS[f] = v
		}
	}
	return p, nil
}

func (p adeProfile) body() map[string]any {
	return map[string]any{"settings": p.Settings, "authentication": p.Authentication, "minimum_os": p.MinimumOS}
}

func newADEProfile(q *request) error {
	return adePage(q, adeProfile{Authentication: "none", Settings: map[string]any{"is_supervised": true, "is_mdm_removable": false, "await_device_configured": true}}, nil)
}

// adePage is the form of a profile; one without a name is a new one.
// What it was changed to meanwhile is shown beside it.
func adePage(q *request, profile adeProfile, p *problem, meanwhile ...adeProfile) error {
	account := q.PathValue("account")
	var versions struct {
		Items []struct {
			Version   int64     `json:"version"`
			UUID      string    `json:"uuid"`
			DefinedAt time.Time `json:"defined_at"`
			Devices   int       `json:"devices"`
		} `json:"items"`
	}
	v := view{Title: text("enrollment.ade.new"), Problem: p, Crumbs: depCrumbs(account)}
	if profile.Name != "" {
		v.Title = text("enrollment.ade.title", profile.Name)
		err := q.get(at("/dep/accounts/%s/profiles/%s/versions", account, profile.Name), nil, &versions)
		if gone := refusal(err); err != nil && (gone == nil || gone.Code != "ade_profile_unknown") { // the form is there still
			return err
		}
	}
	v.Data = struct {
		Account        string
		Profile        adeProfile
		Versions       any
		Choices, Ticks []string
		Fields         []string
		Panes          []pane
		Families       []string
		Meanwhile      []adeProfile
	}{account, profile, versions.Items, adeChoices, adeTicks, adeFields, panes, families, meanwhile}
	return q.enrollment("enrollment-ade", v)
}

// placedADE puts what the API says of settings at their fields.
func placedADE(p *problem) *problem {
	for i, e := range p.Errors {
		p.Errors[i].Pointer = strings.TrimPrefix(e.Pointer, "/settings")
	}
	return p.place("name_invalid", "/name", "config_name_invalid", "/name", "name_too_long", "/name", "minimum_os_invalid", "/minimum_os", "auto_advance_locale", "/language")
}

// makeADEProfile refuses the name of a profile that is there: the API would
// change that one.
func makeADEProfile(q *request) error {
	account, name := q.PathValue("account"), q.Typed("name")
	profile, p := q.typedADE("")
	if name == "" {
		p = &problem{Status: http.StatusUnprocessableEntity, Code: "name", Detail: text("enrollment.ade.nameless")}
	}
	if p == nil {
		err := q.get(at("/dep/accounts/%s/profiles/%s", account, name), nil, nil)
		switch p = refusal(err); {
		case p == nil && err != nil:
			return err
		case p == nil:
			p = &problem{Status: http.StatusConflict, Code: "name", Detail: text("enrollment.ade.taken"), Hint: text("enrollment.ade.taken.hint")}
		case p.Status == http.StatusNotFound:
			err := q.put(at("/dep/accounts/%s/profiles/%s", account, name), profile.body(), nil)
			if p = refusal(err); p == nil && err != nil {
				return err
			}
		}
	}
	if p != nil {
		return adePage(q, profile, placedADE(p.place("name", "/name")))
	}
	return q.done(at("/enrollment/dep/accounts/%s/profiles/%s", account, name), "enrollment.ade.made", name)
}

func editADEProfile(q *request) error {
	var profile adeProfile
	if err := q.get(at("/dep/accounts/%s/profiles/%s", q.PathValue("account"), q.PathValue("profile")), nil, &profile); err != nil {
		return err
	}
	return adePage(q, profile, nil)
}

// changeADEProfile asks again where the profile was changed or deleted meanwhile.
func changeADEProfile(q *request) error {
	account, name := q.PathValue("account"), q.PathValue("profile")
	profile, p := q.typedADE(name)
	var now adeProfile
	err := q.get(at("/dep/accounts/%s/profiles/%s", account, name), nil, &now)
	profile.UpdatedAt = now.UpdatedAt
	gone := refusal(err)
	switch {
	case gone != nil && gone.Code == "ade_profile_unknown" && q.Typed("seen") != "":
		gone.Hint = text("enrollment.ade.gone")
		return adePage(q, profile, gone)
	case err != nil && (gone == nil || gone.Code != "ade_profile_unknown"):
		return err
	case err == nil && p == nil && !same(profile.body(), now.body()):
		if p := q.meanwhile(now.UpdatedAt); p != nil {
			return adePage(q, profile, p, now)
		}
	}
	if p == nil {
		err := q.put(at("/dep/accounts/%s/profiles/%s", account, name), profile.body(), nil)
		if p = refusal(err); p == nil && err != nil {
			return err
		}
	}
	if p != nil {
		return adePage(q, profile, placedADE(p))
	}
	return q.done(at("/enrollment/dep/accounts/%s/profiles/%s", account, name), "enrollment.ade.changed")
}

func askDeleteADEProfile(q *request) error { return deleteADEPage(q, nil) }

func deleteADEPage(q *request, p *problem) error {
	account := q.PathValue("account")
	var profile adeProfile
	if err := q.get(at("/dep/accounts/%s/profiles/%s", account, q.PathValue("profile")), nil, &profile); err != nil {
		return err
	}
	return q.enrollment("enrollment-ade-delete", view{Title: text("enrollment.ade.delete.title", profile.Name), Data: account, Problem: p, Crumbs: depCrumbs(account)})
}

func deleteADEProfile(q *request) error {
	account, name := q.PathValue("account"), q.PathValue("profile")
	err := q.delete(at("/dep/accounts/%s/profiles/%s", account, name), nil, nil)
	if p := refusal(err); p != nil {
		return deleteADEPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done(at("/enrollment/dep/accounts/%s", account), "enrollment.ade.deleted", name)
}
