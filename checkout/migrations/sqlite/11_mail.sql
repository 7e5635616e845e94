-- Mails to buyers, a row for each: written with the place of the mail's consumer in the outbox, so that an event has its mail once.
-- State 0 waits, 1 was handed over, 2 cannot be. While one is being sent, `next_at` is the time at which it counts as not sent.
-- `detail` is sealed, as it may be an address.
create table mail (
    number integer primary key autoincrement,
    id text not null unique,
    event text not null,
    order_id text not null,
    kind text not null,
    detail text not null,
    state integer not null default 0,
    attempts integer not null default 0,
    unanswered integer not null default 0,
    next_at integer not null,
    created_at integer not null,
    done_at integer,
    reason text not null default ''
) strict;
create index mail_due on mail (next_at) where state = 0;
create index mail_by_order on mail (event, order_id, number);
create index mail_failed on mail (event, number) where state = 2;
create index mail_done on mail (done_at) where state > 0;
