package admin

import (
	"context"

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

// warnedDevices bounds how many devices a save looks at.
const warnedDevices = 1000

// policyWarnings is what to say of a policy that was saved: what is doubtful in
// it, and what devices of the groups it is bound to will not honour.
func (a *API) policyWarnings(ctx context.Context, p policy.Policy) ([]warningView, error) {
	out := []warningView{}
	for _, n := range p.Document.Warnings() {
		out = append(out, warningView{Pointer: n.Pointer, Code: string(n.Code), Text: n.Text})
	}
	targets, err := a.Policies.Bindings(ctx, p.Name)
	if err != nil {
		if enroll.KindOf(err) == enroll.KindNotFound { // deleted meanwhile
			return out, nil
		}
		return nil, err
	}
	planner, bound := policy.NewPlanner(), []policy.Bound{{Policy: p}}
	places := map[[2]string]int{} // pointer and code
	seen := map[string]bool{}
	for _, t := range targets {
		if t.Group == "" || len(seen) >= warnedDevices {
			continue
		}
		devices, err := a.groupDevices(ctx, t.Group, warnedDevices-len(seen))
		if err != nil {
			return nil, err
		}
		for _, d := range devices {
			if seen[d.ID] {
				continue
			}
			seen[d.ID] = true
			for _, n := range planner.Desire(bound, policy.TargetOf(d, false), policy.VariablesKnown, "").Notes {
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

func (a *API) groupDevices(ctx context.Context, group string, limit int) ([]enroll.Device, error) {
	g, err := a.Roll.Group(ctx, group)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return a.Roll.Devices(ctx, enroll.DeviceFilter{GroupID: g.ID}, enroll.Page{Limit: limit})
}
