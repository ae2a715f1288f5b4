package amapi

import (
	"context"
	"testing"
	"time"

	"rollcall/enroll"
)

// opening admits to a row.
type opening struct {
	row     string
	decided int
}

func (g *opening) Decide(ctx context.Context, a enroll.Attempt) (enroll.Decision, error) {
	g.decided++
	d, err := g.Explain(ctx, a)
	d.ID = "decided"
	return d, err
}

func (g *opening) Explain(context.Context, enroll.Attempt) (enroll.Decision, error) {
	return enroll.Decision{DeviceID: g.row, Code: enroll.AllowListed, Enforced: enroll.AllowListed, Outcome: enroll.OutcomeAllow}, nil
}

func (g *opening) Refuse(_ context.Context, _ enroll.Attempt, code enroll.Code, _ string) (enroll.Decision, error) {
	return enroll.Decision{ID: "refused", Code: code, Enforced: code, Outcome: code.Outcome()}, nil
}

// TestTokensComeBack: what becomes of a device by the token that it brings.
func TestTokensComeBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	signIn := BoundToken{DeviceID: "old", Serial: "R58N00000A1", Identified: "R58N00000A1", Mode: FullyManaged, State: TokenMade, DecisionID: "at sign-in", ExpiresAt: now.Add(signInLife)}
	bound := signIn
	bound.DecisionID, bound.Identified = "", ""
	off := Settings{FullyManaged: {GateOff, Quarantine}}
	for name, c := range map[string]struct {
		token    BoundToken
		row      string
		settings Settings
		enrolled time.Time
		code     enroll.Code
		decision string
	}{
		"the decision of the sign-in page stands":   {signIn, "old", nil, now, enroll.AllowListed, "at sign-in"},
		"the row was put on the roll anew":          {signIn, "new", nil, now, enroll.AllowListed, "decided"},
		"the row of a bound token was":              {bound, "new", nil, now, enroll.DenyTokenSerialMismatch, "refused"},
		"the mode is off":                           {bound, "old", off, now, enroll.DenyChannel, "refused"},
		"it enrolled in time, and is heard of late": {signIn, "old", nil, now.Add(signInLife), enroll.AllowListed, "at sign-in"},
		"it enrolled with a token that was over":    {signIn, "old", nil, now.Add(signInLife + time.Hour), enroll.DenyTokenExpired, "refused"},
	} {
		gate := &opening{row: c.row}
		connector := &Connector{Gate: gate}
		d := Device{Name: "enterprises/LC0/devices/1", EnrollmentTime: c.enrolled}
		got, err := connector.ask(t.Context(), Organization{Settings: c.settings}, d, FullyManaged, &c.token, enroll.Attempt{At: now.Add(24 * time.Hour), Serial: "R58N00000A1"})
		if err != nil || got.Code != c.code || got.ID != c.decision || got.Allowed() && got.DeviceID != c.row {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
