create schema watch;
create table watch.log (
	place bigint generated always as identity,
	event text,
	session text, -- its application_name
	job bigint,
	n text, -- of the payload
	row jsonb, -- only of a row that was held, and so is the next
	became jsonb
);

create function watch.judge(session text, was jsonb, became jsonb) returns text immutable language sql as $body$ select case
	when became is null then 'violation'
	when session = 'admin unlocker' and was ->> 'locked_by' like 'dead %' and became -> 'locked_by' = 'null'
		and was - array['locked_at', 'locked_by', 'is_available'] = became - array['locked_at', 'locked_by', 'is_available'] then 'unlocked'
	when session <> 'admin producer' then 'violation'
	when was ->> 'key' is not null and became ->> 'key' is null and became -> 'attempts' = was -> 'max_attempts'
		and was - array['key', 'attempts', 'updated_at'] = became - array['key', 'attempts', 'updated_at'] then 'detached'
	when (was ->> 'revision')::int + 1 = (became ->> 'revision')::int
		and was - array['revision', 'updated_at'] = became - array['revision', 'updated_at'] then 'deduped'
	else 'violation'
end $body$;

create function watch.see() returns trigger language plpgsql as $body$
declare
	session constant text := current_setting('application_name');
	was constant jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
	became constant jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
	job constant bigint := case when tg_table_name = '_private_jobs' then coalesce(was, became) ->> 'id' end;
	held constant boolean := coalesce((was ->> 'locked_at')::timestamptz >= now() - interval '4 hours', false);
	event text;
begin
	if held and starts_with(session, 'admin') then
		insert into watch.log (event, session, job, row, became) values (watch.judge(session, was, became), session, job, was, became);
	end if;
	event := case
		when job is null then null
		when tg_op = 'INSERT' then 'added'
		when tg_op = 'DELETE' then 'gone'
		when not held and became ->> 'locked_at' is not null then 'taken'
		when was -> 'payload' <> became -> 'payload' then 'replaced'
	end;
	if event is not null then
		insert into watch.log (event, session, job, n) values (event, session, job, coalesce(became, was) -> 'payload' ->> 'n');
	end if;
	return null;
end;
$body$;

create trigger watch after insert or update or delete on graphile_worker._private_jobs for each row execute function watch.see();
create trigger watch after update or delete on graphile_worker._private_job_queues for each row execute function watch.see();
