-- Mails to buyers, a row for each: written with the place of the mail's consumer in the outbox, so that an event has its mail once.
-- State 0 waits, 1 was handed over, 2 cannot be. While one is being sent, `next_at` is the time at which it counts as not sent.
-- `detail` is sealed, as it may be an address.
create table fairline.mail (
    number bigint generated always as identity primary key,
    id text collate "C" not null unique,
    event text collate "C" not null,
    order_id text collate "C" not null,
    kind text not null,
    detail text not null,
    state smallint not null default 0,
    attempts integer not null default 0,
    unanswered integer not null default 0,
    next_at bigint not null,
    created_at bigint not null,
    done_at bigint,
    reason text not null default ''
) with (fillfactor = 80);
create index mail_due on fairline.mail (next_at) where state = 0;
create index mail_by_order on fairline.mail (event, order_id, number);
create index mail_failed on fairline.mail (event, number) where state = 2;
create index mail_done on fairline.mail (done_at) where state > 0;
