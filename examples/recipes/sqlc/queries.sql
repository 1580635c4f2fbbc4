-- name: PlaceOrder :one
-- Adds an order, and the job that ships it, in one statement.
with placed as (
  insert into orders (customer) values ($1) returning id
)
select
  placed.id,
  (graphile_worker.add_job('ship_order', json_build_object('order', placed.id), job_key => 'order-' || placed.id)).id::bigint as job_id
from placed;

-- name: OpenOrders :many
-- Orders that a job of the task is to ship, and how the job is doing.
select o.id, o.customer, sqlc.embed(j)
from orders as o
join graphile_worker.jobs as j on j.key = 'order-' || o.id
where j.task_identifier = $1
order by o.id;

-- name: JobPayload :one
-- The view jobs has no payload. The next revision of Graphile Worker may change the private tables.
select j.payload from graphile_worker._private_jobs as j where j.id = $1;
