package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// The behaviour tests make every call twice: on the schema that the migrations
// build, and on the one that the npm package installs. The outcome must be what the
// contract says, and the same on both.

// A behaviour is a promise of the contract, and a call that shows it.
// Its SQL is written for the schema graphile_worker. The calls find the rows of
// [fixture].
type behaviour struct {
	name    string
	promise string // what the contract says
	setup   string // SQL that runs before
	held    string // SQL of another transaction, which ends when the call has, or waits for it
	undo    bool   // the other transaction is rolled back
	call    string // one transaction, whose last statement returns what counts
	times   int    // how often the call is made, on one connection; once unless set
	want    outcome
	theirs  *outcome // what upstream does instead, where the contract leaves it open
	folds   bool     // on PostgreSQL 18 upstream refuses the values before it looks for a job
}

// An outcome is all that a call leaves behind, without what is random.
type outcome struct {
	// Returned rows, sorted, as no order is promised. A job is "job 1" when it is
	// as the table has it now, "job 1 as it was" when the call deleted it, and else
	// written out.
	Returned []string
	// Err is SQLSTATE, constraint and message.
	Err string
	// Changed are the differences that the call made to the tables, and the
	// identity values it spent without a row to show for them. New jobs are
	// numbered +1, +2, … by their content. Of times it says how they relate to
	// the call's now(); a new job's are now unless they are given.
	Changed []string
	// Notified are channel and payload of each notification, in order.
	Notified []string
	// Waited is true when the call had to wait for the other transaction.
	Waited bool
}

// fixture are the jobs, tasks and queues that each call finds.
const fixture = `
insert into graphile_worker._private_tasks (identifier) values ('t'), ('u');
insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by) values
	('q', null, null),
	('busy', pg_catalog.now(), 'w1'),
	('stale', pg_catalog.now() - interval '5 hours', 'w2'),
	('idle', null, null),
	('held', pg_catalog.now(), 'w1');
insert into graphile_worker._private_jobs
	(key, job_queue_id, attempts, max_attempts, locked_at, locked_by, last_error,
	 payload, priority, flags, revision, run_at, task_id, created_at, updated_at)
select *, 1, pg_catalog.now() - interval '1 day', pg_catalog.now() - interval '1 day'
from (values
	(null,      null, 0,  25, null, null, null, '{}'::json, 0, null::jsonb, 0, pg_catalog.now()),
	('ready',   1, 0,  10, null, null, null, '[1]', 5, '{"f": true}', 3, pg_catalog.now() + interval '1 hour'),
	('tried',   null, 3,  25, null, null, 'oops', '{"old": true}', 0, null, 0, pg_catalog.now() + interval '1 hour'),
	('locked',  2, 1,  25, pg_catalog.now(), 'w1', null, '{}', 0, null, 0, pg_catalog.now()),
	('stale',   3, 1,  25, pg_catalog.now() - interval '5 hours', 'w2', 'oops', '{}', 0, null, 0, pg_catalog.now()),
	('failed',  null, 25, 25, null, null, 'oops', '{}', 0, null, 0, pg_catalog.now()),
	('over',    null, 30, 25, null, null, 'oops', '{}', 0, null, 0, pg_catalog.now()),
	('forever', null, 0,  25, null, null, null, '{}', 0, null, 0, 'infinity'),
	('lost',    null, 25, 25, pg_catalog.now() - interval '5 hours', 'w2', null, '{}', 0, null, 0, pg_catalog.now())
) as jobs (key, queue, attempts, max_attempts, locked_at, locked_by, last_error, payload, priority, flags, revision, run_at)`

// behaviourSchemas are the schemas in each of the databases.
var behaviourSchemas = []string{graphile.DefaultSchema, `Weird "Name"`}

// A side is one of the two that are compared.
type side struct {
	name     string
	template *pgtest.Template
}

func behaviourSides(tb testing.TB) (ours, theirs side) {
	tb.Helper()
	upstream.Ensure(tb)
	return side{"ours", &pgtest.Template{Name: "behaviour ours", Build: buildOurs}},
		side{"upstream", &pgtest.Template{Name: "behaviour upstream", Key: upstream.Newest, Build: buildTheirs}}
}

func buildOurs(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	for _, options := range []*migrations.Options{nil, {Schema: behaviourSchemas[1]}} {
		m, err := migrations.New(pool, options)
		if err != nil {
			return err
		}
		if _, err := m.Up(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func buildTheirs(ctx context.Context, url string) error {
	for _, schema := range behaviourSchemas {
		if err := upstream.Install(ctx, upstream.Newest, url, schema); err != nil {
			return err
		}
	}
	return nil
}

// testBehaviours runs the cases, each in databases of its own.
func testBehaviours(t *testing.T, cases []behaviour) {
	t.Parallel()
	ours, theirs := behaviourSides(t)
	folds := foldsValues(t)
	var ran, allowed, differ atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d of %d cases ran on both schemas; %d differ as allowed, %d otherwise",
			ran.Load(), len(cases), allowed.Load(), differ.Load())
	})
	for _, b := range cases {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			got := make(map[string]map[string]outcome) // by side, then schema
			for _, s := range []side{ours, theirs} {
				got[s.name] = make(map[string]outcome)
				url := pgtest.URL(t, s.template)
				for _, schema := range behaviourSchemas {
					o := observe(t, url, schema)
					o.exec(fixture)
					got[s.name][schema] = o.do(b)
					o.close()
				}
			}
			ran.Add(1)
			if b.folds && folds {
				b.theirs = &outcome{Err: notSmall}
			}
			wantTheirs, count := b.want, &differ
			if b.theirs != nil {
				wantTheirs, count = *b.theirs, &allowed
			}
			if !cmp.Equal(got[theirs.name], got[ours.name]) {
				count.Add(1)
			}
			for _, schema := range behaviourSchemas {
				o, u := got[ours.name][schema], got[theirs.name][schema]
				if diff := cmp.Diff(b.want, o); diff != "" {
					t.Errorf("%s: ours in %s: -want +got\n%s", b.promise, schema, diff)
				}
				if diff := cmp.Diff(wantTheirs, u); diff != "" {
					t.Errorf("%s: upstream's in %s: -want +got\n%s", b.promise, schema, diff)
				}
				if diff := cmp.Diff(u, o); diff != "" && b.theirs == nil {
					t.Errorf("%s: in %s: -upstream's +ours\n%s", b.promise, schema, diff)
				}
			}
		})
	}
}

// foldsValues says whether the server keeps plans for functions written in SQL, as
// upstream's reschedule_jobs is. PostgreSQL 18 does: it then plans for the values,
// and casts one that is out of range while it does so.
func foldsValues(t *testing.T) bool {
	t.Helper()
	var version int
	err := pgtest.Pool(t, nil).QueryRow(t.Context(), "select pg_catalog.current_setting('server_version_num')::int").Scan(&version)
	if err != nil {
		t.Fatal(err)
	}
	return version >= 180000
}

// An observer makes calls in one schema and reads off what they do.
type observer struct {
	testing.TB
	ctx      context.Context
	schema   string
	main     *pgconn.PgConn // makes the calls, and listens
	other    *pgconn.PgConn // holds transactions open
	notified []string
}

const lastNotification = "behaviour:end"

func observe(tb testing.TB, url, schema string) *observer {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	o := &observer{TB: tb, ctx: ctx, schema: schema}
	config := pgtest.Config(tb, url).ConnConfig.Config.Copy()
	config.RuntimeParams["timezone"] = "UTC"
	connect := func() *pgconn.PgConn {
		conn, err := pgconn.ConnectConfig(ctx, config)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	o.other = connect()
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		o.notified = append(o.notified, n.Channel+" "+withoutRandom(n.Payload))
	}
	o.main = connect()
	o.query(o.main, `listen "jobs:insert"; listen "worker:migrate"; listen "`+lastNotification+`"`)
	return o
}

func (o *observer) close() {
	_ = o.main.Close(o.ctx)
	_ = o.other.Close(o.ctx)
}

var insertPayload = regexp.MustCompile(`^\{"r":(?:0|1|0\.\d+|\d(?:\.\d+)?e-\d+),("count":-?\d+\})$`)

func withoutRandom(payload string) string { return insertPayload.ReplaceAllString(payload, "{$1") }

// do makes the call of a behaviour and returns the outcome.
func (o *observer) do(b behaviour) outcome {
	o.Helper()
	if b.setup != "" {
		o.exec(b.setup)
	}
	return o.around(func(times labels) (returned *pgconn.Result, waited bool, errs []error) {
		for range max(b.times, 1) {
			r, w, err := o.call(b, times)
			if returned = r; w {
				waited = true
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
		return returned, waited, errs
	})
}

// call makes one call, while the other transaction is held open.
func (o *observer) call(b behaviour, times labels) (returned *pgconn.Result, waited bool, err error) {
	o.Helper()
	if b.held != "" {
		o.query(o.other, "begin")
		times[o.value(o.other, "select pg_catalog.now()")] = "then"
		o.query(o.other, b.held)
	}
	o.query(o.main, "begin")
	for moment, label := range times {
		if label == "now" {
			times[moment] = "earlier"
		}
	}
	times[o.value(o.main, "select pg_catalog.now()")] = "now"
	done := make(chan struct{})
	go func() {
		defer close(done)
		var results []*pgconn.Result
		results, err = o.main.Exec(o.ctx, graphile.Rename(b.call, o.schema)).ReadAll()
		if err == nil {
			returned = results[len(results)-1]
			_, err = o.main.Exec(o.ctx, "commit").ReadAll()
		} else if _, e := o.main.Exec(o.ctx, "rollback").ReadAll(); e != nil {
			err = errors.Join(err, e)
		}
	}()
	if b.held != "" {
		waited = o.awaitWait(done)
		if b.undo {
			o.query(o.other, "rollback")
		} else {
			o.query(o.other, "commit")
		}
	}
	<-done
	return returned, waited, err
}

// awaitWait reports whether the call waits for the other transaction. If not, the call has
// ended.
func (o *observer) awaitWait(done <-chan struct{}) bool {
	o.Helper()
	blocked := fmt.Sprintf("select %d = any (pg_catalog.pg_blocking_pids(%d))", o.other.PID(), o.main.PID())
	for {
		if o.value(o.other, blocked) == "t" {
			return true
		}
		select {
		case <-done:
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// around observes what an act changes.
func (o *observer) around(act func(labels) (returned *pgconn.Result, waited bool, errs []error)) outcome {
	o.Helper()
	o.heard()
	change := change{before: o.snapshot(), times: make(labels)}
	returned, waited, errs := act(change.times)
	out := outcome{Waited: waited, Notified: o.heard()}
	change.after = o.snapshot()
	out.Changed = change.lines()
	if returned != nil {
		for _, values := range returned.Rows {
			out.Returned = append(out.Returned, change.returned(asRow(returned.FieldDescriptions, values)))
		}
	}
	slices.Sort(out.Returned)
	var texts []string
	for _, err := range errs {
		texts = append(texts, errorText(err))
	}
	out.Err = strings.Join(slices.Compact(texts), "; then ")
	return out
}

// heard returns the notifications since it was last called.
func (o *observer) heard() []string {
	o.Helper()
	end := lastNotification + " "
	o.query(o.main, `notify "`+lastNotification+`"`)
	for !slices.Contains(o.notified, end) {
		if err := o.main.WaitForNotification(o.ctx); err != nil {
			o.Fatal(err)
		}
	}
	var heard []string
	for _, n := range o.notified {
		if n != end {
			heard = append(heard, n)
		}
	}
	o.notified = nil
	return heard
}

// exec runs SQL in one transaction, which must not fail.
func (o *observer) exec(sql string) {
	o.Helper()
	o.query(o.main, sql)
}

func (o *observer) query(conn *pgconn.PgConn, sql string) []*pgconn.Result {
	o.Helper()
	results, err := conn.Exec(o.ctx, graphile.Rename(sql, o.schema)).ReadAll()
	if err != nil {
		o.Fatalf("%s: %v", sql, err)
	}
	return results
}

func (o *observer) value(conn *pgconn.PgConn, sql string) string {
	o.Helper()
	return string(o.query(conn, sql)[0].Rows[0][0])
}

func errorText(err error) string {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err.Error()
	}
	return strings.TrimSpace(pgErr.Code+" "+pgErr.ConstraintName) + ": " + pgErr.Message
}

// A row has the text of each column. Those that are null are left out.
type row struct {
	columns []string
	values  map[string]string
}

func asRow(fields []pgconn.FieldDescription, values [][]byte) row {
	r := row{values: make(map[string]string)}
	for i, field := range fields {
		r.columns = append(r.columns, field.Name)
		if values[i] != nil {
			r.values[field.Name] = string(values[i])
		}
	}
	return r
}

func (r row) get(column string) string {
	if value, ok := r.values[column]; ok {
		return value
	}
	return "null"
}

func (r row) isJob() bool { return slices.Contains(r.columns, "payload") }

// A snapshot holds the rows of the tables by kind and id, and the last value
// that each kind's identity spent.
type snapshot struct {
	rows  map[string]map[string]row
	spent map[string]int
}

var kinds = []string{"task", "queue", "crontab", "job"}

func (o *observer) snapshot() snapshot {
	o.Helper()
	results := o.query(o.main, `
		select * from graphile_worker._private_tasks order by id;
		select * from graphile_worker._private_job_queues order by id;
		select identifier as id, * from graphile_worker._private_known_crontabs order by 1;
		select * from graphile_worker._private_jobs order by id;
		select 'task', case when is_called then last_value else 0 end from graphile_worker.tasks_id_seq
		union all select 'queue', case when is_called then last_value else 0 end from graphile_worker.job_queues_id_seq
		union all select 'job', case when is_called then last_value else 0 end from graphile_worker.jobs_id_seq1`)
	s := snapshot{rows: make(map[string]map[string]row), spent: make(map[string]int)}
	for i, kind := range kinds {
		s.rows[kind] = make(map[string]row)
		for _, values := range results[i].Rows {
			r := asRow(results[i].FieldDescriptions, values)
			s.rows[kind][r.get("id")] = r
		}
	}
	for _, values := range results[len(kinds)].Rows {
		spent, err := strconv.Atoi(string(values[1]))
		if err != nil {
			o.Fatal(err)
		}
		s.spent[string(values[0])] = spent
	}
	return s
}

// labels are the names of moments.
type labels map[string]string

// A change is what lies between two snapshots.
type change struct {
	before, after snapshot
	times         labels
	added         map[string]string // the number of each new job, by its id
}

// lines says what changed, and numbers the new jobs.
func (c *change) lines() (lines []string) {
	c.added = make(map[string]string)
	for _, kind := range kinds {
		var added, others []string
		before, after := c.before.rows[kind], c.after.rows[kind]
		ids := make(map[string][]string)
		for id, now := range after {
			was, there := before[id]
			if !there {
				text := c.text(now)
				added = append(added, text)
				ids[text] = append(ids[text], id)
				continue
			}
			var columns []string
			for _, column := range now.columns {
				if now.get(column) != was.get(column) {
					columns = append(columns, c.column(now, column))
				}
			}
			if columns != nil {
				others = append(others, kind+" "+name(kind, now)+": "+strings.Join(columns, " "))
			}
		}
		for id, was := range before {
			if _, there := after[id]; !there {
				others = append(others, "-"+kind+" "+name(kind, was))
			}
		}
		slices.Sort(added)
		for i, text := range added {
			if kind != "job" {
				lines = append(lines, "+"+kind+" "+text)
				continue
			}
			number := "+" + strconv.Itoa(i+1)
			id := ids[text][0]
			ids[text] = ids[text][1:]
			c.added[id] = number
			lines = append(lines, number+" "+text)
		}
		slices.Sort(others)
		lines = append(lines, others...)
		if lost := c.after.spent[kind] - c.before.spent[kind] - len(added); lost != 0 {
			lines = append(lines, fmt.Sprintf("spent on no %s: %d", kind, lost))
		}
	}
	return lines
}

// returned says which row this is.
func (c *change) returned(r row) string {
	if len(r.values) == 0 {
		return "null"
	}
	if !r.isJob() {
		var values []string
		for _, column := range r.columns {
			values = append(values, fmt.Sprintf("%q", r.get(column)))
		}
		return strings.Join(values, " ")
	}
	id := r.get("id")
	was, before := c.before.rows["job"][id]
	now, after := c.after.rows["job"][id]
	switch {
	case c.added[id] != "" && cmp.Equal(r.values, now.values):
		return c.added[id]
	case after && cmp.Equal(r.values, now.values):
		return "job " + id
	case before && !after && cmp.Equal(r.values, was.values):
		return "job " + id + " as it was"
	}
	return "job " + id + " " + c.text(r)
}

// text writes out a row, but for the values that a new one has by default.
func (c *change) text(r row) string {
	defaults := map[string]string{
		"payload": "{}", "priority": "0", "attempts": "0", "max_attempts": "25", "revision": "0", "is_available": "t",
		"run_at": "now", "created_at": "now", "updated_at": "now",
	}
	var columns []string
	for _, column := range r.columns {
		_, set := r.values[column]
		preset, omitted := defaults[column]
		if set && column != "id" && !(omitted && c.value(r, column) == preset) {
			columns = append(columns, c.column(r, column))
		}
	}
	return strings.Join(columns, " ")
}

func (c *change) column(r row, column string) string {
	return strings.TrimSuffix(strings.TrimPrefix(column, "job_"), "_id") + "=" + c.value(r, column)
}

func (c *change) value(r row, column string) string {
	value := r.get(column)
	switch {
	case value == "null":
		return value
	case column == "task_id":
		return c.named("task", value)
	case column == "job_queue_id":
		return c.named("queue", value)
	case strings.HasSuffix(column, "_at"):
		var was row
		if r.isJob() {
			was = c.before.rows["job"][r.get("id")]
		}
		return c.time(was.get(column), value)
	}
	return value
}

// named returns the name of a task or a queue.
func (c *change) named(kind, id string) string {
	for _, s := range []snapshot{c.after, c.before} {
		if r, ok := s.rows[kind][id]; ok {
			return name(kind, r)
		}
	}
	return "gone"
}

func name(kind string, r row) string {
	column := map[string]string{"task": "identifier", "queue": "queue_name", "crontab": "identifier", "job": "id"}[kind]
	return r.get(column)
}

// time says how a time relates to what it was and to the moments with a name.
func (c *change) time(was, value string) string {
	if value == was {
		return "same"
	}
	if label, ok := c.times[value]; ok {
		return label
	}
	const layout = "2006-01-02 15:04:05.999999-07"
	at, err := time.Parse(layout, value)
	if err != nil {
		return value // infinity
	}
	for moment, label := range c.times {
		now, err := time.Parse(layout, moment)
		if offset := at.Sub(now); err == nil && label == "now" && offset.Abs() < 100*time.Hour {
			return "now" + signed(offset)
		}
	}
	return value
}

func signed(d time.Duration) string {
	if d < 0 {
		return d.String()
	}
	return "+" + d.String()
}
