-- Payments at providers: all states, what the provider calls a payment, what was refunded, and when the provider is asked next.
create table payment_5 (
    event text not null,
    id text not null,
    order_id text not null,
    attempt integer not null,
    state text not null check (state in ('created', 'requires_action', 'processing', 'authorised', 'capturing', 'captured',
                                         'refunding', 'refunded', 'failed', 'voiding', 'voided')),
    amount integer not null,
    client_secret text not null,
    -- when the provider will have decided; for the simulated card that pays late
    settles_at integer,
    -- when the provider was asked first
    begun_at integer,
    provider text not null default 'simulated',
    reference text,
    -- rises with every change
    revision integer not null default 0,
    refunded integer not null default 0,
    -- refunds of a part, as JSON
    refunds text,
    -- why a person has to look at it
    review text,
    next_at integer,
    tries integer not null default 0,
    primary key (event, id),
    check (refunded between 0 and amount)
) strict, without rowid;
insert into payment_5 (event, id, order_id, attempt, state, amount, client_secret, settles_at, begun_at, refunded)
    select event, id, order_id, attempt, state, amount, client_secret, settles_at, begun_at,
        case state when 'refunded' then amount else 0 end from payment;
drop table payment;
alter table payment_5 rename to payment;
create unique index payment_of_order on payment (event, order_id, attempt);
create index payment_to_settle on payment (state) where state in ('processing', 'refunding');
create index payment_to_follow on payment (state)
    where provider not in ('simulated', 'free') and state in ('created', 'requires_action', 'authorised', 'capturing', 'voiding');

-- Webhooks that were received, so that each acts once. `next_at` is set while one waits for a payment that is not known.
create table inbox (
    id text primary key,
    reference text not null,
    at integer not null,
    next_at integer,
    tries integer not null default 0
) strict, without rowid;
create index inbox_by_age on inbox (at);
create index inbox_parked on inbox (next_at) where next_at is not null;
