package storage

import (
	"context"
	"time"

	"rollcall/android/amapi"
	"rollcall/enroll"
)

type amapiMessageRow struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	Data        []byte `json:"data"`
	PublishedAt int64  `json:"published_at"`
	ReceivedAt  int64  `json:"received_at"`
	State       string `json:"state"`
	Problem     string `json:"problem"`
	Attempts    int    `json:"attempts"`
}

const amapiMessageColumns = `id, kind, data, published_at, received_at, state, problem, attempts`

func (r amapiMessageRow) message() amapi.Message {
	return amapi.Message{ID: r.ID, Kind: r.Kind, Data: r.Data, PublishedAt: instant(r.PublishedAt), ReceivedAt: instant(r.ReceivedAt),
		State: amapi.MessageState(r.State), Problem: r.Problem, Attempts: r.Attempts}
}

// StoreNotifications implements amapi.Inbox.
func (s *Store) StoreNotifications(ctx context.Context, messages []amapi.Message) (int, error) {
	var fresh int
	err := s.write(ctx, func(tx *session) error {
		fresh = 0
		for _, m := range messages {
			data := m.Data
			if data == nil {
				data = []byte{}
			}
			n, err := tx.exec(ctx, `INSERT INTO amapi_messages (id, kind, data, published_at, received_at, state, problem, attempts, due_at, lease_until)
				VALUES (?, ?, ?, ?, ?, ?, '', 0, ?, 0) ON CONFLICT (id) DO NOTHING`,
				clean(m.ID), clean(m.Kind), data, micros(m.PublishedAt), micros(m.ReceivedAt), string(amapi.MessageNew), micros(m.ReceivedAt))
			if err != nil {
				return err
			}
			fresh += int(n)
		}
		return nil
	})
	return fresh, err
}

// ClaimNotifications implements amapi.Inbox.
func (s *Store) ClaimNotifications(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]amapi.Message, error) {
	var due bool
	if err := s.one(ctx, &due, `SELECT EXISTS (SELECT 1 FROM amapi_messages WHERE due_at > 0 AND due_at <= ? AND lease_until <= ?)`, micros(now), micros(now)); err != nil || !due {
		return nil, err
	}
	var rows []amapiMessageRow
	err := s.write(ctx, func(tx *session) error {
		rows = nil
		return tx.all(ctx, &rows, `WITH due AS MATERIALIZED (SELECT id FROM amapi_messages WHERE due_at > 0 AND due_at <= ? AND lease_until <= ?
				ORDER BY due_at, published_at LIMIT ?`+tx.skipLocked()+`)
			UPDATE amapi_messages SET lease_until = ?, attempts = attempts + 1 WHERE id IN (SELECT id FROM due) RETURNING `+amapiMessageColumns,
			micros(now), micros(now), limit, micros(now.Add(lease)))
	})
	if err != nil {
		return nil, err
	}
	messages := make([]amapi.Message, len(rows))
	for i, r := range rows {
		messages[i] = r.message()
	}
	return messages, nil
}

// FinishNotifications implements amapi.Inbox. What a notification said is not kept
// longer than it is needed.
func (s *Store) FinishNotifications(ctx context.Context, done []amapi.Finished) error {
	type finished struct {
		ID      string `json:"id"`
		State   string `json:"state"`
		Problem string `json:"problem"`
		DueAt   int64  `json:"due_at"`
	}
	var rows []finished
	var blank []string
	for _, f := range done {
		rows = append(rows, finished{f.ID, string(f.State), clean(f.Problem), micros(f.RetryAt)})
		if f.State == amapi.MessageDone {
			blank = append(blank, f.ID)
		}
	}
	return s.write(ctx, func(tx *session) error {
		if _, err := tx.exec(ctx, `UPDATE amapi_messages SET lease_until = 0, state = r.state, problem = r.problem, due_at = CAST(r.due_at AS bigint)
			FROM `+tx.records("id text, state text, problem text, due_at bigint")+` WHERE amapi_messages.id = r.id`, encode(rows)); err != nil || len(blank) == 0 {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE amapi_messages SET data = ? WHERE `+tx.in("id"), []byte{}, tx.list(blank))
		return err
	})
}

// PoisonedNotifications implements amapi.Inbox.
func (s *Store) PoisonedNotifications(ctx context.Context, p enroll.Page) ([]amapi.Message, error) {
	query, args := `SELECT `+amapiMessageColumns+` FROM amapi_messages WHERE state = 'poison'`, []any{}
	if p.After != "" {
		query += ` AND id < ?`
		args = append(args, p.After)
	}
	var rows []amapiMessageRow
	if err := s.all(ctx, &rows, query+` ORDER BY id DESC LIMIT ?`, append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	messages := make([]amapi.Message, len(rows))
	for i, r := range rows {
		messages[i] = r.message()
	}
	return messages, nil
}

// ForgetNotifications implements amapi.Inbox.
func (s *Store) ForgetNotifications(ctx context.Context, before time.Time) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `DELETE FROM amapi_messages WHERE received_at < ? AND due_at = 0`, micros(before))
		return err
	})
}
