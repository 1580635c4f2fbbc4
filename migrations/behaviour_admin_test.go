package migrations_test

import "testing"

const oneRemoved = `jobs:insert {"count":-1}`

func TestBehaviourRemoveJob(t *testing.T) {
	call := func(key string) string { return "select * from graphile_worker.remove_job(" + key + ")" }
	gone := func(id string) outcome {
		return outcome{Returned: []string{"job " + id + " as it was"}, Changed: []string{"-job " + id}, Notified: []string{oneRemoved}}
	}
	testBehaviours(t, []behaviour{{
		name:    "available",
		promise: "deletes the unlocked job, notifies with count -1 and returns it",
		call:    call("'ready'"),
		want:    gone("2"),
	}, {
		name:    "failed before",
		promise: "deletes the unlocked job with that key",
		call:    call("job_key => 'tried'"),
		want:    gone("3"),
	}, {
		name:    "permafailed",
		promise: "deletes the unlocked job with that key, permafailed or not",
		call:    call("'over'"),
		want:    gone("7"),
	}, {
		name:    "run_at infinity",
		promise: "deletes the unlocked job with that key",
		call:    call("'forever'"),
		want:    gone("8"),
	}, {
		name:    "stale lock",
		promise: "a job with a stale lock is deleted; its queue is left as it is",
		call:    call("'stale'"),
		want:    gone("5"),
	}, {
		name:    "stale lock on a permafailed job",
		promise: "a job with a stale lock is deleted",
		call:    call("'lost'"),
		want:    gone("9"),
	}, {
		name:    "locked",
		promise: "a locked job instead gets key = null, attempts = max_attempts and is returned, its key null",
		call:    call("'locked'"),
		want: outcome{
			Returned: []string{"job 4"},
			Changed:  []string{"job 4: attempts=25 updated_at=now key=null"},
		},
	}, {
		name:    "locked for just 4 hours",
		promise: "a lock is stale when it is older than 4 hours",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours' where id = 4;" +
			call("'locked'"),
		want: outcome{
			Returned: []string{"job 4"},
			Changed:  []string{"job 4: attempts=25 updated_at=now key=null locked_at=now-4h0m0s"},
		},
	}, {
		name:    "locked for a microsecond more",
		promise: "a lock is stale when it is older than 4 hours",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours 0.000001' where id = 4;" +
			call("'locked'"),
		want: outcome{
			Returned: []string{"job 4 queue=busy task=t run_at=same attempts=1 created_at=same updated_at=same " +
				"key=locked locked_at=now-4h0m0.000001s locked_by=w1 is_available=f"},
			Changed:  []string{"-job 4"},
			Notified: []string{oneRemoved},
		},
	}, {
		name:    "removed twice",
		promise: "no such key: one row of nulls",
		call:    call("'ready'") + ";" + call("'ready'"),
		want:    outcome{Returned: []string{"null"}, Changed: []string{"-job 2"}, Notified: []string{oneRemoved}},
	}, {
		name:    "no such key",
		promise: "no such key: one row of nulls, and nobody is notified",
		call:    call("'nothing'"),
		times:   12,
		want:    outcome{Returned: []string{"null"}},
	}, {
		name:    "empty key",
		promise: "no such key: one row of nulls",
		call:    call("''"),
		want:    outcome{Returned: []string{"null"}},
	}, {
		name:    "null key",
		promise: "strict: a null key is not looked for, that of a job without one least of all",
		call:    call("null"),
		want:    outcome{Returned: []string{"null"}},
	}, {
		name:    "no such key as a value",
		promise: "no such key: one row of nulls, and no null, where it is a value",
		call:    "select removed is null, removed::text from (select graphile_worker.remove_job('nothing') as removed) as r",
		want:    outcome{Returned: []string{`"t" "(,,,,,,,,,,,,,,,,)"`}},
	}, {
		name:    "null key as a value",
		promise: "strict: null",
		call:    "select removed is null, removed::text from (select graphile_worker.remove_job(null) as removed) as r",
		want:    outcome{Returned: []string{`"t" "null"`}},
	}, {
		name:    "several",
		promise: "one job for each call",
		call:    "select key, (graphile_worker.remove_job(key)).id from pg_catalog.unnest(array['ready', 'tried', 'x']) as keys (key)",
		want: outcome{
			Returned: []string{`"ready" "2"`, `"tried" "3"`, `"x" "null"`},
			Changed:  []string{"-job 2", "-job 3"},
			Notified: []string{oneRemoved, oneRemoved},
		},
	}})
}

func TestBehaviourCompleteJobs(t *testing.T) {
	call := func(ids string) string { return "select * from graphile_worker.complete_jobs(" + ids + ")" }
	testBehaviours(t, []behaviour{{
		name:    "in every state",
		promise: "deletes the unlocked ones among the ids and returns them; a stale-locked job's queue is left",
		call:    call("array[1, 2, 3, 4, 5, 6, 7, 8, 9]"),
		want: outcome{
			Returned: []string{
				"job 1 as it was", "job 2 as it was", "job 3 as it was", "job 5 as it was",
				"job 6 as it was", "job 7 as it was", "job 8 as it was", "job 9 as it was",
			},
			Changed: []string{"-job 1", "-job 2", "-job 3", "-job 5", "-job 6", "-job 7", "-job 8", "-job 9"},
		},
	}, {
		name:    "odd ids",
		promise: "unknown ids, nulls and duplicates among the ids: no error",
		call:    call("job_ids => array[[2, 2, null], [99, -1, 0], [9223372036854775807, 2, 4]]"),
		want:    outcome{Returned: []string{"job 2 as it was"}, Changed: []string{"-job 2"}},
	}, {
		name:    "empty array",
		promise: "an empty array: no error",
		call:    call("'{}'"),
		times:   12,
		want:    outcome{},
	}, {
		name:    "null array",
		promise: "a null array: no error",
		call:    call("null"),
		times:   12,
		want:    outcome{},
	}, {
		name:    "locked for just 4 hours",
		promise: "a lock is stale when it is older than 4 hours",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours' where id = 4;" +
			call("array[4]"),
		want: outcome{Changed: []string{"job 4: locked_at=now-4h0m0s"}},
	}, {
		name:    "locked for a microsecond more",
		promise: "a lock is stale when it is older than 4 hours",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours 0.000001' where id = 4;" +
			call("array[4]"),
		want: outcome{
			Returned: []string{"job 4 queue=busy task=t run_at=same attempts=1 created_at=same updated_at=same " +
				"key=locked locked_at=now-4h0m0.000001s locked_by=w1 is_available=f"},
			Changed: []string{"-job 4"},
		},
	}, {
		name:    "locked forever",
		promise: "a job is locked while locked_at is set",
		setup:   "update graphile_worker._private_jobs set locked_at = 'infinity' where id = 1",
		call:    call("array[1]"),
		want:    outcome{},
	}, {
		name:    "locked since ever",
		promise: "a lock is stale when it is older than 4 hours",
		setup:   "update graphile_worker._private_jobs set locked_at = '-infinity' where id = 1",
		call:    call("array[1]"),
		want:    outcome{Returned: []string{"job 1 as it was"}, Changed: []string{"-job 1"}},
	}, {
		name:    "locked by nobody",
		promise: "a job is locked while locked_at is set, and no longer",
		setup: "update graphile_worker._private_jobs set locked_by = null where id = 4;" +
			"update graphile_worker._private_jobs set locked_by = 'w1' where id = 1",
		call: call("array[1, 4]"),
		want: outcome{Returned: []string{"job 1 as it was"}, Changed: []string{"-job 1"}},
	}, {
		name:    "some of the rows read",
		promise: "deletes the unlocked ones among the ids, however many of them are read",
		call:    "select jobs is null from (select graphile_worker.complete_jobs(array[1, 2, 3])) as jobs limit 1",
		want:    outcome{Returned: []string{`"f"`}, Changed: []string{"-job 1", "-job 2", "-job 3"}},
	}})
}

func TestBehaviourFailJobs(t *testing.T) {
	call := func(args string) string {
		return "select * from graphile_worker.permanently_fail_jobs(" + args + ")"
	}
	testBehaviours(t, []behaviour{{
		name:    "in every state",
		promise: "the unlocked: last_error, attempts = max_attempts, updated_at = now(); a stale lock is left",
		call:    call("array[1, 2, 3, 4, 5, 6, 7, 8, 9], 'grund'"),
		want: outcome{
			Returned: []string{"job 1", "job 2", "job 3", "job 5", "job 6", "job 7", "job 8", "job 9"},
			Changed: []string{
				"job 1: attempts=25 last_error=grund updated_at=now is_available=f",
				"job 2: attempts=10 last_error=grund updated_at=now is_available=f",
				"job 3: attempts=25 last_error=grund updated_at=now is_available=f",
				"job 5: attempts=25 last_error=grund updated_at=now",
				"job 6: last_error=grund updated_at=now",
				"job 7: attempts=25 last_error=grund updated_at=now",
				"job 8: attempts=25 last_error=grund updated_at=now is_available=f",
				"job 9: last_error=grund updated_at=now",
			},
		},
	}, {
		name:    "no message",
		promise: "last_error = Manually marked as failed",
		call:    call("job_ids => array[1]"),
		want: outcome{
			Returned: []string{"job 1"},
			Changed:  []string{"job 1: attempts=25 last_error=Manually marked as failed updated_at=now is_available=f"},
		},
	}, {
		name:    "null message",
		promise: "last_error = the message or, when null, Manually marked as failed",
		call:    call("array[3], error_message => null"),
		want: outcome{
			Returned: []string{"job 3"},
			Changed:  []string{"job 3: attempts=25 last_error=Manually marked as failed updated_at=now is_available=f"},
		},
	}, {
		name:    "empty message",
		promise: "an empty string stays empty",
		call:    call("array[3], ''"),
		want: outcome{
			Returned: []string{"job 3"},
			Changed:  []string{"job 3: attempts=25 last_error= updated_at=now is_available=f"},
		},
	}, {
		name:    "long message",
		promise: "last_error = the message",
		call:    call("array[1], '" + `😀\n"''` + "'"),
		want: outcome{
			Returned: []string{"job 1"},
			Changed:  []string{`job 1: attempts=25 last_error=😀\n"' updated_at=now is_available=f`},
		},
	}, {
		name:    "odd ids",
		promise: "unknown ids, nulls and duplicates among the ids: no error",
		call:    call("array[1, 1, null, 99, -1, 4], 'x'"),
		want: outcome{
			Returned: []string{"job 1"},
			Changed:  []string{"job 1: attempts=25 last_error=x updated_at=now is_available=f"},
		},
	}, {
		name:    "empty array",
		promise: "an empty array: no error",
		call:    call("'{}', 'x'"),
		want:    outcome{},
	}, {
		name:    "null array",
		promise: "a null array: no error",
		call:    call("null, null"),
		want:    outcome{},
	}, {
		name:    "locked for just 4 hours",
		promise: "a lock is stale when it is older than 4 hours",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours' where id = 4;" +
			call("array[4]"),
		want: outcome{Changed: []string{"job 4: locked_at=now-4h0m0s"}},
	}, {
		name:    "locked for a microsecond more",
		promise: "a stale lock is left on the row",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours 0.000001' where id = 4;" +
			call("array[4], 'x'"),
		want: outcome{
			Returned: []string{"job 4"},
			Changed:  []string{"job 4: attempts=25 last_error=x updated_at=now locked_at=now-4h0m0.000001s"},
		},
	}})
}

func TestBehaviourRescheduleJobs(t *testing.T) {
	call := func(args string) string { return "select * from graphile_worker.reschedule_jobs(" + args + ")" }
	testBehaviours(t, []behaviour{{
		name:    "nothing given",
		promise: "each null leaves its column; updated_at = now(); last_error and locks are left",
		call:    call("job_ids => array[1, 2, 3, 4, 5, 6, 7, 8, 9]"),
		want: outcome{
			Returned: []string{"job 1", "job 2", "job 3", "job 5", "job 6", "job 7", "job 8", "job 9"},
			Changed: []string{
				"job 1: updated_at=now", "job 2: updated_at=now", "job 3: updated_at=now", "job 5: updated_at=now",
				"job 6: updated_at=now", "job 7: updated_at=now", "job 8: updated_at=now", "job 9: updated_at=now",
			},
		},
	}, {
		name:    "everything given",
		promise: "each given value is set; last_error and locks are left",
		call:    call("array[2, 3, 4, 5, 6], '2030-01-01Z', 7, 2, 3"),
		want: outcome{
			Returned: []string{"job 2", "job 3", "job 5", "job 6"},
			Changed: []string{
				"job 2: priority=7 run_at=2030-01-01 00:00:00+00 attempts=2 max_attempts=3 updated_at=now",
				"job 3: priority=7 run_at=2030-01-01 00:00:00+00 attempts=2 max_attempts=3 updated_at=now",
				"job 5: priority=7 run_at=2030-01-01 00:00:00+00 attempts=2 max_attempts=3 updated_at=now",
				"job 6: priority=7 run_at=2030-01-01 00:00:00+00 attempts=2 max_attempts=3 updated_at=now is_available=t",
			},
		},
	}, {
		name:    "run_at alone",
		promise: "each null leaves its column",
		call:    call("array[2], run_at => '2030-01-01Z'"),
		want:    outcome{Returned: []string{"job 2"}, Changed: []string{"job 2: run_at=2030-01-01 00:00:00+00 updated_at=now"}},
	}, {
		name:    "priority alone",
		promise: "each null leaves its column",
		call:    call("array[2], priority => -32768"),
		want:    outcome{Returned: []string{"job 2"}, Changed: []string{"job 2: priority=-32768 updated_at=now"}},
	}, {
		name:    "attempts alone",
		promise: "each null leaves its column",
		call:    call("array[3], attempts => 24"),
		want:    outcome{Returned: []string{"job 3"}, Changed: []string{"job 3: attempts=24 updated_at=now"}},
	}, {
		name:    "max_attempts alone",
		promise: "each null leaves its column",
		call:    call("array[6], max_attempts => 32767"),
		want: outcome{
			Returned: []string{"job 6"},
			Changed:  []string{"job 6: max_attempts=32767 updated_at=now is_available=t"},
		},
	}, {
		name:    "zeros",
		promise: "zero is a value: attempts 0 and priority 0 are set",
		setup:   "update graphile_worker._private_jobs set priority = 5",
		call:    call("array[3, 6], priority => 0, attempts => 0"),
		want: outcome{
			Returned: []string{"job 3", "job 6"},
			Changed: []string{
				"job 3: priority=0 attempts=0 updated_at=now",
				"job 6: priority=0 attempts=0 updated_at=now is_available=t",
			},
		},
	}, {
		name:    "negative attempts",
		promise: "attempts may be negative",
		call:    call("array[1], attempts => -32768"),
		want:    outcome{Returned: []string{"job 1"}, Changed: []string{"job 1: attempts=-32768 updated_at=now"}},
	}, {
		name:    "attempts over max_attempts",
		promise: "attempts may be over max_attempts",
		call:    call("array[2], attempts => 32767"),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: attempts=32767 updated_at=now is_available=f"},
		},
	}, {
		name:    "infinity",
		promise: "run_at may be infinity",
		call:    call("array[1, 8], 'infinity'"),
		want: outcome{
			Returned: []string{"job 1", "job 8"},
			Changed:  []string{"job 1: run_at=infinity updated_at=now", "job 8: updated_at=now"},
		},
	}, {
		name:    "minus infinity",
		promise: "run_at may be infinity",
		call:    call("array[8], '-infinity'"),
		want:    outcome{Returned: []string{"job 8"}, Changed: []string{"job 8: run_at=-infinity updated_at=now"}},
	}, {
		name:    "no attempts left",
		promise: "max_attempts < 1 is 23514, and no job is changed",
		call:    call("array[1, 2], max_attempts => 0"),
		want:    outcome{Err: violates("jobs_max_attempts_check")},
	}, {
		name:    "no attempts left for no job",
		promise: "an out-of-range value is an error only when a row is touched",
		call:    call("array[4, 99], max_attempts => 0"),
		times:   12,
		want:    outcome{},
	}, {
		name:    "priority out of range",
		promise: "outside smallint 22003",
		call:    call("array[1], priority => 32768"),
		times:   12,
		want:    outcome{Err: notSmall},
	}, {
		name:    "attempts out of range",
		promise: "outside smallint 22003",
		call:    call("array[1], attempts => -32769"),
		times:   12,
		want:    outcome{Err: notSmall},
	}, {
		name:    "max_attempts out of range",
		promise: "outside smallint 22003, not 23514",
		call:    call("array[1], max_attempts => -2147483648"),
		times:   12,
		want:    outcome{Err: notSmall},
	}, {
		name:    "out of range for no job",
		promise: "with no matching row an out-of-range value returns nothing",
		call:    call("array[99], priority => 40000, attempts => 40000, max_attempts => 40000"),
		times:   20,
		want:    outcome{},
		folds:   true,
	}, {
		name:    "out of range for a locked job",
		promise: "an out-of-range value is an error only when a row is touched",
		call:    call("array[4], priority => 40000, attempts => 40000, max_attempts => 40000"),
		times:   20,
		want:    outcome{},
		folds:   true,
	}, {
		name:    "out of range for an empty array",
		promise: "with no matching row an out-of-range value returns nothing",
		call:    call("'{}', priority => 40000"),
		times:   20,
		want:    outcome{},
		folds:   true,
	}, {
		name:    "out of range for a null array",
		promise: "with no matching row an out-of-range value returns nothing",
		call:    call("null, max_attempts => -40000"),
		times:   20,
		want:    outcome{},
		folds:   true,
	}, {
		name:    "out of range after many in range",
		promise: "an out-of-range value is an error only when a row is touched, with a generic plan, too",
		setup: "select graphile_worker.reschedule_jobs(array[9], priority => n) from pg_catalog.generate_series(1, 20) as n;" +
			"update graphile_worker._private_jobs set priority = 0 where id = 9",
		call:  call("array[99], priority => 40000"),
		times: 12,
		want:  outcome{},
		folds: true,
	}, {
		name:    "out of range after many in range with a job",
		promise: "outside smallint 22003, with a generic plan, too",
		setup:   "select graphile_worker.reschedule_jobs(array[99], priority => n) from pg_catalog.generate_series(1, 20) as n",
		call:    call("array[1], priority => 40000"),
		times:   12,
		want:    outcome{Err: notSmall},
	}, {
		name:    "odd ids",
		promise: "unknown ids, nulls and duplicates among the ids: no error",
		call:    call("array[1, 1, null, 99, -1, 4], priority => 3"),
		want:    outcome{Returned: []string{"job 1"}, Changed: []string{"job 1: priority=3 updated_at=now"}},
	}, {
		name:    "null array",
		promise: "a null array: no error",
		call:    call("null, '2030-01-01Z', 1, 1, 1"),
		want:    outcome{},
	}, {
		name:    "locked for just 4 hours",
		promise: "a lock is stale when it is older than 4 hours",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours' where id = 4;" +
			call("array[4], attempts => 0"),
		want: outcome{Changed: []string{"job 4: locked_at=now-4h0m0s"}},
	}, {
		name:    "locked for a microsecond more",
		promise: "locks are left",
		call: "update graphile_worker._private_jobs set locked_at = pg_catalog.now() - interval '4 hours 0.000001' where id = 4;" +
			call("array[4], attempts => 0"),
		want: outcome{
			Returned: []string{"job 4"},
			Changed:  []string{"job 4: attempts=0 updated_at=now locked_at=now-4h0m0.000001s"},
		},
	}})
}

func TestBehaviourForceUnlockWorkers(t *testing.T) {
	call := func(ids string) string {
		return "select pg_catalog.count(*) from graphile_worker.force_unlock_workers(" + ids + ")"
	}
	testBehaviours(t, []behaviour{{
		name:    "one worker",
		promise: "clears the locks on every job and every queue; attempts, run_at and updated_at are left",
		call:    call("array['w1']"),
		want: outcome{
			Returned: []string{`"1"`},
			Changed: []string{
				"queue busy: locked_at=null locked_by=null is_available=t",
				"queue held: locked_at=null locked_by=null is_available=t",
				"job 4: locked_at=null locked_by=null is_available=t",
			},
		},
	}, {
		name:    "two workers",
		promise: "clears the locks of all the ids, fresh or stale, of permafailed jobs, too",
		call:    call("worker_ids => array['w1', 'w2', 'w2', null, 'nobody']"),
		want: outcome{
			Returned: []string{`"1"`},
			Changed: []string{
				"queue busy: locked_at=null locked_by=null is_available=t",
				"queue held: locked_at=null locked_by=null is_available=t",
				"queue stale: locked_at=null locked_by=null is_available=t",
				"job 4: locked_at=null locked_by=null is_available=t",
				"job 5: locked_at=null locked_by=null is_available=t",
				"job 9: locked_at=null locked_by=null",
			},
		},
	}, {
		name:    "half a lock",
		promise: "whose locked_by is among the ids, whatever locked_at is",
		setup: "update graphile_worker._private_jobs set locked_by = 'w3' where id = 1;" +
			"update graphile_worker._private_jobs set locked_by = null where id = 4",
		call: call("array['w3', 'w1']"),
		want: outcome{
			Returned: []string{`"1"`},
			Changed: []string{
				"queue busy: locked_at=null locked_by=null is_available=t",
				"queue held: locked_at=null locked_by=null is_available=t",
				"job 1: locked_by=null",
			},
		},
	}, {
		name:    "nobody",
		promise: "whose locked_by is among the ids",
		call:    call("array['', 'W1', null]"),
		want:    outcome{Returned: []string{`"1"`}},
	}, {
		name:    "empty array",
		promise: "whose locked_by is among the ids",
		call:    call("'{}'"),
		want:    outcome{Returned: []string{`"1"`}},
	}, {
		name:    "null array",
		promise: "whose locked_by is among the ids",
		call:    call("null"),
		want:    outcome{Returned: []string{`"1"`}},
	}, {
		name:    "as a value",
		promise: "returns void, which a function in plpgsql cannot make null",
		call:    "select graphile_worker.force_unlock_workers(array['nobody'])",
		want:    outcome{Returned: []string{`""`}},
		theirs:  &outcome{Returned: []string{"null"}},
	}})
}
