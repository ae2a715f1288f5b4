package app

import (
	"context"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

// warnBefore is how long before an expiry the log begins to say so, once a day.
const warnBefore = 30 * 24 * time.Hour

// challengesKept is how long an unused challenge stays after its end, so that a
// late device is told that it expired.
const challengesKept = 7 * 24 * time.Hour

// daily does what is enough once a day: it has identities renewed that end
// soon, removes decisions that are older than the settings say, and warns of
// the push certificate's end.
func (a *App) daily(ctx context.Context, now time.Time) {
	day := now.Truncate(24 * time.Hour)
	if !a.dailyDone.Before(day) {
		return
	}
	a.dailyDone = day
	a.forgetConsole(ctx, now)
	if err := a.store.MarkExpiring(ctx, now.Add(policy.RenewBefore)); err != nil && ctx.Err() == nil {
		a.dailyDone = time.Time{}
		a.log.WarnContext(ctx, "identities that end soon not looked for", "error", err)
	}
	a.deliverer.Kick()
	if n, err := a.store.ForgetChallenges(ctx, now.Add(-challengesKept)); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "unused challenges not removed", "error", err)
	} else if n > 0 {
		a.log.InfoContext(ctx, "unused challenges removed", "count", n)
	}
	a.forgetSignIns(ctx, now)
	if n, err := a.restrictions.ForgetDecisions(ctx); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "old decisions not removed", "error", err)
	} else if n > 0 {
		a.log.InfoContext(ctx, "old decisions removed", "count", n)
	}
	if n, err := a.imports.DropImports(ctx, now.Add(-enroll.ImportRetention)); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "old imports not removed", "error", err)
	} else if n > 0 {
		a.log.InfoContext(ctx, "old imports removed", "count", n)
	}
	info, err := a.certificates.Info(ctx)
	if err == nil && info.Installed && now.After(info.NotAfter.Add(-warnBefore)) {
		a.log.WarnContext(ctx, "the MDM push certificate ends soon; renew it with the same Apple Account", "ends", info.NotAfter)
		a.tellExpiring(ctx, day, info.NotAfter)
	}
	a.warnDEP(ctx, day, now)
}
