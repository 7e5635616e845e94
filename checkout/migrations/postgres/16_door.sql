-- The door at which a ticket was checked in, and the door's own id of that scan.
alter table fairline.ticket add column door text;
alter table fairline.ticket add column scan text;
-- Doors ask for tickets by their ids, and by how those begin.
create index ticket_by_id on fairline.ticket (event, id collate "C");

-- Tickets that were given back: a door refuses them in words.
create table fairline.void_ticket (
    event text collate "C" not null,
    id text collate "C" not null,
    order_id text collate "C" not null,
    seat integer not null,
    primary key (event, id)
);
create function fairline.keep_void_ticket() returns trigger language plpgsql as $$
begin
    insert into fairline.void_ticket (event, id, order_id, seat) values (old.event, old.id, old.order_id, old.seat)
        on conflict do nothing;
    return null;
end $$;
create trigger ticket_voided after delete on fairline.ticket for each row execute function fairline.keep_void_ticket();

-- Removes all rows of an event; those that are kept of its tickets last.
create or replace function fairline.clear(p_event text) returns void language plpgsql as $$
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
    delete from fairline.void_ticket t where t.event = p_event;
end $$;

-- All tickets that there were, and whether each is valid: its order is confirmed, and its money is not on its way back.
create view fairline.door_ticket as
    select t.event, t.id collate "C" as id, t.seat, t.order_id, t.admitted_at, t.door, t.scan,
        not exists (select from fairline.orders o
            where o.event = t.event and o.id = t.order_id and o.state <> 'confirmed')
        and not exists (select from fairline.payment p, json_array_elements(p.refunds::json) r,
                json_array_elements_text(r.value -> 'seats') s
            where p.event = t.event and p.order_id = t.order_id and p.refunds is not null
                and s.value::integer = t.seat) as is_valid
    from fairline.ticket t
    union all select v.event, v.id, v.seat, v.order_id, null, null, null, false from fairline.void_ticket v;

-- Checks a ticket in if it is not, or takes that back if `p_at` is null, with the event that tells of it. Answers the ticket as
-- it was before; nothing if it is not valid. The row of its order is locked first, as batches do.
create function fairline.check_in(
    p_event text, p_id text, p_at bigint, p_door text, p_scan text, o_request integer[], o_id text[],
    o_aggregatetype text[], o_aggregateid text[], o_type text[], o_payload text[], o_traceparent text[], o_at bigint[]
) returns setof fairline.door_ticket language plpgsql as $$
declare
    v_before fairline.door_ticket;
begin
    perform from fairline.orders o join fairline.ticket t on t.event = o.event and t.order_id = o.id
        where o.event = p_event and t.id collate "C" = p_id for update of o;
    perform from fairline.ticket t where t.event = p_event and t.id collate "C" = p_id for update;
    select * into v_before from fairline.door_ticket t where t.event = p_event and t.id = p_id and t.is_valid;
    if not found then
        return;
    end if;
    if (v_before.admitted_at is null) = (p_at is not null) then
        update fairline.ticket t set admitted_at = p_at, door = p_door, scan = p_scan
            where t.event = p_event and t.seat = v_before.seat;
        perform fairline.write_outbox(p_event, '{}', o_request, o_id, o_aggregatetype, o_aggregateid, o_type, o_payload,
            o_traceparent, o_at);
    end if;
    return next v_before;
end $$;
