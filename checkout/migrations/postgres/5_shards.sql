-- Which database this is, and (in the first of several) which of them holds each event.
create table fairline.shard (id text primary key);
create table fairline.catalogue (event text collate "C" primary key, shard text not null);

-- Who changed what, when: one line of JSON each, for all nodes.
create table fairline.audit (id bigint generated always as identity primary key, line text not null);

-- Stops everything about an event, so that it can be copied. Answers whether it did; not while it is on sale: while somebody
-- is inside, holds seats, or pays. Null without such an event.
create function fairline.begin_move(p_event text, p_now bigint) returns boolean language plpgsql as $$
begin
    perform from fairline.event e where e.event = p_event for update;
    if not found then
        return null;
    end if;
    perform fairline.alone(p_event);
    if exists (select from fairline.seat s where s.event = p_event and s.state = 1)
        or exists (select from fairline.session s where s.event = p_event and not s.is_over and s.expires_at > p_now)
        or exists (select from fairline.payment p where p.event = p_event and p.state in ('processing', 'refunding')) then
        return false;
    end if;
    update fairline.event e set is_moving = true where e.event = p_event;
    return true;
end $$;

create function fairline.end_move(p_event text) returns void language sql as $$
    update fairline.event e set is_moving = false where e.event = p_event
$$;

-- An event that was brought here is on again, with a new version of its map and this database's numbers.
create function fairline.arrive(p_event text) returns void language sql as $$
    update fairline.event e set is_moving = false, version = e.version + 1, version_seq = nextval('fairline.batch')
        where e.event = p_event and e.is_moving
$$;

-- Removes all rows of an event.
create function fairline.clear(p_event text) returns void language plpgsql as $$
begin
    delete from fairline.ticket t where t.event = p_event;
    delete from fairline.payment p where p.event = p_event;
    delete from fairline.orders o where o.event = p_event;
    delete from fairline.hold h where h.event = p_event;
    delete from fairline.session s where s.event = p_event;
    delete from fairline.answer a where a.event = p_event;
    delete from fairline.change c where c.event = p_event;
    delete from fairline.version v where v.event = p_event;
    delete from fairline.seat s where s.event = p_event;
    delete from fairline.event e where e.event = p_event;
end $$;

-- The nodes that are there, by when they were heard of.
create table fairline.node (id text primary key, seen_at timestamptz not null) with (fillfactor = 50);

-- A node is there: answers its place among those heard of in the last five seconds, and how many these are.
create function fairline.meet(p_node text) returns table (place integer, nodes integer) language plpgsql as $$
begin
    insert into fairline.node (id, seen_at) values (p_node, clock_timestamp())
        on conflict (id) do update set seen_at = excluded.seen_at;
    delete from fairline.node n where n.seen_at < clock_timestamp() - interval '1 minute';
    return query select count(*) filter (where n.id < p_node)::integer, count(*)::integer from fairline.node n
        where n.seen_at > clock_timestamp() - interval '5 seconds';
end $$;
