//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
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
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/proxies"
)

// replicated starts a primary and a standby, without whose answer the primary acknowledges
// no commit.
func replicated(t *testing.T) (primary, standby *pgserver.Server) {
	t.Helper()
	settings := map[string]string{"wal_keep_size": "1GB", "synchronous_standby_names": "*"}
	primary = server(t, settings)
	settings["synchronous_standby_names"] = "" // it has no standby when it is promoted
	standby = startServer(t, pgserver.Options{Settings: settings, Primary: primary})
	look := open(t, primary.URL("postgres"))
	defer look.Close()
	wait(t, "the standby is synchronous", func(ctx context.Context) bool {
		var sync bool
		err := look.QueryRow(ctx, "select exists (select from pg_stat_replication where sync_state = 'sync')").Scan(&sync)
		return err == nil && sync
	})
	return primary, standby
}

// A pair is a primary and a synchronous standby.
type pair struct {
	primary, standby string // their URLs
	writes           string // the URL by which clients reach the server that takes writes
	fail             func() // kills the primary, and returns when the standby is promoted
}

// newPair starts a pair of servers. The test promotes the standby itself.
func newPair(t *testing.T) pair {
	t.Helper()
	primary, standby := replicated(t)
	migrated(t, primary)
	p := pair{primary: primary.URL("postgres"), standby: standby.URL("postgres")}
	p.fail = func() {
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // until somebody has noticed
		exec(t, open(t, p.standby), "select pg_promote()")
	}
	return p
}

// eitherOf is the URL of the database on the server that takes writes.
func eitherOf(t *testing.T, urls ...string) string {
	t.Helper()
	var hosts, ports []string
	for _, url := range urls {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		hosts, ports = append(hosts, config.Host), append(ports, strconv.Itoa(int(config.Port)))
	}
	u, err := url.Parse(urls[0])
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("host", strings.Join(hosts, ","))
	query.Set("port", strings.Join(ports, ","))
	query.Set("target_session_attrs", "read-write")
	u.Host, u.RawQuery = "", query.Encode()
	return u.String()
}

// The synchronous standby is promoted while calls run. Clients find it by a connection
// string with both hosts.
func TestFailover(t *testing.T) {
	failOver(t, form(1, 20), func(t *testing.T) pair {
		p := newPair(t)
		p.writes = eitherOf(t, p.primary, p.standby)
		return p
	})
}

// The same, but clients are led to the primary by HAProxy.
func TestFailoverHAProxy(t *testing.T) {
	proxies.Find(t, "haproxy")
	failOver(t, form(1, 20), func(t *testing.T) pair {
		p := newPair(t)
		p.writes = proxies.HAProxy(t, p.primary, p.standby)
		return p
	})
}

func failOver(t *testing.T, rounds int, start func(*testing.T) pair) {
	t.Helper()
	from := seed(t)
	var sum beliefs
	var reads int64
	var longest, longestRead time.Duration
	for round := range rounds {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			p := start(t)
			writes := open(t, p.writes, named("writes"))
			replica := open(t, p.standby, named("reads"))
			client := admin.New(writes, admin.WithReader(replica))
			b := newBeliefs()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var running sync.WaitGroup
			for actor := range 8 {
				random := source(from, round*100+actor)
				running.Go(func() { b.call(ctx, client, random) })
			}
			var reading timing
			for range 2 {
				running.Go(func() {
					for ctx.Err() == nil {
						start := time.Now()
						if err := read(ctx, client, writes, replica); err != nil && ctx.Err() == nil {
							t.Errorf("a read on the standby: %v", err)
							return
						}
						reading.add(time.Since(start))
					}
				})
			}
			settled := func() {
				t.Helper()
				enough := b.successes.Load() + int64(form(50, 500))
				wait(t, "calls succeed", func(context.Context) bool { return b.successes.Load() >= enough })
			}
			settled()
			start := time.Now()
			p.fail()
			before := b.successes.Load()
			wait(t, "a call succeeds on the new primary", func(context.Context) bool { return b.successes.Load() > before })
			outage := time.Since(start)
			settled()
			stop()
			running.Wait()
			b.check(t, replica)
			if b.unknown == 0 {
				t.Log("no outcome was unknown")
			}
			took, count := reading.take()
			longest, longestRead, reads = max(longest, outage), max(longestRead, took), reads+int64(count)
			sum.add(b)
		})
	}
	row(t, "%d failovers, service resumed within %s; %d calls: %d acknowledged and kept, %d failed and without effect, %d of unknown outcome, of which %d were done; %d reads on the standby went on, the longest took %s",
		rounds, longest.Round(time.Millisecond), sum.successes.Load()+int64(sum.failed+sum.unknown), sum.successes.Load(), sum.failed, sum.unknown, sum.done,
		reads, longestRead.Round(time.Millisecond))
}

// read makes calls that only read, also with a new client and for a job that is not there.
func read(ctx context.Context, client *admin.Client, writes, replica *pgxpool.Pool) error {
	_, err := client.ListJobs(ctx, admin.Filter{}, &admin.ListOptions{PageSize: 10})
	if err == nil {
		_, err = client.Stats(ctx, nil)
	}
	if err == nil {
		_, err = admin.New(writes, admin.WithReader(replica)).GetJob(ctx, -1)
	}
	if err == nil {
		return errors.New("there is a job -1")
	}
	if errors.Is(err, admin.ErrJobNotFound) {
		return nil
	}
	return err
}

// beliefs are what callers know of jobs: for each job the states in which it may be. A state
// is its priority, or absent. A job is known by the number in its payload, {"n": n}.
type beliefs struct {
	mu        sync.Mutex
	last      int
	may       map[int][]int
	failed    int
	unknown   int
	done      int // of unknown outcome, and done
	successes atomic.Int64
}

const absent = -1

func newBeliefs() *beliefs { return &beliefs{may: map[int][]int{}} }

// learn adds what the outcome of a call says of jobs that it was to bring into a state.
func (b *beliefs) learn(err error, state int, jobs ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.successes.Add(1)
	case errors.Is(err, admin.ErrOutcomeUnknown):
		b.unknown++
	default:
		b.failed++
	}
	for _, n := range jobs {
		if _, ok := b.may[n]; !ok {
			b.may[n] = []int{absent}
		}
		switch {
		case err == nil:
			b.may[n] = []int{state}
		case errors.Is(err, admin.ErrOutcomeUnknown):
			b.may[n] = append(b.may[n], state)
		}
	}
}

// troubled is how many calls have not succeeded.
func (b *beliefs) troubled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed + b.unknown
}

// add adds what others believe, but for the jobs.
func (b *beliefs) add(other *beliefs) {
	b.successes.Add(other.successes.Load())
	b.failed += other.failed
	b.unknown += other.unknown
	b.done += other.done
}

// next returns the numbers of new jobs.
func (b *beliefs) next(count int) (numbers []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range count {
		b.last++
		numbers = append(numbers, b.last)
	}
	return numbers
}

type numbered struct {
	N int `json:"n"`
}

// call makes calls that change jobs until the context ends; then it returns when the
// last one has its answer.
func (b *beliefs) call(until context.Context, client *admin.Client, random *rand.Rand) {
	ctx := context.WithoutCancel(until)
	adder := admin.NewAdder(client, nil)
	defer adder.Close(ctx)
	for until.Err() == nil {
		var numbers []int
		var ids []int64
		var err error
		priority := random.IntN(100)
		options := &admin.AddJobOptions{Priority: &priority}
		switch random.IntN(3) {
		case 0:
			var job *admin.Job
			numbers = b.next(1)
			if job, err = client.AddJob(ctx, "work", numbered{numbers[0]}, options); err == nil {
				ids = []int64{job.ID}
			}
		case 1:
			var job *admin.Job
			numbers = b.next(1)
			if job, err = adder.AddJob(ctx, "work", numbered{numbers[0]}, options); err == nil {
				ids = []int64{job.ID}
			}
		default:
			numbers = b.next(1 + random.IntN(20))
			specs := make([]admin.JobSpec, len(numbers))
			for i, n := range numbers {
				specs[i] = admin.JobSpec{TaskIdentifier: "work", Payload: numbered{n}, Priority: &priority}
			}
			ids, err = client.AddJobsIDs(ctx, specs, nil)
		}
		b.learn(err, priority, numbers...)
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		changed := 100 + random.IntN(100)
		_, err = client.RescheduleJobs(ctx, ids, admin.RescheduleValues{Priority: &changed}, nil)
		b.learn(err, changed, numbers...)
		if random.IntN(2) == 0 {
			_, err = client.CompleteJobs(ctx, ids, nil)
			b.learn(err, absent, numbers...)
		}
	}
}

// check compares the beliefs with the jobs in the database.
func (b *beliefs) check(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	rows, err := pool.Query(t.Context(), "select (payload ->> 'n')::int, priority::int from graphile_worker._private_jobs")
	if err != nil {
		t.Fatal(err)
	}
	jobs := map[int]int{}
	var n, priority int
	_, err = pgx.ForEachRow(rows, []any{&n, &priority}, func() error {
		if _, twice := jobs[n]; twice {
			t.Errorf("job %d is there twice", n)
		}
		jobs[n] = priority
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range jobs {
		if b.may[n] == nil {
			t.Errorf("job %d was never sent", n)
		}
	}
	for n, may := range b.may {
		state, there := jobs[n]
		if !there {
			state = absent
		}
		if !slices.Contains(may, state) {
			t.Errorf("job %d: its state is %d (%d: absent), want one of %v", n, state, absent, may)
		}
		if len(may) > 1 && state == may[len(may)-1] {
			b.done++
		}
	}
}
