-- Money that the bank charged back, in minor units of the payment's currency: the sum of the disputes that were lost.
alter table fairline.payment add column charged_back bigint not null default 0;
update fairline.payment p set charged_back = coalesce((
        select sum((d.value -> 'report' -> 'amount' ->> 'amount')::bigint) from jsonb_array_elements(p.disputes::jsonb) d
        where d.value -> 'report' ->> 'state' = 'lost'
            and d.value -> 'report' -> 'amount' ->> 'currency' = p.currency), 0)
    where p.disputes is not null;
do $$
declare
    v_source text;
    v_changed text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname = 'apply'
    loop
        v_changed := replace(v_source, 'disputes = coalesce(w.disputes, p.disputes)',
            'disputes = coalesce(w.disputes, p.disputes), charged_back = coalesce(w.charged_back, p.charged_back)');
        v_changed := replace(v_changed, 'history text, disputes text', 'history text, disputes text, charged_back bigint');
        if v_changed = v_source then
            raise exception 'a function of fairline is another one than this step changes';
        end if;
        execute v_changed;
    end loop;
    if not found then
        raise exception 'there is no function of fairline';
    end if;
end $$;
