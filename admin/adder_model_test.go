package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
)

// A tried call is what became of a call, and what should.
type tried struct {
	bad bool // a trigger refuses its job
	addCall
	answer
}

// Whatever happens beside it, an adder adds the job of each call once if it says so, not
// at all if it says that, and else once at most. Calls have one of few keys or none, some
// are canceled, some refused. Workers take and finish jobs, other transactions hold keys,
// and sessions are ended. A trigger records in the same transaction what is written.
func TestAdderModel(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		const callers, callsEach, keys = 24, 60, 5
		b.exec("create table public.written (call int, job bigint)")
		b.exec(`
			create function public.record() returns trigger language plpgsql as $$
			begin
				if new.payload ->> 'bad' = 'true' then raise exception 'refused' using errcode = 'GWBAD'; end if;
				if tg_op = 'INSERT' or new.payload::text <> old.payload::text then
					insert into public.written values ((new.payload ->> 'call')::int, new.id);
				end if;
				return null;
			end $$`)
		b.exec("create trigger test_record after insert or update on graphile_worker._private_jobs for each row execute function public.record()")
		seed := uint64(time.Now().UnixNano())
		a := b.adder(&admin.AdderOptions{MaxBatch: 20, MaxPending: 22})
		a.SetPatience(5 * time.Millisecond)
		b.ok(a.AddJob(b.ctx, "send", nil, nil))

		ctx, stop := context.WithCancel(b.ctx)
		var beside sync.WaitGroup
		chaos := func(pause time.Duration, do func(*rand.Rand)) {
			random := rand.New(rand.NewPCG(seed, uint64(pause)))
			beside.Go(func() {
				for ctx.Err() == nil {
					do(random)
					time.Sleep(time.Duration(random.Int64N(int64(2 * pause))))
				}
			})
		}
		background := context.WithoutCancel(ctx)
		chaos(3*time.Millisecond, func(random *rand.Rand) { // a worker
			_ = pgx.BeginFunc(background, b.pool, func(tx pgx.Tx) error {
				if random.IntN(2) == 0 {
					_, err := tx.Exec(background, `delete from graphile_worker._private_jobs where locked_by = 'pool-a'`)
					return err
				}
				_, err := tx.Exec(background, `update graphile_worker._private_jobs set locked_by = 'pool-a', locked_at = now(), attempts = attempts + 1
					where id in (select id from graphile_worker._private_jobs where is_available and key is not null limit 2 for update skip locked)`)
				time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
				return err
			})
		})
		chaos(10*time.Millisecond, func(random *rand.Rand) { // somebody who adds jobs in a long transaction
			_ = pgx.BeginFunc(background, b.pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(background, `select graphile_worker.add_job('send', '{"call": 0}', job_key => $1)`, fmt.Sprint("key ", random.IntN(keys)))
				time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
				return err
			})
		})
		chaos(40*time.Millisecond, func(*rand.Rand) { // somebody who ends sessions
			_, _ = b.pool.Exec(background, `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid() and query like '%AdderJobAdd%' limit 1`)
		})

		calls := make([]tried, callers*callsEach)
		var calling sync.WaitGroup
		for caller := range callers {
			random := rand.New(rand.NewPCG(seed, uint64(caller)))
			calling.Go(func() {
				for i := range callsEach {
					n := caller*callsEach + i
					c := &calls[n]
					c.bad = random.IntN(15) == 0
					c.task, c.payload = "send", map[string]any{"call": n + 1, "bad": c.bad}
					c.options.JobKeyMode = []admin.JobKeyMode{"", admin.PreserveRunAt, admin.UnsafeDedupe}[random.IntN(3)]
					if random.IntN(2) == 0 {
						c.options.JobKey = new(fmt.Sprint("key ", random.IntN(keys)))
					}
					if random.IntN(3) == 0 {
						c.options.QueueName = new(fmt.Sprint("queue ", random.IntN(100)))
					}
					ctx, cancel := context.WithCancel(b.ctx)
					if random.IntN(6) == 0 {
						time.AfterFunc(time.Duration(random.IntN(10_000))*time.Microsecond, cancel)
					}
					c.answer = c.by(ctx, a)
					cancel()
				}
			})
		}
		calling.Wait()
		stop()
		beside.Wait()
		b.ok(nil, a.Close(b.ctx))

		written := map[int][]int64{}
		for _, row := range rowsOf[string](b, "select json_build_array(call, job)::text from public.written where call > 0") {
			var pair [2]int64
			if err := json.Unmarshal([]byte(row), &pair); err != nil {
				t.Fatal(err)
			}
			written[int(pair[0])] = append(written[int(pair[0])], pair[1])
		}
		outcomes := map[string]int{}
		for i, c := range calls {
			got, outcome := written[i+1], ""
			var wrong bool
			switch {
			case errors.Is(c.err, admin.ErrOutcomeUnknown):
				outcome, wrong = "unknown", len(got) > 1
			case c.err != nil:
				outcome, wrong = "failed", len(got) > 0
				if c.bad && code(c.err) == "GWBAD" {
					outcome = "refused"
				} else if errors.Is(c.err, context.Canceled) {
					outcome = "canceled"
				} else if !errors.Is(c.err, admin.ErrContended) {
					wrong = true
				}
			default:
				var payload struct{ Call int }
				if err := json.Unmarshal(c.job.Payload, &payload); err != nil {
					t.Error(err)
				}
				switch {
				case payload.Call == i+1:
					outcome, wrong = "added", c.bad || len(got) != 1 || got[0] != c.job.ID
				case c.options.JobKey != nil && c.options.JobKeyMode == admin.UnsafeDedupe:
					outcome, wrong = "deduped", len(got) != 0
				default:
					outcome, wrong = "another's", true
				}
				if c.options.JobKey != nil && (c.job.Key == nil || *c.job.Key != *c.options.JobKey) {
					wrong = true
				}
			}
			outcomes[outcome]++
			if wrong {
				t.Errorf("seed %d: call %d: %s: %+v, error %v: written to the jobs %v", seed, i+1, outcome, c.job, c.err, got)
			}
		}
		for _, outcome := range []string{"added", "deduped", "refused", "canceled", "unknown"} {
			if outcomes[outcome] == 0 {
				t.Errorf("seed %d: none was %s: %v", seed, outcome, outcomes)
			}
		}
		t.Logf("seed %d: %v, by %v", seed, outcomes, b.statements())
	})
}
