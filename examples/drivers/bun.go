package drivers

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/gwadmin/gwadmin/admin"
)

type bunOrder struct {
	bun.BaseModel `bun:"table:orders"`
	ID            int64 `bun:",pk,autoincrement"`
	Email         string
}

// PlaceOrderBun does the same with bun, whose transaction embeds a *sql.Tx.
func PlaceOrderBun(ctx context.Context, db *bun.DB, client *admin.Client, email string, pay func() error) error {
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		order := bunOrder{Email: email}
		if _, err := tx.NewInsert().Model(&order).Exec(ctx); err != nil {
			return err
		}
		if _, err := SendReceipt.Add(ctx, client.WithTx(admin.SQL(tx.Tx)), Receipt{Order: order.ID}, nil); err != nil {
			return err
		}
		return pay()
	})
}
