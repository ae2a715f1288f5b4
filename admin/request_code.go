package admin

import (
	"context"
	"net/http"
)

type requestCodeView struct {
	RequestView
	Code string `json:"code" doc:"Ten characters that the user types, in two groups. It is shown here and never again; a new one replaces it." example:"7K3MQ-X9T2B"`
}

// requestCodes has what a person types where no link can be opened.
func (r routes) requestCodes() {
	a := r.a
	add(r, RoleOperator, requestOperation("create-request-code", http.MethodPost, "/{id}/code", "Make a code for an enrollment request",
		"For the user to type in Setup Assistant, where the ADE profile asks for it, or while signing in to a device with their account. "+
			"It is good until the request ends, and typing it is the user's acceptance."),
		func(ctx context.Context, in *oneRequest) (*body[requestCodeView], error) {
			code, req, err := a.Codes.New(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			v, err := a.requestView(ctx, req)
			return &body[requestCodeView]{requestCodeView{v, code}}, err
		})
}
