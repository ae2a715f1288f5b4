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
	Name      string    `json:"name"`
	Devices   int       `json:"devices" doc:"Number of members. GET /devices?group= lists them."`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func viewGroup(g enroll.Group) groupView {
	return groupView{Name: g.Name, Devices: g.Devices, CreatedAt: utc(g.CreatedAt), UpdatedAt: utc(g.UpdatedAt)}
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
			Name string `json:"name" maxLength:"255"`
		}
	}
	create := op("create-group", http.MethodPost, "", "Make a group", "409 where the name is taken.")
	create.DefaultStatus = http.StatusCreated
	add(r, RoleOperator, create, func(ctx context.Context, in *createGroup) (*body[groupView], error) {
		if err := checkName("group", in.Body.Name); err != nil {
			return nil, err
		}
		now := a.now().UTC()
		g := enroll.Group{ID: enroll.NewID(), Name: in.Body.Name, CreatedAt: now, UpdatedAt: now}
		return &body[groupView]{viewGroup(g)}, a.Roll.CreateGroup(ctx, g)
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
	add(r, RoleOperator, op("change-members", http.MethodPost, "/{name}/members", "Add and remove members", "All or none: a serial that is not on the roll refuses the whole change. Works before and after devices enroll."),
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
