package app

import (
	"context"
	"fmt"
	"time"

	"rollcall/admin"
	"rollcall/android"
	"rollcall/android/zerotouch"
	"rollcall/storage"
)

// ZeroTouchOptions are about Android's zero-touch enrollment.
type ZeroTouchOptions struct {
	ZeroTouchURL string `help:"Service to use instead of Google's zero-touch, for trials with simulated devices." name:"zero-touch-url" env:"ROLLCALL_ZERO_TOUCH_URL"`
}

// newZeroTouch makes what looks after the zero-touch account.
func (a *App) newZeroTouch() error {
	clouds, err := zerotouch.NewClouds(a.opts.ZeroTouchURL, a.store, a.now)
	if err != nil {
		return fmt.Errorf("--zero-touch-url: %w", err)
	}
	a.cleanups = append(a.cleanups, clouds.Close)
	extras := &zerotouch.Extras{Store: a.store, Provisioning: a.provisioning, Tokens: &android.Tokens{Store: a.store, Now: a.now}, Organization: a.store.Organization, Now: a.now}
	a.sweeper = &zerotouch.Syncer{Store: a.store, Clouds: clouds, Extras: extras, Now: a.now, Log: a.log}
	a.zeroTouch = &zerotouch.Accounts{Store: a.store, Clouds: clouds, Extras: extras, Kick: a.sweeper.Kick, Now: a.now}
	return nil
}

// examineZeroTouch looks at the zero-touch account; a deployment may have none.
func examineZeroTouch(ctx context.Context, store *storage.Store, now time.Time, fs *findings) {
	f := admin.Finding{Level: admin.LevelWarn, Link: admin.Prefix + "/android/zero-touch", Fix: "Look at the log."}
	a, err := store.ZeroTouch(ctx)
	if isNotFound(err) {
		return
	}
	switch {
	case err != nil:
		f.Code, f.Text = "zero_touch_unknown", "The zero-touch account cannot be read."
	case !a.Swept():
		f.Code, f.Text = "zero_touch_no_customer", fmt.Sprintf("The zero-touch account %s is connected, but no customer is chosen.", a.Address)
		f.Fix = "Choose one: rollcall android zero-touch customers, then rollcall android zero-touch set --customer NAME."
	case a.Sync.Problem != nil:
		f.Code, f.Text = "zero_touch_failing", fmt.Sprintf("The zero-touch account of %s is not up to date since %s: %s", a.Company, a.Sync.Problem.Since.Format(time.DateOnly), a.Sync.Problem.Text)
		f.Fix, f.Since = a.Sync.Problem.Hint, a.Sync.Problem.Since
	case !a.Sync.DoneAt.IsZero() && now.Sub(a.Sync.DoneAt) > 24*time.Hour:
		f.Code, f.Text, f.Since = "zero_touch_not_swept", fmt.Sprintf("The list of the zero-touch account of %s was not read for a day.", a.Company), a.Sync.DoneAt
	case a.WithoutSerial > 0:
		f.Code, f.Text = "zero_touch_without_serial", fmt.Sprintf("Zero-touch lists %d devices without a serial number, which the roll cannot hold.", a.WithoutSerial)
		f.Fix = "Have the reseller register their serial numbers; until then put them on the roll by hand."
	default:
		fs.ok("The zero-touch account of %s lists %d devices.", a.Company, a.Devices)
		return
	}
	f.Object = a.Customer
	fs.add(f)
}
