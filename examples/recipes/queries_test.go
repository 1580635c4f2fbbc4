package recipes

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/examples/recipes/sqlc/db"
	"github.com/gwadmin/gwadmin/examples/recipes/sqlc/sqldb"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

var (
	now      = pgtype.Timestamptz{Valid: true} // the tests do not compare which time it is
	infinity = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
)

// migrated is a database in which goose has run the team's migrations and ours.
func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Pool(t, nil, withPublic)
	newRecipe(t, "sqlc", pool.Config().ConnString()).run(`gwadmin migrate up && goose -dir migrations postgres "$DATABASE_URL" up`)
	return pool
}

// withPublic is how a team connects.
func withPublic(c *pgxpool.Config) { delete(c.ConnConfig.RuntimeParams, "search_path") }

// TestPgx calls what sqlc generates, with values that are not easy to scan.
func TestPgx(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), migrated(t)
	queries := db.New(pool)
	placed, err := queries.PlaceOrder(ctx, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	job := db.Job{ID: placed.JobID, TaskIdentifier: "ship_order", RunAt: now, MaxAttempts: 25, Key: new(fmt.Sprintf("order-%d", placed.ID))}
	check := func() {
		t.Helper()
		open, err := queries.OpenOrders(ctx, "ship_order")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]db.OpenOrdersRow{{ID: placed.ID, Customer: "Ada", Job: job}}, open, cmpopts.IgnoreTypes(time.Time{})); diff != "" {
			t.Errorf("OpenOrders: -want +got\n%s", diff)
		}
	}
	check()
	if _, err := pool.Exec(ctx, unusual); err != nil {
		t.Fatal(err)
	}
	job.QueueName, job.RunAt, job.LastError, job.Flags = new("trucks"), infinity, new("no driver"), json.RawMessage(`{"night": true}`)
	job.LockedAt, job.LockedBy = infinity, new("pool-1")
	check()
	payload, err := queries.JobPayload(ctx, placed.JobID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(json.RawMessage(fmt.Sprintf(`{"order" : %d}`, placed.ID)), payload); diff != "" {
		t.Errorf("JobPayload: -want +got\n%s", diff)
	}
}

// TestDatabaseSQL does the same with database/sql.
func TestDatabaseSQL(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), migrated(t)
	queries := sqldb.New(stdlib.OpenDBFromPool(pool))
	placed, err := queries.PlaceOrder(ctx, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	job := sqldb.Job{ID: placed.JobID, TaskIdentifier: "ship_order", RunAt: now, MaxAttempts: 25, Key: new(fmt.Sprintf("order-%d", placed.ID))}
	check := func() {
		t.Helper()
		open, err := queries.OpenOrders(ctx, "ship_order")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]sqldb.OpenOrdersRow{{ID: placed.ID, Customer: "Ada", Job: job}}, open, cmpopts.IgnoreTypes(time.Time{})); diff != "" {
			t.Errorf("OpenOrders: -want +got\n%s", diff)
		}
	}
	check()
	if _, err := pool.Exec(ctx, unusual); err != nil {
		t.Fatal(err)
	}
	job.QueueName, job.RunAt, job.LastError, job.Flags = new("trucks"), infinity, new("no driver"), new(json.RawMessage(`{"night": true}`))
	job.LockedAt, job.LockedBy = infinity, new("pool-1")
	check()
	payload, err := queries.JobPayload(ctx, placed.JobID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(json.RawMessage(fmt.Sprintf(`{"order" : %d}`, placed.ID)), payload); diff != "" {
		t.Errorf("JobPayload: -want +got\n%s", diff)
	}
}

// unusual gives the job the values that a job seldom has.
const unusual = `with queue as (
  insert into graphile_worker._private_job_queues (queue_name) values ('trucks') returning id
)
update graphile_worker._private_jobs set job_queue_id = (select id from queue), run_at = 'infinity', last_error = 'no driver',
  flags = '{"night": true}', locked_at = 'infinity', locked_by = 'pool-1'`
