package admin

import (
	"context"

	"rollcall/admin/credential"
	"rollcall/enroll"
)

// ChangePassword takes a new password for the old one, and ends the sessions but
// sessionID. Wrong tries count as failed sign-ins. enroll.KindForbidden where the
// old one is wrong, enroll.KindInvalid where the new one is not good.
func (s *Administrators) ChangePassword(ctx context.Context, id, sessionID, old, password string, from Browser) error {
	account, err := s.Store.Administrator(ctx, id)
	if err != nil {
		return err
	}
	if err := credential.CheckPassword(password, account.Email); err != nil {
		return err
	}
	return s.try(ctx, sources(account.Email, from), func() (bool, error) {
		ok, _, err := s.Hasher.Verify(ctx, account.Password, old)
		if err != nil {
			return false, err
		}
		if !ok {
			return false, enroll.Errorf(enroll.KindForbidden, "password_wrong", "the current password is wrong")
		}
		hash, err := s.Hasher.Hash(ctx, password)
		if err != nil {
			return false, err
		}
		_, err = s.Store.ChangeAdministrator(ctx, id, func(a *Account) (SessionEnd, error) {
			if a.Password != account.Password {
				return SessionEnd{}, enroll.Errorf(enroll.KindConflict, "password_changed", "the password was changed meanwhile")
			}
			a.Password = hash
			return SessionEnd{All: true, Except: sessionID}, nil
		})
		return true, err
	})
}

// NewKey makes a key for the second factor, which ConfirmKey takes into use.
func (s *Administrators) NewKey(ctx context.Context, id string) (credential.Key, error) {
	key := credential.NewKey()
	_, err := s.Store.ChangeAdministrator(ctx, id, func(a *Account) (SessionEnd, error) {
		if a.SecondFactor {
			return SessionEnd{}, enroll.Errorf(enroll.KindConflict, "second_factor_on", "the second factor is on already").WithHint("Turn it off first.")
		}
		a.NewKey = key
		return SessionEnd{}, nil
	})
	return key, err
}

// ConfirmKey turns the second factor on with a code of the key that NewKey made,
// and gives the recovery codes. Other sessions end.
func (s *Administrators) ConfirmKey(ctx context.Context, id, sessionID, code string) (codes []string, err error) {
	_, err = s.Store.ChangeAdministrator(ctx, id, func(a *Account) (SessionEnd, error) {
		if a.NewKey == nil {
			return SessionEnd{}, enroll.Errorf(enroll.KindConflict, "second_factor_unasked", "there is no key to confirm").WithHint("Ask for one first.")
		}
		step, ok := a.NewKey.Verify(code, s.Now(), a.Step)
		if !ok {
			return SessionEnd{}, enroll.Errorf(enroll.KindInvalid, "code_wrong", "the code is wrong").WithHint("Wait for the next one. If none is right, look at the clock of the phone.")
		}
		a.Key, a.NewKey, a.Step = a.NewKey, nil, step
		codes, a.RecoveryCodes = credential.NewRecoveryCodes()
		return SessionEnd{All: true, Except: sessionID}, nil
	})
	return codes, err
}

// RemoveKey turns the second factor off for who has a code of it.
// enroll.KindForbidden where that is wrong; such tries count as failed sign-ins.
func (s *Administrators) RemoveKey(ctx context.Context, id, code string, from Browser) error {
	account, err := s.Store.Administrator(ctx, id)
	if err != nil {
		return err
	}
	return s.try(ctx, sources(account.Email, from), func() (bool, error) {
		_, err := s.Store.ChangeAdministrator(ctx, id, func(a *Account) (SessionEnd, error) {
			if _, err := a.use(code, s.Now()); err != nil {
				return SessionEnd{}, err
			}
			a.forgetKey()
			return SessionEnd{}, nil
		})
		return true, err
	})
}

// ResetKey turns the second factor of somebody off who has lost it, and ends
// their sessions.
func (s *Administrators) ResetKey(ctx context.Context, id string) error {
	_, err := s.Store.ChangeAdministrator(ctx, id, func(a *Account) (SessionEnd, error) {
		a.forgetKey()
		return SessionEnd{All: true}, nil
	})
	return err
}

func (a *Account) forgetKey() { a.Key, a.NewKey, a.RecoveryCodes = nil, nil, nil }
