package migrations_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gwadmin/gwadmin/migrations"
)

func TestUpRefuses(t *testing.T) {
	t.Parallel()
	const tooOld = "migrate up: revision too old: schema \"graphile_worker\" is at Graphile Worker revision 17 and gwadmin needs 18 or newer: " +
		"upgrade it with Graphile Worker 0.16.6 or newer (graphile-worker --schema-only), then try again"
	for _, tc := range []struct {
		reason string
		sql    string // what makes the schema of 0.18.0 such a one
		want   migrations.RevisionError
		text   string
	}{
		{
			reason: "the tables changed in revision 18",
			sql: `delete from graphile_worker.migrations where id > 17;
				update graphile_worker.migrations set ts = now() - interval '1 year'`,
			want: migrations.RevisionError{Revision: 17, Breaking: 16, Err: migrations.ErrRevisionTooOld},
			text: tooOld,
		},
		{
			reason: "an installer that has stalled is not waited for until the end of time",
			sql: `delete from graphile_worker.migrations where id > 17;
				update graphile_worker.migrations set ts = now()`,
			want: migrations.RevisionError{Revision: 17, Breaking: 16, Err: migrations.ErrRevisionTooOld},
			text: tooOld,
		},
		{
			reason: "before 0.14 the ledger knew no breaking revisions",
			sql: `delete from graphile_worker.migrations where id > 10;
				update graphile_worker.migrations set ts = now() - interval '1 year';
				alter table graphile_worker.migrations drop column breaking`,
			want: migrations.RevisionError{Revision: 10, Err: migrations.ErrRevisionTooOld},
			text: "migrate up: revision too old: schema \"graphile_worker\" is at Graphile Worker revision 10 and gwadmin needs 18 or newer: " +
				"upgrade it with Graphile Worker 0.16.6 or newer (graphile-worker --schema-only), then try again",
		},
		{
			reason: "nobody knows what a newer breaking revision is",
			sql:    `insert into graphile_worker.migrations (id, breaking) values (21, true)`,
			want:   migrations.RevisionError{Revision: 21, Breaking: 21, Err: migrations.ErrRevisionTooNew},
			text: "migrate up: revision too new: schema \"graphile_worker\" is at Graphile Worker revision 21 (breaking since 21) " +
				"and this gwadmin knows revisions up to 20: use a gwadmin that knows it",
		},
		{
			reason: "the breaking one need not be the newest",
			sql:    `insert into graphile_worker.migrations (id, breaking) values (21, true), (22, false)`,
			want:   migrations.RevisionError{Revision: 22, Breaking: 21, Err: migrations.ErrRevisionTooNew},
			text: "migrate up: revision too new: schema \"graphile_worker\" is at Graphile Worker revision 22 (breaking since 21) " +
				"and this gwadmin knows revisions up to 20: use a gwadmin that knows it",
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seeded(t, "0.18.0"))
			b.exec(tc.sql)
			unchanged := b.unchanged()
			result, err := b.migrator.Up(b.ctx, nil)
			if result != nil {
				t.Errorf("got the result %+v", result)
			}
			var got *migrations.RevisionError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a RevisionError", err)
			}
			tc.want.Schema = "graphile_worker"
			if diff := cmp.Diff(tc.want, *got, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if !errors.Is(err, tc.want.Err) {
				t.Errorf("the error is no %v", tc.want.Err)
			}
			if diff := cmp.Diff(tc.text, err.Error()); diff != "" {
				t.Errorf("text: -want +got\n%s", diff)
			}
			unchanged()
		})
	}
}

// What a refusal says to do helps.
func TestUpAfterRefusal(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.18.0"))
	b.exec("insert into graphile_worker.migrations (id, breaking) values (21, true)")
	if _, err := b.migrator.Up(b.ctx, nil); !errors.Is(err, migrations.ErrRevisionTooNew) {
		t.Fatal(err)
	}
	b.exec("delete from graphile_worker.migrations where id = 21")
	want := &migrations.UpResult{Applied: allMigrations, Before: 20, After: 20}
	if diff := cmp.Diff(want, b.up()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestUpLeavesNewerAlone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason  string
		prepare func(*bench)
	}{
		{"installed by Graphile Worker", func(*bench) {}},
		{"migrated by this package before", func(b *bench) { b.up() }},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seeded(t, "0.18.0"))
			tc.prepare(b)
			b.exec("insert into graphile_worker.migrations (id, breaking) values (21, false)")
			unchanged := b.unchanged()
			want := &migrations.UpResult{Applied: []migrations.Migration{}, Before: 21, After: 21, Newer: true}
			if diff := cmp.Diff(want, b.up()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			unchanged()
		})
	}
}

// Up waits for an installer that makes progress, for longer than for one that has stalled.
func TestUpWaitsForProgress(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.18.0"))
	b.exec(`delete from graphile_worker.migrations where id > 12;
		update graphile_worker.migrations set ts = now()`)
	rows := b.rows()
	_, result := b.upAside(b.ctx)
	for _, r := range ledgerTo(20)[12:18] {
		time.Sleep(700 * time.Millisecond)
		select {
		case err := <-result:
			t.Fatalf("Up did not wait for revision %d: %v", r.ID, err)
		default:
		}
		if _, err := b.pool.Exec(b.ctx, "insert into graphile_worker.migrations (id, breaking) values ($1, $2)", r.ID, r.Breaking); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	b.checkCatalog()
	b.checkLedger()
	if diff := cmp.Diff(rows, b.rows()); diff != "" {
		t.Errorf("rows: -before +after\n%s", diff)
	}
}
