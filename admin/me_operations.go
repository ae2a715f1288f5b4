package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type meView struct {
	Kind          CallerKind         `json:"kind" enum:"token,administrator"`
	ID            string             `json:"id"`
	Name          string             `json:"name"`
	Role          Role               `json:"role" enum:"viewer,operator,admin"`
	Administrator *AdministratorView `json:"administrator,omitempty" doc:"Absent for a token."`
	RecoveryCodes *int               `json:"recovery_codes,omitempty" doc:"How many are left."`
}

type keyView struct {
	Key string `json:"key" doc:"To type into an authenticator app. It is shown here and never again."`
	URL string `json:"url" doc:"The same for a QR code (otpauth:)."`
}

type recoveryView struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Each works once in place of a code. They are shown here and never again."`
}

// administrator is the person who calls; enroll.KindConflict for a token.
func administrator(ctx context.Context) (Caller, error) {
	by := caller(ctx)
	if by.Kind != CallerAdministrator {
		return by, enroll.Errorf(enroll.KindConflict, "administrator_needed", "this is for people who are signed in to the console; a token has no account")
	}
	return by, nil
}

func (r routes) me() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/me" + path, Tags: []string{"Administrators"}, Summary: summary, Description: description}
	}
	me := func(ctx context.Context) (*body[meView], error) {
		by := caller(ctx)
		out := meView{Kind: by.Kind, ID: by.ID, Name: by.Name, Role: by.Role}
		if by.Kind == CallerAdministrator {
			account, err := a.Administrators.Store.Administrator(ctx, by.ID)
			if err != nil {
				return nil, err
			}
			view, left := viewAdministrator(account.Administrator), len(account.RecoveryCodes)
			out.Name, out.Role, out.Administrator, out.RecoveryCodes = view.Name, view.Role, &view, &left
		}
		return &body[meView]{out}, nil
	}
	add(r, RoleViewer, op("get-me", http.MethodGet, "", "Read who is asking", "The token, or the administrator."),
		func(ctx context.Context, _ *struct{}) (*body[meView], error) { return me(ctx) })

	type patchMe struct {
		IfMatch string `header:"If-Match" maxLength:"40" doc:"Version as it was read."`
		Body    struct {
			Name     *string `json:"name,omitempty" maxLength:"255"`
			TimeZone *string `json:"time_zone,omitempty" maxLength:"64" doc:"IANA name; empty: UTC." example:"Europe/Berlin"`
			Theme    *Theme  `json:"theme,omitempty" enum:",light,dark" doc:"Empty: that of the system."`
		}
	}
	add(r, RoleViewer, op("patch-me", http.MethodPatch, "", "Change one's own account", "Fields that are left out stay as they are. Role and address are changed by an administrator with the role admin."),
		func(ctx context.Context, in *patchMe) (*body[meView], error) {
			by, err := administrator(ctx)
			if err != nil {
				return nil, err
			}
			if _, err := a.Administrators.Store.ChangeAdministrator(ctx, by.ID, func(w *Account) (SessionEnd, error) {
				if err := changedMeanwhile(in.IfMatch, w.Administrator); err != nil {
					return SessionEnd{}, err
				}
				if in.Body.Name != nil {
					w.Name = *in.Body.Name
					if err := checkName("administrator", w.Name); err != nil {
						return SessionEnd{}, err
					}
				}
				if in.Body.TimeZone != nil {
					w.TimeZone = *in.Body.TimeZone
					if err := checkTimeZone(w.TimeZone); err != nil {
						return SessionEnd{}, err
					}
				}
				if in.Body.Theme != nil {
					w.Theme = *in.Body.Theme
				}
				return SessionEnd{}, nil
			}); err != nil {
				return nil, err
			}
			return me(ctx)
		})

	type putPassword struct {
		remote
		Body struct {
			Current string `json:"current" maxLength:"1024"`
			New     string `json:"new" maxLength:"1024" doc:"At least 12 characters."`
		}
	}
	add(r, RoleViewer, op("put-my-password", http.MethodPut, "/password", "Change one's own password", "Other sessions end."),
		func(ctx context.Context, in *putPassword) (*struct{}, error) {
			by, err := administrator(ctx)
			if err != nil {
				return nil, err
			}
			return nil, a.Administrators.ChangePassword(ctx, by.ID, by.SessionID, in.Body.Current, in.Body.New, in.browser())
		})

	add(r, RoleViewer, op("create-my-second-factor", http.MethodPost, "/second-factor", "Ask for a second factor", "The key for an authenticator app. Nothing changes until a code of it is given."),
		func(ctx context.Context, _ *struct{}) (*body[keyView], error) {
			by, err := administrator(ctx)
			if err != nil {
				return nil, err
			}
			account, err := a.Administrators.Store.Administrator(ctx, by.ID)
			if err != nil {
				return nil, err
			}
			key, err := a.Administrators.NewKey(ctx, by.ID)
			if err != nil {
				return nil, err
			}
			return &body[keyView]{keyView{key.String(), key.URL(a.issuer(), account.Email)}}, nil
		})

	type giveCode struct {
		remote
		Body struct {
			Code string `json:"code" maxLength:"40" doc:"Of the authenticator app."`
		}
	}
	add(r, RoleViewer, op("put-my-second-factor", http.MethodPut, "/second-factor", "Turn the second factor on", "With a code of the key that was asked for. Other sessions end. The recovery codes are in the answer."),
		func(ctx context.Context, in *giveCode) (*body[recoveryView], error) {
			by, err := administrator(ctx)
			if err != nil {
				return nil, err
			}
			codes, err := a.Administrators.ConfirmKey(ctx, by.ID, by.SessionID, in.Body.Code)
			if err != nil {
				return nil, err
			}
			return &body[recoveryView]{recoveryView{codes}}, nil
		})

	removed := op("remove-my-second-factor", http.MethodPost, "/second-factor/remove", "Turn the second factor off", "With a code of it, or a recovery code.")
	removed.DefaultStatus = http.StatusNoContent
	add(r, RoleViewer, removed,
		func(ctx context.Context, in *giveCode) (*struct{}, error) {
			by, err := administrator(ctx)
			if err != nil {
				return nil, err
			}
			return nil, a.Administrators.RemoveKey(ctx, by.ID, in.Body.Code, in.browser())
		})
}

// issuer is the name under which apps list the codes.
func (a *API) issuer() string {
	if a.Organization == "" {
		return "Rollcall"
	}
	return a.Organization + " Rollcall"
}

// remote is where a request comes from.
type remote struct{ from Browser }

// Resolve implements huma.Resolver.
func (r *remote) Resolve(c huma.Context) []error {
	r.from = Browser{Address: c.RemoteAddr(), UserAgent: c.Header("User-Agent")}
	return nil
}

func (r *remote) browser() Browser { return r.from }
