package admin

import (
	"context"

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

// policyWarnings is what to say of a policy that was saved.
func (a *API) policyWarnings(_ context.Context, p policy.Policy) ([]warningView, error) {
	out := []warningView{}
	for _, n := range p.Document.Warnings() {
		out = append(out, warningView{Pointer: n.Pointer, Code: string(n.Code), Text: n.Text})
	}
	return out, nil
}
