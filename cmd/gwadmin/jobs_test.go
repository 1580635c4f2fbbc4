package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// fixture is a site with these jobs:
//
//	1  free          2  with everything set      3  held by pool-a, with key 3
//	4  stale lock    5  permanently failed       6  waits for ever
//	7  held by pool-b, just taken, with its queue
func fixture(t testing.TB) *site {
	t.Helper()
	s := ours(t)
	s.exec(`insert into graphile_worker._private_tasks (identifier) values ('send'), ('unused')`)
	s.exec(`
		insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by)
		values ('mails', null, null), ('busy', now() - interval '1 minute', 'pool-b'), ('unused', null, null)`)
	s.exec(`
		insert into graphile_worker._private_jobs (
			task_id, job_queue_id, key, payload, priority, run_at, attempts, max_attempts,
			locked_at, locked_by, last_error, flags, created_at, updated_at
		)
		select
			tasks.id, queues.id, j.key, j.payload::json, j.priority, j.run_at::timestamptz, j.attempts, j.max_attempts,
			now() - j.held_for::interval, j.locked_by, j.last_error, j.flags::jsonb, '2024-02-28 12:00:00Z', '2024-02-29 12:00:00Z'
		from (values
			(1, null,    null,    '{}',                     0,  '2024-03-01 12:00:00Z',        0,  25, null,         null,     null,       null),
			(2, 'mails', 'key 2', '{"to": "ada ☃", "n":1}', -7, '2024-03-01 12:00:00.123456Z', 3,  9,  null,         null,     'no route', '{"gpu": true, "a,b": true}'),
			(3, null,    'key 3', '[1, 2]',                 0,  '2024-03-01 12:00:00Z',        1,  25, '10 minutes', 'pool-a', null,       null),
			(4, null,    null,    'null',                   0,  '2024-03-01 12:00:00Z',        1,  25, '5 hours',    'pool-a', null,       null),
			(5, null,    null,    '{}',                     0,  '2024-03-01 12:00:00Z',        25, 25, null,         null,     E'gave\nup', null),
			(6, null,    null,    '{}',                     5,  'infinity',                    0,  25, null,         null,     null,       null),
			(7, 'busy',  null,    '{}',                     0,  '2024-03-01 12:00:00Z',        1,  25, '1 minute',   'pool-b', null,       null)
		) as j (id, queue, key, payload, priority, run_at, attempts, max_attempts, held_for, locked_by, last_error, flags)
		join graphile_worker._private_tasks as tasks on tasks.identifier = 'send'
		left join graphile_worker._private_job_queues as queues on queues.queue_name = j.queue
		order by j.id`)
	return s
}

// many is a site with jobs from 1 to n, and those ids, one a line.
func many(t testing.TB, n int) (s *site, ids string) {
	t.Helper()
	s = ours(t)
	s.exec(`insert into graphile_worker._private_tasks (identifier) values ('send')`)
	s.exec(`insert into graphile_worker._private_jobs (task_id) select 1 from generate_series(1, $1)`, n)
	var text strings.Builder
	for id := range n {
		fmt.Fprintln(&text, id+1)
	}
	return s, text.String()
}

// parse reads the one JSON value that is on standard output.
func parse[T any](t testing.TB, r result) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil {
		t.Fatalf("standard output is not JSON: %v\n%s", err, r.transcript())
	}
	return v
}

// job reads a job without the command.
func (s *site) job(id int64) *admin.Job {
	s.Helper()
	job, err := admin.New(s.pool, admin.WithSchema(s.schema)).GetJob(s.Context(), id)
	if err != nil {
		s.Fatal(err)
	}
	return &job.Job
}

// ids are those of all jobs.
func (s *site) ids() []int64 {
	return value[[]int64](s, `select coalesce(array_agg(id order by id), '{}') from graphile_worker._private_jobs`)
}

// jobRows are the rows of the jobs table by id.
func (s *site) jobRows() map[int64]string {
	s.Helper()
	rows := map[int64]string{}
	if err := json.Unmarshal(value[[]byte](s, `select coalesce(json_object_agg(id, jobs::text), '{}') from graphile_worker._private_jobs as jobs`), &rows); err != nil {
		s.Fatal(err)
	}
	return rows
}

// sameTimes treats times as equal that differ by less than the length of a test.
var sameTimes = cmpopts.EquateApproxTime(patience)

// The verbs that take ids, with the flags that they need.
var idVerbs = map[string][]string{
	"complete":   {"jobs", "complete"},
	"fail":       {"jobs", "fail", "--reason", "gone <&>"},
	"reschedule": {"jobs", "reschedule", "--run-at", "2100-01-01T00:00:00Z", "--priority", "3"},
	"retry":      {"jobs", "retry"},
	"hold":       {"jobs", "hold", "--by", "ada"},
}

// Each verb does what it prints, and what its dry run has printed, and nothing else.
func TestIDVerbs(t *testing.T) {
	t.Parallel()
	for name, verb := range idVerbs {
		for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
			t.Run(fmt.Sprintf("%s/%s", name, output), func(t *testing.T) {
				t.Parallel()
				s := fixture(t)
				args := append(verb, "1", "2", "3", "4", "5", "6", "7", "99", "--output", string(output))

				unchanged := s.unchanged()
				dry := s.run(append(args, "--dry-run")...)
				unchanged()
				checkCode(t, exitSkipped, dry)

				done := s.run(append(args, "--yes")...)
				checkCode(t, exitSkipped, done)
				golden(t, fmt.Sprintf("jobs/%s-%s.txt", name, output), "$ --dry-run\n"+dry.transcript()+"$ --yes\n"+done.transcript())
			})
		}
		for _, on := range append([]string{"ours", weird}, upstream.Versions...) {
			t.Run(fmt.Sprintf("%s/%s", name, on), func(t *testing.T) {
				t.Parallel()
				s := seeded(t, on)
				before := s.jobRows()
				var args []string
				for id := range before {
					args = append(args, fmt.Sprint(id))
				}
				args = slices.Concat(verb, args, []string{"1000000", "-o", "json"})

				dry := s.run(append(args, "--dry-run")...)
				check(t, "the rows after a dry run", before, s.jobRows())
				done := s.run(append(args, "--yes")...)
				checkCode(t, exitSkipped, done)

				would, did := parse[admin.ChangeResult](t, dry), parse[admin.ChangeResult](t, done)
				check(t, "ids that would be changed, and are", jobIDs(would.Jobs), jobIDs(did.Jobs))
				check(t, "ids that would be left alone, and are", would.SkippedJobs, did.SkippedJobs)
				if did.Changed < 20 || len(did.SkippedJobs) < 4 {
					t.Errorf("changed %d and left %d alone: too few for a test", did.Changed, len(did.SkippedJobs))
				}

				after := s.jobRows()
				for _, job := range did.Jobs {
					row, there := after[job.ID]
					if name == "complete" {
						if there {
							t.Errorf("job %d was completed, and is there", job.ID)
						}
					} else {
						if row == before[job.ID] {
							t.Errorf("job %d was changed, and is as before", job.ID)
						}
						check(t, "the job as printed and as it is", &job, s.job(job.ID))
					}
					delete(before, job.ID)
					delete(after, job.ID)
				}
				check(t, "the rows of the others", before, after)
			})
		}
	}
}

// seeded is a site with jobs in every state, installed by us, by us in a schema
// of another name, or by a release of the npm package.
func seeded(t testing.TB, installed string) *site {
	t.Helper()
	var s *site
	switch installed {
	case "ours":
		s = ours(t)
	case weird:
		s = siteIn(t, testdb.Ours(weird), weird)
	default:
		s = newSite(t, testdb.Upstream(t, installed, ""))
	}
	err := s.pool.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) error {
		return upstream.SeedStates(t.Context(), conn.Conn(), s.schema)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fileName is the name of a golden file, from a reason up to its first comma.
func fileName(reason string) string {
	name, _, _ := strings.Cut(reason, ",")
	return strings.ReplaceAll(name, " ", "-") + ".txt"
}

func jobIDs(jobs []admin.Job) []int64 {
	ids := []int64{}
	for _, job := range jobs {
		ids = append(ids, job.ID)
	}
	return ids
}

// Ids are arguments, or come from standard input, or both.
func TestIDs(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for _, tc := range []struct {
		reason, stdin string
		args          []string
		changed, left []int64
		code          int
	}{
		{"arguments, in any order", "", []string{"5", "1"}, []int64{1, 5}, []int64{}, exitOK},
		{"duplicates count once", "1\n5\n", []string{"1", "1", "-", "5"}, []int64{1, 5}, []int64{}, exitOK},
		{"standard input among arguments", "5\n6\n", []string{"1", "-", "2"}, []int64{1, 2, 5, 6}, []int64{}, exitOK},
		{"empty lines, blanks and carriage returns", "\n 1\r\n\n5 \r\n\t\n6", []string{"-"}, []int64{1, 5, 6}, []int64{}, exitOK},
		{"no ids on standard input", "", []string{"-"}, []int64{}, []int64{}, exitOK},
		{"standard input not asked for", "2\n", []string{"1"}, []int64{1}, []int64{}, exitOK},
		{"standard input asked for twice", "1\n", []string{"-", "-"}, []int64{1}, []int64{}, exitOK},
		{"some are held or missing", "", []string{"1", "3", "7", "99", "9223372036854775807"}, []int64{1}, []int64{3, 7, 99, 9223372036854775807}, exitSkipped},
		{"all are", "", []string{"3", "99"}, []int64{}, []int64{3, 99}, exitSkipped},
		{"a stale lock is none", "", []string{"4"}, []int64{4}, []int64{}, exitOK},
		{"zeros before it", "", []string{"0001"}, []int64{1}, []int64{}, exitOK},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			s := &site{TB: t, pool: s.pool, url: s.url, schema: s.schema}
			got := s.piped(tc.stdin, append([]string{"jobs", "retry", "-o", "json", "--dry-run"}, tc.args...)...)
			checkCode(t, tc.code, got)
			looked := parse[admin.ChangeResult](t, got)
			left := []int64{}
			for _, skip := range looked.SkippedJobs {
				left = append(left, skip.ID)
			}
			check(t, "changed", tc.changed, jobIDs(looked.Jobs))
			check(t, "left alone", tc.left, left)
		})
	}
}

// reschedule sets the values that are given, and no others.
func TestReschedule(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		args   []string
		set    func(*admin.Job)
	}{
		{"attempts, to zero", []string{"--attempts", "0"}, func(j *admin.Job) { j.Attempts = 0 }},
		{"attempts, beyond the most", []string{"--attempts=32767"}, func(j *admin.Job) { j.Attempts = 32767 }},
		{"priority, to zero", []string{"--priority", "0"}, func(j *admin.Job) { j.Priority = 0 }},
		{"priority, below zero", []string{"--priority", "-32768"}, func(j *admin.Job) { j.Priority = -32768 }},
		{"max attempts", []string{"--max-attempts", "1"}, func(j *admin.Job) { j.MaxAttempts = 1 }},
		{"now", []string{"--run-at", "now"}, func(j *admin.Job) { j.RunAt = *admin.At(time.Now().UTC()) }},
		{"in five minutes", []string{"--run-at", "+5m"}, func(j *admin.Job) { j.RunAt = *admin.At(time.Now().UTC().Add(5 * time.Minute)) }},
		{"in an hour and a half", []string{"--run-at", "+1h30m"}, func(j *admin.Job) { j.RunAt = *admin.At(time.Now().UTC().Add(90 * time.Minute)) }},
		{"in three days", []string{"--run-at=+3d"}, func(j *admin.Job) { j.RunAt = *admin.At(time.Now().UTC().Add(72 * time.Hour)) }},
		{"RFC 3339, elsewhere", []string{"--run-at", "2100-01-02T03:04:05.678901-07:00"}, func(j *admin.Job) {
			j.RunAt = *admin.At(time.Date(2100, 1, 2, 10, 4, 5, 678901000, time.UTC))
		}},
		{"never", []string{"--run-at", "infinity"}, func(j *admin.Job) { j.RunAt = *admin.Never() }},
		{"always", []string{"--run-at", "-infinity"}, func(j *admin.Job) { _ = j.RunAt.UnmarshalText([]byte("-infinity")) }},
		{"all at once", []string{"--run-at", "infinity", "--priority", "1", "--attempts", "2", "--max-attempts", "3"}, func(j *admin.Job) {
			j.RunAt, j.Priority, j.Attempts, j.MaxAttempts = *admin.Never(), 1, 2, 3
		}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			s := fixture(t)
			want := s.job(2)
			tc.set(want)
			want.UpdatedAt = time.Now().UTC()
			got := s.run(append([]string{"jobs", "reschedule", "2", "--yes"}, tc.args...)...)
			checkCode(t, exitOK, got)
			check(t, "stderr", "1 rescheduled, 0 left alone\n", got.Stderr)
			if diff := gocmp.Diff(want, s.job(2), sameTimes); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// fail distinguishes no reason and an empty one.
func TestFailReason(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		args   []string
		want   string
	}{
		{"none", nil, "Manually marked as failed"},
		{"an empty one", []string{"--reason", ""}, ""},
		{"of two lines", []string{"--reason", "it's\n\"gone\""}, "it's\n\"gone\""},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			s := fixture(t)
			checkCode(t, exitOK, s.run(append([]string{"jobs", "fail", "1", "--yes"}, tc.args...)...))
			job := s.job(1)
			if job.LastError == nil || *job.LastError != tc.want || !job.Permafailed() {
				t.Errorf("got %q, %d of %d attempts; want %q and all of them", deref(job.LastError), job.Attempts, job.MaxAttempts, tc.want)
			}
		})
	}
}

// retry gives a permanently failed job all its attempts again.
func TestRetry(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	want := s.job(5)
	want.Attempts, want.RunAt.Time, want.UpdatedAt = 0, time.Now().UTC(), time.Now().UTC()
	checkCode(t, exitOK, s.run("jobs", "retry", "5", "--yes"))
	if diff := gocmp.Diff(want, s.job(5), sameTimes); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	t.Run("formats", func(t *testing.T) {
		t.Parallel()
		for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
			s := ours(t)
			args := []string{"jobs", "add", "send ☃", `{ "to":"<ada>", "n": 1 }`, "--queue", "mails", "--run-at", "2100-01-01T00:00:00Z", "--max-attempts", "3",
				"--key", "welcome", "--key-mode", "replace", "--priority", "-1", "--flag", "gpu", "--flag", "a,b", "-o", string(output)}
			tables := func() []int {
				return value[[]int](s, `select array[
					(select count(*) from graphile_worker._private_jobs),
					(select count(*) from graphile_worker._private_tasks),
					(select count(*) from graphile_worker._private_job_queues)]`)
			}
			dry := s.run(append(args, "--dry-run")...)
			check(t, "jobs, tasks and queues after a dry run", []int{0, 0, 0}, tables())
			// A rollback does not reset the sequence.
			s.exec(`alter sequence graphile_worker.jobs_id_seq1 restart`)
			added := s.run(append(args, "--yes")...)
			check(t, "jobs, tasks and queues after adding", []int{1, 1, 1}, tables())
			again := s.run("jobs", "add", "send ☃", "[]", "--key", "welcome", "--yes", "-o", string(output))
			check(t, "jobs, tasks and queues after adding the key again", []int{1, 1, 1}, tables())
			golden(t, fmt.Sprintf("jobs/add-%s.txt", output),
				"$ --dry-run\n"+dry.transcript()+"$ --yes\n"+added.transcript()+"$ the same key again\n"+again.transcript())
			for _, r := range []result{dry, added, again} {
				checkCode(t, exitOK, r)
			}
		}
	})
	for _, tc := range []struct {
		reason, stdin string
		args          []string
		payload       string
	}{
		{"no payload", "", nil, `{}`},
		{"standard input without being asked for", "[1]", nil, `[1]`},
		{"nothing but blanks on standard input", " \n", nil, `{}`},
		{"standard input not asked for", "[1]", []string{"2"}, `2`},
		{"as it is written", "", []string{`{"b" : 1,  "a":12345678901234567890}`}, `{"b" : 1,  "a":12345678901234567890}`},
		{"from standard input", "[1,\n2]\n", []string{"-"}, "[1,\n2]\n"},
		{"null", "", []string{"null"}, "null"},
		{"text that looks like a flag", "", []string{"--", `-1`}, "-1"},
	} {
		t.Run("payload/"+tc.reason, func(t *testing.T) {
			t.Parallel()
			s := ours(t)
			checkCode(t, exitOK, s.piped(tc.stdin, append([]string{"jobs", "add", "send", "--yes"}, tc.args...)...))
			check(t, "payload", tc.payload, value[string](s, `select payload::text from graphile_worker._private_jobs`))
		})
	}
	for mode, want := range map[string]string{"replace": "infinity", "preserve_run_at": "-infinity", "unsafe_dedupe": "-infinity"} {
		t.Run("mode/"+mode, func(t *testing.T) {
			t.Parallel()
			s := ours(t)
			checkCode(t, exitOK, s.run("jobs", "add", "send", "--key", "k", "--run-at", "-infinity", "--yes"))
			checkCode(t, exitOK, s.run("jobs", "add", "send", `"new"`, "--key", "k", "--key-mode", mode, "--run-at", "infinity", "--yes"))
			check(t, "run at", want, value[string](s, `select run_at::text from graphile_worker._private_jobs`))
			dedupe := value[string](s, `select payload::text from graphile_worker._private_jobs`) == "{}"
			check(t, "payload left as it was", mode == "unsafe_dedupe", dedupe)
		})
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	unchanged := s.unchanged()
	for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
		var text strings.Builder
		for _, args := range [][]string{{"2"}, {"--key", "key 3"}, {"6"}} {
			got := s.run(append([]string{"jobs", "show", "-o", string(output)}, args...)...)
			checkCode(t, exitOK, got)
			fmt.Fprintf(&text, "$ %s\n%s", strings.Join(args, " "), got.transcript())
			if output == formatJSON {
				job := parse[admin.ListedJob](t, got)
				is, err := admin.New(s.pool).GetJob(t.Context(), job.ID)
				if err != nil {
					t.Fatal(err)
				}
				check(t, "the job as printed and as it is", is, &job)
			}
		}
		golden(t, fmt.Sprintf("jobs/show-%s.txt", output), text.String())
	}
	unchanged()
	for _, args := range [][]string{{"77"}, {"--key", "none"}} {
		got := s.run(append([]string{"jobs", "show", "-o", "json"}, args...)...)
		checkCode(t, exitSkipped, got)
		check(t, "stdout", "", got.Stdout)
	}
}

// jobs show says why a job is in its state.
func TestShowHistory(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, tc := range []struct{ reason, set string }{
		{"ready", ""},
		{"ready, tried before", "attempts = 2, last_error = E'boom\nat line 1'"},
		{"updated by its key", "revision = 3, key = 'k', updated_at = '2024-03-02 12:00:00Z'"},
		{"updated by its key, and to run for ever", "revision = 1, key = 'k', run_at = '-infinity'"},
		{"scheduled", "run_at = '2100-01-01 00:00:00Z'"},
		{"scheduled for never", "run_at = 'infinity'"},
		{"retrying", "attempts = 3, last_error = 'boom', run_at = '2100-01-01 00:00:00Z'"},
		{"waiting", "job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'busy')"},
		{"waiting for a dead worker", "job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'lost')"},
		{"running", "attempts = 1, locked_at = now() - interval '1 minute', locked_by = 'pool-a'"},
		{"running again", "attempts = 3, last_error = 'boom', locked_at = now() - interval '1 minute', locked_by = 'pool-a'"},
		{"running, nobody knows where", "attempts = 1, locked_at = now() - interval '1 minute'"},
		{"stale", "attempts = 1, locked_at = now() - interval '5 hours', locked_by = 'pool-a'"},
		{"permafailed", "attempts = 25, last_error = E'gave\nup'"},
		{"its task is gone", "task_id = 404"},
	} {
		s := fixture(t)
		s.exec(`insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by) values ('lost', now() - interval '5 hours', null)`)
		if tc.set != "" {
			s.exec("update graphile_worker._private_jobs set " + tc.set + " where id = 1")
		}
		got := s.run("jobs", "show", "1")
		checkCode(t, exitOK, got)
		_, history, _ := strings.Cut(got.Stdout, "\n\n")
		fmt.Fprintf(&text, "# %s\n%s", tc.reason, normal(history))
	}
	golden(t, "jobs/history.txt", text.String())
}

// Without ids the verbs do not connect.
func TestNoIDs(t *testing.T) {
	t.Parallel()
	for name, verb := range idVerbs {
		got := gwadmin(t, []string{"DATABASE_URL=postgres://127.0.0.1:1/none"}, "\n", append(verb, "-", "--yes", "-o", "json")...)
		checkCode(t, exitOK, got)
		check(t, name+" said", "no ids on standard input\n", got.Stderr)
	}
}

// jobs add asks if a job has the key and would be changed, and otherwise does not.
func TestAddAsks(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for _, args := range [][]string{
		{}, {"{}"}, {"--key", "new"}, {"--key", "key 2", "--key-mode", "unsafe_dedupe"}, {"--key", "key 2", "--yes"},
	} {
		checkCode(t, exitOK, onTerminal(t, s.env(), 100, append([]string{"jobs", "add", "send"}, args...)...).wait())
	}
	checkCode(t, exitOK, s.run("jobs", "add", "send"))
	before := s.jobRows()
	for _, args := range [][]string{{"--key", "other"}, {"--key", "key 2", "--key-mode", "unsafe_dedupe"}} { // where there is no terminal, too
		checkCode(t, exitOK, s.run(append([]string{"jobs", "add", "send"}, args...)...))
	}
	check(t, "jobs that were added", len(before)+1, len(s.jobRows()))
	for _, args := range [][]string{{"--key", ""}, {"--key", "key 2", "--key-mode", "foo"}, {"--key", "key 2", "--priority", "32768"}} {
		checkCode(t, exitUsage, s.run(append([]string{"jobs", "add", "send"}, args...)...))
		checkCode(t, exitUsage, onTerminal(t, s.env(), 100, append([]string{"jobs", "add", "send"}, args...)...).wait())
	}
	for key, says := range map[string]string{
		"key 2": "the job with this key, 2, would be updated\nGo on? [y/N] ",
		"key 3": "it would lose the key and not be retried, and a new job be added\nGo on? [y/N] ",
	} {
		before := s.jobRows()
		term := onTerminal(t, s.env(), 200, "jobs", "add", "send", "--key", key)
		term.expect(says)
		term.press("n\n")
		checkCode(t, exitRefused, term.wait())
		check(t, "the jobs", before, s.jobRows())
	}
}

// jobs add says what happens to the job that has the key.
func TestAddWithKey(t *testing.T) {
	t.Parallel()
	const locked = "locked_at = '2026-11-20 09:14:30Z', locked_by = 'pool-a'"
	for _, tc := range []struct {
		reason, set, mode string
		dry, done         string
	}{
		{"free", "priority = 0", "replace",
			"the job with this key, 1, would be updated", "the job with this key, 1, was updated"},
		{"held", locked, "replace",
			"the job that had this key, 1, is locked by pool-a since 2026-11-20 09:14:30Z: it would lose the key and not be retried, and a new job be added",
			"the job that had this key, 1, is locked by pool-a since 2026-11-20 09:14:30Z: it lost the key and will not be retried, and a new job was added"},
		{"failed for good", "attempts = max_attempts", "preserve_run_at",
			"the job that had this key, 1, has failed for good: it would lose the key and not be retried, and a new job be added",
			"the job that had this key, 1, has failed for good: it lost the key and will not be retried, and a new job was added"},
		{"left, free", "priority = 0", "unsafe_dedupe",
			"the job that has this key, 1, would be left as it is", "the job that has this key, 1, was left as it is"},
		{"left, held", locked, "unsafe_dedupe",
			"the job that has this key, 1, would be left as it is: it is locked by pool-a since 2026-11-20 09:14:30Z",
			"the job that has this key, 1, was left as it is: it is locked by pool-a since 2026-11-20 09:14:30Z"},
		{"left, failed for good", "attempts = max_attempts", "unsafe_dedupe",
			"the job that has this key, 1, would be left as it is: it has failed for good",
			"the job that has this key, 1, was left as it is: it has failed for good"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			s := ours(t)
			args := []string{"jobs", "add", "send", "--key", "k", "--key-mode", tc.mode}
			check(t, "without a job", "the job would be added\n", s.run(append(args, "--dry-run")...).Stderr)
			s.exec(`alter sequence graphile_worker.jobs_id_seq1 restart`)
			check(t, "without a job", "the job was added\n", s.run(append(args, "--yes")...).Stderr)
			s.exec(`update graphile_worker._private_jobs set ` + tc.set)
			before := s.jobRows()
			check(t, "dry", tc.dry+"\n", s.run(append(args, "--dry-run")...).Stderr)
			check(t, "rows after a dry run", before, s.jobRows())
			check(t, "done", tc.done+"\n", s.run(append(args, "--yes")...).Stderr)
		})
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		args   []string
		code   int
		left   []int64
		key3   *string
	}{
		{"free", []string{"key 2"}, exitOK, []int64{1, 3, 4, 5, 6, 7}, new("key 3")},
		{"held", []string{"key 3"}, exitSkipped, []int64{1, 2, 3, 4, 5, 6, 7}, new("key 3")},
		{"detached", []string{"key 3", "--detach-locked"}, exitOK, []int64{1, 2, 3, 4, 5, 6, 7}, nil},
		{"free, with leave to detach", []string{"key 2", "--detach-locked"}, exitOK, []int64{1, 3, 4, 5, 6, 7}, new("key 3")},
		{"missing", []string{"no such"}, exitSkipped, []int64{1, 2, 3, 4, 5, 6, 7}, new("key 3")},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
				s := fixture(t)
				args := append([]string{"jobs", "remove", "-o", string(output)}, tc.args...)
				unchanged := s.unchanged()
				dry := s.run(append(args, "--dry-run")...)
				unchanged()
				done := s.run(append(args, "--yes")...)
				checkCode(t, tc.code, dry)
				checkCode(t, tc.code, done)
				check(t, "the jobs that are left", tc.left, s.ids())
				check(t, "the held job's key", tc.key3, value[*string](s, `select key from graphile_worker._private_jobs where id = 3`))
				if tc.key3 == nil {
					check(t, "the detached job's attempts", true, s.job(3).Permafailed())
				}
				fmt.Fprintf(&text, "$ %s --dry-run\n%s$ %s --yes\n%s", output, dry.transcript(), output, done.transcript())
			}
			golden(t, "jobs/remove-"+fileName(tc.reason), text.String())
		})
	}
}

// The verbs that do not take ids work on each schema.
func TestEveryInstallation(t *testing.T) {
	t.Parallel()
	for _, on := range append([]string{"ours", weird}, upstream.Versions...) {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			s := seeded(t, on)
			jobs := len(s.ids())
			added := parse[addedJob](t, s.run("jobs", "add", "new task", `{"n": 1}`, "--queue", "new queue", "--key", "new", "--yes", "-o", "json"))
			check(t, "the job as added and as it is", s.job(added.Job.ID), &added.Job)
			shown := parse[admin.Job](t, s.run("jobs", "show", "--key", "new", "-o", "json"))
			check(t, "the job as added and as shown", added.Job, shown)
			removed := parse[map[string]any](t, s.run("jobs", "remove", "new", "--yes", "-o", "json"))
			check(t, "removed", any("removed"), removed["outcome"])
			check(t, "how many jobs there are", jobs, len(s.ids()))

			checkCode(t, exitOK, s.run("workers", "unlock", "worker-lost", "--yes"))
			check(t, "locks of worker-lost", 0, value[int](s, `select count(*) from graphile_worker._private_jobs where locked_by = 'worker-lost'`))

			type counts struct{ Deleted map[string]int64 }
			const tasks = "DELETE_PERMAFAILED_JOBS,GC_TASK_IDENTIFIERS,GC_JOB_QUEUES"
			cleaned := parse[counts](t, s.run("cleanup", "--tasks", tasks, "--yes", "-o", "json"))
			for task, rows := range cleaned.Deleted {
				if rows == 0 {
					t.Errorf("%s found nothing", task)
				}
			}
			check(t, "tasks done", slices.Sorted(strings.SplitSeq(tasks, ",")), slices.Sorted(maps.Keys(cleaned.Deleted)))
			again := parse[counts](t, s.run("cleanup", "--tasks", tasks, "--yes", "-o", "json"))
			check(t, "left to clean up", counts{map[string]int64{"DELETE_PERMAFAILED_JOBS": 0, "GC_TASK_IDENTIFIERS": 0, "GC_JOB_QUEUES": 0}}, again)
		})
	}
}

// Ids of several batches, each given twice, are changed once. Without a terminal there is no
// progress.
func TestManyIDs(t *testing.T) {
	t.Parallel()
	s, ids := many(t, 12_000)
	s.exec(`update graphile_worker._private_jobs set locked_at = now(), locked_by = 'pool-a' where id = 11000`)
	for _, dry := range []bool{true, false} {
		consent, said := "--yes", "11999 completed, 1 left alone: 1 locked\n"
		if dry {
			consent, said = "--dry-run", "11999 would be completed, 1 would be left alone: 1 locked\n"
		}
		got := s.piped(ids+ids, "jobs", "complete", "-", consent, "-o", "ndjson")
		checkCode(t, exitSkipped, got)
		check(t, "stderr", said, got.Stderr)
		check(t, "lines", 12_001, strings.Count(got.Stdout, "\n"))
		check(t, "lines of changed jobs", 11_999, strings.Count(got.Stdout, `"job":{`))
	}
	check(t, "the jobs that are left", []int64{11_000}, s.ids())
}

// Ctrl-C comes while the second of three batches waits for a lock.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	const batch = idBatch
	const noted = "interrupted: ends after this batch; once more, and it ends at once\n"
	rescheduled := func(s *site) []int {
		return value[[]int](s, `select array[count(*), coalesce(max(id), 0)] from graphile_worker._private_jobs where priority = 3`)
	}
	begin := func(t *testing.T, args ...string) (*site, *process, func()) {
		s, ids := many(t, 2*batch+2000)
		release := s.holding(fmt.Sprintf(`select from graphile_worker._private_jobs where id = %d for update`, batch+1000))
		p := start(t, s.env(), strings.NewReader(ids), append([]string{"jobs", "reschedule", "-", "--priority", "3"}, args...)...)
		s.blocked()
		return s, p, release
	}
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		s, p, release := begin(t, "--yes", "-o", "json")
		p.interrupt()
		p.expect(noted)
		release()
		got := p.wait()
		checkCode(t, exitInterrupted, result{Code: got.Code, Stderr: got.Stderr})
		check(t, "stderr", noted+
			"10000 rescheduled, 0 left alone\n"+
			"gwadmin: interrupted after 10000 jobs; the others are untouched\n", got.Stderr)
		check(t, "jobs said to be rescheduled", int64(2*batch), parse[admin.ChangeResult](t, got).Changed)
		check(t, "jobs rescheduled, and the last of them", []int{2 * batch, 2 * batch}, rescheduled(s))
	})
	t.Run("once, with lines", func(t *testing.T) {
		t.Parallel()
		s, p, release := begin(t, "--yes", "-o", "ndjson")
		p.interrupt()
		p.expect(noted)
		release()
		got := p.wait()
		check(t, "exit code", exitInterrupted, got.Code)
		check(t, "lines", 2*batch+1, strings.Count(got.Stdout, "\n"))
		check(t, "jobs rescheduled, and the last of them", []int{2 * batch, 2 * batch}, rescheduled(s))
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		s, p, release := begin(t, "--yes")
		p.interrupt()
		p.expect(noted)
		p.interrupt()
		p.wait() // the batch still waits
		check(t, "how it ended", "signal: interrupt", p.cmd.ProcessState.String())
		check(t, "jobs rescheduled, and the last of them", []int{batch, batch}, rescheduled(s))
		// The server may finish the batch, but only as a whole.
		release()
		s.gone()
		if n := rescheduled(s)[0]; n%batch != 0 {
			t.Errorf("%d jobs are rescheduled: half a batch", n)
		}
	})
	t.Run("one batch", func(t *testing.T) {
		t.Parallel()
		s, ids := many(t, 10)
		release := s.holding(`select from graphile_worker._private_jobs where id = 5 for update`)
		p := start(t, s.env(), strings.NewReader(ids), "jobs", "complete", "-", "--yes")
		s.blocked()
		p.interrupt()
		p.expect(noted)
		release()
		checkCode(t, exitOK, p.wait()) // it was the only batch
		check(t, "the jobs that are left", []int64{}, s.ids())
	})
	t.Run("while reading ids", func(t *testing.T) {
		t.Parallel()
		s := fixture(t)
		unchanged := s.unchanged()
		ids, more := pipe(t)
		p := start(t, s.env(), ids, "jobs", "complete", "-", "--yes")
		// This is more than a pipe holds: when it returns, some of it has been read.
		if _, err := more.WriteString(strings.Repeat("1\n", 1<<17)); err != nil {
			t.Fatal(err)
		}
		p.interrupt()
		got := p.wait()
		checkCode(t, exitInterrupted, got)
		check(t, "stderr", "gwadmin: interrupted; nothing was changed\n", got.Stderr)
		unchanged()
	})
	t.Run("between statements", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{
			{"cleanup", "--tasks", "DELETE_PERMAFAILED_JOBS"},
			{"workers", "unlock", "pool-a", "--force"},
			{"jobs", "remove", "key 2"},
		} {
			s := fixture(t)
			unchanged := s.unchanged()
			release := s.holding(`lock table graphile_worker._private_jobs`)
			p := s.start(append(args, "--yes", "-o", "json")...)
			s.blocked()
			p.interrupt()
			got := p.wait()
			s.gone() // the lock is still held: the server has cancelled the statement
			release()
			checkCode(t, exitInterrupted, got)
			check(t, "stdout", "", got.Stdout)
			if !strings.HasPrefix(lastLine(got.Stderr), "gwadmin: interrupted: ") {
				t.Errorf("it does not say that it was interrupted: %s", got.Stderr)
			}
			unchanged()
		}
	})
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

// If the connection is lost in the second batch, the command says what was done.
func TestStopped(t *testing.T) {
	t.Parallel()
	s, ids := many(t, 2*idBatch)
	release := s.holding(fmt.Sprintf(`select from graphile_worker._private_jobs where id = %d for update`, idBatch+1))
	p := start(t, s.env(), strings.NewReader(ids), "jobs", "complete", "-", "--yes")
	s.blocked()
	s.exec(`select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where datname = current_database() and application_name = 'gwadmin'`)
	got := p.wait()
	release()
	check(t, "exit code", exitUnknown, got.Code)
	for _, said := range []string{"5000 completed, 0 left alone\n", "gwadmin: stopped after 5000 jobs; the next batch may be done, and the others are untouched: "} {
		if !strings.Contains(got.Stderr, said) {
			t.Errorf("it does not say %q, but:\n%s", said, got.Stderr)
		}
	}
	check(t, "how many jobs are left", idBatch, len(s.ids()))
}

// Roles with few rights get errors that say why.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	reader, nobody := s.role("reader"), s.role("nobody")
	checkCode(t, exitOK, s.run("migrate", "grants", "reader", reader.name, "--apply", "--yes"))
	blind := s.role("blind")
	s.exec(`grant usage on schema graphile_worker to ` + blind.name)
	s.exec(`grant select, update, delete on all tables in schema graphile_worker to ` + blind.name)
	unchanged := s.unchanged()
	var text strings.Builder
	for _, who := range []role{reader, nobody, blind} {
		for _, args := range [][]string{
			{"jobs", "show", "1", "-o", "ndjson"},
			{"jobs", "complete", "1", "--yes", "-o", "json"},
			{"jobs", "reschedule", "1", "--priority", "1", "--yes", "-o", "json"},
			{"jobs", "add", "send", "--yes", "-o", "json"},
			{"jobs", "remove", "key 2", "--yes", "-o", "json"},
			{"workers", "unlock", "pool-a", "--yes", "--force", "-o", "json"},
			{"cleanup", "--yes", "-o", "json"},
		} {
			got := gwadmin(t, []string{"DATABASE_URL=" + who.url}, "", args...)
			if who != reader || args[1] != "show" {
				checkCode(t, exitError, got)
				check(t, "stdout", "", got.Stdout)
			}
			fmt.Fprintf(&text, "$ %s: %s\n%s", who.kind, strings.Join(args[:2], " "), strings.ReplaceAll(got.transcript(), who.name, who.kind))
		}
	}
	golden(t, "roles.txt", text.String())
	unchanged()
}

// A role can connect to the site's database.
type role struct{ kind, name, url string }

func (s *site) role(kind string) role {
	s.Helper()
	name := fmt.Sprintf("gwadmin_test_%s_%d", kind, time.Now().UnixNano())
	s.exec(`create role ` + name + ` login password 'secret'`)
	s.Cleanup(func() {
		ctx := context.Background()
		_, err := s.pool.Exec(ctx, `drop owned by `+name)
		if err == nil {
			_, err = s.pool.Exec(ctx, `drop role `+name)
		}
		if err != nil {
			s.Log(err)
		}
	})
	return role{kind, name, withUser(s, s.url, name, "secret")}
}

// On a read-only database the verbs say why they fail, and dry runs work.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	unchanged := s.unchanged()
	env := s.env("PGOPTIONS=-c default_transaction_read_only=on")
	for name, verb := range idVerbs {
		got := gwadmin(t, env, "", append(verb, "1", "--yes", "-o", "json")...)
		checkCode(t, exitError, got)
		check(t, name+" printed", "", got.Stdout)
		if !strings.Contains(got.Stderr, "read-only") {
			t.Errorf("%s does not say why: %s", name, got.Stderr)
		}
		checkCode(t, exitOK, gwadmin(t, env, "", append(verb, "1", "--dry-run")...))
	}
	checkCode(t, exitOK, gwadmin(t, env, "", "jobs", "show", "1"))
	unchanged()
}
