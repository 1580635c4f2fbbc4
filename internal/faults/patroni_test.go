//go:build unix

package faults

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/proxies"
)

// The same, but Patroni decides: both programs of a node are killed, and the lease of the
// primary must run out. It takes Debian's patroni and etcd-server, which the checks do not
// install.
func TestFailoverPatroni(t *testing.T) {
	if !full() {
		t.Skip("not run: only in full")
	}
	failOver(t, 3, startPatroni)
}

// startPatroni starts etcd and two nodes of Patroni. A transaction commits on both.
func startPatroni(t *testing.T) pair {
	t.Helper()
	patroni, etcd := proxies.Find(t, "patroni"), proxies.Find(t, "etcd")
	found, err := pgserver.Find(t.Context(), pgserver.FindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "gwadmin-patroni-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	who := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 { // PostgreSQL does not run as root
		account, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(account.Uid)
		gid, _ := strconv.Atoi(account.Gid)
		who.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	ports := freePorts(t, 6)
	client, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	runDaemon(t, dir, who, etcd, "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	node := func(name, api, port string) (url string, killBoth func()) {
		data := filepath.Join(dir, name)
		config := filepath.Join(dir, name+".yml")
		text := strings.NewReplacer("NAME", name, "API", api, "PORT", port, "ETCD", ports[0], "DATA", data, "BIN", found.BinDir, "DIR", dir).Replace(patroniConfig)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		kill := runDaemon(t, dir, who, patroni, config)
		killBoth = func() {
			kill()
			if text, err := os.ReadFile(filepath.Join(data, "postmaster.pid")); err == nil {
				pid, _ := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		t.Cleanup(killBoth)
		return fmt.Sprintf("postgres://postgres@127.0.0.1:%s/postgres?sslmode=disable", port), killBoth
	}
	answers := func(url, sql string) func(context.Context) bool {
		pool := open(t, url)
		return func(ctx context.Context) (yes bool) { return pool.QueryRow(ctx, sql).Scan(&yes) == nil && yes }
	}
	var p pair
	var kill func()
	p.primary, kill = node("a", ports[2], ports[3])
	wait(t, "the first node is the primary", answers(p.primary, "select not pg_is_in_recovery()"))
	p.standby, _ = node("b", ports[4], ports[5])
	wait(t, "the second node is the synchronous standby", answers(p.primary, "select exists (select from pg_stat_replication where sync_state = 'sync')"))
	if err := up(t.Context(), migrator(t, open(t, p.primary), nil)); err != nil {
		t.Fatal(err)
	}
	p.writes = eitherOf(t, p.primary, p.standby)
	promoted := answers(p.standby, "select not pg_is_in_recovery()")
	p.fail = func() {
		kill()
		wait(t, "Patroni promotes the standby", promoted)
	}
	return p
}

const patroniConfig = `
scope: gwadmin
name: NAME
restapi: {listen: "127.0.0.1:API", connect_address: "127.0.0.1:API"}
etcd3: {host: "127.0.0.1:ETCD"}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql: {parameters: {max_connections: 100}}
  initdb: [{encoding: UTF8}, {locale: C}, {auth: trust}]
  pg_hba: ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
postgresql:
  listen: "127.0.0.1:PORT"
  connect_address: "127.0.0.1:PORT"
  data_dir: DATA
  bin_dir: BIN
  authentication: {superuser: {username: postgres}, replication: {username: postgres}}
  parameters: {unix_socket_directories: DIR}
`

// runDaemon runs a program until the test ends, or until it is killed.
func runDaemon(t *testing.T, dir string, who *syscall.SysProcAttr, path string, args ...string) (kill func()) {
	t.Helper()
	var log bytes.Buffer
	cmd := osexec.Command(path, args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = dir, who, &log, &log
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.WaitDelay = 10 * time.Millisecond // PostgreSQL, which Patroni starts, has its output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	kill = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("%s printed\n%s", filepath.Base(path), &log)
		}
	})
	return kill
}

func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		ports = append(ports, port)
	}
	return ports
}
