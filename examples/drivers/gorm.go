package drivers

import (
	"context"
	"database/sql"
	"fmt"

	"gorm.io/gorm"

	"github.com/gwadmin/gwadmin/admin"
)

type gormOrder struct {
	ID    int64
	Email string
}

// TableName names the table for gorm.
func (gormOrder) TableName() string { return "orders" }

// PlaceOrderGorm does the same with gorm.
func PlaceOrderGorm(ctx context.Context, db *gorm.DB, client *admin.Client, email string, pay func() error) error {
	return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		order := gormOrder{Email: email}
		if err := tx.Create(&order).Error; err != nil {
			return err
		}
		on, err := gormTx(tx)
		if err != nil {
			return err
		}
		if _, err := SendReceipt.Add(ctx, client.WithTx(admin.SQL(on)), Receipt{Order: order.ID}, nil); err != nil {
			return err
		}
		return pay()
	})
}

// gormTx returns the *sql.Tx of a transaction of gorm, also if gorm's option PrepareStmt is
// set.
func gormTx(tx *gorm.DB) (*sql.Tx, error) {
	pool := tx.Statement.ConnPool
	if prepared, ok := pool.(*gorm.PreparedStmtTX); ok {
		pool = prepared.Tx
	}
	on, ok := pool.(*sql.Tx)
	if !ok {
		return nil, fmt.Errorf("gorm is not in a transaction but on a %T", pool)
	}
	return on, nil
}
