package netfault_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/netfault"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func check(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}

// A bench has a connection to a server by way of a proxy, and one that goes there directly.
type bench struct {
	*testing.T
	ctx            context.Context
	proxy          *netfault.Proxy
	direct, broken *pgx.Conn
}

func newBench(t *testing.T, mode pgx.QueryExecMode) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	url := pgtest.URL(t, nil)
	b := &bench{T: t, ctx: ctx, proxy: netfault.New(t, url)}
	b.direct = b.connect(url, mode)
	b.exec("create table done (n int)")
	b.broken = b.connect(b.proxy.URL(), mode)
	return b
}

func (b *bench) connect(url string, mode pgx.QueryExecMode) *pgx.Conn {
	b.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	config.DefaultQueryExecMode = mode
	conn, err := pgx.ConnectConfig(b.ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (b *bench) exec(sql string) {
	b.Helper()
	if _, err := b.direct.Exec(b.ctx, sql); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) done() (rows []int32) {
	b.Helper()
	found, err := b.direct.Query(b.ctx, "select n from done order by n")
	if err == nil {
		rows, err = pgx.CollectRows(found, pgx.RowTo[int32])
	}
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

const insert = "insert into done values ($1)"

// A trap acts on the statement that matches, in all protocols, and on no other.
func TestTraps(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		for _, tc := range []struct {
			name   string
			action netfault.Action
			want   []int32
		}{
			{"cut", netfault.Cut, []int32{1}},
			{"cut answer", netfault.CutAnswer, []int32{1, 2}},
			{"stall", netfault.Stall, []int32{1}},
			{"stall answer", netfault.StallAnswer, []int32{1, 2}},
		} {
			t.Run(mode.String()+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, mode)
				if _, err := b.broken.Exec(b.ctx, insert, 1); err != nil {
					t.Fatal(err)
				}
				trap := b.proxy.At(netfault.Containing("insert into done"), tc.action)
				ctx, cancel := context.WithCancel(b.ctx)
				stalls := tc.action == netfault.Stall || tc.action == netfault.StallAnswer
				failed := make(chan error)
				go func() {
					_, err := b.broken.Exec(ctx, insert, 2)
					failed <- err
				}()
				<-trap.Sprung()
				if stalls {
					for tc.action == netfault.StallAnswer && len(b.done()) < 2 { // until the server has done it
					}
					select {
					case err := <-failed:
						t.Fatalf("it has ended: %v", err)
					default:
					}
					cancel()
				}
				err := <-failed
				cancel()
				check(t, "the context ended it", stalls, errors.Is(err, context.Canceled))
				check(t, "the server refused it", false, errors.As(err, new(*pgconn.PgError)))
				check(t, "an error", true, err != nil)
				check(t, "done", tc.want, b.done())
				b.broken = b.connect(b.proxy.URL(), mode) // the trap has sprung
				if _, err := b.broken.Exec(b.ctx, insert, 3); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// Stalled connections go on when the proxy is healed.
func TestHeal(t *testing.T) {
	t.Parallel()
	b := newBench(t, pgx.QueryExecModeExec)
	b.proxy.Refuse()
	_, err := pgx.Connect(b.ctx, b.proxy.URL())
	check(t, "refused", true, errors.As(err, new(*pgconn.ConnectError)))
	b.proxy.Stall()
	ended := make(chan error)
	go func() {
		_, err := b.broken.Exec(b.ctx, insert, 1)
		ended <- err
	}()
	check(t, "done", []int32{}, b.done())
	b.proxy.Heal()
	check(t, "error", nil, <-ended)
	check(t, "done", []int32{1}, b.done())
	b.connect(b.proxy.URL(), pgx.QueryExecModeExec)
	check(t, "open", 2, b.proxy.Open())
	b.proxy.Cut()
	_, err = b.broken.Exec(b.ctx, insert, 2)
	check(t, "cut", true, err != nil)
}

// An answer is cut in its middle.
func TestCutAfter(t *testing.T) {
	t.Parallel()
	b := newBench(t, pgx.QueryExecModeExec)
	b.proxy.CutAfter(500_000)
	rows, err := b.broken.Query(b.ctx, "select repeat('x', 1000) from generate_series(1, 1000)")
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for rows.Next() {
		got++
	}
	check(t, "an error", true, rows.Err() != nil)
	if got < 400 || got > 499 {
		t.Errorf("%d rows of 1000 bytes in 500 000 bytes", got)
	}
}

// A slow connection takes its time.
func TestSlow(t *testing.T) {
	t.Parallel()
	b := newBench(t, pgx.QueryExecModeExec)
	b.proxy.Slow(100_000)
	start := time.Now()
	var text string
	if err := b.broken.QueryRow(b.ctx, "select repeat('x', 20000)").Scan(&text); err != nil {
		t.Fatal(err)
	}
	check(t, "text", strings.Repeat("x", 20_000), text)
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("20 000 bytes at 100 000 bytes per second took only %s", took)
	}
}
