package client

import "context"

// WebhookCommands are about webhooks.
type WebhookCommands struct {
	Session
	List       webhookList       `cmd:"" help:"List the webhooks."`
	Create     webhookCreate     `cmd:"" help:"Make a webhook and print its secret, this once."`
	Enable     webhookEnable     `cmd:"" help:"Let a webhook get events again."`
	Disable    webhookDisable    `cmd:"" help:"Send a webhook nothing more."`
	Delete     webhookDelete     `cmd:"" help:"Delete a webhook."`
	Deliveries webhookDeliveries `cmd:"" help:"List what a webhook was sent."`
	Redeliver  webhookRedeliver  `cmd:"" help:"Send a delivery once more."`
}

var (
	webhookColumns  = columns("id", "url", "types", "enabled", "failures", "disabled_reason")
	deliveryColumns = columns("id", "type", "state", "attempts", "created=created_at", "status", "error")
)

type webhookList struct{}

// Run implements the command.
func (c *webhookList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/webhooks", nil, unpaged, webhookColumns)
}

type webhookCreate struct {
	URL  string   `arg:"" help:"https URL at a public address."`
	Type []string `help:"Type of events, such as device.enrolled or request.*; repeat for several. Default: everything."`
}

// Run implements the command.
func (c *webhookCreate) Run(ctx context.Context, s *Session) error {
	body := map[string]any{"url": c.URL}
	if len(c.Type) > 0 {
		body["types"] = c.Type
	}
	raw, err := s.do(ctx, post("/webhooks", body))
	if err != nil {
		return err
	}
	return s.show(raw, columns("id", "url", "types", "secret"))
}

type oneWebhook struct {
	ID string `arg:"" help:"ID of the webhook."`
}

func (w oneWebhook) enable(ctx context.Context, s *Session, enabled bool, word string) error {
	raw, err := s.do(ctx, put(join("webhooks", w.ID), map[string]bool{"enabled": enabled}))
	if err != nil {
		return err
	}
	return s.done(raw, webhookColumns, "the webhook %s is %s", w.ID, word)
}

type webhookEnable struct{ oneWebhook }

// Run implements the command.
func (c *webhookEnable) Run(ctx context.Context, s *Session) error {
	return c.enable(ctx, s, true, "enabled")
}

type webhookDisable struct{ oneWebhook }

// Run implements the command.
func (c *webhookDisable) Run(ctx context.Context, s *Session) error {
	return c.enable(ctx, s, false, "disabled")
}

type webhookDelete struct{ oneWebhook }

// Run implements the command.
func (c *webhookDelete) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(join("webhooks", c.ID))); err != nil {
		return err
	}
	return s.done(nil, nil, "the webhook %s is deleted", c.ID)
}

type webhookDeliveries struct {
	oneWebhook
	State string `help:"Only in this state: pending, delivered, failed."`
	limited
}

// Run implements the command.
func (c *webhookDeliveries) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, join("webhooks", c.ID, "deliveries"), filter("state", c.State), c.Limit, deliveryColumns)
}

type webhookRedeliver struct {
	oneWebhook
	Delivery string `arg:"" help:"ID of the delivery."`
}

// Run implements the command.
func (c *webhookRedeliver) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(join("webhooks", c.ID, "deliveries", c.Delivery, "redeliver"), nil))
	if err != nil {
		return err
	}
	return s.done(raw, deliveryColumns, "the delivery %s is sent once more", c.Delivery)
}
