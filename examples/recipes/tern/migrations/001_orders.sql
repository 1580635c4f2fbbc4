create table orders (
  id bigint generated always as identity primary key,
  customer text not null
);

---- create above / drop below ----

drop table orders;
