package console

import (
	"cmp"
	"html/template"
	"time"
)

var tokenPages = []route{
	get("/enrollment/tokens", listEnrollmentTokens),
	get("/enrollment/tokens/new", only("create-enrollment-token", newEnrollmentToken)),
	post("/enrollment/tokens/new", makeEnrollmentToken),
	get("/enrollment/tokens/{id}/revoke", only("revoke-enrollment-token", askRevokeEnrollmentToken)),
	post("/enrollment/tokens/{id}/revoke", revokeEnrollmentToken),
}

// enrollmentToken brings Android devices with an agent here. The last fields are
// there once, when it was made.
type enrollmentToken struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	State      string    `json:"state"`
	MaxUses    int       `json:"max_uses"`
	Uses       int       `json:"uses"`
	Ownership  string    `json:"ownership"`
	Group      string    `json:"group"`
	Serial     string    `json:"serial"`
	RequestID  string    `json:"request_id"`
	CreatedBy  string    `json:"created_by"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at"`

	Token string `json:"token"`
	payloads
}

// payloads are the forms in which a token comes to devices.
type payloads struct {
	Link      string        `json:"link"`
	QR        string        `json:"qr"`
	PNG       string        `json:"png"`
	SVG       template.HTML `json:"svg"` // drawn by the server, without anything that was typed
	NFC       string        `json:"nfc"`
	ZeroTouch string        `json:"zero_touch"`
	Knox      string        `json:"knox"`
}

// Picture is the code for an img element.
func (p payloads) Picture() template.URL { return template.URL("data:image/png;base64," + p.PNG) }

func listEnrollmentTokens(q *request) error {
	var data struct {
		Items      []enrollmentToken `json:"items"`
		NextCursor string            `json:"next_cursor"`
	}
	if err := q.get("/enrollment-tokens", query("limit", pageSize, "cursor", q.Param("cursor")), &data); err != nil {
		return err
	}
	return q.enrollment("enrollment-tokens", view{Title: text("enrollment.tokens.title"), Data: data})
}

func newEnrollmentToken(q *request) error { return enrollmentTokenForm(q, nil) }

func enrollmentTokenForm(q *request, p *problem) error {
	groups, err := q.groupNames(true)
	if err != nil {
		return err
	}
	return q.enrollment("enrollment-token-new", view{Title: text("enrollment.token.new"), Problem: p, Data: groups,
		Crumbs: []crumb{{"/enrollment/tokens", text("enrollment.tokens.title")}}})
}

// makeEnrollmentToken shows the token at once: it cannot be read again. Sending
// the form twice shows the same one.
func makeEnrollmentToken(q *request) error {
	body := given(map[string]any{"name": q.Typed("name"), "max_uses": whole(cmp.Or(q.Typed("max_uses"), "1")), "serial": q.Typed("serial"), "group": q.Typed("group"), "ownership": q.Typed("ownership")})
	if day := q.Typed("expires_at"); day != "" {
		body["expires_at"] = q.endOf(day)
	}
	if email := q.Typed("email"); email != "" {
		body["user"] = given(map[string]any{"email": email, "domain": q.Typed("domain")})
	}
	if setup := q.setup(); len(setup) > 0 {
		body["setup"] = setup
	}
	var made enrollmentToken
	err := q.post("/enrollment-tokens", body, &made)
	if p := refusal(err); p != nil {
		return enrollmentTokenForm(q, p.place("device_unknown", "/serial", "user_unknown", "/user/email", "group_unknown", "/group", "group_dynamic", "/group"))
	}
	if err != nil {
		return err
	}
	return q.enrollment("enrollment-token-made", view{Title: text("enrollment.token.made", made.Name), Data: made, Crumbs: []crumb{{"/enrollment/tokens", text("enrollment.tokens.title")}}})
}

// endOf is the end of a day that was typed, where the person is. What is no day
// goes to the API as it is, which says so.
func (q *request) endOf(day string) any {
	d, err := time.ParseInLocation(time.DateOnly, day, q.Zone())
	if err != nil {
		return day
	}
	return d.AddDate(0, 0, 1).UTC()
}

// setup is what else Android's setup is told.
func (q *request) setup() map[string]any {
	setup := given(map[string]any{"locale": q.Typed("locale"), "time_zone": q.Typed("time_zone")})
	for _, name := range []string{"keep_system_apps", "skip_encryption", "use_mobile_data"} {
		if q.Typed(name) != "" {
			setup[name] = true
		}
	}
	if ssid := q.Typed("ssid"); ssid != "" {
		wifi := given(map[string]any{"ssid": ssid, "security": q.Typed("security"), "password": q.form.Get("password")}) // spaces belong to it
		if q.Typed("hidden") != "" {
			wifi["hidden"] = true
		}
		setup["wifi"] = wifi
	}
	return setup
}

func askRevokeEnrollmentToken(q *request) error {
	var made enrollmentToken
	if err := q.get(at("/enrollment-tokens/%s", q.PathValue("id")), nil, &made); err != nil {
		return err
	}
	return q.enrollment("enrollment-token-revoke", view{Title: text("enrollment.token.revoke.title", made.Name), Data: made, Crumbs: []crumb{{"/enrollment/tokens", text("enrollment.tokens.title")}}})
}

func revokeEnrollmentToken(q *request) error {
	var revoked enrollmentToken
	if err := q.delete(at("/enrollment-tokens/%s", q.PathValue("id")), nil, &revoked); err != nil {
		return err
	}
	return q.done("/enrollment/tokens", "enrollment.token.revoked", revoked.Name)
}
