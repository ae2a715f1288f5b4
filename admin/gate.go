package admin

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type forecastView struct {
	Since    time.Time            `json:"since"`
	Devices  int                  `json:"devices" doc:"How many devices arrived."`
	Admitted int                  `json:"admitted" doc:"How many of them would be admitted."`
	Refused  []forecastCodeView   `json:"refused" doc:"How many would not, by code, most first."`
	Items    []forecastDeviceView `json:"items" doc:"Those that would not, newest first; up to 100."`
	More     bool                 `json:"more" doc:"There are more than are listed, or more arrived than were looked at."`
}

type forecastCodeView struct {
	Code    enroll.Code `json:"code"`
	Text    string      `json:"text"`
	Devices int         `json:"devices"`
}

type forecastDeviceView struct {
	Serial     string            `json:"serial"`
	Channel    enroll.Channel    `json:"channel"`
	LastAt     time.Time         `json:"last_at" doc:"When it arrived last."`
	Was        enroll.Code       `json:"was" doc:"What it was answered then."`
	Code       enroll.Code       `json:"code" doc:"What it would be answered."`
	State      enroll.State      `json:"state,omitempty" doc:"Of its row. An enrolled device stays so; it would be refused when it enrolls again."`
	NearMisses []enroll.NearMiss `json:"near_misses,omitempty"`
}

func viewForecast(f enroll.Forecast) *body[forecastView] {
	out := forecastView{Since: utc(f.Since), Devices: f.Devices, Admitted: f.Admitted, Refused: []forecastCodeView{}, Items: []forecastDeviceView{}, More: f.More}
	for _, c := range f.Refused {
		out.Refused = append(out.Refused, forecastCodeView{Code: c.Code, Text: c.Code.Reason().Admin, Devices: c.Devices})
	}
	for _, d := range f.Listed {
		out.Items = append(out.Items, forecastDeviceView{Serial: d.Serial, Channel: d.Channel, LastAt: utc(d.LastAt), Was: d.Was, Code: d.Code, State: d.State, NearMisses: d.NearMisses})
	}
	return &body[forecastView]{out}
}

// forecast is beside the settings, which are changed after a look at it.
func (r routes) forecast(op func(id, method, path, summary, description string) huma.Operation) {
	type readForecast struct {
		Days     int                    `query:"days" minimum:"1" maximum:"90" default:"7" doc:"How many days to look back."`
		Mode     enroll.Mode            `query:"pre_enrolled_devices_only" enum:"off,audit,enforce" default:"enforce" doc:"The mode that is thought of."`
		Unlisted enroll.UnlistedDevices `query:"unlisted_devices" enum:"refuse,hold" doc:"Left out: as it is set."`
		Evidence enroll.Evidence        `query:"required_evidence" enum:"claimed,token,signed,attested" doc:"Left out: as it is set."`
	}
	add(r, RoleViewer, op("get-enrollment-forecast", http.MethodGet, "/forecast", "Forecast what enforcing would refuse",
		"What pre_enrolled_devices_only = enforce, or the settings that are given, would answer, with the other settings, rules and roll of now, to the devices that arrived lately, each counted once. Limits and owners of users are not looked at."),
		func(ctx context.Context, in *readForecast) (*body[forecastView], error) {
			f, err := r.a.Restrictions.Forecast(ctx, in.Days, func(s *enroll.Settings) {
				s.PreEnrolledDevicesOnly = in.Mode
				s.UnlistedDevices, s.RequiredEvidence = cmp.Or(in.Unlisted, s.UnlistedDevices), cmp.Or(in.Evidence, s.RequiredEvidence)
			})
			if err != nil {
				return nil, err
			}
			return viewForecast(f), nil
		})
}

type GateRuleView struct {
	Name string `json:"name"`
	GateRuleInput
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// GateRuleInput is what an admin says of a rule.
type GateRuleInput struct {
	Enabled    *bool              `json:"enabled,omitempty" doc:"true if left out."`
	Action     enroll.RuleAction  `json:"action" enum:"deny,require_evidence,allow,hold" doc:"deny refuses, require_evidence refuses who proves less. allow and hold are about devices that are not on the roll, where Pre-enrolled Devices Only would refuse them. Deny beats allow; of allow and hold the first that matches counts."`
	Evidence   enroll.Evidence    `json:"evidence,omitempty" enum:"token,signed,attested" doc:"What require_evidence asks for."`
	Conditions gateConditionsView `json:"conditions" doc:"Which devices the rule is about: all conditions hold, and of each list one entry."`
}

type gateConditionsView struct {
	Channels      []enroll.Channel   `json:"channels,omitempty" enum:"ota,profile,ade,account,agent,amapi"`
	Platforms     []enroll.Platform  `json:"platforms,omitempty" enum:"android,ios,apple"`
	Ownerships    []enroll.Ownership `json:"ownerships,omitempty" enum:"personal,corporate,selectuser" doc:"Of the row, or chosen by the user; selectuser: not chosen yet."`
	OSMinimum     string             `json:"os_minimum,omitempty" maxLength:"64" example:"17.4" doc:"Lowest version that is wanted. deny and hold are about devices outside of the range, the other actions about devices inside. A device that has not told its version is not concerned; over the air it tells it at the last step, and is asked again."`
	OSMaximum     string             `json:"os_maximum,omitempty" maxLength:"64" example:"26" doc:"Highest version that is wanted, with every version that begins with it."`
	Models        []string           `json:"models,omitempty" example:"[\"iPhone10,*\"]" doc:"Patterns with * and ?, of the model name or product."`
	Manufacturers []string           `json:"manufacturers,omitempty" doc:"Patterns with * and ?. That of an iPhone or iPad is Apple."`
	Evidence      []enroll.Evidence  `json:"evidence,omitempty" enum:"claimed,token,signed,attested"`
	OnRoll        *bool              `json:"on_roll,omitempty"`
	Groups        []string           `json:"groups,omitempty" doc:"Names of groups."`
}

func viewGateRule(r enroll.Rule) GateRuleView {
	enabled := r.Enabled
	return GateRuleView{Name: r.Name, CreatedAt: utc(r.CreatedAt), UpdatedAt: utc(r.UpdatedAt),
		GateRuleInput: GateRuleInput{Enabled: &enabled, Action: r.Action, Evidence: r.Evidence, Conditions: gateConditionsView(r.Conditions)}}
}

// rule is the rule an admin described; groups that do not exist are refused,
// for such a rule would silently do nothing.
func (in GateRuleInput) rule(ctx context.Context, a *API, name string) (enroll.Rule, error) {
	for _, g := range in.Conditions.Groups {
		if _, err := a.Roll.Group(ctx, g); err != nil {
			return enroll.Rule{}, err
		}
	}
	return enroll.Rule{Name: name, Enabled: in.Enabled == nil || *in.Enabled, Action: in.Action, Evidence: in.Evidence, Conditions: enroll.Conditions(in.Conditions)}, nil
}

func (r routes) gate() {
	r.rules()
	r.approvals()
}

// RuleParam is the path of every operation on one rule.
type RuleParam struct {
	Name string `path:"name" maxLength:"255"`
}

func (r routes) rules() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/gate/" + path, Tags: []string{"Gate"}, Summary: summary, Description: description}
	}
	ruleList := func(rules []enroll.Rule) *body[list[GateRuleView]] {
		return &body[list[GateRuleView]]{listOf(rules, enroll.Page{}, func(r enroll.Rule) string { return r.Name }, viewGateRule)}
	}
	add(r, RoleViewer, op("list-gate-rules", http.MethodGet, "rules", "List the rules of the gate", "In their order. There are at most 100."),
		func(ctx context.Context, _ *struct{}) (*body[list[GateRuleView]], error) {
			rules, err := a.Restrictions.Rules(ctx)
			if err != nil {
				return nil, err
			}
			return ruleList(rules), nil
		})
	add(r, RoleViewer, op("get-gate-rule", http.MethodGet, "rules/{name}", "Read a rule", ""),
		func(ctx context.Context, in *RuleParam) (*body[GateRuleView], error) {
			rule, err := a.Restrictions.Rule(ctx, in.Name)
			return &body[GateRuleView]{viewGateRule(rule)}, err
		})
	type putRule struct {
		RuleParam
		Body GateRuleInput
	}
	type rulePut struct {
		Status int
		Body   GateRuleView
	}
	add(r, RoleAdmin, orCreated[GateRuleView](r, op("put-gate-rule", http.MethodPut, "rules/{name}", "Make or change a rule", "A new rule comes last in the order (201). A rule that can never apply, or asks for what no device can give, is refused with the reason. Takes effect with the next device that arrives.")),
		func(ctx context.Context, in *putRule) (*rulePut, error) {
			rule, err := in.Body.rule(ctx, a, in.Name)
			if err != nil {
				return nil, err
			}
			rule, created, err := a.Restrictions.PutRule(ctx, rule)
			if err != nil {
				return nil, err
			}
			out := &rulePut{Status: http.StatusOK, Body: viewGateRule(rule)}
			if created {
				out.Status = http.StatusCreated
			}
			return out, nil
		})
	add(r, RoleAdmin, op("delete-gate-rule", http.MethodDelete, "rules/{name}", "Delete a rule", ""),
		func(ctx context.Context, in *RuleParam) (*struct{}, error) {
			return nil, a.Restrictions.DeleteRule(ctx, in.Name)
		})
	type orderRules struct {
		Body struct {
			Names []string `json:"names" maxItems:"100" doc:"Every rule, in the order it is to have."`
		}
	}
	add(r, RoleAdmin, op("order-gate-rules", http.MethodPut, "rule-order", "Put the rules in order", ""),
		func(ctx context.Context, in *orderRules) (*body[list[GateRuleView]], error) {
			rules, err := a.Restrictions.OrderRules(ctx, in.Body.Names)
			if err != nil {
				return nil, err
			}
			return ruleList(rules), nil
		})
}

type ApprovalView struct {
	Serial     string               `json:"serial"`
	State      enroll.ApprovalState `json:"state" enum:"pending,approved,rejected"`
	DecisionID string               `json:"decision_id" doc:"The last attempt that was held, with its trace and near misses."`
	Attempts   int                  `json:"attempts" doc:"How many attempts were held."`
	AskedAt    time.Time            `json:"asked_at"`
	LastAt     time.Time            `json:"last_at"`
	DecidedAt  time.Time            `json:"decided_at,omitzero"`
	DecidedBy  string               `json:"decided_by,omitempty"`
}

func viewApproval(a enroll.Approval) ApprovalView {
	return ApprovalView{Serial: a.Serial, State: a.State, DecisionID: a.DecisionID, Attempts: a.Attempts, AskedAt: utc(a.AskedAt), LastAt: utc(a.LastAt),
		DecidedAt: utc(a.DecidedAt), DecidedBy: a.DecidedBy}
}

func (r routes) approvals() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/approvals" + path, Tags: []string{"Gate"}, Summary: summary, Description: description}
	}
	one := func(approval enroll.Approval, err error) (*body[ApprovalView], error) {
		if err != nil {
			return nil, err
		}
		return &body[ApprovalView]{viewApproval(approval)}, nil
	}
	type listApprovals struct {
		ListParams
		State enroll.ApprovalState `query:"state" enum:"pending,approved,rejected" default:"pending"`
	}
	add(r, RoleViewer, op("list-approvals", http.MethodGet, "", "List the devices that wait for approval", "Devices that the gate held, in the order of serials; with state, those that were approved or rejected. Devices on the roll are not among them."),
		func(ctx context.Context, in *listApprovals) (*body[list[ApprovalView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			as, err := a.Approvals.Approvals(ctx, in.State, p)
			if err != nil {
				return nil, err
			}
			return &body[list[ApprovalView]]{listOf(as, p, func(a enroll.Approval) string { return a.Serial }, viewApproval)}, nil
		})
	add(r, RoleViewer, op("get-approval", http.MethodGet, "/{serial}", "Read an approval", ""),
		func(ctx context.Context, in *SerialParam) (*body[ApprovalView], error) {
			return one(a.Approvals.Approval(ctx, enroll.NormalizeSerial(in.Serial)))
		})
	add(r, RoleOperator, op("approve-device", http.MethodPost, "/{serial}/approve", "Approve a device", "It may enroll at its next attempt, and again later, without being on the roll. Also takes back a rejection."),
		func(ctx context.Context, in *SerialParam) (*body[ApprovalView], error) {
			return one(a.Approvals.Approve(ctx, in.Serial, caller(ctx).Name))
		})
	add(r, RoleOperator, op("reject-device", http.MethodPost, "/{serial}/reject", "Reject a device", "Its attempts are refused as not pre-enrolled until it is approved or put on the roll."),
		func(ctx context.Context, in *SerialParam) (*body[ApprovalView], error) {
			return one(a.Approvals.Reject(ctx, in.Serial, caller(ctx).Name))
		})
	type addDevice struct {
		SerialParam
		Body deviceInput
	}
	add(r, RoleOperator, op("approve-and-add-device", http.MethodPost, "/{serial}/approve-and-add", "Approve a device and put it on the roll", "As a row of its own right, with what the body says; platform is what the device is and ownership the user's choice where they are left out."),
		func(ctx context.Context, in *addDevice) (*taggedDevice, error) {
			d, err := a.Approvals.ApproveAndAdd(ctx, in.Serial, in.Body.input())
			if err != nil {
				return nil, err
			}
			return a.taggedBody(ctx, d)
		})
}
