-- Invoices, and the credit notes that cancel them. Each kind is numbered without gaps in a series: its last number is raised in
-- the transaction that writes the row. `tag` tells databases apart that have events of one series; it is empty where there is
-- one database.
create table fairline.invoice_series (
    series text collate "C" not null,
    tag text collate "C" not null,
    invoices integer not null default 0,
    credit_notes integer not null default 0,
    primary key (series, tag)
) with (fillfactor = 50);
create table fairline.invoice (
    event text collate "C" not null,
    order_id text collate "C" not null,
    kind text not null check (kind in ('invoice', 'credit_note')),
    series text collate "C" not null,
    tag text collate "C" not null,
    number integer not null,
    issued_at bigint not null,
    -- what it says, as JSON
    content text not null,
    primary key (event, order_id, kind, tag, number),
    unique (series, tag, kind, number)
);
create unique index invoice_of_order on fairline.invoice (event, order_id) where kind = 'invoice';

-- Issues the invoices and credit notes of a batch, except those of refused requests. An order has one invoice; an order without one
-- gets no credit note. The rows of the series are locked until the batch is committed, so that other batches take the next
-- numbers, or the same ones if it is not; in one order, and after all other rows of a batch, so that none waits for another that
-- waits for it.
create function fairline.issue_invoices(p_event text, p_rows json, p_refused integer[]) returns void language plpgsql as $$
declare
    v_new record;
    v_number integer;
begin
    for v_new in
        select w.order_id, w.issued_at, w.content, coalesce(i.series, w.series) as series, w.tag as tag,
            w.series is null as is_credit
        from (select p_event as event, w.* from json_to_recordset(p_rows) as w(request integer, order_id text, content text,
            series text, tag text, issued_at bigint) where w.content is not null offset 0) w
        left join fairline.invoice i on i.event = w.event and i.order_id = w.order_id and i.kind = 'invoice'
        where w.request <> all (p_refused) and (w.series is null) = (i.series is not null)
        order by 4, 5, 1
    loop
        insert into fairline.invoice_series as s (series, tag, invoices, credit_notes)
            values (v_new.series, v_new.tag, (not v_new.is_credit)::integer, v_new.is_credit::integer)
            on conflict (series, tag) do update set invoices = s.invoices + excluded.invoices,
                credit_notes = s.credit_notes + excluded.credit_notes
            returning case when v_new.is_credit then s.credit_notes else s.invoices end into v_number;
        insert into fairline.invoice (event, order_id, kind, series, tag, number, issued_at, content)
            values (p_event, v_new.order_id, case when v_new.is_credit then 'credit_note' else 'invoice' end, v_new.series,
                v_new.tag, v_number, v_new.issued_at, v_new.content);
    end loop;
end $$;

-- They are issued with the changes of payments, as the last step of a batch.
do $$
declare
    v_source text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname = 'apply'
    loop
        execute regexp_replace(v_source, 'exit;(\s+)exception when', 'if p_payment_changes is not null then
                perform fairline.issue_invoices(p_event, p_payment_changes, v_refused);
            end if;
            exit;\1exception when');
    end loop;
end $$;
