package app

import (
	"context"
	"time"
)

// warnBefore is how long before an expiry the log begins to say so, once a day.
const warnBefore = 30 * 24 * time.Hour

// watchExpiry warns of the push certificate's end: when it passes, no device
// can be woken, and a certificate under another account loses them all.
func (a *App) watchExpiry(ctx context.Context, now time.Time) {
	info, err := a.certificates.Info(ctx)
	if err != nil || !info.Installed || now.Before(info.NotAfter.Add(-warnBefore)) {
		return
	}
	if day := now.Truncate(24 * time.Hour); a.warned.Before(day) {
		a.warned = day
		a.log.WarnContext(ctx, "the MDM push certificate ends soon; renew it with the same Apple Account", "ends", info.NotAfter)
	}
}
