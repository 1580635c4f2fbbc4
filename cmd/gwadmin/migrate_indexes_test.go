package main

import (
	"strings"
	"testing"
)

// All of migrate indexes on one database.
func TestMigrateIndexes(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json", "ndjson"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := &session{site: ours(t)}
			run := func(code int, args ...string) {
				t.Helper()
				if format != "table" {
					args = append(args, "--output", format)
				}
				s.run(code, append([]string{"migrate"}, args...)...)
			}
			unchanged := s.unchanged()
			run(exitOK, "indexes")
			run(exitOK, "indexes", "add", "--all", "--dry-run")
			run(exitOK, "indexes", "remove", "--all", "--yes")
			run(exitRefused, "indexes", "add", "--all")
			check(t, "indexes of gwadmin", 0, s.indexes())
			run(exitOK, "indexes", "add", "gwadmin_jobs_held", "gwadmin_jobs_run_at", "--yes")
			run(exitOK, "indexes", "add", "gwadmin_jobs_held", "--yes")
			s.exec("update pg_index set indisvalid = false where indexrelid = 'graphile_worker.gwadmin_jobs_held'::regclass")
			run(exitOK, "indexes")
			run(exitOK, "indexes", "add", "gwadmin_jobs_held", "--yes")
			run(exitOK, "validate")
			run(exitOK, "up")
			run(exitOK, "plan")
			s.exec("create index gwadmin_jobs_key on graphile_worker._private_jobs (key)")
			run(exitRefused, "indexes", "add", "gwadmin_jobs_key", "--yes")
			run(exitRefused, "indexes", "remove", "--all", "--yes")
			check(t, "indexes of gwadmin", 3, s.indexes())
			run(exitOK, "indexes", "remove", "gwadmin_jobs_held", "gwadmin_jobs_run_at", "--yes")
			check(t, "indexes of gwadmin", 1, s.indexes())
			unchanged()
			golden(t, "migrate/indexes-"+format+".txt", s.paper.String())
		})
	}
}

func (s *site) indexes() int {
	s.Helper()
	return value[int](s, "select count(*)::int from pg_indexes where schemaname = 'graphile_worker' and indexname like 'gwadmin%'")
}

func TestMigrateIndexesRefused(t *testing.T) {
	t.Parallel()
	nothing := newSite(t, nil)
	for _, tc := range []struct {
		code int
		args string
		says string
	}{
		{exitPending, "indexes", "not installed"},
		{exitPending, "indexes add --all --yes", "not installed"},
		{exitUsage, "indexes --all", "are for add and remove"},
		{exitUsage, "indexes drop --all", "neither add nor remove"},
		{exitUsage, "indexes add", "name the indexes, or pass --all"},
		{exitUsage, "indexes add --all gwadmin_jobs_key", "name the indexes, or pass --all"},
		{exitUsage, "indexes remove jobs_main_index --yes", "no such index"},
		{exitUsage, "indexes add --all --yes --lock-timeout -1s", "negative"},
	} {
		got := nothing.run(append([]string{"migrate"}, strings.Fields(tc.args)...)...)
		checkCode(t, tc.code, got)
		if got.Stdout != "" || !strings.Contains(got.Stderr, tc.says) {
			t.Errorf("%s said %s", tc.args, got.transcript())
		}
	}
}
