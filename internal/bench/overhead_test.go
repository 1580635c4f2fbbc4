package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/db"
)

// BenchmarkFacade compares calls with the generated queries behind them, on the same
// connection. Nothing waits for the disk, which would hide the overhead.
func BenchmarkFacade(b *testing.B) {
	d := theSuite(b).database(b, addsLazily())
	lease, err := poolOf(b, d, 1).Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer lease.Release()
	conn := lease.Conn()
	client, queries := admin.New(conn), db.New()

	b.Run("call=AddJob", func(b *testing.B) {
		benchmarkFacade(b, d, "AddJob",
			func(ctx context.Context, _ int64) error {
				_, err := client.AddJob(ctx, "task_1", payloadOf(1), nil)
				return err
			},
			func(ctx context.Context, _ int64) error {
				body, err := json.Marshal(payloadOf(1))
				if err != nil {
					return err
				}
				_, err = queries.JobAdd(ctx, conn, db.JobAddParams{Identifier: "task_1", Payload: new(string(body))})
				return err
			}, nil)
	})
	b.Run("call=CompleteJobs", func(b *testing.B) {
		benchmarkFacade(b, d, "CompleteJobs, 1 id",
			func(ctx context.Context, id int64) error {
				ids := []int64{id}
				return all(ids)(client.CompleteJobs(ctx, ids, nil))
			},
			func(ctx context.Context, id int64) error {
				rows, err := queries.JobComplete(ctx, conn, db.JobCompleteParams{Ids: []int64{id}})
				if err == nil && len(rows) == 0 {
					err = fmt.Errorf("job %d was not deleted", id)
				}
				return err
			}, conn)
	})
}

// benchmarkFacade makes each call n times. A call that needs a job gets a new one each
// time.
func benchmarkFacade(b *testing.B, d *database, name string, facade, query func(context.Context, int64) error, conn *pgx.Conn) {
	ctx := b.Context()
	allocations := map[string][]float64{}
	measured := func(name string, call func(context.Context, int64) error) way {
		return way{name, func(n int) (time.Duration, error) {
			ids := make([]int64, n)
			if conn != nil {
				rows, err := conn.Query(ctx, `insert into graphile_worker._private_jobs (task_id)
					select 1 from generate_series(1, $1::int) returning id`, n)
				if err != nil {
					return 0, err
				}
				if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
					return 0, err
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			took, err := stopwatch(func() error {
				for _, id := range ids {
					if err := call(ctx, id); err != nil {
						return err
					}
				}
				return nil
			})
			runtime.ReadMemStats(&after)
			// Rounded, so that what else the process allocates now and then does not count.
			allocations[name] = append(allocations[name], float64((after.Mallocs-before.Mallocs)/uint64(n)))
			return took, err
		}}
	}
	c := comparison{
		work:   name,
		size:   "1 connection, synchronous_commit off",
		unit:   "calls",
		warm:   50,
		most:   2_000,
		rounds: 20,
		ways:   []way{measured("gwadmin", facade), measured("generated query", query)},
		ratios: []ratio{{"gwadmin", "generated query", facadeTime}},
		after:  func() error { return d.empty(ctx) },
	}
	c.compare(b)

	us, them := median(allocations["gwadmin"]), median(allocations["generated query"])
	line(os.Stdout, b.Name()+"/way=gwadmin", 1, "%.1f allocs/op", us)
	line(os.Stdout, b.Name()+"/way=generated query", 1, "%.1f allocs/op", them)
	conclude(b, result{
		Work: name + ", allocations", Size: "a call", Ours: "gwadmin", Theirs: "generated query", Aim: facadeAllocs,
		Ratio: us - them, Low: us - them, High: us - them,
		Figures: &[2]string{fmt.Sprintf("%.0f", us), fmt.Sprintf("%.0f", them)},
	})
}
