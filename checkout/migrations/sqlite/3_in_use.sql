-- An answer belongs to an event, and goes with it. The mark of a payment that is being asked for names the payment from now
-- on, and ends with it; what was marked without a name would never be answered.
alter table answer add column event text;
delete from answer where answer is null;
