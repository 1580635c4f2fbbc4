package bench

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"time"

	"github.com/gwadmin/gwadmin/internal/upstream"
)

//go:embed peer.mjs
var peerSource string

// peerVersion is the release that is compared with.
const peerVersion = "0.18.0"

// A peer is a node process that works with graphile-worker.
type peer struct{ *upstream.Process }

type params map[string]any

// startPeer starts a peer on a database. Where there is no node the error is
// [upstream.ErrUnavailable].
func startPeer(ctx context.Context, url string) (*peer, error) {
	process, err := upstream.StartProcess(ctx, peerVersion, url, peerSource, nil, peerVersion)
	if err != nil {
		return nil, err
	}
	return &peer{process}, nil
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

// withoutPeer reports whether an error means that there is no node, which is
// accepted unless CI is set.
func withoutPeer(err error) bool {
	return errors.Is(err, upstream.ErrUnavailable) && os.Getenv("CI") == ""
}
