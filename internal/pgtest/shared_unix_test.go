//go:build unix

package pgtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The tests below stand in for the go command with a process of that name,
// which runs test binaries that take a lease on a server.
const (
	roleEnv  = "GWADMIN_PGTEST_TEST_ROLE"
	binaries = 2
)

// binary is what each test binary tells of itself.
type binary struct {
	URL             string
	PID, Supervisor int
}

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "go":
		for range binaries {
			self, _ := os.Executable()
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), roleEnv+"=test")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			go cmd.Wait()
		}
		select {}
	case "test":
		c, err := shared()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		json.NewEncoder(os.Stdout).Encode(binary{c.url("postgres"), os.Getpid(), c.lease.PID})
		io.Copy(io.Discard, os.Stdin) // until the test has ended
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// goCommand runs test binaries as the go command does. It returns when they
// all have their server.
func goCommand(t *testing.T) (*os.Process, []binary) {
	t.Helper()
	sharedCluster(t) // or skip
	name := filepath.Join(t.TempDir(), "go")
	if err := os.Symlink(os.Args[0], name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	cmd.Env = append(os.Environ(), roleEnv+"=go", URLEnv+"=")
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // open until the test has ended
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	found := make([]binary, binaries)
	lines := json.NewDecoder(bufio.NewReader(out))
	for i := range found {
		if err := lines.Decode(&found[i]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { kill(found[i].PID) })
	}
	return cmd.Process, found
}

func kill(pid int)         { syscall.Kill(pid, syscall.SIGKILL) }
func running(pid int) bool { _, err := startTime(pid); return err == nil }

// serverDir is the directory of the server behind a URL.
func serverDir(t *testing.T, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("host")
}

// within waits until something holds and fails the test if that takes too long.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func TestOneServerForAllBinaries(t *testing.T) {
	t.Parallel()
	_, found := goCommand(t)
	if found[0].URL != found[1].URL || found[0].Supervisor != found[1].Supervisor {
		t.Errorf("two binaries have two servers: %+v", found)
	}

	dir := serverDir(t, found[0].URL)
	kill(found[0].PID)
	time.Sleep(time.Second)
	if !running(found[0].Supervisor) {
		t.Error("the server ended with the first binary")
	}
	kill(found[1].PID)
	within(t, idleTimeout+10*time.Second, "the idle server's end", func() bool { return !running(found[0].Supervisor) })
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there", dir)
	}
}

func TestServerEndsWithTheGoCommand(t *testing.T) {
	t.Parallel()
	command, found := goCommand(t)
	command.Kill()
	command.Wait()
	within(t, 10*time.Second, "the server's end", func() bool { return !running(found[0].Supervisor) })
	if !running(found[0].PID) {
		t.Error("the test binaries should still be there")
	}
	if _, err := os.Stat(serverDir(t, found[0].URL)); !os.IsNotExist(err) {
		t.Errorf("the server's directory is still there")
	}
}

func TestKillingEverythingLeavesNoServer(t *testing.T) {
	t.Parallel()
	command, found := goCommand(t)
	dir := serverDir(t, found[0].URL)
	server := postmaster(t, dir)
	command.Kill()
	kill(found[0].Supervisor)
	kill(found[0].PID)
	kill(found[1].PID)
	within(t, 10*time.Second, "the server's end", func() bool { return !running(server) })
}

func postmaster(t *testing.T, dir string) (pid int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestForeignMeetingDir(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dir, err := meetingDir()
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(dir) != tmp {
		t.Skipf("%s is too long for a socket", tmp)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := meetingDir(); err == nil {
		t.Error("a directory that others may write to was accepted")
	}
}
