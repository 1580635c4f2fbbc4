// Package netfault breaks connections to PostgreSQL in tests. A [Proxy] stands between the
// client and a server, or a pooler. It reads the protocol, so that a connection is cut or
// stalled exactly at a statement, before the server gets it or after the server has
// answered it.
package netfault

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// An Action is what the proxy does to a connection. Where it is done at a statement, it is
// done when the client sends the message that executes it, not when it is prepared.
type Action int

const (
	// Cut closes the connection on both sides. The server does not get the statement.
	Cut Action = iota
	// CutAnswer closes the connection when the server has answered the statement. The
	// client gets nothing of the answer.
	CutAnswer
	// Stall forwards nothing more, in neither direction, and keeps the connection open.
	// The server does not get the statement, and neither side learns that the other has
	// closed the connection.
	Stall
	// StallAnswer forwards the statement and nothing more to the client.
	StallAnswer
)

// A Proxy forwards connections. Its methods may be called from many goroutines.
type Proxy struct {
	network, address string // of the server
	url              string
	listener         net.Listener
	running          sync.WaitGroup

	mu      sync.Mutex
	wake    *sync.Cond // when a field below has changed
	links   map[*link]bool
	traps   []*Trap
	refuses bool
	stalls  bool // new connections too
	closed  bool
	rate    int // bytes per second, 0: as fast as it goes
}

// New starts a proxy for the server that the URL names. It ends with the test.
func New(tb testing.TB, server string) *Proxy {
	tb.Helper()
	config, err := pgconn.ParseConfig(server)
	if err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{links: map[*link]bool{}}
	p.wake = sync.NewCond(&p.mu)
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	query := u.Query()
	query.Del("host")
	query.Del("port")
	query.Set("sslmode", "disable") // the proxy reads what is sent
	u.Host, u.RawQuery = p.listener.Addr().String(), query.Encode()
	p.url = u.String()
	p.running.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// URL is the server's, by way of the proxy.
func (p *Proxy) URL() string { return p.url }

// A Trap does its action once, to the first connection with a statement that matches.
type Trap struct {
	match  func(sql string) bool
	action Action
	sprung chan struct{}
}

// Sprung is closed when the statement has come.
func (t *Trap) Sprung() <-chan struct{} { return t.sprung }

// At sets a trap for a statement.
func (p *Proxy) At(match func(sql string) bool, action Action) *Trap {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &Trap{match, action, make(chan struct{})}
	p.traps = append(p.traps, t)
	return t
}

// Containing matches the statements that contain a text.
func Containing(text string) func(sql string) bool {
	return func(sql string) bool { return strings.Contains(sql, text) }
}

// Commit matches the statements that commit a transaction.
func Commit(sql string) bool {
	return strings.EqualFold(strings.TrimRight(strings.TrimSpace(sql), ";"), "commit")
}

// trap returns the action of the trap for the statement, if there is one.
func (p *Proxy) trap(sql string) (Action, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range p.traps {
		if t.match(sql) {
			p.traps = append(p.traps[:i:i], p.traps[i+1:]...)
			close(t.sprung)
			return t.action, true
		}
	}
	return 0, false
}

// Cut closes all connections that are open.
func (p *Proxy) Cut() { p.each((*link).close) }

// Stall stalls all connections, and new ones, until Heal is called.
func (p *Proxy) Stall() {
	p.mu.Lock()
	p.stalls = true
	p.mu.Unlock()
	p.each(func(l *link) { l.stalled = [2]bool{true, true} })
}

// CutAfter closes the connections that are open when each has sent so many more bytes to the
// client, in the middle of a message too.
func (p *Proxy) CutAfter(bytes int) {
	p.each(func(l *link) { l.left = &bytes })
}

// Refuse closes new connections at once, until Heal is called.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = true
}

// Slow forwards at most so many bytes per second on each connection and in each direction,
// until Heal is called.
func (p *Proxy) Slow(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

// Heal ends all faults. Connections that were stalled go on. Traps that have not sprung are
// removed.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps, p.refuses, p.stalls, p.rate = nil, false, false, 0
	for l := range p.links {
		l.stalled, l.left = [2]bool{}, nil
	}
	p.wake.Broadcast()
}

// Open is the number of connections that are open.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) each(do func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		do(l)
	}
	p.wake.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	refused := p.refuses || p.closed
	p.mu.Unlock()
	if refused {
		return
	}
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		return
	}
	l := &link{proxy: p, client: client, server: server}
	p.mu.Lock()
	p.links[l] = true
	l.stalled = [2]bool{p.stalls, p.stalls}
	closed := p.closed
	p.mu.Unlock()
	var pumps sync.WaitGroup
	if !closed {
		pumps.Go(l.pumpUp)
		pumps.Go(l.pumpDown)
	}
	pumps.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	l.close()
	delete(p.links, l)
}

func (p *Proxy) close() {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		panic(err)
	}
}
