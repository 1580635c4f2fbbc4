package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
)

// everyID has the ids of the fixture's jobs and one id without a job.
var everyID = []int64{7, 1, 2, 3, 4, 5, 6, 404}

// A change is a call on jobs, with the function that it applies to each job that it changes.
type change struct {
	call   func(context.Context, *admin.Client, []int64) (*admin.ChangeResult, error)
	dry    func(context.Context, *admin.Client, []int64) (*admin.ChangeResult, error)
	does   func(*admin.Job)
	delete bool
}

var changes = map[string]change{
	"complete": {
		call: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.CompleteJobs(ctx, ids, nil)
		},
		dry: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.CompleteJobs(ctx, ids, &admin.ChangeOptions{DryRun: true})
		},
		does:   func(*admin.Job) {},
		delete: true,
	},
	"fail": {
		call: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.FailJobs(ctx, ids, nil, nil)
		},
		dry: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.FailJobs(ctx, ids, new("dry"), &admin.ChangeOptions{DryRun: true})
		},
		does: failed("Manually marked as failed"),
	},
	"reschedule": {
		call: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.RescheduleJobs(ctx, ids, admin.RescheduleValues{Priority: new(0)}, nil)
		},
		dry: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.RescheduleJobs(ctx, ids, admin.RescheduleValues{Priority: new(0)}, &admin.ChangeOptions{DryRun: true})
		},
		does: func(j *admin.Job) { j.Priority, j.UpdatedAt = 0, now() },
	},
	"retry": {
		call: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.RetryJobs(ctx, ids, nil)
		},
		dry: func(ctx context.Context, c *admin.Client, ids []int64) (*admin.ChangeResult, error) {
			return c.RetryJobs(ctx, ids, &admin.ChangeOptions{DryRun: true})
		},
		does: func(j *admin.Job) {
			j.Attempts, j.RunAt, j.UpdatedAt = 0, admin.RunAt{Time: now()}, now()
		},
	},
}

func failed(reason string) func(*admin.Job) {
	return func(j *admin.Job) {
		j.Attempts, j.LastError, j.UpdatedAt = j.MaxAttempts, &reason, now()
	}
}

// apply returns the jobs that a call on the ids changes, after the change, and all jobs that
// are in the table afterwards.
func (c change) apply(jobs []admin.Job, ids ...int64) (changed, table []admin.Job) {
	changed = []admin.Job{}
	for _, j := range jobs {
		if !slices.Contains(ids, j.ID) {
			table = append(table, j)
			continue
		}
		c.does(&j)
		changed = append(changed, j)
		if !c.delete {
			table = append(table, j)
		}
	}
	return changed, table
}

func TestChangeJobs(t *testing.T) {
	t.Parallel()
	for name, c := range changes {
		for _, tc := range []struct {
			reason  string
			ids     []int64
			changed []int64
			skipped func(jobs []admin.Job) []admin.Skip
		}{
			{
				reason:  "every kind of job: a stale lock is ignored, skips name the worker, and the result is sorted",
				ids:     everyID,
				changed: []int64{1, 2, 4, 5, 6},
				skipped: func(jobs []admin.Job) []admin.Skip {
					return []admin.Skip{locked(jobs[2]), locked(jobs[6]), missing(404)}
				},
			},
			{
				reason:  "an id given twice is counted once",
				ids:     []int64{3, 2, 404, 2, 3, 404},
				changed: []int64{2},
				skipped: func(jobs []admin.Job) []admin.Skip { return []admin.Skip{locked(jobs[2]), missing(404)} },
			},
			{
				reason: "ids that no job can have are not found",
				ids:    []int64{-9223372036854775808, -1, 0, 9223372036854775807},
				skipped: func([]admin.Job) []admin.Skip {
					return []admin.Skip{missing(-9223372036854775808), missing(-1), missing(0), missing(9223372036854775807)}
				},
			},
			{reason: "no ids change nothing", ids: []int64{}},
			{reason: "nil ids change nothing", ids: nil},
		} {
			t.Run(name+": "+tc.reason, func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(b *bench) {
					jobs := b.fixture()
					changed, table := c.apply(jobs, tc.changed...)
					var skipped []admin.Skip
					if tc.skipped != nil {
						skipped = tc.skipped(jobs)
					}
					want := changedAll(changed, skipped)
					asked := slices.Clone(tc.ids)
					b.check("result", want, b.ok(c.call(b.ctx, b.client, tc.ids)))
					b.check("table", table, b.jobs())
					b.check("the caller's ids", asked, tc.ids)
				})
			})
		}
	}
}

func TestFailJobsReason(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		given  *string
		want   string
	}{
		{"nil is the default", nil, "Manually marked as failed"},
		{"an empty reason stays empty", new(""), ""},
		{"any text is stored unchanged", new("it's \"$1\" \\ %s\n\tснова ☃ :name ?"), "it's \"$1\" \\ %s\n\tснова ☃ :name ?"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				jobs := b.fixture()
				changed, table := change{does: failed(tc.want)}.apply(jobs, 1, 2)
				b.check("result", changedAll(changed, nil),
					b.ok(b.client.FailJobs(b.ctx, []int64{1, 2}, tc.given, nil)))
				b.check("table", table, b.jobs())
			})
		})
	}
}

func TestRescheduleJobs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason  string
		options admin.RescheduleValues
		does    func(*admin.Job)
	}{
		{"priority alone", admin.RescheduleValues{Priority: new(7)}, func(j *admin.Job) { j.Priority = 7 }},
		{"a zero priority is a value", admin.RescheduleValues{Priority: new(0)}, func(j *admin.Job) { j.Priority = 0 }},
		{"the smallest priority", admin.RescheduleValues{Priority: new(-32768)}, func(j *admin.Job) { j.Priority = -32768 }},
		{"attempts alone", admin.RescheduleValues{Attempts: new(32767)}, func(j *admin.Job) { j.Attempts = 32767 }},
		{"zero attempts are a value", admin.RescheduleValues{Attempts: new(0)}, func(j *admin.Job) { j.Attempts = 0 }},
		{"max_attempts alone, below the attempts", admin.RescheduleValues{MaxAttempts: new(1)}, func(j *admin.Job) { j.MaxAttempts = 1 }},
		{"a time in another time zone, to the microsecond", admin.RescheduleValues{RunAt: admin.At(later)}, func(j *admin.Job) { j.RunAt.Time, j.RunAt.Infinity = later.UTC(), pgtype.Finite }},
		{"now, by the database's clock", admin.RescheduleValues{RunAt: admin.In(0)}, func(j *admin.Job) { j.RunAt = admin.RunAt{Time: now()} }},
		{"the year 1", admin.RescheduleValues{RunAt: admin.At(time.Time{}.Add(time.Hour))}, func(j *admin.Job) { j.RunAt = admin.RunAt{Time: time.Time{}.Add(time.Hour)} }},
		{"infinity", admin.RescheduleValues{RunAt: admin.Never()}, func(j *admin.Job) { j.RunAt = *admin.Never() }},
		{"-infinity", admin.RescheduleValues{RunAt: &admin.RunAt{Infinity: pgtype.NegativeInfinity}}, func(j *admin.Job) { j.RunAt = admin.RunAt{Infinity: pgtype.NegativeInfinity} }},
		{
			"all at once",
			admin.RescheduleValues{RunAt: admin.At(later), Priority: new(1), Attempts: new(2), MaxAttempts: new(3)},
			func(j *admin.Job) {
				j.RunAt, j.Priority, j.Attempts, j.MaxAttempts = admin.RunAt{Time: later.UTC()}, 1, 2, 3
			},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				jobs := b.fixture()
				does := func(j *admin.Job) { tc.does(j); j.UpdatedAt = now() }
				changed, table := change{does: does}.apply(jobs, 1, 2, 4, 5, 6)
				want := changedAll(changed, []admin.Skip{locked(jobs[2]), locked(jobs[6]), missing(404)})
				b.check("result", want, b.ok(b.client.RescheduleJobs(b.ctx, everyID, tc.options, nil)))
				b.check("table", table, b.jobs())
			})
		})
	}
}

// A dry run changes nothing, and the call then returns the same result.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				ids := append(b.seed(), 9_000_001, 9_000_000)
				table := b.jobs()
				before := b.tables()
				predicted := b.ok(c.dry(b.ctx, b.client, ids)).(*admin.ChangeResult)
				b.check("tables after the dry run", before, b.tables())

				byID := map[int64]admin.Job{}
				for _, j := range table {
					byID[j.ID] = j
				}
				asTheyAre := []admin.Job{}
				var promised []int64
				for _, j := range predicted.Jobs {
					asTheyAre = append(asTheyAre, byID[j.ID])
					promised = append(promised, j.ID)
				}
				b.check("jobs of the dry run", asTheyAre, predicted.Jobs)

				changed, after := c.apply(table, promised...)
				b.check("the call", changedAll(changed, predicted.SkippedJobs), b.ok(c.call(b.ctx, b.client, ids)))
				b.check("table after the call", after, b.jobs())
			})
		})
	}
}

// A call with more ids than one statement takes is atomic.
func TestManyIDs(t *testing.T) {
	t.Parallel()
	const many = 12_000
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				b.exec(`insert into graphile_worker._private_tasks (identifier) values ('many')`)
				b.exec(`insert into graphile_worker._private_jobs (task_id) select 1 from generate_series(1, $1::int)`, many)
				at := ago(time.Hour)
				b.exec(takes, []int64{4999, 5000, 5001, many}, "pool-a", at)
				table := func() string {
					return rowsOf[string](b, `select md5(string_agg(jobs::text, '' order by id)) from graphile_worker._private_jobs as jobs`)[0]
				}
				before := table()
				b.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = 'TEST1'; end $$`)
				b.exec(`create trigger refuse before update or delete on graphile_worker._private_jobs
					for each row when (old.id = 11000) execute function public.refuse()`)

				// outcome has only the ids of the changed jobs, as one text, which is fast to compare.
				type outcome struct {
					Jobs    string
					Skipped []admin.Skip
				}
				brief := func(result any) outcome {
					var changed []int64
					for _, j := range result.(*admin.ChangeResult).Jobs {
						changed = append(changed, j.ID)
					}
					return outcome{fmt.Sprint(changed), result.(*admin.ChangeResult).SkippedJobs}
				}
				ids, changed, skipped := []int64{0}, []int64{}, []admin.Skip{missing(0)}
				for id := int64(1); id <= many; id++ {
					ids = append(ids, id)
					if slices.Contains([]int64{4999, 5000, 5001, many}, id) {
						skipped = append(skipped, locked(admin.Job{ID: id, LockedBy: new("pool-a"), LockedAt: at}))
					} else {
						changed = append(changed, id)
					}
				}
				want := outcome{fmt.Sprint(changed), skipped}
				slices.Reverse(ids)

				b.check("dry run", want, brief(b.ok(c.dry(b.ctx, b.client, ids))))
				result, err := c.call(b.ctx, b.client, ids)
				b.check("an error in the last batch", "TEST1", code(err))
				b.check("its result", (*admin.ChangeResult)(nil), result)
				b.check("table after the error", before, table())

				b.exec(`drop function public.refuse cascade`)
				b.check("result", want, brief(b.ok(c.call(b.ctx, b.client, ids))))
			})
		})
	}
}

func TestResultJSON(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		value  any
		want   string
	}{
		{
			"everything is there",
			admin.Job{
				ID: 9007199254740993, TaskIdentifier: "send", QueueName: new("q"), Payload: json.RawMessage(`{"a":[1]}`), Priority: -1,
				RunAt: *admin.At(later.UTC()), Attempts: 1, MaxAttempts: 2, LastError: new("boom"), CreatedAt: day0, UpdatedAt: day1,
				Key: new("k"), LockedAt: &day2, LockedBy: new("pool"), Revision: 3, Flags: []string{"f", "g"},
			},
			`{"id":9007199254740993,"task_identifier":"send","queue_name":"q","payload":{"a":[1]},"priority":-1,` +
				`"run_at":"2100-01-02T10:04:05.678901Z","attempts":1,"max_attempts":2,"last_error":"boom",` +
				`"created_at":"2024-02-29T12:00:00.123456Z","updated_at":"2024-03-01T12:00:00.123456Z","key":"k",` +
				`"locked_at":"2024-03-02T12:00:00.123456Z","locked_by":"pool","revision":3,"flags":["f","g"]}`,
		},
		{
			"what is not there is null, and infinity is a text",
			admin.Job{ID: 1, Payload: json.RawMessage("null"), RunAt: *admin.Never(), CreatedAt: day0, UpdatedAt: day0},
			`{"id":1,"task_identifier":"","queue_name":null,"payload":null,"priority":0,"run_at":"infinity","attempts":0,"max_attempts":0,` +
				`"last_error":null,"created_at":"2024-02-29T12:00:00.123456Z","updated_at":"2024-02-29T12:00:00.123456Z","key":null,` +
				`"locked_at":null,"locked_by":null,"revision":0,"flags":null}`,
		},
		{
			"a skip says no more than it knows",
			*changedAll([]admin.Job{}, []admin.Skip{missing(1), {ID: 2, Reason: admin.Locked, LockedBy: new("pool"), LockedAt: &day0}}),
			`{"dry_run":false,"matched":2,"changed":0,"skipped":{"locked":1,"not found":1},"jobs":[],"skipped_jobs":[{"id":1,"reason":"not found"},{"id":2,"reason":"locked","locked_by":"pool","locked_at":"2024-02-29T12:00:00.123456Z"}],"more":false}`,
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := &bench{TB: t}
			text, err := json.Marshal(tc.value)
			b.check("JSON", tc.want, string(b.ok(text, err).([]byte)))
			read := reflect.New(reflect.TypeOf(tc.value))
			b.ok(nil, json.Unmarshal(text, read.Interface()))
			b.check("read again", tc.value, read.Elem().Interface())
		})
	}
}

func TestSkipString(t *testing.T) {
	t.Parallel()
	b := &bench{TB: t}
	want := map[string]admin.Skip{
		"1: not found": missing(1),
		"2: locked by pool since 2024-02-29T12:00:00Z": {ID: 2, Reason: admin.Locked, LockedBy: new("pool"), LockedAt: &day0},
		"3: contended": {ID: 3, Reason: admin.Contended},
		"4: locked":    {ID: 4, Reason: admin.Locked},
	}
	got := map[string]admin.Skip{}
	for skip := range maps.Values(want) {
		got[fmt.Sprint(skip)] = skip
	}
	b.check("texts", want, got)
}

// Save gets the deleted jobs, whole, before the deletion commits. Its error undoes it.
func TestSave(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		jobs := b.fixture()
		var saved []admin.Job
		refuse := errors.New("disk full")
		failing := func([]admin.Job) error { return refuse }
		keep := func(deleted []admin.Job) error {
			b.check("the jobs are still there for others", len(jobs)-len(saved), len(b.jobs()))
			saved = append(saved, deleted...)
			return nil
		}
		_, err := b.client.CompleteJobs(b.ctx, []int64{1, 3}, &admin.ChangeOptions{Save: failing, Return: admin.ReturnCount})
		b.check("the error of Save", true, errors.Is(err, refuse))
		_, err = b.client.CompleteWhere(b.ctx, admin.Filter{IDs: []int64{1, 3}}, &admin.WhereOptions{Save: failing})
		b.check("the error of Save", true, errors.Is(err, refuse))
		permafailed := []admin.CleanupTask{admin.DeletePermafailedJobs}
		_, err = b.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: permafailed, Save: failing})
		b.check("the error of Save", true, errors.Is(err, refuse))
		_, err = b.client.CompleteJobs(b.ctx, []int64{1, 3}, &admin.ChangeOptions{Save: failing, DryRun: true})
		b.check("a dry run does not save", nil, err)
		b.check("nothing is deleted", jobs, b.jobs())

		b.ok(b.client.CompleteJobs(b.ctx, []int64{2, 1, 3}, &admin.ChangeOptions{Save: keep, Return: admin.ReturnCount}))
		b.ok(b.client.CompleteWhere(b.ctx, admin.Filter{IDs: []int64{3, 4}}, &admin.WhereOptions{Save: keep, Sample: new(0)}))
		cleaned := b.ok(b.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: permafailed, Save: keep}))
		b.check("cleanup", &admin.CleanupResult{Deleted: map[admin.CleanupTask]int64{admin.DeletePermafailedJobs: 1}}, cleaned)
		b.check("saved", []admin.Job{jobs[0], jobs[1], jobs[3], jobs[4]}, saved)
		b.check("left", []int64{3, 6, 7}, jobIDs(b.jobs()))

		for _, call := range []func() (any, error){
			func() (any, error) { return b.client.RetryJobs(b.ctx, []int64{6}, &admin.ChangeOptions{Save: keep}) },
			func() (any, error) {
				return b.client.FailWhere(b.ctx, admin.Filter{IDs: []int64{6}}, nil, &admin.WhereOptions{Save: keep})
			},
			func() (any, error) { return b.client.Cleanup(b.ctx, admin.CleanupOptions{Save: keep}) },
		} {
			if _, err := call(); !errors.Is(err, admin.ErrInvalid) {
				b.Errorf("nothing to save: %v", err)
			}
		}
	})
}
