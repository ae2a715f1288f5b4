package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/admin/webhook"
	"rollcall/enroll"
)

type WebhookView struct {
	ID             string    `json:"id"`
	URL            string    `json:"url"`
	Types          []string  `json:"types" doc:"Types of events it gets; device.* is all of an object, none at all is everything."`
	Enabled        bool      `json:"enabled"`
	DisabledAt     time.Time `json:"disabled_at,omitzero"`
	DisabledReason string    `json:"disabled_reason,omitempty"`
	Failures       int       `json:"failures" doc:"Failed attempts since the last one that succeeded."`
	FailingSince   time.Time `json:"failing_since,omitzero" doc:"After 24 hours of this it is disabled."`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

func viewWebhook(w webhook.Webhook) WebhookView {
	v := WebhookView{ID: w.ID, URL: w.URL, Types: w.Types, Enabled: w.DisabledAt.IsZero(), DisabledAt: utc(w.DisabledAt), DisabledReason: w.DisabledReason,
		Failures: w.Failures, FailingSince: utc(w.FailingSince), CreatedAt: utc(w.CreatedAt), UpdatedAt: utc(w.UpdatedAt)}
	if v.Types == nil {
		v.Types = []string{}
	}
	return v
}

// WebhookParam is the path of every operation on one webhook.
type WebhookParam struct {
	ID string `path:"id" maxLength:"64"`
}

type newWebhookView struct {
	WebhookView
	Secret string `json:"secret" doc:"Signs every delivery. It is shown here and never again."`
}

type webhookDeliveryView struct {
	ID            string                `json:"id" doc:"In the header Rollcall-Delivery, the same at each attempt."`
	EventID       string                `json:"event_id"`
	Type          enroll.EventType      `json:"type" example:"device.enrolled"`
	State         webhook.DeliveryState `json:"state" enum:"pending,delivered,failed"`
	Attempts      int                   `json:"attempts"`
	CreatedAt     time.Time             `json:"created_at"`
	LastAttemptAt time.Time             `json:"last_attempt_at,omitzero"`
	NextAttemptAt time.Time             `json:"next_attempt_at,omitzero"`
	Status        int                   `json:"status,omitempty" doc:"What the receiver answered last. Absent: nothing."`
	Error         string                `json:"error,omitempty" doc:"Why the last attempt failed."`
}

func viewDelivery(d webhook.Delivery) webhookDeliveryView {
	return webhookDeliveryView{ID: d.ID, EventID: d.Event.ID, Type: d.Event.Type, State: d.State, Attempts: d.Attempts, CreatedAt: utc(d.CreatedAt), LastAttemptAt: utc(d.TriedAt),
		NextAttemptAt: utc(d.DueAt), Status: d.Status, Error: d.Error}
}

// checkWebhook says what is wrong with what an admin asks for.
func (a *API) checkWebhook(url string, types []string) error {
	if err := webhook.CheckURL(url, a.AllowPrivateWebhooks); err != nil {
		return err
	}
	for _, p := range types {
		if err := enroll.CheckEventPattern(p); err != nil {
			return err
		}
	}
	return nil
}

func (r routes) webhooks() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/webhooks" + path, Tags: []string{"Events"}, Summary: summary, Description: description}
	}
	answer := func(w webhook.Webhook, err error) (*body[WebhookView], error) {
		if err != nil {
			return nil, err
		}
		return &body[WebhookView]{viewWebhook(w)}, nil
	}

	add(r, RoleAdmin, op("list-webhooks", http.MethodGet, "", "List the webhooks", "All of them, oldest first, without their secrets."),
		func(ctx context.Context, _ *struct{}) (*body[list[WebhookView]], error) {
			ws, err := a.Webhooks.Webhooks(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[WebhookView]]{listOf(ws, enroll.Page{}, func(w webhook.Webhook) string { return w.ID }, viewWebhook)}, nil
		})

	type createWebhook struct {
		Body struct {
			URL   string   `json:"url" maxLength:"2000" doc:"https, at a public address. http and private addresses only where the server was started with --allow-private-webhooks." example:"https://hooks.example.com/rollcall"`
			Types []string `json:"types,omitempty" maxItems:"50" doc:"Types of events; device.* is all of an object. Left out: everything."`
		}
	}
	create := op("create-webhook", http.MethodPost, "", "Make a webhook",
		"Events from now on are posted to the URL, each with the header Rollcall-Signature: t=TIME,v1=HMAC-SHA256 over \"TIME.BODY\" with the secret as the key. Answer with a 2xx within 10 seconds. Anything else is tried again for 24 hours.")
	create.DefaultStatus = http.StatusCreated
	add(r, RoleAdmin, create, func(ctx context.Context, in *createWebhook) (*body[newWebhookView], error) {
		if err := a.checkWebhook(in.Body.URL, in.Body.Types); err != nil {
			return nil, err
		}
		now := a.now().UTC()
		w := webhook.Webhook{ID: enroll.NewID(), URL: in.Body.URL, Types: in.Body.Types, Secret: webhook.NewSecret(), CreatedAt: now, UpdatedAt: now}
		return &body[newWebhookView]{newWebhookView{viewWebhook(w), w.Secret}}, a.Webhooks.CreateWebhook(ctx, w)
	})

	add(r, RoleAdmin, op("get-webhook", http.MethodGet, "/{id}", "Read a webhook", ""),
		func(ctx context.Context, in *WebhookParam) (*body[WebhookView], error) {
			return answer(a.Webhooks.Webhook(ctx, in.ID))
		})

	type putWebhook struct {
		WebhookParam
		Body struct {
			URL     *string   `json:"url,omitempty" maxLength:"2000"`
			Types   *[]string `json:"types,omitempty" maxItems:"50" doc:"Empty: everything."`
			Enabled *bool     `json:"enabled,omitempty" doc:"true also lets one go on that was disabled after 24 hours of failures."`
		}
	}
	add(r, RoleAdmin, op("put-webhook", http.MethodPut, "/{id}", "Change a webhook", "Fields that are left out stay as they are. The secret stays; make another webhook for another one."),
		func(ctx context.Context, in *putWebhook) (*body[WebhookView], error) {
			w, err := a.Webhooks.ChangeWebhook(ctx, in.ID, func(w webhook.Webhook) (webhook.Webhook, error) {
				now := a.now().UTC()
				if in.Body.URL != nil {
					w.URL = *in.Body.URL
				}
				if in.Body.Types != nil {
					w.Types = *in.Body.Types
				}
				if in.Body.Enabled != nil {
					switch {
					case *in.Body.Enabled:
						w.DisabledAt, w.DisabledReason = time.Time{}, ""
					case w.DisabledAt.IsZero():
						w.DisabledAt, w.DisabledReason = now, "An admin disabled it."
					}
				}
				w.UpdatedAt = now
				return w, a.checkWebhook(w.URL, w.Types)
			})
			a.kick()
			return answer(w, err)
		})

	add(r, RoleAdmin, op("delete-webhook", http.MethodDelete, "/{id}", "Delete a webhook", "With its deliveries, those that are pending too."),
		func(ctx context.Context, in *WebhookParam) (*struct{}, error) {
			return nil, a.Webhooks.DeleteWebhook(ctx, in.ID)
		})

	type listDeliveries struct {
		WebhookParam
		ListParams
		State webhook.DeliveryState `query:"state" enum:"pending,delivered,failed"`
	}
	add(r, RoleAdmin, op("list-deliveries", http.MethodGet, "/{id}/deliveries", "List the deliveries of a webhook", "Newest first. They are kept for as long as events are."),
		func(ctx context.Context, in *listDeliveries) (*body[list[webhookDeliveryView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			ds, err := a.Webhooks.Deliveries(ctx, in.ID, in.State, p)
			if err != nil {
				return nil, err
			}
			return &body[list[webhookDeliveryView]]{listOf(ds, p, func(d webhook.Delivery) string { return d.ID }, viewDelivery)}, nil
		})

	type redeliver struct {
		WebhookParam
		Delivery string `path:"delivery" maxLength:"64"`
	}
	again := op("redeliver", http.MethodPost, "/{id}/deliveries/{delivery}/redeliver", "Deliver once more", "For one that was delivered or given up. It keeps its ID.")
	again.DefaultStatus = http.StatusAccepted
	add(r, RoleAdmin, again, func(ctx context.Context, in *redeliver) (*body[webhookDeliveryView], error) {
		d, err := a.Webhooks.Redeliver(ctx, in.ID, in.Delivery, a.now().UTC())
		if err != nil {
			return nil, err
		}
		a.kick()
		return &body[webhookDeliveryView]{viewDelivery(d)}, nil
	})
}
