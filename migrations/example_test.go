package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/migrations"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// database returns an empty database for an example, which calls done.
func database() (pool *pgxpool.Pool, done func()) {
	tb, done := pgtest.Example()
	return pgtest.Pool(tb, nil), done
}

func ExampleMigrator_Up() {
	ctx := context.Background()
	pool, done := database() // a *pgxpool.Pool, as pgxpool.New returns it
	defer done()

	migrator, err := migrations.New(pool, &migrations.Options{WaitLock: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		result, err := migrator.Up(ctx, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("applied %d migrations: revision %d, before %d\n", len(result.Applied), result.After, result.Before)
	}
	// Output:
	// applied 4 migrations: revision 20, before 0
	// applied 0 migrations: revision 20, before 20
}

func ExampleMigrator_Plan() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	migrator, err := migrations.New(pool, &migrations.Options{Schema: "jobs"})
	if err != nil {
		log.Fatal(err)
	}

	plan, err := migrator.Plan(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range plan.Steps {
		fmt.Println(step.Version, step.Name)
	}
	comment, _, _ := strings.Cut(plan.Script, "\n") // for psql
	fmt.Println(comment)
	// Output:
	// 1 tables
	// 2 producer_functions
	// 3 admin_functions
	// 4 jobs_view
	// -- Graphile Worker's schema "jobs", revision 20.
}

func ExampleMigrator_Status() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		log.Fatal(err)
	}

	status, err := migrator.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("revision %d, %d migrations pending\n", status.Revision, len(status.Pending()))
	// Output: revision 0, 4 migrations pending
}

func ExampleMigrator_Validate() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	migrator := migrated(pool)

	if _, err := pool.Exec(ctx, "alter table graphile_worker._private_jobs alter priority set default 7"); err != nil {
		log.Fatal(err)
	}
	found, err := migrator.Validate(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, difference := range found.Differences {
		fmt.Println(difference)
	}
	// Output: column _private_jobs.priority is changed: want smallint not null default 0, position 5; got smallint not null default 7, position 5
}

func ExampleMigrator_Down() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	migrator := migrated(pool)

	if _, err := pool.Exec(ctx, "select graphile_worker.add_job('send_email')"); err != nil {
		log.Fatal(err)
	}
	_, err := migrator.Down(ctx, migrations.DownOptions{})
	fmt.Println(errors.Is(err, migrations.ErrJobsLeft))

	result, err := migrator.Down(ctx, migrations.DownOptions{LoseJobs: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("undid %d migrations and lost %d job\n", len(result.Undone), result.Jobs)
	// Output:
	// true
	// undid 4 migrations and lost 1 job
}

func ExampleGrants_GrantSQL() {
	pool, done := database()
	defer done()
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		log.Fatal(err)
	}

	statements, err := migrator.Grants().GrantSQL(migrations.Reader, "dashboard")
	if err != nil {
		log.Fatal(err)
	}
	for _, statement := range statements {
		if strings.HasPrefix(statement, "grant ") {
			fmt.Println(statement)
		}
	}
	// Output:
	// grant usage on schema graphile_worker to "dashboard";
	// grant select on all tables in schema graphile_worker to "dashboard";
}

func ExampleIndexes_Add() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	indexes := migrated(pool).Indexes()

	steps, err := indexes.Add(ctx, []string{"gwadmin_jobs_run_at"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range steps {
		fmt.Println(strings.Join(step.SQL, ";\n"))
	}
	// Output: create index concurrently gwadmin_jobs_run_at on "graphile_worker"."_private_jobs" USING btree (run_at, id)
}

func ExampleInstallPlan() {
	plan, err := migrations.InstallPlan(&migrations.Options{Schema: "jobs"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(plan.Steps), strings.Contains(plan.Body, `create table "jobs"._private_jobs`))
	// Output: 4 true
}

// migrated returns the migrator of a database that it has migrated.
func migrated(pool *pgxpool.Pool) *migrations.Migrator {
	migrator, err := migrations.New(pool, nil)
	if err == nil {
		_, err = migrator.Up(context.Background(), nil)
	}
	if err != nil {
		log.Fatal(err)
	}
	return migrator
}
