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

create function watch.on_hold(job jsonb) returns boolean immutable language sql as $body$
	select coalesce(job ->> 'locked_by' like 'gwadmin:held:%' and job ->> 'locked_at' is null and job ->> 'run_at' = 'infinity', false)
$body$;

create function watch.see() returns trigger language plpgsql as $body$
declare
	session constant text := current_setting('application_name');
	was constant jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
	became constant jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
	job constant bigint := case when tg_table_name = '_private_jobs' then coalesce(was, became) ->> 'id' end;
	held constant boolean := coalesce((was ->> 'locked_at')::timestamptz >= now() - interval '4 hours', false);
	lock constant text[] := array['locked_at', 'locked_by', 'is_available'];
	paused constant text := 'gwadmin:paused:%';
	event text;
begin
	if session = 'admin pauser' and tg_table_name = '_private_job_queues' and tg_op = 'UPDATE' then
		insert into watch.log (event, session, row, became) values (case
			when was - lock <> became - lock then 'violation'
			when became ->> 'locked_by' like paused then
				case when was ->> 'locked_by' like paused or became ->> 'locked_at' <> 'infinity' then 'violation' else 'paused' end
			when became ->> 'locked_by' is null and exists (
				select from graphile_worker._private_jobs as jobs
				where jobs.job_queue_id = (was ->> 'id')::int and jobs.locked_at is not null
				and (was ->> 'locked_by' like paused or jobs.locked_by = was ->> 'locked_by' and jobs.locked_at = (was ->> 'locked_at')::timestamptz)
			) then 'violation'
			when was ->> 'locked_by' like paused then 'resumed'
			when became ->> 'locked_by' is null then 'freed'
			else 'violation'
		end, session, was, became);
		return null;
	end if;
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
	if event = 'taken' and became ->> 'job_queue_id' is not null and not exists (
		select from graphile_worker._private_job_queues as queues
		where queues.id = (became ->> 'job_queue_id')::int and queues.locked_by = became ->> 'locked_by'
	) then
		insert into watch.log (event, session, job, row, became) values ('taken without its queue', session, job, was, became);
	end if;
	if session = 'admin holder' and tg_op = 'UPDATE' and watch.on_hold(was) <> watch.on_hold(became) then
		insert into watch.log (event, session, job) values (case when watch.on_hold(became) then 'put on hold' else 'released' end, session, job);
	end if;
	return null;
end;
$body$;

create trigger watch after insert or update or delete on graphile_worker._private_jobs for each row execute function watch.see();
create trigger watch after update or delete on graphile_worker._private_job_queues for each row execute function watch.see();
