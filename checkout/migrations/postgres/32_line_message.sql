-- Messages to fans in line by several channels: `push`, to the browser, and `sms`. `called_at` is the time at which a message
-- became due first. `line_push` stays for nodes of the version before; a later version removes it.
create table fairline.line_message (
    event text collate "C" not null,
    visitor text collate "C" not null,
    channel text collate "C" not null,
    contact text not null,
    created_at bigint not null,
    claim_by bigint,
    called_at bigint,
    next_at bigint,
    attempts integer not null default 0,
    primary key (event, visitor, channel)
);
insert into fairline.line_message (event, visitor, channel, contact, created_at)
    select event, visitor, 'push', subscription, created_at from fairline.line_push where claim_by is null;
create index line_message_due on fairline.line_message (channel, next_at) where next_at is not null;
-- Numbers of messages that cost money: of the site in a day (no event), and to a phone for an event (by a keyed hash of its number).
create table fairline.line_count (
    event text collate "C" not null,
    name text collate "C" not null,
    count integer not null,
    counted_at bigint not null,
    primary key (event, name)
);
