package client

import (
	"bufio"
	"context"
	"encoding/json"
	"net/url"
	"os"
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
	if err := s.showWith(raw, columns("serial", "on_roll"), "items", columns("item=title", "policies=policies.#.policy", "blocked")); err != nil {
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
		{answer.Notes, columns("note=pointer", "state", "code", "text")},
		{answer.Conflicts, columns("conflict=pointer", "won=won.policy", "text")},
	} {
		if err := s.table(part.rows, part.cols); err != nil {
			return err
		}
	}
	return s.printJSON(answer.Document)
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
