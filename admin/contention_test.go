package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
)

const (
	// takes is the statement by which a worker locks the jobs that it runs.
	takes = `update graphile_worker._private_jobs set attempts = attempts + 1, locked_by = $2, locked_at = $3 where id = any ($1)`
	// finishes is the statement by which it deletes the jobs that succeed.
	finishes = `delete from graphile_worker._private_jobs where id = any ($1) and locked_by = $2`
)

// during runs a call that has to wait for the worker's transaction, and ends the transaction
// when the call waits.
func (b *bench) during(worker pgx.Tx, end func(context.Context) error, call func() any) (result any) {
	b.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		result = call()
	}()
	b.blocked()
	if err := end(b.ctx); err != nil {
		b.Fatal(err)
	}
	<-done
	return result
}

// A worker takes a job with a key while AddJob adds a job with this key. Upstream's function
// then returns no job and drops the payload.
func TestAddWhileWorkerTakes(t *testing.T) {
	t.Parallel()
	at := ago(time.Hour)
	for _, tc := range []struct {
		reason string
		end    func(pgx.Tx) func(context.Context) error
		want   func(held, fresh admin.Job) (returned admin.Job, table []admin.Job)
	}{
		{
			"it has taken it: the job loses its key to a new one",
			func(tx pgx.Tx) func(context.Context) error { return tx.Commit },
			func(held, fresh admin.Job) (admin.Job, []admin.Job) {
				held.Attempts, held.LockedBy, held.LockedAt = 25, new("pool-a"), at
				held.Key, held.UpdatedAt = nil, now()
				return fresh, []admin.Job{held, fresh}
			},
		},
		{
			"it has not, after all: the job is replaced",
			func(tx pgx.Tx) func(context.Context) error { return tx.Rollback },
			func(held, fresh admin.Job) (admin.Job, []admin.Job) {
				fresh.ID, fresh.CreatedAt, fresh.Revision = held.ID, held.CreatedAt, 1
				return fresh, []admin.Job{fresh}
			},
		},
		{
			"it has run it to the end: the job is added",
			func(tx pgx.Tx) func(context.Context) error {
				return func(ctx context.Context) error {
					_, err := tx.Exec(ctx, finishes, []int64{1}, "pool-a")
					return errors.Join(err, tx.Commit(ctx))
				}
			},
			func(_, fresh admin.Job) (admin.Job, []admin.Job) { return fresh, []admin.Job{fresh} },
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			held := added(admin.Job{ID: 1, TaskIdentifier: "old", Key: new("key"), RunAt: *admin.At(day2), CreatedAt: day0, UpdatedAt: day1})
			fresh := added(admin.Job{TaskIdentifier: "new", QueueName: new("q"), Payload: json.RawMessage(`"precious"`), Key: new("key")})
			for _, mode := range []admin.JobKeyMode{"", admin.PreserveRunAt} {
				t.Run(fmt.Sprintf("AddJob %q", mode), func(t *testing.T) {
					t.Parallel()
					onBoth(t, func(b *bench) {
						b.insert(held)
						tx := b.begin()
						b.in(tx).exec(takes, []int64{1}, "pool-a", at)
						got := b.during(tx, tc.end(tx), func() any {
							job, err := b.client.AddJob(b.ctx, "new", "precious", &admin.AddJobOptions{QueueName: new("q"), JobKey: new("key"), JobKeyMode: mode})
							if err != nil {
								b.Error(err)
								return &admin.Job{}
							}
							return job
						}).(*admin.Job)
						want, table := tc.want(held, fresh)
						if mode == admin.PreserveRunAt && want.Revision > 0 {
							want.RunAt, table[0].RunAt = held.RunAt, held.RunAt
						}
						// A failed try has used an id of the sequence.
						for _, j := range []*admin.Job{&want, &table[len(table)-1]} {
							if j.Revision == 0 {
								j.ID = got.ID
							}
						}
						b.check("job", &want, got)
						b.check("table", table, b.jobs())
					})
				})
			}
			t.Run("AddJobs", func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(b *bench) {
					b.insert(held)
					tx := b.begin()
					b.in(tx).exec(takes, []int64{1}, "pool-a", at)
					specs := []admin.JobSpec{
						{TaskIdentifier: "new", Payload: numbered{0, "new"}, JobKey: new("key 0")},
						{TaskIdentifier: "new", Payload: numbered{1, "new"}, JobKey: new("key"), QueueName: new("q")},
						{TaskIdentifier: "new", Payload: numbered{2, "new"}},
						{TaskIdentifier: "new", Payload: numbered{3, "new"}, JobKey: new("key 3")},
					}
					got := b.during(tx, tc.end(tx), func() any {
						jobs, err := b.client.AddJobs(b.ctx, specs, nil)
						if err != nil {
							b.Error(err)
						}
						return jobs
					}).([]admin.Job)
					var want []admin.Job
					for _, s := range specs {
						want = append(want, added(admin.Job{TaskIdentifier: "new", Payload: marshalled(s.Payload), Key: s.JobKey}))
					}
					fresh := fresh
					fresh.Payload = want[1].Payload
					returned, table := tc.want(held, fresh)
					want[1] = returned
					want[1].ID = 0
					b.check("table", append(table[:len(table)-1], sortJobs(got)...), b.jobs())
					b.check("jobs", want, b.inOrder(got))
				})
			})
		})
	}
}

// After the last try AddJob returns ErrContended and has changed nothing.
func TestAddContended(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason  string
		dropped int // how many times the SQL function drops the job
		want    error
	}{
		{"dropped four times in a row", 4, nil},
		{"dropped five times in a row", 5, admin.ErrContended},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				b.exec("create sequence public.times")
				b.exec(fmt.Sprintf(`
					create function public.drop() returns trigger language plpgsql as $$
					begin
						if nextval('public.times') <= %d then return null; end if;
						return new;
					end $$`, tc.dropped))
				b.exec(`create trigger test_drop before insert on graphile_worker._private_jobs
					for each row when (new.key = 'contended') execute function public.drop()`)
				b.ok(nil, b.client.Check(b.ctx))

				job, err := b.client.AddJob(b.ctx, "send", 1, &admin.AddJobOptions{JobKey: new("contended")})
				if !errors.Is(err, tc.want) {
					b.Errorf("AddJob: %v", err)
				}
				var wantJob *admin.Job
				if tc.want == nil {
					wantJob = new(added(admin.Job{ID: 5, TaskIdentifier: "send", Payload: json.RawMessage("1"), Key: new("contended")}))
				}
				b.check("job", wantJob, job)

				b.exec("alter sequence public.times restart")
				var specs []admin.JobSpec
				var want []admin.Job
				for i, key := range []*string{nil, new("contended"), new("other")} {
					specs = append(specs, admin.JobSpec{TaskIdentifier: "bulk", Payload: numbered{i, ""}, JobKey: key})
					want = append(want, added(admin.Job{TaskIdentifier: "bulk", Payload: marshalled(numbered{i, ""}), Key: key}))
				}
				b.exec(`delete from graphile_worker._private_jobs`)
				jobs, err := b.client.AddJobs(b.ctx, specs, nil)
				if !errors.Is(err, tc.want) {
					b.Errorf("AddJobs: %v", err)
				}
				if tc.want != nil {
					want = nil
				}
				b.check("jobs", want, b.inOrder(jobs))
				b.check("table", append([]admin.Job{}, sortJobs(jobs)...), b.jobs())
			})
		})
	}
}

// A worker takes, finishes or unlocks a job while a call waits for its lock. The call then
// reads the job again.
func TestChangeWhileWorkerTakes(t *testing.T) {
	t.Parallel()
	at := ago(time.Hour)
	for name, c := range changes {
		for _, tc := range []struct {
			reason string
			end    func(context.Context, pgx.Tx) error
			want   func(jobs []admin.Job) (*admin.ChangeResult, []admin.Job)
		}{
			{
				"taken, it is left alone",
				func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
				func(jobs []admin.Job) (*admin.ChangeResult, []admin.Job) {
					jobs[0].Attempts, jobs[0].LockedBy, jobs[0].LockedAt = 1, new("pool-c"), at
					changed, table := c.apply(jobs, 2)
					return changedAll(changed, []admin.Skip{locked(jobs[0])}), table
				},
			},
			{
				"run to its end, it is not found",
				func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, finishes, []int64{1}, "pool-c")
					return errors.Join(err, tx.Commit(ctx))
				},
				func(jobs []admin.Job) (*admin.ChangeResult, []admin.Job) {
					changed, table := c.apply(jobs[1:], 2)
					return changedAll(changed, []admin.Skip{missing(1)}), table
				},
			},
			{
				"let go of, it is changed",
				func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
				func(jobs []admin.Job) (*admin.ChangeResult, []admin.Job) {
					changed, table := c.apply(jobs, 1, 2)
					return changedAll(changed, []admin.Skip{}), table
				},
			},
		} {
			t.Run(name+": "+tc.reason, func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(b *bench) {
					jobs := b.fixture()
					tx := b.begin()
					b.in(tx).exec(takes, []int64{1}, "pool-c", at)
					got := b.during(tx, func(ctx context.Context) error { return tc.end(ctx, tx) }, func() any {
						result, err := c.call(b.ctx, b.client, []int64{2, 1})
						if err != nil {
							b.Error(err)
						}
						return result
					})
					want, table := tc.want(jobs)
					b.check("result", want, got)
					b.check("table", table, b.jobs())
				})
			})
		}
	}
}

func TestRemoveWhileWorkerTakes(t *testing.T) {
	t.Parallel()
	at := ago(time.Hour)
	for _, detach := range []bool{false, true} {
		for _, tc := range []struct {
			reason string
			held   bool // whether the worker holds the job before the call
			end    func(context.Context, pgx.Tx) error
			want   func(job admin.Job) *admin.RemoveResult
		}{
			{
				"taken, it is left alone, or detached", false,
				func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
				func(job admin.Job) *admin.RemoveResult {
					job.Attempts, job.LockedBy, job.LockedAt = 1, new("pool-c"), at
					if detach {
						job.Key, job.Attempts, job.UpdatedAt = nil, job.MaxAttempts, now()
						return &admin.RemoveResult{Outcome: admin.Detached, Job: &job}
					}
					return &admin.RemoveResult{Outcome: admin.Left, Skip: new(locked(job))}
				},
			},
			{
				"run to its end, it is not found", false,
				func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, finishes, []int64{1}, "pool-c")
					return errors.Join(err, tx.Commit(ctx))
				},
				func(admin.Job) *admin.RemoveResult { return &admin.RemoveResult{Outcome: admin.NoSuch} },
			},
			{
				"let go of, it is removed", false,
				func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
				func(job admin.Job) *admin.RemoveResult {
					return &admin.RemoveResult{Outcome: admin.Removed, Job: &job}
				},
			},
			{
				"held for long and now run to its end, there is nothing to detach", true,
				func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, finishes, []int64{1}, "pool-c")
					return errors.Join(err, tx.Commit(ctx))
				},
				func(admin.Job) *admin.RemoveResult { return &admin.RemoveResult{Outcome: admin.NoSuch} },
			},
		} {
			if tc.held && !detach {
				continue // a call that finds the job locked does not wait
			}
			t.Run(fmt.Sprintf("%s, detach %t", tc.reason, detach), func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(b *bench) {
					job := added(admin.Job{ID: 1, TaskIdentifier: "send", Key: new("key"), RunAt: *admin.At(day2), CreatedAt: day0, UpdatedAt: day1})
					b.insert(job)
					if tc.held {
						b.exec(takes, []int64{1}, "pool-c", at)
					}
					tx := b.begin()
					b.in(tx).exec(takes, []int64{1}, "pool-c", at)
					got := b.during(tx, func(ctx context.Context) error { return tc.end(ctx, tx) }, func() any {
						result, err := b.client.RemoveJob(b.ctx, "key", &admin.RemoveOptions{DetachLocked: detach})
						if err != nil {
							b.Error(err)
						}
						return result
					})
					b.check("result", tc.want(job), got)
				})
			})
		}
	}
}

// A job that a worker unlocks while ForceUnlockWorkers waits is not counted as unlocked.
func TestUnlockWhileWorkerFinishes(t *testing.T) {
	t.Parallel()
	at := ago(time.Hour)
	onBoth(t, func(b *bench) {
		jobs := b.fixture()
		b.exec(takes, []int64{1, 2}, "pool-c", at)
		tx := b.begin()
		b.in(tx).exec(finishes, []int64{1}, "pool-c")
		got := b.during(tx, tx.Commit, func() any {
			result, err := b.client.ForceUnlockWorkers(b.ctx, []string{"pool-c"}, nil)
			if err != nil {
				b.Error(err)
			}
			return result
		})
		b.check("result", &admin.UnlockResult{
			Unlocked: []admin.WorkerLocks{{WorkerID: "pool-c", Jobs: 1, Oldest: at, Newest: at}}, Idle: []string{},
		}, got)
		jobs[1].Attempts++
		b.check("table", jobs[1:], b.jobs())
	})
}

// Many goroutines add jobs with few keys while workers run them. Each call returns a job with
// its own payload, and this job runs or a later one replaces it.
func TestAddBesideWorkers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		const adders, rounds, keys = 4, 40, 3
		ctx, stop := context.WithCancel(b.ctx)
		var workers, all sync.WaitGroup
		for w := range 2 {
			workers.Go(func() {
				id := fmt.Sprint("pool-", w)
				for ctx.Err() == nil {
					var job int64
					err := b.pool.QueryRow(b.ctx, `
						update graphile_worker._private_jobs set attempts = attempts + 1, locked_by = $1, locked_at = now()
						where id = (select id from graphile_worker._private_jobs where is_available limit 1 for update skip locked)
						returning id`, id).Scan(&job)
					time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
					if errors.Is(err, pgx.ErrNoRows) {
						continue
					}
					if err == nil {
						_, err = b.pool.Exec(b.ctx, finishes, []int64{job}, id)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		var lost atomic.Int64
		for a := range adders {
			all.Go(func() {
				for i := range rounds {
					payload := fmt.Sprintf(`"%d %d"`, a, i)
					key := fmt.Sprint("key ", i%keys)
					add := func() (*admin.Job, error) {
						return b.client.AddJob(b.ctx, "send", json.RawMessage(payload), &admin.AddJobOptions{JobKey: &key})
					}
					job, err := add()
					for errors.Is(err, admin.ErrContended) { // it has tried five times
						job, err = add()
					}
					if err != nil {
						b.Error(err)
						return
					}
					if string(job.Payload) != payload || job.Key == nil || *job.Key != key || job.LockedBy != nil {
						lost.Add(1)
					}
				}
			})
		}
		all.Wait()
		stop()
		workers.Wait()
		b.check("jobs that were not as added", int64(0), lost.Load())
	})
}
