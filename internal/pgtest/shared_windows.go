package pgtest

import (
	"context"

	"github.com/gwadmin/gwadmin/internal/pgserver"
)

// join starts a server for this process alone: on Windows a test binary that
// still runs, as a supervisor, cannot be removed by the go command.
func join(ctx context.Context) (*lease, error) {
	inst, err := pgserver.Find(ctx, findOptions(0))
	if err != nil {
		return nil, err
	}
	s, err := pgserver.Start(ctx, serverOptions(inst))
	if err != nil {
		return nil, err
	}
	return &lease{URL: s.URL("postgres")}, nil
}

func (l *lease) keep() string { return "until this process ends" }
