// Package pgserver starts private PostgreSQL servers, for tests and for the
// demo. [Find] looks for the programs, or brings them; [Start] runs one server
// that no other user of the machine can reach and that ends with this process.
package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options says how to start a server. Installation is required; the zero
// value of everything else suits a test.
type Options struct {
	Installation Installation

	// Dir is where the server gets its own directory, which is removed when
	// the server stops. Empty means memory (/dev/shm) where it has 1 GiB
	// free and Durable is unset, and the system's temporary directory otherwise.
	Dir string

	// TCP makes the server listen on a free port of 127.0.0.1, with a random
	// password, instead of a Unix socket in a directory that only this user
	// can enter. On Windows it always does.
	TCP bool

	// Durable keeps PostgreSQL's own settings for what a crash may lose.
	// Otherwise they are off, for speed.
	Durable bool

	// Settings are configuration parameters; they win over the package's.
	Settings map[string]string

	// Primary makes the server a hot standby, which streams from that one all it
	// has done since it was started. It must have the same Installation, PostgreSQL's
	// own settings of replication, and still keep its first WAL: see wal_keep_size.
	// Until it has caught up, a password that the primary asks for is not its own yet.
	Primary *Server
}

// Server is a running PostgreSQL server. Its methods may be called from many
// goroutines at once.
type Server struct {
	Installation

	dir     *runDir // holds the data and the log
	sockets *runDir // holds the socket; often the same
	base    url.URL
	process *os.Process
	exited  <-chan struct{}
	stop    func() error
}

const (
	startTimeout = time.Minute
	stopTimeout  = 10 * time.Second
	bindAttempts = 5
)

var errPortTaken = errors.New("port is taken")

// Start starts a server and returns when it accepts connections. The context
// bounds the start only: the server runs until [Server.Stop], or until this
// process ends, be it by kill -9. What a killed process left on the disk is
// removed by the next Start. An error quotes the end of the server's log.
//
// As root the server runs as the user postgres or else nobody, who must be
// able to read its programs.
func Start(ctx context.Context, opts Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	opts.TCP = opts.TCP || !hasSockets
	if opts.Dir == "" {
		opts.Dir = os.TempDir()
		if ram := ramDir(); ram != "" && !opts.Durable {
			opts.Dir = ram
		}
	}
	for _, base := range []string{opts.Dir, shortTempDir()} {
		sweep(base, who)
	}
	fresh, err := freshCluster(ctx, opts.Installation, who)
	if err != nil {
		return nil, fmt.Errorf("create a database cluster: %w", err)
	}
	for attempt := 1; ; attempt++ {
		s, err := start(ctx, opts, who, fresh)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) || attempt == bindAttempts {
			return nil, fmt.Errorf("start PostgreSQL %s: %w", opts.Installation.Version, err)
		}
	}
}

// URL returns the connection URL of a database, for the superuser postgres.
func (s *Server) URL(database string) string {
	u := s.base
	u.Path = "/" + database
	return u.String()
}

// Done is closed when the server's process has ended, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.exited }

// Stop ends the server at once, cutting its connections, and removes its
// directory with all data. Calling it again returns the same result.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) shutDown() error {
	var err error
	if err = quit(s.process); err == nil {
		select {
		case <-s.exited:
		case <-time.After(stopTimeout):
			err = s.process.Kill()
			<-s.exited
		}
	} else if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return errors.Join(err, s.dir.remove(), s.sockets.remove())
}

func start(ctx context.Context, opts Options, who *account, fresh string) (_ *Server, err error) {
	s := &Server{Installation: opts.Installation}
	s.stop = sync.OnceValue(s.shutDown)
	if s.dir, err = newRunDir(opts.Dir, who); err != nil {
		return nil, err
	}
	s.sockets = s.dir
	defer func() {
		if err != nil {
			s.dir.remove()
			s.sockets.remove()
		}
	}()
	if !opts.TCP && len(s.dir.path) > maxSocketDir {
		if s.sockets, err = newRunDir(shortTempDir(), who); err != nil {
			return nil, err
		}
		if len(s.sockets.path) > maxSocketDir {
			return nil, fmt.Errorf("no directory for the socket is short enough: %s", s.sockets.path)
		}
	}

	data := filepath.Join(s.dir.path, "data")
	if err := copyCluster(fresh, data, who); err != nil {
		return nil, err
	}
	settings := map[string]string{
		"unix_socket_directories": s.sockets.path,
		"port":                    "5432",
		"listen_addresses":        "",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"password_encryption":     "scram-sha-256",
	}
	s.base = url.URL{Scheme: "postgres", User: url.User("postgres")}
	query := url.Values{"sslmode": {"disable"}}
	if opts.Primary != nil {
		if err := followPrimary(data, opts.Primary, who); err != nil {
			return nil, err
		}
	}
	if opts.TCP {
		if opts.Primary == nil {
			password := rand.Text()
			if err := setPassword(ctx, opts.Installation, who, data, password); err != nil {
				return nil, fmt.Errorf("set the password: %w", err)
			}
			s.base.User = url.UserPassword("postgres", password)
		} else {
			s.base.User = opts.Primary.base.User
		}
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		settings["unix_socket_directories"] = ""
		settings["listen_addresses"] = "127.0.0.1"
		settings["port"] = port
		s.base.Host = net.JoinHostPort("127.0.0.1", port)
	} else {
		query.Set("host", s.sockets.path)
		query.Set("port", settings["port"])
	}
	s.base.RawQuery = query.Encode()
	if !opts.Durable {
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, opts.Settings)

	args := []string{"-D", data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	log, err := os.Create(filepath.Join(s.dir.path, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(opts.Installation.BinDir, "postgres"), args...)
	cmd.Dir, cmd.Env = s.dir.path, serverEnv()
	cmd.Stdout, cmd.Stderr = log, log
	who.run(cmd)
	inheritLocks(cmd, s.dir, s.sockets)
	if s.exited, err = spawn(cmd); err != nil {
		return nil, err
	}
	s.process = cmd.Process
	if err := s.waitReady(ctx, data); err != nil {
		s.process.Kill()
		<-s.exited
		text, _ := os.ReadFile(log.Name())
		if bytes.Contains(text, []byte("could not create any TCP/IP sockets")) {
			err = errPortTaken
		}
		return nil, fmt.Errorf("%w; its log ends:\n%s", err, lastLines(text, 20))
	}
	return s, nil
}

// followPrimary makes a data directory that of a standby. All are copies of one, so
// that what the primary has logged since is what this one lacks.
func followPrimary(data string, primary *Server, who *account) error {
	conninfo := strings.ReplaceAll(primary.URL(""), "'", "''")
	for name, text := range map[string]string{
		"postgresql.auto.conf": "primary_conninfo = '" + conninfo + "'\n",
		"standby.signal":       "",
	} {
		file := filepath.Join(data, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		if err := who.own(file); err != nil {
			return err
		}
	}
	return nil
}

// waitReady watches the file in which the server tells pg_ctl its state.
func (s *Server) waitReady(ctx context.Context, data string) error {
	for {
		state, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if bytes.HasSuffix(bytes.TrimSpace(state), []byte("ready")) {
			return nil
		}
		select {
		case <-s.exited:
			return errors.New("the server ended while it started")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// setPassword runs the server in its single-user mode, so that the password is
// neither in a file nor in a list of processes.
func setPassword(ctx context.Context, inst Installation, who *account, data, password string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(inst.BinDir, "postgres"), "--single",
		"-D", data, "-c", "fsync=off", "-c", "password_encryption=scram-sha-256", "postgres")
	cmd.Stdin = strings.NewReader("alter role postgres password '" + password + "'\n")
	return runAs(who, cmd, filepath.Dir(data))
}

// runAs runs a command to its end; the error quotes what it said.
func runAs(who *account, cmd *exec.Cmd, dir string) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Dir, cmd.Env = dir, serverEnv()
	who.run(cmd)
	exited, err := spawn(cmd)
	if err != nil {
		return err
	}
	<-exited
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s\n%s", filepath.Base(cmd.Path), cmd.ProcessState, lastLines(out.Bytes(), 20))
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

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
