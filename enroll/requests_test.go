package enroll

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// invited is a service whose roll has one row with one request, and the secret
// of that request.
func invited(t *testing.T, change ...func(*Device)) (q *Requests, m *memory, at *clock, secret string) {
	t.Helper()
	at = &clock{noon}
	m = newMemory(stored(change...))
	q = NewRequests(m, m, at.now)
	sent, err := q.Send(t.Context(), Order{Serials: []string{"C02XK1"}, By: "admin"})
	if err != nil || len(sent) != 1 {
		t.Fatalf("sent %v, %v", sent, err)
	}
	return q, m, at, sent[0].Secret
}

func only(t *testing.T, m *memory) Request {
	t.Helper()
	if len(m.requests) != 1 {
		t.Fatalf("%d requests are stored, want one", len(m.requests))
	}
	for _, r := range m.requests {
		return r
	}
	return Request{}
}

func TestRequestsSend(t *testing.T) {
	m := newMemory(stored(), stored(func(d *Device) { d.ID, d.Serial, d.UserID, d.State = "D2", "X2", "", StateUnenrolled }))
	sent, err := NewRequests(m, m, (&clock{noon.In(time.FixedZone("", 3600))}).now).Send(t.Context(), Order{Serials: []string{"c02-xk1", "X2", "C02XK1", " x2"}, By: "admin"})
	if err != nil || len(sent) != 2 || len(m.requests) != 2 {
		t.Fatalf("sent %+v, %v; stored %v", sent, err, m.requests)
	}
	for i, want := range []Sent{
		{Serial: "C02XK1", Request: Request{DeviceID: "D", UserID: "local/a@example.com"}},
		{Serial: "X2", Request: Request{DeviceID: "D2"}},
	} {
		got := sent[i]
		want.Secret, want.Request.ID = got.Secret, got.Request.ID
		if m.secrets[HashSecret(got.Secret)] != got.Request.ID {
			t.Errorf("%s: the secret is not that of the request", want.Serial)
		}
		want.Request.Via, want.Request.State, want.Request.CreatedBy = ViaLink, RequestSent, "admin"
		want.Request.CreatedAt, want.Request.ExpiresAt = noon, noon.Add(RequestLifetime)
		if diff := cmp.Diff(want, got); diff != "" || len(got.Secret) < 43 || got.Request.CreatedAt.Location() != time.UTC {
			t.Errorf("%s with the secret %q (-want +got):\n%s", want.Serial, got.Secret, diff)
		}
		if diff := cmp.Diff(got.Request, m.requests[got.Request.ID]); diff != "" || strings.Contains(got.Request.ID, got.Secret) {
			t.Errorf("stored (-sent +stored):\n%s", diff)
		}
	}
	if sent[0].Secret == sent[1].Secret || sent[0].Request.ID == sent[1].Request.ID {
		t.Error("two requests have one secret")
	}
}

// TestRequestsSendRefusesAll has one bad serial among good ones.
func TestRequestsSendRefusesAll(t *testing.T) {
	many := make([]string, MaxRequests+1)
	for _, c := range []struct {
		name    string
		serials []string
		second  func(*Device)
		kind    Kind
		code    string
	}{
		{"none", nil, nil, KindInvalid, "recipients_missing"},
		{"too many", many, nil, KindInvalid, "serials_count"},
		{"unknown", []string{"C02XK1", "Y3"}, nil, KindNotFound, "device_unknown"},
		{"empty", []string{"C02XK1", " - "}, nil, KindNotFound, "device_unknown"},
		{"enrolled", []string{"C02XK1", "X2"}, func(d *Device) { d.State = StateEnrolled }, KindConflict, "device_enrolled"},
		{"enrolled and blocked", []string{"C02XK1", "X2"}, func(d *Device) { d.State, d.BlockedAt = StateEnrolled, noon }, KindConflict, "device_enrolled"},
		{"blocked", []string{"X2", "C02XK1"}, func(d *Device) { d.BlockedAt = noon }, KindConflict, "device_blocked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			second := stored(func(d *Device) { d.ID, d.Serial = "D2", "X2" })
			if c.second != nil {
				c.second(&second)
			}
			m := newMemory(stored(), second)
			sent, err := NewRequests(m, m, nil).Send(t.Context(), Order{Serials: c.serials, By: "admin"})
			wantError(t, err, c.kind, c.code)
			if len(sent) > 0 || len(m.requests) > 0 {
				t.Errorf("sent %v, stored %v", sent, m.requests)
			}
		})
	}
	m := newMemory(stored())
	m.err = errors.New("disk on fire")
	if sent, err := NewRequests(m, m, nil).Send(t.Context(), Order{Serials: []string{"C02XK1"}, By: "admin"}); !errors.Is(err, m.err) || sent != nil {
		t.Errorf("without a store: %v, %v", sent, err)
	}
}

func TestRequestsOpen(t *testing.T) {
	q, m, at, secret := invited(t)
	for i := range 3 {
		inv, err := q.Open(t.Context(), secret)
		if err != nil || inv.Request.State != RequestOpened || !inv.Request.OpenedAt.Equal(noon) || inv.Device.Serial != "C02XK1" || m.writes != 1 {
			t.Fatalf("opened %d times: %+v, %v, %d writes", i+1, inv.Request, err, m.writes)
		}
		at.at = at.at.Add(time.Hour)
	}
	if _, err := q.Accept(t.Context(), secret, ""); err != nil {
		t.Fatal(err)
	}
	if inv, err := q.Open(t.Context(), secret); err != nil || inv.Request.State != RequestAccepted {
		t.Errorf("opened after acceptance: %+v, %v", inv.Request, err)
	}
}

func TestRequestsAccept(t *testing.T) {
	for _, c := range []struct {
		name          string
		row, chosen   Ownership
		request, then Ownership // of the request and the row afterwards
		code          string
	}{
		{"decided", OwnershipCorporate, "", "", OwnershipCorporate, ""},
		{"decided, chosen all the same", OwnershipCorporate, OwnershipPersonal, "", OwnershipCorporate, ""},
		{"decided, nonsense chosen", OwnershipPersonal, "mine!", "", OwnershipPersonal, ""},
		{"asked, personal", OwnershipSelectUser, OwnershipPersonal, OwnershipPersonal, OwnershipPersonal, ""},
		{"asked, corporate", OwnershipSelectUser, OwnershipCorporate, OwnershipCorporate, OwnershipCorporate, ""},
		{"asked, not chosen", OwnershipSelectUser, "", "", OwnershipSelectUser, "ownership_missing"},
		{"asked, not decided", OwnershipSelectUser, OwnershipSelectUser, "", OwnershipSelectUser, "ownership_missing"},
		{"asked, nonsense", OwnershipSelectUser, "mine!", "", OwnershipSelectUser, "ownership_missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, m, at, secret := invited(t, func(d *Device) { d.Ownership = c.row })
			_, err := q.Accept(t.Context(), secret, c.chosen)
			wantError(t, err, KindInvalid, c.code)
			r, d := only(t, m), m.devices["C02XK1"]
			if r.Ownership != c.request || d.Ownership != c.then {
				t.Errorf("the request has %q, the row %q", r.Ownership, d.Ownership)
			}
			if accepted := c.code == ""; d.Accepted() != accepted || (r.State == RequestAccepted) != accepted || r.AcceptedAt.IsZero() == accepted || r.OpenedAt.IsZero() == accepted {
				t.Fatalf("the request is %+v, the row accepted at %v", r, d.AcceptedAt)
			}
			if c.code != "" {
				return
			}
			at.at = at.at.Add(time.Hour)
			for _, again := range []Ownership{OwnershipPersonal, OwnershipCorporate, ""} {
				if _, err := q.Accept(t.Context(), secret, again); err != nil {
					t.Errorf("accepted again with %q: %v", again, err)
				}
			}
			if diff := cmp.Diff(r, only(t, m)); diff != "" || m.devices["C02XK1"].Ownership != c.then {
				t.Errorf("accepting again made the row %s and (-before +after):\n%s", m.devices["C02XK1"].Ownership, diff)
			}
		})
	}
}

// TestRequestsAcceptTwiceAtOnce has a second tap whose page was still asking.
func TestRequestsAcceptTwiceAtOnce(t *testing.T) {
	q, m, _, secret := invited(t, func(d *Device) { d.Ownership = OwnershipSelectUser })
	if _, err := q.Accept(t.Context(), secret, OwnershipPersonal); err != nil {
		t.Fatal(err)
	}
	d := m.devices["C02XK1"]
	d.Ownership = OwnershipSelectUser // as the second tap has read it
	m.devices["C02XK1"] = d
	inv, err := q.Accept(t.Context(), secret, OwnershipCorporate)
	if err != nil || inv.Request.Ownership != OwnershipPersonal {
		t.Errorf("the second tap makes it %q (%v)", inv.Request.Ownership, err)
	}
}

// TestRequestsClosed wants the same words from everything that takes a secret.
func TestRequestsClosed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Request, *clock)
		code   string
		says   string
	}{
		{"cancelled", func(r *Request, _ *clock) { r.State = RequestCancelled }, "request_cancelled", "withdrawn"},
		{"completed", func(r *Request, _ *clock) { r.State = RequestCompleted }, "request_used", "used"},
		{"expired", func(r *Request, _ *clock) { r.State = RequestExpired }, "request_expired", "expired"},
		{"over, not yet closed", func(r *Request, at *clock) { at.at = r.ExpiresAt.Add(1) }, "request_expired", "expired"},
		{"in its last instant", func(r *Request, at *clock) { at.at = r.ExpiresAt }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, m, at, secret := invited(t)
			if _, err := q.Accept(t.Context(), secret, ""); err != nil {
				t.Fatal(err)
			}
			r := only(t, m)
			c.change(&r, at)
			m.requests[r.ID] = r
			wantError(t, r.Usable(at.at), KindGone, c.code)
			for what, call := range map[string]func() (Invitation, error){
				"Open":     func() (Invitation, error) { return q.Open(t.Context(), secret) },
				"Accept":   func() (Invitation, error) { return q.Accept(t.Context(), secret, "") },
				"Accepted": func() (Invitation, error) { return q.Accepted(t.Context(), secret) },
			} {
				_, err := call()
				wantError(t, err, KindGone, c.code)
				if err != nil && (!strings.Contains(err.(*Error).Text, c.says) || err.(*Error).Hint == "") {
					t.Errorf("%s says %#v", what, err)
				}
			}
			if diff := cmp.Diff(r, only(t, m)); diff != "" {
				t.Errorf("the request changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestRequestsClosedMeanwhile cancels the request after it was read.
func TestRequestsClosedMeanwhile(t *testing.T) {
	q, m, _, secret := invited(t)
	q.RequestStore = moving{m, RequestCancelled}
	_, err := q.Accept(t.Context(), secret, "")
	wantError(t, err, KindGone, "request_cancelled")
	if r := only(t, m); r.State != RequestCancelled || !r.AcceptedAt.IsZero() {
		t.Errorf("the cancelled request is %+v", r)
	}
}

// TestRequestsAcceptedMeanwhile accepts the request between the two steps of
// Open.
func TestRequestsAcceptedMeanwhile(t *testing.T) {
	q, _, _, secret := invited(t)
	q.RequestStore = moving{q.RequestStore.(*memory), RequestAccepted}
	if inv, err := q.Open(t.Context(), secret); err != nil || inv.Request.State != RequestAccepted {
		t.Errorf("opening makes an accepted request %s (%v)", inv.Request.State, err)
	}
}

// moving takes a request to another state as soon as it was read.
type moving struct {
	*memory
	to RequestState
}

func (m moving) Invitation(ctx context.Context, hash [32]byte) (Invitation, error) {
	inv, err := m.memory.Invitation(ctx, hash)
	r := inv.Request
	r.State = m.to
	m.requests[r.ID] = r
	return inv, err
}

func TestRequestsAccepted(t *testing.T) {
	q, _, _, secret := invited(t)
	_, err := q.Accepted(t.Context(), secret)
	wantError(t, err, KindConflict, "request_not_accepted")
	if _, err := q.Open(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	_, err = q.Accepted(t.Context(), secret)
	wantError(t, err, KindConflict, "request_not_accepted")
	if _, err := q.Accept(t.Context(), secret, ""); err != nil {
		t.Fatal(err)
	}
	inv, err := q.Accepted(t.Context(), secret)
	if err != nil || inv.Device.Serial != "C02XK1" || !inv.Device.Accepted() {
		t.Errorf("%+v, %v", inv, err)
	}
}

func TestRequestsUnknownSecret(t *testing.T) {
	q, m, _, secret := invited(t)
	for _, wrong := range []string{"", "x", secret + "A", secret[:len(secret)-1], strings.ToLower(secret)} {
		for _, call := range []func() (Invitation, error){
			func() (Invitation, error) { return q.Open(t.Context(), wrong) },
			func() (Invitation, error) { return q.Accept(t.Context(), wrong, OwnershipPersonal) },
			func() (Invitation, error) { return q.Accepted(t.Context(), wrong) },
		} {
			inv, err := call()
			wantError(t, err, KindNotFound, "request_unknown")
			if inv.Device.Serial != "" || inv.Request.ID != "" {
				t.Errorf("%q shows %+v", wrong, inv)
			}
		}
	}
	m.err = errors.New("disk on fire")
	if _, err := q.Open(t.Context(), secret); !errors.Is(err, m.err) {
		t.Errorf("without a store: %v", err)
	}
}

func TestRequestsCancel(t *testing.T) {
	for _, state := range []RequestState{RequestQueued, RequestSent, RequestOpened, RequestAccepted, RequestExpired} {
		q, m, at, _ := invited(t)
		r := only(t, m)
		r.State = state
		m.requests[r.ID] = r
		for range 2 {
			got, err := q.Cancel(t.Context(), r.ID)
			if err != nil || got.State != RequestCancelled || !got.ClosedAt.Equal(noon) {
				t.Errorf("%s: %+v, %v", state, got, err)
			}
			at.at = at.at.Add(time.Hour)
		}
	}
	q, m, _, _ := invited(t)
	r := only(t, m)
	r.State, r.ClosedAt = RequestCompleted, noon
	m.requests[r.ID] = r
	_, err := q.Cancel(t.Context(), r.ID)
	wantError(t, err, KindConflict, "request_used")
	if diff := cmp.Diff(r, only(t, m)); diff != "" {
		t.Errorf("a used request changed (-before +after):\n%s", diff)
	}
	_, err = q.Cancel(t.Context(), "other")
	wantError(t, err, KindNotFound, "request_unknown")
}

func TestSecrets(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		secret, hash := NewSecret()
		if seen[secret] || len(secret) != 43 || strings.ContainsAny(secret, "+/=") || hash != HashSecret(secret) || hash == HashSecret(secret+" ") {
			t.Fatalf("secret %q with the hash %x", secret, hash)
		}
		seen[secret] = true
	}
	if a, b := NewID(), NewID(); a >= b || len(a) != 36 || a[14] != '7' {
		t.Errorf("keys %s, %s", a, b)
	}
}
