package console

import (
	"net/url"
	"time"
)

var webhookPages = []route{
	get("/settings/webhooks", listWebhooks),
	get("/settings/webhooks/new", only("create-webhook", newWebhook)),
	post("/settings/webhooks/new", makeWebhook),
	get("/settings/webhooks/{id}", showWebhook),
	post("/settings/webhooks/{id}", changeWebhook),
	get("/settings/webhooks/{id}/delete", only("delete-webhook", askDeleteWebhook)),
	post("/settings/webhooks/{id}/delete", deleteWebhook),
	post("/settings/webhooks/{id}/deliveries/{delivery}", redeliver),
}

type webhookShown struct {
	ID             string    `json:"id"`
	URL            string    `json:"url"`
	Types          []string  `json:"types"`
	Enabled        bool      `json:"enabled"`
	DisabledAt     time.Time `json:"disabled_at"`
	DisabledReason string    `json:"disabled_reason"`
	Failures       int       `json:"failures"`
	FailingSince   time.Time `json:"failing_since"`
	CreatedAt      time.Time `json:"created_at"`
	Secret         string    `json:"secret"`
}

// State is disabled, failing or working.
func (w webhookShown) State() string {
	switch {
	case !w.Enabled:
		return "disabled"
	case w.Failures > 0:
		return "failing"
	}
	return "working"
}

type deliveryShown struct {
	ID            string    `json:"id"`
	Type          string    `json:"type"`
	State         string    `json:"state"`
	Attempts      int       `json:"attempts"`
	CreatedAt     time.Time `json:"created_at"`
	LastAttemptAt time.Time `json:"last_attempt_at"`
	NextAttemptAt time.Time `json:"next_attempt_at"`
	Status        int       `json:"status"`
	Error         string    `json:"error"`
}

var webhookCrumb = crumb{"/settings/webhooks", text("settings.webhooks.title")}

func listWebhooks(q *request) error {
	var data struct {
		Items []webhookShown `json:"items"`
	}
	if err := q.get("/webhooks", nil, &data); err != nil {
		return err
	}
	return q.settings("settings-webhooks", view{Title: text("settings.webhooks.title"), Data: data.Items})
}

func newWebhook(q *request) error { return webhookForm(q, nil) }

func webhookForm(q *request, p *problem) error {
	return q.settings("settings-webhook-new", view{Title: text("settings.webhook.new"), Problem: p, Crumbs: []crumb{webhookCrumb}})
}

// placeWebhook puts a refusal at the field of a webhook that it is about.
func (p *problem) placeWebhook() *problem {
	return p.place("webhook_url_invalid", "/url", "webhook_address_private", "/url", "event_type_unknown", "/types")
}

// makeWebhook shows the secret at once: it cannot be read again.
func makeWebhook(q *request) error {
	body := map[string]any{"url": q.Typed("url")}
	if types := words(q.Typed("types")); len(types) > 0 {
		body["types"] = types
	}
	var made webhookShown
	err := q.post("/webhooks", body, &made)
	if p := refusal(err); p != nil {
		return webhookForm(q, p.placeWebhook())
	}
	if err != nil {
		return err
	}
	return q.settings("settings-webhook-made", view{Title: text("settings.webhook.made"), Data: made, Crumbs: []crumb{webhookCrumb}})
}

func showWebhook(q *request) error { return webhookPage(q, nil) }

func webhookPage(q *request, p *problem) error {
	var data struct {
		Webhook    webhookShown
		Deliveries struct {
			Items      []deliveryShown `json:"items"`
			NextCursor string          `json:"next_cursor"`
		}
	}
	path := at("/webhooks/%s", q.PathValue("id"))
	if err := q.get(path, nil, &data.Webhook); err != nil {
		return err
	}
	if err := q.get(path+"/deliveries", query("limit", pageSize, "state", q.Param("state"), "cursor", q.Param("cursor")), &data.Deliveries); err != nil {
		return err
	}
	return q.settings("settings-webhook", view{Title: data.Webhook.URL, Data: data, Problem: p, Crumbs: []crumb{webhookCrumb}})
}

func changeWebhook(q *request) error {
	types := words(q.Typed("types"))
	if types == nil {
		types = []string{} // everything
	}
	body := map[string]any{"url": q.Typed("url"), "types": types, "enabled": q.Typed("enabled") != ""}
	err := q.put(at("/webhooks/%s", q.PathValue("id")), body, nil)
	if p := refusal(err); p != nil {
		return webhookPage(q, p.placeWebhook())
	}
	if err != nil {
		return err
	}
	return q.done("/settings/webhooks/"+url.PathEscape(q.PathValue("id")), "settings.webhook.changed")
}

func askDeleteWebhook(q *request) error {
	var w webhookShown
	if err := q.get(at("/webhooks/%s", q.PathValue("id")), nil, &w); err != nil {
		return err
	}
	path := "/settings/webhooks/" + url.PathEscape(w.ID)
	return q.ask(text("settings.webhook.delete.title", w.URL), question{text("settings.webhook.delete.help"), text("settings.webhook.delete"), path}, nil, webhookCrumb, crumb{path, w.URL})
}

func deleteWebhook(q *request) error {
	if err := q.delete(at("/webhooks/%s", q.PathValue("id")), nil, nil); err != nil {
		return err
	}
	return q.done("/settings/webhooks", "settings.webhook.deleted")
}

func redeliver(q *request) error {
	err := q.post(at("/webhooks/%s/deliveries/%s/redeliver", q.PathValue("id"), q.PathValue("delivery")), nil, nil)
	if p := refusal(err); p != nil {
		return webhookPage(q, p)
	}
	if err != nil {
		return err
	}
	return q.done("/settings/webhooks/"+url.PathEscape(q.PathValue("id")), "settings.delivery.again")
}
