package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type TokenView struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Role       Role      `json:"role" enum:"viewer,operator,admin"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero" doc:"Absent: never."`
	LastUsedAt time.Time `json:"last_used_at,omitzero" doc:"To the minute."`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
}

func viewToken(t Token) TokenView {
	return TokenView{ID: t.ID, Name: t.Name, Role: t.Role, CreatedAt: utc(t.CreatedAt), ExpiresAt: utc(t.ExpiresAt), LastUsedAt: utc(t.LastUsedAt), RevokedAt: utc(t.RevokedAt)}
}

type newTokenView struct {
	TokenView
	Token string `json:"token" doc:"The token itself. It is shown here and never again."`
}

func (r routes) tokens() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/tokens" + path, Tags: []string{"Settings"}, Summary: summary, Description: description}
	}
	add(r, RoleAdmin, op("list-tokens", http.MethodGet, "", "List the API tokens", "Newest first, revoked ones included."),
		func(ctx context.Context, _ *struct{}) (*body[list[TokenView]], error) {
			ts, err := a.Tokens.Tokens(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[TokenView]]{listOf(ts, enroll.Page{}, func(t Token) string { return t.ID }, viewToken)}, nil
		})

	type createToken struct {
		Body struct {
			Name      string    `json:"name" maxLength:"255" doc:"What it is for; shown beside what was done with it."`
			Role      Role      `json:"role" enum:"viewer,operator,admin"`
			ExpiresAt time.Time `json:"expires_at,omitzero" doc:"Left out: never."`
		}
	}
	created := op("create-token", http.MethodPost, "", "Make an API token", "The token is in the answer and cannot be read again.")
	created.DefaultStatus = http.StatusCreated
	add(r, RoleAdmin, created, func(ctx context.Context, in *createToken) (*body[newTokenView], error) {
		if err := checkName("token", in.Body.Name); err != nil {
			return nil, err
		}
		now := a.now()
		if !in.Body.ExpiresAt.IsZero() && !in.Body.ExpiresAt.After(now) {
			return nil, enroll.Errorf(enroll.KindInvalid, "expires_past", "expires_at is in the past")
		}
		t, secret := NewToken(in.Body.Name, in.Body.Role, now, in.Body.ExpiresAt)
		return &body[newTokenView]{newTokenView{viewToken(t), secret}}, a.Tokens.CreateToken(ctx, t)
	})

	type one struct {
		ID string `path:"id" maxLength:"64"`
	}
	add(r, RoleAdmin, op("revoke-token", http.MethodDelete, "/{id}", "Revoke an API token", "It stops working at once. The last usable admin token cannot be revoked."),
		func(ctx context.Context, in *one) (*struct{}, error) {
			return nil, a.Tokens.RevokeToken(ctx, in.ID, a.now().UTC())
		})
}
