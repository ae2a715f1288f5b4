package amapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/enroll"
)

const (
	unknownRetry = 30 * time.Second // until it is looked what became of a command
	askTime      = lease * 3 / 4    // for a call of Google's, so that nobody repeats what is under way
	clockGap     = time.Minute      // between Google's clock and ours
	overdueGrace = 2 * time.Minute  // after its life, a command that nothing was heard of is looked up
	overdueBatch = 20
)

// wakes carries out the open commands of devices that are due.
func (c *Connector) wakes(ctx context.Context, o Organization) (more bool) {
	batch, err := c.Store.ClaimWork(ctx, c.now(), lease, wakeBatch)
	if err != nil || len(batch) == 0 {
		if err != nil {
			c.report(ctx, "devices with commands not read", err)
		}
		return false
	}
	ids := make([]string, len(batch))
	for i, w := range batch {
		ids[i] = w.EnrollmentID
	}
	work, policies, err := c.Store.OpenWork(ctx, ids)
	if err != nil {
		c.report(ctx, "commands not read", err)
		return false
	}
	if policies {
		if err := c.Store.JobDue(ctx, jobPolicies, c.now()); err != nil {
			c.report(ctx, "policies not made due", err)
			return false
		}
	}
	of := map[string][]Work{}
	for _, w := range work {
		of[w.EnrollmentID] = append(of[w.EnrollmentID], w)
	}
	done := make([]Woken, len(batch))
	var g errgroup.Group
	g.SetLimit(wakeWorkers)
	for i, w := range batch {
		g.Go(func() error {
			done[i] = Woken{Wake: w}
			for _, one := range of[w.EnrollmentID] {
				err := c.carryOut(ctx, o, &done[i].Wake, one)
				if errors.Is(err, enroll.ErrLeaseLost) {
					return nil // another replica goes on
				}
				if err != nil {
					// What comes after it waits, so that commands keep their order.
					c.failed(ctx, err)
					c.report(ctx, "command not given to Google", err)
					done[i].RetryAt, done[i].Reason = c.now().Add(retryAfter(err, unknownRetry)), string(CodeOf(err))
					break
				}
			}
			return nil
		})
	}
	_ = g.Wait() // the workers have no errors
	if err := c.Store.FinishWork(ctx, done); err != nil {
		c.report(ctx, "devices with commands not finished", err)
	}
	return len(batch) == wakeBatch
}

// carryOut gives Google a command. Before one whose outcome is unknown is given
// again, it is looked for among those that Google has. held is ours for longer
// after it.
func (c *Connector) carryOut(ctx context.Context, o Organization, held *Wake, w Work) error {
	client, err := c.Clouds.management(ctx, o)
	if err != nil {
		return err
	}
	var body map[string]any
	if err := json.Unmarshal(w.Body, &body); err != nil {
		return c.finishWork(ctx, w, "the command is not one of Google's")
	}
	kind, _ := body["type"].(string)
	if !w.AskedAt.IsZero() {
		found, err := c.lookFor(ctx, client, w, kind)
		if err != nil && CodeOf(err) != NotFound {
			return err
		}
		if found != nil {
			return c.issued(ctx, w, *found, life(body))
		}
	}
	at := c.now()
	if err := c.Store.Asking(ctx, *held, w, at, at.Add(lease)); err != nil {
		return err
	}
	held.LeaseUntil, w.AskedAt = at.Add(lease), at
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	op, err := client.IssueCommand(asking, w.Device, body)
	switch code := CodeOf(err); {
	case err == nil:
		return c.issued(ctx, w, op, life(body))
	case code == NotFound:
		return c.finishWork(ctx, w, "Google does not have the device any more")
	case code == Invalid || code == Precondition || code == Conflict:
		return c.finishWork(ctx, w, errorText(err))
	case mayHaveHappened(err):
		return err // it stays asked
	}
	if failure := c.Store.Unasked(ctx, w); failure != nil {
		return failure
	}
	return err
}

func errorText(err error) string {
	if e, ok := err.(*Error); ok {
		return e.Reason + ": " + e.Message
	}
	return err.Error()
}

// life is how long Google keeps a command.
func life(body map[string]any) time.Duration {
	text, _ := body["duration"].(string)
	d, err := time.ParseDuration(text)
	if err != nil {
		return 10 * time.Minute // Google's own
	}
	return d
}

// lookFor finds a command among those that Google has of its device, which no
// other command of ours is known by.
func (c *Connector) lookFor(ctx context.Context, client *Client, w Work, kind string) (*Operation, error) {
	list, err := client.Operations(ctx, w.Device)
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- { // the oldest first
		op := list[i]
		if op.Metadata.Type != kind || op.Metadata.CreateTime.Before(w.AskedAt.Add(-clockGap)) {
			continue
		}
		if _, err := c.Store.IssuedAs(ctx, op.Name); enroll.KindOf(err) == enroll.KindNotFound {
			return &op, nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (c *Connector) issued(ctx context.Context, w Work, op Operation, life time.Duration) error {
	i := Issued{CommandID: w.CommandID, EnrollmentID: w.EnrollmentID, Device: w.Device, Operation: op.Name, ExpiresAt: c.now().Add(life)}
	if err := c.Store.Issued(ctx, i); err != nil {
		return err
	}
	if op.Done {
		return c.answered(ctx, i, op)
	}
	return nil
}

func (c *Connector) finishWork(ctx context.Context, w Work, text string) error {
	return c.Store.FinishCommand(ctx, Outcome{EnrollmentID: w.EnrollmentID, CommandID: w.CommandID, Failed: true, Error: text, At: c.now()}, false)
}

// operation takes in what Google tells of a command.
func (c *Connector) operation(ctx context.Context, op Operation) error {
	if !op.Done {
		return nil
	}
	i, err := c.Store.IssuedAs(ctx, op.Name)
	if err == nil {
		return c.answered(ctx, i, op)
	}
	if enroll.KindOf(err) != enroll.KindNotFound {
		return err
	}
	// Of a command whose issue was not answered, this may be the first to be
	// heard.
	asked, err := c.Store.Unanswered(ctx, deviceOf(op.Name))
	if err != nil {
		return err
	}
	for _, w := range asked {
		var body map[string]any
		if json.Unmarshal(w.Body, &body) == nil && body["type"] == op.Metadata.Type && !op.Metadata.CreateTime.Before(w.AskedAt.Add(-clockGap)) {
			return c.issued(ctx, w, op, life(body))
		}
	}
	return nil // somebody gave it in Google's console
}

// answered ends a command. The status of its type tells more than the error of
// the command, and that more than the one of the operation.
func (c *Connector) answered(ctx context.Context, i Issued, op Operation) error {
	out := Outcome{EnrollmentID: i.EnrollmentID, CommandID: i.CommandID, At: c.now()}
	if op.Error != nil {
		out.Failed, out.Error = true, fmt.Sprintf("%d %s", op.Error.Code, shorten(op.Error.Message))
	}
	if code := op.Metadata.ErrorCode; code != "" && code != "COMMAND_ERROR_CODE_UNSPECIFIED" {
		out.Failed, out.Error = true, code
	}
	status := op.Metadata.StartLostModeStatus.Status
	if status == "" {
		status = op.Metadata.StopLostModeStatus.Status
	}
	switch status {
	case "":
	case "SUCCESS", "ALREADY_IN_LOST_MODE", "NOT_IN_LOST_MODE":
		out.Failed, out.Error = false, ""
	default:
		out.Failed, out.Error = true, status
	}
	var err error
	if out.Result, err = json.Marshal(map[string]any{"operation": op.Name, "type": op.Metadata.Type, "status": status, "error_code": op.Metadata.ErrorCode}); err != nil {
		return err
	}
	leaves := !out.Failed && (op.Metadata.Type == "WIPE" || op.Metadata.Type == "RELINQUISH_OWNERSHIP")
	return c.Store.FinishCommand(ctx, out, leaves)
}

// overdue looks up commands that ended without a word: Google tells nothing of
// those that expire.
func (c *Connector) overdue(ctx context.Context, client *Client) error {
	list, err := c.Store.Overdue(ctx, c.now().Add(-overdueGrace), overdueBatch)
	if err != nil {
		return err
	}
	for _, i := range list {
		op, err := client.Operation(ctx, i.Operation)
		if CodeOf(err) == NotFound {
			op, err = Operation{Name: i.Operation, Done: true}, nil
			op.Metadata.ErrorCode = "Google does not know the command any more"
		}
		if err != nil {
			return err
		}
		if !op.Done {
			continue
		}
		if err := c.answered(ctx, i, op); err != nil {
			return err
		}
	}
	return nil
}
