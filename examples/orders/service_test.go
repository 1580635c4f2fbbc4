package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/examples/orders/db"
	"github.com/gwadmin/gwadmin/examples/orders/tasks"
	"github.com/gwadmin/gwadmin/gwtest"
)

// database has the queue's schema and the tables of this service.
var database = gwtest.Template{SetUp: migrate}

func newService(pool *pgxpool.Pool) *service {
	client := admin.New(pool)
	return &service{pool: pool, client: client, views: client}
}

// request sends a request, and returns the status and the body of the answer.
func request(s *service, method, path, body string) (status int, answer string) {
	w := httptest.NewRecorder()
	s.routes().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func count(t *testing.T, pool *pgxpool.Pool, table string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const adasOrder = `{"email": "ada@example.com", "cents": 1999, "currency": "eur"}`

func TestPlaceOrder(t *testing.T) {
	t.Parallel()
	pool := database.Pool(t)
	status, answer := request(newService(pool), "POST", "/orders", adasOrder)
	if status != http.StatusCreated || answer != `{"id":1}` {
		t.Fatalf("got %d: %s", status, answer)
	}
	want := tasks.Charge{Order: 1, Amount: tasks.Amount{Cents: 1999, Currency: tasks.EUR}}
	gwtest.RequireAdded(t, pool, tasks.ChargeOrder, gwtest.Count(1), gwtest.Key("charge-1"),
		gwtest.Where(func(got tasks.Charge) bool { return got == want }))
}

// An order that is rolled back takes its job with it.
func TestPlaceOrderRolledBack(t *testing.T) {
	t.Parallel()
	pool := database.Pool(t)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newService(pool).place(t.Context(), tx, db.OrderInsertParams{Email: "ada@example.com", Cents: 1, Currency: tasks.EUR}); err != nil {
		t.Fatal(err)
	}
	gwtest.RequireAdded(t, tx, tasks.ChargeOrder)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	gwtest.RequireNotAdded(t, pool, tasks.ChargeOrder)
}

// There is no order without its job.
func TestPlaceOrderWithoutJob(t *testing.T) {
	t.Parallel()
	pool := database.Pool(t)
	if _, err := pool.Exec(t.Context(), "alter table graphile_worker._private_jobs add check (false)", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	status, answer := request(newService(pool), "POST", "/orders", adasOrder)
	if status != http.StatusInternalServerError {
		t.Errorf("got %d: %s", status, answer)
	}
	if n := count(t, pool, "orders"); n != 0 {
		t.Errorf("there are %d orders", n)
	}
}

func TestGetOrder(t *testing.T) {
	t.Parallel()
	pool := database.Pool(t)
	s := newService(pool)
	for range 2 { // of which one is asked for
		request(s, "POST", "/orders", adasOrder)
	}
	type job struct {
		Task     string `json:"task_identifier"`
		Attempts int
		Error    *string `json:"last_error"`
	}
	type order struct {
		ID       int64
		Email    string
		Cents    int64
		Currency tasks.Currency
		Paid     *string `json:"paid_at"`
		Jobs     []job
	}
	if status, answer := request(s, "PUT", "/orders/2/email", `{"email": "grace@example.com"}`); status != http.StatusOK {
		t.Fatalf("got %d: %s", status, answer)
	}
	_, answer := request(s, "GET", "/orders/2", "")
	var got order
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		t.Fatal(err)
	}
	want := order{ID: 2, Email: "grace@example.com", Cents: 1999, Currency: tasks.EUR, Jobs: []job{{Task: "charge_order"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestCountView(t *testing.T) {
	t.Parallel()
	var jobs gwtest.Fake // no database
	s := &service{views: &jobs}
	status, answer := request(s, "POST", "/products/7/views", "")
	if status != http.StatusAccepted || answer != `{"job":1}` {
		t.Errorf("got %d: %s", status, answer)
	}
	jobs.RequireAdded(t, tasks.CountView, gwtest.Count(1), gwtest.MaxAttempts(3),
		gwtest.Where(func(v tasks.View) bool { return v == tasks.View{Product: 7} }))

	jobs.Err = errors.New("connection lost")
	if status, answer := request(s, "POST", "/products/7/views", ""); status != http.StatusServiceUnavailable || strings.Contains(answer, "lost") {
		t.Errorf("without a database: got %d: %s", status, answer)
	}
}

// What is refused changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	pool := database.Pool(t)
	s := newService(pool)
	const (
		wrongID  = "the id in the path must be a whole number, 1 or more"
		wrongIDs = "ids must be 1 to 10000 ids of jobs"
	)
	for _, c := range []struct {
		request, body string
		status        int
		want          string
	}{
		{"POST /orders", ``, 400, "read the body as JSON: EOF"},
		{"POST /orders", `{"cents": 1`, 400, "read the body as JSON: unexpected EOF"},
		{"POST /orders", `{"cents": "1"}`, 400, `read the body as JSON: "cents" is of another type`},
		{"POST /orders", `{"total": 1}`, 400, `read the body as JSON: json: unknown field "total"`},
		{"POST /orders", adasOrder + adasOrder, 400, "read the body as JSON: there is more after the first value"},
		{"POST /orders", `"` + strings.Repeat("x", maxBody) + `"`, 400, "read the body as JSON: http: request body too large"},
		{"POST /orders", `{"email": "ada", "cents": -5, "currency": "gbp"}`, 400,
			wrongEmail + "; cents must be 1 to 100000000; currency must be eur or usd"},
		{"POST /orders", `{"email": "Ada <ada@example.com>", "cents": 9007199254740993, "currency": "usd"}`, 400,
			wrongEmail + "; cents must be 1 to 100000000"},
		{"GET /orders/1", ``, 404, "there is no such order"},
		{"GET /orders/one", ``, 400, wrongID},
		{"GET /orders/-1", ``, 400, wrongID},
		{"PUT /orders/1/email", `{"email": "ada@example.com"}`, 404, "there is no such order"},
		{"PUT /orders/1/email", `{"email": ""}`, 400, wrongEmail},
		{"POST /products/9223372036854775808/views", ``, 400, wrongID},
		{"POST /admin/retry", `{}`, 400, wrongIDs}, // not all there are
		{"POST /admin/retry", `{"ids": []}`, 400, wrongIDs},
		{"GET /admin/failed?cursor=x", ``, 400, "list jobs: invalid input: cursor is not a cursor or was changed: take it from Page.Next as it is"},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		status, answer := request(s, method, path, c.body)
		var got struct{ Error string }
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Errorf("%s: %v: %s", c.request, err, answer)
		}
		if status != c.status {
			t.Errorf("%s %.80s: got %d, want %d", c.request, c.body, status, c.status)
		}
		if diff := cmp.Diff(c.want, got.Error); diff != "" {
			t.Errorf("%s %.80s: -want +got\n%s", c.request, c.body, diff)
		}
	}
	if orders, jobs := count(t, pool, "orders"), count(t, pool, "graphile_worker.jobs"); orders != 0 || jobs != 0 {
		t.Errorf("there are %d orders and %d jobs", orders, jobs)
	}
}
