-- Everything about the visitors of some sessions, orders and about some visitors; the sessions that admissions opened; answers.
-- One line of JSON a row, with what it is. Each `lateral … offset 0` is a look-up by its primary key, whatever the tables
-- held when the plan was made.
create function fairline.visits(
    p_event text, p_keys bytea[], p_jtis text[], p_orders text[], p_visitors uuid[], p_answers text[]
) returns table (kind text, line text) language plpgsql stable
set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off set enable_bitmapscan to off
set enable_material to off set plan_cache_mode to force_generic_plan
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
            select * from fairline.hold h where h.event = p_event and h.visitor = who.visitor offset 0) h
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
    union all select 'hold', row_to_json(h)::text from (
        select visitor, number, id, encode(session, 'hex') as session, state, places, total, currency, expires_at, lapses_at,
            max_expires_at, order_id from holds
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
