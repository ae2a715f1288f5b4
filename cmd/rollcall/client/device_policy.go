package client

import (
	"bufio"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"strings"
)

type devicePolicy struct {
	oneDevice
	Group      []string `help:"Group it will be in; may be repeated." placeholder:"NAME"`
	User       string   `help:"E-mail address of the user it will have." placeholder:"ADDRESS"`
	OSVersion  string   `help:"Version of its system." placeholder:"VERSION"`
	Supervised string   `help:"Whether it is supervised." enum:"true,false," default:""`
}

// Run implements the command. People get what is sent, what is not and why, and
// the document.
func (c *devicePolicy) Run(ctx context.Context, s *Session) error {
	query := url.Values{"group": c.Group}
	for name, value := range map[string]string{"user": c.User, "os_version": c.OSVersion, "supervised": c.Supervised} {
		if value != "" {
			query.Set(name, value)
		}
	}
	raw, err := s.do(ctx, get(c.path("policy"), query))
	if err != nil {
		return err
	}
	if s.Output != formTable {
		return s.show(raw, columns("serial", "on_roll"))
	}
	if err := s.showWith(raw, columns("serial", "on_roll"), "items", append(columns("item=title", "blocked"), policiesColumn)); err != nil {
		return err
	}
	var answer struct {
		Notes     []json.RawMessage `json:"notes"`
		Conflicts []json.RawMessage `json:"conflicts"`
		Document  json.RawMessage   `json:"document"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return failed("", "the answer of %s is not a policy", s.base)
	}
	for _, part := range []struct {
		rows []json.RawMessage
		cols []column
	}{
		{answer.Notes, noteColumns},
		{answer.Conflicts, columns("conflict=pointer", "won=won.policy", "text")},
	} {
		if err := s.table(part.rows, part.cols); err != nil {
			return err
		}
	}
	return s.printJSON(answer.Document)
}

var (
	noteColumns = append(columns("note=pointer", "state", "code", "text"), policiesColumn)

	// policiesColumn are the policies that something comes from.
	policiesColumn = column{name: "policies", of: func(r record) string {
		var names []string
		for _, p := range r.list("policies") {
			names = append(names, p.text("policy"))
		}
		return strings.Join(names, ", ")
	}}
)

type deviceReceipt struct{ oneDevice }

// Run implements the command. People get what is not sent, and why, as well.
func (c *deviceReceipt) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, get(c.path("receipt"), nil))
	if err != nil {
		return err
	}
	items := append(columns("item=title", "command=request_type", "state", "attempts", "tries", "finished=finished_at", "retry=retry_at", "error"), policiesColumn)
	if err := s.showWith(raw, columns("enrolled_at", "completed_at", "time_to_policy_seconds"), "items", items); err != nil || s.Output != formTable {
		return err
	}
	var answer struct {
		Notes []json.RawMessage `json:"notes"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return failed("", "the answer of %s is not a receipt", s.base)
	}
	return s.table(answer.Notes, noteColumns)
}

// table writes rows for people, and nothing where there are none.
func (s *Session) table(list []json.RawMessage, cols []column) error {
	if len(list) == 0 {
		return nil
	}
	w := bufio.NewWriter(os.Stdout)
	out := s.rows(w, cols)
	for _, step := range []func() error{out.begin, func() error { return out.page(list) }, out.end, w.Flush} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
