-- The partitions of this month and the next three; orders in none of them are kept in `orders_other`. Answers whether all are
-- there. Making one locks all orders: a backup or a long report that is under way must not make the sale queue behind that, so
-- it waits for no more than `lock_timeout`, and is tried again later.
drop function fairline.make_partitions(bigint);
create function fairline.make_partitions(p_now bigint) returns boolean language plpgsql
set lock_timeout to '200ms'
as $$
declare
    v_month timestamp := date_trunc('month', to_timestamp(p_now / 1000.0) at time zone 'utc');
    v_name text;
    v_from bigint;
    v_to bigint;
begin
    -- One node at a time.
    if not pg_try_advisory_xact_lock(4631729464) then
        return false;
    end if;
    for n in 0..3 loop
        v_name := 'orders_' || to_char(v_month + make_interval(months => n), 'YYYY_MM');
        continue when to_regclass('fairline.' || v_name) is not null;
        v_from := extract(epoch from v_month + make_interval(months => n)) * 1000;
        v_to := extract(epoch from v_month + make_interval(months => n + 1)) * 1000;
        begin
            execute format('create table if not exists fairline.%I partition of fairline.orders for values from (%s) to (%s)',
                v_name, v_from, v_to);
        exception
            when check_violation then
                -- orders of that month lie in `orders_other` already, and stay there
                null;
            when lock_not_available or query_canceled then
                return false;
        end;
    end loop;
    return true;
end $$;

-- Compiling these plans takes a hundred times as long as running them.
alter function fairline.apply set jit to off;

-- Everything about the visitors of some sessions, orders and about some visitors; the sessions that admissions opened; answers.
-- Of holds only those that own seats or have an order, those of `p_holds`, and the number of the newest: a visitor may have
-- made hundreds that ended. One line of JSON a row, with what it is. Each `lateral … offset 0` is a look-up by its primary key,
-- whatever the tables held when the plan was made.
drop function fairline.visits(text, bytea[], text[], text[], uuid[], text[]);
create function fairline.visits(
    p_event text, p_keys bytea[], p_jtis text[], p_orders text[], p_visitors uuid[], p_holds uuid[], p_answers text[]
) returns table (kind text, line text) language plpgsql stable
set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off set enable_bitmapscan to off
set enable_material to off set plan_cache_mode to force_generic_plan set jit to off
as $$
begin
    return query with who as materialized (
        select s.visitor from unnest(p_keys) as k(key) cross join lateral (
            select s.visitor from fairline.session s where s.event = p_event and s.key = k.key offset 0) s
        union select o.visitor from unnest(p_orders) as k(id) cross join lateral (
            select o.visitor from fairline.orders o where o.event = p_event and o.id = k.id offset 0) o
        union select unnest(p_visitors)
    ), holds as materialized (
        select h.* from who cross join lateral (
            select * from fairline.hold h where h.event = p_event and h.visitor = who.visitor
                and (h.state in (0, 1) or h.order_id is not null or h.id = any (p_holds)) offset 0) h
    ), own as materialized (
        select o.* from (select h.order_id from holds h where h.order_id is not null) h cross join lateral (
            select * from fairline.orders o where o.event = p_event and o.id = h.order_id offset 0) o
    )
    select 'session'::text, row_to_json(s)::text from (
        select encode(s.key, 'hex') as key, s.visitor, s.number, s.jti, s.token, s.expires_at, s.is_over, s.report
        from (select unnest(p_keys) as key union select session from own) k cross join lateral (
            select * from fairline.session s where s.event = p_event and s.key = k.key offset 0) s
    ) s
    union all select 'opened', row_to_json(s)::text from (
        select encode(s.key, 'hex') as key, s.visitor, s.number, s.jti, s.token, s.expires_at, s.is_over, s.report
        from unnest(p_jtis) as k(jti) cross join lateral (
            select * from fairline.session s where s.event = p_event and s.jti = k.jti offset 0) s
    ) s
    union all select 'turn', row_to_json(t)::text from (
        select who.visitor, h.number from who cross join lateral (
            select h.number from fairline.hold h where h.event = p_event and h.visitor = who.visitor
                order by h.number desc limit 1) h
    ) t
    union all select 'hold', row_to_json(h)::text from (
        select visitor, id, encode(session, 'hex') as session, state, places, total, currency, expires_at, lapses_at,
            max_expires_at, order_id from holds where state <> 4
    ) h
    union all select 'order', row_to_json(o)::text from (
        select id, hold, visitor, encode(session, 'hex') as session, state, seats, total, currency, buyer_name,
            buyer_email, decline, created_at, pay_by from own
    ) o
    union all select 'payment', row_to_json(p)::text from (
        select p.* from own cross join lateral (
            select p.order_id, p.attempt, p.id, p.state, p.amount, p.currency, p.client_secret, p.begun_at, p.settles_at
            from fairline.payment p where p.event = p_event and p.order_id = own.id offset 0) p
    ) p
    union all select 'ticket', row_to_json(t)::text from (
        select t.order_id, t.seat, t.id
        from (select h.order_id, unnest(string_to_array(h.places, ',')::integer[]) as seat from holds h where h.order_id is not null) k cross join lateral (
            select * from fairline.ticket t where t.event = p_event and t.seat = k.seat offset 0) t
        where t.order_id = k.order_id
    ) t
    union all select 'answer', row_to_json(a)::text from (
        select a.id, a.body_hash, a.answer, a.at from unnest(p_answers) as k(id) cross join lateral (
            select * from fairline.answer a where a.event = p_event and a.id = k.id offset 0) a
    ) a;
end $$;

-- The mark of a payment that is being asked for names the payment from now on, and ends with it. What was marked without a name
-- would never be answered.
delete from fairline.answer where answer is null;

-- A change of a payment also names what `settles_at` was: a node that has not heard of a promise cannot end the payment. The
-- functions that apply and refuse changes say the rest in the same words as before.
do $$
declare
    v_source text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname in ('apply', 'refused')
    loop
        v_source := replace(v_source, 'p.state = w.was',
            'p.state = w.was and p.settles_at is not distinct from w.promised_at');
        execute regexp_replace(v_source, 'attempt integer,\s+was text', 'attempt integer, was text, promised_at bigint', 'g');
    end loop;
end $$;
