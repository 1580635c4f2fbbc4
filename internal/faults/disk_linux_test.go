package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgserver"
)

// smallDisk mounts a file system of so many megabytes. Who may not mount one skips the row,
// but not in full.
func smallDisk(t *testing.T, megabytes int) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gwadmin-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	err = syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=755", megabytes))
	switch {
	case errors.Is(err, syscall.EPERM) && !full():
		t.Skipf("not run: this user may not mount a small file system: %v", err)
	case err != nil:
		t.Fatalf("mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ownedBy gives a file to the server's user.
func ownedBy(t *testing.T, s *pgserver.Server, name string) {
	t.Helper()
	config, err := pgconn.ParseConfig(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(config.Host) // the socket's directory
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(name, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}

// fill uses all space of the tablespace that the database is in.
func fill(t *testing.T, pool *pgxpool.Pool) (free func()) {
	t.Helper()
	exec(t, pool, "create table public.filler (text text)")
	var err error
	for err == nil {
		_, err = pool.Exec(t.Context(), "insert into public.filler select repeat(md5(n::text), 50) from generate_series(1, 100) as n")
	}
	if pgErr, _ := errors.AsType[*pgconn.PgError](err); pgErr == nil || pgErr.Code != "53100" {
		t.Fatal(err)
	}
	return func() { exec(t, pool, "drop table public.filler") }
}

// The disk with the tables is full. Calls that need space fail without effect, in whole
// batches, and calls that delete jobs go on.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, 40)
	s := server(t, map[string]string{"autovacuum": "off"})
	base := open(t, s.URL("postgres"))
	space := filepath.Join(disk, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	ownedBy(t, s, space)
	exec(t, base, "create tablespace small location '"+space+"'")
	exec(t, base, "create database small tablespace small")
	pool := open(t, s.URL("small"))
	const code, todo = "53100", "the server's disk is full: free space there"

	free := fill(t, pool)
	before := stateOf(t, pool)
	checkLimit(t, "up", up(t.Context(), migrator(t, pool, nil)), code, todo)
	if diff := cmp.Diff(before, stateOf(t, pool)); diff != "" {
		t.Errorf("up: -before +after\n%s", diff)
	}
	free()
	if err := up(t.Context(), migrator(t, pool, nil)); err != nil {
		t.Fatal(err)
	}

	client := admin.New(pool)
	const jobs, batch = 3000, 100
	text := strings.Repeat("x", 200)
	add := func(task string) ([]int64, error) {
		specs := make([]admin.JobSpec, jobs)
		for i := range specs {
			specs[i] = admin.JobSpec{TaskIdentifier: task, Payload: text}
		}
		return client.AddJobsIDs(t.Context(), specs, nil)
	}
	ids, err := add("before")
	if err != nil {
		t.Fatal(err)
	}
	count := func(condition string) (n int64) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "select count(*) from graphile_worker._private_jobs where "+condition).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	exec(t, pool, "create table public.reserve as select repeat(md5(n::text), 50) as text from generate_series(1, 300) as n")
	free = fill(t, pool)
	_, err = add("on a full disk")
	checkLimit(t, "AddJobs", err, code, todo)
	if n := count("true"); n != jobs {
		t.Errorf("AddJobs: there are %d jobs, want %d", n, jobs)
	}
	// What is added one by one is there if its call says so.
	var running sync.WaitGroup
	failures := make([]error, 200)
	adder := admin.NewAdder(client, nil)
	for i := range failures {
		running.Go(func() { _, failures[i] = adder.AddJob(t.Context(), "one", strings.Repeat(text, 10), nil) })
	}
	running.Wait()
	added, refused := int64(0), 0
	for _, err := range failures {
		if err == nil {
			added++
			continue
		}
		checkLimit(t, "Adder.AddJob", err, code, todo)
		refused++
	}
	if refused == 0 {
		t.Error("the disk is not full")
	}
	if n := count("true"); n != jobs+added {
		t.Errorf("there are %d jobs, and %d and %d were added", n, jobs, added)
	}
	_, err = client.RescheduleJobs(t.Context(), ids, admin.RescheduleValues{Priority: new(7)}, nil)
	checkLimit(t, "RescheduleJobs", err, code, todo)
	if n := count("priority = 7"); n != 0 {
		t.Errorf("RescheduleJobs has rescheduled %d jobs", n)
	}
	exec(t, pool, "drop table public.reserve") // room for some
	result, err := client.RescheduleWhere(t.Context(), admin.Filter{IDs: ids}, admin.RescheduleValues{Priority: new(8)}, &admin.WhereOptions{BatchSize: batch})
	checkLimit(t, "RescheduleWhere", err, code, todo)
	if n := count("priority = 8"); n != result.Changed || n%batch != 0 || n == 0 {
		t.Errorf("RescheduleWhere has rescheduled %d jobs in batches of %d, and returns %d", n, batch, result.Changed)
	}
	if err := changed(jobs)(client.CompleteJobs(t.Context(), ids, nil)); err != nil {
		t.Errorf("completing jobs on a full disk: %v", err)
	}
	free()
	if _, err := add("after"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	row(t, "a full disk: migrations and %d calls failed with what to do, without effect or in whole batches (RescheduleWhere did %d jobs of %d, and says so); %d jobs were completed meanwhile; all goes on with room again",
		refused+3, result.Changed, jobs, jobs)
}

// The disk with the write-ahead log is full while clients work. PostgreSQL then panics, and
// starts again when there is room.
func TestDiskFullOfWAL(t *testing.T) {
	if !full() {
		t.Skip("not run: only in full")
	}
	disk := smallDisk(t, 192)
	s := startServer(t, pgserver.Options{Dir: disk, Settings: map[string]string{
		"max_wal_size": "10GB", "checkpoint_timeout": "1h", "shared_buffers": "16MB", "autovacuum": "off",
	}})
	url := migrated(t, s)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	client := admin.New(open(t, url))
	b, from := newBeliefs(), seed(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	for actor := range 8 {
		running.Go(func() { b.call(ctx, client, source(from, actor)) })
	}
	wait(t, "calls succeed", func(context.Context) bool { return b.successes.Load() > 100 })
	look := open(t, url)
	written := 0
	for b.troubled() == 0 {
		if written++; written > 200 {
			t.Fatal("the disk is not full")
		}
		_, _ = look.Exec(t.Context(), "select pg_logical_emit_message(true, 'ballast', repeat('x', 1000000))")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	before := b.successes.Load()
	wait(t, "calls succeed again", func(context.Context) bool { return b.successes.Load() > before+100 })
	stop()
	running.Wait()
	b.check(t, look)
	row(t, "the log's disk was full, PostgreSQL panicked and started again: %d calls acknowledged and kept, %d failed and without effect, %d of unknown outcome, of which %d were done",
		b.successes.Load(), b.failed, b.unknown, b.done)
}
