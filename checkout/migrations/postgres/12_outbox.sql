-- Events for other systems, in the columns that Debezium's outbox router expects: written in the transaction of the change, never
-- changed, deleted after a while. Those of one aggregate lie in one shard. Two changes of an aggregate hold the same row lock, and
-- draw their positions while they hold it: by position they are in the order in which they were committed.
create sequence fairline.outbox_position;
create table fairline.outbox (
    shard smallint not null,
    position bigint not null default nextval('fairline.outbox_position'),
    id text not null,
    event text collate "C" not null,
    aggregatetype text not null,
    aggregateid text collate "C" not null,
    type text not null,
    payload json not null,
    traceparent text,
    at bigint not null,
    primary key (shard, position)
);

-- How far each consumer has come in each shard, and which process reads it for the consumer until when.
create table fairline.outbox_cursor (
    consumer text collate "C" not null,
    shard smallint not null,
    position bigint not null default 0,
    owner text,
    until bigint,
    primary key (consumer, shard)
) with (fillfactor = 50);
create table fairline.outbox_owner (
    consumer text collate "C" not null,
    owner text collate "C" not null,
    until bigint not null,
    primary key (consumer, owner)
) with (fillfactor = 50);

-- Adds events, except those of refused requests, in the order of the lists. Until the transaction ends its lock tells
-- `outbox_horizon` that it may have drawn positions after the one in the lock.
create function fairline.write_outbox(
    p_event text, p_refused integer[], o_request integer[], o_id text[], o_aggregatetype text[], o_aggregateid text[],
    o_type text[], o_payload text[], o_traceparent text[], o_at bigint[]
) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(4631729, (s.last_value % 2147483648)::integer) from fairline.outbox_position s;
    insert into fairline.outbox (shard, id, event, aggregatetype, aggregateid, type, payload, traceparent, at)
        select (hashtextextended(w.aggregateid, 0) & 15)::smallint, w.id, p_event, w.aggregatetype, w.aggregateid, w.type,
               w.payload::json, w.traceparent, w.at
        from (select unnest(o_request) as request, unnest(o_id) as id, unnest(o_aggregatetype) as aggregatetype,
                unnest(o_aggregateid) as aggregateid, unnest(o_type) as type, unnest(o_payload) as payload,
                unnest(o_traceparent) as traceparent, unnest(o_at) as at) w
        where w.request <> all (p_refused);
end $$;

-- The position up to which all transactions that may have drawn one have ended. What is after it may yet be followed by something
-- before it.
create function fairline.outbox_horizon() returns bigint language plpgsql as $$
declare
    v_last bigint;
    v_first bigint;
begin
    select s.last_value into v_last from fairline.outbox_position s;
    -- Looked at after that: a transaction with a position up to it had its lock by then.
    select min(v_last - ((v_last - l.objid::bigint) % 2147483648)) into v_first from pg_locks l
        where l.locktype = 'advisory' and l.classid = 4631729 and l.objsubid = 2 and l.granted
            and l.database = (select d.oid from pg_database d where d.datname = current_database());
    return coalesce(v_first, v_last);
end $$;

-- The next events of a shard. Each step sees what was committed before it began.
create function fairline.read_outbox(p_shard smallint, p_after bigint, p_limit integer) returns setof fairline.outbox
language plpgsql as $$
declare
    v_horizon bigint;
begin
    if not exists (select from fairline.outbox o where o.shard = p_shard and o.position > p_after) then
        return;
    end if;
    v_horizon := fairline.outbox_horizon();
    return query select * from fairline.outbox o
        where o.shard = p_shard and o.position > p_after and o.position <= v_horizon order by o.position limit p_limit;
end $$;

-- Renews what an owner has leased for a consumer, up to its share among all owners that are there; gives the rest back, and takes
-- what is free. Answers the shards that it has, with the position that was acknowledged.
create function fairline.lease_outbox(p_consumer text, p_owner text, p_now bigint, p_until bigint)
returns table (shard smallint, "position" bigint) language plpgsql as $$
#variable_conflict use_column
declare
    v_share integer;
    v_own integer;
begin
    insert into fairline.outbox_owner (consumer, owner, until) values (p_consumer, p_owner, p_until)
        on conflict (consumer, owner) do update set until = excluded.until;
    insert into fairline.outbox_cursor (consumer, shard) select p_consumer, n from generate_series(0, 15) as n
        on conflict do nothing;
    -- One owner at a time.
    perform from fairline.outbox_cursor c where c.consumer = p_consumer order by c.shard for update;
    select ceil(16.0 / count(*)) into v_share from fairline.outbox_owner o where o.consumer = p_consumer and o.until > p_now;
    update fairline.outbox_cursor c set owner = case when k.rank <= v_share then p_owner end, until = p_until
        from (select c.shard, row_number() over (order by c.shard) as rank from fairline.outbox_cursor c
            where c.consumer = p_consumer and c.owner = p_owner) k
        where c.consumer = p_consumer and c.shard = k.shard;
    select count(*) into v_own from fairline.outbox_cursor c where c.consumer = p_consumer and c.owner = p_owner;
    update fairline.outbox_cursor c set owner = p_owner, until = p_until
        from (select c.shard from fairline.outbox_cursor c
            where c.consumer = p_consumer and (c.owner is null or c.until <= p_now)
            order by c.shard limit greatest(v_share - v_own, 0)) k
        where c.consumer = p_consumer and c.shard = k.shard;
    return query select c.shard, c.position from fairline.outbox_cursor c
        where c.consumer = p_consumer and c.owner = p_owner order by c.shard;
end $$;

-- Whether nothing is available and nothing is held, as it was told last.
alter table fairline.event add column is_sold_out boolean not null default false;

-- Tells that an event is sold out, or is on sale again, if that is so and was not told. Answers what was told last.
create function fairline.tell_sold_out(
    p_event text, p_is_sold_out boolean, o_id text, o_type text, o_payload text, o_traceparent text, o_at bigint
) returns boolean language plpgsql as $$
declare
    v_told boolean;
begin
    select e.is_sold_out into v_told from fairline.event e where e.event = p_event;
    if v_told = p_is_sold_out then
        return v_told;
    end if;
    select e.is_sold_out into v_told from fairline.event e where e.event = p_event for update;
    if v_told is null or v_told = p_is_sold_out then
        return v_told;
    end if;
    -- No batch is on its way then.
    perform fairline.alone(p_event);
    if p_is_sold_out = exists (select from fairline.seat s where s.event = p_event and s.state in (0, 1)) then
        return v_told;
    end if;
    update fairline.event e set is_sold_out = p_is_sold_out where e.event = p_event;
    perform fairline.write_outbox(p_event, '{}', array[0], array[o_id], array['event'], array[p_event], array[o_type],
        array[o_payload], array[o_traceparent], array[o_at]);
    return p_is_sold_out;
end $$;

-- Batches of nodes of this version bring events; those of the version before call `apply` without them.
do $$
declare
    v_source text;
begin
    select pg_get_functiondef(p.oid) into strict v_source from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname = 'apply';
    v_source := replace(v_source, 'p_answers json)', 'p_answers json, o_request integer[], o_id text[],
        o_aggregatetype text[], o_aggregateid text[], o_type text[], o_payload text[], o_traceparent text[], o_at bigint[])');
    v_source := replace(v_source, 'v_seq := nextval(''fairline.batch'');', 'if cardinality(o_request) > 0 then
        perform fairline.write_outbox(p_event, v_refused, o_request, o_id, o_aggregatetype, o_aggregateid, o_type, o_payload,
            o_traceparent, o_at);
    end if;
    v_seq := nextval(''fairline.batch'');');
    execute v_source;
end $$;
