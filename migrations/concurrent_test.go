package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

func TestUpAtOnce(t *testing.T) {
	t.Parallel()
	for _, schema := range schemaNames[:2] {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, pgtest.Pool(t, nil), schema)
			benches := make([]*bench, 8)
			for i := range benches {
				benches[i] = b.another()
			}
			var mu sync.Mutex
			var applied []migrations.Migration
			var wg sync.WaitGroup
			for _, b := range benches {
				wg.Go(func() {
					result, err := b.migrator.Up(b.ctx, nil)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					applied = append(applied, result.Applied...)
				})
			}
			wg.Wait()
			if diff := cmp.Diff(allMigrations, applied); diff != "" {
				t.Errorf("all of them together applied: -want +got\n%s", diff)
			}
			b.checkCatalog()
			b.checkLedger()
		})
	}
}

func TestUpAndDownAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		other := b.another()
		wg.Go(func() {
			for range 3 {
				var err error
				if i%2 == 0 {
					_, err = other.migrator.Up(b.ctx, nil)
				} else {
					_, err = other.migrator.Down(b.ctx, migrations.DownOptions{})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.up()
	b.checkCatalog()
	b.checkLedger()
}

// Node takes its time to start, so the rounds let four of ours begin at
// different moments of four installations.
func TestUpBesideInstall(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	newest := []string{"0.18.0", "0.18.0", "0.18.0", "0.18.0"}
	// The older release only warns about revision 20.
	mixed := []string{"0.17.3", "0.18.0", "0.17.3", "0.18.0"}
	for _, tc := range []struct {
		on       string // the release that the database is of; empty for an empty one
		releases []string
		from     []int // our start, for each round: when the ledger has this revision; -1 for at once
	}{
		{"", newest, []int{-1, 0, 1, 9, 17, 18, 19}},
		{"", mixed, []int{-1, 0, 1, 18, 19}},
		{"0.16.6", newest, []int{18, 18, 19, 19, 20}},
		{"0.16.6", mixed, []int{18, 19}},
		{"0.17.3", newest, []int{19, 20}},
	} {
		t.Run(fmt.Sprintf("on %q with %s", tc.on, tc.releases[0]), func(t *testing.T) {
			t.Parallel()
			var template *pgtest.Template
			if tc.on != "" {
				template = seeded(t, tc.on)
			}
			for round, from := range tc.from {
				t.Run(fmt.Sprintf("round %d from %d", round, from), func(t *testing.T) {
					besideInstall(newBench(t, template), tc.releases, from)
				})
			}
		})
	}
}

func besideInstall(b *bench, releases []string, from int) {
	b.Helper()
	var rows map[string][]string
	if rowsOf[bool](b, "select to_regclass('graphile_worker._private_jobs') is not null")[0] {
		rows = b.rows()
	}
	ours := make([]*bench, 4)
	for i := range ours {
		ours[i] = b.another()
	}
	var wg sync.WaitGroup
	for _, release := range releases {
		wg.Go(func() {
			if err := upstream.Install(b.ctx, release, b.url, b.schema); err != nil {
				b.Error(err)
			}
		})
	}
	b.awaitRevision(from)
	for _, b := range ours {
		wg.Go(func() {
			if _, err := b.migrator.Up(b.ctx, nil); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.checkCatalog()
	b.checkLedger()
	if rows != nil {
		if diff := cmp.Diff(rows, b.rows()); diff != "" {
			b.Errorf("rows: -before +after\n%s", diff)
		}
	}
}

// awaitRevision waits until the ledger has a revision; with 0 until there is a
// ledger, and with -1 not at all.
func (b *bench) awaitRevision(id int) {
	b.Helper()
	if id < 0 {
		return
	}
	for b.ctx.Err() == nil {
		if rowsOf[bool](b, "select to_regclass('graphile_worker.migrations') is not null")[0] {
			if id == 0 || rowsOf[bool](b, "select coalesce(max(id), 0) >= $1 from graphile_worker.migrations", id)[0] {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatal("nobody installs that")
}

// One of several installers may be late with its "alter table … add column if
// not exists", which waits for everybody who has read the ledger and holds up
// those who come after, such as the installer that Up waits for.
func TestUpDoesNotHoldUpInstallers(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.exec(`create schema graphile_worker;
		create table graphile_worker.migrations (
			id int primary key, ts timestamptz default now() not null, breaking boolean not null default false
		);
		insert into graphile_worker.migrations (id, breaking) values (1, true)`)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	_, result := b.upAside(ctx)
	time.Sleep(500 * time.Millisecond) // Up now waits for revision 18
	_, err := b.pool.Exec(b.ctx, `set lock_timeout to '2s';
		alter table graphile_worker.migrations add column if not exists breaking boolean not null default false`,
		pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Errorf("Up waits for an installation and holds it up: %v", err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
