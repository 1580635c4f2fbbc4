package admin

import "context"

type actorKey struct{}

// WithActor returns a context that names who makes the changes of the calls that get it,
// such as the user of an admin page. The name is for logs and for people. It gives no
// rights. An empty name means that nobody is named.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// Actor returns the name that [WithActor] has put into the context, or the empty string.
func Actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}
