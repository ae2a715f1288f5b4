package dep

import (
	"context"
	"slices"
	"time"

	"rollcall/dep/cloud"
	"rollcall/enroll"
)

// Accounts is what admins do with accounts and profiles.
type Accounts struct {
	Store
	clouds *Clouds
	kick   func()
	now    func() time.Time
}

// NewAccounts makes it. kick wakes the Syncer; a nil clock is time.Now.
func NewAccounts(store Store, clouds *Clouds, kick func(), now func() time.Time) *Accounts {
	if now == nil {
		now = time.Now
	}
	return &Accounts{Store: store, clouds: clouds, kick: kick, now: now}
}

// Input is what an admin says of an account; nil fields stay as they are.
type Input struct {
	Name             *string
	AddAsPreEnrolled *bool
	Default          *NamedDefault
	Families         *map[Family]NamedDefault // all of them
}

// NamedDefault is a Default with the name of the profile.
type NamedDefault struct {
	Group   string `json:"group,omitempty" maxLength:"255" doc:"A static group that new devices join; it is made where it is missing."`
	Profile string `json:"profile,omitempty" maxLength:"255" doc:"Name of the account's profile that devices get."`
}

// Create makes an account with a key pair of its own.
func (s *Accounts) Create(ctx context.Context, name string, in Input) (Account, error) {
	now := s.now().UTC()
	a := Account{ID: enroll.NewID(), Name: name, CreatedAt: now, UpdatedAt: now}
	if err := checkName("the account", name); err != nil {
		return Account{}, err
	}
	if err := in.apply(&a, nil); err != nil {
		return Account{}, err
	}
	pair, err := NewKeyPair(name, now)
	if err != nil {
		return Account{}, err
	}
	a.CertificatePEM = pair.CertificatePEM
	if err := s.CreateAccount(ctx, a, pair.KeyPEM); err != nil {
		return Account{}, err
	}
	return s.Account(ctx, name)
}

// Change changes an account.
func (s *Accounts) Change(ctx context.Context, name string, in Input) (Account, error) {
	profiles, err := s.Profiles(ctx, name)
	if err != nil {
		return Account{}, err
	}
	a, err := s.ChangeAccount(ctx, name, func(a Account) (Account, error) {
		a.UpdatedAt = s.now().UTC()
		return a, in.apply(&a, profiles)
	})
	s.kick()
	return a, err
}

func (in Input) apply(a *Account, profiles []Profile) error {
	if in.Name != nil {
		if err := checkName("the account", *in.Name); err != nil {
			return err
		}
		a.Name = *in.Name
	}
	if in.AddAsPreEnrolled != nil {
		a.AddAsPreEnrolled = *in.AddAsPreEnrolled
	}
	resolve := func(n NamedDefault) (Default, error) {
		d := Default{Group: n.Group}
		if n.Group != "" {
			if err := checkName("the group", n.Group); err != nil {
				return d, err
			}
		}
		if n.Profile == "" {
			return d, nil
		}
		i := slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == n.Profile })
		if i < 0 {
			e := *NoProfile(a.Name, n.Profile)
			e.Kind = enroll.KindInvalid
			return d, &e
		}
		d.ProfileID = profiles[i].ID
		return d, nil
	}
	var err error
	if in.Default != nil {
		if a.Default, err = resolve(*in.Default); err != nil {
			return err
		}
	}
	if in.Families == nil {
		return nil
	}
	a.Families = map[Family]Default{}
	for f, n := range *in.Families {
		if !slices.Contains(Families, f) {
			return enroll.Errorf(enroll.KindInvalid, "family_unknown", "the family %q does not exist", f).WithHint("Use one of iPhone, iPad, Mac, AppleTV.")
		}
		if a.Families[f], err = resolve(n); err != nil {
			return err
		}
	}
	return nil
}

// Delete deletes an account.
func (s *Accounts) Delete(ctx context.Context, name string) error {
	a, err := s.Account(ctx, name)
	if err != nil {
		return err
	}
	s.clouds.forget(a.ID)
	return s.DeleteAccount(ctx, name)
}

// InstallToken takes a server token file. Nothing changes before Apple has
// taken the token. One of another server than before is KindConflict without
// force: every profile would have to be assigned anew.
func (s *Accounts) InstallToken(ctx context.Context, name string, file []byte, force bool) (Account, error) {
	a, err := s.Account(ctx, name)
	if err != nil {
		return Account{}, err
	}
	pair, err := s.AccountKeys(ctx, a.ID)
	if err != nil {
		return Account{}, err
	}
	now := s.now().UTC()
	t, err := OpenToken(file, pair, now)
	if err != nil {
		return Account{}, err
	}
	anew := false
	if a.Token.Installed() {
		old, err := s.AccountToken(ctx, a.ID)
		if err != nil {
			return Account{}, err
		}
		if anew = old.ConsumerKey != t.ConsumerKey; anew && !force {
			return Account{}, otherServer(name)
		}
	}
	session := &single{}
	c, err := s.clouds.dial(t, session)
	if err != nil {
		return Account{}, err
	}
	says, err := c.Account(ctx)
	if err != nil {
		return Account{}, err
	}
	if a.Apple.ServerUUID != "" && a.Apple.ServerUUID != says.ServerUUID {
		if anew = true; !force {
			return Account{}, otherServer(name)
		}
	}
	a, err = s.PutToken(ctx, a.ID, t, says, session.session, anew, now)
	s.kick()
	return a, err
}

func otherServer(name string) error {
	return enroll.Errorf(enroll.KindConflict, "token_other_server", "the token belongs to another device management service than the one of the account %q", name).
		WithHint("Download the token of the same service; or make another account; or repeat with force, which lets go of all devices of the old one.")
}

// Sync lets a worker look at an account at once.
func (s *Accounts) Sync(ctx context.Context, name string, full bool) (Account, error) {
	a, err := s.Account(ctx, name)
	if err == nil && !a.Token.Installed() {
		err = NoToken(name)
	}
	if err == nil {
		a, err = s.SyncNow(ctx, name, full, s.now().UTC())
	}
	s.kick()
	return a, err
}

// ProfileInput is what an admin says of a profile; nil fields stay as they are.
type ProfileInput struct {
	Settings       *ProfileSettings
	Authentication *Authentication
	MinimumOS      *map[string]string
}

// PutProfile makes or changes a profile. Apple is told by the Syncer; devices
// that have the old version get the new one then, and use it when they are next
// activated.
func (s *Accounts) PutProfile(ctx context.Context, account, name string, in ProfileInput) (p Profile, created, changed bool, err error) {
	p, created, changed, err = s.ChangeProfile(ctx, account, name, newSecret(), func(old *Profile) (Profile, error) {
		now := s.now().UTC()
		p := Profile{ID: enroll.NewID(), Name: name, Version: 1, Authentication: AuthenticationNone, CreatedAt: now}
		if old != nil {
			p = *old
		}
		if in.Settings != nil {
			p.Settings = *in.Settings
		}
		if in.Authentication != nil {
			p.Authentication = *in.Authentication
		}
		if in.MinimumOS != nil {
			p.MinimumOS = *in.MinimumOS
		}
		if err := p.check(); err != nil {
			return p, err
		}
		if old != nil && equalJSON(p, *old) {
			return p, nil
		}
		p.UpdatedAt = now
		if old != nil && !p.sameForApple(*old) {
			p.Version, p.Problem = old.Version+1, nil
		}
		return p, nil
	})
	s.kick()
	return p, created, changed, err
}

// call makes a call for an account by name.
func (s *Accounts) call(ctx context.Context, name string, call func(c *cloud.Client) error) error {
	a, err := s.Account(ctx, name)
	if err != nil {
		return err
	}
	c, err := s.clouds.of(ctx, a)
	if err != nil {
		return err
	}
	return call(c)
}

// Discovery is where Apple sends account-driven enrollments of the organization
// that find no well-known document; empty: nowhere.
func (s *Accounts) Discovery(ctx context.Context, account string) (url string, err error) {
	err = s.call(ctx, account, func(c *cloud.Client) error {
		url, err = c.Discovery(ctx)
		return err
	})
	return url, err
}

// SetDiscovery sets it; empty: takes it back.
func (s *Accounts) SetDiscovery(ctx context.Context, account, url string) error {
	if url == "" {
		return s.call(ctx, account, func(c *cloud.Client) error { return c.DeleteDiscovery(ctx) })
	}
	if err := CheckDiscovery(url); err != nil {
		return err
	}
	return s.call(ctx, account, func(c *cloud.Client) error { return c.SetDiscovery(ctx, url) })
}

// MaxDisown is how many devices are released at once at most.
const MaxDisown = 100

// Disown releases devices from the organization, for good. The outcome is by
// serial; the roll follows at the next synchronisation.
func (s *Accounts) Disown(ctx context.Context, account string, serials []string) (map[string]cloud.Outcome, error) {
	list := make([]string, 0, len(serials))
	for _, raw := range serials {
		serial := enroll.NormalizeSerial(raw)
		if err := enroll.CheckSerial(serial); err != nil {
			return nil, err
		}
		list = append(list, serial)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) == 0 || len(list) > MaxDisown {
		return nil, enroll.Errorf(enroll.KindInvalid, "dep_disown_number", "%d devices cannot be released at once; 1 to %d can", len(list), MaxDisown)
	}
	var done cloud.Assignment
	err := s.call(ctx, account, func(c *cloud.Client) (err error) {
		done, err = c.Disown(ctx, list)
		return err
	})
	if err == nil {
		_, err = s.Sync(ctx, account, false)
	}
	return done.Outcomes, err
}
