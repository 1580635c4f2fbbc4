package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/observe"
)

// TestSteady makes calls of all kinds at a steady rate. After the first third of the time
// nothing grows: not the memory of the client or of its sessions, and not the number of
// goroutines, sessions or prepared statements.
func TestSteady(t *testing.T) {
	var (
		duration = form(9*time.Second, 30*time.Minute)
		every    = form(300*time.Millisecond, 20*time.Second)
	)
	st := newSteady(t)
	over := make(chan struct{})
	var calling sync.WaitGroup
	seed := seed(t)
	for i := range 8 {
		calling.Go(func() { st.run(source(seed, i), over) })
	}
	var usages []usage
	begin := time.Now()
	for time.Since(begin) < duration && !t.Failed() {
		time.Sleep(every)
		usages = append(usages, st.measure())
	}
	close(over)
	calling.Wait()
	if t.Failed() {
		return
	}
	third := len(usages) / 3
	before, after := median(usages[third:2*third]), median(usages[2*third:])
	for what, growth := range map[string]struct{ before, after, most int }{
		"KB of the client's heap": {before.Heap, after.Heap, before.Heap + before.Heap/10 + 512},
		"goroutines":              {before.Goroutines, after.Goroutines, before.Goroutines + 2},
		"sessions":                {before.Sessions, after.Sessions, steadySessions},
		// In the short form, not every session has had every statement after a third.
		"prepared statements":        {before.Statements, after.Statements, form(steadySessions*steadyStatements, before.Statements+before.Statements/50)},
		"KB of the sessions' memory": {before.Memory, after.Memory, form(before.Memory*2, before.Memory+before.Memory/10) + 2048},
	} {
		if growth.after > growth.most {
			t.Errorf("%s grow: %d in the second third of the time, %d in the last, and %d are the most", what, growth.before, growth.after, growth.most)
		}
	}
	row(t, "%s, %d calls (%.0f/s); in the second third of the time and in the last: %s, and %s",
		time.Since(begin).Round(time.Second), st.calls.Load(), float64(st.calls.Load())/time.Since(begin).Seconds(), before, after)
}

const (
	steadySessions   = 12
	steadyStatements = 80 // of a session: more than the calls have
)

// A usage is what is used at a time.
type usage struct {
	Heap       int // KB
	Goroutines int
	Sessions   int
	Statements int // prepared in all sessions
	Memory     int // KB of all sessions, without what they share; 0: unknown
}

func (u usage) String() string {
	return fmt.Sprintf("%d KB heap, %d goroutines, %d sessions with %d prepared statements and %d KB",
		u.Heap, u.Goroutines, u.Sessions, u.Statements, u.Memory)
}

// median returns the median of each number.
func median(usages []usage) usage {
	of := func(number func(usage) int) int {
		var numbers []int
		for _, u := range usages {
			numbers = append(numbers, number(u))
		}
		slices.Sort(numbers)
		return numbers[len(numbers)/2]
	}
	return usage{
		of(func(u usage) int { return u.Heap }), of(func(u usage) int { return u.Goroutines }), of(func(u usage) int { return u.Sessions }),
		of(func(u usage) int { return u.Statements }), of(func(u usage) int { return u.Memory }),
	}
}

// A steady is one run of the row.
type steady struct {
	*testing.T
	pool     *pgxpool.Pool
	ledger   *pgxpool.Pool
	client   *admin.Client
	adder    *admin.Adder
	observer *observe.Observer
	calls    atomic.Int64
	pause    sync.RWMutex // held for writing while nothing may run
}

func newSteady(t *testing.T) *steady {
	s := server(t, nil)
	st := &steady{T: t, ledger: open(t, s.URL("postgres"), named("check"))}
	st.pool = open(t, s.URL("postgres"), named("steady"), func(config *pgxpool.Config) { config.MaxConns = steadySessions })
	// The name must be quoted, so that all texts of queries are changed, and remembered.
	a := newActor(st.pool, "Steady load", nil, 0)
	a.install(t, st.ledger)
	st.client, st.adder = a.client, a.adder
	var err error
	pace := observe.Pace{Interval: 200 * time.Millisecond}
	st.observer, err = observe.New(st.pool, &observe.Options{Schema: "Steady load", Fast: pace, Counting: pace, Slow: pace, ErrorShapes: 5, Queues: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.observer.Close)
	return st
}

// run makes calls until it is over.
func (st *steady) run(random *rand.Rand, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(5 * time.Millisecond):
		}
		st.pause.RLock()
		what, err := st.call(random)
		st.pause.RUnlock()
		if err != nil {
			st.Errorf("%s: %v", what, err)
			return
		}
		st.calls.Add(1)
	}
}

var errRollBack = errors.New("roll back")

// call makes a call.
func (st *steady) call(random *rand.Rand) (what string, err error) {
	ctx, cancel := context.WithTimeout(st.Context(), time.Minute)
	defer cancel()
	client := st.client
	if random.IntN(10) == 0 { // as a program does that has no client of its own
		client = admin.New(st.pool, admin.WithSchema(st.client.Schema()))
	}
	ids := make([]int64, random.IntN(100))
	top := st.calls.Load() * 10
	for i := range ids {
		ids[i] = random.Int64N(top + 1)
	}
	add := func(client *admin.Client) error {
		var specs []admin.JobSpec
		for range 1 + random.IntN(100) {
			specs = append(specs, admin.JobSpec{TaskIdentifier: fmt.Sprint("task ", random.IntN(10)), QueueName: new(fmt.Sprint("queue ", random.IntN(10))), Payload: actorPayload{random.Int64()}})
		}
		_, err := client.AddJobs(ctx, specs, nil)
		return err
	}
	filter := admin.Filter{TaskIdentifiers: []string{fmt.Sprint("task ", random.IntN(10))}}
	switch random.IntN(4) {
	case 0:
		filter.Priority.To = new(random.IntN(10))
	case 1:
		filter.RunAt.Before = new(time.Now())
	case 2:
		filter.PayloadContains = fmt.Appendf(nil, `{"n": %d}`, random.IntN(10))
	}
	where := &admin.WhereOptions{Limit: 1 + random.Int64N(100), BatchSize: 10 + random.IntN(50)}
	calls := []struct {
		what string
		make func() error
	}{
		{"add", func() error {
			_, err := client.AddJob(ctx, "task 1", nil, &admin.AddJobOptions{JobKey: new(fmt.Sprint(random.IntN(1000)))})
			return err
		}},
		{"adder", func() error {
			_, err := st.adder.AddJob(ctx, "task 2", actorPayload{random.Int64()}, nil)
			return err
		}},
		{"add many", func() error { return add(client) }},
		{"add in a transaction that is rolled back", func() error {
			err := pgx.BeginFunc(ctx, st.pool, func(tx pgx.Tx) error { return errors.Join(add(client.WithTx(tx)), errRollBack) })
			if err.Error() == errRollBack.Error() {
				err = nil
			}
			return err
		}},
		{"add with a context that ends", func() error {
			if random.IntN(50) > 0 { // it closes a session, and what that has kept is gone
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Microsecond)
			defer cancel()
			_, _ = st.adder.AddJob(ctx, "task 3", nil, nil)
			_, _ = client.AddJob(ctx, "task 3", nil, nil)
			return nil
		}},
		{"refused", func() error {
			if _, err := client.AddJob(ctx, strings.Repeat("x", 200), nil, nil); !errors.Is(err, admin.ErrInvalid) {
				return fmt.Errorf("a task identifier of 200 characters: %w", err)
			}
			return nil
		}},
		{"reschedule", func() error {
			_, err := client.RescheduleJobs(ctx, ids, admin.RescheduleValues{Priority: new(random.IntN(10))}, nil)
			return err
		}},
		{"complete", func() error { _, err := client.CompleteJobs(ctx, ids, nil); return err }},
		{"complete where", func() error { _, err := client.CompleteWhere(ctx, filter, where); return err }},
		{"fail where", func() error { _, err := client.FailWhere(ctx, filter, nil, where); return err }},
		{"retry where", func() error { _, err := client.RetryWhere(ctx, filter, where); return err }},
		{"dry run", func() error { _, err := client.RetryWhere(ctx, filter, &admin.WhereOptions{DryRun: true}); return err }},
		{"remove", func() error { _, err := client.RemoveJob(ctx, fmt.Sprint(random.IntN(1000)), nil); return err }},
		{"clean", func() error {
			_, err := client.Cleanup(ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCJobQueues}})
			return err
		}},
		{"unlock", func() error {
			_, err := client.ForceUnlockWorkers(ctx, []string{fmt.Sprint(random.Int64())}, nil)
			return err
		}},
		{"list", func() error {
			page, err := client.ListJobs(ctx, filter, &admin.ListOptions{PageSize: 20, PayloadBytes: 100})
			if err == nil && page.Next != "" {
				_, err = client.ListJobs(ctx, filter, &admin.ListOptions{PageSize: 20, PayloadBytes: 100, Cursor: page.Next})
			}
			return err
		}},
		{"stats", func() error { _, err := client.Stats(ctx, &admin.StatsOptions{ErrorShapes: 3}); return err }},
		{"queues", func() error { _, err := client.Queues(ctx); return err }},
		{"snapshot", func() error { _, err := st.observer.Snapshot(ctx); return err }},
	}
	call := calls[random.IntN(len(calls))]
	return call.what, call.make()
}

// measure waits until no call is under way, and measures what is used.
func (st *steady) measure() (u usage) {
	st.Helper()
	st.pause.Lock()
	defer st.pause.Unlock()
	ctx := st.Context()
	for range 100 { // the adder and the observer may have something left to do
		if st.pool.Stat().AcquiredConns() == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	u.Heap, u.Goroutines = int(memory.HeapAlloc>>10), runtime.NumGoroutine()
	rows, _ := st.ledger.Query(ctx, "select pid from pg_catalog.pg_stat_activity where application_name = 'steady'")
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		st.Fatal(err)
	}
	u.Sessions = len(pids)
	for _, pid := range pids {
		u.Memory += privateMemory(pid)
	}
	for _, conn := range st.pool.AcquireAllIdle(ctx) {
		var statements int
		err := conn.QueryRow(ctx, "select count(*)::int from pg_catalog.pg_prepared_statements", pgx.QueryExecModeSimpleProtocol).Scan(&statements)
		conn.Release()
		if err != nil {
			st.Fatal(err)
		}
		u.Statements += statements
	}
	return u
}

// privateMemory returns the KB that a process does not share, where the system tells it.
func privateMemory(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kb, _ := strconv.Atoi(number)
	return kb
}
