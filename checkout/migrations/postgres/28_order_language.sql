-- Code of the language that the buyer's page had; null if it is not known, and that of the event counts. Requests of nodes of the
-- version before do not name it.
alter table fairline.orders add column language text;
do $$
declare
    v_source text;
    v_changed text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname in ('apply', 'visits')
    loop
        v_changed := replace(v_source, 'buyer_email, created_at, pay_by, lines)', 'buyer_email, created_at, pay_by, lines, language)');
        v_changed := replace(v_changed, 'w.created_at, w.pay_by, w.lines', 'w.created_at, w.pay_by, w.lines, w.language');
        v_changed := replace(v_changed, 'created_at bigint, pay_by bigint, lines text)',
            'created_at bigint, pay_by bigint, lines text, language text)');
        v_changed := replace(v_changed, 'decline, created_at, pay_by, lines from own', 'decline, created_at, pay_by, lines, language from own');
        if v_changed = v_source then
            raise exception 'a function of fairline is another one than this step changes';
        end if;
        execute v_changed;
    end loop;
    if not found then
        raise exception 'there are no functions of fairline';
    end if;
end $$;
