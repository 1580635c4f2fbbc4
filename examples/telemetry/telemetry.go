// Package telemetry sends what gwadmin knows and does to OpenTelemetry. It has nothing of its
// own: the maintained bridge hands the metrics of a Prometheus registry over, and a maintained
// tracer of pgx makes a span of each query.
package telemetry

import (
	"context"
	"fmt"
	"strings"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"
	prometheusclient "github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gwadmin/gwadmin/observe"
	"github.com/gwadmin/gwadmin/observe/metrics"
)

// Pool opens a pool whose queries are spans of the caller's trace. A span has the name of the
// query, such as JobAdd, and its SQL without the parameters: no payload leaves the process.
func Pool(ctx context.Context, url string, traces trace.TracerProvider) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithTracerProvider(traces), otelpgx.WithSpanNameFunc(queryName))
	return pgxpool.NewWithConfig(ctx, config)
}

// queryName is the name that sqlc wrote before a query, or else the query's first word.
func queryName(sql string) string {
	sql = strings.TrimPrefix(sql, "-- name: ")
	name, _, _ := strings.Cut(sql, " ")
	return name
}

// Producer returns the metrics of an observer, for a reader of the OpenTelemetry SDK:
//
//	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(producer))
//	provider := metric.NewMeterProvider(metric.WithReader(reader))
func Producer(observer *observe.Observer) (metric.Producer, error) {
	registry := prometheusclient.NewRegistry()
	if err := registry.Register(metrics.New(observer, nil)); err != nil {
		return nil, fmt.Errorf("register the metrics: %w", err)
	}
	return prometheus.NewMetricProducer(prometheus.WithGatherer(registry)), nil
}
