package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/migrations"
)

// childEnv makes the test binary the client that TestKillClient kills.
const childEnv = "GWADMIN_FAULTS_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		fmt.Fprintln(os.Stderr, beChild(text))
		os.Exit(1)
	}
	code := m.Run()
	gwadmincmd.Remove()
	os.Exit(code)
}

// A child is what a client needs to know that runs in a process of its own.
type child struct {
	URL, Name string
	Seed      uint64
	Last      int64
	Most      int
}

// A note is what a child prints before and after each call.
type note struct {
	Act     act
	Outcome *outcome // nil: before
}

// beChild makes calls until the process is killed.
func beChild(text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, c.URL)
	if err != nil {
		return err
	}
	a := newActor(pool, c.Name, source(c.Seed, 0), c.Last)
	a.most = c.Most
	if a.jobs, err = a.read(ctx, pool); err != nil {
		return err
	}
	say := json.NewEncoder(os.Stdout)
	a.run(ctx, nil, func(act act, outcome *outcome) {
		if err := say.Encode(note{act, outcome}); err != nil {
			panic(err)
		}
	})
	return fmt.Errorf("the outcome of a call is unknown, and nothing was broken: %s", a.outcome.Error)
}

// TestKillClient kills a process that makes calls. The jobs must then be what the process
// was told. The call that it was making is done in whole batches, or not at all.
func TestKillClient(t *testing.T) {
	s := server(t, nil)
	seed := seed(t)
	random := source(seed, -1)
	pool := open(t, s.URL("postgres"), named("check"))
	a := newActor(pool, "client", nil, 0)
	a.install(t, pool)
	kills := form(8, 100)
	for i := range kills {
		config, err := json.Marshal(child{
			URL: s.URL("postgres") + "&application_name=victim", Name: a.name, Seed: seed + uint64(i), Last: a.last,
			Most: []int{200, form(2000, 12_000)}[i%2],
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := osexec.Command(os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), childEnv+"="+string(config)), os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		var begun *act                    // and not ended
		last := random.IntN(form(20, 40)) // the note after which the process is killed
		for notes, i := json.NewDecoder(out), 0; ; i++ {
			var n note
			if notes.Decode(&n) != nil { // the process is dead
				break
			}
			if i == last {
				time.AfterFunc(time.Duration(random.IntN(100))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			begun, a.last = &n.Act, max(a.last, slices.Max(append(n.Act.Jobs, 0)))
			if n.Outcome != nil {
				a.learn(n.Act, *n.Outcome)
				begun = nil
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the client was not killed: %v", err)
		}
		if begun != nil {
			a.learn(*begun, outcome{})
		}
		alone(t, pool)
		a.verify(t, pool)
	}
	row(t, "%d kills of a client: %d calls done, all of them kept; %d not done; %d cut off, of which %d were done, in whole batches",
		kills, a.done, a.refused, a.unknown, a.happened)
}

// alone waits until the sessions of a killed process have ended: a statement that was sent
// is carried out.
func alone(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	wait(t, "the sessions of the killed process end", func(ctx context.Context) bool {
		others := -1
		_ = pool.QueryRow(ctx, `select count(*) from pg_catalog.pg_stat_activity
			where backend_type = 'client backend' and application_name not in ('check', '')`).Scan(&others)
		return others == 0
	})
}

// A killedVerb is a verb of the command that is killed.
type killedVerb struct {
	args  func(schema string) []string
	begin func(schema string) // prepares for a run
	// check returns how much of the work is done, 0 to 1. It fails the test if that is not
	// what some batches do.
	check func(schema string) float64
}

// TestKillCommand kills the command. What it was doing is done in whole batches, and the
// same command finishes it.
func TestKillCommand(t *testing.T) {
	binary := gwadmincmd.File(t)
	s := server(t, nil)
	pool := open(t, migrated(t, s), named("check"))
	random := source(seed(t), 0)
	jobs := form(3_000, 50_000)
	const batch = 1000

	file := filepath.Join(t.TempDir(), "jobs.ndjson")
	var lines bytes.Buffer
	for n := range jobs {
		fmt.Fprintf(&lines, `{"task_identifier": "run", "payload": {"n": %d}, "key": "key %[1]d"}`+"\n", n+1)
	}
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	count := func(sql string, args ...any) (n int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// part returns how much is done if so many of the first jobs are.
	part := func(what string, first, all int) float64 {
		t.Helper()
		if first != all {
			t.Errorf("%s: %d jobs, but not the first: only %d of them", what, all, first)
		}
		if all%batch != 0 {
			t.Errorf("%s: %d jobs are no whole batches of %d", what, all, batch)
		}
		return float64(all) / float64(jobs)
	}
	fill := func(attempts int) {

		exec(t, pool, "truncate graphile_worker._private_jobs restart identity")
		exec(t, pool, "insert into graphile_worker._private_tasks (identifier) values ('run') on conflict do nothing")
		exec(t, pool, `insert into graphile_worker._private_jobs (task_id, payload, attempts, max_attempts, run_at)
			select tasks.id, json_build_object('n', n), case when n <= $1 then $2 else 0 end, 5, 'infinity'
			from graphile_worker._private_tasks as tasks, generate_series(1, $1 + 100) as n where tasks.identifier = 'run'`, jobs, attempts)
	}
	verbs := map[string]killedVerb{
		"jobs retry": {
			args:  func(string) []string { return []string{"jobs", "retry", "--state", "permafailed", "--yes"} },
			begin: func(string) { fill(5) },
			check: func(string) float64 {
				done := count("select count(*) from graphile_worker._private_jobs where attempts = 0 and run_at < 'infinity'")
				return part("jobs retry", count("select count(*) from graphile_worker._private_jobs where attempts = 0 and run_at < 'infinity' and id <= $1", done), done)
			},
		},
		"cleanup": {
			args:  func(string) []string { return []string{"cleanup", "--tasks", "DELETE_PERMAFAILED_JOBS", "--yes"} },
			begin: func(string) { fill(5) },
			check: func(string) float64 {
				if left := count("select count(*) from graphile_worker._private_jobs where attempts = 0"); left != 100 {
					t.Errorf("cleanup: %d of 100 jobs that have not failed are left", left)
				}
				deleted := jobs - count("select count(*) from graphile_worker._private_jobs where attempts = 5")
				if deleted != 0 && deleted != jobs { // the table has fewer pages than one batch
					t.Errorf("cleanup: %d of %d jobs were deleted", deleted, jobs)
				}
				return float64(deleted) / float64(jobs)
			},
		},
		"jobs import": {
			args:  func(string) []string { return []string{"jobs", "import", file, "--yes"} },
			begin: func(string) { exec(t, pool, "truncate graphile_worker._private_jobs") },
			check: func(string) float64 {
				all := count("select count(*) from graphile_worker._private_jobs")
				return part("jobs import", count(`select count(distinct key) from graphile_worker._private_jobs
					where (payload ->> 'n')::int <= $1 and key = 'key ' || (payload ->> 'n')`, all), all)
			},
		},
		"migrate up": {
			args:  func(schema string) []string { return []string{"migrate", "up", "--schema", schema} },
			begin: func(string) {},
			check: func(schema string) float64 {
				objects := count("select count(*) from pg_catalog.pg_class where relnamespace = to_regnamespace($1)::oid", pgx.Identifier{schema}.Sanitize())
				if objects == 0 && count("select count(*) from pg_catalog.pg_namespace where nspname = $1", schema) == 0 {
					return 0
				}
				migrator, err := migrations.New(pool, &migrations.Options{Schema: schema})
				if err != nil {
					t.Fatal(err)
				}
				report, err := migrator.Validate(t.Context())
				if err != nil {
					t.Errorf("migrate up: %v", err)
				} else if diff := cmp.Diff(0, len(report.Differences)); diff != "" {
					t.Errorf("migrate up: the schema differs from a migrated one: -want +got\n%s", diff)
				}
				return 1
			},
		},
	}
	kills := form(2, 25) // of each verb
	figures := map[string]string{}
	for _, name := range []string{"jobs retry", "cleanup", "jobs import", "migrate up"} {
		verb := verbs[name]
		run := func(schema string, after time.Duration) (time.Duration, bool) {
			t.Helper()
			cmd := osexec.Command(binary, verb.args(schema)...)
			cmd.Env = append(os.Environ(), "DATABASE_URL="+s.URL("postgres")+"&application_name=victim")
			var said bytes.Buffer
			cmd.Stderr = &said
			begin := time.Now()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if after > 0 {
				time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			}
			err := cmd.Wait()
			killed := cmd.ProcessState.ExitCode() == -1
			if err != nil && !killed {
				t.Fatalf("%s: %v\n%s", name, err, &said)
			}
			alone(t, pool)
			return time.Since(begin), killed
		}
		verb.begin("")
		took, _ := run("never_killed", 0)
		if got := verb.check("never_killed"); got != 1 {
			t.Fatalf("%s did %.3f of its work", name, got)
		}
		killed, nothing, halfway := 0, 0, 0
		for try := 0; killed < kills && !t.Failed(); try++ {
			schema := fmt.Sprint("killed_", try)
			verb.begin(schema)
			ran, dead := run(schema, 1+time.Duration(random.Int64N(int64(took))))
			if !dead {
				took = ran // the first run was slower
				continue
			}
			killed++
			switch part := verb.check(schema); part {
			case 0:
				nothing++
			case 1:
			default:
				halfway++
			}
			run(schema, 0)
			if got := verb.check(schema); got != 1 {
				t.Errorf("%s: after a rerun %.3f of the work is done", name, got)
			}
		}
		figures[name] = fmt.Sprintf("%d kills (%d before anything was done, %d between two batches)", killed, nothing, halfway)
	}
	row(t, "%v; whole batches only; every rerun finished", figures)
}
