lock table graphile_worker._private_jobs;
do $$
begin
  if exists (select from graphile_worker._private_jobs) then
    raise exception 'the queue has jobs' using hint = 'Let the workers finish them.';
  end if;
end;
$$;
drop schema graphile_worker cascade;
