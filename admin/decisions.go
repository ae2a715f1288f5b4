package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/policy"
)

type DecisionView struct {
	ID         string          `json:"id,omitempty"`
	At         time.Time       `json:"at"`
	Channel    enroll.Channel  `json:"channel" enum:"ota,profile,ade,account,agent,amapi" doc:"The way the device arrived by."`
	Platform   enroll.Platform `json:"platform,omitempty"`
	Serial     string          `json:"serial,omitempty"`
	Evidence   enroll.Evidence `json:"evidence" enum:"claimed,token,signed,attested" doc:"How the serial is known, from weak to strong."`
	Mode       enroll.Mode     `json:"mode,omitempty" enum:"off,audit,enforce" doc:"Pre-enrolled Devices Only at that time."`
	Outcome    enroll.Outcome  `json:"outcome" enum:"allow,hold,deny,error"`
	Code       enroll.Code     `json:"code" doc:"Stable reason." example:"deny.not_pre_enrolled"`
	Enforced   enroll.Code     `json:"enforced" doc:"In audit mode, what enforcing would have answered; else equal to code."`
	RequestID  string          `json:"request_id,omitempty" doc:"Enrollment request the device came with."`
	RemoteAddr string          `json:"remote_addr,omitempty"`
	Text       string          `json:"text" doc:"What the code means."`
	Fix        string          `json:"fix" doc:"What an admin can do about it."`
	Person     string          `json:"person" doc:"What the person at the device reads."`
	Trace      []enroll.Step   `json:"trace,omitempty" doc:"Every check with its result, in order. Only when a single decision is read."`
	Facts      *enroll.Facts   `json:"facts,omitempty" doc:"What the device told of itself. Only when a single decision is read, and only once its user has accepted the enrollment request."`

	NearMisses []enroll.NearMiss `json:"near_misses,omitempty" doc:"Open rows of the roll that the serial may have been meant for. Take one over with /decisions/{id}/repair."`
	Repair     *repairView       `json:"repair,omitempty" doc:"What was made of a near miss."`
}

type repairView struct {
	Serial string    `json:"serial" doc:"Serial the row had before."`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
}

// viewDecision leaves out trace and facts.
func viewDecision(d enroll.Decision) DecisionView {
	reason := d.Code.Reason()
	v := DecisionView{ID: d.ID, At: utc(d.At), Channel: d.Channel, Platform: d.Platform, Serial: d.Serial, Evidence: d.Evidence, Mode: d.Mode, Outcome: d.Outcome,
		Code: d.Code, Enforced: d.Enforced, RequestID: d.RequestID, RemoteAddr: d.RemoteAddr, Text: reason.Admin, Fix: reason.Fix, Person: reason.Person, NearMisses: d.NearMisses}
	if d.Repair != nil {
		v.Repair = &repairView{Serial: d.Repair.Serial, At: utc(d.Repair.At), By: d.Repair.By}
	}
	return v
}

type evaluationView struct {
	DecisionView
	OnRoll   bool     `json:"on_roll" doc:"There is a row with this serial."`
	Groups   []string `json:"groups" doc:"Groups the device is in."`
	Policies []string `json:"policies" doc:"Policies it would get."`
}

// DecisionParam is the path of every operation on one decision.
type DecisionParam struct {
	ID string `path:"id" maxLength:"64"`
}

func (r routes) decisions() {
	a := r.a
	type listDecisions struct {
		ListParams
		Serial   string          `query:"serial" maxLength:"200"`
		Outcome  enroll.Outcome  `query:"outcome" enum:"allow,hold,deny,error"`
		Code     enroll.Code     `query:"code" maxLength:"64" example:"deny.not_pre_enrolled"`
		Channel  enroll.Channel  `query:"channel" enum:"ota,profile,ade,account,agent,amapi"`
		Evidence enroll.Evidence `query:"evidence" enum:"claimed,token,signed,attested"`
		NearMiss bool            `query:"near_miss" doc:"true: only refusals that look like a row of the roll and were not repaired yet."`
		Since    time.Time       `query:"since" doc:"Not older than this."`
		Until    time.Time       `query:"until" doc:"Older than this."`
		After    string          `query:"after" maxLength:"64" doc:"ID of a decision: only those that were made since, for a live view. Of several servers one may come late; who must not miss any follows the event gate.decided."`
	}
	addList(r, RoleViewer, huma.Operation{OperationID: "list-decisions", Method: http.MethodGet, Path: "/decisions", Tags: []string{"Gate"},
		Summary: "List the gate's decisions", Description: "Every arrival of a device on any channel, newest first."}, decisionColumns,
		func(ctx context.Context, in *listDecisions) (*body[list[DecisionView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			ds, err := a.Decisions.Decisions(ctx, enroll.DecisionFilter{Serial: enroll.NormalizeSerial(in.Serial), Outcome: in.Outcome, Code: in.Code,
				Channel: in.Channel, Evidence: in.Evidence, NearMiss: in.NearMiss, Since: in.Since, Until: in.Until, Newer: in.After}, p)
			if err != nil {
				return nil, err
			}
			return &body[list[DecisionView]]{listOf(ds, p, func(d enroll.Decision) string { return d.ID }, viewDecision)}, nil
		})

	add(r, RoleViewer, huma.Operation{OperationID: "get-decision", Method: http.MethodGet, Path: "/decisions/{id}", Tags: []string{"Gate"},
		Summary: "Read a decision", Description: "With every check, what it means and what can be done about it."},
		func(ctx context.Context, in *DecisionParam) (*body[DecisionView], error) {
			d, err := a.Decisions.Decision(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			v := viewDecision(d)
			v.Trace = d.Trace
			v.Facts, err = a.factsOf(ctx, d)
			return &body[DecisionView]{v}, err
		})

	type repairDecision struct {
		DecisionParam
		Body struct {
			Serial string `json:"serial" minLength:"1" maxLength:"200" doc:"Serial of the row as it is on the roll, usually one of the near misses."`
		}
	}
	add(r, RoleOperator, huma.Operation{OperationID: "repair-decision", Method: http.MethodPost, Path: "/decisions/{id}/repair", Tags: []string{"Gate"},
		Summary: "Correct a row by a refusal", Description: "Gives a row that has not enrolled the serial of the refused device, which is admitted at its next attempt. The row keeps everything else: user, groups, policies, requests and history."},
		func(ctx context.Context, in *repairDecision) (*taggedDevice, error) {
			d, err := a.Gate.RepairSerial(ctx, in.ID, in.Body.Serial, caller(ctx).Name)
			if err != nil {
				return nil, err
			}
			return a.taggedBody(ctx, d)
		})
	r.evaluate()
}

type evaluateInput struct {
	Serial       string           `json:"serial" minLength:"1" maxLength:"200"`
	Platform     enroll.Platform  `json:"platform" enum:"android,ios" doc:"What the device presents itself as."`
	Channel      enroll.Channel   `json:"channel" enum:"ota,profile,ade,account,agent,amapi"`
	Evidence     enroll.Evidence  `json:"evidence,omitempty" enum:"claimed,token,signed,attested" doc:"claimed if left out."`
	OSVersion    string           `json:"os_version,omitempty" maxLength:"64" example:"26.1"`
	Model        string           `json:"model,omitempty" maxLength:"255" example:"iPhone 16 Pro"`
	Product      string           `json:"product,omitempty" maxLength:"255" example:"iPhone17,1"`
	Manufacturer string           `json:"manufacturer,omitempty" maxLength:"255" doc:"Of an Android device."`
	Ownership    enroll.Ownership `json:"ownership,omitempty" enum:"personal,corporate" doc:"As the user would choose, where the row leaves it to the user."`
	UserID       string           `json:"user_id,omitempty" maxLength:"64" doc:"ID of the user who would enroll; of nobody in particular if left out."`
}

func (in evaluateInput) attempt() enroll.Attempt {
	a := enroll.Attempt{Serial: in.Serial, Platform: in.Platform, Channel: in.Channel, Evidence: in.Evidence, UserID: in.UserID, Ownership: in.Ownership,
		Facts: enroll.Facts{OSVersion: in.OSVersion, Model: in.Model, Product: in.Product}}
	if in.Manufacturer != "" {
		a.Facts.Extra = map[string]string{enroll.ManufacturerFact: in.Manufacturer}
	}
	return a
}

func (r routes) evaluate() {
	a := r.a
	type evaluateAttempt struct {
		Body evaluateInput
	}
	add(r, RoleViewer, huma.Operation{OperationID: "evaluate", Method: http.MethodPost, Path: "/gate/evaluate", Tags: []string{"Gate"},
		Summary: "Ask what would happen", Description: "What the gate would answer to a device, and why, before it arrives, whether or not it is on the roll. Nothing is recorded."},
		func(ctx context.Context, in *evaluateAttempt) (*body[evaluationView], error) {
			d, err := a.Gate.Explain(ctx, in.Body.attempt())
			if err != nil {
				return nil, err
			}
			out := evaluationView{DecisionView: viewDecision(d), OnRoll: d.DeviceID != "", Groups: []string{}, Policies: []string{}}
			out.Trace = d.Trace
			if !d.Allowed() {
				if out.NearMisses, err = a.Gate.NearMisses(ctx, d.Serial, d.Platform); err != nil {
					return nil, err
				}
			}
			if !out.OnRoll {
				return &body[evaluationView]{out}, nil
			}
			groups, err := a.Roll.GroupsOf(ctx, d.DeviceID)
			if err != nil {
				return nil, err
			}
			for _, g := range groups {
				out.Groups = append(out.Groups, g.Name)
			}
			policies, err := a.Policies.Reaching(ctx, policy.Reach{DeviceID: d.DeviceID})
			for _, p := range policies {
				out.Policies = append(out.Policies, p.Name)
			}
			return &body[evaluationView]{out}, err
		})
}

// factsOf is what a device told at the gate, as far as it may be shown: the
// decision on a row whose user has not accepted shows no more than the row.
func (a *API) factsOf(ctx context.Context, d enroll.Decision) (*enroll.Facts, error) {
	if d.DeviceID == "" || d.Facts.Empty() {
		return nil, nil
	}
	device, err := a.Roll.DeviceByID(ctx, d.DeviceID)
	if enroll.KindOf(err) == enroll.KindNotFound || err == nil && !device.Accepted() {
		return nil, nil
	}
	return &d.Facts, err
}
