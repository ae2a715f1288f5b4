package admin

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"rollcall/admin/credential"
	"rollcall/enroll"
)

// InvitationLife is for how long the link is good with which an administrator
// chooses a password.
const InvitationLife = 7 * 24 * time.Hour

// Paths of the console that are given out. They are part of links and of what an
// OpenID provider knows.
const (
	PathSetUp      = "/console/set-up"
	PathInvitation = "/console/invitation/"
	PathCallback   = "/console/oidc/callback"
)

// SetUpCode makes a new code with which the first administrator is made, and ends
// the one before; empty where there is an administrator.
func (s *Administrators) SetUpCode(ctx context.Context) (string, error) {
	text := rand.Text()[:20]
	code := strings.Join([]string{text[:5], text[5:10], text[10:15], text[15:]}, "-")
	needed, err := s.Store.PutSetUpCode(ctx, hashSetUpCode(code), s.Now())
	if err != nil || !needed {
		return "", err
	}
	return code, nil
}

func hashSetUpCode(code string) [32]byte {
	return enroll.HashSecret(strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code)))
}

// SetUp makes the first administrator, with the role admin, and signs them in.
// enroll.KindForbidden where the code is not the one that was given last or where
// there is an administrator already, enroll.KindInvalid for what is not a name, an
// address or a good password.
func (s *Administrators) SetUp(ctx context.Context, code, name, email, password string, from Browser) (SignedIn, error) {
	a, err := s.newAdministrator(name, email, RoleAdmin)
	if err != nil {
		return SignedIn{}, err
	}
	if err := credential.CheckPassword(password, a.Email); err != nil {
		return SignedIn{}, err
	}
	var out SignedIn
	err = s.try(ctx, []TrySource{sourceOf("address", RemoteClient(from.host()), freeByAddress)}, func() (bool, error) {
		hash, err := s.Hasher.Hash(ctx, password)
		if err != nil {
			return false, err
		}
		a.HasPassword = true
		created, err := s.Store.CreateFirstAdministrator(called(ctx, a, "set-up", from.host()), Account{Administrator: a, Password: hash}, hashSetUpCode(code))
		if err != nil {
			return false, err
		}
		if !created {
			return false, enroll.Errorf(enroll.KindForbidden, "set_up_code_wrong", "the code is not the one of the set-up, or was used").WithHint("The server prints a new code at each start, until there is an administrator.")
		}
		out, err = s.begin(ctx, a, ByInvitation, from)
		return true, err
	})
	return out, err
}

// newAdministrator checks what one is made of.
func (s *Administrators) newAdministrator(name, email string, role Role) (Administrator, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	if err := checkName("administrator", name); err != nil {
		return Administrator{}, err
	}
	if err := enroll.CheckEmail(email); err != nil {
		return Administrator{}, err
	}
	now := s.Now().UTC()
	return Administrator{ID: enroll.NewID(), Email: email, Name: name, Role: role, CreatedAt: now, UpdatedAt: now, Version: 1}, nil
}

// Invite makes an administrator, and the link with which they choose a password.
func (s *Administrators) Invite(ctx context.Context, name, email string, role Role) (a Administrator, link string, err error) {
	if a, err = s.newAdministrator(name, email, role); err != nil {
		return a, "", err
	}
	secret, hash := enroll.NewSecret()
	a.InvitedUntil = s.Now().UTC().Add(InvitationLife)
	return a, s.link(secret), s.Store.CreateAdministrator(ctx, Account{Administrator: a, Invitation: hash[:]})
}

func (s *Administrators) link(secret string) string { return s.PublicURL + PathInvitation + secret }

// Reset takes an administrator's password away, ends the sessions, and gives a new
// link to choose one.
func (s *Administrators) Reset(ctx context.Context, id string) (a Administrator, link string, err error) {
	secret, hash := enroll.NewSecret()
	a, err = s.Store.ChangeAdministrator(ctx, id, func(a *Account) (SessionEnd, error) {
		a.Password, a.Invitation, a.InvitedUntil = "", hash[:], s.Now().UTC().Add(InvitationLife)
		return SessionEnd{All: true}, nil
	})
	return a, s.link(secret), err
}

func invitationOver() error {
	return enroll.Errorf(enroll.KindForbidden, "invitation_over", "the link is not good any more").WithHint("Ask an administrator for a new one.")
}

// Invited is who a link invites; enroll.KindForbidden where it is over.
func (s *Administrators) Invited(ctx context.Context, secret string) (Administrator, error) {
	hash := enroll.HashSecret(secret)
	account, err := s.Store.AdministratorByInvitation(ctx, hash[:])
	if enroll.KindOf(err) == enroll.KindNotFound || err == nil && !account.invited(s.Now()) {
		return Administrator{}, invitationOver()
	}
	return account.Administrator, err
}

func (a Account) invited(now time.Time) bool {
	return a.Invitation != nil && now.Before(a.InvitedUntil) && a.DisabledAt.IsZero()
}

// Accept chooses the password of who has the link, once, and signs them in; or
// gives a ticket for Confirm where they have a second factor. Errors are those of
// Invited, and enroll.KindInvalid for a password that is not good.
func (s *Administrators) Accept(ctx context.Context, secret, password string, from Browser) (SignedIn, error) {
	who, err := s.Invited(ctx, secret)
	if err != nil {
		return SignedIn{}, err
	}
	if err := credential.CheckPassword(password, who.Email); err != nil {
		return SignedIn{}, err
	}
	hash, err := s.Hasher.Hash(ctx, password)
	if err != nil {
		return SignedIn{}, err
	}
	invitation := enroll.HashSecret(secret)
	who, err = s.Store.ChangeAdministrator(called(ctx, who, "accept-invitation", from.host()), who.ID, func(a *Account) (SessionEnd, error) {
		if string(a.Invitation) != string(invitation[:]) || !a.invited(s.Now()) {
			return SessionEnd{}, invitationOver()
		}
		a.Password, a.Invitation, a.InvitedUntil = hash, nil, time.Time{}
		return SessionEnd{All: true}, nil
	})
	if err != nil {
		return SignedIn{}, err
	}
	if who.SecondFactor {
		ticket, err := s.issue(ctx, ticket{Kind: ticketCode, AdministratorID: who.ID, Password: proofOf(hash)}, ticketLife)
		return SignedIn{Ticket: ticket}, err
	}
	return s.begin(ctx, who, ByInvitation, from)
}
