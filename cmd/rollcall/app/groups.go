package app

import (
	"context"
	"time"
)

// expireDevices brings rows up to date whose time is over; rule groups look at
// that.
func (a *App) expireDevices(ctx context.Context, now time.Time) {
	if n, err := a.store.ExpireDevices(ctx, now); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "rows not expired", "error", err)
	} else if n > 0 {
		a.log.InfoContext(ctx, "rows expired", "count", n)
	}
}
