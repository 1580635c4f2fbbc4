-- name: OrderInsert :one
-- Adds an order and returns its id.
insert into orders (email, cents, currency) values ($1, $2, $3) returning id;

-- name: OrderGet :one
select * from orders where id = $1;

-- name: OrderSetEmail :one
-- Corrects the address of an order.
update orders set email = $2 where id = $1 returning *;

-- name: OrderJobs :many
-- The jobs of an order that are still to be done, found by their keys.
select j.id, j.task_identifier, j.run_at, j.attempts, j.max_attempts, j.last_error
from orders as o
join graphile_worker.jobs as j on j.key in ('charge-' || o.id, 'receipt-' || o.id)
where o.id = $1
order by j.id;
