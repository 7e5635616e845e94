-- Everything about the visitors of some sessions, orders and about some visitors; the sessions that admissions opened; answers.
-- One line of JSON a row, with what it is. The plans are pinned to the primary keys, as those of `apply` are.
create function fairline.visits(
    p_event text, p_keys bytea[], p_jtis text[], p_orders text[], p_visitors text[], p_answers text[]
) returns table (kind text, line text) language plpgsql stable
set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off set enable_bitmapscan to off
set plan_cache_mode to force_generic_plan
as $$
begin
    return query with who as materialized (
        select visitor from fairline.session where event = p_event and key = any(p_keys)
        union select visitor from fairline.orders where event = p_event and id = any(p_orders)
        union select unnest(p_visitors)
    ), holds as materialized (
        select h.* from who join fairline.hold h on h.event = p_event and h.visitor = who.visitor
    ), own as materialized (
        select o.* from holds h join fairline.orders o on o.event = p_event and o.id = h.order_id
    )
    select 'session'::text, row_to_json(s)::text from (
        select encode(key, 'hex') as key, visitor, number, jti, token, expires_at, is_over, report
        from (select unnest(p_keys) as own_key union select session from own) k
        join fairline.session on event = p_event and key = k.own_key
    ) s
    union all select 'opened', row_to_json(s)::text from (
        select encode(key, 'hex') as key, visitor, number, jti, token, expires_at, is_over, report
        from fairline.session where event = p_event and jti = any(p_jtis)
    ) s
    union all select 'hold', row_to_json(h)::text from (
        select visitor, id, encode(session, 'hex') as session, state, seats, total, currency, expires_at, lapses_at,
            max_expires_at, order_id from holds
    ) h
    union all select 'order', row_to_json(o)::text from (
        select id, hold, visitor, encode(session, 'hex') as session, state, seats, total, currency, buyer_name,
            buyer_email, decline, created_at, pay_by from own
    ) o
    union all select 'payment', row_to_json(p)::text from (
        select p.order_id, p.attempt, p.id, p.state, p.amount, p.currency, p.client_secret, p.begun_at, p.settles_at
        from own join fairline.payment p on p.event = p_event and p.order_id = own.id order by p.attempt
    ) p
    union all select 'ticket', row_to_json(t)::text from (
        select t.order_id, t.seat, t.id from holds h
        join fairline.ticket t on t.event = p_event and t.seat = any(h.places) and t.order_id = h.order_id
    ) t
    union all select 'answer', row_to_json(a)::text from (
        select id, body_hash, answer, at from fairline.answer where event = p_event and id = any(p_answers)
    ) a;
end $$;
