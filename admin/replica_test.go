package admin_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// everyRead are all calls that only read, on the jobs of the fixture or others.
func everyRead() map[string]func(context.Context, *admin.Client) error {
	all := maps.Clone(reads)
	all["GetJob"] = func(ctx context.Context, c *admin.Client) error { _, err := c.GetJob(ctx, 2); return err }
	all["GetJobByKey"] = func(ctx context.Context, c *admin.Client) error { _, err := c.GetJobByKey(ctx, "key 2"); return err }
	all["AllJobs with payloads"] = func(ctx context.Context, c *admin.Client) error {
		for _, err := range c.AllJobs(ctx, admin.Filter{}, &admin.ListOptions{PageSize: 1000, PayloadBytes: 1 << 20}) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	return all
}

// Every call that only reads works on a physical replica, in every mode, with a client of the
// primary and a reader, and with a client of the replica alone.
func TestReplica(t *testing.T) {
	t.Parallel()
	primaryURL, standbyURL := pgtest.Replicated(t, testdb.Ours(""))
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			pool := func(url string) (*pgxpool.Pool, *recorder) {
				sent := &recorder{}
				config := pgtest.Config(t, url)
				config.ConnConfig.DefaultQueryExecMode = mode
				config.ConnConfig.Tracer = sent
				pool, err := pgxpool.NewWithConfig(ctx, config)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(pool.Close)
				return pool, sent
			}
			primary, sent := pool(primaryURL)
			standby, read := pool(standbyURL)
			b := &bench{TB: t, ctx: ctx, pool: primary, on: onPool(primary), client: admin.New(onPool(primary), admin.WithReader(onPool(standby))), sent: sent}
			replica := &bench{TB: t, ctx: ctx, pool: standby, on: onPool(standby), client: admin.New(onPool(standby))}
			b.check("in recovery", []bool{true}, rowsOf[bool](replica, "select pg_is_in_recovery()"))

			b.exec("truncate graphile_worker._private_jobs, graphile_worker._private_tasks, graphile_worker._private_job_queues restart identity")
			jobs := b.fixture()
			pgtest.CatchUp(t, primaryURL, standbyURL)
			for _, client := range []*admin.Client{b.client, replica.client} {
				b.ok(nil, client.Check(ctx))
				b.ok(client.Stats(ctx, nil)) // the first call checks the schema on the primary
				for name, call := range everyRead() {
					sent.take()
					read.take()
					if err := call(ctx, client); err != nil {
						b.Errorf("%s: %v", name, err)
					}
					b.check(name+" on the primary", []string(nil), sent.names())
					if len(read.take()) == 0 {
						b.Errorf("%s: the replica was asked nothing", name)
					}
				}
				var got []admin.Job
				for job, err := range client.AllJobs(ctx, admin.Filter{}, &admin.ListOptions{PayloadBytes: 1000}) {
					b.ok(nil, err)
					got = append(got, job.Job)
				}
				b.check("jobs", jobs, got)
			}
			// Calls that only read do not need the primary.
			gone, _ := pool("postgres://127.0.0.1:1/gone?sslmode=disable")
			orphan := admin.New(gone, admin.WithReader(standby))
			for name, call := range everyRead() {
				if err := call(ctx, orphan); err != nil {
					b.Errorf("%s without the primary: %v", name, err)
				}
			}
			if _, err := orphan.GetJob(ctx, -1); !errors.Is(err, admin.ErrJobNotFound) {
				b.Errorf("no such job, without the primary: got %v, want ErrJobNotFound", err)
			}
			// A call that changes jobs does not use the replica.
			b.ok(b.client.CompleteJobs(ctx, []int64{1}, nil))
			if _, err := replica.client.CompleteJobs(ctx, []int64{2}, nil); code(err) != "25006" {
				b.Errorf("completing on the replica: %v", err)
			}
		})
	}
}
