package bench

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/internal/upstream"
)

//go:embed peer.mjs
var peerSource string

// peerVersion is the release of graphile-worker that is compared with.
const peerVersion = "0.18.0"

// A peer is a process that works with another client.
type peer struct{ *upstream.Process }

type params map[string]any

// startJS starts a peer with graphile-worker on a database. Where there is no node the
// error is [upstream.ErrUnavailable].
func startJS(ctx context.Context, url string) (*peer, error) {
	process, err := upstream.StartProcess(ctx, peerVersion, url, peerSource, nil, peerVersion)
	if err != nil {
		return nil, err
	}
	return &peer{process}, nil
}

// startRiver starts a peer with River on a database. It is built from a module of its own.
func startRiver(ctx context.Context, url string) (*peer, error) {
	dir, err := os.MkdirTemp("", "gwadmin-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // the process goes on without its file
	binary := filepath.Join(dir, "river")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir = "river"
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the peer with River: %w\n%s", err, out)
	}
	process, err := upstream.StartCommand(exec.CommandContext(context.WithoutCancel(ctx), binary, url), nil)
	if err != nil {
		return nil, err
	}
	return &peer{process}, nil
}

// riverVersion is the version of River that its peer is built with.
func riverVersion() string {
	text, _ := os.ReadFile(filepath.Join("river", "go.mod"))
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "github.com/riverqueue/river" {
			return strings.TrimPrefix(fields[1], "v")
		}
	}
	return "unknown"
}

// call calls a method and decodes what it returns.
func (p *peer) call(method string, params params, result any) error {
	err := p.Call(context.Background(), method, []any{params}, result)
	if thrown, ok := errors.AsType[*upstream.Error](err); ok && thrown.Code == "57014" { // its statement_timeout
		return errCapped
	}
	return err
}

// timed calls a method that returns nanoseconds.
func (p *peer) timed(method string, params params) (time.Duration, error) {
	var took time.Duration
	err := p.call(method, params, &took)
	return took, err
}

// without accepts that there is no peer, unless CI is set, and says so.
func without(what string, err error) error {
	if os.Getenv("CI") != "" {
		return err
	}
	fmt.Printf("# without %s: %v\n", what, err)
	return nil
}
