package console

import (
	"html/template"
	"time"

	"rollcall/admin"
)

// accountPages are everybody's own.
var accountPages = []route{
	get("/account", account),
	post("/account", changeAccount),
	post("/account/password", changeOwnPassword),
	get("/account/second-factor", offerSecondFactor),
	post("/account/second-factor", newSecondFactor),
	post("/account/second-factor/confirm", confirmSecondFactor),
	post("/account/second-factor/remove", removeSecondFactor),
	post("/account/sessions/{id}", endOwnSession),
}

// session is what the pages show of a session; see the API's Session.
type session struct {
	ID              string    `json:"id"`
	AdministratorID string    `json:"administrator_id"`
	Current         bool      `json:"current"`
	CreatedAt       time.Time `json:"created_at"`
	SeenAt          time.Time `json:"seen_at"`
	ExpiresAt       time.Time `json:"expires_at"`
	Address         string    `json:"address"`
	UserAgent       string    `json:"user_agent"`
	Method          string    `json:"method"`
}

type sessionList struct {
	Items []session `json:"items"`
}

// me is who is signed in; see the API's get-me.
type me struct {
	Administrator administrator `json:"administrator"`
	RecoveryCodes int           `json:"recovery_codes"`
}

var accountCrumb = crumb{"/account", text("account.title")}

// timeZones are offered; others can be typed.
var timeZones = []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Zurich", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles",
	"America/Sao_Paulo", "Asia/Dubai", "Asia/Kolkata", "Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland"}

func account(q *request) error { return accountPage(q, nil) }

func accountPage(q *request, p *problem) error {
	var data struct {
		Me       me
		Sessions sessionList
		Zones    []string
	}
	if err := q.get("/me", nil, &data.Me); err != nil {
		return err
	}
	if err := q.get("/sessions", nil, &data.Sessions); err != nil {
		return err
	}
	data.Zones = timeZones
	return q.page("account", view{Title: text("account.title"), Data: data, Problem: p})
}

func changeAccount(q *request) error {
	err := q.patch("/me", map[string]any{"name": q.Typed("name"), "time_zone": q.Typed("time_zone"), "theme": q.Typed("theme")}, nil)
	if p := refusal(err); p != nil {
		return accountPage(q, p.place("name_invalid", "/name", "time_zone_unknown", "/time_zone"))
	}
	if err != nil {
		return err
	}
	return q.done("/account", "account.changed")
}

func changeOwnPassword(q *request) error {
	if p := q.twice(); p != nil {
		return accountPage(q, p)
	}
	err := q.put("/me/password", map[string]any{"current": q.form.Get("current"), "new": q.form.Get("password")}, nil)
	if p := refusal(err); p != nil {
		return accountPage(q, p.place("password_wrong", "/current", "password_short", "/password", "password_long", "/password", "password_weak", "/password"))
	}
	if err != nil {
		return err
	}
	return q.done("/account", "account.password.changed")
}

func offerSecondFactor(q *request) error {
	if q.Who.SecondFactor {
		q.redirect("/account")
		return nil
	}
	return q.page("second-factor", view{Title: text("account.factor.title"), Crumbs: []crumb{accountCrumb}})
}

// factorKey is a key for an authenticator app; see the API's
// create-my-second-factor.
type factorKey struct {
	Key string `json:"key"`
	URL string `json:"url"`
	SVG template.HTML
}

func newSecondFactor(q *request) error {
	var key factorKey
	if err := q.post("/me/second-factor", nil, &key); err != nil {
		return err
	}
	return q.factorPage(key, nil)
}

// factorPage shows the key until a code of it was right. The form carries it, so
// that a code that was mistyped does not need a new one.
func (q *request) factorPage(key factorKey, p *problem) error {
	var err error
	if key.SVG, err = qrCode(key.URL); err != nil {
		return err
	}
	return q.page("second-factor-key", view{Title: text("account.factor.title"), Problem: p, Data: key, Crumbs: []crumb{accountCrumb}})
}

func confirmSecondFactor(q *request) error {
	var made struct {
		RecoveryCodes []string `json:"recovery_codes"`
	}
	err := q.put("/me/second-factor", map[string]any{"code": q.Typed("code")}, &made)
	if p := refusal(err); p != nil && p.Code == "code_wrong" {
		return q.factorPage(factorKey{Key: q.Typed("key"), URL: q.Typed("url")}, p.place("code_wrong", "/code"))
	}
	if err != nil {
		return err
	}
	return q.page("recovery-codes", view{Title: text("account.recovery.title"), Data: made.RecoveryCodes, Crumbs: []crumb{accountCrumb}})
}

func removeSecondFactor(q *request) error {
	err := q.post("/me/second-factor/remove", map[string]any{"code": q.Typed("code")}, nil)
	if p := refusal(err); p != nil {
		return accountPage(q, p.place("code_wrong", "/code"))
	}
	if err != nil {
		return err
	}
	return q.done("/account", "account.factor.removed")
}

func endOwnSession(q *request) error {
	if err := q.delete(at("/sessions/%s", q.PathValue("id")), nil, nil); err != nil {
		return err
	}
	return q.done("/account", "account.session.ended")
}

// Themes are the choices of how the console looks.
func (q *request) Themes() []admin.Theme { return []admin.Theme{admin.ThemeLight, admin.ThemeDark} }
