package drivers

import (
	"context"
	"database/sql"

	"github.com/gwadmin/gwadmin/admin"
)

// PlaceOrderSQL inserts an order and adds its job in a transaction of database/sql. If it
// cannot be paid, neither is there.
func PlaceOrderSQL(ctx context.Context, db *sql.DB, client *admin.Client, email string, pay func() error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	var order int64
	if err := tx.QueryRowContext(ctx, "insert into orders (email) values ($1) returning id", email).Scan(&order); err != nil {
		return err
	}
	if _, err := SendReceipt.Add(ctx, client.WithTx(admin.SQL(tx)), Receipt{Order: order}, nil); err != nil {
		return err
	}
	if err := pay(); err != nil {
		return err
	}
	return tx.Commit()
}
