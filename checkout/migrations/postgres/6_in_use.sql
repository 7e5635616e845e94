-- Answers why an event may not be changed as a whole: seats are held; seats are booked; money is on its way in either
-- direction, also for an order that expired meanwhile; seats were ever booked, or money was ever taken; there are orders in
-- any state. Call it under the event's own lock (`alone`), else it may be out of date at once.
create function fairline.in_use(
    p_event text, out held boolean, out booked boolean, out paying boolean, out sold boolean, out ordered boolean
) language plpgsql stable as $$
begin
    held := exists (select from fairline.seat s where s.event = p_event and s.state = 1);
    booked := exists (select from fairline.seat s where s.event = p_event and s.state = 2);
    paying := exists (select from fairline.payment p
        where p.event = p_event and p.state in ('processing', 'refunding'));
    sold := booked
        or exists (select from fairline.orders o
            where o.event = p_event and o.state in ('confirmed', 'refunding', 'refunded', 'needs_review'))
        or exists (select from fairline.payment p
            where p.event = p_event and p.state in ('captured', 'refunding', 'refunded'));
    ordered := exists (select from fairline.orders o where o.event = p_event);
end $$;

-- Makes an event with these rules, unless it is there. `config` begins with the time: an event that was removed and made again
-- has another one, so that what a node decided on the old event is refused.
create or replace function fairline.make_event(p_event text, p_rules text, p_secret bytea) returns void language sql as $$
    insert into fairline.event (event, rules, secret, config)
        values (p_event, p_rules, p_secret, (extract(epoch from clock_timestamp()) * 1000000)::bigint) on conflict do nothing
$$;

-- Replaces the plan unless something is held or booked, or may yet be by a payment that comes late. Answers the new plan's
-- version; null if something is; 0 without such an event.
create or replace function fairline.set_plan(p_event text, p_plan text, p_seats integer) returns integer
language plpgsql as $$
declare
    v_version integer;
    v_seq bigint;
    v_use record;
begin
    perform from fairline.event e where e.event = p_event for update;
    if not found then
        return 0;
    end if;
    perform fairline.alone(p_event);
    select * into v_use from fairline.in_use(p_event);
    if v_use.held or v_use.booked or v_use.paying then
        return null;
    end if;
    delete from fairline.seat s where s.event = p_event;
    insert into fairline.seat (event, seat) select p_event, n from generate_series(0, p_seats - 1) as n;
    -- Holds name their seats by places in a plan that is gone now.
    update fairline.hold h set places = '' where h.event = p_event and h.places <> '';
    v_seq := nextval('fairline.batch');
    update fairline.event e set plan = p_plan, plan_version = e.plan_version + 1, config = e.config + 1,
        version = e.version + 1, version_seq = v_seq, version_at = clock_timestamp()
        where e.event = p_event returning e.plan_version into v_version;
    delete from fairline.version o where o.event = p_event;
    delete from fairline.change c where c.event = p_event;
    perform pg_notify('fairline', p_event);
    return v_version;
end $$;

-- Sets the rules if they still are those of `p_config`. With a new currency the layout's prices are shown anew. Answers
-- whether it was done; null if there are holds, orders or payments in the old currency.
create or replace function fairline.set_rules(p_event text, p_config bigint, p_rules text, p_is_new_currency boolean)
returns boolean language plpgsql as $$
declare
    v_use record;
begin
    perform from fairline.event e where e.event = p_event and e.config = p_config for update;
    if not found then
        return false;
    end if;
    perform fairline.alone(p_event);
    if p_is_new_currency then
        select * into v_use from fairline.in_use(p_event);
        if v_use.held or v_use.paying or v_use.sold or v_use.ordered then
            return null;
        end if;
    end if;
    update fairline.event e set rules = p_rules, config = e.config + 1,
        plan_version = e.plan_version + case when p_is_new_currency and e.plan is not null then 1 else 0 end
        where e.event = p_event;
    perform pg_notify('fairline', p_event);
    return true;
end $$;

-- Removes everything about an event. Answers 'removed', or why not: 'missing', 'sold' for good, 'used' for now.
drop function fairline.remove(text);
create function fairline.remove(p_event text) returns text language plpgsql as $$
declare
    v_use record;
begin
    perform from fairline.event e where e.event = p_event for update;
    if not found then
        return 'missing';
    end if;
    perform fairline.alone(p_event);
    select * into v_use from fairline.in_use(p_event);
    if v_use.sold then
        return 'sold';
    end if;
    if v_use.held or v_use.paying then
        return 'used';
    end if;
    perform fairline.clear(p_event);
    perform pg_notify('fairline', p_event);
    return 'removed';
end $$;

-- Stops everything about an event, so that it can be copied. Answers whether it did; not while it is on sale: while fans are
-- inside, hold seats, or pay. Null without such an event.
create or replace function fairline.begin_move(p_event text, p_now bigint) returns boolean language plpgsql as $$
declare
    v_use record;
begin
    perform from fairline.event e where e.event = p_event for update;
    if not found then
        return null;
    end if;
    perform fairline.alone(p_event);
    select * into v_use from fairline.in_use(p_event);
    if v_use.held or v_use.paying or exists (select from fairline.session s
            where s.event = p_event and not s.is_over and s.expires_at > p_now) then
        return false;
    end if;
    update fairline.event e set is_moving = true where e.event = p_event;
    return true;
end $$;
