package zerotouch

import (
	"context"
	"slices"
	"strings"
	"time"

	"rollcall/android"
	"rollcall/android/amapi"
	"rollcall/enroll"
)

// enrollmentToken is the name that the secret of the agents' token is kept
// under: it stands in the extras at Google, and is needed to compare them.
const enrollmentToken = "zero_touch/enrollment_token"

// Extras makes what the agent finds when it is started out of the box.
type Extras struct {
	Store        AccountStore
	Provisioning android.Provisioning
	Tokens       *android.Tokens
	Organization func(ctx context.Context) (amapi.Organization, error)
	Now          func() time.Time
}

// of gives the package of the agent and its extras (JSON). Errors that an admin
// has to settle are enroll.KindConflict.
func (x *Extras) of(ctx context.Context, c Configuration) (pkg, extras string, err error) {
	var p android.Payloads
	agent := android.DevicePolicy
	switch c.Way {
	case WayAgent:
		if agent = x.Provisioning.Agent; agent == (android.Agent{}) {
			return "", "", enroll.Errorf(enroll.KindConflict, "zero_touch_no_agent", "no agent is configured on this server").WithHint("Start it with --agent-component and --agent-checksum, or use device_policy.")
		}
		secret, err := x.token(ctx)
		if err != nil {
			return "", "", err
		}
		p, err = x.Provisioning.ForAgent(secret, android.Setup{})
		if err != nil {
			return "", "", err
		}
	default:
		o, err := x.Organization(ctx)
		if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
			return "", "", err
		}
		i := slices.IndexFunc(o.Ways, func(w amapi.Way) bool { return w.Mode == c.Mode })
		if i < 0 {
			return "", "", enroll.Errorf(enroll.KindConflict, "zero_touch_no_way", "no organization is connected to the Android Management API whose gate for %s is sign_in", c.Mode).
				WithHint("Connect it (docs/android.md), and set the gate with rollcall android enterprise gate %s sign_in.", c.Mode)
		}
		if p, err = x.Provisioning.ForDevicePolicy(o.Ways[i].Token, android.Setup{}); err != nil {
			return "", "", err
		}
	}
	pkg, _, _ = strings.Cut(agent.Component, "/")
	return pkg, p.ZeroTouch, nil
}

// token is the secret of the token that agents enroll with. One that cannot be
// used any more is replaced.
func (x *Extras) token(ctx context.Context) (string, error) {
	held, err := x.Store.Secret(ctx, enrollmentToken)
	if err == nil {
		t, err := x.Tokens.Store.EnrollmentTokenByHash(ctx, enroll.HashSecret(string(held)))
		switch {
		case err == nil && t.Usable(x.Now()) == nil:
			return string(held), nil
		case err != nil && enroll.KindOf(err) != enroll.KindNotFound:
			return "", err
		}
	} else if enroll.KindOf(err) != enroll.KindNotFound {
		return "", err
	}
	var secret string
	err = x.Store.Atomically(ctx, func(ctx context.Context) error {
		_, fresh, err := x.Tokens.Create(ctx, android.Token{Name: "zero-touch", Ownership: enroll.OwnershipCorporate, CreatedBy: actor})
		if err != nil {
			return err
		}
		secret = fresh
		return x.Store.PutSecret(ctx, enrollmentToken, []byte(secret))
	})
	return secret, err
}

// revoke ends the token.
func (x *Extras) revoke(ctx context.Context) error {
	held, err := x.Store.Secret(ctx, enrollmentToken)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := x.Tokens.Store.EnrollmentTokenByHash(ctx, enroll.HashSecret(string(held)))
	if err == nil {
		_, err = x.Tokens.Store.RevokeEnrollmentToken(ctx, t.ID, x.Now().UTC())
	}
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return err
	}
	return x.Store.DeleteSecret(ctx, enrollmentToken)
}
