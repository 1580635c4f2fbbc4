-- +goose Up
create table product_views (
  product bigint primary key,
  views bigint not null
);

-- +goose Down
drop table product_views;
