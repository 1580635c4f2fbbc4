package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A change is a call on jobs by their ids.
type change struct {
	name   string
	forms  []form // this module's calls, the one that returns least last
	js     string // the method of WorkerUtils
	jsArgs []any
	sql    string // the same by hand, without a result for each id
}

// A form is a call that makes the change.
type form struct {
	name string
	call func(ctx context.Context, c *admin.Client, ids []int64) error
}

// inForms returns two forms: one returns jobs, the other their ids.
func inForms(call func(context.Context, *admin.Client, []int64, admin.Returning) (*admin.ChangeResult, error)) []form {
	returning := func(want admin.Returning) func(context.Context, *admin.Client, []int64) error {
		return func(ctx context.Context, c *admin.Client, ids []int64) error {
			return all(ids)(call(ctx, c, ids, want))
		}
	}
	return []form{{"gwadmin", returning(admin.ReturnJobs)}, {"gwadmin-ids", returning(admin.ReturnIDs)}}
}

// leanest is the form that returns least, for many ids.
func (c change) leanest() form { return c.forms[len(c.forms)-1] }

const unlocked = `id = any ($1) and (locked_at is null or locked_at < now() - interval '4 hours')`

func changes() []change {
	tomorrow := time.Now().Add(24 * time.Hour).UTC()
	return []change{
		{
			name: "Complete",
			forms: inForms(func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning) (*admin.ChangeResult, error) {
				return c.CompleteJobs(ctx, ids, &admin.ChangeOptions{Return: want})
			}),
			js:     "completeJobs",
			jsArgs: []any{},
			sql:    `delete from graphile_worker._private_jobs where ` + unlocked,
		},
		{
			name: "Fail",
			forms: inForms(func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning) (*admin.ChangeResult, error) {
				return c.FailJobs(ctx, ids, new("enough"), &admin.ChangeOptions{Return: want})
			}),
			js:     "permanentlyFailJobs",
			jsArgs: []any{"enough"},
			sql: `update graphile_worker._private_jobs
				set last_error = 'enough', attempts = max_attempts, updated_at = now() where ` + unlocked,
		},
		{
			name: "Reschedule",
			forms: inForms(func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning) (*admin.ChangeResult, error) {
				return c.RescheduleJobs(ctx, ids, admin.RescheduleValues{RunAt: admin.At(tomorrow)}, &admin.ChangeOptions{Return: want})
			}),
			js:     "rescheduleJobs",
			jsArgs: []any{map[string]any{"runAt": tomorrow}},
			sql: `update graphile_worker._private_jobs
				set run_at = now() + interval '1 day', updated_at = now() where ` + unlocked,
		},
	}
}

// all checks that a call changed all jobs.
func all(ids []int64) func(*admin.ChangeResult, error) error {
	return func(result *admin.ChangeResult, err error) error {
		if err == nil && result.Changed != int64(len(ids)) {
			err = fmt.Errorf("%d of %d jobs were changed, and %v skipped", result.Changed, len(ids), result.SkippedJobs[0])
		}
		return err
	}
}

func BenchmarkChange(b *testing.B) {
	d := theSuite(b).database(b, manyJobs())
	sizes := []int{1, 1_000, 100_000, 1_000_000}
	if testing.Short() {
		sizes = []int{1, 1_000, 10_000}
	}
	for _, change := range changes() {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("do=%s/ids=%d", change.name, size), func(b *testing.B) { benchmarkChange(b, d, change, size) })
		}
	}
}

// largeChange is the size from which changes are rolled back, so that each way works on
// the same table. Smaller ones are committed, and the jobs restored at the end.
const largeChange = 10_000

func benchmarkChange(b *testing.B, d *database, change change, size int) {
	ctx, pool := b.Context(), poolOf(b, d, 1)
	undo := size >= largeChange || d.js == nil
	deck := newDeck(largeTable())
	changed := map[string][]int64{} // the ids, by schema
	deal := func(schema string, n int) [][]int64 {
		ids := deck.deal(n * size)
		if !undo {
			changed[schema] = append(changed[schema], ids...)
		}
		return slices.Collect(slices.Chunk(ids, size))
	}
	putBack := func() error {
		err := errors.Join(restore(ctx, d, ours, changed[ours]), restore(ctx, d, theirs, changed[theirs]))
		clear(changed)
		deck.shuffle()
		return err
	}
	c := comparison{
		work: change.name + " by ids",
		size: fmt.Sprintf("%s of %s jobs", count(size), count(largeTable())),
		unit: "jobs",
		per:  size,
		most: max(1, min(2_000, largeTable()/50)/size),
		warm: max(1, min(20, 2_000/size)),
		after: func() error {
			switch {
			case undo && change.name != "Complete": // whose rollback leaves no dead rows
				return vacuum(ctx, d)
			case !undo && deck.left() < largeTable()/2:
				return putBack()
			}
			return nil
		},
	}
	if undo && size >= largeChange {
		c.times = 1
	}
	if size >= 1_000_000 {
		c.rounds = 3
	}

	inGo := func(work func(on admin.DB, ids []int64) error) func(n int) (time.Duration, error) {
		return func(n int) (took time.Duration, err error) {
			batches, on := deal(ours, n), admin.DB(pool)
			if undo {
				tx, err := pool.Begin(ctx)
				if err != nil {
					return 0, err
				}
				defer tx.Rollback(ctx)
				on = tx
			}
			return stopwatch(func() error {
				for _, ids := range batches {
					if err := work(on, ids); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	client := admin.New(pool)
	for _, form := range change.forms {
		c.ways = append(c.ways, way{form.name, inGo(func(on admin.DB, ids []int64) error {
			if tx, ok := on.(pgx.Tx); ok {
				return form.call(ctx, client.WithTx(tx), ids)
			}
			return form.call(ctx, client, ids)
		})})
		byJS, bySQL := none, none
		if form.name == change.leanest().name { // the statement by hand returns no jobs
			byJS, bySQL = changeByJS(size), changeBySQL
		}
		if d.js != nil {
			c.ratios = append(c.ratios, ratio{form.name, "js", byJS})
		}
		c.ratios = append(c.ratios, ratio{form.name, "sql", bySQL})
	}
	c.ways = append(c.ways, way{"sql", inGo(func(on admin.DB, ids []int64) error {
		_, err := on.Exec(ctx, change.sql, ids)
		return err
	})})
	if d.js != nil {
		c.ways = append(c.ways, way{"js", func(n int) (time.Duration, error) {
			return d.js.timed("change", params{
				"schema": theirs, "method": change.js, "args": change.jsArgs, "batches": asText(deal(theirs, n)), "undo": undo,
			})
		}})
	}
	c.compare(b)
	if err := putBack(); err != nil {
		b.Fatal(err)
	}
}

// asText writes ids as strings, as JavaScript has them.
func asText(batches [][]int64) [][]string {
	texts := make([][]string, len(batches))
	for i, ids := range batches {
		for _, id := range ids {
			texts[i] = append(texts[i], strconv.FormatInt(id, 10))
		}
	}
	return texts
}

// vacuum removes the dead rows of changes that were rolled back.
func vacuum(ctx context.Context, d *database) error {
	const sql = "vacuum graphile_worker._private_jobs"
	if d.js != nil {
		if err := d.exec(ctx, theirs, sql); err != nil {
			return err
		}
	}
	return d.exec(ctx, ours, sql)
}

// restore copies changed jobs of a schema back from the other schema, where other jobs
// were changed.
func restore(ctx context.Context, d *database, schema string, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	from := theirs
	if schema == theirs {
		from = ours
	}
	const columns = `id, job_queue_id, task_id, payload, priority, run_at, attempts, max_attempts,
		last_error, created_at, updated_at, key, locked_at, locked_by, revision, flags`
	pool, err := d.pool(ctx, 1)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, graphile.Rename("delete from graphile_worker._private_jobs where id = any ($1)", schema), ids); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, graphile.Rename("insert into graphile_worker._private_jobs ("+columns+") overriding system value", schema)+
			graphile.Rename(" select "+columns+" from graphile_worker._private_jobs where id = any ($1)", from), ids)
		return err
	})
}

// A deck deals ids in random order, and each once before any is repeated.
type deck struct {
	ids  []int64
	next int
	rng  *rand.Rand
}

func newDeck(jobs int) *deck {
	d := &deck{ids: make([]int64, jobs), rng: rand.New(rand.NewPCG(1, 2))}
	for i := range d.ids {
		d.ids[i] = int64(i + 1)
	}
	d.shuffle()
	return d
}

func (d *deck) shuffle() {
	d.rng.Shuffle(len(d.ids), func(i, j int) { d.ids[i], d.ids[j] = d.ids[j], d.ids[i] })
	d.next = 0
}

// deal returns the next n ids. The caller may keep them.
func (d *deck) deal(n int) []int64 {
	if d.left() < n {
		d.shuffle()
	}
	d.next += n
	return slices.Clone(d.ids[d.next-n : d.next])
}

func (d *deck) left() int { return len(d.ids) - d.next }
