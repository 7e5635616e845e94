-- Lists that all nodes share, such as the sessions of a network that hold seats. A list is a number
-- that stands for what it is about; members are forgotten after a while.
create table fairline.list (
    list bigint not null,
    member bytea not null,
    at timestamptz not null,
    primary key (list, member)
);
create index list_at on fairline.list (at);
