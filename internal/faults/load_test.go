package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// TestLoad makes all calls that change jobs from 8 clients, beside 8 JavaScript workers
// and simulated ones, of which some die. [testdb.Watch] keeps a ledger in the database.
// What the clients and the workers were told must agree with it, job by job.
func TestLoad(t *testing.T) {
	upstream.Ensure(t)
	s := server(t, nil)
	l := newLoad(t, migrated(t, s), seed(t))
	const clients, simulated = 8, 4
	var (
		drivers = form(2, 8)
		target  = form[int64](20_000, 1_000_000) // changes of jobs
		least   = form(3*time.Second, time.Minute)
	)
	l.startJavaScript(s.URL("postgres")+"&application_name=worker%20js", drivers, 8/drivers)
	begin := time.Now()
	var calling, working sync.WaitGroup
	var over, drained atomic.Bool
	for i := range simulated {
		working.Go(func() { l.work(fmt.Sprint("simulated ", i), source(l.seed, 100+i), &drained) })
	}
	for i := range clients {
		calling.Go(func() { l.callAll(source(l.seed, i), &over) })
	}
	for !t.Failed() && (l.operations.Load() < target || time.Since(begin) < least) {
		var ready int64
		l.query("select count(*) from graphile_worker._private_jobs where is_available and run_at < 'infinity'", &ready)
		l.ready.Store(ready)
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(begin)
	over.Store(true)
	calling.Wait()
	if !t.Failed() {
		l.drain()
	}
	drained.Store(true)
	working.Wait()
	l.stopJavaScript()
	if t.Failed() {
		return
	}
	l.settle()
	var deadlocks int64
	l.query("select deadlocks from pg_catalog.pg_stat_database where datname = current_database()", &deadlocks)
	calls := 0
	for _, n := range l.calls {
		calls += n
	}
	row(t, "%d changes of jobs in %s (%.0f/s) by %d clients with %d calls, 8 JavaScript workers and %d simulated; "+
		"%d jobs added, %d run (%d by JavaScript), %d completed, %d removed, %d cleaned up; %d locks of dead workers cleared; "+
		"%d pauses of queues; %d queues restored; %d jobs put on hold and released; "+
		"every job accounted for; no locked job changed (%d left alone); no deadlock reached a caller (%d in the server)",
		l.operations.Load(), took.Round(time.Second), float64(l.operations.Load())/took.Seconds(), clients, calls, simulated,
		len(l.told.Added), len(l.told.Run), l.runs["worker js"], len(l.told.Completed), len(l.told.Removed), l.told.Cleaned, l.told.Unlocked,
		l.told.Paused, l.restored, l.told.Held,
		l.skips[string(admin.Locked)], deadlocks)
	t.Logf("calls %v\nskips %v", l.calls, l.skips)
}

// A load is one run of the row.
type load struct {
	*testing.T
	seed   uint64
	ledger *pgxpool.Pool
	works  *pgxpool.Pool // of the simulated workers

	// The clients, by what the ledger lets them do.
	office, producer, cleaner, unlocker, pauser, holder *admin.Client
	adder                                               *admin.Adder

	js        []*upstream.Worker
	drivers   []*upstream.Driver
	listening sync.WaitGroup

	operations atomic.Int64 // changes of a job, as they were told
	ready      atomic.Int64 // jobs that workers could take, a moment ago
	last       atomic.Int64 // the last n

	mu     sync.Mutex
	told   account
	calls  map[string]int
	skips  map[string]int
	known  []int64 // the jobs added last
	recent []int64 // the jobs started last, which are probably held
	dead   []string
	runs   map[string]int // by session, according to the ledger

	restored int // queues
}

// An entry is a job with a payload that it had: {"n": N}.
type entry struct {
	Job int64
	N   string
}

// An account says what happened to each job, and how often, according to one source.
type account struct {
	Added     map[entry]int // or replaced by its key
	Taken     map[entry]int
	Run       map[entry]int // and deleted by the worker
	Completed map[entry]int
	Removed   map[entry]int
	Cleaned   int
	Unlocked  int // held by dead workers
	Held      int // put on hold
	Released  int
	Paused    int // queues
	Resumed   int
}

func newAccount() account {
	return account{Added: map[entry]int{}, Taken: map[entry]int{}, Run: map[entry]int{}, Completed: map[entry]int{}, Removed: map[entry]int{}}
}

func newLoad(t *testing.T, url string, seed uint64) *load {
	l := &load{
		T: t, seed: seed, told: newAccount(), calls: map[string]int{}, skips: map[string]int{}, runs: map[string]int{},
		ledger: open(t, url, named("ledger")), works: open(t, url, named("worker simulated")),
	}
	exec(t, l.ledger, testdb.Watch)
	exec(t, l.ledger, "alter table watch.log set unlogged")
	client := func(name string) *admin.Client { return admin.New(open(t, url, named("admin "+name))) }
	l.office, l.producer, l.cleaner, l.unlocker = client("office"), client("producer"), client("cleaner"), client("unlocker")
	l.pauser, l.holder = client("pauser"), client("holder")
	l.adder = admin.NewAdder(l.producer, nil)
	return l
}

func (l *load) query(sql string, into ...any) {
	l.Helper()
	if err := l.ledger.QueryRow(l.Context(), sql).Scan(into...); err != nil {
		l.Fatal(err)
	}
}

// locked runs fn with the mutex.
func (l *load) locked(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

// push adds to the end of a list and keeps its last elements.
func push[T any](list []T, most int, elements ...T) []T {
	list = append(list, elements...)
	return list[max(0, len(list)-most):]
}

// fail reports an error that a client or a worker got.
func (l *load) fail(what string, err error) {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		l.Errorf("%s: %v\n%s\n%s", what, err, pgErr.Detail, pgErr.Where)
		return
	}
	l.Errorf("%s: %v", what, err)
}

const loadQueues = 20

var loadTasks = []string{"mail", "image", "report"}

// loadPayload is the payload of a job.
type loadPayload struct {
	N     string `json:"n"`
	Sleep int    `json:"sleepMs,omitempty"`
	Fail  string `json:"fail,omitempty"`
}

// spec returns a new job.
func (l *load) spec(random *rand.Rand) admin.JobSpec {
	payload := loadPayload{N: fmt.Sprint(l.last.Add(1))}
	spec := admin.JobSpec{
		TaskIdentifier: loadTasks[random.IntN(len(loadTasks))],
		MaxAttempts:    new(1), // only a call makes a failed job ready again
		Priority:       new(random.IntN(5) - 2),
	}
	switch random.IntN(20) {
	case 0:
		payload.Fail = "no luck"
	case 1, 2, 3:
		payload.Sleep = random.IntN(40)
	}
	switch random.IntN(12) {
	case 0, 1:
		spec.QueueName = loadQueue(random)
		payload.Sleep = random.IntN(40) // so that workers hold queues when they are paused and resumed
	case 2:
		spec.QueueName = new("once " + payload.N) // cleanup deletes it soon
	}
	spec.Payload = payload
	return spec
}

func loadQueue(random *rand.Rand) *string { return new(fmt.Sprint("queue ", random.IntN(loadQueues))) }

func loadKey(random *rand.Rand) *string { return new(fmt.Sprint("key ", random.IntN(100))) }

// pick returns ids of jobs that were started or added lately, or are gone.
func (l *load) pick(random *rand.Rand) (ids []int64) {
	l.locked(func() {
		for range 1 + random.IntN(40) {
			list := l.known
			if random.IntN(2) == 0 && len(l.recent) > 0 {
				list = l.recent
			}
			if len(list) > 0 {
				ids = append(ids, list[random.IntN(len(list))])
			}
		}
	})
	return ids
}

func entryOf(id int64, payload json.RawMessage) entry {
	var p loadPayload
	_ = json.Unmarshal(payload, &p)
	return entry{id, p.N}
}

// added enters a job that a call has added, or replaced: what it returns must hold what
// was asked for.
func (l *load) added(spec admin.JobSpec, job *admin.Job) {
	e, asked := entryOf(job.ID, job.Payload), spec.Payload.(loadPayload).N
	l.locked(func() {
		l.known = push(l.known, 3000, job.ID)
		if e.N == asked {
			l.operations.Add(1)
			l.told.Added[e]++
		} else if spec.JobKey == nil {
			l.Errorf("a call that added the payload %s returned job %d with the payload %s", asked, e.Job, e.N)
		} // else UnsafeDedupe left the job as it was
	})
}

// callAll makes calls until it is over.
func (l *load) callAll(random *rand.Rand, over *atomic.Bool) {
	names := []string{"add", "add", "group", "group", "refill", "refill", "complete", "fail", "reschedule", "retry",
		"complete where", "fail where", "reschedule where", "retry where", "remove", "clean", "unlock",
		"lose", "restore", "pause", "resume", "blink", "hold", "hold where", "release", "release where"}
	for !over.Load() && !l.Failed() {
		name := names[random.IntN(len(names))]
		if (name == "refill" || name == "group") && l.ready.Load() > 3000 {
			continue
		}
		result, err := l.callOne(name, random)
		l.locked(func() {
			l.calls[name]++
			if result != nil {
				l.operations.Add(result.Changed)
				for reason, jobs := range result.Skipped {
					l.skips[string(reason)] += int(jobs)
				}
			}
		})
		if errors.Is(err, admin.ErrContended) { // nothing was done, and the caller is told to try again
			l.locked(func() { l.skips[name+": "+admin.ErrContended.Error()]++ })
		} else if err != nil {
			l.fail(name, err)
		}
	}
}

func (l *load) callOne(name string, random *rand.Rand) (*admin.ChangeResult, error) {
	ctx := l.Context()
	values := admin.RescheduleValues{RunAt: admin.In(time.Duration(random.IntN(200)) * time.Millisecond), Priority: new(random.IntN(5)), Attempts: new(0), MaxAttempts: new(1)}
	filter := admin.Filter{TaskIdentifiers: loadTasks[:1+random.IntN(3)], Priority: admin.IntRange{From: new(random.IntN(5) - 2)}}
	where := &admin.WhereOptions{Limit: 1 + random.Int64N(500), BatchSize: 10 + random.IntN(200), Sample: new(50)}
	completed := func(result *admin.ChangeResult, err error) (*admin.ChangeResult, error) {
		if result != nil {
			l.locked(func() {
				for _, job := range result.Jobs {
					l.told.Completed[entryOf(job.ID, job.Payload)]++
				}
			})
		}
		return result, err
	}
	told := func(count *int, result *admin.ChangeResult, err error) (*admin.ChangeResult, error) {
		if result != nil {
			l.locked(func() { *count += int(result.Changed) })
		}
		return result, err
	}
	switch name {
	case "add":
		spec := l.spec(random)
		options := &admin.AddJobOptions{QueueName: spec.QueueName, MaxAttempts: spec.MaxAttempts, Priority: spec.Priority}
		options.JobKey = loadKey(random)
		options.JobKeyMode = []admin.JobKeyMode{admin.Replace, admin.PreserveRunAt, admin.UnsafeDedupe}[random.IntN(3)]
		spec.JobKey = options.JobKey
		job, err := l.producer.AddJob(ctx, spec.TaskIdentifier, spec.Payload, options)
		if err == nil {
			l.added(spec, job)
		}
		return nil, err
	case "group":
		var adding sync.WaitGroup
		for range 1 + random.IntN(30) {
			spec := l.spec(random)
			options := &admin.AddJobOptions{QueueName: spec.QueueName, MaxAttempts: spec.MaxAttempts, Priority: spec.Priority}
			if random.IntN(10) == 0 {
				spec.JobKey = loadKey(random)
				options.JobKey = spec.JobKey
			}
			adding.Go(func() {
				job, err := l.adder.AddJob(ctx, spec.TaskIdentifier, spec.Payload, options)
				l.locked(func() { l.calls["adder"]++ })
				switch {
				case err == nil:
					l.added(spec, job)
				case errors.Is(err, admin.ErrContended):
					l.locked(func() { l.skips["adder: "+admin.ErrContended.Error()]++ })
				default:
					l.fail("adder", err)
				}
			})
		}
		adding.Wait()
		return nil, nil
	case "refill":
		specs := make([]admin.JobSpec, 1+random.IntN(200))
		keys := map[string]bool{}
		for i := range specs {
			specs[i] = l.spec(random)
			if key := loadKey(random); random.IntN(5) == 0 && !keys[*key] {
				keys[*key], specs[i].JobKey = true, key
			}
		}
		jobs, err := l.producer.AddJobs(ctx, specs, nil)
		for i := range jobs {
			l.added(specs[i], &jobs[i])
		}
		return nil, err
	case "complete":
		return completed(l.office.CompleteJobs(ctx, l.pick(random), nil))
	case "complete where":
		where.Limit = min(where.Limit, 20)
		return completed(l.office.CompleteWhere(ctx, filter, where))
	case "fail":
		return l.office.FailJobs(ctx, l.pick(random), new("by hand"), &admin.ChangeOptions{Return: admin.ReturnIDs})
	case "fail where":
		return l.office.FailWhere(ctx, filter, nil, where)
	case "reschedule":
		return l.office.RescheduleJobs(ctx, l.pick(random), values, &admin.ChangeOptions{Return: admin.ReturnCount})
	case "reschedule where":
		return l.office.RescheduleWhere(ctx, filter, values, where)
	case "retry":
		return l.office.RetryJobs(ctx, l.pick(random), nil)
	case "retry where":
		return l.office.RetryWhere(ctx, admin.Filter{States: []admin.State{admin.Permafailed}}, where)
	case "remove":
		removed, err := l.producer.RemoveJob(ctx, *loadKey(random), &admin.RemoveOptions{DetachLocked: random.IntN(2) == 0})
		if err == nil {
			l.locked(func() {
				l.skips["remove: "+string(removed.Outcome)]++
				if removed.Outcome == admin.Removed {
					l.operations.Add(1)
					l.told.Removed[entryOf(removed.Job.ID, removed.Job.Payload)]++
				}
			})
		}
		return nil, err
	case "clean":
		cleaned, err := l.cleaner.Cleanup(ctx, admin.CleanupOptions{
			Tasks:     []admin.CleanupTask{admin.GCJobQueues, admin.DeletePermafailedJobs, admin.GCTaskIdentifiers},
			KeepTasks: loadTasks,
		})
		if cleaned != nil {
			l.operations.Add(cleaned.Deleted[admin.DeletePermafailedJobs])
			l.locked(func() { l.told.Cleaned += int(cleaned.Deleted[admin.DeletePermafailedJobs]) })
		}
		return nil, err
	case "lose": // as if a queue had been cleaned up while a job was added to it
		return nil, l.lose(*loadQueue(random))
	case "restore":
		restored, err := l.office.RestoreQueues(ctx, nil)
		if err == nil {
			l.operations.Add(int64(len(restored.Queues)))
			l.locked(func() { l.restored += len(restored.Queues) })
		}
		return nil, err
	case "pause":
		return nil, l.pause(*loadQueue(random))
	case "blink":
		queue := *loadQueue(random)
		return nil, errors.Join(l.pause(queue), l.resume(queue))
	case "resume":
		return nil, l.resume(*loadQueue(random))
	case "hold":
		result, err := l.holder.HoldJobs(ctx, l.pick(random), nil)
		return told(&l.told.Held, result, err)
	case "hold where":
		where.Limit = min(where.Limit, 100)
		result, err := l.holder.HoldWhere(ctx, filter, where)
		return told(&l.told.Held, result, err)
	case "release":
		result, err := l.holder.ReleaseJobs(ctx, l.pick(random), &admin.ChangeOptions{Return: admin.ReturnCount})
		return told(&l.told.Released, result, err)
	case "release where":
		result, err := l.holder.ReleaseWhere(ctx, filter, where)
		return told(&l.told.Released, result, err)
	case "release all":
		result, err := l.holder.ReleaseWhere(ctx, admin.Filter{}, &admin.WhereOptions{All: true})
		return told(&l.told.Released, result, err)
	case "unlock":
		var dead []string
		l.locked(func() { dead, l.dead = l.dead, nil })
		would, err := l.unlocker.ForceUnlockWorkers(ctx, append(dead, "nobody"), &admin.UnlockOptions{DryRun: true})
		if err != nil {
			return nil, err
		}
		unlocked, err := l.unlocker.ForceUnlockWorkers(ctx, append(dead, "nobody"), nil)
		if err == nil {
			if diff := cmp.Diff(jobsOf(would), jobsOf(unlocked)); diff != "" {
				l.Errorf("locks of dead workers: -dry run +done\n%s", diff)
			}
			l.locked(func() {
				for _, worker := range unlocked.Unlocked {
					l.operations.Add(worker.Jobs)
					l.told.Unlocked += int(worker.Jobs)
				}
			})
		}
		return nil, err
	}
	panic(name)
}

// lose deletes a queue that has jobs, while no worker holds it.
func (l *load) lose(queue string) error {
	_, err := l.ledger.Exec(l.Context(), "delete from graphile_worker._private_job_queues where queue_name = $1 and locked_at is null", queue)
	if deadlocked(err) {
		return nil
	}
	return err
}

// jobsOf returns the numbers of jobs that the workers held. Their queues may have been paused
// meanwhile.
func jobsOf(result *admin.UnlockResult) map[string]int64 {
	jobs := map[string]int64{}
	for _, worker := range result.Unlocked {
		if worker.Jobs > 0 {
			jobs[worker.WorkerID] = worker.Jobs
		}
	}
	return jobs
}

func (l *load) pause(queue string) error {
	paused, err := l.pauser.PauseQueue(l.Context(), queue, nil)
	if err == nil && !paused.Already {
		l.operations.Add(1)
		l.locked(func() { l.told.Paused++ })
	}
	return err
}

func (l *load) resume(queue string) error {
	resumed, err := l.pauser.ResumeQueue(l.Context(), queue, nil)
	if resumed != nil && resumed.Pause != nil {
		l.operations.Add(1)
		l.locked(func() {
			l.told.Resumed++
			if resumed.Running != nil {
				l.skips["resumed: a job runs"]++
			}
		})
	}
	return err
}

// startJavaScript starts drivers, each with so many workers.
func (l *load) startJavaScript(url string, drivers, workers int) {
	for range drivers {
		d := upstream.Start(l, "0.18.0", url, "")
		l.drivers = append(l.drivers, d)
		for range workers {
			w, err := d.StartWorker(l.Context(), upstream.WorkerOptions{Tasks: loadTasks, Concurrency: 4, PollInterval: 50 * time.Millisecond})
			if err != nil {
				l.Fatal(err)
			}
			l.js = append(l.js, w)
			l.listening.Go(func() {
				for job, err := w.Started(l.Context()); err == nil; job, err = w.Started(l.Context()) {
					l.started(entryOf(job.ID, job.Payload))
				}
			})
			l.listening.Go(func() {
				for job, err := w.Finished(l.Context()); err == nil; job, err = w.Finished(l.Context()) {
					l.finished(entryOf(job.ID, job.Payload), job.Error == "")
				}
			})
		}
	}
}

func (l *load) started(e entry) {
	l.operations.Add(1)
	l.locked(func() {
		l.told.Taken[e]++
		l.recent = push(l.recent, 64, e.Job)
	})
}

func (l *load) finished(e entry, ok bool) {
	l.operations.Add(1)
	if ok {
		l.locked(func() { l.told.Run[e]++ })
	}
}

func (l *load) stopJavaScript() {
	for _, w := range l.js {
		if err := w.Stop(l.Context()); err != nil {
			l.Error(err)
		}
	}
	l.listening.Wait()
	for _, d := range l.drivers {
		for _, log := range d.Logs() {
			if strings.Contains(log.Message, "deadlock") {
				l.Errorf("a JavaScript worker logged: %s", log.Message)
			}
		}
	}
}

// The statements of a simulated worker. It takes one job of a queue, or up to ten others.
const (
	loadFetch = `
		with job as (
			select id from graphile_worker._private_jobs
			where is_available and run_at <= now() and job_queue_id is null
			order by priority, run_at limit 10 for update skip locked
		)
		update graphile_worker._private_jobs as jobs set locked_by = $1, locked_at = now(), attempts = attempts + 1
		from job where jobs.id = job.id returning jobs.id, jobs.payload`
	loadFetchQueued = `
		with job as (
			select id, job_queue_id from graphile_worker._private_jobs as jobs
			where is_available and run_at <= now() and exists (
				select from graphile_worker._private_job_queues as queues
				where queues.id = jobs.job_queue_id and queues.is_available for update skip locked)
			order by priority, run_at limit 1 for update skip locked
		), queue as (
			update graphile_worker._private_job_queues as queues set locked_by = $1, locked_at = now() from job where queues.id = job.job_queue_id
		)
		update graphile_worker._private_jobs as jobs set locked_by = $1, locked_at = now(), attempts = attempts + 1
		from job where jobs.id = job.id returning jobs.id, jobs.payload`
	loadSucceed = `
		with job as (
			delete from graphile_worker._private_jobs where id = any($1) and locked_by = $2 returning job_queue_id
		), queue as (
			update graphile_worker._private_job_queues as queues set locked_by = null, locked_at = null
			from job where queues.id = job.job_queue_id and queues.locked_by = $2
		)
		select from job`
	loadFail = `
		with job as (
			update graphile_worker._private_jobs set last_error = 'no luck', run_at = now() + interval '50 ms', locked_by = null, locked_at = null
			where id = any($1) and locked_by = $2 returning job_queue_id
		), queue as (
			update graphile_worker._private_job_queues as queues set locked_by = null, locked_at = null
			from job where queues.id = job.job_queue_id and queues.locked_by = $2
		)
		select from job`
)

// A loadJob is a job that a simulated worker has taken.
type loadJob struct {
	ID      int64
	Payload json.RawMessage
}

// work simulates a worker. Some of its lives end with jobs and perhaps a queue locked.
func (l *load) work(name string, random *rand.Rand, over *atomic.Bool) {
	conn, err := l.works.Acquire(l.Context())
	if err != nil {
		l.fail("worker", err)
		return
	}
	defer conn.Release()
	id, left, lives := name, -1, 0 // left: before this life ends; negative: it does not
	for !over.Load() && !l.Failed() {
		fetch := loadFetch
		if random.IntN(3) == 0 {
			fetch = loadFetchQueued
		}
		rows, _ := conn.Query(l.Context(), fetch, id)
		jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[loadJob])
		if err != nil {
			l.fail("worker's fetch", err)
			return
		}
		if len(jobs) == 0 {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		ids, sleep := map[string][]int64{}, 0
		for _, job := range jobs {
			l.started(entryOf(job.ID, job.Payload))
			var p loadPayload
			_ = json.Unmarshal(job.Payload, &p)
			sleep = max(sleep, p.Sleep)
			end := loadSucceed
			if p.Fail != "" {
				end = loadFail
			}
			ids[end] = append(ids[end], job.ID)
		}
		time.Sleep(time.Duration(sleep) * time.Millisecond)
		if left == 0 {
			l.locked(func() { l.dead = append(l.dead, id) })
			id, left = name, -1
			continue
		}
		left--
		for end, ids := range ids {
			tag, err := conn.Exec(l.Context(), end, ids, id)
			// An addition takes the key of a job that runs away, and so locks its row, like
			// upstream's own add_jobs. Of a worker and a batch of such additions, PostgreSQL
			// may choose the worker as the victim.
			for try := 0; try < 10 && deadlocked(err); try++ {
				tag, err = conn.Exec(l.Context(), end, ids, id)
			}
			switch {
			case err != nil:
				l.fail("worker's end of jobs", err)
				return
			case tag.RowsAffected() != int64(len(ids)):
				l.Errorf("some of the jobs %v were taken from their worker", ids)
			}
			for _, job := range jobs {
				if slices.Contains(ids, job.ID) {
					l.finished(entryOf(job.ID, job.Payload), end == loadSucceed)
				}
			}
		}
		if left < 0 && random.IntN(50) == 0 { // another life begins
			lives++
			id, left = fmt.Sprintf("dead %s/%d", name, lives), random.IntN(5)
		}
	}
}

// drain waits until the workers have run all jobs that they can run.
func (l *load) drain() {
	for i := range loadQueues {
		if err := l.lose(fmt.Sprint("queue ", i)); err != nil {
			l.fail("lose", err)
		}
	}
	wait(l.T, "the workers run what is left", func(ctx context.Context) bool {
		for i := range loadQueues {
			if err := l.resume(fmt.Sprint("queue ", i)); err != nil {
				l.fail("resume", err)
			}
		}
		for _, name := range []string{"release all", "unlock", "restore"} {
			if _, err := l.callOne(name, source(l.seed, -1)); err != nil && !errors.Is(err, admin.ErrContended) {
				l.fail(name, err)
			}
		}
		var busy bool
		l.query(`select exists (select from graphile_worker._private_jobs where locked_at is not null or is_available and run_at < 'infinity')`, &busy)
		return !busy || l.Failed()
	})
}

// settle compares what was told with the ledger.
func (l *load) settle() {
	if err := l.adder.Close(l.Context()); err != nil {
		l.Error(err)
	}
	seen := newAccount()
	rows, err := l.ledger.Query(l.Context(), "select event, session, coalesce(job, 0), coalesce(n, ''), coalesce(row::text || E'\n\t' || became::text, row::text, '') from watch.log order by place")
	if err != nil {
		l.Fatal(err)
	}
	gone := map[int64]bool{}
	live := map[int64]bool{}
	verdicts := map[string]int{}
	var event, session, change string
	var e entry
	_, err = pgx.ForEachRow(rows, []any{&event, &session, &e.Job, &e.N, &change}, func() error {
		who, _, _ := strings.Cut(strings.TrimPrefix(session, "admin "), " ") // all workers are one
		switch event + " " + who {
		case "added producer":
			seen.Added[e]++
			if live[e.Job] || gone[e.Job] {
				l.Errorf("job %d was added twice", e.Job)
			}
			live[e.Job] = true
		case "replaced producer":
			seen.Added[e]++
		case "taken worker":
			seen.Taken[e]++
		case "gone worker":
			seen.Run[e]++
			l.runs[session]++
		case "gone office":
			seen.Completed[e]++
		case "gone producer":
			seen.Removed[e]++
		case "gone cleaner":
			seen.Cleaned++
		case "unlocked unlocker":
			if e.Job != 0 {
				seen.Unlocked++
			}
		case "put on hold holder":
			seen.Held++
		case "released holder":
			seen.Released++
		case "paused pauser":
			seen.Paused++
		case "resumed pauser":
			seen.Resumed++
		case "detached producer", "deduped producer", "freed pauser":
			verdicts[event]++
		default:
			l.Errorf("%s by %s: job %d\n\t%s", event, session, e.Job, change)
		}
		if event == "gone" {
			if !live[e.Job] {
				l.Errorf("job %d was deleted and had not been added", e.Job)
			}
			delete(live, e.Job)
			gone[e.Job] = true
		}
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
	l.compare("told, and in the ledger", l.told, seen)
	rows, _ = l.ledger.Query(l.Context(), "select id from graphile_worker._private_jobs")
	left, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		l.Fatal(err)
	}
	if len(left) != len(live) || slices.ContainsFunc(left, func(id int64) bool { return !live[id] }) {
		l.Errorf("%d jobs should be left according to the ledger, and %d are", len(live), len(left))
	}
	if seen.Paused != seen.Resumed {
		l.Errorf("%d pauses, and %d resumes", seen.Paused, seen.Resumed)
	}
	l.Logf("%d jobs are left; held jobs and queues touched as add_job, remove_job and ResumeQueue do: %v", len(left), verdicts)
}

// compare shows the first differences of two accounts. They are too large for a diff.
func (l *load) compare(what string, want, got account) {
	l.Helper()
	for name, pair := range map[string][2]map[entry]int{
		"added": {want.Added, got.Added}, "taken": {want.Taken, got.Taken}, "run": {want.Run, got.Run},
		"completed": {want.Completed, got.Completed}, "removed": {want.Removed, got.Removed},
	} {
		a, b := map[entry]int{}, map[entry]int{}
		for i, from := range pair {
			for e, n := range from {
				if n != pair[1-i][e] && len(a)+len(b) < 20 {
					a[e], b[e] = pair[0][e], pair[1][e]
				}
			}
		}
		if diff := cmp.Diff(a, b); diff != "" {
			l.Errorf("%s: %s: -want +got\n%s", what, name, diff)
		}
	}
	counts := func(a account) map[string]int {
		return map[string]int{"cleaned up": a.Cleaned, "unlocked": a.Unlocked, "put on hold": a.Held, "released": a.Released, "paused": a.Paused, "resumed": a.Resumed}
	}
	if diff := cmp.Diff(counts(want), counts(got)); diff != "" {
		l.Errorf("%s: -want +got\n%s", what, diff)
	}
}

// deadlocked reports whether a statement was the victim of a deadlock.
func deadlocked(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refusal.Code == "40P01"
}
