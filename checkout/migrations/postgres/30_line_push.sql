-- Subscriptions of fans who wait in a line and want a notification once it is their turn. The subscription is sealed.
-- `claim_by` and `next_at` are set once the turn has come; while a message is being sent, `next_at` is the time at which it counts as not sent.
create table fairline.line_push (
    event text collate "C" not null,
    visitor text collate "C" not null,
    subscription text not null,
    created_at bigint not null,
    claim_by bigint,
    next_at bigint,
    attempts integer not null default 0,
    primary key (event, visitor)
);
create index line_push_due on fairline.line_push (next_at) where next_at is not null;
