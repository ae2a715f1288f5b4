package app

import (
	"context"
	"time"

	"github.com/google/uuid"

	"rollcall/admin"
	"rollcall/admin/webhook"
	"rollcall/enroll"
)

// failureLimit is for requests to the API without a valid token, per address.
var failureLimit = admin.RateLimit{PerSecond: 1, Burst: 30}

// wireEvents gives the API what it needs for its log, its events and its
// webhooks.
func (a *App) wireEvents(api *admin.API) {
	api.Audit, api.Events, api.Webhooks, api.Answers, api.Snapshots, api.Atomic = a.store, a.store, a.store, a.store, a.store, a.store
	api.Limit, api.FailureLimit = admin.RateLimit{PerSecond: a.opts.APIRate, Burst: a.opts.APIBurst}, failureLimit
	api.AllowPrivateWebhooks, api.EventsChanged, api.RequestID, api.Stopping = a.opts.AllowPrivateWebhooks, a.hooks.Changed, requestID, a.stopping
}

func (a *App) newHooks() *webhook.Sender {
	return &webhook.Sender{Outbox: a.store, AllowPrivate: a.opts.AllowPrivateWebhooks, Retention: time.Duration(a.opts.EventDays) * 24 * time.Hour, Now: a.now, Logger: a.log}
}

// requestID is the ID of the request in the log.
func requestID(ctx context.Context) string {
	info, _ := ctx.Value(requestKey{}).(requestInfo)
	return info.id
}

// forgetAnswers deletes what was kept for repeated requests long enough.
func (a *App) forgetAnswers(ctx context.Context, now time.Time) {
	if _, err := a.store.PurgeAnswers(ctx, now.Add(-admin.AnswerRetention)); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "old answers to repeated requests not deleted", "error", err)
	}
}

// tellExpiring tells once a day, of however many servers, that the push
// certificate ends soon.
func (a *App) tellExpiring(ctx context.Context, day, ends time.Time) {
	ends = ends.UTC()
	e := enroll.NewEvent(enroll.EventPushCertificateExpiring, a.now(), enroll.EventRefs{EndsAt: &ends})
	e.ID = uuid.NewSHA1(uuid.NameSpaceURL, []byte("push_certificate.expiring/"+ends.Format(time.RFC3339)+"/"+day.Format(time.DateOnly))).String()
	if err := a.store.Tell(ctx, e); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "end of the push certificate not told", "error", err)
	}
}
