package admin_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// stateAt returns the state of a job by Graphile Worker's rules.
func stateAt(at time.Time, j admin.Job, queueHeld, queuePaused, queueGone bool) admin.State {
	due := j.RunAt.Before(at.Add(1))
	switch {
	case j.LockedAt != nil && at.Sub(*j.LockedAt) > admin.StaleAfter:
		return admin.Stale
	case j.LockedAt != nil:
		return admin.Running
	case j.Permafailed():
		return admin.Permafailed
	case queueGone:
		return admin.Stranded
	case !due && j.Attempts > 0:
		return admin.Retrying
	case !due:
		return admin.Scheduled
	case queuePaused:
		return admin.Paused
	case queueHeld:
		return admin.Waiting
	}
	return admin.Ready
}

// model returns all jobs in the order of their ids, as a list with payloads returns them. It
// must be called in a transaction, in which now() is constant.
func (b *bench) model() []admin.ListedJob {
	b.Helper()
	at := rowsOf[time.Time](b, "select now()")[0]
	type lock struct {
		at *time.Time
		by *string
	}
	queues, pauses := map[string]lock{}, map[string]*admin.Pause{}
	rows, err := b.on.Query(b.ctx, b.sql("select queue_name, coalesce(locked_at = 'infinity', false), nullif(locked_at, 'infinity'), locked_by from graphile_worker._private_job_queues"))
	b.ok(nil, err)
	var name string
	var paused bool
	var found lock
	_, err = pgx.ForEachRow(rows, []any{&name, &paused, &found.at, &found.by}, func() error {
		switch {
		case paused:
			pauses[name], found = &admin.Pause{By: "ada", Since: day0}, lock{}
		case found.at != nil:
			found.at = new(found.at.UTC())
		}
		queues[name] = found
		return nil
	})
	b.ok(nil, err)
	stranded := rowsOf[int64](b, `select id from graphile_worker._private_jobs
		where job_queue_id not in (select id from graphile_worker._private_job_queues)`)
	var listed []admin.ListedJob
	for _, j := range b.jobs() {
		var queue lock
		var paused *admin.Pause
		if j.QueueName != nil {
			queue, paused = queues[*j.QueueName], pauses[*j.QueueName]
		}
		listed = append(listed, admin.ListedJob{
			Job: j, State: stateAt(at, j, queue.at != nil, paused != nil, slices.Contains(stranded, j.ID)), PayloadBytes: len(j.Payload),
			QueueLockedAt: queue.at, QueueLockedBy: queue.by, QueuePaused: paused,
		})
	}
	return listed
}

// paths are SQL/JSON paths, each with a Go function of the same meaning.
var paths = map[string]func(payload any) bool{
	"$.a": func(payload any) bool {
		return slices.ContainsFunc(unwrapped(payload), func(v any) bool { return has(v, "a") })
	},
	"strict $.a ? (@ == 1)": func(payload any) bool {
		object, _ := payload.(map[string]any)
		return object["a"] == 1.0
	},
	`$[*] ? (@ == "x")`: func(payload any) bool { return slices.Contains(texts(unwrapped(payload)), "x") },
}

func has(v any, key string) bool {
	object, _ := v.(map[string]any)
	_, ok := object[key]
	return ok
}

func unwrapped(v any) []any {
	if array, ok := v.([]any); ok {
		return array
	}
	return []any{v}
}

func texts(values []any) (texts []string) {
	for _, v := range values {
		if text, ok := v.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// contains is the operator @> of jsonb. An array also contains each of its elements.
func contains(whole, part any) bool {
	if array, ok := whole.([]any); ok {
		switch part.(type) {
		case []any, map[string]any:
		default:
			return slices.Contains(array, part)
		}
	}
	return containsWithin(whole, part)
}

func containsWithin(whole, part any) bool {
	switch part := part.(type) {
	case map[string]any:
		object, ok := whole.(map[string]any)
		for key, value := range part {
			ok = ok && has(object, key) && containsWithin(object[key], value)
		}
		return ok
	case []any:
		array, ok := whole.([]any)
		for _, value := range part {
			ok = ok && slices.ContainsFunc(array, func(element any) bool { return containsWithin(element, value) })
		}
		return ok
	}
	return reflect.DeepEqual(whole, part)
}

// unsearchable are payloads that json can hold and jsonb cannot.
var unsearchable = []string{`{"a": "\u0000"}`, `"\ud83d"`, `["\ude00\ud83d"]`, `{"a": 1e200000}`, `[-1.5E-200000]`, `"\\\u0000"`}

// payloads are the payloads of the jobs. The filters search for them, except unsearchable.
var payloads = []string{
	`{}`, `[]`, `null`, `1`, `1.0`, `"x"`, `true`, `{"a": 1}`, `{"a":1.00,"b":{"c":[1,2,{"d":null}]}}`, `{"b": {"c": [2]}}`,
	`{"b": {"c": [{}]}}`, `{"a": 2, "a": 1}`, `["x", "y", [1]]`, `[[1]]`, `[{"a": 1}, {"a": [1]}]`, `[{"a": 1}]`, `{"a": [1]}`, `{"a": null}`,
	`"\\u0000"`, `"\ud83d\ude00"`, `"😀"`, `"\\\\ud83d"`, `{"text": "is 1e200000"}`, `[null, "x\\", "é"]`, ` { "a" : "\u00e9" } `,
}

func decoded(text []byte) (value any) {
	if err := json.Unmarshal(text, &value); err != nil {
		panic(err)
	}
	return value
}

// matches is the filter in Go.
func matches(f admin.Filter, j admin.ListedJob) bool {
	in := func(list []string, text *string) bool {
		return list == nil || text != nil && slices.Contains(list, *text)
	}
	between := func(n int, r admin.IntRange) bool {
		return (r.From == nil || n >= *r.From) && (r.To == nil || n <= *r.To)
	}
	within := func(r admin.TimeRange, at *admin.RunAt) bool {
		if at == nil {
			return r == admin.TimeRange{}
		}
		return (r.From == nil || !at.Before(*r.From)) && (r.Before == nil || at.Before(*r.Before))
	}
	var lockedAt *admin.RunAt
	if j.LockedAt != nil {
		lockedAt = admin.At(*j.LockedAt)
	}
	searchable := !slices.Contains(unsearchable, string(j.Payload))
	return (f.IDs == nil || slices.Contains(f.IDs, j.ID)) &&
		(f.States == nil || slices.Contains(f.States, j.State)) &&
		in(f.TaskIdentifiers, &j.TaskIdentifier) && in(f.QueueNames, j.QueueName) && in(f.Keys, j.Key) && in(f.WorkerIDs, j.LockedBy) &&
		(f.KeyPrefix == nil || j.Key != nil && strings.HasPrefix(*j.Key, *f.KeyPrefix)) &&
		(f.Flags == nil || slices.ContainsFunc(f.Flags, func(flag string) bool { return slices.Contains(j.Flags, flag) })) &&
		between(j.Priority, f.Priority) && between(j.Attempts, f.Attempts) &&
		within(f.RunAt, &j.RunAt) && within(f.CreatedAt, admin.At(j.CreatedAt)) && within(f.UpdatedAt, admin.At(j.UpdatedAt)) && within(f.LockedAt, lockedAt) &&
		(f.ErrorText == nil || j.LastError != nil && strings.Contains(strings.ToLower(*j.LastError), strings.ToLower(*f.ErrorText))) &&
		(f.PayloadContains == nil || searchable && contains(decoded(j.Payload), decoded(f.PayloadContains))) &&
		(f.PayloadPath == nil || searchable && paths[*f.PayloadPath](decoded(j.Payload)))
}

// listed returns the jobs of a list of the model.
func listed(model []admin.ListedJob, f admin.Filter, o admin.ListOptions) []admin.ListedJob {
	want := []admin.ListedJob{}
	for _, j := range model {
		if !matches(f, j) {
			continue
		}
		if j.PayloadBytes > o.PayloadBytes {
			j.Payload = nil
		}
		if o.PayloadBytes == 0 {
			j.PayloadBytes = 0
		}
		want = append(want, j)
	}
	slices.SortFunc(want, func(x, y admin.ListedJob) int {
		order := 0
		switch o.SortBy {
		case admin.ByRunAt:
			order = cmp.Or(cmp.Compare(x.RunAt.Infinity, y.RunAt.Infinity), x.RunAt.Time.Compare(y.RunAt.Time))
		case admin.ByCreatedAt:
			order = x.CreatedAt.Compare(y.CreatedAt)
		case admin.ByPriority:
			order = cmp.Compare(x.Priority, y.Priority)
		case admin.ByAttempts:
			order = cmp.Compare(x.Attempts, y.Attempts)
		}
		order = cmp.Or(order, cmp.Compare(x.ID, y.ID))
		if o.Descending {
			return -order
		}
		return order
	})
	return want
}

// A dice makes random values.
type dice struct{ *rand.Rand }

func of[T any](d dice, values ...T) T { return values[d.IntN(len(values))] }

// some returns random values of a slice, often none.
func some[T any](d dice, values ...T) []T {
	if d.IntN(7) > 0 {
		return nil
	}
	return slices.DeleteFunc(append([]T{}, values...), func(T) bool { return d.IntN(2) == 0 })
}

// maybe returns one of the values, often nil.
func maybe[T any](d dice, odds int, values ...T) *T {
	if d.IntN(odds) > 0 {
		return nil
	}
	return new(of(d, values...))
}

var modelKeys = []string{"job:", "job_", "JOB:", "%", nasty}

func (d dice) job(i int, moments []time.Time) admin.Job {
	j := admin.Job{
		TaskIdentifier: of(d, "send", "Send", "", nasty),
		QueueName:      maybe(d, 2, "free", "held", "lost", "paused", "gone", nasty),
		Payload:        json.RawMessage(of(d, append(payloads, unsearchable...)...)),
		Priority:       of(d, -32768, -1, 0, 0, 0, 1, 32767),
		RunAt:          *admin.At(of(d, moments...)),
		Attempts:       of(d, -2, 0, 0, 1, 2, 3, 30),
		MaxAttempts:    of(d, 1, 3, 25),
		LastError:      maybe(d, 2, "", "Boom", "no ROUTE to host", "50% \\ [off] é", nasty),
		CreatedAt:      of(d, moments...),
		UpdatedAt:      of(d, moments...),
		Key:            maybe(d, 2, modelKeys...),
		Flags:          some(d, "gpu", "", nasty, "☃"),
	}
	if j.Key != nil {
		j.Key = new(fmt.Sprint(*j.Key, i))
	}
	if infinity := maybe(d, 5, pgtype.Infinity, pgtype.NegativeInfinity); infinity != nil {
		j.RunAt = admin.RunAt{Infinity: *infinity}
	}
	if d.IntN(3) == 0 {
		j.LockedAt, j.LockedBy = new(of(d, moments...)), new(of(d, "pool-a", "pool-b", nasty))
	}
	return j
}

func (d dice) filter(model []admin.ListedJob, moments []time.Time) admin.Filter {
	span := func() (r admin.TimeRange) {
		if d.IntN(8) > 0 {
			return r
		}
		from, before := of(d, moments...).Add(of(d, 0, time.Nanosecond)), of(d, moments...).Add(of(d, 0, -time.Nanosecond))
		if d.IntN(3) > 0 {
			r.From = &from
		}
		if d.IntN(3) > 0 && (r.From == nil || from.Before(before)) {
			r.Before = new(before.In(later.Location()))
		}
		return r
	}
	f := admin.Filter{
		States:          some(d, admin.States...),
		TaskIdentifiers: some(d, "send", "", nasty, "none"),
		QueueNames:      some(d, "free", "held", "paused", "gone", nasty, "none"),
		KeyPrefix:       maybe(d, 10, append([]string{"", "job", "j%"}, modelKeys...)...),
		WorkerIDs:       some(d, "pool-a", nasty, "none"),
		Flags:           some(d, "gpu", "", nasty, "none"),
		Priority:        admin.IntRange{From: maybe(d, 10, -40000, -1, 0), To: maybe(d, 10, 0, 1, 40000)},
		Attempts:        admin.IntRange{From: maybe(d, 10, -2, 0, 1), To: maybe(d, 10, 1, 2, 3)},
		RunAt:           span(), CreatedAt: span(), UpdatedAt: span(), LockedAt: span(),
		ErrorText:   maybe(d, 10, "", "boom", "route TO", "%", `\`, "é", nasty),
		PayloadPath: maybe(d, 10, "$.a", "strict $.a ? (@ == 1)", `$[*] ? (@ == "x")`),
	}
	if part := maybe(d, 5, payloads...); part != nil {
		f.PayloadContains = json.RawMessage(*part)
	}
	if d.IntN(7) == 0 {
		f.IDs, f.Keys = []int64{404404}, some(d, "none")
		for _, j := range model {
			if d.IntN(2) == 0 {
				f.IDs = append(f.IDs, j.ID)
			} else if j.Key != nil && f.Keys != nil {
				f.Keys = append(f.Keys, *j.Key)
			}
		}
	}
	return f
}

// lockQueues locks and pauses queues of [dice.job].
func (b *bench) lockQueues() {
	b.Helper()
	b.exec(`update graphile_worker._private_job_queues set locked_by = 'pool-a', locked_at = now() - case queue_name
		when 'held' then interval '0' else interval '5 hours' end where queue_name in ('held', 'lost')`)
	b.exec(`update graphile_worker._private_job_queues set locked_at = 'infinity', locked_by = $1 where queue_name = 'paused'`,
		`gwadmin:paused:{"by":"ada","reason":"","since":"2024-02-29T12:00:00.123456Z"}`)
}

// For random jobs, filters and orders, the pages together are equal to all rows filtered and
// sorted in Go, in every mode.
func TestListModel(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			d := dice{rand.New(rand.NewPCG(seed, 0))}
			b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode })
			b = b.in(b.begin())
			at := rowsOf[time.Time](b, "select now()")[0]
			moments := []time.Time{at}
			for _, edge := range []time.Time{at, at.Add(-admin.StaleAfter), day0} {
				moments = append(moments, edge, edge.Add(time.Microsecond), edge.Add(-time.Microsecond), edge.Add(time.Minute), edge.Add(-time.Minute))
			}
			for i := range 150 {
				b.insert(d.job(i, moments))
			}
			b.exec(`delete from graphile_worker._private_job_queues where queue_name = 'gone'`)
			b.lockQueues()
			model := b.model()
			for range 80 {
				f := d.filter(model, moments)
				o := admin.ListOptions{
					SortBy: of(d, "", admin.ByID, admin.ByRunAt, admin.ByCreatedAt, admin.ByPriority, admin.ByAttempts), Descending: d.IntN(2) == 0,
					PageSize: of(d, 0, 7, 20, 50, 150, 151, admin.MaxPageSize), PayloadBytes: of(d, 0, 1, 10, 1000),
				}
				if d.IntN(20) == 0 {
					f, o.PageSize = admin.Filter{}, 1+d.IntN(9)
				}
				want := listed(model, f, o)
				if diff := gocmp.Diff(want, b.list(f, o), asText); diff != "" {
					text, _ := json.MarshalIndent(f, "", " ")
					b.Fatalf("%s\n%+v: -want +got\n%s", text, o, diff)
				}
				all := []admin.ListedJob{}
				for j, err := range b.client.AllJobs(b.ctx, f, &o) {
					b.ok(nil, err)
					all = append(all, j)
				}
				if diff := gocmp.Diff(want, all, asText); diff != "" {
					b.Fatalf("AllJobs: -want +got\n%s", diff)
				}
			}
		})
	}
}

// list reads all pages and checks that every page except the last is full.
func (b *bench) list(f admin.Filter, o admin.ListOptions) []admin.ListedJob {
	b.Helper()
	jobs := []admin.ListedJob{}
	for {
		page := b.ok(b.client.ListJobs(b.ctx, f, &o)).(*admin.Page)
		jobs = append(jobs, page.Jobs...)
		if page.Next == "" {
			return jobs
		}
		if size := cmp.Or(o.PageSize, 100); len(page.Jobs) != size {
			b.Fatalf("a page of %d jobs before the last, want %d", len(page.Jobs), size)
		}
		o.Cursor = page.Next
	}
}
