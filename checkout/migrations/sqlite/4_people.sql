-- The keys by which personal data was ever sealed in this file.
create table personal_key (id text primary key) strict, without rowid;

-- When a door let the bearer of a ticket in.
alter table ticket add column admitted_at integer;
