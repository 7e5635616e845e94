-- Lines of the price of a hold and of its order, as JSON; none if there were neither fees nor taxes.
alter table fairline.hold add column lines text;
alter table fairline.orders add column lines text;

-- The places of a new hold may be followed by a second line of text with the lines of its price, so that the function that writes
-- a batch takes what it took before, also from nodes of the version before.
do $$
declare
    v_source text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname in ('apply', 'visits')
    loop
        v_source := replace(v_source, 'lapses_at, max_expires_at)', 'lapses_at, max_expires_at, lines)');
        v_source := replace(v_source, 'then 4 else 0 end, w.places', 'then 4 else 0 end, split_part(w.places, E''\n'', 1)');
        v_source := replace(v_source, 'w.lapses_at, w.max_expires_at', 'w.lapses_at, w.max_expires_at,
                           nullif(split_part(w.places, E''\n'', 2), '''')');
        v_source := replace(v_source, 'buyer_email, created_at, pay_by)', 'buyer_email, created_at, pay_by, lines)');
        v_source := replace(v_source, 'w.buyer_email, w.created_at, w.pay_by', 'w.buyer_email, w.created_at, w.pay_by, w.lines');
        v_source := replace(v_source, 'created_at bigint, pay_by bigint)', 'created_at bigint, pay_by bigint, lines text)');
        v_source := replace(v_source, 'max_expires_at, order_id from holds', 'max_expires_at, order_id, lines from holds');
        v_source := replace(v_source, 'decline, created_at, pay_by from own', 'decline, created_at, pay_by, lines from own');
        execute v_source;
    end loop;
end $$;

-- Returns what the layout shows of the rules beside the currency.
create function fairline.shown_charges(p_rules text) returns jsonb language sql immutable as $$
    select jsonb_build_array(coalesce(p_rules::jsonb -> 'fees', '[]'), coalesce(p_rules::jsonb -> 'taxes', '[]'))
$$;

-- Sets the rules if they still are those of `p_config`. With a new currency, or other fees or taxes, the layout's prices are
-- shown anew. Answers whether it was done; null if there are holds, orders or payments in the old currency.
create or replace function fairline.set_rules(p_event text, p_config bigint, p_rules text, p_is_new_currency boolean)
returns boolean language plpgsql as $$
declare
    v_use record;
begin
    perform from fairline.event e where e.event = p_event and e.config = p_config for update;
    if not found then
        return false;
    end if;
    perform fairline.alone(p_event);
    if p_is_new_currency then
        select * into v_use from fairline.in_use(p_event);
        if v_use.held or v_use.paying or v_use.sold or v_use.ordered then
            return null;
        end if;
    end if;
    update fairline.event e set rules = p_rules, config = e.config + 1,
        plan_version = e.plan_version + case when e.plan is not null
            and (p_is_new_currency or fairline.shown_charges(p_rules) <> fairline.shown_charges(e.rules)) then 1 else 0 end
        where e.event = p_event;
    perform pg_notify('fairline', p_event);
    return true;
end $$;
