package enroll

import (
	"slices"
	"time"
)

// Check says what is wrong with a choice of recipients, or nil.
func (s Sending) Check(channels []Via) error {
	if s.Via == ViaLink {
		return Errorf(KindInvalid, "via_link", "the links of an import cannot be handed out all at once").WithHint("Use email or sms, or make requests of single devices via link.")
	}
	if len(s.Only) > 0 && len(s.Except) > 0 {
		return Errorf(KindInvalid, "recipients_twice", "either the lines that get requests can be given, or those that do not")
	}
	return offers(channels, s.Via)
}

// Chosen says whether a line is among those that get requests.
func (s Sending) Chosen(line int) bool {
	if len(s.Only) > 0 {
		_, found := slices.BinarySearch(s.Only, line)
		return found
	}
	_, left := slices.BinarySearch(s.Except, line)
	return !left
}

// Invites makes requests of those of some recipients who are chosen and can be
// reached, and notes the others.
func (s Sending) Invites(recipients []Recipient, now time.Time) ([]Invite, Sending) {
	var invites []Invite
	for _, r := range recipients {
		s.After = r.Line
		if !s.Chosen(r.Line) {
			continue
		}
		if r.Unreachable(s.Via) != "" {
			s.LeftOut++
			continue
		}
		q := Request{ID: NewID(), DeviceID: r.DeviceID, UserID: r.User.ID, Via: s.Via, State: s.Via.handedOver(), CreatedBy: s.By, CreatedAt: now, ExpiresAt: now.Add(RequestLifetime)}
		link, _ := newLink(q.ID, MessageInvitation, s.Via, now)
		invites = append(invites, Invite{q, link})
		s.Sent++
	}
	return invites, s
}
