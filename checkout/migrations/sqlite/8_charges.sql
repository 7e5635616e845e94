-- Lines of the price of a hold and of its order, as JSON; none if there were neither fees nor taxes.
alter table hold add column lines text;
alter table orders add column lines text;
