package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"rollcall/admin/webhook"
	"rollcall/enroll"
)

var (
	_ webhook.Store  = (*Store)(nil)
	_ webhook.Outbox = (*Store)(nil)
)

const secretOfWebhook = "webhooks/secret"

type webhookRow struct {
	ID             string `json:"id"`
	URL            string `json:"url"`
	Types          string `json:"types"`
	Secret         []byte `json:"secret"`
	CreatedAt      int64  `json:"created_at"`
	UpdatedAt      int64  `json:"updated_at"`
	DisabledAt     int64  `json:"disabled_at"`
	DisabledReason string `json:"disabled_reason"`
	Failures       int    `json:"failures"`
	FailingSince   int64  `json:"failing_since"`
	PausedUntil    int64  `json:"paused_until"`
}

const selectWebhook = `SELECT id, url, types, secret, created_at, updated_at, disabled_at, disabled_reason, failures, failing_since, paused_until FROM webhooks `

func (r webhookRow) webhook() (webhook.Webhook, error) {
	types, err := decode[[]string](r.Types)
	return webhook.Webhook{ID: r.ID, URL: r.URL, Types: types, CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), DisabledAt: instant(r.DisabledAt),
		DisabledReason: r.DisabledReason, Failures: r.Failures, FailingSince: instant(r.FailingSince), PausedUntil: instant(r.PausedUntil)}, err
}

// auditedWebhook is what the audit log keeps of a webhook.
func auditedWebhook(w webhook.Webhook) any {
	return map[string]any{"url": w.URL, "types": w.Types, "disabled": !w.DisabledAt.IsZero()}
}

func noWebhook() error {
	return enroll.Errorf(enroll.KindNotFound, "webhook_unknown", "there is no such webhook")
}

// lockWebhook reads a webhook, locked.
func lockWebhook(ctx context.Context, tx *session, id string) (webhookRow, webhook.Webhook, error) {
	var r webhookRow
	if err := tx.get(ctx, &r, selectWebhook+"WHERE id = ?"+tx.lock(), id); errors.Is(err, sql.ErrNoRows) {
		return r, webhook.Webhook{}, noWebhook()
	} else if err != nil {
		return r, webhook.Webhook{}, err
	}
	w, err := r.webhook()
	return r, w, err
}

// CreateWebhook implements webhook.Store.
func (s *Store) CreateWebhook(ctx context.Context, w webhook.Webhook) error {
	secret, err := s.seal(secretOfWebhook, w.ID, []byte(w.Secret))
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *session) error {
		var n int
		if err := tx.get(ctx, &n, `SELECT count(*) FROM webhooks`); err != nil {
			return err
		}
		if n >= webhook.MaxWebhooks {
			return enroll.Errorf(enroll.KindConflict, "webhooks_many", "there are %d webhooks already", n).WithHint("Delete one that is not used.")
		}
		tx.record(ctx, "webhook", w.ID, nil, auditedWebhook(w))
		_, err := tx.exec(ctx, `INSERT INTO webhooks (id, url, types, secret, created_at, updated_at, disabled_at, disabled_reason, failures, failing_since, paused_until)
			VALUES (?, ?, ?, ?, ?, ?, 0, '', 0, 0, 0)`, w.ID, w.URL, encodeTypes(w.Types), secret, micros(w.CreatedAt), micros(w.UpdatedAt))
		return err
	})
}

// Webhooks implements webhook.Store.
func (s *Store) Webhooks(ctx context.Context) ([]webhook.Webhook, error) {
	var rows []webhookRow
	if err := s.all(ctx, &rows, selectWebhook+"ORDER BY id"); err != nil {
		return nil, err
	}
	out := make([]webhook.Webhook, 0, len(rows))
	for _, r := range rows {
		w, err := r.webhook()
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// Webhook implements webhook.Store.
func (s *Store) Webhook(ctx context.Context, id string) (webhook.Webhook, error) {
	var r webhookRow
	if err := s.one(ctx, &r, selectWebhook+"WHERE id = ?", id); errors.Is(err, sql.ErrNoRows) {
		return webhook.Webhook{}, noWebhook()
	} else if err != nil {
		return webhook.Webhook{}, err
	}
	return r.webhook()
}

// ChangeWebhook implements webhook.Store. What is pending of a webhook that is
// enabled again is due at once.
func (s *Store) ChangeWebhook(ctx context.Context, id string, change func(webhook.Webhook) (webhook.Webhook, error)) (webhook.Webhook, error) {
	var fresh webhook.Webhook
	err := s.write(ctx, func(tx *session) error {
		_, old, err := lockWebhook(ctx, tx, id)
		if err != nil {
			return err
		}
		if fresh, err = change(old); err != nil {
			return err
		}
		fresh.ID, fresh.Secret, fresh.CreatedAt = old.ID, "", old.CreatedAt
		if fresh.DisabledAt.IsZero() && !old.DisabledAt.IsZero() || fresh.URL != old.URL {
			fresh.Failures, fresh.FailingSince, fresh.PausedUntil = 0, time.Time{}, time.Time{}
		}
		tx.record(ctx, "webhook", id, auditedWebhook(old), auditedWebhook(fresh))
		_, err = tx.exec(ctx, `UPDATE webhooks SET url = ?, types = ?, updated_at = ?, disabled_at = ?, disabled_reason = ?, failures = ?, failing_since = ?, paused_until = ? WHERE id = ?`,
			fresh.URL, encodeTypes(fresh.Types), micros(fresh.UpdatedAt), micros(fresh.DisabledAt), fresh.DisabledReason, fresh.Failures, micros(fresh.FailingSince),
			micros(fresh.PausedUntil), id)
		return err
	})
	if err != nil {
		return webhook.Webhook{}, err
	}
	return fresh, nil
}

// DeleteWebhook implements webhook.Store.
func (s *Store) DeleteWebhook(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *session) error {
		_, old, err := lockWebhook(ctx, tx, id)
		if err != nil {
			return err
		}
		tx.record(ctx, "webhook", id, auditedWebhook(old), nil)
		_, err = tx.exec(ctx, `DELETE FROM webhooks WHERE id = ?`, id) // with its deliveries
		return err
	})
}

type deliveryRow struct {
	ID         string `json:"id"`
	WebhookID  string `json:"webhook_id"`
	EventID    string `json:"event_id"`
	EventType  string `json:"event_type"`
	State      string `json:"state"`
	Attempts   int    `json:"attempts"`
	CreatedAt  int64  `json:"created_at"`
	ExpiresAt  int64  `json:"expires_at"`
	DueAt      int64  `json:"due_at"`
	LeaseUntil int64  `json:"lease_until"`
	TriedAt    int64  `json:"tried_at"`
	Status     int    `json:"status"`
	Error      string `json:"error"`
}

const deliveryFields = `id text, webhook_id text, event_id text, event_type text, state text, attempts bigint, created_at bigint, expires_at bigint, due_at bigint,
	lease_until bigint, tried_at bigint, status bigint, error text`

var (
	deliveryNames    = columnNames(deliveryFields)
	selectDelivery   = "SELECT " + columns("d.", deliveryNames) + " FROM webhook_deliveries d "
	insertDeliveries = "INSERT INTO webhook_deliveries (" + columns("", deliveryNames) + ") SELECT " + columns("r.", deliveryNames) + " FROM "
)

func (r deliveryRow) delivery() webhook.Delivery {
	return webhook.Delivery{ID: r.ID, WebhookID: r.WebhookID, Event: enroll.Event{ID: r.EventID, Type: enroll.EventType(r.EventType)}, State: webhook.DeliveryState(r.State),
		Attempts: r.Attempts, CreatedAt: instant(r.CreatedAt), ExpiresAt: instant(r.ExpiresAt), DueAt: instant(r.DueAt), TriedAt: instant(r.TriedAt),
		Status: r.Status, Error: r.Error}
}

// makeDeliveries makes one delivery for each event and webhook that wants it.
func makeDeliveries(ctx context.Context, tx *session, events []outboxRow, at time.Time) error {
	var hooks []webhookRow
	if err := tx.all(ctx, &hooks, selectWebhook+"WHERE disabled_at = 0 ORDER BY id"); err != nil {
		return err
	}
	var rows []deliveryRow
	for _, h := range hooks {
		w, err := h.webhook()
		if err != nil {
			return err
		}
		for _, e := range events {
			if enroll.EventType(e.Type).Matches(w.Types) {
				rows = append(rows, deliveryRow{ID: enroll.NewID(), WebhookID: w.ID, EventID: e.ID, EventType: e.Type, State: string(webhook.DeliveryPending),
					CreatedAt: micros(at), ExpiresAt: micros(at.Add(webhook.GiveUpAfter)), DueAt: micros(at)})
			}
		}
	}
	for chunk := range slices.Chunk(rows, outboxChunk) {
		if _, err := tx.exec(ctx, insertDeliveries+tx.records(deliveryFields), encode(chunk)); err != nil {
			return err
		}
	}
	return nil
}

// DueWebhooks implements webhook.Outbox.
func (s *Store) DueWebhooks(ctx context.Context, now time.Time) ([]string, error) {
	var ids []string
	err := s.all(ctx, &ids, `SELECT w.id FROM webhooks w WHERE w.disabled_at = 0 AND w.paused_until <= ?
		AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.due_at > 0 AND d.due_at <= ? AND d.lease_until <= ?) ORDER BY w.id`,
		micros(now), micros(now), micros(now))
	return ids, err
}

// ClaimDeliveries implements webhook.Outbox. A delivery whose event is no
// longer kept cannot be made and has failed.
func (s *Store) ClaimDeliveries(ctx context.Context, webhookID string, now time.Time, lease time.Duration, limit int) (webhook.Webhook, []webhook.Delivery, error) {
	var hook webhook.Webhook
	var deliveries []webhook.Delivery
	err := s.write(ctx, func(tx *session) error {
		hook, deliveries = webhook.Webhook{}, nil
		var r webhookRow
		err := tx.get(ctx, &r, selectWebhook+"WHERE id = ? AND disabled_at = 0 AND paused_until <= ?", webhookID, micros(now))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if hook, err = r.webhook(); err != nil {
			return err
		}
		secret, err := s.unseal(secretOfWebhook, hook.ID, r.Secret)
		if err != nil {
			return err
		}
		hook.Secret = string(secret)
		var ids []string
		if err := tx.all(ctx, &ids, `WITH due AS MATERIALIZED (SELECT id FROM webhook_deliveries WHERE webhook_id = ? AND due_at > 0 AND due_at <= ? AND lease_until <= ?
				ORDER BY due_at, id LIMIT ?`+tx.skipLocked()+`)
			UPDATE webhook_deliveries SET lease_until = ? WHERE id IN (SELECT id FROM due) RETURNING id`,
			webhookID, micros(now), micros(now), limit, micros(now.Add(lease))); err != nil || len(ids) == 0 {
			return err
		}
		var rows []struct {
			deliveryRow
			At   *int64  `json:"at"`
			Refs *string `json:"refs"`
		}
		if err := tx.all(ctx, &rows, `SELECT `+columns("d.", deliveryNames)+`, e.at, e.refs FROM webhook_deliveries d LEFT JOIN events e ON e.id = d.event_id
			WHERE `+tx.in("d.id")+` ORDER BY d.due_at, d.id`, tx.list(ids)); err != nil {
			return err
		}
		for _, row := range rows {
			if row.Refs == nil {
				if _, err := tx.exec(ctx, `UPDATE webhook_deliveries SET state = ?, due_at = 0, lease_until = 0, error = 'the event is no longer kept' WHERE id = ?`,
					string(webhook.DeliveryFailed), row.ID); err != nil {
					return err
				}
				continue
			}
			d := row.delivery()
			if d.Event, err = (outboxRow{ID: row.EventID, Type: row.EventType, At: *row.At, Refs: *row.Refs}).event(); err != nil {
				return err
			}
			deliveries = append(deliveries, d)
		}
		return nil
	})
	return hook, deliveries, err
}

// FinishDelivery implements webhook.Outbox.
func (s *Store) FinishDelivery(ctx context.Context, d webhook.Delivery, result webhook.Result) error {
	return s.write(ctx, func(tx *session) error {
		r, w, err := lockWebhook(ctx, tx, d.WebhookID)
		if enroll.KindOf(err) == enroll.KindNotFound {
			return nil // deleted meanwhile, and its deliveries with it
		}
		if err != nil {
			return err
		}
		state := webhook.DeliveryPending
		switch {
		case result.Error == "":
			state = webhook.DeliveryDelivered
		case result.RetryAt.IsZero():
			state = webhook.DeliveryFailed
		}
		if _, err := tx.exec(ctx, `UPDATE webhook_deliveries SET state = ?, attempts = attempts + 1, due_at = ?, lease_until = 0, tried_at = ?, status = ?, error = ?
			WHERE id = ? AND due_at > 0`, string(state), micros(result.RetryAt), micros(result.At), result.Status, result.Error, d.ID); err != nil {
			return err
		}
		if result.Error == "" {
			if r.Failures == 0 {
				return nil
			}
			_, err := tx.exec(ctx, `UPDATE webhooks SET failures = 0, failing_since = 0, paused_until = 0 WHERE id = ?`, w.ID)
			return err
		}
		if r.FailingSince == 0 {
			r.FailingSince = micros(result.At)
		}
		if r.DisabledAt == 0 && result.At.Sub(instant(r.FailingSince)) >= webhook.GiveUpAfter {
			r.DisabledAt, r.DisabledReason = micros(result.At), "It took nothing for 24 hours; last: "+result.Error+"."
			if err := tell(ctx, tx, enroll.NewEvent(enroll.EventWebhookDisabled, result.At, enroll.EventRefs{WebhookID: w.ID})); err != nil {
				return err
			}
		}
		_, err = tx.exec(ctx, `UPDATE webhooks SET failures = failures + 1, failing_since = ?, paused_until = ?, disabled_at = ?, disabled_reason = ? WHERE id = ?`,
			r.FailingSince, micros(result.PauseUntil), r.DisabledAt, r.DisabledReason, w.ID)
		return err
	})
}

// ReleaseDeliveries implements webhook.Outbox.
func (s *Store) ReleaseDeliveries(ctx context.Context, ids []string) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE webhook_deliveries SET lease_until = 0 WHERE `+tx.in("id"), tx.list(ids))
		return err
	})
}

// Deliveries implements webhook.Store.
func (s *Store) Deliveries(ctx context.Context, webhookID string, state webhook.DeliveryState, p enroll.Page) ([]webhook.Delivery, error) {
	if _, err := s.Webhook(ctx, webhookID); err != nil {
		return nil, err
	}
	query, args := selectDelivery+"WHERE d.webhook_id = ? AND d.id < ?", []any{webhookID, lastKey(p)}
	if state != "" {
		query += " AND d.state = ?"
		args = append(args, string(state))
	}
	var rows []deliveryRow
	if err := s.all(ctx, &rows, query+" ORDER BY d.id DESC LIMIT ?", append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	out := make([]webhook.Delivery, len(rows))
	for i, r := range rows {
		out[i] = r.delivery()
	}
	return out, nil
}

// Redeliver implements webhook.Store.
func (s *Store) Redeliver(ctx context.Context, webhookID, id string, now time.Time) (webhook.Delivery, error) {
	var result webhook.Delivery
	err := s.write(ctx, func(tx *session) error {
		var r deliveryRow
		err := tx.get(ctx, &r, selectDelivery+"WHERE d.id = ? AND d.webhook_id = ?"+tx.lock(), id, webhookID)
		if errors.Is(err, sql.ErrNoRows) {
			return enroll.Errorf(enroll.KindNotFound, "delivery_unknown", "the webhook has no such delivery")
		}
		if err != nil {
			return err
		}
		if r.State == string(webhook.DeliveryPending) {
			return enroll.Errorf(enroll.KindConflict, "delivery_pending", "the delivery is still being tried").WithHint("Wait for it, or repair the receiver.")
		}
		var kept bool
		if err := tx.get(ctx, &kept, `SELECT EXISTS (SELECT 1 FROM events WHERE id = ?)`, r.EventID); err != nil {
			return err
		}
		if !kept {
			return enroll.Errorf(enroll.KindGone, "event_gone", "the event of the delivery is no longer kept")
		}
		r.State, r.DueAt, r.ExpiresAt, r.Attempts = string(webhook.DeliveryPending), micros(now), micros(now.Add(webhook.GiveUpAfter)), 0
		result = r.delivery()
		tx.record(ctx, "webhook", webhookID, nil, map[string]string{"redelivered": id})
		_, err = tx.exec(ctx, `UPDATE webhook_deliveries SET state = ?, due_at = ?, expires_at = ?, attempts = 0, lease_until = 0 WHERE id = ?`, r.State, r.DueAt, r.ExpiresAt, id)
		return err
	})
	return result, err
}
