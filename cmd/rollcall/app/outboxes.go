package app

import (
	"context"
	"fmt"
	"time"

	"rollcall/admin"
	"rollcall/storage"
)

// stuckAfter is how long something may wait to leave before it is told.
const stuckAfter = 15 * time.Minute

// outboxWords are what is said of outboxes that are stuck.
var outboxWords = map[storage.Outbox]admin.Finding{
	storage.OutboxPushes: {Code: "pushes_stuck", Text: "pushes to Apple devices do not leave", Fix: "Is there a push certificate, and may this server reach api.push.apple.com? The log says why."},
	storage.OutboxGoogle: {Code: "google_stuck", Text: "changes do not reach the Android Management API", Fix: "Look at the enterprise's problem; the log says why.", Link: admin.Prefix + "/android/enterprise"},
	storage.OutboxInbox:  {Code: "google_inbox_stuck", Text: "notifications of the Android Management API are not worked on", Fix: "The log says why.", Link: admin.Prefix + "/android/enterprise"},
	storage.OutboxEmail:  {Code: "mails_stuck", Text: "mails with enrollment requests do not leave", Fix: "Send a test mail, which says what the mail server answers.", Link: admin.Prefix + "/requests?state=queued"},
	storage.OutboxSMS:    {Code: "sms_stuck", Text: "text messages with enrollment requests do not leave", Fix: "Ask the gateway's people; the log says what it answers.", Link: admin.Prefix + "/requests?state=queued"},
}

// examineOutboxes looks for what should have left long ago.
func examineOutboxes(ctx context.Context, store *storage.Store, now time.Time, fs *findings) {
	unknown := admin.Finding{Level: admin.LevelWarn, Code: "outboxes_unknown", Text: "What waits to be sent cannot be read.", Fix: "Look at the log."}
	stuck, err := store.Stuck(ctx, now.Add(-stuckAfter))
	if err != nil {
		fs.add(unknown)
		return
	}
	for _, s := range stuck {
		f := outboxWords[s.Outbox]
		f.Level, f.Since, f.Text = admin.LevelWarn, s.Since, fmt.Sprintf("%d %s.", s.Count, f.Text)
		fs.add(f)
	}
	hooks, err := store.Webhooks(ctx)
	if err != nil {
		fs.add(unknown)
		return
	}
	for _, h := range hooks {
		f := admin.Finding{Level: admin.LevelWarn, Object: h.ID, Link: admin.Prefix + "/webhooks/" + h.ID + "/deliveries"}
		switch {
		case !h.DisabledAt.IsZero() && h.DisabledReason != "":
			f.Code, f.Text, f.Since = "webhook_disabled", fmt.Sprintf("The webhook %s was disabled after a day of failures.", h.URL), h.DisabledAt
			f.Fix = "Repair the receiver, then enable the webhook again."
		case h.DisabledAt.IsZero() && !h.FailingSince.IsZero() && now.Sub(h.FailingSince) > stuckAfter:
			f.Code, f.Text, f.Since = "webhook_failing", fmt.Sprintf("The webhook %s does not take what it is sent; after a day it is disabled.", h.URL), h.FailingSince
			f.Fix = "Look at its deliveries, which have the receiver's answers."
		default:
			continue
		}
		fs.add(f)
	}
	if len(stuck) == 0 {
		fs.ok("Nothing waits to be sent for longer than %d minutes.", int(stuckAfter.Minutes()))
	}
}
