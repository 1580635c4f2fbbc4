//go:build unix

// Package proxies starts the programs that stand between a client and PostgreSQL, for
// tests: PgBouncer and HAProxy. They listen on a Unix socket and end with the test.
package proxies

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	port         = "6432"
	startTimeout = 30 * time.Second
)

// Find returns the path of a program that Debian's package of the same name installs. If
// it is not installed the test is skipped, or fails if CI is set.
func Find(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	switch {
	case err != nil && os.Getenv("CI") == "":
		tb.Skipf("%s is not installed", name)
	case err != nil:
		tb.Fatal(err)
	}
	return path
}

// PgBouncer starts PgBouncer in transaction mode in front of a database and returns the
// database's URL through it. It makes so many connections to the server at most.
func PgBouncer(tb testing.TB, to string, conns int) string {
	tb.Helper()
	path := Find(tb, "pgbouncer")
	server := parse(tb, to)
	dir := newDir(tb)
	quote := func(s string) string { return "'" + s + "'" }
	users := writeFile(tb, dir, "users", fmt.Sprintf("%q %q\n", server.User, server.Password))
	config := writeFile(tb, dir, "config", fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s
[pgbouncer]
listen_port = %s
unix_socket_dir = %s
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = %d
max_client_conn = 100
log_connections = 0
log_disconnections = 0
`, quote(server.Host), server.Port, quote(server.User), port, dir, users, conns))
	cmd := exec.Command(path, config)
	if os.Getuid() == 0 { // PgBouncer does not run as root
		who := socketOwner(tb, server.Host)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
		for _, name := range []string{dir, users, config} {
			if err := os.Chown(name, int(who.Uid), int(who.Gid)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return start(tb, cmd, dir, server)
}

// HAProxy starts HAProxy in front of servers and returns the URL of the first one's
// database through it. It connects clients to the server that is not in recovery: each has
// an HTTP check, which asks the server, as Patroni's does.
func HAProxy(tb testing.TB, servers ...string) string {
	tb.Helper()
	path := Find(tb, "haproxy")
	dir := newDir(tb)
	var config strings.Builder
	fmt.Fprintf(&config, `defaults
    mode tcp
    timeout connect 1s
    timeout client 5m
    timeout server 5m
listen postgres
    bind unix@%s mode 600
    option httpchk GET /
    http-check expect status 200
    default-server inter 100ms fall 1 rise 1 on-marked-down shutdown-sessions
`, socket(dir, port))
	for i, to := range servers {
		server := parse(tb, to)
		address := net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port)))
		if filepath.IsAbs(server.Host) {
			address = "unix@" + socket(server.Host, strconv.Itoa(int(server.Port)))
		}
		host, checkPort, err := net.SplitHostPort(primaryCheck(tb, to))
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(&config, "    server s%d %s check addr %s port %s\n", i, address, host, checkPort)
	}
	cmd := exec.Command(path, "-db", "-f", writeFile(tb, dir, "config", config.String()))
	return start(tb, cmd, dir, parse(tb, servers[0]))
}

// primaryCheck serves the status 200 as long as a server is not in recovery, and returns
// the address.
func primaryCheck(tb testing.TB, to string) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isPrimary(r.Context(), to) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go server.Serve(listener)
	tb.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func isPrimary(ctx context.Context, url string) bool {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, "select pg_is_in_recovery()").ReadAll()
	return err == nil && string(results[0].Rows[0][0]) == "f"
}

func parse(tb testing.TB, url string) *pgconn.Config {
	tb.Helper()
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		tb.Fatal(err)
	}
	return config
}

func newDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "gwadmin-proxy-") // TempDir's names are too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func writeFile(tb testing.TB, dir, name, content string) string {
	tb.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

func socket(dir, port string) string { return filepath.Join(dir, ".s.PGSQL."+port) }

// start starts a program that listens in a directory, and returns the URL of the server's
// database through it when that answers.
func start(tb testing.TB, cmd *exec.Cmd, dir string, server *pgconn.Config) string {
	tb.Helper()
	var log bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	name := filepath.Base(cmd.Path)
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if tb.Failed() {
			tb.Logf("%s printed\n%s", name, &log)
		}
	})
	through := url.URL{Scheme: "postgres", User: url.User(server.User), Path: "/" + server.Database}
	if server.Password != "" {
		through.User = url.UserPassword(server.User, server.Password)
	}
	through.RawQuery = url.Values{"host": {dir}, "port": {port}, "sslmode": {"disable"}}.Encode()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(5 * time.Millisecond) {
		conn, err := pgconn.Connect(tb.Context(), through.String())
		if err == nil {
			_ = conn.Close(tb.Context())
			return through.String()
		}
		select {
		case <-ended:
			tb.Fatalf("%s ended: %v\n%s", name, cmd.ProcessState, &log)
		default:
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s does not answer: %v", name, err)
		}
	}
}

// socketOwner is the owner of the directory of the server's socket, or nobody if there is no
// socket.
func socketOwner(tb testing.TB, host string) *syscall.Credential {
	tb.Helper()
	if info, err := os.Stat(host); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
		}
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		tb.Fatal(err)
	}
	uid, uidErr := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := cmp.Or(uidErr, gidErr); err != nil {
		tb.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
