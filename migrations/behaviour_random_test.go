package migrations_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// TestBehaviourRandomCalls makes the same calls with the same random arguments,
// good and bad, on both schemas, one after the other in one database each.
func TestBehaviourRandomCalls(t *testing.T) {
	t.Parallel()
	ours, theirs := behaviourSides(t)
	const runs, calls = 8, 100
	folds := foldsValues(t)
	var made, failed, otherwise atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d calls made on both schemas; %d failed on both, %d of add_jobs with another of several errors",
			made.Load(), failed.Load(), otherwise.Load())
	})
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			schema := behaviourSchemas[seed%2]
			a, b := observe(t, pgtest.URL(t, ours.template), schema), observe(t, pgtest.URL(t, theirs.template), schema)
			for _, o := range []*observer{a, b} {
				o.exec(fixture)
			}
			r := &randomCalls{Rand: rand.New(rand.NewPCG(seed, 20))}
			for r.step = range calls {
				step := behaviour{setup: fmt.Sprintf(nextID, r.step*idsPerStep+firstID), call: r.call()}
				got, want := a.do(step), b.do(step)
				for _, o := range []*observer{a, b} {
					o.exec(fmt.Sprintf(renumber, r.step*idsPerStep+firstID))
				}
				made.Add(1)
				if want.Err != "" && got.Err != "" {
					failed.Add(1)
					got.Changed, want.Changed = withoutSpent(got.Changed), withoutSpent(want.Changed)
					// Which spec of several is the first to fail depends on the plan.
					if got.Err != want.Err && strings.Contains(step.call, "add_jobs") {
						otherwise.Add(1)
						got.Err = want.Err
					}
				}
				if folds && got.Err == "" && want.Err == notSmall && strings.Contains(step.call, "reschedule_jobs") {
					want.Err = "" // there was no job to refuse it for
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s\n-upstream's +ours\n%s", step.call, diff)
				}
			}
		})
	}
}

// withoutSpent leaves out the identity values that a failed call spent, which the
// contract leaves open.
func withoutSpent(changed []string) (rest []string) {
	for _, line := range changed {
		if !strings.HasPrefix(line, "spent on no ") {
			rest = append(rest, line)
		}
	}
	return rest
}

// The contract promises neither the order in which add_jobs numbers its jobs nor what a
// failed call spends. Later calls must name the same jobs on both sides: so each step
// numbers its jobs by their content, from a number of its own.
const (
	idsPerStep = 10
	firstID    = 100
	nextID     = `select pg_catalog.setval('graphile_worker.jobs_id_seq1', %d)`
	renumber   = `
		with moved as (delete from graphile_worker._private_jobs where id > %[1]d returning *)
		insert into graphile_worker._private_jobs
			(id, job_queue_id, task_id, payload, priority, run_at, attempts, max_attempts, last_error, created_at, updated_at,
			 key, locked_at, locked_by, revision, flags)
			overriding system value
		select %[1]d + pg_catalog.row_number() over (order by
				(select identifier from graphile_worker._private_tasks as tasks where tasks.id = task_id),
				(select queue_name from graphile_worker._private_job_queues as queues where queues.id = job_queue_id),
				payload::text, priority, run_at, max_attempts, key, flags),
			job_queue_id, task_id, payload, priority, run_at, attempts, max_attempts, last_error, created_at, updated_at,
			key, locked_at, locked_by, revision, flags
		from moved`
)

type randomCalls struct {
	*rand.Rand
	step int
}

func (r *randomCalls) of(texts ...string) string { return texts[r.IntN(len(texts))] }

func (r *randomCalls) rarely(rare string, texts ...string) string {
	if r.IntN(12) == 0 {
		return rare
	}
	return r.of(texts...)
}

func (r *randomCalls) call() string {
	switch r.IntN(9) {
	case 0, 1, 2:
		return "select * from graphile_worker.add_job(" + strings.Join([]string{
			r.identifier(), r.payload(), r.queue(), r.time(), r.rarely("0", "null", "1", "25", "40000"), r.key(),
			r.rarely("40000", "null", "0", "-1", "7"), r.flags(),
			r.rarely("'nonsense'", "null", "'replace'", "'preserve_run_at'", "'unsafe_dedupe'"),
		}, ", ") + ")"
	case 3, 4:
		var specs []string
		for range r.IntN(4) {
			specs = append(specs, "("+strings.Join([]string{
				r.identifier(), r.payload(), r.queue(), r.time(), r.rarely("0", "null", "1", "25"), r.key(),
				r.of("null", "0", "-1", "7"), r.flags(),
			}, ", ")+")")
		}
		return addJobsWith(r.of("", ", true", ", false", ", null"), specs...)
	case 5:
		return "select * from graphile_worker.remove_job(" + r.key() + ")"
	case 6:
		return r.of(
			"select * from graphile_worker.complete_jobs("+r.ids()+")",
			"select * from graphile_worker.permanently_fail_jobs("+r.ids()+", "+r.of("null", "''", "'x'")+")",
			"select pg_catalog.count(*) from graphile_worker.force_unlock_workers("+r.of("array['w1']", "array['w2', 'w3']", "null")+")",
		)
	case 7:
		return "select * from graphile_worker.reschedule_jobs(" + strings.Join([]string{
			r.ids(), r.time(), r.rarely("40000", "null", "0", "5"), r.rarely("-40000", "null", "0", "3", "30"),
			r.rarely("0", "null", "1", "25"),
		}, ", ") + ")"
	}
	// A worker takes a job, now or long ago, and may fail.
	return fmt.Sprintf(`update graphile_worker._private_jobs set locked_at = %s, locked_by = 'w3', attempts = attempts + 1, last_error = %s
		where id = any (%s) returning *`,
		r.of("null", "pg_catalog.now()", "pg_catalog.now() - interval '5 hours'"), r.of("null", "'no'"), r.ids())
}

func (r *randomCalls) identifier() string { return r.rarely("null", "'t'", "'u'", "'new'", "'ä'") }

func (r *randomCalls) payload() string {
	return r.of("null", "'null'", "'{}'", "'[]'", "'[1, 2]'", `'{"a": [1]}'`, "'7'", `'["\u0000"]'`)
}

func (r *randomCalls) queue() string { return r.of("null", "'q'", "'busy'", "'new'", "''") }

func (r *randomCalls) key() string {
	return r.rarely("''", "null", "'ready'", "'tried'", "'locked'", "'stale'", "'failed'", "'over'", "'k'", "'l'")
}

func (r *randomCalls) flags() string {
	return r.rarely("array['a', null]::text[]", "null", "'{}'::text[]", "'{f,g}'::text[]")
}

func (r *randomCalls) time() string {
	return r.of("null", "'infinity'::timestamptz", "'2030-01-01Z'::timestamptz")
}

func (r *randomCalls) ids() string {
	ids := []string{"null"}
	for range r.IntN(5) {
		if r.IntN(2) == 0 {
			ids = append(ids, fmt.Sprint(r.IntN(10)))
		} else {
			ids = append(ids, fmt.Sprint(firstID+r.IntN(r.step+1)*idsPerStep+1+r.IntN(2)))
		}
	}
	return "array[" + strings.Join(ids, ", ") + "]::bigint[]"
}
