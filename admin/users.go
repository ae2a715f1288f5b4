package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type UserView struct {
	ID       string `json:"id"`
	Domain   string `json:"domain"`
	Name     string `json:"name,omitempty"`
	Email    string `json:"email"`
	Mobile   string `json:"mobile,omitempty"`
	Language string `json:"language,omitempty" doc:"Of what is sent to the user. Absent: the server's." example:"de"`
}

func viewUser(u enroll.User) UserView {
	return UserView{ID: u.ID, Domain: u.Domain, Name: u.Name, Email: u.Email, Mobile: u.Mobile, Language: u.Language}
}

// userChangeView is a user after a change.
type userChangeView struct {
	UserView
	Created bool `json:"created" doc:"The user is new."`
	Changed bool `json:"changed" doc:"false: it was so already."`
}

type domainView struct {
	Name      string    `json:"name"`
	Users     int       `json:"users" doc:"How many belong to it."`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

func viewDomain(d enroll.Domain) domainView {
	return domainView{Name: d.Name, Users: d.Users, CreatedAt: utc(d.CreatedAt)}
}

func (r routes) users() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"Users"}, Summary: summary, Description: description}
	}

	type listUsers struct {
		ListParams
		Domain string `query:"domain" maxLength:"255"`
		Search string `query:"q" maxLength:"254" doc:"Beginning of the e-mail address."`
	}
	add(r, RoleViewer, op("list-users", http.MethodGet, "/users", "List the users", "By e-mail address. GET /devices?user= lists the devices of one."),
		func(ctx context.Context, in *listUsers) (*body[list[UserView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			users, err := a.Roll.Users(ctx, enroll.UserFilter{Domain: in.Domain, Search: in.Search}, p)
			if err != nil {
				return nil, err
			}
			return &body[list[UserView]]{listOf(users, p, enroll.UserKey, viewUser)}, nil
		})

	type oneUser struct {
		ID string `path:"id" maxLength:"64"`
	}
	add(r, RoleViewer, op("get-user", http.MethodGet, "/users/{id}", "Read a user", ""),
		func(ctx context.Context, in *oneUser) (*body[UserView], error) {
			u, err := a.Roll.User(ctx, in.ID)
			return &body[UserView]{viewUser(u)}, err
		})
	add(r, RoleOperator, op("delete-user", http.MethodDelete, "/users/{id}", "Delete a user", "409 where the user owns devices."),
		func(ctx context.Context, in *oneUser) (*struct{}, error) {
			return nil, a.Roll.DeleteUser(ctx, in.ID)
		})

	type putUser struct {
		Domain string `path:"domain" maxLength:"255"`
		Email  string `path:"email" maxLength:"254"`
		Body   struct {
			Name     *string `json:"name,omitempty" maxLength:"255"`
			Mobile   *string `json:"mobile,omitempty" maxLength:"40"`
			Language *string `json:"language,omitempty" maxLength:"35" doc:"Of what is sent to the user; empty for the server's."`
		}
	}
	type changed struct {
		Status int
		Body   userChangeView
	}
	add(r, RoleOperator, orCreated[userChangeView](r, op("put-user", http.MethodPut, "/domains/{domain}/users/{email}", "Make or change a user", "Fields that are left out stay as they are. 201 for a new user, 200 otherwise; `changed` is false where it was so already.")),
		func(ctx context.Context, in *putUser) (*changed, error) {
			u, created, isChanged, err := a.Roll.PutUser(ctx, in.Domain, in.Email, enroll.UserInput{Name: in.Body.Name, Mobile: in.Body.Mobile, Language: in.Body.Language})
			if err != nil {
				return nil, err
			}
			out := &changed{Status: http.StatusOK, Body: userChangeView{viewUser(u), created, isChanged}}
			if created {
				out.Status = http.StatusCreated
			}
			return out, nil
		})

	add(r, RoleViewer, op("list-domains", http.MethodGet, "/domains", "List the domains", "The directories users belong to. \"local\" is always there."),
		func(ctx context.Context, _ *struct{}) (*body[list[domainView]], error) {
			domains, err := a.Roll.Domains(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[domainView]]{listOf(domains, enroll.Page{}, func(d enroll.Domain) string { return d.Name }, viewDomain)}, nil
		})
	type createDomain struct {
		Body struct {
			Name string `json:"name" maxLength:"255" example:"example.com"`
		}
	}
	create := op("create-domain", http.MethodPost, "/domains", "Make a domain", "409 where the name is taken.")
	create.DefaultStatus = http.StatusCreated
	add(r, RoleOperator, create, func(ctx context.Context, in *createDomain) (*body[domainView], error) {
		d, err := a.Roll.NewDomain(ctx, in.Body.Name)
		return &body[domainView]{viewDomain(d)}, err
	})
	type oneDomain struct {
		Domain string `path:"domain" maxLength:"255"`
	}
	add(r, RoleOperator, op("delete-domain", http.MethodDelete, "/domains/{domain}", "Delete a domain", "409 where it has users, and for \"local\"."),
		func(ctx context.Context, in *oneDomain) (*struct{}, error) {
			return nil, a.Roll.DeleteDomain(ctx, in.Domain)
		})
}
