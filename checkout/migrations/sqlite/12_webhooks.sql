-- Webhooks: the systems to which events are posted, and what is posted to each.
-- A delivery is written with the place of the webhooks' consumer in the outbox, so that each endpoint has each event once.
-- `settings` is sealed: the URL, the filters and the secrets, as JSON. State of an endpoint: 0 enabled, 1 disabled by an organiser,
-- 2 disabled as its deliveries fail. It gets the events from `since` on.
create table webhook_endpoint (
    id text primary key not null,
    settings text not null,
    version integer not null default 0,
    state integer not null default 0,
    reason text not null default '',
    created_at integer not null,
    since integer not null,
    failing_since integer
) strict;

-- State 0 waits, 1 was delivered, 2 cannot be. While one is being delivered, `next_at` is the time at which it counts as not
-- delivered. With `in_order` it waits for earlier ones of its aggregate. `status` is that of the last answer, `answer` its beginning
-- or why there was none.
create table webhook_delivery (
    number integer primary key autoincrement,
    endpoint text not null,
    id text not null,
    event text not null,
    type text not null,
    aggregate text not null,
    body text not null,
    in_order integer not null,
    state integer not null default 0,
    attempts integer not null default 0,
    next_at integer not null,
    created_at integer not null,
    queued_at integer not null,
    done_at integer,
    status integer,
    answer text not null default '',
    unique (endpoint, id)
) strict;
create index webhook_delivery_due on webhook_delivery (endpoint, next_at) where state = 0;
create index webhook_delivery_waiting on webhook_delivery (endpoint, queued_at, state) where state = 0;
create index webhook_delivery_order on webhook_delivery (endpoint, aggregate, number) where state = 0 and in_order;
create index webhook_delivery_log on webhook_delivery (endpoint, created_at, id);
create index webhook_delivery_done on webhook_delivery (state, done_at) where done_at is not null;
