package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/policy"
)

// Deliveries tells what a device got of its policies; storage does.
type Deliveries interface {
	Receipt(ctx context.Context, deviceID string) (policy.Receipt, error)
	DeclarationSet(ctx context.Context, enrollmentID string) (policy.DeclarationSet, error)
	DeclarativeStatus(ctx context.Context, enrollmentID string) (policy.DeclarativeStatus, error)
}

type declarationView struct {
	Kind       string                     `json:"kind" enum:"activation,asset,configuration,management"`
	Type       string                     `json:"type" example:"com.apple.configuration.passcode.settings"`
	Identifier string                     `json:"identifier"`
	State      string                     `json:"state" enum:"waiting,applied,inactive,failed" doc:"waiting: the device has not spoken of this version of it yet. inactive: it is there and not in force, see reasons."`
	Reasons    []policy.DeclarationReason `json:"reasons,omitempty" doc:"The device's own."`
}

type declarationsView struct {
	ChangedAt    time.Time         `json:"changed_at,omitzero" doc:"Last change of the declarations."`
	Declarations []declarationView `json:"declarations"`
	ReportedAt   time.Time         `json:"reported_at,omitzero" doc:"Last status report. Absent: the device has not sent one."`
	Status       map[string]any    `json:"status" doc:"Everything the device has reported, merged: Apple's status items as one tree."`
	Errors       []any             `json:"errors" doc:"Of the last status report, as the device sent them."`
}

func viewDeclarations(set policy.DeclarationSet, status policy.DeclarativeStatus) declarationsView {
	v := declarationsView{ChangedAt: utc(set.ChangedAt), Declarations: []declarationView{}, ReportedAt: utc(status.At), Status: status.Items, Errors: status.Errors}
	if v.Status == nil {
		v.Status = map[string]any{}
	}
	if v.Errors == nil {
		v.Errors = []any{}
	}
	for _, d := range set.Declarations {
		one := declarationView{Kind: d.Kind, Type: d.Type, Identifier: d.Identifier, State: "waiting"}
		if told, ok := status.State(d); ok {
			one.Reasons = told.Reasons
			switch {
			case told.Valid == "invalid":
				one.State = "failed"
			case told.Active:
				one.State = "applied"
			case told.Valid == "valid":
				one.State = "inactive"
			}
		}
		v.Declarations = append(v.Declarations, one)
	}
	return v
}

func (r routes) declarations() {
	a := r.a
	op := huma.Operation{OperationID: "get-declarations", Method: http.MethodGet, Path: "/devices/{serial}/declarations", Tags: []string{"Commands"},
		Summary: "Read the declarations of a device", Description: "What it is given by declarative management (iOS and iPadOS 15), where each declaration stands, and what the device reports by itself."}
	add(r, RoleViewer, op, func(ctx context.Context, in *SerialParam) (*body[declarationsView], error) {
		d, err := in.device(ctx, a)
		if err != nil {
			return nil, err
		}
		receipt, err := a.Deliveries.Receipt(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		set, err := a.Deliveries.DeclarationSet(ctx, receipt.EnrollmentID)
		if err != nil {
			return nil, err
		}
		status, err := a.Deliveries.DeclarativeStatus(ctx, receipt.EnrollmentID)
		return &body[declarationsView]{viewDeclarations(set, status)}, err
	})
}
