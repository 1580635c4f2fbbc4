package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/netfault"
)

// through returns the site by way of a proxy.
func (s *site) through(t *testing.T) (*netfault.Proxy, *site) {
	t.Helper()
	proxy := netfault.New(t, s.pool.Config().ConnString())
	pool, err := pgxpool.New(t.Context(), proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return proxy, serveSite(t, pool, Options{})
}

// A change whose answer is lost is not shown as one that has failed.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.exec(t, `select graphile_worker.add_job('a', '{"secret": 1}') from generate_series(1, 2500)`)
	jobAdd := netfault.Containing("-- name: JobAdd ")
	for _, tc := range []struct {
		name, path string
		form       url.Values
		match      func(string) bool
		want       []string
		log        []string
	}{
		{
			"add", "/add", url.Values{"task": {"new"}, "payload": {`{"secret": 1}`}}, jobAdd,
			[]string{"nobody knows whether it has done what was sent to it: 1 job. Look at the newest jobs"},
			[]string{`change="add job"`, `sent="1 job"`},
		},
		{
			"pause", "/queues/pause", url.Values{"queue": {"q"}}, netfault.Commit,
			[]string{"nobody knows whether it has done what was sent to it: 1 queue. Look at the queues"},
			[]string{`change="pause queue"`, `sent="1 queue"`},
		},
		{
			"by ids", "/jobs/retry", url.Values{"id": {"1", "2"}, "previewed": {"2"}}, netfault.Containing("-- name: JobReschedule "),
			[]string{"It ended with an error: The database did not answer", "2 jobs (1, 2). Look at the jobs"},
			[]string{"change=retry", `sent="2 jobs"`},
		},
		{
			"by filter", "/jobs/retry", url.Values{"scope": {"matching"}, "q": {"task:a"}, "previewed": {"2500"}}, secondCommit(),
			[]string{"000 jobs given all attempts again", "batch 2 with 1000 jobs (1001, 1002", "1010, …). Select the same jobs again"},
			[]string{"change=retry", `sent="batch 2 with 1000 jobs"`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy, broken := s.through(t)
			broken.page(t, "/jobs") // it has checked the schema
			trap := proxy.At(tc.match, netfault.CutAnswer)
			got := broken.send(t, "POST", tc.path, tc.form)
			if got.StatusCode == http.StatusSeeOther {
				o := broken.waitForOperation(t, 1)
				if o.Cancelled {
					t.Error("it was cancelled")
				}
				contains(t, broken.page(t, "/operations/1/result.ndjson"), `"outcome_unknown":{"jobs":`)
				got.text = broken.page(t, "/operations/1")
			}
			<-trap.Sprung()
			contains(t, strings.ReplaceAll(got.text, "\n", " "), tc.want...)
			lacks(t, got.text, "tries again by itself", "The other jobs are as they were")
			contains(t, broken.log.String(), append(tc.log, "failed=true", "unknown=true", "level=ERROR")...)
			lacks(t, broken.log.String(), "secret")
		})
	}
}

func secondCommit() func(string) bool {
	commits := 0
	return func(sql string) bool {
		if netfault.Commit(sql) {
			commits++
		}
		return commits == 2
	}
}

// The end of the context may come before the answer to what was sent.
func TestUnknownIsNotCancelled(t *testing.T) {
	t.Parallel()
	o := operation{err: fmt.Errorf("retry: %w", &admin.OutcomeUnknownError{Sent: admin.Sent{Batch: 2}, Err: context.Canceled})}
	if o.standing().Cancelled {
		t.Error("it is shown as cancelled, with the other jobs as they were")
	}
}

// A change that PostgreSQL has refused is logged with its SQLSTATE.
func TestRefusalIsLogged(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.exec(t, `create function public.refuse() returns trigger language plpgsql as $$ begin raise 'secret' using errcode = 'P0042'; end $$`)
	s.exec(t, `create trigger refuse before insert on graphile_worker._private_jobs for each row execute function public.refuse()`)
	s.send(t, "POST", "/add", url.Values{"task": {"a"}})
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `change="add job"`) {
			contains(t, line, "sqlstate=P0042")
			lacks(t, line, "secret", "unknown")
			return
		}
	}
	t.Errorf("the log has no change:\n%s", s.log)
}

// A page that is opened while the database is away tries again. A form is not sent again.
func TestPageComesAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	proxy, broken := s.through(t)
	broken.page(t, "/jobs")
	proxy.Refuse()
	proxy.Cut()
	for _, path := range []string{"/jobs?q=id%3A1", "/jobs/1", "/queues", "/workers", "/tasks"} {
		got := broken.send(t, "GET", path, nil)
		if got.StatusCode != http.StatusBadGateway {
			t.Errorf("GET %s: %s\n%s", path, got.Status, got.text)
		}
		contains(t, got.text, `data-reload="5"`, `http-equiv="refresh"`, "The page tries again by itself.")
	}
	got := broken.send(t, "POST", "/add", url.Values{"task": {"a"}})
	if got.StatusCode != http.StatusBadGateway {
		t.Errorf("POST: %s", got.Status)
	}
	lacks(t, got.text, "data-reload", "tries again")
	proxy.Heal()
	broken.page(t, "/workers")
}
