package telemetry_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/examples/telemetry"
	"github.com/gwadmin/gwadmin/gwtest"
	"github.com/gwadmin/gwadmin/observe"
)

// The spans of a call belong to the caller's trace, are named after the queries, and show no
// payload.
func TestPool(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	spans := tracetest.NewInMemoryExporter()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	pool, err := telemetry.Pool(ctx, gwtest.Pool(t).Config().ConnString(), traces)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	client := admin.New(pool)
	if err := client.Check(ctx); err != nil {
		t.Fatal(err)
	}
	spans.Reset()

	ctx, request := traces.Tracer("test").Start(ctx, "POST /orders")
	job, err := client.AddJob(ctx, "send_email", map[string]string{"to": "ada@secret.example"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.GetJob(ctx, job.ID); err != nil {
		t.Fatal(err)
	}
	request.End()

	var names []string // a query's twice, if it is prepared first
	for _, span := range spans.GetSpans() {
		if span.SpanContext.TraceID() != request.SpanContext().TraceID() {
			t.Errorf("span %s is in another trace", span.Name)
		}
		for _, attribute := range span.Attributes {
			if strings.Contains(attribute.Value.String(), "secret") {
				t.Errorf("span %s shows the payload: %v", span.Name, attribute)
			}
		}
		names = append(names, span.Name)
	}
	if diff := cmp.Diff([]string{"pool.acquire", "JobAdd", "pool.acquire", "JobGet", "POST /orders"}, slices.Compact(names)); diff != "" {
		t.Errorf("spans: -want +got\n%s", diff)
	}
}

// OpenTelemetry gets the numbers of the snapshot.
func TestProducer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := gwtest.Pool(t)
	client := admin.New(pool)
	for range 3 {
		if _, err := client.AddJob(ctx, "send_email", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	producer, err := telemetry.Producer(observer(t, pool))
	if err != nil {
		t.Fatal(err)
	}
	reader := sdkmetric.NewManualReader(sdkmetric.WithProducer(producer))
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	defer provider.Shutdown(context.WithoutCancel(ctx))
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	var counters []string
	for _, scope := range collected.ScopeMetrics {
		for _, metric := range scope.Metrics {
			switch data := metric.Data.(type) {
			case metricdata.Gauge[float64]:
				for _, point := range data.DataPoints {
					if state, ok := point.Attributes.Value("state"); ok && metric.Name == "graphile_worker_jobs" && point.Value > 0 {
						got[state.AsString()] = point.Value
					}
				}
			case metricdata.Sum[float64]:
				counters = append(counters, metric.Name)
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{"ready": 3}, got); diff != "" {
		t.Errorf("jobs: -want +got\n%s", diff)
	}
	slices.Sort(counters)
	want := []string{
		"graphile_worker_index_scans_total", "graphile_worker_table_rows_deleted_total",
		"graphile_worker_table_rows_inserted_total", "graphile_worker_table_rows_updated_total",
	}
	if diff := cmp.Diff(want, counters); diff != "" {
		t.Errorf("counters: -want +got\n%s", diff)
	}
}

func observer(t *testing.T, pool *pgxpool.Pool) *observe.Observer {
	t.Helper()
	o, err := observe.New(pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}
