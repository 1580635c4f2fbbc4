-- +goose Up
create table orders (
  id bigint generated always as identity primary key,
  email text not null,
  cents bigint not null check (cents > 0),
  currency text not null check (currency in ('eur', 'usd')),
  created_at timestamptz not null default now(),
  paid_at timestamptz,
  receipt_sent_at timestamptz
);

-- +goose Down
drop table orders;
