package faults

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/netfault"
)

// A disturbance breaks the network between the clients and the server. Its second half
// ends it.
type disturbance struct {
	name  string
	begin func(n *network)
}

// A network is what disturbances work on.
type network struct {
	*testing.T
	proxy  *netfault.Proxy
	pool   *pgxpool.Pool // not through the proxy
	random *rand.Rand
}

// nth matches one of the next statements.
func (n *network) nth(match func(sql string) bool) func(sql string) bool {
	var left atomic.Int64
	left.Store(n.random.Int64N(20))
	return func(sql string) bool { return match(sql) && left.Add(-1) < 0 }
}

func anything(string) bool { return true }

var disturbances = []disturbance{
	{"cut", func(n *network) { n.proxy.Cut() }},
	{"cut within an answer", func(n *network) { n.proxy.CutAfter(n.random.IntN(3000)) }},
	{"cut, and new connections refused", func(n *network) { n.proxy.Refuse(); n.proxy.Cut() }},
	{"stalled", func(n *network) { n.proxy.Stall() }},
	{"slow", func(n *network) { n.proxy.Slow(20_000 + n.random.IntN(200_000)) }},
	{"half-open: the server has closed the connection", func(n *network) {
		n.proxy.Stall()
		exec(n.T, n.pool, "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where application_name like 'actor%'")
	}},
	{"half-open: the client has closed the connection", func(n *network) { // and the server learns it late
		n.proxy.Stall()
		time.Sleep(2 * networkPatience)
		n.proxy.Cut()
	}},
	{"statement lost and cut", func(n *network) { n.proxy.At(n.nth(anything), netfault.Cut) }},
	{"answer lost and cut", func(n *network) { n.proxy.At(n.nth(anything), netfault.CutAnswer) }},
	{"statement stalled", func(n *network) { n.proxy.At(n.nth(anything), netfault.Stall) }},
	{"answer stalled", func(n *network) { n.proxy.At(n.nth(anything), netfault.StallAnswer) }},
	{"COMMIT lost and cut", func(n *network) { n.proxy.At(netfault.Commit, netfault.Cut) }},
	{"answer of COMMIT lost and cut", func(n *network) { n.proxy.At(netfault.Commit, netfault.CutAnswer) }},
	{"COMMIT stalled", func(n *network) { n.proxy.At(netfault.Commit, netfault.Stall) }},
	{"answer of COMMIT stalled", func(n *network) { n.proxy.At(netfault.Commit, netfault.StallAnswer) }},
}

const (
	networkPatience = 300 * time.Millisecond // of a call
	networkGrace    = 200 * time.Millisecond // of a COMMIT after that
)

// TestNetwork breaks the network while clients make calls. The calls end by their contexts,
// and the jobs are what the clients were told. When the network works again the clients do,
// and no connection or goroutine is left over.
func TestNetwork(t *testing.T) {
	s := server(t, nil)
	seed := seed(t)
	n := &network{t, netfault.New(t, s.URL("postgres")), open(t, s.URL("postgres"), named("check")), source(seed, -1)}
	before := goroutines()
	var actors []*actor
	var pools []*pgxpool.Pool
	for i := range 4 {
		name := fmt.Sprint("actor_", i)
		pool := open(t, n.proxy.URL(), named(name), func(config *pgxpool.Config) { config.MaxConns = 4 })
		pools = append(pools, pool)
		a := newActor(pool, name, source(seed, i), 0, admin.WithCommitGrace(networkGrace))
		a.patience = networkPatience
		a.install(t, n.pool)
		actors = append(actors, a)
	}
	rounds := form(1, 40) // of all disturbances
	var slowest time.Duration
	for range rounds {
		for _, i := range n.random.Perm(len(disturbances)) {
			d := disturbances[i]
			over := make(chan struct{})
			var acting sync.WaitGroup
			for _, a := range actors {
				acting.Go(func() { a.run(context.Background(), over, nil) })
			}
			time.Sleep(time.Duration(n.random.IntN(50)) * time.Millisecond)
			d.begin(n)
			time.Sleep(time.Duration(n.random.IntN(500)) * time.Millisecond)
			n.proxy.Heal()
			healed := time.Now()
			for i, pool := range pools {
				wait(t, "the pool works after it was "+d.name, func(ctx context.Context) bool {
					return pool.Ping(ctx) == nil && actors[i].client.Check(ctx) == nil
				})
			}
			slowest = max(slowest, time.Since(healed))
			close(over)
			acting.Wait()
			// A statement that was stalled arrives late, after its caller has given up. So no
			// connection may be open any more when the jobs are read.
			for _, pool := range pools {
				pool.Reset()
			}
			wait(t, "all connections end after "+d.name, func(ctx context.Context) bool {
				sessions := -1
				_ = n.pool.QueryRow(ctx, "select count(*) from pg_catalog.pg_stat_activity where application_name like 'actor%'").Scan(&sessions)
				return sessions == 0 && n.proxy.Open() == 0
			})
			for _, a := range actors {
				a.verify(t, n.pool)
			}
		}
	}
	sum := tally(actors)
	// The rest is for a machine that is busy.
	if limit := networkPatience + networkGrace + 10*time.Second; sum.longest > limit {
		t.Errorf("a call took %s, though its context ended after %s", sum.longest, networkPatience)
	}
	for i, a := range actors {
		wait(t, "the adder ends, and all connections are released", func(ctx context.Context) bool {
			return a.adder.Close(ctx) == nil && pools[i].Stat().AcquiredConns() == 0
		})
		pools[i].Close()
	}
	var left string
	for range 300 {
		if left = newGoroutines(before); left == "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if left != "" {
		t.Errorf("goroutines are left over:\n%s", left)
	}
	row(t, "%d rounds of %d disturbances under %d clients; %d calls done, all of them kept; %d not done, none of them done; "+
		"%d unknown, of which %d were done; the longest call took %s, its context %s and the grace of a COMMIT %s; "+
		"after at most %s every pool worked again; no connection or goroutine left over",
		rounds, len(disturbances), len(actors), sum.done, sum.refused, sum.unknown, sum.happened,
		sum.longest.Round(time.Millisecond), networkPatience, networkGrace, slowest.Round(time.Millisecond))
}

// goroutines returns the ids of the goroutines that there are, with their stacks.
func goroutines() map[string]string {
	stacks := make([]byte, 8<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	found := map[string]string{}
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		id, _, _ := strings.Cut(string(stack), " [")
		found[id] = string(stack)
	}
	return found
}

// newGoroutines returns the stacks of the goroutines that were not there before.
func newGoroutines(before map[string]string) string {
	var stacks []string
	for id, stack := range goroutines() {
		if _, old := before[id]; !old {
			stacks = append(stacks, stack)
		}
	}
	return strings.Join(stacks, "\n\n")
}
