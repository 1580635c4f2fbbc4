package gwtest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/gwtest"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// Receipt is the payload of the tests' task.
type Receipt struct {
	Order int `json:"order"`
}

var (
	SendReceipt = admin.NewTask[Receipt]("send_receipt", nil)
	ResizeImage = admin.NewTask[[]int]("resize_image", nil)
)

func TestPool(t *testing.T) {
	t.Parallel()
	for range 2 { // none sees the other's job
		t.Run("one of two", func(t *testing.T) {
			t.Parallel()
			pool := gwtest.Pool(t)
			gwtest.RequireNotAdded(t, pool, SendReceipt)
			job, err := SendReceipt.Add(t.Context(), admin.New(pool), Receipt{Order: 7}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if job.ID != 1 {
				t.Errorf("the first job has the id %d", job.ID)
			}
		})
	}
}

const weird = `Weird "Name"`

var (
	setUps  atomic.Int32
	ordered = gwtest.Template{Schema: weird, SetUp: func(ctx context.Context, pool *pgxpool.Pool) error {
		setUps.Add(1)
		_, err := pool.Exec(ctx, "create table orders (id int primary key); insert into orders values (7)")
		return err
	}}
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	t.Run("tests", func(t *testing.T) {
		for range 3 {
			t.Run("one of three", func(t *testing.T) {
				t.Parallel()
				pool := ordered.Pool(t)
				var orders int
				if err := pool.QueryRow(t.Context(), "insert into orders values (8) returning (select count(*) from orders)").Scan(&orders); err != nil {
					t.Fatal(err)
				}
				if orders != 1 {
					t.Errorf("%d orders before, want the one of SetUp", orders)
				}
				gwtest.RequireNotAdded(t, pool, SendReceipt, gwtest.Schema(weird))
			})
		}
	})
	if n := setUps.Load(); n > 1 {
		t.Errorf("SetUp ran %d times", n)
	}
}

// TestForeignModule runs the tests of a module that only requires this one.
func TestForeignModule(t *testing.T) {
	t.Parallel()
	gwtest.Pool(t) // or skip
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, requirements, _ := strings.Cut(read("go.mod"), "\ngo ")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/shop\n\ngo " + requirements +
			"\nrequire github.com/gwadmin/gwadmin v0.0.0\n\nreplace github.com/gwadmin/gwadmin => " + root + "\n",
		"go.sum": read("go.sum"),
		"shop_test.go": `package shop

import (
	"testing"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/gwtest"
)

var Ship = admin.NewTask[map[string]int]("ship", nil)

func TestShip(t *testing.T) {
	pool := gwtest.Pool(t)
	if _, err := Ship.Add(t.Context(), admin.New(pool), map[string]int{"order": 7}, nil); err != nil {
		t.Fatal(err)
	}
	gwtest.RequireAdded(t, pool, Ship, gwtest.Where(func(order map[string]int) bool { return order["order"] == 7 }))
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-mod=mod", "-v", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestShip") {
		t.Errorf("go test in another module: %v\n%s", err, out)
	}
}

// BenchmarkPool is what a test's database costs after the first: with the
// connection, and with its end.
func BenchmarkPool(b *testing.B) {
	gwtest.Pool(b)
	for b.Loop() {
		scope := &scopeTB{TB: b}
		if err := gwtest.Pool(scope).Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
		scope.end()
	}
}

// A scopeTB ends before its test, and says how.
type scopeTB struct {
	testing.TB
	cleanups []func()
	fatal    string
}

func (tb *scopeTB) Cleanup(f func()) { tb.cleanups = append(tb.cleanups, f) }

func (tb *scopeTB) end() {
	for i := range tb.cleanups {
		tb.cleanups[len(tb.cleanups)-1-i]()
	}
}

func check(t *testing.T, what string, want, got any, options ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}
