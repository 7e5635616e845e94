-- Disputes of payments, such as chargebacks, as JSON.
alter table fairline.payment add column disputes text;
do $$
declare
    v_source text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname in ('apply', 'visits')
    loop
        v_source := replace(v_source, 'history = coalesce(w.history, p.history)',
            'history = coalesce(w.history, p.history), disputes = coalesce(w.disputes, p.disputes)');
        v_source := replace(v_source, 'outside text, history text', 'outside text, history text, disputes text');
        v_source := replace(v_source, 'p.outside, p.history', 'p.outside, p.history, p.disputes');
        execute v_source;
    end loop;
end $$;
