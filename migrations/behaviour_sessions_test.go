package migrations_test

import "testing"

// lockReady is what a worker does to a job, at a time that is not random.
const lockReady = `update graphile_worker._private_jobs
	set attempts = attempts + 1, locked_at = '2100-01-01Z', locked_by = 'w9' where key = 'ready'`

func TestBehaviourTwoSessions(t *testing.T) {
	const (
		locked = "job 2: attempts=1 locked_at=2100-01-01 00:00:00+00 locked_by=w9 is_available=f"
		free   = `select graphile_worker.add_job('t', queue_name => 'q', job_key => 'new');
			select graphile_worker.add_jobs(array[
				('t', null, 'q', null, null, 'new2', null, null)]::graphile_worker.job_spec[])`
		newJobs = "+1 queue=q task=t run_at=then created_at=then updated_at=then key=new"
		newMore = "+2 queue=q task=t run_at=then created_at=then updated_at=then key=new2"
	)
	testBehaviours(t, []behaviour{{
		name:    "add_job beside a worker",
		promise: "add_job waits while a worker locks the job, and then returns one all-null row",
		held:    lockReady,
		call:    addJob(`'t', '[2]', job_key => 'ready'`),
		want: outcome{
			Returned: []string{"null"}, Changed: []string{locked, "spent on no job: 1"},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "add_job as a value beside a worker",
		promise: "add_job returns one all-null row",
		held:    lockReady,
		call: "select added is null, added::text from (select graphile_worker.add_job('t', job_key => 'ready', " +
			"job_key_mode => 'preserve_run_at') as added) as a",
		want: outcome{
			Returned: []string{`"t" "(,,,,,,,,,,,,,,,,)"`}, Changed: []string{locked, "spent on no job: 1"},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "add_jobs beside a worker",
		promise: "add_jobs waits, and then returns fewer rows than specs",
		held:    lockReady,
		call: addJobs(
			`('t', null, null, null, null, 'forever', null, null)`,
			`('t', null, null, null, null, 'ready', null, null)`,
			`('t', null, null, null, null, 'new', null, null)`,
		),
		want: outcome{
			Returned: []string{"+1", "job 8"},
			Changed: []string{
				"+1 task=t key=new", locked, "job 8: run_at=now updated_at=now revision=1", "spent on no job: 2",
			},
			Notified: []string{`jobs:insert {"count":3}`}, Waited: true,
		},
	}, {
		name:    "add_job beside a worker that gives up",
		promise: "add_job judges the row as committed",
		held:    lockReady, undo: true,
		call: addJob(`'t', '[2]', 'q', null, 10, 'ready', 5, '{f}'`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: payload=[1, 2] run_at=now updated_at=now revision=4", "spent on no job: 1"},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "add_job beside a worker that is done",
		promise: "add_job judges the row as committed",
		held:    "delete from graphile_worker._private_jobs where key = 'ready'",
		call:    addJob(`'t', job_key => 'ready'`),
		want: outcome{
			Returned: []string{"+1"}, Changed: []string{"+1 task=t key=ready", "-job 2"},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "add_job beside a worker that is done with a locked job",
		promise: "add_job waits for the locked job, too, and judges it as committed",
		held:    "delete from graphile_worker._private_jobs where key = 'locked'",
		call:    addJob(`'t', job_key => 'locked'`),
		want: outcome{
			Returned: []string{"+1"}, Changed: []string{"+1 task=t key=locked", "-job 4"},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "add_job beside a worker that failed",
		promise: "a job unlocked meanwhile is updated in place",
		held: `update graphile_worker._private_jobs set locked_at = null, locked_by = null, last_error = 'no', run_at = '2100-01-01Z'
			where key = 'locked'`,
		call: addJob(`'t', queue_name => 'busy', job_key => 'locked', job_key_mode => 'preserve_run_at'`),
		want: outcome{
			Returned: []string{"job 4"},
			Changed: []string{
				"job 4: run_at=now attempts=0 updated_at=now locked_at=null locked_by=null revision=1 is_available=t",
				"spent on no job: 1",
			},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "dedupe beside a worker",
		promise: "unsafe_dedupe keeps even a job that is locked meanwhile",
		held:    lockReady,
		call:    addJob(`'t', job_key => 'ready', job_key_mode => 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"job 2"},
			Changed: []string{
				"job 2: attempts=1 updated_at=now locked_at=2100-01-01 00:00:00+00 locked_by=w9 revision=4 is_available=f",
				"spent on no job: 1",
			},
			Waited: true,
		},
	}, {
		name:    "add_job twice",
		promise: "the second of two calls with a new key waits, and updates the first's job",
		held:    "select graphile_worker.add_job('t', '[1]', job_key => 'new')",
		call:    addJob(`'t', '[2]', job_key => 'new'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+1 task=t payload=[1, 2] created_at=then key=new revision=1", "spent on no job: 1"},
			Notified: []string{onlyInserted, onlyInserted}, Waited: true,
		},
	}, {
		name:    "dedupe twice",
		promise: "only a new job sends the notification",
		held:    "select graphile_worker.add_job('t', '[1]', job_key => 'new', job_key_mode => 'unsafe_dedupe')",
		call:    addJob(`'t', '[2]', job_key => 'new', job_key_mode => 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{
				"+1 task=t payload=[1] run_at=then created_at=then key=new revision=1", "spent on no job: 1",
			},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "the same new task and queue",
		promise: "missing names are created first, whoever creates them",
		held:    "select graphile_worker.add_job('new', queue_name => 'nq')",
		call:    addJob(`'new', queue_name => 'nq', priority => 1`),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{
				"+task identifier=new", "spent on no task: 1", "+queue queue_name=nq",
				"+1 queue=nq task=new priority=1", "+2 queue=nq task=new run_at=then created_at=then updated_at=then",
			},
			Notified: []string{onlyInserted, onlyInserted}, Waited: true,
		},
	}, {
		name:    "the same new task and queue in add_jobs",
		promise: "missing names are created first, whoever creates them",
		held:    "select graphile_worker.add_job('new', queue_name => 'nq')",
		call:    addJobs(`('new', null, 'nq', null, null, null, 1, null)`),
		want: outcome{
			Returned: []string{"+1"},
			Changed: []string{
				"+task identifier=new", "spent on no task: 1", "+queue queue_name=nq",
				"+1 queue=nq task=new priority=1", "+2 queue=nq task=new run_at=then created_at=then updated_at=then",
			},
			Notified: []string{onlyInserted, onlyInserted}, Waited: true,
		},
	}, {
		name:    "the same new queue",
		promise: "missing names are created first, whoever creates them",
		held:    "select graphile_worker.add_job('t', queue_name => 'nq')",
		call:    addJob(`'u', queue_name => 'nq'`),
		want: outcome{
			Returned: []string{"+2"},
			Changed: []string{
				"+queue queue_name=nq", "spent on no queue: 1",
				"+1 queue=nq task=t run_at=then created_at=then updated_at=then", "+2 queue=nq task=u",
			},
			Notified: []string{onlyInserted, onlyInserted}, Waited: true,
		},
	}, {
		name:    "a new task that is not created after all",
		promise: "missing names are created first",
		held:    "select graphile_worker.add_job('new')", undo: true,
		call: addJob(`'new', job_key => 'k', job_key_mode => 'unsafe_dedupe'`),
		want: outcome{
			Returned: []string{"+1"},
			Changed:  []string{"+task identifier=new", "spent on no task: 1", "+1 task=new key=k", "spent on no job: 1"},
			Notified: []string{onlyInserted}, Waited: true,
		},
	}, {
		name:    "tasks and queues are not locked",
		promise: "adding a job whose task and queue exist takes no lock on their rows",
		held:    free,
		call: `select 1 from graphile_worker._private_tasks where identifier = 't' for update nowait;
			select queue_name from graphile_worker._private_job_queues where queue_name = 'q' for update nowait`,
		want: outcome{
			Returned: []string{`"q"`}, Changed: []string{newJobs, newMore},
			Notified: []string{onlyInserted, onlyInserted},
		},
	}, {
		name:    "tasks and queues may be locked",
		promise: "adding a job whose task and queue exist waits for no lock on their rows",
		held: `select 1 from graphile_worker._private_tasks for update;
			select 1 from graphile_worker._private_job_queues for update`,
		call: addJobs(`('t', null, 'q', null, null, null, null, null)`) + ";" + addJob(`'t', queue_name => 'q', priority => 1`),
		want: outcome{
			Returned: []string{"+2"}, Changed: []string{"+1 queue=q task=t", "+2 queue=q task=t priority=1"},
			Notified: []string{onlyInserted, onlyInserted},
		},
	}, {
		name:    "another job is being worked on",
		promise: "a call waits only for the jobs it is about",
		held:    "select 1 from graphile_worker._private_jobs where key = 'tried' for update",
		call:    "select * from graphile_worker.complete_jobs(array[1, 2])",
		want: outcome{
			Returned: []string{"job 1 as it was", "job 2 as it was"}, Changed: []string{"-job 1", "-job 2"},
		},
	}, {
		name:    "complete_jobs beside a worker",
		promise: "a job locked meanwhile is left alone",
		held:    lockReady,
		call:    "select * from graphile_worker.complete_jobs(array[1, 2])",
		want: outcome{
			Returned: []string{"job 1 as it was"}, Changed: []string{"-job 1", locked}, Waited: true,
		},
	}, {
		name:    "complete_jobs beside a worker that failed",
		promise: "a job is judged as committed: one that looks locked when the call starts is left alone",
		held:    "update graphile_worker._private_jobs set locked_at = null, locked_by = null where key = 'locked'",
		call:    "select * from graphile_worker.complete_jobs(array[4])",
		want:    outcome{Changed: []string{"job 4: locked_at=null locked_by=null is_available=t"}},
	}, {
		name:    "complete_jobs twice",
		promise: "a call waits, then judges the row as committed: it is gone",
		held:    "select graphile_worker.complete_jobs(array[1])",
		call:    "select * from graphile_worker.complete_jobs(array[1])",
		want:    outcome{Changed: []string{"-job 1"}, Waited: true},
	}, {
		name:    "permanently_fail_jobs beside a worker",
		promise: "a job locked meanwhile is left alone",
		held:    lockReady,
		call:    "select * from graphile_worker.permanently_fail_jobs(array[1, 2], 'x')",
		want: outcome{
			Returned: []string{"job 1"},
			Changed:  []string{"job 1: attempts=25 last_error=x updated_at=now is_available=f", locked}, Waited: true,
		},
	}, {
		name:    "permanently_fail_jobs after reschedule_jobs",
		promise: "the row is judged, and changed, as committed",
		held:    "update graphile_worker._private_jobs set max_attempts = 3 where key = 'ready'",
		call:    "select * from graphile_worker.permanently_fail_jobs(array[2], 'x')",
		want: outcome{
			Returned: []string{"job 2"},
			Changed:  []string{"job 2: attempts=3 max_attempts=3 last_error=x updated_at=now is_available=f"}, Waited: true,
		},
	}, {
		name:    "reschedule_jobs beside a worker",
		promise: "a job locked meanwhile is left alone",
		held:    lockReady,
		call:    "select * from graphile_worker.reschedule_jobs(array[1, 2], attempts => 0, priority => 9)",
		want: outcome{
			Returned: []string{"job 1"}, Changed: []string{"job 1: priority=9 updated_at=now", locked}, Waited: true,
		},
	}, {
		name:    "reschedule_jobs out of range beside a worker",
		promise: "a row that is about to be locked counts as touched: it is an error, without a wait",
		held:    lockReady,
		call:    "select * from graphile_worker.reschedule_jobs(array[2], priority => 40000)",
		want:    outcome{Err: notSmall, Changed: []string{locked}},
	}, {
		name:    "reschedule_jobs beside a worker that gives up",
		promise: "the row is judged as committed",
		held:    lockReady, undo: true,
		call: "select * from graphile_worker.reschedule_jobs(array[2], priority => 9)",
		want: outcome{Returned: []string{"job 2"}, Changed: []string{"job 2: priority=9 updated_at=now"}, Waited: true},
	}, {
		name:    "remove_job beside a worker",
		promise: "the row is judged as committed: a locked job gets key = null",
		held:    lockReady,
		call:    "select * from graphile_worker.remove_job('ready')",
		want: outcome{
			Returned: []string{"job 2"},
			Changed: []string{"job 2: attempts=10 updated_at=now key=null " +
				"locked_at=2100-01-01 00:00:00+00 locked_by=w9 is_available=f"},
			Waited: true,
		},
	}, {
		name:    "remove_job beside a worker that is done",
		promise: "the row is judged as committed: no such key",
		held:    "delete from graphile_worker._private_jobs where key = 'ready'",
		call:    "select * from graphile_worker.remove_job('ready')",
		want:    outcome{Returned: []string{"null"}, Changed: []string{"-job 2"}, Waited: true},
	}, {
		name:    "force_unlock_workers beside a worker",
		promise: "a call on a job that another transaction is changing waits for it, then judges the row as committed",
		held:    "update graphile_worker._private_jobs set locked_by = 'w9' where key = 'locked'",
		call:    "select pg_catalog.count(*) from graphile_worker.force_unlock_workers(array['w1'])",
		want: outcome{
			Returned: []string{`"1"`},
			Changed: []string{
				"queue busy: locked_at=null locked_by=null is_available=t",
				"queue held: locked_at=null locked_by=null is_available=t",
				"job 4: locked_by=w9",
			},
			Waited: true,
		},
	}})
}
