package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

const (
	jobsEnv = "GWADMIN_BENCH_JOBS" // number of jobs in the large table
	dirEnv  = "GWADMIN_BENCH_DIR"  // directory of the server's data; by default on disk
	setEnv  = "GWADMIN_BENCH_SET"  // settings of the server that override these: name=value,…

	ours   = graphile.DefaultSchema // this module's migrations
	theirs = "upstream"             // npm's, in the same database

	tasks  = 200
	queues = 1000
)

// A recipe describes a database.
type recipe struct {
	name  string
	jobs  int  // in each schema; the rows are the same
	alone bool // without npm's schema
	lazy  bool // does not wait for the disk at commit
	river bool // with River's tables

	have          int // of the jobs, those that an earlier run has added
	tasks, queues int // 0: 200 and 1000
	fillers       int // connections that add the jobs, each a range of them; 0: 1
}

// largeTable returns the number of jobs in the large table.
var largeTable = sync.OnceValue(func() int {
	if n, err := strconv.Atoi(os.Getenv(jobsEnv)); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return 50_000
	}
	return 5_000_000
})

// settings returns the settings of the server that are not PostgreSQL's own. Nothing
// runs in the background at random: tables are vacuumed between rounds. The short form
// looks for regressions, and does not wait for the disk.
func settings() map[string]string {
	buffers, commit := "1GB", "on"
	if testing.Short() {
		buffers, commit = "256MB", "off"
	}
	settings := map[string]string{
		"fsync":                "on",
		"synchronous_commit":   commit, // except in lazy databases
		"full_page_writes":     "on",
		"shared_buffers":       buffers,
		"max_wal_size":         "4GB",
		"checkpoint_timeout":   "1h",
		"autovacuum":           "off",
		"maintenance_work_mem": "512MB",
		"max_connections":      "400", // every way has pools of its own
	}
	for pair := range strings.SplitSeq(os.Getenv(setEnv), ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			settings[name] = value
		}
	}
	return settings
}

// A suite is the server of all benchmarks, and the databases in it.
type suite struct {
	server *pgserver.Server
	admin  *pgx.Conn
	facts  []string // the circumstances of the figures

	mu        sync.Mutex
	databases map[string]*database
}

var started struct {
	sync.Mutex
	suite *suite
}

// theSuite starts the server with the first benchmark.
func theSuite(b *testing.B) *suite {
	b.Helper()
	started.Lock()
	defer started.Unlock()
	if started.suite == nil {
		s, err := startSuite(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		started.suite = s
	}
	return started.suite
}

func startSuite(ctx context.Context) (*suite, error) {
	inst, err := pgserver.Find(ctx, pgserver.FindOptions{Fetch: true, Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	dir := os.Getenv(dirEnv)
	if info, err := os.Stat("/var/tmp"); dir == "" && err == nil && info.IsDir() {
		dir = "/var/tmp" // which is on disk, where /tmp may be memory
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Installation: inst, Dir: dir, Settings: settings()})
	if err != nil {
		return nil, err
	}
	s := &suite{server: server, databases: map[string]*database{}}
	if s.admin, err = pgx.Connect(ctx, server.URL("postgres")); err != nil {
		server.Stop()
		return nil, err
	}
	s.facts = []string{
		"PostgreSQL " + inst.Version,
		"graphile-worker " + peerVersion,
		"River " + riverVersion(),
		runtime.Version(),
		fmt.Sprintf("%d CPUs", runtime.NumCPU()),
		fmt.Sprintf("a table of %d jobs", largeTable()),
	}
	for _, name := range slices.Sorted(maps.Keys(settings())) {
		s.facts = append(s.facts, name+" "+settings()[name])
	}
	// The configuration, as benchstat reads it. go test prints some of it later. It is
	// printed here as well, or benchstat would take it for another configuration.
	fmt.Printf("goos: %s\ngoarch: %s\npkg: github.com/gwadmin/gwadmin/internal/bench\n", runtime.GOOS, runtime.GOARCH)
	if cpu := processor(); cpu != "" {
		fmt.Printf("cpu: %s\n", cpu)
		s.facts[4] += ", " + cpu
	}
	fmt.Printf("postgres: %s\n", inst.Version)
	fmt.Printf("settings: %s\n", strings.Join(s.facts[6:], ", "))
	fmt.Printf("graphile-worker: %s\nriver: %s\n", peerVersion, riverVersion())
	fmt.Printf("table: %d jobs\n", largeTable())
	return s, nil
}

// processor returns the name of the processor, on Linux.
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for text := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(text, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (s *suite) close() error {
	for _, d := range s.databases {
		for _, p := range []*peer{d.js, d.river} {
			if p != nil {
				p.Close()
			}
		}
		for _, pool := range d.pools {
			pool.Close()
		}
	}
	s.admin.Close(context.Background())
	return s.server.Stop()
}

// A database has this module's schema. If there is npm, most have the schema that npm
// installs as well, under another name.
type database struct {
	url   string
	js    *peer // nil where there is no node
	river *peer // nil unless the recipe wants it and it can be built
	pools map[int]*pgxpool.Pool
}

// database returns a database. The first call creates it.
func (s *suite) database(b *testing.B, recipe recipe) *database {
	b.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.databases[recipe.name]; d != nil {
		return d
	}
	start := time.Now()
	d, err := s.create(b.Context(), recipe)
	if err != nil {
		b.Fatalf("make the database %s: %v", recipe.name, err)
	}
	s.databases[recipe.name] = d
	fmt.Printf("# database %s with %s jobs made in %s\n", recipe.name, count(recipe.jobs), time.Since(start).Round(100*time.Millisecond))
	return d
}

func (s *suite) create(ctx context.Context, recipe recipe) (*database, error) {
	statements := []string{"create database " + recipe.name}
	if recipe.lazy {
		statements = append(statements, "alter database "+recipe.name+" set synchronous_commit = off")
	}
	for _, sql := range statements {
		if _, err := s.admin.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	d := &database{url: s.server.URL(recipe.name), pools: map[int]*pgxpool.Pool{}}
	pool, err := d.pool(ctx, max(2, recipe.fillers))
	if err != nil {
		return nil, err
	}
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Up(ctx, nil); err != nil {
		return nil, err
	}
	schemas := []string{ours}
	if d.js, err = startJS(ctx, d.url); errors.Is(err, upstream.ErrUnavailable) {
		err = without("graphile-worker", err)
	}
	if err == nil && recipe.river {
		if d.river, err = startRiver(ctx, d.url); err != nil {
			err = without("River", err)
		}
	}
	if err != nil {
		return nil, err
	}
	if d.js != nil && !recipe.alone {
		if err := upstream.Install(ctx, peerVersion, d.url, theirs); err != nil {
			return nil, err
		}
		schemas = append(schemas, theirs)
	}
	base := time.Now().UTC().Truncate(time.Second)
	failures := make([]error, len(schemas))
	var filling sync.WaitGroup
	for i, schema := range schemas {
		filling.Go(func() { failures[i] = fill(ctx, pool, schema, recipe, base) })
	}
	filling.Wait()
	return d, errors.Join(failures...)
}

// pool returns a pool of so many open connections.
func (d *database) pool(ctx context.Context, conns int) (*pgxpool.Pool, error) {
	if pool := d.pools[conns]; pool != nil {
		return pool, nil
	}
	config, err := pgxpool.ParseConfig(d.url)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = int32(conns), int32(conns)
	config.MaxConnLifetime, config.MaxConnIdleTime = 24*time.Hour, 24*time.Hour
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err == nil {
		d.pools[conns] = pool
	}
	return pool, err
}

// exec runs statements, which are written for graphile_worker, in a schema.
func (d *database) exec(ctx context.Context, schema string, statements ...string) error {
	pool, err := d.pool(ctx, 2)
	if err != nil {
		return err
	}
	return execAll(ctx, pool, schema, statements...)
}

// empty empties the jobs tables.
func (d *database) empty(ctx context.Context) error {
	const truncate = "truncate graphile_worker._private_jobs"
	if d.js != nil {
		if err := d.exec(ctx, theirs, truncate); err != nil {
			return err
		}
	}
	if d.river != nil {
		if err := d.exec(ctx, ours, "truncate public.river_job"); err != nil {
			return err
		}
	}
	return d.exec(ctx, ours, truncate)
}

func execAll(ctx context.Context, pool *pgxpool.Pool, schema string, statements ...string) error {
	for _, sql := range statements {
		if _, err := pool.Exec(ctx, graphile.Rename(sql, schema)); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// inRanges calls fn for ranges of the numbers from 1 to n, all at once.
func inRanges(n, ranges int, fn func(first, last int) error) error {
	ranges = max(ranges, 1)
	failures := make([]error, ranges)
	var running sync.WaitGroup
	for i := range ranges {
		if first, last := i*n/ranges+1, (i+1)*n/ranges; first <= last {
			running.Go(func() { failures[i] = fn(first, last) })
		}
	}
	running.Wait()
	return errors.Join(failures...)
}

// fill adds jobs of all kinds, the same to every schema: a fifth in named queues, a
// tenth with keys, a tenth that have failed, a fiftieth permanently. Their run_at is
// between five days ago and 25 days from now.
func fill(ctx context.Context, pool *pgxpool.Pool, schema string, recipe recipe, base time.Time) error {
	jobs, tasks, queues := recipe.jobs, cmp.Or(recipe.tasks, tasks), cmp.Or(recipe.queues, queues)
	if err := execAll(ctx, pool, schema,
		fmt.Sprintf("insert into graphile_worker._private_tasks (identifier) select 'task_' || i from generate_series(1, %d) as i on conflict do nothing", tasks),
		fmt.Sprintf("insert into graphile_worker._private_job_queues (queue_name) select 'queue_' || i from generate_series(1, %d) as i on conflict do nothing", queues),
	); err != nil {
		return err
	}
	insert := func(first, last int) error {
		_, err := pool.Exec(ctx, graphile.Rename(`
			insert into graphile_worker._private_jobs (
				job_queue_id, task_id, payload, priority, run_at, attempts, max_attempts, last_error, created_at, updated_at, key
			)
			select
				case when h % 5 = 0 then 1 + h / 5 % $2 end,
				1 + h / 7 % $3,
				('{"n":' || i || ',"text":"a short text that stands for a payload"}')::json,
				h / 11 % 10,
				$4::timestamptz + (h / 13 % 2592000 - 432000) * interval '1 second',
				case when h % 50 = 1 then 25 when h % 10 = 2 then 1 + h / 17 % 5 else 0 end,
				25,
				case when h % 50 = 1 then 'Error: no luck' end,
				$4::timestamptz - ($1 - i) * interval '10 milliseconds',
				$4::timestamptz - ($1 - i) * interval '10 milliseconds',
				case when h % 10 = 3 then 'key-' || i end
			from generate_series($5::int, $6::int) as i
			cross join lateral (select hashint8extended(i, 1) & 1152921504606846975) as hash (h)`, schema),
			jobs, queues, tasks, base, recipe.have+first, recipe.have+last)
		return err
	}
	if err := inRanges(jobs-recipe.have, recipe.fillers, insert); err != nil {
		return err
	}
	return execAll(ctx, pool, schema,
		"vacuum (analyze) graphile_worker._private_jobs",
		"vacuum (analyze) graphile_worker._private_tasks",
		"vacuum (analyze) graphile_worker._private_job_queues")
}
