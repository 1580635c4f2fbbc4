// Package tasks declares the jobs of this service. The service adds them, and the worker
// in TypeScript runs them.
package tasks

import (
	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/typescript"
)

// The tasks. The worker does not compile unless it implements each of them.
var (
	ChargeOrder = admin.NewTask[Charge]("charge_order", &admin.TaskOptions{Priority: new(-1)})
	SendReceipt = admin.NewTask[Receipt]("send_receipt", nil) // added by the worker when an order is charged
	CountView   = admin.NewTask[View]("count_view", &admin.TaskOptions{Priority: new(1), MaxAttempts: new(3)})
)

// All lists the tasks.
var All = []admin.DeclaredTask{ChargeOrder, SendReceipt, CountView}

// A Charge is the payload of ChargeOrder.
type Charge struct {
	Order  int64  `json:"order"`
	Amount Amount `json:"amount"`
}

// An Amount is an amount of money.
type Amount struct {
	Cents    int64    `json:"cents"`
	Currency Currency `json:"currency"`
}

// A Receipt is the payload of SendReceipt.
type Receipt struct {
	Order int64 `json:"order"`
}

// A View is the payload of CountView.
type View struct {
	Product int64 `json:"product"`
}

// A Currency is one that customers can pay in.
type Currency string

// The currencies.
const (
	EUR Currency = "eur"
	USD Currency = "usd"
)

// TypeScript is what package typescript writes instead of string.
func (Currency) TypeScript() string { return typescript.Union(EUR, USD) }
