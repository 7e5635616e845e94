-- Payments at providers: all states, what the provider calls a payment, what was refunded, and when the provider is asked next.
alter table fairline.payment
    add column provider text not null default 'simulated',
    add column reference text,
    -- rises with every change
    add column revision integer not null default 0,
    add column refunded bigint not null default 0,
    -- refunds of a part, as JSON
    add column refunds text,
    -- why a person has to look at it
    add column review text,
    add column next_at bigint,
    add column tries integer not null default 0;
alter table fairline.payment drop constraint payment_state_check;
alter table fairline.payment add constraint payment_state_check check (state in ('created', 'requires_action', 'processing',
    'authorised', 'capturing', 'captured', 'refunding', 'refunded', 'failed', 'voiding', 'voided')) not valid;
create index payment_to_follow on fairline.payment (event)
    where provider not in ('simulated', 'free') and state in ('created', 'requires_action', 'authorised', 'capturing', 'voiding');

-- Webhooks that were received, so that each acts once; in the first database. `next_at` is set while one waits for a payment
-- that is not known.
create table fairline.inbox (
    id text collate "C" primary key,
    reference text not null,
    at bigint not null,
    next_at bigint,
    tries integer not null default 0
);
create index inbox_by_age on fairline.inbox using brin (at);
create index inbox_parked on fairline.inbox (next_at) where next_at is not null;

-- The functions that write, refuse and read payments say the rest in the same words as before. A node of the version before
-- names no revision, and changes none of the new columns.
do $$
declare
    v_source text;
begin
    for v_source in select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'fairline'::regnamespace and p.proname in ('apply', 'refused', 'visits', 'in_use')
    loop
        v_source := replace(v_source, 'p.settles_at is not distinct from w.promised_at',
            'p.settles_at is not distinct from w.promised_at and p.revision = coalesce(w.revision, p.revision)');
        v_source := replace(v_source, 'was text, promised_at bigint', 'was text, promised_at bigint, revision integer');
        v_source := replace(v_source, 'begun_at bigint, settles_at bigint)', 'begun_at bigint, settles_at bigint, client_secret text,
                        reference text, refunded bigint, refunds text, review text, next_at bigint)');
        v_source := replace(v_source, 'begun_at = w.begun_at, settles_at = w.settles_at', 'begun_at = w.begun_at,
                    settles_at = w.settles_at, client_secret = coalesce(w.client_secret, p.client_secret),
                    reference = coalesce(w.reference, p.reference), refunded = coalesce(w.refunded, p.refunded),
                    refunds = coalesce(w.refunds, p.refunds), review = coalesce(w.review, p.review),
                    next_at = w.next_at, tries = 0, revision = p.revision + 1');
        v_source := replace(v_source, 'state, amount, currency, client_secret)', 'state, amount, currency, client_secret, provider,
                                              next_at)');
        v_source := replace(v_source, 'w.currency, w.client_secret', 'w.currency, w.client_secret,
                           coalesce(w.provider, ''simulated''), w.next_at');
        v_source := replace(v_source, 'currency text, client_secret text)', 'currency text, client_secret text, provider text,
                        next_at bigint)');
        v_source := replace(v_source, 'p.begun_at, p.settles_at', 'p.begun_at, p.settles_at, p.provider, p.reference, p.revision,
                p.refunded, p.refunds, p.review, p.next_at');
        v_source := replace(v_source, 'p.state in (''processing'', ''refunding'')', 'p.state in (''requires_action'',
                ''processing'', ''authorised'', ''capturing'', ''voiding'', ''refunding'')');
        execute v_source;
    end loop;
end $$;
