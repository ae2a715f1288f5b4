package admin

import (
	"context"
	"net/http"

	"rollcall/policy"
)

type RolloutView struct {
	Percent   int   `json:"percent" doc:"Share of the devices that gets the newest version."`
	PerMinute int   `json:"per_minute" doc:"How many devices a change reaches in a minute; 0: all at once."`
	Paused    bool  `json:"paused" doc:"Nobody else gets the newest version."`
	Base      int64 `json:"base_version,omitempty" doc:"The version of the devices that the roll-out has not reached. Absent: all get the newest."`
}

func viewRollout(p policy.Policy) RolloutView {
	v := RolloutView{Percent: p.Rollout.Percent, PerMinute: p.Rollout.PerMinute, Paused: p.Rollout.Paused}
	if p.Rollout.Staged() {
		v.Base = p.Rollout.Base
	}
	return v
}

type rolloutChangeView struct {
	RolloutView
	Version int64 `json:"version" doc:"The newest version."`
	Changed bool  `json:"changed" doc:"false: it was so already."`
}

// policyRollout declares how new versions reach devices.
func (r routes) policyRollout() {
	a := r.a
	change := func(ctx context.Context, name string, change func(policy.Rollout) policy.Rollout) (*body[rolloutChangeView], error) {
		p, changed, err := a.Policies.ChangeRollout(ctx, name, func(p policy.Policy) (policy.Rollout, error) {
			to := change(p.Rollout)
			return p.Rollout.Change(to, p.Version), to.Check()
		})
		if err != nil {
			return nil, err
		}
		if changed {
			a.kick()
		}
		return &body[rolloutChangeView]{rolloutChangeView{viewRollout(p), p.Version, changed}}, nil
	}
	add(r, RoleViewer, r.policyOperation("get-rollout", http.MethodGet, "/{name}/rollout", "Read the roll-out of a policy", ""),
		func(ctx context.Context, in *PolicyParam) (*body[RolloutView], error) {
			p, err := a.Policies.Policy(ctx, in.Name)
			return &body[RolloutView]{viewRollout(p)}, err
		})
	type putRollout struct {
		PolicyParam
		Body struct {
			Percent   int `json:"percent" minimum:"0" maximum:"100" doc:"Who is in follows from the device alone: those who are in stay in as it grows."`
			PerMinute int `json:"per_minute,omitempty" minimum:"0" maximum:"1000000" doc:"How many devices a change reaches in a minute; 0: all at once."`
		}
	}
	add(r, RoleAdmin, r.policyOperation("put-rollout", http.MethodPut, "/{name}/rollout", "Set the roll-out of a policy",
		"Below 100 percent the version of now stays with the other devices while new versions are saved, until the percentage grows. Set it before the change that it is for."),
		func(ctx context.Context, in *putRollout) (*body[rolloutChangeView], error) {
			return change(ctx, in.Name, func(r policy.Rollout) policy.Rollout {
				r.Percent, r.PerMinute = in.Body.Percent, in.Body.PerMinute
				return r
			})
		})
	pause := func(paused bool) func(context.Context, *PolicyParam) (*body[rolloutChangeView], error) {
		return func(ctx context.Context, in *PolicyParam) (*body[rolloutChangeView], error) {
			return change(ctx, in.Name, func(r policy.Rollout) policy.Rollout {
				r.Paused = paused
				return r
			})
		}
	}
	add(r, RoleAdmin, r.policyOperation("pause-rollout", http.MethodPost, "/{name}/rollout/pause", "Pause the roll-out of a policy", "Every device keeps the version it has; new devices get the one that was current before."), pause(true))
	add(r, RoleAdmin, r.policyOperation("resume-rollout", http.MethodPost, "/{name}/rollout/resume", "Go on with the roll-out of a policy", ""), pause(false))
}
