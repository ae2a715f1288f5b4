package enroll

import (
	"context"
	"maps"
	"slices"
	"time"
)

// memory is a roll and its requests in maps, with what the interfaces promise:
// all or nothing, and functions that are called again.
type memory struct {
	RollStore    // nil: what the tests do not use
	RequestStore // nil

	devices  map[string]Device // by serial
	users    map[string]User   // by domain and e-mail
	requests map[string]Request
	secrets  map[[32]byte]string // hash -> ID of the request
	messages []Message
	writes   int
	err      error
}

func newMemory(devices ...Device) *memory {
	m := &memory{devices: map[string]Device{}, users: map[string]User{}, requests: map[string]Request{}, secrets: map[[32]byte]string{}}
	for _, d := range devices {
		m.devices[d.Serial] = d
	}
	return m
}

func (m *memory) Device(_ context.Context, serial string) (Device, error) {
	d, ok := m.devices[serial]
	if m.err == nil && !ok {
		return Device{}, NoDevice(serial)
	}
	return d, m.err
}

// user finds or makes a user; its ID says who it is.
func (m *memory) user(u User) (id string, made bool) {
	id = u.Domain + "/" + u.Email
	_, known := m.users[id]
	m.users[id] = u
	return id, !known
}

func (m *memory) ChangeDevice(_ context.Context, serial string, user *User, change func(*Device, string) (Device, error)) (Device, bool, error) {
	userID := ""
	users := maps.Clone(m.users)
	if user != nil {
		userID, _ = m.user(*user)
	}
	try := func() (old, fresh Device, err error) {
		if d, ok := m.devices[serial]; ok {
			handed := d
			handed.Sources = maps.Clone(d.Sources)
			fresh, err = change(&handed, userID)
			return d, fresh, err
		}
		fresh, err = change(nil, userID)
		return Device{}, fresh, err
	}
	try() // a conflict: the transaction is run again
	old, fresh, err := try()
	if err == nil {
		err = m.err
	}
	if err != nil {
		m.users = users
		return Device{}, false, err
	}
	if fresh.Same(old) {
		return old, false, nil
	}
	fresh.Version = old.Version + 1
	m.devices[serial] = fresh
	m.writes++
	return fresh, true, nil
}

func (m *memory) CreateRequests(_ context.Context, invites []Invite) error {
	if m.err != nil {
		return m.err
	}
	for _, i := range invites {
		m.requests[i.ID] = i.Request
		m.link(i.ID, i.Link)
	}
	return nil
}

func (m *memory) link(id string, l Link) {
	m.secrets[l.SecretHash] = id
	if l.Message != nil {
		m.messages = append(m.messages, *l.Message)
	}
}

func (m *memory) Request(_ context.Context, id string) (Request, error) {
	r, ok := m.requests[id]
	if !ok {
		return r, Errorf(KindNotFound, "request_unknown", "there is no such enrollment request")
	}
	return r, nil
}

func (m *memory) AddLink(ctx context.Context, id string, l Link, change func(Request) (Request, error)) (Request, error) {
	r, err := m.ChangeRequest(ctx, id, change)
	if err == nil {
		m.link(id, l)
	}
	return r, err
}

func (m *memory) RequestsToRemind(_ context.Context, vias []Via, sent, now, until time.Time, _ int) ([]Request, error) {
	var found []Request
	for _, r := range m.requests {
		if slices.Contains(vias, r.Via) && r.CreatedAt.Before(sent) && r.ExpiresAt.After(now) && !r.ExpiresAt.After(until) {
			found = append(found, r)
		}
	}
	return found, m.err
}

func (m *memory) Invitation(_ context.Context, hash [32]byte) (Invitation, error) {
	for _, r := range m.requests {
		for _, d := range m.devices {
			if m.secrets[hash] == r.ID && d.ID == r.DeviceID {
				return Invitation{Request: r, Device: d}, m.err
			}
		}
	}
	return Invitation{}, Errorf(KindNotFound, "x", "internal text")
}

func (m *memory) ChangeRequest(_ context.Context, id string, change func(Request) (Request, error)) (Request, error) {
	old, ok := m.requests[id]
	if !ok {
		return Request{}, Errorf(KindNotFound, "request_unknown", "there is no such enrollment request")
	}
	change(old)
	fresh, err := change(old)
	if err != nil {
		return Request{}, err
	}
	if fresh != old {
		m.writes++
	}
	m.requests[id] = fresh
	for serial, d := range m.devices {
		if d.ID == fresh.DeviceID && fresh.State == RequestAccepted {
			if d.AcceptedAt.IsZero() {
				d.AcceptedAt = fresh.AcceptedAt
			}
			if d.Ownership == OwnershipSelectUser {
				d.Ownership = fresh.Ownership
			}
			m.devices[serial] = d
		}
	}
	return fresh, nil
}

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }
