package admin_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
)

func TestActor(t *testing.T) {
	t.Parallel()
	ctx := admin.WithActor(t.Context(), "ann")
	got := []string{
		admin.Actor(t.Context()),
		admin.Actor(ctx),
		admin.Actor(context.WithoutCancel(ctx)),
		admin.Actor(admin.WithActor(ctx, "ben")),
		admin.Actor(admin.WithActor(ctx, "")),
	}
	if diff := cmp.Diff([]string{"", "ann", "ann", "ben", ""}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func ExampleWithActor() {
	ctx := admin.WithActor(context.Background(), "ann@example.com")
	fmt.Println(admin.Actor(ctx))
	// Output:
	// ann@example.com
}

func ExampleActor() {
	fmt.Printf("%q\n", admin.Actor(context.Background()))
	// Output:
	// ""
}
