package storage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
)

const commandRows = 32 // in one statement; the rest goes one by one

// insertCommands is an INSERT of n new commands.
func insertCommands(n int) string {
	row := `(?, ?, ?, ?, ?, 'queued', FALSE, FALSE, 0, '', ?, 0, 0, 0)`
	return `INSERT INTO commands (enrollment_id, seq, id, request_type, body, state, deferred, not_now, attempts, error, queued_at, sent_at, handed_at, finished_at)
		VALUES ` + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") + ` ON CONFLICT (id) DO NOTHING`
}

var insertCommand, insertManyCommands = insertCommands(1), insertCommands(commandRows)

// enqueue adds commands to locked channels, each in its order, and makes a push
// due for each.
func (s *Store) enqueue(ctx context.Context, tx *session, queues map[string][]mdm.Command, now time.Time) error {
	type place struct {
		ID    string `json:"id"`
		Count int64  `json:"count"`
		Seq   int64  `json:"command_seq"`
	}
	var wanted, given []place
	for _, id := range slices.Sorted(maps.Keys(queues)) {
		if n := len(queues[id]); n > 0 {
			wanted = append(wanted, place{ID: id, Count: int64(n)})
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if err := tx.all(ctx, &given, `UPDATE enrollments SET command_seq = command_seq + CAST(r.count AS bigint) FROM `+tx.records("id text, count bigint")+`
		WHERE enrollments.id = r.id RETURNING enrollments.id, enrollments.command_seq`, encode(wanted)); err != nil {
		return err
	}
	var args []any
	var rows int
	var ids []string
	for _, g := range given {
		ids = append(ids, g.ID)
		commands := queues[g.ID]
		for i, c := range commands {
			body := c.Body
			if body == nil {
				body = []byte{}
			}
			sealed, err := s.seal(bodyOfCommand, clean(c.ID), body)
			if err != nil {
				return err
			}
			args = append(args, g.ID, g.Seq-int64(len(commands)-1-i), c.ID, c.RequestType, sealed, micros(now))
			rows++
		}
	}
	width := len(args) / max(rows, 1)
	for len(args) > 0 {
		n, query := 1, insertCommand
		if len(args) >= commandRows*width {
			n, query = commandRows, insertManyCommands
		}
		stored, err := tx.exec(ctx, query, args[:n*width]...)
		if err != nil {
			return err
		}
		if stored < int64(n) {
			return enroll.Errorf(enroll.KindConflict, "command_exists", "there is a command with the CommandUUID %q already", fmt.Sprint(args[2]))
		}
		args = args[n*width:]
	}
	return pushAllDue(ctx, tx, ids, now)
}
