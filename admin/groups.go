package admin

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type groupView struct {
	Name       string          `json:"name"`
	Rule       *ruleView       `json:"rule,omitempty" doc:"Absent: a static group."`
	Evaluation *evaluatingView `json:"evaluation,omitempty" doc:"While a new or changed rule is being applied to the devices that were there before. Devices that change follow it at once."`
	Devices    int             `json:"devices" doc:"Number of members; where there are more than 10,000, it was counted within the last minute. GET /devices?group= lists them."`
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
}

type evaluatingView struct {
	Done  int `json:"done" doc:"Devices looked at."`
	Total int `json:"total"`
}

// ruleView is a rule as it is read and written.
type ruleView struct {
	Match      string          `json:"match,omitempty" enum:"all,any" doc:"all if left out."`
	Conditions []conditionView `json:"conditions" minItems:"1" maxItems:"20"`
}

type conditionView struct {
	Field  enroll.RuleField `json:"field" enum:"platform,ownership,source,model,product,serial,user_email,user_domain,tag,asset_tag,state" doc:"model and product count once the user has accepted the enrollment request."`
	Not    bool             `json:"not,omitempty" doc:"The field is like none of the values."`
	Values []string         `json:"values" minItems:"1" maxItems:"200" doc:"The field is like one of them: * is any text, ? any character; case does not matter. An empty value is a field without one." example:"[\"iPhone*\"]"`
}

func (v ruleView) rule() (enroll.GroupRule, error) {
	r := enroll.GroupRule{Match: v.Match}
	for _, c := range v.Conditions {
		r.Conditions = append(r.Conditions, enroll.Condition(c))
	}
	return r.Normalized()
}

func viewGroup(g enroll.Group) groupView {
	v := groupView{Name: g.Name, Devices: g.Devices, CreatedAt: utc(g.CreatedAt), UpdatedAt: utc(g.UpdatedAt)}
	if g.Rule != nil {
		v.Rule = &ruleView{Match: g.Rule.Match}
		for _, c := range g.Rule.Conditions {
			v.Rule.Conditions = append(v.Rule.Conditions, conditionView(c))
		}
	}
	if g.Evaluation.Running {
		v.Evaluation = &evaluatingView{Done: g.Evaluation.Done, Total: g.Evaluation.Total}
	}
	return v
}

type GroupParam struct {
	Name string `path:"name" maxLength:"255"`
}

// checkName says what is wrong with the name of a group or token.
func checkName(what, name string) error {
	if name == "" || name != strings.TrimSpace(name) || len(name) > enroll.MaxName || strings.ContainsFunc(name, unicode.IsControl) {
		return enroll.Errorf(enroll.KindInvalid, "name_invalid", "the name of a %s has 1 to %d bytes, no control characters and no space at its ends", what, enroll.MaxName)
	}
	return nil
}

func (r routes) groups() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/groups" + path, Tags: []string{"Groups"}, Summary: summary, Description: description}
	}

	add(r, RoleViewer, op("list-groups", http.MethodGet, "", "List the groups", "All of them, by name."),
		func(ctx context.Context, _ *struct{}) (*body[list[groupView]], error) {
			groups, err := a.Roll.Groups(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[groupView]]{listOf(groups, enroll.Page{}, func(g enroll.Group) string { return g.Name }, viewGroup)}, nil
		})

	type createGroup struct {
		Body struct {
			Name string    `json:"name" maxLength:"255"`
			Rule *ruleView `json:"rule,omitempty" doc:"Which devices belong to it. Left out: members are named one by one."`
		}
	}
	create := op("create-group", http.MethodPost, "", "Make a group", "409 where the name is taken. A rule is applied to the devices that are there in the background; `evaluation` tells how far.")
	create.DefaultStatus = http.StatusCreated
	add(r, RoleOperator, create, func(ctx context.Context, in *createGroup) (*body[groupView], error) {
		if err := checkName("group", in.Body.Name); err != nil {
			return nil, err
		}
		now := a.now().UTC()
		g := enroll.Group{ID: enroll.NewID(), Name: in.Body.Name, CreatedAt: now, UpdatedAt: now}
		if in.Body.Rule == nil {
			return &body[groupView]{viewGroup(g)}, a.Roll.CreateGroup(ctx, g)
		}
		rule, err := in.Body.Rule.rule()
		if err != nil {
			return nil, err
		}
		g.Rule = &rule
		if err := a.Roll.CreateGroup(ctx, g); err != nil {
			return nil, err
		}
		a.kick()
		g, err = a.Roll.Group(ctx, g.Name)
		return &body[groupView]{viewGroup(g)}, err
	})

	type changeRule struct {
		GroupParam
		Body ruleView
	}
	add(r, RoleOperator, op("put-rule", http.MethodPut, "/{name}/rule", "Change the rule of a group", "Devices that no longer match leave the group, those that match now join it, in the background; `evaluation` tells how far. 409 for a static group."),
		func(ctx context.Context, in *changeRule) (*body[groupView], error) {
			rule, err := in.Body.rule()
			if err != nil {
				return nil, err
			}
			g, changed, err := a.Roll.ChangeRule(ctx, in.Name, rule)
			if err != nil {
				return nil, err
			}
			if changed {
				a.kick()
			}
			return &body[groupView]{viewGroup(g)}, nil
		})

	type previewRule struct {
		Body ruleView
	}
	type preview struct {
		Devices  int      `json:"devices" doc:"On the roll."`
		Matches  int      `json:"matches"`
		Examples []string `json:"examples" doc:"Serials of the first matches."`
	}
	add(r, RoleViewer, op("preview-rule", http.MethodPost, "/preview", "See which devices a rule would match", "Nothing is stored."),
		func(ctx context.Context, in *previewRule) (*body[preview], error) {
			rule, err := in.Body.rule()
			if err != nil {
				return nil, err
			}
			p, err := a.Roll.PreviewRule(ctx, rule, 20)
			return &body[preview]{preview(p)}, err
		})

	add(r, RoleViewer, op("get-group", http.MethodGet, "/{name}", "Read a group", ""),
		func(ctx context.Context, in *GroupParam) (*body[groupView], error) {
			g, err := a.Roll.Group(ctx, in.Name)
			return &body[groupView]{viewGroup(g)}, err
		})

	add(r, RoleOperator, op("delete-group", http.MethodDelete, "/{name}", "Delete a group", "Its members stay on the roll and lose the policies that were bound to it."),
		func(ctx context.Context, in *GroupParam) (*struct{}, error) {
			if err := a.Roll.DeleteGroup(ctx, in.Name); err != nil {
				return nil, err
			}
			a.kick()
			return nil, nil
		})

	type changeMembers struct {
		GroupParam
		Body struct {
			Add    []string `json:"add,omitempty" maxItems:"1000" doc:"Serials."`
			Remove []string `json:"remove,omitempty" maxItems:"1000" doc:"Serials."`
		}
	}
	add(r, RoleOperator, op("change-members", http.MethodPost, "/{name}/members", "Add and remove members", "All or none: a serial that is not on the roll refuses the whole change. Works before and after devices enroll. 409 for a group with a rule."),
		func(ctx context.Context, in *changeMembers) (*body[groupView], error) {
			if err := a.Roll.ChangeMembers(ctx, in.Name, normalized(in.Body.Add), normalized(in.Body.Remove)); err != nil {
				return nil, err
			}
			a.kick()
			g, err := a.Roll.Group(ctx, in.Name)
			return &body[groupView]{viewGroup(g)}, err
		})
}

func normalized(serials []string) []string {
	out := make([]string, len(serials))
	for i, s := range serials {
		out[i] = enroll.NormalizeSerial(s)
	}
	return out
}
