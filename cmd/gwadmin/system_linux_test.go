package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A terminal is a run of the command on a pseudo-terminal.
type terminal struct {
	*process
	keys *os.File // the terminal's other side

	mu     sync.Mutex
	screen strings.Builder
	ended  chan struct{} // closed when nothing more will be shown
}

// onTerminal starts the command on a terminal that is columns wide, for
// standard input, output and error.
func onTerminal(t testing.TB, env []string, columns int, args ...string) *terminal {
	t.Helper()
	keys, tty := openTerminal(t, columns)
	p := &process{TB: t, cmd: command(t, env, args...)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	term := &terminal{process: p, keys: keys, ended: make(chan struct{})}
	go func() {
		defer close(term.ended)
		buffer := make([]byte, 4096)
		for {
			n, err := keys.Read(buffer)
			term.mu.Lock()
			term.screen.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil { // EIO: the command has ended
				return
			}
		}
	}()
	return term
}

// openTerminal returns both sides of a new terminal.
func openTerminal(t testing.TB, columns int) (keys, tty *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	t.Cleanup(func() { keys.Close() })
	var number, unlock uint32
	size := [4]uint16{24, uint16(columns)}
	ioctl(t, keys, syscall.TIOCGPTN, unsafe.Pointer(&number))
	ioctl(t, keys, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	ioctl(t, keys, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys, tty
}

func ioctl(t testing.TB, file *os.File, request uintptr, argument unsafe.Pointer) {
	t.Helper()
	control, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var errno syscall.Errno
	err = control.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument))
	})
	if err != nil || errno != 0 {
		t.Fatalf("ioctl %#x: %v, %v", request, err, errno)
	}
}

// shown is what the terminal has shown so far.
func (t *terminal) shown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(t.screen.String(), "\r\n", "\n")
}

// expect waits until the terminal has shown a text.
func (t *terminal) expect(text string) {
	t.Helper()
	for deadline := time.Now().Add(patience / 2); !strings.Contains(t.shown(), text); time.Sleep(2 * time.Millisecond) {
		select {
		case <-t.ended:
			if !strings.Contains(t.shown(), text) {
				t.Fatalf("the command ended and %q was not shown, but:\n%s", text, t.shown())
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not shown, but:\n%s", text, t.shown())
		}
	}
}

// press types keys; "\x03" is Ctrl-C and "\x04" Ctrl-D.
func (t *terminal) press(keys string) {
	t.Helper()
	if _, err := t.keys.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the command's end; everything it showed is its Stdout.
func (t *terminal) wait() result {
	t.Helper()
	code := exitOf(t.TB, t.cmd)
	<-t.ended
	return result{Stdout: t.shown(), Code: code}
}

// giveAway gives a file to the owner of its directory.
func giveAway(t testing.TB, dir, file string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}
