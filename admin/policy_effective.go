package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/policy/document"
)

// EffectiveParams tell about a device what the roll does not.
type EffectiveParams struct {
	Groups     []string        `query:"group,explode" maxItems:"50" doc:"Names of groups it will be in, beside those it is in."`
	User       string          `query:"user" maxLength:"255" doc:"E-mail address of the user it will have."`
	Domain     string          `query:"domain" maxLength:"255" doc:"Domain of the user; \"local\" if left out."`
	Platform   enroll.Platform `query:"platform" enum:"android,ios,apple" doc:"Where the serial is not on the roll; ios if left out."`
	OSVersion  string          `query:"os_version" maxLength:"32" doc:"Version of its system." example:"17.2"`
	Supervised string          `query:"supervised" enum:"true,false" doc:"Whether it is supervised. Left out: as far as that is known."`
	Family     string          `query:"family" enum:"iPhone,iPad" doc:"What it is. Left out: as far as that is known."`
}

type effectivePolicyView struct {
	Serial    string                       `json:"serial"`
	OnRoll    bool                         `json:"on_roll"`
	Policies  []boundPolicyView            `json:"policies" doc:"The policies that reach it, in the order of their rank."`
	Document  document.Document            `json:"document" doc:"What they say together. Secrets are \"********\"."`
	Origins   map[string][]document.Origin `json:"origins" doc:"Where each value comes from, by JSON pointer (RFC 6901)."`
	Conflicts []document.Conflict          `json:"conflicts" doc:"Where they say different things, and which won."`
	Items     []effectiveItemView          `json:"items" doc:"What the device is sent, in this order."`
	Notes     []noteView                   `json:"notes" doc:"What it will not be sent, or not as it is written."`
}

type effectiveItemView struct {
	Key      string        `json:"key"`
	Title    string        `json:"title"`
	Policies []policy.From `json:"policies,omitempty"`
	Blocked  string        `json:"blocked,omitempty" doc:"Why it cannot be sent."`
}

// effectivePolicy declares what a device would get.
func (r routes) effectivePolicy() {
	a := r.a
	type getEffective struct {
		SerialParam
		EffectiveParams
	}
	op := huma.Operation{OperationID: "get-effective-policy", Method: http.MethodGet, Path: "/devices/{serial}/policy", Tags: []string{"Policies"}, Summary: "Read what a device is to have",
		Description: "All of its policies together, with the origin of each value, conflicts, and what it will not honour. Also for a serial that is not on the roll: the parameters say what is not known."}
	add(r, RoleViewer, op, func(ctx context.Context, in *getEffective) (*body[effectivePolicyView], error) {
		d, person, reach, err := a.expected(ctx, in.Serial, in.EffectiveParams)
		if err != nil {
			return nil, err
		}
		bound, err := a.Policies.Reaching(ctx, reach)
		if err != nil {
			return nil, err
		}
		t := policy.TargetOf(d, false)
		if in.OSVersion != "" {
			t.OSVersion = in.OSVersion
		}
		if in.Supervised != "" {
			supervised := in.Supervised == "true"
			t.Supervised = &supervised
		}
		if in.Family != "" {
			t.Family = in.Family
		}
		desire := policy.NewPlanner().Desire(bound, t, policy.VariablesOf(d, person, a.Organization), d.Name)
		out := effectivePolicyView{Serial: d.Serial, OnRoll: d.ID != "", Policies: []boundPolicyView{}, Document: desire.Effective.Document.Redacted(),
			Origins: desire.Effective.Origins, Conflicts: desire.Effective.Conflicts, Items: []effectiveItemView{}, Notes: viewNotes(desire.Notes)}
		if out.Conflicts == nil {
			out.Conflicts = []document.Conflict{}
		}
		for _, b := range bound {
			out.Policies = append(out.Policies, viewBound(b))
		}
		for _, i := range desire.Items {
			out.Items = append(out.Items, effectiveItemView{Key: i.Key, Title: i.Title, Policies: i.Policies, Blocked: i.Blocked})
		}
		return &body[effectivePolicyView]{out}, nil
	})
}

// expected is a device as the roll knows it, or as it will be. What is not told
// of a device before its user has accepted is taken as unknown.
func (a *API) expected(ctx context.Context, serial string, in EffectiveParams) (d enroll.Device, p policy.Person, reach policy.Reach, err error) {
	d, err = a.Roll.Device(ctx, serial)
	switch {
	case enroll.KindOf(err) == enroll.KindNotFound:
		d = enroll.Device{Serial: enroll.NormalizeSerial(serial), Platform: enroll.PlatformIOS}
	case err != nil:
		return d, p, reach, err
	}
	d = d.Redacted()
	if in.Platform != "" && d.ID == "" {
		d.Platform = in.Platform
	}
	reach = policy.Reach{DeviceID: d.ID, Groups: in.Groups}
	var owner enroll.User
	if in.User != "" {
		domain := in.Domain
		if domain == "" {
			domain = enroll.DefaultDomain
		}
		if owner, err = a.Roll.UserByEmail(ctx, domain, in.User); err != nil {
			return d, p, reach, err
		}
		reach.UserID = owner.ID
	} else if d.UserID != "" {
		if owner, err = a.Roll.User(ctx, d.UserID); err != nil {
			return d, p, reach, err
		}
	}
	return d, policy.Person{Domain: owner.Domain, Name: owner.Name, Email: owner.Email, Mobile: owner.Mobile}, reach, nil
}
