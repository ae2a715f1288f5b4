package android

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// A server that never comes to an end of its queue would keep a phone busy for
// ever, as would one that takes no counter.
const (
	maxCommands = 1000
	maxCounters = 3
)

// command is what the server hands out.
type command struct {
	id         string
	kind       string
	parameters map[string]json.RawMessage
}

// CheckIn sends what results there are, asks for work, and does it until the
// server has no more. Results that the server did not take are kept for the
// next time. ErrUnenrolled and ErrReenroll say that the enrollment has ended.
func (p *Phone) CheckIn(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	var later []string
	for range maxCommands {
		c, err := p.exchange(ctx)
		if err != nil || c == nil {
			return err
		}
		if slices.Contains(later, c.id) {
			return wrong("checkin", "command %s again, in the session in which it was not_now", c.id)
		}
		result, after, err := p.obey(ctx, c)
		if result != nil {
			p.change(func() { p.results = append(p.results, result) })
		}
		if err != nil {
			return err
		}
		if result["status"] == "not_now" {
			later = append(later, c.id)
		}
		if after != nil {
			_, err := p.exchange(ctx)
			after()
			return err
		}
	}
	return wrong("checkin", "%d commands in one session", maxCommands)
}

// exchange sends one check-in and returns the next command, nil for none.
func (p *Phone) exchange(ctx context.Context) (*command, error) {
	e := p.current()
	if e == nil {
		return nil, ErrNotEnrolled
	}
	results := get(p, func() []map[string]any { return slices.Clone(p.results[:min(len(p.results), maxResults)]) })
	message := map[string]any{"v": 1, "results": results}
	told := p.news(message)
	if results == nil {
		message["results"] = []any{}
	}
	body, err := p.encode("checkin", message, maxCheckIn)
	if err != nil {
		return nil, err
	}
	a, err := p.signed(ctx, "checkin", http.MethodPut, e.checkinURL, body)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, p.leave(a)
	}
	p.change(func() {
		p.told, p.results = told, p.results[len(results):]
		for _, r := range results {
			if r["status"] == "acknowledged" {
				p.timings.LastAcknowledgedAt = p.cfg.Now()
			}
		}
	})
	if err := p.leave(a); err != nil {
		return nil, err
	}
	if poll, err := a.number("poll_seconds"); err != nil || poll < 0 {
		return nil, wrong("checkin", "poll_seconds is %v", a.body["poll_seconds"])
	} else if poll > 0 {
		p.change(func() { e.poll = time.Duration(poll) * time.Second })
	}
	return readCommand(a)
}

// signed sends a request with a counter, and with a larger one if the server
// has had that one.
func (p *Phone) signed(ctx context.Context, step, method, url string, body []byte) (*answer, error) {
	for range maxCounters {
		e, key := p.current(), p.Key()
		if e == nil {
			return nil, ErrNotEnrolled
		}
		a, err := p.send(ctx, step, method, url, body, &signer{key: key, who: e.deviceID, counter: p.nextCounter()})
		if err != nil || a.status != http.StatusConflict || a.body["code"] != "counter_used" {
			return a, err
		}
		last, err := a.number("counter")
		if err != nil {
			return nil, err
		}
		if _, there := a.body["counter"]; !there || a.action() != "retry" {
			return nil, wrong(step, "counter_used with action %s and without the last counter", a.action())
		}
		p.change(func() { p.counter = max(p.counter, last) })
	}
	return nil, wrong(step, "the server takes no counter")
}

// leave does what the action of an answer says, and makes an error of one that
// is no success.
func (p *Phone) leave(a *answer) error {
	switch {
	case a.status == http.StatusNoContent:
		return nil
	case a.action() == "unenroll":
		p.change(p.depart)
		return ErrUnenrolled
	case a.action() == "reenroll":
		p.change(func() { p.enrollment, p.key, p.results, p.counter = nil, nil, nil, 0 })
		return ErrReenroll
	case a.status != http.StatusOK || a.action() == "retry":
		return a.refused()
	}
	return nil
}

// news adds to a message what the server does not know yet of the phone, and
// returns what it will know.
func (p *Phone) news(message map[string]any) map[string]any {
	now := p.device()
	p.mu.Lock()
	defer p.mu.Unlock()
	now["push"] = p.pushID
	changed := map[string]any{}
	for k, v := range now {
		if p.told[k] != v && k != "push" {
			changed[k] = v
		}
	}
	if len(changed) > 0 {
		message["device"] = changed
	}
	if p.told["push"] != p.pushID {
		message["push"] = map[string]any{"kind": "fcm", "id": p.pushID}
	}
	return now
}

func readCommand(a *answer) (*command, error) {
	raw, there := a.body["command"]
	if !there {
		return nil, nil
	}
	fields, ok := raw.(map[string]any)
	if !ok || a.action() != "none" {
		return nil, wrong("checkin", "command is %v, action %s", raw, a.action())
	}
	c := &command{parameters: map[string]json.RawMessage{}}
	c.id, _ = fields["id"].(string)
	c.kind, _ = fields["type"].(string)
	parameters, isObject := fields["parameters"].(map[string]any)
	if c.id == "" || len(c.id) > 255 || c.kind == "" || len(c.kind) > 255 || fields["parameters"] != nil && !isObject {
		return nil, wrong("checkin", "command %v is not {id, type, parameters}", fields)
	}
	for name, value := range parameters {
		again, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("android: %w", err)
		}
		c.parameters[name] = again
	}
	return c, nil
}

// obey carries a command out and returns its result. With after set, the result
// is the last of this session, and after follows it.
func (p *Phone) obey(ctx context.Context, c *command) (result map[string]any, after func(), err error) {
	result = map[string]any{"command_id": c.id}
	r := p.reaction(c.kind)
	switch r.kind {
	case notNow:
		result["status"] = "not_now"
		return result, nil, nil
	case unsupported:
		result["status"] = "unsupported"
		return result, nil, nil
	case fail:
		result["status"], result["error"] = "error", map[string]any{"code": r.code, "message": r.message}
		return result, nil, nil
	case crash:
		return nil, nil, ErrCrashed
	}
	after = p.execute(ctx, c, result)
	switch r.kind {
	case dropResult:
		return result, nil, ErrConnectionLost
	case loseAnswer:
		p.Lose("checkin", 1)
	}
	return result, after, nil
}

// Wait asks the server to say when there is something to fetch, for as long as
// timeout (1 s to 55 s), and tells whether there is.
func (p *Phone) Wait(ctx context.Context, timeout time.Duration) (wake bool, err error) {
	e := p.current()
	if e == nil {
		return false, ErrNotEnrolled
	}
	a, err := p.signed(ctx, "wait", http.MethodGet, fmt.Sprintf("%s?timeout=%d", e.waitURL, timeout/time.Second), nil)
	if err != nil {
		return false, err
	}
	if err := p.leave(a); err != nil || a.status == http.StatusNoContent {
		return false, err
	}
	if a.body["wake"] != true {
		return false, wrong("wait", "status 200 and wake is %v", a.body["wake"])
	}
	return true, nil
}

// Run is the agent's life: it checks in, waits to be woken, and checks in again,
// also when nobody woke it for as long as poll_seconds says. It returns when the
// enrollment or ctx ends, or at an answer that the document does not allow.
func (p *Phone) Run(ctx context.Context) error {
	failures := 0
	for {
		err := p.live(ctx)
		if errors.Is(err, ErrCrashed) {
			err = nil // Android starts the agent again
		}
		if err == nil {
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait, again := p.retryAfter(err, failures)
		if !again {
			return err
		}
		failures++
		p.log.DebugContext(ctx, "the agent tries again", "error", err, "after", wait)
		if err := p.cfg.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// live checks in, and waits for a reason to do it again.
func (p *Phone) live(ctx context.Context) error {
	if err := p.CheckIn(ctx); err != nil {
		return err
	}
	asked := p.cfg.Now()
	for {
		e := p.current()
		if e == nil {
			return ErrUnenrolled
		}
		if p.cfg.Now().Sub(asked) >= e.poll {
			return nil
		}
		wake, err := p.Wait(ctx, min(max(e.poll, time.Second), 55*time.Second))
		if err != nil || wake {
			return err
		}
	}
}
