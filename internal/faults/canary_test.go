package faults

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgserver"
)

// errorTexts returns everything that an error says, and each error that it wraps.
func errorTexts(err error) string {
	text := fmt.Sprintf("%v\n%+v\n%s\n%q\n", err, err, err, err)
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		if inner := wrapper.Unwrap(); inner != nil {
			text += errorTexts(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			text += errorTexts(inner)
		}
	}
	return text
}

// TestCanary makes every call on paths that fail. No error and no log record has a password,
// a payload, a key, a reason or the last error of a job.
func TestCanary(t *testing.T) {
	s := startServer(t, pgserver.Options{TCP: true})
	look := open(t, migrated(t, s))
	const secret = "canary"
	scene, err := newScene(t.Context(), look, 0)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, look, "update graphile_worker._private_jobs set key = $1 where key = $2", secret+" key", scene.key)
	exec(t, look, "update graphile_worker._private_jobs set last_error = $1, payload = json_build_object('to', $1::text)", secret+" payload")
	scene.key, scene.secret = secret+" key", secret+" reason"
	strand(t, look)
	exec(t, look, `create function public.refuse() returns trigger language plpgsql as $$ begin
		raise exception 'refused' using detail = coalesce(new, old)::text, hint = coalesce(new, old)::text, errcode = '23514'; end $$`)
	exec(t, look, "create role eve login password '"+secret+"'")
	jobs := func() (all string) {
		if err := look.QueryRow(t.Context(), "select string_agg(jobs::text, ' ' order by id) from graphile_worker._private_jobs as jobs").Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := jobs()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	port := look.Config().ConnConfig.Port
	refuse := func() func() {
		for _, table := range []string{"_private_jobs", "_private_job_queues", "_private_tasks"} {
			exec(t, look, "create trigger refuse before insert or update or delete on graphile_worker."+table+" for each row execute function public.refuse()")
		}
		return func() {
			for _, table := range []string{"_private_jobs", "_private_job_queues", "_private_tasks"} {
				exec(t, look, "drop trigger refuse on graphile_worker."+table)
			}
		}
	}
	locked := func() func() {
		tx, err := look.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), "lock table graphile_worker._private_jobs, graphile_worker._private_job_queues, graphile_worker.migrations in access exclusive mode")
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = tx.Rollback(t.Context()) }
	}
	nothing := func() func() { return func() {} }
	var records bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&records, &slog.HandlerOptions{Level: slog.LevelDebug}))
	failed := 0
	for _, tc := range []struct {
		path, url string
		all       bool // the calls that read fail, too
		begin     func() (end func())
		within    time.Duration // 0: any time
	}{
		{"nothing listens", fmt.Sprintf("postgres://eve:%s@127.0.0.1:%d/postgres", secret, closed), true, nothing, 0},
		{"keywords and values", fmt.Sprintf("host=127.0.0.1 port=%d user=eve password='%s'", closed, secret), true, nothing, 0},
		{"wrong password", fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", secret, port), true, nothing, 0},
		{"no TLS", fmt.Sprintf("postgres://eve:%s@127.0.0.1:%d/postgres?sslmode=require", secret, port), true, nothing, 0},
		{"no rights", fmt.Sprintf("postgres://eve:%s@127.0.0.1:%d/postgres?sslmode=disable", secret, port), true, nothing, 0},
		{"constraint", s.URL("postgres"), false, refuse, 0},
		{"read-only", s.URL("postgres") + "&default_transaction_read_only=on", false, nothing, 0},
		{"statement timeout", s.URL("postgres") + "&statement_timeout=30", false, locked, 0},
		{"end of the context", s.URL("postgres"), false, locked, 30 * time.Millisecond},
	} {
		for _, call := range everyCall {
			if !tc.all && !call.changes {
				continue
			}
			pool := open(t, tc.url, func(config *pgxpool.Config) { config.MaxConns = 2 })
			end := tc.begin()
			ctx, cancel := context.WithCancel(t.Context())
			if tc.within > 0 {
				ctx, cancel = context.WithTimeout(t.Context(), tc.within)
			}
			err := call.do(ctx, admin.New(pool, admin.WithLogger(logger)), scene)
			cancel()
			end()
			pool.Close()
			what := tc.path + ": " + call.method
			if err == nil {
				if call.method != "Now" || tc.path != "no rights" { // it needs none
					t.Errorf("%s did not fail", what)
				}
				continue
			}
			failed++
			if text := errorTexts(err); strings.Contains(text, secret) {
				t.Errorf("%s: the error shows a secret:\n%s", what, text)
			}
			if strings.Contains(records.String(), secret) {
				t.Errorf("%s: the log shows a secret:\n%s", what, &records)
			}
			records.Reset()
		}
	}
	if after := jobs(); after != before {
		t.Errorf("before %s\nafter %s", before, after)
	}
	row(t, "%d calls failed on 9 paths: no password, payload, key, reason or last error in what their errors say, or in the log", failed)
}
