package drivers

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// placing places an order with one of the libraries.
type placing func(ctx context.Context, email string, pay func() error) error

// libraries return, for a database of pgx's driver, how each places an order.
var libraries = map[string]func(*testing.T, *sql.DB, *admin.Client) placing{
	"database/sql": func(t *testing.T, db *sql.DB, client *admin.Client) placing {
		return func(ctx context.Context, email string, pay func() error) error {
			return PlaceOrderSQL(ctx, db, client, email, pay)
		}
	},
	"sqlx": func(t *testing.T, db *sql.DB, client *admin.Client) placing {
		return func(ctx context.Context, email string, pay func() error) error {
			return PlaceOrderSqlx(ctx, sqlx.NewDb(db, "pgx"), client, email, pay)
		}
	},
	"bun": func(t *testing.T, db *sql.DB, client *admin.Client) placing {
		return func(ctx context.Context, email string, pay func() error) error {
			return PlaceOrderBun(ctx, bun.NewDB(db, pgdialect.New()), client, email, pay)
		}
	},
	"gorm": func(t *testing.T, db *sql.DB, client *admin.Client) placing {
		return onGorm(t, db, client, &gorm.Config{})
	},
	"gorm with prepared statements": func(t *testing.T, db *sql.DB, client *admin.Client) placing {
		return onGorm(t, db, client, &gorm.Config{PrepareStmt: true})
	},
}

func onGorm(t *testing.T, db *sql.DB, client *admin.Client, config *gorm.Config) placing {
	on, err := gorm.Open(postgres.New(postgres.Config{Conn: db}), config)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, email string, pay func() error) error {
		return PlaceOrderGorm(ctx, on, client, email, pay)
	}
}

// Each library adds the order and the job together, or neither.
func TestLibraries(t *testing.T) {
	t.Parallel()
	for name, library := range libraries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, "pgx", pgtest.URL(t, nil))
			if err := migrate(t, db); err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), "create table orders (id bigint generated always as identity, email text not null)"); err != nil {
				t.Fatal(err)
			}
			place := library(t, db, admin.New(admin.SQL(db)))

			noMoney := errors.New("no money")
			if err := place(t.Context(), "ada@example.com", func() error { return noMoney }); !errors.Is(err, noMoney) {
				t.Errorf("unpaid: %v", err)
			}
			check(t, db, "after the rollback", []string{})
			if err := place(t.Context(), "bob@example.com", func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			check(t, db, "after the commit", []string{"2 bob@example.com"}, Receipt{Order: 2})
		})
	}
}

func open(t *testing.T, driver, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func migrate(t *testing.T, db *sql.DB) error {
	migrator, err := migrations.New(db, nil)
	if err != nil {
		return err
	}
	_, err = migrator.Up(t.Context(), nil)
	return err
}

func openPgdriver(t *testing.T, url string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	network, addr := pgconn.NetworkAddress(config.Host, config.Port)
	db := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithNetwork(network), pgdriver.WithAddr(addr), pgdriver.WithUser(config.User),
		pgdriver.WithPassword(config.Password), pgdriver.WithDatabase(config.Database), pgdriver.WithInsecure(true)))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// check compares the orders and the payloads of the jobs with what is wanted.
func check(t *testing.T, db *sql.DB, when string, wantOrders []string, wantReceipts ...Receipt) {
	t.Helper()
	orders := []string{}
	if err := sqlx.NewDb(db, "pgx").SelectContext(t.Context(), &orders, "select concat(id, ' ', email) from orders order by id"); err != nil {
		t.Fatal(err)
	}
	var receipts []Receipt
	for job, err := range admin.New(admin.SQL(db)).AllJobs(t.Context(), admin.Filter{}, &admin.ListOptions{PayloadBytes: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := SendReceipt.Decode(&job.Job)
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, receipt)
	}
	if diff := cmp.Diff(wantOrders, orders); diff != "" {
		t.Errorf("orders %s: -want +got\n%s", when, diff)
	}
	if diff := cmp.Diff(wantReceipts, receipts); diff != "" {
		t.Errorf("receipts %s: -want +got\n%s", when, diff)
	}
}

// Other drivers are refused with what to do, and the transaction goes on.
func TestOtherDrivers(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, testdb.Ours(""))
	client := admin.New(admin.SQL(open(t, "pgx", url)))
	for name, db := range map[string]*sql.DB{"lib/pq": open(t, "postgres", url), "pgdriver": openPgdriver(t, url)} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, inTx := SendReceipt.Add(t.Context(), client.WithTx(admin.SQL(tx)), Receipt{Order: 1}, nil)
		_, onDB := SendReceipt.Add(t.Context(), admin.New(admin.SQL(db)), Receipt{Order: 2}, nil)
		for what, err := range map[string]error{"*sql.Tx": inTx, "*sql.DB": onDB, "migrations": migrate(t, db)} {
			if !errors.Is(err, admin.ErrDriver) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		var jobs int
		if err := tx.QueryRowContext(t.Context(), "select count(*) from graphile_worker.jobs").Scan(&jobs); err != nil || jobs != 0 {
			t.Errorf("%s: %d jobs, %v", name, jobs, err)
		}
		if err := tx.Commit(); err != nil {
			t.Errorf("%s: commit: %v", name, err)
		}
	}
}
