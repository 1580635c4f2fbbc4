package bench

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/gwadmin/gwadmin/internal/upstream"
)

//go:embed peer.mjs
var peerSource string

// peerVersion is the release that is compared with.
const peerVersion = "0.18.0"

// A peer is a node process that works with graphile-worker. It takes one call at a
// time.
type peer struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

type params map[string]any

// startPeer starts a peer on a database. Where there is no node the error is
// [upstream.ErrUnavailable].
func startPeer(ctx context.Context, url string) (*peer, error) {
	cmd, err := upstream.Node(context.WithoutCancel(ctx), peerVersion, url, peerSource, peerVersion)
	if err != nil {
		return nil, err
	}
	p := &peer{cmd: cmd}
	cmd.Stderr = &p.stderr
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReaderSize(out, 1<<20)
	return p, cmd.Start()
}

// call calls a method and decodes what it returns.
func (p *peer) call(method string, params params, result any) error {
	request, err := json.Marshal(map[string]any{"method": method, "params": params})
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(request, '\n')); err != nil {
		return fmt.Errorf("%s: %w\n%s", method, err, &p.stderr)
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", method, errors.Join(err, p.cmd.Wait()), &p.stderr)
	}
	var m struct {
		Result json.RawMessage `json:"result"`
		Error  string          `json:"error"`
		Code   string          `json:"code"`
	}
	if err := json.Unmarshal(answer, &m); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	switch {
	case m.Code == "57014": // its statement_timeout
		return errCapped
	case m.Error != "":
		return fmt.Errorf("%s: %s (%s)", method, m.Error, m.Code)
	case result == nil:
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

// timed calls a method that returns nanoseconds.
func (p *peer) timed(method string, params params) (time.Duration, error) {
	var took time.Duration
	err := p.call(method, params, &took)
	return took, err
}

func (p *peer) close() {
	p.in.Close()
	ended := make(chan struct{})
	go func() {
		p.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-ended
	}
}

// withoutPeer reports whether an error says that there is no node, which is no
// reason to fail where it need not be.
func withoutPeer(err error) bool {
	return errors.Is(err, upstream.ErrUnavailable) && os.Getenv("CI") == ""
}
