package storage

import (
	"context"
	"time"
)

// Outbox names what leaves through a queue.
type Outbox string

// The outboxes. That of webhooks is known by their failures.
const (
	OutboxPushes Outbox = "pushes" // to Apple
	OutboxGoogle Outbox = "google" // commands and policies to the Android Management API
	OutboxInbox  Outbox = "inbox"  // notifications from the Android Management API
	OutboxEmail  Outbox = "email"
	OutboxSMS    Outbox = "sms"
)

// Stuck is what does not leave, or is not worked on.
type Stuck struct {
	Outbox Outbox
	Count  int       // of the oldest maxStuck that wait
	Since  time.Time // when the oldest of it was to leave
}

// maxStuck is how many are looked at for each outbox.
const maxStuck = 1000

// stuckTries is how often something has been tried that counts as stuck.
const stuckTries = 3

// Stuck finds outboxes with something in them that was due before a time, or
// has failed several times. It looks at the oldest of each alone, and is quick
// however much there is.
func (s *Store) Stuck(ctx context.Context, before time.Time) ([]Stuck, error) {
	const pushes = `SELECT due_at, due_at AS begun, attempts FROM pushes WHERE protocol = ? AND due_at > 0 ORDER BY due_at LIMIT ?`
	const messages = `SELECT due_at, created_at AS begun, attempts FROM messages WHERE via = ? AND due_at > 0 ORDER BY due_at LIMIT ?`
	const inbox = `SELECT due_at, received_at AS begun, attempts FROM amapi_messages WHERE state <> ? AND due_at > 0 ORDER BY due_at LIMIT ?`
	var out []Stuck
	for _, q := range []struct {
		outbox Outbox
		oldest string
		which  string
	}{{OutboxPushes, pushes, "apple"}, {OutboxGoogle, pushes, "amapi"}, {OutboxInbox, inbox, "poison"}, {OutboxEmail, messages, "email"}, {OutboxSMS, messages, "sms"}} {
		var row struct {
			Count int   `json:"count"`
			Since int64 `json:"since"`
		}
		if err := s.one(ctx, &row, `SELECT count(*) AS count, COALESCE(min(begun), 0) AS since FROM (`+q.oldest+`) AS oldest WHERE due_at < ? OR attempts >= ?`,
			q.which, maxStuck, micros(before), stuckTries); err != nil {
			return nil, err
		}
		if row.Count > 0 {
			out = append(out, Stuck{Outbox: q.outbox, Count: row.Count, Since: instant(row.Since)})
		}
	}
	return out, nil
}

// Poisoned says whether there are notifications of the Android Management API
// that nobody could make sense of.
func (s *Store) Poisoned(ctx context.Context) (poisoned bool, err error) {
	err = s.one(ctx, &poisoned, `SELECT EXISTS (SELECT 1 FROM amapi_messages WHERE state = 'poison')`)
	return poisoned, err
}
