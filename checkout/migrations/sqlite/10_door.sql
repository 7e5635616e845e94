-- The door at which a ticket was checked in, and the door's own id of that scan.
alter table ticket add column door text;
alter table ticket add column scan text;

-- Tickets that were given back: a door refuses them in words.
create table void_ticket (
    event text not null,
    id text not null,
    order_id text not null,
    seat integer not null,
    primary key (event, id)
) strict, without rowid;
create trigger ticket_voided after delete on ticket begin
    insert or replace into void_ticket (event, id, order_id, seat) values (old.event, old.id, old.order_id, old.seat);
end;
