package enroll

import "context"

type (
	actorKey  struct{}
	importKey struct{}
)

// WithActor says in whose name what follows is done: the name of an API
// token or an administrator.
// Changes of devices made under ctx are recorded as theirs.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// ActorOf is who acts; empty: a device, or the server by itself.
func ActorOf(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}

// WithImport says that what follows is part of an import, so that the history
// of each device names it.
func WithImport(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, importKey{}, id)
}

// ImportOf is the ID of the import that is under way; empty: none.
func ImportOf(ctx context.Context) string {
	id, _ := ctx.Value(importKey{}).(string)
	return id
}
