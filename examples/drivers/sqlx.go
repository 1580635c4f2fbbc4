package drivers

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/gwadmin/gwadmin/admin"
)

// PlaceOrderSqlx does the same with sqlx, whose transaction embeds a *sql.Tx.
func PlaceOrderSqlx(ctx context.Context, db *sqlx.DB, client *admin.Client, email string, pay func() error) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	var order int64
	if err := tx.GetContext(ctx, &order, "insert into orders (email) values ($1) returning id", email); err != nil {
		return err
	}
	if _, err := SendReceipt.Add(ctx, client.WithTx(admin.SQL(tx.Tx)), Receipt{Order: order}, nil); err != nil {
		return err
	}
	if err := pay(); err != nil {
		return err
	}
	return tx.Commit()
}
