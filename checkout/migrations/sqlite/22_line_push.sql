-- Subscriptions of fans who wait in a line and want a notification once it is their turn. The subscription is sealed.
-- `claim_by` and `next_at` are set once the turn has come; while a message is being sent, `next_at` is the time at which it counts as not sent.
create table line_push (
    event text not null,
    visitor text not null,
    subscription text not null,
    created_at integer not null,
    claim_by integer,
    next_at integer,
    attempts integer not null default 0,
    primary key (event, visitor)
) strict, without rowid;
create index line_push_due on line_push (next_at) where next_at is not null;
