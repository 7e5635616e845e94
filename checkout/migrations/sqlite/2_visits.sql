-- Everything that a visitor has in an event is found by the visitor; a seat is sold by one ticket at a time.
create table session_2 (
    event text not null,
    key blob not null,
    visitor text not null,
    number integer not null,
    jti text not null,
    token text not null,
    expires_at integer not null,
    over integer not null default 0,
    -- what the waiting room has yet to hear: 0 nothing, 1 started, 2 finished
    report integer not null default 1,
    primary key (event, key),
    unique (event, jti)
) strict, without rowid;
insert into session_2 select event, key, visitor, number, jti, token, expires_at, over, report from session;
drop table session;
alter table session_2 rename to session;
create index session_to_report on session (report) where report > 0;
create index session_by_visitor on session (event, visitor);

-- When others may take the seats, and the order that was made of it.
alter table hold add column lapses_at integer not null default 0;
alter table hold add column order_id text;
update hold set lapses_at = expires_at,
    order_id = (select o.id from orders o where o.event = hold.event and o.hold = hold.id);
update hold set state = 'released' where state = 'converted'
    and exists (select 1 from orders o where o.event = hold.event and o.hold = hold.id and o.state = 'refunded');
drop index hold_to_expire;
create index hold_by_visitor on hold (event, visitor);

create index order_by_visitor on orders (event, visitor);
drop index payment_by_id;
drop index seat_by_visitor;
create unique index ticket_of_seat on ticket (event, seat);
