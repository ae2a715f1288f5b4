package app

import (
	"fmt"

	"rollcall/android"
	"rollcall/android/zerotouch"
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
