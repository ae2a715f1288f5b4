package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/admin/mail"
	"rollcall/enroll"
)

var _ mail.Outbox = (*Store)(nil)

const secretOfMessage = "messages/secret"

type messageRow struct {
	ID         string `json:"id"`
	RequestID  string `json:"request_id"`
	Kind       string `json:"kind"`
	Via        string `json:"via"`
	Secret     []byte `json:"secret"`
	CreatedAt  int64  `json:"created_at"`
	DueAt      int64  `json:"due_at"`
	Attempts   int    `json:"attempts"`
	Error      string `json:"error"`
	SentAt     int64  `json:"sent_at"`
	FinishedAt int64  `json:"finished_at"`
}

// message is the row without its secret.
func (r messageRow) message() enroll.Message {
	return enroll.Message{ID: r.ID, RequestID: r.RequestID, Kind: enroll.MessageKind(r.Kind), Via: enroll.Via(r.Via), CreatedAt: instant(r.CreatedAt),
		DueAt: instant(r.DueAt), Attempts: r.Attempts, Error: r.Error, SentAt: instant(r.SentAt), FinishedAt: instant(r.FinishedAt)}
}

// addLink stores the secret of a link, and the message that carries it.
func (s *Store) addLink(ctx context.Context, tx *session, requestID string, l enroll.Link) error {
	if _, err := tx.exec(ctx, `INSERT INTO request_secrets (hash, request_id) VALUES (?, ?)`, l.SecretHash[:], requestID); err != nil || l.Message == nil {
		return err
	}
	m := l.Message
	sealed, err := s.seal(secretOfMessage, m.ID, []byte(m.Secret))
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `INSERT INTO messages (id, request_id, kind, via, secret, created_at, due_at, lease_until, attempts, error, sent_at, finished_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0, 0)`, m.ID, requestID, string(m.Kind), string(m.Via), sealed, micros(m.CreatedAt), micros(m.DueAt))
	return err
}

// dropMessages ends the messages of a locked request that still wait. One that
// a worker has in hand may go out all the same.
func dropMessages(ctx context.Context, tx *session, requestID string, at time.Time) error {
	_, err := tx.exec(ctx, `UPDATE messages SET due_at = 0, lease_until = 0, secret = NULL, error = 'no longer needed', finished_at = ?
		WHERE request_id = ? AND due_at > 0`, micros(at), requestID)
	return err
}

// AddLink implements enroll.RequestStore.
func (s *Store) AddLink(ctx context.Context, id string, link enroll.Link, change func(enroll.Request) (enroll.Request, error)) (enroll.Request, error) {
	return s.changeRequest(ctx, id, change, func(tx *session) error {
		at := now()
		if link.Message != nil {
			at = link.Message.CreatedAt
		}
		if err := dropMessages(ctx, tx, id, at); err != nil {
			return err
		}
		return s.addLink(ctx, tx, id, link)
	})
}

// RequestsToRemind implements enroll.RequestStore.
func (s *Store) RequestsToRemind(ctx context.Context, vias []enroll.Via, sent, now, until time.Time, limit int) ([]enroll.Request, error) {
	names := make([]string, len(vias))
	for i, v := range vias {
		names[i] = string(v)
	}
	var rows []requestRow
	if err := s.all(ctx, &rows, selectRequest+`WHERE q.closed_at = 0 AND q.expires_at > ? AND q.expires_at <= ? AND q.created_at < ? AND q.reminded_at = 0
		AND q.accepted_at = 0 AND q.state IN ('sent', 'opened') AND `+s.in("q.via")+` ORDER BY q.expires_at LIMIT ?`,
		micros(now), micros(until), micros(sent), s.list(names), limit); err != nil {
		return nil, err
	}
	requests := make([]enroll.Request, len(rows))
	for i, r := range rows {
		requests[i] = r.request()
	}
	return requests, nil
}

// Messages implements enroll.RequestStore.
func (s *Store) Messages(ctx context.Context, requestID string) ([]enroll.Message, error) {
	var rows []messageRow
	if err := s.all(ctx, &rows, `SELECT id, request_id, kind, via, created_at, due_at, attempts, error, sent_at, finished_at FROM messages
		WHERE request_id = ? ORDER BY id`, requestID); err != nil {
		return nil, err
	}
	messages := make([]enroll.Message, len(rows))
	for i, r := range rows {
		messages[i] = r.message()
	}
	return messages, nil
}

// letterRow is a message with what is written in it.
type letterRow struct {
	messageRow
	Pointless bool   `json:"pointless"`
	Owner     string `json:"owner"`
	UserID    string `json:"user_id"`
	Serial    string `json:"serial"`
	Platform  string `json:"platform"`
	SentBy    string `json:"sent_by"`
	ExpiresAt int64  `json:"expires_at"`
}

// ClaimMessages implements mail.Outbox.
func (s *Store) ClaimMessages(ctx context.Context, via enroll.Via, now time.Time, lease time.Duration, limit int) ([]enroll.Letter, error) {
	var letters []enroll.Letter
	err := s.write(ctx, func(tx *session) error {
		letters = nil
		var ids []string
		if err := tx.all(ctx, &ids, `WITH due AS MATERIALIZED (SELECT id FROM messages WHERE via = ? AND due_at > 0 AND due_at <= ? AND lease_until <= ?
				ORDER BY due_at LIMIT ?`+tx.skipLocked()+`)
			UPDATE messages SET lease_until = ?, attempts = attempts + 1 WHERE id IN (SELECT id FROM due) RETURNING id`,
			string(via), micros(now), micros(now), limit, micros(now.Add(lease))); err != nil || len(ids) == 0 {
			return err
		}
		var rows []letterRow
		if err := tx.all(ctx, &rows, `SELECT m.id, m.request_id, m.kind, m.via, m.secret, m.created_at, m.due_at, m.attempts, m.error, m.sent_at, m.finished_at,
				(q.closed_at > 0 OR q.expires_at <= ? OR m.kind = 'reminder' AND q.accepted_at > 0) AS pointless,
				d.user_id AS owner, q.user_id, d.serial, d.platform, q.created_by AS sent_by, q.expires_at
			FROM messages m JOIN requests q ON q.id = m.request_id JOIN devices d ON d.id = q.device_id WHERE `+tx.in("m.id")+` ORDER BY m.created_at, m.id`,
			micros(now), tx.list(ids)); err != nil {
			return err
		}
		users, err := usersOf(ctx, tx, rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Pointless {
				if err := dropMessages(ctx, tx, r.RequestID, now); err != nil {
					return err
				}
				continue
			}
			secret, err := s.unseal(secretOfMessage, r.ID, r.Secret)
			if err != nil {
				return err
			}
			letters = append(letters, r.letter(users[r.UserID], string(secret)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return letters, nil
}

// usersOf reads the users whom letters are for.
func usersOf(ctx context.Context, tx *session, rows []letterRow) (map[string]enroll.User, error) {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.UserID
	}
	var found []userRow
	if err := tx.all(ctx, &found, selectUser+"WHERE "+tx.in("id"), tx.list(ids)); err != nil {
		return nil, err
	}
	users := make(map[string]enroll.User, len(found))
	for _, r := range found {
		users[r.ID] = r.user()
	}
	return users, nil
}

func (r letterRow) letter(u enroll.User, secret string) enroll.Letter {
	l := enroll.Letter{Message: r.message(), Address: u.Email, Name: u.Name, Language: u.Language, Serial: r.Serial, Platform: enroll.Platform(r.Platform),
		SentBy: r.SentBy, ExpiresAt: instant(r.ExpiresAt)}
	l.Secret = secret
	if l.Via == enroll.ViaSMS {
		l.Address = u.Mobile
	}
	switch {
	case r.Owner != r.UserID:
		l.Problem = "the device belongs to somebody else by now"
	case l.Address == "":
		l.Problem = "the user has no address for this any more"
	}
	return l
}

// FinishMessage implements mail.Outbox.
func (s *Store) FinishMessage(ctx context.Context, r enroll.MessageResult) error {
	return s.write(ctx, func(tx *session) error {
		m := r.Letter.Message
		var request string
		err := tx.get(ctx, &request, `SELECT id FROM requests WHERE id = ?`+tx.lock(), m.RequestID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // went with its device
		}
		if err != nil {
			return err
		}
		const ours = ` WHERE id = ? AND due_at > 0 AND attempts = ?`
		switch r.Outcome {
		case enroll.MessageSent:
			if _, err := tx.exec(ctx, `UPDATE messages SET due_at = 0, lease_until = 0, secret = NULL, error = '', sent_at = ?, finished_at = ? WHERE id = ?`,
				micros(r.At), micros(r.At), m.ID); err != nil {
				return err
			}
			moved, err := tx.exec(ctx, `UPDATE requests SET state = 'sent', problem = '' WHERE id = ? AND state IN ('queued', 'bounced')`, m.RequestID)
			if err != nil || moved == 0 {
				return err
			}
			return tellRequests(ctx, tx, enroll.RequestSent, m.RequestID)
		case enroll.MessageBounced:
			n, failed := tx.exec(ctx, `UPDATE messages SET due_at = 0, lease_until = 0, secret = NULL, error = ?, finished_at = ?`+ours,
				r.Error, micros(r.At), m.ID, m.Attempts)
			if failed != nil || n == 0 {
				return failed
			}
			moved, err := tx.exec(ctx, `UPDATE requests SET state = 'bounced', problem = ? WHERE id = ? AND state IN ('queued', 'sent')`, r.Error, m.RequestID)
			if err != nil || moved == 0 {
				return err
			}
			return tellRequests(ctx, tx, enroll.RequestBounced, m.RequestID)
		case enroll.MessageRetry:
			_, err = tx.exec(ctx, `UPDATE messages SET lease_until = 0, due_at = ?, error = ?`+ours, micros(r.RetryAt), r.Error, m.ID, m.Attempts)
		case enroll.MessageReleased:
			_, err = tx.exec(ctx, `UPDATE messages SET lease_until = 0, attempts = attempts - 1`+ours, m.ID, m.Attempts)
		}
		return err
	})
}
