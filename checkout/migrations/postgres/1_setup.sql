-- Everything about an event is led by its id, so that tables can be distributed by event and nothing ever crosses events.
-- Instants are milliseconds since 1970. No index on what changes while seats are sold: their rows are updated in place. Ids are
-- compared byte by byte, whatever the database's language.

-- The batches' places in their order: who changes a row after another has the higher number.
create sequence fairline.batch;

create table fairline.event (
    event text collate "C" primary key,
    plan text,
    plan_version integer not null default 0,
    rules text not null,
    secret bytea not null,
    -- rises with the plan and the rules: a batch that was decided on older ones is refused
    config bigint not null default 1,
    -- what the seat maps show: the version, and the last batch in it: all up to this one were written then
    version bigint not null default 1,
    version_seq bigint not null default 0,
    version_at timestamptz not null default clock_timestamp(),
    -- being moved to another database: nothing may change
    is_moving boolean not null default false
) with (fillfactor = 40);

-- Batches share the lock of this number; what changes the plan or the rules, or makes a version of the map, has it alone: all
-- batches are written before it, or see what it did.
create function fairline.alone(p_event text) returns void language sql as $$
    select pg_advisory_xact_lock(hashtextextended(p_event, 4631729465))
$$;

-- state: 0 available, 1 held, 2 booked, 3 blocked. `seat` is the place in the layout's order.
create table fairline.seat (
    event text collate "C" not null,
    seat integer not null,
    state smallint not null default 0,
    hold uuid,
    order_id text collate "C",
    visitor uuid,
    primary key (event, seat),
    -- One check and not four: each is read anew by every statement.
    check (state between 0 and 3 and (state in (1, 2)) = (hold is not null) and (hold is null) = (visitor is null)
        and (state = 2) = (order_id is not null))
) with (fillfactor = 25);

create table fairline.session (
    event text collate "C" not null,
    key bytea not null,
    visitor uuid not null,
    number bigint not null,
    jti text collate "C" not null,
    token text not null,
    expires_at bigint not null,
    is_over boolean not null default false,
    -- what the waiting room has yet to hear: 0 nothing, 1 started, 2 finished; and from when on it may be told
    report smallint not null,
    report_at bigint not null default 0,
    primary key (event, key),
    unique (event, jti)
) with (fillfactor = 70);
create index session_to_report on fairline.session (report_at) where report > 0;

-- What a visitor does is numbered: holds, and what no hold may be made without knowing, as the end of a session (state 4,
-- without seats). Whoever decides on something older takes a number that is taken. state: 0 active, 1 converted, 2 released, 3 expired.
create table fairline.hold (
    event text collate "C" not null,
    visitor uuid not null,
    number integer not null,
    id uuid not null,
    session bytea not null,
    state smallint not null check (state between 0 and 4),
    -- the seats' places in the layout's order, with commas
    places text not null,
    total bigint not null,
    currency text not null,
    expires_at bigint not null,
    lapses_at bigint not null,
    max_expires_at bigint not null,
    order_id text collate "C",
    primary key (event, visitor, number)
) with (fillfactor = 60);

create table fairline.orders (
    event text collate "C" not null,
    id text collate "C" not null,
    hold uuid not null,
    visitor uuid not null,
    session bytea not null,
    state text not null check (state in ('paying', 'confirming', 'declined', 'confirmed', 'expired', 'cancelled',
                                         'refunding', 'refunded', 'needs_review')),
    seats text not null,
    total bigint not null,
    currency text not null,
    buyer_name text not null,
    buyer_email text not null,
    decline text,
    created_at bigint not null,
    pay_by bigint not null,
    primary key (event, id, created_at)
) partition by range (created_at);
create index order_by_age on fairline.orders (event, created_at);
create index order_to_expire on fairline.orders (pay_by) where state in ('paying', 'declined', 'confirming');
create table fairline.orders_other partition of fairline.orders default;

create table fairline.payment (
    event text collate "C" not null,
    order_id text collate "C" not null,
    attempt integer not null,
    id text not null,
    state text not null check (state in ('created', 'processing', 'captured', 'failed', 'refunding', 'refunded')),
    amount bigint not null,
    currency text not null,
    client_secret text not null,
    begun_at bigint,
    -- when the provider will have decided; for the simulated card that pays late
    settles_at bigint,
    primary key (event, order_id, attempt)
) with (fillfactor = 60);
create index payment_to_settle on fairline.payment (begun_at) where state in ('processing', 'refunding');

-- A seat is sold by one ticket at a time: not even by hand by two.
create table fairline.ticket (
    event text collate "C" not null,
    seat integer not null,
    id text not null,
    order_id text not null,
    primary key (event, seat)
);

create table fairline.answer (
    event text collate "C" not null,
    id text collate "C" not null,
    body_hash text not null,
    answer text,
    at bigint not null,
    primary key (event, id)
) with (fillfactor = 60);
create index answer_by_age on fairline.answer using brin (at);

-- What every batch changed of the seats, for a while: for the maps of other nodes, and to know whether a batch happened.
-- `changes` says for each seat which request it was of, its state, and when it lapses, as `apply.rs` writes it.
create table fairline.change (
    event text collate "C" not null,
    seq bigint not null,
    node text not null,
    batch bigint not null,
    refused integer[] not null,
    changes bytea not null,
    -- the sessions that were opened, if there are other nodes that may be asked for them
    opened bytea not null,
    primary key (event, seq)
);
alter table fairline.change alter column changes set storage external;
alter table fairline.change alter column opened set storage external;

-- Which batches are in which version of the seat map.
create table fairline.version (
    event text collate "C" not null,
    version bigint not null,
    after_seq bigint not null,
    to_seq bigint not null,
    primary key (event, version)
);

-- The partitions of this month and the next. What lies in none of them is kept in `orders_other`.
create function fairline.make_partitions(p_now bigint) returns void language plpgsql as $$
declare
    v_month timestamp := date_trunc('month', to_timestamp(p_now / 1000.0) at time zone 'utc');
    v_from bigint;
    v_to bigint;
begin
    -- One node at a time.
    perform pg_advisory_xact_lock(4631729464);
    for n in 0..1 loop
        v_from := extract(epoch from v_month + make_interval(months => n)) * 1000;
        v_to := extract(epoch from v_month + make_interval(months => n + 1)) * 1000;
        begin
            execute format('create table if not exists fairline.%I partition of fairline.orders for values from (%s) to (%s)',
                'orders_' || to_char(v_month + make_interval(months => n), 'YYYY_MM'), v_from, v_to);
        exception when check_violation then
            -- orders of that month lie in `orders_other` already, and stay there
            null;
        end;
    end loop;
end $$;
