package console

import (
	"net/url"
	"time"
)

var userPages = []route{
	get("/settings/users", listUsers),
	get("/settings/users/new", only("put-user", newUser)),
	post("/settings/users/new", makeUser),
	get("/settings/users/{id}", showUser),
	post("/settings/users/{id}", changeUser),
	get("/settings/users/{id}/delete", only("delete-user", askDeleteUser)),
	post("/settings/users/{id}/delete", deleteUser),
	post("/settings/domains", makeDomain),
	get("/settings/domains/{name}/delete", only("delete-domain", askDeleteDomain)),
	post("/settings/domains/{name}/delete", deleteDomain),
}

// settingsUser is an owner of devices.
type settingsUser struct {
	ID       string `json:"id"`
	Domain   string `json:"domain"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Mobile   string `json:"mobile"`
	Language string `json:"language"`
}

// Called is what the user is called on a page.
func (u settingsUser) Called() string {
	if u.Name == "" {
		return u.Email
	}
	return u.Name
}

type userDomain struct {
	Name      string    `json:"name"`
	Users     int       `json:"users"`
	CreatedAt time.Time `json:"created_at"`
}

// Fixed says that it cannot be deleted: the one that is always there.
func (d userDomain) Fixed() bool { return d.Name == "local" }

func (q *request) domains() ([]userDomain, error) {
	var domains struct {
		Items []userDomain `json:"items"`
	}
	err := q.get("/domains", nil, &domains)
	return domains.Items, err
}

func listUsers(q *request) error { return usersPage(q, nil) }

func usersPage(q *request, p *problem) error {
	var data struct {
		Items       []settingsUser `json:"items"`
		NextCursor  string         `json:"next_cursor"`
		Domains     []userDomain   `json:"-"`
		DomainNames []string       `json:"-"`
	}
	err := q.get("/users", query("limit", pageSize, "cursor", q.Param("cursor"), "domain", q.Param("domain"), "q", q.Param("email")), &data)
	if refused := refusal(err); refused == nil && err != nil {
		return err
	} else if p == nil {
		p = refused
	}
	if data.Domains, err = q.domains(); err != nil {
		return err
	}
	for _, d := range data.Domains {
		data.DomainNames = append(data.DomainNames, d.Name)
	}
	return q.settings("settings-users", view{Title: text("settings.users.title"), Data: data, Problem: p})
}

func newUser(q *request) error { return userForm(q, nil) }

func userForm(q *request, p *problem) error {
	domains, err := q.domains()
	if err != nil {
		return err
	}
	names := make([]string, 0, len(domains))
	for _, d := range domains {
		names = append(names, d.Name)
	}
	return q.settings("settings-user-new", view{Title: text("settings.user.new"), Data: names, Problem: p, Crumbs: []crumb{userCrumb}})
}

var userCrumb = crumb{"/settings/users", text("settings.users.title")}

func makeUser(q *request) error {
	body := given(map[string]any{"name": q.Typed("name"), "mobile": q.Typed("mobile"), "language": q.Typed("language")})
	var made struct {
		settingsUser
		Created bool `json:"created"`
	}
	err := q.put(at("/domains/%s/users/%s", q.Typed("domain"), q.Typed("email")), body, &made)
	if p := refusal(err); p != nil {
		return userForm(q, p.placeUser())
	}
	if err != nil {
		return err
	}
	if !made.Created {
		return q.done("/settings/users/"+url.PathEscape(made.ID), "settings.user.there", made.Called())
	}
	return q.done("/settings/users", "settings.user.made", made.Called())
}

// placeUser puts a refusal at the field of a user that it is about.
func (p *problem) placeUser() *problem {
	return p.place("email_invalid", "/email", "domain_unknown", "/domain", "mobile_invalid", "/mobile", "language_invalid", "/language", "name_too_long", "/name", "name_characters", "/name")
}

func showUser(q *request) error { return userPage(q, nil) }

func userPage(q *request, p *problem) error {
	var u settingsUser
	if err := q.get(at("/users/%s", q.PathValue("id")), nil, &u); err != nil {
		return err
	}
	return q.settings("settings-user", view{Title: u.Called(), Data: u, Problem: p, Crumbs: []crumb{userCrumb}})
}

// changeUser sends all fields: one that was emptied is cleared.
func changeUser(q *request) error {
	var u settingsUser
	if err := q.get(at("/users/%s", q.PathValue("id")), nil, &u); err != nil {
		return err
	}
	err := q.put(at("/domains/%s/users/%s", u.Domain, u.Email), map[string]any{"name": q.Typed("name"), "mobile": q.Typed("mobile"), "language": q.Typed("language")}, &u)
	if p := refusal(err); p != nil {
		return userPage(q, p.placeUser())
	}
	if err != nil {
		return err
	}
	return q.done("/settings/users/"+url.PathEscape(u.ID), "settings.user.changed", u.Called())
}

func askDeleteUser(q *request) error { return userQuestion(q, nil) }

func userQuestion(q *request, p *problem) error {
	var u settingsUser
	if err := q.get(at("/users/%s", q.PathValue("id")), nil, &u); err != nil {
		return err
	}
	path := "/settings/users/" + url.PathEscape(u.ID)
	return q.ask(text("settings.user.delete.title", u.Called()), question{text("settings.user.delete.help"), text("settings.user.delete"), path}, p, userCrumb, crumb{path, u.Called()})
}

func deleteUser(q *request) error {
	err := q.delete(at("/users/%s", q.PathValue("id")), nil, nil)
	if p := refusal(err); p != nil && p.Code == "user_owns_devices" {
		return userQuestion(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/settings/users", "settings.user.deleted")
}

func makeDomain(q *request) error {
	err := q.post("/domains", map[string]any{"name": q.Typed("name")}, nil)
	if p := refusal(err); p != nil {
		return usersPage(q, p.place("domain_exists", "/name", "domain_invalid", "/name"))
	}
	if err != nil {
		return err
	}
	return q.done("/settings/users", "settings.domain.made", q.Typed("name"))
}

func askDeleteDomain(q *request) error { return domainQuestion(q, nil) }

func domainQuestion(q *request, p *problem) error {
	name := q.PathValue("name")
	return q.ask(text("settings.domain.delete.title", name), question{text("settings.domain.delete.help"), text("settings.domain.delete"), "/settings/users"}, p, userCrumb)
}

func deleteDomain(q *request) error {
	err := q.delete(at("/domains/%s", q.PathValue("name")), nil, nil)
	if p := refusal(err); p != nil {
		return domainQuestion(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/settings/users", "settings.domain.deleted", q.PathValue("name"))
}
