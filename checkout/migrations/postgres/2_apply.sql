-- One batch: everything that the requests of one event changed, in one statement and one commit.
--
-- Each row of an array or a JSON list belongs to a request (its number) and names what it changes from. A request of which
-- any row is something else by now is refused whole; the others happen. Answers first the batch's `seq`, the numbers of the
-- refused, and the clock; no row when the event's plan or rules are not those of `p_config`. A batch that is sent again
-- (`p_is_again`), because nobody knows whether it happened, happens once. Then, if `p_known` is given, what other nodes
-- changed after that and is not among `p_have`.
--
-- Batches run side by side, of one node and of many: rows of a kind come in the order of their keys, so that none waits for
-- another that waits for it; and a batch takes its `seq` when it has its rows.
--
-- Lists are unnested side by side in `select`, not in `from`, where each would be kept aside first; and nothing here calls a
-- function written in SQL, which would be parsed again by every call.
--
-- The plans are pinned to look-ups by primary key, whatever the tables held when they were made: an event that comes out of
-- `offset 0` is no constant that an index could be scanned by alone.
create function fairline.apply(
    p_event text, p_config bigint, p_node text, p_batch bigint, p_is_again boolean, p_known bigint, p_have bigint[],
    -- free seats that new holds take; and the runs of neighbours among them: the first and the last seat, and where they begin
    t_request integer[], t_seat integer[], t_hold uuid[], t_visitor uuid[],
    r_first integer[], r_last integer[], r_at integer[],
    -- other seats that change hands
    s_request integer[], s_seat integer[], s_from smallint[], s_from_hold uuid[], s_to smallint[], s_hold uuid[],
    s_order text[], s_visitor uuid[],
    h_request integer[], h_visitor uuid[], h_number integer[], h_id uuid[], h_session bytea[], h_places text[],
    h_total bigint[], h_currency text[], h_expires bigint[], h_lapses bigint[], h_max bigint[],
    p_changes bytea, p_opened bytea, p_sessions json, p_over json, p_holds json, p_orders json, p_order_changes json,
    p_payments json, p_payment_changes json, p_tickets json, p_void json, p_answers json
) returns table (seq bigint, refused integer[], now_ms bigint, changes bytea, opened bytea) language plpgsql
set enable_seqscan to off set enable_hashjoin to off set enable_mergejoin to off set enable_bitmapscan to off
set enable_material to off set plan_cache_mode to force_generic_plan
as $$
#variable_conflict use_column
declare
    v_seq bigint;
    v_refused integer[] := '{}';
    v_rows bigint;
begin
    -- Two of one name follow one another: whatever becomes of the first, it is over then.
    perform pg_advisory_xact_lock(hashtextextended(p_node, p_batch));
    if p_is_again then
        select c.seq, c.refused into v_seq, v_refused from fairline.change c
            where c.event = p_event and c.node = p_node and c.batch = p_batch;
        if found then
            return query select v_seq, v_refused, (extract(epoch from clock_timestamp()) * 1000)::bigint, null::bytea, null::bytea;
            return;
        end if;
        v_refused := '{}';
    end if;
    perform pg_advisory_xact_lock_shared(hashtextextended(p_event, 4631729465));
    perform from fairline.event e where e.event = p_event and e.config = p_config and not e.is_moving;
    if not found then
        return;
    end if;
    -- Others may be faster again while it is looked at who was refused.
    for v_try in 1..5 loop
        begin
            if cardinality(t_seat) > 0 then
                -- Neighbours are found side by side, and not each from the root of the index: half the work.
                update fairline.seat s set state = 1, hold = t_hold[s.seat - r.first + r.at],
                        visitor = t_visitor[s.seat - r.first + r.at]
                    from (select p_event as event, unnest(r_first) as first, unnest(r_last) as last, unnest(r_at) as at
                        offset 0) r
                    where s.event = r.event and s.seat between r.first and r.last and s.state = 0
                        and t_request[s.seat - r.first + r.at] <> all (v_refused);
                get diagnostics v_rows = row_count;
                if v_rows <> (case when v_refused = '{}' then cardinality(t_request)
                        else fairline.wanted(t_request, v_refused) end) then
                    raise exception using errcode = 'FL001';
                end if;
            end if;
            if cardinality(s_seat) > 0 then
                update fairline.seat s
                    set state = w.state, hold = w.hold, order_id = w.order_id, visitor = w.visitor
                    from (select p_event as event, unnest(s_request) as request, unnest(s_seat) as seat, unnest(s_from) as was,
                            unnest(s_from_hold) as was_hold, unnest(s_to) as state, unnest(s_hold) as hold,
                            unnest(s_order) as order_id, unnest(s_visitor) as visitor offset 0) w
                    where s.event = w.event and s.seat = w.seat and s.state = w.was
                        and s.hold is not distinct from w.was_hold and w.request <> all (v_refused);
                get diagnostics v_rows = row_count;
                if v_rows <> (case when v_refused = '{}' then cardinality(s_request)
                        else fairline.wanted(s_request, v_refused) end) then
                    raise exception using errcode = 'FL001';
                end if;
            end if;
            if cardinality(h_request) > 0 then
                insert into fairline.hold (event, visitor, number, id, session, state, places, total, currency, expires_at,
                                           lapses_at, max_expires_at)
                    select p_event, w.visitor, w.number, w.id, w.session, case when w.places = '' then 4 else 0 end, w.places,
                           w.total, w.currency, w.expires_at,
                           w.lapses_at, w.max_expires_at
                    from (select unnest(h_request) as request, unnest(h_visitor) as visitor, unnest(h_number) as number,
                            unnest(h_id) as id, unnest(h_session) as session, unnest(h_places) as places,
                            unnest(h_total) as total, unnest(h_currency) as currency, unnest(h_expires) as expires_at,
                            unnest(h_lapses) as lapses_at, unnest(h_max) as max_expires_at) w
                    where w.request <> all (v_refused);
            end if;
            if p_sessions is not null then
                insert into fairline.session (event, key, visitor, number, jti, token, expires_at, report)
                    select p_event, decode(w.key, 'hex'), w.visitor, w.number, w.jti, w.token, w.expires_at, w.report
                    from json_to_recordset(p_sessions) as w(request integer, key text, visitor uuid, number bigint,
                        jti text, token text, expires_at bigint, report smallint)
                    where w.request <> all (v_refused);
            end if;
            if p_over is not null then
                update fairline.session s set is_over = true, report = 2, report_at = 0
                    from (select p_event as event, w.* from json_to_recordset(p_over) as w(request integer, key text)
                        offset 0) w
                    where s.event = w.event and s.key = decode(w.key, 'hex') and not s.is_over
                        and w.request <> all (v_refused);
                get diagnostics v_rows = row_count;
                if v_rows <> (case when v_refused = '{}' then json_array_length(p_over)
                        else fairline.wanted(p_over, v_refused) end) then
                    raise exception using errcode = 'FL001';
                end if;
            end if;
            if p_holds is not null then
                update fairline.hold h set state = w.state, order_id = w.order_id
                    from (select p_event as event, w.* from json_to_recordset(p_holds) as w(request integer,
                        visitor uuid, id uuid, was smallint, state smallint, order_id text)
                        offset 0) w
                    where h.event = w.event and h.visitor = w.visitor and h.id = w.id and h.state = w.was
                        and w.request <> all (v_refused);
                get diagnostics v_rows = row_count;
                if v_rows <> (case when v_refused = '{}' then json_array_length(p_holds)
                        else fairline.wanted(p_holds, v_refused) end) then
                    raise exception using errcode = 'FL001';
                end if;
            end if;
            if p_orders is not null then
                insert into fairline.orders (event, id, hold, visitor, session, state, seats, total, currency, buyer_name,
                                             buyer_email, created_at, pay_by)
                    select p_event, w.id, w.hold, w.visitor, decode(w.session, 'hex'), w.state, w.seats, w.total, w.currency,
                           w.buyer_name, w.buyer_email, w.created_at, w.pay_by
                    from json_to_recordset(p_orders) as w(request integer, id text, hold uuid, visitor uuid, session text,
                        state text, seats text, total bigint, currency text, buyer_name text, buyer_email text,
                        created_at bigint, pay_by bigint)
                    where w.request <> all (v_refused);
            end if;
            if p_order_changes is not null then
                update fairline.orders o set state = w.state, decline = w.decline
                    from (select p_event as event, w.* from json_to_recordset(p_order_changes) as w(request integer, id text, created_at bigint, was text,
                        state text, decline text)
                        offset 0) w
                    where o.event = w.event and o.id = w.id and o.created_at = w.created_at and o.state = w.was
                        and w.request <> all (v_refused);
                get diagnostics v_rows = row_count;
                if v_rows <> (case when v_refused = '{}' then json_array_length(p_order_changes)
                        else fairline.wanted(p_order_changes, v_refused) end) then
                    raise exception using errcode = 'FL001';
                end if;
            end if;
            if p_payments is not null then
                insert into fairline.payment (event, order_id, attempt, id, state, amount, currency, client_secret)
                    select p_event, w.order_id, w.attempt, w.id, w.state, w.amount, w.currency, w.client_secret
                    from json_to_recordset(p_payments) as w(request integer, order_id text, attempt integer, id text,
                        state text, amount bigint, currency text, client_secret text)
                    where w.request <> all (v_refused);
            end if;
            if p_payment_changes is not null then
                update fairline.payment p set state = w.state, begun_at = w.begun_at, settles_at = w.settles_at
                    from (select p_event as event, w.* from json_to_recordset(p_payment_changes) as w(request integer, order_id text, attempt integer,
                        was text, state text, begun_at bigint, settles_at bigint)
                        offset 0) w
                    where p.event = w.event and p.order_id = w.order_id and p.attempt = w.attempt and p.state = w.was
                        and w.request <> all (v_refused);
                get diagnostics v_rows = row_count;
                if v_rows <> (case when v_refused = '{}' then json_array_length(p_payment_changes)
                        else fairline.wanted(p_payment_changes, v_refused) end) then
                    raise exception using errcode = 'FL001';
                end if;
            end if;
            if p_void is not null then
                delete from fairline.ticket t using
                    (select p_event as event, w.* from json_to_recordset(p_void) as w(request integer, seat integer) offset 0) w
                    where t.event = w.event and t.seat = w.seat and w.request <> all (v_refused);
                get diagnostics v_rows = row_count;
                if v_rows <> (case when v_refused = '{}' then json_array_length(p_void)
                        else fairline.wanted(p_void, v_refused) end) then
                    raise exception using errcode = 'FL001';
                end if;
            end if;
            if p_tickets is not null then
                insert into fairline.ticket (event, seat, id, order_id)
                    select p_event, w.seat, w.id, w.order_id
                    from json_to_recordset(p_tickets) as w(request integer, seat integer, id text, order_id text)
                    where w.request <> all (v_refused);
            end if;
            if p_answers is not null then
                -- The mark of an attempt is made once; its answer is written over it.
                insert into fairline.answer (event, id, body_hash, answer, at)
                    select p_event, w.id, w.body, w.answer, w.at
                    from json_to_recordset(p_answers) as w(request integer, id text, body text, answer text, at bigint,
                        is_new boolean)
                    where w.request <> all (v_refused) and w.is_new;
                insert into fairline.answer as a (event, id, body_hash, answer, at)
                    select p_event, w.id, w.body, w.answer, w.at
                    from json_to_recordset(p_answers) as w(request integer, id text, body text, answer text, at bigint,
                        is_new boolean)
                    where w.request <> all (v_refused) and not w.is_new
                    on conflict (event, id) do update set answer = excluded.answer, at = excluded.at;
            end if;
            exit;
        exception when sqlstate 'FL001' or unique_violation or deadlock_detected then
            if v_try = 5 then
                raise;
            end if;
            v_refused := fairline.refused(p_event, v_refused, t_request, t_seat, s_request, s_seat, s_from, s_from_hold,
                h_request, h_visitor, h_number, p_sessions, p_over, p_holds, p_order_changes, p_payment_changes, p_tickets,
                p_void, p_answers);
        end;
    end loop;
    v_seq := nextval('fairline.batch');
    insert into fairline.change (event, seq, node, batch, refused, changes, opened)
        values (p_event, v_seq, p_node, p_batch, v_refused, p_changes, p_opened);
    return query select v_seq, v_refused, (extract(epoch from clock_timestamp()) * 1000)::bigint, null::bytea, null::bytea;
    if p_known is not null then
        return query select c.seq, c.refused, 0::bigint, c.changes, c.opened from fairline.change c
            where c.event = p_event and c.seq > p_known and c.node <> p_node and c.seq <> all (p_have)
            order by c.seq limit 1000;
    end if;
end $$;

-- How many rows of a list are to be changed.
create function fairline.wanted(p_requests integer[], p_refused integer[]) returns bigint language plpgsql immutable as $$
begin
    return (select count(*) from unnest(p_requests) as w(request) where w.request <> all (p_refused));
end $$;
create function fairline.wanted(p_rows json, p_refused integer[]) returns bigint language plpgsql immutable as $$
begin
    return (select count(*) from json_to_recordset(p_rows) as w(request integer) where w.request <> all (p_refused));
end $$;

-- The requests of a batch of which some row is not what it was. Planned once a connection: other nodes wait for it.
create function fairline.refused(
    p_event text, p_refused integer[], t_request integer[], t_seat integer[],
    s_request integer[], s_seat integer[], s_from smallint[], s_from_hold uuid[],
    h_request integer[], h_visitor uuid[], h_number integer[],
    p_sessions json, p_over json, p_holds json, p_order_changes json, p_payment_changes json, p_tickets json, p_void json,
    p_answers json
) returns integer[] language plpgsql stable as $$
declare
    v_all integer[] := p_refused;
begin
    if cardinality(t_seat) > 0 then
        v_all := v_all || array(select w.request
            from (select p_event as event, unnest(t_request) as request, unnest(t_seat) as seat offset 0) w
            where not exists (select from fairline.seat s where s.event = w.event and s.seat = w.seat and s.state = 0));
    end if;
    if cardinality(s_seat) > 0 then
        v_all := v_all || array(select w.request
            from (select p_event as event, unnest(s_request) as request, unnest(s_seat) as seat, unnest(s_from) as was,
                unnest(s_from_hold) as was_hold offset 0) w
            where not exists (select from fairline.seat s where s.event = w.event and s.seat = w.seat and s.state = w.was
                and s.hold is not distinct from w.was_hold));
    end if;
    if cardinality(h_request) > 0 then
        v_all := v_all || array(select w.request
            from (select p_event as event, unnest(h_request) as request, unnest(h_visitor) as visitor,
                unnest(h_number) as number offset 0) w
            where exists (select from fairline.hold h
                where h.event = w.event and h.visitor = w.visitor and h.number = w.number));
    end if;
    if p_sessions is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.*
                from json_to_recordset(p_sessions) as w(request integer, key text, jti text) offset 0) w
            where exists (select from fairline.session s where s.event = w.event and s.key = decode(w.key, 'hex'))
                or exists (select from fairline.session s where s.event = w.event and s.jti = w.jti));
    end if;
    if p_over is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.* from json_to_recordset(p_over) as w(request integer, key text) offset 0) w
            where not exists (select from fairline.session s
                where s.event = w.event and s.key = decode(w.key, 'hex') and not s.is_over));
    end if;
    if p_holds is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.*
                from json_to_recordset(p_holds) as w(request integer, visitor uuid, id uuid, was smallint) offset 0) w
            where not exists (select from fairline.hold h
                where h.event = w.event and h.visitor = w.visitor and h.id = w.id and h.state = w.was));
    end if;
    if p_order_changes is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.*
                from json_to_recordset(p_order_changes)
                    as w(request integer, id text, created_at bigint, was text) offset 0) w
            where not exists (select from fairline.orders o
                where o.event = w.event and o.id = w.id and o.created_at = w.created_at and o.state = w.was));
    end if;
    if p_payment_changes is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.*
                from json_to_recordset(p_payment_changes)
                    as w(request integer, order_id text, attempt integer, was text) offset 0) w
            where not exists (select from fairline.payment p
                where p.event = w.event and p.order_id = w.order_id and p.attempt = w.attempt and p.state = w.was));
    end if;
    if p_void is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.* from json_to_recordset(p_void) as w(request integer, seat integer) offset 0) w
            where not exists (select from fairline.ticket t where t.event = w.event and t.seat = w.seat));
    end if;
    if p_tickets is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.*
                from json_to_recordset(p_tickets) as w(request integer, seat integer) offset 0) w
            where exists (select from fairline.ticket t where t.event = w.event and t.seat = w.seat));
    end if;
    if p_answers is not null then
        v_all := v_all || array(select w.request
            from (select p_event as event, w.*
                from json_to_recordset(p_answers) as w(request integer, id text, is_new boolean) offset 0) w
            where w.is_new and exists (select from fairline.answer a where a.event = w.event and a.id = w.id));
    end if;
    return array(select distinct unnest(v_all));
end $$;
