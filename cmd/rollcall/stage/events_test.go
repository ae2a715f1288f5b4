package stage

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	"rollcall/sim/hooks"
)

// TestEventsOfALife lets a webhook and a stream tell of a device from its row
// to its policy; the stream goes on across a restart, and does not hold it up.
func TestEventsOfALife(t *testing.T) {
	onBoth(t, func(t *testing.T, p *play) {
		const serial, stranger = "EVENTFUL0001", "STRANGER0002"
		receiver, err := hooks.Listen()
		p.must(err)
		t.Cleanup(func() { receiver.Close() })
		var hook struct{ ID, Secret string }
		p.admin(http.MethodPost, "/webhooks", object{"url": receiver.URL}, &hook)
		receiver.Knows(hook.Secret)

		stream := p.follow("")
		p.policy("Basics", passcode(6))
		p.roll(serial)
		p.bind("Basics", object{"serial": serial})
		p.restrict(enroll.ModeEnforce)
		p.phone(serial).enroll(p.invite(serial).Link)
		p.acknowledged(serial)
		p.refusesStranger(stranger, enroll.DenyNotPreEnrolled)

		want := []string{"device.created", "request.sent", "request.opened", "request.accepted", "gate.decided", "device.enrolled", "policy.completed"}
		var told []string
		var last event
		for last.Message.Data["serial"] != stranger {
			last = stream.next()
			if last.Message.Data["serial"] == serial {
				told = append(told, last.Message.Type)
			}
		}
		p.check("the stream tells of each step in order", inOrder(told, want), told)
		p.check("and of the refusal", last.Message.Type == "gate.decided" && last.Message.Data["code"] == string(enroll.DenyNotPreEnrolled), last)

		p.until("the webhook has told the same", func() bool {
			came := receiver.Came()
			return len(came) > 0 && came[len(came)-1].Message.ID == last.Message.ID
		})
		var hooked []string
		for _, d := range receiver.Came() {
			p.check("the signature is right", d.Signature == nil, d.Signature)
			if d.Message.Data["serial"] == serial {
				hooked = append(hooked, d.Message.Type)
			}
		}
		p.check("each once", slices.Equal(hooked, told), hooked, told)

		p.must(p.Restart(p.ctx))
		for stream.more() {
		}
		p.check("the server ended the stream by itself, and was not held up by it", stream.body.Err() == nil, stream.body.Err())
		p.roll("AFTERWARDS01")
		again := p.follow(last.ID)
		p.check("the stream goes on where it was", again.next().Message.Data["serial"] == "AFTERWARDS01")

		var log struct {
			Items []struct {
				Operation string
				RequestID string `json:"request_id"`
			}
		}
		p.admin(http.MethodGet, "/audit?kind=device&key="+serial, nil, &log)
		p.check("the log has the admin's changes and none of the device's", len(log.Items) == 2 && log.Items[0].Operation == "create-requests" && log.Items[1].Operation == "put-device", log)
		p.check("and where to look in the server's log", log.Items[1].RequestID != "" && strings.Contains(p.log.String(), log.Items[1].RequestID), log)
		var verified struct{ Intact bool }
		p.admin(http.MethodGet, "/audit/verify", nil, &verified)
		p.check("the log is intact", verified.Intact, verified)
	}, func(o *Options) { o.Change = func(o *app.Options) { o.AllowPrivateWebhooks = true } })
}

// inOrder says that the wanted ones are among those told, in their order.
func inOrder(told, want []string) bool {
	for _, t := range told {
		if len(want) > 0 && t == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// event is one of the stream, with the ID to go on after.
type event struct {
	ID      string
	Message hooks.Message
}

type follower struct {
	p    *play
	body *bufio.Scanner
}

// follow opens the event stream.
func (p *play) follow(lastID string) *follower {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.url+"/api/v1/events", nil)
	p.must(err)
	r.Header.Set("Authorization", "Bearer "+p.Token)
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	client := *NewClient(p.Roots)
	client.Timeout = 0
	res, err := client.Do(r)
	p.must(err)
	p.t.Cleanup(func() { res.Body.Close(); client.CloseIdleConnections() })
	p.check("there is a stream", res.StatusCode == http.StatusOK, res.Status)
	return &follower{p, bufio.NewScanner(res.Body)}
}

// more says that the server goes on; it waits.
func (f *follower) more() bool { return f.body.Scan() }

// next waits for an event.
func (f *follower) next() (e event) {
	f.p.t.Helper()
	for f.body.Scan() {
		name, value, _ := strings.Cut(f.body.Text(), ": ")
		switch name {
		case "id":
			e.ID = value
		case "data":
			f.p.must(json.Unmarshal([]byte(value), &e.Message))
			return e
		}
	}
	f.p.t.Fatalf("the stream ended: %v", f.body.Err())
	return e
}
