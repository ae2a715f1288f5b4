package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

// roles in their order.
var roles = []Role{RoleViewer, RoleOperator, RoleAdmin}

// Includes says whether r may do what needs the role other.
func (r Role) Includes(other Role) bool {
	return slices.Contains(roles, r) && slices.Index(roles, r) >= slices.Index(roles, other)
}

// Usable says why a token cannot be used at the time now, or nil.
func (t Token) Usable(now time.Time) error {
	switch {
	case !t.RevokedAt.IsZero():
		return enroll.Errorf(enroll.KindUnauthorized, "token_revoked", "the token was revoked").WithHint("Ask an admin for a new one.")
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return enroll.Errorf(enroll.KindUnauthorized, "token_expired", "the token expired at %s", t.ExpiresAt.UTC().Format(time.RFC3339)).WithHint("Ask an admin for a new one.")
	}
	return nil
}

// NewToken makes a token and its secret, which is shown once and kept nowhere.
// A zero expires means never.
func NewToken(name string, role Role, now, expires time.Time) (t Token, secret string) {
	random, _ := enroll.NewSecret()
	secret = TokenPrefix + random
	return Token{ID: enroll.NewID(), Name: name, Role: role, Hash: enroll.HashSecret(secret), CreatedAt: now.UTC(), ExpiresAt: expires.UTC()}, secret
}

// FirstToken makes an admin token where there has never been a token; created
// tells, and secret is empty otherwise.
func FirstToken(ctx context.Context, store TokenStore) (secret string, created bool, err error) {
	t, secret := NewToken("admin", RoleAdmin, time.Now(), time.Time{})
	created, err = store.CreateFirstToken(ctx, t)
	if err != nil || !created {
		return "", false, err
	}
	return secret, true, nil
}

// roleOf is the role an operation declares; ok is false for one that is for
// everybody.
func roleOf(op *huma.Operation) (Role, bool) {
	role, ok := op.Metadata[roleMetadata].(Role)
	return role, ok
}

const roleMetadata = "role"

// authorize lets a request pass whose caller has the operation's role: the one
// that its context brings, or else the holder of its token.
func (a *API) authorize(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		role, needed := roleOf(c.Operation())
		if !needed {
			next(c)
			return
		}
		ctx := c.Context()
		by, known := callerOf(ctx)
		if ok := inBatch(ctx); ok && (!batchable[c.Operation().OperationID] || !by.Role.Includes(role)) {
			a.refuse(api, c, a.problem(ctx, notBatchable(c.Operation())))
			return
		} else if ok {
			next(c)
			return
		}
		var err error
		if !known {
			by, err = a.authenticate(ctx, c.Header("Authorization"))
		}
		if p := a.limited(by, c.RemoteAddr(), err); p != nil {
			a.refuse(api, c, p)
			return
		}
		if err == nil && !by.Role.Includes(role) {
			err = enroll.Errorf(enroll.KindForbidden, "role_needed", "this needs the role %s; yours is %s", role, by.Role)
		}
		if err != nil {
			a.refuse(api, c, a.problem(ctx, err))
			return
		}
		next(huma.WithContext(c, WithCaller(ctx, by)))
	}
}

// limited answers who asks too much: a caller, or an address without a token.
func (a *API) limited(by Caller, remote string, err error) *Problem {
	switch {
	case err == nil:
		if wait := a.callerLimits.Take(by.ID); wait > 0 {
			return tooMany(wait, fmt.Sprintf("The %s asks too often.", by.Kind))
		}
	case enroll.KindOf(err) == enroll.KindUnauthorized:
		if wait := a.failureLimits.Take(RemoteClient(remote)); wait > 0 {
			return tooMany(wait, "There were too many requests without a valid token from this address.")
		}
	}
	return nil
}

func (a *API) authenticate(ctx context.Context, header string) (Caller, error) {
	scheme, secret, _ := strings.Cut(header, " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return Caller{}, enroll.Errorf(enroll.KindUnauthorized, "token_missing", "the request has no API token").WithHint("Send the header Authorization: Bearer %s...", TokenPrefix)
	}
	t, err := a.Tokens.TokenByHash(ctx, enroll.HashSecret(secret))
	if enroll.KindOf(err) == enroll.KindNotFound {
		return Caller{}, enroll.Errorf(enroll.KindUnauthorized, "token_unknown", "the API token is not known").WithHint("Compare it with the one that was shown when it was made.")
	}
	if err != nil {
		return Caller{}, fmt.Errorf("look up API token: %w", err)
	}
	now := a.now()
	if err := t.Usable(now); err != nil {
		return Caller{}, err
	}
	if now.Sub(t.LastUsedAt) >= time.Minute {
		if err := a.Tokens.TokenUsed(ctx, t.ID, now.Truncate(time.Minute)); err != nil {
			a.Logger.WarnContext(ctx, "last use of API token not noted", "token", t.ID, "error", err)
		}
	}
	still := func(ctx context.Context) error {
		t, err := a.Tokens.TokenByHash(ctx, t.Hash)
		if err != nil {
			return err
		}
		return t.Usable(a.now())
	}
	return Caller{Kind: CallerToken, ID: t.ID, Name: t.Name, Role: t.Role, Still: still}, nil
}

// refuse answers before the operation runs.
func (a *API) refuse(api huma.API, c huma.Context, p *Problem) {
	for k, values := range p.GetHeaders() {
		for _, v := range values {
			c.SetHeader(k, v)
		}
	}
	c.SetHeader("Content-Type", p.ContentType(""))
	c.SetStatus(p.Status)
	if err := api.Marshal(c.BodyWriter(), p.ContentType(""), p); err != nil {
		a.Logger.DebugContext(c.Context(), "problem not delivered", "error", err)
	}
}

func unauthorizedDescription(role Role) string {
	return fmt.Sprintf("Needs a token with the role **%s**.", role)
}

// noStore keeps answers, which may hold secrets, out of caches.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
