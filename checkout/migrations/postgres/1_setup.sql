-- Everything about an event is led by its id, so that tables can be distributed by event and nothing ever crosses events.
-- Instants are milliseconds since 1970. No index on what changes while seats are sold: their rows are updated in place.

create table fairline.event (
    event text primary key,
    plan text,
    plan_version integer not null default 0,
    rules text not null,
    secret bytea not null,
    -- rises with the plan and the rules: a batch that was decided on older ones is refused
    config bigint not null default 1,
    -- rises with every batch; whoever raises it holds the row, so that batches follow one another
    seq bigint not null default 0,
    -- what the seat maps show: the version, and the last batch in it
    version bigint not null default 1,
    version_seq bigint not null default 0,
    version_at timestamptz not null default clock_timestamp(),
    -- being moved to another database: nothing may change
    is_moving boolean not null default false
) with (fillfactor = 40);

-- state: 0 available, 1 held, 2 booked, 3 blocked. `seat` is the place in the layout's order.
create table fairline.seat (
    event text not null,
    seat integer not null,
    state smallint not null default 0 check (state between 0 and 3),
    hold text,
    order_id text,
    visitor text,
    primary key (event, seat),
    check ((state in (1, 2)) = (hold is not null)),
    check ((hold is null) = (visitor is null)),
    check ((state = 2) = (order_id is not null))
) with (fillfactor = 25);

create table fairline.session (
    event text not null,
    key bytea not null,
    visitor text not null,
    number bigint not null,
    jti text not null,
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

create table fairline.hold (
    event text not null,
    visitor text not null,
    id text not null,
    session bytea not null,
    state text not null check (state in ('active', 'converted', 'released', 'expired')),
    seats text not null,
    -- the seats' places in the layout's order
    places integer[] not null,
    total bigint not null,
    currency text not null,
    expires_at bigint not null,
    lapses_at bigint not null,
    max_expires_at bigint not null,
    order_id text,
    primary key (event, visitor, id)
) with (fillfactor = 60);

create table fairline.orders (
    event text not null,
    id text not null,
    hold text not null,
    visitor text not null,
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
    event text not null,
    order_id text not null,
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
    event text not null,
    seat integer not null,
    id text not null,
    order_id text not null,
    primary key (event, seat)
);

create table fairline.answer (
    event text not null,
    id text not null,
    body_hash text not null,
    answer text,
    at bigint not null,
    primary key (event, id)
) with (fillfactor = 60);
create index answer_by_age on fairline.answer using brin (at);

-- What every batch changed of the seats, for a while: for the maps of other nodes, and to know whether a batch happened.
create table fairline.change (
    event text not null,
    seq bigint not null,
    batch text not null,
    refused integer[] not null,
    seats integer[] not null,
    states smallint[] not null,
    lapses_at bigint[] not null,
    primary key (event, seq)
);

-- Which batches are in which version of the seat map.
create table fairline.version (
    event text not null,
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
