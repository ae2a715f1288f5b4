package zerotouch

import (
	"context"
	"slices"
	"time"

	"rollcall/android/google"
	"rollcall/enroll"
)

// Accounts is what admins do with the account.
type Accounts struct {
	Store  AccountStore
	Clouds *Clouds
	Extras *Extras
	Kick   func() // wakes the Syncer
	Now    func() time.Time
}

func (s *Accounts) now() time.Time {
	if s.Now == nil {
		return time.Now().UTC()
	}
	return s.Now().UTC()
}

// Account is the account. Error: NoAccount.
func (s *Accounts) Account(ctx context.Context) (Account, error) { return s.Store.ZeroTouch(ctx) }

// Input is what an admin says of the account; nil fields stay as they are.
type Input struct {
	Key              []byte // service-account key (JSON)
	Customer         *string
	AddAsPreEnrolled *bool
	Group            *string
	Assign           *Assign
	Configuration    *Configuration // all of it
}

// Put connects the account, or changes it. A key is proven at Google before it
// is stored. Where it is for one customer only, that one is chosen by itself.
func (s *Accounts) Put(ctx context.Context, in Input) (Account, error) {
	var key google.ServiceAccount
	var client *Client
	switch {
	case in.Key != nil:
		var err error
		if key, err = s.Clouds.read(in.Key); err != nil {
			return Account{}, err
		}
		client = s.Clouds.dial(key)
	case in.Customer != nil:
		a, err := s.Account(ctx)
		if err != nil {
			return Account{}, err
		}
		if client, err = s.Clouds.of(ctx, a); err != nil {
			return Account{}, err
		}
	}
	var customers []Customer
	if client != nil {
		var err error
		if customers, err = client.Customers(ctx); err != nil {
			return Account{}, err
		}
	}
	now := s.now()
	var a Account
	err := s.Store.Atomically(ctx, func(ctx context.Context) (err error) {
		a, err = s.Store.ChangeZeroTouch(ctx, now, func(old *Account) (Account, error) {
			a := Account{Assign: AssignChosen, CreatedAt: now}
			if old != nil {
				a = *old
			} else if in.Key == nil {
				return a, NoAccount()
			}
			if in.Key != nil {
				a.Project, a.Address, a.KeyID = key.ProjectID, key.ClientEmail, key.KeyID
			}
			a.UpdatedAt = now
			return a, in.apply(&a, customers)
		})
		if err == nil && in.Key != nil {
			err = s.Store.PutSecret(ctx, serviceAccount, in.Key)
		}
		return err
	})
	if err == nil {
		s.Kick()
	}
	return a, err
}

func (in Input) apply(a *Account, customers []Customer) error {
	wanted := a.Customer
	if in.Customer != nil {
		wanted = *in.Customer
	}
	if wanted == "" && len(customers) == 1 {
		wanted = customers[0].Name
	}
	if customers != nil && wanted != "" {
		i := slices.IndexFunc(customers, func(c Customer) bool { return c.Name == wanted })
		if i < 0 {
			return enroll.Errorf(enroll.KindInvalid, "zero_touch_customer_unknown", "the service account has no access to the customer %q", wanted).
				WithHint("Add its address to the customer's users in the zero-touch portal; rollcall android zero-touch customers lists those it has access to.")
		}
		if a.Customer != wanted {
			a.Configured = "" // each customer has its own
		}
		a.Customer, a.Company = wanted, customers[i].Company
	}
	if in.AddAsPreEnrolled != nil {
		a.AddAsPreEnrolled = *in.AddAsPreEnrolled
	}
	if in.Group != nil {
		if len(*in.Group) > enroll.MaxName {
			return enroll.Errorf(enroll.KindInvalid, "name_too_long", "the group has a name of %d bytes; at most %d are possible", len(*in.Group), enroll.MaxName)
		}
		a.Group = *in.Group
	}
	if in.Assign != nil {
		if !slices.Contains([]Assign{AssignAll, AssignUnassigned, AssignChosen}, *in.Assign) {
			return enroll.Errorf(enroll.KindInvalid, "zero_touch_assign_unknown", "the configuration cannot be assigned by %q", *in.Assign).WithHint("Use all, unassigned or chosen.")
		}
		a.Assign = *in.Assign
	}
	if in.Configuration != nil {
		a.Configuration = *in.Configuration
		if err := a.Configuration.check(); err != nil {
			return err
		}
	}
	return nil
}

// Customers lists those that the service account may look after.
func (s *Accounts) Customers(ctx context.Context) ([]Customer, error) {
	a, err := s.Account(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.Clouds.of(ctx, a)
	if err != nil {
		return nil, err
	}
	return c.Customers(ctx)
}

// Disconnect forgets the account. Devices keep at Google what they have, but
// the enrollment token in the extras of an agent is revoked.
func (s *Accounts) Disconnect(ctx context.Context) error {
	return s.Store.Atomically(ctx, func(ctx context.Context) error {
		if err := s.Store.DeleteZeroTouch(ctx); err != nil {
			return err
		}
		if err := s.Extras.revoke(ctx); err != nil {
			return err
		}
		return s.Store.DeleteSecret(ctx, serviceAccount)
	})
}

// Sync lets a worker sweep at once. Error: KindConflict without a customer.
func (s *Accounts) Sync(ctx context.Context) (Account, error) {
	a, err := s.Account(ctx)
	if err != nil {
		return a, err
	}
	if !a.Swept() {
		return a, noCustomer()
	}
	if err := s.Store.ZeroTouchDue(ctx, s.now()); err != nil {
		return a, err
	}
	s.Kick()
	return s.Account(ctx)
}

// MaxChosen is how many devices are chosen at once at most.
const MaxChosen = 1000

// Choose says which configuration devices are to have, whatever the account
// says. Error: KindNotFound where Google does not list one of them.
func (s *Accounts) Choose(ctx context.Context, serials []string, c Choice) error {
	if !slices.Contains([]Choice{ChoiceDefault, ChoiceOurs, ChoiceNone}, c) {
		return enroll.Errorf(enroll.KindInvalid, "zero_touch_choice_unknown", "%q is no choice", c).WithHint("Use ours, none or default.")
	}
	if len(serials) == 0 || len(serials) > MaxChosen {
		return enroll.Errorf(enroll.KindInvalid, "zero_touch_choice_number", "%d devices cannot be chosen at once; 1 to %d can", len(serials), MaxChosen)
	}
	list := make([]string, 0, len(serials))
	for _, raw := range serials {
		serial := enroll.NormalizeSerial(raw)
		if err := enroll.CheckSerial(serial); err != nil {
			return err
		}
		list = append(list, serial)
	}
	slices.Sort(list)
	if err := s.Store.ChooseZeroTouch(ctx, slices.Compact(list), c, s.now()); err != nil {
		return err
	}
	s.Kick()
	return nil
}
