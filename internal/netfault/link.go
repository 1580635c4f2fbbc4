package netfault

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// A link is a connection of a client and that to the server.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	// The rest is guarded by Proxy.mu.
	stalled  [2]bool // to the server, and to the client
	left     *int    // the bytes that are still sent to the client; nil: all
	answer   answering
	isClosed bool
}

// An answering says what is done with the answer of a statement.
type answering int

const (
	forwarded answering = iota
	dropped             // until it is complete; then the connection is cut
)

// The directions of [link.stalled].
const (
	up   = 0
	down = 1
)

var errClosed = errors.New("closed")

// close closes both connections. The caller holds the mutex.
func (l *link) close() {
	l.isClosed = true
	_ = l.client.Close()
	_ = l.server.Close()
	l.proxy.wake.Broadcast()
}

// cut closes both connections.
func (l *link) cut() {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.close()
}

// pass waits while the direction is stalled, and writes.
func (l *link) pass(direction int, to net.Conn, data []byte) error {
	l.proxy.mu.Lock()
	for l.stalled[direction] && !l.isClosed {
		l.proxy.wake.Wait()
	}
	closed, rate, over := l.isClosed, l.proxy.rate, false
	if direction == down && l.left != nil {
		over = len(data) >= *l.left
		data = data[:min(len(data), *l.left)]
		l.left = new(*l.left - len(data))
	}
	l.proxy.mu.Unlock()
	if closed {
		return errClosed
	}
	for len(data) > 0 {
		part := data
		if rate > 0 {
			part = data[:min(len(data), max(1, rate/20))]
			time.Sleep(time.Second * time.Duration(len(part)) / time.Duration(rate))
		}
		if _, err := to.Write(part); err != nil {
			return err
		}
		data = data[len(part):]
	}
	if over {
		return errClosed
	}
	return nil
}

// ended ends the link when one side has closed its connection, unless the other side must
// not learn it.
func (l *link) ended(direction int) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	for l.stalled[direction] && !l.isClosed {
		l.proxy.wake.Wait()
	}
	l.close()
}

// The requests that a client may make instead of starting a session.
const (
	cancelRequest = 80877102
	sslRequest    = 80877103
	gssRequest    = 80877104
)

// pumpUp forwards what the client sends.
func (l *link) pumpUp() {
	defer l.ended(up)
	from := bufio.NewReader(l.client)
	for started := false; !started; {
		request, err := readMessage(from, nil)
		if err != nil {
			return
		}
		switch binary.BigEndian.Uint32(request[4:]) {
		case sslRequest, gssRequest:
			if _, err := l.client.Write([]byte("N")); err != nil {
				return
			}
			continue
		case cancelRequest: // the server closes the connection
		default:
			started = true
		}
		if err := l.pass(up, l.server, request); err != nil {
			return
		}
	}
	statements, portals := map[string]string{}, map[string]string{} // to their SQL
	for {
		kind, err := from.ReadByte()
		if err != nil {
			return
		}
		message, err := readMessage(from, []byte{kind})
		if err != nil {
			return
		}
		first, rest := text(message[5:])
		second, _ := text(rest)
		sql, executes := "", false
		switch kind {
		case 'Q':
			sql, executes = first, true
		case 'P':
			statements[first] = second
		case 'B':
			portals[first] = statements[second]
		case 'E':
			sql, executes = portals[first], true
		}
		if executes {
			if action, ok := l.proxy.trap(sql); ok {
				l.do(action)
			}
		}
		if err := l.pass(up, l.server, message); err != nil {
			return
		}
	}
}

// do does the action of a trap.
func (l *link) do(action Action) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	switch action {
	case Cut:
		l.close()
	case CutAnswer:
		l.answer = dropped
	case Stall:
		l.stalled = [2]bool{true, true}
	case StallAnswer:
		l.stalled[down] = true
	}
}

// pumpDown forwards what the server sends.
func (l *link) pumpDown() {
	defer l.ended(down)
	from := bufio.NewReader(l.server)
	for {
		kind, err := from.ReadByte()
		if err != nil {
			return
		}
		message, err := readMessage(from, []byte{kind})
		if err != nil {
			return
		}
		l.proxy.mu.Lock()
		answer := l.answer
		l.proxy.mu.Unlock()
		if answer == dropped {
			if kind == 'Z' { // ready for the next query
				l.cut()
				return
			}
			continue
		}
		if err := l.pass(down, l.client, message); err != nil {
			l.cut()
			return
		}
	}
}

// readMessage reads a length, which includes itself, and the rest of a message. It appends
// them to the head.
func readMessage(from io.Reader, head []byte) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	if n < 4 || n > 1<<30 {
		return nil, errors.New("invalid length")
	}
	message := make([]byte, len(head)+n)
	copy(message, head)
	copy(message[len(head):], length[:])
	_, err := io.ReadFull(from, message[len(head)+4:])
	return message, err
}

// text returns the text at the beginning, which ends with a zero byte, and the rest.
func text(data []byte) (string, []byte) {
	before, after, _ := bytes.Cut(data, []byte{0})
	return string(before), after
}
