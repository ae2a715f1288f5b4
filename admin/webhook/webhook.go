package webhook

import (
	"context"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"rollcall/enroll"
)

// Limits.
const (
	MaxWebhooks = 100
	MaxURL      = 2000
	// GiveUpAfter is how long a delivery is tried, and how long a webhook may
	// fail before it is disabled.
	GiveUpAfter = 24 * time.Hour
)

// Webhook is a receiver of events.
type Webhook struct {
	ID     string // UUIDv7
	URL    string
	Types  []string // patterns, see enroll.EventType.Matches; empty: all
	Secret string   // signs; given out once, empty where a webhook is listed

	CreatedAt      time.Time
	UpdatedAt      time.Time
	DisabledAt     time.Time // zero: it is not
	DisabledReason string
	Failures       int       // in a row
	FailingSince   time.Time // zero: the last delivery succeeded
	PausedUntil    time.Time
}

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed" // given up
)

// Delivery is an event on its way to one webhook.
type Delivery struct {
	ID        string // UUIDv7
	WebhookID string
	Event     enroll.Event // only ID and Type where deliveries are listed
	State     DeliveryState
	Attempts  int
	CreatedAt time.Time
	ExpiresAt time.Time // given up after that
	DueAt     time.Time // next attempt; zero: none
	TriedAt   time.Time // last attempt; zero: none
	Status    int       // HTTP status of the last attempt; 0: there was no answer
	Error     string    // of the last attempt; empty: it succeeded
}

// Store keeps webhooks. A missing object is enroll.KindNotFound.
type Store interface {
	CreateWebhook(ctx context.Context, w Webhook) error // enroll.KindConflict where there are MaxWebhooks already
	Webhooks(ctx context.Context) ([]Webhook, error)    // oldest first, without secrets
	Webhook(ctx context.Context, id string) (Webhook, error)
	// ChangeWebhook reads, changes and writes a webhook, locked. One that is
	// enabled again starts without failures.
	ChangeWebhook(ctx context.Context, id string, change func(Webhook) (Webhook, error)) (Webhook, error)
	DeleteWebhook(ctx context.Context, id string) error // with its deliveries
	// Deliveries lists newest first; Page.After is an ID; empty state: all.
	Deliveries(ctx context.Context, webhookID string, state DeliveryState, p enroll.Page) ([]Delivery, error)
	// Redeliver makes a finished delivery due once more, for GiveUpAfter. It
	// is enroll.KindConflict while it is still pending, and enroll.KindGone
	// where its event is no longer kept.
	Redeliver(ctx context.Context, webhookID, id string, now time.Time) (Delivery, error)
}

// Outbox is what a Sender works on.
type Outbox interface {
	// Publish gives new events their places in the stream, and makes their
	// deliveries. It is done for a number of them at once; more says that there
	// may be further ones.
	Publish(ctx context.Context, now time.Time) (published int, more bool, err error)
	// DueWebhooks are the IDs of webhooks that have something to be sent.
	DueWebhooks(ctx context.Context, now time.Time) ([]string, error)
	// ClaimDeliveries leases due deliveries of a webhook, oldest first, with
	// their events. Nothing is claimed of a webhook that is disabled or paused.
	ClaimDeliveries(ctx context.Context, webhookID string, now time.Time, lease time.Duration, limit int) (Webhook, []Delivery, error)
	// FinishDelivery writes down an attempt. After a failure the webhook is
	// paused until result.PauseUntil, and disabled where it has been failing
	// for GiveUpAfter, with an event.
	FinishDelivery(ctx context.Context, d Delivery, result Result) error
	// ReleaseDeliveries gives leases back.
	ReleaseDeliveries(ctx context.Context, ids []string) error
	// PurgeEvents deletes events and finished deliveries from before a time.
	PurgeEvents(ctx context.Context, before time.Time) (int, error)
}

// Result is the outcome of an attempt.
type Result struct {
	At         time.Time
	Status     int
	Error      string    // empty: delivered
	RetryAt    time.Time // after a failure; zero: given up
	PauseUntil time.Time // after a failure
}

// CheckURL says what is wrong with the URL of a webhook, or nil. Names are
// looked up when a connection is made; here only what is plain to see is refused.
func CheckURL(raw string, allowPrivate bool) error {
	bad := func(format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, "webhook_url_invalid", format, args...).WithHint("Use a URL such as https://hooks.example.com/rollcall.")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return bad("the URL cannot be read")
	case len(raw) > MaxURL:
		return bad("the URL has more than %d bytes", MaxURL)
	case u.User != nil:
		return bad("the URL holds a user name or password")
	case u.Fragment != "":
		return bad("the URL has a fragment")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("the URL is not https")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	addr, err := netip.ParseAddr(host)
	isAddr := err == nil
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || isAddr && addr.Unmap().IsLoopback()
	if u.Scheme == "http" && !local {
		return bad("the URL is not https")
	}
	if !allowPrivate && (local || isAddr && !public(addr)) {
		return enroll.Errorf(enroll.KindInvalid, "webhook_address_private", "the URL leads to an address that is not public").
			WithHint("Start the server with --allow-private-webhooks to allow it.")
	}
	return nil
}

// notPublic are networks that are global unicast to netip and yet not public.
var notPublic = func() (out []netip.Prefix) {
	for _, s := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10"} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// public says that an address is one of the internet (RFC 6890). Addresses that
// embed an IPv4 address count as not public: where they lead is not plain.
func public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
