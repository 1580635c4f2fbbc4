package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/netfault"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// written are log records, as text.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(text)
}

// take returns the records since the last call, without the time and the duration, which
// every record has.
func (w *written) take(b *bench) (records []map[string]any) {
	b.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	decoder := json.NewDecoder(&w.text)
	for decoder.More() {
		var record map[string]any
		if err := decoder.Decode(&record); err != nil {
			b.Fatal(err)
		}
		for _, key := range []string{"time", "duration"} {
			if record[key] == nil {
				b.Errorf("a record has no %s: %v", key, record)
			}
			delete(record, key)
		}
		records = append(records, record)
	}
	w.text.Reset()
	return records
}

func newLogger() (*written, *slog.Logger) {
	w := &written{}
	return w, slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Every call that changes something writes one record, with what it did in numbers.
func TestLogger(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	log, logger := newLogger()
	proxy, pool := b.through()
	client := admin.New(pool, admin.WithLogger(logger))
	ctx := admin.WithActor(b.ctx, "ann")
	b.ok(nil, client.Check(ctx))
	b.ok(client.ListJobs(ctx, admin.Filter{}, nil))
	b.check("records of calls that read", 0, len(log.take(b)))
	type record = map[string]any
	const schema = "graphile_worker"
	attributes := map[string]record{
		"AddJob":                      {"msg": "add job", "id": 100001.0, "task": "new"},
		"AddJobs":                     {"msg": "add jobs", "added": 2.0},
		"AddJobs of one":              {"msg": "add jobs", "added": 1.0},
		"AddJobsIDs":                  {"msg": "add jobs", "added": 2.0},
		"Adder.AddJob":                {"msg": "add job", "level": "DEBUG", "id": 100001.0, "task": "new"},
		"CompleteJobs":                {"msg": "complete jobs", "matched": 2.0, "changed": 2.0},
		"CompleteJobs, returning ids": {"msg": "complete jobs", "matched": 2.0, "changed": 2.0},
		"CompleteJobs, many":          {"msg": "complete jobs", "matched": 5001.0, "changed": 5001.0},
		"FailJobs":                    {"msg": "fail jobs", "matched": 2.0, "changed": 2.0},
		"RescheduleJobs":              {"msg": "reschedule jobs", "matched": 2.0, "changed": 2.0},
		"RetryJobs":                   {"msg": "retry jobs", "matched": 2.0, "changed": 2.0},
		"RemoveJob":                   {"msg": "remove job", "outcome": "removed"},
		"ForceUnlockWorkers":          {"msg": "force unlock workers", "workers": 2.0, "idle_workers": 0.0, "jobs": 2.0, "queues": 0.0},
		"Cleanup of jobs":             {"msg": "cleanup", "deleted": record{"DELETE_PERMAFAILED_JOBS": 1.0}, "stranded": 0.0},
		"Cleanup of tasks":            {"msg": "cleanup", "deleted": record{"GC_TASK_IDENTIFIERS": 1.0}, "stranded": 0.0},
		"Cleanup of queues":           {"msg": "cleanup", "deleted": record{"GC_JOB_QUEUES": 1.0}, "stranded": 0.0},
		"RestoreQueues":               {"msg": "restore queues", "jobs": 1.0, "queues": 1.0},
		"CompleteWhere":               {"msg": "complete jobs where", "matched": 2.0, "changed": 2.0},
		"FailWhere":                   {"msg": "fail jobs where", "matched": 2.0, "changed": 2.0},
		"RescheduleWhere":             {"msg": "reschedule jobs where", "matched": 2.0, "changed": 2.0},
		"RetryWhere":                  {"msg": "retry jobs where", "matched": 2.0, "changed": 2.0},
		"PauseQueue":                  {"msg": "pause queue", "queue": "unused", "paused_before": false},
		"ResumeQueue":                 {"msg": "resume queue", "queue": "paused", "paused_before": true},
		"HoldJobs":                    {"msg": "hold jobs", "matched": 2.0, "changed": 2.0},
		"HoldWhere":                   {"msg": "hold jobs where", "matched": 2.0, "changed": 2.0},
		"CompleteJobs, saving":        {"msg": "complete jobs", "matched": 2.0, "changed": 2.0},
		"ReleaseJobs":                 {"msg": "release jobs", "matched": 1.0, "changed": 1.0},
		"ReleaseWhere":                {"msg": "release jobs where", "matched": 1.0, "changed": 1.0},
	}
	for _, w := range writings() {
		b.refill(max(2, len(w.sent.IDs)))
		want := attributes[w.name]
		if want == nil {
			t.Errorf("%s has no record here", w.name)
			continue
		}
		want["schema"], want["actor"] = schema, "ann"
		if want["level"] == nil {
			want["level"] = "INFO"
		}
		b.ok(nil, w.call(ctx, client))
		b.check(w.name, []record{want}, log.take(b))

		b.refill(max(2, len(w.sent.IDs)))
		proxy.At(named(w.statement), netfault.CutAnswer)
		_ = w.call(ctx, client)
		failed := record{"msg": want["msg"], "schema": schema, "actor": "ann", "level": "WARN", "error": "failed"}
		if !w.commits {
			failed["level"], failed["error"], failed["sent"] = "ERROR", "unknown", w.sent.String()
		}
		proxy.Heal()
		b.check(w.name+" with a lost answer", []record{failed}, log.take(b), cmpopts.IgnoreMapEntries(func(key string, _ any) bool {
			return slices.Contains([]string{"matched", "changed", "deleted", "stranded"}, key) // what was done before
		}))
	}
	b.refill(2)
	for _, tc := range []struct {
		reason string
		call   func() error
		want   record
	}{
		{"skipped jobs, without an actor", func() error { return wrote(client.CompleteJobs(b.ctx, []int64{1, 10002, 404}, nil)) },
			record{"level": "INFO", "msg": "complete jobs", "schema": schema, "matched": 3.0, "changed": 1.0, "skipped": record{"locked": 1.0, "not_found": 1.0}}},
		{"a dry run", func() error { return wrote(client.CompleteJobs(b.ctx, []int64{2}, &admin.ChangeOptions{DryRun: true})) },
			record{"level": "DEBUG", "msg": "complete jobs", "schema": schema, "dry_run": true, "matched": 1.0, "changed": 1.0}},
		{"invalid input", func() error { return wrote(client.AddJob(b.ctx, "", nil, nil)) },
			record{"level": "WARN", "msg": "add job", "schema": schema, "error": "invalid"}},
		{"refused", func() error {
			b.exec("alter table graphile_worker._private_jobs add constraint low check (priority < 99) not valid")
			return wrote(client.AddJob(b.ctx, "new", nil, &admin.AddJobOptions{Priority: new(99)}))
		}, record{"level": "WARN", "msg": "add job", "schema": schema, "error": "refused", "sqlstate": "23514"}},
		{"in a transaction", func() error {
			return pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
				return wrote(client.WithTx(tx).FailJobs(b.ctx, []int64{2}, nil, nil))
			})
		}, record{"level": "INFO", "msg": "fail jobs", "schema": schema, "in_transaction": true, "matched": 1.0, "changed": 1.0}},
		{"ended", func() error {
			ended, cancel := context.WithCancel(b.ctx)
			cancel()
			return wrote(client.FailJobs(ended, []int64{2}, nil, nil))
		}, record{"level": "WARN", "msg": "fail jobs", "schema": schema, "error": "canceled"}},
	} {
		_ = tc.call()
		b.check(tc.reason, []record{tc.want}, log.take(b))
	}
}

// No record has a payload, a key, a reason or the text of an error.
func TestLogCanary(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	log, logger := newLogger()
	client := admin.New(b.pool, admin.WithLogger(logger))
	adder := admin.NewAdder(client, nil)
	const canary = "canary"
	b.exec(`create function public.refuse() returns trigger language plpgsql as $$
		begin raise exception 'refused %', new.payload using detail = new.payload, errcode = 'GWBAD'; end $$`)
	b.exec(`create trigger refuse before insert on graphile_worker._private_jobs for each row when (new.priority = 13) execute function public.refuse()`)
	payload, long := map[string]string{canary: canary}, strings.Repeat(canary, 100)
	keyed := &admin.AddJobOptions{JobKey: new(canary)}
	refused := &admin.AddJobOptions{JobKey: new(canary + " 2"), Priority: new(13)}
	specs := []admin.JobSpec{{TaskIdentifier: "send", Payload: payload, JobKey: new(canary + " 3")}, {TaskIdentifier: "send", Payload: payload, JobKey: new(canary + " 4")}}
	bad := []admin.JobSpec{{TaskIdentifier: "send", Payload: json.RawMessage(canary)}, {TaskIdentifier: "send", Payload: payload, Priority: new(13)}}
	where := &admin.WhereOptions{}
	calls := []func() error{
		func() error { return wrote(client.AddJob(b.ctx, "send", payload, keyed)) },
		func() error { return wrote(client.AddJob(b.ctx, "send", payload, refused)) },
		func() error { return wrote(client.AddJob(b.ctx, "send", json.RawMessage(canary), keyed)) },
		func() error { return wrote(client.AddJob(b.ctx, "send", payload, &admin.AddJobOptions{JobKey: &long})) },
		func() error {
			return wrote(client.AddJob(b.ctx, "send", payload, &admin.AddJobOptions{JobKeyMode: canary}))
		},
		func() error { return wrote(client.AddJob(b.ctx, long, payload, nil)) },
		func() error { return wrote(client.AddJob(b.ctx, canary, payload, refused)) },
		func() error { return wrote(adder.AddJob(b.ctx, "send", payload, keyed)) },
		func() error { return wrote(adder.AddJob(b.ctx, "send", payload, refused)) },
		func() error { return wrote(client.AddJobs(b.ctx, specs, nil)) },
		func() error { return wrote(client.AddJobs(b.ctx, bad, nil)) },
		func() error { return wrote(client.AddJobsIDs(b.ctx, bad[1:], nil)) },
		func() error { return wrote(client.FailJobs(b.ctx, []int64{1}, new(canary), nil)) },
		func() error { return wrote(client.FailJobs(b.ctx, []int64{1}, new(canary+"\x00"), nil)) },
		func() error { return wrote(client.RemoveJob(b.ctx, canary, nil)) },
		func() error { return wrote(client.RemoveJob(b.ctx, long, nil)) },
		func() error {
			return wrote(client.CompleteWhere(b.ctx, admin.Filter{Keys: []string{canary + " 3"}}, where))
		},
		func() error {
			return wrote(client.FailWhere(b.ctx, admin.Filter{PayloadPath: new(canary + "?")}, new(canary), where))
		},
		func() error {
			return wrote(client.RetryWhere(b.ctx, admin.Filter{PayloadContains: json.RawMessage(canary)}, where))
		},
		func() error { return wrote(client.ForceUnlockWorkers(b.ctx, []string{canary}, nil)) },
		func() error {
			return wrote(client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{canary}}))
		},
		func() error { return wrote(client.RestoreQueues(b.ctx, &admin.RestoreOptions{QueueName: new(long)})) },
		func() error { return wrote(client.PauseQueue(b.ctx, "mails", &admin.PauseOptions{Reason: canary})) },
		func() error {
			return wrote(client.PauseQueue(b.ctx, long, &admin.PauseOptions{Reason: strings.Repeat(long, 10)}))
		},
	}
	failed := 0
	for _, call := range calls {
		if call() != nil {
			failed++
		}
	}
	if strings.Contains(log.text.String(), canary) {
		t.Errorf("a record has it:\n%s", log.text.String())
	}
	b.check("records", len(calls), len(log.take(b)))
	b.check("failed calls", 16, failed)
}

func ExampleWithLogger() {
	ctx := admin.WithActor(context.Background(), "ann")
	pool, done := database()
	defer done()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" { // which are not the same each time
			return slog.Attr{}
		}
		return a
	}}))

	client := admin.New(pool, admin.WithLogger(logger))
	_, err := client.CompleteJobs(ctx, []int64{404}, nil)
	fmt.Println(err)
	// Output:
	// level=INFO msg="complete jobs" schema=graphile_worker actor=ann matched=1 changed=0 skipped.not_found=1
	// <nil>
}
