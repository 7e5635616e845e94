-- Versions of the map begin with the time in milliseconds, and there are five a second at most: they must not repeat for an event
-- that was removed and made again, as caches and pages know the map by them.
create or replace function fairline.make_event(p_event text, p_rules text, p_secret bytea) returns void language sql as $$
    insert into fairline.event (event, rules, secret, config, version)
        values (p_event, p_rules, p_secret, (extract(epoch from clock_timestamp()) * 1000000)::bigint,
            (extract(epoch from clock_timestamp()) * 1000)::bigint) on conflict do nothing
$$;

-- The keys by which personal data was ever sealed in this database.
create table fairline.personal_key (id text primary key);

-- When a door let the bearer of a ticket in.
alter table fairline.ticket add column admitted_at bigint;
