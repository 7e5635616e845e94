-- Messages to fans in line by several channels: `push`, to the browser, and `sms`. `called_at` is the time at which a message
-- became due first.
alter table fairline.line_push rename to line_message;
alter table fairline.line_message add column channel text collate "C" not null default 'push';
alter table fairline.line_message add column called_at bigint;
update fairline.line_message set called_at = created_at where claim_by is not null;
alter table fairline.line_message drop constraint line_push_pkey;
alter table fairline.line_message add primary key (event, visitor, channel);
alter table fairline.line_message rename column subscription to contact;
drop index fairline.line_push_due;
create index line_message_due on fairline.line_message (channel, next_at) where next_at is not null;
-- Numbers of messages that cost money: of the site in a day (no event), and to a phone for an event (by a keyed hash of its number).
create table fairline.line_count (
    event text collate "C" not null,
    name text collate "C" not null,
    count integer not null,
    counted_at bigint not null,
    primary key (event, name)
);
