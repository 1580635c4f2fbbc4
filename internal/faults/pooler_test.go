//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/proxies"
	"github.com/gwadmin/gwadmin/migrations"
)

// pooledModes are the modes of pgx that PgBouncer in transaction mode allows. The others use a
// statement that they have prepared in another round trip.
var pooledModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// 50 clients share 5 connections of PgBouncer in transaction mode, and make every call.
func TestPooler(t *testing.T) {
	const clients, conns = 50, 5
	s := server(t, nil)
	for i, mode := range pooledModes {
		t.Run(mode.String(), func(t *testing.T) {
			name := fmt.Sprint("pooled_", i)
			direct := open(t, newDatabase(t, s, name, ""), named("direct"))
			through := proxies.PgBouncer(t, s.URL(name), conns)
			pools := make([]*pgxpool.Pool, clients)
			for i := range pools {
				pools[i] = open(t, through, func(config *pgxpool.Config) {
					delete(config.ConnConfig.RuntimeParams, "search_path") // PgBouncer refuses it
					config.ConnConfig.DefaultQueryExecMode = mode
					config.MaxConns = 1
				})
			}
			each := func(do func(n int, pool *pgxpool.Pool) error) {
				t.Helper()
				var running sync.WaitGroup
				for n, pool := range pools {
					running.Go(func() {
						if err := do(n, pool); err != nil {
							t.Errorf("client %d: %v", n, err)
						}
					})
				}
				running.Wait()
				if t.Failed() {
					t.FailNow()
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), form(time.Minute, 10*time.Minute))
			defer cancel()
			each(func(_ int, pool *pgxpool.Pool) error { return up(ctx, migrator(t, pool, nil)) })
			each(func(n int, pool *pgxpool.Pool) error {
				m := migrator(t, pool, nil)
				_, planErr := m.Plan(ctx, nil)
				_, statusErr := m.Status(ctx)
				found, validateErr := m.Validate(ctx)
				if validateErr == nil && len(found.Differences) > 0 {
					validateErr = fmt.Errorf("differences: %v", found.Differences)
				}
				return errors.Join(planErr, statusErr, validateErr)
			})
			var calls atomic.Int64
			start := time.Now()
			each(func(n int, pool *pgxpool.Pool) error {
				client := admin.New(pool)
				for range form(1, 20) {
					scene, err := newScene(ctx, direct, n)
					if err != nil {
						return err
					}
					for _, call := range everyCall {
						if err := call.do(ctx, client, scene); err != nil {
							return fmt.Errorf("%s: %w", call.method, err)
						}
						calls.Add(1)
					}
					err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
						inside := client.WithTx(tx)
						job, err := inside.AddJob(ctx, "in a transaction", n, nil)
						if err != nil {
							return err
						}
						return changed(1)(inside.CompleteJobs(ctx, []int64{job.ID}, nil))
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
			took := time.Since(start)
			var left int
			if err := direct.QueryRow(ctx, "select count(*) from graphile_worker._private_jobs").Scan(&left); err != nil || left != 0 {
				t.Errorf("%d jobs are left (%v), want 0", left, err)
			}
			var used int
			const others = "select count(*) from pg_stat_activity where datname = current_database() and application_name <> 'direct'"
			if err := direct.QueryRow(ctx, others).Scan(&used); err != nil || used != conns {
				t.Errorf("PgBouncer has used %d connections (%v), want %d", used, err, conns)
			}
			if _, err := migrator(t, pools[0], nil).Down(ctx, migrations.DownOptions{}); err != nil {
				t.Error(err)
			}
			row(t, "%d clients on %d connections: all of them migrated, and made %d calls in %s", clients, conns, calls.Load(), took.Round(time.Millisecond))
		})
	}
}
