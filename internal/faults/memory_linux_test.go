package faults

import (
	"bytes"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/migrations"
)

// memoryLimit is the most resident memory of the command, in MB, however many jobs there are.
const memoryLimit = 64

// TestMemory lists, exports, imports and changes many jobs by the command.
func TestMemory(t *testing.T) {
	binary := gwadmincmd.File(t)
	s := startServer(t, pgserver.Options{Dir: form("", os.TempDir()), Settings: map[string]string{
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off",
		"max_wal_size": "8GB", "shared_buffers": form("128MB", "1GB"),
	}})
	pool := open(t, migrated(t, s))
	exec(t, pool, "create database imported")
	imported := open(t, s.URL("imported"))
	migrator, err := migrations.New(imported, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	jobs := form(20_000, 5_000_000)
	exec(t, pool, "insert into graphile_worker._private_tasks (identifier) select 'task ' || n from generate_series(1, 200) as n")
	exec(t, pool, "insert into graphile_worker._private_job_queues (queue_name) select 'queue ' || n from generate_series(1, 1000) as n")
	exec(t, pool, `insert into graphile_worker._private_jobs (task_id, job_queue_id, payload, key, attempts, max_attempts, last_error, run_at)
		select 1 + n % 200, case when n % 5 = 0 then 1 + n % 1000 end, json_build_object('n', n, 'text', repeat('x', 200)),
			case when n % 10 = 0 then 'key ' || n end, n % 3, 1 + n % 2, case when n % 3 > 0 then 'refused: ' || n end, now() + n % 1000 * interval '1 s'
		from generate_series(1, $1) as n`, jobs)
	exec(t, pool, "analyze")

	from, to := measured{t, binary, s.URL("postgres")}, measured{t, binary, s.URL("imported")}
	peaks := map[string]float64{}
	check := func(what string, peak float64) {
		t.Helper()
		if peak == 0 || peak > memoryLimit {
			t.Errorf("%s: %.0f MB", what, peak)
		}
		peaks[what] = max(peaks[what], peak)
	}
	for _, flags := range []string{"", "--limit 10000", "--limit 10000 -o json --payload 1000", "--limit 10000 -o ndjson --payload 1000 --sort -run_at"} {
		check("list", from.run(strings.Fields("jobs list "+flags)...))
	}
	check("export", from.run("jobs", "export", "-o", "csv"))

	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	exported := from.start(nil, in, "jobs", "export")
	added := to.start(out, io.Discard, "jobs", "import", "-", "--yes")
	in.Close()
	out.Close()
	check("export", exported())
	check("import", added())

	save := filepath.Join(t.TempDir(), "saved.ndjson")
	for _, args := range []string{"hold --all --dry-run", "hold --all --yes", "release --all --yes", "fail --all --yes", "retry --state permafailed --yes", "complete --all --yes --save " + save} {
		check("act", to.run(strings.Fields("jobs "+args)...))
	}
	row(t, "%d jobs: %v", jobs, peaks)
}

// A measured is the command, whose memory is measured.
type measured struct {
	testing.TB
	binary, url string
}

// run runs the command and returns the peak of its resident memory in MB.
func (m measured) run(args ...string) float64 {
	m.Helper()
	return m.start(nil, io.Discard, args...)()
}

// start starts the command. The function that it returns waits for the end and returns the
// peak.
func (m measured) start(stdin io.Reader, stdout io.Writer, args ...string) (wait func() float64) {
	m.Helper()
	cmd := osexec.Command(m.binary, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+m.url)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &said
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	peak := make(chan float64, 1)
	go func() { peak <- peakOf(cmd.Process.Pid) }()
	return func() float64 {
		m.Helper()
		if err := cmd.Wait(); err != nil {
			m.Fatalf("%q: %v\n%s", args, err, &said)
		}
		peak := <-peak
		m.Logf("%5.1f MB: %s", peak, strings.Join(args, " "))
		return peak
	}
}

// peakOf looks at the peak of a process's resident memory until it ends, and returns the last
// one, in MB. The peak that Wait tells is not less than that of this process, which forked it.
func peakOf(pid int) (peak float64) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, text, found := strings.Cut(string(status), "VmHWM:")
		if err != nil || !found {
			return peak
		}
		var kB float64
		if _, err := fmt.Sscan(text, &kB); err != nil {
			return peak
		}
		peak = kB * 1024 / 1e6
		time.Sleep(2 * time.Millisecond)
	}
}
