package admin

import (
	"context"
	"fmt"
	"net/http"

	"rollcall/enroll"
	"rollcall/policy"
)

// boundPolicyView is a policy that reaches a device.
type boundPolicyView struct {
	PolicySummaryView
	Via string `json:"via" doc:"How it reaches the device: \"device\", \"user\" or \"group:NAME\"."`
}

func viewBound(b policy.Bound) boundPolicyView {
	return boundPolicyView{summarizePolicy(b.Policy), b.Via}
}

// warningView is something of a document that not every device will honour.
type warningView struct {
	Pointer string `json:"pointer" doc:"JSON pointer (RFC 6901) into the document." example:"/restrictions/camera"`
	Code    string `json:"code" doc:"Why." example:"not_supervised"`
	Text    string `json:"text"`
	Devices int    `json:"devices,omitempty" doc:"How many of the devices that were looked at it concerns. Absent: it is so for any."`
	Example string `json:"example,omitempty" doc:"Serial of one of them."`
}

// policyCheck declares what a save would say of a policy as it is.
func (r routes) policyCheck() {
	a := r.a
	add(r, RoleViewer, r.policyOperation("check-policy", http.MethodGet, "/{name}/warnings", "Read what will not be honoured of a policy",
		fmt.Sprintf("What is legal but doubtful in its newest version, and what devices of the groups it is bound to, and those bound alone, will not honour; at most %d devices are looked at.", warnedDevices)),
		func(ctx context.Context, in *PolicyParam) (*body[list[warningView]], error) {
			p, err := a.Policies.Policy(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			warnings, err := a.policyWarnings(ctx, p)
			return &body[list[warningView]]{list[warningView]{Items: warnings}}, err
		})
}

// warnedDevices bounds how many devices a save looks at.
const warnedDevices = 1000

// policyWarnings is what to say of a policy that was saved: what is doubtful in
// it, and what the devices of groups, and those alone, that it is bound to will
// not honour.
func (a *API) policyWarnings(ctx context.Context, p policy.Policy) ([]warningView, error) {
	out := []warningView{}
	for _, n := range p.Document.Warnings() {
		out = append(out, warningView{Pointer: n.Pointer, Code: string(n.Code), Text: n.Text})
	}
	bindings, err := a.Policies.Bindings(ctx, p.Name, enroll.Page{Limit: warnedDevices})
	if err != nil {
		if enroll.KindOf(err) == enroll.KindNotFound { // deleted meanwhile
			return out, nil
		}
		return nil, err
	}
	targets := make([]policy.Target, len(bindings))
	for i, b := range bindings {
		targets[i] = b.Target
	}
	unhonoured, err := a.unhonoured(ctx, p, targets)
	return append(out, unhonoured...), err
}

// unhonoured is what the devices of targets will not honour of a policy.
func (a *API) unhonoured(ctx context.Context, p policy.Policy, targets []policy.Target) ([]warningView, error) {
	out := []warningView{}
	planner, bound := policy.NewPlanner(), []policy.Bound{{Policy: p}}
	places := map[[2]string]int{} // pointer and code
	seen := map[string]bool{}
	for _, t := range targets {
		if len(seen) >= warnedDevices {
			break
		}
		devices, err := a.targetDevices(ctx, t, warnedDevices-len(seen))
		if err != nil {
			return nil, err
		}
		for _, d := range devices {
			if seen[d.ID] {
				continue
			}
			seen[d.ID] = true
			for _, n := range planner.Desire(bound, policy.TargetOf(d.Redacted(), false), policy.VariablesKnown, "").Notes {
				key := [2]string{n.Pointer, n.Code}
				i, known := places[key]
				if !known {
					i = len(out)
					places[key] = i
					out = append(out, warningView{Pointer: n.Pointer, Code: n.Code, Text: n.Text, Example: d.Serial})
				}
				out[i].Devices++
			}
		}
	}
	return out, nil
}

// targetDevices are some of the devices of a group, or one device; of a user's
// nothing is said.
func (a *API) targetDevices(ctx context.Context, t policy.Target, limit int) ([]enroll.Device, error) {
	var devices []enroll.Device
	var err error
	switch {
	case t.Serial != "":
		devices = make([]enroll.Device, 1)
		devices[0], err = a.Roll.Device(ctx, t.Serial)
	case t.Group != "":
		var g enroll.Group
		if g, err = a.Roll.Group(ctx, t.Group); err == nil {
			devices, err = a.Roll.Devices(ctx, enroll.DeviceFilter{GroupID: g.ID}, enroll.Page{Limit: limit})
		}
	}
	if enroll.KindOf(err) == enroll.KindNotFound { // deleted meanwhile
		return nil, nil
	}
	return devices, err
}
