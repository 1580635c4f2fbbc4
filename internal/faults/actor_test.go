package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/migrations"
)

// An actor makes calls on the jobs of a schema that nobody else changes. It knows what each
// job must look like after what it was told.
type actor struct {
	name   string // also of the schema and the sessions
	random *rand.Rand
	most   int // jobs
	// patience bounds each call, by its context; 0: not.
	patience time.Duration
	client   *admin.Client
	adder    *admin.Adder

	jobs  map[int64]job // by n, which is in the payload
	last  int64         // the greatest n that was used
	log   []string      // the last calls, for a failure
	wrong []string      // results that cannot be right

	// An act of which it does not know whether it was done. The actor makes no other.
	pending *act
	outcome outcome

	done, refused, unknown, happened int // acts; happened: of those unknown
	longest                          time.Duration
}

// A job is what an act changes of a job.
type job struct {
	ID          int64
	Priority    int
	Error       string
	Permafailed bool
}

// An act is a call.
type act struct {
	Kind  string
	Jobs  []int64 // their n
	Tag   int     // what it sets as priority or as the reason of a failure
	Batch int     // of a call by filter
}

// An outcome is what a call returned.
type outcome struct {
	State   answer
	Error   string
	IDs     map[int64]int64  // of added jobs, by n
	Changed int              // by a call by filter, also if it failed
	Batch   int              // which batch of such a call is unknown, from 1
	Each    map[int64]answer // of the jobs of a group
}

// An answer is what a caller knows of a call.
type answer string

const (
	answerDone    answer = "done"
	answerNot     answer = "not done"
	answerUnknown answer = "unknown"
	answerNone    answer = "" // the caller died before it came
)

// newActor makes an actor with a schema. The n of its jobs are greater than last.
func newActor(pool *pgxpool.Pool, name string, random *rand.Rand, last int64, options ...admin.Option) *actor {
	a := &actor{name: name, random: random, most: 200, jobs: map[int64]job{}, last: last}
	a.client = admin.New(pool, append(options, admin.WithSchema(name))...)
	a.adder = admin.NewAdder(a.client, nil)
	return a
}

// install migrates the actor's schema.
func (a *actor) install(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	migrator, err := migrations.New(pool, &migrations.Options{Schema: a.name})
	if err == nil {
		_, err = migrator.Up(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run makes calls until over is closed or the outcome of one is unknown. Each is told
// before and after, unless tell is nil.
func (a *actor) run(ctx context.Context, over <-chan struct{}, tell func(act, *outcome)) {
	for a.pending == nil {
		select {
		case <-over:
			return
		default:
		}
		act := a.choose()
		if tell != nil {
			tell(act, nil)
		}
		begin := time.Now()
		outcome := a.perform(ctx, act)
		a.longest = max(a.longest, time.Since(begin))
		if tell != nil {
			tell(act, &outcome)
		}
		a.learn(act, outcome)
		if outcome.State == answerNot {
			time.Sleep(time.Millisecond) // the server may be down
		}
	}
}

// choose returns the next call.
func (a *actor) choose() act {
	n := slices.Sorted(maps.Keys(a.jobs))
	kinds := []string{"add", "add many", "add many", "group", "reschedule", "fail", "retry", "complete", "remove",
		"reschedule where", "fail where", "retry where", "complete where", "cleanup", "look"}
	act := act{Kind: kinds[a.random.IntN(len(kinds))], Tag: 1 + a.random.IntN(30000)}
	if len(n) < a.most/8 {
		act.Kind = "add many"
	}
	adds := act.Kind == "add" || act.Kind == "add many" || act.Kind == "group"
	if adds && len(n) > a.most {
		act.Kind, adds = "complete where", false
	}
	some := func() int { return 1 + a.random.IntN(a.most/4) }
	switch {
	case adds:
		jobs := 1
		if act.Kind != "add" {
			jobs = some()
		}
		for range jobs {
			a.last++
			act.Jobs = append(act.Jobs, a.last)
		}
	case act.Kind == "remove":
		if i := slices.IndexFunc(n, keyed); i >= 0 {
			act.Jobs = n[i : i+1]
			break
		}
		act.Kind = "retry"
		fallthrough
	case strings.HasSuffix(act.Kind, " where"):
		// By filter the first jobs are changed, in the order of their ids.
		slices.SortFunc(n, func(x, y int64) int { return int(a.jobs[x].ID - a.jobs[y].ID) })
		act.Batch = 1 + a.random.IntN(a.most/8)
		act.Jobs = n[:min(len(n), act.Batch*(1+a.random.IntN(5)))]
	case act.Kind == "cleanup", act.Kind == "look":
	default:
		a.random.Shuffle(len(n), func(i, j int) { n[i], n[j] = n[j], n[i] })
		act.Jobs = n[:min(len(n), some())]
		if a.random.IntN(5) == 0 {
			act.Jobs = n
		}
	}
	return act
}

// keyed reports whether the job with the n has a key.
func keyed(n int64) bool { return n%3 == 0 }

func (a *actor) key(n int64) *string {
	if !keyed(n) {
		return nil
	}
	return new(fmt.Sprint("key ", n))
}

type actorPayload struct {
	N int64 `json:"n"`
}

// perform makes the call.
func (a *actor) perform(ctx context.Context, act act) (o outcome) {
	if a.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.patience)
		defer cancel()
	}
	var ids []int64
	for _, n := range act.Jobs {
		ids = append(ids, a.jobs[n].ID)
	}
	reason, counts := fmt.Sprint(act.Tag), &admin.ChangeOptions{Return: admin.ReturnCount}
	values := admin.RescheduleValues{Priority: &act.Tag}
	filter := admin.Filter{TaskIdentifiers: []string{"run"}}
	where := &admin.WhereOptions{BatchSize: act.Batch, Limit: int64(len(act.Jobs))}
	changed := func(result *admin.ChangeResult, err error) error {
		if result != nil {
			o.Changed = int(result.Changed)
		}
		if err == nil && o.Changed != len(act.Jobs) {
			err = fmt.Errorf("%w: %d jobs were changed instead of %d: %+v", errWrong, o.Changed, len(act.Jobs), result)
		}
		return err
	}
	var err error
	o.IDs = map[int64]int64{}
	switch act.Kind {
	case "add":
		var job *admin.Job
		n := act.Jobs[0]
		if job, err = a.client.AddJob(ctx, "run", actorPayload{n}, &admin.AddJobOptions{JobKey: a.key(n)}); err == nil {
			o.IDs[n] = job.ID
		}
	case "add many":
		var jobs []admin.Job
		var specs []admin.JobSpec
		for _, n := range act.Jobs {
			specs = append(specs, admin.JobSpec{TaskIdentifier: "run", Payload: actorPayload{n}, JobKey: a.key(n)})
		}
		if len(specs)%2 == 0 {
			var ids []int64
			ids, err = a.client.AddJobsIDs(ctx, specs, nil)
			for i, id := range ids {
				o.IDs[act.Jobs[i]] = id
			}
			break
		}
		jobs, err = a.client.AddJobs(ctx, specs, nil)
		for i, job := range jobs {
			o.IDs[act.Jobs[i]] = job.ID
		}
	case "group":
		o.Each = map[int64]answer{}
		var mu sync.Mutex
		var adding sync.WaitGroup
		for _, n := range act.Jobs {
			adding.Go(func() {
				job, jobErr := a.adder.AddJob(ctx, "run", actorPayload{n}, &admin.AddJobOptions{JobKey: a.key(n)})
				mu.Lock()
				defer mu.Unlock()
				if o.Each[n] = answerOf(jobErr); jobErr == nil {
					o.IDs[n] = job.ID
				} else if err == nil || o.Each[n] == answerUnknown {
					err = jobErr
				}
			})
		}
		adding.Wait()
	case "reschedule":
		err = changed(a.client.RescheduleJobs(ctx, ids, values, counts))
	case "fail":
		err = changed(a.client.FailJobs(ctx, ids, &reason, counts))
	case "retry":
		err = changed(a.client.RetryJobs(ctx, ids, counts))
	case "complete":
		err = changed(a.client.CompleteJobs(ctx, ids, counts))
	case "reschedule where":
		err = changed(a.client.RescheduleWhere(ctx, filter, values, where))
	case "fail where":
		err = changed(a.client.FailWhere(ctx, filter, &reason, where))
	case "retry where":
		err = changed(a.client.RetryWhere(ctx, filter, where))
	case "complete where":
		err = changed(a.client.CompleteWhere(ctx, filter, where))
	case "remove":
		var result *admin.RemoveResult
		if result, err = a.client.RemoveJob(ctx, *a.key(act.Jobs[0]), nil); err == nil && result.Outcome != admin.Removed {
			err = fmt.Errorf("%w: the job was not removed: %+v", errWrong, result)
		}
	case "cleanup":
		_, err = a.client.Cleanup(ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.DeletePermafailedJobs}})
	case "look":
		var page *admin.Page
		if page, err = a.client.ListJobs(ctx, filter, &admin.ListOptions{PageSize: 1000}); err == nil && len(page.Jobs) != min(1000, len(a.jobs)) {
			err = fmt.Errorf("%w: %d jobs are listed, and there are %d", errWrong, len(page.Jobs), len(a.jobs))
		} else if answerOf(err) == answerUnknown {
			err = fmt.Errorf("%w: a call that reads says that its outcome is unknown: %s", errWrong, err.Error())
		}
	default:
		panic(act.Kind)
	}
	if o.State = answerOf(err); err != nil {
		o.Error = err.Error()
	}
	if unknown, ok := errors.AsType[*admin.OutcomeUnknownError](err); ok {
		o.Batch = unknown.Sent.Batch
	}
	return o
}

// errWrong is the error of a call whose result cannot be right.
var errWrong = errors.New("wrong")

func answerOf(err error) answer {
	switch {
	case err == nil:
		return answerDone
	case errors.Is(err, admin.ErrOutcomeUnknown):
		return answerUnknown
	}
	return answerNot
}

// learn draws the conclusions from an outcome.
func (a *actor) learn(act act, o outcome) {
	if !strings.Contains(o.Error, "failed to connect") {
		a.log = push(a.log, 5, fmt.Sprintf("%s: %s, %d jobs, tag %d: %s", o.State, act.Kind, len(act.Jobs), act.Tag, o.Error))
	}
	switch o.State {
	case answerDone:
		a.done++
	case answerNot:
		a.refused++
		if strings.HasPrefix(o.Error, errWrong.Error()) {
			a.wrong = append(a.wrong, act.Kind+": "+o.Error)
		}
	default:
		a.unknown++
		a.pending, a.outcome = &act, o
		return
	}
	a.jobs = possible(a.jobs, act, o)[0]
}

// possible returns what the jobs may be after the act. The id 0 stands for any.
func possible(jobs map[int64]job, act act, o outcome) (states []map[int64]job) {
	after := func(changed []int64) {
		states = append(states, apply(jobs, act, o, changed))
	}
	switch {
	case act.Kind == "group": // each job by itself
		var certain []int64
		for _, n := range act.Jobs {
			if o.Each[n] == answerDone {
				certain = append(certain, n)
			}
		}
		after(certain)
	case o.State == answerDone:
		after(act.Jobs)
	case act.Batch > 0 && o.State == answerNone: // any number of batches
		for first := 0; first <= len(act.Jobs); first += act.Batch {
			after(act.Jobs[:first])
		}
		after(act.Jobs)
	case act.Batch > 0:
		after(act.Jobs[:o.Changed])
		if o.State == answerUnknown {
			after(act.Jobs[:min(len(act.Jobs), o.Changed+act.Batch)])
		}
	case o.State == answerNot:
		after(nil)
	default:
		states = append(states, jobs)
		after(act.Jobs)
	}
	return states
}

// apply returns the jobs after the act has changed some of its jobs.
func apply(jobs map[int64]job, act act, o outcome, changed []int64) map[int64]job {
	if act.Kind == "cleanup" {
		jobs = maps.Clone(jobs)
		if o.State != answerNot {
			maps.DeleteFunc(jobs, func(_ int64, j job) bool { return j.Permafailed })
		}
		return jobs
	}
	if len(changed) == 0 {
		return jobs
	}
	jobs = maps.Clone(jobs)
	for _, n := range changed {
		j := jobs[n]
		switch strings.TrimSuffix(act.Kind, " where") {
		case "add", "add many", "group":
			j.ID = o.IDs[n]
		case "reschedule":
			j.Priority = act.Tag
		case "fail":
			j.Error, j.Permafailed = fmt.Sprint(act.Tag), true
		case "retry":
			j.Permafailed = false
		case "complete", "remove":
			delete(jobs, n)
			continue
		}
		jobs[n] = j
	}
	return jobs
}

// read returns the jobs as they are.
func (a *actor) read(ctx context.Context, pool *pgxpool.Pool) (map[int64]job, error) {
	rows, err := pool.Query(ctx, fmt.Sprintf(`select (payload ->> 'n')::bigint, id, priority, coalesce(last_error, ''), attempts >= max_attempts
		from %s._private_jobs`, pgx.Identifier{a.name}.Sanitize()))
	if err != nil {
		return nil, err
	}
	jobs := map[int64]job{}
	var n int64
	var j job
	_, err = pgx.ForEachRow(rows, []any{&n, &j.ID, &j.Priority, &j.Error, &j.Permafailed}, func() error {
		if _, twice := jobs[n]; twice {
			return fmt.Errorf("%s: there are two jobs with the payload %d", a.name, n)
		}
		jobs[n] = j
		return nil
	})
	return jobs, err
}

// verify compares the jobs with what they may be, and settles what was unknown. Nobody may
// be changing them.
func (a *actor) verify(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for _, wrong := range a.wrong {
		t.Errorf("%s: %s", a.name, wrong)
	}
	got, err := a.read(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	want := []map[int64]job{a.jobs}
	if a.pending != nil {
		want = possible(a.jobs, *a.pending, a.outcome)
		if batch := a.outcome.Changed/max(1, a.pending.Batch) + 1; a.pending.Batch > 0 && a.outcome.State == answerUnknown && a.outcome.Batch != batch {
			t.Errorf("%s: batch %d is unknown, and the error says %d: %s", a.name, batch, a.outcome.Batch, a.outcome.Error)
		}
	}
	for i, jobs := range want {
		jobs = maps.Clone(jobs)
		for n, j := range jobs {
			if j.ID == 0 { // the caller does not know it
				j.ID = got[n].ID
				jobs[n] = j
			}
		}
		happened := i > 0
		if a.pending != nil && a.pending.Kind == "group" {
			for _, n := range a.pending.Jobs {
				j, there := got[n]
				if each := a.outcome.Each[n]; there && each != answerDone && each != answerNot {
					jobs[n], happened = job{ID: j.ID}, true
				}
			}
		}
		if maps.Equal(jobs, got) {
			if happened {
				a.happened++
			}
			a.jobs, a.pending = got, nil
			return
		}
		want[i] = jobs
	}
	for _, jobs := range want {
		t.Errorf("%s: the jobs are not what they may be: -want +got\n%s", a.name, cmp.Diff(jobs, got))
	}
	t.Fatalf("the last calls of %s:\n%s", a.name, strings.Join(a.log, "\n"))
}

// tally sums up what actors did.
func tally(actors []*actor) (sum actor) {
	for _, a := range actors {
		sum.done, sum.refused, sum.unknown, sum.happened = sum.done+a.done, sum.refused+a.refused, sum.unknown+a.unknown, sum.happened+a.happened
		sum.longest = max(sum.longest, a.longest)
	}
	return sum
}
