-- Owner and reason of a seat that an organiser blocked, as JSON. It stays while the seat is held at the desk, as it is blocked
-- again if it is not sold.
alter table seat add column note text;
