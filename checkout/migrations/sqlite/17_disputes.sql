-- Disputes of payments, such as chargebacks, as JSON.
alter table payment add column disputes text;
