package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

// SavedView is filters, sorting and columns of the list of devices under a name.
type SavedView struct {
	OwnerID   string // administrator or token
	OwnerName string
	Name      string // unique among those of the owner
	Query     string // parameters of the list, as in its URL
	Shared    bool   // everybody sees it
	UpdatedAt time.Time
}

// ViewStore keeps saved views.
type ViewStore interface {
	// Views lists those of an owner and the shared ones, by name.
	Views(ctx context.Context, ownerID string) ([]SavedView, error)
	// PutView makes or replaces one. enroll.KindConflict where the owner has most
	// already.
	PutView(ctx context.Context, v SavedView, most int) (created bool, err error)
	DeleteView(ctx context.Context, ownerID, name string) error // enroll.KindNotFound
}

// maxViews is how many views one owner may have.
const maxViews = 200

// ViewParam is the path of every operation on one view.
type ViewParam struct {
	Name string `path:"name" maxLength:"255"`
}

type savedViewView struct {
	Name      string    `json:"name"`
	Query     string    `json:"query" doc:"Parameters of the list of devices." example:"ownership=corporate&sort=updated_at"`
	Shared    bool      `json:"shared" doc:"Everybody sees it."`
	Mine      bool      `json:"mine"`
	OwnerID   string    `json:"owner_id"`
	OwnerName string    `json:"owner_name,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

func (r routes) views() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/views" + path, Tags: []string{"Administrators"}, Summary: summary, Description: description}
	}
	view := func(owner string) func(SavedView) savedViewView {
		return func(v SavedView) savedViewView {
			return savedViewView{Name: v.Name, Query: v.Query, Shared: v.Shared, Mine: v.OwnerID == owner, OwnerID: v.OwnerID, OwnerName: v.OwnerName, UpdatedAt: utc(v.UpdatedAt)}
		}
	}
	add(r, RoleViewer, op("list-views", http.MethodGet, "", "List the saved views", "One's own and those that are shared, by name."),
		func(ctx context.Context, _ *struct{}) (*body[list[savedViewView]], error) {
			by := caller(ctx)
			all, err := a.Views.Views(ctx, by.ID)
			if err != nil {
				return nil, err
			}
			return &body[list[savedViewView]]{listOf(all, enroll.Page{}, func(v SavedView) string { return v.Name }, view(by.ID))}, nil
		})

	type putView struct {
		ViewParam
		Body struct {
			Query  string `json:"query" maxLength:"2000" doc:"Parameters of the list of devices, as in its URL." example:"ownership=corporate&sort=updated_at"`
			Shared bool   `json:"shared,omitempty" doc:"Everybody sees it; its owner alone can change it."`
		}
	}
	type answer struct {
		Status int
		Body   savedViewView
	}
	add(r, RoleViewer, orCreated[savedViewView](r, op("put-view", http.MethodPut, "/{name}", "Save a view", "Under a name of one's own; another one of this name is replaced.")),
		func(ctx context.Context, in *putView) (*answer, error) {
			if err := checkName("view", in.Name); err != nil {
				return nil, err
			}
			if _, err := url.ParseQuery(in.Body.Query); err != nil {
				return nil, enroll.Errorf(enroll.KindInvalid, "view_query_invalid", "the query is not one of a URL").WithHint("Escape what is special, or copy it from the list's address.")
			}
			by := caller(ctx)
			v := SavedView{OwnerID: by.ID, OwnerName: by.Name, Name: in.Name, Query: in.Body.Query, Shared: in.Body.Shared, UpdatedAt: a.now().UTC()}
			created, err := a.Views.PutView(ctx, v, maxViews)
			if err != nil {
				return nil, err
			}
			out := &answer{Status: http.StatusOK, Body: view(by.ID)(v)}
			if created {
				out.Status = http.StatusCreated
			}
			return out, nil
		})

	type removeView struct {
		ViewParam
		Owner string `query:"owner" maxLength:"64" doc:"Whose; left out: one's own. Those of others need the role admin."`
	}
	add(r, RoleViewer, op("delete-view", http.MethodDelete, "/{name}", "Delete a saved view", ""),
		func(ctx context.Context, in *removeView) (*struct{}, error) {
			by := caller(ctx)
			owner := in.Owner
			if owner == "" {
				owner = by.ID
			}
			if owner != by.ID && !by.Role.Includes(RoleAdmin) {
				return nil, enroll.Errorf(enroll.KindForbidden, "role_needed", "the views of others need the role %s; yours is %s", RoleAdmin, by.Role)
			}
			return nil, a.Views.DeleteView(ctx, owner, in.Name)
		})
}
