//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/pgserver/filelock"
)

// The test binaries of one go command share a server. The first of them runs
// its own executable again, as a supervisor, which starts the server and listens
// on a socket that is named after the go command. Each test binary holds a
// connection to it, its lease. The supervisor ends the server, and itself, when
// nobody has held a lease for a while, and when the go command is gone.
//
// In the directory of meetings, NAME.sock is a supervisor's socket, NAME.log its
// output, and NAME.lock is held by whoever comes or goes.

const (
	superviseEnv = "GWADMIN_PGTEST_SUPERVISE" // makes a test binary a supervisor; holds the path of NAME
	joinTimeout  = 5 * time.Minute            // fetching a server included
	idleTimeout  = 5 * time.Second
	keepTimeout  = time.Hour
	pollInterval = 200 * time.Millisecond
)

func init() {
	if meeting := os.Getenv(superviseEnv); meeting != "" {
		os.Unsetenv(superviseEnv)
		if err := supervise(meeting); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// join takes a lease on the shared server, which it starts where it is missing.
func join(ctx context.Context) (*lease, error) {
	dir, err := meetingDir()
	if err != nil {
		return nil, err
	}
	owner, err := sharedOwner()
	if err != nil {
		return nil, err
	}
	meeting := filepath.Join(dir, owner.String())
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	lock, err := filelock.Lock(ctx, meeting+".lock")
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	sweepMeetings(dir)

	conn, err := net.Dial("unix", meeting+".sock")
	if err != nil {
		if err := startSupervisor(meeting); err != nil {
			return nil, fmt.Errorf("start the test server's supervisor: %w", err)
		}
		if conn, err = net.Dial("unix", meeting+".sock"); err != nil {
			return nil, err
		}
	}
	deadline, _ := ctx.Deadline()
	conn.SetReadDeadline(deadline)
	l := &lease{conn: conn}
	if err := json.NewDecoder(conn).Decode(l); err != nil {
		log, _ := os.ReadFile(meeting + ".log")
		conn.Close()
		return nil, fmt.Errorf("the test server's supervisor does not answer: %w\n%s", err, log)
	}
	if l.Error != "" {
		conn.Close()
		return nil, &remoteError{l.Error, l.Missing}
	}
	return l, nil
}

// keep makes the server outlive the tests, and says how to end it.
func (l *lease) keep() string {
	fmt.Fprintln(l.conn, "keep")
	return fmt.Sprintf("for %v, or until: kill %d", keepTimeout, l.PID)
}

// A remoteError is a supervisor's failure to start a server.
type remoteError struct {
	text    string
	missing bool
}

func (e *remoteError) Error() string        { return e.text }
func (e *remoteError) Is(target error) bool { return e.missing && target == pgserver.ErrNoPostgres }

// startSupervisor opens the socket itself, so that it is there at once, and
// hands it down. Nothing of the test's is held open: go test would wait for it.
func startSupervisor(meeting string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Remove(meeting + ".sock"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: meeting + ".sock", Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	socket, err := l.File()
	if err != nil {
		return err
	}
	defer socket.Close()
	log, err := os.Create(meeting + ".log")
	if err != nil {
		return err
	}
	defer log.Close()

	cmd := exec.Command(self)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), superviseEnv+"="+meeting)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

// supervise is a supervisor's whole life.
func supervise(meeting string) error {
	owner, err := parseProcess(filepath.Base(meeting))
	if err != nil {
		return err
	}
	file := os.NewFile(3, "socket")
	listener, err := net.FileListener(file)
	if err != nil {
		return err
	}
	file.Close() // the server must not inherit it

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var (
		server  *pgserver.Server
		reply   = lease{PID: os.Getpid()}
		started = make(chan struct{})
		leases  atomic.Int32
		kept    atomic.Bool
	)
	go func() {
		defer close(started)
		inst, err := pgserver.Find(ctx, findOptions(0))
		if err == nil {
			server, err = pgserver.Start(ctx, serverOptions(inst))
		}
		if err != nil {
			reply.Error, reply.Missing = err.Error(), errors.Is(err, pgserver.ErrNoPostgres)
			return
		}
		reply.URL = server.URL("postgres")
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			leases.Add(1)
			go func() {
				defer leases.Add(-1)
				defer conn.Close()
				<-started
				if err := json.NewEncoder(conn).Encode(reply); err != nil {
					return
				}
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					kept.Store(kept.Load() || lines.Text() == "keep")
				}
			}()
		}
	}()

	begin, lastUsed := time.Now(), time.Now()
	for leaving := false; !leaving; {
		select {
		case <-ctx.Done():
			leaving = true
		case <-time.After(pollInterval):
		}
		if leases.Load() > 0 {
			lastUsed = time.Now()
		}
		switch {
		case kept.Load():
			leaving = leaving || time.Since(begin) > keepTimeout
		case !owner.alive():
			leaving = true
		case time.Since(lastUsed) > idleTimeout:
			// Whoever holds the lock is about to take a lease.
			if lock, err := filelock.Try(meeting + ".lock"); err == nil {
				defer lock.Close()
				leaving = true
			}
		}
	}
	listener.Close()
	os.Remove(meeting + ".sock")
	os.Remove(meeting + ".log")
	stop()
	if <-started; server != nil {
		return server.Stop()
	}
	return nil
}

// meetingDir returns the directory of this user's sockets, which nobody else
// may write to. Its name is known, so it may be somebody else's.
func meetingDir() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("gwadmin-pgtest-%d", os.Getuid()))
	if len(dir) > 60 { // a socket's path is limited
		dir = filepath.Join("/tmp", filepath.Base(dir))
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) != os.Getuid() || info.Mode() != os.ModeDir|0o700 {
		return "", fmt.Errorf("%s is not this user's own directory", dir)
	}
	return dir, nil
}

// sweepMeetings removes what was left by supervisors whose go command is gone.
func sweepMeetings(dir string) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), filepath.Ext(f.Name()))
		if owner, err := parseProcess(name); err == nil && !owner.alive() {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}

// A process is one that may have ended since.
type process struct {
	pid   int
	start string
}

// sharedOwner returns the go command that runs this test binary or, where it
// was started otherwise, this process.
func sharedOwner() (process, error) {
	pid := os.Getppid()
	if commandName(pid) != "go" {
		pid = os.Getpid()
	}
	start, err := startTime(pid)
	return process{pid, start}, err
}

func parseProcess(s string) (process, error) {
	id, start, _ := strings.Cut(s, "-")
	pid, err := strconv.Atoi(id)
	return process{pid, start}, err
}

func (p process) String() string { return fmt.Sprintf("%d-%s", p.pid, p.start) }

func (p process) alive() bool {
	start, err := startTime(p.pid)
	return err == nil && start == p.start
}
