-- Returns what the layout shows of the rules beside the currency: fees, taxes, and the prices of categories.
create or replace function fairline.shown_charges(p_rules text) returns jsonb language sql immutable as $$
    select jsonb_build_array(coalesce(p_rules::jsonb -> 'fees', '[]'), coalesce(p_rules::jsonb -> 'taxes', '[]'),
        coalesce(p_rules::jsonb -> 'prices', '[]'))
$$;
