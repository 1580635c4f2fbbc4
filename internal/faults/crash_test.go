package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgserver"
)

// TestCrash kills PostgreSQL, or one of its processes, while clients make calls. After each
// crash the jobs must be what the clients were told.
func TestCrash(t *testing.T) {
	s := server(t, nil)
	seed := seed(t)
	random := source(seed, -1)
	pool := open(t, s.URL("postgres"), named("check"))
	var actors []*actor
	for i := range 6 {
		name := fmt.Sprint("actor_", i)
		a := newActor(open(t, s.URL("postgres"), named(name)), name, source(seed, i), 0)
		if i == 0 {
			a.most = form(200, 12_000) // a call needs several statements for them
		}
		a.install(t, pool)
		actors = append(actors, a)
	}
	crashes := form(4, 100)
	killed := map[string]int{}
	for range crashes {
		// Not the test's context: a call that hangs is to end with an error that is reported.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		over := make(chan struct{})
		var acting sync.WaitGroup
		for _, a := range actors {
			acting.Go(func() { a.run(ctx, over, nil) })
		}
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		hold := random.IntN(2) == 0
		if hold {
			holdAnswers(t, pool, true)
			time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		}
		killed[kill(t, s, pool, random)]++
		if hold {
			holdAnswers(t, pool, false)
		}
		time.Sleep(20 * time.Millisecond) // some calls after it
		close(over)
		acting.Wait()
		if ctx.Err() != nil {
			t.Fatal("a call went on for a minute")
		}
		cancel()
		for _, a := range actors {
			a.verify(t, pool)
		}
	}
	sum := tally(actors)
	row(t, "%d crashes %v under %d clients; %d calls done, all of them kept; %d not done, none of them done; %d unknown, of which %d were done, in whole batches",
		crashes, killed, len(actors), sum.done, sum.refused, sum.unknown, sum.happened)
}

// holdAnswers makes commits wait for a standby that does not exist, or ends that. They are
// on the disk then, and their answers are not sent: a crash takes those.
func holdAnswers(t *testing.T, pool *pgxpool.Pool, hold bool) {
	t.Helper()
	exec(t, pool, fmt.Sprintf("alter system set synchronous_standby_names = '%s'", map[bool]string{true: "nobody"}[hold]))
	exec(t, pool, "select pg_catalog.pg_reload_conf()")
}

// kill kills a process of the server, waits until the server works again, and returns what
// it was.
func kill(t *testing.T, s *pgserver.Server, pool *pgxpool.Pool, random *rand.Rand) string {
	t.Helper()
	if random.IntN(2) == 0 {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	} else {
		type child struct {
			PID  int
			Type string
		}
		list := func(ctx context.Context) (children []child, err error) {
			rows, _ := pool.Query(ctx, "select pid, backend_type from pg_catalog.pg_stat_activity order by pid")
			return pgx.CollectRows(rows, pgx.RowToStructByPos[child])
		}
		children, err := list(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		victim := children[random.IntN(len(children))]
		process, err := os.FindProcess(victim.PID)
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
		wait(t, "PostgreSQL starts all its processes again", func(ctx context.Context) bool {
			now, err := list(ctx)
			return err == nil && !slices.ContainsFunc(now, func(c child) bool { return slices.Contains(children, c) })
		})
		return victim.Type
	}
	wait(t, "PostgreSQL works again", func(ctx context.Context) bool { return pool.Ping(ctx) == nil })
	return "postmaster"
}
