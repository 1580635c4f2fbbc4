package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// bareInsert adds a job by an insert and the notification that wakes workers alone, the
// least that PostgreSQL has to do. It has no name or number after a colon: pgbench takes
// that for a variable, even in a string.
const bareInsert = `insert into graphile_worker._private_jobs (task_id, job_queue_id, payload, key)
	select %s, %s, %s, %s from pg_notify(E'jobs\\072insert', '{"r":' || random()::text || ',"count": 1}')`

// keys counts the job keys, so that each is new.
var keys atomic.Int64

func newKey() string { return "go-" + strconv.FormatInt(keys.Add(1), 10) }

func BenchmarkAddJob(b *testing.B) {
	d := theSuite(b).database(b, adds())
	for _, conns := range []int{1, 8} {
		for _, kind := range []string{"none", "key", "queue"} {
			b.Run(fmt.Sprintf("conns=%d/kind=%s", conns, kind), func(b *testing.B) { benchmarkAddJob(b, d, conns, kind, "") })
		}
	}
}

// BenchmarkAddJobLazy adds jobs without waiting for the disk at commit, which is most of
// the time otherwise.
func BenchmarkAddJobLazy(b *testing.B) {
	d := theSuite(b).database(b, addsLazily())
	for _, conns := range []int{1, 8} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			benchmarkAddJob(b, d, conns, "none", ", synchronous_commit off")
		})
	}
}

func benchmarkAddJob(b *testing.B, d *database, conns int, kind, note string) {
	ctx, pool := b.Context(), poolOf(b, d, conns)
	client := admin.New(pool)
	c := comparison{
		work:  "AddJob, " + map[string]string{"none": "no key", "key": "a key", "queue": "a queue"}[kind] + note,
		size:  fmt.Sprintf("%d connections", conns),
		unit:  "jobs",
		warm:  50 * conns, // until each connection has its plans
		after: func() error { return d.empty(ctx) },
	}
	if conns == 1 {
		c.size = "1 connection"
	}

	var count atomic.Int64
	c.ways = append(c.ways, way{"gwadmin", func(n int) (time.Duration, error) {
		return concurrently(conns, n, func() error {
			i := int(count.Add(1))
			var options admin.AddJobOptions
			switch kind {
			case "key":
				options.JobKey = new(newKey())
			case "queue":
				options.QueueName = new("queue_" + strconv.Itoa(1+i%100))
			}
			_, err := client.AddJob(ctx, "task_1", payloadOf(i), &options)
			return err
		})
	}})

	insert := fmt.Sprintf(bareInsert, "$1::int", "$2::int", "$3::json", "$4::text")
	c.ways = append(c.ways, way{"insert", func(n int) (time.Duration, error) {
		return concurrently(conns, n, func() error {
			i := int(count.Add(1))
			body, err := json.Marshal(payloadOf(i))
			if err != nil {
				return err
			}
			var queue *int
			var key *string
			switch kind {
			case "key":
				key = new(newKey())
			case "queue":
				queue = new(1 + i%100)
			}
			_, err = pool.Exec(ctx, insert, 1, queue, string(body), key)
			return err
		})
	}})

	if bin := pgbench(theSuite(b).server.BinDir); bin == "" {
		fmt.Println("# without pgbench, which is not installed")
	} else {
		c.ways = append(c.ways, way{"pgbench", func(n int) (time.Duration, error) {
			return runPgbench(bin, d.url, conns, n, b.TempDir(), pgbenchScript(kind))
		}})
		c.ratios = append(c.ratios, ratio{"gwadmin", "pgbench", none})
	}

	c.ratios = append(c.ratios, ratio{"gwadmin", "insert", addByLimit})
	if d.js != nil {
		for name, schema := range map[string]string{"js": theirs, "js-on-ours": ours} {
			c.ways = append(c.ways, way{name, func(n int) (time.Duration, error) {
				return d.js.timed("addJob", params{"schema": schema, "conns": conns, "n": n, "kind": kind})
			}})
		}
		c.ratios = append([]ratio{{"gwadmin", "js", addByJS}, {"js-on-ours", "js", addJSOurs}}, c.ratios...)
	}
	c.compare(b)
}

// pgbench finds the program beside the server or on the PATH.
func pgbench(dir string) string {
	if file, err := exec.LookPath(filepath.Join(dir, "pgbench")); err == nil {
		return file
	}
	file, _ := exec.LookPath("pgbench")
	return file
}

func pgbenchScript(kind string) string {
	const body = `'{"n": 1,"text":"a short text that stands for a payload"}'::json`
	switch kind {
	case "key":
		return `\set k random(1, 9000000000000000000)` + "\n" + oneLine(fmt.Sprintf(bareInsert, "1", "null::int", body, "'pgbench-' || :k")) + ";\n"
	case "queue":
		return `\set q random(1, 100)` + "\n" + oneLine(fmt.Sprintf(bareInsert, "1", ":q::int", body, "null")) + ";\n"
	default:
		return oneLine(fmt.Sprintf(bareInsert, "1", "null::int", body, "null")) + ";\n"
	}
}

func oneLine(sql string) string {
	return string(bytes.ReplaceAll([]byte(sql), []byte("\n\t"), []byte(" ")))
}

// runPgbench runs a script n times over the connections. pgbench measures the time.
func runPgbench(bin, url string, conns, n int, dir, script string) (time.Duration, error) {
	file := filepath.Join(dir, "script.sql")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		return 0, err
	}
	each := max(n/conns, 200) // its connections are new, and slow at first
	cmd := exec.Command(bin, "-n", "-M", "prepared", "-c", strconv.Itoa(conns), "-j", strconv.Itoa(min(conns, 2)),
		"-t", strconv.Itoa(each), "-f", file, url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	tps, err := tpsOf(out)
	if err != nil {
		return 0, err
	}
	// The time for n times.
	return time.Duration(float64(n) / tps * float64(time.Second)), nil
}

// tpsOf reads the transactions per second, without the time to connect.
func tpsOf(out []byte) (float64, error) {
	for text := range bytes.Lines(out) {
		fields := bytes.Fields(text)
		if len(fields) > 2 && string(fields[0]) == "tps" && !bytes.Contains(text, []byte("including")) {
			return strconv.ParseFloat(string(fields[2]), 64)
		}
	}
	return 0, fmt.Errorf("pgbench does not say how fast it was:\n%s", out)
}
