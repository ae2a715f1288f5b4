package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/policy/document"
)

type PolicyView struct {
	Name       string           `json:"name"`
	Version    int64            `json:"version" doc:"Grows by one with every change."`
	DeviceName string           `json:"device_name,omitempty" doc:"Name its devices are to have; {serial} stands for the serial."`
	Profiles   []document.Profile `json:"profiles"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`
}

func viewPolicy(p policy.Policy) PolicyView {
	v := PolicyView{Name: p.Name, Version: p.Version, DeviceName: p.DeviceName, Profiles: p.Profiles, CreatedAt: utc(p.CreatedAt), UpdatedAt: utc(p.UpdatedAt)}
	if v.Profiles == nil {
		v.Profiles = []document.Profile{}
	}
	return v
}

type policyChangeView struct {
	PolicyView
	Created bool `json:"created" doc:"The policy is new."`
	Changed bool `json:"changed" doc:"false: it was so already."`
}

type policyChanged struct {
	Status int
	Body   policyChangeView
}

type BindingView struct {
	Group  string `json:"group,omitempty"`
	Serial string `json:"serial,omitempty"`
}

type bindingChangeView struct {
	BindingView
	Changed bool `json:"changed" doc:"false: it was so already."`
}

type PolicyParam struct {
	Name string `path:"name" maxLength:"255"`
}

// BindingParams is what a policy is bound to.
type BindingParams struct {
	Group  string `json:"group,omitempty" query:"group" maxLength:"255" doc:"Name of a group."`
	Serial string `json:"serial,omitempty" query:"serial" maxLength:"200" doc:"Serial of a device."`
}

func (b BindingParams) target() (policy.Target, error) {
	if (b.Group == "") == (b.Serial == "") {
		return policy.Target{}, enroll.Errorf(enroll.KindInvalid, "target_invalid", "a binding names either a group or a serial")
	}
	return policy.Target{Group: b.Group, Serial: enroll.NormalizeSerial(b.Serial)}, nil
}

// changePolicy makes or changes a policy; change is handed the policy as it is
// to become.
func (a *API) changePolicy(ctx context.Context, name string, mayCreate bool, change func(*policy.Policy) error) (*policyChanged, error) {
	created := false
	p, changed, err := a.Policies.ChangePolicy(ctx, name, func(old *policy.Policy) (policy.Policy, error) {
		now := a.now().UTC()
		var next policy.Policy
		switch created = old == nil; {
		case created && !mayCreate:
			return next, enroll.Errorf(enroll.KindNotFound, "policy_unknown", "there is no policy %q", name).WithHint("Make it first (PUT %s/policies/{name}).", Prefix)
		case created:
			next = policy.Policy{ID: enroll.NewID(), Name: name, CreatedAt: now, UpdatedAt: now}
		default:
			next = *old
			next.Profiles = slices.Clone(old.Profiles)
		}
		if err := change(&next); err != nil {
			return next, err
		}
		return next, next.Check()
	})
	if err != nil {
		return nil, err
	}
	if changed {
		a.kick()
	}
	out := &policyChanged{Status: http.StatusOK, Body: policyChangeView{PolicyView: viewPolicy(p), Created: created, Changed: changed}}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func (r routes) policies() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/policies" + path, Tags: []string{"Policies"}, Summary: summary, Description: description}
	}

	add(r, RoleViewer, op("list-policies", http.MethodGet, "", "List the policies", "All of them, by name."),
		func(ctx context.Context, _ *struct{}) (*body[list[PolicyView]], error) {
			ps, err := a.Policies.Policies(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[PolicyView]]{listOf(ps, enroll.Page{}, func(p policy.Policy) string { return p.Name }, viewPolicy)}, nil
		})

	add(r, RoleViewer, op("get-policy", http.MethodGet, "/{name}", "Read a policy", ""),
		func(ctx context.Context, in *PolicyParam) (*body[PolicyView], error) {
			p, err := a.Policies.Policy(ctx, in.Name)
			return &body[PolicyView]{viewPolicy(p)}, err
		})

	type putPolicy struct {
		PolicyParam
		Body struct {
			DeviceName *string           `json:"device_name,omitempty" maxLength:"255" doc:"Name its devices are to have; {serial} stands for the serial."`
			Profiles   *[]document.Profile `json:"profiles,omitempty" maxItems:"100" doc:"All profiles of the policy. In content, bytes are {\"$data\": base64} and dates {\"$date\": RFC 3339}."`
		}
	}
	put := orCreated[policyChangeView](r, op("put-policy", http.MethodPut, "/{name}", "Make or change a policy", "Fields that are left out stay as they are. The devices it is bound to get the change at once."))
	put.MaxBodyBytes = profileLimit
	add(r, RoleAdmin, put, func(ctx context.Context, in *putPolicy) (*policyChanged, error) {
		return a.changePolicy(ctx, in.Name, true, func(p *policy.Policy) error {
			if in.Body.DeviceName != nil {
				p.DeviceName = *in.Body.DeviceName
			}
			if in.Body.Profiles != nil {
				p.Profiles = *in.Body.Profiles
			}
			return nil
		})
	})

	add(r, RoleAdmin, op("delete-policy", http.MethodDelete, "/{name}", "Delete a policy", "With its bindings; its profiles are removed from the devices that have them."),
		func(ctx context.Context, in *PolicyParam) (*struct{}, error) {
			if err := a.Policies.DeletePolicy(ctx, in.Name); err != nil {
				return nil, err
			}
			a.kick()
			return nil, nil
		})

	type ProfileParam struct {
		PolicyParam
		ID string `path:"id" maxLength:"64" doc:"Stable name of the profile in the policy."`
	}
	type putProfile struct {
		ProfileParam
		RawBody []byte `contentType:"application/x-apple-aspen-config"`
	}
	upload := op("put-profile", http.MethodPut, "/{name}/profiles/{id}", "Upload a .mobileconfig file", "It becomes one profile of the policy, in place of the one with this id. The file may be signed.")
	upload.MaxBodyBytes = profileLimit
	add(r, RoleAdmin, upload, func(ctx context.Context, in *putProfile) (*policyChanged, error) {
		profile, err := a.Mobileconfig(in.RawBody)
		if err != nil {
			return nil, err
		}
		profile.ID = in.ID
		return a.changePolicy(ctx, in.Name, false, func(p *policy.Policy) error {
			if i := profileIndex(*p, in.ID); i >= 0 {
				p.Profiles[i] = profile
			} else {
				p.Profiles = append(p.Profiles, profile)
			}
			return nil
		})
	})
	add(r, RoleAdmin, op("delete-profile", http.MethodDelete, "/{name}/profiles/{id}", "Take a profile out of a policy", "It is removed from the devices that have it."),
		func(ctx context.Context, in *ProfileParam) (*policyChanged, error) {
			return a.changePolicy(ctx, in.Name, false, func(p *policy.Policy) error {
				i := profileIndex(*p, in.ID)
				if i < 0 {
					return enroll.Errorf(enroll.KindNotFound, "profile_unknown", "the policy %q has no profile %q", p.Name, in.ID)
				}
				p.Profiles = slices.Delete(p.Profiles, i, i+1)
				return nil
			})
		})

	add(r, RoleViewer, op("list-bindings", http.MethodGet, "/{name}/bindings", "List what a policy is bound to", ""),
		func(ctx context.Context, in *PolicyParam) (*body[list[BindingView]], error) {
			targets, err := a.Policies.Bindings(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			return &body[list[BindingView]]{listOf(targets, enroll.Page{}, func(policy.Target) string { return "" }, func(t policy.Target) BindingView { return BindingView(t) })}, nil
		})

	type bindPolicy struct {
		PolicyParam
		Body BindingParams
	}
	type unbindPolicy struct {
		PolicyParam
		BindingParams
	}
	// bound answers a change of a binding; change is Bind or Unbind.
	bound := func(ctx context.Context, name string, in BindingParams, change func(context.Context, string, policy.Target) (bool, error)) (*body[bindingChangeView], error) {
		target, err := in.target()
		if err != nil {
			return nil, err
		}
		changed, err := change(ctx, name, target)
		if err != nil {
			return nil, err
		}
		if changed {
			a.kick()
		}
		return &body[bindingChangeView]{bindingChangeView{BindingView(target), changed}}, nil
	}
	add(r, RoleAdmin, op("bind-policy", http.MethodPost, "/{name}/bindings", "Bind a policy", "To a group or to one device, before or after it enrolls."),
		func(ctx context.Context, in *bindPolicy) (*body[bindingChangeView], error) {
			return bound(ctx, in.Name, in.Body, a.Policies.Bind)
		})
	add(r, RoleAdmin, op("unbind-policy", http.MethodDelete, "/{name}/bindings", "Unbind a policy", "From a group or from one device; its profiles are removed from devices that get them from nowhere else."),
		func(ctx context.Context, in *unbindPolicy) (*body[bindingChangeView], error) {
			return bound(ctx, in.Name, in.BindingParams, a.Policies.Unbind)
		})
}

func profileIndex(p policy.Policy, id string) int {
	return slices.IndexFunc(p.Profiles, func(f document.Profile) bool { return f.ID == id })
}
