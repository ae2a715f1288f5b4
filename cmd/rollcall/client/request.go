package client

import (
	"context"
	"encoding/json"
	"slices"
)

// RequestCommands are about enrollment requests.
type RequestCommands struct {
	Session
	Send   requestSend   `cmd:"" help:"Send enrollment requests to the owners of devices."`
	List   requestList   `cmd:"" help:"List the enrollment requests."`
	Cancel requestCancel `cmd:"" help:"Withdraw an enrollment request."`
	Resend requestResend `cmd:"" help:"Send an enrollment request again."`
	Code   requestCode   `cmd:"" help:"Make the code that a user types in Setup Assistant, or while signing in to a device."`
}

var (
	requestColumns = columns("id", "serial", "via", "state", "created=created_at", "expires=expires_at", "problem")
	sentColumns    = columns("serial", "state", "via", "id", "link")
)

type requestSend struct {
	Serials []string `arg:"" optional:"" name:"serial" help:"Serials; - reads them from standard input, one a line."`
	Group   string   `help:"Instead of serials: the devices of this group that are neither enrolled nor blocked."`
	Via     string   `help:"link (shown here, nothing is sent), email or sms." enum:"link,email,sms" default:"link"`
}

// Run implements the command. More serials than a call takes are sent in
// several calls, each all or none.
func (c *requestSend) Run(ctx context.Context, s *Session) error {
	switch {
	case c.Group != "" && len(c.Serials) > 0:
		return usage("Leave one of them out.", "there are both serials and a group")
	case c.Group != "":
		raw, err := s.do(ctx, post("/requests", map[string]any{"group": c.Group, "via": c.Via}))
		if err != nil {
			return err
		}
		return s.part(raw, "items", sentColumns)
	}
	all, err := serials(c.Serials)
	if err != nil {
		return err
	}
	var sent []json.RawMessage
	var refused error
	for part := range slices.Chunk(all, maxChange) {
		raw, err := s.do(ctx, post("/requests", map[string]any{"serials": part, "via": c.Via}))
		if err != nil {
			refused = err
			break
		}
		var answer struct {
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return err
		}
		sent = append(sent, answer.Items...)
	}
	// The links of what was sent cannot be read again, so they are shown even
	// where a later call was refused.
	if len(sent) > 0 || refused == nil {
		if err := s.writeRows(sent, sentColumns); err != nil {
			return err
		}
	}
	return refused
}

type requestList struct {
	Serial string `help:"Only of this device."`
	State  string `help:"Only in this state, such as sent or bounced."`
	limited
}

// Run implements the command.
func (c *requestList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/requests", filter("serial", c.Serial, "state", c.State), c.Limit, requestColumns)
}

type oneRequest struct {
	ID string `arg:"" help:"ID of the request."`
}

type requestCancel struct{ oneRequest }

// Run implements the command.
func (c *requestCancel) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(join("requests", c.ID, "cancel"), nil))
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return s.done(raw, requestColumns, "the request for %s is %s", r.text("serial"), r.text("state"))
}

type requestResend struct {
	oneRequest
	Via string `help:"Another way than before: link, email or sms."`
}

// Run implements the command.
func (c *requestResend) Run(ctx context.Context, s *Session) error {
	body := map[string]string{}
	if c.Via != "" {
		body["via"] = c.Via
	}
	raw, err := s.do(ctx, post(join("requests", c.ID, "resend"), body))
	if err != nil {
		return err
	}
	return s.show(raw, sentColumns)
}
