// Package pgserver starts private PostgreSQL servers, for tests and for the
// demo. [Find] looks for the programs, or fetches them. [Start] runs one server
// that no other user of the machine can reach and that ends with this process.
package pgserver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options says how to start a server. Installation is required; the zero
// value of everything else suits a test.
type Options struct {
	Installation Installation

	// Dir is where the server gets its own directory, which is removed when
	// the server stops. Empty means memory (/dev/shm) where it has 1 GiB
	// free, and the system's temporary directory otherwise. Where the server's
	// user may not write to Dir, an empty directory is left if this process is killed.
	Dir string

	// TCP makes the server listen on a free port of 127.0.0.1, with a random
	// password, instead of a Unix socket in a directory that only this user
	// can enter. On Windows it always does.
	TCP bool

	// Settings are configuration parameters. They override the package's own,
	// which turn off the protection from a crash of the machine.
	Settings map[string]string

	// Primary makes the server a hot standby, which streams from that one all it
	// has done since it was started. It must have the same Installation, PostgreSQL's
	// own settings of replication, and still keep its first WAL: see wal_keep_size.
	// With TCP, nobody can connect to the standby before it has caught up: it gets
	// the password from the primary.
	Primary *Server
}

// Server is a running PostgreSQL server. Its methods may be called from many
// goroutines at once.
type Server struct {
	Installation
	dir     string   // holds the data, the log and the socket
	lock    *os.File // held until the directory is removed
	base    url.URL
	process *process
	who     *account
	args    []string // the command line
}

const startTimeout = time.Minute

// Start starts a server and returns when it accepts connections. The context
// bounds the start only: the server runs until [Server.Stop], or until this
// process ends, be it by kill -9. Its directory is then removed. An error
// quotes the end of the server's log.
//
// As root the server runs as the user postgres or else nobody, who must be
// able to read its programs.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s, err := start(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL %s: %w", opts.Installation.Version, err)
	}
	return s, nil
}

func start(ctx context.Context, opts Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	fresh, err := freshCluster(ctx, opts.Installation, who)
	if err != nil {
		return nil, fmt.Errorf("create a database cluster: %w", err)
	}
	base := cmp.Or(opts.Dir, defaultDir())
	sweep(base)
	dir, lock, err := makeDir(base, who)
	if err != nil {
		return nil, err
	}
	s := &Server{Installation: opts.Installation, dir: dir, lock: lock, who: who}
	if err := s.run(ctx, opts, fresh); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) run(ctx context.Context, opts Options, fresh string) error {
	data, who := s.data(), s.who
	if err := copyCluster(fresh, data); err != nil {
		return err
	}
	if opts.Primary != nil {
		if err := followPrimary(data, opts.Primary); err != nil {
			return err
		}
	}
	if err := who.own(data); err != nil {
		return err
	}
	settings := map[string]string{
		"fsync":               "off",
		"synchronous_commit":  "off",
		"full_page_writes":    "off",
		"timezone":            "UTC",
		"log_timezone":        "UTC",
		"password_encryption": "scram-sha-256",
	}
	if err := s.listen(ctx, opts, who, settings); err != nil {
		return err
	}
	maps.Copy(settings, opts.Settings)
	s.args = []string{filepath.Join(s.BinDir, "postgres"), "-D", data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s.args = append(s.args, "-c", name+"="+settings[name])
	}
	return s.launch(ctx)
}

// launch runs the server on its directory and waits until it accepts connections.
func (s *Server) launch(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	before := s.state()[0]
	if s.process, err = launch(s.who, s.dir, s.lock, log, s.args); err != nil {
		return err
	}
	if err := s.waitReady(ctx, before); err != nil {
		text, _ := io.ReadAll(io.NewSectionReader(log, 0, 1<<20))
		return fmt.Errorf("%w; its log ends:\n%s", err, lastLines(text, 20))
	}
	return nil
}

// listen decides how the server is reached.
func (s *Server) listen(ctx context.Context, opts Options, who *account, settings map[string]string) error {
	s.base = url.URL{Scheme: "postgres", User: url.User("postgres"), RawQuery: "sslmode=disable"}
	if !opts.TCP && hasSockets {
		if len(s.dir) > maxSocketDir {
			return fmt.Errorf("the directory's name is too long for a socket: %s", s.dir)
		}
		settings["listen_addresses"], settings["unix_socket_directories"], settings["port"] = "", s.dir, "5432"
		s.base.RawQuery += "&port=5432&host=" + url.QueryEscape(s.dir)
		return nil
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	settings["listen_addresses"], settings["unix_socket_directories"], settings["port"] = "127.0.0.1", "", port
	s.base.Host = net.JoinHostPort("127.0.0.1", port)
	if opts.Primary != nil {
		s.base.User = opts.Primary.base.User
		return nil
	}
	password := rand.Text()
	s.base.User = url.UserPassword("postgres", password)
	return s.setPassword(ctx, who, password)
}

// URL returns the connection URL of a database, for the superuser postgres.
func (s *Server) URL(database string) string {
	u := s.base
	u.Path = "/" + database
	return u.String()
}

// Stop ends the server at once, cutting its connections, and removes its
// directory with all data. It may be called again.
func (s *Server) Stop() error {
	if s.process != nil {
		s.process.end()
		<-s.process.exited
	}
	s.lock.Close()
	return os.RemoveAll(s.dir)
}

// Detach lets the server run on when this process ends, until its user ends the
// process whose id it returns. On Windows the server ends all the same.
func (s *Server) Detach() (pid string) {
	s.process.detach()
	return s.state()[0]
}

// PID returns the id of the server's first process, the postmaster, or that of the last
// one if the server was killed. It is 0 if there was none.
func (s *Server) PID() int {
	pid, _ := strconv.Atoi(s.state()[0])
	return pid
}

// Kill kills the postmaster as kill -9 does, and waits for its end. Its children end by
// themselves a moment later. The data remain for [Server.Restart] or [Server.Stop].
func (s *Server) Kill() error {
	// The script that runs the server then leaves the directory.
	if err := os.WriteFile(filepath.Join(s.dir, keepName), nil, 0o600); err != nil {
		return err
	}
	postmaster, err := os.FindProcess(s.PID())
	if err != nil {
		return err
	}
	if err := postmaster.Kill(); err != nil {
		return err
	}
	<-s.process.exited
	return nil
}

// Restart starts a server that was killed on its data, with the settings and at the
// address that it had, and returns when it accepts connections.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.launch(ctx)
		if err == nil {
			return os.Remove(filepath.Join(s.dir, keepName))
		}
		// The last children of the killed server may still be there.
		if ctx.Err() != nil || !errors.Is(err, errEnded) {
			return fmt.Errorf("restart PostgreSQL %s: %w", s.Version, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// keepName is the file that keeps the server's directory when the server ends.
const keepName = "keep"

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// state is what the server tells pg_ctl, line by line: its process id first, and
// last its state.
func (s *Server) state() []string {
	text, _ := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

var errEnded = errors.New("the server ended while it started")

// waitReady waits until a server accepts connections whose process is not the one before.
func (s *Server) waitReady(ctx context.Context, before string) error {
	for {
		if state := s.state(); strings.TrimSpace(state[len(state)-1]) == "ready" && state[0] != before {
			return nil
		}
		select {
		case <-s.process.exited:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// followPrimary makes a data directory that of a standby. All data directories are
// copies of one, so that the primary's WAL has everything that this one lacks.
func followPrimary(data string, primary *Server) error {
	conninfo := strings.ReplaceAll(primary.URL(""), "'", "''")
	return errors.Join(
		os.WriteFile(filepath.Join(data, "postgresql.auto.conf"), []byte("primary_conninfo = '"+conninfo+"'\n"), 0o600),
		os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o600),
	)
}

// setPassword runs the server in its single-user mode, so that the password is
// neither in a file nor in a list of processes.
func (s *Server) setPassword(ctx context.Context, who *account, password string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.BinDir, "postgres"), "--single",
		"-D", s.data(), "-c", "fsync=off", "-c", "password_encryption=scram-sha-256", "postgres")
	cmd.Stdin = strings.NewReader("alter role postgres password '" + password + "'\n")
	if err := runAs(who, cmd, s.dir); err != nil {
		return fmt.Errorf("set the password: %w", err)
	}
	return nil
}

// runAs runs a command to its end; the error quotes what it said.
func runAs(who *account, cmd *exec.Cmd, dir string) error {
	cmd.Dir, cmd.Env = dir, serverEnv()
	who.run(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, lastLines(out, 20))
	}
	return nil
}

// serverEnv is the environment without what changes a server's behaviour.
func serverEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
	return append(env, "LC_ALL=C")
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

func lastLines(text []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
