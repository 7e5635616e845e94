-- Messages to fans in line by several channels: `push`, to the browser, and `sms`. `called_at` is the time at which a message
-- became due first.
create table line_message (
    event text not null,
    visitor text not null,
    channel text not null,
    contact text not null,
    created_at integer not null,
    claim_by integer,
    called_at integer,
    next_at integer,
    attempts integer not null default 0,
    primary key (event, visitor, channel)
) strict, without rowid;
insert into line_message (event, visitor, channel, contact, created_at, claim_by, called_at, next_at, attempts)
    select event, visitor, 'push', subscription, created_at, claim_by, iif(claim_by is null, null, created_at), next_at, attempts
    from line_push;
drop table line_push;
create index line_message_due on line_message (channel, next_at) where next_at is not null;
-- Numbers of messages that cost money: of the site in a day (no event), and to a phone for an event (by a keyed hash of its number).
create table line_count (
    event text not null,
    name text not null,
    count integer not null,
    counted_at integer not null,
    primary key (event, name)
) strict, without rowid;
