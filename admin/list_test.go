package admin_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// Jobs just below, at and just above the limits that decide a state.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		set    string // the columns that differ from a ready job
		want   admin.State
	}{
		{"a job", "revision = 0", admin.Ready},
		{"run_at is now", "run_at = now()", admin.Ready},
		{"run_at is almost now", "run_at = now() + interval '1 microsecond'", admin.Scheduled},
		{"always", "run_at = '-infinity'", admin.Ready},
		{"never", "run_at = 'infinity'", admin.Scheduled},
		{"its first attempt failed", "attempts = 1, run_at = now() + interval '1 microsecond'", admin.Retrying},
		{"its first attempt failed, and run_at has come", "attempts = 1", admin.Ready},
		{"negative attempts", "attempts = -1, run_at = 'infinity'", admin.Scheduled},
		{"an attempt left", "attempts = 24", admin.Ready},
		{"no attempt left", "attempts = 25", admin.Permafailed},
		{"no attempt left, and run_at is in the future", "attempts = 25, run_at = 'infinity'", admin.Permafailed},
		{"more attempts than it may have", "attempts = 30", admin.Permafailed},
		{"held", "locked_at = now()", admin.Running},
		{"locked at a time in the future", "locked_at = 'infinity'", admin.Running},
		{"locked without locked_by, and not due", "locked_at = now(), locked_by = null, run_at = 'infinity'", admin.Running},
		{"held on its last attempt", "locked_at = now(), attempts = 25", admin.Running},
		{"held for four hours", "locked_at = now() - interval '4 hours'", admin.Running},
		{"held for longer", "locked_at = now() - interval '4 hours 1 microsecond'", admin.Stale},
		{"held for longer on its last attempt", "locked_at = '-infinity', attempts = 25", admin.Stale},
		{"locked_by without locked_at is no lock", "locked_by = 'pool-a'", admin.Ready},
		{"its queue is free", "job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'free')", admin.Ready},
		{"its queue is held", "job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'held')", admin.Waiting},
		{"its queue is held by a dead worker", "job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'lost')", admin.Waiting},
		{"its queue is paused", "job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'paused')", admin.Paused},
		{"its queue is paused, and it is not due", "run_at = 'infinity', job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'paused')", admin.Scheduled},
		{"its queue is paused while it runs", "locked_at = now(), job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'paused')", admin.Running},
		{"its queue is held, and it is not due", "run_at = 'infinity', job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'held')", admin.Scheduled},
		{"it is running and holds its queue", "locked_at = now(), job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'held')", admin.Running},
		{"its queue is held, and it has failed permanently", "attempts = 25, job_queue_id = (select id from graphile_worker._private_job_queues where queue_name = 'held')", admin.Permafailed},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b = b.in(b.begin()) // in which now() is constant
			b.insert(added(admin.Job{ID: 1, TaskIdentifier: "send", RunAt: *admin.At(day0)}))
			b.exec(`insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by) values
				('free', null, null), ('held', now(), 'pool-a'), ('lost', now() - interval '5 hours', 'pool-b'), ('paused', 'infinity', 'gwadmin:paused:{}')`)
			b.exec("update graphile_worker._private_jobs set " + tc.set)
			states := map[admin.State]bool{}
			for _, state := range admin.States {
				states[state] = len(b.ok(b.client.ListJobs(b.ctx, admin.Filter{States: []admin.State{state}}, nil)).(*admin.Page).Jobs) > 0
			}
			b.check("GetJob", tc.want, b.ok(b.client.GetJob(b.ctx, 1)).(*admin.ListedJob).State)
			want := map[admin.State]bool{}
			for _, state := range admin.States {
				want[state] = state == tc.want
			}
			b.check("states", want, states)
			b.check("Stats", admin.Counts{tc.want: 1}, b.ok(b.client.Stats(b.ctx, nil)).(*admin.Stats).Jobs)
		})
	}
}

// A worker runs the ready jobs and no others.
func TestReadyIsWhatWorkersTake(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.seed()
		b.insert(
			added(admin.Job{TaskIdentifier: "edge", RunAt: *admin.At(now().Add(-time.Second)), QueueName: new("edge 1"), Attempts: 24}),
			added(admin.Job{TaskIdentifier: "edge", RunAt: *admin.At(now().Add(time.Hour)), QueueName: new("edge 2")}),
			added(admin.Job{TaskIdentifier: "edge", RunAt: *admin.Never(), Attempts: 1}),
			added(admin.Job{TaskIdentifier: "edge", RunAt: admin.RunAt{Infinity: pgtype.NegativeInfinity}, Attempts: -3}),
			added(admin.Job{TaskIdentifier: "edge", RunAt: *admin.At(day0), LockedAt: ago(4*time.Hour - time.Minute), LockedBy: new("pool-a")}),
			added(admin.Job{TaskIdentifier: "edge", RunAt: *admin.At(day0), LockedAt: ago(4*time.Hour + time.Minute), LockedBy: new("pool-a")}),
			added(admin.Job{TaskIdentifier: "edge", RunAt: *admin.At(day0), QueueName: new("lost")}),
			added(admin.Job{TaskIdentifier: "edge", RunAt: *admin.At(day0), Attempts: 26}),
		)
		// A worker clears stale locks within its first minute.
		b.exec(`create function public.keep() returns trigger language plpgsql as $$ begin
			return case when old.locked_at < now() - interval '4 hours' then null else new end; end $$`)
		for _, table := range []string{"_private_jobs", "_private_job_queues"} {
			b.exec("create trigger keep before update on graphile_worker." + table + " for each row execute function public.keep()")
		}
		jobs := b.list(admin.Filter{}, admin.ListOptions{})
		ready := map[int64]admin.State{}
		var tasks []string
		for _, j := range jobs {
			if j.State == admin.Ready {
				ready[j.ID] = j.State
			}
			tasks = append(tasks, j.TaskIdentifier)
		}
		driver := upstream.Start(b, "0.18.0", b.pool.Config().ConnString(), "")
		worker := b.ok(driver.StartWorker(b.ctx, upstream.WorkerOptions{Tasks: slices.Compact(slices.Sorted(slices.Values(tasks)))})).(*upstream.Worker)
		for range ready {
			b.ok(worker.Finished(b.ctx))
		}
		time.Sleep(300 * time.Millisecond) // time for it to look for more jobs
		b.ok(nil, worker.Stop(b.ctx))
		states := map[int64]admin.State{}
		for _, j := range jobs {
			states[j.ID] = j.State
		}
		took := map[int64]admin.State{}
		for {
			job, err := worker.Started(b.ctx)
			if err != nil {
				break
			}
			took[job.ID] = states[job.ID]
		}
		b.check("jobs taken", ready, took)
		b.check("ready jobs left", []admin.ListedJob{}, b.list(admin.Filter{States: []admin.State{admin.Ready}}, admin.ListOptions{}))
	})
}

var sortKeys = []admin.SortKey{admin.ByID, admin.ByRunAt, admin.ByCreatedAt, admin.ByPriority, admin.ByAttempts}

// Jobs that are added or deleted between two pages do not move others to another page.
func TestListWhileJobsComeAndGo(t *testing.T) {
	t.Parallel()
	for _, key := range sortKeys {
		for _, descending := range []bool{false, true} {
			t.Run(fmt.Sprint(key, descending), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, testdb.Ours(""))
				add := func(n int) {
					b.exec(`with task as (
							insert into graphile_worker._private_tasks as t (identifier) values ('send') on conflict (identifier) do update set identifier = t.identifier returning id
						)
						insert into graphile_worker._private_jobs (task_id, run_at, created_at, priority, attempts)
						select task.id, now() + (i % 7 - 3) * interval '1 minute', now() - i % 5 * interval '1 hour', i % 3 - 1, i % 4
						from task, generate_series(1, $1::int) as i`, n)
				}
				add(40)
				stays := rowsOf[int64](b, "select id from graphile_worker._private_jobs where id % 3 > 0 order by id")
				o := admin.ListOptions{SortBy: key, Descending: descending, PageSize: 7}
				var seen []int64
				for {
					page := b.ok(b.client.ListJobs(b.ctx, admin.Filter{}, &o)).(*admin.Page)
					for _, j := range page.Jobs {
						seen = append(seen, j.ID)
					}
					if o.Cursor = page.Next; o.Cursor == "" {
						break
					}
					// The last listed job is deleted as well if its id is a multiple of 3.
					b.exec(`delete from graphile_worker._private_jobs where id % 3 = 0 and id < 41 and (id = $1 or id % 2 = 0)`, seen[len(seen)-1])
					if len(seen) < 40 {
						add(4)
					}
				}
				slices.Sort(seen)
				b.check("jobs seen twice", slices.Compact(slices.Clone(seen)), seen)
				b.check("jobs that stayed", stays, slices.DeleteFunc(seen, func(id int64) bool { return !slices.Contains(stays, id) }))
			})
		}
	}
}

// A page starts after the last job of the previous page, also for extreme values of the
// sort column, in every mode.
func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) {
				config.ConnConfig.DefaultQueryExecMode = mode
				config.ConnConfig.RuntimeParams["TimeZone"] = "America/Chicago"
				config.ConnConfig.RuntimeParams["DateStyle"] = "ISO, DMY"
			})
			b.exec(`insert into graphile_worker._private_tasks (identifier) values ('send')`)
			b.exec(`insert into graphile_worker._private_jobs (task_id, run_at, created_at, priority, attempts)
				select tasks.id, moment::timestamptz, moment::timestamptz, extreme, extreme
				from graphile_worker._private_tasks as tasks, unnest(array[
					'infinity', '-infinity', '4714-11-24 00:00:00+00 BC', '4713-12-01 00:00:00+00 BC', '0101-12-31 23:59:59.999999+00 BC', '0044-03-15 01:02:03.000001+00 BC',
					'0013-02-03 00:00:00+00 BC', '0005-02-29 12:00:00+00 BC', '0002-12-31 00:00:00+00 BC', '0001-01-02 00:00:00+00 BC',
					'0001-12-31 23:59:59.999999+00 BC', '0001-01-01 00:00:00+00', '0001-01-01 00:00:00.000001+00', '0099-10-11 00:00:00+00', '1970-01-01 00:00:00+00', '2024-02-29 12:00:00.123456+00',
					'2024-02-29 12:00:00.123457+00', '9999-12-31 23:59:59.999999+00', '10000-01-01 00:00:00+00', '294276-12-31 23:59:59.999999+00'
				]) as moment, unnest(array[-32768, 32767]) as extreme`)
			for _, key := range sortKeys {
				for _, direction := range []string{"asc", "desc"} {
					want := rowsOf[int64](b, fmt.Sprintf("select id from graphile_worker._private_jobs order by %s %s, id %[2]s", key, direction))
					var got []int64
					for _, j := range b.list(admin.Filter{}, admin.ListOptions{SortBy: key, Descending: direction == "desc", PageSize: 1}) {
						got = append(got, j.ID)
					}
					b.check(fmt.Sprint(key, " ", direction), want, got)
				}
			}
		})
	}
}

// Times that are infinite or outside RFC 3339 are returned as the nearest time in RFC 3339.
// The jobs are listed like any others.
func TestInfiniteTimes(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode })
			first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
			var want []admin.ListedJob
			for i, tc := range []struct {
				moment string
				want   time.Time
			}{
				{"-infinity", first}, {"infinity", last}, {"4714-11-24 00:00:00+00 BC", first}, {"0001-12-31 23:59:59.999999+00 BC", first}, {"0001-01-01 00:00:00.000001+00", first.Add(time.Microsecond)},
				{"9999-12-31 23:59:59.999998+00", last.Add(-time.Microsecond)}, {"10000-01-01 00:00:00+00", last}, {"294276-12-31 23:59:59.999999+00", last},
			} {
				j := added(admin.Job{ID: int64(i + 1), TaskIdentifier: "send", QueueName: new(tc.moment), LockedBy: new("pool-a")})
				b.insert(j)
				b.exec(`update graphile_worker._private_jobs set created_at = $2::text::timestamptz, updated_at = $2::text::timestamptz, locked_at = $2::text::timestamptz where id = $1`, j.ID, tc.moment)
				b.exec(`update graphile_worker._private_job_queues set locked_at = $1::text::timestamptz, locked_by = 'pool-a' where queue_name = $1`, tc.moment)
				j.CreatedAt, j.UpdatedAt, j.LockedAt = tc.want, tc.want, &tc.want
				l := admin.ListedJob{Job: j, State: admin.Running, QueueLockedAt: &tc.want, QueueLockedBy: new("pool-a"), PayloadBytes: 2}
				if tc.want.Year() < 10 {
					l.State = admin.Stale
				}
				want = append(want, l)
				b.check(tc.moment, &l, b.ok(b.client.GetJob(b.ctx, j.ID)))
			}
			got := b.list(admin.Filter{}, admin.ListOptions{PageSize: 2, PayloadBytes: 10})
			b.check("list", want, got)
			b.ok(json.Marshal(got))
			for _, key := range []admin.SortKey{admin.ByCreatedAt, admin.ByRunAt} {
				b.check("jobs by "+string(key), 8, len(b.list(admin.Filter{}, admin.ListOptions{SortBy: key, PageSize: 1})))
			}
			b.check("locked until now", 4, len(b.list(admin.Filter{LockedAt: admin.TimeRange{Before: new(now())}}, admin.ListOptions{})))
			result := b.ok(b.client.RetryJobs(b.ctx, []int64{1, 2, 404}, nil)).(*admin.ChangeResult)
			b.check("skipped", []admin.Skip{{ID: 2, Reason: admin.Locked, LockedBy: new("pool-a"), LockedAt: &last}, missing(404)}, result.SkippedJobs)
			b.check("retried", first, result.Jobs[0].CreatedAt)
		})
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.fixture()
		for size, want := range map[int][]int{1: {1, 1, 1, 1, 1, 1, 1}, 3: {3, 3, 1}, 6: {6, 1}, 7: {7}, 8: {7}, 0: {7}, admin.MaxPageSize: {7}} {
			o := admin.ListOptions{PageSize: size}
			var got []int
			for more := true; more; more = o.Cursor != "" {
				page := b.ok(b.client.ListJobs(b.ctx, admin.Filter{}, &o)).(*admin.Page)
				got, o.Cursor = append(got, len(page.Jobs)), page.Next
			}
			b.check(fmt.Sprint("pages of ", size), want, got)
		}
		for range b.client.AllJobs(b.ctx, admin.Filter{}, &admin.ListOptions{PageSize: 2}) {
			b.sent.take()
			break
		}
		b.check("sent after a break", []string(nil), b.sent.names())
		b.check("an empty page", &admin.Page{Jobs: []admin.ListedJob{}}, b.ok(b.client.ListJobs(b.ctx, admin.Filter{IDs: []int64{}}, nil)))
	})
}

func TestListInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.fixture()
	b.ok(nil, b.client.Check(b.ctx))
	cursors := map[string]string{}
	for _, key := range sortKeys {
		for _, descending := range []bool{false, true} {
			page := b.ok(b.client.ListJobs(b.ctx, admin.Filter{}, &admin.ListOptions{SortBy: key, Descending: descending, PageSize: 2})).(*admin.Page)
			cursors[fmt.Sprint(key, descending)] = page.Next
		}
	}
	b.sent.take()
	refused := func(reason, field string, f admin.Filter, o *admin.ListOptions) {
		b.Helper()
		_, err := b.client.ListJobs(b.ctx, f, o)
		invalid, ok := errors.AsType[*admin.InvalidError](err)
		if !ok || !errors.Is(err, admin.ErrInvalid) || len(invalid.Faults) != 1 || invalid.Faults[0].Field != field {
			b.Errorf("%s: %v", reason, err)
		}
		for _, err := range b.client.AllJobs(b.ctx, f, o) {
			if !errors.Is(err, admin.ErrInvalid) {
				b.Errorf("AllJobs: %s: %v", reason, err)
			}
		}
	}
	refused("unknown state", "states", admin.Filter{States: []admin.State{admin.Ready, "done"}}, nil)
	refused("state in capitals", "states", admin.Filter{States: []admin.State{"READY"}}, nil)
	refused("inverted priorities", "priority", admin.Filter{Priority: admin.IntRange{From: new(1), To: new(0)}}, nil)
	refused("inverted attempts", "attempts", admin.Filter{Attempts: admin.IntRange{From: new(1), To: new(0)}}, nil)
	refused("huge priority", "priority", admin.Filter{Priority: admin.IntRange{From: new(math.MaxInt32 + 1)}}, nil)
	refused("huge attempts", "attempts", admin.Filter{Attempts: admin.IntRange{To: new(math.MinInt32 - 1)}}, nil)
	for field, f := range map[string]func(admin.TimeRange) admin.Filter{
		"run_at":     func(r admin.TimeRange) admin.Filter { return admin.Filter{RunAt: r} },
		"created_at": func(r admin.TimeRange) admin.Filter { return admin.Filter{CreatedAt: r} },
		"updated_at": func(r admin.TimeRange) admin.Filter { return admin.Filter{UpdatedAt: r} },
		"locked_at":  func(r admin.TimeRange) admin.Filter { return admin.Filter{LockedAt: r} },
	} {
		refused("inverted", field, f(admin.TimeRange{From: &day1, Before: &day0}), nil)
		refused("empty", field, f(admin.TimeRange{From: &day1, Before: &day1}), nil)
		refused("a year that PostgreSQL has not", field, f(admin.TimeRange{From: new(day0.AddDate(300_000, 0, 0))}), nil)
	}
	for _, text := range []string{"a\x00b", "\xff"} {
		refused("text", "task_identifiers", admin.Filter{TaskIdentifiers: []string{"ok", text}}, nil)
		refused("text", "queue_names", admin.Filter{QueueNames: []string{text}}, nil)
		refused("text", "keys", admin.Filter{Keys: []string{text}}, nil)
		refused("text", "key_prefix", admin.Filter{KeyPrefix: &text}, nil)
		refused("text", "worker_ids", admin.Filter{WorkerIDs: []string{text}}, nil)
		refused("text", "flags", admin.Filter{Flags: []string{text}}, nil)
		refused("text", "error_text", admin.Filter{ErrorText: &text}, nil)
		refused("text", "payload_path", admin.Filter{PayloadPath: &text}, nil)
	}
	for _, text := range []string{"", "{", "{} {}", "'a'", "\"\xff\"", "\x00"} {
		refused("no JSON", "payload_contains", admin.Filter{PayloadContains: json.RawMessage(text)}, nil)
	}
	for _, size := range []int{-1, admin.MaxPageSize + 1, math.MaxInt, math.MinInt} {
		refused("page size", "page_size", admin.Filter{}, &admin.ListOptions{PageSize: size})
	}
	for _, size := range []int{-1, math.MaxInt32 + 1} {
		refused("payload bytes", "payload_bytes", admin.Filter{}, &admin.ListOptions{PayloadBytes: size})
	}
	refused("sort", "sort", admin.Filter{}, &admin.ListOptions{SortBy: "-id"})

	for _, key := range sortKeys {
		for order, text := range cursors {
			if order != fmt.Sprint(key, true) {
				refused("a cursor of "+order, "cursor", admin.Filter{}, &admin.ListOptions{SortBy: key, Descending: true, Cursor: text})
			}
		}
		text := cursors[fmt.Sprint(key, false)]
		for i := range text {
			for bit := range 8 {
				changed := []byte(text)
				changed[i] ^= 1 << bit
				refused(fmt.Sprintf("%s with %q", text, changed), "cursor", admin.Filter{}, &admin.ListOptions{SortBy: key, Cursor: string(changed)})
			}
			refused("cut", "cursor", admin.Filter{}, &admin.ListOptions{SortBy: key, Cursor: cmp.Or(text[:i], "?")})
			refused("joined", "cursor", admin.Filter{}, &admin.ListOptions{SortBy: key, Cursor: text + text[i:]})
		}
	}
	// A cursor with a correct checksum and values of another order is refused.
	for _, body := range []string{
		`{"s":"id","i":1,"t":"infinity"}`, `{"s":"id","i":1,"n":1}`, `{"s":"id","i":1,"x":1}`, `{"s":"id","i":1,"i":2}`, `{"S":"id","i":1}`, `{"s":"id","i":1.0}`,
		`{"s":"id","i":9223372036854775808}`, ` {"s":"id","i":1}`, `{"s":"id"}`, `{"s":"id","i":null}`, `null`, `"id"`, ``,
		`{"s":"run_at","i":1}`, `{"s":"run_at","i":1,"n":1}`, `{"s":"run_at","i":1,"t":"infinity","n":1}`, `{"s":"run_at","i":1,"t":null}`,
		`{"s":"priority","i":1}`, `{"s":"priority","i":1,"t":"infinity"}`, `{"s":"priority","i":1,"n":2147483648}`, `{"s":"priority","i":1,"n":"1"}`,
		`{"s":"attempts","i":1,"t":"infinity","n":1}`,
	} {
		key := admin.ByID
		for _, other := range sortKeys {
			if strings.Contains(body, string(`"`+other+`"`)) {
				key = other
			}
		}
		refused(body, "cursor", admin.Filter{}, &admin.ListOptions{SortBy: key, Cursor: summed(body)})
	}
	for _, moment := range []string{
		"", "now", "today", "Infinity", "+infinity", "infinity BC", "NaN", "2024-02-29", "2024-02-29 12:00:00Z", "2024-02-29T12:00:00", "2024-02-29T12:00:00+01:00", "2024-02-29T12:00:00.10Z",
		"2023-02-29T12:00:00Z", "2024-02-29T25:00:00Z", "24-02-29T12:00:00Z", "0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z BC", "-0001-01-01T00:00:00Z", "02024-02-29T12:00:00Z",
		"294277-01-01T00:00:00Z", "999999-01-01T00:00:00Z", "4714-11-23T23:59:59.999999Z BC", "4715-01-01T00:00:00Z BC", "99999-01-01T00:00:00Z BC", "2024-02-29T12:00:00Z BC BC", " BC", "-", "- BC", "x-y BC",
		"2024-02-29T12:00:00Z'", "2024-02-29T12:00:00Z\u0000",
	} {
		for _, key := range []admin.SortKey{admin.ByRunAt, admin.ByCreatedAt} {
			refused(moment, "cursor", admin.Filter{}, &admin.ListOptions{SortBy: key, Cursor: summed(fmt.Sprintf(`{"s":"%s","i":1,"t":"%s"}`, key, moment))})
		}
	}
	b.check("what was sent", []string(nil), b.sent.names())
	for _, moment := range []string{"infinity", "-infinity", "2024-02-29T12:00:00.1Z", "294276-12-31T23:59:59.999999Z", "4714-11-24T00:00:00Z BC", "0001-02-03T00:00:00Z BC"} {
		b.ok(b.client.ListJobs(b.ctx, admin.Filter{}, &admin.ListOptions{SortBy: admin.ByRunAt, Cursor: summed(`{"s":"run_at","i":1,"t":"` + moment + `"}`)}))
	}

	// Only PostgreSQL can refuse these paths. It checks them when it reads a job.
	for _, path := range []string{"", "$.", "$ +", "@", `$ ? (@ like_regex "(")`, `$ ? (@ like_regex "a" flag "z")`, "$[1e1000000]", `$."\u0000"`} {
		refused(path, "payload_path", admin.Filter{PayloadPath: &path}, nil)
	}
	for _, text := range []string{`"\u0000"`, `"\ud800"`, "1e200000"} {
		refused(text, "payload_contains", admin.Filter{PayloadContains: json.RawMessage(text)}, nil)
	}
}

// summed returns a cursor with the body and the correct checksum.
func summed(body string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf([]byte(body), "%08x", crc32.ChecksumIEEE([]byte(body))))
}

// FuzzCursor checks that the client refuses every cursor that it would not make itself.
func FuzzCursor(f *testing.F) {
	b := newBench(f, testdb.Ours(""))
	b.fixture()
	made := map[string]bool{}
	for _, key := range sortKeys {
		for _, descending := range []bool{false, true} {
			o := admin.ListOptions{SortBy: key, Descending: descending, PageSize: 1}
			for more := true; more; more = o.Cursor != "" {
				o.Cursor = b.ok(b.client.ListJobs(b.ctx, admin.Filter{}, &o)).(*admin.Page).Next
				made[o.Cursor] = true
				f.Add(o.Cursor, string(key), descending)
			}
		}
	}
	f.Add("e30", "id", false)
	f.Add(strings.Repeat("A", 1000), "run_at", true)
	f.Fuzz(func(t *testing.T, text, key string, descending bool) {
		_, err := b.client.ListJobs(t.Context(), admin.Filter{}, &admin.ListOptions{SortBy: admin.SortKey(key), Descending: descending, Cursor: text})
		if err == nil && !made[strings.NewReplacer("\r", "", "\n", "").Replace(text)] {
			t.Errorf("%q is taken for a cursor by %s", text, key)
		}
		if err != nil && !errors.Is(err, admin.ErrInvalid) {
			t.Error(err)
		}
	})
}

// A node is a node of a plan.
type node struct {
	Type  string `json:"Node Type"`
	Table string `json:"Relation Name"`
	Index string `json:"Index Name"`
	Hit   int    `json:"Shared Hit Blocks"`
	Read  int    `json:"Shared Read Blocks"`
	Plans []node
}

// explain lists jobs and then explains the statement. It returns how the jobs are read,
// whether more than the page is sorted, and the number of blocks that are read.
func (b *bench) explain(f admin.Filter, o *admin.ListOptions) (access string, sorted bool, blocks int) {
	b.Helper()
	b.sent.take()
	b.ok(b.client.ListJobs(b.ctx, f, o))
	sent := b.sent.take()
	q := sent[len(sent)-1]
	rows, err := b.on.Query(b.ctx, "explain (analyze, buffers, format json)\n"+q.SQL, q.Args...)
	b.ok(nil, err)
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	b.ok(nil, err)
	var plans []struct{ Plan node }
	b.ok(nil, json.Unmarshal([]byte(text), &plans))
	var visit func(n node, all bool)
	visit = func(n node, all bool) {
		if n.Table == "_private_jobs" {
			access = strings.TrimSpace(n.Type + " " + n.Index)
		}
		sorted = sorted || all && (n.Type == "Sort" || n.Type == "Incremental Sort")
		for _, part := range n.Plans {
			visit(part, all || n.Type == "Limit")
		}
	}
	visit(plans[0].Plan, false)
	return access, sorted, plans[0].Plan.Hit + plans[0].Plan.Read
}

// Pages by id use the primary key, and a late page costs as much as the first, in every mode,
// also when the statement is repeated.
func TestListPlans(t *testing.T) {
	t.Parallel()
	on := newBench(t, testdb.Ours(""))
	on.exec(`insert into graphile_worker._private_tasks (identifier) select 'task ' || i from generate_series(1, 10) as i`)
	on.exec(`insert into graphile_worker._private_jobs (task_id, key)
		select (select min(id) from graphile_worker._private_tasks) + i % 10, case when i % 100 = 0 then 'key ' || i end from generate_series(1, 200000) as i`)
	on.exec("vacuum analyze graphile_worker._private_jobs")
	on.exec("analyze graphile_worker._private_tasks")
	for _, mode := range modes {
		on.Run(t, mode.String(), func(b *bench) {
			config := pgtest.Config(b, on.pool.Config().ConnString())
			config.ConnConfig.DefaultQueryExecMode = mode
			config.ConnConfig.Tracer = b.sent
			pool := b.ok(pgxpool.NewWithConfig(b.ctx, config)).(*pgxpool.Pool)
			b.Cleanup(pool.Close)
			b = b.in(onPool(pool))
			for _, descending := range []bool{false, true} {
				first := admin.ListOptions{Descending: descending, PageSize: 100}
				late := first
				// The cursor of a late page.
				deep := b.ok(b.client.ListJobs(b.ctx, admin.Filter{IDs: []int64{20_000, 20_001, 180_000, 180_001}}, &admin.ListOptions{Descending: descending, PageSize: 3})).(*admin.Page)
				late.Cursor = deep.Next
				_, _, firstBlocks := b.explain(admin.Filter{}, &first)
				access, sorted, blocks := b.explain(admin.Filter{}, &late)
				if access != "Index Scan jobs_pkey1" || sorted || blocks > firstBlocks+20 {
					b.Errorf("descending %v: %s, sorted %v, %d blocks, where the first page reads %d", descending, access, sorted, blocks, firstBlocks)
				}
			}
			if access, _, blocks := b.explain(admin.Filter{IDs: []int64{5, 100_000, 199_999}}, nil); !strings.HasSuffix(access, "jobs_pkey1") && access != "Bitmap Heap Scan" || blocks > 50 {
				b.Errorf("by ids: %s, %d blocks", access, blocks)
			}
			if access, _, blocks := b.explain(admin.Filter{Keys: []string{"key 100", "key 199900"}}, nil); !strings.HasSuffix(access, "jobs_key_key1") && access != "Bitmap Heap Scan" || blocks > 50 {
				b.Errorf("by keys: %s, %d blocks", access, blocks)
			}
		})
	}
}

// No mode prepares the statement of a list. PostgreSQL may use a generic plan from the sixth
// execution of a prepared statement on, and a generic plan uses no index.
func TestListIsPlannedForItsParameters(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode })
			b.fixture()
			conn := b.ok(b.pool.Acquire(b.ctx)).(*pgxpool.Conn)
			defer conn.Release()
			kept := func(on *bench) []string {
				return rowsOf[string](on, "select distinct split_part(statement, ' ', 3) from pg_prepared_statements where statement like '-- name: JobList %'")
			}
			for name, on := range map[string]admin.DB{"connection": conn, "its connection": conn.Conn(), "transaction": b.ok(conn.Begin(b.ctx)).(pgx.Tx)} {
				inside := b.in(on)
				for range 8 {
					b.ok(inside.client.ListJobs(b.ctx, admin.Filter{IDs: []int64{5}}, &admin.ListOptions{SortBy: admin.ByRunAt}))
					b.ok(inside.client.GetJob(b.ctx, 5))
					b.ok(inside.client.GetJobByKey(b.ctx, "key 3"))
					b.ok(inside.client.RemoveJob(b.ctx, "key 3", &admin.RemoveOptions{DryRun: true}))
				}
				b.check(name, []string{}, kept(inside))
			}
		})
	}
}

// Run runs a subtest on the bench's database.
func (b *bench) Run(t *testing.T, name string, test func(*bench)) {
	t.Run(name, func(t *testing.T) {
		inside := *b
		inside.TB, inside.sent = t, &recorder{}
		test(&inside)
	})
}

// A transaction that has listed and counted jobs blocks no other session.
func TestReadsTakeNoLocks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.seed()
		reader := b.in(b.begin())
		reader.exec("set transaction read only")
		b.exec("update graphile_worker._private_jobs set key = 'key 2' where id = 2")
		lockers := rowsOf[string](b, "select format('%s: %s', id, xmax) from graphile_worker._private_jobs order by id")
		for name, read := range everyRead() {
			if err := read(b.ctx, reader.client); err != nil {
				b.Fatalf("%s: %v", name, err)
			}
		}
		pid := rowsOf[int32](reader, "select pg_backend_pid()")[0]
		b.check("locks", []string{"AccessShareLock"}, rowsOf[string](b, "select distinct mode from pg_locks where pid = $1 and locktype not in ('virtualxid')", pid))
		b.check("sessions with row locks", lockers, rowsOf[string](b, "select format('%s: %s', id, xmax) from graphile_worker._private_jobs order by id"))
		writer := b.in(b.begin())
		writer.exec("select from graphile_worker._private_jobs for update nowait")
		writer.exec("select from graphile_worker._private_job_queues for update nowait")
		writer.exec("set local lock_timeout = '1ms'")
		writer.exec("lock table graphile_worker._private_jobs in exclusive mode")
		writer.exec("delete from graphile_worker._private_jobs")
	})
}
