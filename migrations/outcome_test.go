package migrations_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/internal/netfault"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
)

// through returns a migrator whose connections go by way of a proxy.
func (b *bench) through() (*netfault.Proxy, *migrations.Migrator) {
	b.Helper()
	proxy := netfault.New(b, b.url)
	m, err := migrations.New(pgtest.OpenPool(b, pgtest.Config(b, proxy.URL())), &migrations.Options{CommitGrace: time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	return proxy, m
}

// A call whose COMMIT had no answer says so. It can be repeated. After any other error of the
// connection nothing has been changed.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	lock := netfault.Containing("pg_advisory_xact_lock")
	for name, change := range map[string]struct {
		template *pgtest.Template
		call     func(context.Context, *migrations.Migrator, string) error
		done     string // SQL that says whether the call is done
	}{
		"up": {nil, func(ctx context.Context, m *migrations.Migrator, _ string) error {
			_, err := m.Up(ctx, nil)
			return err
		}, "select to_regclass('graphile_worker._private_jobs') is not null"},
		"down": {testdb.Ours(""), func(ctx context.Context, m *migrations.Migrator, _ string) error {
			_, err := m.Down(ctx, migrations.DownOptions{})
			return err
		}, "select to_regclass('graphile_worker._private_jobs') is null"},
		"grant": {testdb.Ours(""), func(ctx context.Context, m *migrations.Migrator, role string) error {
			return m.Grants().Grant(ctx, migrations.Reader, role)
		}, "select exists (select from pg_policy where polname like 'gwadmin_reader_%')"},
	} {
		for _, tc := range []struct {
			reason  string
			at      func(string) bool
			action  netfault.Action
			cancel  bool
			unknown bool
			done    bool
		}{
			{"the connection is cut before a statement", lock, netfault.Cut, false, false, false},
			{"the answer of a statement is lost", lock, netfault.CutAnswer, false, false, false},
			{"the connection is cut before COMMIT", netfault.Commit, netfault.Cut, false, true, false},
			{"the answer of COMMIT is lost", netfault.Commit, netfault.CutAnswer, false, true, true},
			{"the grace is over while COMMIT is stalled", netfault.Commit, netfault.Stall, true, true, false},
		} {
			t.Run(name+"/"+tc.reason, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, change.template)
				role := ""
				if name == "grant" {
					role = newRole(b)
				}
				proxy, m := b.through()
				trap := proxy.At(tc.at, tc.action)
				ctx, cancel := context.WithCancel(b.ctx)
				defer cancel()
				if tc.cancel {
					go func() {
						<-trap.Sprung()
						cancel()
					}()
				}
				err := change.call(ctx, m, role)
				<-trap.Sprung()
				if err == nil || errors.Is(err, migrations.ErrOutcomeUnknown) != tc.unknown || errors.Is(err, context.Canceled) != tc.cancel {
					t.Errorf("error: %v", err)
				}
				proxy.Cut()
				done := func() bool { return rowsOf[bool](b, change.done)[0] }
				if diff := cmp.Diff(tc.done, done()); diff != "" {
					t.Errorf("it is done: -want +got\n%s", diff)
				}
				if err := change.call(b.ctx, b.migrator, role); err != nil {
					t.Errorf("when it is repeated: %v", err)
				}
				if !done() {
					t.Error("it is not done when it is repeated")
				}
			})
		}
	}
}

// An index is built or dropped outside of a transaction. Add finishes what it finds.
func TestOutcomeOfIndex(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	proxy, m := b.through()
	name := migrations.IndexNames()[0]
	state := func() migrations.IndexState {
		indexes, err := b.migrator.Indexes().List(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return indexes[0].State
	}
	for _, tc := range []struct {
		action netfault.Action
		want   migrations.IndexState
	}{{netfault.Cut, migrations.IndexAbsent}, {netfault.CutAnswer, migrations.IndexPresent}} {
		proxy.At(netfault.Containing("create index concurrently"), tc.action)
		steps, err := m.Indexes().Add(b.ctx, []string{name}, nil)
		if !errors.Is(err, migrations.ErrOutcomeUnknown) || len(steps) != 0 {
			t.Errorf("%v: steps %v, error %v", tc.want, steps, err)
		}
		if diff := cmp.Diff(tc.want, state()); diff != "" {
			t.Errorf("state: -want +got\n%s", diff)
		}
	}
	if _, err := m.Indexes().Add(b.ctx, []string{name}, nil); err != nil || state() != migrations.IndexPresent {
		t.Errorf("when it is repeated: %v, %v", err, state())
	}
	// The transaction that looks first changes nothing.
	proxy.At(netfault.Containing("share update exclusive"), netfault.CutAnswer)
	if _, err := m.Indexes().Remove(b.ctx, []string{name}, nil); err == nil || errors.Is(err, migrations.ErrOutcomeUnknown) {
		t.Errorf("while it looks: %v", err)
	}
}
