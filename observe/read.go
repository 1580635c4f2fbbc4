package observe

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/migrations"
)

// A reading is the transaction in which a part is read.
type reading struct {
	pgx.Tx // puts the schema's name into the queries
	client *admin.Client
}

// renamed puts the name of another schema into the queries.
type renamed struct {
	pgx.Tx
	schema string
}

func (r renamed) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return r.Tx.Query(ctx, graphile.Rename(sql, r.schema), args...)
}

func (r renamed) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return r.Tx.QueryRow(ctx, graphile.Rename(sql, r.schema), args...)
}

// in runs fn in a read-only transaction whose statements may take so long, and returns the
// database's time at its beginning.
func (o *Observer) in(ctx context.Context, on admin.DB, timeout time.Duration, fn func(reading) error) (asOf time.Time, err error) {
	err = pgx.BeginFunc(ctx, on, func(tx pgx.Tx) error {
		begun, err := o.queries.ReadingBegin(ctx, tx, db.ReadingBeginParams{StatementTimeout: strconv.FormatInt(max(1, timeout.Milliseconds()), 10)})
		if err != nil {
			return err
		}
		asOf = begun.At.Time.UTC()
		return fn(reading{renamed{tx, o.Schema()}, o.client.WithTx(tx)})
	})
	return asOf, err
}

func (o *Observer) readDue(ctx context.Context, _ Due) (due Due, asOf time.Time, err error) {
	asOf, err = o.in(ctx, o.reader, o.options.Fast.Timeout, func(r reading) error {
		// The first call of the client checks that it supports the schema.
		if due.Crontabs, err = r.client.Crontabs(ctx); err != nil {
			return err
		}
		times, err := o.queries.JobTimes(ctx, r)
		if err != nil {
			return err
		}
		due.OldestReady, due.NextRunAt, due.TimesExact = utc(times.OldestReady), utc(times.NextRunAt), times.Certain
		due.Jobs, err = o.queries.DueCount(ctx, r, db.DueCountParams{Most: MaxDue})
		return err
	})
	return due, asOf, err
}

func (o *Observer) readActivity(ctx context.Context, before Activity) (a Activity, asOf time.Time, err error) {
	asOf, err = o.in(ctx, o.on, o.options.Fast.Timeout, func(r reading) error {
		rows, err := o.queries.TableActivityList(ctx, r, db.TableActivityListParams{SchemaName: o.Schema()})
		if err != nil {
			return err
		}
		for _, row := range rows {
			a.Tables = append(a.Tables, Table{
				Name: tableName(row.Name), Inserted: row.Inserted, Updated: row.Updated, Deleted: row.Deleted,
				Live: row.Live, Dead: row.Dead, Modified: row.Modified,
				LastVacuum: utc(row.LastVacuum), LastAutovacuum: utc(row.LastAutovacuum),
				LastAnalyze: utc(row.LastAnalyze), LastAutoanalyze: utc(row.LastAutoanalyze),
			})
		}
		server, err := o.queries.ServerActivityGet(ctx, r)
		if err != nil {
			return err
		}
		a.NotifyQueueUsage, a.SeesTransactions = server.NotifyQueueUsage, server.SeesAll
		if since := utc(server.Since); since != nil {
			a.OldestTransaction = &Transaction{Since: *since, Prepared: server.Prepared, PID: int(server.Pid), State: server.State, Name: server.Name}
		}
		return nil
	})
	a.AsOf = &asOf
	a.Rates = rates(before, a)
	return a, asOf, err
}

// rates are those between two readings, nil if the counters were reset or nothing has been
// read before.
func rates(before, after Activity) *Rates {
	was, is := before.jobs(), after.jobs()
	if was == nil || is == nil || is.Inserted < was.Inserted || is.Deleted < was.Deleted {
		return nil
	}
	seconds := after.AsOf.Sub(*before.AsOf).Seconds()
	if seconds <= 0 {
		return nil
	}
	return &Rates{
		Seconds:  seconds,
		Inserted: float64(is.Inserted-was.Inserted) / seconds,
		Deleted:  float64(is.Deleted-was.Deleted) / seconds,
	}
}

// jobs is the table of jobs, or nil.
func (a *Activity) jobs() *Table {
	for i := range a.Tables {
		if a.Tables[i].Name == "jobs" {
			return &a.Tables[i]
		}
	}
	return nil
}

// exactPages is the greatest size of a table that CountAuto counts exactly: 256 MB, which are
// one to two million jobs, and about a second.
const exactPages = 1 << 15

// samplePages is how many pages an estimate reads. More take longer in proportion.
const samplePages = 250

func (o *Observer) readCounts(ctx context.Context, _ Counts) (counts Counts, asOf time.Time, err error) {
	asOf, err = o.in(ctx, o.reader, o.options.Counting.Timeout, func(r reading) error {
		options := &admin.StatsOptions{SkipQueues: !o.options.Queues, Estimate: o.options.Count == CountEstimate, SamplePages: samplePages}
		if o.options.Count == CountAuto {
			span, err := o.queries.JobSpan(ctx, r)
			if err != nil {
				return err
			}
			options.Estimate = span.Pages > exactPages
		}
		counts.Stats, err = r.client.Stats(ctx, options)
		return err
	})
	return counts, asOf, err
}

func (o *Observer) readLocks(ctx context.Context, _ Locks) (locks Locks, asOf time.Time, err error) {
	asOf, err = o.in(ctx, o.reader, o.options.Counting.Timeout, func(r reading) error {
		workers, err := r.client.Workers(ctx)
		for _, worker := range workers {
			if worker.Stale > 0 {
				locks.StaleHolders++
			} else {
				locks.Holders++
			}
			locks.Jobs += worker.Jobs
			locks.Queues += worker.Queues
			locks.Stale += worker.Stale
			if locks.Oldest == nil || worker.Oldest.Before(*locks.Oldest) {
				locks.Oldest = &worker.Oldest
			}
		}
		if err == nil {
			locks.Paused, err = o.queries.PausedQueueCount(ctx, r)
		}
		return err
	})
	return locks, asOf, err
}

func (o *Observer) readSizes(ctx context.Context, _ Sizes) (sizes Sizes, asOf time.Time, err error) {
	asOf, err = o.in(ctx, o.on, o.options.Slow.Timeout, func(r reading) error {
		rows, err := o.queries.TableSizeList(ctx, r, db.TableSizeListParams{SchemaName: o.Schema()})
		for _, row := range rows {
			sizes.Relations = append(sizes.Relations, Relation{
				Table: tableName(row.TableName), Index: row.IndexName, Bytes: row.Bytes, Rows: row.Rows, Scans: row.Scans,
			})
		}
		return err
	})
	return sizes, asOf, err
}

func (o *Observer) readHealth(ctx context.Context, _ Health) (health Health, asOf time.Time, err error) {
	asOf, err = o.in(ctx, o.on, o.options.Slow.Timeout, func(r reading) error {
		found, err := o.queries.InstallationGet(ctx, r, db.InstallationGetParams{SchemaName: o.Schema()})
		if err != nil {
			return err
		}
		health.SeesAll = found.ReadsAll
		if found.HasLedger && found.RevisionReadable {
			revision, err := o.queries.RevisionGetNewest(ctx, r)
			if err != nil {
				return err
			}
			health.Revision = new(int(revision))
		}
		err = r.client.Check(ctx)
		unsupported := errors.Is(err, admin.ErrNotInstalled) || errors.Is(err, admin.ErrRevisionTooOld) || errors.Is(err, admin.ErrRevisionTooNew)
		health.Supported = !unsupported
		if unsupported || errors.Is(err, admin.ErrRowSecurity) {
			health.Problem = err.Error()
			return nil
		}
		return err
	})
	if err == nil && health.Problem == "" && health.Revision != nil {
		health.Drift, err = o.drift(ctx)
	}
	return health, asOf, err
}

// drift returns how the schema differs from the one that the migrations build.
func (o *Observer) drift(ctx context.Context) ([]migrations.Difference, error) {
	pool, ok := o.on.(*pgxpool.Pool)
	if !ok {
		return nil, nil
	}
	migrator, err := migrations.New(pool, &migrations.Options{Schema: o.Schema(), LockTimeout: o.options.Slow.Timeout})
	if err != nil {
		return nil, err
	}
	found, err := migrator.Validate(ctx)
	if err != nil {
		return nil, err
	}
	return append([]migrations.Difference{}, found.Differences...), nil
}

func (o *Observer) readErrors(ctx context.Context, _ Errors) (shapes Errors, asOf time.Time, err error) {
	asOf, err = o.in(ctx, o.reader, o.options.Slow.Timeout, func(r reading) error {
		stats, err := r.client.Stats(ctx, &admin.StatsOptions{
			ErrorShapes: o.options.ErrorShapes, ErrorStates: []admin.State{admin.Permafailed}, SkipQueues: true, Estimate: true, SamplePages: samplePages,
		})
		if err != nil {
			return err
		}
		shapes.Shapes, shapes.Other = stats.Errors, stats.OtherErrors
		if stats.Estimate != nil {
			shapes.OtherMargin = stats.Estimate.OtherErrors
		}
		return nil
	})
	return shapes, asOf, err
}

// tableName is a table's name without the prefix that says that it is private.
func tableName(name string) string { return strings.TrimPrefix(name, "_private_") }

// utc is a time in UTC, or nil for null.
func utc(t pgtype.Timestamptz) *time.Time {
	if !t.Valid {
		return nil
	}
	return new(t.Time.UTC())
}
