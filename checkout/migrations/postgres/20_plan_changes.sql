-- Owner and reason of a seat that an organiser blocked, as JSON. It stays while the seat is held at the desk, as it is blocked
-- again if it is not sold. The order of a seat that becomes blocked is its note, so that the function that writes a batch takes
-- what it took before.
alter table fairline.seat add column note text;
do $$
declare
    v_source text;
    v_changed text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname = 'apply'
    loop
        v_changed := replace(v_source, 'set state = w.state, hold = w.hold, order_id = w.order_id, visitor = w.visitor
',
            'set state = w.state, hold = w.hold, order_id = case when w.state <> 3 then w.order_id end, visitor = w.visitor,
                        note = case w.state when 3 then coalesce(w.order_id, s.note) when 1 then s.note end
');
        if v_changed = v_source then
            raise exception 'the function fairline.apply is another one than this step changes';
        end if;
        execute v_changed;
    end loop;
    if not found then
        raise exception 'there is no function fairline.apply';
    end if;
    -- Whether the seats of a hold are blocked ones follows from its session.
    select pg_get_functiondef(p.oid) into strict v_source from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname = 'visits';
    v_changed := replace(v_source, 'union select session from own)',
        'union select session from own union select session from holds where state = 0)');
    if v_changed = v_source then
        raise exception 'the function fairline.visits is another one than this step changes';
    end if;
    execute v_changed;
end $$;

-- Returns the notes on seats that an organiser blocked, null where there is none, by the places that a new plan has for them.
-- `p_not_for_sale` are seats that the plan before keeps out of the sale. Call it under the event's own lock (`alone`).
create function fairline.blocks(p_event text, p_places integer[], p_not_for_sale integer[]) returns jsonb
language plpgsql as $$
begin
    return (select jsonb_object_agg(p_places[s.seat + 1], s.note)
        from fairline.seat s left join unnest(p_not_for_sale) as n(seat) on n.seat = s.seat
        where s.event = p_event and s.state = 3 and n.seat is null and p_places[s.seat + 1] < 2147483647);
end $$;
create function fairline.keep_blocks(p_event text, p_blocks jsonb) returns void language plpgsql as $$
begin
    update fairline.seat s set state = 3, note = b.value from jsonb_each_text(p_blocks) b
        where s.event = p_event and s.seat = b.key::integer and s.state = 0;
end $$;

-- Replaces a plan that is not in use, or sets the first one. Seats that an organiser blocked stay blocked, with their notes.
-- `p_blocked` are the seats that the new plan keeps out of the sale. Answers as the function of four parameters does; 0 also if
-- the plan is not that of `p_version` any more, or the event is being moved.
create function fairline.set_plan(
    p_event text, p_version integer, p_before text, p_plan text, p_seats integer, p_blocked integer[], p_places integer[],
    p_not_for_sale integer[]
) returns integer language plpgsql as $$
declare
    v_blocks jsonb;
    v_version integer;
begin
    perform from fairline.event e where e.event = p_event and e.plan_version = p_version
        and e.plan is not distinct from p_before and not e.is_moving for update;
    if not found then
        return 0;
    end if;
    perform fairline.alone(p_event);
    v_blocks := fairline.blocks(p_event, p_places, p_not_for_sale);
    v_version := fairline.set_plan(p_event, p_plan, p_seats, p_blocked);
    if v_version > 0 then
        perform fairline.keep_blocks(p_event, v_blocks);
    end if;
    return v_version;
end $$;

-- Moves what names a seat to the place that a new plan has for it: seats that are held or sold, tickets, also void ones, refunds
-- and holds. Seats that are neither lose their rows. What stays at its place is not written.
create function fairline.move_seats(p_event text, p_places integer[]) returns void language plpgsql as $$
begin
    delete from fairline.seat s where s.event = p_event and s.state not in (1, 2) and p_places[s.seat + 1] <> s.seat;
    -- By way of negative numbers, as no two may have one place even for a moment.
    update fairline.seat s set seat = -1 - p_places[s.seat + 1] where s.event = p_event and p_places[s.seat + 1] <> s.seat;
    update fairline.seat s set seat = -1 - s.seat where s.event = p_event and s.seat < 0;
    update fairline.ticket t set seat = -1 - p_places[t.seat + 1] where t.event = p_event and p_places[t.seat + 1] <> t.seat;
    update fairline.ticket t set seat = -1 - t.seat where t.event = p_event and t.seat < 0;
    update fairline.void_ticket t set seat = p_places[t.seat + 1]
        where t.event = p_event and t.seat < cardinality(p_places) and p_places[t.seat + 1] <> t.seat;
    update fairline.payment p set refunds = (
            select jsonb_agg(jsonb_set(r.value, '{seats}', (
                select coalesce(jsonb_agg(coalesce(p_places[nullif(s.value, '2147483647')::integer + 1], 2147483647)), '[]')
                from jsonb_array_elements_text(r.value -> 'seats') s)) order by r.ordinality)::text
            from jsonb_array_elements(p.refunds::jsonb) with ordinality r)
        where p.event = p_event and p.refunds is not null and p.refunds <> '[]';
    update fairline.hold h set places = m.places
        from (select o.visitor, o.number, string_agg(k.place::text, ',' order by p.at) as places
            from fairline.hold o
            cross join unnest(string_to_array(o.places, ',')) with ordinality as p(place, at)
            cross join lateral (
                select coalesce(p_places[nullif(p.place, '2147483647')::integer + 1], 2147483647) as place) k
            where o.event = p_event and o.places <> ''
            group by o.visitor, o.number having bool_or(k.place::text <> p.place)) m
        where h.event = p_event and h.visitor = m.visitor and h.number = m.number;
end $$;

-- Replaces the plan while seats are held or sold: each goes to the place that the new plan has for it. Lists begin with the first
-- seat of the plan before; a place of 2147483647 is none. `p_not_for_sale` are the seats that the plan before keeps out of the
-- sale, `p_blocked` those that the new one does. Rows of seats that keep their places are written only if their state changes.
-- Answers the new plan's version; 0 if the plan is not that one any more, or the event is being moved; -1 if a seat of `p_free`
-- is held or sold, one of `p_not_held` is held, or one of `p_watched` is sold while `p_sold` says that it is not, or the reverse.
create function fairline.change_plan(
    p_event text, p_version integer, p_before text, p_plan text, p_seats integer, p_blocked integer[], p_places integer[],
    p_not_for_sale integer[], p_free integer[], p_not_held integer[], p_watched integer[], p_sold boolean[],
    -- the category of each seat in the plan before, and the categories
    p_categories integer[], c_id text[], c_name text[], c_price bigint[]
) returns integer language plpgsql as $$
declare
    v_version integer;
    v_seq bigint;
    v_blocks jsonb;
begin
    perform from fairline.event e where e.event = p_event and e.plan_version = p_version and e.plan = p_before
        and not e.is_moving for update;
    if not found then
        return 0;
    end if;
    perform fairline.alone(p_event);
    if exists (select from unnest(p_free) as w(seat) join fairline.seat s on s.event = p_event and s.seat = w.seat
            where s.state in (1, 2))
        or exists (select from unnest(p_not_held) as w(seat) join fairline.seat s on s.event = p_event and s.seat = w.seat
            where s.state = 1)
        or exists (select from unnest(p_watched, p_sold) as w(seat, sold)
            join fairline.seat s on s.event = p_event and s.seat = w.seat where (s.state = 2) <> w.sold) then
        return -1;
    end if;
    -- Baskets keep their prices: holds without lines of their own, which the plan prices, get them.
    update fairline.hold h set lines = (
            select json_agg(json_build_object('kind', 'ticket', 'name', c_name[k.category], 'category', c_id[k.category],
                'quantity', k.quantity, 'unit', c_price[k.category]) order by k.category)::text
            from (select p_categories[p.place::integer + 1] as category, count(*) as quantity
                from unnest(string_to_array(h.places, ',')) as p(place) group by 1) k)
        where h.event = p_event and h.state = 0 and h.lines is null and h.places <> '';
    v_blocks := fairline.blocks(p_event, p_places, p_not_for_sale);
    if exists (select from unnest(p_places) with ordinality as p(place, at) where p.place <> p.at - 1) then
        perform fairline.move_seats(p_event, p_places);
    end if;
    -- Those that are left of the plan before are at their places in the new one.
    delete from fairline.seat s using (select unnest(p_not_for_sale) as seat except select unnest(p_blocked)) n
        where s.event = p_event and s.seat = n.seat and s.state = 3;
    insert into fairline.seat (event, seat) select p_event, n from generate_series(0, p_seats - 1) as n on conflict do nothing;
    update fairline.seat s set state = 3 where s.event = p_event and s.seat = any (p_blocked) and s.state = 0;
    perform fairline.keep_blocks(p_event, v_blocks);
    v_seq := nextval('fairline.batch');
    update fairline.event e set plan = p_plan, plan_version = e.plan_version + 1, config = e.config + 1,
        version = e.version + 1, version_seq = v_seq, version_at = clock_timestamp()
        where e.event = p_event returning e.plan_version into v_version;
    delete from fairline.version o where o.event = p_event;
    delete from fairline.change c where c.event = p_event;
    perform pg_notify('fairline', p_event);
    return v_version;
end $$;
