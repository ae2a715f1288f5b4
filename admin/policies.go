package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/policy/document"
)

// PolicySummaryView is a policy without its document.
type PolicySummaryView struct {
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty" doc:"What it is for. The newest one; it is not part of a version."`
	Version     int64       `json:"version" doc:"Grows by one with every save."`
	Restored    int64       `json:"restored,omitempty" doc:"The version whose content this one has again."`
	Priority    int         `json:"priority" doc:"The higher one wins where policies say different things and only one can win."`
	Features    []string    `json:"features" doc:"Top-level fields of the document." example:"[\"restrictions\",\"wifi\"]"`
	Rollout     RolloutView `json:"rollout"`
	CreatedAt   time.Time   `json:"created_at"`
	UpdatedAt   time.Time   `json:"updated_at" doc:"When this version was saved."`
	UpdatedBy   string      `json:"updated_by,omitempty" doc:"Name of the token that saved it."`
}

// listedPolicyView is a policy in the list of all.
type listedPolicyView struct {
	PolicySummaryView
	Bound boundToView `json:"bound" doc:"What it is bound to."`
}

type boundToView struct {
	Groups  []string `json:"groups" doc:"Names."`
	Users   int      `json:"users" doc:"Number of them."`
	Devices int      `json:"devices" doc:"Number of devices that it is bound to themselves."`
}

type PolicyView struct {
	PolicySummaryView
	Document document.Document `json:"document" doc:"What it says. Secrets are \"********\"; sent back so, they stay as they are."`
}

func summarizePolicy(p policy.Policy) PolicySummaryView {
	return PolicySummaryView{Name: p.Name, Description: p.Description, Version: p.Version, Restored: p.Restored, Priority: p.Priority, Features: features(p.Document), Rollout: viewRollout(p),
		CreatedAt: utc(p.CreatedAt), UpdatedAt: utc(p.UpdatedAt), UpdatedBy: p.UpdatedBy}
}

func viewPolicy(p policy.Policy) PolicyView {
	return PolicyView{PolicySummaryView: summarizePolicy(p), Document: p.Document.Redacted()}
}

// features are the top-level fields that a document uses.
func features(d document.Document) []string {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // it was stored as JSON
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		panic(err) // a document is an object
	}
	out := slices.Sorted(maps.Keys(fields))
	if out == nil {
		out = []string{}
	}
	return out
}

type policyChangeView struct {
	PolicyView
	Created  bool          `json:"created" doc:"The policy is new."`
	Changed  bool          `json:"changed" doc:"false: there is no new version, because it was so already or is described otherwise only."`
	Warnings []warningView `json:"warnings" doc:"What is legal but doubtful, and what devices of the groups it is bound to will not honour."`
}

type policyChanged struct {
	Status int
	Body   policyChangeView
}

type BindingView struct {
	Group  string `json:"group,omitempty"`
	Serial string `json:"serial,omitempty"`
	User   string `json:"user,omitempty" doc:"E-mail address."`
	Domain string `json:"domain,omitempty" doc:"Of the user."`
}

type bindingChangeView struct {
	BindingView
	Changed  bool          `json:"changed" doc:"false: it was so already."`
	Warnings []warningView `json:"warnings,omitempty" doc:"What the device, or devices of the group, will not honour."`
}

type PolicyParam struct {
	Name string `path:"name" maxLength:"255"`
}

// BindingParams is what a policy is bound to.
type BindingParams struct {
	Group  string `json:"group,omitempty" query:"group" maxLength:"255" doc:"Name of a group."`
	Serial string `json:"serial,omitempty" query:"serial" maxLength:"200" doc:"Serial of a device."`
	User   string `json:"user,omitempty" query:"user" maxLength:"255" doc:"E-mail address of a user."`
	Domain string `json:"domain,omitempty" query:"domain" maxLength:"255" doc:"Domain of the user; \"local\" if left out."`
}

func (b BindingParams) target() (policy.Target, error) {
	t := policy.Target{Group: b.Group, Serial: enroll.NormalizeSerial(b.Serial), User: b.User, Domain: b.Domain}
	if t.User != "" && t.Domain == "" {
		t.Domain = enroll.DefaultDomain
	}
	return t, t.Check()
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
			next.Restored = 0
		}
		if err := change(&next); err != nil {
			return next, err
		}
		if old != nil {
			next.Document = next.Document.WithKept(old.Document)
		}
		return next, next.Check()
	})
	if err != nil {
		return nil, placed(err)
	}
	if changed {
		a.kick()
	}
	warnings, err := a.policyWarnings(ctx, p)
	if err != nil {
		return nil, err
	}
	out := &policyChanged{Status: http.StatusOK, Body: policyChangeView{PolicyView: viewPolicy(p), Created: created, Changed: changed, Warnings: warnings}}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

// policyConflict refuses a change of a policy that somebody else has changed
// since it was read. The policy as it is now goes with it.
func policyConflict(now policy.Policy) error {
	if now.Version == 0 {
		return enroll.Errorf(enroll.KindNotFound, "policy_unknown", "there is no policy %q any more", now.Name).WithHint("Leave If-Match out to make it anew.")
	}
	p := newProblem(http.StatusConflict, "version_changed", fmt.Sprintf("Version %d of the policy was saved meanwhile.", now.Version), "Look at what it says now, and send the change again with its version.")
	p.Current = viewPolicy(now)
	return p
}

// placed tells the place of what is wrong with a document, which begins the
// text of the error, as that of what the schema refuses.
func placed(err error) error {
	var e *enroll.Error
	if !errors.As(err, &e) || e.Kind != enroll.KindInvalid || !strings.HasPrefix(e.Text, "/") {
		return err
	}
	pointer, text, _ := strings.Cut(e.Text, ": ")
	p := newProblem(statuses[e.Kind], e.Code, e.Text, e.Hint)
	p.Errors = []ProblemDetail{{Pointer: "/document" + pointer, Code: e.Code, Detail: sentence(text), Hint: e.Hint}}
	return p
}

func (r routes) policies() {
	a := r.a
	op := r.policyOperation

	add(r, RoleViewer, op("list-policies", http.MethodGet, "", "List the policies", "All of them, by name, without their documents."),
		func(ctx context.Context, _ *struct{}) (*body[list[listedPolicyView]], error) {
			ps, err := a.Policies.Policies(ctx)
			if err != nil {
				return nil, err
			}
			bound, err := a.Policies.BoundTo(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[listedPolicyView]]{listOf(ps, enroll.Page{}, func(p policy.Policy) string { return p.Name }, func(p policy.Policy) listedPolicyView {
				to := boundToView(bound[p.Name])
				if to.Groups == nil {
					to.Groups = []string{}
				}
				return listedPolicyView{summarizePolicy(p), to}
			})}, nil
		})

	add(r, RoleViewer, op("get-policy", http.MethodGet, "/{name}", "Read a policy", "Its newest version."),
		func(ctx context.Context, in *PolicyParam) (*body[PolicyView], error) {
			p, err := a.Policies.Policy(ctx, in.Name)
			return &body[PolicyView]{viewPolicy(p)}, err
		})

	type putPolicy struct {
		PolicyParam
		VersionParam
		Body struct {
			Description *string            `json:"description,omitempty" maxLength:"2000" doc:"What it is for. No device is told, and a change of it alone is no version."`
			Priority    *int               `json:"priority,omitempty" minimum:"-1000" maximum:"1000" doc:"The higher one wins where policies say different things and only one can win; 0 at first."`
			Document    *document.Document `json:"document,omitempty" doc:"All of what it says, in place of what it said. A secret that is \"********\" stays as it is."`
		}
	}
	put := orCreated[policyChangeView](r, op("put-policy", http.MethodPut, "/{name}", "Make or change a policy", "Fields that are left out stay as they are. Every change is a new version. The devices it is bound to get it at once, or as its roll-out says."))
	put.MaxBodyBytes = profileLimit
	add(r, RoleAdmin, put, func(ctx context.Context, in *putPolicy) (*policyChanged, error) {
		base, err := in.version()
		if err != nil {
			return nil, err
		}
		return a.changePolicy(ctx, in.Name, true, func(p *policy.Policy) error {
			if base != 0 && base != p.Version {
				return policyConflict(*p)
			}
			if in.Body.Description != nil {
				p.Description = *in.Body.Description
			}
			if in.Body.Priority != nil {
				p.Priority = *in.Body.Priority
			}
			if in.Body.Document != nil {
				p.Document = *in.Body.Document
			}
			return nil
		})
	})

	add(r, RoleAdmin, op("delete-policy", http.MethodDelete, "/{name}", "Delete a policy", "With its versions and bindings; what it brought is removed from the devices that have it."),
		func(ctx context.Context, in *PolicyParam) (*struct{}, error) {
			if err := a.Policies.DeletePolicy(ctx, in.Name); err != nil {
				return nil, err
			}
			a.kick()
			return nil, nil
		})
	r.policyProfiles()
	r.policyBindings()
	r.policyVersions()
	r.policyRollout()
	r.policyReceipt()
	r.policySchema()
	r.policySettings()
	r.policyCheck()
	r.effectivePolicy()
}

// policyOperation is an operation on policies.
func (routes) policyOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/policies" + path, Tags: []string{"Policies"}, Summary: summary, Description: description}
}

// policyProfiles declares what is done with the raw Apple profiles of a policy.
func (r routes) policyProfiles() {
	a := r.a
	type ProfileParam struct {
		PolicyParam
		ID string `path:"id" maxLength:"64" doc:"Stable name of the profile in the policy."`
	}
	type putProfile struct {
		ProfileParam
		RawBody []byte `contentType:"application/x-apple-aspen-config"`
	}
	upload := r.policyOperation("put-profile", http.MethodPut, "/{name}/profiles/{id}", "Upload a .mobileconfig file", "It becomes one of document.apple.profiles, in place of the one with this id. The file may be signed.")
	upload.MaxBodyBytes = profileLimit
	add(r, RoleAdmin, upload, func(ctx context.Context, in *putProfile) (*policyChanged, error) {
		profile, err := a.Mobileconfig(in.RawBody)
		if err != nil {
			return nil, err
		}
		profile.ID = in.ID
		return a.changePolicy(ctx, in.Name, false, func(p *policy.Policy) error {
			profiles := slices.Clone(rawProfiles(*p))
			if i := profileIndex(profiles, in.ID); i >= 0 {
				profiles[i] = profile
			} else {
				profiles = append(profiles, profile)
			}
			p.Document.Apple = &document.Apple{Profiles: profiles}
			return nil
		})
	})
	add(r, RoleAdmin, r.policyOperation("delete-profile", http.MethodDelete, "/{name}/profiles/{id}", "Take a profile out of a policy", "It is removed from the devices that have it."),
		func(ctx context.Context, in *ProfileParam) (*policyChanged, error) {
			return a.changePolicy(ctx, in.Name, false, func(p *policy.Policy) error {
				profiles := slices.Clone(rawProfiles(*p))
				i := profileIndex(profiles, in.ID)
				if i < 0 {
					return enroll.Errorf(enroll.KindNotFound, "profile_unknown", "the policy %q has no profile %q", p.Name, in.ID)
				}
				if p.Document.Apple = nil; len(profiles) > 1 {
					p.Document.Apple = &document.Apple{Profiles: slices.Delete(profiles, i, i+1)}
				}
				return nil
			})
		})
}

func rawProfiles(p policy.Policy) []document.Profile {
	if p.Document.Apple == nil {
		return nil
	}
	return p.Document.Apple.Profiles
}

func profileIndex(profiles []document.Profile, id string) int {
	return slices.IndexFunc(profiles, func(f document.Profile) bool { return f.ID == id })
}

// policyBindings declares what policies are bound to.
func (r routes) policyBindings() {
	a := r.a
	type listBindings struct {
		PolicyParam
		ListParams
	}
	add(r, RoleViewer, r.policyOperation("list-bindings", http.MethodGet, "/{name}/bindings", "List what a policy is bound to", "Groups, then devices, then users."),
		func(ctx context.Context, in *listBindings) (*body[list[BindingView]], error) {
			page, err := in.page()
			if err != nil {
				return nil, err
			}
			bindings, err := a.Policies.Bindings(ctx, in.Name, page)
			if err != nil {
				return nil, err
			}
			return &body[list[BindingView]]{listOf(bindings, page, func(b policy.Binding) string { return b.Key }, func(b policy.Binding) BindingView { return BindingView(b.Target) })}, nil
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
		return &body[bindingChangeView]{bindingChangeView{BindingView: BindingView(target), Changed: changed}}, nil
	}
	add(r, RoleAdmin, r.policyOperation("bind-policy", http.MethodPost, "/{name}/bindings", "Bind a policy", "To a group, a device or a user, before or after anybody enrolls."),
		func(ctx context.Context, in *bindPolicy) (*body[bindingChangeView], error) {
			out, err := bound(ctx, in.Name, in.Body, a.Policies.Bind)
			if err != nil {
				return nil, err
			}
			p, err := a.Policies.Policy(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			out.Body.Warnings, err = a.unhonoured(ctx, p, []policy.Target{policy.Target(out.Body.BindingView)})
			return out, err
		})
	add(r, RoleAdmin, r.policyOperation("unbind-policy", http.MethodDelete, "/{name}/bindings", "Unbind a policy", "From a group, a device or a user; what it brought is removed from devices that get it from nowhere else."),
		func(ctx context.Context, in *unbindPolicy) (*body[bindingChangeView], error) {
			return bound(ctx, in.Name, in.BindingParams, a.Policies.Unbind)
		})
}
