// Package observe takes snapshots of a queue that are cheap on a table of millions of jobs:
// what waits, how fast jobs come and go, who holds locks, sizes, and health.
//
// A [Snapshot] consists of parts. Each part is read again when somebody asks for a snapshot
// and the part is older than its interval, but never twice at the same time, however many
// ask. Without anybody who asks nothing is read. Package observe/metrics exports snapshots to
// Prometheus.
package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// Options say what is read, and how often. The zero value, or nil, means the defaults.
type Options struct {
	// Schema is the schema that Graphile Worker is installed in; empty means graphile_worker.
	Schema string
	// Reader is another database, such as a pool on a read replica, for everything that is
	// read from Graphile Worker's tables: [Due], [Counts], [Locks] and [Errors]. The other
	// parts are the primary's statistics.
	Reader admin.DB
	// Fast is how [Due] and [Activity] are read. The default is 15 seconds, within 1 second.
	Fast Pace
	// Counting is how [Counts] and [Locks] are read. The default is 1 minute, within 10
	// seconds.
	Counting Pace
	// Slow is how [Sizes], [Health] and [Errors] are read. The default is 5 minutes, within 10
	// seconds.
	Slow Pace
	// Count says whether jobs are counted exactly.
	Count Counting
	// Queues also counts the jobs by queue.
	Queues bool
	// ErrorShapes is how many kinds of errors [Errors] tells apart, up to
	// [admin.MaxErrorShapes]; 0 leaves that part out.
	ErrorShapes int
	// MaxWait is how long a call waits for parts that are being read again; after it the call
	// returns what was read before. The default is 1 second. For a part that has never been
	// read a call waits as long as its context lasts.
	MaxWait time.Duration
	// Partial makes a call wait no longer than MaxWait for a part that has never been read,
	// too. That part is empty then, and its AsOf and its Err are nil. A part that was read
	// within twice its interval is not waited for at all.
	Partial bool
}

// A Pace is how a part is read. Zero fields mean the defaults.
type Pace struct {
	// Interval is how old a part must be to be read again. A reading that failed is made
	// again after it, or already after 15 seconds if it failed quickly.
	Interval time.Duration
	// Timeout is how long each statement may take. A whole reading, with the wait for a
	// connection, may take twice as long.
	Timeout time.Duration
}

// Counting says how jobs are counted.
type Counting string

const (
	// CountAuto counts a table of up to 256 MB, one to two million jobs, exactly and estimates
	// a larger one. It is the default.
	CountAuto Counting = ""
	// CountExact always counts exactly.
	CountExact Counting = "exact"
	// CountEstimate reads at most 250 pages of the table: see [admin.Estimate].
	CountEstimate Counting = "estimate"
)

// An Observer takes snapshots. It is safe for concurrent use.
type Observer struct {
	on, reader admin.DB
	client     *admin.Client
	queries    *db.Queries
	options    Options
	ctx        context.Context // ends with Close
	close      context.CancelFunc

	due      part[Due]
	activity part[Activity]
	counts   part[Counts]
	locks    part[Locks]
	sizes    part[Sizes]
	health   part[Health]
	errors   part[Errors]
}

// New returns an Observer on a pool of connections to the primary. It does not connect. A
// reading is a short read-only transaction, so that it works through a transaction-mode
// pooler. There are at most three at a time, one of each [Pace].
func New(on admin.DB, options *Options) (*Observer, error) {
	o := &Observer{on: on, queries: db.New()}
	if options != nil {
		o.options = *options
	}
	if err := o.options.complete(); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	o.reader = o.options.Reader
	if o.reader == nil {
		o.reader = on
	}
	for _, on := range []admin.DB{o.on, o.reader} {
		if v := reflect.ValueOf(on); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, errors.New("observe: the database is nil: give a pool")
		}
		switch on.(type) {
		case pgx.Tx, *pgx.Conn:
			return nil, fmt.Errorf("observe: several readings cannot use a %T at the same time: give a pool", on)
		}
	}
	o.client = admin.New(on, admin.WithSchema(o.options.Schema))
	o.ctx, o.close = context.WithCancel(context.Background())
	fast, counting, slow := newTempo(o.options.Fast), newTempo(o.options.Counting), newTempo(o.options.Slow)
	o.due.tempo, o.due.read = fast, o.readDue
	o.activity.tempo, o.activity.read = fast, o.readActivity
	o.counts.tempo, o.counts.read = counting, o.readCounts
	o.locks.tempo, o.locks.read = counting, o.readLocks
	o.sizes.tempo, o.sizes.read = slow, o.readSizes
	o.health.tempo, o.health.read = slow, o.readHealth
	o.errors.tempo, o.errors.read = slow, o.readErrors
	return o, nil
}

// complete checks the options and sets the defaults in the zero fields.
func (o *Options) complete() error {
	for _, pace := range []struct {
		name              string
		of                *Pace
		interval, timeout time.Duration
	}{
		{"Fast", &o.Fast, 15 * time.Second, time.Second},
		{"Counting", &o.Counting, time.Minute, 10 * time.Second},
		{"Slow", &o.Slow, 5 * time.Minute, 10 * time.Second},
	} {
		if pace.of.Interval < 0 || pace.of.Timeout < 0 {
			return fmt.Errorf("option %s has a negative duration", pace.name)
		}
		pace.of.Interval = cmp.Or(pace.of.Interval, pace.interval)
		pace.of.Timeout = cmp.Or(pace.of.Timeout, pace.timeout)
	}
	if o.MaxWait < 0 {
		return errors.New("option MaxWait is negative")
	}
	o.MaxWait = cmp.Or(o.MaxWait, time.Second)
	o.Schema = cmp.Or(o.Schema, graphile.DefaultSchema)
	if err := graphile.CheckSchema(o.Schema); err != nil {
		return err
	}
	if all := []Counting{CountAuto, CountExact, CountEstimate}; !slices.Contains(all, o.Count) {
		return fmt.Errorf("option Count is %q: use one of %q", o.Count, all)
	}
	if o.ErrorShapes < 0 || o.ErrorShapes > admin.MaxErrorShapes {
		return fmt.Errorf("option ErrorShapes %d is outside 0 to %d", o.ErrorShapes, admin.MaxErrorShapes)
	}
	return nil
}

// Schema returns the name of the schema that is observed.
func (o *Observer) Schema() string { return o.options.Schema }

// Close ends the readings that are under way and waits for them. Later snapshots fail.
func (o *Observer) Close() {
	o.close()
	for _, part := range o.parts() {
		if running, _, _ := part.running(); running != nil {
			<-running
		}
	}
}

// Snapshot reads the parts that are older than their intervals and returns all of them. A
// part that cannot be read keeps what was read before and has an error: see [Snapshot.Err].
// The result is the caller's own, except that its maps and slices are those of other
// snapshots too: do not change them.
//
// The error is that of the context if it ends before every part has been read or has failed
// once, or says that the observer is closed.
func (o *Observer) Snapshot(ctx context.Context) (*Snapshot, error) {
	wait, cancel := context.WithTimeout(ctx, o.options.MaxWait)
	defer cancel()
	parts := o.parts()
	for _, part := range parts {
		part.refresh(o.ctx)
	}
	for _, part := range parts {
		running, first, recent := part.running()
		if running == nil || recent && o.options.Partial {
			continue
		}
		until := wait
		if first && !o.options.Partial {
			until = ctx
		}
		select {
		case <-running:
		case <-until.Done():
			if err := ctx.Err(); first && err != nil {
				return nil, fmt.Errorf("observe: %w", err)
			}
		}
	}
	if o.ctx.Err() != nil {
		return nil, errors.New("observe: the observer is closed")
	}
	s := &Snapshot{Schema: o.Schema(), TakenAt: time.Now().UTC()}
	s.Due, s.Due.Part = o.due.last()
	s.Activity, s.Activity.Part = o.activity.last()
	s.Counts, s.Counts.Part = o.counts.last()
	s.Locks, s.Locks.Part = o.locks.last()
	s.Sizes, s.Sizes.Part = o.sizes.last()
	s.Health, s.Health.Part = o.health.last()
	s.Errors, s.Errors.Part = o.errors.last()
	return s, nil
}

// parts are the parts that are read.
func (o *Observer) parts() []reader {
	parts := []reader{&o.due, &o.activity, &o.counts, &o.locks, &o.sizes, &o.health}
	if o.options.ErrorShapes > 0 {
		parts = append(parts, &o.errors)
	}
	return parts
}
