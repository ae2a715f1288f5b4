package enroll

import (
	"context"
	"slices"
	"strings"
	"time"
)

// DefaultDomain is the directory of users that belong to no other.
const DefaultDomain = "local"

// Domain is a directory of users. DefaultDomain is always there.
type Domain struct {
	Name      string
	CreatedAt time.Time
	Users     int // filled by UserStore.Domains
}

// User owns devices and receives enrollment requests. Domain and Email
// together are unique and never change.
type User struct {
	ID        string // UUIDv7
	Domain    string
	Name      string
	Email     string // lower case
	Mobile    string
	Language  string // BCP 47, of what is sent to the user; empty: the server's
	CreatedAt time.Time
	UpdatedAt time.Time
}

// UserFilter narrows a list of users; zero fields do not filter.
type UserFilter struct {
	Domain string
	Search string // prefix of the e-mail address
}

// UserStore keeps users and their domains.
type UserStore interface {
	User(ctx context.Context, id string) (User, error)
	// UserByEmail finds a user by domain and e-mail address in lower case.
	UserByEmail(ctx context.Context, domain, email string) (User, error)
	// UsersByID reads many at once; those that are unknown are left out.
	UsersByID(ctx context.Context, ids []string) (map[string]User, error)
	// Users lists by e-mail address, domain; Page.After is UserKey of the last.
	Users(ctx context.Context, f UserFilter, p Page) ([]User, error)
	// ChangeUser reads the user (nil: there is none), lets change make the new
	// one and writes it, all locked. change may be called again.
	ChangeUser(ctx context.Context, domain, email string, change func(old *User) (User, error)) (u User, changed bool, err error)
	// DeleteUser removes a user who owns no device; else KindConflict.
	DeleteUser(ctx context.Context, id string) error

	Domains(ctx context.Context) ([]Domain, error) // by name
	// Domain is KindNotFound, domain_unknown, where there is none.
	Domain(ctx context.Context, name string) (Domain, error)
	CreateDomain(ctx context.Context, d Domain) error // KindConflict when the name is taken
	// DeleteDomain removes a domain without users; else, and for
	// DefaultDomain, KindConflict.
	DeleteDomain(ctx context.Context, name string) error
}

// UserKey is the place of a user in the list of users.
func UserKey(u User) string { return u.Email + "\x1f" + u.Domain }

// NoDomain is the error for a domain that does not exist.
func NoDomain(name string) *Error {
	return Errorf(KindNotFound, "domain_unknown", "there is no domain with the name %q", name).
		WithHint("Make it first with POST /api/v1/domains; %q is always there.", DefaultDomain)
}

// NewDomain makes a domain. Its name is lower case, like an Internet name.
func (r *Roll) NewDomain(ctx context.Context, name string) (Domain, error) {
	d := Domain{Name: strings.ToLower(strings.TrimSpace(name)), CreatedAt: r.now().UTC()}
	if err := checkName("the name of the domain", d.Name); err != nil {
		return d, err
	}
	if d.Name == "" || strings.ContainsAny(d.Name, " /@") {
		return d, Errorf(KindInvalid, "domain_invalid", "%q cannot be the name of a domain", name).WithHint("Use a name like \"local\" or \"example.com\".")
	}
	return d, r.CreateDomain(ctx, d)
}

// UserInput is what an admin says of a user; nil fields are left as they are.
type UserInput struct {
	Name     *string
	Mobile   *string
	Language *string
}

// PutUser creates or changes the user with this domain and e-mail address.
func (r *Roll) PutUser(ctx context.Context, domain, email string, in UserInput) (u User, created, changed bool, err error) {
	named := User{Domain: domain, Email: email}
	if err := named.check(); err != nil {
		return User{}, false, false, err
	}
	u, changed, err = r.ChangeUser(ctx, named.Domain, named.Email, func(old *User) (User, error) {
		created = old == nil
		next := User{ID: NewID(), Domain: named.Domain, Email: named.Email, CreatedAt: r.now().UTC()}
		if !created {
			next = *old
		}
		for _, f := range []struct{ field, given *string }{{&next.Name, in.Name}, {&next.Mobile, in.Mobile}, {&next.Language, in.Language}} {
			if f.given != nil {
				*f.field = strings.TrimSpace(*f.given)
			}
		}
		return next, next.check()
	})
	return u, created && err == nil, changed, err
}

const (
	maxMobile   = 40
	maxLanguage = 35 // the longest tag RFC 5646 asks implementations to take
)

// check normalises and says what is wrong.
func (u *User) check() error {
	u.Email = strings.ToLower(strings.TrimSpace(u.Email))
	u.Domain = strings.TrimSpace(u.Domain)
	if u.Domain == "" {
		u.Domain = DefaultDomain
	}
	if err := CheckEmail(u.Email); err != nil {
		return err
	}
	if len(u.Mobile) > maxMobile {
		return Errorf(KindInvalid, "mobile_invalid", "the mobile number has %d bytes; at most %d are possible", len(u.Mobile), maxMobile)
	}
	if len(u.Language) > maxLanguage || slices.ContainsFunc([]rune(u.Language), func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return Errorf(KindInvalid, "language_invalid", "%q is not the tag of a language", u.Language).WithHint("Write it as en, de or pt-BR.")
	}
	return checkName("the user's name", u.Name)
}
