package gwtest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/gwtest"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// The shop's own tables, and the databases of its tests.
const shopSchema = "create table orders (id int primary key, email text not null)"

var shopDatabase = gwtest.Template{SetUp: func(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, shopSchema)
	return err
}}

// placeOrder is the code under test: an order, and the job that sends its receipt, in
// the caller's transaction.
func placeOrder(ctx context.Context, tx admin.DB, id int, email string) error {
	if _, err := tx.Exec(ctx, "insert into orders values ($1, $2)", id, email); err != nil {
		return err
	}
	_, err := SendReceipt.Add(ctx, admin.New(tx), Receipt{Order: id}, &admin.AddJobOptions{
		QueueName: new("receipts"),
		JobKey:    new(fmt.Sprintf("order-%d", id)),
	})
	return err
}

// A test with a database of its own, and the team's tables in it.
func Example() {
	t, done := pgtest.Example() // in a test, its *testing.T
	defer done()
	ctx := t.Context()

	pool := shopDatabase.Pool(t)
	tx, err := pool.Begin(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := placeOrder(ctx, tx, 7, "ada@example.com"); err != nil {
		log.Fatal(err)
	}
	job := gwtest.RequireAdded(t, tx, SendReceipt,
		gwtest.Where(func(r Receipt) bool { return r.Order == 7 }),
		gwtest.Queue("receipts"), gwtest.Key("order-7"))
	fmt.Printf("job %d: %s\n", job.ID, job.Payload)

	// Without the order there is no receipt.
	if err := tx.Rollback(ctx); err != nil {
		log.Fatal(err)
	}
	gwtest.RequireNotAdded(t, pool, SendReceipt)
	// Output:
	// job 1: {"order":7}
}

// remind is code that needs nothing of the queue but to add jobs.
func remind(ctx context.Context, jobs admin.JobAdder, order int) error {
	_, err := SendReceipt.Add(ctx, jobs, Receipt{Order: order}, &admin.AddJobOptions{JobKey: new("reminder")})
	return err
}

// A test without a database.
func ExampleFake() {
	t, done := pgtest.Example() // in a test, its *testing.T
	defer done()

	var jobs gwtest.Fake
	for _, order := range []int{7, 8} {
		if err := remind(context.Background(), &jobs, order); err != nil {
			log.Fatal(err)
		}
	}
	// The second reminder has taken the place of the first, as in the database.
	job := jobs.RequireAdded(t, SendReceipt, gwtest.Count(1), gwtest.Key("reminder"))
	fmt.Printf("%s, revision %d\n", job.Payload, job.Revision)
	// Output:
	// {"order":8}, revision 1
}

// TestDocumentation shows no Go that is not run by the examples.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	source := read("example_test.go")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read("../docs/testing.md"), -1)
	if len(blocks) == 0 {
		t.Error("docs/testing.md shows no Go")
	}
	for _, block := range blocks {
		if !strings.Contains(source, block[1]) {
			t.Errorf("docs/testing.md differs from example_test.go:\n%s", block[1])
		}
	}
}
