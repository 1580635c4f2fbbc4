package ui

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/admin"
)

// A read-only page refuses every route that changes something, and the database refuses what
// would come past that check.
func TestReadOnlyInTheDatabase(t *testing.T) {
	t.Parallel()
	over := map[string]func(t *testing.T, s *site) *admin.Client{
		"pool":         func(_ *testing.T, s *site) *admin.Client { return s.client },
		"database/sql": func(t *testing.T, s *site) *admin.Client { return admin.New(admin.SQL(openSQL(t, s))) },
		"reader": func(_ *testing.T, s *site) *admin.Client {
			return admin.New(s.pool, admin.WithReader(s.pool))
		},
	}
	for name, client := range over {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, Options{})
			s.addJobs(t, admin.JobSpec{TaskIdentifier: "a_task", QueueName: new("a_queue"), JobKey: new("a_key")})
			h := New(client(t, s), &Options{ReadOnly: true, Crontab: func() (string, error) { return "* * * * * a_task\n", nil }})
			t.Cleanup(h.observer.Close)
			ctx := t.Context()
			for name, change := range map[string]func() error{
				"add":   func() error { _, err := h.client.AddJob(ctx, "b", nil, nil); return err },
				"retry": func() error { _, err := h.client.RetryJobs(ctx, []int64{1}, nil); return err },
				"where": func() error {
					_, err := h.client.FailWhere(ctx, filterAll, nil, &admin.WhereOptions{All: true})
					return err
				},
				"remove": func() error { _, err := h.client.CompleteJobs(ctx, []int64{1}, nil); return err },
				"unlock": func() error { _, err := h.client.ForceUnlockWorkers(ctx, []string{"w"}, nil); return err },
				"pause":  func() error { _, err := h.client.PauseQueue(ctx, "a_queue", nil); return err },
				"resume": func() error { _, err := h.client.ResumeQueue(ctx, "a_queue", nil); return err },
				"exec": func() error {
					_, err := h.client.DB().Exec(ctx, "delete from graphile_worker._private_jobs")
					return err
				},
				"query": func() error {
					rows, err := h.client.DB().Query(ctx, "delete from graphile_worker._private_jobs returning id")
					if err != nil {
						return err
					}
					_, err = pgx.CollectRows(rows, pgx.RowTo[int64])
					return err
				},
				"row": func() error {
					return h.client.DB().QueryRow(ctx, "delete from graphile_worker._private_jobs returning id").Scan(new(int64))
				},
				"transaction": func() error {
					return pgx.BeginFunc(ctx, h.client.DB(), func(tx pgx.Tx) error {
						_, err := tx.Exec(ctx, "delete from graphile_worker._private_jobs")
						return err
					})
				},
			} {
				err := change()
				if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "25006" {
					t.Errorf("%s: %v, want SQLSTATE 25006", name, err)
				}
			}
			for _, route := range h.patterns {
				method, path, _ := strings.Cut(route.pattern, " ")
				if method == "GET" && strings.Contains(path, "events") {
					continue
				}
				path = strings.NewReplacer("{$}", "", "{id}", "1").Replace(path)
				var form url.Values
				if method == "POST" {
					form = url.Values{"id": {"1"}, "queue": {"a_queue"}, "worker": {"w"}, "task": {"t"}, "item": {"a_task"}, "verb": {"complete"}, "previewed": {"1"}, "confirm": {"1"}}
				}
				got := serve(h, method, path, form)
				if wants := method == "POST" && !route.action.reads(); wants && got.Code != 403 {
					t.Errorf("%s: %d", route.pattern, got.Code)
				} else if got.Code >= 500 {
					t.Errorf("%s: %d\n%s", route.pattern, got.Code, got.Body)
				}
			}
			contains(t, serve(h, "GET", "/jobs", nil).Body.String(), `id="job-1"`)
			contains(t, serve(h, "GET", "/jobs/1", nil).Body.String(), "a_task", "Why it is not running")
			job, err := s.client.GetJob(context.Background(), 1)
			if err != nil || job.Attempts != 0 || job.LockedBy != nil {
				t.Errorf("%+v %v", job, err)
			}
			if s.pool.Stat().AcquiredConns() != 0 {
				t.Errorf("%d connections are kept", s.pool.Stat().AcquiredConns())
			}
		})
	}
}

func openSQL(t *testing.T, s *site) *sql.DB {
	t.Helper()
	on := stdlib.OpenDBFromPool(s.pool)
	t.Cleanup(func() { _ = on.Close() })
	return on
}
