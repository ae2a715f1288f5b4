package console

import (
	"net/http"
	"time"
)

var apiTokenPages = []route{
	get("/settings/tokens", listAPITokens),
	get("/settings/tokens/new", only("create-token", newAPIToken)),
	post("/settings/tokens/new", makeAPIToken),
	get("/settings/tokens/{id}/revoke", only("revoke-token", askRevokeAPIToken)),
	post("/settings/tokens/{id}/revoke", revokeAPIToken),
}

// apiToken is a token of the admin API; its secret is there once, when it was made.
type apiToken struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Role       string    `json:"role"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	RevokedAt  time.Time `json:"revoked_at"`
	Token      string    `json:"token"`

	State string `json:"-"` // usable, expired, revoked
}

var apiTokenCrumb = crumb{"/settings/tokens", text("settings.tokens.title")}

func (q *request) apiTokens() ([]apiToken, error) {
	var tokens struct {
		Items []apiToken `json:"items"`
	}
	err := q.get("/tokens", nil, &tokens)
	now := q.console.Now()
	for i := range tokens.Items {
		switch t := &tokens.Items[i]; {
		case !t.RevokedAt.IsZero():
			t.State = "revoked"
		case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
			t.State = "expired"
		default:
			t.State = "usable"
		}
	}
	return tokens.Items, err
}

func listAPITokens(q *request) error {
	tokens, err := q.apiTokens()
	if err != nil {
		return err
	}
	return q.settings("settings-tokens", view{Title: text("settings.tokens.title"), Data: tokens})
}

func newAPIToken(q *request) error { return apiTokenForm(q, nil) }

func apiTokenForm(q *request, p *problem) error {
	return q.settings("settings-token-new", view{Title: text("settings.token.new"), Problem: p, Crumbs: []crumb{apiTokenCrumb}})
}

// makeAPIToken shows the token at once: it cannot be read again. Sending the
// form twice shows the same one.
func makeAPIToken(q *request) error {
	body := map[string]any{"name": q.Typed("name"), "role": q.Typed("role")}
	if day := q.Typed("expires_at"); day != "" {
		body["expires_at"] = q.endOf(day)
	}
	var made apiToken
	err := q.post("/tokens", body, &made)
	if p := refusal(err); p != nil {
		return apiTokenForm(q, p.place("name_invalid", "/name", "expires_past", "/expires_at"))
	}
	if err != nil {
		return err
	}
	return q.settings("settings-token-made", view{Title: text("settings.token.made", made.Name), Data: made, Crumbs: []crumb{apiTokenCrumb}})
}

func askRevokeAPIToken(q *request) error { return apiTokenQuestion(q, nil) }

func apiTokenQuestion(q *request, p *problem) error {
	tokens, err := q.apiTokens()
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.ID == q.PathValue("id") {
			return q.ask(text("settings.token.revoke.title", t.Name), question{text("settings.token.revoke.help"), text("settings.token.revoke"), "/settings/tokens"}, p, apiTokenCrumb)
		}
	}
	return errNoPage
}

func revokeAPIToken(q *request) error {
	err := q.delete(at("/tokens/%s", q.PathValue("id")), nil, nil)
	if p := refusal(err); p != nil && p.Status != http.StatusNotFound {
		return apiTokenQuestion(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/settings/tokens", "settings.token.revoked")
}
