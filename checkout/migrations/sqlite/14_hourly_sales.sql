-- Sales of each hour, counted from the outbox. A row is written with the place of the consumer that counts, so that an event counts
-- once. `hour` is its first millisecond, in UTC. `category` and `currency` are empty where a figure has none; amounts are in minor
-- units.
create table sales_hour (
    event text not null,
    hour integer not null,
    figure text not null,
    category text not null default '',
    currency text not null default '',
    value integer not null,
    primary key (event, hour, figure, category, currency)
) strict, without rowid;
