-- Sales of each hour, counted from the outbox. A row is written with the place of the consumer that counts, so that an event counts
-- once. `hour` is its first millisecond, in UTC. `category` and `currency` are empty where a figure has none; amounts are in minor
-- units. Rows stay in the database whose events they count: those of an event that was moved are in several.
create table fairline.sales_hour (
    event text collate "C" not null,
    hour bigint not null,
    figure text collate "C" not null,
    category text collate "C" not null default '',
    currency text collate "C" not null default '',
    value bigint not null,
    primary key (event, hour, figure, category, currency)
) partition by range (hour);
create table fairline.sales_hour_other partition of fairline.sales_hour default;

-- The partitions of this month and the next three, of orders and of hourly sales; rows in none of them are kept in `orders_other`
-- and `sales_hour_other`. Answers whether all are there. Making one locks the whole table: a backup or a long report that is under
-- way must not make the sale queue behind that, so it waits for no more than `lock_timeout`, and is tried again later.
create or replace function fairline.make_partitions(p_now bigint) returns boolean language plpgsql
set lock_timeout to '200ms'
as $$
declare
    v_month timestamp := date_trunc('month', to_timestamp(p_now / 1000.0) at time zone 'utc');
    v_table text;
    v_name text;
    v_from bigint;
    v_to bigint;
begin
    -- One node at a time.
    if not pg_try_advisory_xact_lock(4631729464) then
        return false;
    end if;
    foreach v_table in array array['sales_hour', 'orders'] loop
        for n in 0..3 loop
            v_name := v_table || '_' || to_char(v_month + make_interval(months => n), 'YYYY_MM');
            continue when to_regclass('fairline.' || v_name) is not null;
            v_from := extract(epoch from v_month + make_interval(months => n)) * 1000;
            v_to := extract(epoch from v_month + make_interval(months => n + 1)) * 1000;
            begin
                execute format('create table if not exists fairline.%I partition of fairline.%I for values from (%s) to (%s)',
                    v_name, v_table, v_from, v_to);
            exception
                when check_violation then
                    -- rows of that month lie in the default partition already, and stay there
                    null;
                when lock_not_available or query_canceled then
                    return false;
            end;
        end loop;
    end loop;
    return true;
end $$;
