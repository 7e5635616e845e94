-- Tickets are read with whether they were used. A request may say that a ticket becomes void only if it was not used: one that
-- is moved to another seat. Requests of nodes of the version before do not say so.
do $$
declare
    v_source text;
    v_changed text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname in ('apply', 'refused', 'visits')
    loop
        v_changed := replace(v_source, 'json_to_recordset(p_void) as w(request integer, seat integer)',
            'json_to_recordset(p_void) as w(request integer, seat integer, unused boolean)');
        v_changed := replace(v_changed, 'where t.event = w.event and t.seat = w.seat and w.request <> all (v_refused);',
            'where t.event = w.event and t.seat = w.seat and (w.unused is not true or t.admitted_at is null)
                        and w.request <> all (v_refused);');
        v_changed := replace(v_changed,
            'where not exists (select from fairline.ticket t where t.event = w.event and t.seat = w.seat));',
            'where not exists (select from fairline.ticket t where t.event = w.event and t.seat = w.seat
                and (w.unused is not true or t.admitted_at is null)));');
        v_changed := replace(v_changed, 'select t.order_id, t.seat, t.id
', 'select t.order_id, t.seat, t.id, t.admitted_at is not null as is_used
');
        if v_changed = v_source then
            raise exception 'a function of fairline is another one than this step changes';
        end if;
        execute v_changed;
    end loop;
    if not found then
        raise exception 'there are no functions of fairline';
    end if;
end $$;
