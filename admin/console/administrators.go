package console

import (
	"net/url"
	"strings"
	"time"

	"rollcall/admin"
)

// administratorPages are about the people who sign in here.
var administratorPages = []route{
	get("/settings/administrators", administrators),
	get("/settings/administrators/new", only("create-administrator", newAdministrator)),
	post("/settings/administrators/new", addAdministrator),
	get("/settings/administrators/{id}", showAdministrator),
	post("/settings/administrators/{id}", changeAdministrator),
	get("/settings/administrators/{id}/{action}", askAdministrator),
	post("/settings/administrators/{id}/reset", resetAdministrator),
	post("/settings/administrators/{id}/second-factor", resetSecondFactor),
	post("/settings/administrators/{id}/disable", disableAdministrator),
	post("/settings/administrators/{id}/enable", enableAdministrator),
	post("/settings/administrators/{id}/delete", deleteAdministrator),
	post("/settings/administrators/{id}/sessions/{session}", endSession),
}

// administrator is what the pages show of one; see the API's Administrator. Link
// is there once, when it was made.
type administrator struct {
	ID           string     `json:"id"`
	Email        string     `json:"email"`
	Name         string     `json:"name"`
	Role         admin.Role `json:"role"`
	TimeZone     string     `json:"time_zone"`
	Theme        string     `json:"theme"`
	HasPassword  bool       `json:"has_password"`
	SecondFactor bool       `json:"second_factor"`
	InvitedUntil time.Time  `json:"invited_until"`
	CreatedAt    time.Time  `json:"created_at"`
	LastSeenAt   time.Time  `json:"last_seen_at"`
	Disabled     bool       `json:"disabled"`
	Version      int64      `json:"version"`

	Link string `json:"link"`
}

var administratorsCrumb = crumb{"/settings/administrators", text("administrators.title")}

func administrators(q *request) error {
	var all struct {
		Items []administrator `json:"items"`
	}
	if err := q.get("/administrators", nil, &all); err != nil {
		return err
	}
	return q.settings("administrators", view{Title: text("administrators.title"), Data: all.Items})
}

func newAdministrator(q *request) error { return newAdministratorPage(q, nil) }

func newAdministratorPage(q *request, p *problem) error {
	return q.settings("administrator-new", view{Title: text("administrators.new"), Problem: p, Crumbs: []crumb{administratorsCrumb}})
}

// addAdministrator shows the link at once: it cannot be read again.
func addAdministrator(q *request) error {
	var made administrator
	err := q.post("/administrators", map[string]any{"email": q.Typed("email"), "name": q.Typed("name"), "role": q.Typed("role")}, &made)
	if p := refusal(err); p != nil {
		return newAdministratorPage(q, p.place("email_invalid", "/email", "administrator_exists", "/email", "name_invalid", "/name"))
	}
	if err != nil {
		return err
	}
	return q.linkPage(text("administrators.made", made.Name), made)
}

func (q *request) linkPage(title string, a administrator) error {
	return q.settings("administrator-link", view{Title: title, Data: a, Crumbs: []crumb{administratorsCrumb}})
}

func showAdministrator(q *request) error { return administratorPage(q, nil) }

func administratorPage(q *request, p *problem) error {
	id := q.PathValue("id")
	var data struct {
		administrator
		Sessions sessionList
	}
	if err := q.get(at("/administrators/%s", id), nil, &data.administrator); err != nil {
		return err
	}
	if err := q.get(at("/administrators/%s/sessions", id), nil, &data.Sessions); err != nil {
		return err
	}
	return q.settings("administrator", view{Title: data.Name, Data: data, Problem: p, Crumbs: []crumb{administratorsCrumb}})
}

// changeAdministrator changes what somebody has read: a change that came between
// is shown instead of overwritten.
func changeAdministrator(q *request) error {
	var changed administrator
	err := q.do(call{Method: "PATCH", Path: at("/administrators/%s", q.PathValue("id")), IfMatch: q.Typed("version"),
		JSON: map[string]any{"email": q.Typed("email"), "name": q.Typed("name"), "role": q.Typed("role")}}, &changed)
	if p := refusal(err); p != nil {
		return administratorPage(q, p.place("email_invalid", "/email", "administrator_exists", "/email", "name_invalid", "/name", "last_administrator", "/role"))
	}
	if err != nil {
		return err
	}
	return q.done("/settings/administrators", "administrators.changed", changed.Name)
}

// askAdministrator asks before something is done that cannot be taken back.
func askAdministrator(q *request) error {
	action := q.PathValue("action")
	if !strings.Contains(" reset second-factor disable enable delete ", " "+action+" ") {
		return errNoPage
	}
	var a administrator
	if err := q.get(at("/administrators/%s", q.PathValue("id")), nil, &a); err != nil {
		return err
	}
	back := "/settings/administrators/" + url.PathEscape(a.ID)
	return q.ask(text("administrators.ask."+action, a.Name), question{text("administrators.help." + action), text("administrators.do." + action), back}, nil, administratorsCrumb, crumb{back, a.Name})
}

func resetAdministrator(q *request) error {
	var a administrator
	if err := q.post(at("/administrators/%s/reset", q.PathValue("id")), nil, &a); err != nil {
		return err
	}
	return q.linkPage(text("administrators.reset.done", a.Name), a)
}

func resetSecondFactor(q *request) error {
	if err := q.delete(at("/administrators/%s/second-factor", q.PathValue("id")), nil, nil); err != nil {
		return err
	}
	return q.done("/settings/administrators", "administrators.factor.done")
}

func disableAdministrator(q *request) error { return able(q, true, "administrators.disabled.done") }

func enableAdministrator(q *request) error { return able(q, false, "administrators.enabled.done") }

func able(q *request, disabled bool, told string) error {
	var a administrator
	err := q.patch(at("/administrators/%s", q.PathValue("id")), map[string]any{"disabled": disabled}, &a)
	if p := refusal(err); p != nil && p.Code == "last_administrator" {
		return administratorPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/settings/administrators", told, a.Name)
}

func deleteAdministrator(q *request) error {
	err := q.delete(at("/administrators/%s", q.PathValue("id")), nil, nil)
	if p := refusal(err); p != nil && p.Code == "last_administrator" {
		return administratorPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/settings/administrators", "administrators.deleted.done")
}

func endSession(q *request) error {
	if err := q.delete(at("/sessions/%s", q.PathValue("session")), nil, nil); err != nil {
		return err
	}
	return q.done("/settings/administrators/"+url.PathEscape(q.PathValue("id")), "account.session.ended")
}
