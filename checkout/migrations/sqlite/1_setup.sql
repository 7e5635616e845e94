-- Everything about an event is led by its id, so that nothing ever crosses events.
create table event (
    event text primary key,
    plan text,
    plan_version integer not null default 0,
    rules text not null,
    secret blob not null
) strict, without rowid;

-- state: 0 available, 1 held, 2 booked, 3 blocked. `seat` is the place in the layout's order.
create table seat (
    event text not null,
    seat integer not null,
    state integer not null default 0 check (state between 0 and 3),
    hold text,
    order_id text,
    visitor text,
    primary key (event, seat),
    check ((state in (1, 2)) = (hold is not null)),
    check ((state = 2) <= (order_id is not null))
) strict, without rowid;
create index seat_by_visitor on seat (event, visitor) where visitor is not null;

create table session (
    key blob primary key,
    event text not null,
    visitor text not null,
    number integer not null,
    jti text not null,
    token text not null,
    expires_at integer not null,
    over integer not null default 0,
    -- what the waiting room has yet to hear: 0 nothing, 1 started, 2 finished
    report integer not null default 1,
    unique (event, jti)
) strict, without rowid;
create index session_to_report on session (report) where report > 0;

create table hold (
    event text not null,
    id text not null,
    session blob not null,
    visitor text not null,
    state text not null check (state in ('active', 'converted', 'released', 'expired')),
    seats text not null,
    total integer not null,
    currency text not null,
    expires_at integer not null,
    max_expires_at integer not null,
    primary key (event, id)
) strict, without rowid;
create index hold_to_expire on hold (expires_at) where state = 'active';

create table orders (
    event text not null,
    id text not null,
    hold text not null,
    visitor text not null,
    session blob not null,
    state text not null,
    seats text not null,
    total integer not null,
    currency text not null,
    buyer_name text not null,
    buyer_email text not null,
    decline text,
    created_at integer not null,
    pay_by integer not null,
    primary key (event, id),
    unique (event, hold)
) strict, without rowid;
create index order_by_age on orders (event, created_at);
create index order_to_expire on orders (pay_by) where state in ('paying', 'declined', 'confirming');

create table payment (
    event text not null,
    id text not null,
    order_id text not null,
    attempt integer not null,
    state text not null check (state in ('created', 'processing', 'captured', 'failed', 'refunding', 'refunded')),
    amount integer not null,
    client_secret text not null,
    -- when the provider will have decided; for the simulated card that pays late
    settles_at integer,
    begun_at integer,
    primary key (event, id)
) strict, without rowid;
create unique index payment_of_order on payment (event, order_id, attempt);
create index payment_by_id on payment (id);
create index payment_to_settle on payment (state) where state in ('processing', 'refunding');

create table ticket (
    event text not null,
    id text not null,
    order_id text not null,
    seat integer not null,
    primary key (event, id)
) strict, without rowid;
create index ticket_of_order on ticket (event, order_id);

create table answer (
    id text primary key,
    body_hash text not null,
    answer text,
    at integer not null
) strict, without rowid;
create index answer_by_age on answer (at);
