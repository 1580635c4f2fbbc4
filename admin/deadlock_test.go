package admin_test

import (
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// AddJob and RemoveJob hold the row of a job and wait for a row that a worker's transaction
// has locked. Meanwhile the worker waits for the job. PostgreSQL undoes the call. It runs
// again, unless it is in the caller's transaction.
func TestDeadlockWithWorker(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		call    func(b *bench) (any, error)
		outcome func(result any) any
		want    any
	}{
		{"AddJob", func(b *bench) (any, error) {
			return b.client.AddJob(b.ctx, "send", nil, &admin.AddJobOptions{JobKey: new("key")})
		}, func(result any) any { return result.(*admin.Job).Revision }, 1},
		{"RemoveJob", func(b *bench) (any, error) { return b.client.RemoveJob(b.ctx, "key", nil) },
			func(result any) any { return result.(*admin.RemoveResult).Outcome }, admin.Removed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			t.Run("alone", func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(b *bench) {
					b.check("outcome", tc.want, tc.outcome(b.ok(b.deadlocked(b, tc.call))))
				})
			})
			t.Run("in a transaction", func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(b *bench) {
					before := b.ok(b.client.AddJob(b.ctx, "send", nil, nil)).(*admin.Job)
					_, err := b.deadlocked(b.in(b.begin()), tc.call)
					b.check("error", "40P01", code(err))
					b.check("jobs", 2, len(b.jobs()))
					b.check("first job", *before, b.jobs()[0])
				})
			})
		})
	}
}

// deadlocked makes the call on a job with the key "key" the victim of a deadlock. The other
// transaction is rolled back then.
func (b *bench) deadlocked(on *bench, call func(*bench) (any, error)) (result any, err error) {
	b.Helper()
	job := b.add("send", nil, &admin.AddJobOptions{JobKey: new("key")})
	b.exec("create table public.audit (changes integer)")
	b.exec("insert into public.audit values (0)")
	b.exec("create sequence public.times")
	// The first time, the trigger runs until the worker waits for the job's row. Its own wait
	// is then the last of the circle.
	b.exec(`create function public.audit() returns trigger language plpgsql as $$
		begin
			if nextval('public.times') = 1 then
				while not exists (select from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))) loop
					perform pg_sleep(0.002);
				end loop;
				update public.audit set changes = changes + 1;
			end if;
			return coalesce(new, old);
		end $$`)
	b.exec("create trigger audit before update or delete on graphile_worker._private_jobs for each row execute function public.audit()")

	worker := b.in(b.begin())
	worker.exec("set local deadlock_timeout = '1h'") // it is not the one that looks for deadlocks
	worker.exec("update public.audit set changes = changes + 1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		result, err = call(on)
	}()
	for rowsOf[int](b, "select count(*)::int from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'")[0] == 0 {
		time.Sleep(2 * time.Millisecond)
	}
	worker.exec("select from graphile_worker._private_jobs where id = $1 for update", job.ID)
	worker.exec("rollback")
	<-done
	return result, err
}
