-- What became of a payment, and how it was settled where its provider could not help.
alter table payment add column history text;
-- note of the organiser who settled it outside of its provider
alter table payment add column outside text;
create index payment_in_review on payment (event) where review is not null;
