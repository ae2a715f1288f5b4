package admin

import (
	"context"

	"rollcall/enroll"
)

// CallerKind is what a caller of the API is.
type CallerKind string

// The kinds of callers.
const (
	CallerToken         CallerKind = "token"         // a program with an API token
	CallerAdministrator CallerKind = "administrator" // a person who is signed in to the console
)

// Caller is who calls an operation: the audit log, the limits and the answers
// that are kept for repetitions go by it.
type Caller struct {
	Kind CallerKind
	ID   string // of the token or the administrator
	Name string
	Role Role

	SessionID string // of an administrator: the session that stays when others end

	// Still says why the caller may not go on, or nil. Streams ask it from time
	// to time; nil: nothing but the request's end ends them.
	Still func(ctx context.Context) error
}

type callerKey struct{}

// WithCaller makes the requests under ctx those of c, whose right was checked
// before. Only this process can: nothing that a client sends gets into a
// context.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return enroll.WithActor(context.WithValue(ctx, callerKey{}, c), c.Name)
}

// callerOf is who calls; ok is false where nobody was found yet.
func callerOf(ctx context.Context) (c Caller, ok bool) {
	c, ok = ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// caller is who calls an operation that needs a role.
func caller(ctx context.Context) Caller {
	c, _ := callerOf(ctx)
	return c
}
