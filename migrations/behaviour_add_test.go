package migrations_test

import (
	"strings"
	"testing"
)

// addJobs is a call with specs of identifier, payload, queue_name, run_at,
// max_attempts, job_key, priority and flags.
func addJobs(specs ...string) string { return addJobsWith("", specs...) }

// addJobsWith is the same with another argument, after a comma.
func addJobsWith(more string, specs ...string) string {
	return "select * from graphile_worker.add_jobs(array[" + strings.Join(specs, ", ") +
		"]::graphile_worker.job_spec[]" + more + ")"
}

func addJob(args string) string { return "select * from graphile_worker.add_job(" + args + ")" }

func quoted(s string, times int) string { return "'" + strings.Repeat(s, times) + "'" }

// violates is the error of a check constraint.
func violates(constraint string) string {
	table := "_private_jobs"
	switch constraint {
	case "tasks_identifier_check":
		table = "_private_tasks"
	case "job_queues_queue_name_check":
		table = "_private_job_queues"
	}
	return `23514 ` + constraint + `: new row for relation "` + table + `" violates check constraint "` + constraint + `"`
}

const (
	onlyInserted = `jobs:insert {"count":1}`
	nullTask     = `23502: null value in column "identifier" of relation "_private_tasks" violates not-null constraint`
	nullFlag     = `22023: field name must not be null`
	keyTwice     = `21000: ON CONFLICT DO UPDATE command cannot affect row a second time`
	notSmall     = `22003: smallint out of range`
	badMode      = `GWBKM: Invalid job_key_mode value, expected 'replace', 'preserve_run_at' or 'unsafe_dedupe'.`
	unicodeNul   = `22P05: unsupported Unicode escape sequence`
)

func TestBehaviourAddJobs(t *testing.T) {
	testBehaviours(t, []behaviour{{
		name:    "missing names",
		promise: "missing task identifiers and queue names are created first",
		call: addJobs(
			`('new', null, 'nq', null, null, null, null, null)`,
			`('new', null, 'nq', null, null, null, 1, null)`,
			`('t', null, 'q', null, null, null, 2, null)`,
		),
		want: outcome{
			Returned: []string{"+1", "+2", "+3"},
			Changed: []string{
				"+task identifier=new", "+queue queue_name=nq",
				"+1 queue=nq task=new", "+2 queue=nq task=new priority=1", "+3 queue=q task=t priority=2",
			},
			Notified: []string{`jobs:insert {"count":3}`},
		},
	}, {
		name:    "existing names",
		promise: "existing names consume no identity value",
		call: addJobs(
			`('t', null, 'busy', null, null, null, null, null)`,
			`('u', null, 'busy', null, null, null, null, null)`,
		),
		want: outcome{
			Returned: []string{"+1", "+2"},
			Changed:  []string{"+1 queue=busy task=t", "+2 queue=busy task=u"},
			Notified: []string{`jobs:insert {"count":2}`},
		},
	}, {
		name:    "keys of jobs that are not available",
		promise: "a job that is not available loses its key and is not retried, and a new one is inserted",
		call: addJobs(
			`('t', null, null, null, null, 'locked', 1, null)`,
			`('t', null, null, null, null, 'stale', 2, null)`,
			`('t', null, null, null, null, 'failed', 3, null)`,
			`('t', null, null, null, null, 'over', 4, null)`,
			`('t', null, null, null, null, 'lost', 5, null)`,
		),
		want: outcome{
			Returned: []string{"+1", "+2", "+3", "+4", "+5"},
			Changed: []string{
				"+1 task=t priority=1 key=locked", "+2 task=t priority=2 key=stale", "+3 task=t priority=3 key=failed",
				"+4 task=t priority=4 key=over", "+5 task=t priority=5 key=lost",
				"job 4: attempts=25 updated_at=now key=null",
				"job 5: attempts=25 updated_at=now key=null",
				"job 6: updated_at=now key=null",
				"job 7: attempts=25 updated_at=now key=null",
				"job 9: updated_at=now key=null",
			},
			Notified: []string{`jobs:insert {"count":5}`},
		},
	}, {
		name:    "preserve_run_at on a job that is not available",
		promise: "a job that is not available loses its key whatever the run_at",
		call:    addJobsWith(", true", `('t', null, null, '2030-01-01Z', null, 'locked', null, null)`),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{
				"+1 task=t run_at=2030-01-01 00:00:00+00 key=locked",
				"job 4: attempts=25 updated_at=now key=null",
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "count",
		promise: "notifies once, with the number of specs, updated jobs included",
		call: addJobs(
			`('t', null, null, null, null, null, null, null)`,
			`('t', null, null, null, null, 'forever', null, null)`,
		),
		want: outcome{
			Returned: []string{"+1", "job 8"},
			Changed:  []string{"+1 task=t", "job 8: run_at=now updated_at=now revision=1", "spent on no job: 1"},
			Notified: []string{`jobs:insert {"count":2}`},
		},
	}, {
		name:    "empty array",
		promise: "an empty array inserts nothing and returns no rows",
		call:    "select * from graphile_worker.add_jobs('{}')",
		want:    outcome{Notified: []string{"jobs:insert "}}, // which both send
	}, {
		name:    "null array",
		promise: "a null array inserts nothing and returns no rows",
		call:    "select * from graphile_worker.add_jobs(specs => null, job_key_preserve_run_at => null)",
		want:    outcome{Notified: []string{"jobs:insert "}},
	}, {
		name:    "null spec",
		promise: "null identifier 23502",
		call:    addJobs("null"),
		want:    outcome{Err: nullTask, Changed: []string{"spent on no task: 1"}},
	}, {
		name:    "nested array",
		promise: "n is the number of specs",
		call: "select * from graphile_worker.add_jobs(array[" +
			"array[('t', null, null, null, null, null, 1, null)::graphile_worker.job_spec]," +
			"array[('t', null, null, null, null, null, 2, null)::graphile_worker.job_spec]])",
		want: outcome{
			Returned: []string{"+1", "+2"},
			Changed:  []string{"+1 task=t priority=1", "+2 task=t priority=2"},
			Notified: []string{`jobs:insert {"count":2}`},
		},
	}, {
		name:    "defaults",
		promise: "payload {}, run_at now(), max_attempts 25, priority 0; a JSON null stays",
		call: addJobs(
			`('t', null, null, null, null, null, null, null)`,
			`('t', 'null', null, null, null, null, null, null)`,
		),
		want: outcome{
			Returned: []string{"+1", "+2"},
			Changed:  []string{"+1 task=t", "+2 task=t payload=null"},
			Notified: []string{`jobs:insert {"count":2}`},
		},
	}, {
		name:    "everything given",
		promise: "each value of a spec is the job's",
		call:    addJobs(`('u', '{"ä" :  1, "ä": "\u0000"}', 'idle', 'infinity', 1, 'schlüssel', -32768, '{b,a,b}')`),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{`+1 queue=idle task=u payload={"ä" :  1, "ä": "\u0000"} priority=-32768 ` +
				`run_at=infinity max_attempts=1 key=schlüssel flags={"a": true, "b": true}`},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "no flags",
		promise: "empty flags become SQL null",
		call:    addJobs(`('t', null, null, null, null, null, null, '{}')`),
		want:    outcome{Returned: []string{"+1"}, Changed: []string{"+1 task=t"}, Notified: []string{onlyInserted}},
	}, {
		name:    "odd flags",
		promise: "flags become an object, an empty name and another's quotes included",
		call:    addJobs(`('t', null, null, null, null, null, null, array[array['', 'a"b'], array['ü', ' ']])`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{`+1 task=t flags={"": true, " ": true, "ü": true, "a\"b": true}`},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "null flag",
		promise: "a null element of the flags is error 22023",
		call:    addJobs(`('t', null, null, null, null, null, null, array['a', null])`),
		want:    outcome{Err: nullFlag},
		theirs:  &outcome{Err: nullFlag, Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "update in place",
		promise: "queue, task, max_attempts, priority and flags are replaced, arrays concatenated",
		call:    addJobs(`('u', '[2, {"a":  3}]', 'new', '2030-01-01Z', 3, 'ready', -1, '{g}')`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed: []string{
				"+queue queue_name=new",
				`job 2: queue=new task=u payload=[1, 2, {"a": 3}] priority=-1 run_at=2030-01-01 00:00:00+00 max_attempts=3 ` +
					`updated_at=now revision=4 flags={"g": true}`,
				"spent on no job: 1",
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "update in place with defaults",
		promise: "what a spec leaves out is replaced by its default; attempts = 0, last_error = null",
		call: addJobs(
			`('t', null, null, null, null, 'ready', null, null)`,
			`('t', null, null, null, null, 'tried', null, null)`,
		),
		want: outcome{
			Returned: []string{"job 2", "job 3"},
			Changed: []string{
				"job 2: queue=null payload={} priority=0 run_at=now max_attempts=25 updated_at=now revision=4 flags=null",
				"job 3: payload={} run_at=now attempts=0 last_error=null updated_at=now revision=1",
				"spent on no job: 2",
			},
			Notified: []string{`jobs:insert {"count":2}`},
		},
	}, {
		name:    "payload",
		promise: "payload is replaced unless both the old and the new are arrays",
		setup:   "update graphile_worker._private_jobs set payload = 'null' where key = 'forever'",
		call: addJobs(
			`('t', '{"new": 1}', null, null, null, 'ready', null, null)`,
			`('t', '[1]', null, null, null, 'tried', null, null)`,
			`('t', '[2]', null, null, null, 'forever', null, null)`,
		),
		want: outcome{
			Returned: []string{"job 2", "job 3", "job 8"},
			Changed: []string{
				`job 2: queue=null payload={"new": 1} priority=0 run_at=now max_attempts=25 updated_at=now revision=4 flags=null`,
				"job 3: payload=[1] run_at=now attempts=0 last_error=null updated_at=now revision=1",
				"job 8: payload=[2] run_at=now updated_at=now revision=1",
				"spent on no job: 3",
			},
			Notified: []string{`jobs:insert {"count":3}`},
		},
	}, {
		name:    "payload of no array",
		promise: "a JSON null replaces an array",
		call:    addJobs(`('t', 'null', 'q', null, 10, 'ready', 5, '{f}')`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: payload=null run_at=now updated_at=now revision=4", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "payload of empty arrays",
		promise: "empty arrays concatenate, too",
		setup:   "update graphile_worker._private_jobs set payload = '[ ]' where key = 'forever'",
		call:    addJobsWith(", true", `('t', '[  ]', null, null, null, 'forever', null, null)`),
		want: outcome{
			Returned: []string{"job 8"},
			Changed:  []string{"job 8: payload=[] updated_at=now revision=1", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "null flag and priority too great for dedupe",
		promise: "the number is told of first, also where no row is written",
		call:    addJob(`'t', job_key => 'ready', priority => 40000, flags => array[null], job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "null flag and max_attempts too great for a new key",
		promise: "the number is told of first",
		call:    addJob(`'t', job_key => 'k', max_attempts => 40000, flags => array[null], job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "no task and priority too great for dedupe",
		promise: "the task is written before the number is looked at",
		call:    addJob(`null, job_key => 'k', priority => 40000, flags => array[null], job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: nullTask, Changed: []string{"spent on no task: 1"}},
	}, {
		name:    "payload that no jsonb can hold",
		promise: "payload is the concatenation where both are arrays",
		call:    addJobs(`('t', '["\u0000"]', null, null, null, 'ready', null, null)`),
		want:    outcome{Err: unicodeNul, Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "preserve_run_at",
		promise: "run_at is kept only where it is asked for and attempts = 0",
		call: addJobsWith(", job_key_preserve_run_at => true",
			`('t', '[2]', 'q', '2030-01-01Z', 10, 'ready', 5, '{f}')`,
			`('t', '{"old": true}', null, '2030-01-01Z', null, 'tried', null, null)`,
			`('t', null, null, null, null, 'forever', null, null)`,
		),
		want: outcome{
			Returned: []string{"job 2", "job 3", "job 8"},
			Changed: []string{
				"job 2: payload=[1, 2] updated_at=now revision=4",
				"job 3: run_at=2030-01-01 00:00:00+00 attempts=0 last_error=null updated_at=now revision=1",
				"job 8: updated_at=now revision=1",
				"spent on no job: 3",
			},
			Notified: []string{`jobs:insert {"count":3}`},
		},
	}, {
		name:    "preserve_run_at negative attempts",
		promise: "run_at is kept only where attempts = 0, not below",
		setup:   "update graphile_worker._private_jobs set attempts = -1 where key = 'ready'",
		call:    addJobsWith(", true", `('t', '[]', 'q', null, 10, 'ready', 5, '{f}')`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: run_at=now attempts=0 updated_at=now revision=4", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "preserve_run_at null",
		promise: "run_at is replaced where keeping it is not asked for",
		call:    addJobsWith(", null", `('t', '[]', 'q', null, 10, 'ready', 5, '{f}')`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: run_at=now updated_at=now revision=4", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "new key twice",
		promise: "the same key twice in one call: 21000",
		call: addJobs(
			`('t', null, null, null, null, 'new', null, null)`,
			`('t', null, null, null, null, 'new', null, null)`,
		),
		want: outcome{Err: keyTwice, Changed: []string{"spent on no job: 2"}},
	}, {
		name:    "known key twice",
		promise: "the same key twice in one call: 21000",
		call: addJobs(
			`('t', null, null, null, null, 'locked', null, null)`,
			`('u', null, null, null, null, 'locked', null, null)`,
		),
		want: outcome{Err: keyTwice, Changed: []string{"spent on no job: 2"}},
	}, {
		name:    "null identifier",
		promise: "null identifier 23502, and nothing of the others is added",
		call: addJobs(
			`('t', null, null, null, null, null, null, null)`,
			`(null, null, null, null, null, null, null, null)`,
		),
		want: outcome{Err: nullTask, Changed: []string{"spent on no task: 1"}},
	}, {
		name:    "longest names",
		promise: "128 characters of an identifier and a queue name, and 512 of a key, are accepted",
		call: addJobs("(" + quoted("ü", 128) + ", null, " + quoted("😀", 128) + ", null, null, " +
			quoted("ß", 512) + ", null, null)"),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{
				"+task identifier=" + strings.Repeat("ü", 128), "+queue queue_name=" + strings.Repeat("😀", 128),
				"+1 queue=" + strings.Repeat("😀", 128) + " task=" + strings.Repeat("ü", 128) + " key=" + strings.Repeat("ß", 512),
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "empty names",
		promise: "an empty identifier and an empty queue name are accepted",
		call:    addJobs(`('', null, '', null, null, null, null, null)`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+task identifier=", "+queue queue_name=", "+1 queue= task="},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "long identifier",
		promise: "an identifier over 128 characters 23514",
		call:    addJobs("(" + quoted("x", 129) + ", null, null, null, null, null, null, null)"),
		want:    outcome{Err: violates("tasks_identifier_check"), Changed: []string{"spent on no task: 1"}},
	}, {
		name:    "long queue name",
		promise: "a queue name over 128 characters 23514",
		call:    addJobs("('t', null, " + quoted("ü", 129) + ", null, null, null, null, null)"),
		want:    outcome{Err: violates("job_queues_queue_name_check"), Changed: []string{"spent on no queue: 1"}},
	}, {
		name:    "long key",
		promise: "a key over 512 characters 23514",
		call:    addJobs("('t', null, null, null, null, " + quoted("x", 513) + ", null, null)"),
		want:    outcome{Err: violates("jobs_key_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "empty key",
		promise: "an empty key 23514",
		call:    addJobs(`('t', null, null, null, null, '', null, null)`),
		want:    outcome{Err: violates("jobs_key_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "no attempts",
		promise: "max_attempts < 1 23514",
		call:    addJobs(`('t', null, null, null, 0, null, null, null)`),
		want:    outcome{Err: violates("jobs_max_attempts_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "no attempts for a known key",
		promise: "max_attempts < 1 23514",
		call:    addJobs(`('t', null, null, null, -1, 'ready', null, null)`),
		want:    outcome{Err: violates("jobs_max_attempts_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "spaces and case",
		promise: "keys and names are compared as they are",
		call:    addJobs(`('T', null, 'Q', null, null, 'Ready', null, null)`, `(' t', null, 'q ', null, null, ' ready', null, null)`),
		want: outcome{
			Returned: []string{"+1", "+2"},
			Changed: []string{
				"+task identifier= t", "+task identifier=T", "+queue queue_name=Q", "+queue queue_name=q ",
				"+1 queue=Q task=T key=Ready", "+2 queue=q  task= t key= ready",
			},
			Notified: []string{`jobs:insert {"count":2}`},
		},
	}})
}

func repeated(times int, s string) []string {
	all := make([]string, times)
	for i := range all {
		all[i] = s
	}
	return all
}

func TestBehaviourAddJob(t *testing.T) {
	testBehaviours(t, []behaviour{{
		name:    "defaults",
		promise: "behaves as add_jobs does with one spec",
		call:    addJob(`'t'`),
		want:    outcome{Returned: []string{"+1"}, Changed: []string{"+1 task=t"}, Notified: []string{onlyInserted}},
	}, {
		name:    "missing names",
		promise: "missing task identifiers and queue names are created first",
		call:    addJob(`'new', queue_name => 'nq'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+task identifier=new", "+queue queue_name=nq", "+1 queue=nq task=new"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "existing names",
		promise: "existing names consume no identity value; a key keeps one job",
		call:    addJob(`'t', queue_name => 'busy', job_key => 'again'`),
		times:   12,
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 queue=busy task=t created_at=earlier key=again revision=11", "spent on no job: 11"},
			Notified: repeated(12, onlyInserted),
		},
	}, {
		name:    "many in one statement",
		promise: "each call notifies; those of one transaction differ by r",
		call:    `select pg_catalog.count(graphile_worker.add_job('t')) from pg_catalog.generate_series(1, 3)`,
		want: outcome{
			Returned: []string{`"3"`},
			Changed:  []string{"+1 task=t", "+2 task=t", "+3 task=t"},
			Notified: repeated(3, onlyInserted),
		},
	}, {
		name:    "everything given",
		promise: "each argument is the job's",
		call: addJob(`identifier => 'u', payload => '{"a" :  "😀"}', queue_name => 'idle', run_at => '-infinity',
			max_attempts => 32767, job_key => 'schlüssel', priority => -32768, flags => '{b,a,b}', job_key_mode => 'replace'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{`+1 queue=idle task=u payload={"a" :  "😀"} priority=-32768 ` +
				`run_at=-infinity max_attempts=32767 key=schlüssel flags={"a": true, "b": true}`},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "by position",
		promise: "add_job(identifier, payload, queue_name, run_at, max_attempts, job_key, priority, flags, job_key_mode)",
		call:    addJob(`'t', 'null', 'q', '2030-01-01Z', 1, 'k', 0, '{}', null`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 queue=q task=t payload=null run_at=2030-01-01 00:00:00+00 max_attempts=1 key=k"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "replace",
		promise: "replace behaves as add_jobs does with one spec",
		call: addJob(`'u', '[2]', queue_name => 'idle', run_at => '2030-01-01Z', max_attempts => 3, job_key => 'ready',
			priority => -1, flags => '{g}', job_key_mode => 'replace'`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed: []string{
				`job 2: queue=idle task=u payload=[1, 2] priority=-1 run_at=2030-01-01 00:00:00+00 max_attempts=3 ` +
					`updated_at=now revision=4 flags={"g": true}`,
				"spent on no job: 1",
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "replace with defaults",
		promise: "replace behaves as add_jobs does with one spec",
		call:    addJob(`'t', job_key => 'tried'`),
		want: outcome{
			Returned: []string{"job 3"},
			Changed: []string{
				"job 3: payload={} run_at=now attempts=0 last_error=null updated_at=now revision=1", "spent on no job: 1",
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "null mode",
		promise: "replace also when the mode is null",
		call:    addJob(`'t', '[]', 'q', null, 10, 'ready', 5, '{f}', null`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: run_at=now updated_at=now revision=4", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "preserve_run_at",
		promise: "preserve_run_at keeps run_at where attempts = 0",
		call:    addJob(`'t', '[2]', 'q', '2030-01-01Z', 10, 'ready', 5, '{f}', 'preserve_run_at'`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: payload=[1, 2] updated_at=now revision=4", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "preserve_run_at on infinity",
		promise: "preserve_run_at keeps run_at where attempts = 0",
		call:    addJob(`'t', run_at => '2030-01-01Z', job_key => 'forever', job_key_mode => 'preserve_run_at'`),
		want: outcome{
			Returned: []string{"job 8"},
			Changed:  []string{"job 8: updated_at=now revision=1", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "preserve_run_at after an attempt",
		promise: "preserve_run_at replaces run_at where attempts > 0",
		call:    addJob(`'t', run_at => '2030-01-01Z', job_key => 'tried', job_key_mode => 'preserve_run_at'`),
		want: outcome{
			Returned: []string{"job 3"},
			Changed: []string{
				"job 3: payload={} run_at=2030-01-01 00:00:00+00 attempts=0 last_error=null updated_at=now revision=1",
				"spent on no job: 1",
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "preserve_run_at with negative attempts",
		promise: "preserve_run_at keeps run_at where attempts = 0, not below",
		setup:   "update graphile_worker._private_jobs set attempts = -1 where key = 'ready'",
		call:    addJob(`'t', '[]', 'q', null, 10, 'ready', 5, '{f}', 'preserve_run_at'`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: run_at=now attempts=0 updated_at=now revision=4", "spent on no job: 1"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "preserve_run_at on no job",
		promise: "a new job has the run_at that is given",
		call:    addJob(`'t', run_at => '2030-01-01Z', job_key => 'new', job_key_mode => 'preserve_run_at'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 task=t run_at=2030-01-01 00:00:00+00 key=new"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "locked",
		promise: "a locked job loses its key and is not retried, and a new one is inserted",
		call:    addJob(`'t', '[9]', job_key => 'locked'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 task=t payload=[9] key=locked", "job 4: attempts=25 updated_at=now key=null"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "stale lock",
		promise: "so does one whose lock is stale",
		call:    addJob(`'t', job_key => 'stale', job_key_mode => 'preserve_run_at'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 task=t key=stale", "job 5: attempts=25 updated_at=now key=null"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "permafailed",
		promise: "so does a permafailed one, whose attempts are then max_attempts",
		call:    addJob(`'t', job_key => 'over'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 task=t key=over", "job 7: attempts=25 updated_at=now key=null"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "dedupe new",
		promise: "unsafe_dedupe: a new job has revision 0 and sends the notification, count 1",
		call:    addJob(`'new', '[1]', 'nq', '2030-01-01Z', 3, 'new', 4, '{f}', 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{
				"+task identifier=new", "+queue queue_name=nq",
				`+1 queue=nq task=new payload=[1] priority=4 run_at=2030-01-01 00:00:00+00 max_attempts=3 key=new flags={"f": true}`,
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "dedupe new with defaults",
		promise: "unsafe_dedupe: a new job has the defaults of any",
		call:    addJob(`'t', job_key => 'new', flags => '{}', job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Returned: []string{"+1"}, Changed: []string{"+1 task=t key=new"}, Notified: []string{onlyInserted}},
	}, {
		name:    "dedupe available",
		promise: "unsafe_dedupe: a job with the key is kept but for revision and updated_at, and nobody is notified",
		call:    addJob(`'u', '[2]', 'idle', '2030-01-01Z', 3, 'ready', 4, '{g}', 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: updated_at=now revision=4", "spent on no job: 1"},
		},
	}, {
		name:    "dedupe locked",
		promise: "unsafe_dedupe: even a locked job is kept",
		call:    addJob(`'u', job_key => 'locked', job_key_mode => 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"job 4"},
			Changed:  []string{"job 4: updated_at=now revision=1", "spent on no job: 1"},
		},
	}, {
		name:    "dedupe stale lock",
		promise: "unsafe_dedupe: even a locked job is kept",
		call:    addJob(`'u', job_key => 'stale', job_key_mode => 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"job 5"},
			Changed:  []string{"job 5: updated_at=now revision=1", "spent on no job: 1"},
		},
	}, {
		name:    "dedupe permafailed",
		promise: "unsafe_dedupe: even a permafailed job is kept, its names created all the same",
		call:    addJob(`'new', queue_name => 'nq', job_key => 'over', job_key_mode => 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"job 7"},
			Changed: []string{
				"+task identifier=new", "+queue queue_name=nq", "job 7: updated_at=now revision=1", "spent on no job: 1",
			},
		},
	}, {
		name:    "dedupe again and again",
		promise: "unsafe_dedupe: only the new job sends the notification",
		call:    addJob(`'t', job_key => 'new', job_key_mode => 'unsafe_dedupe'`),
		times:   12,
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 task=t run_at=earlier created_at=earlier key=new revision=11", "spent on no job: 11"},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "dedupe without a key",
		promise: "with a null key any mode is accepted",
		call:    addJob(`'t', job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Returned: []string{"+1"}, Changed: []string{"+1 task=t"}, Notified: []string{onlyInserted}},
	}, {
		name:    "invalid mode without a key",
		promise: "with a null key any mode is accepted, even an invalid one",
		call:    addJob(`'t', job_key_mode => 'nonsense'`),
		want:    outcome{Returned: []string{"+1"}, Changed: []string{"+1 task=t"}, Notified: []string{onlyInserted}},
	}, {
		name:    "invalid mode with a key",
		promise: "another mode with a key: GWBKM with this very message",
		call:    addJob(`'new', job_key => 'new', job_key_mode => 'nonsense'`),
		want:    outcome{Err: badMode},
	}, {
		name:    "empty mode with a key",
		promise: "another mode with a key: GWBKM",
		call:    addJob(`'t', job_key => 'ready', job_key_mode => ''`),
		want:    outcome{Err: badMode},
	}, {
		name:    "mode in capitals with a key",
		promise: "another mode with a key: GWBKM",
		call:    addJob(`'t', job_key => 'ready', job_key_mode => 'REPLACE'`),
		want:    outcome{Err: badMode},
	}, {
		name:    "invalid mode with an invalid key",
		promise: "the mode is looked at before anything else",
		call:    addJob(`null, job_key => '', priority => 40000, job_key_mode => 'nonsense'`),
		want:    outcome{Err: badMode},
	}, {
		name:    "priority too great",
		promise: "priority outside smallint: 22003",
		call:    addJob(`'t', priority => 32768`),
		times:   12,
		want:    outcome{Err: notSmall},
	}, {
		name:    "priority too small",
		promise: "priority outside smallint: 22003",
		call:    addJob(`'t', priority => -32769`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "max_attempts too great",
		promise: "max_attempts outside smallint: 22003",
		call:    addJob(`'t', max_attempts => 32768`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "max_attempts far too small",
		promise: "max_attempts outside smallint: 22003, not 23514",
		call:    addJob(`'t', max_attempts => -40000`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "priority too great for a known key",
		promise: "priority outside smallint: 22003",
		call:    addJob(`'t', job_key => 'locked', priority => 32768`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "priority too great for dedupe",
		promise: "priority outside smallint: 22003",
		call:    addJob(`'t', job_key => 'locked', priority => 32768, job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "priority too great for a new task",
		promise: "priority outside smallint: 22003",
		call:    addJob(`'new', queue_name => 'nq', priority => 32768`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "priority too great for dedupe of a new task",
		promise: "priority outside smallint: 22003",
		call:    addJob(`'new', queue_name => 'nq', job_key => 'k', priority => 32768, job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: notSmall, Changed: []string{"spent on no task: 1", "spent on no queue: 1"}},
	}, {
		name:    "priority too great for no task",
		promise: "priority outside smallint: 22003; null identifier 23502",
		call:    addJob(`null, priority => 32768`),
		want:    outcome{Err: notSmall},
	}, {
		name:    "no attempts",
		promise: "max_attempts < 1 23514",
		call:    addJob(`'t', max_attempts => 0`),
		want:    outcome{Err: violates("jobs_max_attempts_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "no attempts for dedupe",
		promise: "max_attempts < 1 23514",
		call:    addJob(`'t', max_attempts => 0, job_key => 'ready', job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: violates("jobs_max_attempts_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "null identifier",
		promise: "null identifier 23502",
		call:    addJob(`null`),
		want:    outcome{Err: nullTask, Changed: []string{"spent on no task: 1"}},
	}, {
		name:    "null identifier for dedupe",
		promise: "null identifier 23502",
		call:    addJob(`null, job_key => 'ready', job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: nullTask, Changed: []string{"spent on no task: 1"}},
	}, {
		name:    "empty names",
		promise: "an empty identifier and an empty queue name are accepted",
		call:    addJob(`'', queue_name => ''`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+task identifier=", "+queue queue_name=", "+1 queue= task="},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "longest names",
		promise: "128 characters of an identifier and a queue name, and 512 of a key, are accepted",
		call:    addJob(quoted("ü", 128) + ", queue_name => " + quoted("q", 128) + ", job_key => " + quoted("k", 512)),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{
				"+task identifier=" + strings.Repeat("ü", 128), "+queue queue_name=" + strings.Repeat("q", 128),
				"+1 queue=" + strings.Repeat("q", 128) + " task=" + strings.Repeat("ü", 128) + " key=" + strings.Repeat("k", 512),
			},
			Notified: []string{onlyInserted},
		},
	}, {
		name:    "long identifier",
		promise: "an identifier over 128 characters 23514",
		call:    addJob(quoted("x", 129)),
		want:    outcome{Err: violates("tasks_identifier_check"), Changed: []string{"spent on no task: 1"}},
	}, {
		name:    "long queue name",
		promise: "a queue name over 128 characters 23514",
		call:    addJob(`'t', queue_name => ` + quoted("x", 129)),
		want:    outcome{Err: violates("job_queues_queue_name_check"), Changed: []string{"spent on no queue: 1"}},
	}, {
		name:    "long key",
		promise: "a key over 512 characters 23514",
		call:    addJob(`'t', job_key => ` + quoted("x", 513)),
		want:    outcome{Err: violates("jobs_key_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "long key for dedupe",
		promise: "a key over 512 characters 23514",
		call:    addJob(`'t', job_key_mode => 'unsafe_dedupe', job_key => ` + quoted("x", 513)),
		want:    outcome{Err: violates("jobs_key_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "empty key",
		promise: "an empty key 23514",
		call:    addJob(`'t', job_key => ''`),
		want:    outcome{Err: violates("jobs_key_check"), Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "null flag",
		promise: "a null element of the flags is error 22023",
		call:    addJob(`'t', flags => array[null]`),
		want:    outcome{Err: nullFlag},
		theirs:  &outcome{Err: nullFlag, Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "null flag for dedupe",
		promise: "a null element of the flags is error 22023",
		call:    addJob(`'t', flags => array['a', null], job_key => 'ready', job_key_mode => 'unsafe_dedupe'`),
		want:    outcome{Err: nullFlag},
		theirs:  &outcome{Err: nullFlag, Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "payload that no jsonb can hold",
		promise: "payload is the concatenation where both are arrays",
		call:    addJob(`'t', '["\u0000"]', job_key => 'ready'`),
		want:    outcome{Err: unicodeNul, Changed: []string{"spent on no job: 1"}},
	}, {
		name:    "rolled back",
		promise: "the notification is part of the transaction",
		call:    addJob(`'t'`) + "; select 1 / 0",
		want:    outcome{Err: "22012: division by zero", Changed: []string{"spent on no job: 1"}},
	}})
}
