-- Shows what was committed since the last version as a new one, at most once in `p_every_ms`, whichever node asks. Answers
-- whether all of it is shown now.
create function fairline.publish(p_event text, p_every_ms integer) returns boolean language plpgsql as $$
declare
    v fairline.event;
    v_seq bigint;
begin
    select max(c.seq) into v_seq from fairline.change c where c.event = p_event;
    select * into v from fairline.event e where e.event = p_event and e.version_seq < v_seq for update;
    if not found then
        return true;
    end if;
    if v.version_at > clock_timestamp() - make_interval(secs => p_every_ms / 1000.0) then
        return false;
    end if;
    perform fairline.alone(p_event);
    -- None is on its way now: all up to the newest are there.
    select max(c.seq) into v_seq from fairline.change c where c.event = p_event;
    update fairline.event e set version = v.version + 1, version_seq = v_seq, version_at = clock_timestamp()
        where e.event = p_event;
    insert into fairline.version (event, version, after_seq, to_seq) values (p_event, v.version + 1, v.version_seq, v_seq);
    -- A minute of versions is kept, and the batches that are in them.
    delete from fairline.version o where o.event = p_event and o.version <= v.version - 300;
    delete from fairline.change c where c.event = p_event and c.seq <=
        (select min(k.after_seq) from fairline.version k where k.event = p_event);
    perform pg_notify('fairline', p_event);
    return true;
end $$;

-- Makes an event with these rules, unless it is there.
create function fairline.make_event(p_event text, p_rules text, p_secret bytea) returns void language sql as $$
    insert into fairline.event (event, rules, secret) values (p_event, p_rules, p_secret) on conflict do nothing
$$;

-- Replaces the plan unless something is held or booked, or may yet be by a payment that comes late. Answers the new plan's
-- version; null if something is.
create function fairline.set_plan(p_event text, p_plan text, p_seats integer) returns integer language plpgsql as $$
declare
    v_version integer;
    v_seq bigint;
begin
    perform from fairline.event e where e.event = p_event for update;
    perform fairline.alone(p_event);
    if exists (select from fairline.seat s where s.event = p_event and s.state in (1, 2))
        or exists (select from fairline.payment p where p.event = p_event and p.state in ('processing', 'refunding')) then
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
-- whether it was done; null if there are orders in the old currency.
create function fairline.set_rules(p_event text, p_config bigint, p_rules text, p_is_new_currency boolean)
returns boolean language plpgsql as $$
begin
    perform from fairline.event e where e.event = p_event and e.config = p_config for update;
    if not found then
        return false;
    end if;
    perform fairline.alone(p_event);
    if p_is_new_currency and exists (select from fairline.orders o where o.event = p_event) then
        return null;
    end if;
    update fairline.event e set rules = p_rules, config = e.config + 1,
        plan_version = e.plan_version + case when p_is_new_currency and e.plan is not null then 1 else 0 end
        where e.event = p_event;
    perform pg_notify('fairline', p_event);
    return true;
end $$;

-- Removes everything about an event, unless something was booked. Answers whether it did.
create function fairline.remove(p_event text) returns boolean language plpgsql as $$
begin
    perform from fairline.event e where e.event = p_event for update;
    perform fairline.alone(p_event);
    if exists (select from fairline.orders o where o.event = p_event
            and o.state in ('confirmed', 'refunding', 'refunded', 'needs_review')) then
        return false;
    end if;
    perform fairline.clear(p_event);
    perform pg_notify('fairline', p_event);
    return true;
end $$;
