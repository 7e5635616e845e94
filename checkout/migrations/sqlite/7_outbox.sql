-- Events for other systems, in the columns that Debezium's outbox router expects: written in the transaction of the change, never
-- changed, deleted after a while. Numbers of deleted rows are not given again.
create table outbox (
    position integer primary key autoincrement,
    id text not null,
    event text not null,
    aggregatetype text not null,
    aggregateid text not null,
    type text not null,
    payload text not null,
    traceparent text,
    at integer not null
) strict;

-- How far each consumer has come, and when it was last heard of.
create table outbox_cursor (
    consumer text primary key,
    position integer not null default 0,
    seen_at integer not null
) strict, without rowid;
