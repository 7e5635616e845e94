-- Money that the bank charged back, in minor units of the payment's currency: the sum of the disputes that were lost.
alter table payment add column charged_back integer not null default 0;
update payment set charged_back = coalesce((
        select sum(json_extract(d.value, '$.report.amount.amount')) from json_each(payment.disputes) d
        where json_extract(d.value, '$.report.state') = 'lost'
            and json_extract(d.value, '$.report.amount.currency') =
                (select o.currency from orders o where o.event = payment.event and o.id = payment.order_id)), 0)
    where disputes is not null;
