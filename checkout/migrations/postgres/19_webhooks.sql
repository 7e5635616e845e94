-- Webhooks: the systems to which events are posted, all in the first database, and what is posted to each, in the database of the
-- event. A delivery is written with the place of the webhooks' consumer in the outbox, so that each endpoint has each event once.
-- `settings` is sealed: the URL, the filters and the secrets, as JSON. State of an endpoint: 0 enabled, 1 disabled by an organiser,
-- 2 disabled as its deliveries fail. It gets the events from `since` on.
create table fairline.webhook_endpoint (
    id text collate "C" primary key,
    settings text not null,
    version integer not null default 0,
    state smallint not null default 0,
    reason text not null default '',
    created_at bigint not null,
    since bigint not null,
    failing_since bigint
);

-- State 0 waits, 1 was delivered, 2 cannot be. While one is being delivered, `next_at` is the time at which it counts as not
-- delivered. With `in_order` it waits for earlier ones of its aggregate. `status` is that of the last answer, `answer` its beginning
-- or why there was none.
create table fairline.webhook_delivery (
    number bigint generated always as identity primary key,
    endpoint text collate "C" not null,
    id text collate "C" not null,
    event text collate "C" not null,
    type text not null,
    aggregate text collate "C" not null,
    body text not null,
    in_order boolean not null,
    state smallint not null default 0,
    attempts integer not null default 0,
    next_at bigint not null,
    created_at bigint not null,
    queued_at bigint not null,
    done_at bigint,
    status smallint,
    answer text not null default '',
    unique (endpoint, id)
) with (fillfactor = 80);
create index webhook_delivery_due on fairline.webhook_delivery (endpoint, next_at) where state = 0;
create index webhook_delivery_waiting on fairline.webhook_delivery (endpoint, queued_at) where state = 0;
create index webhook_delivery_order on fairline.webhook_delivery (endpoint, aggregate, number) where state = 0 and in_order;
create index webhook_delivery_log on fairline.webhook_delivery (endpoint, created_at, id);
create index webhook_delivery_done on fairline.webhook_delivery (state, done_at) where done_at is not null;
