package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
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
  /readyz   200 if gwadmin can work on the schema, otherwise 503 and why

Each part of the metrics is read when it is scraped and old enough: what indexes
answer after 15 seconds, counts and locks after --count-every, sizes and health
after 5 minutes. A scrape does not wait for a slow part: it gets what was read
before. gwadmin_collector_last_success_timestamp_seconds says when that was.

GWADMIN_REPLICA_URL is the connection string of a read replica. Everything that
is read from Graphile Worker's tables is then read there.

There is no password and no TLS: the default address is reached from this
machine only. SIGTERM and Ctrl-C end the server, after the requests under way.`,
		Example: "  gwadmin metrics\n  gwadmin metrics --listen :9840 --count estimate\n  gwadmin metrics --once",
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
	config, err := a.config()
	if err != nil {
		return err
	}
	pool, err := metricsPool(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	options := observe.Options{
		Schema: a.schema, Count: observe.Counting(f.count), Queues: f.queues, Counting: observe.Pace{Interval: f.countEvery},
	}
	if url := os.Getenv(replicaEnv); url != "" {
		config, err := parseConfig(url)
		if err != nil {
			return fmt.Errorf("%s: %w", replicaEnv, err)
		}
		replica, err := metricsPool(ctx, config)
		if err != nil {
			return err
		}
		defer replica.Close()
		options.Reader = replica
	}
	observer, err := observe.New(pool, &options)
	if err != nil {
		return err
	}
	defer observer.Close()
	client := admin.New(pool, admin.WithSchema(a.schema))
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.New(observer, &metrics.Options{Top: f.top, Version: currentBuild().Version}))
	if f.once {
		return a.printMetrics(ctx, client, observer, registry)
	}
	return a.serve(ctx, f.listen, metricsHandler(&complaints{app: a}, client, observer, registry))
}

// metricsPool makes a pool of as many connections as are used at the same time: three by an
// observer and one by a health check.
func metricsPool(ctx context.Context, config *pgxpool.Config) (*pgxpool.Pool, error) {
	config.MaxConns = 4
	return pgxpool.NewWithConfig(ctx, config)
}

// printMetrics prints the metrics once. It fails if any part of them is missing.
func (a *app) printMetrics(ctx context.Context, client *admin.Client, observer *observe.Observer, registry *prometheus.Registry) error {
	if err := client.Check(ctx); err != nil {
		return err
	}
	snapshot, err := observer.Snapshot(ctx)
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
	return snapshot.Err()
}

// metricsHandler serves the metrics and the health checks.
func metricsHandler(said *complaints, client *admin.Client, observer *observe.Observer, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	scrape := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 10})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, request *http.Request) {
		scrape.ServeHTTP(w, request)
		if snapshot, err := observer.Snapshot(request.Context()); err == nil { // the one that was served, as a rule
			for name, part := range snapshot.Parts() {
				said.say(name, part.Err)
			}
		}
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), 2*time.Second)
		defer cancel()
		err := client.Check(ctx)
		if request.Context().Err() != nil {
			return // whoever asked has gone
		}
		said.say("readyz", err)
		if err == nil {
			fmt.Fprintln(w, "ok")
			return
		}
		text := describe(err)
		if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
			text = "cannot connect to the database" // whoever asks does not learn where that is
		} else if ctx.Err() != nil {
			text = "the database does not answer in time"
		}
		http.Error(w, text, http.StatusServiceUnavailable)
	})
	return mux
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
