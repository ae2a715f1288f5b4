package iphone

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"rollcall/sim/plist"
)

// A server that never comes to an end of its queue would keep a phone busy
// for ever.
const maxCommands = 1000

// Connect asks the server for work and does it until the server has no more:
// an empty 200. A result the server did not take (connection lost, status
// other than 2xx) is kept and sent first at the next Connect. 401, or 403 with
// com.apple.unrecognized.device, unenrolls the phone and is returned as
// *RefusedError.
func (p *Phone) Connect(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	e := p.current()
	if e == nil {
		return ErrNotEnrolled
	}
	message := e.cached
	if message == nil {
		message = p.Idle()
	}
	for range maxCommands {
		command, err := p.exchange(ctx, e, message)
		if err != nil || command == nil {
			return err
		}
		var after func(context.Context)
		if message, after, err = p.obey(ctx, command); err != nil {
			return err
		}
		// Obeying may have replaced the enrollment (renewal) or ended it.
		if next := p.current(); next != nil {
			e = next
		}
		if after != nil {
			_, err := p.exchange(ctx, e, message)
			after(ctx)
			return err
		}
	}
	return protocolError("Connect", "the server sent %d commands in one session", maxCommands)
}

// exchange sends one message and returns the next command, nil for none.
func (p *Phone) exchange(ctx context.Context, e *enrollment, message plist.Dict) (plist.Dict, error) {
	status := message["Status"].(string)
	keep := message
	if status == "Idle" || status == "NotNow" {
		keep = nil
	}
	p.change(func() { e.cached, e.endedNotNow = keep, status == "NotNow" })
	p.tamper("Connect", message)
	resp, body, err := p.put(ctx, e, e.mdm.serverURL, typeConnect, plist.Marshal(message))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		err := refused(resp, body)
		if p.unenrolls(err) {
			p.unenroll()
		}
		return nil, err
	}
	p.change(func() {
		e.cached = nil
		if status == "Acknowledged" {
			p.timings.LastAcknowledgedAt = time.Now()
		}
	})
	if resp.StatusCode != http.StatusOK {
		return nil, protocolError("Connect", "status %d", resp.StatusCode)
	}
	if len(body) == 0 {
		return nil, nil
	}
	return p.readCommand(resp, body)
}

func (p *Phone) readCommand(resp *http.Response, body []byte) (plist.Dict, error) {
	if kind := contentType(resp); kind != "application/xml" {
		return nil, protocolError("Connect", "content type %q", kind)
	}
	envelope, err := plist.UnmarshalDict(body)
	if err != nil {
		return nil, protocolError("Connect", "%v", err)
	}
	command, ok := envelope["Command"].(plist.Dict)
	id, okID := envelope["CommandUUID"].(string)
	request, _ := command["RequestType"].(string)
	if !ok || !okID || id == "" || request == "" || len(envelope) != 2 {
		return nil, protocolError("Connect", "the answer is not {CommandUUID, Command{RequestType}}")
	}
	return envelope, nil
}

// obey carries a command out and returns the message that reports it. With
// after set the message is the last of this session and after follows it.
func (p *Phone) obey(ctx context.Context, envelope plist.Dict) (message plist.Dict, after func(context.Context), err error) {
	command := envelope["Command"].(plist.Dict)
	request := command["RequestType"].(string)
	message = p.Idle()
	delete(message, "Status")
	message["CommandUUID"] = envelope["CommandUUID"]
	r := p.reaction(request)
	switch r.kind {
	case notNow:
		message["Status"] = "NotNow"
		return message, nil, nil
	case fail:
		message["Status"], message["ErrorChain"] = "Error", r.chain.plist()
		return message, nil, nil
	case formatError:
		message["Status"] = "CommandFormatError"
		return message, nil, nil
	case crash:
		return nil, nil, ErrCrashed
	}
	after = p.execute(ctx, request, command, message)
	if r.kind == dropResult || r.kind == dropAnswer {
		e := p.current()
		if e == nil {
			return nil, nil, ErrConnectionLost
		}
		if r.kind == dropAnswer {
			if _, err := p.exchange(ctx, e, message); err != nil {
				return nil, nil, err
			}
		}
		p.change(func() { e.cached = message })
		if after != nil {
			after(ctx)
		}
		return nil, nil, ErrConnectionLost
	}
	return message, after, nil
}

// errFormat and errNotNow are results of command handlers.
var (
	errFormat = errors.New("command format error")
	errNotNow = errors.New("not now")
)

// execute runs a command and completes the message with its result.
func (p *Phone) execute(ctx context.Context, request string, command, message plist.Dict) (after func(context.Context)) {
	spec, ok := commands[request]
	var result outcome
	err := error(mdmError(12021, "%q is not a valid request type", request))
	if ok {
		err = p.permitted(request, spec)
	}
	if err == nil {
		result, err = spec.run(p, ctx, command)
	}
	var chain ChainError
	switch {
	case err == nil:
		message["Status"] = "Acknowledged"
		for k, v := range result.keys {
			message[k] = v
		}
		return result.after
	case errors.Is(err, errNotNow):
		message["Status"] = "NotNow"
	case errors.Is(err, errFormat):
		message["Status"] = "CommandFormatError"
	case errors.As(err, &chain):
		message["Status"], message["ErrorChain"] = "Error", chain.plist()
	default:
		message["Status"], message["ErrorChain"] = "Error", ChainError{{4001, domainInstall, err.Error()}}.plist()
	}
	return nil
}

// permitted checks rights, supervision and the lock screen.
func (p *Phone) permitted(request string, spec commandSpec) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.enrollment.mdm.mode == modeBYOD && slices.Contains([]string{"ClearPasscode", "EraseDevice", "Restrictions"}, request):
		return mdmError(12021, "%q is not a request of user enrollment", request)
	case p.enrollment.mdm.rights&spec.right != spec.right:
		return mdmError(12007, "the server has no right to %s", request)
	case spec.supervised && !p.supervised:
		return mdmError(12053, "%s needs a supervised device", request)
	case spec.unlocked && p.locked:
		return errNotNow
	case request == "InstallApplication" && p.awaiting && p.major() < 16:
		return errNotNow // no app installs from Setup Assistant before iOS 16
	}
	return nil
}
