package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// An input takes a value of one kind for one field, or for a method that has such an argument.
type input[T any] map[string]func(b *bench, value T) error

// where previews a change by filter: what it matches.
func (b *bench) where(filter admin.Filter) error {
	_, listErr := b.client.ListJobs(b.ctx, filter, nil)
	_, whereErr := b.client.RetryWhere(b.ctx, filter, &admin.WhereOptions{DryRun: true})
	if (listErr == nil) != (whereErr == nil) {
		return fmt.Errorf("list: %w, by filter: %w", listErr, whereErr)
	}
	return listErr
}

// textInputs are all texts that calls take.
var textInputs = input[string]{
	"AddJob":                   func(b *bench, s string) error { return wrote(b.client.AddJob(b.ctx, s, nil, nil)) },
	"AddJobOptions.QueueName":  func(b *bench, s string) error { return b.adds(&admin.AddJobOptions{QueueName: &s}) },
	"AddJobOptions.JobKey":     func(b *bench, s string) error { return b.adds(&admin.AddJobOptions{JobKey: &s}) },
	"AddJobOptions.JobKeyMode": func(b *bench, s string) error { return b.adds(&admin.AddJobOptions{JobKeyMode: admin.JobKeyMode(s)}) },
	"AddJobOptions.Flags":      func(b *bench, s string) error { return b.adds(&admin.AddJobOptions{Flags: []string{"ok", s}}) },
	"JobSpec.TaskIdentifier":   func(b *bench, s string) error { return b.addsMany(admin.JobSpec{TaskIdentifier: s}) },
	"JobSpec.Payload": func(b *bench, s string) error {
		return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", Payload: json.RawMessage(s)})
	},
	"JobSpec.QueueName": func(b *bench, s string) error { return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", QueueName: &s}) },
	"JobSpec.JobKey":    func(b *bench, s string) error { return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", JobKey: &s}) },
	"JobSpec.Flags": func(b *bench, s string) error {
		return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", Flags: []string{s}})
	},
	"FailJobs": func(b *bench, s string) error { return wrote(b.client.FailJobs(b.ctx, []int64{1}, &s, nil)) },
	"FailWhere": func(b *bench, s string) error {
		return wrote(b.client.FailWhere(b.ctx, admin.Filter{IDs: []int64{1}}, &s, nil))
	},
	"RemoveJob":          func(b *bench, s string) error { return wrote(b.client.RemoveJob(b.ctx, s, nil)) },
	"GetJobByKey":        func(b *bench, s string) error { return found(b.client.GetJobByKey(b.ctx, s)) },
	"ForceUnlockWorkers": func(b *bench, s string) error { return wrote(b.client.ForceUnlockWorkers(b.ctx, []string{s}, nil)) },
	"PauseQueue":         func(b *bench, s string) error { return wrote(b.client.PauseQueue(b.ctx, s, nil)) },
	"PauseOptions.Reason": func(b *bench, s string) error {
		return wrote(b.client.PauseQueue(b.ctx, "ok", &admin.PauseOptions{Reason: s}))
	},
	"WithActor": func(b *bench, s string) error {
		return wrote(b.client.PauseQueue(admin.WithActor(b.ctx, s), "ok", nil))
	},
	"ResumeQueue": func(b *bench, s string) error { return wrote(b.client.ResumeQueue(b.ctx, s, nil)) },
	"RestoreOptions.QueueName": func(b *bench, s string) error {
		return wrote(b.client.RestoreQueues(b.ctx, &admin.RestoreOptions{QueueName: &s}))
	},
	"UndeclaredTasks": func(b *bench, s string) error { return wrote(b.client.UndeclaredTasks(b.ctx, []string{s})) },
	"QueueNames":      func(b *bench, s string) error { return wrote(b.client.QueueNames(b.ctx, s, 1)) },
	"ListQueuesOptions.Prefix": func(b *bench, s string) error {
		return wrote(b.client.ListQueues(b.ctx, &admin.ListQueuesOptions{Prefix: s}))
	},
	"ListQueuesOptions.After": func(b *bench, s string) error {
		return wrote(b.client.ListQueues(b.ctx, &admin.ListQueuesOptions{After: s}))
	},
	"CleanupOptions.Tasks": func(b *bench, s string) error {
		return wrote(b.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.CleanupTask(s)}}))
	},
	"CleanupOptions.KeepTasks": func(b *bench, s string) error {
		return wrote(b.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCTaskIdentifiers}, KeepTasks: []string{s}}))
	},
	"ListOptions.SortBy": func(b *bench, s string) error {
		return wrote(b.client.ListJobs(b.ctx, admin.Filter{}, &admin.ListOptions{SortBy: admin.SortKey(s)}))
	},
	"ListOptions.Cursor": func(b *bench, s string) error {
		return wrote(b.client.ListJobs(b.ctx, admin.Filter{}, &admin.ListOptions{Cursor: s}))
	},
	"Filter.States":          func(b *bench, s string) error { return b.where(admin.Filter{States: []admin.State{admin.State(s)}}) },
	"Filter.TaskIdentifiers": func(b *bench, s string) error { return b.where(admin.Filter{TaskIdentifiers: []string{s}}) },
	"Filter.QueueNames":      func(b *bench, s string) error { return b.where(admin.Filter{QueueNames: []string{s}}) },
	"Filter.Keys":            func(b *bench, s string) error { return b.where(admin.Filter{Keys: []string{s}}) },
	"Filter.KeyPrefix":       func(b *bench, s string) error { return b.where(admin.Filter{KeyPrefix: &s}) },
	"Filter.WorkerIDs":       func(b *bench, s string) error { return b.where(admin.Filter{WorkerIDs: []string{s}}) },
	"Filter.Flags":           func(b *bench, s string) error { return b.where(admin.Filter{Flags: []string{s}}) },
	"Filter.ErrorText":       func(b *bench, s string) error { return b.where(admin.Filter{ErrorText: &s}) },
	"Filter.PayloadContains": func(b *bench, s string) error { return b.where(admin.Filter{PayloadContains: json.RawMessage(s)}) },
	"Filter.PayloadPath":     func(b *bench, s string) error { return b.where(admin.Filter{PayloadPath: &s}) },
	"NewTask": func(b *bench, s string) error {
		return wrote(admin.NewTask[struct{}](s, nil).Add(b.ctx, b.client, struct{}{}, nil))
	},
	"Check": func(b *bench, s string) error {
		err := b.client.Check(b.ctx, "ok", s)
		if _, undeclared := errors.AsType[*admin.UndeclaredError](err); undeclared {
			return nil
		}
		return err
	},
	"StatsOptions.ErrorStates": func(b *bench, s string) error {
		return wrote(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: 1, ErrorStates: []admin.State{admin.State(s)}}))
	},
	"TaskOptions.QueueName": func(b *bench, s string) error { return b.addsTyped(&admin.TaskOptions{QueueName: &s}) },
	"TaskOptions.JobKey":    func(b *bench, s string) error { return b.addsTyped(&admin.TaskOptions{JobKey: &s}) },
	"TaskOptions.JobKeyMode": func(b *bench, s string) error {
		return b.addsTyped(&admin.TaskOptions{JobKeyMode: admin.JobKeyMode(s)})
	},
	"TaskOptions.Flags": func(b *bench, s string) error { return b.addsTyped(&admin.TaskOptions{Flags: []string{s}}) },
	"WithSchema":        func(b *bench, s string) error { return installed(admin.New(b.on, admin.WithSchema(s)).Check(b.ctx)) },
}

func (b *bench) adds(options *admin.AddJobOptions) error {
	return wrote(b.client.AddJob(b.ctx, "ok", nil, options))
}

func (b *bench) addsMany(spec admin.JobSpec) error {
	return wrote(b.client.AddJobs(b.ctx, []admin.JobSpec{spec, {TaskIdentifier: "ok"}}, nil))
}

func (b *bench) addsTyped(options *admin.TaskOptions) error {
	return wrote(admin.NewTask[struct{}]("ok", options).Add(b.ctx, b.client, struct{}{}, nil))
}

// found ignores that there is no such job.
func found(_ *admin.ListedJob, err error) error {
	if errors.Is(err, admin.ErrJobNotFound) {
		return nil
	}
	return err
}

// installed ignores that there is no such schema.
func installed(err error) error {
	if errors.Is(err, admin.ErrNotInstalled) {
		return nil
	}
	return err
}

// numberInputs are all numbers that calls take.
var numberInputs = input[int64]{
	"AddJobOptions.MaxAttempts": func(b *bench, n int64) error { return b.adds(&admin.AddJobOptions{MaxAttempts: new(int(n))}) },
	"AddJobOptions.Priority":    func(b *bench, n int64) error { return b.adds(&admin.AddJobOptions{Priority: new(int(n))}) },
	"AddJobOptions.RunAt":       func(b *bench, n int64) error { return b.adds(&admin.AddJobOptions{RunAt: admin.In(time.Duration(n))}) },
	"JobSpec.MaxAttempts": func(b *bench, n int64) error {
		return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", MaxAttempts: new(int(n))})
	},
	"JobSpec.Priority": func(b *bench, n int64) error {
		return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", Priority: new(int(n))})
	},
	"JobSpec.RunAt": func(b *bench, n int64) error {
		return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", RunAt: admin.In(time.Duration(n))})
	},
	"TaskOptions.MaxAttempts": func(b *bench, n int64) error { return b.addsTyped(&admin.TaskOptions{MaxAttempts: new(int(n))}) },
	"TaskOptions.Priority":    func(b *bench, n int64) error { return b.addsTyped(&admin.TaskOptions{Priority: new(int(n))}) },
	"TaskOptions.RunAt": func(b *bench, n int64) error {
		return b.addsTyped(&admin.TaskOptions{RunAt: admin.In(time.Duration(n))})
	},
	"CompleteJobs": func(b *bench, n int64) error {
		return wrote(b.client.CompleteJobs(b.ctx, []int64{n}, &admin.ChangeOptions{DryRun: true}))
	},
	"FailJobs": func(b *bench, n int64) error { return wrote(b.client.FailJobs(b.ctx, []int64{n}, nil, nil)) },
	"RescheduleJobs": func(b *bench, n int64) error {
		return wrote(b.client.RescheduleJobs(b.ctx, []int64{n}, admin.RescheduleValues{Attempts: new(1)}, nil))
	},
	"RetryJobs":   func(b *bench, n int64) error { return wrote(b.client.RetryJobs(b.ctx, []int64{n}, nil)) },
	"HoldJobs":    func(b *bench, n int64) error { return wrote(b.client.HoldJobs(b.ctx, []int64{n}, nil)) },
	"ReleaseJobs": func(b *bench, n int64) error { return wrote(b.client.ReleaseJobs(b.ctx, []int64{n}, nil)) },
	"GetJob":      func(b *bench, n int64) error { return found(b.client.GetJob(b.ctx, n)) },
	"Explain":     func(b *bench, n int64) error { _, err := b.client.Explain(b.ctx, n); return found(nil, err) },
	"QueueNames":  func(b *bench, n int64) error { return wrote(b.client.QueueNames(b.ctx, "", int(n))) },
	"ChangeOptions.Return": func(b *bench, n int64) error {
		return wrote(b.client.RetryJobs(b.ctx, []int64{1}, &admin.ChangeOptions{Return: admin.Returning(n)}))
	},
	"RescheduleValues.Priority":    func(b *bench, n int64) error { return b.reschedules(admin.RescheduleValues{Priority: new(int(n))}) },
	"RescheduleValues.Attempts":    func(b *bench, n int64) error { return b.reschedules(admin.RescheduleValues{Attempts: new(int(n))}) },
	"RescheduleValues.MaxAttempts": func(b *bench, n int64) error { return b.reschedules(admin.RescheduleValues{MaxAttempts: new(int(n))}) },
	"RescheduleValues.RunAt": func(b *bench, n int64) error {
		return b.reschedules(admin.RescheduleValues{RunAt: admin.In(time.Duration(n))})
	},
	"Filter.IDs": func(b *bench, n int64) error { return b.where(admin.Filter{IDs: []int64{n}}) },
	"Filter.Priority": func(b *bench, n int64) error {
		return b.where(admin.Filter{Priority: admin.IntRange{From: new(int(n)), To: new(int(n))}})
	},
	"Filter.Attempts": func(b *bench, n int64) error {
		return b.where(admin.Filter{Attempts: admin.IntRange{From: new(int(n))}})
	},
	"ListOptions.PageSize": func(b *bench, n int64) error {
		return wrote(b.client.ListJobs(b.ctx, admin.Filter{}, &admin.ListOptions{PageSize: int(n)}))
	},
	"ListOptions.PayloadBytes": func(b *bench, n int64) error {
		return wrote(b.client.ListJobs(b.ctx, admin.Filter{}, &admin.ListOptions{PayloadBytes: int(n)}))
	},
	"ListQueuesOptions.Limit": func(b *bench, n int64) error {
		return wrote(b.client.ListQueues(b.ctx, &admin.ListQueuesOptions{Limit: int(n)}))
	},
	"StatsOptions.ErrorShapes": func(b *bench, n int64) error {
		return wrote(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: int(n)}))
	},
	"StatsOptions.SamplePages": func(b *bench, n int64) error {
		return wrote(b.client.Stats(b.ctx, &admin.StatsOptions{Estimate: true, SamplePages: int(n)}))
	},
	"WhereOptions.Limit":     func(b *bench, n int64) error { return b.retries(&admin.WhereOptions{Limit: n}) },
	"WhereOptions.BatchSize": func(b *bench, n int64) error { return b.retries(&admin.WhereOptions{BatchSize: int(n)}) },
	"WhereOptions.Pause":     func(b *bench, n int64) error { return b.retries(&admin.WhereOptions{Pause: time.Duration(n)}) },
	"WhereOptions.Sample":    func(b *bench, n int64) error { return b.retries(&admin.WhereOptions{Sample: new(int(n))}) },
}

func (b *bench) reschedules(values admin.RescheduleValues) error {
	return wrote(b.client.RescheduleJobs(b.ctx, []int64{1}, values, nil))
}

func (b *bench) retries(options *admin.WhereOptions) error {
	return wrote(b.client.RetryWhere(b.ctx, admin.Filter{IDs: []int64{1}}, options))
}

// timeInputs are all times that calls take.
var timeInputs = input[time.Time]{
	"AddJobOptions.RunAt": func(b *bench, at time.Time) error { return b.adds(&admin.AddJobOptions{RunAt: admin.At(at)}) },
	"JobSpec.RunAt": func(b *bench, at time.Time) error {
		return b.addsMany(admin.JobSpec{TaskIdentifier: "ok", RunAt: admin.At(at)})
	},
	"TaskOptions.RunAt":      func(b *bench, at time.Time) error { return b.addsTyped(&admin.TaskOptions{RunAt: admin.At(at)}) },
	"RescheduleValues.RunAt": func(b *bench, at time.Time) error { return b.reschedules(admin.RescheduleValues{RunAt: admin.At(at)}) },
	"Filter.RunAt":           func(b *bench, at time.Time) error { return b.where(admin.Filter{RunAt: admin.TimeRange{From: &at}}) },
	"Filter.CreatedAt": func(b *bench, at time.Time) error {
		return b.where(admin.Filter{CreatedAt: admin.TimeRange{Before: &at}})
	},
	"Filter.UpdatedAt": func(b *bench, at time.Time) error {
		return b.where(admin.Filter{UpdatedAt: admin.TimeRange{From: &at}})
	},
	"Filter.LockedAt": func(b *bench, at time.Time) error {
		return b.where(admin.Filter{LockedAt: admin.TimeRange{Before: &at}})
	},
}

// TestHostileInputsAreAll checks that the tables have every field and argument that takes a
// text, a number or a time.
func TestHostileInputsAreAll(t *testing.T) {
	t.Parallel()
	texts, numbers, times := slices.Collect(maps.Keys(textInputs)), slices.Collect(maps.Keys(numberInputs)), slices.Collect(maps.Keys(timeInputs))
	kind := func(t reflect.Type) (found []string) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 {
			t = t.Elem()
		}
		switch {
		case t == reflect.TypeFor[admin.RunAt]():
			return []string{"number", "time"}
		case t == reflect.TypeFor[admin.TimeRange]():
			return []string{"time"}
		case t == reflect.TypeFor[admin.IntRange](), t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
			return []string{"number"}
		case t.Kind() == reflect.String, t == reflect.TypeFor[json.RawMessage]():
			return []string{"text"}
		}
		return nil
	}
	lists := map[string][]string{"text": texts, "number": numbers, "time": times}
	for _, options := range []reflect.Type{
		reflect.TypeFor[admin.AddJobOptions](), reflect.TypeFor[admin.AddJobsOptions](), reflect.TypeFor[admin.JobSpec](), reflect.TypeFor[admin.TaskOptions](),
		reflect.TypeFor[admin.ChangeOptions](), reflect.TypeFor[admin.RescheduleValues](), reflect.TypeFor[admin.WhereOptions](), reflect.TypeFor[admin.Filter](),
		reflect.TypeFor[admin.ListOptions](), reflect.TypeFor[admin.ListQueuesOptions](), reflect.TypeFor[admin.StatsOptions](), reflect.TypeFor[admin.CleanupOptions](),
		reflect.TypeFor[admin.RestoreOptions](), reflect.TypeFor[admin.RemoveOptions](), reflect.TypeFor[admin.UnlockOptions](), reflect.TypeFor[admin.PauseOptions](),
		reflect.TypeFor[admin.ResumeOptions](),
	} {
		for field := range options.Fields() {
			for _, kind := range kind(field.Type) {
				if name := options.Name() + "." + field.Name; field.IsExported() && !slices.Contains(lists[kind], name) && name != "RescheduleValues.RunAt" {
					t.Errorf("%s takes a %s, and no test gives it hostile ones", name, kind)
				}
			}
		}
	}
	for method := range reflect.TypeFor[*admin.Client]().Methods() {
		for i := range method.Type.NumIn() {
			for _, kind := range kind(method.Type.In(i)) {
				if !slices.Contains(lists[kind], method.Name) && method.Name != "AddJobs" && method.Name != "AddJobsIDs" {
					t.Errorf("%s takes a %s, and no test gives it hostile ones", method.Name, kind)
				}
			}
		}
	}
}

// hostile gives values to inputs. An error matches ErrInvalid, and is said in few words.
func hostile[T any](t *testing.T, b *bench, inputs input[T], values map[string]T, judge func(what, value string, err error)) {
	t.Helper()
	b.insert(added(admin.Job{TaskIdentifier: "ok"}))
	b.ok(nil, b.client.Check(b.ctx))
	for what, call := range inputs {
		for name, value := range values {
			tx := b.begin()
			inside := b.in(tx)
			err := call(inside, value)
			if err != nil && !errors.Is(err, admin.ErrInvalid) {
				t.Errorf("%s, %s: %.300v", what, name, err)
			}
			if err != nil && len(err.Error()) > 700 {
				t.Errorf("%s, %s: the error has %d bytes: %.200v", what, name, len(err.Error()), err)
			}
			judge(what, name, err)
			b.ok(nil, tx.Rollback(b.ctx))
		}
	}
}

// Every text is taken as it is or refused. What PostgreSQL cannot store is refused before it
// is sent.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	b := patient(t)
	values := map[string]string{
		"a megabyte": strings.Repeat("☃", 350_000), "a megabyte of quotes": strings.Repeat(`"\`, 500_000), "NUL": "a\x00b", "not UTF-8": "caf\xe9",
		"half a surrogate pair": "\xed\xa0\x80", "deep JSON": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		"deeper JSON": strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), "duplicate keys": `{"a": 1, "a": 2}`, "\\u0000": `"\u0000"`, "\\ud800": `"\ud800"`,
		"a megabyte of JSON": `"` + strings.Repeat("☃", 350_000) + `"`, "blank": " ", "quotes": `'"\$1`,
	}
	refused := map[string]bool{"NUL": true, "not UTF-8": true, "half a surrogate pair": true}
	hostile(t, b, textInputs, values, func(what, value string, err error) {
		if refused[value] && err == nil {
			t.Errorf("%s took %s", what, value)
		}
	})
}

// Texts of any length are stored as they are where the schema sets no limit.
func TestHostileStored(t *testing.T) {
	t.Parallel()
	b := patient(t)
	for name, payload := range map[string]string{
		"a megabyte": `"` + strings.Repeat("☃", 350_000) + `"`, "deep": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		"duplicate keys": `{"a": 1, "a": 2}`, "\\u0000": `"\u0000\ud800"`, "numbers": `[1e400000, -0.0, 123456789012345678901234567890]`,
	} {
		reason := strings.Repeat(payload, 2)
		flags := []string{strings.Repeat("f", 1<<20)}
		one := b.add("ok", json.RawMessage(payload), &admin.AddJobOptions{Flags: flags, QueueName: new(strings.Repeat("🚀", 128)), JobKey: new(strings.Repeat("🚀", 512))})
		many := b.ok(b.client.AddJobs(b.ctx, []admin.JobSpec{{TaskIdentifier: "ok", Payload: json.RawMessage(payload), Flags: flags}, {TaskIdentifier: "ok"}}, nil)).([]admin.Job)
		b.ok(b.client.FailJobs(b.ctx, []int64{one.ID, many[0].ID}, &reason, nil))
		for _, id := range []int64{one.ID, many[0].ID} {
			got := b.ok(b.client.GetJob(b.ctx, id)).(*admin.ListedJob)
			if string(got.Payload) != payload || *got.LastError != reason || !slices.Equal(got.Flags, flags) {
				t.Errorf("%s: job %d is not as it was added", name, id)
			}
		}
		if one.Key == nil || *one.Key != strings.Repeat("🚀", 512) || *one.QueueName != strings.Repeat("🚀", 128) {
			t.Errorf("%s: the key or the queue of job %d is another", name, one.ID)
		}
	}
}

// A payload whose nesting is too much for the server is refused with an error of PostgreSQL,
// which says so.
func TestServerStack(t *testing.T) {
	t.Parallel()
	b := patient(t, func(config *pgxpool.Config) { config.ConnConfig.RuntimeParams["max_stack_depth"] = "100kB" })
	_, err := b.client.AddJob(b.ctx, "ok", json.RawMessage(strings.Repeat("[", 9000)+strings.Repeat("]", 9000)), nil)
	if code(err) != "54001" || !strings.Contains(err.Error(), "max_stack_depth") {
		t.Errorf("got %v", err)
	}
	b.check("jobs", 0, len(b.jobs()))
}

// boundaries are the numbers around the ends of all integer types.
func boundaries() map[string]int64 {
	numbers := map[string]int64{}
	for _, n := range []int64{
		math.MinInt64, math.MinInt64 + 1, math.MinInt32 - 1, math.MinInt32, math.MinInt16 - 1, math.MinInt16, -1, 0, 1, math.MaxInt8, math.MaxInt8 + 1,
		math.MaxInt16, math.MaxInt16 + 1, math.MaxUint16, math.MaxUint16 + 1, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64 - 1, math.MaxInt64,
	} {
		numbers[fmt.Sprint(n)] = n
	}
	return numbers
}

// Every number is taken as it is or refused.
func TestHostileNumbers(t *testing.T) {
	t.Parallel()
	b := patient(t)
	hostile(t, b, numberInputs, boundaries(), func(string, string, error) {})
	for name, n := range boundaries() {
		values := admin.RescheduleValues{Priority: new(int(n)), Attempts: new(int(n)), MaxAttempts: new(int(n))}
		result, err := b.client.RescheduleJobs(b.ctx, []int64{1}, values, nil)
		if fits := n >= 1 && n <= math.MaxInt16; fits != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			job := result.Jobs[0]
			b.check(name, []int{int(n), int(n), int(n)}, []int{job.Priority, job.Attempts, job.MaxAttempts})
		}
	}
	b.check("a priority at each end", []int{math.MinInt16, math.MaxInt16}, []int{
		b.add("ok", nil, &admin.AddJobOptions{Priority: new(math.MinInt16)}).Priority, b.add("ok", nil, &admin.AddJobOptions{Priority: new(math.MaxInt16)}).Priority,
	})
}

// Every time is stored to the microsecond or refused.
func TestHostileTimes(t *testing.T) {
	t.Parallel()
	b := patient(t)
	values := map[string]time.Time{}
	for _, at := range []time.Time{
		{}, time.Unix(math.MaxInt64, math.MaxInt64), time.Unix(math.MinInt64, 0), time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64), time.Unix(0, 0),
		time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC), time.Date(-4713, 11, 23, 0, 0, 0, 0, time.UTC), time.Date(0, 12, 31, 23, 59, 59, 999999999, time.UTC), firstMoment.Add(1),
		time.Date(294275, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(294276, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(294276, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), later,
	} {
		values[at.UTC().String()] = at
	}
	hostile(t, b, timeInputs, values, func(string, string, error) {})
	for name, at := range values {
		job, err := b.client.AddJob(b.ctx, "ok", nil, &admin.AddJobOptions{RunAt: admin.At(at)})
		if err == nil && !job.RunAt.Time.Equal(at.Truncate(time.Microsecond)) {
			t.Errorf("%s is stored as %s", name, job.RunAt)
		}
	}
}

// patient returns a bench for more calls than a loaded machine makes in the minute of newBench.
func patient(t *testing.T, opts ...func(*pgxpool.Config)) *bench {
	t.Helper()
	b := newBench(t, testdb.Ours(""), opts...)
	b.ctx = t.Context()
	return b
}
