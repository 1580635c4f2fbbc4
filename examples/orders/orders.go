package main

import (
	"context"
	"fmt"
	"net/http"
	"net/mail"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/examples/orders/db"
	"github.com/gwadmin/gwadmin/examples/orders/tasks"
)

// placeOrder adds an order, and the job that charges it, in one transaction: there is
// never one without the other.
func (s *service) placeOrder(r *http.Request) (int, any, error) {
	var order db.OrderInsertParams
	if err := decode(r, &order); err != nil {
		return 0, nil, err
	}
	if err := check(order); err != nil {
		return 0, nil, err
	}
	var id int64
	err := pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) (err error) {
		id, err = s.place(r.Context(), tx, order)
		return err
	})
	return http.StatusCreated, map[string]int64{"id": id}, err
}

func (s *service) place(ctx context.Context, tx pgx.Tx, order db.OrderInsertParams) (id int64, err error) {
	if id, err = db.New(tx).OrderInsert(ctx, order); err != nil {
		return 0, fmt.Errorf("insert the order: %w", err)
	}
	charge := tasks.Charge{Order: id, Amount: tasks.Amount{Cents: order.Cents, Currency: order.Currency}}
	_, err = tasks.ChargeOrder.Add(ctx, s.client.WithTx(tx), charge, &admin.AddJobOptions{JobKey: new(fmt.Sprintf("charge-%d", id))})
	return id, err
}

// maxCents is less than what the worker reads exactly, 2^53.
const maxCents = 100_000_000

// check returns all that is wrong with an order.
func check(order db.OrderInsertParams) error {
	var wrong []string
	if !isAddress(order.Email) {
		wrong = append(wrong, wrongEmail)
	}
	if order.Cents < 1 || order.Cents > maxCents {
		wrong = append(wrong, fmt.Sprintf("cents must be 1 to %d", maxCents))
	}
	if order.Currency != tasks.EUR && order.Currency != tasks.USD {
		wrong = append(wrong, fmt.Sprintf("currency must be %s or %s", tasks.EUR, tasks.USD))
	}
	if wrong != nil {
		return mistake("%s", strings.Join(wrong, "; "))
	}
	return nil
}

const wrongEmail = "email must be an address, such as ada@example.com"

func isAddress(email string) bool {
	address, err := mail.ParseAddress(email)
	return err == nil && address.Address == email
}

// getOrder returns an order, and those of its jobs that are not done.
func (s *service) getOrder(r *http.Request) (int, any, error) {
	id, err := pathID(r)
	if err != nil {
		return 0, nil, err
	}
	var found struct {
		db.Order
		Jobs []db.OrderJobsRow `json:"jobs"`
	}
	if found.Order, err = db.New(s.pool).OrderGet(r.Context(), id); err != nil {
		return 0, nil, fmt.Errorf("get the order: %w", err)
	}
	if found.Jobs, err = db.New(s.pool).OrderJobs(r.Context(), id); err != nil {
		return 0, nil, fmt.Errorf("get the order's jobs: %w", err)
	}
	return http.StatusOK, found, nil
}

// setEmail corrects the address that an order's receipt goes to.
func (s *service) setEmail(r *http.Request) (int, any, error) {
	id, err := pathID(r)
	if err != nil {
		return 0, nil, err
	}
	var body struct {
		Email string `json:"email"`
	}
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	if !isAddress(body.Email) {
		return 0, nil, mistake(wrongEmail)
	}
	order, err := db.New(s.pool).OrderSetEmail(r.Context(), db.OrderSetEmailParams{ID: id, Email: body.Email})
	return http.StatusOK, order, err
}
