package enroll

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// people is a memory whose devices have users, and are all in one group.
type people struct{ *memory }

func (p people) User(_ context.Context, id string) (User, error) {
	u, ok := p.users[id]
	if !ok {
		return u, Errorf(KindNotFound, "user_unknown", "no such user")
	}
	return u, nil
}

func (p people) DeviceByID(_ context.Context, id string) (Device, error) {
	for _, d := range p.devices {
		if d.ID == id {
			return d, nil
		}
	}
	return Device{}, NoDevice(id)
}

func (p people) Group(_ context.Context, name string) (Group, error) {
	if name != "all" {
		return Group{}, Errorf(KindNotFound, "group_unknown", "no such group")
	}
	return Group{ID: "G", Name: name}, nil
}

func (p people) Devices(_ context.Context, f DeviceFilter, page Page) ([]Device, error) {
	var rows []Device
	for _, d := range p.devices {
		if f.GroupID == "G" && d.Serial > page.After {
			rows = append(rows, d)
		}
	}
	slices.SortFunc(rows, func(a, b Device) int { return strings.Compare(a.Serial, b.Serial) })
	return rows[:min(len(rows), page.Limit)], nil
}

// office is a service that can send mail, with three devices: Anna's, one of
// somebody without any address, and one without a user.
func office(t *testing.T) (*Requests, *memory, *clock) {
	t.Helper()
	row := func(serial, user string) Device {
		return stored(func(d *Device) { d.ID, d.Serial, d.UserID = "D-"+serial, serial, user })
	}
	m := newMemory(row("A1", "anna"), row("B2", "bert"), row("C3", ""))
	m.users["anna"], m.users["bert"] = User{ID: "anna", Email: "anna@example.com", Mobile: "+4915112345678"}, User{ID: "bert"}
	at := &clock{noon}
	q := NewRequests(m, people{m}, at.now)
	q.Channels = []Via{ViaEmail}
	return q, m, at
}

func TestSendQueuesMessages(t *testing.T) {
	q, m, _ := office(t)
	sent, err := q.Send(t.Context(), Order{Serials: []string{"A1"}, Via: ViaEmail, By: "desk"})
	if err != nil || len(sent) != 1 || sent[0].Secret != "" || sent[0].Request.State != RequestQueued || sent[0].Request.Via != ViaEmail {
		t.Fatalf("sent %+v, %v", sent, err)
	}
	if len(m.messages) != 1 {
		t.Fatalf("%d messages", len(m.messages))
	}
	got := m.messages[0]
	want := Message{ID: got.ID, RequestID: sent[0].Request.ID, Kind: MessageInvitation, Via: ViaEmail, Secret: got.Secret, CreatedAt: noon, DueAt: noon}
	if diff := cmp.Diff(want, got); diff != "" || m.secrets[HashSecret(got.Secret)] != got.RequestID || got.ID == got.RequestID {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestSendRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		order Order
		kind  Kind
		code  string
		named string
	}{
		"no mail for a user": {Order{Serials: []string{"A1", "B2"}, Via: ViaEmail}, KindConflict, "email_missing", "B2"},
		"no user":            {Order{Serials: []string{"A1", "C3"}, Via: ViaEmail}, KindConflict, "user_missing", "C3"},
		"in a group":         {Order{Group: "all", Via: ViaEmail}, KindConflict, "email_missing", "B2"},
		"no gateway":         {Order{Serials: []string{"A1"}, Via: ViaSMS}, KindConflict, "sms_not_configured", ""},
		"no such way":        {Order{Serials: []string{"A1"}, Via: "pigeon"}, KindInvalid, "via_unknown", "pigeon"},
		"serials and group":  {Order{Serials: []string{"A1"}, Group: "all"}, KindInvalid, "recipients_missing", ""},
		"nobody":             {Order{}, KindInvalid, "recipients_missing", ""},
		"unknown group":      {Order{Group: "none"}, KindNotFound, "group_unknown", ""},
		"a thousand and one": {Order{Serials: make([]string, MaxRequests+1)}, KindInvalid, "serials_count", ""},
	} {
		t.Run(name, func(t *testing.T) {
			q, m, _ := office(t)
			sent, err := q.Send(t.Context(), c.order)
			wantError(t, err, c.kind, c.code)
			if len(sent)+len(m.requests)+len(m.messages) > 0 || !strings.Contains(err.Error(), c.named) {
				t.Errorf("sent %v, stored %v %v, error %v", sent, m.requests, m.messages, err)
			}
		})
	}
	q, m, _ := office(t)
	u := m.users["anna"]
	u.Mobile = ""
	m.users["anna"], q.Channels = u, []Via{ViaSMS}
	_, err := q.Send(t.Context(), Order{Serials: []string{"A1"}, Via: ViaSMS})
	wantError(t, err, KindConflict, "mobile_missing")
	q.Channels = nil
	_, err = q.Send(t.Context(), Order{Serials: []string{"A1"}, Via: ViaEmail})
	wantError(t, err, KindConflict, "mail_not_configured")
}

func TestSendToGroup(t *testing.T) {
	q, m, _ := office(t)
	for serial, change := range map[string]func(*Device){"B2": func(d *Device) { d.State = StateEnrolled }, "C3": func(d *Device) { d.BlockedAt = noon }} {
		d := m.devices[serial]
		change(&d)
		m.devices[serial] = d
	}
	sent, err := q.Send(t.Context(), Order{Group: "all", Via: ViaEmail})
	if err != nil || len(sent) != 1 || sent[0].Serial != "A1" {
		t.Fatalf("sent %+v, %v", sent, err)
	}
	d := m.devices["A1"]
	d.State = StateEnrolled
	m.devices["A1"] = d
	_, err = q.Send(t.Context(), Order{Group: "all"})
	wantError(t, err, KindConflict, "group_done")
}

func TestSendToLargeGroup(t *testing.T) {
	var devices []Device
	for range MaxGroupRequests {
		devices = append(devices, stored(func(d *Device) { d.ID, d.Serial = NewID(), strings.ToUpper(NewID()) }))
	}
	m := newMemory(devices...)
	q := NewRequests(m, people{m}, nil)
	if sent, err := q.Send(t.Context(), Order{Group: "all"}); err != nil || len(sent) != MaxGroupRequests || len(m.requests) != MaxGroupRequests {
		t.Fatalf("sent %d, %v", len(sent), err)
	}
	m.devices["ONEMORE"] = stored(func(d *Device) { d.ID, d.Serial = "D", "ONEMORE" })
	_, err := q.Send(t.Context(), Order{Group: "all"})
	wantError(t, err, KindInvalid, "group_too_large")
}

func TestResend(t *testing.T) {
	q, m, at := office(t)
	sent, err := q.Send(t.Context(), Order{Serials: []string{"A1"}, Via: ViaEmail})
	if err != nil {
		t.Fatal(err)
	}
	id, first := sent[0].Request.ID, m.messages[0].Secret
	set := func(change func(*Request)) {
		r := m.requests[id]
		change(&r)
		m.requests[id] = r
	}
	set(func(r *Request) { r.State, r.Problem = RequestBounced, "550 no such user" })
	at.at = at.at.Add(time.Hour)
	again, err := q.Resend(t.Context(), id, "")
	if err != nil || again.Request.State != RequestQueued || again.Request.Problem != "" || again.Secret != "" || again.Serial != "A1" || len(m.messages) != 2 {
		t.Fatalf("sent again %+v, %v", again, err)
	}
	second := m.messages[1]
	if second.Secret == first || second.Kind != MessageInvitation || !second.DueAt.Equal(at.at) || !again.Request.ExpiresAt.Equal(sent[0].Request.ExpiresAt) {
		t.Errorf("second message %+v of %+v", second, again.Request)
	}
	for _, secret := range []string{first, second.Secret} {
		if m.secrets[HashSecret(secret)] != id {
			t.Error("a link is not good any more")
		}
	}
	link, err := q.Resend(t.Context(), id, ViaLink)
	if err != nil || link.Secret == "" || link.Request.State != RequestSent || link.Request.Via != ViaLink || len(m.messages) != 2 {
		t.Errorf("as a link: %+v, %v", link, err)
	}
	set(func(r *Request) { r.State, r.AcceptedAt = RequestAccepted, at.at })
	if kept, err := q.Resend(t.Context(), id, ViaEmail); err != nil || kept.Request.State != RequestAccepted {
		t.Errorf("after acceptance: %+v, %v", kept, err)
	}

	_, err = q.Resend(t.Context(), id, ViaSMS)
	wantError(t, err, KindConflict, "sms_not_configured")
	_, err = q.Resend(t.Context(), "unknown", "")
	wantError(t, err, KindNotFound, "request_unknown")
	u := m.users["anna"]
	m.users["anna"] = User{ID: "anna"}
	_, err = q.Resend(t.Context(), id, ViaEmail)
	wantError(t, err, KindConflict, "email_missing")
	m.users["anna"] = u
	d := m.devices["A1"]
	d.UserID = "bert"
	m.devices["A1"] = d
	_, err = q.Resend(t.Context(), id, ViaLink)
	wantError(t, err, KindConflict, "owner_changed")
	d.UserID = "anna"
	m.devices["A1"] = d
	for _, state := range []RequestState{RequestCompleted, RequestCancelled, RequestExpired} {
		set(func(r *Request) { r.State, r.ClosedAt = state, at.at })
		_, err = q.Resend(t.Context(), id, "")
		wantError(t, err, KindConflict, "request_closed")
	}
	set(func(r *Request) { r.State, r.ClosedAt, r.ExpiresAt = RequestSent, time.Time{}, at.at.Add(-time.Second) })
	_, err = q.Resend(t.Context(), id, "")
	wantError(t, err, KindConflict, "request_closed")
	if len(m.messages) != 3 {
		t.Errorf("%d messages", len(m.messages))
	}
}

func TestRemindOnce(t *testing.T) {
	const before = 5 * 24 * time.Hour
	q, m, at := office(t)
	sent, err := q.Send(t.Context(), Order{Serials: []string{"A1"}, Via: ViaEmail})
	if err != nil {
		t.Fatal(err)
	}
	id := sent[0].Request.ID
	remind := func(want int) {
		t.Helper()
		if n, err := q.Remind(t.Context(), before); err != nil || n != want {
			t.Fatalf("reminded of %d, %v; want %d", n, err, want)
		}
	}
	remind(0)
	at.at = at.at.Add(RequestLifetime - before)
	q.Channels = nil
	remind(0)
	q.Channels = []Via{ViaEmail}
	remind(1)
	remind(0)
	r, reminder := m.requests[id], m.messages[len(m.messages)-1]
	if !r.RemindedAt.Equal(at.at) || r.State != RequestQueued || len(m.messages) != 2 || reminder.Kind != MessageReminder || m.secrets[HashSecret(reminder.Secret)] != id {
		t.Errorf("request %+v, messages %+v", r, m.messages)
	}
	// Accepted or closed between the look and the lock.
	for _, change := range []func(*Request){func(r *Request) { r.AcceptedAt = noon }, func(r *Request) { r.ClosedAt = noon }} {
		r.RemindedAt, r.AcceptedAt, r.ClosedAt = time.Time{}, time.Time{}, time.Time{}
		change(&r)
		m.requests[id] = r
		remind(0)
	}
	if n, err := q.Remind(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("turned off: %d, %v", n, err)
	}
}

func TestBouncedRequestCanBeOpened(t *testing.T) {
	q, m, _, secret := invited(t)
	r := only(t, m)
	r.State, r.Problem = RequestBounced, "550"
	m.requests[r.ID] = r
	if inv, err := q.Open(t.Context(), secret); err != nil || inv.Request.State != RequestOpened {
		t.Errorf("opened %+v, %v", inv.Request, err)
	}
}
