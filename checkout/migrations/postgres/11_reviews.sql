-- What became of a payment, and how it was settled where its provider could not help.
alter table fairline.payment
    add column history text,
    -- note of the organiser who settled it outside of its provider
    add column outside text;
create index payment_in_review on fairline.payment (event) where review is not null;

-- An order and its hold may get other seats than they began with, when money comes late. A review ends, and a refund may be
-- withdrawn: a node that names a revision says all that is to be stored, and one of a version before it changes neither.
do $$
declare
    v_source text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname in ('apply', 'visits')
    loop
        v_source := replace(v_source, 'set state = w.state, decline = w.decline', 'set state = w.state, decline = w.decline,
                    seats = coalesce(w.seats, o.seats)');
        v_source := replace(v_source, 'state text, decline text)', 'state text, decline text, seats text)');
        v_source := replace(v_source, 'set state = w.state, order_id = w.order_id
', 'set state = w.state, order_id = w.order_id,
                    places = coalesce(w.places, h.places)
');
        v_source := replace(v_source, 'state smallint, order_id text)', 'state smallint, order_id text, places text)');
        v_source := replace(v_source, 'refunds = coalesce(w.refunds, p.refunds), review = coalesce(w.review, p.review)',
            'refunds = case when w.revision is null then p.refunds else w.refunds end,
                    review = case when w.revision is null then p.review else w.review end,
                    outside = case when w.revision is null then p.outside else w.outside end,
                    history = coalesce(w.history, p.history)');
        v_source := replace(v_source, 'review text, next_at bigint)', 'review text, next_at bigint, outside text, history text)');
        v_source := replace(v_source, 'client_secret, provider,
                                              next_at)', 'client_secret, provider,
                                              next_at, history)');
        v_source := replace(v_source, 'coalesce(w.provider, ''simulated''), w.next_at', 'coalesce(w.provider, ''simulated''), w.next_at,
                           w.history');
        v_source := replace(v_source, 'provider text,
                        next_at bigint)', 'provider text,
                        next_at bigint, history text)');
        v_source := replace(v_source, 'p.review, p.next_at', 'p.review, p.next_at, p.outside, p.history');
        execute v_source;
    end loop;
end $$;
