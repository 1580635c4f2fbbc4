// Package drivers shows how a job joins a transaction of database/sql, sqlx, bun and gorm.
// Each file has what a team writes. The tests run it.
package drivers

import "github.com/gwadmin/gwadmin/admin"

// A Receipt is the payload of a job that sends one.
type Receipt struct {
	Order int64 `json:"order"`
}

// SendReceipt is the task of these jobs.
var SendReceipt = admin.NewTask[Receipt]("send_receipt", nil)
