package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	holdEnv = "GWADMIN_PGSERVER_TEST_HOLD" // the directory for a server that waits to be killed
	ciEnv   = "CI"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		hold(dir)
	}
	os.Exit(m.Run())
}

// hold is the process that a test kills: it starts a server and waits.
func hold(dir string) {
	inst, err := Find(context.Background(), FindOptions{Fetch: true})
	if err == nil {
		var s *Server
		if s, err = Start(context.Background(), Options{Installation: inst, Dir: dir}); err == nil {
			fmt.Println(s.state()[0])
			select {}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func installation(t *testing.T, major int) Installation {
	t.Helper()
	inst, err := Find(t.Context(), FindOptions{Major: major, Fetch: true})
	if errors.Is(err, ErrNoPostgres) && os.Getenv(ciEnv) == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return inst
}

func startServer(t *testing.T, opts Options) *Server {
	t.Helper()
	if opts.Installation.BinDir == "" {
		opts.Installation = installation(t, 0)
	}
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

func show(t *testing.T, url, setting string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value string
	if err := conn.QueryRow(t.Context(), "select current_setting($1)", setting).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestStartStop(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		opts  Options
		fsync string
	}{
		{"sockets", Options{}, "off"},
		{"tcp", Options{TCP: true}, "off"},
		{"settings win", Options{Settings: map[string]string{"fsync": "on"}}, "on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, tt.opts)
			if got := show(t, s.URL("postgres"), "fsync"); got != tt.fsync {
				t.Errorf("fsync is %s, want %s", got, tt.fsync)
			}
			if got := show(t, s.URL("template1"), "server_version"); got != s.Version {
				t.Errorf("server_version is %s, want %s", got, s.Version)
			}
			if info, err := os.Stat(s.dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the directory's mode is %v (%v), want 0700", info.Mode(), err)
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if exists(s.dir) {
				t.Errorf("%s is still there", s.dir)
			}
		})
	}
}

func TestTCPNeedsThePassword(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{TCP: true})
	config, err := pgx.ParseConfig(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"", "wrong"} {
		config.Password = password
		if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
			conn.Close(t.Context())
			t.Errorf("password %q got in", password)
		}
	}
}

// TestStandby follows its primary, over either kind of connection.
func TestStandby(t *testing.T) {
	t.Parallel()
	inst := installation(t, 0)
	for _, tcp := range []bool{false, true} {
		t.Run(fmt.Sprintf("TCP %v", tcp), func(t *testing.T) {
			t.Parallel()
			primary := startServer(t, Options{Installation: inst, TCP: tcp, Settings: map[string]string{"wal_keep_size": "1GB"}})
			on := func(s *Server, sql string) (answer string, err error) {
				conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
				if err != nil {
					return "", err
				}
				defer conn.Close(t.Context())
				err = conn.QueryRow(t.Context(), sql).Scan(&answer)
				return answer, err
			}
			if answer, err := on(primary, "select pg_logical_emit_message(true, 'a', 'b')::text"); err != nil {
				t.Fatal(answer, err)
			}
			standby := startServer(t, Options{Installation: inst, TCP: tcp, Primary: primary})
			end, err := on(primary, "select pg_current_wal_flush_lsn()::text")
			if err != nil {
				t.Fatal(err)
			}
			// The password, too, comes from the primary, so that at first nobody gets in.
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
				caughtUp, err := on(standby, "select (pg_is_in_recovery() and pg_last_wal_replay_lsn() >= '"+end+"')::text")
				if caughtUp == "true" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the standby does not catch up", err)
				}
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	inst := installation(t, 0)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s, err := Start(t.Context(), Options{Installation: inst, TCP: i%2 == 1})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestBrokenSettingQuotesTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeReachable(t, dir)
	_, err := Start(t.Context(), Options{
		Installation: installation(t, 0), Dir: dir,
		Settings: map[string]string{"shared_buffers": "a lot"},
	})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers": "a lot"`) {
		t.Errorf("the error does not quote the log: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLongDirectory(t *testing.T) {
	t.Parallel()
	if !hasSockets {
		t.Skip("no sockets here")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	makeReachable(t, dir)
	_, err := Start(t.Context(), Options{Installation: installation(t, 0), Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "too long for a socket: "+dir) {
		t.Errorf("the error does not name the directory: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// makeReachable lets the user that a server runs as through to a test's directory.
func makeReachable(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFreshClusterIsCached(t *testing.T) {
	t.Parallel()
	inst := installation(t, 0)
	who, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	var dirs [2]string
	for i := range dirs {
		if dirs[i], err = freshCluster(t.Context(), inst, who); err != nil {
			t.Fatal(err)
		}
	}
	if dirs[0] != dirs[1] || !exists(filepath.Join(dirs[0], "PG_VERSION")) {
		t.Errorf("two calls returned %v", dirs)
	}
}

func TestKilledParent(t *testing.T) {
	t.Parallel()
	installation(t, 0)
	dir := t.TempDir()
	makeReachable(t, dir)
	if err := os.Chmod(dir, 0o777); err != nil { // as /tmp is
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), holdEnv+"="+dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		parent.Wait()
		t.Fatalf("no server started: %v", err)
	}

	parent.Process.Kill()
	parent.Wait()
	eventually(t, "the server's end", func() bool { return !alive(pid) })
	if !hasSockets { // Windows: nobody is left to do it
		sweepAged(t, dir)
	}
	eventually(t, "the directory's removal", func() bool { left, _ := os.ReadDir(dir); return len(left) == 0 })
}

// TestSweep leaves alone what is in use, and what may be about to be used.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeReachable(t, dir)
	who, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	abandoned, lock, err := makeDir(dir, who)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if sweep(dir); !exists(abandoned) {
		t.Error("a sweep removed a directory that is new")
	}
	running := startServer(t, Options{Dir: dir})
	running.lock.Close() // the server's processes hold it, too
	if hasSockets {
		sweepAged(t, dir)
		show(t, running.URL("postgres"), "fsync")
	}
	if exists(abandoned) {
		t.Error("a sweep left an abandoned directory")
	}
}

// sweepAged sweeps a directory whose locks look old.
func sweepAged(t *testing.T, dir string) {
	t.Helper()
	locks, _ := filepath.Glob(filepath.Join(dir, "*", lockName))
	for _, lock := range locks {
		if err := os.Chtimes(lock, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir)
}

func BenchmarkStart(b *testing.B) {
	inst, err := Find(b.Context(), FindOptions{})
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		s, err := Start(b.Context(), Options{Installation: inst})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	for _, tcp := range []bool{false, true} {
		t.Run(fmt.Sprintf("TCP %t", tcp), func(t *testing.T) {
			t.Parallel()
			s := startServer(t, Options{TCP: tcp, Settings: map[string]string{"synchronous_commit": "on"}})
			query := func(sql string) (n int) {
				t.Helper()
				conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(context.Background())
				if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if _, err := conn.Exec(t.Context(), "create table kept as select"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				before := s.PID()
				if err := s.Kill(); err != nil {
					t.Fatal(err)
				}
				if err := s.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
				if s.PID() == before {
					t.Errorf("the restarted server is still process %d", before)
				}
				if got := query("select count(*)::int from kept"); got != 1 {
					t.Errorf("%d rows were kept, want 1", got)
				}
			}
			if err := conn.Ping(t.Context()); err == nil {
				t.Error("a connection to the killed server still works")
			}
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the directory of a killed and stopped server: %v", err)
			}
		})
	}
}
