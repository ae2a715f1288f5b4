package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type SessionView struct {
	ID              string       `json:"id"`
	AdministratorID string       `json:"administrator_id"`
	Current         bool         `json:"current" doc:"It is the one that asks."`
	CreatedAt       time.Time    `json:"created_at"`
	SeenAt          time.Time    `json:"seen_at" doc:"To the minute."`
	ExpiresAt       time.Time    `json:"expires_at" doc:"It ends earlier where it is not used for twelve hours."`
	Address         string       `json:"address" doc:"Where the sign-in came from."`
	UserAgent       string       `json:"user_agent,omitempty"`
	Method          SignInMethod `json:"method" enum:"password,second_factor,recovery_code,oidc,invitation"`
}

// sessionsOf lists the sessions of an administrator, or of all.
func (a *API) sessionsOf(ctx context.Context, administratorID string) (*body[list[SessionView]], error) {
	now := a.now()
	all, err := a.Administrators.Store.Sessions(ctx, administratorID, now, now.Add(-SessionIdle))
	if err != nil {
		return nil, err
	}
	current := caller(ctx).SessionID
	view := func(s Session) SessionView {
		return SessionView{ID: s.ID, AdministratorID: s.AdministratorID, Current: s.ID == current, CreatedAt: utc(s.CreatedAt), SeenAt: utc(s.SeenAt), ExpiresAt: utc(s.ExpiresAt),
			Address: s.Address, UserAgent: s.UserAgent, Method: s.Method}
	}
	return &body[list[SessionView]]{listOf(all, enroll.Page{}, func(s Session) string { return s.ID }, view)}, nil
}

func (r routes) sessions() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/sessions" + path, Tags: []string{"Administrators"}, Summary: summary, Description: description}
	}
	type listSessions struct {
		All bool `query:"all" doc:"Those of all administrators. Needs the role admin."`
	}
	add(r, RoleViewer, op("list-sessions", http.MethodGet, "", "List sessions of the console", "One's own, or those of all, which go on, newest first. A token has none."),
		func(ctx context.Context, in *listSessions) (*body[list[SessionView]], error) {
			by := caller(ctx)
			if !in.All {
				return a.sessionsOf(ctx, by.ID)
			}
			if !by.Role.Includes(RoleAdmin) {
				return nil, enroll.Errorf(enroll.KindForbidden, "role_needed", "the sessions of others need the role %s; yours is %s", RoleAdmin, by.Role)
			}
			return a.sessionsOf(ctx, "")
		})
	type one struct {
		ID string `path:"id" maxLength:"64"`
	}
	add(r, RoleViewer, op("end-session", http.MethodDelete, "/{id}", "End a session", "One's own; with the role admin also that of another."),
		func(ctx context.Context, in *one) (*struct{}, error) {
			by, owner := caller(ctx), ""
			if !by.Role.Includes(RoleAdmin) {
				owner = by.ID
			}
			return nil, a.Administrators.Store.EndSession(ctx, in.ID, owner)
		})
}
