-- Invoices, and the credit notes that cancel them. Each kind is numbered without gaps in a series: its last number is raised in
-- the transaction that writes the row.
create table invoice_series (
    series text primary key,
    invoices integer not null default 0,
    credit_notes integer not null default 0
) strict, without rowid;
create table invoice (
    event text not null,
    order_id text not null,
    kind text not null check (kind in ('invoice', 'credit_note')),
    series text not null,
    number integer not null,
    issued_at integer not null,
    -- what it says, as JSON
    content text not null,
    primary key (event, order_id, kind, number),
    unique (series, kind, number)
) strict, without rowid;
create unique index invoice_of_order on invoice (event, order_id) where kind = 'invoice';
