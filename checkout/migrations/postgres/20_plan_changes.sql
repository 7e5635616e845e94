-- Owner and reason of a seat that an organiser blocked, as JSON. It stays while the seat is held at the desk, as it is blocked
-- again if it is not sold. The order of a seat that becomes blocked is its note, so that the function that writes a batch takes
-- what it took before.
alter table fairline.seat add column note text;
do $$
declare
    v_source text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname = 'apply'
    loop
        v_source := replace(v_source, 'set state = w.state, hold = w.hold, order_id = w.order_id, visitor = w.visitor
',
            'set state = w.state, hold = w.hold, order_id = case when w.state <> 3 then w.order_id end, visitor = w.visitor,
                        note = case w.state when 3 then coalesce(w.order_id, s.note) when 1 then s.note end
');
        execute v_source;
    end loop;
    -- Whether the seats of a hold are blocked ones follows from its session.
    select pg_get_functiondef(p.oid) into strict v_source from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname = 'visits';
    execute replace(v_source, 'union select session from own)',
        'union select session from own union select session from holds where state = 0)');
end $$;

-- Returns the notes on blocked seats, and on those that may be blocked again, by the places that a new plan has for them.
create function fairline.block_notes(p_event text, p_places integer[]) returns jsonb language plpgsql as $$
begin
    return (select jsonb_object_agg(p_places[s.seat + 1], s.note) from fairline.seat s
        where s.event = p_event and s.state in (1, 3) and s.note is not null and p_places[s.seat + 1] < 2147483647);
end $$;
create function fairline.keep_block_notes(p_event text, p_notes jsonb) returns void language plpgsql as $$
begin
    update fairline.seat s set note = n.value from jsonb_each_text(p_notes) n
        where s.event = p_event and s.seat = n.key::integer and s.state in (1, 3);
end $$;

-- Replaces a plan that is not in use, and keeps the notes on seats that stay blocked. Answers as the function without places
-- does.
create function fairline.set_plan(p_event text, p_plan text, p_seats integer, p_blocked integer[], p_places integer[])
returns integer language plpgsql as $$
declare
    v_notes jsonb;
    v_version integer;
begin
    perform from fairline.event e where e.event = p_event for update;
    perform fairline.alone(p_event);
    v_notes := fairline.block_notes(p_event, p_places);
    v_version := fairline.set_plan(p_event, p_plan, p_seats, p_blocked);
    if v_version > 0 then
        perform fairline.keep_block_notes(p_event, v_notes);
    end if;
    return v_version;
end $$;

-- Replaces the plan while seats are held or sold: each goes to the place that the new plan has for it. Lists begin with the first
-- seat of the plan before; a place of 2147483647 is none. Answers the new plan's version; 0 if the plan is not that one any more; -1 if a seat of `p_free` is held or sold, one of `p_not_held` is held, or one of `p_watched` is sold while
-- `p_sold` says that it is not, or the reverse.
create function fairline.change_plan(
    p_event text, p_version integer, p_before text, p_plan text, p_seats integer, p_blocked integer[], p_places integer[],
    p_free integer[], p_not_held integer[], p_watched integer[], p_sold boolean[],
    -- the category of each seat in the plan before, and the categories
    p_categories integer[], c_id text[], c_name text[], c_price bigint[]
) returns integer language plpgsql as $$
declare
    v_version integer;
    v_seq bigint;
    v_notes jsonb;
begin
    perform from fairline.event e where e.event = p_event and e.plan_version = p_version and e.plan = p_before for update;
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
    -- What is in a basket keeps its price: holds without lines of their own are priced by the plan.
    update fairline.hold h set lines = (
            select json_agg(json_build_object('kind', 'ticket', 'name', c_name[k.category], 'category', c_id[k.category],
                'quantity', k.quantity, 'unit', c_price[k.category]) order by k.category)::text
            from (select p_categories[p.place::integer + 1] as category, count(*) as quantity
                from unnest(string_to_array(h.places, ',')) as p(place) group by 1) k)
        where h.event = p_event and h.state = 0 and h.lines is null and h.places <> '';
    update fairline.hold h set places = (
            select string_agg(coalesce(p_places[nullif(p.place, '2147483647')::integer + 1], 2147483647)::text, ','
                order by p.at)
            from unnest(string_to_array(h.places, ',')) with ordinality as p(place, at))
        where h.event = p_event and h.places <> '';
    v_notes := fairline.block_notes(p_event, p_places);
    delete from fairline.seat s where s.event = p_event and s.state not in (1, 2);
    -- By way of negative numbers, as no two may have one place even for a moment.
    update fairline.seat s set seat = -1 - p_places[s.seat + 1] where s.event = p_event;
    update fairline.seat s set seat = -1 - s.seat where s.event = p_event;
    insert into fairline.seat (event, seat) select p_event, n from generate_series(0, p_seats - 1) as n on conflict do nothing;
    update fairline.seat s set state = 3 where s.event = p_event and s.seat = any (p_blocked) and s.state = 0;
    perform fairline.keep_block_notes(p_event, v_notes);
    update fairline.ticket t set seat = -1 - p_places[t.seat + 1] where t.event = p_event;
    update fairline.ticket t set seat = -1 - t.seat where t.event = p_event;
    update fairline.void_ticket t set seat = p_places[t.seat + 1] where t.event = p_event and t.seat < cardinality(p_places);
    update fairline.payment p set refunds = (
            select jsonb_agg(jsonb_set(r.value, '{seats}', (
                select coalesce(jsonb_agg(coalesce(p_places[nullif(s.value, '2147483647')::integer + 1], 2147483647)), '[]')
                from jsonb_array_elements_text(r.value -> 'seats') s)) order by r.ordinality)::text
            from jsonb_array_elements(p.refunds::jsonb) with ordinality r)
        where p.event = p_event and p.refunds is not null and p.refunds <> '[]';
    v_seq := nextval('fairline.batch');
    update fairline.event e set plan = p_plan, plan_version = e.plan_version + 1, config = e.config + 1,
        version = e.version + 1, version_seq = v_seq, version_at = clock_timestamp()
        where e.event = p_event returning e.plan_version into v_version;
    delete from fairline.version o where o.event = p_event;
    delete from fairline.change c where c.event = p_event;
    perform pg_notify('fairline', p_event);
    return v_version;
end $$;
