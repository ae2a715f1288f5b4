package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/cmd/rollcall/stage"
)

// halfGroup is a group by rule that half of the roll is in.
const halfGroup = "half of the roll"

// furnish gives every page of the console something to show, next to the full
// roll, and the names that stand in the addresses of pages.
func (s *site) furnish(ctx context.Context) (map[string]string, error) {
	names := map[string]string{"group": rollGroup, "half": halfGroup, "tag": rollTag, "owner": "owner-00000008", "rule": "strangers", "account": "Cupertino", "profile": "Everybody",
		"serial": rollSerial(rollPlain), "enrolled": rollSerial(min(2*270+1, s.scale.Roll-1)), "held": rollSerial(2 * rollPlain), "policy": "Basics 1"}
	var requests struct{ Items []struct{ ID string } }
	var token struct{ ID string }
	calls := []stageCall{
		{http.MethodPost, "/requests", map[string]any{"serials": []string{names["serial"], rollSerial(3 * rollPlain)}}, &requests},
		{http.MethodPost, "/enrollment-tokens", map[string]any{"name": "Warehouse"}, &token},
		{http.MethodPost, "/dep/accounts", map[string]any{"name": names["account"]}, nil},
		{http.MethodPut, "/dep/accounts/" + names["account"] + "/profiles/" + names["profile"], map[string]any{}, nil},
		{http.MethodPut, "/gate/rules/" + names["rule"], map[string]any{"action": "hold", "conditions": map[string]any{"on_roll": false, "platforms": []string{"android"}}}, nil},
		{http.MethodPost, "/groups", map[string]any{"name": halfGroup, "rule": map[string]any{"conditions": []any{
			map[string]any{"field": "platform", "values": []string{"ios", "apple"}}, map[string]any{"field": "ownership", "values": []string{"personal", "corporate"}}}}}, nil},
	}
	for i := range 10 {
		path := fmt.Sprintf("/policies/Basics%%20%d", i)
		for length := range 2 {
			calls = append(calls, stageCall{http.MethodPut, path, map[string]any{"document": map[string]any{"passcode": map[string]any{"required": true, "min_length": 6 + length},
				"wifi": []any{map[string]any{"ssid": "Office", "security": "wpa2", "password": "correct horse"}}, "restrictions": map[string]any{"camera": "deny", "backup": "deny"}}}, nil})
		}
	}
	for _, c := range calls {
		if err := s.API(ctx, c.method, c.path, c.body, c.out); err != nil {
			return nil, fmt.Errorf("%s %s: %w", c.method, c.path, err)
		}
	}
	names["request"], names["token"] = requests.Items[0].ID, token.ID
	if err := s.evaluated(ctx); err != nil {
		return nil, err
	}
	if err := s.API(ctx, http.MethodPost, "/policies/Basics%201/bindings", map[string]any{"group": halfGroup}, nil); err != nil {
		return nil, err
	}
	if err := s.plans(ctx, names); err != nil {
		return nil, err
	}
	if err := s.db.past(ctx, s.scale.Roll); err != nil {
		return nil, err
	}
	if err := s.planned(ctx); err != nil {
		return nil, err
	}
	return names, s.cursors(ctx, names)
}

type stageCall struct {
	method, path string
	body, out    any
}

// evaluated waits until the rule has its members.
func (s *site) evaluated(ctx context.Context) error {
	for {
		n, err := s.db.count(ctx, "SELECT count(*) FROM device_groups WHERE evaluating")
		if n == 0 || err != nil {
			return err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// planned waits until the server has planned for everybody in the group.
func (s *site) planned(ctx context.Context) error {
	for {
		n, err := s.db.count(ctx, "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE due_at > 0 LIMIT 1) AS d")
		if n == 0 || err != nil {
			return err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// plans leaves one large import that waits for review, with new and changed rows
// and some that are wrong, and one that was applied.
func (s *site) plans(ctx context.Context, names map[string]string) error {
	var b strings.Builder
	b.WriteString("name,email,mobile,ownership,devicename,SerialNumber,platform\n")
	for i := range s.scale.Import {
		serial, ownership := "N"+rollSerial(i+1), "corporate"
		switch {
		case i%2 == 0:
			serial = rollSerial((i/2 + 1) * rollPlain % s.scale.Roll)
		case i%101 == 0:
			ownership = "nobody's"
		}
		fmt.Fprintf(&b, "User %d,user%d@example.com,,%s,Desk %d,%s,ios\n", i/10, i/10, ownership, i, serial)
	}
	for _, file := range []struct{ name, query, state, content string }{
		{"import", "", "planned", b.String()},
		{"applied", "&apply=true", "applied", "name,email,mobile,ownership,devicename,SerialNumber,platform\nAnna,anna@example.com,,corporate,,ANNA00000001,ios\n"},
	} {
		var imp struct{ ID, State string }
		if err := s.API(ctx, http.MethodPost, "/imports?domain=local&file_name=bench.csv"+file.query, stage.Raw{ContentType: "text/csv", Data: []byte(file.content)}, &imp); err != nil {
			return err
		}
		for imp.State != file.state {
			if imp.State == "failed" {
				return fmt.Errorf("bench: the import has failed")
			}
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			if err := s.API(ctx, http.MethodGet, "/imports/"+imp.ID, nil, &imp); err != nil {
				return err
			}
		}
		names[file.name] = imp.ID
	}
	return nil
}

// cursors finds addresses of pages that are not the first.
func (s *site) cursors(ctx context.Context, names map[string]string) error {
	for _, of := range []struct{ name, path string }{{"deep", "/devices?limit=100"}, {"past", "/decisions?limit=100"}} {
		cursor := ""
		for range 10 {
			var page struct {
				Items []struct{ ID string }
				Next  string `json:"next_cursor"`
			}
			if err := s.API(ctx, http.MethodGet, of.path+cursor, nil, &page); err != nil {
				return err
			}
			if names["decision"] == "" && of.name == "past" && len(page.Items) > 0 {
				names["decision"] = page.Items[0].ID
			}
			if page.Next == "" {
				break
			}
			names[of.name] = page.Next
			cursor = "&cursor=" + url.QueryEscape(page.Next)
		}
	}
	return nil
}

// past makes decisions, as many as devices, of the last ninety days, requests
// for a fifth of the devices, and approvals for a hundredth.
func (d *database) past(ctx context.Context, n int) error {
	var now int64
	if err := d.sql.QueryRowContext(ctx, "SELECT max(at) FROM decisions").Scan(&now); err != nil {
		return fmt.Errorf("bench: the decision to copy: %w", err)
	}
	step := (90 * 24 * time.Hour).Microseconds() / int64(n)
	at := fmt.Sprintf("%d - (%d - n.i) * %d", now-1_000_000, n, step)
	millis := d.hex(12, "("+at+") / 1000")
	id := "substr(" + millis + ", 1, 8) || '-' || substr(" + millis + ", 9, 4) || '-7000-8000-' || " + d.hex(12, "n.i")
	serial := "upper(" + d.hex(8, fmt.Sprintf("(n.i * %d) %% 4294967296", scatter)) + ")"
	pick := func(column string, values ...string) string {
		var b strings.Builder
		b.WriteString("CASE")
		for i, v := range values {
			fmt.Fprintf(&b, " WHEN n.i %% 10 = %d THEN '%s'", i, v)
		}
		return b.String() + " ELSE t." + column + " END"
	}
	restore, err := d.dropIndexes(ctx, "decisions")
	if err != nil {
		return err
	}
	if err := d.multiply(ctx, "decisions", fmt.Sprintf("at = %d AND id = (SELECT max(id) FROM decisions WHERE at = %d)", now, now), n, map[string]string{
		"id": id, "at": at, "serial": serial, "device_id": rollID(d, "n.i"),
		"outcome": pick("outcome", "deny", "deny", "hold", "error"), "code": pick("code", "deny.not_pre_enrolled", "deny.blocked", "hold.pending_approval", "error.store_unavailable"),
		"channel": pick("channel", "ade", "agent", "ade"), "evidence": pick("evidence", "token", "claimed"),
	}); err != nil {
		return err
	}
	if err := restore(); err != nil {
		return err
	}
	if err := d.settle(ctx, "decisions"); err != nil {
		return err
	}
	if err := d.multiply(ctx, "requests", "id = (SELECT max(id) FROM requests)", n/5, map[string]string{
		"id": "t.id || '-' || " + d.hex(8, "n.i"), "device_id": rollID(d, "n.i * 5"), "created_at": "t.created_at - n.i * 1000000",
		"state":       "CASE n.i % 4 WHEN 0 THEN t.state WHEN 1 THEN 'accepted' WHEN 2 THEN 'completed' ELSE 'cancelled' END",
		"closed_at":   "CASE n.i % 4 WHEN 0 THEN 0 ELSE t.created_at END",
		"accepted_at": "CASE n.i % 4 WHEN 1 THEN t.created_at WHEN 2 THEN t.created_at ELSE 0 END",
	}); err != nil {
		return err
	}
	if err := d.exec(ctx, "INSERT INTO approvals (serial, device_id, state, decision_id, attempts, asked_at, last_at, decided_at, decided_by) SELECT "+
		"d.serial, d.id, CASE WHEN n.i % 3 = 0 THEN 'rejected' ELSE 'pending' END, (SELECT max(id) FROM decisions), 1, d.created_at, d.created_at, 0, '' FROM "+d.numbers(n/100)+
		fmt.Sprintf(" JOIN devices d ON d.id = %s WHERE n.i > 0", rollID(d, fmt.Sprintf("(n.i + 1) * %d", rollPlain)))); err != nil {
		return err
	}
	return d.settle(ctx, "approvals")
}
