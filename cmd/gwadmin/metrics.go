package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/observe"
	"github.com/gwadmin/gwadmin/observe/metrics"
)

// replicaEnv is the variable with the connection string of a read replica.
const replicaEnv = "GWADMIN_REPLICA_URL"

// metricsFlags are the flags of metrics.
type metricsFlags struct {
	listen     string
	once       bool
	count      countingFlag
	countEvery time.Duration
	queues     bool
	top        int
}

func metricsCommand(a *app) *cobra.Command {
	var f metricsFlags
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Serve metrics of the queue to Prometheus, and health checks",
		Long: `Serve metrics of the queue to Prometheus, and health checks:

  /metrics  the metrics
  /livez    200 while the process serves
  /readyz   200 if gwadmin can work on the schema, otherwise 503 and why;
            of several targets one is enough

Each part of the metrics is read when it is scraped and old enough: what indexes
answer after 15 seconds, counts and locks after --count-every, sizes and health
after 5 minutes. A scrape does not wait for a slow part: it gets what was read
before. gwadmin_collector_last_success_timestamp_seconds says when that was.

GWADMIN_REPLICA_URL is the connection string of a read replica. Everything that
is read from Graphile Worker's tables is then read there.

With --target every sample has the label target.

There is no password and no TLS: the default address is reached from this
machine only. SIGTERM and Ctrl-C end the server, after the requests under way.`,
		Example: "  gwadmin metrics\n  gwadmin metrics --listen :9840 --count estimate\n  gwadmin metrics --once\n  gwadmin metrics --target eu=$EU_URL --target us=$US_URL",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runMetrics(cmd.Context(), &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:9840", "the address to serve on")
	flags.BoolVar(&f.once, "once", false, "print the metrics once instead of serving them")
	flags.Var(&f.count, "count", "exact, estimate, or auto: exact up to 256 MB of jobs")
	flags.DurationVar(&f.countEvery, "count-every", time.Minute, "how old the counts are before they are counted again")
	flags.BoolVar(&f.queues, "queues", false, "also count the jobs by queue")
	flags.IntVar(&f.top, "top", 50, "for how many tasks and queues there are metrics; the others are added up")
	return cmd
}

// countingFlag is the value of --count.
type countingFlag observe.Counting

func (f *countingFlag) names() []string {
	return []string{"auto", string(observe.CountExact), string(observe.CountEstimate)}
}

func (f *countingFlag) Type() string { return "how" }

func (f *countingFlag) String() string {
	if *f == countingFlag(observe.CountAuto) {
		return "auto"
	}
	return string(*f)
}

func (f *countingFlag) Set(value string) error {
	switch value {
	case "auto":
		*f = countingFlag(observe.CountAuto)
	case string(observe.CountExact), string(observe.CountEstimate):
		*f = countingFlag(value)
	default:
		return errors.New("must be auto, exact or estimate")
	}
	return nil
}

func (a *app) runMetrics(ctx context.Context, f *metricsFlags) error {
	switch {
	case a.format != formatTable:
		return usage(errors.New("--output is for tables: metrics have a format of their own"))
	case f.countEvery <= 0:
		return usage(errors.New("--count-every must be more than 0"))
	case f.top <= 0:
		return usage(errors.New("--top must be more than 0"))
	}
	if len(a.targets) > 1 && os.Getenv(replicaEnv) != "" {
		return usage(fmt.Errorf("%s is for one target, and there are %d", replicaEnv, len(a.targets)))
	}
	apps, done, err := a.eachTarget(ctx)
	if err != nil {
		return err
	}
	defer done()
	registry, all := prometheus.NewRegistry(), make([]*observed, len(apps))
	for i, one := range apps {
		if all[i], err = one.observe(ctx, f); err != nil {
			return err
		}
		defer all[i].close()
		var register prometheus.Registerer = registry
		if one.name != "" {
			register = prometheus.WrapRegistererWith(prometheus.Labels{"target": one.name}, registry)
		}
		register.MustRegister(metrics.New(all[i].observer, &metrics.Options{Top: f.top, Version: currentBuild().Version}))
	}
	if f.once {
		return a.printMetrics(ctx, apps, all, registry)
	}
	return a.serve(ctx, f.listen, metricsHandler(&complaints{app: a}, all, registry))
}

// An observed is a database whose metrics are served.
type observed struct {
	name     string // the target's; empty: no target is named
	client   *admin.Client
	observer *observe.Observer
	pools    []*pgxpool.Pool
}

// observe begins to observe the database.
func (a *app) observe(ctx context.Context, f *metricsFlags) (_ *observed, err error) {
	one := &observed{name: a.name}
	defer func() {
		if err != nil {
			one.close()
		}
	}()
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	pool, err := one.pool(ctx, config)
	if err != nil {
		return nil, err
	}
	options := observe.Options{
		Schema: a.schema, Count: observe.Counting(f.count), Queues: f.queues, Counting: observe.Pace{Interval: f.countEvery},
	}
	if url := os.Getenv(replicaEnv); url != "" {
		config, err := parseConfig(url)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", replicaEnv, err)
		}
		if options.Reader, err = one.pool(ctx, config); err != nil {
			return nil, err
		}
	}
	one.client = admin.New(pool, admin.WithSchema(a.schema))
	one.observer, err = observe.New(pool, &options)
	return one, err
}

// pool makes a pool of as many connections as are used at the same time: three by an
// observer and one by a health check.
func (o *observed) pool(ctx context.Context, config *pgxpool.Config) (*pgxpool.Pool, error) {
	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err == nil {
		o.pools = append(o.pools, pool)
	}
	return pool, err
}

func (o *observed) close() {
	if o.observer != nil {
		o.observer.Close()
	}
	for _, pool := range o.pools {
		pool.Close()
	}
}

// of is a text about the database.
func (o *observed) of(text string) string {
	if o.name == "" {
		return text
	}
	return o.name + ": " + text
}

// printMetrics prints the metrics once. It fails if any part of them is missing.
func (a *app) printMetrics(ctx context.Context, apps []*app, all []*observed, registry *prometheus.Registry) error {
	if len(a.targets) == 0 {
		if err := all[0].client.Check(ctx); err != nil {
			return err
		}
	}
	read, err := collect(ctx, apps, func(ctx context.Context, a *app) error {
		one := all[slices.IndexFunc(all, func(o *observed) bool { return o.name == a.name })]
		if err := one.client.Check(ctx); err != nil {
			return err
		}
		snapshot, err := one.observer.Snapshot(ctx)
		if err != nil {
			return err
		}
		return snapshot.Err()
	})
	if err != nil {
		return err
	}
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(a.stdout, family); err != nil {
			return err
		}
	}
	if len(a.targets) == 0 {
		return read[0].err
	}
	for _, note := range read.notes(a) {
		a.say("%s", note)
	}
	return read.status()
}

// metricsHandler serves the metrics and the health checks.
func metricsHandler(said *complaints, all []*observed, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	scrape := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 10})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, request *http.Request) {
		scrape.ServeHTTP(w, request)
		for _, one := range all {
			if snapshot, err := one.observer.Snapshot(request.Context()); err == nil { // the one that was served, as a rule
				for name, part := range snapshot.Parts() {
					said.say(one.of(name), part.Err)
				}
			}
		}
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), 2*time.Second)
		defer cancel()
		works, texts := make([]bool, len(all)), make([]string, len(all))
		var asking sync.WaitGroup
		for i, one := range all {
			asking.Go(func() {
				err := one.client.Check(ctx)
				if request.Context().Err() != nil {
					return // whoever asked has gone
				}
				said.say(one.of("readyz"), err)
				works[i], texts[i] = err == nil, one.of(readiness(ctx, err))
			})
		}
		asking.Wait()
		if !slices.Contains(works, true) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, strings.Join(texts, "\n"))
	})
	return mux
}

// readiness says whether gwadmin can work. It does not say where the database is.
func readiness(ctx context.Context, err error) string {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case err == nil:
		return "ok"
	case connecting:
		return "cannot connect to the database"
	case ctx.Err() != nil:
		return "the database does not answer in time"
	}
	return describe(err)
}

// complaints says what is wrong on standard error when it begins, changes and ends.
type complaints struct {
	app  *app
	mu   sync.Mutex
	said map[string]string
}

func (c *complaints) say(about string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := ""
	if err != nil {
		text = describe(err)
	}
	if c.said[about] == text {
		return
	}
	if c.said == nil {
		c.said = map[string]string{}
	}
	c.said[about] = text
	c.app.say("%s: %s", about, cmp.Or(text, "works again"))
}

// serve serves until the context ends. Then it takes no more requests and waits for those
// that are under way.
func (a *app) serve(ctx context.Context, address string, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 16,
	}
	a.say("serving on http://%s", listener.Addr())
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
